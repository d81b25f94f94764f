//! Aggregates that a statement uses more than once, as a CTE that is named twice: found here, computed
//! once by `exec::shared`.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

use crate::exec::shared::SharedTable;

/// The largest aggregates that stand in an optimised plan more than once.
///
/// # Errors
/// Those of walking a plan.
pub fn repeated(plan: &LogicalPlan) -> Result<Vec<LogicalPlan>> {
    let mut counts: HashMap<LogicalPlan, usize> = HashMap::new();
    let mut is_recursive = false;
    plan.apply_with_subqueries(|node| {
        is_recursive |= matches!(node, LogicalPlan::RecursiveQuery(_));
        if matches!(node, LogicalPlan::Aggregate(_)) && !depends_on_its_place(node)? {
            *counts.entry(node.clone()).or_default() += 1;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let mut found = Vec::new();
    // What a recursion reads is another table each time.
    if is_recursive || counts.values().all(|count| *count == 1) {
        return Ok(found);
    }
    plan.apply_with_subqueries(|node| {
        let is_aggregate = matches!(node, LogicalPlan::Aggregate(_));
        if is_aggregate && counts.get(node).is_some_and(|count| *count > 1) {
            if !found.contains(node) {
                found.push(node.clone());
            }
            return Ok(TreeNodeRecursion::Jump);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// Whether a plan gives other rows when it is asked again, or elsewhere.
fn depends_on_its_place(plan: &LogicalPlan) -> Result<bool> {
    let mut depends = false;
    plan.apply_with_subqueries(|node| {
        // Calls of one table function have one name, whatever their arguments: `range()`.
        depends |=
            matches!(node, LogicalPlan::TableScan(scan) if scan.table_name.table().contains('('));
        node.apply_expressions(|expr| {
            depends |= expr.is_volatile() || expr.contains_outer();
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(if depends { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(depends)
}

/// A plan that reads a table wherever `repeated` stood.
///
/// # Errors
/// Those of building a plan.
pub fn replaced(
    plan: LogicalPlan,
    repeated: &LogicalPlan,
    table: Arc<SharedTable>,
) -> Result<LogicalPlan> {
    let id = table.id();
    let source = provider_as_source(table);
    let mut use_count = 0;
    let plan = plan.transform_down_with_subqueries(|node| {
        if node != *repeated {
            return Ok(Transformed::no(node));
        }
        use_count += 1;
        // A table's columns have its name; those that stood here get theirs back.
        let name = format!("shared_{id}_{use_count}");
        let columns = node.schema().iter().enumerate().map(|(idx, (qualifier, field))| {
            Expr::Column(Column::new(Some(name.clone()), format!("c{idx}")))
                .alias_qualified(qualifier.cloned(), field.name())
        });
        let scan = LogicalPlanBuilder::scan(name.clone(), Arc::clone(&source), None)?;
        let read = scan.project(columns.collect::<Vec<_>>())?.build()?;
        Ok(Transformed::new(read, true, TreeNodeRecursion::Jump))
    })?;
    Ok(plan.data)
}
