//! One file as it was when the statement was planned, and reading it as just that.
//!
//! Invariant: a file that changed since it was listed is an error that names it, never a mixture of
//! old and new bytes and never a wait for bytes that are gone.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use parquet::file::reader::{ChunkReader, Length};

use crate::error::{Error, Place, Result};
use crate::objects::{Object, ObjectReader};
use crate::roots::Roots;

/// A file that changed so shortly before could change again within the clock's granularity.
const SETTLED_NS: i128 = 2_000_000_000;
/// The same of an object without a tag: a store has a clock of its own.
const SETTLED_OBJECT_NS: i128 = 60_000_000_000;
/// The system's own clock of changes, which nobody can set back, ticks at least this often.
const CLOCK_NS: i128 = 50_000_000;
/// Files up to this length are read once and kept until their statement ends.
const SMALL_LEN_MAX_BYTES: u64 = 16 * 1024;
/// The same of objects: to ask for one again takes longer.
const SMALL_OBJECT_LEN_MAX_BYTES: u64 = 256 * 1024;
/// So much is kept of a longer object, since it is looked at more than once: what is sampled of text.
const OBJECT_HEAD_LEN_BYTES: usize = 64 * 1024 + 1;
/// A shorter read of an object is one of several close to one another.
const LITTLE_LEN_MAX_BYTES: usize = 4 * 1024;
/// What is asked for then.
const WINDOW_LEN_BYTES: u64 = 256 * 1024;
/// All small files together are not longer than this.
const SMALL_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The bytes of small files that are held now.
static SMALL_BYTES: AtomicUsize = AtomicUsize::new(0);

/// What tells one version of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Identity {
    /// Length in bytes.
    pub len: u64,
    /// Modification time in nanoseconds since 1970.
    pub modified_ns: i128,
    /// Device and inode, 0 where the system has none; of an object the number of its state.
    pub inode: (u64, u64),
}

impl Identity {
    /// Reads the identity out of a file's metadata.
    pub fn of(metadata: &Metadata) -> Self {
        let modified_ns = match metadata.modified() {
            Ok(time) => match time.duration_since(UNIX_EPOCH) {
                Ok(after) => after.as_nanos() as i128,
                Err(before) => -(before.duration().as_nanos() as i128),
            },
            Err(_) => 0,
        };
        Identity { len: metadata.len(), modified_ns, inode: inode(metadata) }
    }
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

#[cfg(unix)]
fn changed_ns(metadata: &Metadata) -> i128 {
    use std::os::unix::fs::MetadataExt;
    i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec())
}

#[cfg(not(unix))]
fn changed_ns(_metadata: &Metadata) -> i128 {
    0
}

#[cfg(not(unix))]
fn inode(_metadata: &Metadata) -> (u64, u64) {
    (0, 0)
}

/// One file in one location.
#[derive(Debug)]
pub struct SourceFile {
    /// The name that the user knows it by, as it appears in errors, notes and `filename`.
    pub name: String,
    /// Its identity at planning; of standard input only a placeholder.
    pub identity: Identity,
    bytes: Bytes,
    /// When anything about the file was changed last, even its times; 0 where the system does not
    /// say.
    changed_ns: i128,
    /// All bytes of a small file, once they were read.
    small: OnceLock<Small>,
}

#[derive(Debug)]
enum Bytes {
    Local(PathBuf, Roots),
    Object(Arc<Object>),
    Stream(Arc<StreamSource>),
}

impl SourceFile {
    /// A file on a local disk.
    pub fn local(name: impl Into<String>, path: PathBuf, metadata: &Metadata) -> Self {
        SourceFile::within(Roots::default(), name, path, metadata)
    }

    /// A file on a local disk that is opened only where it lies in one of the roots.
    pub fn within(
        roots: Roots,
        name: impl Into<String>,
        path: PathBuf,
        metadata: &Metadata,
    ) -> Self {
        SourceFile {
            name: name.into(),
            identity: Identity::of(metadata),
            bytes: Bytes::Local(path, roots),
            changed_ns: changed_ns(metadata),
            small: OnceLock::new(),
        }
    }

    /// An object in a store.
    pub fn object(object: Object) -> Self {
        SourceFile {
            name: object.name.clone(),
            identity: Identity {
                len: object.len_bytes(),
                modified_ns: object.modified_ns(),
                inode: object.state(),
            },
            bytes: Bytes::Object(Arc::new(object)),
            changed_ns: 0,
            small: OnceLock::new(),
        }
    }

