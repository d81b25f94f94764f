//! An aggregate that a statement uses more than once, computed once.
//!
//! The first who asks starts it, on tasks of its own, so that it comes to its end whoever of those that
//! wait is asked for rows; the batches are kept until the statement is done. Where they do not fit into
//! the memory limit, each use computes them for itself.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, exec_datafusion_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, reset_plan_states};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, execute_stream_partitioned,
};
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};

/// Batches with the memory that is booked for them.
#[derive(Default)]
struct Kept {
    batches: Vec<RecordBatch>,
    booked: Vec<MemoryReservation>,
}

/// None if there was too little memory.
type Outcome = Result<Option<Arc<Kept>>, Arc<DataFusionError>>;

/// What all uses of a plan share.
#[derive(Default)]
struct State(Mutex<Option<Shared<BoxFuture<'static, Outcome>>>>);

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("State")
    }
}

/// A plan as a table; its columns are `c0`, `c1` and so on.
#[derive(Debug)]
pub struct SharedTable {
    plan: Arc<SharedExec>,
}

impl SharedTable {
    /// Makes a table of a plan, the `id`th of its statement.
    pub fn new(id: usize, inner: Arc<dyn ExecutionPlan>) -> Self {
        let written = inner.schema();
        let fields = written
            .fields()
            .iter()
            .enumerate()
            .map(|(idx, field)| field.as_ref().clone().with_name(format!("c{idx}")));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        SharedTable { plan: Arc::new(SharedExec::new(id, inner, schema)) }
    }

    /// Which of the statement's shared plans it is, from 1.
    pub fn id(&self) -> usize {
        self.plan.id
    }
}

#[async_trait]
impl TableProvider for SharedTable {
    fn schema(&self) -> SchemaRef {
        self.plan.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = self.plan.another();
        let Some(projection) = projection else { return Ok(plan) };
        let schema = plan.schema();
        let columns = projection.iter().map(|idx| {
            let name = schema.field(*idx).name();
            (Arc::new(Column::new(name, *idx)) as Arc<dyn PhysicalExpr>, name.clone())
        });
        Ok(Arc::new(ProjectionExec::try_new(columns.collect::<Vec<_>>(), plan)?))
    }
}

/// One use of a shared plan.
#[derive(Debug)]
pub struct SharedExec {
    id: usize,
    inner: Arc<dyn ExecutionPlan>,
    state: Arc<State>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl SharedExec {
    fn new(id: usize, inner: Arc<dyn ExecutionPlan>, schema: SchemaRef) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        SharedExec {
            id,
            inner,
            state: Arc::default(),
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    fn another(&self) -> Arc<Self> {
        Arc::new(SharedExec {
            id: self.id,
            inner: Arc::clone(&self.inner),
            state: Arc::clone(&self.state),
            properties: Arc::clone(&self.properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// Which of the statement's shared plans it is, from 1.
    pub fn id(&self) -> usize {
        self.id
    }

    /// What is computed once.
    pub fn inner(&self) -> &Arc<dyn ExecutionPlan> {
        &self.inner
    }

    fn outcome(&self, context: &Arc<TaskContext>) -> Shared<BoxFuture<'static, Outcome>> {
        let mut state = self.state.0.lock().unwrap_or_else(PoisonError::into_inner);
        let started = state.get_or_insert_with(|| {
            let task = SpawnedTask::spawn(compute(Arc::clone(&self.inner), Arc::clone(context)));
            finished(task).map_err(Arc::new).boxed().shared()
        });
        started.clone()
    }
}

pub(super) async fn finished<T: Send + 'static>(task: SpawnedTask<Result<T>>) -> Result<T> {
    task.await.unwrap_or_else(|error| Err(exec_datafusion_err!("a task died: {error}")))
}

async fn compute(
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
) -> Result<Option<Arc<Kept>>> {
    let consumer = || MemoryConsumer::new("shared aggregate").register(context.memory_pool());
    let tasks: Vec<_> = execute_stream_partitioned(plan, Arc::clone(&context))?
        .into_iter()
        .map(|mut stream| {
            let booked = consumer();
            SpawnedTask::spawn(async move {
                let mut batches = Vec::new();
                while let Some(batch) = stream.try_next().await? {
                    if booked.try_grow(batch.get_array_memory_size()).is_err() {
                        return Ok(None);
                    }
                    batches.push(batch);
                }
                Ok::<_, DataFusionError>(Some((batches, booked)))
            })
        })
        .collect();
    let mut kept = Kept::default();
    for task in tasks {
        let Some((batches, booked)) = finished(task).await? else { return Ok(None) };
        kept.batches.extend(batches);
        kept.booked.push(booked);
    }
    Ok(Some(Arc::new(kept)))
}

impl DisplayAs for SharedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared {}", self.id)
    }
}

impl ExecutionPlan for SharedExec {
    fn name(&self) -> &'static str {
        "SharedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    /// None that a rule could change for one use alone.
    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let renamed = Arc::clone(&schema);
        let outcome = self.outcome(&context);
        let inner = Arc::clone(&self.inner);
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let batches = async move {
            let kept = outcome.await.map_err(DataFusionError::Shared)?;
            Ok::<_, DataFusionError>(match kept {
                Some(kept) => {
                    futures::stream::iter(kept.batches.clone().into_iter().map(Ok)).boxed()
                }
                None => {
                    let own = reset_plan_states(inner)?;
                    CoalescePartitionsExec::new(own).execute(0, context)?.boxed()
                }
            })
        };
        let batches = batches.try_flatten_stream().map(move |batch| {
            let batch = batch?;
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let columns = batch.columns().to_vec();
            let batch = RecordBatch::try_new_with_options(Arc::clone(&renamed), columns, &options)?;
            metrics.record_output(batch.num_rows());
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
