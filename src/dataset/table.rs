//! The table: a dataset as DataFusion sees it.
//!
//! ```text
//! scan: prune files by partition values -> one scan for Parquet files, one for all others
//!       -> files cut and dealt into tasks -> union
//! ```
//!
//! Invariant: a pruned file is never opened by a scan, and a file that could not be understood when
//! it was looked at is an error as soon as it would be read.

use std::any::Any;
use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use datafusion::arrow::array::{Array, AsArray, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Statistics, ToDFSchema};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::source::ParquetSource;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, FileSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::ProjectionExpr;
use datafusion::physical_expr::{PhysicalExpr, conjunction};
use datafusion::physical_expr_adapter::{
    DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::scalar::ScalarValue;
use parquet::arrow::RowNumber;

use super::hive::Partitions;
use super::options::ReadOptions;
use super::skip::{self, Skipper};
use super::{Dataset, DatasetFile};
use crate::formats::csv::Piece;
use crate::formats::csv::decode::ColumnSpec;
use crate::formats::csv::learned::{Learned, Learner, RANGE_LEN_BYTES, range_count};
use crate::formats::csv::reject::OnError;
use crate::formats::csv::split::Splits;
use crate::formats::one_nan;
use crate::formats::parquet::Readers;
use crate::formats::source::{FilePlan, RowSource, SkippedRanges};
use crate::formats::{FileLayout, Format, Wanted};
use crate::notes::Counts;

/// The column that `filename => true` adds.
pub const FILENAME: &str = "filename";
/// The column that `file_row_number => true` adds.
pub const FILE_ROW_NUMBER: &str = "file_row_number";
/// Objects that are shorter on average are read by more tasks than there are cores.
const FAR_LEN_MAX_BYTES: u64 = 8 * 1024 * 1024;
/// So many, if there are several tasks at all.
const FAR_TASKS: usize = 16;
/// Pieces for each task, about: enough to even out.
const PIECES_FOR_TASK: u64 = 4;

/// File columns, partition columns, `filename`, `file_row_number`.
pub fn table_schema(
    columns: &[ColumnSpec],
    partitions: &Partitions,
    options: &ReadOptions,
) -> SchemaRef {
    let mut fields: Vec<Field> = file_fields(columns);
    fields.extend(
        partition_fields(partitions, options).into_iter().map(|field| field.as_ref().clone()),
    );
    if options.file_row_number {
        fields.push(Field::new(FILE_ROW_NUMBER, DataType::Int64, false));
    }
    Arc::new(Schema::new(fields))
}

/// The columns that come from files.
pub(super) fn file_fields(columns: &[ColumnSpec]) -> Vec<Field> {
    columns.iter().map(|column| Field::new(&column.name, column.data_type.clone(), true)).collect()
}

/// The columns whose value is the same for a whole file.
fn partition_fields(partitions: &Partitions, options: &ReadOptions) -> Vec<FieldRef> {
    let mut fields: Vec<FieldRef> = partitions.fields.iter().cloned().map(Arc::new).collect();
    if options.filename {
        fields.push(Arc::new(Field::new(FILENAME, DataType::Utf8View, false)));
    }
    fields
}

/// What a value in text is taken to be long, delimiter included, where rows were never counted.
const VALUE_LEN_BYTES: usize = 8;

/// A dataset as a table of DataFusion.
#[derive(Debug)]
pub struct DatasetTable {
    dataset: Arc<Dataset>,
    /// What is known of all files together, once someone has asked.
    known: OnceLock<Statistics>,
}

impl DatasetTable {
    /// Makes a table of a dataset.
    pub fn new(dataset: Arc<Dataset>) -> Self {
        DatasetTable { dataset, known: OnceLock::new() }
    }

    /// The dataset.
    pub fn dataset(&self) -> &Arc<Dataset> {
        &self.dataset
    }

    fn file_constants(&self) -> Vec<FieldRef> {
        partition_fields(&self.dataset.partitions, &self.dataset.options)
    }

    fn constants_of(&self, file: &DatasetFile) -> Vec<ScalarValue> {
        let mut values = file.partition_values.clone();
        if self.dataset.options.filename {
            values.push(ScalarValue::Utf8View(Some(file.source.name.clone())));
        }
        values
    }

    /// Whether a filter can be decided by looking at a file's path alone.
    fn decides_by_path(&self, filter: &Expr) -> bool {
        let constants = self.file_constants();
        let columns = filter.column_refs();
        !columns.is_empty()
            && !filter.is_volatile()
            && columns
                .iter()
                .all(|column| constants.iter().any(|field| *field.name() == column.name))
            && !contains_subquery(filter)
    }

    /// The files for which the filters on partition columns hold.
    fn survivors(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<&DatasetFile>> {
        let files: Vec<&DatasetFile> = self.dataset.files.iter().collect();
        let deciding: Vec<&Expr> =
            filters.iter().filter(|filter| self.decides_by_path(filter)).collect();
        if deciding.is_empty() || files.is_empty() {
            return Ok(files);
        }
        let fields: Fields = self.file_constants().into();
        let schema = Arc::new(Schema::new(fields));
        let rows: Vec<Vec<ScalarValue>> =
            files.iter().map(|file| self.constants_of(file)).collect();
        let arrays = (0..schema.fields().len())
            .map(|idx| ScalarValue::iter_to_array(rows.iter().map(|row| row[idx].clone())))
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(files.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &options)?;
        let df_schema = schema.to_dfschema()?;
        let mut keep = vec![true; files.len()];
        for filter in deciding {
            let bare = unqualified(filter.clone())?;
            let holds = state
                .create_physical_expr(bare, &df_schema)?
                .evaluate(&batch)?
                .into_array(files.len())?;
            let holds = holds.as_boolean();
            for (idx, keep) in keep.iter_mut().enumerate() {
                *keep &= holds.is_valid(idx) && holds.value(idx);
            }
        }
        Ok(files.into_iter().zip(keep).filter(|(_, keep)| *keep).map(|(file, _)| file).collect())
    }

    /// What the filters rule out by bounds of columns.
    fn skipper(&self, state: &dyn Session, filters: &[Expr]) -> Result<Option<Skipper>> {
        if filters.is_empty() || self.dataset.files.iter().all(|file| file.learned.is_none()) {
            return Ok(None);
        }
        let schema = &self.dataset.schema;
        let df_schema = Arc::clone(schema).to_dfschema()?;
        let filters = filters
            .iter()
            .filter(|filter| !filter.is_volatile() && !contains_subquery(filter))
            .map(|filter| state.create_physical_expr(unqualified(filter.clone())?, &df_schema))
            .collect::<Result<Vec<_>>>()?;
        Ok(Skipper::new(conjunction(filters), schema))
    }

    /// A scan over files of one kind, with the table's columns `projection`.
    fn scan_of(
        &self,
        source: Arc<dyn FileSource>,
        groups: Vec<FileGroup>,
        projection: &[usize],
        limit: Option<usize>,
        statistics: Option<Statistics>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let source_schema = Arc::clone(source.table_schema().table_schema());
        let indices = projection
            .iter()
            .map(|&idx| source_schema.index_of(self.dataset.schema.field(idx).name()))
            .collect::<Result<Vec<_>, _>>()?;
        let mut builder = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), source)
            .with_file_groups(groups)
            .with_limit(limit)
            .with_expr_adapter(Some(Arc::new(CaselessAdapterFactory)))
            .with_projection_indices(Some(indices))?;
        if let Some(statistics) = statistics {
            builder = builder.with_statistics(statistics);
        }
        Ok(DataSourceExec::from_data_source(builder.build()))
    }

    fn parquet_scan(
        &self,
        files: &[&DatasetFile],
        projection: &[usize],
        limit: Option<usize>,
        task_count: usize,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let file_schema = Arc::new(Schema::new(file_fields(&self.dataset.columns)));
        let mut builder = TableSchema::builder(Arc::clone(&file_schema))
            .with_table_partition_cols(self.file_constants());
        if self.dataset.options.file_row_number {
            let field =
                Field::new(FILE_ROW_NUMBER, DataType::Int64, false).with_extension_type(RowNumber);
            builder = builder.with_virtual_columns(vec![Arc::new(field)]);
        }
        let schema = builder.build();
        let readers = Arc::new(Readers {
            notes: self.dataset.notes.clone(),
            in_flight: self.dataset.in_flight.clone(),
        });
        let source = ParquetSource::new(schema.clone()).with_parquet_file_reader_factory(readers);
        let planned = files
            .iter()
            .map(|file| {
                let statistics = self.file_statistics(file, &file_schema);
                let statistics = statistics.map(Arc::new);
                let plan = FilePlan { statistics: statistics.clone(), ..self.plan_of(file)? };
                let mut planned = self.plan_file(file, plan);
                planned.statistics = statistics;
                Ok(planned)
            })
            .collect::<Result<Vec<_>>>()?;
        let all_known = planned.iter().all(|file| file.statistics.is_some())
            && !self.dataset.options.file_row_number;
        let groups = deal(planned, task_count);
        let (groups, statistics) = if all_known {
            let schema = Arc::clone(schema.table_schema());
            let (groups, statistics) =
                datafusion_datasource::compute_all_files_statistics(groups, schema, true, false)?;
            (groups, Some(statistics))
        } else {
            (groups, None)
        };
        let scan = self.scan_of(Arc::new(source), groups, projection, limit, statistics)?;
        with_one_nan(scan)
    }

    /// Row count, minima and maxima of a Parquet file with its partition values.
    fn file_statistics(&self, file: &DatasetFile, file_schema: &SchemaRef) -> Option<Statistics> {
        let layout = file.layout.as_ref().ok()?;
        let statistics = layout.parquet.as_ref()?.statistics(file_schema)?;
        Some(self.with_constants(file, statistics))
    }

    /// A scan over files that are read as rows; None if nothing of them need be read.
    fn row_scan(
        &self,
        files: &[&DatasetFile],
        projection: &[usize],
        limit: Option<usize>,
        task_count: usize,
        skipper: Option<&Skipper>,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let mut fields = file_fields(&self.dataset.columns);
        let mut wanted: Vec<Wanted> =
            self.dataset.columns.iter().cloned().map(Wanted::Column).collect();
        if self.dataset.options.file_row_number {
            fields.push(Field::new(FILE_ROW_NUMBER, DataType::Int64, false));
            wanted.push(Wanted::RowNumber);
        }
        let schema = TableSchema::builder(Arc::new(Schema::new(fields)))
            .with_table_partition_cols(self.file_constants())
            .build();
        let total: u64 = files.iter().map(|file| file.source.identity.len).sum();
        let piece_len = match task_count {
            1 => u64::MAX,
            _ => total.div_ceil(task_count as u64 * PIECES_FOR_TASK).max(RANGE_LEN_BYTES),
        };
        let mut planned = Vec::with_capacity(files.len());
        let mut statistics = Vec::new();
        for file in files {
            let reading = Reading::of(file, skipper, &self.dataset.options)?;
            statistics
                .extend(reading.learned().map(|learned| self.learned_statistics(file, &learned)));
            planned.extend(self.plan_rows(file, &reading, projection, piece_len)?);
        }
        if planned.is_empty() {
            return Ok(None);
        }
        let statistics = self.merged(&statistics, files.len(), schema.table_schema());
        // Sides of joins are chosen by guesses, where nothing better is known.
        let statistics = statistics.or_else(|| self.guessed(files, schema.table_schema()));
        let label = label_of(files);
        let notes = self.dataset.notes.clone();
        let options = &self.dataset.options.format.csv;
        let source = RowSource::new(self.dataset.id, schema, wanted, label, options, notes);
        let groups = deal(planned, task_count);
        self.scan_of(Arc::new(source), groups, projection, limit, statistics).map(Some)
    }

    fn all_that_is_known(&self) -> Statistics {
        let schema = &self.dataset.schema;
        let fields = Arc::new(Schema::new(file_fields(&self.dataset.columns)));
        let mut row_count = 0;
        let mut known = Vec::with_capacity(self.dataset.files.len());
        for file in &self.dataset.files {
            let statistics = match &file.learned {
                Some(learned) => Some(self.learned_statistics(file, learned)),
                None => self.file_statistics(file, &fields),
            };
            row_count += match statistics.as_ref().and_then(|known| known.num_rows.get_value()) {
                Some(count) => *count,
                None => self.guessed_row_count(file),
            };
            known.extend(statistics);
        }
        let merged = self.merged(&known, self.dataset.files.len(), schema);
        let statistics = merged.unwrap_or_else(|| Statistics::new_unknown(schema));
        Statistics { num_rows: Precision::Inexact(row_count), ..statistics }
    }

    /// Statistics of files together; what is known of some of them says nothing of all.
    fn merged(
        &self,
        known: &[Statistics],
        file_count: usize,
        schema: &SchemaRef,
    ) -> Option<Statistics> {
        (known.len() == file_count && !self.dataset.options.file_row_number)
            .then(|| Statistics::try_merge_iter(known, schema).ok())
            .flatten()
    }

    /// About how many rows there are, by length; None where that says nothing.
    fn guessed(&self, files: &[&DatasetFile], schema: &SchemaRef) -> Option<Statistics> {
        let is_known = files.iter().all(|file| !file.source.is_stream());
        let row_count: usize = files.iter().map(|file| self.guessed_row_count(file)).sum();
        is_known.then(|| Statistics {
            num_rows: Precision::Inexact(row_count),
            ..Statistics::new_unknown(schema)
        })
    }

    fn guessed_row_count(&self, file: &DatasetFile) -> usize {
        let row_len = self.dataset.columns.len().max(1) * VALUE_LEN_BYTES;
        file.source.identity.len as usize / row_len
    }

    /// Exact statistics of what is read of a file, with its partition values.
    fn learned_statistics(&self, file: &DatasetFile, learned: &Learned) -> Statistics {
        let columns = self.dataset.columns.iter();
        let columns = columns.map(|column| (column.name.as_str(), &column.data_type));
        self.with_constants(file, skip::statistics(learned, columns))
    }

    /// Statistics of a file's own columns, and of those whose value is the same throughout it.
    fn with_constants(&self, file: &DatasetFile, mut statistics: Statistics) -> Statistics {
        let row_count = statistics.num_rows;
        let constants = self.constants_of(file).into_iter();
        statistics.column_statistics.extend(constants.map(|value| constant(value, row_count)));
        statistics
    }

    /// Plans what is read of a file, a large one as several pieces.
    fn plan_rows(
        &self,
        file: &DatasetFile,
        reading: &Reading,
        projection: &[usize],
        piece_len: u64,
    ) -> Result<Vec<PartitionedFile>> {
        let layout = file.layout.clone()?;
        let learner = self.learner(file, reading, projection);
        let splits = match (&layout.csv, reading) {
            (_, Reading::Nothing) => return Ok(Vec::new()),
            (Some(csv), Reading::Ranges { learned, survivors }) => {
                let len = file.source.identity.len;
                let pieces = known_pieces(learned, survivors, piece_len, len);
                Some(Splits::known(Arc::clone(&file.source), csv.dialect.clone(), pieces))
            }
            (Some(csv), _) if self.is_cut(file, &layout) => {
                let wanted = (file.source.identity.len + piece_len / 2) / piece_len;
                let splits = Splits::new(
                    Arc::clone(&file.source),
                    csv.dialect.clone(),
                    csv.data_start,
                    wanted as usize,
                    RANGE_LEN_BYTES,
                );
                Some(splits).filter(|splits| splits.piece_count() > 1)
            }
            _ => None,
        };
        let plan = FilePlan {
            learner,
            skipped_ranges: reading.skipped(),
            statistics: reading.whole().map(|whole| Arc::new(self.learned_statistics(file, whole))),
            ..self.plan_of(file)?
        };
        let Some(splits) = splits.map(Arc::new) else {
            return Ok(vec![self.plan_file(file, plan)]);
        };
        let pieces = (0..splits.piece_count()).map(|idx| {
            let piece = Some(Piece { splits: Arc::clone(&splits), idx });
            self.plan_file(file, FilePlan { piece, ..plan.clone() })
        });
        Ok(pieces.collect())
    }

    /// Whether tasks may share a file.
    fn is_cut(&self, file: &DatasetFile, layout: &FileLayout) -> bool {
        layout.is_splittable()
            // Where quotes do not pair, only reading from the front tells records apart.
            && self.dataset.options.format.csv.on_error != OnError::Reject
            && !file.source.is_stream()
            && !self.dataset.options.file_row_number
    }

    /// Where goes what this pass learns of a file, if there is anything to learn.
    fn learner(
        &self,
        file: &DatasetFile,
        reading: &Reading,
        projection: &[usize],
    ) -> Option<Arc<Learner>> {
        let layout = file.layout.as_ref().ok()?;
        let cache = self.dataset.cache.clone()?;
        if !super::is_worth_remembering(&file.source, layout) {
            return None;
        }
        let len = layout.is_splittable().then_some(file.source.identity.len);
        let range_count = match reading {
            Reading::Ranges { survivors, .. } => survivors.iter().filter(|keep| **keep).count(),
            _ => len.map_or(1, range_count),
        };
        let (source, options) =
            (Arc::clone(&file.source), super::options_key(&self.dataset.options));
        let keep = move |learned: &Learned| {
            let mut entry = cache.load(&source, &options).unwrap_or_default();
            entry.learned = learned.clone();
            cache.keep(&source, &options, &entry);
        };
        let learner = Learner::new(file.learned.clone(), len, range_count, Box::new(keep));
        let columns = &self.dataset.columns;
        let is_of_use = file.learned.is_none()
            || projection
                .iter()
                .filter_map(|&idx| columns.get(idx))
                .any(|column| learner.wants(column));
        is_of_use.then(|| Arc::new(learner))
    }

    /// All of a file, of which nothing is known and nothing will be learned.
    fn plan_of(&self, file: &DatasetFile) -> Result<FilePlan> {
        Ok(FilePlan {
            file: Arc::clone(&file.source),
            layout: file.layout.clone()?,
            piece: None,
            learner: None,
            skipped_ranges: SkippedRanges::default(),
            statistics: None,
            dataset_file_count: self.dataset.files.len(),
        })
    }

    fn plan_file(&self, file: &DatasetFile, plan: FilePlan) -> PartitionedFile {
        let len = match &plan.piece {
            Some(piece) => piece.splits.piece_len_bytes(piece.idx),
            None => file.source.identity.len,
        };
        PartitionedFile::new(file.source.name.clone(), len)
            .with_partition_values(self.constants_of(file))
            .with_extension(plan)
    }
}

