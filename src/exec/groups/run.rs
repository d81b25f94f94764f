//! A run of an aggregation: tasks that fill tables of their own, and tables that all of them share.
//!
//! A task adds rows to its own table while that makes fewer of them. What it holds goes into the shared
//! tables when the input ends, or whenever the table is full and its groups do not come again. Where
//! hardly two rows share a group, rows go into the shared tables as they are.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::arrow::array::{RecordBatch, UInt32Array};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::metrics::BaselineMetrics;
use futures::TryStreamExt;

use super::keys::Keys;
use super::table::{Ask, Groups, Rows, TakenGroups};

/// Shared tables for each task of the reduce side: more of them are smaller, and waited for less.
const PARTS_PER_TASK: usize = 4;
/// With so many groups a task first looks at whether they come again ...
const GROUPS_FIRST: usize = 1 << 15;
/// ... and with so many more each time.
const GROUPS_FACTOR: usize = 4;
/// Groups come again if the rows for each new one have become so many times as many.
const AGAIN_MIN: f64 = 1.25;
/// Fewer rows for a group than this, and a table of the task's own is of no use ...
const ROWS_PER_GROUP_MIN: f64 = 1.5;
/// ... for so many rows.
const ROWS_PASSED: usize = 1 << 20;

/// The memory of one table among those that are booked together.
#[derive(Debug)]
pub(super) struct Held {
    all: Arc<MemoryReservation>,
    bytes: usize,
}

impl Held {
    pub(super) fn new(all: &Arc<MemoryReservation>) -> Self {
        Held { all: Arc::clone(all), bytes: 0 }
    }

    /// Books what a table holds now; false if there is too little memory.
    pub(super) fn set(&mut self, bytes: usize) -> bool {
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
    pub(super) held: Held,
}

impl Table {
    pub(super) fn new(ask: &Ask, all: &Arc<MemoryReservation>) -> Result<Self> {
        Ok(Table { groups: ask.groups()?, held: Held::new(all) })
    }

    /// Books what it holds now; false if there is too little memory.
    pub(super) fn book(&mut self) -> bool {
        self.held.set(self.groups.size())
    }
}

/// What all tasks share.
pub(super) struct Run {
    pub(super) ask: Arc<Ask>,
    parts: Vec<Mutex<Table>>,
    memory: Arc<MemoryReservation>,
    /// There is too little memory: tasks stop where they are.
    is_short: AtomicBool,
}

/// What a task leaves behind when memory is short.
pub(super) struct Left {
    pub(super) table: Table,
    /// What it has not read yet.
    pub(super) input: SendableRecordBatchStream,
}

/// How the own table of a task has done.
struct Trial {
    /// With so many groups the next decision is due.
    due: usize,
    rows: usize,
    groups: usize,
    rows_per_group: f64,
}

/// What becomes of a table that has as many groups as are due.
enum Verdict {
    Grow,
    Empty,
    /// It is of no use.
    Pass,
}

impl Trial {
    fn new() -> Self {
        Trial { due: GROUPS_FIRST, rows: 0, groups: 0, rows_per_group: 0.0 }
    }

    fn verdict(&mut self, group_count: usize) -> Verdict {
        let rows_per_group = self.rows as f64 / (group_count - self.groups) as f64;
        let is_first = self.groups == 0;
        if is_first || rows_per_group >= AGAIN_MIN * self.rows_per_group {
            let due = group_count * GROUPS_FACTOR;
            *self = Trial { due, rows: 0, groups: group_count, rows_per_group };
            return Verdict::Grow;
        }
        let verdict =
            if rows_per_group < ROWS_PER_GROUP_MIN { Verdict::Pass } else { Verdict::Empty };
        *self = Trial::new();
        verdict
    }
}

fn locked(part: &Mutex<Table>) -> MutexGuard<'_, Table> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Run {
    /// A run for so many tasks of the reduce side.
    pub(super) fn new(ask: Arc<Ask>, into: usize, memory: Arc<MemoryReservation>) -> Result<Self> {
        let parts = (0..into * PARTS_PER_TASK)
            .map(|_| Ok(Mutex::new(Table::new(&ask, &memory)?)))
            .collect::<Result<_>>()?;
        Ok(Run { ask, parts, memory, is_short: AtomicBool::new(false) })
    }

    pub(super) fn is_short(&self) -> bool {
        self.is_short.load(Ordering::Relaxed)
    }

    fn note(&self, has_room: bool) {
        if !has_room {
            self.is_short.store(true, Ordering::Relaxed);
        }
    }

