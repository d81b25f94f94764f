//! Files: an output file appears under its name when it is whole, or not at all.
//!
//! The bytes go to a temporary file beside the target; `check` syncs it and `publish` renames it over
//! the target. A statement that fails or is stopped leaves the old file as it was. What becomes an
//! object in a store is written on this machine first, and sent when it is checked.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::write::GzEncoder;
use tempfile::NamedTempFile;

use super::sink::Format;
use crate::error::{Error, Result};
use crate::objects::{self, Objects};

/// How the names of files begin that are not published.
const STAGE_PREFIX: &str = ".swath-";

/// A file that is being written.
#[derive(Debug)]
pub struct OutputFile {
    target: PathBuf,
    stage: Stage,
    packer: Arc<Mutex<Packer>>,
}

/// What packs the bytes, by the target's extension.
enum Packer {
    Plain(File),
    Gzip(GzEncoder<File>),
    Zstd(zstd::Encoder<'static, File>),
    Finished,
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Packer")
    }
}

impl Packer {
    fn new(file: File, target: &Path) -> io::Result<Self> {
        Ok(match target.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => Packer::Gzip(GzEncoder::new(file, flate2::Compression::default())),
            Some("zst") => Packer::Zstd(zstd::Encoder::new(file, 0)?),
            _ => Packer::Plain(file),
        })
    }

    /// Writes what is still held back.
    fn finish(&mut self) -> io::Result<()> {
        match std::mem::replace(self, Packer::Finished) {
            Packer::Plain(mut file) => file.flush(),
            Packer::Gzip(encoder) => encoder.finish().map(drop),
            Packer::Zstd(encoder) => encoder.finish().map(drop),
            Packer::Finished => Ok(()),
        }
    }
}

/// Writes into an [`OutputFile`] that is not yet published.
#[derive(Debug)]
pub struct Handle {
    packer: Arc<Mutex<Packer>>,
    len_bytes: Arc<AtomicU64>,
}

impl Handle {
    /// How many bytes have been written, before they are packed.
    pub fn len_bytes(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.len_bytes)
    }
}

impl Write for Handle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = match &mut *self.packer.lock().unwrap_or_else(PoisonError::into_inner) {
            Packer::Plain(file) => file.write(bytes),
            Packer::Gzip(encoder) => encoder.write(bytes),
            Packer::Zstd(encoder) => encoder.write(bytes),
            Packer::Finished => Err(io::Error::other("the file is already published")),
        }?;
        self.len_bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
enum Stage {
    Beside(NamedTempFile),
    /// Becomes an object.
    Here(NamedTempFile, Objects),
    /// Pipes and devices cannot be replaced: they are written to as they are.
    Direct(File),
    /// A folder that is published as a whole.
    Folder(File),
}

