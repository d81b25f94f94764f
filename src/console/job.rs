//! A job: one statement from its start to the last byte of its answer.

use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;

use super::bar::Bar;
use super::chart::{self, Chart, Request};
use super::interrupt::Interrupt;
use super::kept::Kept;
use super::pager::{Paged, Screen, shell_command};
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
    /// Where the answer goes.
    pub destination: Destination<'a>,
    /// The format that was asked for; a table if none.
    pub format: Option<Format>,
    /// How tables look.
    pub table: TableOptions,
    /// The file that gets a page about the stages.
    pub stage_page: Option<&'a Path>,
    /// What keeps the rows for later.
    pub kept: Option<&'a RefCell<Kept>>,
}

/// Where an answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination<'a> {
    /// To stdout as it comes.
    Stdout,
    /// To a terminal; through a pager if it does not fit.
    Screen(Screen),
    /// Into a file, whole or not at all.
    File(&'a Path),
    /// To the stdin of a program.
    Command(&'a str),
}

/// How a statement went.
#[derive(Debug)]
pub struct Ran {
    /// Rows of the answer.
    pub row_count: u64,
    /// What there is to be known about it.
    pub notes: Notes,
    /// How long it took up to its last row; looking at it in a pager does not count.
    pub elapsed: Duration,
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
    /// Runs the statement, writes its answer and reports on it.
    ///
    /// # Errors
    /// When it fails; an output file is then as it was before.
    pub fn run(
        &self,
        statement: &Statement,
        report: &Report,
        interrupt: &Interrupt,
    ) -> Result<Ran, Failure> {
        let started = Instant::now();
        let handle = interrupt.start();
        let bar = Bar::start(report.progress, &handle);
        let result = self.answer(statement, &handle, bar, started);
        interrupt.end();
        if let (Err(_), Some(kept)) = (&result, self.kept) {
            kept.borrow_mut().forget();
        }
        let ran = result?;
        if let Some(path) = self.stage_page {
            let stages = handle.stages().ok_or_else(|| {
                Error::usage("this statement has no stages to draw a page of")
                    .hint("--explain-html is for a query that runs")
            })?;
            let page = stage_page(&statement.to_string(), &stages);
            std::fs::write(path, page).map_err(|error| Error::cannot_write(path, &error))?;
        }
        report.statement(&ran.notes, ran.row_count, ran.elapsed);
        Ok(ran)
    }

    fn answer(
        &self,
        statement: &Statement,
        handle: &Handle,
        bar: Bar,
        started: Instant,
    ) -> Result<Ran, Failure> {
        let answer = self.session.run(statement, self.params, handle)?;
        let is_shown = match self.destination {
            Destination::Stdout => io::stdout().is_terminal(),
            Destination::Screen(_) => true,
            Destination::File(_) | Destination::Command(_) => false,
        };
        // Rows and bar do not mix.
        let _bar = (!is_shown).then_some(bar);
        let notes = answer.notes().clone();
        let timed = |row_count| (row_count, started.elapsed());
        let (row_count, elapsed) = match answer.kind() {
            AnswerKind::Done => {
                answer.collect_all()?;
                timed(0)
            }
            AnswerKind::Text if !matches!(self.destination, Destination::File(_)) => {
                let answer = answer.collect_all()?;
                let text = answer.to_string();
                self.with_output(|mut out| {
                    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
                    written.map_err(failed_write).map(|()| timed(answer.row_count() as u64))
                })?
            }
            _ => {
                if let Some(kept) = self.kept {
                    kept.borrow_mut().start(answer.schema());
                }
                match self.destination {
                    Destination::File(path) => timed(self.to_file(answer, path)?),
                    _ => self.with_output(|out| self.to_output(answer, out).map(timed))?,
                }
            }
        };
        Ok(Ran { row_count, notes, elapsed })
    }

    /// Runs work that writes to the destination, which is no file.
    fn with_output<T>(
        &self,
        work: impl FnOnce(Box<dyn Write + Send + '_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match self.destination {
            Destination::Command(line) => {
                let fail = |error: io::Error| {
                    Failure::Error(Error::usage(format!("cannot run {line}: {error}")))
                };
                let mut child = shell_command(line).stdin(Stdio::piped()).spawn().map_err(fail)?;
                let stdin = child.stdin.take();
                let result = work(match stdin {
                    Some(stdin) => Box::new(stdin),
                    None => Box::new(io::sink()),
                });
                let status = child.wait().map_err(fail)?;
                match result {
                    // It has seen enough.
                    Err(Failure::ClosedPipe) if status.success() => Err(Failure::ClosedPipe),
                    Ok(_) | Err(Failure::ClosedPipe) if !status.success() => {
                        Err(Error::usage(format!("{line}: {status}")).into())
                    }
                    result => result,
                }
            }
            Destination::Screen(screen) => {
                let mut paged = Paged::new(screen, true);
                let result = work(Box::new(&mut paged))?;
                paged.finish().map_err(failed_write)?;
                Ok(result)
            }
            Destination::Stdout | Destination::File(_) => work(Box::new(io::stdout())),
        }
    }

    fn to_output(
        &self,
        answer: AnswerStream,
        out: Box<dyn Write + Send + '_>,
    ) -> Result<u64, Failure> {
        let format = self.format.unwrap_or(Format::Table);
        let is_terminal = match self.destination {
            Destination::Command(_) => false,
            _ => io::stdout().is_terminal(),
        };
        if format.is_binary() && is_terminal {
            return Err(Error::usage(format!("{} is not for a terminal", format.name()))
                .hint("write it to a file with -o, or into a pipe")
                .into());
        }
        let schema = std::sync::Arc::clone(answer.schema());
        let table = match self.destination {
            Destination::Command(_) => self.whole_table(),
            _ => self.table.clone(),
        };
        let writer = format.writer(out, &schema, &table, false);
        self.write_rows(writer.map_err(failed_write)?, answer)
    }

    /// How a table looks that nobody sees on this terminal.
    fn whole_table(&self) -> TableOptions {
        TableOptions { color: false, ..self.table.whole() }
    }

    fn to_file(&self, answer: AnswerStream, path: &Path) -> Result<u64, Failure> {
        if self.format.is_none()
            && let Some(picture) = chart::Picture::of_path(path)
        {
            return Ok(self.draw(answer, picture, path)?);
        }
        let format = match self.format {
            Some(format) => format,
            None => Format::of_path(path)?,
        };
        let file = OutputFile::create(path, self.session.objects())?;
        let schema = std::sync::Arc::clone(answer.schema());
        let table = self.whole_table();
        let fail = |error: io::Error| Failure::Error(Error::cannot_write(path, &error));
        let writer = format.writer(Box::new(file.handle()), &schema, &table, true).map_err(fail)?;
        let row_count = match self.write_rows(writer, answer) {
            Err(Failure::ClosedPipe) => {
                return Err(fail(io::ErrorKind::BrokenPipe.into()));
            }
            result => result?,
        };
        file.check(format, row_count)?;
        file.publish()?;
        Ok(row_count)
    }

    /// Draws the answer into a file, and returns the count of its rows.
    fn draw(&self, answer: AnswerStream, picture: chart::Picture, path: &Path) -> Result<u64> {
        let answer = answer.collect_all()?;
        if let Some(kept) = self.kept {
            answer.batches().iter().for_each(|batch| kept.borrow_mut().push(batch));
        }
        let chart = Chart::of(answer.schema(), answer.batches(), &Request::default())?;
        chart.write(picture, path, self.session.objects())?;
        Ok(answer.row_count() as u64)
    }

    fn write_rows(
        &self,
        mut writer: Box<dyn RowWriter + '_>,
        answer: AnswerStream,
    ) -> Result<u64, Failure> {
        let mut row_count = 0;
        for batch in answer {
            let batch = batch?;
            row_count += batch.num_rows() as u64;
            if let Some(kept) = self.kept {
                kept.borrow_mut().push(&batch);
            }
            writer.write(&batch).map_err(failed_write)?;
        }
        writer.finish().map_err(failed_write)?;
        Ok(row_count)
    }
}

/// Shows rows that are already there, through a pager if they do not fit on the screen.
///
/// # Errors
/// When stdout cannot be written to.
pub fn show_rows(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    format: Format,
    table: &TableOptions,
    screen: Option<Screen>,
) -> Result<()> {
    let write = |out: Box<dyn Write + Send + '_>| -> io::Result<()> {
        let mut writer = format.writer(out, schema, table, false)?;
        batches.iter().try_for_each(|batch| writer.write(batch))?;
        writer.finish()
    };
    let written = match screen {
        Some(screen) if !format.is_binary() => {
            let mut paged = Paged::new(screen, false);
            write(Box::new(&mut paged)).and_then(|()| paged.finish())
        }
        _ => write(Box::new(io::stdout())),
    };
    match written.map_err(failed_write) {
        Err(Failure::Error(error)) => Err(error),
        Ok(()) | Err(Failure::ClosedPipe) => Ok(()),
    }
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
