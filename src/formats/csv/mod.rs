//! CSV: any delimiter, quote, header, encoding and packing, read exactly or with an error that
//! names the place.
//!
//! ```text
//! sniff (dialect, header, types)  ->  Layout of one file
//! split (where records begin)     ->  pieces for tasks
//! reader (records -> decode)      ->  batches
//! ```

pub mod decode;
pub mod dialect;
pub mod learned;
mod prefilter;
#[cfg(any(test, fuzzing))]
pub mod probe;
pub mod reader;
mod records;
pub mod reject;
mod scan;
pub mod sniff;
pub mod split;
pub mod types;
pub mod value;

use std::io::Read;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::dialect::{CsvOptions, Dialect};
use self::learned::Learner;
use self::split::Splits;
use super::compression::Compression;
use super::encoding::Utf8Reader;
use super::file::SourceFile;
use super::{FileColumn, FileLayout, Format, Found, ReadRequest, Rows};
use crate::error::{Error, Result};

/// Bytes of one sample.
const SAMPLE_LEN_BYTES: usize = 64 * 1024;
/// Bytes that are looked at in one go where all of a file is.
const LOOK_LEN_BYTES: u64 = 1024 * 1024;

/// How one CSV file is laid out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CsvLayout {
    /// How it is written.
    pub dialect: Dialect,
    /// Offset of the first record in the decoded file.
    pub data_start: u64,
    /// What the user said about ragged rows.
    pub ragged: dialect::Ragged,
    /// What the user said about values that do not fit.
    pub on_error: reject::OnError,
    /// The longest record that is read.
    pub record_len_max_bytes: usize,
}

/// How thoroughly a file is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Depth {
    /// The head: dialect, header, and the types of the first rows.
    Head,
    /// Also the middle and the end.
    Deep,
}

/// Looks at a CSV file: dialect, names, and what its sampled values allow.
///
/// # Errors
/// When the file cannot be read, or contradicts the options.
pub fn inspect(
    file: &Arc<SourceFile>,
    compression: Compression,
    options: &CsvOptions,
    depth: Depth,
) -> Result<FileLayout> {
    let (raw, cut) = head(file, compression, options.sample_rows)?;
    let encoding = sniff::encoding_of(&raw, cut, options);
    let is_utf8 = encoding.encoding == encoding_rs::UTF_8;
    let text = if is_utf8 { raw } else { transcode(&raw, encoding.encoding, cut) };
    let mut sniffed = sniff::sniff(&file.name, &text, cut, encoding, options)?;
    let is_plain = is_utf8 && compression == Compression::None && !file.is_stream();
    if is_plain && cut && options.sample_rows == Some(usize::MAX) {
        look_through(file, &mut sniffed, options)?;
    } else if is_plain && cut && depth == Depth::Deep {
        deepen(file, &mut sniffed, options)?;
    }
    let columns = sniffed
        .names
        .into_iter()
        .zip(sniffed.evidence)
        .map(|(name, evidence)| FileColumn { name, found: Found::Sniffed(evidence) })
        .collect();
    Ok(FileLayout {
        format: Format::Csv,
        compression,
        columns,
        csv: Some(CsvLayout {
            dialect: sniffed.dialect,
            data_start: sniffed.data_start,
            ragged: match options.ragged {
                dialect::Ragged::Error if options.lenient => dialect::Ragged::Fit,
                ragged => ragged,
            },
            on_error: options.on_error,
            record_len_max_bytes: options
                .record_len_max_bytes
                .unwrap_or(reader::RECORD_LEN_MAX_BYTES),
        }),
        parquet: None,
        notes: sniffed.notes,
    })
}

