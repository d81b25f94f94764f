//! A watched statement: its answer, and a new one after each change of the files.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use super::{Interrupt, Settings};
use crate::engine::{Answer, Session};
use crate::error::{Error, Result};
use crate::output::{Format, Table};

/// Watches until Ctrl-C, or until nobody reads any more: a table that is drawn anew on a terminal, a
/// JSON object for each answer in a pipe.
///
/// # Errors
/// When the statement fails.
pub fn watch(
    session: &Session,
    sql: &str,
    every: Duration,
    settings: &Settings,
    interrupt: &Interrupt,
) -> Result<()> {
    let handle = interrupt.start();
    let result = show_answers(session.watch(sql, &settings.params, every, &handle)?, settings);
    interrupt.end();
    result
}

fn show_answers(answers: impl Iterator<Item = Result<Answer>>, settings: &Settings) -> Result<()> {
    let is_drawn = std::io::stdout().is_terminal() && settings.format.is_none();
    let mut started = Instant::now();
    for answer in answers {
        let answer = answer?;
        let text = if is_drawn { screen(&answer, settings) } else { line(&answer, settings)? };
        let mut out = std::io::stdout().lock();
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            return Ok(());
        }
        drop(out);
        settings.report.time(started.elapsed());
        started = Instant::now();
    }
    Ok(())
}

/// The table in the place of the one before.
fn screen(answer: &Answer, settings: &Settings) -> String {
    let table = Table::of(answer.schema(), answer.batches(), &settings.table);
    let notes: Vec<String> = answer.notes().iter().map(|note| format!("note: {note}\n")).collect();
    format!("\x1b[H\x1b[2J{table}\n{}", notes.concat())
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
