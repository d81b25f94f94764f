//! Progress: how far a running statement has come, read from the metrics that its operators keep
//! anyway.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::units::{show_bytes, show_count, show_counted, show_seconds};

const BAR_LEN: usize = 24;

/// How far a statement has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Progress {
    /// Time since the start, in seconds.
    pub seconds: f64,
    /// Stages that have ended.
    pub stages_done: usize,
    /// All stages.
    pub stage_count: usize,
    /// Tasks that have ended.
    pub tasks_done: usize,
    /// All tasks of all stages.
    pub task_count: usize,
    /// Rows that have come out of files.
    pub rows_read: u64,
    /// Bytes of files that have been passed, as they lie on disk.
    pub bytes_read: u64,
    /// Bytes of files that are to be read.
    pub bytes_total: u64,
    /// Files that are to be read.
    pub file_count: u64,
    /// Partitions that are to be read.
    pub partition_count: u64,
    /// Partitions that the locations hold; none if they have no partitions.
    pub partition_total: u64,
    /// Memory that operators hold.
    pub memory_bytes: u64,
    /// What was written to disk for want of memory.
    pub spilled_bytes: u64,
}

/// How far a statement has come that runs elsewhere; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Elsewhere(Arc<Mutex<Told>>);

/// What is known of it here.
#[derive(Debug, Default)]
struct Told {
    /// By stage the tasks that are done, and all of them.
    stages: Vec<(usize, usize)>,
    rows_read: u64,
    bytes_read: u64,
    bytes_total: u64,
    file_count: u64,
}

impl Elsewhere {
    /// Takes in, by stage, the tasks that are done and all of them.
    pub fn set(&self, stages: impl Iterator<Item = (usize, usize)>) {
        let stages: Vec<_> = stages.collect();
        if !stages.is_empty() {
            self.told().stages = stages;
        }
    }

    /// Takes in what was read so far.
    pub fn set_read(&self, rows: u64, bytes: u64) {
        let mut told = self.told();
        (told.rows_read, told.bytes_read) = (rows, bytes);
    }

    /// Takes in what is to be read.
    pub fn set_total(&self, files: u64, bytes: u64) {
        let mut told = self.told();
        (told.file_count, told.bytes_total) = (files, bytes);
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts what is known of it in the place of what was counted here, if anything is.
    pub fn put_into(&self, progress: &mut Progress) {
        let told = self.told();
        let stages = &told.stages;
        if stages.is_empty() {
            return;
        }
        // Tasks that have ended were counted here, too.
        progress.rows_read = progress.rows_read.max(told.rows_read);
        progress.bytes_read = progress.bytes_read.max(told.bytes_read);
        progress.bytes_total = progress.bytes_total.max(told.bytes_total);
        progress.file_count = progress.file_count.max(told.file_count);
        progress.stage_count = stages.len();
        progress.stages_done = stages.iter().filter(|(done, all)| done == all).count();
        progress.tasks_done = stages.iter().map(|(done, _)| done).sum();
        progress.task_count = stages.iter().map(|(_, all)| all).sum();
    }
}

impl Progress {
    /// The share of the files that has been read, from 0 to 1, if there are any.
    pub fn share(&self) -> Option<f64> {
        (self.bytes_total > 0).then(|| (self.bytes_read as f64 / self.bytes_total as f64).min(1.0))
    }

    /// What is to be read: `340 files, 12.3 GB (3 of 12 partitions)`.
    pub fn scan(&self) -> String {
        let partitions = match self.partition_total {
            0 => String::new(),
            total => format!(
                " ({} of {} partitions)",
                show_count(self.partition_count),
                show_count(total)
            ),
        };
        let files = show_counted(self.file_count, "file");
        format!("{files}, {}{partitions}", show_bytes(self.bytes_total))
    }

    /// The time that reading the rest will take if it goes on like this.
    pub fn remaining(&self) -> Option<Duration> {
        const SHARE_MIN: f64 = 0.02;
        let share = self.share().filter(|share| (SHARE_MIN..1.0).contains(share))?;
        Some(Duration::from_secs_f64(self.seconds * (1.0 - share) / share))
    }
}

/// The line that a terminal shows.
impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(share) = self.share() {
            let full = (share * BAR_LEN as f64) as usize;
            let bar: String = (0..BAR_LEN).map(|idx| if idx < full { '█' } else { '░' }).collect();
            write!(f, "{bar} {:.0} %  ", share * 100.0)?;
        }
        write!(
            f,
            "stage {} of {}, {} of {} tasks",
            (self.stages_done + 1).min(self.stage_count),
            self.stage_count,
            self.tasks_done,
            self.task_count
        )?;
        let rate = self.rows_read as f64 / self.seconds.max(1e-3);
        write!(f, "  {} rows/s  {}", show_count(rate as u64), show_bytes(self.bytes_read))?;
        write!(f, "  memory {}", show_bytes(self.memory_bytes))?;
        if self.spilled_bytes > 0 {
            write!(f, "  spilled {}", show_bytes(self.spilled_bytes))?;
        }
        if let Some(remaining) = self.remaining() {
            write!(f, "  {} left", show_seconds(remaining))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_is_estimated_from_what_was_read() {
        let progress =
            Progress { seconds: 2.0, bytes_read: 250, bytes_total: 1000, ..Progress::default() };
        assert_eq!(progress.remaining(), Some(Duration::from_secs(6)));
        assert!(progress.to_string().starts_with("██████░░"), "{progress}");
        assert_eq!(Progress { bytes_total: 0, ..progress.clone() }.remaining(), None);
        assert_eq!(Progress { bytes_read: 1000, ..progress }.remaining(), None);
    }
}
