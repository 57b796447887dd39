//! Prints a remote statement once: SQL with placeholders and the values in their order, or text for EXPLAIN.
//!
//! Outputs are aliased `c0..cN` and read by position. Identifiers are quoted with their quote doubled; no literal of a
//! user ever becomes part of the SQL that is sent.

use arrow::util::display::array_value_to_string;
use causeway_spi::{AggregateFunction, JoinKind, TableName, scalar_text};
use datafusion::common::ScalarValue;

use crate::remote::{
    ColumnForm, Comparison, MomentField, MomentFunction, MomentUnit, RemoteColumn, RemoteExpr, RemoteScalar,
    RemoteSelect, RemoteSource, RemoteValue, ValueForm,
};

/// The dialects that can be printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// MySQL and MariaDB, in a session with `NO_BACKSLASH_ESCAPES`, without `ANSI_QUOTES`, names in `utf8mb4`.
    MySql,
    /// SQLite 3.37 or newer, without double-quoted strings.
    Sqlite,
}

impl Dialect {
    /// Most values that one statement binds.
    pub(crate) fn values_max(self) -> usize {
        match self {
            // The protocol counts them in 16 bits.
            Self::MySql => 60_000,
            // SQLITE_MAX_VARIABLE_NUMBER is 32,766.
            Self::Sqlite => 30_000,
        }
    }

    /// Most members that AND or OR has at one level.
    fn members_max(self) -> usize {
        match self {
            Self::MySql => usize::MAX,
            // Each adds a level to the parsed tree, of which 1,000 are allowed.
            Self::Sqlite => 200,
        }
    }

    fn quote(self) -> char {
        match self {
            Self::MySql => '`',
            Self::Sqlite => '"',
        }
    }
}

/// A printed statement: `params` belong to the placeholders in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// The text.
    pub sql: String,
    /// The values to bind, each with its own type.
    pub params: Vec<ScalarValue>,
}

/// Most characters of a query id that are shown to a source.
const TAG_CHARS_MAX: usize = 64;
/// Most members of a list that EXPLAIN shows.
const LIST_SHOWN_MAX: usize = 20;

/// `query_id` as it may stand in a comment of a statement: letters, digits, `-`, `_`, of bounded length.
pub fn statement_tag(query_id: &str) -> String {
    query_id
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        .take(TAG_CHARS_MAX)
        .collect()
}

impl RemoteSelect {
    /// Prints the statement to send; it begins with a comment that holds the query's id.
    pub fn print(&self, dialect: Dialect, query_id: &str) -> Statement {
        let mut printer = Printer::new(dialect, Literals::Bound);
        printer.sql = format!("/* causeway {} */ ", statement_tag(query_id));
        printer.select(self);
        Statement {
            sql: printer.sql,
            params: printer.params,
        }
    }

    /// Prints the statement for a reader: literals in their place, long lists cut.
    pub fn text(&self, dialect: Dialect) -> String {
        let mut printer = Printer::new(dialect, Literals::Shown);
        printer.select(self);
        printer.sql
    }
}

/// Prints the statement for the least and the greatest value of a column of `table`.
pub(crate) fn print_bounds(table: &TableName, column: &str, dialect: Dialect) -> Statement {
    let quoted = |name: &str| {
        let mut quoted = String::new();
        quote_into(&mut quoted, dialect.quote(), name);
        quoted
    };
    let column = quoted(column);
    let (schema, table) = (quoted(&table.schema), quoted(&table.table));
    Statement {
        sql: format!("SELECT MIN({column}) AS c0, MAX({column}) AS c1 FROM {schema}.{table}"),
        params: Vec::new(),
    }
}

/// Whether WHERE has been printed.
enum Where {
    Begun,
    Missing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Literals {
    Bound,
    Shown,
}

/// How the columns of what is being read are called.
#[derive(Clone, Copy)]
enum Names<'a> {
    /// Each by its own name.
    Table(&'a [String]),
    /// `c0`, `c1`, ...
    Outputs,
    /// `l.c0`, `l.c1`, ..., and after so many `r.c0`, `r.c1`, ...
    Sides(usize),
}

struct Printer<'a> {
    names: Names<'a>,
    dialect: Dialect,
    literals: Literals,
    sql: String,
    params: Vec<ScalarValue>,
}

