//! A folder of entries that may be lost: each under a key, checksummed, all together bounded.
//!
//! ```text
//! <folder>/<hash of the key>:  swath <version> <checksum> <length of the key>\n<key><body>
//! <folder>/pack-<time>-...:    many of these one after the other, then for each
//!                              <hash> <offset> <length>, then <count> <mark>
//! ```
//!
//! Entries wait in memory until [`Store::flush`]: making a file costs more than writing it.
//!
//! Invariant: what is damaged, or of another version or key, is not there. Files are written beside
//! their place and renamed into it, so that several processes can read and write at once.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// How many files are made between two looks at the size of the folder.
const MADE_BETWEEN_LOOKS: u64 = 64;
/// Fewer entries are files of their own.
const PACK_ENTRIES_MIN: usize = 8;
/// More bytes than this do not wait.
const WAITING_LEN_MAX_BYTES: usize = 8 * 1024 * 1024;
/// More small packs than this become one.
const PACKS_MAX: usize = 32;
const PACK_LEN_SMALL_BYTES: u64 = 2 * 1024 * 1024;
const PACK_PREFIX: &str = "pack-";
const PACK_MARK: &[u8; 8] = b"swathpk1";
/// Bytes of one entry in the index of a pack.
const INDEX_LEN_BYTES: u64 = 32;

/// A folder of entries. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    len_max_bytes: u64,
    made_count: AtomicU64,
    waiting: Mutex<Waiting>,
    packs: Mutex<Packs>,
}

/// Entries that are not yet on disk.
#[derive(Debug, Default)]
struct Waiting {
    entries: HashMap<String, Vec<u8>>,
    len_bytes: usize,
}

/// The packs of the folder, as it was when it was listed last.
#[derive(Debug, Default)]
struct Packs {
    listed: Option<SystemTime>,
    /// Those that are small.
    small: HashSet<PathBuf>,
    /// The one that was read last.
    open: Option<(PathBuf, File)>,
    /// Where the newest entry of a key lies.
    places: HashMap<u128, Place>,
}

#[derive(Debug, Clone)]
struct Place {
    pack: PathBuf,
    offset: u64,
    len_bytes: u64,
}

/// How much a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreStats {
    /// Entries.
    pub entry_count: u64,
    /// What they take on disk.
    pub len_bytes: u64,
}

impl Store {
    /// A store in a folder, which is made when there is something to keep.
    pub fn new(folder: impl Into<PathBuf>, len_max_bytes: u64) -> Self {
        Store(Arc::new(Inner {
            folder: folder.into(),
            len_max_bytes,
            made_count: AtomicU64::new(0),
            waiting: Mutex::default(),
            packs: Mutex::default(),
        }))
    }

    /// What was kept under a key.
    pub fn load(&self, key: &str) -> Option<Vec<u8>> {
        if let Some(body) = self.waiting().entries.get(key) {
            return Some(body.clone());
        }
        let bytes = std::fs::read(self.place(hash(key))).ok();
        bytes.or_else(|| self.packs().read(hash(key))).and_then(|bytes| body(key, bytes))
    }

    /// Keeps a body under a key, in memory until it is written.
    pub fn keep(&self, key: &str, body: Vec<u8>) {
        let mut waiting = self.waiting();
        waiting.len_bytes += body.len();
        waiting.entries.insert(key.to_string(), body);
        if waiting.len_bytes >= WAITING_LEN_MAX_BYTES {
            drop(waiting);
            self.flush();
        }
    }

    /// Writes what waits; failing to is no error: it will be found out again.
    pub fn flush(&self) {
        let waiting = std::mem::take(&mut *self.waiting());
        if waiting.entries.is_empty() {
            return;
        }
        let entries = waiting.entries.iter().map(|(key, body)| (hash(key), entry(key, body)));
        let _ = if waiting.entries.len() < PACK_ENTRIES_MIN {
            entries
                .into_iter()
                .try_for_each(|(hash, bytes)| self.write(&self.place(hash), &[bytes]))
        } else {
            self.write_pack(entries.collect())
        };
    }

    /// How much there is.
    pub fn stats(&self) -> StoreStats {
        let files = self.files();
        let single = files.iter().filter(|(path, ..)| !is_pack(path)).count() as u64;
        StoreStats {
            entry_count: single + self.packs().places.len() as u64,
            len_bytes: files.iter().map(|(_, len, _)| len).sum(),
        }
    }

