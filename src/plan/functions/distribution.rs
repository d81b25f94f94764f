//! `distribution(x)`: how the values of a column lie between the least and the greatest, as small bars.
//!
//! Up to a thousand different values are counted; more are kept as a t-digest (Dunning and Ertl,
//! Computing Extremely Accurate Quantiles Using t-Digests, 2019): then bars are approximate. One pass,
//! bounded memory.

use std::collections::HashMap;
use std::mem::size_of;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
};
use datafusion_functions_aggregate_common::tdigest::{Centroid, TDigest};

use super::texts::spark;

/// Bars.
const BAR_COUNT: usize = 12;
/// Different values that are counted one by one.
const COUNTED_MAX: usize = 1000;
/// Centroids of a digest.
const DIGEST_LEN: usize = 100;
/// The length that marks a state whose centroids are values with their counts.
const IS_COUNTED: usize = 0;
/// Halvings of an interval until a share is found well enough for a bar.
const HALVINGS: usize = 20;

/// `distribution(x)`.
pub fn distribution() -> AggregateUDF {
    let signature = Signature::exact(vec![DataType::Float64], Volatility::Immutable);
    AggregateUDF::new_from_impl(Distribution { signature })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Distribution {
    signature: Signature,
}

impl AggregateUDFImpl for Distribution {
    fn name(&self) -> &str {
        "distribution"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field = |part, data_type| {
            Arc::new(Field::new(format_state_name(args.name, part), data_type, false))
        };
        let item = Arc::new(Field::new_list_field(DataType::Float64, true));
        let [sum, count, max, min] =
            ["sum", "count", "max", "min"].map(|part| field(part, DataType::Float64));
        let (size, list) = (field("max_size", DataType::UInt64), DataType::List(item));
        Ok(vec![size, sum, count, max, min, field("centroids", list)])
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Values::Counted(HashMap::new())))
    }
}

/// What is known of the values.
#[derive(Debug)]
enum Values {
    /// By their bits.
    Counted(HashMap<u64, f64>),
    Digest(TDigest),
}

impl Values {
    fn add(&mut self, values: impl Iterator<Item = (f64, f64)>) -> Result<()> {
        let mut rest = Vec::new();
        for (value, count) in values {
            match self {
                Values::Counted(counts) => {
                    // 0.0 and -0.0 are one value.
                    *counts.entry((value + 0.0).to_bits()).or_default() += count;
                    if counts.len() > COUNTED_MAX {
                        *self = Values::Digest(digest(counts, DIGEST_LEN)?);
                    }
                }
                Values::Digest(_) => rest.push((value, count)),
            }
        }
        if let (Values::Digest(known), false) = (&mut *self, rest.is_empty()) {
            *known = match rest.iter().all(|(_, count)| *count == 1.0) {
                true => known.merge_unsorted_f64(rest.iter().map(|(value, _)| *value).collect()),
                false => {
                    let counts = rest.iter().map(|(value, count)| (value.to_bits(), *count));
                    TDigest::merge_digests([&*known, &digest(&counts.collect(), DIGEST_LEN)?])
                }
            };
        }
        Ok(())
    }
}

/// A digest of counted values.
fn digest(counts: &HashMap<u64, f64>, max_size: usize) -> Result<TDigest> {
    let mut sorted: Vec<(f64, f64)> =
        counts.iter().map(|(bits, count)| (f64::from_bits(*bits), *count)).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (low, high) = match (sorted.first(), sorted.last()) {
        (Some(low), Some(high)) => (low.0, high.0),
        _ => return Ok(TDigest::new(max_size)),
    };
    let sum = sorted.iter().map(|(value, count)| value * count).sum();
    let count = sorted.iter().map(|(_, count)| count).sum();
    let centroids = sorted.into_iter().map(|(value, count)| Centroid::new(value, count));
    TDigest::try_from_parts(max_size, sum, count, high, low, centroids.collect())
}

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = values[0].as_primitive::<Float64Type>().iter().flatten();
        self.add(values.filter(|value| value.is_finite()).map(|value| (value, 1.0)))
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for row in 0..states[0].len() {
            let parts = states.iter().map(|part| ScalarValue::try_from_array(part, row));
            let other = TDigest::from_scalar_state(&parts.collect::<Result<Vec<_>>>()?);
            if other.count() <= 0.0 {
                continue;
            }
            if other.max_size() == IS_COUNTED {
                let pairs = other.centroids().iter();
                self.add(pairs.map(|pair| (pair.mean(), pair.weight())))?;
                continue;
            }
            let known = match self {
                Values::Counted(counts) if counts.is_empty() => other,
                Values::Counted(counts) => {
                    TDigest::merge_digests([&digest(counts, DIGEST_LEN)?, &other])
                }
                Values::Digest(known) => TDigest::merge_digests([&*known, &other]),
            };
            *self = Values::Digest(known);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(match self {
            Values::Counted(counts) => digest(counts, IS_COUNTED)?.to_scalar_state(),
            Values::Digest(digest) => digest.to_scalar_state(),
        })
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Utf8(match self {
            Values::Counted(counts) => (!counts.is_empty()).then(|| counted(counts)),
            Values::Digest(digest) => Some(drawn(digest)),
        }))
    }

    fn size(&self) -> usize {
        size_of::<Self>()
            + match self {
                Values::Counted(counts) => counts.capacity() * size_of::<(u64, f64)>(),
                Values::Digest(digest) => digest.size(),
            }
    }
}

