//! Group keys that are Hive keys need no exchange.
//!
//! All rows of a file share its partition values. If a GROUP BY names a partition key, the files
//! are dealt to tasks by that key, and the scan declares that it is partitioned so: DataFusion then
//! leaves out the exchange and aggregates in one phase. The deal uses DataFusion's own hash, so that
//! the declaration is true for everything above (a join on the same key included).
//!
//! Skew decides: where one task would get much more than its share, the exchange stays.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, UInt32Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, ScalarValue};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{Partitioning, PhysicalExpr};
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::metrics::Time;
use datafusion::physical_plan::repartition::BatchPartitioner;
use datafusion::physical_plan::union::{InterleaveExec, UnionExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use super::Replacing;

/// A task may get this much more than its share before an exchange is the better way.
const SKEW_MAX: f64 = 1.5;
/// Data so small that no task waits long for another.
const ALWAYS_DEALT_LEN_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The rule.
pub const RULE: Replacing = Replacing { name: "partition_keys", replacement };

fn replacement(
    plan: &Arc<dyn ExecutionPlan>,
    config: &ConfigOptions,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let task_count = config.execution.target_partitions;
    if task_count < 2 {
        return Ok(None);
    }
    let Some(aggregate) = plan.downcast_ref::<AggregateExec>() else { return Ok(None) };
    let input = regrouped(aggregate, task_count)?;
    input.map(|input| replace_children_if_necessary(Arc::clone(plan), vec![input])).transpose()
}

/// The aggregate's input with its files dealt by the group keys, if that spares the exchange.
fn regrouped(
    aggregate: &AggregateExec,
    task_count: usize,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if !aggregate.group_expr().is_single() {
        return Ok(None);
    }
    let keys: Vec<Arc<dyn PhysicalExpr>> =
        aggregate.group_expr().expr().iter().map(|(expr, _)| Arc::clone(expr)).collect();
    let names: Vec<String> = keys
        .iter()
        .filter_map(|key| key.downcast_ref::<Column>())
        .map(|column| column.name().to_string())
        .collect();
    let Some(input) = deal_below(aggregate.input(), &names, task_count)? else { return Ok(None) };
    // The columns may have been renamed or computed on the way: DataFusion's word counts.
    let spared = match input.output_partitioning() {
        Partitioning::Hash(exprs, _) => {
            !exprs.is_empty() && exprs.iter().all(|expr| keys.iter().any(|key| key.eq(expr)))
        }
        _ => false,
    };
    Ok(spared.then_some(input))
}

/// Deals the files of the scans below, through operators that have one input, and unions.
fn deal_below(
    plan: &Arc<dyn ExecutionPlan>,
    names: &[String],
    task_count: usize,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(scan) = plan.downcast_ref::<DataSourceExec>() {
        return deal_scan(scan, names, task_count);
    }
    let children = plan.children();
    let is_union = plan.is::<UnionExec>();
    if children.is_empty() || (children.len() > 1 && !is_union) {
        return Ok(None);
    }
    let mut dealt = Vec::with_capacity(children.len());
    for child in children {
        match deal_below(child, names, task_count)? {
            Some(child) => dealt.push(child),
            None => return Ok(None),
        }
    }
    if is_union {
        return Ok(InterleaveExec::try_new(dealt).ok().map(|union| Arc::new(union) as _));
    }
    replace_children_if_necessary(Arc::clone(plan), dealt).map(Some)
}

fn deal_scan(
    scan: &DataSourceExec,
    names: &[String],
    task_count: usize,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(config) = scan.data_source().downcast_ref::<FileScanConfig>() else {
        return Ok(None);
    };
    if config.output_partitioning.is_some() {
        return Ok(None);
    }
    let constants = config.table_partition_cols();
    let used: Vec<usize> = (0..constants.len())
        .filter(|&idx| names.iter().any(|name| name == constants[idx].name()))
        .collect();
    if used.is_empty() {
        return Ok(None);
    }
    let files: Vec<PartitionedFile> =
        config.file_groups.iter().flat_map(|group| group.files().to_vec()).collect();
    let fields: Vec<&Field> = used.iter().map(|&idx| constants[idx].as_ref()).collect();
    let Some(groups) = deal(files, &used, &fields, task_count)? else { return Ok(None) };
    let schema = config.file_source().table_schema().table_schema();
    let exprs = fields
        .iter()
        .map(|field| {
            Ok(Arc::new(Column::new(field.name(), schema.index_of(field.name())?))
                as Arc<dyn PhysicalExpr>)
        })
        .collect::<Result<Vec<_>>>()?;
    let config = FileScanConfigBuilder::from(config.clone())
        .with_file_groups(groups)
        .with_output_partitioning(Some(Partitioning::Hash(exprs, task_count)))
        .build();
    Ok(Some(DataSourceExec::from_data_source(config)))
}

/// Deals files by the hash of their values in `used`; `None` where that would be lopsided.
fn deal(
    files: Vec<PartitionedFile>,
    used: &[usize],
    fields: &[&Field],
    task_count: usize,
) -> Result<Option<Vec<FileGroup>>> {
    let tasks = tasks_of(&files, used, fields, task_count)?;
    let mut groups: Vec<Vec<PartitionedFile>> = vec![Vec::new(); task_count];
    let mut sizes = vec![0_u64; task_count];
    for (file, task) in files.into_iter().zip(tasks) {
        sizes[task] += file.object_meta.size;
        groups[task].push(file);
    }
    let total = sizes.iter().sum::<u64>();
    let share = total as f64 / task_count as f64;
    let largest = sizes.iter().max().copied().unwrap_or(0) as f64;
    if total > ALWAYS_DEALT_LEN_MAX_BYTES && largest > share * SKEW_MAX {
        return Ok(None);
    }
    Ok(Some(groups.into_iter().map(FileGroup::new).collect()))
}

/// The task of each file, by DataFusion's own hash exchange.
fn tasks_of(
    files: &[PartitionedFile],
    used: &[usize],
    fields: &[&Field],
    task_count: usize,
) -> Result<Vec<usize>> {
    let mut arrays = Vec::with_capacity(used.len() + 1);
    let mut batch_fields = Vec::with_capacity(used.len() + 1);
    let mut exprs: Vec<Arc<dyn PhysicalExpr>> = Vec::with_capacity(used.len());
    for (position, (&idx, field)) in used.iter().zip(fields).enumerate() {
        arrays.push(ScalarValue::iter_to_array(
            files.iter().map(|file| file.partition_values[idx].clone()),
        )?);
        batch_fields.push((*field).clone().with_nullable(true));
        exprs.push(Arc::new(Column::new(field.name(), position)));
    }
    let row = batch_fields.len();
    arrays.push(Arc::new(UInt32Array::from_iter_values(0..files.len() as u32)));
    batch_fields.push(Field::new("file", DataType::UInt32, false));
    let batch = RecordBatch::try_new(Arc::new(Schema::new(batch_fields)), arrays)?;
    let mut tasks = vec![0; files.len()];
    let mut partitioner = BatchPartitioner::new_hash_partitioner(exprs, task_count, Time::new())?;
    partitioner.partition(batch, |task, part| {
        let rows = part.column(row);
        if let Some(rows) = rows.as_any().downcast_ref::<UInt32Array>() {
            rows.values().iter().for_each(|&file| tasks[file as usize] = task);
        }
        Ok(())
    })?;
    Ok(tasks)
}
