//! Filter first: a predicate is tried on its own columns before the others are decoded.
//!
//! Invariant: this only saves work. Whoever stated the predicate applies it to what comes out, so
//! whenever the predicate cannot be tried here, or does not pay, all rows are taken.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions,
};
use datafusion::arrow::compute::{filter, prep_null_mask_filter};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};

use crate::formats::{ReadRequest, Wanted};

/// A run of which more than this share is kept was not worth the try.
const KEPT_SHARE_MAX: f64 = 0.7;
/// Runs that are taken whole after a vain try at first, and at most; each vain try doubles them.
const PAUSE_RUNS: (u32, u32) = (4, 64);

/// Finds the rows for which the other columns are worth decoding.
pub(crate) struct Prefilter {
    predicate: Arc<dyn PhysicalExpr>,
    /// The columns of the request that the predicate reads, in order.
    columns: Vec<usize>,
    schema: SchemaRef,
    pause_runs: u32,
    /// Runs to take whole before the next try.
    wait_runs: u32,
}

impl Prefilter {
    /// The prefilter of a request; none where it could not spare a single value.
    pub(crate) fn new(request: &ReadRequest) -> Option<Self> {
        let predicate = request.predicate.as_ref()?;
        let columns: BTreeSet<usize> =
            collect_columns(predicate).iter().map(|column| column.index()).collect();
        let columns: Vec<usize> = columns.into_iter().collect();
        let is_decoded = |idx: &usize| matches!(request.columns[*idx], Wanted::Column(_));
        let decoded_count = (0..request.columns.len()).filter(is_decoded).count();
        if columns.is_empty() || !columns.iter().all(is_decoded) || columns.len() == decoded_count {
            return None;
        }
        let schema = Arc::new(request.schema.project(&columns).ok()?);
        let predicate = reassign_expr_columns(Arc::clone(predicate), &schema).ok()?;
        Some(Prefilter { predicate, columns, schema, pause_runs: PAUSE_RUNS.0, wait_runs: 0 })
    }

    /// The columns to decode first.
    pub(crate) fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// Whether the next run is to be tried.
    pub(crate) fn is_due(&mut self) -> bool {
        let is_due = self.wait_runs == 0;
        self.wait_runs = self.wait_runs.saturating_sub(1);
        is_due
    }

    /// Which of `row_count` rows may pass, given the arrays of [`Self::columns`]; None for all.
    pub(crate) fn passing(
        &mut self,
        arrays: Vec<ArrayRef>,
        row_count: usize,
    ) -> Option<BooleanArray> {
        let options = RecordBatchOptions::new().with_row_count(Some(row_count));
        let batch =
            RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options).ok()?;
        // What fails here fails again above, where short cuts may still avoid it.
        let holds = self.predicate.evaluate(&batch).and_then(|value| value.into_array(row_count));
        let holds = holds.ok()?;
        let holds = holds.as_boolean_opt()?;
        let passing = match holds.nulls() {
            Some(_) => prep_null_mask_filter(holds),
            None => holds.clone(),
        };
        if passing.true_count() as f64 > KEPT_SHARE_MAX * row_count as f64 {
            self.wait_runs = self.pause_runs;
            self.pause_runs = (self.pause_runs * 2).min(PAUSE_RUNS.1);
            return None;
        }
        self.pause_runs = PAUSE_RUNS.0;
        Some(passing)
    }
}

/// The rows of an array that pass; no text of the others stays in memory.
pub(crate) fn keep(array: &dyn Array, passing: &BooleanArray) -> Result<ArrayRef, ArrowError> {
    let kept = filter(array, passing)?;
    Ok(match kept.as_string_view_opt() {
        Some(texts) => Arc::new(texts.gc()),
        None => kept,
    })
}
