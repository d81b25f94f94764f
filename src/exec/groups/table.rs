//! Groups with what their aggregates have added up so far.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{concat, take};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::cast::as_boolean_array;
use datafusion::common::{Result, internal_err};
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use futures::StreamExt;
use futures::stream::BoxStream;

use super::keys::Keys;
use super::parts::Exchange;
use crate::exec::once::long_parts_once;

/// A table that is smaller is not worth a place on disk.
const SMALL_BYTES: usize = 1 << 18;

/// What an aggregation is: its keys, and for each aggregate its arguments and which rows it takes.
#[derive(Debug)]
pub(super) struct Ask {
    keys: Vec<Arc<dyn PhysicalExpr>>,
    aggregates: Vec<Arc<AggregateFunctionExpr>>,
    arguments: Vec<Vec<Arc<dyn PhysicalExpr>>>,
    filters: Vec<Option<Arc<dyn PhysicalExpr>>>,
    /// Keys and states.
    states: SchemaRef,
    exchange: Exchange,
    has_texts: bool,
}

/// Groups of a table that has grown to its end, with the states of their aggregates.
#[derive(Debug)]
pub(super) struct States {
    keys: Keys,
    columns: Vec<ArrayRef>,
    _held: Held,
}

/// A batch of rows as an aggregation looks at it.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    keys: Vec<ArrayRef>,
    arguments: Vec<Vec<ArrayRef>>,
    filters: Vec<Option<BooleanArray>>,
}

/// A hash table of groups.
pub(super) struct Groups {
    keys: Keys,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
    /// How many columns the state of each aggregate has.
    state_widths: Vec<usize>,
    key_count: usize,
    row_groups: Vec<usize>,
    /// The states or values of aggregates, once all rows are in.
    finished: Vec<ArrayRef>,
}

impl Ask {
    /// What a partial aggregate asks, with an exchange by its keys.
    pub(super) fn new(partial: &AggregateExec, exchange: Exchange) -> Self {
        let input = partial.input().schema();
        let once = |expr: &Arc<dyn PhysicalExpr>| {
            long_parts_once(expr, &input).unwrap_or_else(|_| Arc::clone(expr))
        };
        let keys = partial.group_expr().expr().iter().map(|(key, _)| once(key)).collect();
        let aggregates = partial.aggr_expr().to_vec();
        let arguments: Vec<Vec<_>> = aggregates
            .iter()
            .map(|aggregate| aggregate.expressions().iter().map(once).collect())
            .collect();
        let filters = partial.filter_expr().iter();
        let filters = filters.map(|filter| filter.as_ref().map(once)).collect();
        let is_fixed = |expr: &Arc<dyn PhysicalExpr>| {
            expr.data_type(&input).is_ok_and(|data_type| data_type.is_primitive())
        };
        let states = partial.schema();
        let has_texts = !arguments.iter().flatten().all(is_fixed)
            || !states.fields().iter().all(|field| field.data_type().is_primitive());
        Ask { keys, arguments, aggregates, filters, states, exchange, has_texts }
    }

    /// Evaluates keys and arguments.
    pub(super) fn look_at(&self, batch: &RecordBatch) -> Result<Rows> {
        let evaluate =
            |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(batch)?.into_array(batch.num_rows());
        let many = |exprs: &Vec<Arc<dyn PhysicalExpr>>| exprs.iter().map(evaluate).collect();
        let filters = self.filters.iter().map(|filter| {
            let Some(filter) = filter else { return Ok(None) };
            Ok(Some(as_boolean_array(&evaluate(filter)?)?.clone()))
        });
        Ok(Rows {
            keys: many(&self.keys)?,
            filters: filters.collect::<Result<_>>()?,
            arguments: self.arguments.iter().map(many).collect::<Result<_>>()?,
        })
    }

    /// Whether there are texts or the like among keys, arguments and states.
    pub(super) fn has_texts(&self) -> bool {
        self.has_texts
    }

    /// The hashes of the keys of rows.
    pub(super) fn hashes(&self, rows: &Rows) -> Result<Vec<u64>> {
        self.exchange.hash(&rows.keys)
    }

