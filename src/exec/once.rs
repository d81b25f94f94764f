//! An expression over one column of texts, computed once for texts that come again.
//!
//! Patterns and the like take far longer than looking whether a batch has had a text before. Where few
//! come again nothing is gained, and for a while the expression is computed of every row.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::arrow::array::{Array, AsArray, RecordBatch, StringViewArray, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::common::hash_utils::RandomState;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{ColumnarValue, Operator, Volatility};
use datafusion::physical_expr::expressions::{BinaryExpr, Column, LikeExpr, Literal};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use super::all_of::AllOf;
use super::over_kept;

/// Fewer rows than this are not worth a table.
const ROWS_MIN: usize = 64;
/// After so many rows it is seen how many texts come again ...
const TRIAL_ROWS: usize = 1 << 15;
/// ... of which at least this share of all rows must, ...
const AGAIN_MIN: f64 = 0.2;
/// ... or else, for so many rows, it is not tried.
const PAUSE_ROWS: usize = 1 << 20;

/// Functions of texts that take long, by how their names begin.
const LONG_FUNCTIONS: [&str; 8] =
    ["regexp_", "to_timestamp", "to_date", "to_unixtime", "json_", "levenshtein", "sha", "md5"];

/// Computes an expression once for each text of a batch.
pub struct Once {
    whole: Arc<dyn PhysicalExpr>,
    /// The same over just its column.
    narrow: Arc<dyn PhysicalExpr>,
    column: usize,
    schema: SchemaRef,
    pace: Pace,
}

/// Whether it is of use; the tasks of a statement find out together.
#[derive(Debug, Default)]
struct Pace {
    rows: AtomicUsize,
    again: AtomicUsize,
    pause: AtomicUsize,
}

/// An expression with those parts computed once for each text that take long.
///
/// # Errors
/// When a column is not of the schema.
pub fn long_parts_once(
    expr: &Arc<dyn PhysicalExpr>,
    schema: &SchemaRef,
) -> Result<Arc<dyn PhysicalExpr>> {
    Arc::clone(expr)
        .transform_down(|expr| {
            Ok(match Once::new(&expr, schema)? {
                Some(once) => Transformed::new(Arc::new(once) as _, true, TreeNodeRecursion::Jump),
                None => Transformed::no(expr),
            })
        })
        .data()
}

/// Whether some part of an expression takes long, and each gives the same for the same text.
fn takes_long(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let (mut is_long, mut is_fixed) = (false, true);
    let seen = expr.apply(|part| {
        if let Some(function) = part.downcast_ref::<ScalarFunctionExpr>() {
            is_fixed &= function.fun().signature().volatility == Volatility::Immutable;
            is_long |= LONG_FUNCTIONS.iter().any(|name| function.name().starts_with(name));
        } else if let Some(binary) = part.downcast_ref::<BinaryExpr>() {
            is_long |= matches!(
                binary.op(),
                Operator::RegexMatch
                    | Operator::RegexIMatch
                    | Operator::RegexNotMatch
                    | Operator::RegexNotIMatch
            );
        } else if let Some(like) = part.downcast_ref::<LikeExpr>() {
            is_long |= is_searched(like);
        } else {
            is_fixed &= !part.is_volatile_node() && part.snapshot()?.is_none();
        }
        Ok(TreeNodeRecursion::Continue)
    });
    seen.is_ok() && is_long && is_fixed
}

/// Whether a pattern is more than a text that is contained, or at an end.
fn is_searched(like: &LikeExpr) -> bool {
    let Some(pattern) = like.pattern().downcast_ref::<Literal>() else { return true };
    let Some(Some(pattern)) = pattern.value().try_as_str() else { return false };
    like.case_insensitive() || pattern.trim_matches('%').contains(['%', '_'])
}

impl Once {
    /// The expression as it was written.
    pub fn whole(&self) -> &Arc<dyn PhysicalExpr> {
        &self.whole
    }

