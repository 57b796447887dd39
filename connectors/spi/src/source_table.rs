//! The one translation of a [`Table`] to DataFusion: a `TableProvider` made for one reference in one statement.
//!
//! It carries the session's settings, since `supports_filters_pushdown` gets no session, and notes what was pushed and
//! why, for EXPLAIN.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result as DataFusionResult, ScalarValue};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column as PhysicalColumn;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;

use crate::connector::{Table, TableName};
use crate::deadline::with_source_timeout;
use crate::figures::{file_scan, leaf_reference, with_reference};
use crate::filter::{Filter, Pushdown, Verdict};
use crate::operator::{OperatorNote, Operators};
use crate::scan::{Scan, ScanFilter};
use crate::scan_exec::ScanExec;
use crate::settings::ScanSettings;

/// What happened to one table reference of a statement: shown by EXPLAIN.
#[derive(Debug, Clone)]
pub struct ScanNote {
    /// The table.
    pub table: TableName,
    /// Each filter over the table with its verdict, pushed ones first.
    pub filters: Vec<ScanFilter>,
    /// The number of the reference in its statement; [`ScanExec::reference`] of its leaf.
    pub reference: usize,
    /// Each operator above the filters that the source was asked for, with its answer.
    pub operators: Vec<OperatorNote>,
    /// The limit that went down, if any.
    pub limit: Option<usize>,
    /// What is sent to the source.
    pub remote: String,
}

/// The notes of one statement, in the order in which its scans were planned.
#[derive(Default)]
pub struct ScanNotes(Mutex<Vec<Noted>>);

struct Noted {
    note: ScanNote,
    table: Arc<dyn Table>,
}

impl ScanNotes {
    /// Takes the notes, leaving none.
    pub fn take(&self) -> Vec<ScanNote> {
        let noted = std::mem::take(&mut *self.lock());
        noted.into_iter().map(|noted| noted.note).collect()
    }

