//! The traits a source implements. Everything optional is a capability that is absent by default.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::datasource::physical_plan::FileScanConfig;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::filter::{Filter, Pushdown};
use crate::operator::Operators;
use crate::passthrough::Passthrough;
use crate::scan::{BatchStream, ReadContext, Scan, Split};
use crate::statistics::{SourceEstimate, TableStatistics};
use crate::write::{ViewDefinition, Writer};

/// The options of one kind of connector, as they stand under `[catalogs.<name>]` without `connector`.
///
/// Their doc comments are the reference that users read: meaning, unit and bounds. A default that serde holds is shown
/// by itself; any other is told by a sentence that begins with `Default: `. Enums derive `Serialize`, so that theirs shows.
pub trait ConnectorOptions: DeserializeOwned + JsonSchema {
    /// The value of `connector` that selects this kind.
    const KIND: &'static str;

    /// Validates the options and makes the catalog. Must not connect: a source that is down must not stop the server.
    fn open(self, catalog: &str) -> Result<Arc<dyn Connector>>;
}

/// A table's place: catalog, schema and table, spelled as the source spells them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableName {
    /// The catalog's name in the configuration.
    pub catalog: String,
    /// The schema: a database of MySQL, `public` for sources without schemas.
    pub schema: String,
    /// The table.
    pub table: String,
}

impl TableName {
    /// Joins the three parts.
    pub fn new(catalog: impl Into<String>, schema: impl Into<String>, table: impl Into<String>) -> Self {
        Self {
            catalog: catalog.into(),
            schema: schema.into(),
            table: table.into(),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.catalog, self.schema, self.table)
    }
}

/// One catalog: a real source and the tables in it.
#[async_trait]
pub trait Connector: Send + Sync + fmt::Debug {
    /// The `connector` value this catalog was configured with, such as `mysql`.
    fn kind(&self) -> &'static str;

    /// Reaches the source and checks the login, within a few seconds.
    async fn ping(&self) -> Result<()>;

    /// The schemas, in the source's spelling.
    async fn schemas(&self) -> Result<Vec<String>>;

    /// The tables and views of `schema`. Errors: `UnknownSchema`.
    async fn tables(&self, schema: &str) -> Result<Vec<String>>;

    /// The table with its columns and statistics; `None` when the schema has no such table.
    ///
    /// `name.schema` and `name.table` are in the source's spelling. Errors: `UnknownSchema`, `Unavailable`, ...
    async fn table(&self, name: &TableName) -> Result<Option<Arc<dyn Table>>>;

    /// What the catalog's login has to be allowed to do, and no more, in the source's own words; `None` where there is no
    /// login. For `causeway check --grants`.
    async fn needs(&self) -> Result<Option<String>> {
        Ok(None)
    }

    /// What the login may do beyond what it needs, or why that cannot be told: a sentence each.
    async fn excess(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Those of [`Connector::tables`] that are views, where the source tells. Errors: `UnknownSchema`.
    async fn views(&self, schema: &str) -> Result<Vec<String>> {
        let _ = schema;
        Ok(Vec::new())
    }

    /// Writing, where Causeway writes to this kind of source. Such a catalog is asked anew by each statement, through
    /// [`Writer::snapshot`]: nothing of it is remembered.
    fn writer(&self) -> Option<&dyn Writer> {
        None
    }

    /// Statements in the source's own language, where users may write such.
    fn passthrough(&self) -> Option<&dyn Passthrough> {
        None
    }

    /// Forgets what the connector itself remembers of `table`, or of everything: the next [`Connector::table`] asks the
    /// source. Connectors that remember nothing have nothing to do.
    async fn refresh(&self, table: Option<&TableName>) -> Result<()> {
        let _ = table;
        Ok(())
    }
}

/// One table as it was when it was loaded. Holds names and shared handles, so that it is cheap to keep.
#[async_trait]
pub trait Table: Send + Sync + fmt::Debug {
    /// The table's full name, for errors and EXPLAIN.
    fn name(&self) -> &TableName;

    /// The columns, in canonical types only ([`crate::check_canonical`]), in the source's spelling.
    fn schema(&self) -> SchemaRef;

