//! A top-n over wide Parquet files reads the other columns of just its rows; see `exec::late_columns`.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::ColumnStatistics;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::source::ParquetSource;
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfig, FileScanConfigBuilder, FileSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::{ProjectionExpr, ProjectionExprs};
use datafusion::physical_expr::utils::{collect_columns, conjunction};
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use parquet::arrow::RowNumber;

use super::Replacing;
use super::early_filters::first_layout;
use crate::exec::late_columns::{Late, LateColumnsExec};
use crate::exec::over_kept;
use crate::formats::parquet::compressed_len;

/// More rows than this lie in so many pages that nothing is spared.
const COUNT_MAX: usize = 256;
/// Other columns must be at least so long, in all files as far as the first one tells, ...
const REST_LEN_MIN_BYTES: u64 = 1 << 20;
/// ... and as many times as long as those that decide.
const REST_SHARE_MIN: u64 = 2;
/// Where a row is.
const FILE: &str = "swath_file";
const ROW: &str = "swath_row";

type Expr = Arc<dyn PhysicalExpr>;

/// The rule; it comes before exchanges are put in, and before a top-n tells its bound to the scan.
pub const RULE: Replacing = Replacing { name: "late_columns", replacement };

fn replacement(
    plan: &Arc<dyn ExecutionPlan>,
    _: &ConfigOptions,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    match plan.downcast_ref::<SortExec>() {
        Some(sort) if sort.fetch().is_some_and(|count| count <= COUNT_MAX) => late(sort),
        _ => Ok(None),
    }
}

/// What stands between a top-n and its scan, over the columns that the scan gives.
struct Chain<'a> {
    scan: &'a FileScanConfig,
    source: &'a ParquetSource,
    filters: Vec<Expr>,
    columns: Vec<Expr>,
}

impl<'a> Chain<'a> {
    /// None if it is something else than filters and columns of one scan.
    fn of(plan: &'a Arc<dyn ExecutionPlan>) -> Result<Option<Self>> {
        if let Some(filter) = plan.downcast_ref::<FilterExec>() {
            let Some(mut chain) = Chain::of(filter.input())? else { return Ok(None) };
            if filter.fetch().is_some() {
                return Ok(None);
            }
            chain.filters.push(over(filter.predicate(), &chain.columns)?);
            if let Some(kept) = filter.projection().as_ref() {
                chain.columns = kept.iter().map(|idx| Arc::clone(&chain.columns[*idx])).collect();
            }
            return Ok(Some(chain));
        }
        if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
            let Some(mut chain) = Chain::of(projection.input())? else { return Ok(None) };
            let columns = projection.expr().iter().map(|column| over(&column.expr, &chain.columns));
            chain.columns = columns.collect::<Result<_>>()?;
            return Ok(Some(chain));
        }
        let Some(scan) = plan.downcast_ref::<DataSourceExec>() else { return Ok(None) };
        let Some(scan) = scan.data_source().downcast_ref::<FileScanConfig>() else {
            return Ok(None);
        };
        let Some(source) = scan.file_source().downcast_ref::<ParquetSource>() else {
            return Ok(None);
        };
        let is_plain = scan.limit.is_none() && source.table_schema().virtual_columns().is_empty();
        if !is_plain || source.parquet_file_reader_factory().is_none() {
            return Ok(None);
        }
        let fields = plan.schema();
        let columns = fields.fields().iter().enumerate();
        let columns = columns.map(|(idx, field)| Arc::new(Column::new(field.name(), idx)) as Expr);
        Ok(Some(Chain { scan, source, filters: Vec::new(), columns: columns.collect() }))
    }
}

/// An expression over columns that are expressions themselves.
fn over(expr: &Expr, columns: &[Expr]) -> Result<Expr> {
    let replace = |expr: Expr| {
        Ok(match expr.downcast_ref::<Column>() {
            Some(column) => Transformed::yes(Arc::clone(&columns[column.index()])),
            None => Transformed::no(expr),
        })
    };
    // From the leaves up, what is put in is not looked into again.
    Arc::clone(expr).transform_up(replace).data()
}

fn indices<'a>(exprs: impl IntoIterator<Item = &'a Expr>) -> Vec<usize> {
    let mut indices: Vec<usize> = exprs
        .into_iter()
        .flat_map(|expr| collect_columns(expr).into_iter().map(|column| column.index()))
        .collect();
    indices.sort_unstable();
    indices.dedup();
    indices
}

