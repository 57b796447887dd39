//! Products with zero and remainders by one of numerics. DataFusion takes the first for the zero as it is written: `price * 0` was
//! of the type of `0`, and neither what it is compared with nor its column was of that. And it takes the second for zero, also
//! of 2.5.

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;

/// `plan`, in which such numerics are what they are.
pub(super) fn typed(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let mut found = false;
    plan.apply_expressions(|expr| {
        found |= expr.exists(|part| Ok(known_operand(part).is_some()))?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    if !found {
        return Ok(Transformed::no(plan));
    }
    let schema = match &plan {
        LogicalPlan::TableScan(scan) => {
            DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?
        }
        plan => merge_schema(&plan.inputs()),
    };
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let typed = expr.transform_up(|part| {
            let settled = settled(&part, &schema)?;
            Ok(settled.map_or_else(|| Transformed::no(part), Transformed::yes))
        })?;
        Ok(typed.update_data(|expr| name.restore(expr)))
    })
}

/// The operand of a product or a remainder that has no columns, and the other one.
fn known_operand(expr: &Expr) -> Option<[&Expr; 2]> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else {
        return None;
    };
    let is_known = |expr: &Expr| !expr.any_column_refs() && !expr.is_volatile();
    match op {
        Operator::Multiply | Operator::Modulo if is_known(right) => Some([right, left]),
        Operator::Multiply if is_known(left) => Some([left, right]),
        _ => None,
    }
}

/// What `expr` is instead, if it is one that DataFusion is wrong about.
fn settled(expr: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    let Some([known, other]) = known_operand(expr) else {
        return Ok(None);
    };
    let found = expr.get_type(schema)?;
    if !found.is_decimal() || other.nullable(schema)? {
        return Ok(None);
    }
    let simplifier = ExprSimplifier::new(SimplifyContext::builder().build());
    // What cannot be computed is an error when the query asks for it.
    let Ok(Expr::Literal(known, _)) = simplifier.simplify(known.clone()) else {
        return Ok(None);
    };
    let is_remainder = matches!(expr, Expr::BinaryExpr(binary) if binary.op == Operator::Modulo);
    let plain = match is_remainder {
        false if ScalarValue::new_zero(&known.data_type())? == known => {
            Expr::Literal(ScalarValue::new_zero(&found)?, None)
        }
        // A remainder has the sign of what is divided: by minus one it is the same.
        true if ScalarValue::new_one(&known.data_type())? == known => Expr::BinaryExpr(BinaryExpr::new(
            Box::new(other.clone()),
            Operator::Modulo,
            Box::new(Expr::Literal(known.arithmetic_negate()?, None)),
        )),
        _ => return Ok(None),
    };
    Ok(Some(plain))
}
