//! Datasets: a location becomes files, partitions, one schema, a table.
//!
//! ```text
//! location -> list files -> partitions from all paths
//!                        -> look at each file (in parallel, remembered by identity)
//!                        -> one schema by name -> DatasetTable
//! ```

pub mod cache;
pub mod check;
pub mod hive;
pub mod location;
pub mod options;
pub mod schema;
pub mod skip;
pub mod sniffed;
pub mod table;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::scalar::ScalarValue;

use self::cache::{Cache, Entry};
use self::hive::Partitions;
use self::location::{Listing, Places};
use self::options::ReadOptions;
use self::schema::Misfits;
use crate::error::{Error, Result};
use crate::formats::csv::Depth;
use crate::formats::csv::decode::ColumnSpec;
use crate::formats::csv::dialect::Ragged;
use crate::formats::csv::learned::Learned;
use crate::formats::csv::reject::OnError;
use crate::formats::file::{Identity, SourceFile};
use crate::formats::parquet::InFlight;
use crate::formats::{FileLayout, FormatOptions};
use crate::notes::{Counts, NoteKind, Notes};

/// How many files are sampled in the middle and at the end as well.
const DEEP_FILES_MAX: usize = 24;
/// Files up to this size are compared byte by byte when they look alike.
const COMPARED_LEN_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Smaller files are read faster than what is known of them.
const REMEMBERED_LEN_MIN_BYTES: u64 = 256 * 1024;
/// Layouts remembered within a session.
const REMEMBERED_MAX: usize = 200_000;

/// Many files seen as one table.
#[derive(Debug)]
pub struct Dataset {
    /// The number that errors refer to.
    pub id: u64,
    /// The files, in path order.
    pub files: Vec<DatasetFile>,
    /// The columns that come from the files.
    pub columns: Vec<ColumnSpec>,
    /// The columns that come from the paths.
    pub partitions: Partitions,
    /// `columns`, then partition columns, then those asked for by option.
    pub schema: SchemaRef,
    /// What the user said.
    pub options: ReadOptions,
    /// Where notes go.
    pub notes: Notes,
    /// Parquet files that are being read.
    pub in_flight: InFlight,
    /// Where what is learned of files goes.
    pub cache: Option<Cache>,
}

/// One file of a dataset.
#[derive(Debug)]
pub struct DatasetFile {
    /// The file.
    pub source: Arc<SourceFile>,
    /// What was found in it; an error is raised only if the file is read.
    pub layout: Result<Arc<FileLayout>>,
    /// The values of the partition columns.
    pub partition_values: Vec<ScalarValue>,
    /// What an earlier pass learned of it.
    pub learned: Option<Arc<Learned>>,
}

/// Layouts of files seen before, by identity and options.
#[derive(Debug, Default)]
pub struct LayoutCache(Mutex<HashMap<LayoutKey, Arc<FileLayout>>>);

type LayoutKey = (String, Identity, u64, bool);

/// What is needed to open a dataset.
#[derive(Debug)]
pub struct OpenRequest<'a> {
    /// The number that errors will refer to.
    pub id: u64,
    /// The locations.
    pub locations: &'a [String],
    /// What the user said.
    pub options: ReadOptions,
    /// Where locations are looked up.
    pub places: &'a Places,
    /// Texts that did not fit guessed types in an earlier try.
    pub misfits: &'a Misfits,
    /// Spellings of column names that the statement uses elsewhere, by lower-case name.
    pub spelling: &'a HashMap<String, String>,
    /// Layouts seen before.
    pub layouts: &'a LayoutCache,
    /// What was learned of files before.
    pub cache: Option<&'a Cache>,
    /// How many threads may look at files.
    pub thread_count: usize,
    /// Where notes go.
    pub notes: &'a Notes,
    /// Where Parquet files that are being read are kept in sight.
    pub in_flight: &'a InFlight,
}

