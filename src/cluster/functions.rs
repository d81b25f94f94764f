//! The functions that all sides of a cluster know.

use std::sync::{Arc, LazyLock};

use ballista_core::registry::BallistaFunctionRegistry;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::ScalarUDF;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::plan::functions;

/// What a session without functions of its own has.
static KNOWN: LazyLock<Arc<BallistaFunctionRegistry>> = LazyLock::new(|| {
    let state = SessionStateBuilder::new().with_default_features().build();
    let mut context = SessionContext::new_with_state(state);
    functions::register(&mut context);
    Arc::new(BallistaFunctionRegistry::from(&context.state()))
});

/// All of them.
pub(super) fn registry() -> Arc<BallistaFunctionRegistry> {
    Arc::clone(&KNOWN)
}

/// Whether a function is one of them, and not another one of that name.
pub(super) fn has(function: &ScalarUDF) -> bool {
    functions::of_rules(function.name()).is_some()
        || KNOWN.scalar_functions.get(function.name()).is_some_and(|known| **known == *function)
}

/// The state of a scheduler's session.
pub(super) fn state(config: SessionConfig) -> SessionState {
    SessionStateBuilder::new()
        .with_default_features()
        .with_config(config)
        .with_scalar_functions(KNOWN.scalar_functions.values().cloned().collect())
        .with_aggregate_functions(KNOWN.aggregate_functions.values().cloned().collect())
        .with_window_functions(KNOWN.window_functions.values().cloned().collect())
        .build()
}
