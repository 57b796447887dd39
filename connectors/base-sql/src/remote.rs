//! The statement sent to a source, as a tree: built by the law book, printed once, never edited as text.
//!
//! Columns are indexes into the table's columns; literals stay typed values until the driver binds them.

use std::sync::Arc;

use causeway_spi::{AggregateFunction, JoinKind, TableName};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;

/// `SELECT outputs FROM source WHERE every filter GROUP BY groups ORDER BY order LIMIT n`.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteSelect {
    /// Where the rows are.
    pub source: RemoteSource,
    /// What to return, in order; empty to return a constant for each row.
    pub outputs: Vec<RemoteScalar>,
    /// The conditions: all of them hold for a row that is read.
    pub filters: Vec<RemoteExpr>,
    /// How many of the first outputs are group keys; all others are aggregates then. `None`: rows are not grouped.
    pub groups: Option<usize>,
    /// The order in which a limit counts.
    pub order: Vec<RemoteSortKey>,
    /// At most this many rows.
    pub limit: Option<usize>,
}

/// What a statement reads: the columns of its expressions are those of this.
#[derive(Debug, Clone, PartialEq)]
pub enum RemoteSource {
    /// A table.
    Table {
        /// Its name.
        name: TableName,
        /// The names of all its columns.
        columns: Arc<[String]>,
    },
    /// The rows of another statement; column `i` is its output `i`.
    Query(Box<RemoteSelect>),
    /// The rows of several statements, one after the other; column `i` is output `i` of each. At least two, without limits.
    Union(Vec<RemoteSelect>),
    /// The rows of two statements that meet. The columns are the outputs of the left one, then those of the right one, which
    /// only `on` may name where the kind gives rows of the left side alone.
    Join {
        /// The left side.
        left: Box<RemoteSelect>,
        /// The right side.
        right: Box<RemoteSelect>,
        /// Which rows it gives.
        kind: JoinKind,
        /// The conditions: all of them hold for two rows that meet; at least one.
        on: Vec<RemoteExpr>,
    },
}

/// A value computed of a row, or of a group of rows.
#[derive(Debug, Clone, PartialEq)]
pub enum RemoteScalar {
    /// A column.
    Column(RemoteColumn),
    /// A literal.
    Value(RemoteValue),
    /// `left operator right`, of integers or decimals.
    Arithmetic {
        /// The left side.
        left: Box<RemoteScalar>,
        /// The operator.
        operator: Arithmetic,
        /// The right side.
        right: Box<RemoteScalar>,
    },
    /// A whole number as one with a sign, in which differences may be less than zero.
    Signed(Box<RemoteScalar>),
    /// A whole number of at most 64 bits with a sign; an error there where it does not fit into `bits`.
    Within {
        /// The number.
        value: Box<RemoteScalar>,
        /// At most 63.
        bits: u32,
    },
    /// What is computed of a day, or a day with a time.
    OfMoment {
        /// What.
        function: MomentFunction,
        /// The column, as it is or in its form as a real date.
        column: RemoteColumn,
    },
    /// The value of the first condition that is true, else another value or NULL.
    Case {
        /// Conditions and their values; at least one.
        branches: Vec<(RemoteExpr, RemoteScalar)>,
        /// The other value.
        otherwise: Option<Box<RemoteScalar>>,
    },
    /// An aggregate of a group.
    Aggregate {
        /// What is computed.
        function: AggregateFunction,
        /// Of what; `None`: of the rows.
        argument: Option<Box<RemoteScalar>>,
        /// Whether equal values count once.
        distinct: bool,
    },
}

/// The arithmetic that sources share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// `+`
    Plus,
    /// `-`
    Minus,
    /// `*`
    Multiply,
}

/// What sources compute of a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MomentFunction {
    /// One of its fields, as a whole number.
    Field(MomentField),
    /// The first moment, without a fraction of a second, of the unit that it is in.
    Truncated(MomentUnit),
}

/// The fields of a moment that are whole numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MomentField {
    /// The year.
    Year,
    /// 1 to 4.
    Quarter,
    /// 1 to 12.
    Month,
    /// The week of ISO 8601, 1 to 53.
    Week,
    /// The day of the month.
    Day,
    /// The day of the week, 0 (Sunday) to 6.
    DayOfWeek,
    /// The day of the week, 1 (Monday) to 7.
    IsoDayOfWeek,
    /// The day of the year.
    DayOfYear,
    /// 0 to 23.
    Hour,
    /// 0 to 59.
    Minute,
}

/// The units that begin at moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MomentUnit {
    /// From the 1st of January on.
    Year,
    /// Three months.
    Quarter,
    /// From the 1st on.
    Month,
    /// From Monday on.
    Week,
    /// From midnight on.
    Day,
    /// Sixty minutes.
    Hour,
}