fn late(sort: &SortExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(chain) = Chain::of(sort.input())? else { return Ok(None) };
    let keys = sort.expr().iter().map(|key| over(&key.expr, &chain.columns));
    let keys = keys.collect::<Result<Vec<Expr>>>()?;
    let all = chain.filters.iter().chain(&keys).chain(&chain.columns);
    if all.clone().any(is_volatile) {
        return Ok(None);
    }
    let deciding = indices(chain.filters.iter().chain(&keys));
    let given = indices(&chain.columns);
    if !spares_decoding(&chain, &deciding, &given) {
        return Ok(None);
    }
    let Some((files, groups)) = numbered(chain.scan) else { return Ok(None) };
    // The rows that are first.
    let narrow = scan_of(&chain, &deciding, true)?.map(|builder| builder.with_file_groups(groups));
    let Some(narrow) = narrow else { return Ok(None) };
    let mut plan: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(narrow.build());
    if !chain.filters.is_empty() {
        let filters = chain.filters.iter().map(|filter| over_kept(filter, &deciding));
        let filters = filters.collect::<Result<Vec<Expr>>>()?;
        plan = Arc::new(FilterExec::try_new(conjunction(filters), plan)?);
    }
    let mut columns = Vec::with_capacity(keys.len() + 2);
    let mut order = Vec::with_capacity(keys.len());
    for (nth, (key, sorted)) in keys.iter().zip(sort.expr().iter()).enumerate() {
        let alias = format!("swath_key_{nth}");
        order.push(PhysicalSortExpr::new(Arc::new(Column::new(&alias, nth)), sorted.options));
        columns.push(ProjectionExpr { expr: over_kept(key, &deciding)?, alias });
    }
    for (nth, name) in [FILE, ROW].into_iter().enumerate() {
        let expr = Arc::new(Column::new(name, deciding.len() + nth));
        columns.push(ProjectionExpr { expr, alias: name.to_string() });
    }
    let Some(order) = LexOrdering::new(order) else { return Ok(None) };
    let named = ProjectionExec::try_new(columns, plan)?;
    let first = SortExec::new(order.clone(), Arc::new(named)).with_fetch(sort.fetch());
    // The columns of these.
    let Some(wide) = scan_of(&chain, &given, false)? else { return Ok(None) };
    let columns = chain.columns.iter().map(|column| over_kept(column, &given));
    let late = Late {
        scan: wide.with_file_groups(Vec::new()).build(),
        files,
        columns: columns.collect::<Result<_>>()?,
        schema: sort.schema(),
        order: sort.expr().clone(),
    };
    Ok(Some(Arc::new(LateColumnsExec::new(Arc::new(first), order, Arc::new(late)))))
}

/// Whether the columns that do not decide are long.
fn spares_decoding(chain: &Chain<'_>, deciding: &[usize], given: &[usize]) -> bool {
    let Some(projection) = chain.source.projection() else { return false };
    let read = |indices: &[usize]| -> Vec<String> {
        let exprs = indices.iter().filter_map(|idx| projection.iter().nth(*idx));
        let columns = exprs.flat_map(|column| collect_columns(&column.expr));
        columns.map(|column| column.name().to_string()).collect()
    };
    let (deciding, given) = (read(deciding), read(given));
    let Some(layout) = first_layout(chain.scan) else { return false };
    let file_count = chain.scan.file_groups.iter().map(FileGroup::len).sum::<usize>() as u64;
    let len_of = |name: &String| compressed_len(&layout.metadata, name) * file_count;
    let rest_len: u64 = given.iter().filter(|name| !deciding.contains(name)).map(len_of).sum();
    let deciding_len: u64 = deciding.iter().map(len_of).sum();
    rest_len >= REST_LEN_MIN_BYTES.max(deciding_len * REST_SHARE_MIN)
}

/// The files of a scan, each with its number as one more value, and the same in their groups.
fn numbered(scan: &FileScanConfig) -> Option<(Vec<PartitionedFile>, Vec<FileGroup>)> {
    let mut files = Vec::new();
    let groups = scan.file_groups.iter().map(|group| {
        let group = group.files().iter().map(|file| {
            // A piece of a file would not have all of its rows.
            if file.range.is_some() {
                return None;
            }
            let mut file = file.clone();
            let number = u32::try_from(files.len()).ok()?;
            file.partition_values.push(ScalarValue::UInt32(Some(number)));
            if let Some(statistics) = &mut file.statistics {
                let statistics: &mut Statistics = Arc::make_mut(statistics);
                statistics.column_statistics.push(ColumnStatistics::new_unknown());
            }
            files.push(file.clone());
            Some(file)
        });
        group.collect::<Option<Vec<_>>>().map(FileGroup::new)
    });
    let groups = groups.collect::<Option<Vec<_>>>()?;
    Some((files, groups))
}

/// A scan of some of the columns that another one gives, and of where each row is.
fn scan_of(
    chain: &Chain<'_>,
    columns: &[usize],
    is_filtered: bool,
) -> Result<Option<FileScanConfigBuilder>> {
    let known = chain.source.table_schema();
    let mut constants = known.table_partition_cols().to_vec();
    constants.push(Arc::new(Field::new(FILE, DataType::UInt32, false)));
    let row = Field::new(ROW, DataType::Int64, false).with_extension_type(RowNumber);
    let schema = TableSchema::builder(Arc::clone(known.file_schema()))
        .with_table_partition_cols(constants)
        .with_virtual_columns(vec![Arc::new(row)])
        .build();
    let width = schema.table_schema().fields().len();
    let (Some(projection), Some(readers)) =
        (chain.source.projection(), chain.source.parquet_file_reader_factory())
    else {
        return Ok(None);
    };
    let projection: Vec<ProjectionExpr> = projection.iter().cloned().collect();
    let mut wanted: Vec<ProjectionExpr> =
        columns.iter().map(|idx| projection[*idx].clone()).collect();
    for (name, idx) in [(FILE, width - 2), (ROW, width - 1)] {
        let expr = Arc::new(Column::new(name, idx));
        wanted.push(ProjectionExpr { expr, alias: name.to_string() });
    }
    let mut source = ParquetSource::new(schema.clone())
        .with_table_parquet_options(chain.source.table_parquet_options().clone())
        .with_parquet_file_reader_factory(Arc::clone(readers));
    if let Some(filter) = chain.source.filter().filter(|_| is_filtered) {
        source = source.with_predicate(filter);
    }
    let Some(source) = source.try_pushdown_projection(&ProjectionExprs::new(wanted))? else {
        return Ok(None);
    };
    let unknown = Statistics::new_unknown(schema.table_schema());
    let builder = FileScanConfigBuilder::from(chain.scan.clone())
        .with_source(source)
        .with_statistics(unknown);
    Ok(Some(builder))
}
