//! EXPLAIN: the physical plan as a tree that people read.
//!
//! ```text
//! Sort: total DESC
//! └─ Aggregate (final): sum(amount) by region
//!    └─ Exchange: hash(region) into 2 tasks
//!       └─ Aggregate (partial): sum(amount) by region
//!          └─ Scan csv: 12 of 340 files, 1.20 MB in 2 tasks; columns region, amount
//! ```

use std::collections::HashSet;
use std::fmt::Write;
use std::sync::Arc;

use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::{InterleaveExec, UnionExec};
use datafusion::physical_plan::{ExecutionPlan, Partitioning};

use crate::formats::source::FilePlan;
use crate::units::{show_bytes, show_count};

/// Draws a plan; with `measured`, rows and time of each operator.
pub fn draw(plan: &Arc<dyn ExecutionPlan>, measured: bool) -> String {
    let mut text = String::new();
    draw_node(plan, "", "", measured, &mut text);
    text
}

fn draw_node(
    plan: &Arc<dyn ExecutionPlan>,
    own_prefix: &str,
    child_prefix: &str,
    measured: bool,
    text: &mut String,
) {
    let _ = write!(text, "{own_prefix}{}", describe(plan));
    if measured {
        text.push_str(&measures(plan));
    }
    text.push('\n');
    let children = plan.children();
    for (idx, child) in children.iter().enumerate() {
        let last = idx + 1 == children.len();
        let (branch, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        draw_node(
            child,
            &format!("{child_prefix}{branch}"),
            &format!("{child_prefix}{below}"),
            measured,
            text,
        );
    }
}

fn measures(plan: &Arc<dyn ExecutionPlan>) -> String {
    let Some(metrics) = plan.metrics() else { return String::new() };
    let mut parts = Vec::new();
    if let Some(rows) = metrics.output_rows() {
        parts.push(format!("{} rows", show_count(rows as u64)));
    }
    if let Some(nanos) = metrics.elapsed_compute()
        && nanos > 1
    {
        parts.push(format!("{:.1} ms", nanos as f64 / 1e6));
    }
    if let Some(bytes) = metrics.spilled_bytes()
        && bytes > 0
    {
        parts.push(format!("{} spilled", show_bytes(bytes as u64)));
    }
    if parts.is_empty() { String::new() } else { format!("  [{}]", parts.join(", ")) }
}

fn describe(plan: &Arc<dyn ExecutionPlan>) -> String {
    if let Some(scan) = plan.downcast_ref::<DataSourceExec>()
        && let Some(config) = scan.data_source().downcast_ref::<FileScanConfig>()
    {
        return describe_scan(config);
    }
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        return describe_aggregate(aggregate);
    }
    if let Some(exchange) = plan.downcast_ref::<RepartitionExec>() {
        return match exchange.partitioning() {
            Partitioning::Hash(keys, count) => {
                format!("Exchange: hash({}) into {count} tasks", join(keys))
            }
            other => format!("Exchange: round robin into {} tasks", other.partition_count()),
        };
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        return format!("Filter: {}", unindexed(&filter.predicate().to_string()));
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let columns: Vec<_> = projection.expr().iter().map(|expr| expr.alias.clone()).collect();
        return format!("Project: {}", columns.join(", "));
    }
    if let Some(sort) = plan.downcast_ref::<SortExec>() {
        let top = sort.fetch().map_or_else(String::new, |count| format!(", top {count}"));
        return format!("Sort: {}{top}", unindexed(&sort.expr().to_string()));
    }
    if let Some(merge) = plan.downcast_ref::<SortPreservingMergeExec>() {
        return format!("Merge: {}", unindexed(&merge.expr().to_string()));
    }
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        let on: Vec<_> =
            join.on().iter().map(|(left, right)| unindexed(&format!("{left} = {right}"))).collect();
        return format!("Hash join ({}): {}", join.join_type(), on.join(" and "));
    }
    if plan.is::<CoalescePartitionsExec>() {
        return "Gather".into();
    }
    if plan.is::<UnionExec>() || plan.is::<InterleaveExec>() {
        return "Union".into();
    }
    unindexed(&DisplayableExecutionPlan::new(plan.as_ref()).one_line().to_string())
        .trim_end()
        .to_string()
}

fn describe_aggregate(aggregate: &AggregateExec) -> String {
    let mode = match aggregate.mode() {
        AggregateMode::Partial => "partial",
        AggregateMode::Final | AggregateMode::FinalPartitioned => "final",
        AggregateMode::Single | AggregateMode::SinglePartitioned => "in one phase",
        AggregateMode::PartialReduce => "partial, reduced",
    };
    let values: Vec<_> = aggregate.aggr_expr().iter().map(|expr| expr.name().to_string()).collect();
    let keys: Vec<_> = aggregate.group_expr().expr().iter().map(|(_, name)| name.clone()).collect();
    let values = if values.is_empty() { "distinct".to_string() } else { values.join(", ") };
    if keys.is_empty() {
        return format!("Aggregate ({mode}): {values}");
    }
    format!("Aggregate ({mode}): {values} by {}", keys.join(", "))
}

fn describe_scan(config: &FileScanConfig) -> String {
    let files = config.file_groups.iter().flat_map(|group| group.files());
    let mut names = HashSet::new();
    let (mut file_total, mut range_count, mut skipped_count) = (0, 0, 0);
    for file in files.clone() {
        if let Some(plan) = file.extension::<FilePlan>() {
            if names.insert(plan.file.name.as_str()) {
                range_count += plan.skipped_ranges.total;
                skipped_count += plan.skipped_ranges.count;
            }
            file_total = plan.dataset_file_count;
        }
    }
    let bytes: u64 = files.map(|file| file.effective_size()).sum();
    let columns: Vec<String> = match config.projected_schema() {
        Ok(schema) => schema.fields().iter().map(|field| field.name().clone()).collect(),
        Err(_) => Vec::new(),
    };
    let columns = if columns.is_empty() { "none".to_string() } else { columns.join(", ") };
    let mut text = format!(
        "Scan {}: {} of {} files, {} in {} tasks; columns {columns}",
        config.file_source().file_type(),
        show_count(names.len() as u64),
        show_count(file_total as u64),
        show_bytes(bytes),
        config.file_groups.len(),
    );
    if skipped_count > 0 {
        let _ = write!(text, "; {skipped_count} of {range_count} ranges skipped as known");
    }
    if let Some(filter) = config.file_source().filter() {
        let _ = write!(text, "; filter {}", unindexed(&filter.to_string()));
    }
    if let Some(limit) = config.limit {
        let _ = write!(text, "; limit {limit}");
    }
    if let Some(Partitioning::Hash(keys, _)) = &config.output_partitioning {
        let _ = write!(text, "; dealt by {}", join(keys));
    }
    text
}

fn join(exprs: &[Arc<dyn datafusion::physical_expr::PhysicalExpr>]) -> String {
    let texts: Vec<_> = exprs.iter().map(|expr| unindexed(&expr.to_string())).collect();
    texts.join(", ")
}

/// Drops the column numbers that DataFusion prints: `region@0` is `region`.
fn unindexed(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '@' && chars.peek().is_some_and(char::is_ascii_digit) {
            while chars.peek().is_some_and(char::is_ascii_digit) {
                chars.next();
            }
        } else {
            shown.push(c);
        }
    }
    shown
}