    /// Bytes that can be read only once, such as standard input.
    pub fn stream(name: impl Into<String>, stream: Arc<StreamSource>) -> Self {
        SourceFile {
            name: name.into(),
            identity: Identity::default(),
            bytes: Bytes::Stream(stream),
            changed_ns: 0,
            small: OnceLock::new(),
        }
    }

    /// Whether the bytes can be read only once, from the front.
    pub fn is_stream(&self) -> bool {
        matches!(self.bytes, Bytes::Stream(_))
    }

    /// The path on the local disk, if it lies there.
    pub fn path(&self) -> Option<&Path> {
        match &self.bytes {
            Bytes::Local(path, _) => Some(path),
            Bytes::Object(_) | Bytes::Stream(_) => None,
        }
    }

    /// The object, if it is one.
    pub fn as_object(&self) -> Option<&Arc<Object>> {
        match &self.bytes {
            Bytes::Object(object) => Some(object),
            Bytes::Local(..) | Bytes::Stream(_) => None,
        }
    }

    /// What any process finds the file by: an absolute path, or a URL; None for a stream, for an
    /// address that may be secret, and for an object whose states cannot be told apart.
    pub fn address(&self) -> Option<String> {
        match &self.bytes {
            Bytes::Local(path, _) => Some(std::path::absolute(path).ok()?.to_str()?.to_string()),
            Bytes::Object(object) => {
                Some(object.url.clone()).filter(|url| object.has_state() && *url == object.name)
            }
            Bytes::Stream(_) => None,
        }
    }

    /// Names this state of a file, for what is kept of it; None for a stream.
    pub fn state_key(&self) -> Option<String> {
        let Identity { len, modified_ns, inode: (device, inode) } = self.identity;
        let (address, changed_ns) = (self.address()?, self.changed_ns);
        Some(format!("{address}\n{len} {modified_ns} {changed_ns} {device} {inode}"))
    }

    /// Whether the file was left alone long enough for a change to show in its time of modification.
    pub fn is_settled(&self) -> bool {
        let settled_ns = match self.as_object() {
            Some(object) if object.has_tag() => return true,
            Some(_) => SETTLED_OBJECT_NS,
            None => SETTLED_NS,
        };
        let now =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as i128);
        now - self.identity.modified_ns > settled_ns && now - self.changed_ns > CLOCK_NS
    }

    /// Opens a file and checks that it is still the one that was listed; of an object each read
    /// does.
    ///
    /// # Errors
    /// When it is gone, cannot be opened, or changed.
    pub fn open(self: &Arc<Self>) -> Result<OpenFile> {
        let bytes = match &self.bytes {
            Bytes::Local(path, roots) => OpenBytes::Local(
                roots.open(path).map_err(|error| Error::io("open file", &self.name, &error))?,
            ),
            Bytes::Object(object) => OpenBytes::Object(Arc::clone(object), Mutex::default()),
            Bytes::Stream(_) => {
                let message = format!("{} can only be read from front to back", self.name);
                return Err(Error::data(message).hint("save it into a file first"));
            }
        };
        let open = OpenFile { bytes, source: Arc::clone(self) };
        open.verify()?;
        Ok(open)
    }

    /// The first bytes, at most `len_max` of them; a stream keeps them for its reader.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn head(self: &Arc<Self>, len_max: usize) -> Result<Vec<u8>> {
        match &self.bytes {
            Bytes::Stream(stream) => {
                stream.head(len_max).map_err(|error| Error::io("read", &self.name, &error))
            }
            Bytes::Local(..) | Bytes::Object(_) => {
                let len = len_max.min(usize::try_from(self.identity.len).unwrap_or(len_max));
                let mut head = vec![0; len];
                self.read_at(&mut head, 0)?;
                Ok(head)
            }
        }
    }

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// When the file cannot be opened, or ends before.
    pub fn read_at(self: &Arc<Self>, buffer: &mut [u8], offset: u64) -> Result<()> {
        let part = self
            .small()?
            .and_then(|small| small.get(usize::try_from(offset).ok()?..)?.get(..buffer.len()));
        match part {
            Some(part) => buffer.copy_from_slice(part),
            None => self.open()?.read_exact_at(buffer, offset)?,
        }
        Ok(())
    }

    /// The whole file, if it is small, and the head of an object: it is opened once, however often it
    /// is looked at.
    fn small(self: &Arc<Self>) -> Result<Option<&[u8]>> {
        if let Some(small) = self.small.get() {
            return Ok(Some(&small.0));
        }
        let len = match &self.bytes {
            _ if self.is_small() => self.identity.len as usize,
            Bytes::Object(_) => OBJECT_HEAD_LEN_BYTES,
            Bytes::Local(..) | Bytes::Stream(_) => return Ok(None),
        };
        if !Small::fits(len) {
            return Ok(None);
        }
        let mut small = Small(vec![0; len]);
        let open = self.open()?;
        open.read_exact_at(&mut small.0, 0)?;
        // Looked at after the bytes: whatever was written before they were read shows here.
        open.verify()?;
        Ok(Some(&self.small.get_or_init(|| small).0))
    }

    fn is_small(&self) -> bool {
        match &self.bytes {
            Bytes::Local(..) => self.identity.len <= SMALL_LEN_MAX_BYTES,
            Bytes::Object(_) => self.identity.len <= SMALL_OBJECT_LEN_MAX_BYTES,
            Bytes::Stream(_) => false,
        }
    }

    /// Reads the bytes in `start..end` from front to back.
    ///
    /// # Errors
    /// When the file cannot be opened, or a stream was read before.
    pub fn read_range(self: &Arc<Self>, start: u64, end: u64) -> Result<Box<dyn Read + Send>> {
        self.read_piece(start, end, end)
    }

    /// Reads the bytes in `start..end` from front to back; whoever reads stops soon after
    /// `likely_end`.
    ///
    /// # Errors
    /// As [`SourceFile::read_range`].
    pub fn read_piece(
        self: &Arc<Self>,
        start: u64,
        likely_end: u64,
        end: u64,
    ) -> Result<Box<dyn Read + Send>> {
        match &self.bytes {
            Bytes::Stream(stream) => stream.take().ok_or_else(|| {
                Error::sql(format!("{} can be read only once in a statement", self.name))
                    .hint("save it into a file first")
            }),
            _ if self.is_small() && self.small()?.is_some() => {
                let file = Arc::clone(self);
                Ok(Box::new(SmallReader { file, position: start, end }))
            }
            Bytes::Object(object) => {
                let object = Arc::clone(object);
                Ok(Box::new(ObjectReader::new(object, start, likely_end, end)))
            }
            Bytes::Local(..) => {
                let file = self.open()?;
                Ok(Box::new(RangeReader { file, position: start, end }))
            }
        }
    }

    /// Reads all bytes from front to back.
    ///
    /// # Errors
    /// As [`SourceFile::read_range`].
    pub fn read_all(self: &Arc<Self>) -> Result<Box<dyn Read + Send>> {
        self.read_range(0, self.identity.len)
    }
}

