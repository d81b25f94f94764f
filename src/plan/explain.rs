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

use crate::exec::fragment::ReuseExec;
use crate::exec::groups::{GroupsExec, PartialGroupsExec};
use crate::exec::padded::PaddedExec;
use crate::exec::shared::SharedExec;
use crate::exec::stage::Scan;
use crate::formats::source::{FilePlan, SkippedRanges};
use crate::units::{show_bytes, show_count};

/// How DataFusion shows a filter that another operator has not set yet.
const NO_FILTER_YET: &str = "DynamicFilter [ empty ]";
/// Lists of keys in filters that joins set may be long.
const FILTER_CHARS_MAX: usize = 160;

/// Draws a plan.
pub fn draw(plan: &Arc<dyn ExecutionPlan>) -> String {
    let mut text = String::new();
    draw_node(plan, "", "", &mut HashSet::new(), &mut text);
    text
}

fn draw_node(
    plan: &Arc<dyn ExecutionPlan>,
    own_prefix: &str,
    child_prefix: &str,
    shown: &mut HashSet<usize>,
    text: &mut String,
) {
    if let Some(side) = plan.downcast_ref::<PaddedExec>() {
        return draw_node(side.input(), own_prefix, child_prefix, shown, text);
    }
    let _ = writeln!(text, "{own_prefix}{}", describe(plan));
    let shared = plan.downcast_ref::<SharedExec>();
    let children = match shared.filter(|shared| shown.insert(shared.id())) {
        Some(shared) => vec![shared.inner()],
        None => plan.children(),
    };
    // This one has its exchange within.
    let exchange = plan.downcast_ref::<GroupsExec>().and_then(GroupsExec::exchange);
    let mut child_prefix = child_prefix.to_string();
    if let Some(exchange) = exchange {
        let _ = writeln!(text, "{child_prefix}└─ {}", describe_exchange(exchange));
        child_prefix.push_str("   ");
    }
    for (idx, child) in children.iter().enumerate() {
        let last = idx + 1 == children.len();
        let (branch, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        draw_node(
            child,
            &format!("{child_prefix}{branch}"),
            &format!("{child_prefix}{below}"),
            shown,
            text,
        );
    }
}

/// An operator in a line.
pub(super) fn describe(plan: &Arc<dyn ExecutionPlan>) -> String {
    if let Some(scan) = plan.downcast_ref::<DataSourceExec>()
        && let Some(config) = scan.data_source().downcast_ref::<FileScanConfig>()
    {
        return describe_scan(config);
    }
    if let Some(reuse) = plan.downcast_ref::<ReuseExec>() {
        return describe_reuse(reuse);
    }
    if let Some(shared) = plan.downcast_ref::<SharedExec>() {
        return format!("Shared {}, computed once", shared.id());
    }
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        return describe_aggregate(aggregate, mode_of(aggregate));
    }
    if let Some(groups) = plan.downcast_ref::<GroupsExec>() {
        return match groups.exchange() {
            Some(_) => describe_aggregate(groups.aggregate(), "final"),
            None => describe_aggregate(groups.aggregate(), "in one phase"),
        };
    }
    if let Some(groups) = plan.downcast_ref::<PartialGroupsExec>() {
        return describe_aggregate(groups.aggregate(), "partial");
    }
    if let Some(exchange) = plan.downcast_ref::<RepartitionExec>() {
        return describe_exchange(exchange.partitioning());
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

/// The partial aggregate of each file, and how many were not read.
fn describe_reuse(reuse: &ReuseExec) -> String {
    let aggregate = describe(reuse.template());
    let files = show_count(reuse.file_count() as u64);
    match reuse.reused_count() {
        0 => format!("Reuse by file: {aggregate} over {files} files"),
        count => {
            let count = show_count(count as u64);
            format!("Reuse by file: {aggregate} over {files} files, {count} of them not read")
        }
    }
}

fn describe_exchange(partitioning: &Partitioning) -> String {
    match partitioning {
        Partitioning::Hash(keys, count) => {
            format!("Exchange: hash({}) into {count} tasks", join(keys))
        }
        other => format!("Exchange: round robin into {} tasks", other.partition_count()),
    }
}

fn mode_of(aggregate: &AggregateExec) -> &'static str {
    match aggregate.mode() {
        AggregateMode::Partial => "partial",
        AggregateMode::Final | AggregateMode::FinalPartitioned => "final",
        AggregateMode::Single | AggregateMode::SinglePartitioned => "in one phase",
        AggregateMode::PartialReduce => "partial, reduced",
    }
}

fn describe_aggregate(aggregate: &AggregateExec, mode: &str) -> String {
    let values: Vec<_> = aggregate.aggr_expr().iter().map(|expr| unindexed(expr.name())).collect();
    let keys: Vec<_> = aggregate.group_expr().expr().iter().map(|(_, name)| name.clone()).collect();
    let values = if values.is_empty() { "distinct".to_string() } else { values.join(", ") };
    if keys.is_empty() {
        return format!("Aggregate ({mode}): {values}");
    }
    format!("Aggregate ({mode}): {values} by {}", keys.join(", "))
}

/// What a scan reads.
pub(super) fn scan_of(config: &FileScanConfig) -> Scan {
    let files = config.file_groups.iter().flat_map(|group| group.files());
    let plans = files.clone().filter_map(|file| file.extension::<FilePlan>());
    let names: HashSet<&str> = plans.clone().map(|plan| plan.file.name.as_str()).collect();
    let columns = match config.projected_schema() {
        Ok(schema) => schema.fields().iter().map(|field| field.name().clone()).collect(),
        Err(_) => Vec::new(),
    };
    Scan {
        format: config.file_source().file_type().to_string(),
        file_count: names.len(),
        file_total: plans.map(|plan| plan.dataset_file_count).max().unwrap_or(0),
        len_bytes: files.map(|file| file.effective_size()).sum(),
        columns,
    }
}

/// Ranges that are left out because of what was learned of their files, of how many.
fn skipped_ranges(config: &FileScanConfig) -> SkippedRanges {
    let mut names = HashSet::new();
    let mut sum = SkippedRanges::default();
    for file in config.file_groups.iter().flat_map(|group| group.files()) {
        if let Some(plan) = file.extension::<FilePlan>()
            && names.insert(plan.file.name.as_str())
        {
            sum.count += plan.skipped_ranges.count;
            sum.total += plan.skipped_ranges.total;
        }
    }
    sum
}

fn describe_scan(config: &FileScanConfig) -> String {
    let scan = scan_of(config);
    let columns =
        if scan.columns.is_empty() { "none".to_string() } else { scan.columns.join(", ") };
    let mut text = format!(
        "Scan {}: {} of {} files, {} in {} tasks; columns {columns}",
        scan.format,
        show_count(scan.file_count as u64),
        show_count(scan.file_total as u64),
        show_bytes(scan.len_bytes),
        config.file_groups.len(),
    );
    let skipped = skipped_ranges(config);
    if skipped.count > 0 {
        let _ = write!(text, "; {} of {} ranges skipped as known", skipped.count, skipped.total);
    }
    if let Some(filter) = config.file_source().filter() {
        let filter = unindexed(&filter.to_string());
        // What a join or a sort will find out is not known yet.
        if filter != NO_FILTER_YET {
            let _ = write!(text, "; filter {}", shorten(&filter));
        }
    }
    if let Some(limit) = config.limit {
        let _ = write!(text, "; limit {limit}");
    }
    if let Some(Partitioning::Hash(keys, _)) = &config.output_partitioning {
        let _ = write!(text, "; dealt by {}", join(keys));
    }
    text
}

pub(super) fn join(exprs: &[Arc<dyn datafusion::physical_expr::PhysicalExpr>]) -> String {
    let texts: Vec<_> = exprs.iter().map(|expr| unindexed(&expr.to_string())).collect();
    texts.join(", ")
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(FILTER_CHARS_MAX) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text.to_string(),
    }
}

