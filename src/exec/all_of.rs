//! `a AND b AND c` as one filter: what is cheap is decided first, the rest only of the rows that are left.
//!
//! Conditions that cannot fail are decided by cost: comparisons of numbers, of texts, lists, patterns.
//! Those that can fail (arithmetic, casts, functions) come last, in the order written, and never see a
//! row that another condition has ruled out: `10 / x > 1 AND x <> 0` is no error where x is 0.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, BooleanArray, BooleanBufferBuilder, RecordBatch, RecordBatchOptions,
};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::compute::FilterBuilder;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::common::cast::as_boolean_array;
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::expressions::{
    BinaryExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NotExpr,
};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};
use datafusion::physical_expr_common::physical_expr::is_volatile;

use super::once::Once;
use super::over_kept;

/// Conditions that are not cheap are decided of all rows if more than this share is left.
const MOST: f64 = 0.7;

/// What it takes to decide a condition of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cost {
    /// Less than it takes to pick rows.
    Number,
    Text,
    List,
    Pattern,
    /// It may be an error.
    MayFail,
}

#[derive(Debug)]
struct Condition {
    cost: Cost,
    whole: Arc<dyn PhysicalExpr>,
    /// The same over just the columns that it needs.
    narrow: Arc<dyn PhysicalExpr>,
    columns: Vec<usize>,
    schema: SchemaRef,
}

/// A filter that is a conjunction. NULL is not true: it gives false.
#[derive(Debug)]
pub struct AllOf {
    predicate: Arc<dyn PhysicalExpr>,
    schema: SchemaRef,
    conditions: Vec<Condition>,
}

impl AllOf {
    /// A filter for batches of this schema; None if it is not a conjunction, or its result depends on
    /// how often it is asked.
    ///
    /// # Errors
    /// When a column is not of the schema.
    pub fn new(predicate: &Arc<dyn PhysicalExpr>, schema: &SchemaRef) -> Result<Option<Self>> {
        let conjuncts = split_conjunction(predicate);
        if conjuncts.len() < 2 || is_volatile(predicate) {
            return Ok(None);
        }
        let mut conditions = conjuncts
            .into_iter()
            .map(|whole| Condition::new(whole, schema))
            .collect::<Result<Vec<_>>>()?;
        conditions.sort_by_key(|condition| condition.cost);
        let (predicate, schema) = (Arc::clone(predicate), Arc::clone(schema));
        Ok(Some(AllOf { predicate, schema, conditions }))
    }
}

/// The conjunction as it was written.
pub fn written(predicate: &Arc<dyn PhysicalExpr>) -> &Arc<dyn PhysicalExpr> {
    predicate.downcast_ref::<AllOf>().map_or(predicate, |all| &all.predicate)
}

impl Condition {
    fn new(whole: &Arc<dyn PhysicalExpr>, schema: &SchemaRef) -> Result<Self> {
        let mut columns: Vec<usize> =
            collect_columns(whole).iter().map(|column| column.index()).collect();
        columns.sort_unstable();
        columns.dedup();
        let narrow_schema = Arc::new(schema.project(&columns)?);
        Ok(Condition {
            cost: cost(whole, schema),
            narrow: over_kept(whole, &columns)?,
            whole: Arc::clone(whole),
            columns,
            schema: narrow_schema,
        })
    }

    /// Which rows of a batch it holds for.
    fn of_all(&self, batch: &RecordBatch) -> Result<BooleanBuffer> {
        holds(&self.whole, batch)
    }

    /// Which of the rows that are left it holds for.
    fn of_those(&self, batch: &RecordBatch, left: &BooleanBuffer) -> Result<BooleanBuffer> {
        let mask = BooleanArray::new(left.clone(), None);
        let filter = FilterBuilder::new(&mask).optimize().build();
        let columns = self
            .columns
            .iter()
            .map(|idx| filter.filter(batch.column(*idx)))
            .collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(filter.count()));
        let picked =
            RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        let found = holds(&self.narrow, &picked)?;
        let mut bits = BooleanBufferBuilder::new(left.len());
        bits.append_n(left.len(), false);
        for (nth, row) in left.set_indices().enumerate() {
            if found.value(nth) {
                bits.set_bit(row, true);
            }
        }
        Ok(bits.finish())
    }
}

