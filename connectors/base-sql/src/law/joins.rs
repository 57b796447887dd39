//! Laws of joins of two tables of one source.
//!
//! Two rows meet where every condition is true: the laws of filters decide it, over the columns of both sides. NULL and
//! false are one to all kinds of joins. The rows themselves are read as those of each side are, so every column may be
//! given but those of which a value may be an error: a row that meets none would not be read.

use std::borrow::Cow;

use causeway_spi::{Join, Scan, Verdict};

use super::judge;
use crate::dynamic::{DynamicProfile, Fit};
use crate::profile::{ColumnKind, ColumnProfile};
use crate::remote::RemoteExpr;

/// Why something is not sent.
type Reason = Cow<'static, str>;

/// The profiles of the columns that `scan` gives to a join.
pub(crate) fn joined_profiles(profiles: &[ColumnProfile], scan: &Scan) -> Result<Vec<ColumnProfile>, Reason> {
    let profile = |&index: &usize| {
        let profile = profiles.get(index).ok_or("a column is unknown")?;
        match &profile.kind {
            ColumnKind::Dynamic(DynamicProfile {
                fit: Fit::OrError, ..
            }) => Err("a value of another type may be stored there, which is an error here".into()),
            _ => Ok(profile.clone()),
        }
    };
    scan.projection.iter().map(profile).collect()
}

/// The conditions of `join` there, and why they are exact.
pub(crate) fn meets(join: &Join, profiles: &[ColumnProfile]) -> Result<(Vec<RemoteExpr>, Reason), Reason> {
    let mut reasons: Vec<Reason> = Vec::new();
    let mut on = Vec::new();
    for condition in &join.condition {
        let (pushdown, condition) = judge(condition, &join.columns, profiles);
        let condition = condition
            .filter(|_| pushdown.verdict == Verdict::Exact)
            .ok_or_else(|| format!("a condition of it is not exact there: {}", pushdown.reason))?;
        if !reasons.contains(&pushdown.reason) {
            reasons.push(pushdown.reason);
        }
        on.push(condition);
    }
    match on.is_empty() {
        true => Err("it has no condition".into()),
        false => Ok((on, reasons.join("; ").into())),
    }
}
