//! JSON: objects one after the other (NDJSON, JSON Lines) or in one array.
//!
//! Invariant: numbers are taken as text and read by the rules of CSV columns, so that `3.75` in a
//! column of whole numbers is a misfit and not a 3. (Arrow's own JSON reader would round it.)

use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, new_null_array,
};
use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema};
use datafusion::arrow::json::ReaderBuilder;
use datafusion::arrow::json::reader::Decoder;
use serde_json::Value;

use super::compression::Compression;
use super::csv::decode::{ColumnBuilder, Misread, strict_cast};
use super::csv::types::Evidence;
use super::csv::value::Notation;
use super::file::SourceFile;
use super::{FileColumn, FileLayout, Format, Found, ReadRequest, Rows, Wanted};
use crate::error::{Error, Misfit, Place, Result};
use crate::notes::Counts;

const SAMPLE_ROWS_MAX: usize = 2000;
/// The longest line that is read.
const LINE_LEN_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Whether text starts like an object or an array of objects.
pub(super) fn looks_like_json(text: &[u8]) -> bool {
    let rest = match text {
        [b'{', rest @ ..] => rest,
        [b'[', rest @ ..] => match trim(rest) {
            [b'{', rest @ ..] => rest,
            [b']', ..] => return true,
            _ => return false,
        },
        _ => return false,
    };
    matches!(trim(rest).first(), Some(b'"' | b'}') | None)
}

fn trim(text: &[u8]) -> &[u8] {
    text.trim_ascii_start()
}

/// Samples a JSON file for its columns.
///
/// # Errors
/// When the file cannot be read or holds something else than objects.
pub fn inspect(file: &Arc<SourceFile>, compression: Compression) -> Result<FileLayout> {
    let mut sample = Sample::default();
    if file.is_stream() {
        // The stream must stay whole for its one reader: only its head is looked at.
        let head = file.head(1 << 20)?;
        let unpacked = compression
            .decode(Box::new(std::io::Cursor::new(head)))
            .map_err(|error| Error::io("decompress", &file.name, &error))?;
        let mut lines = Lines::new(unpacked, &file.name);
        while let Ok(Some((_, text))) = lines.next_line() {
            if sample.row_count >= SAMPLE_ROWS_MAX || sample.take(&text, &file.name, 0).is_err() {
                break;
            }
        }
    } else {
        let mut lines = Lines::new(open_bytes(file, compression)?, &file.name);
        while sample.row_count < SAMPLE_ROWS_MAX {
            let Some((line, text)) = lines.next_line()? else { break };
            sample.take(&text, &file.name, line)?;
        }
    }
    Ok(FileLayout {
        format: Format::Json,
        compression,
        columns: sample.columns(),
        csv: None,
        parquet: None,
        notes: Vec::new(),
    })
}

fn open_bytes(file: &Arc<SourceFile>, compression: Compression) -> Result<Box<dyn Read + Send>> {
    compression
        .decode(file.read_all()?)
        .map_err(|error| Error::io("decompress", &file.name, &error))
}

/// What the sampled objects say about the columns, in the order of first sight.
#[derive(Default)]
struct Sample {
    row_count: usize,
    names: Vec<String>,
    shapes: Vec<Shape>,
}

/// What the values of one key look like.
#[derive(Debug, Clone, Default)]
struct Shape {
    evidence: Evidence,
    has_boolean: bool,
    has_number: bool,
    has_text: bool,
    item: Option<Box<Shape>>,
    fields: Vec<(String, Shape)>,
    has_object: bool,
}

impl Sample {
    fn take(&mut self, text: &str, name: &str, line: u64) -> Result<()> {
        let place = || Place::File { path: name.to_string(), line: Some(line), column: None };
        let value: Value = serde_json::from_str(text)
            .map_err(|error| Error::data(format!("not JSON: {error}")).at(place()))?;
        if !value.is_object() {
            return Err(Error::data(format!(
                "expected a JSON object, found {}",
                kind_name(&value)
            ))
            .at(place()));
        }
        let pairs: Pairs = serde_json::from_str(text)
            .map_err(|error| Error::data(format!("not JSON: {error}")).at(place()))?;
        self.row_count += 1;
        for (key, value) in &pairs.0 {
            let idx = match self.names.iter().position(|name| name == key) {
                Some(idx) => idx,
                None => {
                    self.names.push(key.clone());
                    self.shapes.push(Shape::default());
                    self.names.len() - 1
                }
            };
            self.shapes[idx].observe(value);
        }
        Ok(())
    }

