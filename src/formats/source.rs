//! The source of all formats but Parquet: a DataFusion `FileSource` over [`super::open`].
//!
//! It decodes the columns that the plan asks for, in the dataset's types; partition columns are
//! filled in by DataFusion from the values that go with each file.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Fields, Schema};
use datafusion::common::Statistics;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{
    FileOpenFuture, FileOpener, FileScanConfig, FileSource,
};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion::physical_expr::{LexOrdering, conjunction};
use datafusion::physical_expr_adapter::replace_columns_with_literals;
use datafusion::physical_plan::filter_pushdown::{FilterPushdownPropagation, PushedDown};
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};
use datafusion::physical_plan::{DisplayFormatType, PhysicalExpr};
use datafusion::scalar::ScalarValue;
use datafusion_datasource::projection::{ProjectionOpener, SplitProjection};
use futures::StreamExt;
use object_store::ObjectStore;

use super::csv::Piece;
use super::csv::dialect::CsvOptions;
use super::csv::learned::Learner;
use super::csv::reject::{OnError, Rejects};
use super::file::SourceFile;
use super::{FileLayout, ReadRequest, Wanted};
use crate::notes::{Counts, Notes};

/// What bytes read are counted as among the metrics of a scan; DataFusion calls them so, too.
pub const READ_BYTES: &str = "bytes_scanned";

/// One file, or a piece of it, as a task gets it; rides on DataFusion's `PartitionedFile`.
#[derive(Debug, Clone)]
pub struct FilePlan {
    /// The file.
    pub file: Arc<SourceFile>,
    /// What is known of it.
    pub layout: Arc<FileLayout>,
    /// Which part of it, if not all.
    pub piece: Option<Piece>,
    /// Where goes what is learned of it.
    pub learner: Option<Arc<Learner>>,
    /// Ranges of the file that are not read, because of what was learned of them before.
    pub skipped_ranges: SkippedRanges,
    /// What is known of all of the file, over the columns of the table.
    pub statistics: Option<Arc<Statistics>>,
    /// How many files its dataset has, for EXPLAIN.
    pub dataset_file_count: usize,
}

/// How many ranges of a file are left out, of how many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SkippedRanges {
    /// Left out.
    pub count: usize,
    /// In the file.
    pub total: usize,
}

/// Reads CSV, JSON and Arrow files into the columns of a dataset.
#[derive(Debug, Clone)]
pub struct RowSource {
    dataset: u64,
    table_schema: TableSchema,
    /// One for each column of the file schema.
    wanted: Arc<[Wanted]>,
    projection: SplitProjection,
    batch_rows: usize,
    metrics: ExecutionPlanMetricsSet,
    notes: Notes,
    label: &'static str,
    on_error: OnError,
    rejects: Arc<Rejects>,
    /// What rows must fulfil to be of use above; may be false of rows that come out all the same.
    predicate: Option<Arc<dyn PhysicalExpr>>,
}

impl RowSource {
    /// Makes a source; `wanted` has one entry for each column of the table's file schema.
    pub fn new(
        dataset: u64,
        table_schema: TableSchema,
        wanted: Vec<Wanted>,
        label: &'static str,
        options: &CsvOptions,
        notes: Notes,
    ) -> Self {
        RowSource {
            dataset,
            projection: SplitProjection::unprojected(&table_schema),
            table_schema,
            wanted: wanted.into(),
            batch_rows: 8192,
            metrics: ExecutionPlanMetricsSet::new(),
            notes,
            label,
            on_error: options.on_error,
            rejects: Arc::new(Rejects::counted(options.max_rejects)),
            predicate: None,
        }
    }

    /// The same source with its notes elsewhere.
    #[must_use]
    pub fn with_notes(&self, notes: Notes) -> Self {
        RowSource { notes, ..self.clone() }
    }

    /// The number of the dataset.
    pub fn dataset(&self) -> u64 {
        self.dataset
    }

    /// What is read of each file, by the columns of the file schema.
    pub fn wanted(&self) -> &[Wanted] {
        &self.wanted
    }