/// One key of an order.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteSortKey {
    /// What is compared.
    pub value: RemoteScalar,
    /// Whether the least comes first.
    pub ascending: bool,
    /// Where NULLs stand, if the value can be NULL.
    pub nulls_first: Option<bool>,
}

/// A condition. NOT does not occur: the law book pushes it inwards, so that a superset can never be negated.
#[derive(Debug, Clone, PartialEq)]
pub enum RemoteExpr {
    /// Always or never.
    Constant(bool),
    /// `column op value`.
    Compare {
        /// The left side.
        column: RemoteColumn,
        /// The operator.
        comparison: Comparison,
        /// The right side.
        value: RemoteValue,
    },
    /// `column op column`.
    CompareColumns {
        /// The left side.
        left: RemoteColumn,
        /// The operator.
        comparison: Comparison,
        /// The right side.
        right: RemoteColumn,
    },
    /// `column [NOT] IN (values)`; at least one value, none of them NULL.
    In {
        /// The left side.
        column: RemoteColumn,
        /// The list.
        values: Vec<RemoteValue>,
        /// Whether it is NOT IN.
        negated: bool,
    },
    /// `(columns) IN (tuples)` of whole numbers; at least one tuple, each with one value for each column.
    InTuples {
        /// The left side, each column in its plain form.
        columns: Vec<usize>,
        /// The list.
        tuples: Vec<Vec<RemoteValue>>,
    },
    /// `column [NOT] LIKE pattern`; `!` is the escape character of the pattern.
    Like {
        /// The left side.
        column: RemoteColumn,
        /// The pattern, escaped with `!`.
        pattern: String,
        /// Whether it is NOT LIKE.
        negated: bool,
    },
    /// Whether the value of a column is, or is not, stored as a value of this class: `typeof(column) = 'integer'`.
    StorageClass {
        /// The column.
        index: usize,
        /// The class, in the source's word.
        name: &'static str,
        /// Whether it must be another, or NULL.
        negated: bool,
    },
    /// Whether a day, or a day with a time, is one of the calendar from year 1 on, or, `negated`, is not or is NULL.
    IsReal {
        /// The column.
        index: usize,
        /// Whether it must not be.
        negated: bool,
    },
    /// `column IS NULL`.
    IsNull(usize),
    /// `column IS NOT NULL`.
    IsNotNull(usize),
    /// All hold; at least one member.
    And(Vec<RemoteExpr>),
    /// At least one holds; at least one member.
    Or(Vec<RemoteExpr>),
}

/// A comparison operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A column in the form in which it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteColumn {
    /// Index into the table's columns.
    pub index: usize,
    /// The form.
    pub form: ColumnForm,
}

/// The forms in which a column is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnForm {
    /// The column itself, under its own rules.
    Plain,
    /// The day, or the day with a time, if it is one of the calendar from year 1 on; else NULL.
    RealDate,
    /// The bytes of a column that is stored in UTF-8.
    Bytes,
    /// A text under the collation that leaves out the case of ASCII letters.
    NoCase,
    /// A text under the collation that leaves out trailing blanks.
    RightTrimmed,
    /// The bytes of UTF-8 that a column converts to.
    ConvertedBytes,
    /// The characters of a column stored in `utf8mb4`, without any language's rules: for patterns.
    Characters,
    /// The characters a column converts to, without any language's rules: for patterns.
    ConvertedCharacters,
}

/// A literal and the form in which it is bound.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteValue {
    /// The value: never NULL.
    pub value: ScalarValue,
    /// The form.
    pub form: ValueForm,
}

/// The forms in which a literal is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueForm {
    /// With its own type.
    Plain,
    /// As bytes.
    Bytes,
    /// As text that the source casts: a decimal bound as bare text would be compared as a floating point number.
    Decimal {
        /// All digits.
        precision: u8,
        /// Digits behind the point.
        scale: u8,
    },
}

impl RemoteExpr {
    /// `column comparison value`.
    pub(crate) fn compare(
        index: usize,
        form: ColumnForm,
        comparison: Comparison,
        value: RemoteValue,
    ) -> Self {
        Self::Compare {
            column: RemoteColumn { index, form },
            comparison,
            value,
        }
    }

    /// `column [NOT] IN (values)`, or the constant that an empty list means for rows where the column is not NULL.
    pub(crate) fn within(index: usize, form: ColumnForm, values: Vec<RemoteValue>, negated: bool) -> Self {
        match (values.is_empty(), negated) {
            (true, false) => Self::Constant(false),
            (true, true) => Self::IsNotNull(index),
            (false, _) => Self::In {
                column: RemoteColumn { index, form },
                values,
                negated,
            },
        }
    }

