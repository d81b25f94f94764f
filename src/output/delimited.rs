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
    line: Vec<u8>,
}

impl<W: Write> Delimited<W> {
    pub(super) fn new(mut out: W, delimiter: u8, schema: &SchemaRef) -> io::Result<Self> {
        let mut line = Vec::new();
        for (idx, name) in names(schema).into_iter().enumerate() {
            if idx > 0 {
                line.push(delimiter);
            }
            push_field(&mut line, name, delimiter);
        }
        line.push(b'\n');
        out.write_all(&line)?;
        Ok(Delimited { out, delimiter, line })
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

impl<W: Write> RowWriter for Delimited<W> {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        let columns = Values::of(batch)?;
        for row in 0..batch.num_rows() {
            self.line.clear();
            for (idx, column) in columns.iter().enumerate() {
                if idx > 0 {
                    self.line.push(self.delimiter);
                }
                if let Some(text) = column.get(row)? {
                    push_field(&mut self.line, &text, self.delimiter);
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
