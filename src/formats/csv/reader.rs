//! The reader: bytes of one file, or of one piece of it, into record batches.
//!
//! ```text
//! bytes -> buffer -> Scanner (where fields and records end, many at once)
//!                      -> Prefilter (rows that a filter above will drop)
//!                      -> the asked columns, one after the other, into their ColumnBuilders
//!                 -> Tokenizer (fields of one record), wherever the scanner does not vouch for one
//! ```
//!
//! Every record is cut into fields and counted, also for `count(*)`: a row of the wrong length is
//! an error that names file, line and column, whatever the statement asks for.

use std::cell::LazyCell;
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, BooleanArray, Int64Builder, RecordBatch, RecordBatchOptions, new_empty_array,
    new_null_array,
};
use datafusion::arrow::compute::{concat, filter_record_batch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;

use super::decode::{ColumnBuilder, Misread};
use super::dialect::{Dialect, Ragged};
use super::learned::{Learner, RangeWalk};
use super::prefilter::{self, Prefilter};
use super::records::{Field, Malformed, Tokenizer};
use super::reject::{OnError, Reject};
use super::scan::{Scanner, Structure};
use crate::error::{Error, ErrorKind, Misfit, Place, Result};
use crate::formats::{ReadRequest, Wanted};
use crate::notes::{Counts, NoteKind};

const BUFFER_LEN_BYTES: usize = 256 * 1024;
/// The longest record that is read; more is most likely a quote that was never closed.
pub const RECORD_LEN_MAX_BYTES: usize = 64 * 1024 * 1024;
/// Bytes after which a batch is handed on although few rows have passed the prefilter.
const BATCH_TEXT_LEN_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// A count of newlines that is made once, when it is first needed.
pub type LinesBefore = LazyCell<u64, Box<dyn FnOnce() -> u64 + Send>>;

/// What a reader must know of the file besides its bytes.
pub struct Input {
    /// Decoded bytes from `start` on.
    pub bytes: Box<dyn Read + Send>,
    /// Offset of the first record in the decoded file.
    pub start: u64,
    /// Records that begin at or behind this offset belong to another task.
    pub end: u64,
    /// How much there is to read at most, if that is known.
    pub len_max: Option<u64>,
    /// How the file is written.
    pub dialect: Dialect,
    /// How many fields a record has.
    pub width: usize,
    /// What to do with records of another width.
    pub ragged: Ragged,
    /// What to do with what cannot be read.
    pub on_error: OnError,
    /// The longest record that is read.
    pub record_len_max_bytes: usize,
    /// The name of the file for errors.
    pub name: String,
    /// Counts the newlines before `start`; asked only for an error's line number.
    pub lines_before: LinesBefore,
    /// Where goes what the pass shows of the file; `start` is the first record of a range then.
    pub learner: Option<Arc<Learner>>,
}

/// Iterates over the batches of one file or piece.
pub struct CsvReader {
    input: Input,
    request: Arc<ReadRequest>,
    tokenizer: Tokenizer,
    /// None where each record needs the tokenizer.
    scanner: Option<Scanner>,
    scanned: Scanned,
    prefilter: Option<Prefilter>,
    ranges: Option<RangeWalk>,
    columns: Vec<Column>,
    fields: Vec<Field>,
    buffer: Vec<u8>,
    /// The unread bytes are `buffer[position..filled]`.
    position: usize,
    filled: usize,
    at_end: bool,
    done: bool,
    /// Offset of `buffer[0]` in the decoded file.
    buffer_start: u64,
    /// Newlines between `input.start` and `buffer[0]`.
    lines_dropped: u64,
    row_number: i64,
    /// Rows of the current batch that are left out at its end.
    bad_rows: Vec<usize>,
}

/// What the scanner found in the buffer, and how much of it has been used.
#[derive(Default)]
struct Scanned {
    structure: Structure,
    /// Offset in the buffer of the text that was scanned.
    start: usize,
    /// Records that have been used.
    used_count: usize,
}

enum Column {
    /// `done` holds the rows of the batch before those in the builder.
    Field {
        idx: usize,
        builder: Box<ColumnBuilder>,
        done: Vec<ArrayRef>,
    },
    Missing,
    RowNumber(Int64Builder),
}

impl CsvReader {
    /// Makes a reader; `sources` gives for each wanted column the field that holds it.
    pub fn new(input: Input, request: Arc<ReadRequest>, sources: &[Option<usize>]) -> Self {
        let ranges = input
            .learner
            .clone()
            .map(|learner| RangeWalk::new(learner, input.start, &request.columns));
        let columns = request
            .columns
            .iter()
            .cloned()
            .chain(request.checked.iter().cloned().map(Wanted::Column))
            .zip(sources)
            .map(|(wanted, source)| match (wanted, source) {
                (Wanted::RowNumber, _) => Column::RowNumber(Int64Builder::new()),
                (Wanted::Column(spec), Some(idx)) => {
                    let builder = Box::new(ColumnBuilder::new(spec));
                    Column::Field { idx: *idx, builder, done: Vec::new() }
                }
                (Wanted::Column(_), None) => Column::Missing,
            })
            .collect();
        CsvReader {
            tokenizer: Tokenizer::for_width(&input.dialect, input.width),
            // Blank lines are rows or not in a file of one column: the tokenizer's business.
            scanner: (input.width > 1).then(|| Scanner::new(&input.dialect)).flatten(),
            scanned: Scanned::default(),
            prefilter: Prefilter::new(&request),
            ranges,
            columns,
            fields: Vec::with_capacity(input.width),
            buffer: Vec::new(),
            position: 0,
            filled: 0,
            at_end: false,
            done: false,
            buffer_start: input.start,
            lines_dropped: 0,
            row_number: 0,
            bad_rows: Vec::new(),
            input,
            request,
        }
    }

    /// Reads each record by itself.
    #[cfg(any(test, fuzzing))]
    pub(super) fn forget_scanner(&mut self) {
        self.scanner = None;
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut row_count = 0;
        let (first_row_number, start) = (self.row_number, self.offset());
        if let Some(ranges) = &mut self.ranges {
            ranges.advance(start, first_row_number);
        }
        let mut is_over = false;
        // A batch ends with its range.
        let end = self.ranges.as_ref().map_or(u64::MAX, RangeWalk::end);
        while row_count < self.request.batch_rows
            && self.offset() - start < BATCH_TEXT_LEN_MAX_BYTES
            && self.offset() < end
        {
            if let Some(taken) = self.take_run(row_count)? {
                row_count += taken;
                continue;
            }
            let Some(record_len) = self.next_record()? else {
                is_over = true;
                break;
            };
            self.tally_strays(record_len);
            if self.take_record(row_count)? {
                row_count += 1;
            }
            self.position += record_len;
        }
        self.report_tallies();
        let seen_count = (self.row_number - first_row_number) as u64;
        if seen_count == 0 && is_over {
            if let Some(ranges) = self.ranges.take() {
                let offset = self.offset();
                let is_end_of_file = self.at_end || ranges.ends_at(offset);
                ranges.finish(offset, is_end_of_file, self.row_number);
            }
            return Ok(None);
        }
        let schema = Arc::clone(&self.request.schema);
        let arrays = self.finish_columns(&schema, row_count)?;
        let options = RecordBatchOptions::new().with_row_count(Some(row_count));
        let mut batch =
            RecordBatch::try_new_with_options(schema, arrays, &options).map_err(internal)?;
        let mut bad_count = 0;
        if !self.bad_rows.is_empty() {
            let mut is_good = vec![true; row_count];
            self.bad_rows.drain(..).for_each(|row| is_good[row] = false);
            let good = BooleanArray::from(is_good);
            bad_count = good.false_count() as u64;
            self.request.rejects.count_rows(bad_count)?;
            batch = filter_record_batch(&batch, &good).map_err(internal)?;
        }
        let counts = self.request.notes.counts();
        Counts::bump(&counts.rows_read, seen_count - bad_count);
        Counts::bump(&counts.bytes_passed, self.offset() - start);
        Ok(Some(batch))
    }

    /// Takes a run of well-formed records of the right width, column by column, behind the `taken`
    /// rows of the batch, and returns how many rows they became; None where the next record must be
    /// read by itself, or is not wholly here.
    fn take_run(&mut self, taken: usize) -> Result<Option<usize>> {
        let Some(records) = self.next_run(self.request.batch_rows - taken) else {
            return Ok(None);
        };
        let first_record = records.start;
        let mut run = Run { records: records.clone(), kept: None, misreads: Vec::new() };
        let buffer = std::mem::take(&mut self.buffer);
        let text = RunText::new(&buffer[self.scanned.start..self.filled], {
            let has_text = self.columns.iter().any(Column::is_text);
            has_text.then(|| self.scanned.offsets(&records))
        });
        let result = self.take_columns(&text, taken, &mut run);
        self.buffer = buffer;
        result?;
        for (misread, column_idx, field, record) in std::mem::take(&mut run.misreads) {
            self.position = self.scanned.record_start(record);
            let start = self.scanned.start + field.start - self.position;
            let end = self.scanned.start + field.end - self.position;
            let row = taken + record - first_record;
            self.take_misread(misread, column_idx, Field { start, end, ..field }, row)?;
        }
        self.row_number += records.len() as i64;
        self.scanned.used_count = records.end;
        self.position = self.scanned.record_start(records.end);
        Ok(Some(run.row_count()))
    }

    fn take_columns(&mut self, text: &RunText<'_>, taken: usize, run: &mut Run) -> Result<()> {
        let prefilter = self.prefilter.take_if(|prefilter| prefilter.is_due());
        let Some(mut prefilter) = prefilter else {
            (0..self.columns.len()).for_each(|column_idx| self.take_column(column_idx, text, run));
            return Ok(());
        };
        self.take_filtered(&mut prefilter, text, taken, run)?;
        (0..self.columns.len())
            .filter(|column_idx| !prefilter.columns().contains(column_idx))
            .for_each(|column_idx| self.take_column(column_idx, text, run));
        self.prefilter = Some(prefilter);
        Ok(())
    }

    /// Takes the prefilter's columns of a run and keeps the records that pass.
    fn take_filtered(
        &mut self,
        prefilter: &mut Prefilter,
        text: &RunText<'_>,
        taken: usize,
        run: &mut Run,
    ) -> Result<()> {
        for &column_idx in prefilter.columns() {
            self.settle(column_idx, taken)?;
            self.take_column(column_idx, text, run);
        }
        let row_count = run.row_count();
        let mut arrays = Vec::with_capacity(prefilter.columns().len());
        for &column_idx in prefilter.columns() {
            arrays.push(match self.finish_builder(column_idx)? {
                Some(array) => array.slice(0, row_count),
                None => {
                    let field = self.request.schema.field(column_idx);
                    new_null_array(field.data_type(), row_count)
                }
            });
        }
        let passing = prefilter.passing(arrays.clone(), row_count);
        for (&column_idx, array) in prefilter.columns().iter().zip(arrays) {
            let Column::Field { done, .. } = &mut self.columns[column_idx] else { continue };
            done.push(match &passing {
                Some(passing) => prefilter::keep(&array, passing).map_err(internal)?,
                None => array,
            });
        }
        if let Some(passing) = passing {
            if let Some(ranges) = &mut self.ranges {
                (0..self.columns.len())
                    .filter(|column_idx| !prefilter.columns().contains(column_idx))
                    .for_each(|column_idx| ranges.forget(column_idx));
            }
            let start = run.records.start;
            run.kept = Some(passing.values().set_indices().map(|row| start + row).collect());
        }
        Ok(())
    }

    /// Decodes one column of the records of a run.
    fn take_column(&mut self, column_idx: usize, text: &RunText<'_>, run: &mut Run) {
        match &mut self.columns[column_idx] {
            Column::Missing => {}
            Column::RowNumber(builder) => {
                let start = run.records.start;
                let number = |record: usize| self.row_number + (record - start) as i64;
                match &run.kept {
                    Some(kept) => {
                        kept.iter().for_each(|&record| builder.append_value(number(record)));
                    }
                    None => {
                        let records = run.records.clone();
                        records.for_each(|record| builder.append_value(number(record)));
                    }
                }
            }
            Column::Field { idx, builder, .. } => {
                let structure = &self.scanned.structure;
                let first_record = run.records.start;
                let before = self.scanned.before(first_record).0 as usize;
                let fields = RunFields {
                    text,
                    field_ends: &structure.field_ends,
                    first: before + *idx,
                    first_record,
                    width: self.input.width,
                    quote: self.input.dialect.quote,
                    is_last: *idx + 1 == self.input.width,
                };
                let stops = self.input.on_error == OnError::Error;
                let misreads = match &run.kept {
                    Some(kept) => {
                        fields.push(kept.iter().copied(), &self.tokenizer, builder, stops)
                    }
                    None => fields.push(run.records.clone(), &self.tokenizer, builder, stops),
                };
                if stops && let Some(&(.., record)) = misreads.first() {
                    run.end_at(record);
                }
                run.misreads.extend(
                    misreads
                        .into_iter()
                        .map(|(misread, field, record)| (misread, column_idx, field, record)),
                );
            }
        }
    }

    /// The next records that the scanner vouches for; scans the buffer when all are used.
    fn next_run(&mut self, len_max: usize) -> Option<Range<usize>> {
        let scanner = self.scanner.as_ref()?;
        if self.scanned.used_count < self.scanned.structure.records.len()
            && self.scanned.record_start(self.scanned.used_count + 1) == self.position
        {
            // The tokenizer has taken this one.
            self.scanned.used_count += 1;
        }
        if self.scanned.record_start(self.scanned.used_count) != self.position
            || self.scanned.used_count == self.scanned.structure.records.len()
        {
            let positions =
                self.columns.iter().any(|column| matches!(column, Column::Field { .. }));
            self.scanned.start = self.position;
            self.scanned.used_count = 0;
            let text = &self.buffer[self.position..self.filled];
            scanner.scan(text, positions, &mut self.scanned.structure);
        }
        let first = self.scanned.used_count;
        let records = &self.scanned.structure.records;
        let width = self.input.width as u32;
        // Records that begin at or behind the end belong to another task.
        let end = self.ranges.as_ref().map_or(u64::MAX, RangeWalk::end).min(self.input.end);
        let own_len = end.saturating_sub(self.buffer_start + self.scanned.start as u64);
        let mut before = self.scanned.before(first);
        let len_max_bytes = self.input.record_len_max_bytes;
        let run_len = records[first..]
            .iter()
            .take(len_max)
            .take_while(|record| {
                let is_good = record.0 - before.0 == width
                    && u64::from(before.1) < own_len
                    && (record.1 - before.1) as usize <= len_max_bytes;
                before = **record;
                is_good
            })
            .count();
        (run_len > 0).then_some(first..first + run_len)
    }

    /// Makes `self.fields` the fields of the record at `position` and returns its length.
    fn next_record(&mut self) -> Result<Option<usize>> {
        loop {
            if self.offset() >= self.input.end {
                return Ok(None);
            }
            let rest = &self.buffer[self.position..self.filled];
            if rest.is_empty() && self.at_end {
                return Ok(None);
            }
            if !rest.is_empty() && self.input.dialect.comment == Some(rest[0]) {
                match memchr::memchr(self.input.dialect.newline, rest) {
                    Some(at) => {
                        self.position += at + 1;
                        continue;
                    }
                    None if self.at_end => return Ok(None),
                    None => {}
                }
            } else if !rest.is_empty() {
                match self.tokenizer.record(rest, self.at_end, &mut self.fields) {
                    Ok(Some(len)) if len > self.input.record_len_max_bytes => {
                        return Err(self.too_long());
                    }
                    Ok(Some(len)) => return Ok(Some(len)),
                    Ok(None) => {}
                    Err(malformed) => {
                        let end = memchr::memchr(self.input.dialect.newline, rest);
                        if end.is_some() || self.at_end {
                            self.reject_record(self.malformed(malformed))?;
                            // Its quotes say nothing: the next line is the next record.
                            self.position = end.map_or(self.filled, |end| self.position + end + 1);
                            continue;
                        }
                    }
                }
            }
            self.fill()?;
        }
    }

    /// Moves the unread bytes to the front and reads more behind them.
    fn fill(&mut self) -> Result<()> {
        self.scanned.structure.records.clear();
        self.scanned.used_count = 0;
        self.scanned.start = 0;
        if self.position > 0 {
            let dropped = &self.buffer[..self.position];
            self.lines_dropped +=
                memchr::memchr_iter(self.input.dialect.newline, dropped).count() as u64;
            self.buffer.copy_within(self.position..self.filled, 0);
            self.buffer_start += self.position as u64;
            self.filled -= self.position;
            self.position = 0;
        }
        if self.filled == self.buffer.len() {
            if self.filled >= self.input.record_len_max_bytes {
                return Err(self.too_long());
            }
            // One byte more than there is shows that nothing follows.
            let first_len = self.input.len_max.map_or(BUFFER_LEN_BYTES, |len| {
                usize::try_from(len + 1).unwrap_or(BUFFER_LEN_BYTES).min(BUFFER_LEN_BYTES)
            });
            let len = (self.buffer.len() * 2).max(first_len);
            self.buffer.resize(len, 0);
        }
        let read = loop {
            match self.input.bytes.read(&mut self.buffer[self.filled..]) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        let count = read.map_err(|error| Error::io("read", &self.input.name, &error))?;
        self.at_end = count == 0;
        self.filled += count;
        Ok(())
    }

    /// Takes the record in `self.fields` into the columns, as row `row` of the batch; returns false
    /// if it is no row.
    fn take_record(&mut self, row: usize) -> Result<bool> {
        if self.fields.len() != self.input.width && !self.mend_width()? {
            return Ok(false);
        }
        if self.input.width == 1 && self.is_blank() && self.rest_is_blank()? {
            return Ok(false);
        }
        let row_number = self.row_number;
        self.row_number += 1;
        let record = &self.buffer[self.position..self.filled];
        let mut misreads = Vec::new();
        for (column_idx, column) in self.columns.iter_mut().enumerate() {
            match column {
                Column::Missing => {}
                Column::RowNumber(builder) => builder.append_value(row_number),
                Column::Field { idx, builder, .. } => {
                    let Some(&field) = self.fields.get(*idx) else {
                        builder.push_null();
                        continue;
                    };
                    let value = self.tokenizer.value(record, field);
                    if let Err(misread) = builder.push(&value, field.quoted) {
                        builder.push_null();
                        misreads.push((misread, column_idx, field));
                    }
                }
            }
        }
        for (misread, column_idx, field) in misreads {
            self.take_misread(misread, column_idx, field, row)?;
        }
        Ok(true)
    }

    /// Deals with a value that does not fit its column, in the record at `position`.
    fn take_misread(
        &mut self,
        misread: Misread,
        column_idx: usize,
        field: Field,
        row: usize,
    ) -> Result<()> {
        let Column::Field { builder, .. } = &self.columns[column_idx] else { return Ok(()) };
        let spec = builder.spec();
        let expected = crate::sql_type::sql_type_name(&spec.data_type);
        if self.input.on_error == OnError::Null {
            let subject = format!("`{}` is no {expected}: read as NULL", spec.name);
            self.request.notes.tally(NoteKind::Rejected, &subject, 1, || {
                self.place(self.position, field.start).to_string()
            });
            return Ok(());
        }
        let record = &self.buffer[self.position..self.filled];
        let text = String::from_utf8_lossy(&self.tokenizer.value(record, field)).into_owned();
        let error = self.misread(misread, spec, field, &text);
        if self.input.on_error == OnError::Error {
            return Err(error);
        }
        self.reject(Reject {
            column: Some(spec.name.clone()),
            expected: Some(expected),
            text: Some(text),
            ..Reject::of(&self.input.name, &error)
        });
        self.bad_rows.push(row);
        Ok(())
    }

    /// Counts and keeps what could not be read.
    fn reject(&self, reject: Reject) {
        let subject = format!("{}: left out what cannot be read", self.input.name);
        self.request.notes.tally(NoteKind::Rejected, &subject, 1, || {
            format!("line {}: {}", reject.line.unwrap_or(0), reject.reason)
        });
        self.request.rejects.push(reject);
    }

    /// Leaves out a whole record, where the user asked for it.
    fn reject_record(&self, error: Error) -> Result<()> {
        if self.input.on_error != OnError::Reject {
            return Err(error);
        }
        self.leave_out(&error)
    }

    fn leave_out(&self, error: &Error) -> Result<()> {
        self.reject(Reject::of(&self.input.name, error));
        self.request.rejects.count_rows(1)
    }

    fn is_blank(&self) -> bool {
        matches!(self.fields[..], [field] if field.start == field.end && !field.quoted)
    }

    /// Whether nothing but newlines follows: blank lines at the end of a file are no rows.
    fn rest_is_blank(&mut self) -> Result<bool> {
        loop {
            let rest = &self.buffer[self.position..self.filled];
            if rest.iter().any(|byte| !matches!(byte, b'\n' | b'\r')) {
                return Ok(false);
            }
            if self.at_end {
                return Ok(true);
            }
            self.fill()?;
        }
    }

    /// Deals with a record of the wrong width; returns false if it is no row at all.
    fn mend_width(&mut self) -> Result<bool> {
        if self.is_blank() {
            return Ok(false);
        }
        let (found, width) = (self.fields.len(), self.input.width);
        let extra_is_empty = self
            .fields
            .get(width..)
            .is_some_and(|extra| extra.iter().all(|field| field.start == field.end));
        if found > width && extra_is_empty {
            let subject =
                format!("{}: empty fields beyond the last column left out", self.input.name);
            self.tally_padded(&subject);
            self.fields.truncate(width);
            return Ok(true);
        }
        if found < width && matches!(self.input.ragged, Ragged::Pad | Ragged::Fit) {
            let subject = format!("{}: short rows filled with NULL", self.input.name);
            self.tally_padded(&subject);
            return Ok(true);
        }
        if found > width && self.input.ragged == Ragged::Fit {
            let subject = format!("{}: fields beyond the last column left out", self.input.name);
            self.tally_padded(&subject);
            self.fields.truncate(width);
            return Ok(true);
        }
        let at = self.fields.get(width).map_or(0, |field| field.start);
        let mut error = Error::data(format!(
            "row has {}, the header has {width}",
            crate::units::show_counted(found as u64, "field")
        ))
        .at(self.place(self.position, at));
        error = if found < width {
            error.hint(format!(
                "to fill short rows with NULL: read_csv('{}', ragged => 'pad')",
                self.input.name
            ))
        } else {
            error.hint(format!(
                "is `{}` the delimiter? name another: read_csv('{}', delim => ';')",
                self.input.dialect.delimiter.map_or(' ', char::from),
                self.input.name
            ))
        };
        if self.input.ragged == Ragged::Reject {
            self.leave_out(&error)?;
        } else {
            self.reject_record(error)?;
        }
        Ok(false)
    }

    /// Counts a record that was padded or cut; only the first one's line is looked for.
    fn tally_padded(&mut self, subject: &str) {
        if let Some(ranges) = &mut self.ranges {
            ranges.spoil();
        }
        let line = || format!("line {}", self.line_of(self.position));
        self.request.notes.tally(NoteKind::Padded, subject, 1, line);
    }

    /// Counts a record whose quotes do not pair, where that is no error.
    fn tally_strays(&mut self, record_len: usize) {
        if self.input.dialect.strict {
            return;
        }
        let record = &self.buffer[self.position..self.position + record_len];
        if self.tokenizer.has_strays(record, &self.fields) {
            self.tally_padded(&format!("{}: stray quotes read as text", self.input.name));
        }
    }

    fn report_tallies(&mut self) {
        for (column_idx, column) in self.columns.iter_mut().enumerate() {
            let Column::Field { builder, .. } = column else { continue };
            let name = builder.spec().name.clone();
            let has_note = builder.null_words_seen.is_some() || builder.rounded_count > 0;
            if let (true, Some(ranges)) = (has_note, &mut self.ranges) {
                ranges.forget(column_idx);
            }
            if let Some((count, word)) = builder.null_words_seen.take() {
                let subject = format!("`{word}` and the like read as NULL in `{name}`");
                self.request
                    .notes
                    .tally(NoteKind::NullWord, &subject, count, || self.input.name.clone());
            }
            let rounded = std::mem::take(&mut builder.rounded_count);
            if rounded > 0 {
                let subject = format!("more digits than DOUBLE holds in `{name}`");
                self.request
                    .notes
                    .tally(NoteKind::Rounded, &subject, rounded, || self.input.name.clone());
            }
        }
    }

    fn finish_columns(&mut self, schema: &SchemaRef, row_count: usize) -> Result<Vec<ArrayRef>> {
        for column in &mut self.columns[schema.fields().len()..] {
            // Read only to be checked.
            if let Column::Field { builder, .. } = column {
                builder.clear();
            }
        }
        for column_idx in 0..schema.fields().len() {
            self.settle(column_idx, row_count)?;
        }
        self.columns
            .iter_mut()
            .zip(schema.fields())
            .map(|(column, field)| {
                Ok(match column {
                    Column::Missing => new_null_array(field.data_type(), row_count),
                    Column::RowNumber(builder) => Arc::new(builder.finish()) as ArrayRef,
                    Column::Field { done, .. } => match &std::mem::take(done)[..] {
                        [] => new_empty_array(field.data_type()),
                        [array] => Arc::clone(array),
                        many => {
                            let many: Vec<&dyn Array> = many.iter().map(AsRef::as_ref).collect();
                            concat(&many).map_err(internal)?
                        }
                    },
                })
            })
            .collect()
    }

    /// Moves what is in a column's builder to what is done, `taken` rows of the batch in all.
    fn settle(&mut self, column_idx: usize, taken: usize) -> Result<()> {
        let Column::Field { done, .. } = &self.columns[column_idx] else { return Ok(()) };
        if done.iter().map(|array| array.len()).sum::<usize>() == taken {
            return Ok(());
        }
        let array = self.finish_builder(column_idx)?;
        if let Column::Field { done, .. } = &mut self.columns[column_idx] {
            done.extend(array);
        }
        Ok(())
    }

    /// What is in a column's builder, if it has one.
    fn finish_builder(&mut self, column_idx: usize) -> Result<Option<ArrayRef>> {
        let Column::Field { builder, .. } = &mut self.columns[column_idx] else { return Ok(None) };
        let array = builder
            .finish()
            .map_err(|error| Error::data(error.to_string()).at(Place::file(&self.input.name)))?;
        if let Some(ranges) = &mut self.ranges {
            ranges.observe(column_idx, &array);
        }
        Ok(Some(array))
    }

    /// Offset in the decoded file of what is read next.
    fn offset(&self) -> u64 {
        self.buffer_start + self.position as u64
    }

    /// The line, counted from 1, of a position in the buffer.
    fn line_of(&self, position: usize) -> u64 {
        let here =
            memchr::memchr_iter(self.input.dialect.newline, &self.buffer[..position]).count();
        *self.input.lines_before + self.lines_dropped + here as u64 + 1
    }

    /// The place of the byte `at` of the record that starts at `record` in the buffer.
    fn place(&self, record: usize, at: usize) -> Place {
        let text = &self.buffer[record..(record + at).min(self.filled)];
        let line_start =
            memchr::memrchr(self.input.dialect.newline, text).map_or(0, |found| found + 1);
        Place::File {
            path: self.input.name.clone(),
            line: Some(self.line_of(record + at)),
            column: Some((at - line_start) as u64 + 1),
        }
    }

    fn misread(
        &self,
        misread: Misread,
        spec: &super::decode::ColumnSpec,
        field: Field,
        text: &str,
    ) -> Error {
        let place = self.place(self.position, field.start);
        let (name, file) = (&spec.name, &self.input.name);
        if misread == Misread::NotUtf8 {
            return Error::data(format!("`{name}` holds bytes that are not UTF-8: {text:?}"))
                .at(place)
                .hint(format!(
                    "name the encoding: read_csv('{file}', encoding => 'windows-1252')"
                ));
        }
        let wanted = crate::sql_type::sql_type_name(&spec.data_type);
        let error =
            Error::data(format!("cannot read `{name}` as {wanted}: found {:?}", shorten(text)))
                .at(place)
                .hint(format!(
                    "to read it as text: read_csv('{file}', types => {{'{name}': 'VARCHAR'}})"
                ));
        if spec.guessed {
            error.misfit(Misfit {
                dataset: self.request.dataset,
                column: name.clone(),
                text: text.to_string(),
            })
        } else {
            error
        }
    }

    fn malformed(&self, malformed: Malformed) -> Error {
        let file = &self.input.name;
        let hint = format!("if quotes are plain text here: read_csv('{file}', quote => '')");
        match malformed {
            Malformed::UnclosedQuote(at) => Error::data("a quote is opened here and never closed")
                .at(self.place(self.position, at)),
            Malformed::TextAfterQuote(at) => {
                Error::data("text follows a closing quote").at(self.place(self.position, at))
            }
        }
        .hint(hint)
    }

    fn too_long(&self) -> Error {
        Error::new(
            ErrorKind::Limit,
            format!(
                "a record is longer than {}",
                crate::units::show_bytes(self.input.record_len_max_bytes as u64)
            ),
        )
        .at(self.place(self.position, 0))
        .hint(format!(
            "is a quote missing? if quotes are plain text here: read_csv('{0}', quote => ''); \
             for longer records: read_csv('{0}', max_line_size => 1000000000)",
            self.input.name
        ))
    }
}

fn shorten(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 60;
    if text.chars().count() <= SHOWN_CHARS_MAX {
        return text.to_string();
    }
    text.chars().take(SHOWN_CHARS_MAX).chain(['…']).collect()
}

impl Scanned {
    /// How many fields end before a record, and the offset of the record in the scanned text.
    fn before(&self, record: usize) -> (u32, u32) {
        match record.checked_sub(1) {
            Some(previous) => self.structure.records[previous],
            None => (0, 0),
        }
    }

    /// Where records begin and end in the scanned text.
    fn offsets(&self, records: &Range<usize>) -> Range<usize> {
        self.before(records.start).1 as usize..self.before(records.end).1 as usize
    }

    /// Where a record begins in the buffer.
    fn record_start(&self, record: usize) -> usize {
        self.start + self.before(record).1 as usize
    }
}

/// The scanned text, and the part of it that is known to be UTF-8.
struct RunText<'a> {
    bytes: &'a [u8],
    valid: Option<&'a str>,
    valid_start: usize,
}

impl<'a> RunText<'a> {
    /// Looks whether a part of the text is UTF-8.
    fn new(bytes: &'a [u8], part: Option<Range<usize>>) -> Self {
        let valid_start = part.as_ref().map_or(0, |part| part.start);
        let valid = part.and_then(|part| std::str::from_utf8(&bytes[part]).ok());
        RunText { bytes, valid, valid_start }
    }

    #[inline(always)]
    fn valid(&self, start: usize, end: usize) -> Option<&'a str> {
        self.valid?.get(start.checked_sub(self.valid_start)?..end - self.valid_start)
    }
}

