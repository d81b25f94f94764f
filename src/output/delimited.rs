//! CSV and TSV: NULL is nothing, an empty text is `""`, so that both come back as they were.

use std::io::{self, Write};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;

use super::sink::RowWriter;
use super::value::{Values, names};

/// Writes delimited text with a header.
pub(super) struct Delimited<W> {
    out: W,
    delimiter: u8,
    /// What stands for NULL.
    null_text: String,
    line: Vec<u8>,
}

impl<W: Write> Delimited<W> {
    pub(super) fn new(
        out: W,
        delimiter: u8,
        schema: &SchemaRef,
        header: bool,
        null_text: &str,
    ) -> io::Result<Self> {
        let null_text = null_text.to_string();
        let mut new = Delimited { out, delimiter, null_text, line: Vec::new() };
        if header {
            for (idx, name) in names(schema).into_iter().enumerate() {
                if idx > 0 {
                    new.line.push(delimiter);
                }
                push_field(&mut new.line, name, delimiter);
            }
            new.line.push(b'\n');
            new.out.write_all(&new.line)?;
        }
        Ok(new)
    }
}

fn push_field(line: &mut Vec<u8>, text: &str, delimiter: u8) {
    let special = |byte: u8| byte == delimiter || matches!(byte, b'"' | b'\n' | b'\r');
    let edge_blank = text.starts_with(' ') || text.ends_with(' ');
    // A field that starts like a comment would be one to many readers.
    if !text.is_empty() && !edge_blank && !text.starts_with('#') && !text.bytes().any(special) {
        line.extend_from_slice(text.as_bytes());
        return;
    }
    line.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' {
            line.push(b'"');
        }
        line.push(byte);
    }
    line.push(b'"');
}

impl<W: Write + Send> RowWriter for Delimited<W> {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        let columns = Values::of(batch)?;
        for row in 0..batch.num_rows() {
            self.line.clear();
            for (idx, column) in columns.iter().enumerate() {
                if idx > 0 {
                    self.line.push(self.delimiter);
                }
                match column.get(row)? {
                    // A text that is the same as that of NULL is told from it by its quotes.
                    Some(text) if *text == *self.null_text => {
                        self.line.push(b'"');
                        self.line.extend_from_slice(text.replace('"', "\"\"").as_bytes());
                        self.line.push(b'"');
                    }
                    Some(text) => push_field(&mut self.line, &text, self.delimiter),
                    None => self.line.extend_from_slice(self.null_text.as_bytes()),
                }
            }
            self.line.push(b'\n');
            self.out.write_all(&self.line)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.out.flush()
    }
}
