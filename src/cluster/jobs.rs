//! Jobs: statements that a scheduler keeps, runs one after the other, tries again, and whose results
//! can be fetched later.
//!
//! Each is a file in a folder, so that a scheduler that is started anew goes on where it stopped. It
//! runs as a process of this program in the folder of whoever submitted it, on the scheduler's cluster;
//! the process ends with the scheduler, and the job then waits again.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::sync::Notify;

use crate::error::{Error, ErrorKind, Result};

/// How often a job is run whose cluster failed it.
const ATTEMPTS_MAX: u32 = 3;
/// After the first attempt; longer after each further one.
const RETRY_PAUSE: Duration = Duration::from_secs(2);
/// What a job says on its way is kept up to this length.
const SAID_MAX_BYTES: u64 = 64 * 1024;
/// Jobs that have ended and are remembered; the oldest are forgotten first.
const ENDED_MAX: usize = 1000;
/// Results are sent in pieces.
const PIECE_LEN_BYTES: u64 = 4 << 20;

/// What is to be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// The statements.
    pub sql: String,
    /// The folder that relative paths begin in.
    pub folder: PathBuf,
    /// Where the rows go; by default the scheduler keeps them.
    pub output: Option<String>,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobState {
    /// It waits for its turn.
    Queued,
    /// It runs.
    Running,
    /// Its result is there.
    Done,
    /// It gave an error.
    Failed,
    /// Someone has stopped it.
    Cancelled,
}

impl JobState {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            JobState::Queued => "queued",
            JobState::Running => "running",
            JobState::Done => "done",
            JobState::Failed => "failed",
            JobState::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more will happen to it.
    pub fn has_ended(self) -> bool {
        !matches!(self, JobState::Queued | JobState::Running)
    }
}

/// A job as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// The number.
    pub id: u64,
    /// What is run.
    pub submission: Submission,
    /// Where it stands.
    pub state: JobState,
    /// How often it was started.
    pub attempt_count: u32,
    /// Notes and errors that it wrote.
    pub said: String,
    /// When it was submitted, in seconds since 1970.
    pub submitted: u64,
    /// When it ended.
    pub ended: Option<u64>,
}

/// The jobs of a scheduler.
#[derive(Debug)]
pub(super) struct Jobs {
    folder: PathBuf,
    records: Mutex<BTreeMap<u64, JobRecord>>,
    /// Held from reading a record until its change is kept: one change at a time.
    changing: Mutex<()>,
    /// Someone submitted or cancelled a job.
    changed: Notify,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}

impl Jobs {
    /// The jobs that a folder holds; those that were running wait again.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|error| Error::cannot_write(folder, &error))?;
        let folder =
            std::path::absolute(folder).map_err(|error| Error::cannot_write(folder, &error))?;
        let mut records = BTreeMap::new();
        let listing = std::fs::read_dir(&folder)
            .map_err(|error| Error::io("list folder", &folder.to_string_lossy(), &error))?;
        for entry in listing.flatten() {
            if entry.path().extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let Ok(text) = std::fs::read_to_string(entry.path()) else { continue };
            let Ok(mut record) = serde_json::from_str::<JobRecord>(&text) else { continue };
            if record.state == JobState::Running {
                record.state = JobState::Queued;
            }
            records.insert(record.id, record);
        }
        let records = Mutex::new(records);
        Ok(Jobs { folder, records, changing: Mutex::default(), changed: Notify::new() })
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<u64, JobRecord>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record_path(&self, id: u64) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    fn result_path(&self, id: u64) -> PathBuf {
        self.folder.join(format!("{id}.arrow"))
    }

