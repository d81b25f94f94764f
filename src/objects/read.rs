//! Reading one state of an object.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures::{StreamExt, TryStreamExt};
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore};

use super::connect::is_azure;
use super::{GivenUp, Pending, changed, digest, failed, is_web, reason, shown, wait};
use crate::error::{Error, Place, Result};

/// What a reader asks for first; most of what is read to its end is shorter.
const FIRST_LEN_BYTES: u64 = 1 << 20;
const BLOCK_LEN_BYTES: u64 = 4 << 20;
/// What is asked for past the end that was expected: the rest of a record.
const REST_LEN_BYTES: u64 = 64 << 10;
/// Requests of a reader that are under way at once.
const AHEAD_MAX: usize = 2;
/// A store that sends nothing for so long is an error.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Ranges that lie nearer to one another are read as one.
const GAP_LEN_MAX_BYTES: u64 = 1 << 20;

/// The bytes of an answer, as they come.
type Parts = futures::stream::BoxStream<'static, object_store::Result<Bytes>>;

/// An object as it was when it was found.
pub struct Object {
    /// Its URL.
    pub url: String,
    /// What the user knows it by: the URL, without what may be secret.
    pub name: String,
    store: Arc<dyn ObjectStore>,
    meta: ObjectMeta,
    /// The tag of the first answer: not every store lists them.
    first_tag: OnceLock<String>,
    /// All of it, where a server cannot give parts.
    whole: OnceLock<Mutex<File>>,
    fetching: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object({})", self.name)
    }
}

impl Object {
    pub(super) fn new(url: String, store: Arc<dyn ObjectStore>, meta: ObjectMeta) -> Self {
        let name = shown(&url);
        let (first_tag, whole, fetching) = Default::default();
        Object { url, name, store, meta, first_tag, whole, fetching }
    }

    /// Length in bytes.
    pub fn len_bytes(&self) -> u64 {
        self.meta.size
    }

    /// Time of modification in nanoseconds since 1970, as far as the store tells.
    pub fn modified_ns(&self) -> i128 {
        modified_ns(&self.meta)
    }

    /// A number for its state: the same state, the same number, in any process.
    pub fn state(&self) -> (u64, u64) {
        match &self.meta.e_tag {
            Some(tag) => digest(bare(tag)),
            None => digest(&self.meta.version),
        }
    }

    /// Whether the store names each state differently, however soon one follows another.
    pub fn has_tag(&self) -> bool {
        // On the web a tag may be a length and a second; one that came later is not in `state`.
        self.meta.e_tag.as_deref().is_some_and(is_strong) && !is_web(&self.url)
    }

    /// Whether one state can be told from another at all.
    pub fn has_state(&self) -> bool {
        self.meta.e_tag.is_some() || self.meta.last_modified.timestamp() != 0
    }

    /// A number for its content, where the store tells states apart by what they hold.
    pub fn content_print(&self) -> Option<u32> {
        // On the web a tag may be a length and a second.
        let tag = self.strong_tag().filter(|_| !is_web(&self.url))?;
        Some(digest(tag).0 as u32)
    }

    fn strong_tag(&self) -> Option<&str> {
        self.tag().filter(|tag| is_strong(tag))
    }

    /// A tag as a condition is written with it.
    fn condition(&self, tag: &str) -> String {
        // Azure wants the quotes that its lists leave out.
        match is_azure(&self.url) {
            true => format!("\"{}\"", bare(tag)),
            false => tag.to_string(),
        }
    }

    /// What the store calls this state, if it says.
    pub fn tag(&self) -> Option<&str> {
        self.meta.e_tag.as_deref().or_else(|| self.first_tag.get().map(String::as_str))
    }

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// When the object is gone, or another one, or the store fails.
    pub fn read_exact_at(self: &Arc<Self>, buffer: &mut [u8], offset: u64) -> Result<()> {
        let end = offset.saturating_add(buffer.len() as u64);
        buffer.copy_from_slice(&self.bytes(offset..end)?);
        Ok(())
    }

    /// The bytes of a range.
    ///
    /// # Errors
    /// As [`Object::read_exact_at`].
    pub fn bytes(self: &Arc<Self>, range: Range<u64>) -> Result<Bytes> {
        let object = Arc::clone(self);
        wait(async move { object.long_range(range).await })?
    }

