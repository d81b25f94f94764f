//! Stages: a plan cut at its exchanges, as plain data.
//!
//! One graph serves EXPLAIN, EXPLAIN ANALYZE, the progress of a running statement and whoever runs
//! the stages elsewhere.

use serde::Serialize;

/// The stages of a plan, in an order in which each comes behind those that it reads.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct StageGraph {
    /// The stages; the last one gives the answer.
    pub stages: Vec<Stage>,
}

/// What tasks do between two exchanges, each on its part of the rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stage {
    /// The number, from 1.
    pub id: usize,
    /// How many tasks there are.
    pub task_count: usize,
    /// Stages whose rows it reads.
    pub inputs: Vec<usize>,
    /// What it reads from files.
    pub scans: Vec<Scan>,
    /// Operators in the order in which rows pass them. A pipeline that is not the last one ends
    /// where a join or a union takes it in.
    pub pipelines: Vec<Vec<String>>,
    /// How its rows leave.
    pub exchange: Exchange,
    /// Rows that it is expected to give.
    pub row_estimate: Option<u64>,
    /// What it did, once it has run.
    pub measured: Option<Measured>,
}

/// What a stage reads from files.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scan {
    /// The format, as EXPLAIN names it.
    pub format: String,
    /// Files that are read.
    pub file_count: usize,
    /// Files that the location holds.
    pub file_total: usize,
    /// What is read at most, in bytes on disk.
    pub len_bytes: u64,
    /// The columns that are read.
    pub columns: Vec<String>,
}

/// How the rows of a stage reach the tasks of the next one.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Exchange {
    /// They are the answer.
    Answer,
    /// Rows with equal keys meet in one task.
    Hash {
        /// The keys.
        keys: Vec<String>,
        /// Tasks of the next stage.
        into: usize,
    },
    /// Rows are dealt evenly.
    Deal {
        /// Tasks of the next stage.
        into: usize,
    },
    /// All rows go to one task.
    Gather,
    /// All rows go to one task, which keeps their order.
    Merge {
        /// The order.
        order: String,
    },
    /// All rows go to every task.
    Broadcast,
}

/// What the tasks of a stage did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Measured {
    /// Tasks that have ended.
    pub task_done_count: usize,
    /// Rows that left the stage.
    pub row_count: u64,
    /// Time that the operators worked, over all tasks, in seconds.
    pub work_seconds: f64,
    /// The slowest task's time over the median, if there are several.
    pub skew: Option<f64>,
    /// What was read from files.
    pub read_bytes: u64,
    /// What was written to disk for want of memory.
    pub spilled_bytes: u64,
}

impl StageGraph {
    /// All tasks.
    pub fn task_count(&self) -> usize {
        self.stages.iter().map(|stage| stage.task_count).sum()
    }
}

impl Measured {
    /// Measures from the time that each task worked.
    pub fn skew_of(mut seconds: Vec<f64>) -> Option<f64> {
        seconds.sort_by(f64::total_cmp);
        let slowest = *seconds.last()?;
        let median = seconds[(seconds.len() - 1) / 2];
        // Below that it is chance.
        const WORTH_SAYING_SECONDS: f64 = 0.01;
        (seconds.len() > 1 && median > 0.0 && slowest > WORTH_SAYING_SECONDS)
            .then(|| slowest / median)
    }
}