impl<'a> Printer<'a> {
    fn new(dialect: Dialect, literals: Literals) -> Self {
        Self {
            names: Names::Outputs,
            dialect,
            literals,
            sql: String::new(),
            params: Vec::new(),
        }
    }

    fn select(&mut self, select: &'a RemoteSelect) {
        let around = self.names;
        self.names = match &select.source {
            RemoteSource::Table { columns, .. } => Names::Table(columns),
            RemoteSource::Query(_) | RemoteSource::Union(_) => Names::Outputs,
            RemoteSource::Join { left, .. } => Names::Sides(left.outputs.len()),
        };
        self.sql.push_str("SELECT ");
        if select.outputs.is_empty() {
            self.sql.push_str("1 AS c0");
        }
        for (position, output) in select.outputs.iter().enumerate() {
            if position > 0 {
                self.sql.push_str(", ");
            }
            self.scalar(output);
            self.sql.push_str(&format!(" AS c{position}"));
        }
        self.sql.push_str(" FROM ");
        let mut joint = match self.source(&select.source) {
            Where::Begun => " AND ",
            Where::Missing => " WHERE ",
        };
        for filter in &select.filters {
            self.sql.push_str(joint);
            self.condition(filter, Place::InsideAnd);
            joint = " AND ";
        }
        for position in 0..select.groups.unwrap_or(0) {
            // By position: a group key with a literal in it would not be known again, and a name may be a column's.
            self.sql.push_str(if position == 0 { " GROUP BY " } else { ", " });
            self.sql.push_str(&(position + 1).to_string());
        }
        for (position, key) in select.order.iter().enumerate() {
            self.sql.push_str(if position == 0 { " ORDER BY " } else { ", " });
            let direction = if key.ascending { "" } else { " DESC" };
            // NULLs are less than all values there.
            if let Some(nulls_first) = key.nulls_first.filter(|&first| first != key.ascending) {
                self.scalar(&key.value);
                self.sql.push_str(if nulls_first {
                    " IS NULL DESC, "
                } else {
                    " IS NULL, "
                });
            }
            self.scalar(&key.value);
            self.sql.push_str(direction);
        }
        if let Some(limit) = select.limit {
            // No source counts further.
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            self.sql.push_str(&format!(" LIMIT {limit}"));
        }
        self.names = around;
    }

    /// Prints what is read, and what a join of it alone asks in WHERE.
    fn source(&mut self, source: &'a RemoteSource) -> Where {
        match source {
            RemoteSource::Table { name, .. } => {
                self.identifier(&name.schema);
                self.sql.push('.');
                self.identifier(&name.table);
            }
            RemoteSource::Query(select) => self.enclosed(select, "t"),
            RemoteSource::Union(parts) => {
                for (position, part) in parts.iter().enumerate() {
                    self.sql.push_str(if position == 0 { "(" } else { " UNION ALL " });
                    self.select(part);
                }
                self.sql.push_str(") AS t");
            }
            RemoteSource::Join {
                left,
                right,
                kind,
                on,
            } => {
                self.enclosed(left, "l");
                let (before, joint, after) = match kind {
                    JoinKind::Inner => (" JOIN ", " ON ", ""),
                    JoinKind::Left => (" LEFT JOIN ", " ON ", ""),
                    JoinKind::Semi => (" WHERE EXISTS (SELECT 1 FROM ", " WHERE ", ")"),
                    JoinKind::Anti => (" WHERE NOT EXISTS (SELECT 1 FROM ", " WHERE ", ")"),
                };
                self.sql.push_str(before);
                self.enclosed(right, "r");
                self.sql.push_str(joint);
                self.members(on, " AND ", Place::InsideAnd);
                self.sql.push_str(after);
                if matches!(kind, JoinKind::Semi | JoinKind::Anti) {
                    return Where::Begun;
                }
            }
        }
        Where::Missing
    }