impl Dataset {
    /// Lists the files, looks at each and unifies their columns. Blocks on the disk.
    ///
    /// # Errors
    /// When nothing matches, no file can be read, or columns cannot be unified.
    pub fn open(request: OpenRequest<'_>) -> Result<Self> {
        let OpenRequest { id, locations, options, notes, .. } = &request;
        let listing = location::list(locations, request.places)?;
        report_skipped(&listing, notes);
        let layouts = look_at_all(&listing.files, &options.format, &request);
        let names: Vec<&str> = listing.files.iter().map(|file| file.name.as_str()).collect();
        let partitions = if options.no_partitions {
            no_partitions(names.len())
        } else {
            hive::find(&names, notes)
        };
        let readable: Vec<(&str, &FileLayout)> = names
            .iter()
            .zip(&layouts)
            .filter_map(|(name, layout)| {
                layout.as_ref().ok().map(|layout| (*name, layout.as_ref()))
            })
            .collect();
        if readable.is_empty() {
            let first = layouts.into_iter().next();
            return Err(first.and_then(Result::err).unwrap_or_else(|| Error::data("no files")));
        }
        for (kind, message) in readable.iter().flat_map(|(_, layout)| &layout.notes) {
            notes.add(*kind, message.clone());
        }
        let entries = remembered(&listing.files, &layouts, &request);
        let mut misfits = request.misfits.clone();
        for (column, texts) in entries.iter().flatten().flat_map(|entry| &entry.misfits) {
            misfits.entry(column.clone()).or_default().extend(texts.iter().cloned());
        }
        let mut columns = schema::unify(&readable, options, &misfits, request.spelling, notes)?;
        if columns.is_empty() {
            return Err(Error::data("nothing but blank lines and comments")
                .at(crate::error::Place::file(names[0])));
        }
        report_duplicates(&listing.files, &partitions.values, notes);
        drop_shadowed(&mut columns, &partitions, notes);
        check_types_option(options, &columns)?;
        let mut options = options.clone();
        let has = |name: &str| columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
        // A column of that name in the files comes first.
        options.filename &= !has(table::FILENAME);
        options.file_row_number &= !has(table::FILE_ROW_NUMBER);
        let schema = table::table_schema(&columns, &partitions, &options);
        let counts = notes.counts();
        Counts::bump(&counts.files_total, listing.files.len() as u64);
        Counts::bump(&counts.partitions_total, partitions.count as u64);
        let files = listing
            .files
            .into_iter()
            .zip(layouts)
            .zip(&partitions.values)
            .zip(entries)
            .map(|(((source, layout), values), entry)| DatasetFile {
                source,
                layout,
                partition_values: values.clone(),
                learned: entry
                    .map(|entry| entry.learned)
                    .filter(|learned| !learned.ranges.is_empty())
                    .map(Arc::new),
            })
            .collect();
        let (id, notes, in_flight) = (*id, (*notes).clone(), request.in_flight.clone());
        let cache = request.cache.cloned();
        Ok(Dataset { id, files, columns, partitions, schema, options, notes, in_flight, cache })
    }
}

/// Whether it pays to remember what a pass over a file shows, and whether passes show all.
fn is_worth_remembering(file: &SourceFile, layout: &FileLayout) -> bool {
    !file.is_stream()
        && file.identity.len >= REMEMBERED_LEN_MIN_BYTES
        && layout
            .csv
            .as_ref()
            .is_some_and(|csv| csv.on_error == OnError::Error && csv.ragged != Ragged::Reject)
}

/// What is remembered of each file.
fn remembered(
    files: &[Arc<SourceFile>],
    layouts: &[Result<Arc<FileLayout>>],
    request: &OpenRequest<'_>,
) -> Vec<Option<Entry>> {
    let options = options_key(&request.options);
    let load = |file: &SourceFile, layout: &Result<Arc<FileLayout>>| {
        let layout = layout.as_ref().ok()?;
        request.cache?.load(file, is_worth_remembering(file, layout).then_some(&options)?)
    };
    files.iter().zip(layouts).map(|(file, layout)| load(file, layout)).collect()
}

/// What tells entries of the cache apart besides the file: how it was read.
pub fn options_key(options: &ReadOptions) -> String {
    format!("{:?}", options.format)
}

fn no_partitions(file_count: usize) -> Partitions {
    Partitions { values: vec![Vec::new(); file_count], ..Partitions::default() }
}

fn report_skipped(listing: &Listing, notes: &Notes) {
    for (reason, count) in &listing.skipped {
        let noun = crate::units::show_counted(*count, "file");
        notes.add(NoteKind::Skipped, format!("{noun} skipped: {reason}"));
    }
}

/// A partition column hides a column of the same name in the files.
fn drop_shadowed(columns: &mut Vec<ColumnSpec>, partitions: &Partitions, notes: &Notes) {
    for field in &partitions.fields {
        let lower = field.name().to_lowercase();
        let before = columns.len();
        columns.retain(|column| column.name.to_lowercase() != lower);
        if columns.len() < before {
            notes.add(
                NoteKind::Layout,
                format!("`{lower}` is in the files and in the folders' names: the folder's value is used"),
            );
        }
    }
}

/// A type for a column that does not exist is most likely a misspelling.
fn check_types_option(options: &ReadOptions, columns: &[ColumnSpec]) -> Result<()> {
    for name in options.types.keys() {
        if !columns.iter().any(|column| column.name.to_lowercase() == *name) {
            let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
            return Err(Error::sql(format!("types names a column that is not there: {name}"))
                .hint(format!("the columns are {}", names.join(", "))));
        }
    }
    Ok(())
}

