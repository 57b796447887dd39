//! What a source knows about a table's size. Absent is unknown, never small.

/// Estimates loaded with the table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TableStatistics {
    /// Rows of the whole table.
    pub rows: Option<u64>,
    /// Decoded width of one row, in bytes, over all columns.
    pub row_bytes: Option<u64>,
    /// Per column of the table's schema, in its order; may be empty.
    pub columns: Vec<ColumnEstimate>,
}

/// Estimates of one column.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ColumnEstimate {
    /// Distinct values, from an index.
    pub distinct: Option<u64>,
}

/// How many rows a source itself expects a scan to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceEstimate {
    /// Rows that pass the filters on `columns`.
    pub rows: u64,
    /// Indexes into the table's schema: filters on other columns are not in it.
    pub columns: Vec<usize>,
}
