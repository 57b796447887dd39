//! Joins that come to an end soon after their query has.
//!
//! A join does all that a batch of its probe side asks for before it looks up: 8,192 rows that meet 200,000 others each are
//! minutes, in which no cancel is seen and no timeout. So a hash join's probe side comes in pieces, as large as were done with
//! in good time so far, and once in that time the join's task lets others run. Where rows meet few others, the pieces are
//! the batches after the first few.
//!
//! A join without equal columns would copy all columns of all pairs if its batches were small. It decides its condition for
//! one batch of pairs after another, and the condition is ours: when its time is over it is an error, upon which the join is
//! where it was before, and goes on when it is asked again.

use std::cell::Cell;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::stats::Statistics;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, internal_datafusion_err};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder,
};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::{Stream, StreamExt};

/// What a piece should take; no more than twice this passes between two looks at whether the query is over, as long as one
/// row of the probe side takes less.
const PIECE_TIME: Duration = Duration::from_millis(20);

/// A piece has at most as many times the rows of the one before it, and at least that part of them: one that was slow since
/// its task had to wait must not make all others small.
const CHANGE_MAX: usize = 8;

/// The finished `plan`, with joins that let others run now and then.
pub fn paced_joins(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let paced = plan.transform_up(|node| {
        if node.downcast_ref::<HashJoinExec>().is_some() {
            let mut children: Vec<_> = node.children().into_iter().map(Arc::clone).collect();
            if let Some(probe) = children.last_mut() {
                *probe = PacedExec::over(Arc::clone(probe), Pace::Pieces);
            }
            let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep);
            return Ok(Transformed::yes(node.replace_children(children, options)?));
        }
        if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>()
            && let Some(filter) = join.filter()
        {
            let expression = Arc::new(InTurns(Arc::clone(filter.expression())));
            let columns = filter.column_indices().to_vec();
            let filter = JoinFilter::new(expression, columns, Arc::clone(filter.schema()));
            let join = NestedLoopJoinExecBuilder::from(join)
                .with_filter(Some(filter))
                .build()?;
            return Ok(Transformed::yes(PacedExec::over(Arc::new(join), Pace::Turns)));
        }
        // Without a condition there is a batch of rows for each row of one side.
        let is_product = node.downcast_ref::<CrossJoinExec>().is_some()
            || node.downcast_ref::<NestedLoopJoinExec>().is_some();
        Ok(match is_product {
            true => Transformed::yes(Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>),
            false => Transformed::no(node),
        })
    });
    paced.data()
}

/// What `plan` was planned as: the pace is no news about a query.
pub fn unpaced(plan: &Arc<dyn ExecutionPlan>) -> &Arc<dyn ExecutionPlan> {
    plan.downcast_ref::<PacedExec>()
        .map_or(plan, |paced| &paced.input)
}

/// The rows of `input` in pieces: see above.
pub(crate) fn paced(input: SendableRecordBatchStream) -> SendableRecordBatchStream {
    Box::pin(Paced {
        input,
        rest: None,
        piece_rows: 1,
        given: None,
        worked: Duration::ZERO,
    })
}

struct Paced {
    input: SendableRecordBatchStream,
    /// What is left of the last batch.
    rest: Option<RecordBatch>,
    /// Rows of the next piece.
    piece_rows: usize,
    /// When the last piece was given, and its rows, until the next one is asked for.
    given: Option<(Instant, usize)>,
    /// What the pieces have taken since others could run.
    worked: Duration,
}

impl Paced {
    fn next_piece(&mut self, batch: RecordBatch) -> RecordBatch {
        let rows = batch.num_rows().min(self.piece_rows);
        self.given = Some((Instant::now(), rows));
        let rest = batch.num_rows() - rows;
        self.rest = (rest > 0).then(|| batch.slice(rows, rest));
        batch.slice(0, rows)
    }
}

/// How many times as many rows as have taken `time` take that of a piece, as a number and a divisor of which one is 1.
fn change(time: Duration) -> (usize, usize) {
    let (time, piece) = (time.as_nanos().max(1), PIECE_TIME.as_nanos());
    let bounded = |times: u128| usize::try_from(times).map_or(CHANGE_MAX, |times| times.clamp(1, CHANGE_MAX));
    (bounded(piece / time), bounded(time.div_ceil(piece)))
}