    /// What is known of rows and bytes; what is absent is unknown, not small.
    fn statistics(&self) -> Arc<TableStatistics>;

    /// What this table does with `filter`: a pure function of the expression and the columns' profiles.
    ///
    /// *Exact*: no row comes back that our engine would drop, none is missing. *Superset*: none is missing, the engine
    /// checks again. Anything that could miss a row, and anything unknown, is *Declined*.
    fn pushdown(&self, filter: &Filter) -> Pushdown;

    /// What the source itself expects of `scan`, asked when a join is planned; `None` where it does not say, or has to look at
    /// the rows to say it. An estimate is worth one short request: whatever fails is `None`.
    async fn estimate(&self, scan: &Scan) -> Option<SourceEstimate> {
        let _ = scan;
        None
    }

    /// The parts that `scan` may be read in, each on its own. Together they hold every row once. Never empty.
    async fn splits(&self, scan: &Scan) -> Result<Vec<Split>> {
        let _ = scan;
        Ok(vec![Split::whole()])
    }

    /// How `splits`, which this table gave, divide it, or why there is one only: for EXPLAIN. `None` where nobody asks.
    fn splits_text(&self, splits: &[Split]) -> Option<String> {
        let _ = splits;
        None
    }

    /// Starts reading one split: batches of `scan.projected_schema()`, bounded by the context's rows and bytes.
    ///
    /// The work starts when the stream is first polled and stops, at the source too, when it is dropped. Every pushed
    /// filter of `scan` is applied; a limit may be.
    async fn read(&self, scan: &Scan, split: &Split, cx: &ReadContext) -> Result<BatchStream>;

    /// What is sent to the source for `scan`, for EXPLAIN: a statement or an access path, without secrets.
    fn remote_text(&self, scan: &Scan) -> String;

    /// Rows by key, where the source finds them without a scan.
    fn lookup(&self) -> Option<&dyn Lookup> {
        None
    }

    /// Whether this stands for an operator that the source computes ([`Operators::derive`]), or for a statement of the
    /// user's own ([`Passthrough`]): it has no name of its own, and its first row may be long in coming.
    fn is_computed(&self) -> bool {
        false
    }

    /// Operators above a scan, where the source computes some of them.
    fn operators(&self) -> Option<&dyn Operators> {
        None
    }

    /// Indexes into [`Table::schema`] of the primary key's columns, in its order; empty where there is none, or none known.
    fn primary_key(&self) -> &[usize] {
        &[]
    }

    /// The query that stands behind this name, if it is a view: it is planned instead of reading the table.
    fn view(&self) -> Option<&ViewDefinition> {
        None
    }

    /// DataFusion's own provider, for files: it reads instead of [`Table::read`]; verdicts still come from
    /// [`Table::pushdown`].
    fn native(&self) -> Option<Arc<dyn TableProvider>> {
        None
    }

    /// `scan`, which [`Table::native`] planned, is about to be executed: begins what it will wait for first, and whatever the
    /// other scans of its plan find. Who asks for it waits then for what is under way.
    fn begin(&self, _scan: &FileScanConfig) {}
}

/// Finds rows by key.
#[async_trait]
pub trait Lookup: Send + Sync {
    /// The sets of columns (indexes into [`Table::schema`]) that find rows directly, the most selective first.
    fn keys(&self) -> &[Vec<usize>];

    /// How many scanned rows one key costs as much as. Lookups are chosen when `keys * cost` is below the rows of a scan.
    fn key_cost_rows(&self) -> f64 {
        4.0
    }

    /// Reads the rows of `scan` whose columns `keys()[key]` equal one of the rows of `values`.
    ///
    /// `values`: n rows x k columns of the key columns' types, distinct, without NULLs. Every pushed filter of `scan`
    /// applies, exactly as in [`Table::read`]: the rows are those of the scan, restricted to the keys, in any order.
    /// A key without a row gives no row. Batches the keys as the source likes them. Dropping the stream stops it.
    async fn get(
        &self,
        scan: &Scan,
        key: usize,
        values: RecordBatch,
        cx: &ReadContext,
    ) -> Result<BatchStream>;
}
