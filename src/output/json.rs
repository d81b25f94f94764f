//! JSON: one array, or one object a line. NULL is written as `null`.

use std::io::{self, Write};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::json::writer::{
    JsonArray, JsonFormat, LineDelimited, Writer, WriterBuilder,
};

use super::sink::RowWriter;

pub(super) struct Json<W: Write, F: JsonFormat>(Writer<W, F>);

fn builder() -> WriterBuilder {
    WriterBuilder::new().with_explicit_nulls(true)
}

impl<W: Write> Json<W, LineDelimited> {
    pub(super) fn lines(out: W) -> Self {
        Json(builder().build(out))
    }
}

impl<W: Write> Json<W, JsonArray> {
    pub(super) fn array(out: W) -> Self {
        Json(builder().build(out))
    }
}

impl<W: Write + Send, F: JsonFormat + Send + 'static> RowWriter for Json<W, F> {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        self.0.write(batch).map_err(io::Error::other)
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.0.finish().map_err(io::Error::other)?;
        let mut out = self.0.into_inner();
        // The array writer ends without a newline.
        if std::any::TypeId::of::<F>() == std::any::TypeId::of::<JsonArray>() {
            out.write_all(b"\n")?;
        }
        out.flush()
    }
}