    /// Begins what the scans of `plan` that are noted here will wait for first ([`Table::begin`]). Must run in a runtime.
    pub fn begin(&self, plan: &Arc<dyn ExecutionPlan>) -> DataFusionResult<()> {
        plan.apply(|node| {
            let reference = leaf_reference(node.as_ref());
            if let Some((scan, reference)) = file_scan(node.as_ref()).zip(reference) {
                let table = self.lock().get(reference).map(|noted| Arc::clone(&noted.table));
                if let Some(table) = table {
                    table.begin(scan);
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Noted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a note on a scan of `table` and numbers it.
    fn add(&self, mut note: ScanNote, table: Arc<dyn Table>) -> usize {
        let mut notes = self.lock();
        note.reference = notes.len();
        notes.push(Noted { note, table });
        notes.len() - 1
    }
}

impl fmt::Debug for ScanNotes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.lock().iter().map(|noted| &noted.note))
            .finish()
    }
}

/// One reference to a table in one statement.
pub struct SourceTable {
    table: Arc<dyn Table>,
    settings: ScanSettings,
    notes: Arc<ScanNotes>,
    /// The filters declined at the last question: those that stay above the scan.
    declined: Mutex<Vec<ScanFilter>>,
    /// The filters below the operators of a derived table.
    below: Vec<ScanFilter>,
    /// The operators that the table's source was asked for.
    operators: Mutex<Vec<OperatorNote>>,
}

impl SourceTable {
    /// Wraps `table` for one reference in one statement.
    pub fn new(table: Arc<dyn Table>, settings: ScanSettings, notes: Arc<ScanNotes>) -> Self {
        Self {
            table,
            settings,
            notes,
            declined: Mutex::default(),
            below: Vec::new(),
            operators: Mutex::default(),
        }
    }

    /// The table behind it.
    pub fn table(&self) -> &Arc<dyn Table> {
        &self.table
    }

    /// The reference to `table`, which stands for an operator over `scan` of this one.
    pub(crate) fn replaced_by(&self, table: Arc<dyn Table>, scan: &Scan, operator: OperatorNote) -> Self {
        let mut below = self.below.clone();
        below.extend(scan.filters.iter().cloned());
        let mut operators = self
            .operators
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        operators.retain(|note| note.pushdown.verdict == Verdict::Exact);
        operators.push(operator);
        Self {
            below,
            operators: Mutex::new(operators),
            ..Self::new(table, self.settings.clone(), Arc::clone(&self.notes))
        }
    }

    /// This reference, which stands for a join with `scan` of `other`.
    pub(crate) fn joined_with(mut self, other: &Self, scan: &Scan) -> Self {
        self.below.extend(other.below.iter().cloned());
        self.below.extend(scan.filters.iter().cloned());
        let operators = self.operators.get_mut().unwrap_or_else(PoisonError::into_inner);
        let others = other.operators.lock().unwrap_or_else(PoisonError::into_inner);
        let exact = others
            .iter()
            .filter(|note| note.pushdown.verdict == Verdict::Exact);
        operators.extend(exact.cloned());
        drop(others);
        self
    }

    /// Whether both tables are of one source that is asked for joins.
    pub(crate) fn shares_source(&self, other: &Self) -> bool {
        let (ours, others) = (self.operators(), other.operators());
        ours.zip(others)
            .is_some_and(|(ours, others)| ours.shares_source(others))
    }

    /// Notes the answer to an operator, once.
    pub(crate) fn note_operator(&self, mut note: OperatorNote) {
        if let Some(operators) = self.table.operators()
            && note.pushdown.hint.is_none()
        {
            note.pushdown.hint = operators.advice(&note.pushdown.reason).map(Cow::Borrowed);
        }
        let mut operators = self.operators.lock().unwrap_or_else(PoisonError::into_inner);
        if operators.iter().all(|known| known.operator != note.operator) {
            operators.push(note);
        }
    }

    /// Forgets which operators the source has declined.
    pub(crate) fn forget_refusals(&self) {
        let mut operators = self.operators.lock().unwrap_or_else(PoisonError::into_inner);
        operators.retain(|note| note.pushdown.verdict == Verdict::Exact);
    }

    /// The operators that the table's source may be asked for; `None` with pushdown off.
    pub(crate) fn operators(&self) -> Option<&dyn Operators> {
        self.table.operators().filter(|_| self.settings.pushdown)
    }

    /// The scan that DataFusion asks for, if its source does all of it.
    pub(crate) fn exact_scan(
        &self,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Option<Scan> {
        let (scan, kept) = self.plan_scan(projection, filters, limit);
        (kept.is_empty() && scan.all_exact()).then_some(scan)
    }

    fn verdict(&self, expr: &Expr) -> ScanFilter {
        let filter = Filter::new(expr);
        let pushdown = if self.settings.pushdown {
            self.table.pushdown(&filter)
        } else {
            Pushdown::declined("pushdown is off in this session").hint("SET pushdown = on.")
        };
        ScanFilter { filter, pushdown }
    }

    /// The scan for what DataFusion asks, and the filters that it must check itself.
    ///
    /// DataFusion simplifies filters that were accepted already: an accepted `y NOT IN (1, NULL)` comes back as
    /// `NULL`. A filter that would be declined in its new form was perhaps deleted above the scan, so it is checked
    /// right here. The limit goes down only when every filter is Exact.
    fn plan_scan(
        &self,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> (Scan, Vec<Expr>) {
        let schema = self.table.schema();
        let mut pushed: Vec<ScanFilter> = Vec::with_capacity(filters.len());
        let mut kept: Vec<Expr> = Vec::new();
        for expr in filters {
            let filter = self.verdict(expr);
            if filter.pushdown.verdict == Verdict::Declined {
                kept.push(filter.filter.expr().clone());
            } else if !pushed.contains(&filter) {
                pushed.push(filter);
            }
        }
        let projection = projection
            .cloned()
            .unwrap_or_else(|| (0..schema.fields().len()).collect());
        let mut scan = Scan {
            schema,
            projection,
            filters: pushed,
            limit: None,
        };
        if self.settings.pushdown && kept.is_empty() && scan.all_exact() {
            scan.limit = limit;
        }
        (scan, kept)
    }

    /// Reads `scan` by the leaf, or by DataFusion's own scan for files.
    async fn read(&self, state: &dyn Session, scan: Scan) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let reference = self.note(&scan);
        if let Some(native) = self.table.native() {
            let filters: Vec<Expr> = scan
                .filters
                .iter()
                .map(|filter| filter.filter.expr().clone())
                .collect();
            let planned = native.scan(state, Some(&scan.projection), &filters, scan.limit);
            let planned = with_source_timeout(self.settings.source_timeout, planned).await?;
            return Ok(with_reference(planned, reference));
        }
        let leaf = ScanExec::plan(Arc::clone(&self.table), scan, self.settings.clone(), reference).await?;
        Ok(Arc::new(leaf))
    }

    /// Reads `scan` and checks the filters that the table would decline.
    async fn read_and_check(
        &self,
        state: &dyn Session,
        mut scan: Scan,
        kept: Vec<Expr>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let output = scan.projected_schema();
        let Some(predicate) = conjunction(kept) else {
            return self.read(state, scan).await;
        };
        if matches!(
            &predicate,
            Expr::Literal(ScalarValue::Boolean(Some(false) | None), _)
        ) {
            return Ok(Arc::new(EmptyExec::new(output)));
        }
        for column in predicate.column_refs() {
            let index = scan.schema.index_of(column.name())?;
            if !scan.projection.contains(&index) {
                scan.projection.push(index);
            }
        }
        let schema = DFSchema::try_from(scan.projected_schema())?;
        let predicate = state.create_physical_expr(predicate, &schema)?;
        let rows: Arc<dyn ExecutionPlan> =
            Arc::new(FilterExec::try_new(predicate, self.read(state, scan).await?)?);
        let columns = output.fields().iter().enumerate().map(|(index, field)| {
            let column: Arc<dyn PhysicalExpr> = Arc::new(PhysicalColumn::new(field.name(), index));
            (column, field.name().clone())
        });
        Ok(Arc::new(ProjectionExec::try_new(
            columns.collect::<Vec<_>>(),
            rows,
        )?))
    }

    fn note(&self, scan: &Scan) -> usize {
        let mut filters = self.below.clone();
        filters.extend(scan.filters.iter().cloned());
        filters.extend(
            self.declined
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .iter()
                .cloned(),
        );
        let note = ScanNote {
            reference: 0,
            table: self.table.name().clone(),
            filters,
            operators: self
                .operators
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            limit: scan.limit,
            remote: self.table.remote_text(scan),
        };
        self.notes.add(note, Arc::clone(&self.table))
    }
}

impl fmt::Debug for SourceTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceTable({})", self.table.name())
    }
}

#[async_trait]
impl TableProvider for SourceTable {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        let verdicts: Vec<ScanFilter> = filters.iter().map(|expr| self.verdict(expr)).collect();
        let answers = verdicts.iter().map(|filter| match filter.pushdown.verdict {
            Verdict::Exact => TableProviderFilterPushDown::Exact,
            Verdict::Superset => TableProviderFilterPushDown::Inexact,
            Verdict::Declined => TableProviderFilterPushDown::Unsupported,
        });
        let answers = answers.collect();
        let declined = verdicts
            .into_iter()
            .filter(|filter| filter.pushdown.verdict == Verdict::Declined);
        *self.declined.lock().unwrap_or_else(PoisonError::into_inner) = declined.collect();
        Ok(answers)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let (scan, kept) = self.plan_scan(projection, filters, limit);
        self.read_and_check(state, scan, kept).await
    }
}
