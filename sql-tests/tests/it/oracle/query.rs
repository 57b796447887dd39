//! A generated query as a tree, and its text for PostgreSQL and for the server under test.

use super::kind::Kind;
use super::places::Place;

/// An expression: text with expressions and queries inside.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expr {
    pub(super) kind: Kind,
    pub(super) parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    Sql(String),
    Expr(Box<Expr>),
    /// At least one; any other may be left out.
    List(&'static str, Vec<Expr>),
    Query(Box<Query>),
}

impl Expr {
    pub(super) fn sql(kind: Kind, sql: impl Into<String>) -> Self {
        Self {
            kind,
            parts: vec![Part::Sql(sql.into())],
        }
    }

    /// `template` with each `{}` filled in.
    pub(super) fn new(kind: Kind, template: &str, parts: impl IntoIterator<Item = Part>) -> Self {
        let mut texts = template.split("{}");
        let mut all = vec![Part::Sql(texts.next().unwrap_or_default().to_owned())];
        let mut parts = parts.into_iter();
        for text in texts {
            all.push(
                parts
                    .next()
                    .unwrap_or_else(|| panic!("{template} has a part too few")),
            );
            all.push(Part::Sql(text.to_owned()));
        }
        assert!(parts.next().is_none(), "{template} has a part too many");
        Self { kind, parts: all }
    }

    pub(super) fn is_leaf(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Sql(_)))
    }

    pub(super) fn render(&self, names: Names<'_>) -> String {
        let mut sql = String::new();
        for part in &self.parts {
            match part {
                Part::Sql(text) => sql += text,
                Part::Expr(expr) => sql += &expr.render(names),
                Part::List(separator, items) => sql += &list(items, separator, names),
                Part::Query(query) => sql += &query.render(names),
            }
        }
        sql
    }
}

impl From<Expr> for Part {
    fn from(expr: Expr) -> Self {
        Self::Expr(Box::new(expr))
    }
}

impl From<Query> for Part {
    fn from(query: Query) -> Self {
        Self::Query(Box::new(query))
    }
}

/// Whose names the tables get.
#[derive(Clone, Copy, Debug)]
pub(super) enum Names<'a> {
    Postgres,
    Causeway(&'a [Place]),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Query {
    pub(super) ctes: Vec<(String, Query)>,
    pub(super) body: Body,
    pub(super) order: Vec<OrderKey>,
    pub(super) limit: Option<u32>,
    pub(super) offset: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    Select(Select),
    Set {
        operator: &'static str,
        left: Box<Query>,
        right: Box<Query>,
    },
}