    /// At least one of `tuples` holds, each of which is a list of conditions that all hold. As a list of tuples, if all of them
    /// compare the same columns with whole numbers: those can be sent as a table, where conditions joined by OR would be planned
    /// in the square of their number.
    pub(crate) fn any_tuple(tuples: Vec<Vec<Self>>) -> Self {
        match Self::in_tuples(&tuples) {
            Some(list) => list,
            None => Self::Or(tuples.into_iter().map(Self::And).collect()),
        }
    }

    fn in_tuples(tuples: &[Vec<Self>]) -> Option<Self> {
        let [first, _, ..] = tuples else {
            return None;
        };
        let columns = first
            .iter()
            .map(|condition| Some(condition.equal_whole_number()?.0))
            .collect::<Option<Vec<usize>>>()?;
        let values = |tuple: &Vec<Self>| {
            let mut values = Vec::with_capacity(columns.len());
            for (condition, column) in tuple.iter().zip(&columns) {
                let (compared, value) = condition.equal_whole_number()?;
                values.push((compared == *column).then(|| value.clone())?);
            }
            (tuple.len() == columns.len()).then_some(values)
        };
        let tuples = tuples.iter().map(values).collect::<Option<_>>()?;
        Some(Self::InTuples { columns, tuples })
    }

    /// The column and the value, if this is the equality of a column with a whole number.
    fn equal_whole_number(&self) -> Option<(usize, &RemoteValue)> {
        match self {
            Self::Compare {
                column:
                    RemoteColumn {
                        index,
                        form: ColumnForm::Plain,
                    },
                comparison: Comparison::Equal,
                value:
                    value @ RemoteValue {
                        value: ScalarValue::Int16(_) | ScalarValue::Int32(_) | ScalarValue::Int64(_),
                        form: ValueForm::Plain,
                    },
            } => Some((*index, value)),
            _ => None,
        }
    }

    /// How many values the printed condition binds.
    pub fn values_len(&self) -> usize {
        match self {
            Self::Constant(_)
            | Self::CompareColumns { .. }
            | Self::StorageClass { .. }
            | Self::IsReal { .. }
            | Self::IsNull(_)
            | Self::IsNotNull(_) => 0,
            Self::Compare { .. } | Self::Like { .. } => 1,
            Self::In { values, .. } => values.len(),
            Self::InTuples { tuples, .. } => tuples.iter().map(Vec::len).sum(),
            Self::And(members) | Self::Or(members) => members.iter().map(Self::values_len).sum(),
        }
    }
}

impl RemoteSelect {
    /// The rows of `table`, of whose `columns` those at `outputs` are returned.
    pub fn of_table(table: TableName, columns: Arc<[String]>, outputs: &[usize]) -> Self {
        Self::of(RemoteSource::Table { name: table, columns }, outputs)
    }

    /// The rows of `source`, of whose columns those at `outputs` are returned.
    pub(crate) fn of(source: RemoteSource, outputs: &[usize]) -> Self {
        Self {
            source,
            outputs: outputs.iter().copied().map(RemoteScalar::column).collect(),
            filters: Vec::new(),
            groups: None,
            order: Vec::new(),
            limit: None,
        }
    }

    /// How many values the printed statement binds.
    pub fn values_len(&self) -> usize {
        let outputs = self.outputs.iter().map(RemoteScalar::values_len);
        let filters = self.filters.iter().map(RemoteExpr::values_len);
        let order = self.order.iter().map(|key| 2 * key.value.values_len());
        self.source.values_len() + outputs.chain(filters).chain(order).sum::<usize>()
    }

    /// The statement itself, or the one that it reads, where it asks for all rows and columns of that and nothing else.
    pub(crate) fn flattened(self) -> Self {
        let RemoteSource::Query(inner) = &self.source else {
            return self;
        };
        let plain = |(index, output): (usize, &RemoteScalar)| *output == RemoteScalar::column(index);
        let whole = self.outputs.len() == inner.outputs.len() && self.outputs.iter().enumerate().all(plain);
        let unlimited = match (self.limit, inner.limit) {
            (None, _) => true,
            (Some(here), Some(below)) => below <= here,
            (Some(_), None) => false,
        };
        let bare = self.filters.is_empty() && self.groups.is_none() && self.order.is_empty();
        match (self.source, whole && unlimited && bare) {
            (RemoteSource::Query(inner), true) => *inner,
            (source, _) => Self { source, ..self },
        }
    }
}

