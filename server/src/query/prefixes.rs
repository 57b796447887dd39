//! Beginnings of texts that are compared with constants: `substr(phone, 1, 2) = '13'` is `phone LIKE '13%'`, which sources find
//! by an index, and bounds of files decide.

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{InList, ScalarFunction};
use datafusion::logical_expr::utils::{conjunction, disjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};
use datafusion::optimizer::AnalyzerRule;

use super::expressions::InputSchema;

/// Items of a list beyond which a set of them is faster than their patterns.
const ITEMS_MAX: usize = 32;

/// Writes LIKE for beginnings. Runs after types are made equal.
#[derive(Debug)]
pub(super) struct Prefixes;

impl AnalyzerRule for Prefixes {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::Filter(_) | LogicalPlan::Join(_) => {
                let schema = InputSchema::of(&plan);
                plan.map_expressions(|expr| expr.transform_up(|expr| Ok(with_patterns(expr, &schema))))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(rewritten.data)
    }

    fn name(&self) -> &'static str {
        "prefixes"
    }
}

fn with_patterns(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let found = match &expr {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Eq | Operator::NotEq,
            right,
        }) => {
            let negated = matches!(&expr, Expr::BinaryExpr(binary) if binary.op == Operator::NotEq);
            let sides = [(left, right), (right, left)];
            sides.into_iter().find_map(|(beginning, value)| {
                let (text, length) = beginning_of(beginning)?;
                begins_with(text, length, value, negated, schema)
            })
        }
        Expr::InList(InList { expr, list, negated }) if list.len() <= ITEMS_MAX => beginning_of(expr)
            .and_then(|(text, length)| {
                let items = list
                    .iter()
                    .map(|item| begins_with(text, length, item, *negated, schema));
                let items = items.collect::<Option<Vec<Expr>>>()?;
                match negated {
                    true => conjunction(items),
                    false => disjunction(items),
                }
            }),
        _ => None,
    };
    match found {
        Some(found) => Transformed::yes(found),
        None => Transformed::no(expr),
    }
}

/// The text and the number of characters, if `expr` is a text's beginning.
fn beginning_of(expr: &Expr) -> Option<(&Expr, usize)> {
    let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else {
        return None;
    };
    let (text, length) = match (func.name(), args.as_slice()) {
        ("substr", [text, from, length]) if integer(from) == Some(1) => (text, length),
        ("left", [text, length]) => (text, length),
        _ => return None,
    };
    let length = usize::try_from(integer(length)?).ok()?;
    (length > 0 && matches!(text, Expr::Column(_))).then_some((text, length))
}

fn integer(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(ScalarValue::Int64(value), _) => *value,
        Expr::Literal(ScalarValue::Int32(value), _) => value.map(i64::from),
        Expr::Cast(cast) if cast.field.data_type().is_integer() => integer(&cast.expr),
        _ => None,
    }
}

/// `text LIKE 'value%'`, or `text = 'value'` where the value is shorter than a beginning of `length` characters would be.
fn begins_with(text: &Expr, length: usize, value: &Expr, negated: bool, schema: &DFSchema) -> Option<Expr> {
    let literal = match value {
        Expr::Literal(literal, _) => literal,
        Expr::Cast(cast) if cast.field.data_type().is_string() => match cast.expr.as_ref() {
            Expr::Literal(literal, _) => literal,
            _ => return None,
        },
        _ => return None,
    };
    let value = literal.try_as_str().flatten()?;
    let data_type = text.get_type(schema).ok()?;
    let constant = |value: String| {
        let value = ScalarValue::Utf8View(Some(value)).cast_to(&data_type);
        value.ok().map(|value| Expr::Literal(value, None))
    };
    let characters = value.chars().count();
    if characters > length {
        // Never, but NULL of a NULL.
        return None;
    }
    if characters < length {
        let value = constant(value.to_owned())?;
        return Some(match negated {
            true => text.clone().not_eq(value),
            false => text.clone().eq(value),
        });
    }
    let mut pattern = String::with_capacity(value.len() + 1);
    for character in value.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    let pattern = constant(pattern)?;
    Some(match negated {
        true => text.clone().not_like(pattern),
        false => text.clone().like(pattern),
    })
}
