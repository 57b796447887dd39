//! What a source's test declares: each line is checked both ways.

use std::sync::Arc;

use async_trait::async_trait;

use super::tables::ConformanceTable;
use crate::connector::Connector;
use crate::error::{ErrorKind, Result};
use crate::testing::ColumnKind;

/// The name of the catalogs that the suite opens.
pub const CATALOG: &str = "conformance";

/// A source under test.
#[async_trait]
pub trait ConformanceSource: Send + Sync {
    /// The source's name in reports.
    fn name(&self) -> &str;

    /// What it declares.
    fn capabilities(&self) -> Capabilities;

    /// The schema in which its tables are.
    fn schema(&self) -> &str;

    /// Makes `tables` in the source, with exactly these rows, and opens the catalog [`CATALOG`] over them. Called again
    /// with tables of other names while the catalogs of earlier calls are in use.
    ///
    /// Errors: the source's own, which are looked at where it refuses a table. Whatever else goes wrong is a panic.
    async fn load(&self, tables: &[ConformanceTable]) -> Result<Arc<dyn Connector>>;
}

/// What a source can do.
#[derive(Debug, Clone)]
pub struct Capabilities {
    /// The kinds of columns that it holds, besides a `bigint` that is the key.
    pub kinds: Vec<ColumnKind>,
    /// What becomes of a table with a column of another kind.
    pub other_kinds: OtherKinds,
    /// Whether names hold characters beyond the first 65,536, such as emoji.
    pub any_names: bool,
    /// Whether there are tables without a key: rows that are equal in all columns.
    pub keyless_tables: bool,
    /// Whether [`crate::Table::primary_key`] tells the key.
    pub primary_keys: bool,
    /// Whether a column that holds no NULL, by its definition, is told from others.
    pub not_null: bool,
    /// How much is known of a table's rows.
    pub row_counts: RowCounts,
    /// The filters that are pushed.
    pub filters: Filters,
    /// Whether a limit ends a read.
    pub limits: bool,
    /// Whether rows are found by the key.
    pub lookups: bool,
    /// Whether DataFusion's own scan reads the tables.
    pub native_scans: bool,
    /// Whether the catalog can tell what its login needs, or the server's user where it is a file.
    pub login: bool,
    /// What can be written.
    pub writes: Writes,
    /// Whether savepoints can be set after the first write.
    pub savepoints: bool,
    /// Whether schemas can be created and dropped.
    pub schemas: bool,
    /// Whether views can be created, and are told from tables.
    pub views: bool,
    /// Of a source whose tables are created: the kinds, of those it holds, that cannot be part of a primary key.
    pub never_keys: Vec<ColumnKind>,
}

/// What becomes of a table with a column of a kind that the source does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherKinds {
    /// There is no way to ask for one: tables are made in the source's own words.
    CannotBeAsked,
    /// [`ConformanceSource::load`], or loading the table, ends in an error of one of these kinds, which names the column.
    Refused(&'static [ErrorKind]),
}

/// How much a source knows of a table's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowCounts {
    /// Nothing.
    Unknown,
    /// Something, that need not be true.
    Estimated,
    /// How many there are.
    Exact,
}

/// The filters that a source takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filters {
    /// None.
    None,
    /// Those on its keys.
    Keys,
    /// Those on its keys and on integers that are no keys.
    Columns,
}

/// What can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    /// Nothing: there is no [`crate::Writer`].
    None,
    /// Rows of tables that somebody else describes: they come and go, but are not updated.
    Rows,
    /// Tables and their rows.
    Tables,
}

impl Capabilities {
    /// Those of a source that is only read, from its beginning to its end.
    pub fn reading(kinds: Vec<ColumnKind>) -> Self {
        Self {
            kinds,
            other_kinds: OtherKinds::CannotBeAsked,
            any_names: true,
            keyless_tables: true,
            primary_keys: false,
            not_null: false,
            row_counts: RowCounts::Estimated,
            filters: Filters::None,
            limits: false,
            lookups: false,
            native_scans: false,
            login: false,
            writes: Writes::None,
            savepoints: false,
            schemas: false,
            views: false,
            never_keys: Vec::new(),
        }
    }

    /// The capabilities by name, for reports: those that it has, and those that it does not have.
    pub(super) fn listed(&self) -> [Vec<&'static str>; 2] {
        let all = [
            ("any names", self.any_names),
            ("keyless tables", self.keyless_tables),
            ("primary keys", self.primary_keys),
            ("NOT NULL", self.not_null),
            ("row counts", self.row_counts != RowCounts::Unknown),
            ("exact row counts", self.row_counts == RowCounts::Exact),
            ("filters on keys", self.filters != Filters::None),
            ("filters on columns", self.filters == Filters::Columns),
            ("limits", self.limits),
            ("lookups", self.lookups),
            ("native scans", self.native_scans),
            ("login", self.login),
            ("writing rows", self.writes != Writes::None),
            ("writing tables", self.writes == Writes::Tables),
            ("savepoints", self.savepoints),
            ("schemas", self.schemas),
            ("views", self.views),
        ];
        [true, false].map(|wanted| {
            let chosen = all.iter().filter(|(_, has)| *has == wanted);
            chosen.map(|(name, _)| *name).collect()
        })
    }
}