/// Drops the column numbers that DataFusion prints: `region@0` is `region`; and what it makes of
/// `count(*)`.
pub(super) fn unindexed(text: &str) -> String {
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
    as_operators(&shown.replace("count(Int64(1))", "count(*)"))
}

/// How the names of functions begin that rules put in the place of operators.
const RULED: &str = "swath_";

/// Functions of rules as the operators whose place they take.
fn as_operators(text: &str) -> String {
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(start) = rest.find(RULED) {
        shown.push_str(&rest[..start]);
        let call = &rest[start + RULED.len()..];
        rest = match as_operator(call) {
            Some((operator, behind)) => {
                shown.push_str(&operator);
                behind
            }
            None => {
                shown.push_str(RULED);
                call
            }
        };
    }
    shown + rest
}

/// The operator of a call that begins here, and what follows it.
fn as_operator(call: &str) -> Option<(String, &str)> {
    let (name, behind) = call.split_once('(')?;
    let (mut args, mut start, mut depth) = (Vec::new(), 0, 0);
    let end = behind.char_indices().find_map(|(idx, c)| {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 => return Some(idx),
            ')' => depth -= 1,
            ',' if depth == 0 => {
                args.push(&behind[start..idx]);
                start = idx + 1;
            }
            _ => {}
        }
        None
    })?;
    args.push(&behind[start..end]);
    let args: Vec<String> = args.iter().map(|arg| as_operators(arg.trim())).collect();
    let operator = match (name, &args[..]) {
        ("one_nan", [arg]) if arg.contains(' ') => format!("({arg})"),
        ("one_nan", [arg]) => arg.clone(),
        ("negative", [arg]) => format!("(- {arg})"),
        (symbols, [first, others @ ..])
            if symbols.len() == others.len() && symbols.chars().all(|c| "+-*".contains(c)) =>
        {
            let others =
                symbols.chars().zip(others).map(|(symbol, arg)| format!(" {symbol} {arg}"));
            format!("({first}{})", others.collect::<String>())
        }
        _ => return None,
    };
    Some((operator, &behind[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_rules_are_shown_as_operators() {
        for (text, shown) in [
            ("swath_*(k@0, 2) > 3 AND b@1", "(k * 2) > 3 AND b"),
            ("swath_+-(a@0, swath_negative(b@1), f(c, 2))", "(a + (- b) - f(c, 2))"),
            ("swath_one_nan(x@0) > 5 OR swath_one_nan(x@0 / y@1) > 1", "x > 5 OR (x / y) > 1"),
            ("a@0 = swath_+(b", "a = swath_+(b"),
            ("swath_x(1, 2) swath_", "swath_x(1, 2) swath_"),
        ] {
            assert_eq!(unindexed(text), shown);
        }
    }
}
