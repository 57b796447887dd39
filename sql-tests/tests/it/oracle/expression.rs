//! Generates expressions of a wanted kind that no row makes fail, and conditions in three-valued logic.

use rand::prelude::*;

use super::generate::Writer;
use super::kind::{Kind, quoted};
use super::query::{Expr, Part};

/// What an expression may name: columns, or what stands for columns, such as aggregates above groups.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    pub(super) leaves: Vec<Expr>,
    /// The columns of the query around a subquery.
    pub(super) outer: Vec<Expr>,
}

impl Scope {
    fn leaf(&self, kind: Kind, random: &mut StdRng) -> Option<Expr> {
        let of_kind = |leaves: &[Expr]| -> Vec<Expr> {
            leaves.iter().filter(|leaf| leaf.kind == kind).cloned().collect()
        };
        let outer = of_kind(&self.outer);
        if random.random_bool(0.3) && !outer.is_empty() {
            return outer.choose(random).cloned();
        }
        of_kind(&self.leaves).choose(random).cloned()
    }

    /// The kind of any column, or a kind that is always there.
    pub(super) fn kind(&self, random: &mut StdRng) -> Kind {
        self.leaves.choose(random).map_or(Kind::Int4, |leaf| leaf.kind)
    }
}

const COMPARISONS: &[&str] = &["=", "=", "<>", "<>", "<", "<=", ">", ">="];

