//! What the collated source understands of a filter, and how it evaluates it, with the planted faults.

use std::cmp::Ordering;

use arrow::datatypes::{DataType, Schema};
use causeway_spi::{Verdict, scalar_text};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{Between, InList, Like};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use crate::collation::{Underscore, folded, like};
use crate::mutation::Mutation;

/// The one text column whose equality is also checked byte for byte.
const BINARY_COLUMN: &str = "name";

/// Evaluates filters for a table of `schema`.
pub(crate) struct Predicates<'a> {
    pub(crate) schema: &'a Schema,
    pub(crate) mutation: Option<Mutation>,
}

/// A column beside a literal, the operator turned so that the column is on the left.
struct Comparison<'a> {
    column: &'a str,
    operator: Operator,
    literal: &'a ScalarValue,
}

impl Predicates<'_> {
    fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    fn is_text(&self, column: &str) -> bool {
        self.data_type(column) == Some(&DataType::Utf8View)
    }

    fn data_type(&self, column: &str) -> Option<&DataType> {
        self.schema
            .field_with_name(column)
            .ok()
            .map(|field| field.data_type())
    }

    /// What the source may say of `expr`.
    pub(crate) fn verdict(&self, expr: &Expr) -> Verdict {
        match expr {
            Expr::Column(column) if self.data_type(column.name()) == Some(&DataType::Boolean) => {
                Verdict::Exact
            }
            Expr::Literal(ScalarValue::Boolean(_), _) => Verdict::Exact,
            Expr::IsNull(inner) | Expr::IsNotNull(inner) if inner.try_as_col().is_some() => Verdict::Exact,
            Expr::Not(inner) => match self.verdict(inner) {
                Verdict::Exact => Verdict::Exact,
                _ => Verdict::Declined,
            },
            Expr::BinaryExpr(binary) if binary.op == Operator::And => self.both(binary),
            Expr::BinaryExpr(binary) if binary.op == Operator::Or => self.either(binary),
            Expr::BinaryExpr(binary) => comparison(binary).map_or(Verdict::Declined, |it| self.compared(&it)),
            Expr::InList(list) => self.listed(list),
            Expr::Between(between) => self.between(between),
            Expr::Like(like) => self.liked(like),
            _ => Verdict::Declined,
        }
    }

    fn both(&self, binary: &BinaryExpr) -> Verdict {
        match (self.verdict(&binary.left), self.verdict(&binary.right)) {
            (Verdict::Exact, Verdict::Exact) => Verdict::Exact,
            (Verdict::Declined, Verdict::Declined) => Verdict::Declined,
            _ => Verdict::Superset,
        }
    }

    fn either(&self, binary: &BinaryExpr) -> Verdict {
        match (self.verdict(&binary.left), self.verdict(&binary.right)) {
            (Verdict::Exact, Verdict::Exact) => Verdict::Exact,
            (Verdict::Declined, Verdict::Declined) => Verdict::Declined,
            (Verdict::Declined, _) | (_, Verdict::Declined) if !self.is(Mutation::OrForgetsBranch) => {
                Verdict::Declined
            }
            _ => Verdict::Superset,
        }
    }

    fn compared(&self, it: &Comparison<'_>) -> Verdict {
        if it.literal.is_null() || self.data_type(it.column) != Some(&it.literal.data_type()) {
            return Verdict::Declined;
        }
        match it.operator {
            _ if !self.is_text(it.column) => Verdict::Exact,
            Operator::Eq => self.text_equality(it.column),
            _ if it.column == BINARY_COLUMN => Verdict::Exact,
            Operator::NotEq if self.is(Mutation::InequalityUnderCollation) => Verdict::Superset,
            _ if self.is(Mutation::RangeUnderCollation) && it.operator != Operator::NotEq => {
                Verdict::Superset
            }
            _ => Verdict::Declined,
        }
    }

    fn text_equality(&self, column: &str) -> Verdict {
        if column == BINARY_COLUMN || self.is(Mutation::ExactOnCaseInsensitiveText) {
            Verdict::Exact
        } else {
            Verdict::Superset
        }
    }

    fn listed(&self, list: &InList) -> Verdict {
        let Some(column) = list.expr.try_as_col() else {
            return Verdict::Declined;
        };
        let data_type = self.data_type(column.name());
        let alike = |item: &Expr| matches!(item, Expr::Literal(value, _) if value.is_null() || Some(&value.data_type()) == data_type);
        if !list.list.iter().all(alike) {
            return Verdict::Declined;
        }
        match (self.is_text(column.name()), list.negated) {
            (false, _) => Verdict::Exact,
            (true, false) => self.text_equality(column.name()),
            (true, true) if column.name() == BINARY_COLUMN => Verdict::Exact,
            (true, true) if self.is(Mutation::InequalityUnderCollation) => Verdict::Superset,
            (true, true) => Verdict::Declined,
        }
    }

    fn between(&self, between: &Between) -> Verdict {
        let bound = |operator, bound: &Expr| {
            let side = BinaryExpr::new(between.expr.clone(), operator, Box::new(bound.clone()));
            comparison(&side).map_or(Verdict::Declined, |it| self.compared(&it))
        };
        match (
            bound(Operator::GtEq, &between.low),
            bound(Operator::LtEq, &between.high),
        ) {
            (Verdict::Exact, Verdict::Exact) => Verdict::Exact,
            _ => Verdict::Declined,
        }
    }

    fn liked(&self, like: &Like) -> Verdict {
        let literal =
            matches!(like.pattern.as_ref(), Expr::Literal(value, _) if scalar_text(value).is_some());
        if like.expr.try_as_col().is_some() && literal && !like.negated {
            Verdict::Superset
        } else {
            Verdict::Declined
        }
    }

    /// Whether `row` passes `expr`: unknown is no.
    pub(crate) fn holds(&self, expr: &Expr, row: &[ScalarValue]) -> bool {
        self.truth(expr, row) == Some(true)
    }

    /// The truth of `expr`, or unknown. What cannot be sent stands in an AND, where it counts as true.
    fn truth(&self, expr: &Expr, row: &[ScalarValue]) -> Option<bool> {
        match expr {
            Expr::Literal(ScalarValue::Boolean(value), _) => *value,
            Expr::Column(_) => match self.value(expr, row)? {
                ScalarValue::Boolean(value) => *value,
                _ => None,
            },
            Expr::Not(inner) if self.is(Mutation::DroppedNot) => self.truth(inner, row),
            Expr::Not(inner) => Some(!self.truth(inner, row)?),
            Expr::IsNull(inner) => Some(self.is_null(inner, row)),
            Expr::IsNotNull(inner) => Some(!self.is_null(inner, row)),
            Expr::BinaryExpr(binary) if binary.op == Operator::And => three_valued(
                self.sent(&binary.left, row, true),
                self.sent(&binary.right, row, true),
                false,
            ),
            Expr::BinaryExpr(binary) if binary.op == Operator::Or => three_valued(
                self.sent(&binary.left, row, false),
                self.sent(&binary.right, row, false),
                true,
            ),
            Expr::BinaryExpr(binary) => self.comparison_truth(&comparison(binary)?, row),
            Expr::InList(list) => self.list_truth(list, row),
            Expr::Between(between) => self.between_truth(between, row),
            Expr::Like(pattern) => self.like_truth(pattern, row),
            _ => Some(true),
        }
    }

    /// The truth of one side of AND or OR, or `otherwise` when that side is not sent.
    fn sent(&self, expr: &Expr, row: &[ScalarValue], otherwise: bool) -> Option<bool> {
        match self.verdict(expr) {
            Verdict::Declined => Some(otherwise),
            _ => self.truth(expr, row),
        }
    }

    fn value<'r>(&self, expr: &Expr, row: &'r [ScalarValue]) -> Option<&'r ScalarValue> {
        row.get(self.schema.index_of(expr.try_as_col()?.name()).ok()?)
    }

    fn is_null(&self, expr: &Expr, row: &[ScalarValue]) -> bool {
        let Some(value) = self.value(expr, row) else {
            return true;
        };
        value.is_null() || (self.is(Mutation::EmptyIsNull) && scalar_text(value) == Some(""))
    }

    fn comparison_truth(&self, it: &Comparison<'_>, row: &[ScalarValue]) -> Option<bool> {
        let value = row.get(self.schema.index_of(it.column).ok()?)?;
        if value.is_null() && self.is(Mutation::NullIsFalse) {
            return Some(it.operator == Operator::NotEq);
        }
        if let Operator::Eq | Operator::NotEq = it.operator {
            let equal = self.equal(it.column, value, it.literal)?;
            return Some(equal == (it.operator == Operator::Eq));
        }
        let order = self.order(it.column, value, it.literal)?;
        Some(match it.operator {
            Operator::Lt => order == Ordering::Less,
            Operator::LtEq => order != Ordering::Greater,
            Operator::Gt => order == Ordering::Greater,
            _ => order != Ordering::Less,
        })
    }

    fn equal(&self, column: &str, left: &ScalarValue, right: &ScalarValue) -> Option<bool> {
        if left.is_null() || right.is_null() {
            return None;
        }
        let (Some(a), Some(b)) = (scalar_text(left), scalar_text(right)) else {
            return Some(self.order(column, left, right)? == Ordering::Equal);
        };
        let collated = folded(a) == folded(b);
        Some(if column != BINARY_COLUMN {
            collated
        } else if self.is(Mutation::PaddedEquality) {
            collated && a.trim_end_matches(' ') == b.trim_end_matches(' ')
        } else {
            collated && a == b
        })
    }

    fn order(&self, column: &str, left: &ScalarValue, right: &ScalarValue) -> Option<Ordering> {
        if left.is_null() || right.is_null() {
            return None;
        }
        if let (Some(a), Some(b)) = (scalar_text(left), scalar_text(right)) {
            return Some(if column == BINARY_COLUMN {
                a.cmp(b)
            } else {
                folded(a).cmp(&folded(b))
            });
        }
        match (left, right) {
            (ScalarValue::Decimal128(Some(a), ..), ScalarValue::Decimal128(Some(b), _, scale))
                if self.is(Mutation::LiteralNarrowed) && *scale > 2 =>
            {
                let cut = 10_i128.pow(u32::from(scale.unsigned_abs()) - 2);
                Some(a.cmp(&(b / cut * cut)))
            }
            _ => left.partial_cmp(right),
        }
    }

    fn list_truth(&self, list: &InList, row: &[ScalarValue]) -> Option<bool> {
        let column = list.expr.try_as_col()?.name();
        let value = self.value(&list.expr, row)?;
        let mut found = Some(false);
        for item in &list.list {
            let Expr::Literal(item, _) = item else { return None };
            if list.negated && item.is_null() && self.is(Mutation::NotInLosesNulls) {
                continue;
            }
            found = three_valued(found, self.equal(column, value, item), true);
        }
        let negated = list.negated && !self.is(Mutation::DroppedNot);
        Some(found? != negated)
    }

    fn between_truth(&self, between: &Between, row: &[ScalarValue]) -> Option<bool> {
        let side = |operator, bound: &Expr| {
            let side = BinaryExpr::new(between.expr.clone(), operator, Box::new(bound.clone()));
            self.comparison_truth(&comparison(&side)?, row)
        };
        let inside = three_valued(
            side(Operator::GtEq, &between.low),
            side(Operator::LtEq, &between.high),
            false,
        );
        Some(inside? != between.negated)
    }

    fn like_truth(&self, pattern: &Like, row: &[ScalarValue]) -> Option<bool> {
        let Expr::Literal(literal, _) = pattern.pattern.as_ref() else {
            return None;
        };
        let underscore = match self.mutation {
            Some(Mutation::LikeUnderscoreIsByte) => Underscore::Byte,
            _ => Underscore::Character,
        };
        Some(like(
            scalar_text(self.value(&pattern.expr, row)?)?,
            scalar_text(literal)?,
            underscore,
        ))
    }
}

/// AND (`decisive` false) or OR (`decisive` true) of two truths.
fn three_valued(left: Option<bool>, right: Option<bool>, decisive: bool) -> Option<bool> {
    if left == Some(decisive) || right == Some(decisive) {
        return Some(decisive);
    }
    left.and(right)
}

fn comparison(binary: &BinaryExpr) -> Option<Comparison<'_>> {
    let known = matches!(
        binary.op,
        Operator::Eq | Operator::NotEq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq
    );
    match (binary.left.as_ref(), binary.right.as_ref()) {
        (Expr::Column(column), Expr::Literal(literal, _)) if known => Some(Comparison {
            column: column.name(),
            operator: binary.op,
            literal,
        }),
        (Expr::Literal(literal, _), Expr::Column(column)) if known => Some(Comparison {
            column: column.name(),
            operator: binary.op.swap()?,
            literal,
        }),
        _ => None,
    }
}
