//! Limits: how much memory and disk a session may use.
//!
//! Invariant: there is always a memory limit. DataFusion's default is none, and a statement that
//! outgrows the machine then takes everything down with it.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};

use crate::error::{Error, Result};

/// Share of the machine's memory that a session takes unless told otherwise.
const MEMORY_SHARE: f64 = 0.7;
/// What is assumed where the system does not say.
const MEMORY_FALLBACK_BYTES: usize = 4 << 30;
/// What folders of spilled rows are called, before the number of their process.
const SPILL_PREFIX: &str = "swath-spill-";
const CONSUMERS_NAMED: NonZeroUsize = NonZeroUsize::new(3).expect("three is not zero");

/// The default memory limit: a share of what the machine or its control group allows.
pub fn default_memory_bytes() -> usize {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?.to_string();
        let kib: usize = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib * 1024)
    });
    let group = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<usize>().ok());
    let available = match (machine, group) {
        (Some(machine), Some(group)) => machine.min(group),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => MEMORY_FALLBACK_BYTES,
    };
    (available as f64 * MEMORY_SHARE) as usize
}

/// The default number of threads: one for each core that the process may use.
pub fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// The runtime of a session: a bounded memory pool, and a place to spill.
///
/// # Errors
/// When the folder for spilling cannot be used.
pub fn runtime(
    memory_bytes: usize,
    spill_dir: Option<&Path>,
) -> Result<(Arc<RuntimeEnv>, SpillFolder)> {
    if let Some(dir) = spill_dir {
        std::fs::create_dir_all(dir).map_err(|error| {
            Error::usage(format!("cannot use {} to spill: {error}", dir.display()))
        })?;
    }
    let folder = SpillFolder::below(spill_dir.unwrap_or(&std::env::temp_dir()));
    let mode = DiskManagerMode::Directories(vec![folder.0.clone()]);
    let pool = TrackConsumersPool::new(FairSpillPool::new(memory_bytes), CONSUMERS_NAMED);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(mode))
        .build_arc()?;
    Ok((runtime, folder))
}

/// The folder that an engine spills into: `swath-spill-PROCESS-NUMBER`, gone with the engine.
#[derive(Debug)]
pub struct SpillFolder(PathBuf);

impl SpillFolder {
    /// The folder below `parent`, from which what dead processes left is swept.
    pub fn below(parent: &Path) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        sweep(parent);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        SpillFolder(parent.join(format!("{SPILL_PREFIX}{}-{number}", std::process::id())))
    }

    /// Where it is; whoever writes there makes it.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SpillFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Deletes what processes that are no more have left behind: those that were killed.
fn sweep(parent: &Path) {
    let Ok(listing) = std::fs::read_dir(parent) else { return };
    for entry in listing.flatten() {
        let name = entry.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix(SPILL_PREFIX)?.split('-').next()?.parse().ok());
        if number.is_some_and(|number: u32| !is_running(number)) {
            // Another process may be sweeping too.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether a process of that number may still be there.
fn is_running(number: u32) -> bool {
    let proc = Path::new("/proc");
    // Where the system does not tell, nothing is swept.
    !proc.join("self").exists() || proc.join(number.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dead_processes_left_is_swept() {
        let dir = tempfile::tempdir().expect("dir");
        let own = dir.path().join(format!("{SPILL_PREFIX}{}-0", std::process::id()));
        let dead = dir.path().join("swath-spill-999999999-1");
        let other = dir.path().join("swath-spill-notes");
        for folder in [&dead, &own, &other] {
            std::fs::create_dir_all(folder.join("inner")).expect("made");
        }
        sweep(dir.path());
        assert!(!dead.exists() || !Path::new("/proc/self").exists());
        assert!(own.exists() && other.exists());
    }
}