    fn enclosed(&mut self, select: &'a RemoteSelect, name: &str) {
        self.sql.push('(');
        self.select(select);
        self.sql.push_str(&format!(") AS {name}"));
    }

    fn scalar(&mut self, scalar: &RemoteScalar) {
        match scalar {
            RemoteScalar::Column(column) => self.column(*column),
            RemoteScalar::Value(value) => self.value(value),
            RemoteScalar::Arithmetic {
                left,
                operator,
                right,
            } => {
                self.sql.push('(');
                self.scalar(left);
                self.sql.push_str(&format!(" {} ", operator.sql()));
                self.scalar(right);
                self.sql.push(')');
            }
            RemoteScalar::Signed(value) => {
                self.sql.push_str("CAST(");
                self.scalar(value);
                self.sql.push_str(" AS SIGNED)");
            }
            RemoteScalar::Within { value, bits } => {
                // Sums of 64 bits that do not fit are errors there. Nothing is left of these after both directions.
                let room = (1_u64 << 63) - (1_u64 << (bits - 1));
                self.sql.push('(');
                self.scalar(value);
                self.sql
                    .push_str(&format!(" + {room} - {room} - {room} + {room})"));
            }
            RemoteScalar::OfMoment { function, column } => self.of_moment(*function, *column),
            RemoteScalar::Case { branches, otherwise } => {
                self.sql.push_str("CASE");
                for (when, then) in branches {
                    self.sql.push_str(" WHEN ");
                    self.condition(when, Place::InsideAnd);
                    self.sql.push_str(" THEN ");
                    self.scalar(then);
                }
                if let Some(otherwise) = otherwise {
                    self.sql.push_str(" ELSE ");
                    self.scalar(otherwise);
                }
                self.sql.push_str(" END");
            }
            RemoteScalar::Aggregate {
                function,
                argument,
                distinct,
            } => {
                let distinct = if *distinct { "DISTINCT " } else { "" };
                self.sql
                    .push_str(&format!("{}({distinct}", function_name(*function)));
                match argument {
                    Some(argument) => self.scalar(argument),
                    None => self.sql.push('*'),
                }
                self.sql.push(')');
            }
        }
    }

    /// What is computed of a day, or a day with a time: NULL where it is not of the calendar.
    fn of_moment(&mut self, function: MomentFunction, column: RemoteColumn) {
        let guarded = column.form == ColumnForm::RealDate;
        if guarded {
            self.sql.push_str("CASE WHEN ");
            self.is_real(column.index);
            self.sql.push_str(" THEN ");
        }
        for part in moment_parts(function) {
            match part {
                MomentPart::Sql(sql) => self.sql.push_str(sql),
                MomentPart::Column => self.column_name(column.index),
            }
        }
        if guarded {
            self.sql.push_str(" END");
        }
    }

    fn condition(&mut self, condition: &RemoteExpr, place: Place) {
        match condition {
            RemoteExpr::Constant(value) => self.constant(*value),
            RemoteExpr::Compare {
                column,
                comparison,
                value,
            } => {
                self.column(*column);
                self.sql.push_str(&format!(" {} ", comparison.sql()));
                self.value(value);
            }
            RemoteExpr::CompareColumns {
                left,
                comparison,
                right,
            } => {
                self.column(*left);
                self.sql.push_str(&format!(" {} ", comparison.sql()));
                self.column(*right);
            }
            RemoteExpr::In {
                column,
                values,
                negated,
            } => {
                // MariaDB reads NOT IN by the ranges between the values, and takes a value below a column's least for that
                // least: with an index it misses rows. It makes no ranges of this form.
                let (before, list, after) = match (*negated, self.dialect) {
                    (false, _) => ("", " IN (", ")"),
                    (true, Dialect::Sqlite) => ("", " NOT IN (", ")"),
                    (true, Dialect::MySql) => ("(", " IN (", ")) IS FALSE"),
                };
                self.sql.push_str(before);
                self.column(*column);
                self.sql.push_str(list);
                self.list(values);
                self.sql.push_str(after);
            }
            RemoteExpr::InTuples { columns, tuples } => self.in_tuples(columns, tuples, place),
            RemoteExpr::Like {
                column,
                pattern,
                negated,
            } => {
                self.column(*column);
                self.sql.push_str(if *negated { " NOT LIKE " } else { " LIKE " });
                self.value(&RemoteValue::plain(ScalarValue::from(pattern.as_str())));
                self.sql.push_str(" ESCAPE '!'");
            }
            RemoteExpr::StorageClass { index, name, negated } => {
                self.sql.push_str("typeof(");
                self.column_name(*index);
                let comparison = if *negated { "<>" } else { "=" };
                self.sql.push_str(&format!(") {comparison} '{name}'"));
            }
            RemoteExpr::IsReal { index, negated } => {
                self.sql.push('(');
                self.is_real(*index);
                self.sql.push_str(if *negated { ") IS NOT TRUE" } else { ")" });
            }
            RemoteExpr::IsNull(index) => self.null_test(*index, " IS NULL"),
            RemoteExpr::IsNotNull(index) => self.null_test(*index, " IS NOT NULL"),
            RemoteExpr::And(members) => self.group(members, " AND ", Place::InsideAnd, place),
            RemoteExpr::Or(members) => self.group(members, " OR ", Place::InsideOr, place),
        }
    }

