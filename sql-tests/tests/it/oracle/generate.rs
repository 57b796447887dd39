//! Generates whole queries over the tables in all places: joins, groups, windows, sets, subqueries, CTEs, orders and limits.

use rand::prelude::*;

use super::expression::Scope;
use super::kind::Kind;
use super::places::Place;
use super::query::{Body, Distinct, Expr, Grouping, Joined, Names, OrderKey, Part, Query, Select, Source};
use super::tables::Table;

/// Levels of an expression at most.
const DEPTH_MAX: u32 = 2;
/// Relations of a query among which some are subqueries.
const DERIVED_MAX: u32 = 4;
/// Subqueries in expressions of one query at most.
const SUBQUERIES_MAX: u32 = 2;
const DIRECTIONS: &[&str] = &[
    "",
    " ASC",
    " DESC",
    " NULLS FIRST",
    " DESC NULLS LAST",
    " DESC NULLS FIRST",
    " NULLS LAST",
];
const FRAMES: &[&str] = &[
    "2 PRECEDING AND 1 FOLLOWING",
    "1 PRECEDING AND CURRENT ROW",
    "2 PRECEDING AND 1 PRECEDING",
    "1 FOLLOWING AND 3 FOLLOWING",
    "UNBOUNDED PRECEDING AND CURRENT ROW",
    "UNBOUNDED PRECEDING AND 1 PRECEDING",
    "CURRENT ROW AND UNBOUNDED FOLLOWING",
];
const LIMITS: &[u32] = &[0, 1, 2, 3, 3, 5, 5, 8, 10, 20, 30, 100];