    /// Reads ranges, those that lie near to one another with one request.
    ///
    /// # Errors
    /// As [`Object::read_exact_at`].
    pub async fn ranges(self: &Arc<Self>, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>> {
        let object = Arc::clone(self);
        let read = super::requests()?.spawn(async move {
            let fetch = |range| object.long_range(range);
            object_store::coalesce_ranges(&ranges, fetch, GAP_LEN_MAX_BYTES).await
        });
        let _given_up = GivenUp(read.abort_handle());
        read.await.map_err(|_| {
            Error::new(crate::error::ErrorKind::Internal, "a request to an object store was lost")
        })?
    }

    /// The bytes of a range, a long one with several requests at once: each has to end in time.
    async fn long_range(&self, range: Range<u64>) -> Result<Bytes> {
        if range.end.saturating_sub(range.start) <= 2 * BLOCK_LEN_BYTES {
            return self.range(range).await;
        }
        let starts = range.clone().step_by(BLOCK_LEN_BYTES as usize);
        let blocks = starts.map(|start| start..range.end.min(start + BLOCK_LEN_BYTES));
        let blocks: Vec<Bytes> = futures::stream::iter(blocks)
            .map(|block| self.range(block))
            .buffered(AHEAD_MAX)
            .try_collect()
            .await?;
        Ok(blocks.concat().into())
    }

    /// The bytes of a range, all of them.
    async fn range(&self, range: Range<u64>) -> Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        if range.end > self.meta.size {
            return Err(
                Error::data("bytes outside the object were asked for").at(Place::file(&self.name))
            );
        }
        if !self.has_state() {
            // Parts of it might belong to different states.
            self.fetch().await?;
        }
        if self.whole.get().is_some() {
            return self.of_whole(range);
        }
        match self.get(Some(range.clone())).await {
            Err(error) if has_no_parts(&error) => {
                self.fetch().await?;
                self.of_whole(range)
            }
            Err(error) => Err(failed("read", &self.url, &error)),
            Ok((meta, mut stream)) => {
                self.check(&meta)?;
                let len = range.end - range.start;
                let mut parts: Vec<Bytes> = Vec::new();
                while let Some(part) = self.next(&mut stream).await? {
                    parts.push(part);
                }
                let bytes = match &mut parts[..] {
                    [one] => std::mem::take(one),
                    parts => parts.concat().into(),
                };
                if bytes.len() as u64 != len {
                    let message = format!("the store gave {} bytes of {len}", bytes.len());
                    return Err(Error::data(message).at(Place::file(&self.name)).passing());
                }
                Ok(bytes)
            }
        }
    }

    async fn get(&self, range: Option<Range<u64>>) -> object_store::Result<(ObjectMeta, Parts)> {
        let options = GetOptions {
            range: range.map(GetRange::Bounded),
            if_match: self.strong_tag().map(|tag| self.condition(tag)),
            ..GetOptions::default()
        };
        let asked = self.store.get_opts(&self.meta.location, options);
        let silent = |elapsed: tokio::time::error::Elapsed| object_store::Error::Generic {
            store: "store",
            source: Box::new(elapsed),
        };
        let result = tokio::time::timeout(SILENCE_MAX, asked).await.map_err(silent)??;
        Ok((result.meta.clone(), result.into_stream()))
    }

    /// The next bytes of an answer.
    async fn next(&self, parts: &mut Parts) -> Result<Option<Bytes>> {
        let next = tokio::time::timeout(SILENCE_MAX, parts.try_next()).await;
        let next = next.map_err(|_| {
            Error::data("cannot read the object: the store sends no more of it")
                .at(Place::file(&self.name))
                .hint("try again, and look whether the network is slow")
        })?;
        next.map_err(|error| failed("read", &self.url, &error))
    }

    /// Refuses another state than the one that was found: not every server heeds conditions.
    fn check(&self, now: &ObjectMeta) -> Result<()> {
        let is_same = now.size == self.meta.size
            && is_same_state(
                (self.tag(), self.modified_ns()),
                (now.e_tag.as_deref(), modified_ns(now)),
            )
            // Of two answers at once that bring the first tag, one is the first.
            && now.e_tag.as_ref().is_none_or(|tag| {
                bare(self.first_tag.get_or_init(|| tag.clone())) == bare(tag)
            });
        if is_same { Ok(()) } else { Err(changed(&self.url)) }
    }

    /// Fetches all of it into a file without a name.
    async fn fetch(&self) -> Result<()> {
        let fail = |error: io::Error| Error::io("keep a copy of", &self.name, &error);
        // Readers of its parts want it all at once.
        let _one = self.fetching.lock().await;
        if self.whole.get().is_some() {
            return Ok(());
        }
        let (meta, mut stream) =
            self.get(None).await.map_err(|error| failed("read", &self.url, &error))?;
        self.check(&meta)?;
        let mut file = tempfile::tempfile().map_err(fail)?;
        let mut len = 0;
        while let Some(bytes) = self.next(&mut stream).await? {
            len += bytes.len() as u64;
            file.write_all(&bytes).map_err(fail)?;
        }
        if len != self.meta.size {
            let message = format!("the server gave {len} bytes of {}", self.meta.size);
            return Err(Error::data(message).at(Place::file(&self.name)).passing());
        }
        let _ = self.whole.set(Mutex::new(file));
        Ok(())
    }

