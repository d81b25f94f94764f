//! Datasets: a location becomes files, partitions, one schema, a table.
//!
//! ```text
//! location -> list files -> partitions from all paths
//!                        -> look at the files (in parallel, remembered by identity)
//!                        -> one schema by name -> DatasetTable
//! ```

pub mod cache;
pub mod check;
pub mod hive;
pub mod inventory;
mod layouts;
pub mod location;
pub mod options;
pub mod schema;
pub mod seen;
pub mod skip;
pub mod sniffed;
pub mod table;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::arrow::datatypes::{Field, SchemaRef};
use datafusion::scalar::ScalarValue;

use self::cache::{Cache, Entry};
use self::hive::Partitions;
pub use self::layouts::LayoutCache;
use self::layouts::Layouts;
use self::location::{Listing, Places};
use self::options::ReadOptions;
use self::schema::Misfits;
use self::seen::Seen;
use crate::error::{Error, Result};
use crate::formats::FileLayout;
use crate::formats::csv::Depth;
use crate::formats::csv::decode::ColumnSpec;
use crate::formats::csv::dialect::Ragged;
use crate::formats::csv::learned::Learned;
use crate::formats::csv::reject::OnError;
use crate::formats::file::SourceFile;
use crate::formats::parquet::InFlight;
use crate::notes::{Counts, NoteKind, Notes};
use crate::objects::shown;

/// How many files are sampled in the middle and at the end as well.
const DEEP_FILES_MAX: usize = 24;
/// Files up to this size are compared byte by byte when they look alike.
const COMPARED_LEN_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// How many objects are looked at at once.
pub(crate) const REQUESTS_MAX: usize = 32;
/// Smaller files are read faster than what is known of them.
const REMEMBERED_LEN_MIN_BYTES: u64 = 256 * 1024;

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
    /// Where scans ask for files that were not looked at.
    pub seen: Seen,
}

/// One file of a dataset.
#[derive(Debug)]
pub struct DatasetFile {
    /// The file.
    pub source: Arc<SourceFile>,
    /// What was found in it; an error is raised only if the file is read.
    pub layout: Result<Arc<FileLayout>>,
    /// Whether it was looked at; if not, the layout is an error.
    pub is_seen: bool,
    /// The values of the partition columns.
    pub partition_values: Vec<ScalarValue>,
    /// What an earlier pass learned of it.
    pub learned: Option<Arc<Learned>>,
}

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
    /// What the statement mentions, in lower case; columns among it.
    pub mentioned: &'a HashSet<String>,
    /// What earlier tries have found that they must see.
    pub seen: &'a Seen,
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
    /// Lists the files, looks at them and unifies their columns. Blocks on the disk.
    ///
    /// Of many files among which the statement chooses by their paths, those that it reads and a
    /// sample of the others are looked at; [`Seen`] learns from its scans which ones it reads.
    ///
    /// # Errors
    /// When nothing matches, no file can be read, or columns cannot be unified.
    pub fn open(request: OpenRequest<'_>) -> Result<Self> {
        let OpenRequest { id, locations, options, notes, .. } = &request;
        let listing = location::list(locations, request.places)?;
        report_skipped(&listing, notes);
        // It is written to disk.
        let shown: Vec<String> = locations.iter().map(|location| shown(location)).collect();
        let location_key = format!("{shown:?}\n{}", options_key(options));
        let known = Layouts::load(
            request.layouts,
            request.cache,
            &location_key,
            &listing.files,
            &options.format,
        );
        let names: Vec<&str> = listing.files.iter().map(|file| file.name.as_str()).collect();
        let partitions = if options.no_partitions {
            no_partitions(names.len())
        } else {
            hive::find(&names, notes)
        };
        let is_mentioned = |field: &Field| request.mentioned.contains(&field.name().to_lowercase());
        let chooses_by_path = options.filename || partitions.fields.iter().any(is_mentioned);
        let is_sampled = |idx| depth_of(idx, names.len()) == Depth::Deep;
        let seen = request.seen.choose(&names, chooses_by_path, is_sampled);
        let layouts = look_at(&listing.files, &seen, &known, request.thread_count);
        let readable: Vec<(&str, &FileLayout)> = names
            .iter()
            .zip(&layouts)
            .filter_map(|(name, layout)| {
                layout.as_ref().ok().map(|layout| (*name, layout.as_ref()))
            })
            .collect();
        if readable.is_empty() {
            let mut looked_at = layouts.into_iter().zip(&seen).filter(|(_, seen)| **seen);
            let first = looked_at.next().and_then(|(layout, _)| layout.err());
            return Err(first.unwrap_or_else(|| Error::data("no files")));
        }
        report_unseen(&seen, notes);
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
        let fingerprints =
            report_duplicates(&listing.files, &seen, &known, &partitions.values, notes);
        let looked_at = listing.files.iter().zip(&layouts).zip(fingerprints).enumerate();
        known.keep(
            request.cache,
            &location_key,
            looked_at.map(|(idx, ((file, layout), fingerprint))| {
                (file, layout, depth_of(idx, layouts.len()), fingerprint)
            }),
        );
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
            .zip(seen)
            .zip(&partitions.values)
            .zip(entries)
            .map(|((((source, layout), is_seen), values), entry)| DatasetFile {
                source,
                layout,
                is_seen,
                partition_values: values.clone(),
                learned: entry
                    .map(|entry| entry.learned)
                    .filter(|learned| !learned.ranges.is_empty())
                    .map(Arc::new),
            })
            .collect();
        let (id, notes, in_flight) = (*id, (*notes).clone(), request.in_flight.clone());
        let (cache, seen) = (request.cache.cloned(), request.seen.clone());
        Ok(Dataset {
            id,
            files,
            columns,
            partitions,
            schema,
            options,
            notes,
            in_flight,
            cache,
            seen,
        })
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

/// How thoroughly the file at a position is looked at: a sample of files in the middle and at the
/// end as well.
fn depth_of(idx: usize, file_count: usize) -> Depth {
    let stride = file_count.div_ceil(DEEP_FILES_MAX).max(1);
    if idx.is_multiple_of(stride) || idx + 1 == file_count { Depth::Deep } else { Depth::Head }
}

/// Says of how many files the columns and types are, if not of all.
fn report_unseen(seen: &[bool], notes: &Notes) {
    let count = seen.iter().filter(|seen| **seen).count();
    if count < seen.len() {
        notes.add(
            NoteKind::Layout,
            format!(
                "columns and types are those of {} of {} files: the ones that are read, and a sample",
                crate::units::show_count(count as u64),
                crate::units::show_count(seen.len() as u64),
            ),
        );
    }
}

/// Looks at the files that are to be seen, in parallel.
fn look_at(
    files: &[Arc<SourceFile>],
    seen: &[bool],
    known: &Layouts<'_>,
    thread_count: usize,
) -> Vec<Result<Arc<FileLayout>>> {
    let is_far = files.first().is_some_and(|file| file.as_object().is_some());
    let thread_count = match is_far {
        // Threads wait there, and do not work.
        true => REQUESTS_MAX,
        false => thread_count.min(files.len() / 16),
    };
    let look = |idx: usize| match seen[idx] {
        true => known.of(&files[idx], depth_of(idx, files.len())),
        false => Err(seen::unseen()),
    };
    let died = |idx: usize| {
        Error::data("the file makes no sense to its reader")
            .at(crate::error::Place::file(&files[idx].name))
    };
    let looked = in_parallel(files.len(), thread_count, look);
    looked
        .into_iter()
        .enumerate()
        .map(|(idx, layout)| layout.unwrap_or_else(|| Err(died(idx))))
        .collect()
}

/// Does work for each of `count` things on some threads, in no order; None where it panicked.
pub(crate) fn in_parallel<T: Send>(
    count: usize,
    thread_count: usize,
    work: impl Fn(usize) -> T + Sync,
) -> Vec<Option<T>> {
    let next = AtomicUsize::new(0);
    let one = |idx| std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(idx))).ok();
    let some = || {
        let mut own = Vec::new();
        loop {
            match next.fetch_add(1, Ordering::Relaxed) {
                idx if idx < count => own.push((idx, one(idx))),
                _ => return own,
            }
        }
    };
    let mut done: Vec<(usize, Option<T>)> = match thread_count.min(count) {
        0 | 1 => some(),
        thread_count => std::thread::scope(|scope| {
            let workers: Vec<_> = (0..thread_count).map(|_| scope.spawn(some)).collect();
            workers.into_iter().filter_map(|worker| worker.join().ok()).flatten().collect()
        }),
    };
    done.sort_by_key(|(idx, _)| *idx);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Says which files of one location have the same content: their rows count twice.
