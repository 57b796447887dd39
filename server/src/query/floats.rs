//! Numerics beside floats are floats, as in PostgreSQL: `f > 0.5` compares floats.
//!
//! DataFusion makes numerics of the floats, which fails for large ones and changes what is equal. The numeric law applies
//! this from the leaves up together with its own rules: what is an average of integers is no float any more.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::logical_plan::Union;
use datafusion::logical_expr::{
    Between, BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, cast,
};

/// Casts numerics that are compared or computed with floats.
pub(super) fn beside_floats(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if mixed(&[&left, &right], schema) || is_real_and_integer(&left, op, &right, schema) =>
        {
            Transformed::yes(Expr::BinaryExpr(BinaryExpr {
                left: as_float(*left),
                op,
                right: as_float(*right),
            }))
        }
        Expr::Between(Between {
            expr,
            negated,
            low,
            high,
        }) if mixed(&[&expr, &low, &high], schema) => Transformed::yes(Expr::Between(Between {
            expr: as_float(*expr),
            negated,
            low: as_float(*low),
            high: as_float(*high),
        })),
        Expr::InList(InList { expr, list, negated })
            if mixed(
                &std::iter::once(expr.as_ref()).chain(&list).collect::<Vec<_>>(),
                schema,
            ) =>
        {
            let list = list.into_iter().map(|item| cast(item, DataType::Float64));
            Transformed::yes(Expr::InList(InList {
                list: list.collect(),
                expr: as_float(*expr),
                negated,
            }))
        }
        Expr::Case(mut case) => {
            let branches = case.when_then_expr.iter().map(|(_, then)| then.as_ref());
            let results: Vec<&Expr> = branches.chain(case.else_expr.as_deref()).collect();
            if !mixed(&results, schema) {
                return Transformed::no(Expr::Case(case));
            }
            for (_, then) in &mut case.when_then_expr {
                *then = as_float(std::mem::take(then.as_mut()));
            }
            case.else_expr = case.else_expr.map(|result| as_float(*result));
            Transformed::yes(Expr::Case(case))
        }
        Expr::ScalarFunction(mut function)
            if ["coalesce", "greatest", "least", "nullif", "nvl"].contains(&function.name())
                && mixed(&function.args.iter().collect::<Vec<_>>(), schema) =>
        {
            let args = std::mem::take(&mut function.args);
            function.args = args.into_iter().map(|arg| *as_float(arg)).collect();
            Transformed::yes(Expr::ScalarFunction(function))
        }
        other => Transformed::no(other),
    }
}

/// Whether a real is computed with an integer, which PostgreSQL does in double precision.
fn is_real_and_integer(left: &Expr, op: Operator, right: &Expr, schema: &DFSchema) -> bool {
    let arithmetic = matches!(
        op,
        Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo
    );
    let types = || left.get_type(schema).ok().zip(right.get_type(schema).ok());
    arithmetic
        && types().is_some_and(|types| match types {
            (DataType::Float32, other) | (other, DataType::Float32) => other.is_integer(),
            _ => false,
        })
}

/// The parts of a union, with floats where one part has floats and another numerics.
pub(super) fn union_of_floats(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Union(mut union) = plan else {
        return Ok(Transformed::no(plan));
    };
    let has = |index: usize, wanted: fn(&DataType) -> bool| {
        union.inputs.iter().any(|input| {
            input
                .schema()
                .fields()
                .get(index)
                .is_some_and(|field| wanted(field.data_type()))
        })
    };
    let columns = 0..union.schema.fields().len();
    let floats: Vec<bool> = columns
        .map(|index| has(index, DataType::is_decimal) && has(index, DataType::is_floating))
        .collect();
    if !floats.contains(&true) {
        return Ok(Transformed::no(LogicalPlan::Union(union)));
    }
    for input in &mut union.inputs {
        let columns = input
            .schema()
            .iter()
            .zip(&floats)
            .map(|((qualifier, field), float)| {
                let column = Expr::from((qualifier, field));
                if *float && field.data_type().is_decimal() {
                    as_float(column).alias_qualified(qualifier.cloned(), field.name())
                } else {
                    column
                }
            });
        let columns: Vec<Expr> = columns.collect();
        let projected = LogicalPlanBuilder::from(input.as_ref().clone())
            .project(columns)?
            .build()?;
        *input = Arc::new(projected);
    }
    let union = Union::try_new_with_loose_types(union.inputs)?;
    Ok(Transformed::yes(LogicalPlan::Union(union)))
}

/// Whether there are numerics and floats, and nothing but numbers beside them.
fn mixed(expressions: &[&Expr], schema: &DFSchema) -> bool {
    let (mut numerics, mut floats) = (false, false);
    for expr in expressions {
        match expr.get_type(schema) {
            Ok(found) if found.is_decimal() => numerics = true,
            Ok(found) if found.is_floating() => floats = true,
            Ok(found) if found.is_integer() || found.is_null() => {}
            _ => return false,
        }
    }
    numerics && floats
}

fn as_float(expr: Expr) -> Box<Expr> {
    Box::new(cast(expr, DataType::Float64))
}