    fn of_whole(&self, range: Range<u64>) -> Result<Bytes> {
        let fail = |error: io::Error| Error::io("read the copy of", &self.name, &error);
        let whole = self.whole.get().ok_or_else(|| fail(io::ErrorKind::NotFound.into()))?;
        let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or(usize::MAX)];
        let mut file = whole.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(range.start)).map_err(fail)?;
        file.read_exact(&mut bytes).map_err(fail)?;
        Ok(bytes.into())
    }
}

/// Whether a tag is of the bytes, and not only of what they mean.
fn is_strong(tag: &str) -> bool {
    !tag.starts_with("W/")
}

/// A tag without its quotes: not every list has them.
fn bare(tag: &str) -> &str {
    tag.trim_matches('"')
}

/// A time in nanoseconds, but whole seconds: lists tell it more finely than other answers do.
fn modified_ns(meta: &ObjectMeta) -> i128 {
    i128::from(meta.last_modified.timestamp()) * 1_000_000_000
}

/// Whether two states, by their tags and their times of modification, are one.
pub fn is_same_state(one: (Option<&str>, i128), other: (Option<&str>, i128)) -> bool {
    match (one.0, other.0) {
        (Some(one), Some(other)) => bare(one) == bare(other),
        _ => one.1 == other.1,
    }
}

/// Whether a server gave all of an object where a part of it was asked for.
fn has_no_parts(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotSupported { .. })
        || reason(error).contains("non-partial response")
}

/// Reads a range from front to back, some requests ahead.
pub struct ObjectReader {
    object: Arc<Object>,
    /// Where the next request begins.
    next: u64,
    /// Up to where all will be read, most likely.
    likely_end: u64,
    end: u64,
    block_len: u64,
    ahead: VecDeque<Pending<Result<Bytes>>>,
    current: Bytes,
}

impl ObjectReader {
    /// Reads `start..end`, of which what lies before `likely_end` may be asked for ahead.
    pub fn new(object: Arc<Object>, start: u64, likely_end: u64, end: u64) -> Self {
        ObjectReader {
            object,
            next: start,
            likely_end: likely_end.min(end),
            end,
            block_len: FIRST_LEN_BYTES,
            ahead: VecDeque::new(),
            current: Bytes::new(),
        }
    }

    fn ask(&mut self) -> Result<()> {
        let len = match self.likely_end.checked_sub(self.next) {
            None | Some(0) => REST_LEN_BYTES,
            Some(left) => left.min(self.block_len),
        };
        let (start, end) = (self.next, self.end.min(self.next + len));
        let object = Arc::clone(&self.object);
        self.ahead.push_back(Pending::begin(async move { object.range(start..end).await })?);
        self.next = end;
        self.block_len = (self.block_len * 2).min(BLOCK_LEN_BYTES);
        Ok(())
    }
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.current.is_empty() && !buffer.is_empty() {
            if self.ahead.is_empty() && self.next < self.end {
                self.ask()?;
            }
            while self.ahead.len() < AHEAD_MAX && self.next < self.likely_end {
                self.ask()?;
            }
            match self.ahead.pop_front() {
                Some(pending) => self.current = pending.wait()??,
                None => return Ok(0),
            }
        }
        let count = self.current.len().min(buffer.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    use super::*;
    use crate::objects::{Objects, in_memory};

    fn stored(bytes: &[u8]) -> (Arc<InMemory>, Arc<Object>) {
        let (store, objects) = (in_memory(&[("a/x", bytes)]), Objects::default());
        objects.register("s3://b", store.clone());
        let object = objects.find("s3://b/a/x").expect("asked").expect("there");
        (store, Arc::new(object))
    }

    #[test]
    fn an_object_is_read_in_blocks_as_it_is() {
        let bytes: Vec<u8> = (0..5_000_000_u32).map(|at| (at % 251) as u8).collect();
        let (_store, object) = stored(&bytes);
        for (start, likely_end, end) in [
            (0, 5_000_000, 5_000_000),
            (7, 1_000_000, 5_000_000),
            (4_999_999, 4_999_999, 5_000_000),
            (100, 100, 200),
            (5, 3, 5),
        ] {
            let mut found = Vec::new();
            let mut reader = ObjectReader::new(Arc::clone(&object), start, likely_end, end);
            reader.read_to_end(&mut found).expect("read");
            assert!(found == bytes[start as usize..end as usize], "{start} {likely_end} {end}");
        }
        let ranges = vec![0..3, 10..20, 4_000_000..4_000_001];
        let found = pollster::block_on(object.ranges(ranges.clone())).expect("read");
        for (range, found) in ranges.iter().zip(&found) {
            assert_eq!(found[..], bytes[range.start as usize..range.end as usize]);
        }
    }

    #[test]
    fn an_object_that_is_replaced_is_an_error() {
        let (store, object) = stored(b"old");
        let key = "a/x".into();
        pollster::block_on(store.put(&key, "new".into())).expect("kept");
        let error = object.read_exact_at(&mut [0; 3], 0).expect_err("another");
        assert!(error.to_string().contains("changed while it was read"), "{error}");
        assert!(error.is_passing());
    }
}
