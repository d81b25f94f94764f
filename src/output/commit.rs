//! Commits: files that appear in a folder together, or not at all, whoever is killed when.
//!
//! A new folder, or a whole folder in the place of another, is staged beside it and takes its name in
//! one step. What is added to a folder, or replaces some of its files, goes through a journal:
//!
//! ```text
//! <folder>/.swath/stage-ID/    files are written here, locked by their writer
//!                 lock         held from here on, so that commits form one line
//!                 begin-ID     names what is added and removed; readers leave out what is added
//!                              ... the staged files are renamed to their places ...
//!                 commit-ID    begin-ID renamed: THE commit; readers now leave out what is removed
//!                              ... removed files are deleted, commit-ID goes ...
//!                 version      changes with each begin and each commit
//!                 done-BATCH   the batches that are in, for writers that run again
//! ```
//!
//! A reader looks at the journal before and after it lists a folder, and lists again if it changed
//! ([`State`]). The next writer rolls back what a dead one began, and finishes what it committed.
//!
//! Invariant: a reader that follows this sees whole commits only; others see whole files only.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::file::OutputFile;
use crate::error::{Error, Result};

/// The folder of the journal.
const JOURNAL: &str = ".swath";
/// A stage without a lock is left alone for so long: its writer may be about to lock it.
const STAGE_AGE_MIN: Duration = Duration::from_secs(60);

/// What to do when the folder already holds files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IfExists {
    /// Stop.
    #[default]
    Error,
    /// Put the new files in the place of all others.
    Overwrite,
    /// Add the new files.
    Append,
    /// Put the new files in the place of those in the partitions that they belong to.
    ReplacePartitions,
}

/// Files on their way into a folder. Dropped before it is published, nothing was.
#[derive(Debug)]
pub struct Commit {
    target: PathBuf,
    if_exists: IfExists,
    batch: Option<String>,
    id: String,
    stage: Stage,
    /// The staged files: folder below the target, and name.
    files: Vec<(String, String)>,
}

/// The folder in which files wait, locked as long as its writer lives.
#[derive(Debug)]
struct Stage {
    path: PathBuf,
    _lock: File,
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// What one commit does, as the journal has it. Paths are relative to the folder.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Change {
    add: Vec<PathBuf>,
    remove: Vec<PathBuf>,
    batch: Option<String>,
}

impl Commit {
    /// Starts to write into a folder; None if this batch is in already.
    ///
    /// # Errors
    /// When the folder holds files and `if_exists` says to stop, or it cannot be written to.
    pub fn begin(target: &Path, if_exists: IfExists, batch: Option<&str>) -> Result<Option<Self>> {
        let fail = |error: io::Error| Error::cannot_write(target, &error);
        let target = absolute(target).map_err(fail)?;
        if target.exists() && !target.is_dir() {
            return Err(Error::usage(format!("{} is a file", target.display()))
                .hint("many files need a folder to go to"));
        }
        if batch.is_some_and(|batch| target.join(JOURNAL).join(done_name(batch)).exists()) {
            return Ok(None);
        }
        let is_filled = holds_files(&target).map_err(fail)?;
        if is_filled && if_exists == IfExists::Error {
            return Err(Error::usage(format!("{} is not empty", target.display()))
                .hint("say what to do: APPEND, OVERWRITE, or REPLACE_PARTITIONS"));
        }
        let id = new_id();
        let beside = !target.is_dir()
            || if_exists == IfExists::Overwrite
            || if_exists == IfExists::Error && !target.join(JOURNAL).is_dir();
        let path = if beside {
            let (parent, name) = split(&target).map_err(fail)?;
            fs::create_dir_all(parent).map_err(fail)?;
            sweep_stages(parent, &format!(".{name}.swath-"));
            parent.join(format!(".{name}.swath-{id}"))
        } else {
            let journal = target.join(JOURNAL);
            fs::create_dir_all(&journal).map_err(fail)?;
            sweep_stages(&journal, "stage-");
            journal.join(format!("stage-{id}"))
        };
        fs::create_dir(&path).map_err(fail)?;
        let lock = File::open(&path).and_then(|folder| {
            folder.try_lock()?;
            Ok(folder)
        });
        let lock = lock.map_err(|error| {
            let _ = fs::remove_dir(&path);
            fail(error)
        })?;
        let stage = Stage { path, _lock: lock };
        let batch = batch.map(str::to_string);
        Ok(Some(Commit { target, if_exists, batch, id, stage, files: Vec::new() }))
    }

