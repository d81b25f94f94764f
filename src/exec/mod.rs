//! Execution: the operators of our own, and what keeps a running statement within its bounds.

pub mod all_of;
pub mod fragment;
pub mod group_top;
pub mod groups;
pub mod late_columns;
pub mod limits;
pub mod once;
pub mod padded;
pub mod progress;
pub mod shared;
pub mod stage;
pub mod trial;

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;

/// An expression over rows of which only some columns are kept, given in order. (By number: two columns
/// may share a name.)
///
/// # Errors
/// Those of rebuilding the expression.
pub fn over_kept(expr: &Arc<dyn PhysicalExpr>, kept: &[usize]) -> Result<Arc<dyn PhysicalExpr>> {
    let renumber = |expr: Arc<dyn PhysicalExpr>| {
        let Some(column) = expr.downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
        let at = kept.partition_point(|idx| *idx < column.index());
        Ok(Transformed::yes(Arc::new(Column::new(column.name(), at)) as _))
    };
    Arc::clone(expr).transform_up(renumber).data()
}

/// Aggregates whose state depends on the set of its inputs alone, by the names they go by in plans.
const ORDERLESS: [&str; 19] = [
    "approx_distinct",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "max",
    "min",
    "regr_slope",
    "stddev",
    "stddev_pop",
    "sum",
    "var",
    "var_pop",
];