/// The first decompressed bytes, with `rows` lines if they are not too long, and whether more
/// follow.
fn head(
    file: &Arc<SourceFile>,
    compression: Compression,
    rows: Option<usize>,
) -> Result<(Vec<u8>, bool)> {
    let mut len = SAMPLE_LEN_BYTES;
    loop {
        let mut text = if compression == Compression::None {
            file.head(len + 1)?
        } else {
            let raw = file.head(4 * len + 4096)?;
            unpack(file, compression, raw, len + 1)?
        };
        let cut = text.len() > len;
        if !cut {
            return Ok((text, false));
        }
        text.truncate(len);
        // A sample without a whole line says nothing: take more, up to the longest record.
        let line_ends = memchr::memchr2_iter(b'\n', b'\r', &text);
        if line_ends.take(rows.unwrap_or(1)).count() == rows.unwrap_or(1)
            || len >= reader::RECORD_LEN_MAX_BYTES
        {
            return Ok((text, true));
        }
        len *= 8;
    }
}

fn unpack(
    file: &Arc<SourceFile>,
    compression: Compression,
    raw: Vec<u8>,
    len_max: usize,
) -> Result<Vec<u8>> {
    let cut = raw.len() as u64 != file.identity.len;
    let fail = |error: std::io::Error| Error::io("decompress", &file.name, &error);
    let mut reader = compression.decode(Box::new(std::io::Cursor::new(raw))).map_err(fail)?;
    let mut text = Vec::new();
    match reader.by_ref().take(len_max as u64).read_to_end(&mut text) {
        Err(error) if !cut || text.is_empty() => Err(fail(error)),
        _ => Ok(text),
    }
}

fn transcode(raw: &[u8], encoding: &'static encoding_rs::Encoding, cut: bool) -> Vec<u8> {
    let mut decoder = encoding.new_decoder_with_bom_removal();
    let mut text = String::with_capacity(decoder.max_utf8_buffer_length(raw.len()).unwrap_or(0));
    // Replacement is fine in a sample: the reader refuses what is malformed.
    let _ = decoder.decode_to_string(raw, &mut text, !cut);
    text.into_bytes()
}

/// Takes all records of a file as evidence.
fn look_through(
    file: &Arc<SourceFile>,
    sniffed: &mut sniff::Sniffed,
    options: &CsvOptions,
) -> Result<()> {
    let open = file.open()?;
    let (mut start, mut len) = (sniffed.data_start, LOOK_LEN_BYTES);
    while start < file.identity.len {
        let end = (start + len).min(file.identity.len);
        let mut text = vec![0; usize::try_from(end - start).unwrap_or(SAMPLE_LEN_BYTES)];
        open.read_exact_at(&mut text, start)?;
        let cut = end < file.identity.len;
        let width = sniffed.names.len();
        let (piece, used) = sniff::sniff_records(&sniffed.dialect, &text, cut, width, options);
        for (column, more) in sniffed.evidence.iter_mut().zip(&piece) {
            column.merge(more);
        }
        if used == 0 && len > reader::RECORD_LEN_MAX_BYTES as u64 {
            // The reader will say what is wrong here.
            return Ok(());
        }
        start += used as u64;
        len = if used == 0 { 8 * len } else { LOOK_LEN_BYTES };
    }
    Ok(())
}

/// Adds evidence from the middle and the end of a large file.
fn deepen(
    file: &Arc<SourceFile>,
    sniffed: &mut sniff::Sniffed,
    options: &CsvOptions,
) -> Result<()> {
    let open = file.open()?;
    let len = file.identity.len;
    let sample = SAMPLE_LEN_BYTES as u64;
    let width = sniffed.names.len();
    let starts = [len / 4, len / 2, len / 4 * 3, len.saturating_sub(sample)];
    for start in starts.into_iter().filter(|&start| start >= sample) {
        let end = (start + sample).min(len);
        let mut text = vec![0; usize::try_from(end - start).unwrap_or(SAMPLE_LEN_BYTES)];
        open.read_exact_at(&mut text, start)?;
        let piece = sniff::sniff_piece(&sniffed.dialect, &text, end < len, width, options);
        for (column, more) in sniffed.evidence.iter_mut().zip(&piece) {
            column.merge(more);
        }
    }
    Ok(())
}

