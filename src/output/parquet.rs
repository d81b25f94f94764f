//! Parquet files whose pages carry checksums.
//!
//! ```text
//! batches -> one encoder for each leaf column -> pages, each as header and body
//!         -> the CRC of the body put into the header -> appended to the file, group by group
//! ```
//!
//! The format has a place for a page's CRC-32 (`crc` of `PageHeader`, parquet.thrift), and the `parquet`
//! crate verifies it but does not write it. So encoded pages are taken from the encoders, and their
//! headers, which are structs of Thrift's compact protocol, are written anew with one field more.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{
    ArrowColumnWriter, ArrowRowGroupWriterFactory, PageKey, PageStore, PageStoreArgs,
    PageStoreFactory, compute_leaves,
};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::OffsetIndexBuilder;
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::writer::SerializedFileWriter;

use super::sink::RowWriter;

/// Writes rows as one Parquet file.
pub(super) struct Parquet<W: Write + Send> {
    file: SerializedFileWriter<W>,
    schema: SchemaRef,
    encoders: ArrowRowGroupWriterFactory,
    pages: Arc<Pages>,
    rows_max: Option<usize>,
    len_max_bytes: Option<usize>,
    group: Option<Group>,
    group_count: usize,
}

/// A row group that is being encoded.
struct Group {
    columns: Vec<ArrowColumnWriter>,
    pages: Vec<Blobs>,
    row_count: usize,
}

/// The headers and bodies of a column's pages by turns, in the order in which they were encoded.
type Blobs = Arc<Mutex<Vec<Bytes>>>;

impl<W: Write + Send> Parquet<W> {
    /// Begins a file.
    pub(super) fn new(
        out: W,
        schema: &SchemaRef,
        properties: WriterProperties,
    ) -> io::Result<Self> {
        let (rows_max, len_max_bytes) =
            (properties.max_row_group_row_count(), properties.max_row_group_bytes());
        // It writes the schema's description into the footer.
        let writer = ArrowWriter::try_new(out, Arc::clone(schema), Some(properties));
        let (file, encoders) = writer.and_then(ArrowWriter::into_serialized_writer)?;
        let pages = Arc::new(Pages::default());
        let encoders = encoders.with_page_store_factory(Arc::clone(&pages) as _);
        let schema = Arc::clone(schema);
        let (group, group_count) = (None, 0);
        Ok(Parquet { file, schema, encoders, pages, rows_max, len_max_bytes, group, group_count })
    }

    /// Encodes as many rows as the group has room for; returns how many.
    fn encode(&mut self, batch: &RecordBatch) -> Result<usize> {
        let group = match &mut self.group {
            Some(group) => group,
            none => {
                let columns = self.encoders.create_column_writers(self.group_count)?;
                none.insert(Group { columns, pages: self.pages.take(), row_count: 0 })
            }
        };
        let room = self.rows_max.map_or(usize::MAX, |max| max - group.row_count);
        // Whether the bytes fit is told from those of the rows before.
        let room = match self.len_max_bytes.zip(group.len_bytes().checked_div(group.row_count)) {
            Some((max, row_len)) => {
                let left = max.saturating_sub(group.len_bytes());
                room.min(left.checked_div(row_len).unwrap_or(usize::MAX).max(1))
            }
            None => room,
        };
        let rows = batch.slice(0, room.min(batch.num_rows()));
        let mut columns = group.columns.iter_mut();
        for (field, array) in self.schema.fields().iter().zip(rows.columns()) {
            for (leaf, column) in compute_leaves(field, array)?.iter().zip(&mut columns) {
                column.write(leaf)?;
            }
        }
        group.row_count += rows.num_rows();
        let is_full = self.rows_max.is_some_and(|max| group.row_count >= max)
            || self.len_max_bytes.is_some_and(|max| group.len_bytes() >= max);
        if is_full {
            self.end_group()?;
        }
        Ok(rows.num_rows())
    }

    fn end_group(&mut self) -> Result<()> {
        let Some(group) = self.group.take() else { return Ok(()) };
        let mut written = self.file.next_row_group()?;
        for (column, blobs) in group.columns.into_iter().zip(group.pages) {
            let close = column.close()?.close().clone();
            let blobs = std::mem::take(&mut *blobs.lock().unwrap_or_else(PoisonError::into_inner));
            let (pages, close) = with_checksums(blobs, close)?;
            written.append_column(&pages, close)?;
        }
        written.close()?;
        self.group_count += 1;
        Ok(())
    }
}

