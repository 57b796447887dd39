//! One conjunct of a query's WHERE over one table, and a source's verdict on it.

use std::borrow::Cow;
use std::fmt;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::Expr;
use datafusion::sql::sqlparser::keywords::ALL_KEYWORDS;
use datafusion::sql::unparser::Unparser;
use datafusion::sql::unparser::dialect::Dialect;

use crate::logical_rules::opened;

/// A conjunct over the columns of one table, normalised: columns unqualified, aliases gone, hidden terms open.
///
/// DataFusion asks for verdicts with qualified columns and hands the same filter to the scan unqualified; both become
/// the same `Filter`, so that a verdict is a pure function of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Filter(Expr);

impl Filter {
    /// Normalises `expr`.
    pub fn new(expr: &Expr) -> Self {
        let normalised = expr
            .clone()
            .transform(|node| {
                Ok(match node {
                    Expr::Column(column) if column.relation.is_some() => {
                        Transformed::yes(Expr::Column(Column::new_unqualified(column.name)))
                    }
                    Expr::Alias(alias) => Transformed::yes(*alias.expr),
                    Expr::ScalarFunction(function) => match opened(&function) {
                        Some(term) => Transformed::yes(term.clone()),
                        None => Transformed::no(Expr::ScalarFunction(function)),
                    },
                    other => Transformed::no(other),
                })
            })
            .map(|transformed| transformed.data);
        Self(normalised.unwrap_or_else(|_| expr.clone()))
    }

    /// The expression: a boolean over unqualified columns and literals.
    pub fn expr(&self) -> &Expr {
        &self.0
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As SQL, so that literals are quoted; what has no SQL form is shown in DataFusion's words.
        let shown = without_zeros(&self.0);
        match Unparser::new(&PlainNames).expr_to_sql(&shown) {
            Ok(sql) => write!(f, "{}", strip_brackets(&sql.to_string())),
            Err(_) => write!(f, "{}", shown.human_display()),
        }
    }
}

/// `expr` as a user would write it, or nearly so: without the casts that make types equal, and with names that the columns of
/// derived tables have here, which no user can quote.
pub(crate) fn sql_text(expr: &Expr) -> String {
    let shown = without_zeros(Filter::new(expr).expr());
    let shown = shown.transform_up(|node| {
        Ok(match node {
            Expr::Cast(cast) => Transformed::yes(*cast.expr),
            other => Transformed::no(other),
        })
    });
    let shown = shown.map_or_else(|_| expr.clone(), |shown| shown.data);
    match Unparser::new(&BareNames).expr_to_sql(&shown) {
        Ok(sql) => strip_brackets(&sql.to_string()).to_owned(),
        Err(_) => shown.human_display().to_string(),
    }
}

/// Names as they are.
struct BareNames;

impl Dialect for BareNames {
    fn identifier_quote_style(&self, _: &str) -> Option<char> {
        None
    }
}

/// The function that the server puts around floats that are compared, so that both zeros are one.
pub const UNSIGNED_ZERO: &str = "unsigned_zero";

/// `expr` as it was before the server made both zeros of its floats one.
fn without_zeros(expr: &Expr) -> Expr {
    let shown = expr.clone().transform(|node| {
        Ok(match node {
            Expr::ScalarFunction(mut call) if call.name() == UNSIGNED_ZERO && call.args.len() == 1 => {
                Transformed::yes(call.args.swap_remove(0))
            }
            other => Transformed::no(other),
        })
    });
    shown.map_or_else(|_| expr.clone(), |shown| shown.data)
}

/// DataFusion's own dialect, which builds a regular expression for each name that it shows.
struct PlainNames;

impl Dialect for PlainNames {
    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        let is_plain = identifier.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
            && identifier
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        // As a keyword it is one of another dialect only.
        let is_keyword = || {
            let upper = identifier.to_ascii_uppercase();
            identifier != "id" && ALL_KEYWORDS.binary_search(&upper.as_str()).is_ok()
        };
        (!is_plain || is_keyword()).then_some('"')
    }
}

/// The unparser brackets every operator: the outermost pair says nothing.
fn strip_brackets(sql: &str) -> &str {
    let Some(inner) = sql.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) else {
        return sql;
    };
    let mut depth = 0_usize;
    for character in inner.chars() {
        match character {
            // A quoted bracket could mislead the count: such texts keep their outermost pair.
            '\'' | '"' => return sql,
            '(' => depth += 1,
            ')' if depth == 0 => return sql,
            ')' => depth -= 1,
            _ => {}
        }
    }
    inner
}

/// What a source does with a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The source applies it exactly as our engine would; it is not checked again.
    Exact,
    /// The source drops only rows that our engine would drop; it is checked again here.
    Superset,
    /// The source does not see it.
    Declined,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Exact => "exact",
            Self::Superset => "superset",
            Self::Declined => "declined",
        })
    }
}

/// A verdict and why: the reason is shown by EXPLAIN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushdown {
    /// The verdict.
    pub verdict: Verdict,
    /// Why, as a fragment a user understands: "integers compare alike there and here".
    pub reason: Cow<'static, str>,
    /// What a user can do so that the source does more, as a sentence; shown by EXPLAIN.
    pub hint: Option<Cow<'static, str>>,
}

impl Pushdown {
    /// Pushed and not checked again.
    pub fn exact(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            verdict: Verdict::Exact,
            reason: reason.into(),
            hint: None,
        }
    }

    /// Pushed and checked again here.
    pub fn superset(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            verdict: Verdict::Superset,
            reason: reason.into(),
            hint: None,
        }
    }

    /// Not pushed.
    pub fn declined(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            verdict: Verdict::Declined,
            reason: reason.into(),
            hint: None,
        }
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The text of a string literal of any Arrow string type; `None` for NULL and for other types.
pub fn scalar_text(value: &ScalarValue) -> Option<&str> {
    match value {
        ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text) => {
            text.as_deref()
        }
        _ => None,
    }
}