/// A piece of a file that a task reads.
#[derive(Debug, Clone)]
pub struct Piece {
    /// The pieces of the file.
    pub splits: Arc<Splits>,
    /// Which one.
    pub idx: usize,
}

/// Opens a CSV file, or a piece of it, for reading.
///
/// # Errors
/// When the file cannot be opened or changed since it was listed.
pub fn open(
    file: &Arc<SourceFile>,
    layout: &FileLayout,
    csv: &CsvLayout,
    piece: Option<&Piece>,
    learner: Option<&Arc<Learner>>,
    request: &Arc<ReadRequest>,
) -> Result<Rows> {
    let mut sources: Vec<_> =
        request.columns.iter().map(|wanted| layout.source_of(wanted)).collect();
    sources.extend(request.checked.iter().map(|spec| layout.position_of(&spec.name)));
    let plain =
        layout.compression == Compression::None && csv.dialect.encoding == encoding_rs::UTF_8;
    let (start, end) = match piece {
        Some(piece) => piece.splits.record_range(piece.idx)?,
        None => (csv.data_start, u64::MAX),
    };
    let newline = csv.dialect.newline;
    let bytes: Box<dyn Read + Send> = if plain && !file.is_stream() {
        file.read_piece(start, end, file.identity.len)?
    } else {
        let packed = file.read_all()?;
        let unpacked = layout
            .compression
            .decode(packed)
            .map_err(|error| Error::io("decompress", &file.name, &error))?;
        if csv.dialect.encoding == encoding_rs::UTF_8 {
            unpacked
        } else {
            Box::new(Utf8Reader::new(unpacked, csv.dialect.encoding, &file.name))
        }
    };
    // What cannot be entered in the middle is read from the front.
    let (bytes, skipped_lines) = if plain && !file.is_stream() {
        (bytes, None)
    } else {
        let (bytes, lines) = skip(bytes, start, newline, &file.name)?;
        (bytes, Some(lines))
    };
    let counted = Arc::clone(file);
    let lines_before: Box<dyn FnOnce() -> u64 + Send> = match skipped_lines {
        Some(lines) => Box::new(move || lines),
        None => Box::new(move || count_newlines(&counted, start, newline)),
    };
    let input = reader::Input {
        bytes,
        start,
        end,
        len_max: (plain && !file.is_stream()).then(|| file.identity.len.saturating_sub(start)),
        dialect: csv.dialect.clone(),
        width: layout.columns.len(),
        ragged: csv.ragged,
        on_error: csv.on_error,
        record_len_max_bytes: csv.record_len_max_bytes,
        name: file.name.clone(),
        lines_before: reader::LinesBefore::new(lines_before),
        learner: learner.cloned(),
    };
    Ok(Box::new(reader::CsvReader::new(input, Arc::clone(request), &sources)))
}

/// Reads `count` bytes away and counts the newlines in them.
fn skip(
    mut bytes: Box<dyn Read + Send>,
    count: u64,
    newline: u8,
    name: &str,
) -> Result<(Box<dyn Read + Send>, u64)> {
    let mut head = Vec::new();
    bytes
        .by_ref()
        .take(count)
        .read_to_end(&mut head)
        .map_err(|error| Error::io("read", name, &error))?;
    Ok((bytes, memchr::memchr_iter(newline, &head).count() as u64))
}

/// Newlines before an offset; 0 if the file cannot be read, which only costs the line number.
fn count_newlines(file: &Arc<SourceFile>, end: u64, newline: u8) -> u64 {
    let Ok(mut reader) = file.read_range(0, end) else { return 0 };
    let (mut buffer, mut lines) = (vec![0; 1 << 20], 0);
    while let Ok(count @ 1..) = reader.read(&mut buffer) {
        lines += memchr::memchr_iter(newline, &buffer[..count]).count() as u64;
    }
    lines
}