/// The bars of values that were counted.
fn counted(counts: &HashMap<u64, f64>) -> String {
    let pairs = || counts.iter().map(|(bits, count)| (f64::from_bits(*bits), *count));
    let low = pairs().map(|pair| pair.0).fold(f64::INFINITY, f64::min);
    let high = pairs().map(|pair| pair.0).fold(f64::NEG_INFINITY, f64::max);
    if low >= high {
        return bars(&[1.0]);
    }
    let mut shares = [0.0; BAR_COUNT];
    for (value, count) in pairs() {
        let at = (value - low) / (high - low) * BAR_COUNT as f64;
        shares[(at as usize).min(BAR_COUNT - 1)] += count;
    }
    bars(&shares)
}

/// Bars begin at zero; a range without values shows as a gap.
fn bars(shares: &[f64]) -> String {
    let zero = std::iter::once(Some(0.0));
    let shares = shares.iter().map(|share| (*share > 0.0).then_some(*share));
    spark(&zero.chain(shares).collect::<Vec<_>>()).chars().skip(1).collect()
}

/// The share of the values in each of some ranges of equal width.
fn drawn(digest: &TDigest) -> String {
    let (low, high) = (digest.min(), digest.max());
    if low >= high {
        return bars(&[1.0]);
    }
    let share_below = |value: f64| {
        let (mut from, mut to) = (0.0, 1.0);
        for _ in 0..HALVINGS {
            let middle = (from + to) / 2.0;
            if digest.estimate_quantile(middle) < value { from = middle } else { to = middle }
        }
        (from + to) / 2.0
    };
    let edge = |at: usize| low + (high - low) * at as f64 / BAR_COUNT as f64;
    let shares: Vec<f64> = (0..=BAR_COUNT)
        .map(|at| match at {
            0 => 0.0,
            BAR_COUNT => 1.0,
            at => share_below(edge(at)),
        })
        .collect();
    bars(&shares.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_high_as_there_are_values() {
        let shown = |values: Vec<f64>| {
            let mut all = Values::Counted(HashMap::new());
            let mut part = Values::Counted(HashMap::new());
            let (first, rest) = values.split_at(values.len() / 2);
            all.add(first.iter().map(|value| (*value, 1.0))).expect("added");
            part.add(rest.iter().map(|value| (*value, 1.0))).expect("added");
            let states = part.state().expect("a state");
            let states: Vec<_> = states.iter().map(|part| part.to_array().expect("one")).collect();
            all.merge_batch(&states).expect("merged");
            all.evaluate().expect("shown").to_string()
        };
        let even = shown((0..12_000).map(f64::from).collect());
        assert!(even.chars().all(|bar| bar >= '▇'), "{even}");
        let left = shown((0..9000).map(|n| f64::from(n).powi(3)).collect());
        assert!(left.starts_with('█') && left.ends_with('▁'), "{left}");
        assert_eq!(shown(vec![3.0; 10]), "█");
        assert_eq!(shown(vec![1.0, 2.0, 2.0, 3.0]), "▅     █    ▅");
        assert_eq!(shown((0..120).map(f64::from).collect()), "████████████");
    }
}
