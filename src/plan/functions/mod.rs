//! Functions of our own: where DataFusion's would be silently wrong, and where it has none.

pub mod arithmetic;
pub mod counted;
pub mod distribution;
pub mod double;
pub mod extremes;
pub mod sum;
pub mod texts;
use datafusion::logical_expr::ScalarUDF;
use datafusion::prelude::SessionContext;

use crate::formats::one_nan;

/// Adds them all to a context.
pub fn register(context: &mut SessionContext) {
    // It only fails for a registry that takes no functions.
    let _ = datafusion_functions_json::register_all(context);
    context.register_udaf(sum::sum());
    context.register_udaf(double::avg());
    context.register_udaf(extremes::max());
    context.register_udaf(extremes::min());
    context.register_udaf(counted::mode());
    context.register_udaf(counted::histogram());
    context.register_udaf(distribution::distribution());
    context.register_udf(texts::type_of());
    context.register_udf(texts::format());
    context.register_udf(texts::slice());
    context.register_udf(texts::sparkline());
}

/// A function that rules put into plans, by its name; no statement calls it.
pub fn of_rules(name: &str) -> Option<ScalarUDF> {
    match name {
        one_nan::NAME => Some(one_nan::function().as_ref().clone()),
        name => arithmetic::by_name(name),
    }
}
