//! The law book: which filters a source evaluates as our engine would, column by column.
//!
//! It is an allow-list. What it does not name is declined, with a reason that EXPLAIN shows. The laws:
//!
//! - A filter only has to be right about *true*: false and NULL both drop a row. NOT is pushed inwards first, by rules
//!   that hold in three-valued logic, so below AND and OR a superset stays a superset.
//! - AND sends what it can: without the other members it is a superset. OR needs every member.
//! - A literal NULL makes a comparison NULL: never true. NULL leaves IN lists; a NULL in NOT IN makes it never true.
//! - Column against literal, of one canonical type, or against a column of its kind ([`columns`]); a cast around a column
//!   is declined, unless it only makes a number wider.
//! - Integers ([`numbers`]): exact. Decimals: exact, bound with a cast. Floats: declined.
//! - Text ([`text`]): `=` and IN in the indexed and the binary form, the rest in the binary form, or plainly where the
//!   collation compares bytes. Bytes: exact.
//! - Days and times ([`temporal`]): exact; ranges and inequalities have a guard against zero dates beside them.
//! - IS NULL and IS NOT NULL: exact; a zero date is NULL.
//! - Columns of sources with dynamic types ([`dynamic`]): what does not fit is looked for, or kept out.

pub(crate) mod advice;
mod columns;
mod dynamic;
pub(crate) mod joins;
mod numbers;
pub(crate) mod operators;
mod pattern;
mod temporal;
#[cfg(test)]
mod tests;
mod text;
pub(crate) mod unions;

use std::borrow::Cow;

use arrow::datatypes::Schema;
use causeway_spi::{Pushdown, UNSIGNED_ZERO};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Like, Operator};

use crate::profile::{ColumnKind, ColumnProfile};
use crate::remote::{ColumnForm, Comparison, RemoteExpr};

/// Deepest nesting that is sent: sources have stacks, too.
const DEPTH_MAX: usize = 48;
/// Most literals of one filter that are bound.
const VALUES_MAX: usize = 4_000;
/// Most reasons that one verdict lists.
const REASONS_MAX: usize = 3;
/// What a reason begins with where only some members of a condition are sent.
const SENT_IN_PART: &str = "sent in part: ";
/// What a reason begins with where a type is not compared.
const UNKNOWN_TYPE: &str = "type ";
const OTHER_REASON: &str = "this expression is not known to mean the same there";
const BARE_REASON: &str = "only comparisons of a bare column are sent";
const CAST_REASON: &str = "a cast of the column is not known to mean the same there";
const LIST_REASON: &str = "only lists of literals are sent";
const CASE_REASON: &str = "letter case is not folded alike there and here";
const ESCAPE_REASON: &str = "only the backslash is known as an escape character";
const PATTERN_REASON: &str = "only literal patterns are sent";
const TYPES_REASON: &str = "column and literal are of different types";

/// The verdict on one filter over the columns of `schema`, and the condition to send unless it is declined.
///
/// `profiles` stand in the order of the schema's fields. A pure function: the same filter always gets the same verdict.
pub fn judge(expr: &Expr, schema: &Schema, profiles: &[ColumnProfile]) -> (Pushdown, Option<RemoteExpr>) {
    let judged = Judge { schema, profiles }.condition(expr, Sense::Is, 0);
    match judged {
        Judged::Pushed { condition, .. } if condition.values_len() > VALUES_MAX => (
            Pushdown::declined(format!("more than {VALUES_MAX} literals are not sent"))
                .hint("Put the values into a table and join with it: its keys are looked up."),
            None,
        ),
        Judged::Pushed {
            condition,
            exact: true,
            reasons,
        } => (advised(Pushdown::exact, &reasons.join("; ")), Some(condition)),
        Judged::Pushed {
            condition,
            exact: false,
            reasons,
        } => (advised(Pushdown::superset, &reasons.join("; ")), Some(condition)),
        Judged::Declined(reason) => (advised(Pushdown::declined, &reason), None),
    }
}

/// A verdict with its reason, and what a user can do about it.
fn advised(verdict: fn(String) -> Pushdown, reason: &str) -> Pushdown {
    let pushdown = verdict(reason.to_owned());
    match advice::advice(reason) {
        Some(hint) => pushdown.hint(hint),
        None => pushdown,
    }
}