fn holds(expr: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<BooleanBuffer> {
    let found = expr.evaluate(batch)?.into_array(batch.num_rows())?;
    let found = as_boolean_array(&found)?;
    Ok(match found.nulls().filter(|nulls| nulls.null_count() > 0) {
        Some(nulls) => found.values() & nulls.inner(),
        None => found.values().clone(),
    })
}

fn cost(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Cost {
    let worst = |exprs: &[&Arc<dyn PhysicalExpr>]| {
        exprs.iter().map(|expr| cost(expr, schema)).max().unwrap_or(Cost::Number)
    };
    if let Some(once) = expr.downcast_ref::<Once>() {
        return cost(once.whole(), schema);
    }
    if expr.is::<Column>() || expr.is::<Literal>() {
        return match expr.data_type(schema) {
            Ok(data_type) if data_type.is_primitive() || data_type == DataType::Boolean => {
                Cost::Number
            }
            _ => Cost::Text,
        };
    }
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        let cost = worst(&[binary.left(), binary.right()]);
        return match binary.op() {
            Operator::And | Operator::Or => cost,
            Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom => cost,
            Operator::RegexMatch
            | Operator::RegexIMatch
            | Operator::RegexNotMatch
            | Operator::RegexNotIMatch
                if binary.right().is::<Literal>() =>
            {
                cost.max(Cost::Pattern)
            }
            _ => Cost::MayFail,
        };
    }
    if expr.is::<NotExpr>() || expr.is::<IsNullExpr>() || expr.is::<IsNotNullExpr>() {
        return worst(&expr.children());
    }
    if let Some(list) = expr.downcast_ref::<InListExpr>() {
        let literals = list.list().iter().all(|item| item.is::<Literal>());
        return if literals { worst(&[list.expr()]).max(Cost::List) } else { Cost::MayFail };
    }
    match expr.downcast_ref::<LikeExpr>() {
        Some(like) if like.pattern().is::<Literal>() => worst(&[like.expr()]).max(Cost::Pattern),
        _ => Cost::MayFail,
    }
}

impl PartialEq for AllOf {
    fn eq(&self, other: &Self) -> bool {
        self.predicate.eq(&other.predicate)
    }
}

impl Eq for AllOf {}

impl Hash for AllOf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.predicate.hash(state);
    }
}

impl fmt::Display for AllOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.predicate.fmt(f)
    }
}

impl PhysicalExpr for AllOf {
    fn data_type(&self, _input_schema: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, _input_schema: &Schema) -> Result<bool> {
        Ok(false)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let row_count = batch.num_rows();
        let mut left = BooleanBuffer::new_set(row_count);
        for condition in &self.conditions {
            let count = left.count_set_bits();
            if count == 0 {
                break;
            }
            let is_of_all = match condition.cost {
                Cost::Number => true,
                Cost::MayFail => count == row_count,
                _ => count as f64 > row_count as f64 * MOST,
            };
            left = if is_of_all {
                &left & &condition.of_all(batch)?
            } else {
                condition.of_those(batch, &left)?
            };
        }
        Ok(ColumnarValue::Array(Arc::new(BooleanArray::new(left, None))))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.predicate]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let [predicate] = &children[..] else { return Ok(self) };
        Ok(match AllOf::new(predicate, &self.schema)? {
            Some(all) => Arc::new(all),
            None => Arc::clone(predicate),
        })
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.predicate.fmt_sql(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{Int64Array, StringViewArray};
    use datafusion::arrow::datatypes::Field;
    use datafusion::common::ScalarValue;
    use datafusion::physical_expr::expressions::{binary, col, in_list, lit};

    fn batch() -> RecordBatch {
        let numbers = Int64Array::from_iter((0..100).map(|row| (row % 7 > 0).then_some(row % 10)));
        let texts = StringViewArray::from_iter(
            (0..100).map(|row| (row % 5 > 0).then(|| format!("t{}", row % 3))),
        );
        let fields = vec![
            Field::new("number", DataType::Int64, true),
            Field::new("text", DataType::Utf8View, true),
        ];
        let columns = vec![Arc::new(numbers) as _, Arc::new(texts) as _];
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("a batch")
    }

    fn rows(expr: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Vec<usize> {
        holds(expr, batch).expect("decided").set_indices().collect()
    }

    #[test]
    fn rows_are_those_of_the_plain_conjunction() {
        let batch = batch();
        let schema = batch.schema();
        let op = |left, op, right| binary(left, op, right, &schema).expect("typed");
        let number = || col("number", &schema).expect("there");
        let text = || col("text", &schema).expect("there");
        let is_t1 = op(text(), Operator::Eq, lit(ScalarValue::Utf8View(Some("t1".into()))));
        let divided = op(lit(10_i64), Operator::Divide, number());
        let listed = in_list(number(), vec![lit(1_i64), lit(4_i64), lit(0_i64)], &false, &schema)
            .expect("typed");
        let large = op(number(), Operator::Gt, lit(3_i64));
        let plain = op(op(is_t1.clone(), Operator::And, listed), Operator::And, large);
        let all: Arc<dyn PhysicalExpr> =
            Arc::new(AllOf::new(&plain, &schema).expect("known").expect("a conjunction"));
        assert_eq!(rows(&all, &batch), rows(&plain, &batch));
        assert!(!rows(&all, &batch).is_empty());
        // What can fail is asked last, of those that are left.
        let risky = op(divided, Operator::Gt, lit(1_i64));
        let above = op(number(), Operator::Gt, lit(0_i64));
        let plain = op(op(risky, Operator::And, above), Operator::And, is_t1);
        assert!(plain.evaluate(&batch).is_err());
        let all: Arc<dyn PhysicalExpr> =
            Arc::new(AllOf::new(&plain, &schema).expect("known").expect("a conjunction"));
        assert!(!rows(&all, &batch).is_empty());
    }
}
