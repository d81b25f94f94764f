//! The other columns of a few rows, read once it is known which rows these are.
//!
//! ```text
//! LateColumns <- first n rows <- filter <- scan: columns of the order and the filter, and where a row is
//! ```
//!
//! A top-n over a wide file decodes hardly anything but what decides; of the rows that are left, each page
//! that holds one is read again. (Late materialization; the rule is `plan::rules::late_columns`.)

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{concat_batches, take_arrays};
use datafusion::arrow::datatypes::{Int64Type, SchemaRef, UInt32Type};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{ParquetAccessPlan, RowGroupAccess};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, LexOrdering, OrderingRequirements, PhysicalExpr,
};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, collect_partitioned,
};
use futures::TryStreamExt;
use parquet::arrow::arrow_reader::RowSelection;

use crate::formats::source::FilePlan;

/// What is read of the rows that are left, and how.
#[derive(Debug)]
pub struct Late {
    /// A scan of all columns that are wanted, then the number of the file and that of the row in it.
    pub scan: FileScanConfig,
    /// All files, by number.
    pub files: Vec<PartitionedFile>,
    /// The columns that are given, over those of the scan.
    pub columns: Vec<Arc<dyn PhysicalExpr>>,
    /// What they are called.
    pub schema: SchemaRef,
    /// The order of the rows, over the columns that are given.
    pub order: LexOrdering,
}

/// The operator. Its input has the rows in their order, and as its last columns where they are.
#[derive(Debug)]
pub struct LateColumnsExec {
    input: Arc<dyn ExecutionPlan>,
    /// The order of the input.
    input_order: LexOrdering,
    late: Arc<Late>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl LateColumnsExec {
    /// Gives the columns of the rows that the input names, in the order in which it does.
    pub fn new(input: Arc<dyn ExecutionPlan>, input_order: LexOrdering, late: Arc<Late>) -> Self {
        let orders = [late.order.clone()];
        let properties = PlanProperties::new(
            EquivalenceProperties::new_with_orderings(Arc::clone(&late.schema), orders),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        let (properties, metrics) = (Arc::new(properties), ExecutionPlanMetricsSet::new());
        LateColumnsExec { input, input_order, late, properties, metrics }
    }
}

impl Late {
    /// The columns of rows, each named by its file and its number there.
    async fn read(&self, named: &RecordBatch, context: Arc<TaskContext>) -> Result<RecordBatch> {
        let rows = places_of(named)?;
        if rows.is_empty() {
            return Ok(RecordBatch::new_empty(Arc::clone(&self.schema)));
        }
        let mut by_file: HashMap<u32, Vec<u64>> = HashMap::new();
        for (file, row) in &rows {
            by_file.entry(*file).or_default().push(*row);
        }
        let mut groups = vec![Vec::new(); context.session_config().target_partitions().max(1)];
        let group_count = groups.len();
        for (nth, (file, rows)) in by_file.into_iter().enumerate() {
            groups[nth % group_count].push(self.file_of(file, rows)?);
        }
        let groups = groups.into_iter().filter(|files| !files.is_empty()).map(FileGroup::new);
        let scan = FileScanConfigBuilder::from(self.scan.clone())
            .with_file_groups(groups.collect())
            .build();
        let scan: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(scan);
        let schema = scan.schema();
        let found = collect_partitioned(scan, context).await?;
        let found = concat_batches(&schema, found.iter().flatten())?;
        let at: HashMap<(u32, u64), u32> = places_of(&found)?.into_iter().zip(0..).collect();
        let order = rows.iter().map(|place| at.get(place).copied()).collect::<Option<Vec<u32>>>();
        let Some(order) = order else { return internal_err!("a row was not found again") };
        let evaluate =
            |column: &Arc<dyn PhysicalExpr>| column.evaluate(&found)?.into_array(found.num_rows());
        let columns = self.columns.iter().map(evaluate).collect::<Result<Vec<ArrayRef>>>()?;
        let columns = take_arrays(&columns, &UInt32Array::from(order), None)?;
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    /// A file of which just these rows are read.
    fn file_of(&self, number: u32, mut rows: Vec<u64>) -> Result<PartitionedFile> {
        let file = self.files.get(number as usize);
        let layout = file
            .and_then(|file| file.extension::<FilePlan>())
            .and_then(|plan| plan.layout.parquet.as_ref());
        let (Some(file), Some(layout)) = (file, layout) else {
            return internal_err!("rows of a file that is not there");
        };
        rows.sort_unstable();
        let mut start = 0;
        let mut rest = rows.as_slice();
        let access = layout.metadata.row_groups().iter().map(|group| {
            let row_count = u64::try_from(group.num_rows()).unwrap_or(0);
            let end = start + row_count;
            let (own, behind) = rest.split_at(rest.partition_point(|row| *row < end));
            let ranges = own.iter().map(|row| {
                let at = (row - start) as usize;
                at..at + 1
            });
            let access = match own {
                [] => RowGroupAccess::Skip,
                _ => RowGroupAccess::Selection(RowSelection::from_consecutive_ranges(
                    ranges,
                    row_count as usize,
                )),
            };
            (start, rest) = (end, behind);
            access
        });
        Ok(file.clone().with_extension(ParquetAccessPlan::new(access.collect())))
    }
}

/// The file and the row in it that each row of a batch is, from the last two columns.
fn places_of(batch: &RecordBatch) -> Result<Vec<(u32, u64)>> {
    let [.., files, rows] = batch.columns() else {
        return internal_err!("rows without their places");
    };
    let (Some(files), Some(rows)) =
        (files.as_primitive_opt::<UInt32Type>(), rows.as_primitive_opt::<Int64Type>())
    else {
        return internal_err!("places of {} and {}", files.data_type(), rows.data_type());
    };
    let rows = rows.values().iter().map(|row| *row as u64);
    Ok(files.values().iter().copied().zip(rows).collect())
}

impl DisplayAs for LateColumnsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Columns of the rows that are left: {}", self.late.columns.len())
    }
}

impl ExecutionPlan for LateColumnsExec {
    fn name(&self) -> &'static str {
        "LateColumnsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition]
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![Some(self.input_order.clone().into())]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for expr in &self.late.columns {
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
        let (order, late) = (self.input_order.clone(), Arc::clone(&self.late));
        Ok(Arc::new(LateColumnsExec::new(input, order, late)))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let input = self.input.execute(partition, Arc::clone(&context))?;
        let late = Arc::clone(&self.late);
        let rows = async move {
            let schema = input.schema();
            let named: Vec<RecordBatch> = input.try_collect().await?;
            let named = concat_batches(&schema, &named)?;
            let rows = late.read(&named, context).await?;
            metrics.record_output(rows.num_rows());
            Ok(rows)
        };
        let rows = futures::stream::once(rows);
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