impl Writer<'_> {
    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        *from.choose(&mut self.random).unwrap_or(&from[0])
    }

    pub(super) fn chance(&mut self, share: f64) -> bool {
        self.random.random_bool(share)
    }

    /// A column of the kind if there is one, else a constant.
    pub(super) fn leaf(&mut self, kind: Kind, scope: &Scope) -> Expr {
        match scope.leaf(kind, &mut self.random) {
            Some(leaf) if !self.chance(0.1) => leaf,
            _ => kind.literal(&mut self.random),
        }
    }

    fn part(&mut self, kind: Kind, scope: &Scope, depth: u32) -> Part {
        self.scalar(kind, scope, depth).into()
    }

    /// An expression of `kind`, at most `depth` levels deep.
    pub(super) fn scalar(&mut self, kind: Kind, scope: &Scope, depth: u32) -> Expr {
        if depth == 0 || self.chance(0.4) {
            return self.leaf(kind, scope);
        }
        let depth = depth - 1;
        match self.random.random_range(0..10) {
            0 => self.case(kind, scope, depth),
            1 => {
                let mut parts: Vec<Expr> = (0..self.random.random_range(2..4))
                    .map(|_| self.scalar(kind, scope, depth))
                    .collect();
                if kind == Kind::Timestamp && self.chance(0.3) {
                    parts.push(self.leaf(Kind::Date, scope));
                }
                let template = self.pick(&["coalesce({})", "coalesce({})", "greatest({})", "least({})"]);
                // The greatest of truth values is no function of ours.
                let template = if kind == Kind::Bool {
                    "coalesce({})"
                } else {
                    template
                };
                Expr::new(kind, template, [Part::List(", ", parts)])
            }
            2 => {
                let parts = [self.part(kind, scope, depth), self.part(kind, scope, depth)];
                Expr::new(kind, "nullif({}, {})", parts)
            }
            3 if self.subqueries > 0 && self.chance(0.4) => self.scalar_subquery(kind, scope),
            _ => self.computed(kind, scope, depth),
        }
    }

    fn case(&mut self, kind: Kind, scope: &Scope, depth: u32) -> Expr {
        let without_else = self.chance(0.2);
        if self.chance(0.25) {
            let tested = scope.kind(&mut self.random);
            let parts = [
                self.part(tested, scope, depth),
                tested.literal(&mut self.random).into(),
                self.part(kind, scope, depth),
                self.part(kind, scope, depth),
            ];
            return Expr::new(kind, "CASE {} WHEN {} THEN {} ELSE {} END", parts);
        }
        let condition: Part = self.condition(scope, depth).into();
        if without_else {
            let parts = [condition, self.part(kind, scope, depth)];
            return Expr::new(kind, "CASE WHEN {} THEN {} END", parts);
        }
        let parts = [
            condition,
            self.part(kind, scope, depth),
            self.part(kind, scope, depth),
        ];
        Expr::new(kind, "CASE WHEN {} THEN {} ELSE {} END", parts)
    }

    /// What only this kind has: arithmetic, functions, casts.
    fn computed(&mut self, kind: Kind, scope: &Scope, depth: u32) -> Expr {
        match kind {
            Kind::Int2 => self.leaf(kind, scope),
            Kind::Int4 => self.integer(scope, depth),
            Kind::Int8 => self.bigint(scope, depth),
            Kind::Numeric(scale) => self.numeric(scale, scope, depth),
            Kind::Float => self.float(scope, depth),
            Kind::Text => self.text(scope, depth),
            Kind::Bool => self.condition(scope, depth),
            Kind::Date => self.date(scope, depth),
            Kind::Timestamp => self.timestamp(scope, depth),
        }
    }

    /// Of values that cannot overflow: sums stay within constants, and quotients never have zero or -1 below.
    fn integer(&mut self, scope: &Scope, depth: u32) -> Expr {
        let small = self.random.random_range(2..9);
        match self.random.random_range(0..10) {
            7 => Expr::new(
                Kind::Int4,
                "CAST(CAST({} AS text) AS integer)",
                [self.part(Kind::Int4, scope, depth)],
            ),
            8 => Expr::new(
                Kind::Int4,
                "CAST(CAST({} AS double precision) / 4 AS integer)",
                [self.part(Kind::Int2, scope, depth)],
            ),
            9 => {
                let unit = self.pick(&["month", "day", "quarter", "dow", "doy", "week", "hour", "minute"]);
                let part = self.leaf(Kind::Timestamp, scope).into();
                Expr::new(
                    Kind::Int4,
                    &format!("CAST(extract({unit} FROM {{}}) AS integer)"),
                    [part],
                )
            }
            0 => Expr::new(
                Kind::Int4,
                "character_length({})",
                [self.part(Kind::Text, scope, depth)],
            ),
            1 => Expr::new(
                Kind::Int4,
                &format!("({{}} / {small})"),
                [self.part(Kind::Int4, scope, depth)],
            ),
            2 => Expr::new(
                Kind::Int4,
                &format!("({{}} % {small})"),
                [self.part(Kind::Int4, scope, depth)],
            ),
            3 => Expr::new(
                Kind::Int4,
                &format!("(CAST({{}} AS integer) * {small} - 1)"),
                [self.part(Kind::Int2, scope, depth)],
            ),
            4 => {
                let parts = [
                    self.leaf(Kind::Date, scope).into(),
                    self.leaf(Kind::Date, scope).into(),
                ];
                Expr::new(Kind::Int4, "({} - {})", parts)
            }
            5 => Expr::new(
                Kind::Int4,
                "CAST(extract(year FROM {}) AS integer)",
                [self.leaf(Kind::Date, scope).into()],
            ),
            _ => {
                let parts = [
                    self.part(Kind::Text, scope, depth),
                    self.part(Kind::Text, scope, depth),
                ];
                Expr::new(Kind::Int4, "position({} IN {})", parts)
            }
        }
    }

    fn bigint(&mut self, scope: &Scope, depth: u32) -> Expr {
        let small = self.random.random_range(2..9);
        match self.random.random_range(0..5) {
            4 => Expr::new(
                Kind::Int8,
                "CAST({} AS bigint)",
                [self.leaf(Kind::Numeric(2), scope).into()],
            ),
            0 => Expr::new(
                Kind::Int8,
                &format!("(CAST({{}} AS bigint) * {small})"),
                [self.part(Kind::Int4, scope, depth)],
            ),
            1 => {
                let parts = [
                    self.leaf(Kind::Int4, scope).into(),
                    self.part(Kind::Int2, scope, depth),
                ];
                Expr::new(Kind::Int8, "(CAST({} AS bigint) - {})", parts)
            }
            2 => Expr::new(
                Kind::Int8,
                &format!("({{}} / {small})"),
                [self.part(Kind::Int8, scope, depth)],
            ),
            _ => Expr::new(
                Kind::Int8,
                &format!("({{}} % {small})"),
                [self.part(Kind::Int8, scope, depth)],
            ),
        }
    }

    /// Quotients are rounded: PostgreSQL chooses their digits by their values, we give at least 16 to all (see
    /// docs/differences.md).
    fn numeric(&mut self, scale: u8, scope: &Scope, depth: u32) -> Expr {
        let kind = Kind::Numeric(scale);
        let small = self.random.random_range(2..9);
        match (scale, self.random.random_range(0..5)) {
            (0, 0) => Expr::new(
                kind,
                "CAST({} AS numeric(38, 0))",
                [self.part(Kind::Int8, scope, depth)],
            ),
            (0, 1) => {
                let template = self.pick(&["ceil({})", "floor({})", "round({})", "trunc({})"]);
                Expr::new(kind, template, [self.part(Kind::Numeric(2), scope, depth)])
            }
            (0, _) => {
                let part = self.leaf(Kind::Int8, scope).into();
                Expr::new(kind, &format!("(CAST({{}} AS numeric(38, 0)) + {small})"), [part])
            }
            (6, 0) => Expr::new(
                kind,
                "CAST(extract(epoch FROM {}) AS numeric(38, 6))",
                [self.leaf(Kind::Timestamp, scope).into()],
            ),
            (2, 0) => {
                let parts = [self.leaf(kind, scope).into(), self.leaf(Kind::Int2, scope).into()];
                Expr::new(kind, "({} * {})", parts)
            }
            (_, 0) => Expr::new(kind, "abs({})", [self.leaf(kind, scope).into()]),
            (_, 1) => {
                let parts = [self.leaf(kind, scope).into(), self.leaf(kind, scope).into()];
                let template = self.pick(&["({} + {})", "({} - {})"]);
                Expr::new(kind, template, parts)
            }
            (_, 2) => {
                let part = self.leaf(kind, scope).into();
                Expr::new(kind, &format!("round({{}} / {small}, {scale})"), [part])
            }
            (_, 3) => Expr::new(kind, "(- {})", [self.leaf(kind, scope).into()]),
            _ => Expr::new(
                kind,
                &format!("CAST({{}} AS numeric(38, {scale}))"),
                [self.part(Kind::Int4, scope, depth)],
            ),
        }
    }

    /// Nothing that rounds: leaves may be as large and as small as floats are.
    fn float(&mut self, scope: &Scope, depth: u32) -> Expr {
        match self.random.random_range(0..4) {
            0 => Expr::new(Kind::Float, "abs({})", [self.part(Kind::Float, scope, depth)]),
            1 => Expr::new(Kind::Float, "(- {})", [self.part(Kind::Float, scope, depth)]),
            2 => Expr::new(
                Kind::Float,
                "(CAST({} AS double precision) / 4)",
                [self.part(Kind::Int2, scope, depth)],
            ),
            _ => Expr::new(
                Kind::Float,
                "CAST({} AS double precision)",
                [self.part(Kind::Int4, scope, depth)],
            ),
        }
    }

    fn text(&mut self, scope: &Scope, depth: u32) -> Expr {
        let (from, count) = (self.random.random_range(1..4), self.random.random_range(0..3));
        let part = self.part(Kind::Text, scope, depth);
        match self.random.random_range(0..10) {
            9 => {
                let other = self.part(Kind::Int4, scope, depth);
                Expr::new(Kind::Text, "({} || {})", [part, other])
            }
            0 => {
                let other = self.part(Kind::Text, scope, depth);
                Expr::new(Kind::Text, "({} || {})", [part, other])
            }
            1 => Expr::new(
                Kind::Text,
                &format!("substring({{}} FROM {from} FOR {count})"),
                [part],
            ),
            2 => {
                let template = self.pick(&[
                    "upper({})",
                    "lower({})",
                    "trim({})",
                    "btrim({}, 'a')",
                    "reverse({})",
                ]);
                Expr::new(Kind::Text, template, [part])
            }
            3 => Expr::new(Kind::Text, "replace({}, 'a', 'xy')", [part]),
            4 => Expr::new(Kind::Text, &format!("left({{}}, {count})"), [part]),
            5 => Expr::new(Kind::Text, &format!("concat({{}}, NULL, '-', {from})"), [part]),
            _ => {
                let kinds = [
                    Kind::Int2,
                    Kind::Int4,
                    Kind::Int8,
                    Kind::Numeric(2),
                    Kind::Bool,
                    Kind::Date,
                    Kind::Timestamp,
                ];
                let kind = self.pick(&kinds);
                Expr::new(Kind::Text, "CAST({} AS text)", [self.part(kind, scope, depth)])
            }
        }
    }

    /// Days stay days that both know: leaves only, and few days more or less.
    fn date(&mut self, scope: &Scope, depth: u32) -> Expr {
        match self.random.random_range(0..3) {
            0 => {
                let days = self.random.random_range(1..40);
                let part = self.leaf(Kind::Date, scope).into();
                let sign = self.pick(&["+", "-"]);
                Expr::new(Kind::Date, &format!("({{}} {sign} {days})"), [part])
            }
            1 => Expr::new(
                Kind::Date,
                "CAST({} AS date)",
                [self.part(Kind::Timestamp, scope, depth)],
            ),
            _ => self.leaf(Kind::Date, scope),
        }
    }

    fn timestamp(&mut self, scope: &Scope, depth: u32) -> Expr {
        const INTERVALS: &[&str] = &[
            "1 day",
            "1 month",
            "36 hours",
            "1 year 2 days",
            "90 minutes",
            "0.5 seconds",
        ];
        match self.random.random_range(0..4) {
            0 => {
                let (sign, interval) = (self.pick(&["+", "-"]), self.pick(INTERVALS));
                let part = self.leaf(Kind::Timestamp, scope).into();
                Expr::new(
                    Kind::Timestamp,
                    &format!("({{}} {sign} INTERVAL '{interval}')"),
                    [part],
                )
            }
            1 => {
                let (sign, interval) = (self.pick(&["+", "-"]), self.pick(INTERVALS));
                let part = self.leaf(Kind::Date, scope).into();
                Expr::new(
                    Kind::Timestamp,
                    &format!("({{}} {sign} INTERVAL '{interval}')"),
                    [part],
                )
            }
            2 => {
                let unit = self.pick(&["year", "quarter", "month", "week", "day", "hour", "second"]);
                let part = self.part(Kind::Timestamp, scope, depth);
                Expr::new(Kind::Timestamp, &format!("date_trunc('{unit}', {{}})"), [part])
            }
            _ => Expr::new(
                Kind::Timestamp,
                "CAST({} AS timestamp)",
                [self.part(Kind::Date, scope, depth)],
            ),
        }
    }

    /// A condition of at most `depth` levels.
    pub(super) fn condition(&mut self, scope: &Scope, depth: u32) -> Expr {
        if depth == 0 || self.chance(0.35) {
            return self.predicate(scope, depth);
        }
        match self.random.random_range(0..20) {
            0..=6 => self.conditions(" AND ", scope, depth - 1),
            7..=11 => self.conditions(" OR ", scope, depth - 1),
            12..=14 => Expr::new(Kind::Bool, "(NOT {})", [self.condition(scope, depth - 1).into()]),
            15 => {
                let tests = ["TRUE", "NOT TRUE", "FALSE", "NOT FALSE", "UNKNOWN", "NOT UNKNOWN"];
                let test = self.pick(&tests);
                let part = self.condition(scope, depth - 1).into();
                Expr::new(Kind::Bool, &format!("({{}} IS {test})"), [part])
            }
            16 if self.subqueries > 0 && self.marks => self.subquery_predicate(scope),
            _ => self.predicate(scope, depth),
        }
    }

    fn conditions(&mut self, operator: &'static str, scope: &Scope, depth: u32) -> Expr {
        let parts = (0..self.random.random_range(2..4))
            .map(|_| self.condition(scope, depth))
            .collect();
        Expr::new(Kind::Bool, "({})", [Part::List(operator, parts)])
    }

    fn predicate(&mut self, scope: &Scope, depth: u32) -> Expr {
        let kind = scope.kind(&mut self.random);
        let inner = depth.min(1);
        let not = if self.chance(0.4) { "NOT " } else { "" };
        match self.random.random_range(0..20) {
            0..=6 => self.comparison(kind, scope, inner),
            7..=9 => {
                // Lists over one term are brought together by the planner.
                let known = self.listed.take().filter(|term| scope.leaves.contains(term));
                let term = match known.filter(|_| self.chance(0.6)) {
                    Some(known) => known,
                    None => self.leaf(kind, scope),
                };
                let kind = term.kind;
                self.listed = Some(term.clone());
                let value = match self.chance(0.6) {
                    true => term.into(),
                    false => self.part(kind, scope, inner),
                };
                let count = match self.chance(0.1) {
                    true => self.random.random_range(30..40),
                    false => self.random.random_range(1..6),
                };
                let mut items: Vec<Expr> = (0..count).map(|_| kind.literal(&mut self.random)).collect();
                if self.chance(0.2) {
                    items.push(Expr::sql(kind, "NULL"));
                }
                if self.chance(0.2) {
                    items.push(self.leaf(kind, scope));
                }
                Expr::new(
                    Kind::Bool,
                    &format!("({{}} {not}IN ({{}}))"),
                    [value, Part::List(", ", items)],
                )
            }
            10 => {
                let parts = [
                    self.part(kind, scope, inner),
                    self.leaf(kind, scope).into(),
                    self.leaf(kind, scope).into(),
                ];
                Expr::new(Kind::Bool, &format!("({{}} {not}BETWEEN {{}} AND {{}})"), parts)
            }
            11 => Expr::new(
                Kind::Bool,
                &format!("({{}} IS {not}NULL)"),
                [self.part(kind, scope, inner)],
            ),
            12 => {
                let parts = [self.part(kind, scope, inner), self.part(kind, scope, inner)];
                Expr::new(Kind::Bool, &format!("({{}} IS {not}DISTINCT FROM {{}})"), parts)
            }
            13..=15 => self.pattern(scope, inner),
            16 => self.leaf(Kind::Bool, scope),
            17 if self.subqueries > 0 && self.marks => self.subquery_predicate(scope),
            18 => self.rows_compared(kind, scope, not),
            _ => self.comparison(kind, scope, inner),
        }
    }

    /// A comparison of rows of two fields.
    fn rows_compared(&mut self, kind: Kind, scope: &Scope, not: &str) -> Expr {
        let other = scope.kind(&mut self.random);
        let mut row = || {
            let fields = [self.leaf(kind, scope).into(), self.leaf(other, scope).into()];
            Expr::new(kind, "({}, {})", fields)
        };
        let (left, right, last) = (row(), row(), row());
        match self.random.random_range(0..3) {
            0 => {
                let items = Part::List(", ", vec![right, last]);
                Expr::new(
                    Kind::Bool,
                    &format!("({{}} {not}IN ({{}}))"),
                    [left.into(), items],
                )
            }
            _ => {
                let operator = self.pick(COMPARISONS);
                Expr::new(
                    Kind::Bool,
                    &format!("({{}} {operator} {{}})"),
                    [left.into(), right.into()],
                )
            }
        }
    }

    fn comparison(&mut self, kind: Kind, scope: &Scope, depth: u32) -> Expr {
        let left = self.part(kind, scope, depth);
        let operator = self.pick(COMPARISONS);
        let right: Part = match self.random.random_range(0..10) {
            0..=2 => kind.untyped(&mut self.random).into(),
            3..=4 => self.leaf(kind, scope).into(),
            5 if kind.is_number() => {
                let others = [
                    Kind::Int2,
                    Kind::Int4,
                    Kind::Int8,
                    Kind::Numeric(2),
                    Kind::Numeric(6),
                    Kind::Float,
                ];
                let other = self.pick(&others);
                self.leaf(other, scope).into()
            }
            5 if matches!(kind, Kind::Date | Kind::Timestamp) => {
                let other = self.pick(&[Kind::Date, Kind::Timestamp]);
                self.leaf(other, scope).into()
            }
            _ => self.part(kind, scope, depth),
        };
        Expr::new(Kind::Bool, &format!("({{}} {operator} {{}})"), [left, right])
    }

    fn pattern(&mut self, scope: &Scope, depth: u32) -> Expr {
        const PATTERNS: &[&str] = &[
            "", "%", "_", "__", "a%", "%a", "%a%", "A%", "a_b", "a\\_b", "a\\%b", "a\\\\b", "\\\\%", "%\\%%",
            "% ", "é%", "_\u{301}", "%本%", "🦀_", "%\t%", "_%_", "'%",
        ];
        const ESCAPED: &[&str] = &["a!_b", "!%", "a!%b", "%!!", "!_%"];
        let value = self.part(Kind::Text, scope, depth);
        let not = if self.chance(0.35) { "NOT " } else { "" };
        if self.chance(0.15) {
            let pattern = quoted(self.pick(ESCAPED));
            return Expr::new(
                Kind::Bool,
                &format!("({{}} {not}LIKE {pattern} ESCAPE '!')"),
                [value],
            );
        }
        let like = if self.chance(0.15) { "ILIKE" } else { "LIKE" };
        let pattern = quoted(self.pick(PATTERNS));
        Expr::new(Kind::Bool, &format!("({{}} {not}{like} {pattern})"), [value])
    }
}