    /// As a table of the tuples, whose rows MySQL looks for by the index: a list of tuples as conditions it would plan in the
    /// square of its length. SQLite finds no rows by the index for a list, and takes the tuples one by one.
    fn in_tuples(&mut self, columns: &[usize], tuples: &[Vec<RemoteValue>], place: Place) {
        if self.dialect == Dialect::Sqlite {
            let tuple = |values: &Vec<RemoteValue>| {
                let values = columns.iter().zip(values);
                let equal = values.map(|(&index, value)| {
                    RemoteExpr::compare(index, ColumnForm::Plain, Comparison::Equal, value.clone())
                });
                RemoteExpr::And(equal.collect())
            };
            let members: Vec<RemoteExpr> = tuples.iter().map(tuple).collect();
            return self.group(&members, " OR ", Place::InsideOr, place);
        }
        self.sql.push('(');
        for (position, &index) in columns.iter().enumerate() {
            if position > 0 {
                self.sql.push_str(", ");
            }
            self.column_name(index);
        }
        self.sql.push_str(") IN (SELECT * FROM (");
        for (row, values) in tuples.iter().enumerate() {
            self.sql
                .push_str(if row > 0 { " UNION ALL SELECT " } else { "SELECT " });
            for (position, value) in values.iter().enumerate() {
                self.sql.push_str(if position > 0 { ", CAST(" } else { "CAST(" });
                self.value(value);
                self.sql.push_str(" AS SIGNED)");
                if row == 0 {
                    self.sql.push_str(&format!(" AS k{position}"));
                }
            }
        }
        self.sql.push_str(") AS k)");
    }

    /// Prints members with `joint` between them; in parentheses unless the place around is of the same kind.
    fn group(&mut self, members: &[RemoteExpr], joint: &str, inside: Place, around: Place) {
        let enclosed = inside != around;
        if enclosed {
            self.sql.push('(');
        }
        let members_max = self.dialect.members_max();
        if members.len() > members_max {
            for (position, part) in members
                .chunks(members.len().div_ceil(members_max).max(members_max))
                .enumerate()
            {
                if position > 0 {
                    self.sql.push_str(joint);
                }
                self.sql.push('(');
                self.members(part, joint, inside);
                self.sql.push(')');
            }
        } else {
            self.members(members, joint, inside);
        }
        if enclosed {
            self.sql.push(')');
        }
    }

    fn members(&mut self, members: &[RemoteExpr], joint: &str, inside: Place) {
        for (position, member) in members.iter().enumerate() {
            if position > 0 {
                self.sql.push_str(joint);
            }
            self.condition(member, inside);
        }
    }

    /// Whether a day is in the calendar: a source may hold day 0 of a month, or day 31 of each.
    fn is_real(&mut self, index: usize) {
        self.sql.push_str("DAYOFMONTH(");
        self.column_name(index);
        self.sql.push_str(") BETWEEN 1 AND DAYOFMONTH(LAST_DAY(");
        self.column_name(index);
        self.sql.push_str(")) AND YEAR(");
        self.column_name(index);
        self.sql.push_str(") > 0");
    }

