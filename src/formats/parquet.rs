//! Parquet: footers read and checked by us, pages read by DataFusion's own source.
//!
//! Invariant: the footer is checked against the file's length before it is decoded, and a decoder
//! that panics on hostile bytes becomes an error that names the file.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::datatypes::{DataType, FieldRef, IntervalUnit, Schema, SchemaRef};
use datafusion::common::Statistics;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::error::DataFusionError;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};
use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::basic::{LogicalType, Type as PhysicalType};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::statistics::Statistics as Bounds;

use super::compression::Compression;
use super::file::{OpenFile, SourceFile};
use super::source::{FilePlan, READ_BYTES};
use super::{FileColumn, FileLayout, Format, Found};
use crate::error::{Error, Place, Result};
use crate::notes::{Counts, NoteKind, Notes};
use crate::objects::Object;

const TAIL_LEN_BYTES: u64 = 8;
/// What is read from the end at first: most footers fit.
const FOOTER_GUESS_LEN_BYTES: u64 = 64 * 1024;

/// What the footer of a Parquet file says.
#[derive(Clone)]
pub struct ParquetLayout {
    /// The decoded footer.
    pub metadata: Arc<ParquetMetaData>,
    /// The same with bounds that hold for all values.
    bounded: Arc<ParquetMetaData>,
    /// Its schema in Arrow types.
    pub schema: SchemaRef,
}

impl fmt::Debug for ParquetLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ParquetLayout({} columns)", self.schema.fields().len())
    }
}

impl ParquetLayout {
    /// Exact row count, and minima and maxima where the footer has them, for a table schema.
    pub fn statistics(&self, table_schema: &SchemaRef) -> Option<Statistics> {
        // Where a column is read as another type, its minimum is not the minimum of what is read.
        let same_types = table_schema.fields().iter().all(|field| {
            self.schema
                .field_with_name(field.name())
                .is_ok_and(|found| viewed(found.data_type()) == *field.data_type())
        });
        if !same_types {
            return None;
        }
        DFParquetMetadata::statistics_from_parquet_metadata(&self.bounded, table_schema).ok()
    }

    /// Rows in the file.
    pub fn row_count(&self) -> u64 {
        u64::try_from(self.metadata.file_metadata().num_rows()).unwrap_or(0)
    }
}

/// Bytes that a column takes in a file, its nested ones included.
pub fn compressed_len(metadata: &ParquetMetaData, name: &str) -> u64 {
    let columns = metadata.row_groups().iter().flat_map(|group| group.columns());
    columns
        .filter(|column| {
            let path = column.column_path().parts();
            path.first().is_some_and(|first| first.eq_ignore_ascii_case(name))
        })
        .map(|column| u64::try_from(column.compressed_size()).unwrap_or(0))
        .sum()
}

/// Strings and bytes as views: short values are compared without following a pointer.
pub fn viewed(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        other => other.clone(),
    }
}

/// Reads the footer of a Parquet file.
///
/// # Errors
/// When the file is packed, cut short, or its footer makes no sense.
pub fn inspect(file: &Arc<SourceFile>, compression: Compression) -> Result<FileLayout> {
    let fail = |message: String| Error::data(message).at(Place::file(&file.name));
    if compression != Compression::None || file.is_stream() {
        return Err(fail("a Parquet file must lie on disk as it is, not packed or piped".into())
            .hint("unpack it into a file first"));
    }
    let metadata = Arc::new(read_footer(file)?);
    let bounded = guarded(&file.name, || with_nan_in_bounds(&metadata))?;
    let schema = guarded(&file.name, || {
        let metadata = metadata.file_metadata();
        parquet_to_arrow_schema(metadata.schema_descr(), metadata.key_value_metadata())
    })?;
    let columns = schema
        .fields()
        .iter()
        .map(|field| FileColumn {
            name: field.name().clone(),
            found: Found::Typed(viewed(field.data_type())),
        })
        .collect();
    Ok(FileLayout {
        format: Format::Parquet,
        compression,
        columns,
        csv: None,
        notes: without_months(&schema, &file.name),
        parquet: Some(ParquetLayout { metadata, bounded, schema: Arc::new(schema) }),
    })
}