/// What must be read of a file, given what was learned of it.
enum Reading {
    /// All of it; with what is known of it.
    All(Option<Arc<Learned>>),
    /// Some of its ranges.
    Ranges { learned: Arc<Learned>, survivors: Vec<bool> },
    /// Nothing: the filter holds for no row.
    Nothing,
}

impl Reading {
    fn of(file: &DatasetFile, skipper: Option<&Skipper>, options: &ReadOptions) -> Result<Self> {
        let layout = file.layout.clone()?;
        let Some(learned) = &file.learned else { return Ok(Reading::All(None)) };
        let is_cut = layout.is_splittable();
        let expected = if is_cut { range_count(file.source.identity.len) } else { 1 };
        if learned.ranges.len() != expected || options.file_row_number {
            return Ok(Reading::All(None));
        }
        let mut survivors = match skipper {
            Some(skipper) => skipper.survivors(learned),
            None => vec![true; expected],
        };
        for (keep, range) in survivors.iter_mut().zip(&learned.ranges) {
            *keep &= range.row_count > 0;
        }
        let learned = Arc::clone(learned);
        Ok(match survivors.contains(&true) {
            false => Reading::Nothing,
            true if is_cut => Reading::Ranges { learned, survivors },
            true => Reading::All(Some(learned)),
        })
    }

