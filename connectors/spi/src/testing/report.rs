//! What a run of the harness found: counts that show that it was not vacuous, or the first broken law.

use std::fmt;

/// Counts over all checks of a run.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct LawReport {
    /// Queries, each run on three sides.
    pub checks: u64,
    /// Queries with a condition.
    pub filtered: u64,
    /// Queries of which a condition reached the source exactly.
    pub exact: u64,
    /// Queries of which a condition reached the source as a superset.
    pub superset: u64,
    /// Queries of which a condition was pushed at all.
    pub pushed: u64,
    /// Queries with a join.
    pub joins: u64,
    /// Queries that were answered by lookups at the source.
    pub lookups: u64,
    /// Queries with a limit.
    pub limited: u64,
    /// Queries whose limit reached the source.
    pub limits_pushed: u64,
    /// Queries with an aggregate, groups, or an order with a limit.
    pub operators: u64,
    /// Queries of which the source computed such an operator.
    pub operators_pushed: u64,
    /// Queries in which the table meets itself.
    pub mates: u64,
    /// Queries of which the source computed such a join.
    pub mates_pushed: u64,
    /// Queries over a union of two parts of the table.
    pub unions: u64,
    /// Queries of which the source computed such a union.
    pub unions_pushed: u64,
    /// Scans checked against the contract itself.
    pub contract_reads: u64,
    /// Lookups checked against the contract itself.
    pub contract_lookups: u64,
    /// Limited scans checked against the contract itself.
    pub contract_limits: u64,
    /// Rows compared.
    pub rows: u64,
    /// Queries that every side refused with the same error.
    pub errors: u64,
}

/// The least shares, between 0 and 1, that must really reach a source, or its run proves nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shares {
    /// Of the queries with a condition: those with a pushed one.
    pub pushed: f64,
    /// Of the queries with a join: those answered by lookups.
    pub lookups: f64,
    /// Of the queries with a limit: those whose limit was pushed.
    pub limits: f64,
    /// Of the queries with an operator above their filters: those of which the source computed one.
    pub operators: f64,
    /// Of the queries in which the table meets itself: those of which the source computed the join.
    pub mates: f64,
    /// Of the queries over a union: those of which the source computed it.
    pub unions: f64,
}

impl Default for Shares {
    fn default() -> Self {
        Self {
            pushed: 0.25,
            lookups: 0.25,
            limits: 0.05,
            operators: 0.0,
            mates: 0.0,
            unions: 0.0,
        }
    }
}

impl LawReport {
    /// Adds the counts of another run.
    pub fn add(&mut self, other: &LawReport) {
        let pairs = [
            (&mut self.checks, other.checks),
            (&mut self.filtered, other.filtered),
            (&mut self.exact, other.exact),
            (&mut self.superset, other.superset),
            (&mut self.pushed, other.pushed),
            (&mut self.joins, other.joins),
            (&mut self.lookups, other.lookups),
            (&mut self.limited, other.limited),
            (&mut self.limits_pushed, other.limits_pushed),
            (&mut self.operators, other.operators),
            (&mut self.operators_pushed, other.operators_pushed),
            (&mut self.mates, other.mates),
            (&mut self.mates_pushed, other.mates_pushed),
            (&mut self.unions, other.unions),
            (&mut self.unions_pushed, other.unions_pushed),
            (&mut self.contract_reads, other.contract_reads),
            (&mut self.contract_lookups, other.contract_lookups),
            (&mut self.contract_limits, other.contract_limits),
            (&mut self.rows, other.rows),
            (&mut self.errors, other.errors),
        ];
        for (sum, more) in pairs {
            *sum += more;
        }
    }

    /// Says which share is below `least`; nothing when the run was worth it.
    pub fn vacuous(&self, least: &Shares) -> Option<String> {
        let shares = [
            ("conditions pushed", self.pushed, self.filtered, least.pushed),
            (
                "joins answered by lookups",
                self.lookups,
                self.joins,
                least.lookups,
            ),
            ("limits pushed", self.limits_pushed, self.limited, least.limits),
            (
                "operators pushed",
                self.operators_pushed,
                self.operators,
                least.operators,
            ),
            (
                "joins of the table with itself pushed",
                self.mates_pushed,
                self.mates,
                least.mates,
            ),
            ("unions pushed", self.unions_pushed, self.unions, least.unions),
            (
                "queries without an error",
                self.checks - self.errors,
                self.checks,
                0.98,
            ),
        ];
        shares
            .into_iter()
            .find(|&(_, part, whole, least)| share(part, whole) < least)
            .map(|(what, part, whole, least)| format!("{what}: {part} of {whole}, less than {least}"))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share of a few thousand checks")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

impl fmt::Display for LawReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} checks, {} rows compared, {} alike errors",
            self.checks, self.rows, self.errors
        )?;
        writeln!(
            f,
            "  {} with a condition: {} pushed ({} exactly, {} as a superset)",
            self.filtered, self.pushed, self.exact, self.superset
        )?;
        writeln!(f, "  {} joins: {} by lookups", self.joins, self.lookups)?;
        writeln!(f, "  {} limits: {} pushed", self.limited, self.limits_pushed)?;
        writeln!(
            f,
            "  {} operators: {} pushed",
            self.operators, self.operators_pushed
        )?;
        writeln!(
            f,
            "  {} joins of the table with itself: {} pushed",
            self.mates, self.mates_pushed
        )?;
        writeln!(f, "  {} unions: {} pushed", self.unions, self.unions_pushed)?;
        write!(
            f,
            "  contract: {} reads, {} lookups, {} limits",
            self.contract_reads, self.contract_lookups, self.contract_limits
        )
    }
}

/// The first difference of a run, minimised.
#[derive(Debug, Clone, Default)]
pub struct LawViolation {
    /// The table under test.
    pub subject: String,
    /// The law that is broken.
    pub law: String,
    /// The smallest query found that breaks it, with its keys written out.
    pub sql: String,
    /// The generated query it was made from.
    pub original_sql: String,
    /// What was pushed for the smallest query.
    pub pushed: String,
    /// The rows that differ.
    pub difference: String,
    /// Replays the original query with one check.
    pub seed: u64,
    /// Checks passed before it.
    pub checks_before: u64,
}

impl fmt::Display for LawViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: law broken: {}", self.subject, self.law)?;
        writeln!(f, "  {}", self.sql)?;
        writeln!(f, "  replay: TEST_LAW_SEED={} TEST_LAW_CHECKS=1", self.seed)?;
        for line in self.pushed.lines().chain(self.difference.lines()) {
            writeln!(f, "  {line}")?;
        }
        write!(f, "  generated as: {}", self.original_sql)
    }
}

impl std::error::Error for LawViolation {}
