//! Layouts of files that were looked at before: within a session one by one, between processes all of
//! a location together.
//!
//! Invariant: a layout is of one state of its file, looked at with the same options and depth; so an
//! answer does not depend on what is known.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::cache::Cache;
use crate::error::Result;
use crate::formats::csv::Depth;
use crate::formats::file::{Identity, SourceFile};
use crate::formats::{FileLayout, FormatOptions};

/// Fewer files are looked at faster than what is known of them is found.
const FILES_MIN: usize = 8;
/// Layouts remembered within a session.
const REMEMBERED_MAX: usize = 200_000;

/// Layouts of files seen before, by identity and options.
#[derive(Debug, Default)]
pub struct LayoutCache(Mutex<HashMap<LayoutKey, Arc<FileLayout>>>);

type LayoutKey = (String, Identity, u64, Depth);

/// What was known of the files of one location, and what is known of them now.
#[derive(Debug)]
pub(super) struct Layouts<'a> {
    session: &'a LayoutCache,
    options: &'a FormatOptions,
    options_hash: u64,
    /// Of an earlier process, by the state of the file.
    kept: HashMap<String, Kept>,
}

/// What is kept of one file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    /// [`SourceFile::state_key`].
    state: String,
    depth: Depth,
    layout: FileLayout,
    /// Checksum of its head and its end, if some other file was as long.
    fingerprint: Option<u32>,
}

impl<'a> Layouts<'a> {
    /// What is known of files before they are looked at.
    pub(super) fn load(
        session: &'a LayoutCache,
        cache: Option<&Cache>,
        location_key: &str,
        files: &[Arc<SourceFile>],
        options: &'a FormatOptions,
    ) -> Self {
        let kept = match cache {
            Some(cache) if files.len() >= FILES_MIN => cache.load_layouts(location_key),
            _ => Vec::new(),
        };
        let kept: HashMap<_, _> = kept.into_iter().map(|kept| (kept.state.clone(), kept)).collect();
        let mut hasher = DefaultHasher::new();
        format!("{options:?}").hash(&mut hasher);
        Layouts { session, options, options_hash: hasher.finish(), kept }
    }

    /// The layout of a file, which is looked at if nothing is known.
    ///
    /// # Errors
    /// When it cannot be read or is of no known format.
    pub(super) fn of(&self, file: &Arc<SourceFile>, depth: Depth) -> Result<Arc<FileLayout>> {
        let look = || crate::formats::inspect(file, self.options, depth).map(Arc::new);
        if file.state_key().is_none() {
            return look();
        }
        let key = (file.name.clone(), file.identity, self.options_hash, depth);
        if let Some(known) = self.session.get(&key) {
            return Ok(known);
        }
        let layout = match self.kept(file).filter(|kept| kept.depth == depth) {
            Some(kept) => Arc::new(kept.layout.clone()),
            None => look()?,
        };
        self.session.put(key, &layout);
        Ok(layout)
    }

    /// The checksum of a file's head and end, if it is known.
    pub(super) fn fingerprint(&self, file: &SourceFile) -> Option<u32> {
        self.kept(file)?.fingerprint
    }

    fn kept(&self, file: &SourceFile) -> Option<&Kept> {
        if self.kept.is_empty() {
            return None;
        }
        self.kept.get(&file.state_key()?)
    }

    /// Keeps what is known now, unless that is what was known before.
    ///
    /// Only of CSV: other formats say themselves what they hold, and say it shortly.
    pub(super) fn keep<'f>(
        self,
        cache: Option<&Cache>,
        location_key: &str,
        looked_at: impl Iterator<
            Item = (&'f Arc<SourceFile>, &'f Result<Arc<FileLayout>>, Depth, Option<u32>),
        >,
    ) {
        let Some(cache) = cache else { return };
        let mut is_new = false;
        let mut now = Vec::new();
        for (file, layout, depth, fingerprint) in looked_at {
            let Ok(layout) = layout else {
                // It may be that nobody looked at it now.
                now.extend(self.kept(file).cloned());
                continue;
            };
            let Some(state) = file.state_key().filter(|_| layout.csv.is_some()) else { continue };
            let known = self.kept.get(&state).filter(|known| known.depth == depth);
            if known.is_none_or(|known| known.fingerprint != fingerprint) {
                if !file.is_settled() {
                    continue;
                }
                is_new = true;
            }
            now.push(Kept { state, depth, layout: layout.as_ref().clone(), fingerprint });
        }
        if is_new && now.len() >= FILES_MIN {
            cache.keep_layouts(location_key, &now);
        }
    }
}

impl LayoutCache {
    fn get(&self, key: &LayoutKey) -> Option<Arc<FileLayout>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn put(&self, key: LayoutKey, layout: &Arc<FileLayout>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(key, Arc::clone(layout));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notes::NoteKind;
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    fn write(path: &Path, text: &str, age: Duration) {
        std::fs::write(path, text).expect("written");
        let open = std::fs::File::options().write(true).open(path).expect("opens");
        open.set_modified(SystemTime::now() - age).expect("dated");
    }

    fn listed(dir: &Path) -> Vec<Arc<SourceFile>> {
        let file = |idx: usize| {
            let path = dir.join(format!("{idx}.csv"));
            let metadata = std::fs::metadata(&path).expect("metadata");
            Arc::new(SourceFile::local(format!("{idx}.csv"), path, &metadata))
        };
        (0..FILES_MIN).map(file).collect()
    }

    /// Looks at all files in a new session and keeps what is known.
    fn look(cache: &Cache, files: &[Arc<SourceFile>], depth: Depth) -> Vec<Arc<FileLayout>> {
        let (session, options) = (LayoutCache::default(), FormatOptions::default());
        let known = Layouts::load(&session, Some(cache), "location", files, &options);
        let layouts: Vec<_> = files.iter().map(|file| known.of(file, depth)).collect();
        let looked_at = files.iter().zip(&layouts);
        known.keep(
            Some(cache),
            "location",
            looked_at.map(|(file, layout)| (file, layout, depth, None)),
        );
        layouts.into_iter().map(|layout| layout.expect("readable")).collect()
    }

    #[test]
    fn a_layout_is_known_to_the_next_process_until_its_file_changes() {
        let dir = tempfile::tempdir().expect("dir");
        let cache = Cache::new(dir.path().join("cache"));
        for idx in 0..FILES_MIN {
            write(&dir.path().join(format!("{idx}.csv")), "a,b\n1,2\n", Duration::from_secs(60));
        }
        std::thread::sleep(Duration::from_millis(60));
        look(&cache, &listed(dir.path()), Depth::Head);
        // Marked, so that it can be told from what a look would find.
        let mut kept = cache.load_layouts("location");
        assert_eq!(kept.len(), FILES_MIN);
        for kept in &mut kept {
            kept.layout.notes.push((NoteKind::Dialect, "kept".into()));
        }
        cache.keep_layouts("location", &kept);
        let kept_count = |depth| {
            let layouts = look(&cache, &listed(dir.path()), depth);
            layouts.iter().filter(|layout| !layout.notes.is_empty()).count()
        };
        assert_eq!(kept_count(Depth::Head), FILES_MIN);
        write(&dir.path().join("3.csv"), "a;b\n1;2\n", Duration::from_secs(60));
        assert_eq!(kept_count(Depth::Head), FILES_MIN - 1);
        assert_eq!(kept_count(Depth::Deep), 0);
    }
}
