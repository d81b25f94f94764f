//! Groups that do not fit into memory, on disk in parts by their hash.
//!
//! Each part is read again by itself; one that still does not fit is cut into parts by another hash.
//! (Graefe, Query evaluation techniques for large databases, 1993, section 4.3: hybrid hashing.)

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, UInt32Array};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{Result, resources_err};
use datafusion::execution::SpillFile;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::SpillManager;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};

use super::parts::Parts;
use super::table::{Ask, States, Table};

/// At least so many parts are made of what does not fit.
const PARTS_MIN: usize = 16;
/// So often parts are cut into parts: more than any memory holds, unless a single group is too large.
const LEVEL_MAX: u32 = 8;

/// How groups are written and read again.
pub(super) struct Way {
    pub(super) ask: Arc<Ask>,
    pub(super) files: SpillManager,
    pub(super) memory: Arc<MemoryReservation>,
    pub(super) batch_size: usize,
}

/// Parts that are written.
pub(super) struct Disk {
    parts: Parts,
    /// Of each part.
    files: Vec<Vec<Arc<dyn SpillFile>>>,
}

/// A part that is written to its end.
pub(super) struct Part {
    level: u32,
    files: Vec<Arc<dyn SpillFile>>,
}

impl Disk {
    /// For parts of a whole, to be shared among so many tasks.
    pub(super) fn new(task_count: usize) -> Self {
        Disk::of_level(0, task_count)
    }

    /// For parts of a part.
    pub(super) fn within() -> Self {
        Disk::of_level(1, 1)
    }

    fn of_level(level: u32, task_count: usize) -> Self {
        let parts = Parts { task_count, per_task: PARTS_MIN.div_ceil(task_count), level };
        Disk { parts, files: vec![Vec::new(); parts.count()] }
    }

    /// Writes the groups of a table, which is empty then and has given its memory back.
    pub(super) fn put(&mut self, table: &mut Table, way: &Way) -> Result<()> {
        let taken = std::mem::replace(table, Table::new(&way.ask, &way.memory)?);
        self.write(&taken.into_states()?, way)
    }

    /// Writes groups.
    pub(super) fn write(&mut self, groups: &States, way: &Way) -> Result<()> {
        let numbers = self.parts.deal(&groups.hashes(&way.ask)?);
        for (files, numbers) in self.files.iter_mut().zip(numbers) {
            let batches = numbers.chunks(way.batch_size.max(1)).map(|numbers| {
                let columns = groups.pick(&UInt32Array::from(numbers.to_vec()))?;
                Ok(RecordBatch::try_new(Arc::clone(way.ask.states()), columns)?)
            });
            let batches = batches.collect::<Result<Vec<_>>>()?;
            files.extend(way.files.spill_record_batch_and_finish(&batches, "groups")?);
        }
        Ok(())
    }

    /// The parts, of which some may be without a group.
    pub(super) fn finish(self) -> Vec<Part> {
        let level = self.parts.level + 1;
        self.files.into_iter().map(|files| Part { level, files }).collect()
    }

    /// The parts of each task.
    pub(super) fn finish_tasks(self) -> Vec<Vec<Part>> {
        let Parts { task_count, per_task, .. } = self.parts;
        let mut parts = self.finish().into_iter();
        (0..task_count).map(|_| parts.by_ref().take(per_task).collect()).collect()
    }
}

/// The groups of parts with the values of their aggregates, one part after the other.
pub(super) fn answers(
    parts: Vec<Part>,
    way: Arc<Way>,
    schema: SchemaRef,
) -> BoxStream<'static, Result<RecordBatch>> {
    let next = async |(mut parts, way, schema): (Vec<Part>, Arc<Way>, SchemaRef)| {
        let Some(part) = parts.pop() else { return Ok(None) };
        let (table, smaller) = part.read(&way).await?;
        parts.extend(smaller);
        let batches = table.values(&schema, way.batch_size)?;
        Ok::<_, datafusion::error::DataFusionError>(Some((batches, (parts, way, schema))))
    };
    let all = futures::stream::try_unfold((parts, way, schema), next);
    all.try_flatten().boxed()
}

impl Part {
    /// Adds up the groups of a part: as a table, or in smaller parts if they do not fit.
    async fn read(self, way: &Way) -> Result<(Table, Vec<Part>)> {
        let mut table = Table::new(&way.ask, &way.memory)?;
        let mut disk: Option<Disk> = None;
        for file in self.files {
            let mut groups = way.files.read_spill_as_stream_unbuffered(file, None)?;
            while let Some(states) = groups.try_next().await? {
                table.groups.merge(states.columns())?;
                if !table.book() {
                    if self.level > LEVEL_MAX {
                        return resources_err!("a group does not fit into memory");
                    }
                    let level = self.level;
                    let disk = disk.get_or_insert_with(|| Disk::of_level(level, 1));
                    disk.put(&mut table, way)?;
                }
            }
        }
        let Some(mut disk) = disk else { return Ok((table, Vec::new())) };
        disk.put(&mut table, way)?;
        Ok((table, disk.finish()))
    }
}