/// Says which columns lose something: the decoder has days and milliseconds of an interval, or its months.
fn without_months(schema: &Schema, file_name: &str) -> Vec<(NoteKind, String)> {
    let lossy = schema.fields().iter().filter_map(|field| match field.data_type() {
        DataType::Interval(IntervalUnit::DayTime) => Some((field, "months")),
        DataType::Interval(IntervalUnit::YearMonth) => Some((field, "days and hours")),
        _ => None,
    });
    let note = |(field, lost): (&FieldRef, &str)| {
        let name = field.name();
        let message = format!("{file_name}: intervals of column {name} are read without {lost}");
        (NoteKind::Rounded, message)
    };
    lossy.map(note).collect()
}

fn read_footer(file: &Arc<SourceFile>) -> Result<ParquetMetaData> {
    let len = file.identity.len;
    let fail = |message: String| {
        Error::data(format!("not a complete Parquet file: {message}"))
            .at(Place::file(&file.name))
            .hint("was it copied to its end, and is it Parquet at all?")
    };
    if len < TAIL_LEN_BYTES + 4 {
        return Err(fail(format!("it has only {len} bytes")));
    }
    let open = file.open()?;
    let guess = FOOTER_GUESS_LEN_BYTES.min(len);
    let mut tail = vec![0; guess as usize];
    open.read_exact_at(&mut tail, len - guess)?;
    let (rest, end) = tail.split_at(tail.len() - TAIL_LEN_BYTES as usize);
    if &end[4..] == b"PARE" {
        return Err(
            Error::data("not supported: an encrypted Parquet file").at(Place::file(&file.name))
        );
    }
    if &end[4..] != b"PAR1" {
        return Err(fail("it does not end with PAR1".into()));
    }
    let footer_len = u64::from(u32::from_le_bytes([end[0], end[1], end[2], end[3]]));
    if footer_len == 0 || footer_len + TAIL_LEN_BYTES + 4 > len {
        return Err(fail(format!("it claims a footer of {footer_len} bytes in a file of {len}")));
    }
    let footer = if footer_len <= rest.len() as u64 {
        rest[rest.len() - footer_len as usize..].to_vec()
    } else {
        let mut footer = vec![0; footer_len as usize];
        open.read_exact_at(&mut footer, len - TAIL_LEN_BYTES - footer_len)?;
        footer
    };
    let metadata = guarded(&file.name, || ParquetMetaDataReader::decode_metadata(&footer))?;
    check_offsets(&metadata, len).map_err(fail)?;
    Ok(metadata)
}

/// A footer whose bounds hold for NaN as well. Writers leave it out of them, but it is greater than every
/// other number: what they give as the greatest is none, in chunks and in the index of pages.
fn with_nan_in_bounds(
    metadata: &Arc<ParquetMetaData>,
) -> Result<Arc<ParquetMetaData>, ParquetError> {
    let can_be_nan = |column: &ColumnChunkMetaData| {
        let logical = column.column_descr().logical_type_ref();
        matches!(column.column_type(), PhysicalType::FLOAT | PhysicalType::DOUBLE)
            || logical.is_some_and(|logical| *logical == LogicalType::Float16)
    };
    if !metadata.row_groups().iter().flat_map(|group| group.columns()).any(can_be_nan) {
        return Ok(Arc::clone(metadata));
    }
    let unbounded = |column: ColumnChunkMetaData| {
        if !can_be_nan(&column) {
            return Ok(column);
        }
        let bounds = column.statistics().map(|known| {
            let (nulls, is_old) = (known.null_count_opt(), known.is_min_max_deprecated());
            match known {
                Bounds::Float(known) => {
                    let min = known.min_opt().copied().filter(|min| !min.is_nan());
                    Bounds::float(min, None, None, nulls, is_old)
                }
                Bounds::Double(known) => {
                    let min = known.min_opt().copied().filter(|min| !min.is_nan());
                    Bounds::double(min, None, None, nulls, is_old)
                }
                _ => Bounds::fixed_len_byte_array(None, None, None, nulls, is_old),
            }
        });
        let column = column.into_builder().clear_statistics();
        let column = column.set_column_index_offset(None).set_column_index_length(None);
        match bounds {
            Some(bounds) => column.set_statistics(bounds).build(),
            None => column.build(),
        }
    };
    let mut bounded = metadata.as_ref().clone().into_builder();
    let groups = bounded.take_row_groups().into_iter().map(|group| {
        let mut group = group.into_builder();
        let columns = group.take_columns().into_iter().map(unbounded);
        group.set_column_metadata(columns.collect::<Result<_, _>>()?).build()
    });
    let groups = groups.collect::<Result<_, _>>()?;
    Ok(Arc::new(bounded.set_row_groups(groups).build()))
}

