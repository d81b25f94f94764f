//! Filters on trial: dropped for a while where they keep most rows.
//!
//! Deciding a filter before everything is decoded can spare nearly all work, or cost more than it
//! spares: that depends on the share of rows that it keeps, which nobody knows before. So rows are
//! counted, and where too many are kept, rows pass for a while and then it is tried again, each time
//! after a longer while. That is sound only for filters that someone else decides as well.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::cast::as_boolean_array;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;

/// A filter that keeps more than this share of rows is let be for a while.
const KEPT_SHARE_MAX: f64 = 0.05;
/// Rows after which it is judged.
const TRIAL_ROWS: u64 = 32 * 1024;
/// Rows that pass before the second trial; twice as many before each further one.
const PASSING_ROWS_MIN: u64 = 1 << 19;

/// What a filter has kept so far.
#[derive(Debug, Default)]
struct Trial {
    seen: AtomicU64,
    kept: AtomicU64,
    /// Rows that still pass unseen.
    passing: AtomicU64,
    /// Rows that passed unseen the last time.
    passed: AtomicU64,
}

impl Trial {
    /// Whether these rows pass without a look.
    fn lets_pass(&self, rows: u64) -> bool {
        let passing = self.passing.load(Ordering::Relaxed);
        if passing == 0 {
            return false;
        }
        self.passing.store(passing.saturating_sub(rows), Ordering::Relaxed);
        true
    }

    /// Tasks share a trial; a count that is lost between them does no harm.
    fn judge(&self, rows: u64, kept: u64) {
        let seen = self.seen.fetch_add(rows, Ordering::Relaxed) + rows;
        let kept = self.kept.fetch_add(kept, Ordering::Relaxed) + kept;
        if seen < TRIAL_ROWS {
            return;
        }
        self.seen.store(0, Ordering::Relaxed);
        self.kept.store(0, Ordering::Relaxed);
        if kept as f64 > seen as f64 * KEPT_SHARE_MAX {
            let passing = (self.passed.load(Ordering::Relaxed) * 2).max(PASSING_ROWS_MIN);
            self.passed.store(passing, Ordering::Relaxed);
            self.passing.store(passing, Ordering::Relaxed);
        }
    }
}

/// A filter on trial: true for all rows while it is let be.
#[derive(Debug)]
pub struct Tried {
    filter: Arc<dyn PhysicalExpr>,
    trial: Arc<Trial>,
}

impl Tried {
    /// Puts a filter on trial.
    pub fn new(filter: Arc<dyn PhysicalExpr>) -> Self {
        Tried { filter, trial: Arc::default() }
    }
}

/// An expression with the filters that are on trial in it as they are.
///
/// # Errors
/// Those of rebuilding the expression.
pub fn untried(expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
    expr.transform_up(|expr| {
        Ok(match expr.downcast_ref::<Tried>() {
            Some(tried) => Transformed::yes(Arc::clone(&tried.filter)),
            None => Transformed::no(expr),
        })
    })
    .data()
}

impl PartialEq for Tried {
    fn eq(&self, other: &Self) -> bool {
        self.filter.eq(&other.filter)
    }
}

impl Eq for Tried {}

impl Hash for Tried {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.filter.hash(state);
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.filter.fmt(f)
    }
}

impl PhysicalExpr for Tried {
    fn data_type(&self, _input_schema: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, input_schema: &Schema) -> Result<bool> {
        self.filter.nullable(input_schema)
    }

    fn return_field(&self, input_schema: &Schema) -> Result<FieldRef> {
        self.filter.return_field(input_schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let rows = batch.num_rows() as u64;
        if self.trial.lets_pass(rows) {
            return Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))));
        }
        let holds = self.filter.evaluate(batch)?.into_array(batch.num_rows())?;
        let kept = as_boolean_array(&holds)?;
        self.trial.judge(rows, kept.true_count() as u64);
        Ok(ColumnarValue::Array(holds))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.filter]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let trial = Arc::clone(&self.trial);
        let filter = children.pop().unwrap_or_else(|| Arc::clone(&self.filter));
        Ok(Arc::new(Tried { filter, trial }))
    }

    /// What row groups and pages are left out by.
    fn snapshot(&self) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        Ok(Some(Arc::clone(&self.filter)))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.filter.fmt_sql(f)
    }
}
