//! The cache: what was learned of files, kept from one process to the next.
//!
//! Invariant: an entry is of one state of its file, read with one set of options.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::layouts::Kept;
use crate::formats::csv::learned::Learned;
use crate::formats::file::SourceFile;
use crate::store::Store;

/// All entries together are not longer than this.
const LEN_MAX_BYTES: u64 = 256 * 1024 * 1024;

/// A store of entries.
#[derive(Debug, Clone)]
pub struct Cache {
    store: Store,
}

/// All that is remembered of one file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// What a full pass showed; no ranges if there was none.
    pub learned: Learned,
    /// Texts that did not fit the type guessed for their column, by lower-case name.
    pub misfits: BTreeMap<String, Vec<String>>,
}

impl Cache {
    /// A cache in a folder, which is made when there is something to keep.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Cache { store: Store::new(folder.into().join("learned"), LEN_MAX_BYTES) }
    }

    /// The files of the cache.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What is known of this state of a file, read with these options.
    pub fn load(&self, file: &SourceFile, options: &str) -> Option<Entry> {
        serde_json::from_slice(&self.store.load(&key(file, options)?)?).ok()
    }

    /// Keeps what is known of a file.
    pub fn keep(&self, file: &SourceFile, options: &str, entry: &Entry) {
        if let (true, Some(key), Ok(body)) =
            (file.is_settled(), key(file, options), serde_json::to_vec(entry))
        {
            self.store.keep(&key, body);
        }
    }

    /// What is known of the files of a location.
    pub(super) fn load_layouts(&self, location: &str) -> Vec<Kept> {
        let body = layouts_key(location).and_then(|key| self.store.load(&key));
        body.and_then(|body| postcard::from_bytes(&body).ok()).unwrap_or_default()
    }

    /// Keeps what is known of the files of a location.
    pub(super) fn keep_layouts(&self, location: &str, files: &[Kept]) {
        if let (Some(key), Ok(body)) = (layouts_key(location), postcard::to_stdvec(files)) {
            self.store.keep(&key, body);
        }
    }

    /// Adds a text that did not fit to what is known of a file.
    pub fn keep_misfit(&self, file: &SourceFile, options: &str, column: &str, text: &str) {
        let mut entry = self.load(file, options).unwrap_or_default();
        entry.misfits.entry(column.to_lowercase()).or_default().push(text.to_string());
        self.keep(file, options, &entry);
    }
}

fn key(file: &SourceFile, options: &str) -> Option<String> {
    Some(format!("{}\n{options}", file.state_key()?))
}

/// A location may be relative to the folder that the process works in.
fn layouts_key(location: &str) -> Option<String> {
    Some(format!("layouts\n{}\n{location}", std::env::current_dir().ok()?.to_str()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    fn file(path: &Path) -> SourceFile {
        let metadata = std::fs::metadata(path).expect("metadata");
        SourceFile::local("f.csv", path.to_path_buf(), &metadata)
    }

    fn write(path: &Path, text: &str, age: Duration) {
        std::fs::write(path, text).expect("written");
        let open = std::fs::File::options().write(true).open(path).expect("opens");
        open.set_modified(SystemTime::now() - age).expect("dated");
        // The clock of changes goes on.
        std::thread::sleep(Duration::from_millis(60));
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
        // The same length, another time.
        write(&path, "a\n2\n", Duration::from_secs(30));
        assert_eq!(cache.load(&file(&path), "options"), None);
        // Too young to be sure of.
        write(&path, "a\n3\n", Duration::ZERO);
        cache.keep(&file(&path), "options", &entry);
        assert_eq!(cache.load(&file(&path), "options"), None);
    }
}
