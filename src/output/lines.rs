//! Lines: one value a line under its name, for rows too wide for a table; and plain text.

use std::io::{self, Write};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;

use super::sink::RowWriter;
use super::value::{Values, names};

pub(super) struct Lines<W> {
    out: W,
    names: Vec<String>,
    row_count: u64,
}

impl<W: Write> Lines<W> {
    pub(super) fn new(out: W, schema: &SchemaRef) -> Self {
        let names = names(schema);
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let names = names.into_iter().map(|name| format!("{name:>width$}")).collect();
        Lines { out, names, row_count: 0 }
    }
}

impl<W: Write + Send> RowWriter for Lines<W> {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        let columns = Values::of(batch)?;
        for row in 0..batch.num_rows() {
            if self.row_count > 0 {
                writeln!(self.out)?;
            }
            self.row_count += 1;
            for (name, column) in self.names.iter().zip(&columns) {
                let text = column.get(row)?;
                writeln!(self.out, "{name} = {}", text.as_deref().unwrap_or("NULL"))?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.out.flush()
    }
}

/// The first column of each row as a line of plain text, for plans.
pub fn text_lines(batches: &[RecordBatch]) -> String {
    let mut text = String::new();
    for batch in batches {
        let Some(Ok(column)) = batch.columns().first().map(Values::new) else { continue };
        for row in 0..batch.num_rows() {
            text.push_str(&column.get(row).ok().flatten().unwrap_or_default());
            text.push('\n');
        }
    }
    text
}