    fn columns(self) -> Vec<FileColumn> {
        self.names
            .into_iter()
            .zip(self.shapes)
            .map(|(name, shape)| FileColumn { name, found: shape.found() })
            .collect()
    }
}

/// The pairs of an object in the order in which they are written; `Value` sorts them.
struct Pairs(Vec<(String, Value)>);

impl<'de> serde::Deserialize<'de> for Pairs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> serde::de::Visitor<'de> for InOrder {
            type Value = Pairs;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

fn kind_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

impl Shape {
    fn observe(&mut self, value: &Value) {
        match value {
            Value::Null => {}
            Value::Bool(flag) => {
                self.has_boolean = true;
                self.evidence.observe(if *flag { "true" } else { "false" }, &Notation::default());
            }
            Value::Number(number) => {
                self.has_number = true;
                self.evidence.observe(&number.to_string(), &Notation::default());
            }
            Value::String(_) => {
                self.has_text = true;
                self.evidence.force_text();
            }
            Value::Array(items) => {
                let item = self.item.get_or_insert_default();
                items.iter().for_each(|value| item.observe(value));
            }
            Value::Object(object) => {
                self.has_object = true;
                for (key, value) in object {
                    let idx = match self.fields.iter().position(|(name, _)| name == key) {
                        Some(idx) => idx,
                        None => {
                            self.fields.push((key.clone(), Shape::default()));
                            self.fields.len() - 1
                        }
                    };
                    self.fields[idx].1.observe(value);
                }
            }
        }
    }

    fn is_scalar(&self) -> bool {
        self.item.is_none() && !self.has_object
    }

    fn found(self) -> Found {
        if self.is_scalar() {
            Found::Sniffed(self.evidence)
        } else {
            Found::Typed(self.data_type())
        }
    }

    fn data_type(&self) -> DataType {
        let has_scalar = self.has_boolean || self.has_number || self.has_text;
        match (&self.item, self.has_object, has_scalar) {
            (None, false, _) => self.evidence.decide().data_type,
            (Some(item), false, false) => {
                DataType::List(Arc::new(Field::new_list_field(item.data_type(), true)))
            }
            (None, true, false) if !self.fields.is_empty() => DataType::Struct(
                self.fields
                    .iter()
                    .map(|(name, shape)| Field::new(name, shape.data_type(), true))
                    .collect::<Fields>(),
            ),
            // An empty object, or values of several kinds: their JSON text.
            _ => DataType::Utf8View,
        }
    }
}

/// Opens a JSON file for reading.
///
/// # Errors
/// When the file cannot be opened, or changed since it was listed.
pub fn open(
    file: &Arc<SourceFile>,
    layout: &FileLayout,
    request: &Arc<ReadRequest>,
) -> Result<Rows> {
    let sources: Vec<_> = request.columns.iter().map(|wanted| layout.source_of(wanted)).collect();
    Ok(Box::new(JsonReader {
        lines: Lines::new(open_bytes(file, layout.compression)?, &file.name),
        request: Arc::clone(request),
        keys: sources
            .iter()
            .map(|source| source.map(|idx| layout.columns[idx].name.clone()))
            .collect(),
        name: file.name.clone(),
        rows_before: 0,
        done: false,
    }))
}

struct JsonReader {
    lines: Lines,
    request: Arc<ReadRequest>,
    /// The key of each wanted column in this file.
    keys: Vec<Option<String>>,
    name: String,
    rows_before: i64,
    done: bool,
}

impl JsonReader {
    /// The schema that Arrow decodes into: every number is text.
    fn text_schema(&self) -> Arc<Schema> {
        let fields: Vec<_> = self
            .keys
            .iter()
            .zip(self.request.schema.fields())
            .filter_map(|(key, field)| {
                key.as_ref().map(|key| Field::new(key, as_text(field.data_type()), true))
            })
            .collect();
        Arc::new(Schema::new(fields))
    }

