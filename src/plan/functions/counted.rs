//! `mode`: the value that is there most often; of several the smallest. `histogram`: all values with
//! how often they are there.

use std::collections::HashMap;
use std::mem::size_of;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, MapArray, StructArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, UInt64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
};

/// `mode(x)`.
pub fn mode() -> AggregateUDF {
    counted(Ask::Mode)
}

/// `histogram(x)`: a map from values to counts, in the order of values.
pub fn histogram() -> AggregateUDF {
    counted(Ask::Histogram)
}

fn counted(ask: Ask) -> AggregateUDF {
    let signature = Signature::any(1, Volatility::Immutable);
    AggregateUDF::new_from_impl(Counted { ask, signature })
}

/// What becomes of the counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Ask {
    Mode,
    Histogram,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Counted {
    ask: Ask,
    signature: Signature,
}

/// The fields of a map from values to counts.
fn entries(value: &DataType) -> Fields {
    let value = Field::new("key", value.clone(), false);
    Fields::from(vec![value, Field::new("value", DataType::Int64, true)])
}

impl AggregateUDFImpl for Counted {
    fn name(&self) -> &str {
        match self.ask {
            Ask::Mode => "mode",
            Ask::Histogram => "histogram",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(match self.ask {
            Ask::Mode => arg_types[0].clone(),
            Ask::Histogram => {
                let entries = DataType::Struct(entries(&arg_types[0]));
                DataType::Map(Arc::new(Field::new("entries", entries, false)), false)
            }
        })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let list = |part, data_type| {
            let item = Field::new_list_field(data_type, true);
            Arc::new(Field::new_list(format_state_name(args.name, part), item, true))
        };
        let value = args.input_fields[0].data_type().clone();
        Ok(vec![list("values", value), list("counts", DataType::UInt64)])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let data_type = args.expr_fields[0].data_type().clone();
        Ok(Box::new(Counts { ask: self.ask, data_type, counts: HashMap::new() }))
    }
}

#[derive(Debug)]
struct Counts {
    ask: Ask,
    data_type: DataType,
    counts: HashMap<ScalarValue, u64>,
}

impl Counts {
    fn add(&mut self, values: &ArrayRef, count: impl Fn(usize) -> u64) -> Result<()> {
        for row in 0..values.len() {
            if values.is_valid(row) {
                // A slice of a batch would keep all of it in memory.
                let mut value = ScalarValue::try_from_array(values, row)?;
                value.compact();
                *self.counts.entry(value).or_default() += count(row);
            }
        }
        Ok(())
    }
}

impl Accumulator for Counts {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(&values[0], |_| 1)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let (values, counts) = (states[0].as_list::<i32>(), states[1].as_list::<i32>());
        for row in 0..values.len() {
            let counts = counts.value(row);
            let counts = counts.as_primitive::<UInt64Type>();
            self.add(&values.value(row), |at| counts.value(at))?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let (values, counts): (Vec<_>, Vec<_>) =
            self.counts.iter().map(|(value, count)| (value.clone(), (*count).into())).unzip();
        Ok(vec![
            ScalarValue::List(ScalarValue::new_list_nullable(&values, &self.data_type)),
            ScalarValue::List(ScalarValue::new_list_nullable(&counts, &DataType::UInt64)),
        ])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        match self.ask {
            Ask::Mode => self.most_frequent(),
            Ask::Histogram => self.all(),
        }
    }

    fn size(&self) -> usize {
        let values = self.counts.keys().map(ScalarValue::size).sum::<usize>();
        size_of::<Self>() + values + self.counts.capacity() * size_of::<u64>()
    }
}

impl Counts {
    fn most_frequent(&self) -> Result<ScalarValue> {
        let mut best: Option<(&ScalarValue, u64)> = None;
        for (value, count) in &self.counts {
            let is_better = best.is_none_or(|(best, best_count)| {
                *count > best_count
                    || *count == best_count
                        && value.partial_cmp(best).is_some_and(std::cmp::Ordering::is_lt)
            });
            if is_better {
                best = Some((value, *count));
            }
        }
        match best {
            Some((value, _)) => Ok(value.clone()),
            None => ScalarValue::try_from(&self.data_type),
        }
    }

    fn all(&self) -> Result<ScalarValue> {
        let mut sorted: Vec<_> = self.counts.iter().collect();
        sorted.sort_by(|a, b| a.0.partial_cmp(b.0).unwrap_or(std::cmp::Ordering::Equal));
        let counts: Int64Array =
            sorted.iter().map(|(_, count)| i64::try_from(**count).unwrap_or(i64::MAX)).collect();
        let fields = entries(&self.data_type);
        let field = Field::new("entries", DataType::Struct(fields.clone()), false);
        if sorted.is_empty() {
            return ScalarValue::try_from(DataType::Map(Arc::new(field), false));
        }
        let values = ScalarValue::iter_to_array(sorted.iter().map(|(value, _)| (*value).clone()))?;
        let pairs = StructArray::try_new(fields, vec![values, Arc::new(counts)], None)?;
        let offsets = OffsetBuffer::from_lengths([sorted.len()]);
        let map = MapArray::try_new(Arc::new(field), offsets, pairs, None, false)?;
        Ok(ScalarValue::Map(Arc::new(map)))
    }
}
