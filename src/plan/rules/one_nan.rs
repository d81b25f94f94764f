//! What is computed has one NaN, and scans prune by filters that know of it.
//!
//! [`crate::formats::one_nan`] says why. Columns come with one NaN from the readers; this rule puts the
//! function around what makes new ones: arithmetic, functions, casts from text. Within arithmetic and
//! under sums it makes no difference and is left out. Runs behind type coercion.
//!
//! The bounds that files keep do not count NaN, so `x < 5`, asked of a column as it lies in the file,
//! leaves out no row that it should keep; [`RELAXED`] asks it so. Rows with a negative NaN that it keeps too
//! many are left out by the filter above the scan.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::datasource::physical_plan::parquet::source::ParquetSource;
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder, FileSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, Projection,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr as PhysicalBinaryExpr, Column as PhysicalColumn, Literal,
};
use datafusion::physical_plan::ExecutionPlan;

use super::Replacing;
use super::doubles_stay::CHOOSING;
use crate::formats::one_nan;

/// Aggregates to which any NaN is like another.
const ADDING: [&str; 2] = ["avg", "sum"];

/// Aggregates and windows that give a value that they were given, or have one NaN themselves.
const PASSING: [&str; 16] = [
    "any_value",
    "arg_max",
    "arg_min",
    "avg",
    "first_value",
    "lag",
    "last_value",
    "lead",
    "max",
    "max_by",
    "min",
    "min_by",
    "mode",
    "nth_value",
    "percentile_disc",
    "sum",
];

/// The rule for statements.
#[derive(Debug, Default)]
pub struct OneNan;

impl AnalyzerRule for OneNan {
    fn name(&self) -> &str {
        "one_nan"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let schema = super::schema_within(&plan)?;
            super::with_expressions(plan, |expr| Ok(within(expr, &schema)))?.transform_data(above)
        })
        .data()
    }
}

/// Puts the function above aggregates and windows that compute.
fn above(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let (exprs, start) = match &plan {
        LogicalPlan::Aggregate(aggregate) => (&aggregate.aggr_expr, aggregate.group_expr_len()?),
        LogicalPlan::Window(window) => (&window.window_expr, window.input.schema().fields().len()),
        _ => return Ok(Transformed::no(plan)),
    };
    let computes = |expr: &Expr| {
        let name = match expr.clone().unalias() {
            Expr::AggregateFunction(call) => call.func.name().to_string(),
            Expr::WindowFunction(call) => call.fun.name().to_string(),
            _ => return false,
        };
        !PASSING.contains(&name.as_str())
    };
    let mut changed = false;
    let columns: Vec<Expr> = plan
        .schema()
        .iter()
        .enumerate()
        .map(|(idx, (table, field))| {
            let column = Expr::Column(Column::new(table.cloned(), field.name()));
            let expr = idx.checked_sub(start).and_then(|idx| exprs.get(idx));
            if !one_nan::has_nan(field.data_type()) || !expr.is_some_and(computes) {
                return column;
            }
            changed = true;
            let call = ScalarFunction::new_udf(one_nan::function(), vec![column]);
            Expr::ScalarFunction(call).alias_qualified(table.cloned(), field.name())
        })
        .collect();
    if !changed {
        return Ok(Transformed::no(plan));
    }
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?)))
}

