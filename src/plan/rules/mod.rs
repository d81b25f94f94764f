//! Rules: functions from plan to plan. They open nothing and measure nothing.
//!
//! Those marked with a star only make statements faster: without them, answers are the same.
//!
//! | rule | kind | why |
//! |---|---|---|
//! | `checked_arithmetic` | analyser | whole numbers overflow into an error, not into a wrong number |
//! | `doubles_stay` | analyser | a DOUBLE that meets a DECIMAL is not squeezed into one |
//! | `early_filters` * | physical | Parquet is decoded only where a filter holds, while that pays |
//! | `elapsed_parts` | analyser | hours between timestamps are those within a day |
//! | `far_times` | analyser | times that nanoseconds do not reach can be compared |
//! | `first_of_groups` * | physical | of numbered groups only the first rows are sorted |
//! | `grouped` * | at the end | groups are made by operators of our own (`exec::groups`) |
//! | `join_order` * | logical | inner and semi joins are ordered by what files say of their sizes |
//! | `late_columns` * | physical | a top-n reads the columns that do not decide of just its rows |
//! | `lists_apart` | logical | lists of one expression are not merged where that changes what they mean |
//! | `literals_right` | analyser | `3 = x` is `x = 3`, in conditions of joins too |
//! | `min_max` | a setting | rows are left out by bounds of aggregates only if no other aggregate needs them |
//! | `number_bounds` | analyser | sums of decimals, and casts to REAL, overflow into an error |
//! | `one_nan` | analyser, physical | NaN is one value, whatever its bits |
//! | `one_zero` | analyser | -0.0 and 0.0 are one value everywhere |
//! | `ordered_conditions` | physical | cheap conditions are decided first, risky ones last |
//! | `outer_joins` | physical | what is constant on the side filled up with NULLs is not above it |
//! | `partition_keys` * | physical | files that share a Hive key go to one task: no exchange for it |
//! | `ranges_unordered` | physical | `range()` claims no order, which joins would not keep |
//! | `texts_once` * | physical | patterns and the like are decided once for texts that come again |
//! | `timestamp_texts` | analyser | timestamps are texts as SQL writes them, and texts to the minute are timestamps |
//! | `unambiguous_filters` | physical | a filter is not pushed to another column of the same name |
//! | `zones` | analyser | casts between times with a zone and times without one keep its offset |

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, LogicalPlan, Operator};
use datafusion::optimizer::{Analyzer, AnalyzerRule, Optimizer, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;

use crate::exec::groups;

pub mod checked_arithmetic;
pub mod doubles_stay;
pub mod early_filters;
pub mod elapsed_parts;
pub mod far_times;
pub mod first_of_groups;
pub mod join_order;
pub mod late_columns;
pub mod lists_apart;
pub mod literals_right;
pub mod min_max;
pub mod number_bounds;
pub mod one_nan;
pub mod one_zero;
pub mod ordered_conditions;
pub mod outer_joins;
pub mod partition_keys;
pub mod ranges_unordered;
pub mod texts_once;
pub mod timestamp_texts;
pub mod unambiguous_filters;
pub mod zones;

/// DataFusion's rules with ours around its coercion of types.
pub fn analyzers() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules = Analyzer::new().rules;
    let position = rules.iter().position(|rule| rule.name() == "type_coercion").unwrap_or(0);
    rules.insert(position, Arc::new(doubles_stay::DoublesStay));
    rules.push(Arc::new(timestamp_texts::TimestampTexts));
    rules.push(Arc::new(elapsed_parts::ElapsedParts));
    rules.push(Arc::new(far_times::FarTimes));
    rules.push(Arc::new(zones::Zones));
    rules.push(Arc::new(literals_right::LiteralsRight));
    rules.push(Arc::new(one_zero::OneZero));
    rules.push(Arc::new(checked_arithmetic::CheckedArithmetic));
    rules.push(Arc::new(number_bounds::NumberBounds));
    rules.push(Arc::new(one_nan::OneNan));
    rules
}

/// What plans are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To run in this process.
    Here,
    /// The same, without what only makes statements faster.
    Plain,
    /// To be sent to a cluster, whose executors apply what knows the machine.
    Cluster,
}

/// DataFusion's rules, and then ours.
pub fn logical(purpose: Purpose) -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = Optimizer::new().rules;
    for rule in rules.iter_mut().filter(|rule| rule.name() == "simplify_expressions") {
        *rule = Arc::new(lists_apart::ListsApart(Arc::clone(rule)));
    }
    if purpose != Purpose::Plain {
        rules.push(Arc::new(join_order::JoinOrder));
    }
    rules
}

