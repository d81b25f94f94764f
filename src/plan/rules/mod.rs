//! Rules: functions from plan to plan. They open nothing and measure nothing.
//!
//! | rule | kind | why |
//! |---|---|---|
//! | `checked_arithmetic` | analyser | whole numbers overflow into an error, not into a wrong number |
//! | `doubles_stay` | analyser | a DOUBLE that meets a DECIMAL is not squeezed into one |
//! | `early_filters` | physical | Parquet is decoded only where a filter holds, while that pays |
//! | `join_order` | logical | inner and semi joins are ordered by what files say of their sizes |
//! | `one_zero` | analyser | -0.0 and 0.0 are one value everywhere |
//! | `partition_keys` | physical | files that share a Hive key go to one task: no exchange for it |
//! | `unambiguous_filters` | physical | a filter is not pushed to another column of the same name |

use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::utils::merge_schema;

pub mod checked_arithmetic;
pub mod doubles_stay;
pub mod early_filters;
pub mod join_order;
pub mod one_zero;
pub mod partition_keys;
pub mod unambiguous_filters;

/// The columns that the expressions of a plan's node may name.
fn schema_within(plan: &LogicalPlan) -> Result<DFSchema> {
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = plan {
        let name = scan.table_name.clone();
        schema.merge(&DFSchema::try_from_qualified_schema(name, &scan.source.schema())?);
    }
    Ok(schema)
}
