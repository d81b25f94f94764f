//! `swath watch "SELECT ..."`: the answer, and a new one after each change of the files.

use std::io::{IsTerminal, Write};
use std::time::Instant;

use super::args::Args;
use crate::console::{Interrupt, Settings};
use crate::engine::{Answer, Engine};
use crate::error::{Error, ErrorKind, Result};
use crate::output::{Format, Table};

/// Watches until Ctrl-C, or until nobody reads any more.
///
/// # Errors
/// The kind of the first error, which has been shown.
pub(super) fn run(
    args: &Args,
    sql: &str,
    engine: &Engine,
    settings: &Settings,
    interrupt: &Interrupt,
) -> Result<(), ErrorKind> {
    let failed = |error: Error| {
        settings.report.error(&error, Some(sql));
        error.kind()
    };
    let every = crate::units::parse_duration(&args.every).map_err(failed)?;
    let handle = interrupt.start();
    let session = engine.default_session();
    let answers = session.watch(sql, &settings.params, every, &handle).map_err(failed)?;
    let is_drawn = std::io::stdout().is_terminal() && settings.format.is_none();
    let mut started = Instant::now();
    for answer in answers {
        let answer = answer.map_err(failed)?;
        let text = if is_drawn { screen(&answer, settings) } else { line(&answer, settings) };
        let mut out = std::io::stdout().lock();
        if out.write_all(text.map_err(failed)?.as_bytes()).and_then(|()| out.flush()).is_err() {
            return Ok(());
        }
        drop(out);
        settings.report.time(started.elapsed());
        started = Instant::now();
    }
    interrupt.end();
    Ok(())
}

/// The table in the place of the one before.
fn screen(answer: &Answer, settings: &Settings) -> Result<String> {
    let table = Table::of(answer.schema(), answer.batches(), &settings.table);
    let notes: Vec<String> = answer.notes().iter().map(|note| format!("note: {note}\n")).collect();
    Ok(format!("\x1b[H\x1b[2J{table}\n{}", notes.concat()))
}

/// One JSON object: the rows, and what is to be known about them.
fn line(answer: &Answer, settings: &Settings) -> Result<String> {
    let format = settings.format.unwrap_or(Format::Json);
    let mut bytes = Vec::new();
    let fail = |error: std::io::Error| Error::data(format!("cannot write the answer: {error}"));
    {
        let schema = answer.schema();
        let mut writer =
            format.writer(Box::new(&mut bytes), schema, &settings.table, false).map_err(fail)?;
        for batch in answer.batches() {
            writer.write(batch).map_err(fail)?;
        }
        writer.finish().map_err(fail)?;
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if format != Format::Json {
        return Ok(text);
    }
    let notes: Vec<&str> = answer.notes().iter().map(|note| note.message.as_str()).collect();
    let notes = serde_json::Value::from(notes);
    Ok(format!("{{\"rows\":{},\"notes\":{notes}}}\n", text.trim_end()))
}