impl Stream for Paced {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some((at, rows)) = self.given.take() {
            let time = at.elapsed();
            let (more, fewer) = change(time);
            // The last piece of a batch may be a small one, which says little if it was quick.
            self.piece_rows = match fewer {
                1 => self.piece_rows.max(rows.saturating_mul(more)),
                fewer => (rows / fewer).max(1),
            };
            self.worked += time;
            if self.worked >= PIECE_TIME {
                self.worked = Duration::ZERO;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        if let Some(rest) = self.rest.take() {
            return Poll::Ready(Some(Ok(self.next_piece(rest))));
        }
        let polled = self.input.poll_next_unpin(cx);
        if polled.is_pending() {
            self.worked = Duration::ZERO;
        }
        Poll::Ready(match ready!(polled) {
            Some(Ok(batch)) => Some(Ok(self.next_piece(batch))),
            ended => ended,
        })
    }
}

impl RecordBatchStream for Paced {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}

/// The turn of a join.
#[derive(Clone, Copy)]
struct Turn {
    began: Instant,
    /// Whether its condition has been decided in it: one batch of pairs it gets in any case, or it might never go on.
    has_worked: bool,
}

thread_local! {
    /// That of the join that runs on this thread.
    static TURN: Cell<Option<Turn>> = const { Cell::new(None) };
}

/// Why a condition is not decided now: the turn of its join is over.
#[derive(Debug, thiserror::Error)]
#[error("it is the turn of others")]
struct TurnOver;

/// A join's condition, which is an error when the join's turn is over.
#[derive(Debug)]
struct InTurns(Arc<dyn PhysicalExpr>);

impl PartialEq for InTurns {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq(&other.0)
    }
}

impl Eq for InTurns {}

impl Hash for InTurns {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Display for InTurns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl PhysicalExpr for InTurns {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.0.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.0.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        if let Some(turn) = TURN.get() {
            if turn.has_worked && turn.began.elapsed() >= PIECE_TIME {
                return Err(DataFusionError::External(Box::new(TurnOver)));
            }
            let has_worked = true;
            TURN.set(Some(Turn { has_worked, ..turn }));
        }
        self.0.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.0]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let only = children.into_iter().next();
        let only = only.ok_or_else(|| internal_datafusion_err!("a condition has one term"))?;
        Ok(Arc::new(Self(only)))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt_sql(f)
    }
}

/// A join whose condition is [`InTurns`].
struct Turns(SendableRecordBatchStream);

impl Stream for Turns {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // A join may be below another one, on the same thread.
        let turn = Turn {
            began: Instant::now(),
            has_worked: false,
        };
        let outer = TURN.replace(Some(turn));
        let polled = self.0.poll_next_unpin(cx);
        TURN.set(outer);
        match polled {
            Poll::Ready(Some(Err(DataFusionError::External(cause)))) if cause.is::<TurnOver>() => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            polled => polled,
        }
    }
}

impl RecordBatchStream for Turns {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }
}

/// How an operator lets others run.
#[derive(Debug, Clone, Copy)]
enum Pace {
    /// It is the probe side of a join, and comes in pieces.
    Pieces,
    /// It is a join whose condition is [`InTurns`].
    Turns,
}

/// An operator at its pace. It looks as it does without to everything else.
#[derive(Debug)]
struct PacedExec {
    input: Arc<dyn ExecutionPlan>,
    pace: Pace,
}

impl PacedExec {
    fn over(input: Arc<dyn ExecutionPlan>, pace: Pace) -> Arc<dyn ExecutionPlan> {
        Arc::new(Self { input, pace })
    }
}

impl DisplayAs for PacedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ExecutionPlan for PacedExec {
    fn name(&self) -> &'static str {
        "PacedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = <[_; 1]>::try_from(children)
            .map_err(|_| internal_datafusion_err!("a pace is that of one operator"))?;
        Ok(Self::over(input, self.pace))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        Ok(match self.pace {
            Pace::Pieces => paced(input),
            Pace::Turns => Box::pin(Turns(input)),
        })
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        _: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let input = inputs.first().map(Arc::clone);
        input.ok_or_else(|| internal_datafusion_err!("a pace is that of one operator"))
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }
}