/// DataFusion's rules with ours.
pub fn physical(purpose: Purpose) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = PhysicalOptimizer::new().rules;
    for rule in rules.iter_mut().filter(|rule| rule.name().starts_with("FilterPushdown")) {
        *rule = Arc::new(unambiguous_filters::UnambiguousFilters(Arc::clone(rule)));
    }
    if purpose != Purpose::Plain {
        // Before exchanges are put in; filters have found their place by then.
        let position = rules.iter().position(|rule| rule.name() == "WindowTopN").unwrap_or(0);
        rules.insert(position, Arc::new(first_of_groups::RULE));
    }
    if purpose == Purpose::Here {
        let position = rules.iter().position(|rule| rule.name() == "WindowTopN").unwrap_or(0);
        rules.insert(position, Arc::new(late_columns::RULE));
    }
    // What comes in front of it does not look at orders.
    rules.insert(0, Arc::new(outer_joins::RULE));
    rules.insert(0, Arc::new(ranges_unordered::RULE));
    if purpose == Purpose::Plain {
        rules.push(Arc::new(ordered_conditions::RULE));
    }
    if purpose == Purpose::Here {
        rules.insert(0, Arc::new(partition_keys::RULE));
        // Behind the last filter that is pushed, before the plan is checked.
        let last = rules.iter().rposition(|rule| rule.name().starts_with("FilterPushdown"));
        let position = last.map_or(rules.len(), |position| position + 1);
        rules.insert(position, Arc::new(one_nan::RELAXED));
        rules.insert(position + 1, Arc::new(early_filters::RULE));
        rules.push(Arc::new(ordered_conditions::RULE));
        rules.push(Arc::new(texts_once::RULE));
    }
    rules
}

/// A plan that was made for a cluster, with what is put in where it runs: by executors, or here.
///
/// # Errors
/// When a plan cannot be put together again.
#[cfg(feature = "cluster")]
pub fn where_it_runs(mut plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    for rule in [early_filters::RULE, ordered_conditions::RULE, texts_once::RULE] {
        plan = rule.optimize(plan, &ConfigOptions::default())?;
    }
    Ok(plan)
}

/// A plan that groups by operators of our own where they can; none of the rules above knows them.
pub fn grouped(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    replaced(plan, groups::replacement)
}

type Plan = Arc<dyn ExecutionPlan>;

/// A rule that replaces operators, one by one.
#[derive(Debug)]
pub struct Replacing {
    name: &'static str,
    /// What an operator is replaced by, if it is.
    replacement: fn(&Plan, &ConfigOptions) -> Result<Option<Plan>>,
}

impl PhysicalOptimizerRule for Replacing {
    fn name(&self) -> &str {
        self.name
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        replaced(plan, |plan| (self.replacement)(plan, config))
    }
}

/// A plan with each operator replaced for which there is a replacement, from the scans up.
fn replaced(
    plan: Arc<dyn ExecutionPlan>,
    replacement: impl Fn(&Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|plan| {
        Ok(match replacement(&plan)? {
            Some(new) => Transformed::yes(new),
            None => Transformed::no(plan),
        })
    })
    .data()
}

/// A node of a plan with each of its expressions changed from the leaves up; columns keep their names.
fn with_expressions(
    plan: LogicalPlan,
    change: impl Fn(Expr) -> Result<Transformed<Expr>>,
) -> Result<Transformed<LogicalPlan>> {
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        Ok(expr.transform_up(&change)?.update_data(|expr| name.restore(expr)))
    })
}

/// Whether an operator compares values.
pub(super) fn compares(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn is_cast(expr: &Expr) -> bool {
    matches!(expr, Expr::Cast(_) | Expr::TryCast(_))
}

/// A plan with those expressions changed that a rule is about. Nodes without any are left alone, which
/// spares looking for the types of their columns.
fn rewritten(
    plan: LogicalPlan,
    is_wanted: fn(&Expr) -> bool,
    change: fn(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|plan| {
        let mut has_wanted = false;
        plan.apply_expressions(|expr| {
            has_wanted = has_wanted || expr.exists(|expr| Ok(is_wanted(expr)))?;
            Ok(if has_wanted { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        if !has_wanted {
            return Ok(Transformed::no(plan));
        }
        let schema = schema_within(&plan)?;
        with_expressions(plan, |expr| change(expr, &schema))
    })
    .data()
}

/// The columns that the expressions of a plan's node may name.
pub(super) fn schema_within(plan: &LogicalPlan) -> Result<DFSchema> {
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = plan {
        let name = scan.table_name.clone();
        schema.merge(&DFSchema::try_from_qualified_schema(name, &scan.source.schema())?);
    }
    Ok(schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ours have their places by the names of DataFusion's: these must still be there.
    #[test]
    fn rules_stand_where_they_are_meant_to() {
        let analyzers = analyzers();
        let names: Vec<&str> = analyzers.iter().map(|rule| rule.name()).collect();
        let at = |names: &[&str], name: &str| {
            names.iter().rposition(|known| *known == name).unwrap_or_else(|| panic!("no {name}"))
        };
        assert!(at(&names, "doubles_stay") < at(&names, "type_coercion"));
        assert!(at(&names, "type_coercion") < at(&names, "checked_arithmetic"));
        let physical = physical(Purpose::Here);
        let names: Vec<&str> = physical.iter().map(|rule| rule.name()).collect();
        let pushed = |name: &&&str| name.starts_with("FilterPushdown");
        assert_eq!(names.iter().filter(pushed).count(), 2);
        let last = names.iter().rfind(pushed).expect("two of them");
        assert_eq!(names[0], "partition_keys");
        assert_eq!(at(&names, "first_of_groups") + 1, at(&names, "late_columns"));
        assert_eq!(at(&names, "late_columns") + 1, at(&names, "WindowTopN"));
        assert!(at(&names, "WindowTopN") < at(&names, "EnsureRequirements"));
        assert_eq!(at(&names, last) + 1, at(&names, "relaxed_bounds"));
        assert_eq!(at(&names, last) + 2, at(&names, "early_filters"));
        assert!(at(&names, "early_filters") < at(&names, "SanityCheckPlan"));
        assert_eq!(names.last_chunk(), Some(&["ordered_conditions", "texts_once"]));
    }
}