/// The condition that the columns equal one of the key tuples, each of one value per column and without NULLs.
///
/// `columns`: index and profile of each key column, all of which are lookup keys. Returns `None` when no row of the
/// source can equal any of the keys.
pub fn key_condition(columns: &[(usize, &ColumnProfile)], keys: &[Vec<ScalarValue>]) -> Option<RemoteExpr> {
    if let [(index, profile)] = columns {
        let values: Vec<_> = keys.iter().flatten().collect();
        return possible(equals_key(*index, profile, &values));
    }
    let tuples: Vec<_> = keys
        .iter()
        .filter_map(|key| {
            let equalities: Option<Vec<_>> = columns
                .iter()
                .zip(key)
                .map(|((index, profile), value)| possible(equals_key(*index, profile, &[value])))
                .collect();
            equalities
        })
        .collect();
    (!tuples.is_empty()).then(|| RemoteExpr::any_tuple(tuples))
}

/// Equality with one of `values`, none of them NULL.
fn equals_key(index: usize, profile: &ColumnProfile, values: &[&ScalarValue]) -> Judged {
    match (&profile.kind, values) {
        (ColumnKind::Dynamic(dynamic), _) => dynamic::equals_key(index, dynamic, values),
        (_, [value]) => compares(index, profile, Comparison::Equal, value),
        _ => equals_any(index, profile, values, Sense::Is),
    }
}

fn possible(judged: Judged) -> Option<RemoteExpr> {
    match judged {
        Judged::Pushed {
            condition: RemoteExpr::Constant(false),
            ..
        }
        | Judged::Declined(_) => None,
        Judged::Pushed { condition, .. } => Some(condition),
    }
}

/// What was found out about a part of a filter.
enum Judged {
    Pushed {
        condition: RemoteExpr,
        exact: bool,
        reasons: Vec<Cow<'static, str>>,
    },
    Declined(Cow<'static, str>),
}

impl Judged {
    fn exact(condition: RemoteExpr, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Pushed {
            condition,
            exact: true,
            reasons: vec![reason.into()],
        }
    }

    fn superset(condition: RemoteExpr, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Pushed {
            condition,
            exact: false,
            reasons: vec![reason.into()],
        }
    }

    fn declined(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Declined(reason.into())
    }

    fn constant(value: bool) -> Self {
        Self::exact(RemoteExpr::Constant(value), "a constant")
    }
}

/// Whether a condition must be true, or must be false and not NULL.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sense {
    Is,
    IsNot,
}

impl Sense {
    fn flipped_if(self, negated: bool) -> Self {
        match (self, negated) {
            (sense, false) => sense,
            (Self::Is, true) => Self::IsNot,
            (Self::IsNot, true) => Self::Is,
        }
    }
}

struct Judge<'a> {
    schema: &'a Schema,
    profiles: &'a [ColumnProfile],
}