    /// Deletes everything.
    ///
    /// # Errors
    /// When the folder cannot be deleted.
    pub fn clear(&self) -> io::Result<()> {
        *self.waiting() = Waiting::default();
        match std::fs::remove_dir_all(&self.0.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.0.folder
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The packs that are there now.
    fn packs(&self) -> MutexGuard<'_, Packs> {
        let mut packs = self.0.packs.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = std::fs::metadata(&self.0.folder).and_then(|folder| folder.modified()).ok();
        if changed != packs.listed {
            *packs = Packs { listed: changed, ..Packs::default() };
            let mut files = self.files();
            files.retain(|(path, ..)| is_pack(path));
            // Their names have the order of time.
            files.sort();
            for (path, ..) in files {
                let _ = packs.add(path);
            }
        }
        packs
    }

    fn write_pack(&self, mut entries: Vec<(u128, Vec<u8>)>) -> io::Result<()> {
        let fresh: Vec<u128> = entries.iter().map(|(hash, _)| *hash).collect();
        let old = self.take_small_packs(&fresh, &mut entries);
        let (mut offset, mut index) = (0_u64, Vec::new());
        for (hash, bytes) in &entries {
            index.extend_from_slice(&hash.to_le_bytes());
            index.extend_from_slice(&offset.to_le_bytes());
            index.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            offset += bytes.len() as u64;
        }
        index.extend_from_slice(&(entries.len() as u64).to_le_bytes());
        index.extend_from_slice(PACK_MARK);
        let mut parts: Vec<Vec<u8>> = entries.into_iter().map(|(_, bytes)| bytes).collect();
        parts.push(index);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let name = format!("{PACK_PREFIX}{:024x}-{:x}", now.as_nanos(), std::process::id());
        self.write(&self.0.folder.join(name), &parts)?;
        // What the pack has in a newer state, and what it has taken in.
        let single = fresh.into_iter().map(|hash| self.place(hash));
        for path in single.chain(old) {
            let _ = std::fs::remove_file(path);
        }
        Ok(())
    }

    /// Once there are many small packs, adds what they hold to the entries of a new one.
    fn take_small_packs(&self, fresh: &[u128], entries: &mut Vec<(u128, Vec<u8>)>) -> Vec<PathBuf> {
        let mut packs = self.packs();
        if packs.small.len() < PACKS_MAX {
            return Vec::new();
        }
        let is_old = |hash: &u128| !fresh.contains(hash) && !self.place(*hash).exists();
        let small = packs.places.iter().filter(|(_, place)| packs.small.contains(&place.pack));
        let hashes: Vec<u128> = small.map(|(hash, _)| *hash).filter(is_old).collect();
        entries.extend(hashes.into_iter().filter_map(|hash| Some((hash, packs.read(hash)?))));
        packs.small.iter().cloned().collect()
    }

    /// Writes a file as a whole.
    fn write(&self, path: &Path, parts: &[Vec<u8>]) -> io::Result<()> {
        make_private(&self.0.folder)?;
        let mut staged = tempfile::NamedTempFile::new_in(&self.0.folder)?;
        for part in parts {
            staged.write_all(part)?;
        }
        staged.persist(path)?;
        if self.0.made_count.fetch_add(1, Ordering::Relaxed).is_multiple_of(MADE_BETWEEN_LOOKS) {
            self.shrink();
        }
        Ok(())
    }

    /// Deletes the oldest files until the rest is small enough.
    fn shrink(&self) {
        let mut files = self.files();
        let mut total: u64 = files.iter().map(|(_, len, _)| len).sum();
        files.sort_by_key(|(_, _, modified)| *modified);
        for (path, len, _) in files {
            if total <= self.0.len_max_bytes {
                return;
            }
            if std::fs::remove_file(path).is_ok() {
                total -= len;
            }
        }
    }

    fn files(&self) -> Vec<(PathBuf, u64, SystemTime)> {
        let Ok(listing) = std::fs::read_dir(&self.0.folder) else { return Vec::new() };
        listing
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let metadata = entry.metadata().ok()?;
                Some((entry.path(), metadata.len(), metadata.modified().ok()?))
            })
            .collect()
    }

    fn place(&self, hash: u128) -> PathBuf {
        self.0.folder.join(format!("{hash:032x}"))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Statements flush what they keep; this is for those that were stopped.
        let waiting = std::mem::take(&mut self.waiting).into_inner().unwrap_or_default();
        if !waiting.entries.is_empty() {
            let store = Store::new(self.folder.clone(), self.len_max_bytes);
            *store.waiting() = waiting;
            store.flush();
        }
    }
}

impl Packs {
    /// Takes in the index of a pack.
    fn add(&mut self, path: PathBuf) -> io::Result<()> {
        let bad = || io::Error::other("no pack");
        let mut file = File::open(&path)?;
        let len = file.metadata()?.len();
        let mut tail = [0; 16];
        file.seek(SeekFrom::Start(len.checked_sub(16).ok_or_else(bad)?))?;
        file.read_exact(&mut tail)?;
        let (count, mark) = tail.split_at(8);
        let count = u64::from_le_bytes(count.try_into().map_err(|_| bad())?);
        let index_len = count.checked_mul(INDEX_LEN_BYTES).filter(|index| index + 16 <= len);
        let (true, Some(index_len)) = (mark == PACK_MARK, index_len) else { return Err(bad()) };
        file.seek(SeekFrom::Start(len - 16 - index_len))?;
        let mut index = vec![0; usize::try_from(index_len).map_err(|_| bad())?];
        file.read_exact(&mut index)?;
        for line in index.chunks_exact(INDEX_LEN_BYTES as usize) {
            let number =
                |at: usize| line[at..at + 8].try_into().map(u64::from_le_bytes).unwrap_or_default();
            let hash = line[..16].try_into().map(u128::from_le_bytes).unwrap_or_default();
            let place = Place { pack: path.clone(), offset: number(16), len_bytes: number(24) };
            if place.offset.checked_add(place.len_bytes).is_some_and(|end| end <= len) {
                self.places.insert(hash, place);
            }
        }
        if len < PACK_LEN_SMALL_BYTES {
            self.small.insert(path);
        }
        Ok(())
    }

