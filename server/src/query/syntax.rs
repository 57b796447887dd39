//! PostgreSQL's literals and spellings, made plain for the planner: moments in any of their forms, numbers with exponents,
//! AT TIME ZONE, EXTRACT, FETCH FIRST, casts with a length.

mod lengths;
mod literals;

use std::ops::ControlFlow;

use datafusion::common::Span;
use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, DataType, Distinct, ExactNumberInfo, Expr, GroupByExpr, LimitClause,
    OrderBy, OrderByKind, Query, Select, SelectItem, SetExpr, Statement, TimezoneInfo, UnaryOperator, Value,
    VisitMut, VisitorMut,
};

use super::catalog_syntax::{call, has_aggregate, last_part, literal_text, null, string};
use super::names::name_right_sides;
use super::rows;
use crate::error::{QueryError, Result};
use crate::values::input::{InputContext, malformed_array};
use crate::values::{array, moment};
use lengths::{Rounding, with_length};
use literals::{interval_literal, is_float, plain, plain_interval};

/// Rewrites `statement` for a session. Errors: 22007, 22008, 22P02, 22003 for literals that are no values.
pub(super) fn rewrite(statement: &mut Statement, input: InputContext) -> Result<()> {
    match VisitMut::visit(statement, &mut Rewriter { input }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Rewriter {
    input: InputContext,
}

impl VisitorMut for Rewriter {
    type Break = QueryError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<QueryError> {
        name_right_sides(query);
        spell_out_positions(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<QueryError> {
        name_group_of_all(select);
        for item in &mut select.projection {
            // None of its own is an error.
            let _ = VisitMut::visit(item, &mut SeriesAsRows::default());
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<QueryError> {
        if let SetExpr::Values(values) = query.body.as_mut()
            && let Err(error) = self.type_literals(values)
        {
            return ControlFlow::Break(error);
        }
        let Some(fetch) = query.fetch.take() else {
            return ControlFlow::Continue(());
        };
        if fetch.with_ties || fetch.percent {
            return ControlFlow::Break(QueryError::not_supported(
                "FETCH FIRST with TIES or PERCENT is not supported",
            ));
        }
        let count = fetch.quantity.unwrap_or_else(|| number("1"));
        match &mut query.limit_clause {
            Some(LimitClause::LimitOffset { limit, .. }) if limit.is_none() => *limit = Some(count),
            Some(_) => return ControlFlow::Break(QueryError::syntax("multiple LIMIT clauses not allowed")),
            none => {
                *none = Some(LimitClause::LimitOffset {
                    limit: Some(count),
                    offset: None,
                    limit_by: Vec::new(),
                });
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<QueryError> {
        // Before the number is looked at by itself: as a float it may be larger than any numeric.
        if let Expr::Cast {
            expr: inner,
            data_type,
            ..
        } = expr
            && is_float(data_type)
            && let Expr::Value(value) = inner.as_ref()
            && let Value::Number(digits, _) = &value.value
        {
            **inner = string(digits);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<QueryError> {
        match self.rewritten(expr) {
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some(plain)) => {
                *expr = plain;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// Makes rows of a series in a select list: without that it is an array.
#[derive(Default)]
struct SeriesAsRows {
    /// Queries around an expression, which have select lists of their own.
    queries: usize,
}

impl VisitorMut for SeriesAsRows {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let is_series = match expr {
            Expr::Function(function) => last_part(&function.name).as_deref() == Some("generate_series"),
            _ => false,
        };
        if is_series && self.queries == 0 {
            *expr = call("unnest", vec![std::mem::replace(expr, null())]);
        }
        ControlFlow::Continue(())
    }
}

/// Positions in the order of DISTINCT ON: DataFusion looks for the columns of the result before there are any.
fn spell_out_positions(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return;
    };
    let is_plain = |item: &SelectItem| {
        matches!(
            item,
            SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }
        )
    };
    if !matches!(select.distinct, Some(Distinct::On(_))) || !select.projection.iter().all(is_plain) {
        return;
    }
    let Some(OrderBy {
        kind: OrderByKind::Expressions(keys),
        ..
    }) = &mut query.order_by
    else {
        return;
    };
    for key in keys {
        let Expr::Value(value) = &key.expr else { continue };
        let Value::Number(digits, _) = &value.value else {
            continue;
        };
        let place = digits
            .parse::<usize>()
            .ok()
            .and_then(|place| place.checked_sub(1));
        if let Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) =
            place.and_then(|place| select.projection.get(place))
            && !matches!(expr, Expr::Value(_))
        {
            key.expr = expr.clone();
        }
    }
}

/// HAVING without groups makes one group of all rows, also where no aggregate says so.
fn name_group_of_all(select: &mut Select) {
    let is_grouped = !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    let Some(having) = select.having.take() else {
        return;
    };
    let aggregates = has_aggregate(&having) || has_aggregate(&select.projection);
    select.having = Some(match is_grouped || aggregates {
        true => having,
        false => Expr::BinaryOp {
            left: Box::new(Expr::Nested(Box::new(having))),
            op: BinaryOperator::And,
            right: Box::new(Expr::BinaryOp {
                left: Box::new(call("count", vec![number("1")])),
                op: BinaryOperator::GtEq,
                right: Box::new(number("0")),
            }),
        },
    });
}

impl Rewriter {
    fn rewritten(&self, expr: &mut Expr) -> Result<Option<Expr>> {
        Ok(match expr {
            Expr::Value(value) => match &value.value {
                Value::Number(digits, _) if digits.contains(['e', 'E']) => {
                    let mut digits = plain(digits)?;
                    if !digits.contains('.') {
                        // With a point it is a numeric, as every number with an exponent.
                        digits.push('.');
                    }
                    Some(number(&digits))
                }
                Value::UnicodeStringLiteral(text) => Some(string(text)),
                _ => None,
            },
            // Which the engine plans as never NULL, and computes as if it might be.
            Expr::IsUnknown(inner) => Some(Expr::IsNull(inner.clone())),
            Expr::IsNotUnknown(inner) => Some(Expr::IsNotNull(inner.clone())),
            Expr::TypedString(typed) => {
                if let Some(rounding) = Rounding::of(&typed.data_type) {
                    typed.data_type = rounding.whole.clone();
                    return self.rounded(expr, &rounding).map(Some);
                }
                let span = Span::try_from_sqlparser_span(typed.value.span);
                match typed.value.value.clone().into_string() {
                    Some(text) => self
                        .typed_literal(&text, &typed.data_type)
                        .map_err(|error| error.at(span))?,
                    None => None,
                }
            }
            Expr::Cast {
                expr: inner,
                data_type,
                ..
            } => {
                if let Some(rounding) = Rounding::of(data_type) {
                    *data_type = rounding.whole.clone();
                    return self.rounded(expr, &rounding).map(Some);
                }
                match literal_text(inner) {
                    Some(text) => {
                        let text = text.to_owned();
                        let span = span_of(inner);
                        self.typed_literal(&text, data_type)
                            .map_err(|error| error.at(span))?
                            .or_else(|| with_length(inner, data_type))
                    }
                    None => with_length(inner, data_type),
                }
            }
            Expr::Interval(interval) => Some(plain_interval(interval)?),
            Expr::Extract { field, expr: of, .. } => {
                let field = field.to_string().trim_matches(['\'', '"']).to_lowercase();
                let of = std::mem::replace(of.as_mut(), null());
                Some(call("extract", vec![string(&field), of]))
            }
            Expr::AtTimeZone { timestamp, time_zone } => {
                let moment = std::mem::replace(timestamp.as_mut(), null());
                let zone = std::mem::replace(time_zone.as_mut(), null());
                Some(call("timezone", vec![zone, moment]))
            }
            Expr::UnaryOp {
                op: UnaryOperator::Minus,
                expr: operand,
            } => match operand.as_ref() {
                Expr::Interval(interval) => literal_text(&interval.value)
                    .and_then(|text| moment::interval(text, "second").ok())
                    .map(|value| {
                        interval_literal(moment::Interval {
                            months: value.months.wrapping_neg(),
                            days: value.days.wrapping_neg(),
                            microseconds: value.microseconds.wrapping_neg(),
                        })
                    }),
                _ => None,
            },
            Expr::UnaryOp {
                op: UnaryOperator::PGAbs,
                expr: operand,
            } => Some(call("abs", vec![std::mem::replace(operand.as_mut(), null())])),
            Expr::UnaryOp {
                op: UnaryOperator::BitwiseNot,
                expr: operand,
            } => {
                let operand = std::mem::replace(operand.as_mut(), null());
                Some(binary(operand, BinaryOperator::PGBitwiseXor, number("-1")))
            }
            Expr::Function(_) => function(expr),
            Expr::AnyOp {
                left,
                compare_op: BinaryOperator::Eq,
                right,
                ..
            } => in_items(left, right, false)?,
            Expr::AllOp {
                left,
                compare_op: BinaryOperator::NotEq,
                right,
            } => in_items(left, right, true)?,
            other => rows::compared(other)?,
        })
    }
}

fn span_of(expr: &Expr) -> Option<Span> {
    match expr {
        Expr::Value(value) => Span::try_from_sqlparser_span(value.span),
        Expr::Nested(inner) => span_of(inner),
        _ => None,
    }
}

/// `x = ANY ('{1,2}')` as `x IN ('1', '2')`: what the items are depends on what they are compared with.
fn in_items(left: &mut Expr, right: &Expr, negated: bool) -> Result<Option<Expr>> {
    let Some(text) = literal_text(right) else {
        return Ok(None);
    };
    let items = array::items(text).ok_or_else(|| malformed_array(text).at(span_of(right)))?;
    if items.is_empty() {
        // Of no items: even NULL is none of them.
        return Ok(Some(Expr::value(Value::Boolean(negated))));
    }
    let list = items
        .into_iter()
        .map(|item| item.as_deref().map_or_else(null, string));
    Ok(Some(Expr::InList {
        expr: Box::new(std::mem::replace(left, null())),
        list: list.collect(),
        negated,
    }))
}

/// Functions that are operators here, or have another name.
fn function(expr: &mut Expr) -> Option<Expr> {
    let Expr::Function(function) = expr else {
        return None;
    };
    let name = last_part(&function.name)?;
    let arguments = || -> Option<Vec<Expr>> {
        use datafusion::sql::sqlparser::ast::{FunctionArg, FunctionArgExpr, FunctionArguments};
        let FunctionArguments::List(list) = &function.args else {
            return None;
        };
        let plain = list.args.iter().map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
            _ => None,
        });
        plain.collect()
    };
    let now = || call("now", Vec::new());
    let local = || cast(now(), DataType::Timestamp(None, TimezoneInfo::None));
    if name == "localtimestamp" {
        return Some(match arguments().as_deref() {
            Some([digits]) => call("timestamp", vec![local(), digits.clone()]),
            _ => local(),
        });
    }
    match (name.as_str(), arguments()?.as_slice()) {
        ("current_timestamp", [digits]) => Some(call("timestamptz", vec![now(), digits.clone()])),
        ("mod", [left, right]) => Some(binary(nested(left), BinaryOperator::Modulo, nested(right))),
        // What is left over is taken off first, so that the quotient is whole.
        ("div", [left, right]) => {
            let rest = binary(nested(left), BinaryOperator::Modulo, nested(right));
            let whole = binary(nested(left), BinaryOperator::Minus, nested(&rest));
            let quotient = binary(nested(&whole), BinaryOperator::Divide, nested(right));
            Some(call(
                "trunc",
                vec![cast(quotient, DataType::Numeric(ExactNumberInfo::None))],
            ))
        }
        ("sign", [value]) => {
            let when = |op: BinaryOperator, result: &str| CaseWhen {
                condition: binary(nested(value), op, number("0")),
                result: number(result),
            };
            Some(Expr::Case {
                case_token: AttachedToken::empty(),
                end_token: AttachedToken::empty(),
                operand: None,
                conditions: vec![
                    when(BinaryOperator::Gt, "1"),
                    when(BinaryOperator::Lt, "-1"),
                    when(BinaryOperator::Eq, "0"),
                ],
                else_result: None,
            })
        }
        // Casts, written as calls.
        ("date", [value]) => Some(cast(value.clone(), DataType::Date)),
        ("text", [value]) => Some(cast(value.clone(), DataType::Text)),
        ("int2", [value]) => Some(cast(value.clone(), DataType::SmallInt(None))),
        ("int4", [value]) => Some(cast(value.clone(), DataType::Integer(None))),
        ("int8", [value]) => Some(cast(value.clone(), DataType::BigInt(None))),
        ("float4", [value]) => Some(cast(value.clone(), DataType::Real)),
        ("float8", [value]) => Some(cast(value.clone(), DataType::DoublePrecision)),
        ("variance", [value]) => Some(call("var_samp", vec![value.clone()])),
        ("array_length" | "cardinality" | "array_position" | "array_ndims" | "array_upper", _) => {
            let counted = std::mem::replace(expr, null());
            Some(cast(counted, DataType::Integer(None)))
        }
        _ => None,
    }
}

pub(super) fn nested(expr: &Expr) -> Expr {
    Expr::Nested(Box::new(expr.clone()))
}

fn number(digits: &str) -> Expr {
    match digits.strip_prefix('-') {
        Some(digits) => Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr: Box::new(number(digits)),
        },
        None => Expr::value(Value::Number(digits.to_owned(), false)),
    }
}

pub(super) fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp {
        left: Box::new(left),
        op,
        right: Box::new(right),
    }
}

fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast {
        kind: CastKind::DoubleColon,
        expr: Box::new(expr),
        data_type,
        array: false,
        format: None,
    }
}
