//! A source that does as it is told: gives rows, fails or never answers, and counts what happens to it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use causeway_spi::{
    BatchStream, ConnectorError, ErrorKind, Filter, Lookup, Pushdown, ReadContext, Result, Scan, Split,
    Table, TableName, TableStatistics,
};
use futures::{StreamExt, stream};

/// What happens next in a stream.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// A batch of these ids.
    Rows(Vec<i64>),
    /// A batch that is not of the promised type.
    WrongType,
    /// An error of the source.
    Fail,
    /// No answer, ever.
    Hang,
}

/// What happened so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) reads: AtomicUsize,
    pub(crate) gets: AtomicUsize,
    pub(crate) keys: AtomicUsize,
    /// Executions whose splits were read.
    pub(crate) executions: AtomicUsize,
    /// Streams that are open now.
    pub(crate) open: AtomicUsize,
}

/// A table of one column `id`, with a script per split and one for lookups.
pub(crate) struct Scripted {
    name: TableName,
    schema: SchemaRef,
    splits: Vec<Vec<Step>>,
    lookup: Vec<Step>,
    /// `read` and `get` themselves do not answer.
    pub(crate) hangs_at_open: bool,
    /// What it says that it has.
    pub(crate) rows: Option<u64>,
    pub(crate) counts: Arc<Counts>,
}

impl Scripted {
    pub(crate) fn new(splits: Vec<Vec<Step>>, lookup: Vec<Step>) -> Self {
        Self {
            name: TableName::new("test", "public", "scripted"),
            schema: Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)])),
            splits,
            lookup,
            hangs_at_open: false,
            rows: Some(1_000_000),
            counts: Arc::default(),
        }
    }

    async fn stream(&self, scan: &Scan, steps: &[Step]) -> BatchStream {
        if self.hangs_at_open {
            std::future::pending::<()>().await;
        }
        let guard = OpenStream::new(&self.counts);
        let schema = scan.projected_schema();
        let steps = steps.to_vec();
        let batches = stream::iter(steps).then(move |step| {
            let _open = &guard;
            run(step, Arc::clone(&schema))
        });
        batches.boxed()
    }
}

async fn run(step: Step, schema: SchemaRef) -> Result<RecordBatch> {
    tokio::task::yield_now().await;
    match step {
        Step::Rows(ids) => {
            let ids = Arc::new(Int64Array::from(ids));
            Ok(RecordBatch::try_new(schema, vec![ids]).expect("one column of ids"))
        }
        Step::WrongType => {
            let column: arrow::array::ArrayRef = Arc::new(arrow::array::BooleanArray::from(vec![true]));
            Ok(RecordBatch::try_from_iter([("id", column)]).expect("one column"))
        }
        Step::Fail => {
            Err(ConnectorError::new(ErrorKind::Source, "table scripted fell over").hint("Lift it."))
        }
        Step::Hang => std::future::pending().await,
    }
}

/// Counts a stream as long as it lives.
struct OpenStream(Arc<Counts>);

impl OpenStream {
    fn new(counts: &Arc<Counts>) -> Self {
        counts.open.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(counts))
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

#[async_trait]
impl Table for Scripted {
    fn name(&self) -> &TableName {
        &self.name
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn statistics(&self) -> Arc<TableStatistics> {
        Arc::new(TableStatistics {
            rows: self.rows,
            row_bytes: Some(8),
            columns: Vec::new(),
        })
    }

    fn pushdown(&self, _: &Filter) -> Pushdown {
        Pushdown::declined("a script does not filter")
    }

    async fn splits(&self, _: &Scan) -> Result<Vec<Split>> {
        let split = |index| Split {
            index,
            part: String::new(),
        };
        Ok((0..self.splits.len()).map(split).collect())
    }

    async fn read(&self, scan: &Scan, split: &Split, cx: &ReadContext) -> Result<BatchStream> {
        self.counts.reads.fetch_add(1, Ordering::SeqCst);
        let execution = cx
            .execution
            .as_ref()
            .expect("a leaf's splits share their execution");
        let kept = execution.get_or_init(|| self.counts.executions.fetch_add(1, Ordering::SeqCst));
        assert!(kept.is_some() && execution.get_or_init(String::new).is_none());
        Ok(self.stream(scan, &self.splits[split.index]).await)
    }

    fn remote_text(&self, _: &Scan) -> String {
        "script".to_owned()
    }

    fn lookup(&self) -> Option<&dyn Lookup> {
        (!self.lookup.is_empty()).then_some(self)
    }
}

#[async_trait]
impl Lookup for Scripted {
    fn keys(&self) -> &[Vec<usize>] {
        const ID: &[Vec<usize>] = &[];
        static KEYS: std::sync::OnceLock<Vec<Vec<usize>>> = std::sync::OnceLock::new();
        if self.lookup.is_empty() {
            ID
        } else {
            KEYS.get_or_init(|| vec![vec![0]])
        }
    }

    async fn get(&self, scan: &Scan, _: usize, values: RecordBatch, _: &ReadContext) -> Result<BatchStream> {
        self.counts.gets.fetch_add(1, Ordering::SeqCst);
        self.counts.keys.fetch_add(values.num_rows(), Ordering::SeqCst);
        Ok(self.stream(scan, &self.lookup).await)
    }
}