    /// An empty table.
    pub(super) fn groups(&self) -> Result<Groups> {
        let key_count = self.keys.len();
        let types = self.states.fields()[..key_count].iter();
        let types: Vec<_> = types.map(|field| field.data_type().clone()).collect();
        let widths = self.aggregates.iter().map(|one| Ok(one.state_fields()?.len()));
        let accumulators = self.aggregates.iter().map(|one| one.create_groups_accumulator());
        Ok(Groups {
            keys: Keys::new(&types)?,
            accumulators: accumulators.collect::<Result<_>>()?,
            state_widths: widths.collect::<Result<_>>()?,
            key_count,
            row_groups: Vec::new(),
            finished: Vec::new(),
        })
    }

    /// What states look like: keys, and what there is of each aggregate.
    pub(super) fn states(&self) -> &SchemaRef {
        &self.states
    }
}

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.keys.first().map_or(0, |key| key.len())
    }

    /// Many batches as one.
    pub(super) fn concat(batches: &[Rows]) -> Result<Rows> {
        let [first, rest @ ..] = batches else { return internal_err!("no rows to add up") };
        if rest.is_empty() {
            return Ok(first.clone());
        }
        let column = |of: &dyn Fn(&Rows) -> &ArrayRef| -> Result<ArrayRef> {
            let parts: Vec<&dyn Array> = batches.iter().map(|rows| of(rows).as_ref()).collect();
            Ok(concat(&parts)?)
        };
        let keys = (0..first.keys.len()).map(|key| column(&|rows| &rows.keys[key]));
        let arguments = first.arguments.iter().enumerate().map(|(aggregate, arguments)| {
            let arguments = 0..arguments.len();
            arguments.map(|at| column(&|rows| &rows.arguments[aggregate][at])).collect()
        });
        let filters = first.filters.iter().enumerate().map(|(aggregate, filter)| {
            let parts = batches.iter().filter_map(|rows| rows.filters[aggregate].as_ref());
            let parts: Vec<&dyn Array> = parts.map(|filter| filter as &dyn Array).collect();
            let Some(_) = filter else { return Ok(None) };
            Ok(Some(as_boolean_array(&concat(&parts)?)?.clone()))
        });
        Ok(Rows {
            keys: keys.collect::<Result<_>>()?,
            arguments: arguments.collect::<Result<_>>()?,
            filters: filters.collect::<Result<_>>()?,
        })
    }

    /// The rows of these numbers.
    pub(super) fn pick(&self, ask: &Ask, numbers: &UInt32Array) -> Result<Rows> {
        let pick = |column: &ArrayRef| Ok(take(column, numbers, None)?);
        let pick_argument = |(column, expr): (&ArrayRef, &Arc<dyn PhysicalExpr>)| {
            // A constant is the same in all rows.
            if expr.is::<Literal>() { Ok(column.slice(0, numbers.len())) } else { pick(column) }
        };
        let filters = self.filters.iter().map(|filter| {
            let Some(filter) = filter else { return Ok(None) };
            Ok(Some(as_boolean_array(&take(filter, numbers, None)?)?.clone()))
        });
        let arguments = self.arguments.iter().zip(&ask.arguments);
        let arguments = arguments
            .map(|(columns, exprs)| columns.iter().zip(exprs).map(pick_argument).collect());
        Ok(Rows {
            keys: self.keys.iter().map(pick).collect::<Result<_>>()?,
            filters: filters.collect::<Result<_>>()?,
            arguments: arguments.collect::<Result<_>>()?,
        })
    }
}

impl States {
    /// The hash of each group's key.
    pub(super) fn hashes(&self, ask: &Ask) -> Result<Vec<u64>> {
        self.keys.hashes(&ask.exchange)
    }

    /// Some groups.
    pub(super) fn pick(&self, groups: &UInt32Array) -> Result<Vec<ArrayRef>> {
        picked(&self.keys, &self.columns, groups)
    }
}

fn picked(keys: &Keys, columns: &[ArrayRef], groups: &UInt32Array) -> Result<Vec<ArrayRef>> {
    let mut picked = keys.pick(groups)?;
    for column in columns {
        picked.push(take(column, groups, None)?);
    }
    Ok(picked)
}

impl Groups {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Bytes that are held.
    pub(super) fn size(&self) -> usize {
        let accumulators = self.accumulators.iter().map(|one| one.size()).sum::<usize>();
        self.keys.size() + accumulators + self.row_groups.capacity() * size_of::<usize>()
    }

    /// Adds rows.
    pub(super) fn update(&mut self, rows: &Rows) -> Result<()> {
        self.keys.intern(&rows.keys, &mut self.row_groups)?;
        let each = self.accumulators.iter_mut().zip(&rows.arguments).zip(&rows.filters);
        for ((accumulator, arguments), filter) in each {
            let (groups, count) = (&self.row_groups, self.keys.len());
            accumulator.update_batch(arguments, groups, filter.as_ref(), count)?;
        }
        Ok(())
    }

