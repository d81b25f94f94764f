//! Where DataFusion tells -0.0 from 0.0 although they are equal, both become 0.0.
//!
//! `=`, GROUP BY, DISTINCT and joins take them for one value; counting distinct values, `nullif`,
//! `CASE x WHEN`, long lists behind IN, windows and all but the last key of a sort compare bits instead. Adding 0.0 leaves
//! every other value as it is (IEEE 754). Runs behind type coercion.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{Case, InList};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, lit};
use datafusion::optimizer::AnalyzerRule;

/// The rule.
#[derive(Debug, Default)]
pub struct OneZero;

impl AnalyzerRule for OneZero {
    fn name(&self) -> &str {
        "one_zero"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let schema = super::schema_within(&plan)?;
            let plan = match plan {
                LogicalPlan::Sort(mut sort) => {
                    // Equal values may come in any order, unless another key decides it.
                    let last = sort.expr.len().saturating_sub(1);
                    one_zero(sort.expr[..last].iter_mut().map(|key| &mut key.expr), &schema);
                    LogicalPlan::Sort(sort)
                }
                plan => plan,
            };
            super::with_expressions(plan, |expr| Ok(within(expr, &schema)))
        })
        .data()
    }
}

/// Whether tables are joined by doubles: what a join tells its scans of the keys that it has names the
/// bits of each, if there are several columns.
///
/// # Errors
/// None of its own.
pub fn joins_doubles(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|plan| {
        if let LogicalPlan::Join(join) = plan {
            let is_double = |(left, _): &(Expr, Expr)| {
                left.get_type(join.left.schema()).is_ok_and(|data_type| data_type.is_floating())
            };
            found |= join.on.iter().any(is_double);
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// Changes what an expression compares by bits.
fn within(mut expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let changed = match &mut expr {
        Expr::AggregateFunction(call)
            if call.params.distinct || ["mode", "histogram"].contains(&call.func.name()) =>
        {
            one_zero(call.params.args.iter_mut(), schema)
        }
        Expr::ScalarFunction(call) if call.name() == "nullif" => {
            one_zero(call.args.iter_mut(), schema)
        }
        Expr::Case(Case { expr: Some(asked), when_then_expr, .. }) => {
            let values = when_then_expr.iter_mut().map(|(when, _)| &mut **when);
            one_zero(std::iter::once(&mut **asked).chain(values), schema)
        }
        Expr::WindowFunction(call) => {
            let sorted = call.params.order_by.iter_mut().map(|key| &mut key.expr);
            one_zero(call.params.partition_by.iter_mut().chain(sorted), schema)
        }
        Expr::InList(InList { expr, list, .. }) => {
            let other = list.iter().find_map(other_zero);
            if list.iter().all(|value| matches!(value, Expr::Literal(..))) {
                let changed = other.is_some();
                list.extend(other.map(lit));
                changed
            } else {
                one_zero(std::iter::once(&mut **expr).chain(list), schema)
            }
        }
        _ => false,
    };
    if changed { Transformed::yes(expr) } else { Transformed::no(expr) }
}

/// The zero of the other sign, of a literal zero.
fn other_zero(value: &Expr) -> Option<ScalarValue> {
    match value {
        Expr::Literal(ScalarValue::Float64(Some(value)), _) if *value == 0.0 => {
            Some(ScalarValue::Float64(Some(-value)))
        }
        Expr::Literal(ScalarValue::Float32(Some(value)), _) if *value == 0.0 => {
            Some(ScalarValue::Float32(Some(-value)))
        }
        _ => None,
    }
}

/// Adds 0.0 to the expressions that are floating-point; says whether there were any.
fn one_zero<'a>(exprs: impl Iterator<Item = &'a mut Expr>, schema: &DFSchema) -> bool {
    let mut changed = false;
    for expr in exprs {
        let zero = match expr.get_type(schema) {
            Ok(DataType::Float64) => ScalarValue::Float64(Some(0.0)),
            Ok(DataType::Float32) => ScalarValue::Float32(Some(0.0)),
            _ => continue,
        };
        let plain = std::mem::take(expr);
        let sum = BinaryExpr::new(Box::new(plain), Operator::Plus, Box::new(lit(zero)));
        *expr = Expr::BinaryExpr(sum);
        changed = true;
    }
    changed
}
