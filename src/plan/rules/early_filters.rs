//! Filters are tried while Parquet is decoded, and dropped for a while where they keep most rows.
//!
//! DataFusion gives a Parquet scan its filters only for leaving out row groups and pages. Here the
//! columns of a filter are decoded first, and the others only for the rows that it keeps; `exec::trial`
//! sees to it that a filter which keeps most rows is not asked for long.
//!
//! Letting rows pass is sound: what the statement filters by stays above the scan, and filters that a
//! join or a top-n sets while it runs only spare work.
//!
//! A top-n learns its bound from the first rows that it sees, so a filter below it does not keep them back
//! until there are enough for a batch.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::datasource::physical_plan::parquet::source::ParquetSource;
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder, FileSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::expressions::DynamicFilterTracking;
use datafusion::physical_expr::utils::{collect_columns, conjunction};
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;

use super::Replacing;
use crate::exec::trial::Tried;
use crate::formats::parquet::{ParquetLayout, compressed_len};
use crate::formats::source::FilePlan;

/// The other columns must be so many times as long as the filter's: decoding scattered rows takes
/// longer than decoding all of them (measured in benches/README.md).
const REST_SHARE_MIN: f64 = 8.0;

/// Rows that a filter below a top-n keeps back at most.
const GIVEN_AT_ONCE: usize = 32;

/// The rule.
pub const RULE: Replacing = Replacing { name: "early_filters", replacement };

fn replacement(
    plan: &Arc<dyn ExecutionPlan>,
    _: &ConfigOptions,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    match plan.downcast_ref::<SortExec>() {
        Some(sort) if sort.fetch().is_some() => unhindered(plan),
        _ => Ok(plan.downcast_ref::<DataSourceExec>().and_then(trying)),
    }
}

/// A plan whose filter gives its rows at once.
fn unhindered(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        return Ok(Some(Arc::new(filter.with_batch_size(GIVEN_AT_ONCE)?)));
    }
    if !plan.is::<SortExec>() && !plan.is::<ProjectionExec>() {
        return Ok(None);
    }
    let children = plan.children();
    let [input] = children.as_slice() else { return Ok(None) };
    match unhindered(input)? {
        Some(input) => replace_children_if_necessary(Arc::clone(plan), vec![input]).map(Some),
        None => Ok(None),
    }
}

/// The scan with its filters on trial, if it is of Parquet and one of them may spare work.
fn trying(scan: &DataSourceExec) -> Option<Arc<dyn ExecutionPlan>> {
    let config = scan.data_source().downcast_ref::<FileScanConfig>()?;
    let source = config.file_source().downcast_ref::<ParquetSource>()?;
    let filter = source.filter()?;
    let (dynamic, fixed): (Vec<_>, Vec<_>) = split_conjunction(&filter)
        .into_iter()
        .cloned()
        .partition(|filter| DynamicFilterTracking::classify(filter).contains_dynamic_filter());
    let fixed = Some(conjunction(fixed.iter().cloned()))
        .filter(|filter| !fixed.is_empty() && spares_decoding(config, source, filter));
    if fixed.is_none() && dynamic.is_empty() {
        return None;
    }
    let tried = fixed
        .into_iter()
        .chain(dynamic)
        .map(|filter| Arc::new(Tried::new(filter)) as Arc<dyn PhysicalExpr>);
    let source = source.with_predicate(conjunction(tried)).with_pushdown_filters(true);
    let config = FileScanConfigBuilder::from(config.clone()).with_source(Arc::new(source)).build();
    Some(DataSourceExec::from_data_source(config))
}

/// What the footer of the first file says: enough to tell which columns are long.
pub(super) fn first_layout(config: &FileScanConfig) -> Option<&ParquetLayout> {
    let first = config.file_groups.iter().find_map(|group| group.files().first())?;
    first.extension::<FilePlan>()?.layout.parquet.as_ref()
}

/// Whether columns besides those of the filter are read, and of some length.
fn spares_decoding(
    config: &FileScanConfig,
    source: &ParquetSource,
    filter: &Arc<dyn PhysicalExpr>,
) -> bool {
    let Some(layout) = first_layout(config) else { return false };
    let len_of = |name: &str| compressed_len(&layout.metadata, name) as f64;
    let of_filter: Vec<String> =
        collect_columns(filter).iter().map(|column| column.name().to_string()).collect();
    let read: Vec<String> = source
        .projection()
        .into_iter()
        .flat_map(|projection| projection.iter().flat_map(|expr| collect_columns(&expr.expr)))
        .map(|column| column.name().to_string())
        .collect();
    let rest: f64 =
        read.iter().filter(|name| !of_filter.contains(name)).map(|name| len_of(name)).sum();
    let filtered: f64 = of_filter.iter().map(|name| len_of(name)).sum();
    rest >= filtered * REST_SHARE_MIN
}
