//! Functions of our own: where DataFusion's would be silently wrong, and where it has none.

pub mod arithmetic;
pub mod counted;
pub mod distribution;
pub mod double;
pub mod sum;
pub mod texts;
use datafusion::prelude::SessionContext;

/// Adds them all to a context.
pub fn register(context: &mut SessionContext) {
    // It only fails for a registry that takes no functions.
    let _ = datafusion_functions_json::register_all(context);
    context.register_udaf(sum::sum());
    context.register_udaf(double::avg());
    context.register_udaf(counted::mode());
    context.register_udaf(counted::histogram());
    context.register_udaf(distribution::distribution());
    context.register_udf(texts::type_of());
    context.register_udf(texts::format());
    context.register_udf(texts::slice());
    context.register_udf(texts::sparkline());
}