/// Column chunks must lie within the file: what follows trusts their offsets.
fn check_offsets(metadata: &ParquetMetaData, len: u64) -> Result<(), String> {
    for group in metadata.row_groups() {
        if group.num_rows() < 0 {
            return Err("a row group has a negative number of rows".into());
        }
        for column in group.columns() {
            let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
            let size = column.compressed_size();
            let end = start.checked_add(size).and_then(|end| u64::try_from(end).ok());
            if start < 0 || size < 0 || end.is_none_or(|end| end > len) {
                return Err(format!(
                    "column {} claims bytes outside the file",
                    column.column_path()
                ));
            }
        }
    }
    Ok(())
}

/// Runs a decoder; its errors and panics become errors of the file.
fn guarded<T>(name: &str, decode: impl FnOnce() -> Result<T, ParquetError>) -> Result<T> {
    let fail = |message: String| {
        Error::data(format!("not a readable Parquet file: {message}")).at(Place::file(name))
    };
    match catch_unwind(AssertUnwindSafe(decode)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(fail(error.to_string())),
        Err(_) => Err(fail("its footer makes no sense".into())),
    }
}

/// Decodes a whole file and returns what is wrong with it, if anything.
///
/// Errors and panics of the decoder come without a name when many files are read at once; this
/// finds the file that they came from.
pub fn diagnose(file: &Arc<SourceFile>) -> Option<Error> {
    let fail = |message: String| {
        Some(
            Error::data(format!("the file cannot be decoded: {message}"))
                .at(Place::file(&file.name))
                .hint("it is damaged, or uses what is not supported yet: try another reader on it"),
        )
    };
    if file.is_stream() {
        return None;
    }
    let decode = || -> Result<(), String> {
        let open = file.open().map_err(|error| error.to_string())?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(open)
            .and_then(|builder| builder.build())
            .map_err(|error| error.to_string())?;
        for batch in reader {
            batch.map_err(|error| error.to_string())?;
        }
        Ok(())
    };
    match catch_unwind(AssertUnwindSafe(decode)) {
        Ok(Ok(())) => None,
        Ok(Err(message)) => {
            fail(message.trim_start_matches("Parquet argument error: ").to_string())
        }
        Err(_) => fail("its pages make no sense".to_string()),
    }
}

/// The files that tasks opened last, by task: where an unnamed error must come from.
#[derive(Debug, Clone, Default)]
pub struct InFlight(Arc<Mutex<BTreeMap<usize, Arc<SourceFile>>>>);

impl InFlight {
    fn opened(&self, task: usize, file: &Arc<SourceFile>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(task, Arc::clone(file));
    }

    /// The first of these files that cannot be decoded, with what is wrong with it.
    pub fn diagnose(&self) -> Option<Error> {
        let files: Vec<_> =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        files.iter().find_map(diagnose)
    }
}

/// Gives DataFusion's Parquet source our files: footers already read, identity checked.
#[derive(Debug)]
pub struct Readers {
    /// Where counts go.
    pub notes: Notes,
    /// Where the files being read are kept in sight.
    pub in_flight: InFlight,
}

impl ParquetFileReaderFactory for Readers {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        _metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>, DataFusionError> {
        let file_range_start = file.range().0;
        let plan = file.extension::<FilePlan>().cloned();
        match plan.and_then(|plan| plan.layout.parquet.clone().map(|layout| (plan.file, layout))) {
            Some((file, layout)) => {
                self.in_flight.opened(partition_index, &file);
                // A file that is cut into ranges is opened once for each: count it at its first.
                if file_range_start == 0 {
                    Counts::bump(&self.notes.counts().files_read, 1);
                    Counts::bump(&self.notes.counts().rows_read, layout.row_count());
                }
                Ok(Box::new(Reader {
                    file,
                    metadata: layout.bounded,
                    open: None,
                    notes: self.notes.clone(),
                    read: MetricBuilder::new(metrics).counter(READ_BYTES, partition_index),
                }))
            }
            None => Err(DataFusionError::Internal("a Parquet file without its plan".into())),
        }
    }
}