    fn decoder(&self, schema: &Arc<Schema>) -> Result<Decoder> {
        ReaderBuilder::new(Arc::clone(schema))
            .with_coerce_primitive(true)
            .with_batch_size(self.request.batch_rows)
            .build_decoder()
            .map_err(|error| Error::data(error.to_string()).at(Place::file(&self.name)))
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let schema = self.text_schema();
        let mut decoder = self.decoder(&schema)?;
        let mut line_numbers = Vec::new();
        while line_numbers.len() < self.request.batch_rows {
            let Some((line, text)) = self.lines.next_line()? else { break };
            let before = decoder.len();
            let fail = |message: String| {
                Error::data(message).at(Place::File {
                    path: self.name.clone(),
                    line: Some(line),
                    column: None,
                })
            };
            decoder.decode(text.as_bytes()).map_err(|error| fail(format!("not JSON: {error}")))?;
            if decoder.has_partial_record() || decoder.len() != before + 1 {
                return Err(fail("expected one JSON object".to_string()));
            }
            line_numbers.push(line);
        }
        if line_numbers.is_empty() {
            return Ok(None);
        }
        let batch = match decoder.flush() {
            Ok(Some(batch)) => batch,
            Ok(None) => return Ok(None),
            Err(error) => {
                return Err(Error::data(format!("a value does not fit: {error}")).at(
                    Place::File {
                        path: self.name.clone(),
                        line: line_numbers.first().copied(),
                        column: None,
                    },
                ));
            }
        };
        Counts::bump(&self.request.notes.counts().rows_read, batch.num_rows() as u64);
        self.typed(&batch, &line_numbers).map(Some)
    }

    /// Turns the text columns into the wanted types.
    fn typed(&mut self, batch: &RecordBatch, line_numbers: &[u64]) -> Result<RecordBatch> {
        let row_count = batch.num_rows();
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.keys.len());
        for ((wanted, key), field) in
            self.request.columns.iter().zip(&self.keys).zip(self.request.schema.fields())
        {
            let array = match (wanted, key) {
                (Wanted::RowNumber, _) => {
                    let first = self.rows_before;
                    Arc::new(datafusion::arrow::array::Int64Array::from_iter_values(
                        first..first + row_count as i64,
                    )) as ArrayRef
                }
                (Wanted::Column(_), None) => new_null_array(field.data_type(), row_count),
                (Wanted::Column(spec), Some(key)) => {
                    let array = batch.column_by_name(key).ok_or_else(|| {
                        Error::data(format!("no key `{key}`")).at(Place::file(&self.name))
                    })?;
                    if is_flat(array.data_type()) && !spec.data_type.is_nested() {
                        self.parse_column(array, spec, line_numbers)?
                    } else {
                        strict_cast(array, field.data_type()).map_err(|error| {
                            Error::data(format!("cannot read `{key}`: {error}")).at(Place::File {
                                path: self.name.clone(),
                                line: line_numbers.first().copied(),
                                column: None,
                            })
                        })?
                    }
                }
            };
            arrays.push(array);
        }
        self.rows_before += row_count as i64;
        let options = RecordBatchOptions::new().with_row_count(Some(row_count));
        RecordBatch::try_new_with_options(Arc::clone(&self.request.schema), arrays, &options)
            .map_err(|error| Error::data(error.to_string()).at(Place::file(&self.name)))
    }

    fn parse_column(
        &self,
        array: &ArrayRef,
        spec: &super::csv::decode::ColumnSpec,
        line_numbers: &[u64],
    ) -> Result<ArrayRef> {
        let texts = array.as_string_view();
        let mut builder = ColumnBuilder::new(spec.clone());
        for (text, &line) in texts.iter().zip(line_numbers) {
            let Some(text) = text else {
                builder.push_null();
                continue;
            };
            // A string is quoted whatever it holds: only `null` is NULL in text.
            if let Err(misread) = builder.push(text.as_bytes(), true) {
                return Err(self.misread(misread, spec, text, line));
            }
        }
        builder.finish().map_err(|error| Error::data(error.to_string()).at(Place::file(&self.name)))
    }

    fn misread(
        &self,
        _misread: Misread,
        spec: &super::csv::decode::ColumnSpec,
        text: &str,
        line: u64,
    ) -> Error {
        let wanted = crate::sql_type::sql_type_name(&spec.data_type);
        let error = Error::data(format!("cannot read `{}` as {wanted}: found {text:?}", spec.name))
            .at(Place::File { path: self.name.clone(), line: Some(line), column: None })
            .hint(format!(
                "to read it as text: read_json('{}', types => {{'{}': 'VARCHAR'}})",
                self.name, spec.name
            ));
        if !spec.guessed {
            return error;
        }
        error.misfit(Misfit {
            dataset: self.request.dataset,
            column: spec.name.clone(),
            text: text.to_string(),
        })
    }
}