    /// A new file in a folder below the target (`year=2024/month=01`, or empty).
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(&mut self, folder: &str, extension: &str) -> Result<OutputFile> {
        let number = self.files.len();
        // Others write into a folder that exists.
        let name = if self.is_beside() {
            format!("part-{number:05}.{extension}")
        } else {
            format!("part-{}-{number:05}.{extension}", self.id)
        };
        let parent = self.stage.path.join(folder);
        disk::create_dir_all(&parent).map_err(|error| Error::cannot_write(&self.target, &error))?;
        let file = OutputFile::staged(&parent.join(&name))?;
        self.files.push((folder.to_string(), name));
        Ok(file)
    }

    fn is_beside(&self) -> bool {
        !self.stage.path.starts_with(&self.target)
    }

    /// Where the files will lie, in the order in which they were created.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.files.iter().map(|(folder, name)| self.target.join(folder).join(name)).collect()
    }

    /// Makes all files appear; returns false if the batch got in meanwhile, through another writer.
    ///
    /// # Errors
    /// When the disk fails; the folder is then as it was.
    pub fn publish(self) -> Result<bool> {
        if self.files.is_empty() && self.batch.is_none() && !self.is_beside() {
            return Ok(true);
        }
        let done = if self.is_beside() { self.take_the_name() } else { self.add_to_the_folder() };
        done.map_err(|error| Error::cannot_write(&self.target, &error))
    }

    /// The staged folder becomes the target.
    fn take_the_name(&self) -> io::Result<bool> {
        let stage = &self.stage.path;
        if let Some(batch) = &self.batch {
            disk::create_dir_all(&stage.join(JOURNAL))?;
            disk::write(&stage.join(JOURNAL).join(done_name(batch)), b"")?;
        }
        sync_folders(stage)?;
        let (parent, _) = split(&self.target)?;
        if self.if_exists == IfExists::Overwrite && self.target.is_dir() {
            // Whoever adds to the old folder comes before, or finds that it is another one.
            let _journal = Journal::lock(&self.target)?;
            disk::exchange(stage, &self.target)?;
            // The old folder is deleted with the stage.
        } else {
            disk::rename(stage, &self.target)?;
        }
        let _ = disk::sync_folder(parent);
        Ok(true)
    }

    /// The staged files go to their places, by the journal.
    fn add_to_the_folder(&self) -> io::Result<bool> {
        let journal = Journal::lock(&self.target)?;
        journal.recover()?;
        if self.batch.as_deref().is_some_and(|batch| journal.at(&done_name(batch)).exists()) {
            return Ok(false);
        }
        let add: Vec<PathBuf> =
            self.files.iter().map(|(folder, name)| Path::new(folder).join(name)).collect();
        let mut remove = Vec::new();
        if self.if_exists == IfExists::ReplacePartitions {
            let folders: BTreeSet<&str> =
                self.files.iter().map(|(folder, _)| folder.as_str()).collect();
            for folder in folders {
                files_below(&self.target, Path::new(folder), &mut remove)?;
            }
        }
        let change = Change { add, remove, batch: self.batch.clone() };
        let begin = journal.at(&format!("begin-{}", self.id));
        let committed = journal.at(&format!("commit-{}", self.id));
        let published = (|| {
            let text = serde_json::to_vec(&change).map_err(io::Error::other)?;
            journal.write(&begin, &text)?;
            journal.bump(&format!("begin {}", self.id))?;
            let mut folders = BTreeSet::new();
            for path in &change.add {
                let place = self.target.join(path);
                let folder = place.parent().unwrap_or(&self.target).to_path_buf();
                disk::create_dir_all(&folder)?;
                disk::rename(&self.stage.path.join(path), &place)?;
                folders.insert(folder);
            }
            for folder in folders {
                sync_up(&folder, &self.target)?;
            }
            disk::rename(&begin, &committed)
        })();
        if let Err(error) = published {
            // What cannot be undone now is left out by readers, and undone by the next writer.
            let _ = journal.roll_back(&begin, &change);
            return Err(error);
        }
        // It is in: whatever fails from here on, the next writer finishes.
        let _ = disk::sync_folder(&journal.folder);
        let _ = journal.finish(&committed, &change);
        Ok(true)
    }
}

/// The journal of a folder, while its lock is held.
struct Journal {
    target: PathBuf,
    folder: PathBuf,
    _lock: File,
}