    /// What is known of just that which is read.
    fn learned(&self) -> Option<Learned> {
        match self {
            Reading::All(learned) => learned.as_deref().cloned(),
            Reading::Ranges { learned, survivors } => Some(learned.only(survivors)),
            Reading::Nothing => Some(Learned::default()),
        }
    }

    /// What is known of all of the file.
    fn whole(&self) -> Option<&Learned> {
        match self {
            Reading::All(learned) => learned.as_deref(),
            Reading::Ranges { learned, .. } => Some(learned),
            Reading::Nothing => None,
        }
    }

    fn skipped(&self) -> SkippedRanges {
        match self {
            Reading::Ranges { survivors, .. } => SkippedRanges {
                count: survivors.iter().filter(|keep| !**keep).count(),
                total: survivors.len(),
            },
            _ => SkippedRanges::default(),
        }
    }
}

/// Surviving ranges that follow each other, as pieces of about this length.
fn known_pieces(
    learned: &Learned,
    survivors: &[bool],
    piece_len: u64,
    file_len: u64,
) -> Vec<(u64, u64)> {
    let len_max = piece_len.div_ceil(RANGE_LEN_BYTES);
    let mut pieces: Vec<(u64, u64)> = Vec::new();
    let mut len = 0;
    for (idx, range) in learned.ranges.iter().enumerate() {
        if !survivors[idx] {
            len = 0;
            continue;
        }
        let end = ((idx as u64 + 1) * RANGE_LEN_BYTES).min(file_len);
        match pieces.last_mut() {
            Some(piece) if len > 0 && len < len_max => piece.1 = end,
            _ => {
                pieces.push((range.start, end));
                len = 0;
            }
        }
        len += 1;
    }
    pieces
}