    /// Adds what other tables have added up.
    pub(super) fn merge(&mut self, states: &[ArrayRef]) -> Result<()> {
        let (keys, mut rest) = states.split_at(self.key_count);
        self.keys.intern(keys, &mut self.row_groups)?;
        for (accumulator, width) in self.accumulators.iter_mut().zip(&self.state_widths) {
            let (own, others) = rest.split_at(*width);
            accumulator.merge_batch(own, &self.row_groups, self.keys.len())?;
            rest = others;
        }
        Ok(())
    }

    /// Ends the growth of the table: its groups can now be picked with their states.
    pub(super) fn finish_states(&mut self) -> Result<()> {
        self.keys.finish();
        for accumulator in &mut self.accumulators {
            self.finished.extend(accumulator.state(EmitTo::All)?);
        }
        Ok(())
    }

    /// Ends the growth of the table: its groups can now be picked with the values of their aggregates.
    pub(super) fn finish_values(&mut self) -> Result<()> {
        self.keys.finish();
        for accumulator in &mut self.accumulators {
            self.finished.push(accumulator.evaluate(EmitTo::All)?);
        }
        Ok(())
    }

    /// The hash of each group's key, of a table that has grown to its end.
    pub(super) fn hashes(&self, ask: &Ask) -> Result<Vec<u64>> {
        self.keys.hashes(&ask.exchange)
    }

    /// Some groups of a table that has grown to its end.
    pub(super) fn pick(&self, groups: &UInt32Array) -> Result<Vec<ArrayRef>> {
        picked(&self.keys, &self.finished, groups)
    }

    /// All groups of a table that has grown to its end, in batches of at most so many rows.
    pub(super) fn batches(
        self,
        schema: SchemaRef,
        len: usize,
    ) -> impl Iterator<Item = Result<RecordBatch>> {
        (0..self.len()).step_by(len.max(1)).map(move |start| {
            let end = self.len().min(start + len);
            let groups = UInt32Array::from_iter_values(start as u32..end as u32);
            let mut columns = self.keys.pick(&groups)?;
            columns.extend(self.finished.iter().map(|column| column.slice(start, end - start)));
            Ok(RecordBatch::try_new(Arc::clone(&schema), columns)?)
        })
    }

    /// Forgets all groups; the table can grow again.
    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.finished.clear();
    }
}

/// The memory of one table among those that are booked together.
#[derive(Debug)]
struct Held {
    all: Arc<MemoryReservation>,
    bytes: usize,
}

impl Held {
    fn new(all: &Arc<MemoryReservation>) -> Self {
        Held { all: Arc::clone(all), bytes: 0 }
    }

    /// Books what a table holds now; false if there is too little memory.
    fn set(&mut self, bytes: usize) -> bool {
        if bytes > self.bytes && self.all.try_grow(bytes - self.bytes).is_err() {
            return false;
        }
        self.all.shrink(self.bytes.saturating_sub(bytes));
        self.bytes = bytes;
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.shrink(self.bytes);
    }
}

/// A table with its memory.
pub(super) struct Table {
    pub(super) groups: Groups,
    held: Held,
}

impl Table {
    pub(super) fn new(ask: &Ask, all: &Arc<MemoryReservation>) -> Result<Self> {
        Ok(Table { groups: ask.groups()?, held: Held::new(all) })
    }

    /// Books what it holds now; false if there is too little memory, and it is worth a word.
    pub(super) fn book(&mut self) -> bool {
        let size = self.groups.size();
        self.held.set(size) || size < SMALL_BYTES
    }

    /// Ends the growth of the table, with the states of its aggregates.
    pub(super) fn into_states(self) -> Result<States> {
        let Table { mut groups, held } = self;
        groups.finish_states()?;
        Ok(States { keys: groups.keys, columns: groups.finished, _held: held })
    }

    /// The groups with the values of their aggregates; what is booked is held until the last has gone.
    pub(super) fn values(
        self,
        schema: &SchemaRef,
        batch_size: usize,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let Table { mut groups, held } = self;
        groups.finish_values()?;
        let batches = groups.batches(Arc::clone(schema), batch_size).inspect(move |_| {
            let _booked = &held;
        });
        Ok(futures::stream::iter(batches).boxed())
    }
}
