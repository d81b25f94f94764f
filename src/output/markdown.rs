//! Markdown: a pipe table, row by row.

use std::io::{self, Write};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;

use super::sink::RowWriter;
use super::value::{Values, is_number, names};

pub(super) struct Markdown<W> {
    out: W,
}

impl<W: Write> Markdown<W> {
    pub(super) fn new(mut out: W, schema: &SchemaRef) -> io::Result<Self> {
        let names: Vec<_> = names(schema).into_iter().map(escape).collect();
        writeln!(out, "| {} |", names.join(" | "))?;
        let rules: Vec<_> = schema
            .fields()
            .iter()
            .map(|field| if is_number(field.data_type()) { "---:" } else { "---" })
            .collect();
        writeln!(out, "| {} |", rules.join(" | "))?;
        Ok(Markdown { out })
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace('\n', "<br>")
}

impl<W: Write + Send> RowWriter for Markdown<W> {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        let columns = Values::of(batch)?;
        for row in 0..batch.num_rows() {
            let cells = columns
                .iter()
                .map(|column| {
                    Ok(column.get(row)?.map_or_else(|| "NULL".into(), |text| escape(&text)))
                })
                .collect::<io::Result<Vec<_>>>()?;
            writeln!(self.out, "| {} |", cells.join(" | "))?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.out.flush()
    }
}
