//! The conditions of a filter are decided in the order of what they cost; see `exec::all_of`.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};

use crate::exec::all_of::AllOf;

/// The rule; it comes last, as others look into conjunctions.
#[derive(Debug, Default)]
pub struct OrderedConditions;

impl PhysicalOptimizerRule for OrderedConditions {
    fn name(&self) -> &str {
        "ordered_conditions"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            let Some(filter) = plan.downcast_ref::<FilterExec>() else {
                return Ok(Transformed::no(plan));
            };
            Ok(match AllOf::new(filter.predicate(), &filter.input().schema())? {
                Some(all) => {
                    let filter = FilterExecBuilder::from(filter).with_predicate(Arc::new(all));
                    Transformed::yes(Arc::new(filter.build()?))
                }
                None => Transformed::no(plan),
            })
        })
        .data()
    }
}