    /// Does the work of a task of the map side; what it leaves behind if memory is short.
    pub(super) async fn drive(
        &self,
        task: usize,
        mut input: SendableRecordBatchStream,
        metrics: BaselineMetrics,
    ) -> Result<Option<Left>> {
        let mut table = Table::new(&self.ask, &self.memory)?;
        let mut trial = Trial::new();
        let mut to_pass = 0;
        while let Some(batch) = input.try_next().await? {
            let _timer = metrics.elapsed_compute().timer();
            let rows = self.ask.look_at(&batch)?;
            if to_pass > 0 {
                to_pass = usize::saturating_sub(to_pass, rows.len());
                self.pass(task, &rows)?;
                metrics.record_output(rows.len());
            } else {
                table.groups.update(&rows)?;
                self.note(table.book());
                trial.rows += rows.len();
                if table.groups.len() >= trial.due {
                    match trial.verdict(table.groups.len()) {
                        Verdict::Grow => {}
                        Verdict::Empty => metrics.record_output(self.give(task, &mut table)?),
                        Verdict::Pass => {
                            metrics.record_output(self.give(task, &mut table)?);
                            to_pass = ROWS_PASSED;
                        }
                    }
                }
            }
            if self.is_short() {
                return Ok(Some(Left { table, input }));
            }
        }
        let _timer = metrics.elapsed_compute().timer();
        metrics.record_output(self.give(task, &mut table)?);
        Ok(None)
    }

    /// Empties a task's own table into the shared ones.
    fn give(&self, task: usize, table: &mut Table) -> Result<usize> {
        let groups = table.groups.take_states()?;
        self.each_part(task, &groups.hashes()?, |part, numbers| {
            part.merge(&groups.pick(numbers)?)
        })?;
        let count = groups.len();
        drop(groups);
        self.note(table.book());
        Ok(count)
    }

    /// Adds rows to the shared tables.
    fn pass(&self, task: usize, rows: &Rows) -> Result<()> {
        let hashes = Keys::hash(&rows.keys)?;
        self.each_part(task, &hashes, |groups, numbers| {
            groups.update(&rows.pick(&self.ask, numbers)?)
        })
    }

    /// Calls `add` with each shared table and the numbers of the hashes that belong to it.
    fn each_part(
        &self,
        task: usize,
        hashes: &[u64],
        add: impl Fn(&mut Groups, &UInt32Array) -> Result<()>,
    ) -> Result<()> {
        let part_count = self.parts.len();
        let mut numbers: Vec<Vec<u32>> = vec![Vec::new(); part_count];
        for (number, hash) in hashes.iter().enumerate() {
            // The first bits say where in a table a key is, the last ones in which table.
            let part = (u64::from(*hash as u32) * part_count as u64) >> u32::BITS;
            numbers[part as usize].push(number as u32);
        }
        // Each task begins elsewhere, so that none waits for another.
        for part in (0..part_count).map(|idx| (idx + task * PARTS_PER_TASK) % part_count) {
            let numbers = UInt32Array::from(std::mem::take(&mut numbers[part]));
            if numbers.is_empty() {
                continue;
            }
            let mut table = locked(&self.parts[part]);
            add(&mut table.groups, &numbers)?;
            self.note(table.book());
        }
        Ok(())
    }

    /// The tables of a task of the reduce side.
    fn parts_of(&self, task: usize) -> &[Mutex<Table>] {
        &self.parts[task * PARTS_PER_TASK..(task + 1) * PARTS_PER_TASK]
    }

    /// The groups of a task of the reduce side, one table after the other; few of them as one batch.
    pub(super) fn answers(
        self: Arc<Self>,
        task: usize,
        schema: SchemaRef,
        batch_size: usize,
    ) -> impl Iterator<Item = Result<RecordBatch>> {
        let count: usize = self.parts_of(task).iter().map(|part| locked(part).groups.len()).sum();
        let whole = Arc::clone(&schema);
        let batches = (0..PARTS_PER_TASK).flat_map(move |part| {
            let taken = locked(&self.parts_of(task)[part]).groups.take_values();
            let (taken, failed) = match taken {
                Ok(taken) => (Some(taken.batches(Arc::clone(&schema), batch_size)), None),
                Err(error) => (None, Some(Err(error))),
            };
            taken.into_iter().flatten().chain(failed)
        });
        let (together, apart) = match count <= batch_size {
            true => {
                let together = batches
                    .collect::<Result<Vec<_>>>()
                    .and_then(|batches| Ok(concat_batches(&whole, &batches)?));
                (Some(together), None)
            }
            false => (None, Some(batches)),
        };
        together.into_iter().chain(apart.into_iter().flatten())
    }

    /// All shared tables with what they hold.
    pub(super) fn take_parts(&self) -> Result<Vec<(TakenGroups, Held)>> {
        let take = |part: &Mutex<Table>| {
            let mut table = locked(part);
            let groups = table.groups.take_states()?;
            let held = std::mem::replace(&mut table.held, Held::new(&self.memory));
            Ok((groups, held))
        };
        self.parts.iter().map(take).collect()
    }
}
