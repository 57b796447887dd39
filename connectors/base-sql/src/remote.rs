//! The statement sent to a source, as a tree: built by the law book, printed once, never edited as text.
//!
//! Columns are indexes into the table's columns; literals stay typed values until the driver binds them.

use std::sync::Arc;

use causeway_spi::TableName;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;

/// `SELECT outputs FROM table WHERE every filter LIMIT n`.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteSelect {
    /// Where the rows are.
    pub table: TableName,
    /// The names of all columns of the table: what column indexes refer to.
    pub columns: Arc<[String]>,
    /// The columns to return, in order; empty to return a constant for each row.
    pub outputs: Vec<usize>,
    /// The conditions: all of them hold for a returned row.
    pub filters: Vec<RemoteExpr>,
    /// At most this many rows.
    pub limit: Option<usize>,
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
    /// `column [NOT] IN (values)`; at least one value, none of them NULL.
    In {
        /// The left side.
        column: RemoteColumn,
        /// The list.
        values: Vec<RemoteValue>,
        /// Whether it is NOT IN.
        negated: bool,
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

    /// How many values the printed condition binds.
    pub fn values_len(&self) -> usize {
        match self {
            Self::Constant(_) | Self::StorageClass { .. } | Self::IsNull(_) | Self::IsNotNull(_) => 0,
            Self::Compare { .. } | Self::Like { .. } => 1,
            Self::In { values, .. } => values.len(),
            Self::And(members) | Self::Or(members) => members.iter().map(Self::values_len).sum(),
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