    fn constant(&mut self, value: bool) {
        self.sql.push_str(match (self.dialect, value) {
            (Dialect::MySql, true) => "TRUE",
            (Dialect::MySql, false) => "FALSE",
            // TRUE could be a column there.
            (Dialect::Sqlite, true) => "1",
            (Dialect::Sqlite, false) => "0",
        });
    }

    fn null_test(&mut self, index: usize, test: &str) {
        self.column_name(index);
        self.sql.push_str(test);
    }

    fn list(&mut self, values: &[RemoteValue]) {
        let shown = match self.literals {
            Literals::Bound => values.len(),
            Literals::Shown => values.len().min(LIST_SHOWN_MAX),
        };
        for (position, value) in values.iter().take(shown).enumerate() {
            if position > 0 {
                self.sql.push_str(", ");
            }
            self.value(value);
        }
        if shown < values.len() {
            self.sql.push_str(&format!(", ... {} more", values.len() - shown));
        }
    }

    fn column(&mut self, column: RemoteColumn) {
        if column.form == ColumnForm::RealDate {
            self.sql.push_str("CASE WHEN ");
            self.is_real(column.index);
            self.sql.push_str(" THEN ");
            self.column_name(column.index);
            self.sql.push_str(" END");
            return;
        }
        let (before, after) = match (self.dialect, column.form) {
            (_, ColumnForm::Plain | ColumnForm::RealDate)
            | (Dialect::MySql, ColumnForm::NoCase | ColumnForm::RightTrimmed) => ("", ""),
            (Dialect::Sqlite, ColumnForm::NoCase) => ("", " COLLATE NOCASE"),
            (Dialect::Sqlite, ColumnForm::RightTrimmed) => ("", " COLLATE RTRIM"),
            (Dialect::Sqlite, _) => ("", " COLLATE BINARY"),
            (Dialect::MySql, ColumnForm::Bytes) => ("CAST(", " AS BINARY)"),
            (Dialect::MySql, ColumnForm::ConvertedBytes) => ("CAST(CONVERT(", " USING utf8mb4) AS BINARY)"),
            (Dialect::MySql, ColumnForm::Characters) => ("", " COLLATE utf8mb4_bin"),
            (Dialect::MySql, ColumnForm::ConvertedCharacters) => {
                ("CONVERT(", " USING utf8mb4) COLLATE utf8mb4_bin")
            }
        };
        self.sql.push_str(before);
        self.column_name(column.index);
        self.sql.push_str(after);
    }

    fn column_name(&mut self, index: usize) {
        match self.names {
            Names::Table(columns) => quote_into(&mut self.sql, self.dialect.quote(), &columns[index]),
            Names::Outputs => self.sql.push_str(&format!("c{index}")),
            Names::Sides(left) => match index.checked_sub(left) {
                None => self.sql.push_str(&format!("l.c{index}")),
                Some(index) => self.sql.push_str(&format!("r.c{index}")),
            },
        }
    }

    fn identifier(&mut self, name: &str) {
        quote_into(&mut self.sql, self.dialect.quote(), name);
    }

    fn value(&mut self, value: &RemoteValue) {
        match (self.dialect, value.form) {
            (Dialect::MySql, ValueForm::Plain) | (Dialect::Sqlite, _) => self.literal(&value.value),
            (Dialect::MySql, ValueForm::Bytes) => {
                self.sql.push_str("CAST(");
                self.literal(&value.value);
                self.sql.push_str(" AS BINARY)");
            }
            (Dialect::MySql, ValueForm::Decimal { precision, scale }) => {
                self.sql.push_str("CAST(");
                self.literal(&value.value);
                self.sql.push_str(&format!(" AS DECIMAL({precision},{scale}))"));
            }
        }
    }