/// The statistics of a column that has one value throughout.
fn constant(value: ScalarValue, row_count: Precision<usize>) -> ColumnStatistics {
    ColumnStatistics {
        null_count: if value.is_null() { row_count } else { Precision::Exact(0) },
        min_value: Precision::Exact(value.clone()),
        max_value: Precision::Exact(value),
        ..ColumnStatistics::default()
    }
}

/// A scan that gives one NaN, whatever bits its files have.
fn with_one_nan(scan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = scan.schema();
    if !schema.fields().iter().any(|field| one_nan::has_nan(field.data_type())) {
        return Ok(scan);
    }
    let columns = schema.fields().iter().enumerate().map(|(idx, field)| {
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), idx));
        let expr = match one_nan::has_nan(field.data_type()) {
            true => one_nan::physical(column, Arc::clone(field)),
            false => column,
        };
        ProjectionExpr { expr, alias: field.name().clone() }
    });
    let columns: Vec<ProjectionExpr> = columns.collect();
    let Some(source) = scan.downcast_ref::<DataSourceExec>() else { return Ok(scan) };
    Ok(match source.data_source().try_swapping_with_projection(&columns.clone().into())? {
        Some(source) => Arc::new(DataSourceExec::new(source)),
        None => Arc::new(ProjectionExec::try_new(columns, scan)?),
    })
}