/// The fields of one column in a run of records, each of the right width.
struct RunFields<'a> {
    text: &'a RunText<'a>,
    field_ends: &'a [u32],
    /// Index in `field_ends` of the column in the first record of the run.
    first: usize,
    first_record: usize,
    width: usize,
    quote: Option<u8>,
    is_last: bool,
}

impl RunFields<'_> {
    /// Where the field stands in the text, with its quotes.
    #[inline(always)]
    fn bounds(&self, record: usize) -> (usize, usize) {
        let idx = self.first + (record - self.first_record) * self.width;
        let start = if idx == 0 { 0 } else { self.field_ends[idx - 1] as usize + 1 };
        let mut end = self.field_ends[idx] as usize;
        if self.is_last && end > start && self.text.bytes[end - 1] == b'\r' {
            end -= 1;
        }
        (start, end)
    }

    fn get(&self, record: usize) -> Field {
        let (start, end) = self.bounds(record);
        if end > start && Some(self.text.bytes[start]) == self.quote {
            let (start, end) = (start + 1, end - 1);
            let inner = &self.text.bytes[start..end];
            let escaped = self.quote.is_some_and(|quote| inner.contains(&quote));
            return Field { start, end, quoted: true, escaped };
        }
        Field { start, end, quoted: false, escaped: false }
    }

    /// Decodes the column and returns what does not fit, with its record: NULL in its place, or
    /// nothing from there on if it `stops`.
    #[inline]
    fn push(
        &self,
        records: impl Iterator<Item = usize>,
        tokenizer: &Tokenizer,
        builder: &mut ColumnBuilder,
        stops: bool,
    ) -> Vec<(Misread, Field, usize)> {
        let mut misreads = Vec::new();
        for record in records {
            let (start, end) = self.bounds(record);
            let raw = &self.text.bytes[start..end];
            if raw.first().is_some_and(|first| Some(*first) != self.quote)
                && builder.push_plain(raw, self.text.valid(start, end))
            {
                continue;
            }
            let field = self.get(record);
            let value = tokenizer.value(self.text.bytes, field);
            if let Err(misread) = builder.push(&value, field.quoted) {
                misreads.push((misread, field, record));
                if stops {
                    break;
                }
                builder.push_null();
            }
        }
        misreads
    }
}

