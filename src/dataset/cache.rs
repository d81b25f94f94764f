//! The cache: what was learned of files, kept from one process to the next.
//!
//! ```text
//! <folder>/learned/<hash of path and options>.json
//!   line 1: version, path, identity of the file, options, checksum of line 2
//!   line 2: what was learned
//! ```
//!
//! Invariant: an entry that is damaged, of another version, of another state of its file or of other
//! options is no entry. Entries are written beside their place and renamed into it, so that several
//! processes can read and write at once; the folder stays below [`LEN_MAX_BYTES`].

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::formats::csv::learned::Learned;
use crate::formats::file::{Identity, SourceFile};

/// All entries together are not longer than this.
const LEN_MAX_BYTES: u64 = 256 * 1024 * 1024;
/// A file that changed so shortly before could change again without a new time of modification.
const AGE_MIN: Duration = Duration::from_secs(2);

/// A folder of entries.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

/// All that is remembered of one file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// What a full pass showed; no ranges if there was none.
    pub learned: Learned,
    /// Texts that did not fit the type guessed for their column, by lower-case name.
    pub misfits: BTreeMap<String, Vec<String>>,
}

/// How much the cache holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheStats {
    /// Files that something is known of.
    pub entry_count: u64,
    /// What the entries take on disk.
    pub len_bytes: u64,
}

/// What an entry is about.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Head {
    version: String,
    path: String,
    len: u64,
    modified_ns: String,
    inode: (u64, u64),
    options: String,
    checksum: u32,
}

impl Cache {
    /// A cache in a folder, which is made when there is something to keep.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Cache { folder: folder.into().join("learned") }
    }

    /// What is known of this state of a file, read with these options.
    pub fn load(&self, file: &SourceFile, options: &str) -> Option<Entry> {
        let path = absolute(file.path()?)?;
        let text = std::fs::read_to_string(self.place(&path, options)).ok()?;
        let (head, body) = text.split_once('\n')?;
        let head: Head = serde_json::from_str(head).ok()?;
        (head == Head::of(path, file.identity, options, body))
            .then(|| serde_json::from_str(body).ok())
            .flatten()
    }

    /// Keeps what is known of a file. Failing to is no error: the next pass learns it again.
    pub fn keep(&self, file: &SourceFile, options: &str, entry: &Entry) {
        let _ = self.try_keep(file, options, entry);
    }

    fn try_keep(&self, file: &SourceFile, options: &str, entry: &Entry) -> Option<()> {
        let path = absolute(file.path()?)?;
        let modified = std::fs::metadata(&path).ok()?.modified().ok()?;
        if SystemTime::now().duration_since(modified).ok()? < AGE_MIN {
            return None;
        }
        let body = serde_json::to_string(entry).ok()?;
        let place = self.place(&path, options);
        let head = serde_json::to_string(&Head::of(path, file.identity, options, &body)).ok()?;
        std::fs::create_dir_all(&self.folder).ok()?;
        let mut staged = tempfile::NamedTempFile::new_in(&self.folder).ok()?;
        staged.write_all(format!("{head}\n{body}").as_bytes()).ok()?;
        staged.persist(place).ok()?;
        self.shrink();
        Some(())
    }

    /// Adds a text that did not fit to what is known of a file.
    pub fn keep_misfit(&self, file: &SourceFile, options: &str, column: &str, text: &str) {
        let mut entry = self.load(file, options).unwrap_or_default();
        entry.misfits.entry(column.to_lowercase()).or_default().push(text.to_string());
        self.keep(file, options, &entry);
    }

    /// How much there is.
    pub fn stats(&self) -> CacheStats {
        let entries = self.entries();
        CacheStats {
            entry_count: entries.len() as u64,
            len_bytes: entries.iter().map(|(_, len, _)| len).sum(),
        }
    }

    /// Forgets everything.
    ///
    /// # Errors
    /// When the folder cannot be deleted.
    pub fn clear(&self) -> Result<()> {
        match std::fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::new(
                ErrorKind::Data,
                format!("cannot delete {}: {error}", self.folder.display()),
            )),
            _ => Ok(()),
        }
    }

    /// Where the cache lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Deletes the oldest entries until the rest is small enough.
    fn shrink(&self) {
        let mut entries = self.entries();
        let mut total: u64 = entries.iter().map(|(_, len, _)| len).sum();
        entries.sort_by_key(|(_, _, modified)| *modified);
        for (path, len, _) in entries {
            if total <= LEN_MAX_BYTES {
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

    fn place(&self, path: &str, options: &str) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        (path, options).hash(&mut hasher);
        self.folder.join(format!("{:016x}.json", hasher.finish()))
    }
}

impl Head {
    fn of(path: String, identity: Identity, options: &str, body: &str) -> Self {
        let mut crc = flate2::Crc::new();
        crc.update(body.as_bytes());
        Head {
            version: env!("CARGO_PKG_VERSION").into(),
            path,
            len: identity.len,
            modified_ns: identity.modified_ns.to_string(),
            inode: identity.inode,
            options: options.into(),
            checksum: crc.sum(),
        }
    }
}

fn absolute(path: &Path) -> Option<String> {
    std::path::absolute(path).ok()?.to_str().map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &Path) -> SourceFile {
        let metadata = std::fs::metadata(path).expect("metadata");
        SourceFile::local("f.csv", path.to_path_buf(), &metadata)
    }

    fn write(path: &Path, text: &str, age: Duration) {
        std::fs::write(path, text).expect("written");
        let open = std::fs::File::options().write(true).open(path).expect("opens");
        open.set_modified(SystemTime::now() - age).expect("dated");
    }

    #[test]
    fn an_entry_is_of_one_state_of_a_file() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("f.csv");
        let cache = Cache::new(dir.path().join("cache"));
        let mut entry = Entry::default();
        entry.misfits.insert("a".into(), vec!["x".into()]);
        write(&path, "a\n1\n", Duration::from_secs(60));
        cache.keep(&file(&path), "options", &entry);
        assert_eq!(cache.load(&file(&path), "options"), Some(entry.clone()));
        assert_eq!(cache.load(&file(&path), "others"), None);
        assert_eq!(cache.stats().entry_count, 1);
        // The same length, another time.
        write(&path, "a\n2\n", Duration::from_secs(30));
        assert_eq!(cache.load(&file(&path), "options"), None);
        // Too young to be sure of.
        write(&path, "a\n3\n", Duration::ZERO);
        cache.keep(&file(&path), "options", &entry);
        assert_eq!(cache.load(&file(&path), "options"), None);
        cache.clear().expect("cleared");
        assert_eq!(cache.stats().entry_count, 0);
    }

    #[test]
    fn a_damaged_entry_is_none() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("f.csv");
        write(&path, "a\n1\n", Duration::from_secs(60));
        let cache = Cache::new(dir.path());
        cache.keep(&file(&path), "", &Entry::default());
        let (place, ..) = cache.entries().remove(0);
        let text = std::fs::read_to_string(&place).expect("there");
        for damaged in [text.replace("ranges", "rangez"), text[..text.len() - 1].to_string()] {
            std::fs::write(&place, damaged).expect("written");
            assert_eq!(cache.load(&file(&path), ""), None);
        }
    }
}
