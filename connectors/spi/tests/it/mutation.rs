//! The faults that are planted in the collated source, each a class of wrong answers of real engines.

/// One planted fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// Equality under a case-insensitive collation is claimed to be exact.
    ExactOnCaseInsensitiveText,
    /// `NOT` before a pushed condition is lost.
    DroppedNot,
    /// A limit is sent below a filter that is only a superset.
    LimitBelowSuperset,
    /// Every split gets its share of the limit.
    LimitPerSplit,
    /// A lookup applies the keys only.
    LookupForgetsFilters,
    /// One partition looks up, the others scan.
    ScanWhileLookingUp,
    /// The keys of a text lookup become a range under the source's collation.
    MinMaxOnTextKeys,
    /// `NOT IN (.., NULL)` ignores the NULL.
    NotInLosesNulls,
    /// An empty text is NULL.
    EmptyIsNull,
    /// `_` matches one byte.
    LikeUnderscoreIsByte,
    /// Equality ignores trailing blanks.
    PaddedEquality,
    /// Keys that are equal under the collation give their rows once each.
    DuplicateRowsPerKey,
    /// `<>` and `NOT IN` under the collation, as a superset: rows are lost.
    InequalityUnderCollation,
    /// Text ranges under the collation.
    RangeUnderCollation,
    /// A branch of OR that cannot be sent is left out.
    OrForgetsBranch,
    /// Two splits share a row.
    SplitsOverlap,
    /// A comparison with NULL is false, so that its negation is true.
    NullIsFalse,
    /// Decimal literals are cut to two digits after the point.
    LiteralNarrowed,
}

impl Mutation {
    /// Every mutation.
    pub(crate) const ALL: &[Mutation] = &[
        Self::ExactOnCaseInsensitiveText,
        Self::DroppedNot,
        Self::LimitBelowSuperset,
        Self::LimitPerSplit,
        Self::LookupForgetsFilters,
        Self::ScanWhileLookingUp,
        Self::MinMaxOnTextKeys,
        Self::NotInLosesNulls,
        Self::EmptyIsNull,
        Self::LikeUnderscoreIsByte,
        Self::PaddedEquality,
        Self::DuplicateRowsPerKey,
        Self::InequalityUnderCollation,
        Self::RangeUnderCollation,
        Self::OrForgetsBranch,
        Self::SplitsOverlap,
        Self::NullIsFalse,
        Self::LiteralNarrowed,
    ];
}