    /// What is done about rows that cannot be read.
    pub fn on_error(&self) -> OnError {
        self.on_error
    }

    /// How many rows may be left out, if there is a limit.
    pub fn max_rejects(&self) -> Option<u64> {
        self.rejects.row_count_max()
    }

    /// The same source that may leave out rows for which this does not hold.
    #[must_use]
    pub fn with_predicate(&self, predicate: Option<Arc<dyn PhysicalExpr>>) -> Self {
        RowSource { predicate, ..self.clone() }
    }

    /// What the rows depend on besides the file.
    pub fn reading_key(&self) -> String {
        format!("{:?} {:?}", self.wanted, self.on_error)
    }

    fn request(&self) -> Result<ReadRequest> {
        let indices = &self.projection.file_indices;
        let schema: Schema = self.table_schema.file_schema().project(indices)?;
        // Whether a row is left out must not depend on the columns that a statement asks for.
        let others = (0..self.wanted.len()).filter(|idx| !indices.contains(idx));
        let checked = others
            .filter(|_| self.on_error == OnError::Reject)
            .filter_map(|idx| match &self.wanted[idx] {
                Wanted::Column(spec) => Some(spec.clone()),
                Wanted::RowNumber => None,
            })
            .collect();
        Ok(ReadRequest {
            dataset: self.dataset,
            schema: Arc::new(schema),
            columns: indices.iter().map(|&idx| self.wanted[idx].clone()).collect(),
            batch_rows: self.batch_rows,
            predicate: None,
            checked,
            rejects: Arc::clone(&self.rejects),
            notes: self.notes.clone(),
        })
    }
}

impl FileSource for RowSource {
    fn create_file_opener(
        &self,
        _object_store: Arc<dyn ObjectStore>,
        _base_config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        let constants = self.table_schema.table_partition_cols().clone();
        let read = MetricBuilder::new(&self.metrics).counter(READ_BYTES, partition);
        let opener = RowOpener::new(self.request()?, self.predicate.clone(), constants, read);
        let opener = Arc::new(opener);
        ProjectionOpener::try_new(self.projection.clone(), opener, self.table_schema.file_schema())
    }

    fn table_schema(&self) -> &TableSchema {
        &self.table_schema
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        Arc::new(RowSource { batch_rows: batch_size, ..self.clone() })
    }

    fn try_pushdown_projection(
        &self,
        projection: &ProjectionExprs,
    ) -> Result<Option<Arc<dyn FileSource>>> {
        let projection = reprojected(&self.table_schema, &self.projection, projection)?;
        Ok(Some(Arc::new(RowSource { projection, ..self.clone() })))
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        Some(&self.projection.source)
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.predicate.clone()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    fn file_type(&self) -> &str {
        self.label
    }

    /// The dataset has already cut its files where they may be cut.
    fn repartitioned(
        &self,
        _target_partitions: usize,
        _repartition_file_min_size: usize,
        _output_ordering: Option<LexOrdering>,
        _config: &FileScanConfig,
    ) -> Result<Option<FileScanConfig>> {
        Ok(None)
    }

    fn fmt_extra(&self, _t: DisplayFormatType, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        visit_exprs(self.predicate.as_ref(), &self.projection, visit)
    }

    /// Filters are used to decode less; whoever asks for them still applies them.
    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let answer = vec![PushedDown::No; filters.len()];
        let answer = FilterPushdownPropagation::with_parent_pushdown_result(answer);
        // Whether a row is left out as unreadable must not depend on the statement.
        let usable = filters
            .into_iter()
            .filter(|filter| self.on_error != OnError::Reject && !is_volatile(filter));
        let filters: Vec<_> = self.predicate.iter().cloned().chain(usable).collect();
        if filters.is_empty() {
            return Ok(answer);
        }
        let predicate = Some(conjunction(filters));
        Ok(answer.with_updated_node(Arc::new(RowSource { predicate, ..self.clone() })))
    }
}

