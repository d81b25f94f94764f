//! Skipping: what was learned of a file, as ranges that a filter rules out and as statistics.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, Statistics};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};
use datafusion::scalar::ScalarValue;

use crate::formats::csv::learned::{ColumnBounds, Learned, LearnedRange};

/// Rules out ranges in which a filter holds for no row.
pub struct Skipper {
    predicate: Arc<PruningPredicate>,
    schema: SchemaRef,
}

impl Skipper {
    /// A skipper for a filter over the columns of `schema`; None if it says nothing of bounds.
    pub fn new(filter: Arc<dyn PhysicalExpr>, schema: &SchemaRef) -> Option<Self> {
        let builder = PruningPredicateBuilder::new().with_file_schema(Arc::clone(schema));
        let predicate = builder.build(filter)?;
        Some(Skipper { predicate, schema: Arc::clone(schema) })
    }

    /// Which ranges must be read.
    pub fn survivors(&self, learned: &Learned) -> Vec<bool> {
        let ranges = RangeStatistics { ranges: &learned.ranges, schema: &self.schema };
        self.predicate.prune(&ranges).unwrap_or_else(|_| vec![true; learned.ranges.len()])
    }
}

struct RangeStatistics<'a> {
    ranges: &'a [LearnedRange],
    schema: &'a SchemaRef,
}

impl RangeStatistics<'_> {
    fn bounds(
        &self,
        column: &Column,
        pick: impl Fn((ScalarValue, ScalarValue)) -> ScalarValue,
    ) -> Option<ArrayRef> {
        let data_type = self.schema.field_with_name(&column.name).ok()?.data_type();
        let unknown = ScalarValue::try_from(data_type).ok()?;
        let values = self.ranges.iter().map(|range| {
            let bounds = range.columns.get(&column.name.to_lowercase());
            bounds.and_then(|bounds| bounds.scalars(data_type)).map_or(unknown.clone(), &pick)
        });
        ScalarValue::iter_to_array(values).ok()
    }
}

impl PruningStatistics for RangeStatistics<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |(low, _)| low)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |(_, high)| high)
    }

    fn num_containers(&self) -> usize {
        self.ranges.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let data_type = self.schema.field_with_name(&column.name).ok()?.data_type();
        let counts = self.ranges.iter().map(|range| {
            let bounds = range.columns.get(&column.name.to_lowercase())?;
            bounds.scalars(data_type).map(|_| bounds.null_count)
        });
        Some(Arc::new(counts.collect::<UInt64Array>()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let counts = self.ranges.iter().map(|range| Some(range.row_count));
        Some(Arc::new(counts.collect::<UInt64Array>()))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

/// Exact statistics of a file, one for each of the columns.
pub fn statistics<'a>(
    learned: &Learned,
    columns: impl Iterator<Item = (&'a str, &'a DataType)>,
) -> Statistics {
    let column_statistics = columns
        .map(|(name, data_type)| {
            column_statistics(&learned.ranges, name, data_type).unwrap_or_default()
        })
        .collect();
    Statistics {
        num_rows: Precision::Exact(learned.row_count() as usize),
        total_byte_size: Precision::Absent,
        column_statistics,
    }
}

fn column_statistics(
    ranges: &[LearnedRange],
    name: &str,
    data_type: &DataType,
) -> Option<ColumnStatistics> {
    let lower = name.to_lowercase();
    let of = |range: &LearnedRange| -> Option<ColumnBounds> {
        let bounds = range.columns.get(&lower)?.clone();
        bounds.scalars(data_type).map(|_| bounds)
    };
    // A range without rows says nothing, and spoils nothing.
    let mut filled = ranges.iter().filter(|range| range.row_count > 0);
    let first = of(filled.next()?)?;
    let all = filled.try_fold(first, |joined, range| Some(joined.merge(of(range)?)))?;
    let (low, high) = all.scalars(data_type)?;
    Some(ColumnStatistics {
        null_count: Precision::Exact(all.null_count as usize),
        min_value: Precision::Exact(low),
        max_value: Precision::Exact(high),
        ..ColumnStatistics::default()
    })
}
