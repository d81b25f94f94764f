//! Which part a group falls into.
//!
//! Parts are shared among tasks as `RepartitionExec` shares rows: what is above relies on it, such as a
//! join whose other side is exchanged by that operator. Within a task, other bits of the hash decide.

use datafusion::arrow::array::ArrayRef;
use datafusion::common::hash_utils::create_hashes;
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::physical_expr::Partitioning;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::repartition::REPARTITION_RANDOM_STATE;

use super::keys::mix;

/// Where a group has to go, as its exchange says.
#[derive(Debug)]
pub(super) struct Exchange {
    /// The columns of the key in the order in which they are hashed.
    columns: Vec<usize>,
}

/// A number of parts, as many for each task.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts {
    pub(super) task_count: usize,
    pub(super) per_task: usize,
    /// Parts within parts are cut by other bits at each level.
    pub(super) level: u32,
}

impl Exchange {
    /// An exchange by keys of so many columns; none if it is not by all of them, each once.
    pub(super) fn new(partitioning: Option<&Partitioning>, key_count: usize) -> Option<Self> {
        let columns = match partitioning {
            None => (0..key_count).collect(),
            Some(Partitioning::Hash(exprs, _)) => {
                let column = |expr: &Column| expr.index();
                let columns = exprs.iter().map(|expr| expr.downcast_ref().map(column));
                columns.collect::<Option<Vec<_>>>()?
            }
            Some(_) => return None,
        };
        let mut sorted = columns.clone();
        sorted.sort_unstable();
        sorted.iter().copied().eq(0..key_count).then_some(Exchange { columns })
    }

    /// The hashes of keys: equal keys have equal ones, whichever table they are from.
    pub(super) fn hash(&self, keys: &[ArrayRef]) -> Result<Vec<u64>> {
        let columns = self.columns.iter().map(|column| keys.get(*column));
        let columns: Vec<&ArrayRef> = columns.collect::<Option<_>>().ok_or_else(|| {
            internal_datafusion_err!("an exchange by more columns than the key has")
        })?;
        let mut hashes = vec![0; columns.first().map_or(0, |column| column.len())];
        create_hashes(columns, REPARTITION_RANDOM_STATE.random_state(), &mut hashes)?;
        Ok(hashes)
    }
}

impl Parts {
    pub(super) fn count(self) -> usize {
        self.task_count * self.per_task
    }

    /// The parts of a task.
    pub(super) fn of_task(self, task: usize) -> std::ops::Range<usize> {
        task * self.per_task..(task + 1) * self.per_task
    }

    fn of(self, hash: u64) -> usize {
        let task = hash % self.task_count as u64;
        let other = mix(hash, u64::from(self.level + 1).wrapping_mul(u64::MAX / 3)) >> u32::BITS;
        let within = (other * self.per_task as u64) >> u32::BITS;
        task as usize * self.per_task + within as usize
    }

    /// Of each part the numbers of the hashes that fall into it.
    pub(super) fn deal(self, hashes: &[u64]) -> Vec<Vec<u32>> {
        let mut numbers = vec![Vec::new(); self.count()];
        for (number, hash) in hashes.iter().enumerate() {
            numbers[self.of(*hash)].push(number as u32);
        }
        numbers
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{
        AsArray, Float64Array, Int64Array, RecordBatch, StringViewArray,
    };
    use datafusion::arrow::datatypes::Int64Type;
    use datafusion::physical_expr::PhysicalExpr;
    use datafusion::physical_plan::metrics::Time;
    use datafusion::physical_plan::repartition::BatchPartitioner;

    use super::*;

    #[test]
    fn groups_go_where_an_exchange_of_rows_sends_them() {
        let numbers = 0..5_000_i64;
        let texts = numbers.clone().map(|row| (row % 7 > 0).then(|| format!("text {}", row % 900)));
        let doubles = numbers.clone().map(|row| [0.0, -0.0, f64::NAN, 2.5][row as usize % 4]);
        let columns: [(&str, ArrayRef); 3] = [
            ("number", Arc::new(Int64Array::from_iter_values(numbers))),
            ("text", Arc::new(texts.collect::<StringViewArray>())),
            ("double", Arc::new(Float64Array::from_iter_values(doubles))),
        ];
        let batch = RecordBatch::try_from_iter(columns).expect("a batch");
        for task_count in [1, 2, 3, 8, 13] {
            let by = |column: usize| {
                Arc::new(Column::new(batch.schema().field(column).name(), column)) as _
            };
            let exprs: Vec<Arc<dyn PhysicalExpr>> = vec![by(2), by(0), by(1)];
            let exchange = Partitioning::Hash(exprs, task_count);
            let ours = Exchange::new(Some(&exchange), 3).expect("by all of them");
            let hashes = ours.hash(batch.columns()).expect("hashes");
            for (per_task, level) in [(1, 0), (4, 0), (5, 3)] {
                let parts = Parts { task_count, per_task, level };
                let dealt = parts.deal(&hashes);
                let mut theirs =
                    BatchPartitioner::try_new(exchange.clone(), Time::new(), 0, 1).expect("one");
                let check = |task: usize, rows: RecordBatch| {
                    let mut found: Vec<u32> =
                        parts.of_task(task).flat_map(|part| dealt[part].clone()).collect();
                    found.sort_unstable();
                    let expected = rows.column(0).as_primitive::<Int64Type>().values();
                    assert!(found.iter().copied().map(i64::from).eq(expected.iter().copied()));
                    // And within a task, no part is much larger than another.
                    let most = parts.of_task(task).map(|part| dealt[part].len()).max();
                    assert!(most.expect("parts") < rows.num_rows() * 2 / per_task + 1);
                    Ok(())
                };
                theirs.partition(batch.clone(), check).expect("dealt");
            }
        }
    }

    #[test]
    fn an_exchange_by_other_columns_is_none_of_ours() {
        let by = |column: usize| Arc::new(Column::new("c", column)) as Arc<dyn PhysicalExpr>;
        let hash = |columns: &[usize]| {
            Partitioning::Hash(columns.iter().map(|column| by(*column)).collect(), 4)
        };
        assert!(Exchange::new(Some(&hash(&[1, 0])), 2).is_some());
        assert!(Exchange::new(None, 2).is_some());
        for columns in [&[0][..], &[0, 0], &[0, 2], &[0, 1, 2]] {
            assert!(Exchange::new(Some(&hash(columns)), 2).is_none(), "{columns:?}");
        }
        assert!(Exchange::new(Some(&Partitioning::RoundRobinBatch(2)), 0).is_none());
    }
}