/// What a scan gives of which something more is asked.
pub(crate) fn reprojected(
    table_schema: &TableSchema,
    projection: &SplitProjection,
    more: &ProjectionExprs,
) -> Result<SplitProjection> {
    let merged = projection.source.try_merge(more)?;
    Ok(SplitProjection::new(table_schema.file_schema(), &merged))
}

/// Shows the expressions of a scan.
pub(crate) fn visit_exprs(
    predicate: Option<&Arc<dyn PhysicalExpr>>,
    projection: &SplitProjection,
    visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
) -> Result<TreeNodeRecursion> {
    let projected = projection.source.iter().map(|column| &column.expr);
    datafusion::physical_plan::apply_expression_roots(predicate.into_iter().chain(projected), visit)
}

/// Whether evaluating twice may give two results.
fn is_volatile(filter: &Arc<dyn PhysicalExpr>) -> bool {
    filter.exists(|node| Ok(node.is_volatile_node())).unwrap_or(true)
}

struct RowOpener {
    request: Arc<ReadRequest>,
    /// Counts bytes of files.
    read: Count,
    /// A predicate that differs from file to file, and the columns that are constant in each.
    varying: Option<(Arc<dyn PhysicalExpr>, Fields)>,
}

impl RowOpener {
    fn new(
        mut request: ReadRequest,
        predicate: Option<Arc<dyn PhysicalExpr>>,
        constants: Fields,
        read: Count,
    ) -> Self {
        let is_varying = predicate.as_ref().is_some_and(|predicate| {
            let columns = collect_columns(predicate);
            columns.iter().any(|column| constants.iter().any(|field| field.name() == column.name()))
        });
        if is_varying {
            let varying = predicate.map(|predicate| (predicate, constants));
            return RowOpener { request: Arc::new(request), read, varying };
        }
        // A predicate on what the plan does not read is of no use to the reader.
        request.predicate =
            predicate.and_then(|predicate| reassign_expr_columns(predicate, &request.schema).ok());
        RowOpener { request: Arc::new(request), read, varying: None }
    }

    fn request_for(&self, file: &PartitionedFile) -> Result<Arc<ReadRequest>> {
        let Some((predicate, constants)) = &self.varying else {
            return Ok(Arc::clone(&self.request));
        };
        let values: HashMap<&str, &ScalarValue> = constants
            .iter()
            .map(|field| field.name().as_str())
            .zip(&file.partition_values)
            .collect();
        let predicate = replace_columns_with_literals(Arc::clone(predicate), &values)?;
        let predicate = reassign_expr_columns(predicate, &self.request.schema).ok();
        Ok(Arc::new(ReadRequest { predicate, ..self.request.as_ref().clone() }))
    }
}

impl FileOpener for RowOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let plan = file
            .extension::<FilePlan>()
            .cloned()
            .ok_or_else(|| DataFusionError::Internal("a file without its plan".into()))?;
        let request = self.request_for(&file)?;
        let read = self.read.clone();
        Ok(Box::pin(async move {
            let counts = request.notes.counts();
            let len = match &plan.piece {
                Some(piece) => piece.splits.piece_len_bytes(piece.idx),
                None => plan.file.identity.len,
            };
            // A file in pieces is counted with its first one.
            let is_first = plan.piece.as_ref().is_none_or(|piece| piece.idx == 0);
            Counts::bump(&counts.files_read, u64::from(is_first));
            Counts::bump(&counts.bytes_read, len);
            read.add(usize::try_from(len).unwrap_or(usize::MAX));
            let (piece, learner) = (plan.piece.as_ref(), plan.learner.as_ref());
            let rows = super::open(&plan.file, &plan.layout, piece, learner, &request)?;
            // CSV tells as it goes; of others it is known when they end.
            let rest = if plan.layout.csv.is_some() { 0 } else { len };
            let notes = request.notes.clone();
            let end = std::iter::once_with(move || {
                Counts::bump(&notes.counts().bytes_passed, rest);
                None
            });
            let batches = rows.map(|batch| Some(batch.map_err(DataFusionError::from)));
            let batches = batches.chain(end).flatten();
            Ok(futures::stream::iter(batches).boxed())
        }))
    }
}
