//! A run of an aggregation: tasks that fill tables of their own, and tables that all of them share.
//!
//! A task adds rows to its own table while that makes fewer of them. What it holds goes into the shared
//! tables whenever the table is full and its groups do not come again. Where hardly two rows share a
//! group, rows go into the shared tables as they are. What a task holds when its input ends is left to
//! the reduce side: all tasks of that share the work, also if one of the map side has had most rows.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use datafusion::arrow::array::{RecordBatch, UInt32Array};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{Result, internal_err};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::metrics::BaselineMetrics;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};

use super::disk::{self, Disk, Way};
use super::parts::Parts;
use super::table::{Groups, Rows, States, Table};

/// Shared tables, about: so many that each is hardly larger than the processor's cache if there are a
/// million groups.
const PARTS: usize = 32;
/// With texts, tables are larger, and rows cost more to share out.
const PARTS_OF_TEXTS: usize = 8;
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
/// So many rows without texts are shared out at once: each table gets some thousand of them.
const ROWS_AT_ONCE: usize = 1 << 17;

/// After so long a task lets others have the thread, and can be stopped.
const POLLED_MAX: Duration = Duration::from_millis(10);

/// Keeps a task from holding its thread for long.
pub(super) struct Pace(Instant);

impl Pace {
    pub(super) fn new() -> Self {
        Pace(Instant::now())
    }

    pub(super) async fn rest(&mut self) {
        if self.0.elapsed() > POLLED_MAX {
            tokio::task::yield_now().await;
            self.0 = Instant::now();
        }
    }
}

/// What all tasks share.
pub(super) struct Run {
    way: Arc<Way>,
    /// So many rows are shared out at once.
    at_once: usize,
    parts: Parts,
    /// A table for each part, until it is taken.
    tables: Vec<Part>,
    /// What tasks that have come to their end have left.
    left: Mutex<Vec<Arc<Left>>>,
    /// There is too little memory: groups go to disk.
    is_short: AtomicBool,
    disk: Mutex<Option<Disk>>,
}

/// The last groups of a task of the map side.
pub(super) struct Left {
    groups: States,
    /// Their numbers by parts.
    numbers: Vec<Vec<u32>>,
}