/// A file that is open for reading at any offset.
#[derive(Debug)]
pub struct OpenFile {
    bytes: OpenBytes,
    source: Arc<SourceFile>,
}

#[derive(Debug)]
enum OpenBytes {
    Local(File),
    /// With what was read last, if only a little of it was wanted.
    Object(Arc<Object>, Mutex<Window>),
}

/// Bytes of an object and where they begin.
#[derive(Debug, Default)]
struct Window {
    start: u64,
    bytes: bytes::Bytes,
}

impl Window {
    fn holds(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let at = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.bytes.get(at..at.checked_add(len)?)
    }

    fn read(&mut self, object: &Arc<Object>, buffer: &mut [u8], offset: u64) -> Result<()> {
        let len = buffer.len();
        if self.holds(offset, len).is_none() {
            if len > LITTLE_LEN_MAX_BYTES {
                return object.read_exact_at(buffer, offset);
            }
            // Whoever wants a little will want what comes next.
            let end = object.len_bytes().min(offset.saturating_add(WINDOW_LEN_BYTES));
            let end = end.max(offset + len as u64);
            *self = Window { start: offset, bytes: object.bytes(offset..end)? };
        }
        buffer.copy_from_slice(self.holds(offset, len).unwrap_or_default());
        Ok(())
    }
}

impl OpenFile {
    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// When the file ends before, or the disk fails.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let file = match &self.bytes {
            OpenBytes::Local(file) => file,
            OpenBytes::Object(object, window) => {
                let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
                return window.read(object, buffer, offset);
            }
        };
        read_exact_at(file, buffer, offset).map_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                self.changed("it is shorter than it was")
            } else {
                Error::io("read", &self.source.name, &error)
            }
        })
    }

    /// Checks that the file is still the one that was listed.
    ///
    /// # Errors
    /// When its length, modification time or inode differ.
    pub fn verify(&self) -> Result<()> {
        let OpenBytes::Local(file) = &self.bytes else { return Ok(()) };
        let metadata = file
            .metadata()
            .map_err(|error| Error::io("look at file", &self.source.name, &error))?;
        let now = Identity::of(&metadata);
        if now == self.source.identity {
            return Ok(());
        }
        let then = self.source.identity;
        Err(self.changed(&if now.len != then.len {
            format!("{} bytes then, {} bytes now", then.len, now.len)
        } else {
            "it was written to or replaced".to_string()
        }))
    }

    fn changed(&self, how: &str) -> Error {
        Error::data(format!("the file changed while it was read: {how}"))
            .at(Place::file(&self.source.name))
            .hint("run the statement again once the file is complete")
            .passing()
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !buffer.is_empty() {
        match file.seek_read(buffer, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                buffer = &mut buffer[count..];
                offset += count as u64;
            }
        }
    }
    Ok(())
}

