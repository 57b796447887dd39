//! Casts from numeric and float to integers, and to a smaller scale, as PostgreSQL does them: they round.
//!
//! DataFusion cuts the digits off, and takes `CAST(d AS int) = 1` for `d = 1`, as if the cast kept every value. With the
//! rounding written out the cast does keep every value.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::functions::math::expr_fn::{abs, round, trunc};
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan, cast, lit, when};
use datafusion::optimizer::AnalyzerRule;

use super::expressions::rewrite;

/// Writes the rounding of casts out. Runs after types are known.
#[derive(Debug)]
pub(super) struct RoundingCasts;

impl AnalyzerRule for RoundingCasts {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite(plan, |expr| matches!(expr, Expr::Cast(_)), &rounded)
    }

    fn name(&self) -> &'static str {
        "rounding_casts"
    }
}

fn rounded(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Expr::Cast(Cast { expr: inner, field }) = &expr else {
        return Ok(Transformed::no(expr));
    };
    let wanted = field.data_type();
    let Ok(given) = inner.get_type(schema) else {
        return Ok(Transformed::no(expr));
    };
    let digits_given = decimal_scale(&given);
    let inner_rounded = match (digits_given, decimal_scale(wanted)) {
        (Some(from), Some(to)) if to < from => Some(round(vec![inner.as_ref().clone(), lit(i32::from(to))])),
        (Some(from), None) if wanted.is_signed_integer() && from > 0 => {
            Some(round(vec![inner.as_ref().clone()]))
        }
        _ if given.is_floating() && wanted.is_signed_integer() && !inner.is_volatile() => {
            Some(half_to_even(inner.as_ref())?)
        }
        _ => None,
    };
    Ok(match inner_rounded {
        Some(rounded) => Transformed::yes(Expr::Cast(Cast::new_from_field(
            Box::new(rounded),
            Arc::clone(field),
        ))),
        None => Transformed::no(expr),
    })
}

fn decimal_scale(data_type: &DataType) -> Option<i8> {
    match data_type {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => Some(*scale),
        _ => None,
    }
}

/// A float halfway between two integers becomes the even one, as in PostgreSQL; a numeric goes away from zero.
pub(super) fn half_to_even(value: &Expr) -> Result<Expr> {
    let value = cast(value.clone(), DataType::Float64);
    let is_half = abs(value.clone() - trunc(vec![value.clone()])).eq(lit(0.5));
    let even = lit(2.0) * round(vec![value.clone() / lit(2.0)]);
    when(is_half, even).otherwise(round(vec![value]))
}