    /// None if the expression is not of one column of texts alone, or takes no longer than a look.
    fn new(expr: &Arc<dyn PhysicalExpr>, schema: &SchemaRef) -> Result<Option<Self>> {
        let columns = collect_columns(expr);
        let mut columns = columns.iter().map(Column::index);
        let (Some(column), None) = (columns.next(), columns.next()) else { return Ok(None) };
        // Which rows the parts of a condition see is not for us to change.
        let is_of_parts = expr.is::<AllOf>()
            || expr
                .downcast_ref::<BinaryExpr>()
                .is_some_and(|binary| matches!(binary.op(), Operator::And | Operator::Or));
        let field = schema.fields().get(column);
        let is_text = field.is_some_and(|field| *field.data_type() == DataType::Utf8View);
        if is_of_parts || !is_text || !takes_long(expr) {
            return Ok(None);
        }
        let narrow_schema = Arc::new(schema.project(&[column])?);
        Ok(Some(Once {
            whole: Arc::clone(expr),
            narrow: over_kept(expr, &[column])?,
            column,
            schema: narrow_schema,
            pace: Pace::default(),
        }))
    }
}

impl Pace {
    /// Whether these rows are to be looked through.
    fn is_on(&self, row_count: usize) -> bool {
        if row_count < ROWS_MIN {
            return false;
        }
        let pause = self.pause.load(Ordering::Relaxed);
        self.pause.store(pause.saturating_sub(row_count), Ordering::Relaxed);
        pause == 0
    }

    /// Of so many rows so few had to be computed.
    fn found(&self, row_count: usize, computed_count: usize) {
        let rows = self.rows.fetch_add(row_count, Ordering::Relaxed) + row_count;
        let again = row_count - computed_count;
        let again = self.again.fetch_add(again, Ordering::Relaxed) + again;
        if rows >= TRIAL_ROWS {
            if (again as f64) < rows as f64 * AGAIN_MIN {
                self.pause.store(PAUSE_ROWS, Ordering::Relaxed);
            }
            self.rows.store(0, Ordering::Relaxed);
            self.again.store(0, Ordering::Relaxed);
        }
    }
}

/// Rows of which each text of a column is at one at least, and for each row the place of its text among
/// them.
fn first_rows(texts: &StringViewArray) -> (Vec<u32>, Vec<u32>) {
    let nulls = texts.nulls().filter(|nulls| nulls.null_count() > 0);
    let hasher = RandomState::default();
    let slot_count = (texts.len() * 2).next_power_of_two();
    // In each slot the last text of that hash, as its place and one; 0 is none.
    let mut slots = vec![0_u32; slot_count];
    let (mut rows, mut places) = (Vec::new(), Vec::with_capacity(texts.len()));
    let mut null = None;
    for (row, view) in texts.views().iter().enumerate() {
        if nulls.is_some_and(|nulls| nulls.is_null(row)) {
            places.push(*null.get_or_insert_with(|| {
                rows.push(row as u32);
                rows.len() as u32 - 1
            }));
            continue;
        }
        let text = texts.value(row);
        let slot = &mut slots[hasher.hash_one(text) as usize & (slot_count - 1)];
        let known = rows.get((*slot as usize).wrapping_sub(1)).copied();
        let is_it = known.is_some_and(|known| {
            texts.views()[known as usize] == *view || texts.value(known as usize) == text
        });
        if !is_it {
            rows.push(row as u32);
            *slot = rows.len() as u32;
        }
        places.push(*slot - 1);
    }
    (rows, places)
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.whole, f)
    }
}

impl PartialEq for Once {
    fn eq(&self, other: &Self) -> bool {
        self.whole.eq(&other.whole)
    }
}

impl Eq for Once {}

impl Hash for Once {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.whole.hash(state);
    }
}

impl fmt::Display for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.whole, f)
    }
}