/// What EXPLAIN calls a scan of these files.
fn label_of(files: &[&DatasetFile]) -> &'static str {
    let formats: HashSet<Format> = files
        .iter()
        .filter_map(|file| file.layout.as_ref().ok().map(|layout| layout.format))
        .collect();
    match formats.iter().next() {
        Some(Format::Csv) if formats.len() == 1 => "csv",
        Some(Format::Json) if formats.len() == 1 => "json",
        Some(Format::Arrow) if formats.len() == 1 => "arrow",
        _ => "rows",
    }
}

/// Deals files into tasks of about the same size, in order.
fn deal(files: Vec<PartitionedFile>, task_count: usize) -> Vec<FileGroup> {
    let total: u64 = files.iter().map(|file| file.object_meta.size).sum();
    let task_count = task_count.clamp(1, files.len().max(1)) as u64;
    let mut groups: Vec<Vec<PartitionedFile>> = vec![Vec::new(); task_count as usize];
    let mut before: u64 = 0;
    for (idx, file) in files.into_iter().enumerate() {
        let len = file.object_meta.size;
        // By the middle of the file; files without a known size go round.
        let group = (u128::from(before + len / 2) * u128::from(task_count))
            .checked_div(u128::from(total))
            .unwrap_or((idx as u64 % task_count).into());
        groups[(group as usize).min(task_count as usize - 1)].push(file);
        before += len;
    }
    groups.into_iter().filter(|group| !group.is_empty()).map(FileGroup::new).collect()
}

