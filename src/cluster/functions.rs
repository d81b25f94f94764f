//! The functions that all sides of a cluster know.

use std::sync::Arc;

use ballista_core::registry::BallistaFunctionRegistry;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::ScalarUDF;
use datafusion::prelude::SessionContext;

use crate::plan::functions;

/// What a session without functions of its own has.
#[derive(Debug, Clone)]
pub(super) struct Functions(Arc<BallistaFunctionRegistry>);

impl Functions {
    pub(super) fn new() -> Self {
        let state = SessionStateBuilder::new().with_default_features().build();
        let mut context = SessionContext::new_with_state(state);
        functions::register(&mut context);
        Functions(Arc::new(BallistaFunctionRegistry::from(&context.state())))
    }

    pub(super) fn registry(&self) -> &Arc<BallistaFunctionRegistry> {
        &self.0
    }

    /// Whether a function is one of them, and not another one of that name.
    pub(super) fn has(&self, function: &ScalarUDF) -> bool {
        functions::arithmetic::by_name(function.name()).is_some()
            || self
                .0
                .scalar_functions
                .get(function.name())
                .is_some_and(|known| **known == *function)
    }
}