impl Group {
    fn len_bytes(&self) -> usize {
        self.columns.iter().map(ArrowColumnWriter::get_estimated_total_bytes).sum()
    }
}

impl<W: Write + Send> RowWriter for Parquet<W> {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        let mut start = 0;
        while start < batch.num_rows() {
            start += self.encode(&batch.slice(start, batch.num_rows() - start))?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.end_group()?;
        self.file.into_inner()?.flush()
    }
}

/// Keeps the pages of the columns where the writer finds them again.
#[derive(Debug, Default)]
struct Pages(Mutex<Vec<Blobs>>);

impl Pages {
    /// Those of the columns that were begun since the last call.
    fn take(&self) -> Vec<Blobs> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl PageStoreFactory for Pages {
    fn create(&self, _args: &PageStoreArgs<'_>) -> Result<Box<dyn PageStore>> {
        let blobs = Blobs::default();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&blobs));
        Ok(Box::new(Shared { blobs, len_bytes: 0 }))
    }
}

struct Shared {
    blobs: Blobs,
    len_bytes: usize,
}

impl PageStore for Shared {
    fn put(&mut self, value: Bytes) -> Result<PageKey> {
        self.len_bytes += value.len();
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        blobs.push(value);
        Ok(PageKey::new(blobs.len() as u64 - 1))
    }

    fn take(&mut self, _key: PageKey) -> Result<Bytes> {
        Err(ParquetError::General("pages are taken by the writer of the file".into()))
    }

    fn memory_size(&self) -> usize {
        self.len_bytes
    }
}

/// The pages of a column chunk as they stand in the file, each with its checksum, and what is to be said of
/// them in the footer.
fn with_checksums(
    blobs: Vec<Bytes>,
    mut close: ColumnCloseResult,
) -> Result<(Chunk, ColumnCloseResult)> {
    let len_before: usize = blobs.iter().map(Bytes::len).sum();
    let (mut dictionary, mut data) = (Vec::new(), Vec::new());
    for page in blobs.chunks_exact(2) {
        let (header, is_dictionary) = with_checksum(&page[0], &page[1])
            .ok_or_else(|| ParquetError::General("a page's header makes no sense".into()))?;
        let pages = if is_dictionary { &mut dictionary } else { &mut data };
        pages.push((header, page[1].clone()));
    }
    let len_of = |(header, body): &(Bytes, Bytes)| header.len() + body.len();
    let dictionary_len: usize = dictionary.iter().map(len_of).sum();
    let lens: Vec<usize> = data.iter().map(len_of).collect();
    let len = dictionary_len + lens.iter().sum::<usize>();
    // The dictionary is encoded last, and stands first.
    let blobs = dictionary.into_iter().chain(data).flat_map(|(header, body)| [header, body]);
    let chunk = Chunk { blobs: blobs.collect(), len };
    let unpacked_len = close.metadata.uncompressed_size() + (len - len_before) as i64;
    let metadata = close
        .metadata
        .into_builder()
        .set_total_compressed_size(len as i64)
        .set_total_uncompressed_size(unpacked_len)
        .set_dictionary_page_offset((dictionary_len > 0).then_some(0))
        .set_data_page_offset(dictionary_len as i64);
    close.metadata = metadata.build()?;
    close.bytes_written = len as u64;
    close.offset_index =
        close.offset_index.map(|index| moved(&index, &lens, dictionary_len, close.rows_written));
    Ok((chunk, close))
}

/// An index of pages that have these lengths and follow each other from `start`.
fn moved(
    index: &OffsetIndexMetaData,
    lens: &[usize],
    start: usize,
    row_count: u64,
) -> OffsetIndexMetaData {
    let mut builder = OffsetIndexBuilder::new();
    let mut offset = start;
    let locations = index.page_locations();
    for (idx, (location, len)) in locations.iter().zip(lens).enumerate() {
        let end = locations.get(idx + 1).map_or(row_count as i64, |next| next.first_row_index);
        builder.append_row_count(end - location.first_row_index);
        builder.append_offset_and_size(offset as i64, *len as i32);
        let sizes = index.unencoded_byte_array_data_bytes();
        builder.append_unencoded_byte_array_data_bytes(
            sizes.and_then(|sizes| sizes.get(idx).copied()),
        );
        offset += len;
    }
    builder.build()
}