impl RemoteSource {
    /// How many tables are read.
    pub(crate) fn tables_len(&self) -> usize {
        match self {
            Self::Table { .. } => 1,
            Self::Query(select) => select.source.tables_len(),
            Self::Union(parts) => parts.iter().map(|part| part.source.tables_len()).sum(),
            Self::Join { left, right, .. } => left.source.tables_len() + right.source.tables_len(),
        }
    }

    /// How many values its printed form binds.
    pub(crate) fn values_len(&self) -> usize {
        match self {
            Self::Table { .. } => 0,
            Self::Query(select) => select.values_len(),
            Self::Union(parts) => parts.iter().map(RemoteSelect::values_len).sum(),
            Self::Join { left, right, on, .. } => {
                let on = on.iter().map(RemoteExpr::values_len);
                left.values_len() + right.values_len() + on.sum::<usize>()
            }
        }
    }
}

impl RemoteScalar {
    /// The column at `index`, as it is.
    pub(crate) fn column(index: usize) -> Self {
        Self::Column(RemoteColumn {
            index,
            form: ColumnForm::Plain,
        })
    }

    fn values_len(&self) -> usize {
        match self {
            Self::Column(_) | Self::OfMoment { .. } => 0,
            Self::Value(_) => 1,
            Self::Signed(value) | Self::Within { value, .. } => value.values_len(),
            Self::Arithmetic { left, right, .. } => left.values_len() + right.values_len(),
            Self::Case { branches, otherwise } => {
                let branches = branches
                    .iter()
                    .map(|(when, then)| when.values_len() + then.values_len());
                branches.sum::<usize>() + otherwise.as_ref().map_or(0, |otherwise| otherwise.values_len())
            }
            Self::Aggregate { argument, .. } => argument.as_ref().map_or(0, |argument| argument.values_len()),
        }
    }
}

impl MomentField {
    /// The field that `extract` calls `name`, of a day or, `timed`, of a day with a time.
    pub(crate) fn named(name: &str, timed: bool) -> Option<Self> {
        Some(match name.trim().to_lowercase().as_str() {
            "year" | "years" => Self::Year,
            "quarter" => Self::Quarter,
            "month" | "months" => Self::Month,
            "week" | "weeks" => Self::Week,
            "day" | "days" => Self::Day,
            "dow" => Self::DayOfWeek,
            "isodow" => Self::IsoDayOfWeek,
            "doy" => Self::DayOfYear,
            "hour" | "hours" if timed => Self::Hour,
            "minute" | "minutes" if timed => Self::Minute,
            _ => return None,
        })
    }
}

impl MomentUnit {
    /// The unit that `date_trunc` calls `name`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name.trim().to_lowercase().as_str() {
            "year" | "years" => Self::Year,
            "quarter" => Self::Quarter,
            "month" | "months" => Self::Month,
            "week" | "weeks" => Self::Week,
            "day" | "days" => Self::Day,
            "hour" | "hours" => Self::Hour,
            _ => return None,
        })
    }
}

impl Arithmetic {
    /// Its spelling in SQL.
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::Plus => "+",
            Self::Minus => "-",
            Self::Multiply => "*",
        }
    }
}

impl RemoteValue {
    /// A value bound with its own type.
    pub(crate) fn plain(value: ScalarValue) -> Self {
        Self {
            value,
            form: ValueForm::Plain,
        }
    }

    /// A value bound as bytes.
    pub(crate) fn bytes(value: ScalarValue) -> Self {
        Self {
            value,
            form: ValueForm::Bytes,
        }
    }
}

impl Comparison {
    /// The comparison that `operator` is, if it is one that sources share.
    pub(crate) fn from_operator(operator: Operator) -> Option<Self> {
        Some(match operator {
            Operator::Eq => Self::Equal,
            Operator::NotEq => Self::NotEqual,
            Operator::Lt => Self::Less,
            Operator::LtEq => Self::LessOrEqual,
            Operator::Gt => Self::Greater,
            Operator::GtEq => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    /// The comparison that holds where this one is false (and neither where it is NULL).
    pub(crate) fn negated(self) -> Self {
        match self {
            Self::Equal => Self::NotEqual,
            Self::NotEqual => Self::Equal,
            Self::Less => Self::GreaterOrEqual,
            Self::LessOrEqual => Self::Greater,
            Self::Greater => Self::LessOrEqual,
            Self::GreaterOrEqual => Self::Less,
        }
    }

    /// The same comparison with its sides exchanged.
    pub(crate) fn mirrored(self) -> Self {
        match self {
            Self::Equal => Self::Equal,
            Self::NotEqual => Self::NotEqual,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }

    /// Its spelling in SQL.
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}