    fn read(&mut self, hash: u128) -> Option<Vec<u8>> {
        let Place { pack, offset, len_bytes } = self.places.get(&hash)?.clone();
        if self.open.as_ref().is_none_or(|(path, _)| *path != pack) {
            self.open = Some((pack.clone(), File::open(&pack).ok()?));
        }
        let (_, file) = self.open.as_mut()?;
        file.seek(SeekFrom::Start(offset)).ok()?;
        let mut bytes = vec![0; usize::try_from(len_bytes).ok()?];
        file.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }
}

fn is_pack(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PACK_PREFIX))
}

fn hash(key: &str) -> u128 {
    let half = |seed: u64| {
        let mut hasher = DefaultHasher::new();
        (seed, key).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

fn entry(key: &str, body: &[u8]) -> Vec<u8> {
    let rest = [key.as_bytes(), body].concat();
    [head(key, &rest).as_bytes(), b"\n", &rest].concat()
}

/// The body of an entry, if it is whole and of this key.
fn body(key: &str, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let line_end = bytes.iter().position(|byte| *byte == b'\n')?;
    let body_start = line_end + 1 + key.len();
    let (line, rest) = (&bytes[..line_end], bytes.get(line_end + 1..)?);
    (line == head(key, rest).as_bytes() && rest.starts_with(key.as_bytes()))
        .then(|| bytes.split_off(body_start))
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

    fn keep(store: &Store, keys: &[String], body: &[u8]) {
        for key in keys {
            store.keep(key, body.to_vec());
        }
        store.flush();
    }

    fn keys(range: std::ops::Range<usize>) -> Vec<String> {
        range.map(|idx| format!("key\n{idx}")).collect()
    }

    #[test]
    fn what_is_damaged_is_not_there() {
        // One entry in a file of its own, and some in a pack.
        for count in [1, PACK_ENTRIES_MIN] {
            let dir = tempfile::tempdir().expect("dir");
            let open = || Store::new(dir.path().join("s"), 100_000);
            keep(&open(), &keys(0..count), b"body");
            assert_eq!(open().load("key\n0").as_deref(), Some(b"body".as_slice()));
            assert_eq!(open().load("key\nother"), None);
            assert_eq!(open().stats().entry_count, count as u64);
            assert_eq!(open().files().len(), 1);
            let (place, ..) = open().files().remove(0);
            let bytes = std::fs::read(&place).expect("there");
            for idx in 0..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[idx] ^= 1;
                let found = |bytes: &[u8]| {
                    std::fs::write(&place, bytes).expect("written");
                    let store = open();
                    let found: Vec<_> = keys(0..count).iter().map(|key| store.load(key)).collect();
                    found
                };
                for found in [found(&damaged), found(&bytes[..idx])] {
                    // A count of one more in a pack does no harm.
                    assert!(found.contains(&None) || count > 1, "byte {idx}");
                    let whole =
                        |body: &Option<Vec<u8>>| body.as_deref().is_none_or(|body| body == b"body");
                    assert!(found.iter().all(whole), "byte {idx}");
                }
            }
        }
    }

    #[test]
    fn the_newest_counts_wherever_it_lies() {
        let dir = tempfile::tempdir().expect("dir");
        let open = || Store::new(dir.path(), 100_000_000);
        let mut expected = HashMap::new();
        for round in 0..3 * PACKS_MAX {
            // Files of their own and packs by turns; the last ones are merged.
            let count = if round % 3 == 0 { 2 } else { PACK_ENTRIES_MIN };
            let body = round.to_string().into_bytes();
            let some = keys(round % 5..round % 5 + count);
            keep(&open(), &some, &body);
            expected.extend(some.into_iter().map(|key| (key, body.clone())));
            let store = open();
            for (key, body) in &expected {
                assert_eq!(store.load(key).as_ref(), Some(body), "round {round}, {key:?}");
            }
        }
        assert!(open().files().len() <= PACKS_MAX + PACK_ENTRIES_MIN + 5);
    }

    #[test]
    fn the_oldest_make_room() {
        let dir = tempfile::tempdir().expect("dir");
        let store = Store::new(dir.path(), 500);
        for idx in 0..=MADE_BETWEEN_LOOKS as usize {
            keep(&store, &keys(idx..idx + 1), &[0; 50]);
        }
        assert!(store.stats().len_bytes <= 500, "{:?}", store.stats());
        assert!(store.stats().entry_count > 0);
        store.clear().expect("cleared");
        assert_eq!(store.stats().entry_count, 0);
    }
}