impl OutputFile {
    /// Starts a file that will be published as `target`, a path or a URL.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn create(target: &Path, objects: &Objects) -> Result<Self> {
        let fail = |error: io::Error| Error::cannot_write(target, &error);
        if target.to_str().is_some_and(objects::is_url) {
            Objects::check_writable(&target.to_string_lossy())?;
            let stage = NamedTempFile::new().map_err(fail)?;
            let file = stage.as_file().try_clone().map_err(fail)?;
            let packer = Arc::new(Mutex::new(Packer::new(file, target).map_err(fail)?));
            let stage = Stage::Here(stage, objects.clone());
            return Ok(OutputFile { target: target.to_path_buf(), stage, packer });
        }
        // Through a link the file it points to is replaced, not the link.
        let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_path_buf());
        let existing = fs::metadata(&target).ok();
        if existing.as_ref().is_some_and(fs::Metadata::is_dir) {
            return Err(Error::usage(format!("{} is a folder", target.display()))
                .hint("name a file, for example result.parquet"));
        }
        if existing.as_ref().is_some_and(|metadata| !metadata.is_file()) {
            let file = File::options().write(true).open(&target).map_err(fail)?;
            let packer = Packer::new(file.try_clone().map_err(fail)?, &target).map_err(fail)?;
            let packer = Arc::new(Mutex::new(packer));
            return Ok(OutputFile { target, stage: Stage::Direct(file), packer });
        }
        let folder = match target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        super::commit::sweep_stages(folder, STAGE_PREFIX);
        let mut builder = tempfile::Builder::new();
        builder.prefix(STAGE_PREFIX).suffix(".tmp");
        let permissions = existing.map(|metadata| metadata.permissions()).or_else(new_permissions);
        if let Some(permissions) = permissions {
            builder.permissions(permissions);
        }
        let stage = builder.tempfile_in(folder).map_err(fail)?;
        let file = stage.as_file().try_clone().map_err(fail)?;
        // Held as long as this process lives; where there are no locks, nothing is swept.
        let _ = file.try_lock();
        let packer = Arc::new(Mutex::new(Packer::new(file, &target).map_err(fail)?));
        Ok(OutputFile { target, stage: Stage::Beside(stage), packer })
    }

    /// Starts a file in a folder that is published as a whole.
    ///
    /// # Errors
    /// When it exists, or cannot be created.
    pub fn staged(target: &Path) -> Result<Self> {
        let create = || {
            let file = File::options().write(true).create_new(true).open(target)?;
            Ok((Packer::new(file.try_clone()?, target)?, file))
        };
        let (packer, file) =
            create().map_err(|error: io::Error| Error::cannot_write(target, &error))?;
        let packer = Arc::new(Mutex::new(packer));
        Ok(OutputFile { target: target.to_path_buf(), stage: Stage::Folder(file), packer })
    }

    /// The name that it will have.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Writes what is held back, syncs it and looks whether it can be read; returns the length.
    ///
    /// # Errors
    /// When the disk is full, or the file does not hold what was written.
    pub fn check(&self, format: Format, row_count: u64) -> Result<u64> {
        let check = || {
            self.packer.lock().unwrap_or_else(PoisonError::into_inner).finish()?;
            let (file, path) = match &self.stage {
                Stage::Direct(_) => return Ok(0),
                Stage::Beside(staged) | Stage::Here(staged, _) => (staged.as_file(), staged.path()),
                Stage::Folder(file) => (file, self.target.as_path()),
            };
            file.sync_all()?;
            format.check(path, row_count)?;
            Ok(file.metadata()?.len())
        };
        check().map_err(|error| Error::cannot_write(&self.target, &error))
    }

    /// Gives the bytes, which [`OutputFile::check`] has synced, the target's name.
    ///
    /// # Errors
    /// When the disk is full or the rename fails; the target is then as it was.
    pub fn publish(self) -> Result<()> {
        let fail = |error: &io::Error| Error::cannot_write(&self.target, error);
        let finished = self.packer.lock().unwrap_or_else(PoisonError::into_inner).finish();
        finished.map_err(|error| fail(&error))?;
        match self.stage {
            Stage::Direct(mut file) => file.flush().map_err(|error| fail(&error)),
            Stage::Folder(_) => Ok(()),
            Stage::Here(stage, objects) => {
                let file = stage.reopen().map_err(|error| fail(&error))?;
                objects.upload(&self.target.to_string_lossy(), file)
            }
            Stage::Beside(stage) => {
                stage.persist(&self.target).map_err(|error| fail(&error.error))?;
                if let Some(folder) =
                    self.target.parent().filter(|path| !path.as_os_str().is_empty())
                    && let Ok(folder) = File::open(folder)
                {
                    // Best effort: some systems cannot sync folders.
                    let _ = folder.sync_all();
                }
                Ok(())
            }
        }
    }

    /// Something to write the bytes into.
    pub fn handle(&self) -> Handle {
        Handle { packer: Arc::clone(&self.packer), len_bytes: Arc::default() }
    }
}

#[cfg(unix)]
fn new_permissions() -> Option<fs::Permissions> {
    use std::os::unix::fs::PermissionsExt;
    // The umask takes its share, as for any new file.
    Some(fs::Permissions::from_mode(0o666))
}

#[cfg(not(unix))]
fn new_permissions() -> Option<fs::Permissions> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_published_never_was() {
        let dir = tempfile::tempdir().expect("dir");
        let target = dir.path().join("out.csv");
        fs::write(&target, "old").expect("write");
        // A process that was killed an hour ago.
        let litter = dir.path().join(".swath-abc.tmp");
        fs::write(&litter, "half").expect("write");
        let hour = std::time::Duration::from_secs(3600);
        let open = File::options().write(true).open(&litter).expect("opens");
        open.set_modified(std::time::SystemTime::now() - hour).expect("dated");
        let file = OutputFile::create(&target, &Objects::default()).expect("create");
        file.handle().write_all(b"new").expect("write");
        drop(file);
        assert_eq!(fs::read_to_string(&target).expect("read"), "old");
        assert_eq!(fs::read_dir(dir.path()).expect("list").count(), 1);
        let file = OutputFile::create(&target, &Objects::default()).expect("create");
        file.handle().write_all(b"new").expect("write");
        file.publish().expect("publish");
        assert_eq!(fs::read_to_string(&target).expect("read"), "new");
    }
}
