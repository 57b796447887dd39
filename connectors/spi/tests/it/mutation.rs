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
    /// Texts that are equal under the collation are one group.
    GroupsUnderCollation,
    /// The first rows are the first ones under the collation.
    OrderUnderCollation,
    /// The least and the greatest text are those of the collation.
    LeastUnderCollation,
    /// NULLs stand where the source puts them, whatever the order says.
    NullOrderOfSource,
    /// `count(x)` counts NULLs.
    CountCountsNulls,
    /// `count(DISTINCT x)` counts repeats.
    DistinctForgotten,
    /// An operator is computed of all rows.
    OperatorForgetsFilters,
    /// An aggregate of no rows has no row.
    NoRowsNoRow,
    /// Texts that are equal under the collation meet.
    JoinUnderCollation,
    /// NULLs meet.
    JoinNullsAreEqual,
    /// Rows that the filters of the right side leave out meet.
    JoinForgetsFilters,
    /// A left join gives no row that meets none.
    LeftJoinIsInner,
    /// A semi join gives a row as often as it meets one.
    SemiJoinRepeats,
    /// An anti join leaves out rows with NULLs.
    AntiJoinLosesNulls,
    /// Rows that the filters of the other parts of a union leave out are given.
    UnionForgetsFilters,
    /// A union gives equal rows once.
    UnionDropsRepeats,
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
        Self::GroupsUnderCollation,
        Self::OrderUnderCollation,
        Self::LeastUnderCollation,
        Self::NullOrderOfSource,
        Self::CountCountsNulls,
        Self::DistinctForgotten,
        Self::OperatorForgetsFilters,
        Self::NoRowsNoRow,
        Self::JoinUnderCollation,
        Self::JoinNullsAreEqual,
        Self::JoinForgetsFilters,
        Self::LeftJoinIsInner,
        Self::SemiJoinRepeats,
        Self::AntiJoinLosesNulls,
        Self::UnionForgetsFilters,
        Self::UnionDropsRepeats,
    ];
}