/// A page's header with the checksum of its body, and whether it is a dictionary's; None if it has one, or
/// is no header.
///
/// A field of the compact protocol is the difference between its number and that of the field before, four
/// bits of type, and the value. Numbers 1 to 3 are the kind of page and two lengths, 4 is the checksum.
fn with_checksum(header: &[u8], body: &[u8]) -> Option<(Bytes, bool)> {
    const NEXT_INT: u8 = 0x15;
    const DICTIONARY: u8 = 2 << 1;
    let mut end = 0;
    for _ in 0..3 {
        if *header.get(end)? != NEXT_INT {
            return None;
        }
        end += 2 + header.get(end + 1..)?.iter().take_while(|byte| **byte >= 0x80).count();
    }
    let following = *header.get(end)?;
    // Further on than number 4.
    if following >> 4 < 2 {
        return None;
    }
    let mut crc = flate2::Crc::new();
    crc.update(body);
    let crc = crc.sum() as i32;
    let mut zigzag = ((crc << 1) ^ (crc >> 31)) as u32;
    let mut with = Vec::with_capacity(header.len() + 6);
    with.extend_from_slice(&header[..end]);
    with.push(NEXT_INT);
    while zigzag >= 0x80 {
        with.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    with.push(zigzag as u8);
    with.push(following - 0x10);
    with.extend_from_slice(&header[end + 1..]);
    Some((with.into(), header[1] == DICTIONARY))
}

/// Pages that follow each other.
struct Chunk {
    blobs: VecDeque<Bytes>,
    len: usize,
}

impl Length for Chunk {
    fn len(&self) -> u64 {
        self.len as u64
    }
}

impl ChunkReader for Chunk {
    type T = Blob;

    fn get_read(&self, start: u64) -> Result<Blob> {
        let mut blobs = Blob(self.blobs.clone());
        blobs.skip(start as usize);
        Ok(blobs)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let mut bytes = vec![0; length];
        self.get_read(start)?.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// What is left to be read of pages.
struct Blob(VecDeque<Bytes>);

impl Blob {
    fn skip(&mut self, mut count: usize) {
        while let Some(first) = self.0.front_mut() {
            if count < first.len() {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.0.pop_front();
        }
    }
}

impl Read for Blob {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.skip(0);
        let Some(first) = self.0.front() else { return Ok(0) };
        let count = first.len().min(to.len());
        to[..count].copy_from_slice(&first[..count]);
        self.skip(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{
        ArrayRef, Float64Array, Int64Array, ListArray, StringArray, StructArray,
    };
    use datafusion::arrow::compute::concat_batches;
    use datafusion::arrow::datatypes::{DataType, Field, Int32Type};
    use parquet::arrow::arrow_reader::{
        ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
    };
    use parquet::basic::Compression;
    use parquet::file::metadata::PageIndexPolicy;
    use parquet::file::properties::WriterPropertiesBuilder;

    /// Texts that repeat and texts that do not, NULLs, numbers, lists and structs.
    fn rows(start: i64, count: i64) -> RecordBatch {
        let range = start..start + count;
        let lists = range.clone().map(|n| {
            (n % 5 > 0).then(|| (0..n as i32 % 4).map(Some).collect::<Vec<Option<i32>>>())
        });
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(lists);
        let doubles: ArrayRef =
            Arc::new(range.clone().map(|n| n as f64 / 3.0).collect::<Float64Array>());
        let field = Arc::new(Field::new("double", DataType::Float64, true));
        let texts = range.clone().map(|n| (n % 7 > 0).then(|| format!("text {}", n % 11)));
        let columns: [(&str, ArrayRef); 5] = [
            ("number", Arc::new(range.clone().map(Some).collect::<Int64Array>())),
            ("repeated", Arc::new(texts.collect::<StringArray>())),
            (
                "unique",
                Arc::new(range.map(|n| Some(n.to_string().repeat(3))).collect::<StringArray>()),
            ),
            ("list", Arc::new(lists)),
            ("struct", Arc::new(StructArray::from(vec![(field, doubles)]))),
        ];
        RecordBatch::try_from_iter(columns.map(|(name, array)| (name, array))).expect("a batch")
    }

    fn file(builder: WriterPropertiesBuilder) -> (Vec<u8>, RecordBatch) {
        let properties = builder
            .set_data_page_row_count_limit(100)
            .set_write_batch_size(50)
            .set_column_bloom_filter_enabled("unique".into(), true)
            .build();
        let batches = [rows(0, 1000), rows(1000, 1), rows(1001, 1499)];
        let mut bytes = Vec::new();
        let writer = Parquet::new(&mut bytes, &batches[0].schema(), properties);
        let mut writer = Box::new(writer.expect("opens"));
        batches.iter().for_each(|batch| writer.write(batch).expect("written"));
        writer.finish().expect("written");
        (bytes, concat_batches(&batches[0].schema(), &batches).expect("one batch"))
    }

    fn builder(bytes: &[u8]) -> ParquetRecordBatchReaderBuilder<Bytes> {
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
        let bytes = Bytes::copy_from_slice(bytes);
        ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options).expect("a footer")
    }

    fn read(builder: ParquetRecordBatchReaderBuilder<Bytes>) -> Option<RecordBatch> {
        let schema = Arc::clone(builder.schema());
        let batches = builder.build().ok()?.collect::<std::result::Result<Vec<_>, _>>().ok()?;
        concat_batches(&schema, &batches).ok()
    }

    #[test]
    fn what_was_written_is_read_again_whole_and_by_pages() {
        for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY] {
            let properties = WriterProperties::builder().set_compression(compression);
            let (bytes, rows) = file(properties.set_max_row_group_row_count(Some(700)));
            let groups = builder(&bytes).metadata().row_groups().to_vec();
            let counts: Vec<i64> = groups.iter().map(|group| group.num_rows()).collect();
            assert_eq!(counts, [700, 700, 700, 400]);
            assert!(groups[0].column(2).bloom_filter_offset().is_some());
            assert_eq!(read(builder(&bytes)).expect("readable"), rows);
            // Pages are found by the offsets of their index.
            let selection = vec![RowSelector::skip(1234), RowSelector::select(321)];
            let some = builder(&bytes).with_row_selection(RowSelection::from(selection));
            assert_eq!(read(some).expect("readable"), rows.slice(1234, 321));
        }
        let properties = WriterProperties::builder().set_max_row_group_bytes(Some(20_000));
        let (bytes, rows) = file(properties.set_max_row_group_row_count(None));
        let read_again = builder(&bytes);
        assert!(read_again.metadata().num_row_groups() > 1);
        assert_eq!(read(read_again).expect("readable"), rows);
    }

    #[test]
    fn a_bit_that_changes_in_any_page_is_an_error() {
        let (bytes, _) =
            file(WriterProperties::builder().set_compression(Compression::UNCOMPRESSED));
        let known = builder(&bytes);
        let metadata = known.metadata();
        let mut ends: Vec<usize> = Vec::new();
        for (group, columns) in metadata.offset_index().expect("an index").iter().enumerate() {
            for (column, index) in columns.iter().enumerate() {
                let chunk = metadata.row_group(group).column(column);
                let pages = index.page_locations().iter();
                ends.extend(
                    pages.map(|page| page.offset as usize + page.compressed_page_size as usize),
                );
                ends.extend(
                    chunk.dictionary_page_offset().map(|_| chunk.data_page_offset() as usize),
                );
            }
        }
        assert!(ends.len() > 100, "{}", ends.len());
        for end in ends {
            let mut broken = bytes.clone();
            broken[end - 1] ^= 1;
            assert!(read(builder(&broken)).is_none(), "the page that ends at {end}");
        }
    }

    #[test]
    fn a_header_gets_one_field_more_and_only_once() {
        // Kind 0, lengths 200 and 3, then field 5, a struct.
        let header = [0x15, 0, 0x15, 0x90, 0x03, 0x15, 6, 0x2c, 0x15, 2, 0, 0];
        let (with, is_dictionary) = with_checksum(&header, b"abc").expect("a header");
        assert!(!is_dictionary);
        // CRC-32 of `abc` is 0x352441c2.
        let zigzag: u32 = 0x352441c2 << 1;
        let varint: Vec<u8> = (0..5)
            .map(|group| (zigzag >> (7 * group)) as u8 & 0x7f | if group < 4 { 0x80 } else { 0 })
            .collect();
        let expected = [&header[..7], &[0x15], &varint, &[0x1c], &header[8..]].concat();
        assert_eq!(with, expected);
        assert!(with_checksum(&with, b"abc").is_none());
        assert!(with_checksum(&header[..6], b"abc").is_none());
    }
}