    fn literal(&mut self, value: &ScalarValue) {
        match self.literals {
            Literals::Bound => {
                self.sql.push('?');
                self.params.push(value.clone());
            }
            Literals::Shown => self.sql.push_str(&shown_literal(value)),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    InsideAnd,
    InsideOr,
}

/// A piece of what is printed for a function of a moment.
enum MomentPart {
    Sql(&'static str),
    Column,
}

/// The function in MySQL's words, cut where the column stands.
fn moment_parts(function: MomentFunction) -> impl Iterator<Item = MomentPart> {
    let pieces: &[&str] = match function {
        MomentFunction::Field(field) => match field {
            MomentField::Year => &["YEAR(", ")"],
            MomentField::Quarter => &["QUARTER(", ")"],
            MomentField::Month => &["MONTH(", ")"],
            MomentField::Week => &["WEEK(", ", 3)"],
            MomentField::Day => &["DAYOFMONTH(", ")"],
            MomentField::DayOfWeek => &["(DAYOFWEEK(", ") - 1)"],
            MomentField::IsoDayOfWeek => &["(WEEKDAY(", ") + 1)"],
            MomentField::DayOfYear => &["DAYOFYEAR(", ")"],
            MomentField::Hour => &["HOUR(", ")"],
            MomentField::Minute => &["MINUTE(", ")"],
        },
        // By days that are taken off: MAKEDATE would take the years below 70 for those of this century.
        MomentFunction::Truncated(unit) => match unit {
            MomentUnit::Year => &["CAST(DATE(", ") - INTERVAL DAYOFYEAR(", ") - 1 DAY AS DATETIME)"],
            MomentUnit::Quarter => &[
                "CAST(DATE(",
                ") - INTERVAL DAYOFMONTH(",
                ") - 1 DAY - INTERVAL (MONTH(",
                ") - 1) % 3 MONTH AS DATETIME)",
            ],
            MomentUnit::Month => &["CAST(DATE(", ") - INTERVAL DAYOFMONTH(", ") - 1 DAY AS DATETIME)"],
            MomentUnit::Week => &["CAST(DATE(", ") - INTERVAL WEEKDAY(", ") DAY AS DATETIME)"],
            MomentUnit::Day => &["CAST(DATE(", ") AS DATETIME)"],
            MomentUnit::Hour => &["(CAST(DATE(", ") AS DATETIME) + INTERVAL HOUR(", ") HOUR)"],
        },
    };
    let pieces = pieces.iter().enumerate();
    pieces.flat_map(|(index, piece)| {
        let column = (index > 0).then_some(MomentPart::Column);
        column.into_iter().chain([MomentPart::Sql(piece)])
    })
}

fn function_name(function: AggregateFunction) -> &'static str {
    match function {
        AggregateFunction::Count => "COUNT",
        AggregateFunction::Sum => "SUM",
        AggregateFunction::Min => "MIN",
        AggregateFunction::Max => "MAX",
    }
}

fn quote_into(sql: &mut String, quote: char, name: &str) {
    sql.push(quote);
    for character in name.chars() {
        if character == quote {
            sql.push(quote);
        }
        sql.push(character);
    }
    sql.push(quote);
}

/// A literal for EXPLAIN: quotes doubled, control characters spelled out.
fn shown_literal(value: &ScalarValue) -> String {
    match value {
        ScalarValue::Binary(Some(bytes))
        | ScalarValue::LargeBinary(Some(bytes))
        | ScalarValue::BinaryView(Some(bytes)) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            format!("x'{digits}'")
        }
        ScalarValue::Date32(_) | ScalarValue::TimestampMicrosecond(..) => {
            quoted_literal(shown_time(value).trim_end_matches('Z'))
        }
        other => match scalar_text(other) {
            Some(text) => quoted_literal(text),
            None => other.to_string(),
        },
    }
}

fn shown_time(value: &ScalarValue) -> String {
    value
        .to_array()
        .ok()
        .and_then(|array| array_value_to_string(&array, 0).ok())
        .unwrap_or_else(|| value.to_string())
}

fn quoted_literal(text: &str) -> String {
    let mut quoted = String::from("'");
    for character in text.chars() {
        match character {
            '\'' => quoted.push_str("''"),
            control if control.is_control() => quoted.extend(control.escape_default()),
            other => quoted.push(other),
        }
    }
    quoted.push('\'');
    quoted
}
