//! Files: an output file appears under its name when it is whole, or not at all.
//!
//! The bytes go to a temporary file beside the target; `publish` syncs it and renames it over the
//! target. A statement that fails or is stopped leaves the old file as it was.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::write::GzEncoder;
use tempfile::NamedTempFile;

use crate::error::{Error, Result};

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
pub struct Handle(Arc<Mutex<Packer>>);

impl Write for Handle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Packer::Plain(file) => file.write(bytes),
            Packer::Gzip(encoder) => encoder.write(bytes),
            Packer::Zstd(encoder) => encoder.write(bytes),
            Packer::Finished => Err(io::Error::other("the file is already published")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
enum Stage {
    Beside(NamedTempFile),
    /// Pipes and devices cannot be replaced: they are written to as they are.
    Direct(File),
}

impl OutputFile {
    /// Starts a file that will be published as `target`.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn create(target: &Path) -> Result<Self> {
        let fail =
            |error: io::Error| Error::data(format!("cannot write {}: {error}", target.display()));
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
        let mut builder = tempfile::Builder::new();
        builder.prefix(".swath-").suffix(".tmp");
        let permissions = existing.map(|metadata| metadata.permissions()).or_else(new_permissions);
        if let Some(permissions) = permissions {
            builder.permissions(permissions);
        }
        let stage = builder.tempfile_in(folder).map_err(fail)?;
        let file = stage.as_file().try_clone().map_err(fail)?;
        let packer = Arc::new(Mutex::new(Packer::new(file, &target).map_err(fail)?));
        Ok(OutputFile { target, stage: Stage::Beside(stage), packer })
    }

    /// Syncs the bytes and gives them the target's name.
    ///
    /// # Errors
    /// When the disk is full or the rename fails; the target is then as it was.
    pub fn publish(self) -> Result<()> {
        let fail = |error: io::Error, target: &Path| {
            Error::data(format!("cannot write {}: {error}", target.display()))
        };
        let finished = self.packer.lock().unwrap_or_else(PoisonError::into_inner).finish();
        finished.map_err(|error| fail(error, &self.target))?;
        match self.stage {
            Stage::Direct(mut file) => file.flush().map_err(|error| fail(error, &self.target)),
            Stage::Beside(stage) => {
                stage.as_file().sync_all().map_err(|error| fail(error, &self.target))?;
                stage.persist(&self.target).map_err(|error| fail(error.error, &self.target))?;
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
        Handle(Arc::clone(&self.packer))
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
        let file = OutputFile::create(&target).expect("create");
        file.handle().write_all(b"new").expect("write");
        drop(file);
        assert_eq!(fs::read_to_string(&target).expect("read"), "old");
        assert_eq!(fs::read_dir(dir.path()).expect("list").count(), 1);
        let file = OutputFile::create(&target).expect("create");
        file.handle().write_all(b"new").expect("write");
        file.publish().expect("publish");
        assert_eq!(fs::read_to_string(&target).expect("read"), "new");
    }
}
