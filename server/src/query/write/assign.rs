//! Values to columns: what may be assigned to which type, literals of no type yet, and the casts.

use datafusion::arrow::datatypes::{DataType, FieldRef, TimeUnit};
use datafusion::common::{ScalarValue, Span};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, lit};
use datafusion::sql::sqlparser::ast::{
    self, ArrayElemTypeDef, CastKind, ExactNumberInfo, TimezoneInfo, UnaryOperator, Value,
};

use super::super::catalog_syntax::literal_text;
use crate::catalog::pg_type::{PgType, format_type};
use crate::error::{QueryError, Result};
use crate::sqlstate::SqlState;

/// Which outputs of a query go to which columns.
#[derive(Debug, Clone)]
pub(in crate::query) struct Assigned {
    /// The columns of the rows to be written.
    pub(super) fields: Vec<FieldRef>,
    /// The column that each output goes to; the others are NULL.
    pub(super) targets: Vec<usize>,
    /// Whether the statement lists its columns: then it has as many outputs.
    pub(super) listed: bool,
    /// Where the outputs stand in the text, as far as that is known.
    pub(super) spans: Vec<Option<Span>>,
}

impl Assigned {
    /// The names of the columns.
    pub(in crate::query) fn names(&self) -> Vec<String> {
        self.fields.iter().map(|field| field.name().clone()).collect()
    }
}

/// `plan` with the columns that are written, each in its type. Errors: 42601 for another number of outputs; 42804.
pub(in crate::query) fn assign(
    plan: LogicalPlan,
    assigned: &Assigned,
    state: &SessionState,
) -> Result<LogicalPlan> {
    let options = state.config_options();
    let analyzed = state
        .analyzer()
        .execute_and_check(plan.clone(), options, |_, _| {})?;
    let outputs = plan.schema().fields().len();
    if outputs > assigned.targets.len() {
        let span = assigned.spans.get(assigned.targets.len()).copied().flatten();
        return Err(QueryError::syntax("INSERT has more expressions than target columns").at(span));
    }
    if assigned.listed && outputs < assigned.targets.len() {
        return Err(QueryError::syntax(
            "INSERT has more target columns than expressions",
        ));
    }
    let mut columns = Vec::with_capacity(assigned.fields.len());
    for (index, field) in assigned.fields.iter().enumerate() {
        let wanted = field.data_type();
        let output = assigned.targets.iter().position(|&target| target == index);
        let value = match output.filter(|&output| output < outputs) {
            None => lit(ScalarValue::try_from(wanted)?),
            Some(output) => {
                let given = analyzed.schema().field(output).data_type();
                let span = assigned.spans.get(output).copied().flatten();
                check_assignable(field, given).map_err(|error| error.at(span))?;
                let (qualifier, planned) = plan.schema().qualified_field(output);
                let value = Expr::from((qualifier, planned));
                match given == wanted && planned.data_type() == wanted {
                    true => value,
                    false => cast(value, wanted.clone()),
                }
            }
        };
        columns.push(value.alias(field.name()));
    }
    Ok(LogicalPlanBuilder::from(plan).project(columns)?.build()?)
}

fn check_assignable(column: &FieldRef, given: &DataType) -> Result<()> {
    let wanted = column.data_type();
    if is_assignable(given, wanted) {
        return Ok(());
    }
    let shown = |data_type: &DataType| format_type(PgType::of(data_type).oid, None);
    let message = format!(
        "column \"{}\" is of type {} but expression is of type {}",
        column.name(),
        shown(wanted),
        shown(given)
    );
    Err(QueryError::new(SqlState::DATATYPE_MISMATCH, message)
        .hint("You will need to rewrite or cast the expression."))
}

/// Whether PostgreSQL casts `given` to `wanted` by itself when it is assigned.
fn is_assignable(given: &DataType, wanted: &DataType) -> bool {
    if given == wanted || given == &DataType::Null {
        return true;
    }
    let number = |data_type: &DataType| data_type.is_numeric();
    let moment = |data_type: &DataType| matches!(data_type, DataType::Date32 | DataType::Timestamp(..));
    match (given, wanted) {
        (given, DataType::Utf8View) => !given.is_nested() && !is_bytes(given),
        (DataType::List(given), DataType::List(wanted)) => {
            is_assignable(given.data_type(), wanted.data_type())
        }
        (DataType::Timestamp(..), DataType::Time64(_)) => true,
        (given, DataType::BinaryView) => is_bytes(given),
        (given, wanted) => (number(given) && number(wanted)) || (moment(given) && moment(wanted)),
    }
}