impl Iterator for JsonReader {
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

fn is_flat(data_type: &DataType) -> bool {
    *data_type == DataType::Utf8View
}

/// The type with every leaf turned into text.
fn as_text(data_type: &DataType) -> DataType {
    match data_type {
        DataType::List(item) => DataType::List(Arc::new(
            item.as_ref().clone().with_data_type(as_text(item.data_type())),
        )),
        DataType::Struct(fields) => DataType::Struct(
            fields
                .iter()
                .map(|field| field.as_ref().clone().with_data_type(as_text(field.data_type())))
                .collect(),
        ),
        _ => DataType::Utf8View,
    }
}

/// The objects of a file as text, each with the line it starts on; an array is taken apart.
struct Lines {
    bytes: BufReader<Box<dyn Read + Send>>,
    name: String,
    line: u64,
    in_array: Option<bool>,
}

impl Lines {
    fn new(bytes: Box<dyn Read + Send>, name: &str) -> Self {
        Lines {
            bytes: BufReader::with_capacity(1 << 18, bytes),
            name: name.to_string(),
            line: 1,
            in_array: None,
        }
    }

    fn fail(&self, message: impl Into<String>) -> Error {
        Error::data(message).at(Place::File {
            path: self.name.clone(),
            line: Some(self.line),
            column: None,
        })
    }

    fn peek(&mut self) -> Result<Option<u8>> {
        let buffer =
            self.bytes.fill_buf().map_err(|error| Error::io("read", &self.name, &error))?;
        Ok(buffer.first().copied())
    }

    fn next_line(&mut self) -> Result<Option<(u64, String)>> {
        loop {
            match self.peek()? {
                None if self.in_array == Some(true) => {
                    return Err(self.fail("the array is never closed"));
                }
                None => return Ok(None),
                Some(b'\n') => {
                    self.line += 1;
                    self.bytes.consume(1);
                }
                Some(b' ' | b'\t' | b'\r' | 0xef | 0xbb | 0xbf) => self.bytes.consume(1),
                Some(b'[') if self.in_array.is_none() => {
                    self.in_array = Some(true);
                    self.bytes.consume(1);
                }
                Some(b',') if self.in_array == Some(true) => self.bytes.consume(1),
                Some(b']') if self.in_array == Some(true) => {
                    self.in_array = Some(false);
                    self.bytes.consume(1);
                }
                Some(b'{') => break,
                Some(other) => {
                    let found = char::from(other).escape_default();
                    let error = self.fail(format!("expected a JSON object, found `{found}`"));
                    return Err(
                        error.hint("read_csv('path') reads a file of text whatever its name")
                    );
                }
            }
        }
        self.in_array.get_or_insert(false);
        self.object().map(Some)
    }

    /// Reads one value up to its closing brace, also over several lines.
    fn object(&mut self) -> Result<(u64, String)> {
        let start = self.line;
        let mut text: Vec<u8> = Vec::new();
        let (mut depth, mut in_string, mut escaped) = (0_u32, false, false);
        loop {
            let buffer =
                self.bytes.fill_buf().map_err(|error| Error::io("read", &self.name, &error))?;
            if buffer.is_empty() {
                return Err(Error::data("the file ends in the middle of an object")
                    .at(Place::File { path: self.name.clone(), line: Some(start), column: None }));
            }
            let mut used = 0;
            let mut complete = false;
            for &byte in buffer {
                used += 1;
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' if in_string => escaped = true,
                    b'"' => in_string = !in_string,
                    b'\n' => self.line += 1,
                    _ if in_string => {}
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => {
                        depth = depth.saturating_sub(1);
                        complete = depth == 0;
                    }
                    _ if depth == 0 => {
                        // Not an object: let the parser say so, with the whole line.
                        complete = matches!(buffer.get(used), None | Some(b'\n'));
                    }
                    _ => {}
                }
                if complete {
                    break;
                }
            }
            text.extend_from_slice(&buffer[..used]);
            self.bytes.consume(used);
            if complete {
                break;
            }
            if text.len() as u64 > LINE_LEN_MAX_BYTES {
                return Err(self.fail("an object is longer than 64 MiB"));
            }
        }
        String::from_utf8(text)
            .map(|text| (start, text))
            .map_err(|_| self.fail("bytes that are not UTF-8"))
    }
}