/// What the tasks of the reduce side begin with, once those of the map side have ended.
pub(super) enum Done {
    /// In the shared tables, and in what tasks have left.
    InMemory(Vec<Arc<Left>>),
    /// All groups are on disk: the parts of each task, until they are taken.
    OnDisk(Vec<Mutex<Vec<disk::Part>>>),
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
#[derive(PartialEq, Eq)]
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

type Part = Mutex<Option<Table>>;

fn locked(part: &Part) -> MutexGuard<'_, Option<Table>> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The table, if no one is at it.
fn free(part: &Part) -> Option<MutexGuard<'_, Option<Table>>> {
    match part.try_lock() {
        Ok(table) => Some(table),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

fn take_table(part: &Part) -> Result<Table> {
    match locked(part).take() {
        Some(table) => Ok(table),
        None => internal_err!("groups were asked for twice"),
    }
}

impl Run {
    /// A run for so many tasks of the reduce side.
    pub(super) fn new(way: Arc<Way>, into: usize) -> Result<Self> {
        let per_task = if way.ask.has_texts() { PARTS_OF_TEXTS } else { PARTS }.div_ceil(into);
        let parts = Parts { task_count: into, per_task, level: 0 };
        let tables = (0..parts.count())
            .map(|_| Ok(Mutex::new(Some(Table::new(&way.ask, &way.memory)?))))
            .collect::<Result<_>>()?;
        let at_once = if way.ask.has_texts() { 1 } else { ROWS_AT_ONCE };
        Ok(Run {
            way,
            at_once,
            parts,
            tables,
            left: Mutex::default(),
            is_short: AtomicBool::new(false),
            disk: Mutex::new(None),
        })
    }

    fn is_short(&self) -> bool {
        self.is_short.load(Ordering::Relaxed)
    }

    fn note(&self, has_room: bool) {
        if !has_room {
            self.is_short.store(true, Ordering::Relaxed);
        }
    }

    /// Does the work of a task of the map side.
    pub(super) async fn drive(
        &self,
        task: usize,
        mut input: SendableRecordBatchStream,
        metrics: BaselineMetrics,
    ) -> Result<()> {
        let mut table = Table::new(&self.way.ask, &self.way.memory)?;
        let mut trial = Trial::new();
        let mut to_pass = 0;
        let mut passed = Vec::new();
        let mut pace = Pace::new();
        while let Some(batch) = input.try_next().await? {
            pace.rest().await;
            let _timer = metrics.elapsed_compute().timer();
            let rows = self.way.ask.look_at(&batch)?;
            if self.is_short() {
                self.pass(task, &mut passed, &mut pace).await?;
                table.groups.update(&rows)?;
                if !table.book() {
                    metrics.record_output(self.spill(&mut table)?);
                }
                continue;
            }
            if to_pass > 0 {
                to_pass = usize::saturating_sub(to_pass, rows.len());
                metrics.record_output(rows.len());
                passed.push(rows);
                let held: usize = passed.iter().map(Rows::len).sum();
                if to_pass == 0 || held >= self.at_once {
                    self.pass(task, &mut passed, &mut pace).await?;
                }
            } else {
                table.groups.update(&rows)?;
                self.note(table.book());
                trial.rows += rows.len();
                if table.groups.len() >= trial.due {
                    let verdict = trial.verdict(table.groups.len());
                    if verdict != Verdict::Grow {
                        metrics.record_output(self.give(task, &mut table, &mut pace).await?);
                    }
                    if verdict == Verdict::Pass {
                        to_pass = ROWS_PASSED;
                    }
                }
            }
            if self.is_short() {
                metrics.record_output(self.spill(&mut table)?);
                self.spill_parts()?;
            }
        }
        let _timer = metrics.elapsed_compute().timer();
        self.pass(task, &mut passed, &mut pace).await?;
        let count = match self.is_short() {
            true => self.spill(&mut table)?,
            false => self.leave(table)?,
        };
        metrics.record_output(count);
        Ok(())
    }

    /// Leaves the groups of a table to the reduce side.
    fn leave(&self, table: Table) -> Result<usize> {
        let count = table.groups.len();
        if count > 0 {
            let groups = table.into_states()?;
            let numbers = self.parts.deal(&groups.hashes(&self.way.ask)?);
            let left = Arc::new(Left { groups, numbers });
            self.left.lock().unwrap_or_else(PoisonError::into_inner).push(left);
        }
        Ok(count)
    }

    /// Writes a table to disk.
    fn spill(&self, table: &mut Table) -> Result<usize> {
        let count = table.groups.len();
        self.on_disk(|disk| disk.put(table, &self.way))?;
        Ok(count)
    }

    fn on_disk(&self, write: impl FnOnce(&mut Disk) -> Result<()>) -> Result<()> {
        let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        write(disk.get_or_insert_with(|| Disk::new(self.parts.task_count)))
    }

    fn take_left(&self) -> Vec<Arc<Left>> {
        std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes to disk what tasks share and have left; those that have not noticed yet may add to it.
    fn spill_parts(&self) -> Result<()> {
        for left in self.take_left() {
            self.on_disk(|disk| disk.write(&left.groups, &self.way))?;
        }
        for part in &self.tables {
            if let Some(table) = locked(part).as_mut() {
                self.spill(table)?;
            }
        }
        Ok(())
    }

    /// Where all groups are, once all tasks of the map side have ended.
    pub(super) fn done(&self) -> Result<Done> {
        if !self.is_short() {
            return Ok(Done::InMemory(self.take_left()));
        }
        self.spill_parts()?;
        let disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(disk) = disk else { return internal_err!("groups are nowhere") };
        Ok(Done::OnDisk(disk.finish_tasks().into_iter().map(Mutex::new).collect()))
    }

    /// Empties a task's own table into the shared ones.
    async fn give(&self, task: usize, table: &mut Table, pace: &mut Pace) -> Result<usize> {
        let groups = &mut table.groups;
        groups.finish_states()?;
        let count = groups.len();
        let hashes = groups.hashes(&self.way.ask)?;
        let own = &mut *groups;
        let merge = move |part: &mut Groups, numbers: &UInt32Array| part.merge(&own.pick(numbers)?);
        self.each_part(task, &hashes, pace, merge).await?;
        groups.clear();
        self.note(table.book());
        Ok(count)
    }

    /// Adds rows to the shared tables.
    async fn pass(&self, task: usize, rows: &mut Vec<Rows>, pace: &mut Pace) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let rows = &Rows::concat(&std::mem::take(rows))?;
        let update = |groups: &mut Groups, numbers: &UInt32Array| {
            groups.update(&rows.pick(&self.way.ask, numbers)?)
        };
        self.each_part(task, &self.way.ask.hashes(rows)?, pace, update).await
    }

    /// Calls `add` with each shared table and the numbers of the hashes that belong to it.
    async fn each_part(
        &self,
        task: usize,
        hashes: &[u64],
        pace: &mut Pace,
        add: impl Fn(&mut Groups, &UInt32Array) -> Result<()>,
    ) -> Result<()> {
        let part_count = self.parts.count();
        let mut numbers = self.parts.deal(hashes);
        // Each task begins elsewhere, and comes back later to what another one is at.
        let mut to_do: Vec<usize> =
            (0..part_count).map(|idx| (idx + task * self.parts.per_task) % part_count).collect();
        let mut waits = false;
        while !to_do.is_empty() {
            let count = to_do.len();
            for part in std::mem::take(&mut to_do) {
                pace.rest().await;
                let table =
                    if waits { Some(locked(&self.tables[part])) } else { free(&self.tables[part]) };
                let Some(mut table) = table else {
                    to_do.push(part);
                    continue;
                };
                let Some(table) = table.as_mut() else {
                    return internal_err!("groups came too late");
                };
                let numbers = UInt32Array::from(std::mem::take(&mut numbers[part]));
                if !numbers.is_empty() {
                    add(&mut table.groups, &numbers)?;
                    self.note(table.book());
                }
            }
            waits = to_do.len() == count;
        }
        Ok(())
    }

    /// The groups of a task of the reduce side, one table after the other; few of them as one batch.
    pub(super) fn answers(
        self: &Arc<Self>,
        done: &Done,
        task: usize,
        schema: &SchemaRef,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let (way, batch_size) = (Arc::clone(&self.way), self.way.batch_size);
        let left = match done {
            Done::InMemory(left) => left.clone(),
            Done::OnDisk(parts) => {
                let mut parts = parts[task].lock().unwrap_or_else(PoisonError::into_inner);
                return Ok(disk::answers(std::mem::take(&mut *parts), way, Arc::clone(schema)));
            }
        };
        let parts = self.parts.of_task(task);
        let known =
            |part: usize| locked(&self.tables[part]).as_ref().map_or(0, |table| table.groups.len());
        let of_left = |part: usize| left.iter().map(|left| left.numbers[part].len()).sum::<usize>();
        let count: usize = parts.clone().map(|part| known(part) + of_left(part)).sum();
        let (run, shared) = (Arc::clone(self), Arc::clone(schema));
        let values = move |part: usize| {
            let (table, disk) = run.merged(part, &left)?;
            match disk {
                None => table.values(&shared, batch_size),
                Some(disk) => {
                    Ok(disk::answers(disk.finish(), Arc::clone(&way), Arc::clone(&shared)))
                }
            }
        };
        let batches = futures::stream::iter(parts.map(values)).try_flatten();
        if count > batch_size {
            return Ok(batches.boxed());
        }
        let shared = Arc::clone(schema);
        let one = async move {
            let batches: Vec<RecordBatch> = batches.try_collect().await?;
            Ok(concat_batches(&shared, &batches)?)
        };
        Ok(futures::stream::once(one).boxed())
    }

    /// A shared table with what tasks have left of its part; in parts on disk if it does not fit.
    fn merged(&self, part: usize, left: &[Arc<Left>]) -> Result<(Table, Option<Disk>)> {
        let mut table = take_table(&self.tables[part])?;
        let mut disk: Option<Disk> = None;
        for left in left {
            for numbers in left.numbers[part].chunks(self.way.batch_size.max(1)) {
                table.groups.merge(&left.groups.pick(&UInt32Array::from(numbers.to_vec()))?)?;
                if !table.book() {
                    disk.get_or_insert_with(Disk::within).put(&mut table, &self.way)?;
                }
            }
        }
        if let Some(disk) = &mut disk {
            disk.put(&mut table, &self.way)?;
        }
        Ok((table, disk))
    }
}