#[derive(Clone, Debug, PartialEq, Default)]
pub(super) struct Select {
    pub(super) distinct: Distinct,
    /// The columns, named c0, c1 ...
    pub(super) items: Vec<Expr>,
    /// Whether they have no names of their own.
    pub(super) is_nameless: bool,
    pub(super) from: Vec<Joined>,
    pub(super) filter: Option<Expr>,
    pub(super) groups: Vec<Expr>,
    pub(super) grouping: Grouping,
    pub(super) having: Option<Expr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Distinct {
    #[default]
    Not,
    Rows,
    /// One row, the first in the query's order, of each value of the first column.
    OnFirst,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Grouping {
    #[default]
    Plain,
    Rollup,
    Cube,
    Sets,
}

/// A relation and how it is joined to those before it; the first one's join has no meaning.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Joined {
    pub(super) join: &'static str,
    pub(super) source: Source,
    pub(super) alias: String,
    pub(super) on: Option<Expr>,
    /// The column of both sides that it joins by, in place of a condition.
    pub(super) using: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Source {
    Table { name: &'static str, place: usize },
    Derived(Box<Query>),
    Cte(String),
}

/// An output column to order by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OrderKey {
    pub(super) column: usize,
    /// ` DESC NULLS LAST` and the like.
    pub(super) direction: &'static str,
}

impl OrderKey {
    pub(super) fn nulls_first(self) -> bool {
        match self.direction {
            direction if direction.contains("NULLS") => direction.contains("FIRST"),
            direction => direction.contains("DESC"),
        }
    }
}

impl Query {
    pub(super) fn of(body: Body) -> Self {
        Self {
            ctes: Vec::new(),
            body,
            order: Vec::new(),
            limit: None,
            offset: 0,
        }
    }

    pub(super) fn is_limited(&self) -> bool {
        self.limit.is_some() || self.offset > 0
    }

    /// Whether its rows are the same in whichever order its tables give theirs.
    pub(super) fn is_determined(&self) -> bool {
        let is_chosen = match &self.body {
            Body::Select(select) => select.distinct == Distinct::OnFirst,
            Body::Set { .. } => false,
        };
        let in_total_order = self.order.len() == self.kinds().len();
        let begins_with_first = self.order.first().is_some_and(|key| key.column == 0);
        in_total_order && (begins_with_first || !is_chosen) || !self.is_limited() && !is_chosen
    }

    /// All rows that a limit chooses from.
    pub(super) fn unlimited(&self) -> Self {
        Self {
            limit: None,
            offset: 0,
            ..self.clone()
        }
    }

    /// The kinds of the output columns.
    pub(super) fn kinds(&self) -> Vec<Kind> {
        match &self.body {
            Body::Select(select) => select.items.iter().map(|item| item.kind).collect(),
            Body::Set { left, .. } => left.kinds(),
        }
    }

    pub(super) fn render(&self, names: Names<'_>) -> String {
        let body = match &self.body {
            Body::Select(select) => select.render(names),
            Body::Set {
                operator,
                left,
                right,
            } => format!("({}) {operator} ({})", left.render(names), right.render(names)),
        };
        // PostgreSQL takes two columns of a CTE that are one of its table for one key of grouping sets, and has values for NULL.
        let has_sets = ["GROUP BY ROLLUP", "GROUP BY CUBE", "GROUPING SETS"];
        let is_kept = matches!(names, Names::Postgres) && has_sets.iter().any(|sets| body.contains(sets));
        let kept = if is_kept { "MATERIALIZED " } else { "" };
        let mut sql = String::new();
        let ctes: Vec<String> = self
            .ctes
            .iter()
            .map(|(name, query)| format!("{name} AS {kept}({})", query.render(names)))
            .collect();
        if !ctes.is_empty() {
            sql += &format!("WITH {} ", ctes.join(", "));
        }
        sql += &body;
        let keys: Vec<String> = self
            .order
            .iter()
            .map(|key| format!("{}{}", key.column + 1, key.direction))
            .collect();
        if !keys.is_empty() {
            sql += &format!(" ORDER BY {}", keys.join(", "));
        }
        if let Some(limit) = self.limit {
            sql += &format!(" LIMIT {limit}");
        }
        if self.offset > 0 {
            sql += &format!(" OFFSET {}", self.offset);
        }
        sql
    }
}

impl Select {
    fn render(&self, names: Names<'_>) -> String {
        let items: Vec<String> = self
            .items
            .iter()
            .enumerate()
            .map(|(index, item)| match self.is_nameless {
                true => item.render(names),
                false => format!("{} AS c{index}", item.render(names)),
            })
            .collect();
        let distinct = match self.distinct {
            Distinct::Not => String::new(),
            Distinct::Rows => "DISTINCT ".to_owned(),
            Distinct::OnFirst => format!("DISTINCT ON ({}) ", self.items[0].render(names)),
        };
        let mut sql = format!("SELECT {distinct}{}", items.join(", "));
        for (index, joined) in self.from.iter().enumerate() {
            let before = if index == 0 { "FROM" } else { joined.join };
            sql += &format!(" {before} {} AS {}", joined.source.render(names), joined.alias);
            if let Some(on) = &joined.on {
                sql += &format!(" ON {}", on.render(names));
            }
            if let Some(column) = &joined.using {
                sql += &format!(" USING ({column})");
            }
        }
        if let Some(filter) = &self.filter {
            sql += &format!(" WHERE {}", filter.render(names));
        }
        if !self.groups.is_empty() {
            let keys = list(&self.groups, ", ", names);
            sql += &match self.grouping {
                Grouping::Plain => format!(" GROUP BY {keys}"),
                Grouping::Rollup => format!(" GROUP BY ROLLUP ({keys})"),
                Grouping::Cube => format!(" GROUP BY CUBE ({keys})"),
                Grouping::Sets => format!(
                    " GROUP BY GROUPING SETS (({keys}), ({}), ())",
                    self.groups[0].render(names)
                ),
            };
        }
        if let Some(having) = &self.having {
            sql += &format!(" HAVING {}", having.render(names));
        }
        sql
    }
}

impl Source {
    fn render(&self, names: Names<'_>) -> String {
        match (self, names) {
            (Self::Table { name, .. }, Names::Postgres) => (*name).to_owned(),
            (Self::Table { name, place }, Names::Causeway(places)) => {
                format!("{}.{name}", places[*place].prefix)
            }
            (Self::Derived(query), _) => format!("({})", query.render(names)),
            (Self::Cte(name), _) => name.clone(),
        }
    }
}

fn list(items: &[Expr], separator: &str, names: Names<'_>) -> String {
    let items: Vec<String> = items.iter().map(|item| item.render(names)).collect();
    items.join(separator)
}