/// Whether an expression holds a query, or a column of the query around its own.
pub fn contains_subquery(filter: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    filter
        .exists(|expr| {
            Ok(matches!(
                expr,
                Expr::ScalarSubquery(_)
                    | Expr::InSubquery(_)
                    | Expr::Exists(_)
                    | Expr::SetComparison(_)
                    | Expr::OuterReferenceColumn(..)
            ))
        })
        .unwrap_or(true)
}

/// The same expression with bare column names.
fn unqualified(expr: Expr) -> Result<Expr> {
    use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
    expr.transform(|expr| {
        Ok(match expr {
            Expr::Column(column) => Transformed::yes(Expr::Column(
                datafusion::common::Column::new_unqualified(column.name),
            )),
            other => Transformed::no(other),
        })
    })
    .data()
}

#[async_trait]
impl TableProvider for DatasetTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.dataset.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| {
                if self.decides_by_path(filter) {
                    TableProviderFilterPushDown::Exact
                } else {
                    TableProviderFilterPushDown::Inexact
                }
            })
            .collect())
    }

    /// What is known without reading: for choosing between plans, not for answers.
    fn statistics(&self) -> Option<Statistics> {
        Some(self.known.get_or_init(|| self.all_that_is_known()).clone())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let files = self.survivors(state, filters)?;
        let counts = self.dataset.notes.counts();
        if self.dataset.partitions.count > 0 {
            let distinct: HashSet<&[ScalarValue]> =
                files.iter().map(|file| file.partition_values.as_slice()).collect();
            Counts::bump(&counts.partitions_read, distinct.len() as u64);
        }
        let all: Vec<usize> = (0..self.dataset.schema.fields().len()).collect();
        let projection = projection.unwrap_or(&all);
        let unseen = || files.iter().filter(|file| !file.is_seen);
        if unseen().next().is_some() {
            let names = unseen().map(|file| file.source.name.clone());
            return Err(DataFusionError::from(self.dataset.seen.ask(names)));
        }
        // A file that was not understood is an error now that it would be read.
        for file in &files {
            if let Err(error) = &file.layout {
                return Err(DataFusionError::from(error.clone()));
            }
        }
        let objects = files.iter().filter_map(|file| file.source.as_object());
        let (count, len) = objects.fold((0_u64, 0_u64), |(count, len), object| {
            (count + 1, len.saturating_add(object.len_bytes()))
        });
        // Of long ones each task has several requests under way anyway.
        let are_far = count > 0 && len / count < FAR_LEN_MAX_BYTES;
        let task_count = match state.config().target_partitions() {
            // Who waits for a store leaves the core to others.
            count @ 2.. if are_far => count.max(FAR_TASKS),
            count => count,
        };
        let (parquet, rows): (Vec<&DatasetFile>, Vec<&DatasetFile>) =
            files.into_iter().partition(|file| {
                file.layout.as_ref().is_ok_and(|layout| layout.format == Format::Parquet)
            });
        let mut scans = Vec::new();
        if !parquet.is_empty() {
            scans.push(self.parquet_scan(&parquet, projection, limit, task_count)?);
        }
        if !rows.is_empty() {
            let skipper = self.skipper(state, filters)?;
            let scan = self.row_scan(&rows, projection, limit, task_count, skipper.as_ref())?;
            // The scan whose files come first stands first, as far as two scans can keep the order.
            let rows_first =
                parquet.first().is_none_or(|first| rows[0].source.name < first.source.name);
            if let Some(scan) = scan {
                scans.insert(if rows_first { 0 } else { scans.len() }, scan);
            }
        }
        match scans.len() {
            0 => {
                let schema = self.dataset.schema.project(projection)?;
                Ok(Arc::new(EmptyExec::new(Arc::new(schema))))
            }
            1 => Ok(scans.remove(0)),
            _ => UnionExec::try_new(scans),
        }
    }
}