struct Reader {
    file: Arc<SourceFile>,
    metadata: Arc<ParquetMetaData>,
    open: Option<OpenFile>,
    notes: Notes,
    read: Count,
}

impl Reader {
    fn count(&self, len: u64) {
        Counts::bump(&self.notes.counts().bytes_read, len);
        self.read.add(usize::try_from(len).unwrap_or(usize::MAX));
    }

    fn check(&self, range: &Range<u64>) -> Result<()> {
        if range.end > self.file.identity.len {
            return Err(Error::data("a page claims bytes outside the file")
                .at(Place::file(&self.file.name)));
        }
        Ok(())
    }

    fn read(&mut self, range: Range<u64>) -> Result<bytes::Bytes> {
        self.check(&range)?;
        let open = match &mut self.open {
            Some(open) => open,
            closed => closed.insert(self.file.open()?),
        };
        let len = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        let mut buffer = Buffer::of(len);
        open.read_exact_at(&mut buffer.bytes[..len], range.start)?;
        open.verify()?;
        self.count(len as u64);
        Ok(bytes::Bytes::from_owner(buffer))
    }

    /// Ranges of an object: those that are wanted together are asked for together.
    async fn fetch(
        &self,
        object: &Arc<Object>,
        ranges: Vec<Range<u64>>,
    ) -> Result<Vec<bytes::Bytes>> {
        ranges.iter().try_for_each(|range| self.check(range))?;
        let len: u64 = ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum();
        let bytes = object.ranges(ranges).await?;
        self.count(len);
        Ok(bytes)
    }
}

/// Buffers that were read into and are free again, for the whole process: clearing fresh memory for
/// each read takes longer than reading.
static FREE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
/// So much is kept free at most.
const FREE_MAX_BYTES: usize = 64 * 1024 * 1024;
/// Smaller ones are the allocator's.
const POOLED_MIN_BYTES: usize = 64 * 1024;

/// Bytes of a file; goes back to [`FREE`].
struct Buffer {
    bytes: Vec<u8>,
    len: usize,
}

impl Buffer {
    fn of(len: usize) -> Self {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        // The smallest that is large enough, and not much too large.
        let fits = |bytes: &Vec<u8>| bytes.len() >= len && bytes.len() / 4 <= len;
        let best = free
            .iter()
            .enumerate()
            .filter(|(_, bytes)| fits(bytes))
            .min_by_key(|(_, bytes)| bytes.len())
            .map(|(idx, _)| idx);
        let kept = best.map(|idx| free.swap_remove(idx));
        drop(free);
        let bytes = kept.unwrap_or_else(|| match len {
            POOLED_MIN_BYTES.. => vec![0; len.next_multiple_of(POOLED_MIN_BYTES)],
            _ => vec![0; len],
        });
        Buffer { bytes, len }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.bytes.len() < POOLED_MIN_BYTES {
            return;
        }
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(std::mem::take(&mut self.bytes));
        let mut total: usize = free.iter().map(Vec::len).sum();
        // The oldest go first.
        while total > FREE_MAX_BYTES {
            total -= free.remove(0).len();
        }
    }
}

impl AsyncFileReader for Reader {
    fn get_bytes(
        &mut self,
        range: Range<u64>,
    ) -> BoxFuture<'_, parquet::errors::Result<bytes::Bytes>> {
        if self.file.as_object().is_some() {
            let one = |mut bytes: Vec<bytes::Bytes>| bytes.pop().unwrap_or_default();
            return self.get_byte_ranges(vec![range]).map_ok(one).boxed();
        }
        std::future::ready(self.read(range).map_err(ParquetError::from)).boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, parquet::errors::Result<Vec<bytes::Bytes>>> {
        if let Some(object) = self.file.as_object().cloned() {
            return async move { Ok(self.fetch(&object, ranges).await?) }.boxed();
        }
        let bytes: Result<_> = ranges.into_iter().map(|range| self.read(range)).collect();
        std::future::ready(bytes.map_err(ParquetError::from)).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        std::future::ready(Ok(Arc::clone(&self.metadata))).boxed()
    }
}
