//! Rules: functions from plan to plan. They open nothing and measure nothing.
//!
//! Those marked with a star only make statements faster: without them, answers are the same.
//!
//! | rule | kind | why |
//! |---|---|---|
//! | `checked_arithmetic` | analyser | whole numbers overflow into an error, not into a wrong number |
//! | `doubles_stay` | analyser | a DOUBLE that meets a DECIMAL is not squeezed into one |
//! | `early_filters` * | physical | Parquet is decoded only where a filter holds, while that pays |
//! | `first_of_groups` * | physical | of numbered groups only the first rows are sorted |
//! | `join_order` * | logical | inner and semi joins are ordered by what files say of their sizes |
//! | `one_zero` | analyser | -0.0 and 0.0 are one value everywhere |
//! | `ordered_conditions` * | physical | cheap conditions are decided first, risky ones last |
//! | `partition_keys` * | physical | files that share a Hive key go to one task: no exchange for it |
//! | `unambiguous_filters` | physical | a filter is not pushed to another column of the same name |

use std::sync::Arc;

use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::optimizer::{Analyzer, AnalyzerRule, Optimizer, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;

pub mod checked_arithmetic;
pub mod doubles_stay;
pub mod early_filters;
pub mod first_of_groups;
pub mod join_order;
pub mod one_zero;
pub mod ordered_conditions;
pub mod partition_keys;
pub mod unambiguous_filters;

/// DataFusion's rules with ours around its coercion of types.
pub fn analyzers() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules = Analyzer::new().rules;
    let position = rules.iter().position(|rule| rule.name() == "type_coercion").unwrap_or(0);
    rules.insert(position, Arc::new(doubles_stay::DoublesStay));
    rules.push(Arc::new(one_zero::OneZero));
    rules.push(Arc::new(checked_arithmetic::CheckedArithmetic));
    rules
}

/// DataFusion's rules, and then ours; `is_plain` leaves out what only makes statements faster.
pub fn logical(is_plain: bool) -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = Optimizer::new().rules;
    if !is_plain {
        rules.push(Arc::new(join_order::JoinOrder));
    }
    rules
}

/// DataFusion's rules with ours; `is_plain` leaves out what only makes statements faster.
pub fn physical(is_plain: bool) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = PhysicalOptimizer::new().rules;
    for rule in rules.iter_mut().filter(|rule| rule.name().starts_with("FilterPushdown")) {
        *rule = Arc::new(unambiguous_filters::UnambiguousFilters(Arc::clone(rule)));
    }
    if !is_plain {
        // Before exchanges are put in; filters have found their place by then.
        let position = rules.iter().position(|rule| rule.name() == "WindowTopN").unwrap_or(0);
        rules.insert(position, Arc::new(first_of_groups::FirstOfGroups));
        rules.insert(0, Arc::new(partition_keys::PartitionKeys));
        // Behind the last filter that is pushed, before the plan is checked.
        let last = rules.iter().rposition(|rule| rule.name().starts_with("FilterPushdown"));
        let position = last.map_or(rules.len(), |position| position + 1);
        rules.insert(position, Arc::new(early_filters::EarlyFilters));
        rules.push(Arc::new(ordered_conditions::OrderedConditions));
    }
    rules
}

/// The columns that the expressions of a plan's node may name.
fn schema_within(plan: &LogicalPlan) -> Result<DFSchema> {
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = plan {
        let name = scan.table_name.clone();
        schema.merge(&DFSchema::try_from_qualified_schema(name, &scan.source.schema())?);
    }
    Ok(schema)
}
