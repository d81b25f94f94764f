//! The first rows of each group, without sorting the others.
//!
//! `row_number() OVER (PARTITION BY keys ORDER BY x) <= n` needs n rows of each group. Rows come in any
//! order and go out in any: those that are kept are sorted and numbered by the operators above. It
//! runs before the exchange and behind it, as an aggregate does.
//!
//! Keeping more rows than the first n is sound, as what is above decides. So where memory is short, or
//! hardly a row is left out, all rows go through.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::{SortOptions, cast, interleave_record_batch};
use datafusion::arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, UInt64Type};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties,
    PlanProperties,
};
use futures::{StreamExt, TryStreamExt};

/// Of so many rows at least, some must be left out.
const TRIAL_ROWS: usize = 128 * 1024;
/// If more than this share is kept, all go through.
const KEPT_SHARE_MAX: f64 = 0.7;
/// Rows that may be held beyond four times those that are kept.
const HELD_ROWS_MIN: usize = 1 << 19;

/// The operator.
#[derive(Debug)]
pub struct GroupTopExec {
    input: Arc<dyn ExecutionPlan>,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    order: PhysicalSortExpr,
    count: usize,
    /// Behind the exchange: all rows of a group come to one task.
    is_final: bool,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// Whether values of a type have the order of numbers of 64 bits.
pub fn is_ordered_by_bits(data_type: &DataType) -> bool {
    data_type.is_integer()
        || data_type.is_floating()
        || matches!(
            data_type,
            DataType::Boolean | DataType::Date32 | DataType::Date64 | DataType::Timestamp(..)
        )
}

impl GroupTopExec {
    /// Keeps the first `count` rows of each group.
    pub fn new(
        input: Arc<dyn ExecutionPlan>,
        keys: Vec<Arc<dyn PhysicalExpr>>,
        order: PhysicalSortExpr,
        count: usize,
        is_final: bool,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            input.output_partitioning().clone(),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        GroupTopExec {
            input,
            keys,
            order,
            count,
            is_final,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// What makes a group.
    pub fn keys(&self) -> &[Arc<dyn PhysicalExpr>] {
        &self.keys
    }

    /// The order in which rows come first.
    pub fn order(&self) -> &PhysicalSortExpr {
        &self.order
    }

    /// How many rows of a group are kept.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether all rows of a group come to one task.
    pub fn is_final(&self) -> bool {
        self.is_final
    }
}

impl DisplayAs for GroupTopExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
        let when = if self.is_final { "final" } else { "partial" };
        write!(
            f,
            "First {} of each group ({when}): {} by {}",
            self.count,
            self.order,
            keys.join(", ")
        )
    }
}

impl ExecutionPlan for GroupTopExec {
    fn name(&self) -> &'static str {
        "GroupTopExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![match self.is_final {
            true => Distribution::KeyPartitioned(self.keys.clone()),
            false => Distribution::UnspecifiedDistribution,
        }]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for expr in self.keys.iter().chain([&self.order.expr]) {
            if f(expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(input) = children.pop() else { return internal_err!("an operator without input") };
        let (keys, order) = (self.keys.clone(), self.order.clone());
        Ok(Arc::new(GroupTopExec::new(input, keys, order, self.count, self.is_final)))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let input = self.input.execute(partition, Arc::clone(&context))?;
        let booked = MemoryConsumer::new("first rows of groups").register(context.memory_pool());
        let top = Top::new(self, booked, context.session_config().batch_size())?;
        let rows =
            futures::stream::try_unfold((Some(input), Some(top), metrics), step).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

type Batches = futures::stream::Iter<std::vec::IntoIter<Result<RecordBatch>>>;
/// The input until it has ended, and the rows that are kept until all go through.
type Work = (Option<SendableRecordBatchStream>, Option<Top>, BaselineMetrics);

/// Takes all input and gives the rows that are kept, or all once there is no use in keeping.
async fn step((input, top, metrics): Work) -> Result<Option<(Batches, Work)>> {
    let Some(mut input) = input else { return Ok(None) };
    let mut has_ended = false;
    let given = match top {
        None => {
            let next = input.next().await.transpose()?;
            has_ended = next.is_none();
            next.into_iter().collect()
        }
        Some(mut top) => {
            let mut goes_on = true;
            while goes_on && !has_ended {
                match input.next().await.transpose()? {
                    Some(batch) => {
                        let _timer = metrics.elapsed_compute().timer();
                        goes_on = top.take(batch)?;
                    }
                    None => has_ended = true,
                }
            }
            top.give()?
        }
    };
    given.iter().for_each(|batch| {
        metrics.record_output(batch.num_rows());
    });
    let given: Vec<Result<RecordBatch>> = given.into_iter().map(Ok).collect();
    let rest = (!has_ended).then_some(input);
    Ok(Some((futures::stream::iter(given), (rest, None, metrics))))
}

/// A row that is kept.
#[derive(Debug, Clone, Copy)]
struct Kept {
    order: u128,
    batch: u32,
    row: u32,
}

/// The first rows of each group so far.
struct Top {
    keys: Vec<Arc<dyn PhysicalExpr>>,
    order: PhysicalSortExpr,
    count: usize,
    batch_size: usize,
    groups: Box<dyn GroupValues>,
    /// For each group `count` places, of which the first are taken, in order.
    kept: Vec<Kept>,
    kept_counts: Vec<u32>,
    /// What a row must be below to be kept.
    bounds: Vec<u128>,
    batches: Vec<RecordBatch>,
    held_rows: usize,
    held_bytes: usize,
    kept_rows: usize,
    seen_rows: usize,
    group_of_row: Vec<usize>,
    booked: MemoryReservation,
}

const NOTHING: Kept = Kept { order: u128::MAX, batch: 0, row: 0 };

impl Top {
    fn new(plan: &GroupTopExec, booked: MemoryReservation, batch_size: usize) -> Result<Self> {
        let schema = plan.input.schema();
        let fields = plan
            .keys
            .iter()
            .map(|key| Ok(Field::new(key.to_string(), key.data_type(&schema)?, true)))
            .collect::<Result<Vec<_>>>()?;
        Ok(Top {
            keys: plan.keys.clone(),
            order: plan.order.clone(),
            count: plan.count,
            batch_size,
            groups: new_group_values(Arc::new(Schema::new(fields)), &GroupOrdering::None)?,
            kept: Vec::new(),
            kept_counts: Vec::new(),
            bounds: Vec::new(),
            batches: Vec::new(),
            held_rows: 0,
            held_bytes: 0,
            kept_rows: 0,
            seen_rows: 0,
            group_of_row: Vec::new(),
            booked,
        })
    }

    /// Takes a batch; false if all further rows may as well go through.
    fn take(&mut self, batch: RecordBatch) -> Result<bool> {
        let rows = batch.num_rows();
        let keys = self
            .keys
            .iter()
            .map(|key| key.evaluate(&batch)?.into_array(rows))
            .collect::<Result<Vec<_>>>()?;
        let order = self.order.expr.evaluate(&batch)?.into_array(rows)?;
        let order = in_order(&order, self.order.options)?;
        self.group_of_row.clear();
        self.groups.intern(&keys, &mut self.group_of_row)?;
        let group_count = self.groups.len();
        self.kept.resize(group_count * self.count, NOTHING);
        self.kept_counts.resize(group_count, 0);
        self.bounds.resize(group_count, u128::MAX);
        let number = self.batches.len() as u32;
        let mut is_held = false;
        for (row, (group, order)) in self.group_of_row.iter().zip(order).enumerate() {
            let taken = self.kept_counts[*group] as usize;
            if taken == self.count && order >= self.bounds[*group] {
                continue;
            }
            let places = &mut self.kept[group * self.count..(group + 1) * self.count];
            let last = taken.min(self.count - 1);
            let mut place = last;
            while place > 0 && places[place - 1].order > order {
                places[place] = places[place - 1];
                place -= 1;
            }
            places[place] = Kept { order, batch: number, row: row as u32 };
            if taken < self.count {
                self.kept_counts[*group] += 1;
                self.kept_rows += 1;
            }
            self.bounds[*group] = places[self.count - 1].order;
            is_held = true;
        }
        self.seen_rows += rows;
        if is_held {
            self.held_rows += rows;
            self.held_bytes += batch.get_array_memory_size();
            self.batches.push(batch);
        }
        if self.held_rows > HELD_ROWS_MIN + 4 * self.kept_rows {
            self.compact()?;
        }
        let has_use = self.seen_rows < TRIAL_ROWS
            || (self.kept_rows as f64) < self.seen_rows as f64 * KEPT_SHARE_MAX;
        Ok(has_use && self.booked.try_resize(self.size()).is_ok())
    }

    fn size(&self) -> usize {
        self.held_bytes
            + self.groups.size()
            + self.kept.capacity() * size_of::<Kept>()
            + self.bounds.capacity() * size_of::<u128>()
            + self.kept_counts.capacity() * size_of::<u32>()
    }

    /// Where the rows that are kept stand.
    fn places(&self) -> Vec<(usize, usize)> {
        let groups = self.kept.chunks(self.count).zip(&self.kept_counts);
        groups
            .flat_map(|(places, count)| &places[..*count as usize])
            .map(|kept| (kept.batch as usize, kept.row as usize))
            .collect()
    }

    /// Copies the rows that are kept, so that batches with few of them can go.
    fn compact(&mut self) -> Result<()> {
        let places = self.places();
        if places.is_empty() {
            return Ok(());
        }
        let copied = interleave_record_batch(&self.batches.iter().collect::<Vec<_>>(), &places)?;
        let columns = copied.columns().iter().map(without_garbage).collect();
        let copied = RecordBatch::try_new(copied.schema(), columns)?;
        self.held_rows = places.len();
        self.held_bytes = copied.get_array_memory_size();
        self.batches = vec![copied];
        let mut row = 0;
        for (places, count) in self.kept.chunks_mut(self.count).zip(&self.kept_counts) {
            for kept in &mut places[..*count as usize] {
                (kept.batch, kept.row) = (0, row);
                row += 1;
            }
        }
        Ok(())
    }

    fn give(self) -> Result<Vec<RecordBatch>> {
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let places = self.places();
        let given = places.chunks(self.batch_size.max(1));
        Ok(given
            .map(|places| interleave_record_batch(&batches, places))
            .collect::<Result<_, _>>()?)
    }
}

/// Views keep whole buffers of texts alive.
fn without_garbage(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Utf8View => Arc::new(array.as_string_view().gc()),
        DataType::BinaryView => Arc::new(array.as_binary_view().gc()),
        _ => Arc::clone(array),
    }
}

/// Values as numbers in the order that is asked for; NULLs before or behind them.
fn in_order(values: &ArrayRef, options: SortOptions) -> Result<Vec<u128>> {
    const SIGN: u64 = 1 << 63;
    let (data_type, nulls) = (values.data_type(), values.nulls().cloned());
    let bits: Vec<u64> = if data_type.is_floating() {
        let values = cast(values, &DataType::Float64)?;
        let values = values.as_primitive::<Float64Type>().values();
        // The order of `f64::total_cmp`.
        let bits = values.iter().map(|value| value.to_bits());
        bits.map(|bits| if bits & SIGN == 0 { bits ^ SIGN } else { !bits }).collect()
    } else if data_type.is_unsigned_integer() || *data_type == DataType::Boolean {
        cast(values, &DataType::UInt64)?.as_primitive::<UInt64Type>().values().to_vec()
    } else {
        let values = cast(values, &DataType::Int64)?;
        let values = values.as_primitive::<Int64Type>().values();
        values.iter().map(|value| *value as u64 ^ SIGN).collect()
    };
    let bits =
        bits.into_iter().map(|bits| u128::from(if options.descending { !bits } else { bits }));
    let (above, null) = if options.nulls_first { (1 << 64, 0) } else { (0, 1 << 64) };
    Ok(match nulls {
        Some(nulls) => bits
            .enumerate()
            .map(|(row, bits)| if nulls.is_null(row) { null } else { above | bits })
            .collect(),
        None => bits.map(|bits| above | bits).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{BooleanArray, Float64Array, Int32Array};
    use datafusion::arrow::compute::sort_to_indices;
    use datafusion::catalog::memory::MemorySourceConfig;
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;
    use datafusion::physical_expr::expressions::col;
    use datafusion::physical_plan::collect;

    /// Without memory all rows go through, though the first batch has none.
    #[test]
    fn rows_that_cannot_be_kept_go_through() {
        let schema = Arc::new(Schema::new(vec![Field::new("key", DataType::Int32, true)]));
        let batch = |count: i32| {
            let keys = Arc::new(Int32Array::from_iter_values((0..count).map(|key| key % 3)));
            RecordBatch::try_new(Arc::clone(&schema), vec![keys]).expect("a batch")
        };
        let batches = vec![batch(0), batch(30), batch(12)];
        let input = MemorySourceConfig::try_new_exec(&[batches], Arc::clone(&schema), None);
        let key = || col("key", &schema).expect("a column");
        let order = PhysicalSortExpr::new_default(key());
        let top = GroupTopExec::new(input.expect("a source"), vec![key()], order, 2, false);
        let row_count = |limit: usize| {
            let runtime = RuntimeEnvBuilder::new().with_memory_limit(limit, 1.0).build_arc();
            let context = TaskContext::default().with_runtime(runtime.expect("a runtime"));
            let top = GroupTopExec::new(
                Arc::clone(&top.input),
                top.keys.clone(),
                top.order.clone(),
                top.count,
                false,
            );
            let batches = futures::executor::block_on(collect(Arc::new(top), Arc::new(context)));
            batches.expect("rows").iter().map(RecordBatch::num_rows).sum::<usize>()
        };
        assert_eq!(row_count(1 << 20), 6);
        assert_eq!(row_count(1), 42);
    }

    #[test]
    fn numbers_have_the_order_of_the_values() {
        let arrays: [ArrayRef; 3] = [
            Arc::new(Float64Array::from(vec![
                Some(1.5),
                None,
                Some(-2.0),
                Some(f64::NAN),
                Some(f64::NEG_INFINITY),
                Some(0.0),
            ])),
            Arc::new(Int32Array::from(vec![
                Some(3),
                Some(i32::MIN),
                None,
                Some(-1),
                Some(i32::MAX),
            ])),
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
        ];
        for array in &arrays {
            for (descending, nulls_first) in
                [(false, false), (false, true), (true, false), (true, true)]
            {
                let options = SortOptions { descending, nulls_first };
                let numbers = in_order(array, options).expect("numbers");
                let sorted = sort_to_indices(array, Some(options), None).expect("sorted");
                let numbers: Vec<u128> =
                    sorted.values().iter().map(|row| numbers[*row as usize]).collect();
                assert!(numbers.is_sorted(), "{array:?} {options:?}");
            }
        }
    }
}