fn is_bytes(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_)
    )
}

/// `expr` with the type of the column that it is assigned to, if it has none of its own: quoted texts and parameters take
/// the column's, and so do numbers, so that those of several rows need not agree before.
pub(super) fn typed(expr: ast::Expr, column: &DataType) -> ast::Expr {
    let is_text = column == &DataType::Utf8View;
    let takes_type = if literal_text(&expr).is_some() {
        !is_text
    } else if is_number(&expr) {
        is_text || column.is_numeric()
    } else {
        is_parameter(&expr)
    };
    match sql_type(column) {
        Some(data_type) if takes_type => ast::Expr::Cast {
            kind: CastKind::DoubleColon,
            expr: Box::new(expr),
            data_type,
            array: false,
            format: None,
        },
        _ => expr,
    }
}

fn is_number(expr: &ast::Expr) -> bool {
    match expr {
        ast::Expr::Value(value) => matches!(value.value, Value::Number(..)),
        ast::Expr::Nested(inner)
        | ast::Expr::UnaryOp {
            op: UnaryOperator::Minus | UnaryOperator::Plus,
            expr: inner,
        } => is_number(inner),
        _ => false,
    }
}

fn is_parameter(expr: &ast::Expr) -> bool {
    match expr {
        ast::Expr::Value(value) => matches!(value.value, Value::Placeholder(_)),
        ast::Expr::Nested(inner) => is_parameter(inner),
        _ => false,
    }
}

/// SQL's name of a column's type.
fn sql_type(data_type: &DataType) -> Option<ast::DataType> {
    Some(match data_type {
        DataType::Boolean => ast::DataType::Boolean,
        DataType::Int16 => ast::DataType::SmallInt(None),
        DataType::Int32 => ast::DataType::Integer(None),
        DataType::Int64 => ast::DataType::BigInt(None),
        DataType::Float32 => ast::DataType::Real,
        DataType::Float64 => ast::DataType::DoublePrecision,
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            let digits = ExactNumberInfo::PrecisionAndScale(u64::from(*precision), i64::from(*scale));
            ast::DataType::Numeric(digits)
        }
        DataType::Utf8View => ast::DataType::Text,
        DataType::BinaryView => ast::DataType::Bytea,
        DataType::Date32 => ast::DataType::Date,
        DataType::Time64(TimeUnit::Microsecond) => ast::DataType::Time(None, TimezoneInfo::None),
        DataType::Timestamp(_, None) => ast::DataType::Timestamp(None, TimezoneInfo::None),
        DataType::Timestamp(_, Some(_)) => ast::DataType::Timestamp(None, TimezoneInfo::Tz),
        DataType::Interval(_) => ast::DataType::Interval {
            fields: None,
            precision: None,
        },
        DataType::List(item) => {
            let item = Box::new(sql_type(item.data_type())?);
            ast::DataType::Array(ArrayElemTypeDef::SquareBracket(item, None))
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_those_of_postgresql() {
        let timestamp = DataType::Timestamp(TimeUnit::Microsecond, None);
        for (given, wanted, allowed) in [
            (DataType::Int64, DataType::Int16, true),
            (DataType::Float64, DataType::Decimal128(5, 2), true),
            (DataType::Int32, DataType::Utf8View, true),
            (DataType::Utf8View, DataType::Int32, false),
            (DataType::Boolean, DataType::Int32, false),
            (DataType::Int32, DataType::Boolean, false),
            (DataType::Date32, timestamp.clone(), true),
            (timestamp, DataType::Date32, true),
            (DataType::Int32, DataType::Date32, false),
            (DataType::Binary, DataType::BinaryView, true),
            (DataType::Binary, DataType::Utf8View, false),
            (DataType::Null, DataType::BinaryView, true),
        ] {
            assert_eq!(is_assignable(&given, &wanted), allowed, "{given} to {wanted}");
        }
    }
}