/// Writes one query.
pub(super) struct Writer<'a> {
    pub(super) random: StdRng,
    /// How many subqueries expressions may still get.
    pub(super) subqueries: u32,
    /// Whether IN and EXISTS may have one here: in select lists they are refused, which has been seen often enough.
    pub(super) marks: bool,
    /// The term of the last list.
    pub(super) listed: Option<Expr>,
    tables: &'a [Table],
    places: &'a [Place],
    aliases: u32,
    ctes: Vec<(String, Vec<Kind>)>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(seed: u64, tables: &'a [Table], places: &'a [Place]) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            subqueries: SUBQUERIES_MAX,
            marks: true,
            listed: None,
            tables,
            places,
            aliases: 0,
            ctes: Vec::new(),
        }
    }

    /// A whole query.
    pub(super) fn query(&mut self) -> Query {
        if self.chance(0.04) {
            return self.failing();
        }
        let mut ctes = Vec::new();
        if self.chance(0.12) {
            let mut query = Query::of(Body::Select(self.select(None, &Scope::default())));
            self.limit_in_total_order(&mut query);
            let name = "x0".to_owned();
            self.ctes.push((name.clone(), query.kinds()));
            ctes.push((name, query));
        }
        let body = if self.chance(0.15) {
            self.set_operation()
        } else {
            let mut select = self.select(None, &Scope::default());
            select.is_nameless = self.chance(0.2);
            Body::Select(select)
        };
        let mut query = Query {
            ctes,
            ..Query::of(body)
        };
        self.order_and_limit(&mut query);
        self.choose_first(&mut query);
        query
    }

    /// Makes some SELECT DISTINCT choose a row of each value of their first column.
    fn choose_first(&mut self, query: &mut Query) {
        let columns = query.kinds().len();
        if let Body::Select(select) = &mut query.body
            && select.distinct == Distinct::Rows
            && columns > 1
            // A constant there is a number of a column.
            && select.items[0].render(super::query::Names::Postgres).starts_with('r')
            // A column twice in the order of DISTINCT ON is an error here (see docs/differences.md).
            && (1..columns).all(|index| !select.items[..index].contains(&select.items[index]))
            && self.chance(0.4)
        {
            select.distinct = Distinct::OnFirst;
            query.order = self.keys(columns);
            query.order.sort_by_key(|key| key.column != 0);
        }
    }

    /// A SELECT over one table that fails if any row makes it fail, which every row is asked for.
    pub(super) fn failing(&mut self) -> Query {
        const FAILING: &[(Kind, Kind, &str)] = &[
            (Kind::Int4, Kind::Int4, "({} + 1)"),
            (Kind::Int4, Kind::Int4, "({} * {})"),
            (Kind::Int4, Kind::Int4, "(10 / {})"),
            (Kind::Int4, Kind::Int4, "({} % {})"),
            (Kind::Int4, Kind::Int4, "abs({})"),
            (Kind::Int4, Kind::Int4, "(- {})"),
            (Kind::Int4, Kind::Int8, "CAST({} AS integer)"),
            (Kind::Int2, Kind::Int4, "CAST({} AS smallint)"),
            (Kind::Int2, Kind::Int2, "({} * {})"),
            (Kind::Int8, Kind::Int8, "({} - 2)"),
            (Kind::Int8, Kind::Int8, "({} * {})"),
            (Kind::Int4, Kind::Text, "CAST({} AS integer)"),
            (Kind::Date, Kind::Text, "CAST({} AS date)"),
            (Kind::Numeric(2), Kind::Text, "CAST({} AS numeric(6, 2))"),
            (Kind::Numeric(1), Kind::Numeric(2), "CAST({} AS numeric(6, 1))"),
            (Kind::Int4, Kind::Float, "CAST({} AS integer)"),
            (Kind::Numeric(0), Kind::Numeric(2), "trunc({} / nullif({}, 1))"),
        ];
        let (first, leaves) = self.relation();
        let scope = Scope {
            leaves,
            outer: Vec::new(),
        };
        let (kind, argument, template) = self.pick(FAILING);
        let arguments: Vec<Part> = (0..template.matches("{}").count())
            .map(|_| self.leaf(argument, &scope).into())
            .collect();
        let item = Expr::new(kind, template, arguments);
        let mut select = Select {
            from: vec![first],
            items: vec![self.leaf(Kind::Int4, &scope), item.clone()],
            ..Select::default()
        };
        match self.random.random_range(0..3) {
            0 => {}
            1 => select.filter = Some(Expr::new(Kind::Bool, "({} IS NOT NULL)", [item.into()])),
            _ => {
                select.items = vec![Expr::new(kind, "max({})", [item.into()])];
            }
        }
        Query::of(Body::Select(select))
    }

    /// A SELECT with a condition and nothing that depends on how many rows there are.
    pub(super) fn filtered(&mut self) -> Query {
        let (from, scope) = self.from();
        let filter = Some(self.condition(&scope, DEPTH_MAX));
        let subqueries = std::mem::take(&mut self.subqueries);
        let items = self.items(None, &scope, 1);
        self.subqueries = subqueries;
        Query::of(Body::Select(Select {
            from,
            filter,
            items,
            ..Select::default()
        }))
    }

    fn set_operation(&mut self) -> Body {
        let left = self.select(None, &Scope::default());
        let kinds: Vec<Kind> = left.items.iter().map(|item| item.kind).collect();
        let right = self.select(Some(&kinds), &Scope::default());
        let operators = [
            "UNION",
            "UNION",
            "UNION ALL",
            "UNION ALL",
            "INTERSECT",
            "EXCEPT",
            "INTERSECT ALL",
            "EXCEPT ALL",
        ];
        Body::Set {
            operator: self.pick(&operators),
            left: Box::new(Query::of(Body::Select(left))),
            right: Box::new(Query::of(Body::Select(right))),
        }
    }

    /// A SELECT that gives the kinds that are wanted, or any.
    fn select(&mut self, kinds: Option<&[Kind]>, outer: &Scope) -> Select {
        let (from, mut scope) = self.from();
        scope.outer = outer.leaves.clone();
        let mut filter = self.chance(0.65).then(|| self.condition(&scope, DEPTH_MAX));
        if from.len() > 1 && self.chance(0.25) {
            let template = self.pick(&["({} = {})", "({} = {})", "({} IS NOT DISTINCT FROM {})"]);
            let key = self.pair(&scope.leaves, &scope.leaves, template);
            let all: Vec<Expr> = key.into_iter().chain(filter).collect();
            filter = Some(Expr::new(Kind::Bool, "({})", [Part::List(" AND ", all)]));
        }
        let mut select = Select {
            from,
            filter,
            ..Select::default()
        };
        match self.random.random_range(0..10) {
            0..=3 => self.grouped(&mut select, kinds, &scope),
            4 => {
                let windows = self.windows(&scope);
                let any = self.items(kinds, &scope, 2);
                select.items = any;
                if kinds.is_none() {
                    select.items.extend(windows);
                }
            }
            5 => {
                select.distinct = Distinct::Rows;
                select.items = self.items(kinds, &scope, 1);
            }
            _ => select.items = self.items(kinds, &scope, 2),
        }
        select
    }

    fn items(&mut self, kinds: Option<&[Kind]>, scope: &Scope, depth: u32) -> Vec<Expr> {
        let kinds = match kinds {
            Some(kinds) => kinds.to_vec(),
            None => (0..self.random.random_range(1..5))
                .map(|_| match self.chance(0.1) {
                    true => Kind::Bool,
                    false => scope.kind(&mut self.random),
                })
                .collect(),
        };
        self.marks = self.chance(0.03);
        let items = kinds
            .into_iter()
            .map(|kind| {
                if self.chance(0.5) {
                    self.leaf(kind, scope)
                } else {
                    self.scalar(kind, scope, depth)
                }
            })
            .collect();
        self.marks = true;
        items
    }

    /// One relation to three, joined; and their columns.
    fn from(&mut self) -> (Vec<Joined>, Scope) {
        let mut others = self.pick(&[0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3]);
        if others == 3 {
            // Of four no subquery is one, nor are they in one: there would be too many rows.
            match self.aliases {
                0 => self.aliases = DERIVED_MAX,
                _ => others = 2,
            }
        }
        let mut scope = Scope::default();
        let (first, leaves) = self.relation();
        scope.leaves = leaves;
        let mut from = vec![first];
        for _ in 0..others {
            let (mut joined, leaves) = self.relation();
            let left = scope.leaves.clone();
            scope.leaves.extend(leaves.clone());
            if others == 1 && self.chance(0.15) && self.using(&mut joined, &left, &leaves, &mut scope) {
                from.push(joined);
                continue;
            }
            joined.join = self.pick(&[
                "JOIN",
                "JOIN",
                "LEFT JOIN",
                "LEFT JOIN",
                "RIGHT JOIN",
                "FULL JOIN",
                "CROSS JOIN",
            ]);
            // Four tables by anything but equal columns are too many rows.
            if others == 3 && joined.join == "CROSS JOIN" {
                joined.join = "JOIN";
            }
            if joined.join != "CROSS JOIN" {
                let only_equal = joined.join == "FULL JOIN" || others == 3;
                joined.on = Some(self.on(only_equal, &left, &leaves, &scope));
            }
            from.push(joined);
        }
        (from, scope)
    }

    /// Joins by a column that both sides have, and adds that of the join; false where there is none.
    fn using(&mut self, joined: &mut Joined, left: &[Expr], right: &[Expr], scope: &mut Scope) -> bool {
        let name = |leaf: &Expr| {
            leaf.render(Names::Postgres)
                .split('.')
                .next_back()
                .map(str::to_owned)
        };
        let both = left.iter().filter(|one| {
            let same = |other: &&Expr| other.kind == one.kind && name(other) == name(one);
            right.iter().any(|other| same(&other))
        });
        let Some(leaf) = both.choose(&mut self.random) else {
            return false;
        };
        let Some(column) = name(leaf) else { return false };
        scope.leaves.push(Expr::sql(leaf.kind, column.clone()));
        joined.join = self.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
        joined.using = Some(column);
        true
    }

    fn relation(&mut self) -> (Joined, Vec<Expr>) {
        let alias = format!("r{}", self.aliases);
        self.aliases += 1;
        let joined = |source| Joined {
            join: "",
            source,
            alias: alias.clone(),
            on: None,
            using: None,
        };
        let column = |kind: Kind, name: &str| Expr::sql(kind, format!("{alias}.{name}"));
        if !self.ctes.is_empty() && self.chance(0.5) {
            let (name, kinds) = &self.ctes[0];
            let columns = kinds.iter().enumerate();
            let leaves = columns
                .map(|(index, kind)| column(*kind, &format!("c{index}")))
                .collect();
            return (joined(Source::Cte(name.clone())), leaves);
        }
        if self.aliases < DERIVED_MAX && self.chance(0.12) {
            let mut query = if self.chance(0.2) {
                Query::of(self.set_operation())
            } else {
                Query::of(Body::Select(self.select(None, &Scope::default())))
            };
            self.limit_in_total_order(&mut query);
            let kinds = query.kinds();
            let columns = kinds.iter().enumerate();
            let leaves = columns
                .map(|(index, kind)| column(*kind, &format!("c{index}")))
                .collect();
            return (joined(Source::Derived(Box::new(query))), leaves);
        }
        let place = self.random.random_range(0..self.places.len());
        let weights = [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3];
        let table = &self.tables[self.pick(&weights)];
        let positions = table.positions(self.places[place].left_out);
        let leaves = positions
            .into_iter()
            .map(|index| column(table.columns[index].kind(), table.columns[index].name()))
            .collect();
        (
            joined(Source::Table {
                name: table.name,
                place,
            }),
            leaves,
        )
    }

    /// A condition of a join: most often an equality of two columns, and then some.
    fn on(&mut self, only_equal: bool, left: &[Expr], right: &[Expr], scope: &Scope) -> Expr {
        let Some(equal) = self.pair(left, right, "({} = {})") else {
            return Expr::sql(Kind::Bool, "TRUE");
        };
        // PostgreSQL has FULL JOIN only with conditions that can be hashed or merged.
        if only_equal || self.chance(0.5) {
            return equal;
        }
        let subqueries = std::mem::take(&mut self.subqueries);
        let mut all = vec![equal];
        for _ in 0..self.pick(&[1, 1, 1, 2]) {
            let other = match self.random.random_range(0..5) {
                0 => self.pair(left, right, "({} = {})"),
                1 => self.pair(left, right, "({} IS NOT DISTINCT FROM {})"),
                2 => self.key_of_several(left, right),
                _ => None,
            };
            let other = other.unwrap_or_else(|| self.condition(scope, 1));
            all.push(other);
        }
        self.subqueries = subqueries;
        if self.chance(0.25) {
            all.remove(0);
        }
        Expr::new(Kind::Bool, "({})", [Part::List(" AND ", all)])
    }

    /// A comparison of a column of `left` with one of `right`.
    fn pair(&mut self, left: &[Expr], right: &[Expr], template: &str) -> Option<Expr> {
        let pairs: Vec<(&Expr, &Expr)> = left
            .iter()
            .flat_map(|left| right.iter().map(move |right| (left, right)))
            .filter(|(left, right)| {
                left.kind == right.kind || left.kind.is_integer() && right.kind.is_integer()
            })
            .collect();
        let (a, b) = pairs.choose(&mut self.random).copied()?;
        Some(Expr::new(
            Kind::Bool,
            template,
            [a.clone().into(), b.clone().into()],
        ))
    }

    /// An equality of a column of `right` with something of `left`, often of several of its tables.
    fn key_of_several(&mut self, left: &[Expr], right: &[Expr]) -> Option<Expr> {
        let column = right.choose(&mut self.random)?.clone();
        let scope = Scope {
            leaves: left.to_vec(),
            outer: Vec::new(),
        };
        let key = match column.kind.is_integer() {
            true => {
                let (one, other) = (self.leaf(Kind::Int2, &scope), self.leaf(Kind::Int4, &scope));
                Expr::new(
                    Kind::Int8,
                    "(CAST({} AS bigint) - {})",
                    [one.into(), other.into()],
                )
            }
            false => self.scalar(column.kind, &scope, 1),
        };
        Some(Expr::new(Kind::Bool, "({} = {})", [column.into(), key.into()]))
    }

    /// Groups and aggregates in place of columns: expressions over them stand in the select list and in HAVING.
    fn grouped(&mut self, select: &mut Select, kinds: Option<&[Kind]>, scope: &Scope) {
        let count = self.pick(&[0, 1, 1, 1, 2]);
        for _ in 0..count {
            let kind = scope.kind(&mut self.random);
            let Some(leaf) = scope
                .leaves
                .iter()
                .filter(|leaf| leaf.kind == kind)
                .choose(&mut self.random)
            else {
                continue;
            };
            // A column twice in ROLLUP or CUBE is an error here (see docs/differences.md).
            if !select.groups.contains(leaf) {
                select.groups.push(leaf.clone());
            }
        }
        // The column of USING is one of its tables', too (see above).
        let is_merged = |leaf: &Expr| !leaf.render(Names::Postgres).contains('.');
        if !select.groups.is_empty() && !select.groups.iter().any(is_merged) {
            let plain = Grouping::Plain;
            select.grouping = self.pick(&[
                plain,
                plain,
                plain,
                plain,
                Grouping::Rollup,
                Grouping::Cube,
                Grouping::Sets,
            ]);
        }
        let mut leaves = select.groups.clone();
        let mut calls: Vec<Expr> = (0..self.random.random_range(1..4))
            .map(|_| self.aggregate(scope))
            .collect();
        if let Some(kinds) = kinds {
            // Something of each wanted kind, so that not all columns are constants.
            calls.extend(
                kinds
                    .iter()
                    .filter_map(|&kind| self.least_or_greatest(kind, scope)),
            );
        }
        leaves.extend(calls.iter().cloned());
        let above = Scope {
            leaves,
            outer: Vec::new(),
        };
        let subqueries = std::mem::take(&mut self.subqueries);
        select.items = match kinds {
            Some(kinds) => self.items(Some(kinds), &above, 1),
            None => {
                let mut items = above.leaves.clone();
                if self.chance(0.4) {
                    items.extend(self.items(None, &above, 2));
                }
                items
            }
        };
        if self.chance(0.3) {
            select.having = Some(self.condition(&above, 1));
        }
        self.subqueries = subqueries;
    }

    fn least_or_greatest(&mut self, kind: Kind, scope: &Scope) -> Option<Expr> {
        if kind == Kind::Bool {
            return None;
        }
        let leaf = scope
            .leaves
            .iter()
            .filter(|leaf| leaf.kind == kind)
            .choose(&mut self.random)?;
        let template = self.pick(&["min({})", "max({})"]);
        Some(Expr::new(kind, template, [leaf.clone().into()]))
    }

    fn aggregate(&mut self, scope: &Scope) -> Expr {
        let (kind, template) = self.aggregate_call(scope);
        let Some((argument, template)) = template else {
            return self.filtered_aggregate(Expr::sql(Kind::Int8, "count(*)"), scope);
        };
        self.filtered_aggregate(Expr::new(kind, &template, [argument]), scope)
    }

    fn filtered_aggregate(&mut self, call: Expr, scope: &Scope) -> Expr {
        if !self.chance(0.2) {
            return call;
        }
        let kind = call.kind;
        let subqueries = std::mem::take(&mut self.subqueries);
        let condition = self.condition(scope, 1).into();
        self.subqueries = subqueries;
        // A filter stands behind the aggregate itself.
        if matches!(call.parts.first(), Some(Part::Sql(text)) if text.starts_with("round(")) {
            return call;
        }
        Expr::new(kind, "{} FILTER (WHERE {})", [call.into(), condition])
    }

    /// The kind of an aggregate and its argument with a template; without one it is `count(*)`.
    fn aggregate_call(&mut self, scope: &Scope) -> (Kind, Option<(Part, String)>) {
        let kind = scope.kind(&mut self.random);
        let argument = self.scalar_without_subquery(kind, scope);
        let distinct = if self.chance(0.25) { "DISTINCT " } else { "" };
        let call = |name: &str| Some((argument.clone().into(), format!("{name}({distinct}{{}})")));
        if kind == Kind::Text && self.chance(0.15) {
            // Equal texts are alike in any order.
            let leaf = self.leaf(
                kind,
                &Scope {
                    leaves: scope.leaves.clone(),
                    outer: Vec::new(),
                },
            );
            let text = leaf.render(super::query::Names::Postgres);
            return (
                kind,
                Some((leaf.into(), format!("string_agg({{}}, ',' ORDER BY {text})"))),
            );
        }
        match self.random.random_range(0..10) {
            0..=1 => (Kind::Int8, None),
            2..=3 => (Kind::Int8, call("count")),
            4..=6 => match kind {
                Kind::Int2 | Kind::Int4 => (Kind::Int8, call("sum")),
                Kind::Int8 => (Kind::Numeric(0), call("sum")),
                Kind::Numeric(scale) => (Kind::Numeric(scale), call("sum")),
                Kind::Bool => (
                    Kind::Bool,
                    call(if self.chance(0.5) { "bool_and" } else { "bool_or" }),
                ),
                // Sums of floats depend on the order of rows.
                _ => (kind, call(if self.chance(0.5) { "min" } else { "max" })),
            },
            // PostgreSQL chooses the digits of an average by its value: of what is short it has two at least (see
            // docs/differences.md).
            7 if matches!(kind, Kind::Int2 | Kind::Int4 | Kind::Numeric(2)) => (
                Kind::Numeric(2),
                Some((argument.into(), format!("round(avg({distinct}{{}}), 2)"))),
            ),
            _ if kind == Kind::Bool => (Kind::Int8, call("count")),
            _ => (kind, call(if self.chance(0.5) { "min" } else { "max" })),
        }
    }

    fn scalar_without_subquery(&mut self, kind: Kind, scope: &Scope) -> Expr {
        let subqueries = std::mem::take(&mut self.subqueries);
        let scope = Scope {
            leaves: scope.leaves.clone(),
            outer: Vec::new(),
        };
        let depth = self.pick(&[0, 0, 1]);
        let expr = self.scalar(kind, &scope, depth);
        self.subqueries = subqueries;
        expr
    }

    /// Window functions whose answers do not depend on the order of equal rows.
    fn windows(&mut self, scope: &Scope) -> Vec<Expr> {
        let others = self.pick(&[0, 0, 1]);
        let mut windows = vec![self.window(scope, 0)];
        // Rows that are equal in all columns may stand in either order: two functions of their places could pair them
        // in several ways.
        windows.extend((0..others).map(|_| self.window(scope, 4)));
        windows
    }

    /// A window function, the first `left_out` ones left out.
    fn window(&mut self, scope: &Scope, left_out: u32) -> Expr {
        let partition = match scope.leaves.choose(&mut self.random) {
            Some(leaf) if self.chance(0.6) => {
                format!("PARTITION BY {} ", leaf.render(super::query::Names::Postgres))
            }
            _ => String::new(),
        };
        let text = |leaf: &Expr| leaf.render(super::query::Names::Postgres);
        // All columns: rows that are equal in all of them give equal rows.
        let mut columns: Vec<String> = scope.leaves.iter().map(text).collect();
        columns.shuffle(&mut self.random);
        let total: Vec<String> = columns
            .iter()
            .map(|column| format!("{column}{}", self.pick(DIRECTIONS)))
            .collect();
        let total = total.join(", ");
        let key = format!("{}{}", columns[0], self.pick(DIRECTIONS));
        let kind = scope.kind(&mut self.random);
        let value = self.scalar_without_subquery(kind, scope);
        // Functions of any type want to know that of a quoted literal.
        let typed = if kind == Kind::Text {
            "CAST({} AS text)"
        } else {
            "{}"
        };
        let frame = self.pick(&["", "", "RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING"]);
        match self.random.random_range(left_out..9) {
            0 => Expr::sql(
                Kind::Int8,
                format!("row_number() OVER ({partition}ORDER BY {total})"),
            ),
            4 => {
                let rank = self.pick(&["rank", "dense_rank"]);
                Expr::sql(Kind::Int8, format!("{rank}() OVER ({partition}ORDER BY {key})"))
            }
            5 => Expr::new(
                Kind::Int8,
                &format!("count({{}}) OVER ({partition}ORDER BY {key} {frame})"),
                [value.into()],
            ),
            6 if kind != Kind::Bool => {
                let name = self.pick(&["min", "max"]);
                Expr::new(
                    kind,
                    &format!("{name}({{}}) OVER ({partition}ORDER BY {key} {frame})"),
                    [value.into()],
                )
            }
            1 => {
                let name = self.pick(&["lag", "lead"]);
                let offset = self.pick(&["", ", 2"]);
                Expr::new(
                    kind,
                    &format!("{name}({typed}{offset}) OVER ({partition}ORDER BY {total})"),
                    [value.into()],
                )
            }
            2 => {
                let name = self.pick(&["first_value", "last_value"]);
                Expr::new(
                    kind,
                    &format!("{name}({typed}) OVER ({partition}ORDER BY {total})"),
                    [value.into()],
                )
            }
            3 => {
                let (name, given) = match kind {
                    Kind::Int2 | Kind::Int4 if self.chance(0.4) => ("sum", Kind::Int8),
                    Kind::Bool => ("count", Kind::Int8),
                    kind => self.pick(&[("min", kind), ("max", kind), ("count", Kind::Int8)]),
                };
                let frame = self.pick(FRAMES);
                Expr::new(
                    given,
                    &format!("{name}({{}}) OVER ({partition}ORDER BY {total} ROWS BETWEEN {frame})"),
                    [value.into()],
                )
            }
            _ => Expr::new(
                Kind::Int8,
                &format!("count({{}}) OVER ({partition})"),
                [value.into()],
            ),
        }
    }

    /// Within a query only rows in a total order are limited: any others could be other rows there and here.
    fn limit_in_total_order(&mut self, query: &mut Query) {
        if self.chance(0.25) {
            query.order = self.keys(query.kinds().len());
            query.limit = Some(self.pick(LIMITS));
            query.offset = self.pick(&[0, 0, 0, 1, 3]);
        }
    }

    fn keys(&mut self, columns: usize) -> Vec<OrderKey> {
        let mut keys: Vec<OrderKey> = (0..columns)
            .map(|column| OrderKey {
                column,
                direction: self.pick(DIRECTIONS),
            })
            .collect();
        keys.shuffle(&mut self.random);
        keys
    }

    fn order_and_limit(&mut self, query: &mut Query) {
        if self.chance(0.5) {
            query.order = self.keys(query.kinds().len());
            if self.chance(0.4) {
                query.order.truncate(1);
            }
        }
        if self.chance(0.3) {
            query.limit = self.chance(0.9).then(|| self.pick(LIMITS));
            query.offset = self.pick(&[0, 0, 0, 0, 1, 2, 3, 50]);
        }
    }

    /// A subquery of one row at most.
    pub(super) fn scalar_subquery(&mut self, kind: Kind, scope: &Scope) -> Expr {
        self.subqueries -= 1;
        let mut select = self.inner_select(scope);
        let inner = Scope {
            leaves: select.1.leaves.clone(),
            outer: Vec::new(),
        };
        let item = match kind {
            Kind::Int8 if self.chance(0.5) => Expr::sql(Kind::Int8, "count(*)"),
            _ => match self.least_or_greatest(kind, &inner) {
                Some(item) => item,
                None => return self.leaf(kind, scope),
            },
        };
        select.0.items = vec![item];
        Expr::new(kind, "({})", [Query::of(Body::Select(select.0)).into()])
    }

    /// IN, NOT IN, EXISTS, NOT EXISTS, or a comparison with a subquery.
    pub(super) fn subquery_predicate(&mut self, scope: &Scope) -> Expr {
        self.subqueries -= 1;
        let (mut select, inner) = self.inner_select(scope);
        let not = if self.chance(0.5) { "NOT " } else { "" };
        if self.chance(0.5) {
            select.items = vec![Expr::sql(Kind::Int4, "1")];
            let query = Query::of(Body::Select(select));
            return Expr::new(Kind::Bool, &format!("({not}EXISTS ({{}}))"), [query.into()]);
        }
        let not = if self.chance(0.5) { not } else { "" };
        let kind = inner.kind(&mut self.random);
        let own = Scope {
            leaves: inner.leaves.clone(),
            outer: Vec::new(),
        };
        select.items = vec![self.leaf(kind, &own)];
        let left = self.leaf(kind, scope).into();
        let query = Query::of(Body::Select(select));
        Expr::new(
            Kind::Bool,
            &format!("({{}} {not}IN ({{}}))"),
            [left, query.into()],
        )
    }

    /// A SELECT over one table whose condition may name the columns outside; its items are still missing.
    fn inner_select(&mut self, outer: &Scope) -> (Select, Scope) {
        let ctes = std::mem::take(&mut self.ctes);
        let aliases = self.aliases;
        // No derived tables inside.
        self.aliases = self.aliases.max(4);
        let (joined, leaves) = self.relation();
        self.aliases = self.aliases.max(aliases);
        self.ctes = ctes;
        let scope = Scope {
            leaves,
            outer: outer.leaves.clone(),
        };
        let correlated = self.chance(0.5);
        let filter = if correlated {
            self.correlation(&scope)
        } else {
            let own = Scope {
                leaves: scope.leaves.clone(),
                outer: Vec::new(),
            };
            self.chance(0.7).then(|| self.condition(&own, 1))
        };
        let select = Select {
            from: vec![joined],
            filter,
            ..Select::default()
        };
        (select, scope)
    }

    /// An equality of an inner and an outer column, and perhaps any other condition over both.
    fn correlation(&mut self, scope: &Scope) -> Option<Expr> {
        let pairs: Vec<(&Expr, &Expr)> = scope
            .leaves
            .iter()
            .flat_map(|inner| scope.outer.iter().map(move |outer| (inner, outer)))
            .filter(|(inner, outer)| inner.kind == outer.kind)
            .collect();
        let (inner, outer) = pairs.choose(&mut self.random).copied()?;
        let equal = Expr::new(
            Kind::Bool,
            "({} = {})",
            [inner.clone().into(), outer.clone().into()],
        );
        if self.chance(0.6) {
            return Some(equal);
        }
        let other = self.condition(scope, 1);
        Some(Expr::new(
            Kind::Bool,
            "({})",
            [Part::List(" AND ", vec![equal, other])],
        ))
    }
}