/// Looks at all files, in parallel; what was seen before is remembered.
fn look_at_all(
    files: &[Arc<SourceFile>],
    options: &FormatOptions,
    request: &OpenRequest<'_>,
) -> Vec<Result<Arc<FileLayout>>> {
    let mut hasher = DefaultHasher::new();
    format!("{options:?}").hash(&mut hasher);
    let options_hash = hasher.finish();
    let stride = files.len().div_ceil(DEEP_FILES_MAX).max(1);
    let look = |idx: usize| -> Result<Arc<FileLayout>> {
        let file = &files[idx];
        let deep = idx.is_multiple_of(stride) || idx + 1 == files.len();
        let key = (file.name.clone(), file.identity, options_hash, deep);
        if !file.is_stream()
            && let Some(known) = request.layouts.get(&key)
        {
            return Ok(known);
        }
        let depth = if deep { Depth::Deep } else { Depth::Head };
        let layout = Arc::new(crate::formats::inspect(file, options, depth)?);
        if !file.is_stream() {
            request.layouts.put(key, &layout);
        }
        Ok(layout)
    };
    let thread_count = request.thread_count.min(files.len() / 16).max(1);
    if thread_count == 1 {
        return (0..files.len()).map(look).collect();
    }
    let next = AtomicUsize::new(0);
    let mut layouts: Vec<(usize, Result<Arc<FileLayout>>)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..thread_count)
            .map(|_| {
                scope.spawn(|| {
                    let mut own = Vec::new();
                    loop {
                        let idx = next.fetch_add(1, Ordering::Relaxed);
                        if idx >= files.len() {
                            return own;
                        }
                        own.push((idx, look(idx)));
                    }
                })
            })
            .collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()).flatten().collect()
    });
    layouts.sort_by_key(|(idx, _)| *idx);
    if layouts.len() < files.len() {
        // A worker died in a decoder: find out where, one file at a time.
        return (0..files.len())
            .map(|idx| {
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| look(idx))).unwrap_or_else(
                    |_| {
                        Err(Error::data("the file makes no sense to its reader")
                            .at(crate::error::Place::file(&files[idx].name)))
                    },
                )
            })
            .collect();
    }
    layouts.into_iter().map(|(_, layout)| layout).collect()
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

/// Says which files of one location have the same content: their rows count twice.
///
/// Equal files in different partitions are different rows.
fn report_duplicates(files: &[Arc<SourceFile>], values: &[Vec<ScalarValue>], notes: &Notes) {
    let mut by_len: HashMap<(u64, &[ScalarValue]), Vec<&Arc<SourceFile>>> = HashMap::new();
    for (file, values) in files.iter().zip(values).filter(|(file, _)| !file.is_stream()) {
        by_len.entry((file.identity.len, values)).or_default().push(file);
    }
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for alike in by_len.values().filter(|alike| alike.len() > 1) {
        let mut seen: HashMap<u64, Vec<&Arc<SourceFile>>> = HashMap::new();
        for &file in alike {
            let Ok(print) = fingerprint(file) else { continue };
            let earlier = seen.entry(print).or_default();
            if let Some(twin) = earlier.iter().find(|twin| same_content(twin, file)) {
                pairs.push((&twin.name, &file.name));
            } else {
                earlier.push(file);
            }
        }
    }
    pairs.sort_unstable();
    if let Some((first, second)) = pairs.first() {
        let more = match pairs.len() - 1 {
            0 => String::new(),
            count => format!(", and {} more", crate::units::show_counted(count as u64, "pair")),
        };
        notes.add(
            NoteKind::Duplicate,
            format!("{first} and {second} have the same content: their rows count twice{more}"),
        );
    }
}

/// A hash over the head and the end of a file.
fn fingerprint(file: &Arc<SourceFile>) -> Result<u64> {
    const PART_LEN_BYTES: u64 = 4096;
    let len = file.identity.len.min(PART_LEN_BYTES);
    let mut part = vec![0; len as usize];
    let mut hasher = DefaultHasher::new();
    let starts = [0, file.identity.len - len];
    for start in starts.into_iter().take(if len < PART_LEN_BYTES { 1 } else { 2 }) {
        file.read_at(&mut part, start)?;
        part.hash(&mut hasher);
    }
    Ok(hasher.finish())
}

/// Compares two files of the same length byte by byte; very large ones are taken as different.
fn same_content(a: &Arc<SourceFile>, b: &Arc<SourceFile>) -> bool {
    const BLOCK_LEN_BYTES: u64 = 1 << 20;
    let len = a.identity.len;
    if len > COMPARED_LEN_MAX_BYTES {
        return a.identity.inode == b.identity.inode && a.identity.inode != (0, 0);
    }
    let (Ok(left), Ok(right)) = (a.open(), b.open()) else { return false };
    let mut start = 0;
    while start < len {
        let count = BLOCK_LEN_BYTES.min(len - start) as usize;
        let (mut one, mut two) = (vec![0; count], vec![0; count]);
        let read = left.read_exact_at(&mut one, start).and(right.read_exact_at(&mut two, start));
        if read.is_err() || one != two {
            return false;
        }
        start += count as u64;
    }
    true
}
