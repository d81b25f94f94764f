//! Where DOUBLE and DECIMAL meet, the DECIMAL becomes a DOUBLE.
//!
//! DataFusion takes DECIMAL(30,15) for both: then 1e-20 = 0.0 holds, and 1e30 > 1.0 fails. Literals
//! such as `1.5` are DECIMAL, so that sums of them are exact, and turn into the nearest DOUBLE here.
//! Runs before type coercion.

use std::sync::Arc;

use datafusion::arrow::array::types::{Decimal128Type, Decimal256Type, DecimalType};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{InList, InSubquery};
use datafusion::logical_expr::{
    Between, BinaryExpr, Case, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Subquery,
    Union, cast, lit,
};
use datafusion::optimizer::AnalyzerRule;

/// Functions that give one or all of their arguments, or compare them.
pub(super) const CHOOSING: [&str; 8] =
    ["coalesce", "greatest", "ifnull", "least", "make_array", "nullif", "nvl", "nvl2"];

/// The rule.
#[derive(Debug, Default)]
pub struct DoublesStay;

impl AnalyzerRule for DoublesStay {
    fn name(&self) -> &str {
        "doubles_stay"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let plan = match plan {
                LogicalPlan::Union(union) => together(union)?,
                plan => plan,
            };
            let schema = super::schema_within(&plan)?;
            let met = super::with_expressions(plan, |expr| meet(expr, &schema))?;
            // What is above must see the types that the columns have now.
            let plan = if met.transformed { met.data.recompute_schema()? } else { met.data };
            match plan {
                LogicalPlan::Join(mut join) => {
                    for (left, right) in &mut join.on {
                        agree(&mut [left, right], &schema);
                    }
                    Ok(Transformed::yes(LogicalPlan::Join(join)))
                }
                plan => Ok(Transformed::yes(plan)),
            }
        })
        .data()
    }
}

/// Makes the parts of one expression agree.
fn meet(mut expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let changed = match &mut expr {
        Expr::BinaryExpr(BinaryExpr { left, right, .. }) => agree(&mut [left, right], schema),
        Expr::Between(Between { expr, low, high, .. }) => agree(&mut [expr, low, high], schema),
        Expr::InList(InList { expr, list, .. }) => {
            agree(&mut std::iter::once(&mut **expr).chain(list).collect::<Vec<_>>(), schema)
        }
        Expr::Case(Case { expr, when_then_expr, else_expr }) => {
            let (mut asked, mut given) = (Vec::new(), Vec::new());
            for (when, then) in when_then_expr {
                asked.push(&mut **when);
                given.push(&mut **then);
            }
            asked.extend(expr.as_deref_mut());
            given.extend(else_expr.as_deref_mut());
            agree(&mut asked, schema) | agree(&mut given, schema)
        }
        Expr::ScalarFunction(call) if CHOOSING.contains(&call.name()) => {
            // The first argument of nvl2 is only looked at.
            let start = usize::from(call.name() == "nvl2");
            agree(&mut call.args.iter_mut().skip(start).collect::<Vec<_>>(), schema)
        }
        Expr::InSubquery(InSubquery { expr, subquery, .. }) => member(expr, subquery, schema)?,
        // Casting a decimal divides, and so rounds twice.
        Expr::Cast(call) if *call.field.data_type() == DataType::Float64 => {
            match literal(&call.expr) {
                Some(value) => return Ok(Transformed::yes(lit(value))),
                None => false,
            }
        }
        _ => false,
    };
    Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
}

/// Turns decimals among expressions into doubles, if there is a double; says whether it did.
fn agree(parts: &mut [&mut Expr], schema: &DFSchema) -> bool {
    let types: Vec<_> = parts.iter().map(|part| part.get_type(schema).ok()).collect();
    if !types.iter().flatten().any(DataType::is_floating) {
        return false;
    }
    let mut changed = false;
    for (part, data_type) in parts.iter_mut().zip(types) {
        if data_type.as_ref().is_some_and(DataType::is_decimal) {
            **part = as_double(std::mem::take(*part));
            changed = true;
        }
    }
    changed
}

/// `expr IN (subquery)`.
fn member(expr: &mut Expr, subquery: &mut Subquery, schema: &DFSchema) -> Result<bool> {
    let Ok(outer) = expr.get_type(schema) else { return Ok(false) };
    let [field] = &subquery.subquery.schema().fields()[..] else { return Ok(false) };
    let inner = field.data_type();
    if outer.is_decimal() && inner.is_floating() {
        *expr = as_double(std::mem::take(expr));
        return Ok(true);
    }
    if outer.is_floating() && inner.is_decimal() {
        let plan = subquery.subquery.as_ref().clone();
        subquery.subquery = Arc::new(with_doubles(plan, &[true])?);
        return Ok(true);
    }
    Ok(false)
}

/// Columns of a union that are doubles in one input and decimals in another.
fn together(union: Union) -> Result<LogicalPlan> {
    let count = union.schema.fields().len();
    let has = |idx: usize, is: fn(&DataType) -> bool| {
        union.inputs.iter().any(|input| {
            input.schema().fields().get(idx).is_some_and(|field| is(field.data_type()))
        })
    };
    let mixed: Vec<bool> = (0..count)
        .map(|idx| has(idx, DataType::is_floating) && has(idx, DataType::is_decimal))
        .collect();
    if !mixed.contains(&true) {
        return Ok(LogicalPlan::Union(union));
    }
    let inputs = union
        .inputs
        .iter()
        .map(|input| Ok(Arc::new(with_doubles(input.as_ref().clone(), &mixed)?)))
        .collect::<Result<_>>()?;
    Ok(LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?))
}

/// A plan whose marked columns are doubles, if they were decimals, under the names that they had.
fn with_doubles(plan: LogicalPlan, marked: &[bool]) -> Result<LogicalPlan> {
    let columns: Vec<Expr> = plan
        .schema()
        .iter()
        .zip(marked)
        .map(|((qualifier, field), marked)| {
            let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
            if *marked && field.data_type().is_decimal() {
                as_double(column).alias_qualified(qualifier.cloned(), field.name())
            } else {
                column
            }
        })
        .collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// The nearest double.
fn as_double(expr: Expr) -> Expr {
    match literal(&expr) {
        Some(value) => lit(value),
        None => cast(expr, DataType::Float64),
    }
}

/// The double nearest to a decimal literal.
fn literal(expr: &Expr) -> Option<f64> {
    let text = match expr {
        Expr::Literal(ScalarValue::Decimal128(Some(value), precision, scale), _) => {
            Decimal128Type::format_decimal(*value, *precision, *scale)
        }
        Expr::Literal(ScalarValue::Decimal256(Some(value), precision, scale), _) => {
            Decimal256Type::format_decimal(*value, *precision, *scale)
        }
        _ => return None,
    };
    text.parse().ok()
}