    /// Writes a job's file as a whole, and then remembers it.
    fn keep(&self, record: JobRecord) -> Result<()> {
        let path = self.record_path(record.id);
        let cannot = |error: std::io::Error| Error::cannot_write(&path, &error);
        let text = serde_json::to_string(&record)
            .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder).map_err(cannot)?;
        file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(cannot)?;
        file.persist(&path).map_err(|error| cannot(error.error))?;
        self.records().insert(record.id, record);
        Ok(())
    }

    fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn submit(&self, submission: Submission) -> Result<u64> {
        let _one = self.change();
        let id = self.records().last_key_value().map_or(1, |(last, _)| last + 1);
        self.forget_oldest();
        self.keep(JobRecord {
            id,
            submission,
            state: JobState::Queued,
            attempt_count: 0,
            said: String::new(),
            submitted: now(),
            ended: None,
        })?;
        self.changed.notify_waiters();
        Ok(id)
    }

    fn forget_oldest(&self) {
        let mut records = self.records();
        let ended = records.values().filter(|record| record.state.has_ended());
        let ids: Vec<u64> = ended.map(|record| record.id).collect();
        let last = records.last_key_value().map(|(id, _)| *id);
        for id in ids.iter().take(ids.len().saturating_sub(ENDED_MAX)) {
            // The last one's number must not be given again.
            if Some(*id) != last {
                records.remove(id);
                let _ = std::fs::remove_file(self.record_path(*id));
                let _ = std::fs::remove_file(self.result_path(*id));
            }
        }
    }

    pub(super) fn list(&self) -> Vec<JobRecord> {
        self.records().values().cloned().collect()
    }

    pub(super) fn get(&self, id: u64) -> Result<JobRecord> {
        self.records().get(&id).cloned().ok_or_else(|| {
            Error::usage(format!("there is no job {id}")).hint("swath jobs lists them")
        })
    }

    pub(super) fn cancel(&self, id: u64) -> Result<()> {
        let _one = self.change();
        let record = self.get(id)?;
        if !record.state.has_ended() {
            let (state, ended) = (JobState::Cancelled, Some(now()));
            self.keep(JobRecord { state, ended, ..record })?;
            self.changed.notify_waiters();
        }
        Ok(())
    }

    /// A piece of the result that is kept of a job; empty behind its end.
    pub(super) fn piece(&self, id: u64, offset: u64) -> Result<Vec<u8>> {
        use std::io::{Read, Seek, SeekFrom};
        let path = self.result_path(id);
        let cannot = |error: std::io::Error| {
            Error::data(format!("the result of job {id} cannot be read: {error}"))
        };
        let mut file = std::fs::File::open(path).map_err(cannot)?;
        file.seek(SeekFrom::Start(offset)).map_err(cannot)?;
        let mut piece = Vec::new();
        file.take(PIECE_LEN_BYTES).read_to_end(&mut piece).map_err(cannot)?;
        Ok(piece)
    }

    /// Runs what waits, for ever.
    pub(super) async fn work(self: Arc<Self>, scheduler: String, allowed: Vec<PathBuf>) {
        loop {
            let changed = self.changed.notified();
            let next = {
                let records = self.records();
                records.values().find(|record| record.state == JobState::Queued).cloned()
            };
            let has_run = match next {
                Some(record) => self.run(record, &scheduler, &allowed).await.is_ok(),
                None => false,
            };
            // A folder that cannot be written to is tried again when something changes.
            if !has_run {
                changed.await;
            }
        }
    }

    /// Keeps a record unless its job was cancelled meanwhile; whether it was not.
    fn keep_unless_cancelled(&self, record: JobRecord) -> Result<bool> {
        let _one = self.change();
        let is_wanted = self.get(record.id)?.state != JobState::Cancelled;
        if is_wanted {
            self.keep(record)?;
        }
        Ok(is_wanted)
    }

    async fn run(&self, record: JobRecord, scheduler: &str, allowed: &[PathBuf]) -> Result<()> {
        let attempt_count = record.attempt_count + 1;
        let record = JobRecord { state: JobState::Running, attempt_count, ..record };
        if !self.keep_unless_cancelled(record.clone())? {
            return Ok(());
        }
        let (code, said) = match self.attempt(&record, scheduler, allowed).await {
            Ok(Some(ended)) => ended,
            // It was cancelled, which is written down already.
            Ok(None) => return Ok(()),
            Err(error) => (i32::from(error.kind().exit_code()), error.to_string()),
        };
        let is_data = code == i32::from(ErrorKind::Data.exit_code());
        let state = match code {
            0 => JobState::Done,
            // What the data or the cluster is to blame for may pass.
            _ if is_data && attempt_count < ATTEMPTS_MAX => JobState::Queued,
            _ => JobState::Failed,
        };
        if state == JobState::Queued {
            tokio::time::sleep(RETRY_PAUSE * attempt_count).await;
        }
        let ended = state.has_ended().then(now);
        self.keep_unless_cancelled(JobRecord { state, said, ended, ..record }).map(drop)
    }

    /// Runs a job once; its exit code and what it said, or None if it was cancelled.
    async fn attempt(
        &self,
        record: &JobRecord,
        scheduler: &str,
        allowed: &[PathBuf],
    ) -> Result<Option<(i32, String)>> {
        let cannot = |error: std::io::Error| Error::data(format!("cannot run a job: {error}"));
        let program = std::env::current_exe().map_err(cannot)?;
        let Submission { sql, folder, output } = &record.submission;
        let mut command = tokio::process::Command::new(program);
        command.args(["--cluster", scheduler, "--until-stdin-ends", "--no-rc", "-o"]);
        match output {
            Some(output) => command.arg(output),
            None => command.arg(self.result_path(record.id)),
        };
        for folder in allowed {
            command.arg("--allow-dir").arg(folder);
        }
        command
            .arg(format!("--command={sql}"))
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(cannot)?;
        // Closed, it stops what runs there, and on the cluster.
        let stdin = child.stdin.take();
        let stderr = child.stderr.take();
        let said = async move {
            let mut said = Vec::new();
            if let Some(stderr) = stderr {
                let mut stderr = stderr;
                let _ = (&mut stderr).take(SAID_MAX_BYTES).read_to_end(&mut said).await;
                // The rest is read and forgotten, or the process would wait for a reader.
                let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
            }
            String::from_utf8_lossy(&said).into_owned()
        };
        let ended = async { tokio::join!(child.wait(), said) };
        let cancelled = async {
            loop {
                let changed = self.changed.notified();
                if self.get(record.id).is_ok_and(|now| now.state == JobState::Cancelled) {
                    return;
                }
                changed.await;
            }
        };
        tokio::pin!(ended);
        let (status, said) = tokio::select! {
            ended = &mut ended => ended,
            () = cancelled => {
                drop(stdin);
                let _ = ended.await;
                return Ok(None);
            }
        };
        let code = status.map_err(cannot)?.code().unwrap_or(1);
        Ok(Some((code, said)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submission() -> Submission {
        Submission { sql: "SELECT 1".into(), folder: "/".into(), output: None }
    }

    #[test]
    fn jobs_that_come_at_once_get_numbers_of_their_own() {
        let dir = tempfile::tempdir().expect("dir");
        let jobs = Jobs::open(dir.path()).expect("jobs");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        jobs.submit(submission()).expect("kept");
                    }
                });
            }
        });
        assert_eq!(jobs.list().len(), 40);
    }

    #[test]
    fn jobs_outlive_their_scheduler_and_numbers_are_given_once() {
        let dir = tempfile::tempdir().expect("dir");
        let jobs = Jobs::open(dir.path()).expect("jobs");
        let (first, second) = (jobs.submit(submission()), jobs.submit(submission()));
        assert_eq!((first.expect("kept"), second.expect("kept")), (1, 2));
        let running = JobRecord { state: JobState::Running, ..jobs.get(1).expect("there") };
        jobs.keep(running).expect("kept");
        jobs.cancel(2).expect("there");
        std::fs::write(dir.path().join("9.json"), "no job").expect("written");
        let jobs = Jobs::open(dir.path()).expect("jobs");
        let states: Vec<_> = jobs.list().iter().map(|record| record.state).collect();
        assert_eq!(states, [JobState::Queued, JobState::Cancelled]);
        assert_eq!(jobs.submit(submission()).expect("kept"), 3);
        let cancelled = jobs.get(2).expect("there");
        let late = JobRecord { state: JobState::Running, ..cancelled.clone() };
        assert!(!jobs.keep_unless_cancelled(late).expect("there"));
        assert_eq!(jobs.get(2).expect("there"), cancelled);
        assert!(jobs.get(4).is_err());
        assert!(jobs.piece(1, 0).is_err());
    }
}