impl Judge<'_> {
    fn condition(&self, expr: &Expr, sense: Sense, depth: usize) -> Judged {
        if depth > DEPTH_MAX {
            return Judged::declined("nested too deeply to be sent");
        }
        match expr {
            Expr::Literal(ScalarValue::Boolean(Some(value)), _) => {
                Judged::constant(*value == (sense == Sense::Is))
            }
            Expr::Literal(value, _) if value.is_null() => Judged::constant(false),
            Expr::Alias(alias) => self.condition(&alias.expr, sense, depth + 1),
            Expr::Not(inner) => self.condition(inner, sense.flipped_if(true), depth + 1),
            Expr::BinaryExpr(binary) => self.binary(binary, sense, depth),
            Expr::InList(list) => self.in_list(list, sense),
            Expr::Between(between) => {
                let (expr, low, high) = (&between.expr, &between.low, &between.high);
                let bounds = [
                    self.comparison(expr, Comparison::GreaterOrEqual, low, Sense::Is),
                    self.comparison(expr, Comparison::LessOrEqual, high, Sense::Is),
                ];
                match sense.flipped_if(between.negated) {
                    Sense::Is => all_of(bounds.into()),
                    Sense::IsNot => any_of(vec![
                        self.comparison(expr, Comparison::Less, low, Sense::Is),
                        self.comparison(expr, Comparison::Greater, high, Sense::Is),
                    ]),
                }
            }
            Expr::IsNull(inner) => self.null_test(inner, sense),
            Expr::IsNotNull(inner) => self.null_test(inner, sense.flipped_if(true)),
            Expr::Like(like) => self.like(like, sense),
            Expr::Column(_) => self.truth(expr, sense),
            _ => Judged::declined(OTHER_REASON),
        }
    }

    /// A column that is a condition itself.
    fn truth(&self, expr: &Expr, sense: Sense) -> Judged {
        match self.column(expr) {
            Ok((index, profile)) => match &profile.kind {
                ColumnKind::Dynamic(dynamic) => dynamic::truth(index, dynamic, sense == Sense::Is),
                _ => opaque(profile),
            },
            Err(reason) => Judged::Declined(reason),
        }
    }

    fn binary(&self, binary: &BinaryExpr, sense: Sense, depth: usize) -> Judged {
        if let Some(comparison) = Comparison::from_operator(binary.op) {
            return self.comparison(&binary.left, comparison, &binary.right, sense);
        }
        if !matches!(binary.op, Operator::And | Operator::Or) {
            return Judged::declined(format!(
                "operator {} is not known to mean the same there",
                binary.op
            ));
        }
        let members = chain(binary)
            .into_iter()
            .map(|member| self.condition(member, sense, depth + 1))
            .collect();
        match (binary.op, sense) {
            (Operator::And, Sense::Is) | (Operator::Or, Sense::IsNot) => all_of(members),
            _ => any_of(members),
        }
    }

    fn comparison(&self, left: &Expr, comparison: Comparison, right: &Expr, sense: Sense) -> Judged {
        let comparison = match sense {
            Sense::Is => comparison,
            Sense::IsNot => comparison.negated(),
        };
        let (column, comparison, value) = match (left, right) {
            (Expr::Literal(value, _), other) => (other, comparison.mirrored(), value),
            (other, Expr::Literal(value, _)) => (other, comparison, value),
            _ => return self.compared_columns(left, comparison, right),
        };
        match self.column(column) {
            Ok((index, profile)) => compares(index, profile, comparison, value),
            Err(reason) => Judged::Declined(reason),
        }
    }

    /// Two columns of one kind.
    fn compared_columns(&self, left: &Expr, comparison: Comparison, right: &Expr) -> Judged {
        let sides = self
            .column(widened(left, self.schema))
            .and_then(|left| Ok((left, self.column(widened(right, self.schema))?)));
        match sides {
            Ok(((left, left_profile), (right, right_profile))) => columns::compares(
                (left, &left_profile.kind),
                comparison,
                (right, &right_profile.kind),
            ),
            Err(reason) => Judged::Declined(reason),
        }
    }

    fn in_list(&self, list: &InList, sense: Sense) -> Judged {
        let (index, profile) = match self.column(&list.expr) {
            Ok(found) => found,
            Err(reason) => return Judged::Declined(reason),
        };
        let mut values = Vec::with_capacity(list.list.len());
        for member in &list.list {
            match member {
                Expr::Literal(value, _) => values.push(value),
                _ => return Judged::declined(LIST_REASON),
            }
        }
        equals_any(index, profile, &values, sense.flipped_if(list.negated))
    }

    /// IS NULL, or with [`Sense::IsNot`] IS NOT NULL.
    fn null_test(&self, inner: &Expr, sense: Sense) -> Judged {
        let (index, profile) = match self.column(inner) {
            Ok(found) => found,
            Err(reason) => return Judged::Declined(reason),
        };
        let condition = match sense {
            Sense::Is => RemoteExpr::IsNull(index),
            Sense::IsNot => RemoteExpr::IsNotNull(index),
        };
        match (&profile.kind, sense) {
            (ColumnKind::Opaque, _) => opaque(profile),
            (ColumnKind::Dynamic(dynamic), sense) => {
                dynamic::null_test(index, dynamic, sense == Sense::IsNot)
            }
            (
                ColumnKind::Date { zero_dates: true }
                | ColumnKind::DateTime { zero_dates: true, .. }
                | ColumnKind::Timestamp { zero_dates: true, .. },
                sense,
            ) => {
                let condition = RemoteExpr::IsReal {
                    index,
                    negated: sense == Sense::Is,
                };
                Judged::exact(condition, temporal::ZERO_DATES_REASON)
            }
            _ => Judged::exact(condition, "NULL is the same there"),
        }
    }

    fn like(&self, like: &Like, sense: Sense) -> Judged {
        if like.case_insensitive {
            return Judged::declined(CASE_REASON);
        }
        if like.escape_char.is_some_and(|escape| escape != '\\') {
            return Judged::declined(ESCAPE_REASON);
        }
        let pattern = match like.pattern.as_ref() {
            Expr::Literal(value, _) if value.is_null() => return Judged::constant(false),
            Expr::Literal(value, _) => value,
            _ => return Judged::declined(PATTERN_REASON),
        };
        match self.column(&like.expr) {
            Ok((index, profile)) => {
                let negated = sense.flipped_if(like.negated) == Sense::IsNot;
                match &profile.kind {
                    ColumnKind::Dynamic(dynamic) => {
                        dynamic::matches_pattern(index, dynamic, pattern, negated)
                    }
                    _ => text::matches_pattern(index, profile, pattern, negated),
                }
            }
            Err(reason) => Judged::Declined(reason),
        }
    }

    fn column(&self, expr: &Expr) -> Result<(usize, &ColumnProfile), Cow<'static, str>> {
        let name = match expr {
            Expr::Column(column) => &column.name,
            Expr::Cast(_) | Expr::TryCast(_) => {
                return Err(CAST_REASON.into());
            }
            Expr::ScalarFunction(call) if call.name() == UNSIGNED_ZERO => {
                return Err(numbers::FLOAT_REASON.into());
            }
            _ => return Err(BARE_REASON.into()),
        };
        let found = self.schema.index_of(name).ok();
        let profile = found.and_then(|index| self.profiles.get(index));
        found
            .zip(profile)
            .ok_or_else(|| format!("column \"{name}\" is unknown").into())
    }
}

