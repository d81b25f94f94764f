//! Limits: how much memory and disk a session may use.
//!
//! Invariant: there is always a memory limit. DataFusion's default is none, and a statement that
//! outgrows the machine then takes everything down with it.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};

use crate::error::{Error, Result};

/// Share of the machine's memory that a session takes unless told otherwise.
const MEMORY_SHARE: f64 = 0.7;
/// What is assumed where the system does not say.
const MEMORY_FALLBACK_BYTES: usize = 4 << 30;
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

/// The runtime of a session: a bounded memory pool, and a place to spill.
///
/// # Errors
/// When the folder for spilling cannot be used.
pub fn runtime(memory_bytes: usize, spill_dir: Option<PathBuf>) -> Result<Arc<RuntimeEnv>> {
    let mode = match spill_dir {
        Some(dir) => {
            std::fs::create_dir_all(&dir).map_err(|error| {
                Error::usage(format!("cannot use {} to spill: {error}", dir.display()))
            })?;
            DiskManagerMode::Directories(vec![dir])
        }
        None => DiskManagerMode::OsTmpDirectory,
    };
    let pool = TrackConsumersPool::new(FairSpillPool::new(memory_bytes), CONSUMERS_NAMED);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(mode))
        .build_arc()?;
    Ok(runtime)
}
