//! Unions of the scans of tables of one source.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion::common::Result;
use datafusion::logical_expr::logical_plan::Union as UnionNode;
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::folded::{columns_of, side};
use super::input::{Input, derived_column, derived_scan, free_name};
use super::{Offer, UNKNOWN};
use crate::operator::{Operator, Union, UnionPart};

/// The scan that stands for `node`, if one source reads all its inputs and unites them.
pub(super) fn fold(node: &UnionNode) -> Result<Option<LogicalPlan>> {
    let plans = node.inputs.iter().map(|input| side(input));
    let plans = plans.collect::<Result<Vec<Cow<'_, LogicalPlan>>>>()?;
    let inputs = plans.iter().map(|plan| Input::of(plan));
    let Some(inputs) = inputs.collect::<Option<Vec<_>>>() else {
        return Ok(None);
    };
    let Some((first, others)) = inputs.split_first() else {
        return Ok(None);
    };
    if !others
        .iter()
        .all(|other| first.source.shares_source(other.source))
    {
        return Ok(None);
    }
    let union = union(node, &plans, first, others);
    let scans: Vec<_> = match &union {
        Ok(union) => union.others.iter().map(|part| part.scan.clone()).collect(),
        Err(_) => Vec::new(),
    };
    let fields = match &union {
        Ok(union) => Arc::clone(&union.schema),
        Err(_) => Arc::new(Schema::empty()),
    };
    let Some(mut derived) = first.offer(union.map(Operator::Union), || "union all".to_owned()) else {
        return Ok(None);
    };
    for (other, scan) in others.iter().zip(&scans) {
        derived = derived.joined_with(other.source, scan);
    }
    let columns = fields.fields().iter().map(|field| derived_column(field.name()));
    derived_scan(derived, columns.collect(), &node.schema).map(Some)
}

/// The union that `node` is, whose inputs are `plans`.
fn union(
    node: &UnionNode,
    plans: &[Cow<'_, LogicalPlan>],
    first: &Input<'_>,
    others: &[Input<'_>],
) -> Offer<Union> {
    let outputs = |input: &Input<'_>, plan: &LogicalPlan| {
        let outputs = columns_of(plan).map(|column| input.inlined(&column));
        outputs.collect::<Option<Vec<Expr>>>().ok_or(UNKNOWN)
    };
    let [first_plan, other_plans @ ..] = plans else {
        return Err(UNKNOWN.into());
    };
    let parts = others.iter().zip(other_plans).map(|(other, plan)| {
        Ok(UnionPart {
            table: Arc::clone(other.source.table()),
            scan: other.exact_scan()?,
            outputs: outputs(other, plan)?,
        })
    });
    let parts = parts.collect::<Offer<Vec<UnionPart>>>()?;
    let mut fields: Vec<Field> = Vec::new();
    for field in node.schema.fields() {
        let name = free_name(&fields, field.name().clone());
        fields.push(field.as_ref().clone().with_name(name));
    }
    Ok(Union {
        outputs: outputs(first, first_plan)?,
        others: parts,
        schema: Arc::new(Schema::new(fields)),
    })
}