impl Journal {
    fn lock(target: &Path) -> io::Result<Self> {
        let folder = target.join(JOURNAL);
        fs::create_dir_all(&folder)?;
        let place = folder.join("lock");
        let lock = File::options().create(true).truncate(false).write(true).open(&place)?;
        lock.lock()?;
        if !is_same(&lock.metadata()?, &fs::metadata(&place)?) {
            return Err(io::Error::other("another writer has put a new folder in its place"));
        }
        Ok(Journal { target: target.to_path_buf(), folder, _lock: lock })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a file of the journal as a whole.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let staged = self.at("new");
        disk::write(&staged, bytes)?;
        disk::rename(&staged, path)?;
        disk::sync_folder(&self.folder)
    }

    fn bump(&self, version: &str) -> io::Result<()> {
        self.write(&self.at("version"), version.as_bytes())
    }

    /// Ends what dead writers left: the lock says that they are dead.
    fn recover(&self) -> io::Result<()> {
        for (name, change) in entries(&self.folder)? {
            let path = self.at(&name);
            if name.starts_with("begin-") {
                self.roll_back(&path, &change)?;
            } else {
                self.finish(&path, &change)?;
            }
        }
        Ok(())
    }

    fn roll_back(&self, begin: &Path, change: &Change) -> io::Result<()> {
        self.remove(&change.add)?;
        remove_file(begin)
    }

    fn finish(&self, committed: &Path, change: &Change) -> io::Result<()> {
        if let Some(batch) = &change.batch {
            self.write(&self.at(&done_name(batch)), b"")?;
        }
        self.remove(&change.remove)?;
        self.bump(&committed.display().to_string())?;
        remove_file(committed)
    }

    fn remove(&self, paths: &[PathBuf]) -> io::Result<()> {
        paths.iter().try_for_each(|path| remove_file(&self.target.join(path)))
    }
}

/// What the journal of a folder says at one moment; None where there is none.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct State {
    version: Vec<u8>,
    changes: Vec<(String, Change)>,
}

impl State {
    /// Looks at a folder's journal.
    ///
    /// # Errors
    /// When there is one that cannot be read.
    pub fn of(folder: &Path) -> io::Result<Option<Self>> {
        let journal = folder.join(JOURNAL);
        if !journal.is_dir() {
            return Ok(None);
        }
        let version = match fs::read(journal.join("version")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            version => version?,
        };
        Ok(Some(State { version, changes: entries(&journal)? }))
    }

    /// Files below the folder that are not part of it: not yet, or no more.
    pub fn left_out(&self) -> impl Iterator<Item = &Path> {
        self.changes.iter().flat_map(|(name, change)| {
            let paths = if name.starts_with("begin-") { &change.add } else { &change.remove };
            paths.iter().map(PathBuf::as_path)
        })
    }
}

/// The changes that are under way, in the order of their names.
fn entries(journal: &Path) -> io::Result<Vec<(String, Change)>> {
    let mut changes = Vec::new();
    for entry in fs::read_dir(journal)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with("begin-") && !name.starts_with("commit-") {
            continue;
        }
        match fs::read(journal.join(&name)) {
            // Gone meanwhile: the version tells.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            bytes => changes.push((name, serde_json::from_slice(&bytes?)?)),
        }
    }
    changes.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(changes)
}

fn done_name(batch: &str) -> String {
    let name: String = batch.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("done-{name}")
}

/// A name that no other commit has.
fn new_id() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{:x}-{:x}-{count:x}", since.as_nanos(), std::process::id())
}

#[cfg(unix)]
fn is_same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn is_same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    one.created().ok() == other.created().ok()
}

/// The path from the root; through a link the folder that it points to.
fn absolute(target: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let plain: PathBuf = std::path::absolute(target)?.components().collect();
            Ok(plain)
        }
        found => found,
    }
}

fn split(target: &Path) -> io::Result<(&Path, String)> {
    let name = target.file_name().map(|name| name.to_string_lossy().into_owned());
    target.parent().zip(name).ok_or_else(|| io::Error::other("it has no parent folder"))
}

/// Whether there is anything in a folder but its journal.
fn holds_files(folder: &Path) -> io::Result<bool> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
        Ok(listing) => {
            for entry in listing {
                if entry?.file_name() != JOURNAL {
                    return Ok(true);
                }
            }
            Ok(false)
        }
    }
}