/// A column of integers without the cast that makes it as wide as another.
fn widened<'a>(expr: &'a Expr, schema: &Schema) -> &'a Expr {
    if let Expr::Cast(cast) = expr
        && let Expr::Column(column) = cast.expr.as_ref()
        && let Ok(field) = schema.field_with_name(&column.name)
        && operators::keeps_values(field.data_type(), cast.field.data_type())
    {
        return &cast.expr;
    }
    expr
}

/// The members of a chain of one operator, however deep it leans, in order.
fn chain(binary: &BinaryExpr) -> Vec<&Expr> {
    let mut members = Vec::new();
    let mut pending = vec![binary.right.as_ref(), binary.left.as_ref()];
    while let Some(expr) = pending.pop() {
        match expr {
            Expr::BinaryExpr(inner) if inner.op == binary.op => {
                pending.push(&inner.right);
                pending.push(&inner.left);
            }
            other => members.push(other),
        }
    }
    members
}

/// Every member must hold: those that cannot be sent are left out, which makes it a superset.
fn all_of(members: Vec<Judged>) -> Judged {
    let mut conditions = Vec::new();
    let mut all_exact = true;
    let mut reasons = Vec::new();
    let mut declined = None;
    for member in members {
        match member {
            Judged::Pushed {
                condition,
                exact,
                reasons: more,
            } => {
                conditions.push(condition);
                all_exact &= exact;
                add_reasons(&mut reasons, more);
            }
            Judged::Declined(reason) => declined = declined.or(Some(reason)),
        }
    }
    match (conditions.is_empty(), declined) {
        (true, reason) => Judged::Declined(reason.unwrap_or(Cow::Borrowed("an empty condition is not sent"))),
        (false, Some(reason)) => {
            reasons.insert(0, format!("{SENT_IN_PART}{reason}").into());
            Judged::Pushed {
                condition: RemoteExpr::And(conditions),
                exact: false,
                reasons,
            }
        }
        (false, None) => Judged::Pushed {
            condition: RemoteExpr::And(conditions),
            exact: all_exact,
            reasons,
        },
    }
}