fn within(mut expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    if let Expr::AggregateFunction(call) = &mut expr {
        let adds = ADDING.contains(&call.func.name()) && !call.params.distinct;
        let args = call.params.args.iter_mut().filter(|_| adds);
        let changed = args.map(bare).fold(false, |changed, one| changed | one);
        return if changed { Transformed::yes(expr) } else { Transformed::no(expr) };
    }
    let may_make = match &expr {
        Expr::BinaryExpr(BinaryExpr { op, .. }) => matches!(
            op,
            Operator::Plus
                | Operator::Minus
                | Operator::Multiply
                | Operator::Divide
                | Operator::Modulo
        ),
        Expr::Negative(_) => true,
        Expr::ScalarFunction(call) => {
            call.name() != one_nan::NAME && !CHOOSING.contains(&call.name())
        }
        Expr::Cast(cast) => is_from_text(&cast.expr, schema),
        Expr::TryCast(cast) => is_from_text(&cast.expr, schema),
        _ => false,
    };
    if !may_make || !expr.get_type(schema).is_ok_and(|data_type| one_nan::has_nan(&data_type)) {
        return Transformed::no(expr);
    }
    match &mut expr {
        Expr::BinaryExpr(BinaryExpr { left, right, .. }) => {
            bare(left);
            bare(right);
        }
        Expr::Negative(inner) => {
            bare(inner);
        }
        _ => {}
    }
    let call = ScalarFunction::new_udf(one_nan::function(), vec![expr]);
    Transformed::yes(Expr::ScalarFunction(call))
}

fn is_from_text(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|data_type| data_type.is_string())
}

/// Takes the function off an expression; says whether it was there.
fn bare(expr: &mut Expr) -> bool {
    match expr {
        Expr::ScalarFunction(call) if call.name() == one_nan::NAME && call.args.len() == 1 => {
            *expr = call.args.remove(0);
            true
        }
        _ => false,
    }
}

/// The rule for the filters of Parquet scans.
pub const RELAXED: Replacing = Replacing { name: "relaxed_bounds", replacement };

fn replacement(
    plan: &Arc<dyn ExecutionPlan>,
    _: &ConfigOptions,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    Ok(plan.downcast_ref::<DataSourceExec>().and_then(relaxing))
}

fn relaxing(scan: &DataSourceExec) -> Option<Arc<dyn ExecutionPlan>> {
    let config = scan.data_source().downcast_ref::<FileScanConfig>()?;
    let source = config.file_source().downcast_ref::<ParquetSource>()?;
    let relaxed = relaxed(&source.filter()?)?;
    let source = Arc::new(source.with_predicate(relaxed));
    let config = FileScanConfigBuilder::from(config.clone()).with_source(source).build();
    Some(DataSourceExec::from_data_source(config))
}

/// A filter that holds wherever `filter` does, and knows more of the file's columns; None if there is
/// nothing to change.
fn relaxed(filter: &Arc<dyn PhysicalExpr>) -> Option<Arc<dyn PhysicalExpr>> {
    let binary = filter.downcast_ref::<PhysicalBinaryExpr>()?;
    let (left, right, op) = (binary.left(), binary.right(), *binary.op());
    let with = |left: &Arc<dyn PhysicalExpr>, right: &Arc<dyn PhysicalExpr>| {
        Arc::new(PhysicalBinaryExpr::new(Arc::clone(left), op, Arc::clone(right)))
    };
    match op {
        Operator::And | Operator::Or => match (relaxed(left), relaxed(right)) {
            (None, None) => None,
            (new_left, new_right) => {
                Some(with(new_left.as_ref().unwrap_or(left), new_right.as_ref().unwrap_or(right)))
            }
        },
        Operator::Lt | Operator::LtEq | Operator::Eq if is_number(right) => {
            Some(with(column_in(left)?, right))
        }
        Operator::Gt | Operator::GtEq | Operator::Eq if is_number(left) => {
            Some(with(left, column_in(right)?))
        }
        _ => None,
    }
}

/// The column to which nothing but the function is done.
fn column_in(expr: &Arc<dyn PhysicalExpr>) -> Option<&Arc<dyn PhysicalExpr>> {
    one_nan::argument(expr).filter(|inner| inner.is::<PhysicalColumn>())
}

/// Whether an expression is a literal, and no NaN.
fn is_number(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.downcast_ref::<Literal>().is_some_and(|literal| match literal.value() {
        ScalarValue::Float64(Some(value)) => !value.is_nan(),
        ScalarValue::Float32(Some(value)) => !value.is_nan(),
        _ => false,
    })
}
