//! A job: one statement from its start to the last byte of its answer.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::Instant;

use super::bar::Bar;
use super::interrupt::Interrupt;
use super::report::Report;
use super::stage_page::stage_page;
use crate::engine::{AnswerKind, AnswerStream, Handle, Params, Session, Statement};
use crate::error::{Error, ErrorKind, Result};
use crate::notes::Notes;
use crate::output::{Format, OutputFile, RowWriter, TableOptions};

/// How to run one statement.
pub struct Job<'a> {
    /// Where it runs.
    pub session: &'a Session,
    /// Its parameters.
    pub params: &'a Params,
    /// The file that gets the answer; else stdout does.
    pub output: Option<&'a Path>,
    /// The format that was asked for; a table if none.
    pub format: Option<Format>,
    /// How tables look.
    pub table: TableOptions,
    /// The file that gets a page about the stages.
    pub stage_page: Option<&'a Path>,
}

/// Why a statement did not end well.
#[derive(Debug)]
pub enum Failure {
    /// An error to show.
    Error(Error),
    /// The reader of stdout is gone, which is fine.
    ClosedPipe,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Error(error)
    }
}

impl Job<'_> {
    /// Runs the statement, writes its answer, reports on it and returns the count of rows.
    ///
    /// # Errors
    /// When it fails; an output file is then as it was before.
    pub fn run(
        &self,
        statement: &Statement,
        report: &Report,
        interrupt: &Interrupt,
    ) -> Result<u64, Failure> {
        let started = Instant::now();
        let handle = interrupt.start();
        let bar = Bar::start(report.progress, &handle);
        let result = self.answer(statement, &handle, bar);
        interrupt.end();
        let (notes, row_count) = result?;
        if let Some(path) = self.stage_page {
            let stages = handle.stages().ok_or_else(|| {
                Error::usage("this statement has no stages to draw a page of")
                    .hint("--explain-html is for a query that runs")
            })?;
            let page = stage_page(&statement.to_string(), &stages);
            std::fs::write(path, page).map_err(|error| Error::cannot_write(path, &error))?;
        }
        report.statement(&notes, row_count, started.elapsed());
        Ok(row_count)
    }

    fn answer(
        &self,
        statement: &Statement,
        handle: &Handle,
        bar: Bar,
    ) -> Result<(Notes, u64), Failure> {
        let answer = self.session.run(statement, self.params, handle)?;
        // Rows and bar do not mix.
        let _bar = (self.output.is_some() || !io::stdout().is_terminal()).then_some(bar);
        let notes = answer.notes().clone();
        let row_count = match answer.kind() {
            AnswerKind::Done => {
                answer.collect_all()?;
                0
            }
            AnswerKind::Text if self.output.is_none() => {
                let answer = answer.collect_all()?;
                write_stdout(answer.to_string().as_bytes())?;
                answer.row_count() as u64
            }
            _ => match self.output {
                Some(path) => self.to_file(answer, path)?,
                None => self.to_stdout(answer)?,
            },
        };
        Ok((notes, row_count))
    }

    fn to_stdout(&self, answer: AnswerStream) -> Result<u64, Failure> {
        let format = self.format.unwrap_or(Format::Table);
        if format.is_binary() && io::stdout().is_terminal() {
            return Err(Error::usage(format!("{} is not for a terminal", format.name()))
                .hint("write it to a file with -o, or into a pipe")
                .into());
        }
        let schema = std::sync::Arc::clone(answer.schema());
        let writer = format.writer(Box::new(io::stdout()), &schema, &self.table, false);
        write_rows(writer.map_err(failed_write)?, answer)
    }

    fn to_file(&self, answer: AnswerStream, path: &Path) -> Result<u64, Failure> {
        let format = match self.format {
            Some(format) => format,
            None => Format::of_path(path)?,
        };
        let file = OutputFile::create(path)?;
        let schema = std::sync::Arc::clone(answer.schema());
        let table =
            TableOptions { rows_max: usize::MAX, width: None, color: false, ..self.table.clone() };
        let fail = |error: io::Error| Failure::Error(Error::cannot_write(path, &error));
        let writer = format.writer(Box::new(file.handle()), &schema, &table, true).map_err(fail)?;
        let row_count = match write_rows(writer, answer) {
            Err(Failure::ClosedPipe) => {
                return Err(fail(io::ErrorKind::BrokenPipe.into()));
            }
            result => result?,
        };
        file.check(format, row_count)?;
        file.publish()?;
        Ok(row_count)
    }
}

fn write_rows(mut writer: Box<dyn RowWriter + '_>, answer: AnswerStream) -> Result<u64, Failure> {
    let mut row_count = 0;
    for batch in answer {
        let batch = batch?;
        row_count += batch.num_rows() as u64;
        writer.write(&batch).map_err(failed_write)?;
    }
    writer.finish().map_err(failed_write)?;
    Ok(row_count)
}

fn write_stdout(bytes: &[u8]) -> Result<(), Failure> {
    use std::io::Write;
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(failed_write)
}

fn failed_write(error: io::Error) -> Failure {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(current) = cause {
        if current
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
        {
            return Failure::ClosedPipe;
        }
        cause = match current.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => current.source(),
        };
    }
    Failure::Error(Error::new(ErrorKind::Data, format!("cannot write the answer: {error}")))
}