///
/// Equal files in different partitions are different rows. Gives the fingerprints that it took.
fn report_duplicates(
    files: &[Arc<SourceFile>],
    seen: &[bool],
    known: &Layouts<'_>,
    values: &[Vec<ScalarValue>],
    notes: &Notes,
) -> Vec<Option<u32>> {
    let mut fingerprints = vec![None; files.len()];
    let mut by_len: HashMap<(u64, &[ScalarValue]), Vec<usize>> = HashMap::new();
    for (idx, (file, values)) in files.iter().zip(values).enumerate() {
        if seen[idx] && !file.is_stream() {
            by_len.entry((file.identity.len, values)).or_default().push(idx);
        }
    }
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for alike in by_len.values().filter(|alike| alike.len() > 1) {
        let mut seen: HashMap<u32, Vec<&Arc<SourceFile>>> = HashMap::new();
        for &idx in alike {
            let file = &files[idx];
            let print = match file.as_object() {
                // A store tells without being read.
                Some(object) => object.content_print(),
                None => {
                    let print = known.fingerprint(file).or_else(|| fingerprint(file).ok());
                    fingerprints[idx] = print;
                    print
                }
            };
            let Some(print) = print else { continue };
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
    fingerprints
}

/// A checksum of the head and the end of a file.
fn fingerprint(file: &Arc<SourceFile>) -> Result<u32> {
    const PART_LEN_BYTES: u64 = 4096;
    let len = file.identity.len.min(PART_LEN_BYTES);
    let mut part = vec![0; len as usize];
    let mut crc = flate2::Crc::new();
    let starts = [0, file.identity.len - len];
    for start in starts.into_iter().take(if len < PART_LEN_BYTES { 1 } else { 2 }) {
        file.read_at(&mut part, start)?;
        crc.update(&part);
    }
    Ok(crc.sum())
}

/// Compares two files of the same length byte by byte; very large ones are taken as different.
fn same_content(a: &Arc<SourceFile>, b: &Arc<SourceFile>) -> bool {
    const BLOCK_LEN_BYTES: u64 = 1 << 20;
    let len = a.identity.len;
    if len > COMPARED_LEN_MAX_BYTES || a.as_object().is_some() {
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