impl PhysicalExpr for Once {
    fn return_field(&self, input_schema: &Schema) -> Result<FieldRef> {
        self.whole.return_field(input_schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        // A batch without columns is how DataFusion asks whether it depends on any.
        let column = batch.columns().get(self.column).filter(|_| self.pace.is_on(batch.num_rows()));
        let Some((column, texts)) =
            column.and_then(|column| Some((column, column.as_string_view_opt()?)))
        else {
            return self.whole.evaluate(batch);
        };
        let (rows, places) = first_rows(texts);
        self.pace.found(places.len(), rows.len());
        let row_count = rows.len();
        let few = take(column, &UInt32Array::from(rows), None)?;
        let few = RecordBatch::try_new(Arc::clone(&self.schema), vec![few])?;
        Ok(match self.narrow.evaluate(&few)? {
            ColumnarValue::Array(values) => {
                debug_assert_eq!(values.len(), row_count);
                ColumnarValue::Array(take(&values, &UInt32Array::from(places), None)?)
            }
            scalar => scalar,
        })
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.whole]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        // Over other columns it is made anew by whoever wants it.
        Ok(children.pop().unwrap_or(self))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.whole.fmt_sql(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::ArrayRef;
    use datafusion::arrow::datatypes::Field;
    use datafusion::common::ScalarValue;
    use datafusion::physical_expr::expressions::{binary, col, like, lit};

    fn batch(len: usize, text: impl Fn(usize) -> Option<String>) -> RecordBatch {
        let texts: ArrayRef = Arc::new(StringViewArray::from_iter((0..len).map(text)));
        let schema = Schema::new(vec![
            Field::new("row", DataType::Int64, true),
            Field::new("text", DataType::Utf8View, true),
        ]);
        let rows = Arc::new((0..len as i64).collect::<datafusion::arrow::array::Int64Array>());
        RecordBatch::try_new(Arc::new(schema), vec![rows, texts]).expect("a batch")
    }

    #[test]
    fn each_row_has_the_text_of_its_place() {
        let texts = |row: usize| {
            (!row.is_multiple_of(11)).then(|| format!("{} {}", row % 7, "long ".repeat(row % 5)))
        };
        for len in [0, 1, 64, 1000] {
            let batch = batch(len, texts);
            let column = batch.column(1).as_string_view();
            let (rows, places) = first_rows(column);
            assert_eq!(places.len(), len);
            assert!(rows.len() <= 40);
            for (row, place) in places.iter().enumerate() {
                let first = rows[*place as usize] as usize;
                assert_eq!(column.is_null(first), column.is_null(row));
                assert_eq!(column.value(first), column.value(row));
            }
        }
    }

    #[test]
    fn answers_are_those_of_every_row() {
        let few = batch(5000, |row| (row % 13 > 0).then(|| format!("{}b{}", row % 17, row % 3)));
        let many = batch(TRIAL_ROWS, |row| Some(format!("{row}b{row}")));
        let schema = few.schema();
        let pattern = lit(ScalarValue::Utf8View(Some("%1_b%2".into())));
        let text = || col("text", &schema).expect("there");
        let long = like(false, false, text(), pattern, &schema).expect("typed");
        let once = long_parts_once(&long, &schema).expect("known");
        assert!(once.is::<Once>());
        for batch in [&few, &many, &many, &few, &batch(0, |_| None)] {
            let row_count = batch.num_rows();
            let values = |expr: &Arc<dyn PhysicalExpr>| {
                expr.evaluate(batch).and_then(|value| value.into_array(row_count)).expect("values")
            };
            assert_eq!(&values(&once), &values(&long));
        }
        // What is contained or equal is found faster than a text that was there before.
        let contained = lit(ScalarValue::Utf8View(Some("%b1%".into())));
        let short = like(false, false, text(), contained, &schema).expect("typed");
        assert!(!long_parts_once(&short, &schema).expect("known").is::<Once>());
        // Of two columns there are too many pairs; the part of one is taken by itself.
        let row = binary(col("row", &schema).expect("there"), Operator::Gt, lit(7_i64), &schema);
        let both = binary(row.expect("typed"), Operator::And, long, &schema).expect("typed");
        let once = long_parts_once(&both, &schema).expect("known");
        assert!(!once.is::<Once>() && once.children()[1].is::<Once>());
    }
}