/// One member must hold: all of them must be sent.
fn any_of(members: Vec<Judged>) -> Judged {
    let mut conditions = Vec::new();
    let mut all_exact = true;
    let mut reasons = Vec::new();
    for member in members {
        match member {
            Judged::Pushed {
                condition,
                exact,
                reasons: more,
            } => {
                conditions.push(condition);
                all_exact &= exact;
                add_reasons(&mut reasons, more);
            }
            declined @ Judged::Declined(_) => return declined,
        }
    }
    if conditions.is_empty() {
        return Judged::declined("an empty condition is not sent");
    }
    Judged::Pushed {
        condition: RemoteExpr::Or(conditions),
        exact: all_exact,
        reasons,
    }
}

fn add_reasons(reasons: &mut Vec<Cow<'static, str>>, more: Vec<Cow<'static, str>>) {
    for reason in more {
        if reasons.len() < REASONS_MAX && !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
}

/// `column comparison value`.
fn compares(index: usize, profile: &ColumnProfile, comparison: Comparison, value: &ScalarValue) -> Judged {
    if value.is_null() {
        return Judged::constant(false);
    }
    match &profile.kind {
        ColumnKind::Integer | ColumnKind::Decimal => {
            numbers::literal(&profile.kind, value).map_or_else(other_type, |value| {
                Judged::exact(
                    RemoteExpr::compare(index, ColumnForm::Plain, comparison, value),
                    numbers::reason(&profile.kind),
                )
            })
        }
        ColumnKind::Float => Judged::declined(numbers::FLOAT_REASON),
        ColumnKind::Text(text) => text::compares(index, text, comparison, value),
        ColumnKind::Binary => text::bytes_literal(value).map_or_else(other_type, |value| {
            Judged::exact(
                RemoteExpr::compare(index, ColumnForm::Plain, comparison, value),
                text::BYTES_REASON,
            )
        }),
        ColumnKind::Date { .. } | ColumnKind::DateTime { .. } | ColumnKind::Timestamp { .. } => {
            temporal::compares(index, &profile.kind, comparison, value)
        }
        ColumnKind::Dynamic(dynamic) => dynamic::compares(index, dynamic, comparison, value),
        ColumnKind::Opaque => opaque(profile),
    }
}

/// `column IN (values)`, or with [`Sense::IsNot`] `column NOT IN (values)`.
fn equals_any(index: usize, profile: &ColumnProfile, values: &[&ScalarValue], sense: Sense) -> Judged {
    let negated = sense == Sense::IsNot;
    if negated && values.iter().any(|value| value.is_null()) {
        return Judged::constant(false);
    }
    let values: Vec<&ScalarValue> = values.iter().copied().filter(|value| !value.is_null()).collect();
    let plain = |literals: Option<Vec<_>>, reason: &'static str| {
        literals.map_or_else(other_type, |literals| {
            Judged::exact(
                RemoteExpr::within(index, ColumnForm::Plain, literals, negated),
                reason,
            )
        })
    };
    match &profile.kind {
        ColumnKind::Integer | ColumnKind::Decimal => plain(
            values
                .iter()
                .map(|value| numbers::literal(&profile.kind, value))
                .collect(),
            numbers::reason(&profile.kind),
        ),
        ColumnKind::Float => Judged::declined(numbers::FLOAT_REASON),
        ColumnKind::Text(text) => text::equals_any(index, text, &values, negated),
        ColumnKind::Binary => plain(
            values.iter().map(|value| text::bytes_literal(value)).collect(),
            text::BYTES_REASON,
        ),
        ColumnKind::Date { .. } | ColumnKind::DateTime { .. } | ColumnKind::Timestamp { .. } => {
            temporal::equals_any(index, &profile.kind, &values, negated)
        }
        ColumnKind::Dynamic(dynamic) => dynamic::equals_any(index, dynamic, &values, negated),
        ColumnKind::Opaque => opaque(profile),
    }
}

fn opaque(profile: &ColumnProfile) -> Judged {
    Judged::Declined(unknown_type(profile))
}

fn unknown_type(profile: &ColumnProfile) -> Cow<'static, str> {
    let native_type = &profile.native_type;
    format!("{UNKNOWN_TYPE}{native_type} is not known to compare alike there").into()
}

fn other_type() -> Judged {
    Judged::declined(TYPES_REASON)
}