/// Adapts expressions to a Parquet file whose columns differ from the table's by case.
#[derive(Debug)]
pub(crate) struct CaselessAdapterFactory;

impl PhysicalExprAdapterFactory for CaselessAdapterFactory {
    fn create(
        &self,
        logical_file_schema: SchemaRef,
        physical_file_schema: SchemaRef,
    ) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let fields: Vec<FieldRef> = physical_file_schema
            .fields()
            .iter()
            .map(|field| {
                let lower = field.name().to_lowercase();
                let logical = logical_file_schema
                    .fields()
                    .iter()
                    .find(|logical| logical.name() == field.name())
                    .or_else(|| {
                        logical_file_schema
                            .fields()
                            .iter()
                            .find(|logical| logical.name().to_lowercase() == lower)
                    });
                match logical {
                    Some(logical) => {
                        Arc::new(field.as_ref().clone().with_name(logical.name().clone()))
                    }
                    None => Arc::clone(field),
                }
            })
            .collect();
        let renamed =
            Arc::new(Schema::new_with_metadata(fields, physical_file_schema.metadata().clone()));
        let inner =
            DefaultPhysicalExprAdapterFactory.create(logical_file_schema, Arc::clone(&renamed))?;
        Ok(Arc::new(CaselessAdapter { inner, physical_file_schema, renamed }))
    }
}

#[derive(Debug)]
struct CaselessAdapter {
    inner: Arc<dyn PhysicalExprAdapter>,
    physical_file_schema: SchemaRef,
    renamed: SchemaRef,
}

impl PhysicalExprAdapter for CaselessAdapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
        let adapted = self.inner.rewrite(expr)?;
        if self.renamed == self.physical_file_schema {
            return Ok(adapted);
        }
        adapted
            .transform(|expr| {
                let Some(column) = (expr.as_ref() as &dyn Any).downcast_ref::<Column>() else {
                    return Ok(Transformed::no(expr));
                };
                let Ok(idx) = self.renamed.index_of(column.name()) else {
                    return Ok(Transformed::no(expr));
                };
                let name = self.physical_file_schema.field(idx).name();
                Ok(Transformed::yes(Arc::new(Column::new(name, idx))))
            })
            .data()
    }
}