/// The bytes of a small file, counted as long as they are held.
#[derive(Debug)]
struct Small(Vec<u8>);

impl Small {
    /// Counts bytes in, unless there are too many already.
    fn fits(len: usize) -> bool {
        let before = SMALL_BYTES.fetch_add(len, Ordering::Relaxed);
        if before + len > SMALL_BYTES_MAX {
            SMALL_BYTES.fetch_sub(len, Ordering::Relaxed);
            return false;
        }
        true
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        SMALL_BYTES.fetch_sub(self.0.len(), Ordering::Relaxed);
    }
}

/// Reads a range of a small file.
struct SmallReader {
    file: Arc<SourceFile>,
    position: u64,
    end: u64,
}

impl Read for SmallReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (self.end.saturating_sub(self.position) as usize).min(buffer.len());
        self.file.read_at(&mut buffer[..count], self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Length for OpenFile {
    fn len(&self) -> u64 {
        self.source.identity.len
    }
}

impl ChunkReader for OpenFile {
    type T = Box<dyn Read + Send>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(self.source.read_range(start, self.len())?)
    }

    fn get_bytes(&self, start: u64, len: usize) -> parquet::errors::Result<bytes::Bytes> {
        let mut buffer = vec![0; len];
        self.read_exact_at(&mut buffer, start)?;
        Ok(buffer.into())
    }
}

/// Reads a range of a file in order and checks the identity after each read.
struct RangeReader {
    file: OpenFile,
    position: u64,
    end: u64,
}

impl Read for RangeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let count = left.min(buffer.len());
        self.file.read_exact_at(&mut buffer[..count], self.position)?;
        // Looked at after the bytes: whatever was written before they were read shows here.
        self.file.verify()?;
        self.position += count as u64;
        Ok(count)
    }
}

/// Bytes that come once: the head is kept for sniffing and replayed to the one reader.
pub struct StreamSource(Mutex<StreamState>);

struct StreamState {
    head: Vec<u8>,
    rest: Option<Box<dyn Read + Send>>,
}

impl std::fmt::Debug for StreamSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StreamSource")
    }
}

impl StreamSource {
    /// Wraps a reader.
    pub fn new(reader: Box<dyn Read + Send>) -> Self {
        StreamSource(Mutex::new(StreamState { head: Vec::new(), rest: Some(reader) }))
    }

    fn head(&self, len_max: usize) -> io::Result<Vec<u8>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = len_max.saturating_sub(state.head.len()) as u64;
        let StreamState { head, rest } = &mut *state;
        if let Some(rest) = rest {
            rest.take(missing).read_to_end(head)?;
        }
        Ok(head[..len_max.min(head.len())].to_vec())
    }

    fn take(&self) -> Option<Box<dyn Read + Send>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = state.rest.take()?;
        Some(Box::new(io::Cursor::new(std::mem::take(&mut state.head)).chain(rest)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(path: &Path) -> Arc<SourceFile> {
        let metadata = std::fs::metadata(path).expect("metadata");
        Arc::new(SourceFile::local("f", path.to_path_buf(), &metadata))
    }

    #[test]
    fn a_file_that_shrinks_is_an_error_and_not_a_wait() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("f");
        std::fs::write(&path, vec![b'x'; 100_000]).expect("write");
        let source = listed(&path);
        let mut reader = source.read_all().expect("open");
        let mut buffer = [0; 100];
        reader.read_exact(&mut buffer).expect("first bytes");
        std::fs::write(&path, b"short").expect("truncate");
        let error = io::copy(&mut reader, &mut io::sink()).expect_err("must not end well");
        assert!(error.to_string().contains("changed while it was read"), "{error}");
        assert!(source.open().is_err());
    }

    #[test]
    fn a_stream_is_sniffed_and_then_read_once() {
        let stream = Arc::new(StreamSource::new(Box::new(io::Cursor::new(b"abcdef".to_vec()))));
        let source = Arc::new(SourceFile::stream("stdin", stream));
        assert_eq!(source.head(3).expect("head"), b"abc");
        let mut all = String::new();
        source.read_all().expect("reader").read_to_string(&mut all).expect("text");
        assert_eq!(all, "abcdef");
        assert!(source.read_all().is_err());
    }
}