/// The files that readers would find below a folder.
fn files_below(target: &Path, folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let listing = match fs::read_dir(target.join(folder)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        listing => listing?,
    };
    for entry in listing {
        let entry = entry?;
        let (name, path) = (entry.file_name(), folder.join(entry.file_name()));
        if name.to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type()?.is_dir() {
            files_below(target, &path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

/// Deletes what dead writers left: the lock of a file or folder that they staged is free.
pub(super) fn sweep_stages(folder: &Path, prefix: &str) {
    let Ok(listing) = fs::read_dir(folder) else { return };
    for entry in listing.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(prefix) {
            continue;
        }
        let made = entry.metadata().and_then(|metadata| metadata.modified());
        let age = made.ok().and_then(|made| made.elapsed().ok());
        let Ok(stage) = File::open(entry.path()) else { continue };
        if age.is_some_and(|age| age >= STAGE_AGE_MIN) && stage.try_lock().is_ok() {
            let path = entry.path();
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
    }
}

fn remove_file(path: &Path) -> io::Result<()> {
    match disk::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Makes the names in all folders in a folder, and in itself, survive a power cut.
fn sync_folders(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    disk::sync_folder(folder)
}

/// The same for a folder and those above it, up to `top`.
fn sync_up(folder: &Path, top: &Path) -> io::Result<()> {
    folder.ancestors().take_while(|above| above.starts_with(top)).try_for_each(disk::sync_folder)
}

/// The steps that change a disk; in tests each of them can fail.
mod disk {
    use super::{File, Path, fs, io};

    #[cfg(test)]
    thread_local! {
        /// How many more steps succeed.
        pub(super) static STEPS_LEFT: std::cell::Cell<usize> =
            const { std::cell::Cell::new(usize::MAX) };
        /// Whether all steps behind the one that fails do so too.
        pub(super) static DIES: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    }

    fn step() -> io::Result<()> {
        #[cfg(test)]
        match STEPS_LEFT.get().checked_sub(1) {
            Some(left) => STEPS_LEFT.set(left),
            None => {
                STEPS_LEFT.set(if DIES.get() { 0 } else { usize::MAX });
                return Err(io::Error::other("injected"));
            }
        }
        Ok(())
    }

    pub(super) fn create_dir_all(path: &Path) -> io::Result<()> {
        step()?;
        fs::create_dir_all(path)
    }

    pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
        step()?;
        fs::write(path, bytes)?;
        step()?;
        File::open(path)?.sync_all()
    }

    pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
        step()?;
        fs::rename(from, to)
    }

    pub(super) fn remove_file(path: &Path) -> io::Result<()> {
        step()?;
        fs::remove_file(path)
    }

    /// Makes the names in a folder survive a power cut.
    pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
        step()?;
        match File::open(path)?.sync_all() {
            // Some file systems cannot.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            result => result,
        }
    }

    /// Gives two folders each other's name: in one step where the system can, else in three.
    pub(super) fn exchange(one: &Path, other: &Path) -> io::Result<()> {
        step()?;
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            match renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {}
                result => return Ok(result?),
            }
        }
        let mut aside = one.as_os_str().to_os_string();
        aside.push("-old");
        fs::rename(other, &aside)?;
        if let Err(error) = fs::rename(one, other) {
            fs::rename(&aside, other)?;
            return Err(error);
        }
        fs::rename(&aside, one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// What a reader finds: each file's path without its number, and its text.
    fn read(target: &Path) -> BTreeSet<(String, String)> {
        let state = State::of(target).expect("readable").unwrap_or_default();
        let left_out: BTreeSet<&Path> = state.left_out().collect();
        let mut files = Vec::new();
        files_below(target, Path::new(""), &mut files).expect("lists");
        let files = files.iter().filter(|path| !left_out.contains(path.as_path()));
        files
            .map(|path| {
                let folder = path.parent().expect("below").display().to_string();
                (folder, fs::read_to_string(target.join(path)).expect("reads"))
            })
            .collect()
    }

    fn write(
        target: &Path,
        how: IfExists,
        batch: Option<&str>,
        files: &[(&str, &str)],
    ) -> Result<bool> {
        let Some(mut commit) = Commit::begin(target, how, batch)? else { return Ok(false) };
        for (folder, text) in files {
            let file = commit.create(folder, "csv")?;
            file.handle().write_all(text.as_bytes()).expect("written");
            file.publish()?;
        }
        commit.publish()
    }

    fn set(files: &[(&str, &str)]) -> BTreeSet<(String, String)> {
        files.iter().map(|(folder, text)| ((*folder).into(), (*text).into())).collect()
    }

    const OLD: [(&str, &str); 3] = [("k=1", "a"), ("k=2", "b"), ("k=2", "c")];
    const NEW: [(&str, &str); 2] = [("k=2", "d"), ("k=3", "e")];

    #[test]
    fn each_way_to_write_does_what_it_says() {
        let dir = tempfile::tempdir().expect("dir");
        let target = dir.path().join("deep/t");
        assert!(write(&target, IfExists::Error, None, &OLD).expect("new"));
        assert_eq!(read(&target), set(&OLD));
        let error = write(&target, IfExists::Error, None, &NEW).expect_err("not empty");
        assert!(error.to_string().contains("is not empty"), "{error}");
        assert!(write(&target, IfExists::ReplacePartitions, None, &NEW).expect("replaced"));
        assert_eq!(read(&target), set(&[("k=1", "a"), ("k=2", "d"), ("k=3", "e")]));
        // The same batch again changes nothing.
        for expected in [true, false] {
            let added = write(&target, IfExists::Append, Some("b/1"), &[("k=1", "f")]);
            assert_eq!(added.expect("added"), expected);
        }
        let all = [("k=1", "a"), ("k=1", "f"), ("k=2", "d"), ("k=3", "e")];
        assert_eq!(read(&target), set(&all));
        assert!(write(&target, IfExists::Overwrite, None, &OLD).expect("over"));
        assert_eq!(read(&target), set(&OLD));
        // Nothing else is left beside it.
        assert_eq!(fs::read_dir(dir.path().join("deep")).expect("lists").count(), 1);
    }

    /// Each step that changes the disk fails once, and all after it: as if the process died there.
    #[test]
    fn whatever_fails_a_reader_sees_the_old_or_the_new() {
        let cases: [(IfExists, &[(&str, &str)]); 3] = [
            (
                IfExists::Append,
                &[("k=1", "a"), ("k=2", "b"), ("k=2", "c"), ("k=2", "d"), ("k=3", "e")],
            ),
            (IfExists::ReplacePartitions, &[("k=1", "a"), ("k=2", "d"), ("k=3", "e")]),
            (IfExists::Overwrite, &NEW),
        ];
        for (how, new) in cases {
            for dies in [false, true] {
                let mut steps = 0;
                while fails_at(steps, dies, how, new) {
                    steps += 1;
                }
                assert!(steps >= 3, "{how:?}: {steps}");
            }
        }
    }

    /// Lets a step fail; returns false if the commit takes fewer steps.
    fn fails_at(steps: usize, dies: bool, how: IfExists, new: &[(&str, &str)]) -> bool {
        let dir = tempfile::tempdir().expect("dir");
        let target = dir.path().join("t");
        write(&target, IfExists::Error, None, &OLD).expect("old");
        disk::STEPS_LEFT.set(steps);
        disk::DIES.set(dies);
        let written = write(&target, how, None, &NEW);
        let left = disk::STEPS_LEFT.replace(usize::MAX);
        let mut found = read(&target);
        let what = format!("{how:?} after {steps} steps, {dies}: {written:?}");
        assert_eq!(found, set(if written.is_ok() { new } else { &OLD }), "{what}");
        // The next writer mends what is left.
        write(&target, IfExists::Append, None, &[("k=9", "z")]).expect("appends");
        found.insert(("k=9".into(), "z".into()));
        assert_eq!(read(&target), found, "{what}");
        let journal = State::of(&target).expect("readable").expect("there");
        assert!(journal.changes.is_empty(), "{what}: {journal:?}");
        if dies { left == 0 } else { left > usize::MAX / 2 }
    }

    #[test]
    fn writers_at_the_same_time_lose_nothing() {
        let dir = tempfile::tempdir().expect("dir");
        let target = dir.path().join("t");
        write(&target, IfExists::Error, None, &OLD[..1]).expect("old");
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let target = &target;
                scope.spawn(move || {
                    for round in 0..10 {
                        let text = format!("{writer} {round}");
                        let files = [("k=1", text.as_str()), ("k=2", text.as_str())];
                        write(target, IfExists::Append, None, &files).expect("appends");
                    }
                });
            }
            for _ in 0..100 {
                let before = State::of(&target).expect("readable");
                let found = read(&target);
                if State::of(&target).expect("readable") == before {
                    // Two files for each commit.
                    assert_eq!(found.len() % 2, 1, "{found:?}");
                }
            }
        });
        assert_eq!(read(&target).len(), 81);
    }
}
