//! A folder of files that may be lost: each under a key, checksummed, all together bounded.
//!
//! ```text
//! <folder>/<hash of the key>:  swath <version> <checksum> <length of the key>\n<key><body>
//! ```
//!
//! Invariant: what is damaged, or of another version or key, is not there. Files are written beside
//! their place and renamed into it, so that several processes can read and write at once.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// How many files are kept between two looks at the size of the folder.
const KEPT_BETWEEN_LOOKS: u64 = 64;

/// A folder of files.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
    len_max_bytes: u64,
    kept_count: Arc<AtomicU64>,
}

/// How much a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreStats {
    /// Files.
    pub entry_count: u64,
    /// What they take on disk.
    pub len_bytes: u64,
}

impl Store {
    /// A store in a folder, which is made when there is something to keep.
    pub fn new(folder: impl Into<PathBuf>, len_max_bytes: u64) -> Self {
        Store { folder: folder.into(), len_max_bytes, kept_count: Arc::default() }
    }

    /// What was kept under a key.
    pub fn load(&self, key: &str) -> Option<Vec<u8>> {
        let mut bytes = std::fs::read(self.place(key)).ok()?;
        let line_end = bytes.iter().position(|byte| *byte == b'\n')?;
        let body_start = line_end + 1 + key.len();
        let (line, rest) = (&bytes[..line_end], bytes.get(line_end + 1..)?);
        (line == head(key, rest).as_bytes() && rest.starts_with(key.as_bytes()))
            .then(|| bytes.split_off(body_start))
    }

    /// Keeps a body under a key.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn keep(&self, key: &str, body: &[u8]) -> io::Result<()> {
        let rest = [key.as_bytes(), body].concat();
        make_private(&self.folder)?;
        let mut staged = tempfile::NamedTempFile::new_in(&self.folder)?;
        staged.write_all(format!("{}\n", head(key, &rest)).as_bytes())?;
        staged.write_all(&rest)?;
        staged.persist(self.place(key))?;
        if self.kept_count.fetch_add(1, Ordering::Relaxed).is_multiple_of(KEPT_BETWEEN_LOOKS) {
            self.shrink();
        }
        Ok(())
    }

    /// How much there is.
    pub fn stats(&self) -> StoreStats {
        let entries = self.entries();
        StoreStats {
            entry_count: entries.len() as u64,
            len_bytes: entries.iter().map(|(_, len, _)| len).sum(),
        }
    }

    /// Deletes everything.
    ///
    /// # Errors
    /// When the folder cannot be deleted.
    pub fn clear(&self) -> io::Result<()> {
        match std::fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Deletes the oldest files until the rest is small enough.
    fn shrink(&self) {
        let mut entries = self.entries();
        let mut total: u64 = entries.iter().map(|(_, len, _)| len).sum();
        entries.sort_by_key(|(_, _, modified)| *modified);
        for (path, len, _) in entries {
            if total <= self.len_max_bytes {
                return;
            }
            if std::fs::remove_file(path).is_ok() {
                total -= len;
            }
        }
    }

    fn entries(&self) -> Vec<(PathBuf, u64, SystemTime)> {
        let Ok(listing) = std::fs::read_dir(&self.folder) else { return Vec::new() };
        listing
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let metadata = entry.metadata().ok()?;
                Some((entry.path(), metadata.len(), metadata.modified().ok()?))
            })
            .collect()
    }

    fn place(&self, key: &str) -> PathBuf {
        let half = |seed: u64| {
            let mut hasher = DefaultHasher::new();
            (seed, key).hash(&mut hasher);
            hasher.finish()
        };
        self.folder.join(format!("{:016x}{:016x}", half(0), half(1)))
    }
}

/// The first line of a file; `rest` is what follows it.
fn head(key: &str, rest: &[u8]) -> String {
    let mut crc = flate2::Crc::new();
    crc.update(rest);
    format!("swath {} {:08x} {}", env!("CARGO_PKG_VERSION"), crc.sum(), key.len())
}

/// Makes a folder that nobody else can look into: it tells what files hold.
fn make_private(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_is_not_there() {
        let dir = tempfile::tempdir().expect("dir");
        let store = Store::new(dir.path().join("s"), 1000);
        store.keep("key\n1", b"body").expect("kept");
        assert_eq!(store.load("key\n1").as_deref(), Some(b"body".as_slice()));
        assert_eq!(store.load("key\n2"), None);
        let (place, ..) = store.entries().remove(0);
        let bytes = std::fs::read(&place).expect("there");
        for idx in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[idx] ^= 1;
            std::fs::write(&place, damaged).expect("written");
            assert_eq!(store.load("key\n1"), None, "byte {idx}");
            std::fs::write(&place, &bytes[..idx]).expect("written");
            assert_eq!(store.load("key\n1"), None, "cut at {idx}");
        }
    }

    #[test]
    fn the_oldest_make_room() {
        let dir = tempfile::tempdir().expect("dir");
        let store = Store::new(dir.path(), 500);
        for idx in 0..=KEPT_BETWEEN_LOOKS {
            store.keep(&format!("key {idx}"), &[0; 50]).expect("kept");
        }
        assert!(store.stats().len_bytes <= 500, "{:?}", store.stats());
        assert!(store.stats().entry_count > 0);
        store.clear().expect("cleared");
        assert_eq!(store.stats().entry_count, 0);
    }
}