impl Column {
    fn is_text(&self) -> bool {
        matches!(self, Column::Field { builder, .. } if builder.is_text())
    }
}

/// A run of records on its way into the columns.
struct Run {
    records: Range<usize>,
    /// Those that passed the prefilter, if it was tried.
    kept: Option<Vec<usize>>,
    /// What does not fit: the column, the field in the scanned text, the record.
    misreads: Vec<(Misread, usize, Field, usize)>,
}

impl Run {
    /// How many rows of the batch it becomes.
    fn row_count(&self) -> usize {
        self.kept.as_ref().map_or(self.records.len(), Vec::len)
    }

    /// Leaves out what comes behind an error: only an earlier record can hold an earlier one.
    fn end_at(&mut self, record: usize) {
        self.misreads.clear();
        self.records.end = record;
        if let Some(kept) = &mut self.kept {
            kept.truncate(kept.partition_point(|&other| other < record));
        }
    }
}

fn internal(error: ArrowError) -> Error {
    Error::new(ErrorKind::Internal, error.to_string())
}

impl Iterator for CsvReader {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let batch = self.next_batch().transpose();
        self.done = !matches!(batch, Some(Ok(_)));
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::super::probe::{How, read};
    use super::*;

    /// Texts in which odd pieces become more frequent, with an end and a mode.
    fn for_random_texts(mut check: impl FnMut(&str, u64, How)) {
        const PIECES: [&str; 14] = [
            "1,x,2.5\n",
            "-7,\"y\"\"z\",1e3\r\n",
            ",,\n",
            "3,\"a\nb\",0\n",
            "4,5\" pipe,1\n",
            "\n",
            "5,\"q\" ,2\n",
            "6,short\n",
            "7,x,y\n",
            "8,x,1,\n",
            "\"9\",\"\",\"1.5\"\n",
            "10,ä,NA\n",
            "11,\"open,1\n",
            "12,x,3",
        ];
        let mut state: u64 = 3;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % below
        };
        for round in 0..400 {
            let kinds = 4 + round * (PIECES.len() - 3) / 400;
            let text: String = (0..random(40)).map(|_| PIECES[random(kinds)]).collect();
            let end = if round % 3 == 0 { random(text.len() + 1) as u64 } else { u64::MAX };
            let ragged = [Ragged::Pad, Ragged::Error, Ragged::Reject, Ragged::Fit][round % 4];
            for on_error in [OnError::Error, OnError::Null, OnError::Reject] {
                let how = How { ragged, on_error, with_scanner: true, with_prefilter: false };
                check(&text, end, how);
            }
        }
    }

    /// The scanner changes how fast a file is read, never what is read.
    #[test]
    fn with_and_without_the_scanner_the_rows_are_the_same() {
        for_random_texts(|text, end, how| {
            let expected =
                read(text.as_bytes(), usize::MAX, end, How { with_scanner: false, ..how });
            for step in [1, 7, 64, usize::MAX] {
                assert_eq!(read(text.as_bytes(), step, end, how), expected, "{text:?} by {step}");
            }
        });
    }

    /// Trying a filter first spares work on rows that do not pass, and nothing else.
    #[test]
    fn rows_that_pass_a_filter_are_the_same_whenever_it_is_tried() {
        let mut dropped_count = 0;
        for_random_texts(|text, end, how| {
            if how.on_error == OnError::Reject {
                return;
            }
            let (all, outcome) = read(text.as_bytes(), 64, end, how);
            let passing = |rows: &[(Option<i64>, String)]| -> Vec<_> {
                rows.iter().filter(|(key, _)| key.is_some_and(|key| key >= 5)).cloned().collect()
            };
            for (step, with_scanner) in [(1, true), (7, true), (usize::MAX, true), (7, false)] {
                let tried = How { with_prefilter: true, with_scanner, ..how };
                let (rows, tried_outcome) = read(text.as_bytes(), step, end, tried);
                if outcome.contains("Error") {
                    // Only a row that does not pass may hide its error.
                    assert!(tried_outcome == outcome || !tried_outcome.contains("Error"));
                    continue;
                }
                assert_eq!(passing(&rows), passing(&all), "{text:?} by {step}");
                assert_eq!(tried_outcome, outcome, "{text:?} by {step}");
                dropped_count += all.len() - rows.len();
            }
        });
        assert!(dropped_count > 0, "the filter was tried");
    }
}
