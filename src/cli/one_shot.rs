//! One-shot: statements from arguments, files or a pipe, answers to stdout or a file.

use std::io::{self, Read};
use std::path::Path;

use super::args::Args;
use super::verbs::Task;
use crate::console::{Destination, Failure, Interrupt, Job, Settings};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};

/// Runs everything that the arguments name; errors are shown here, where the text is known.
///
/// # Errors
/// The kind of the first error, which ends the run.
pub(super) fn run(
    args: &Args,
    task: Option<Task>,
    engine: &Engine,
    settings: &Settings,
    interrupt: &Interrupt,
) -> Result<(), ErrorKind> {
    let failed = |error: &Error, text: Option<&str>| {
        settings.report.error(error, text);
        error.kind()
    };
    let (own_texts, is_check, own_format) = match task {
        Some(Task::Statements { texts, format }) => (texts, false, format),
        Some(Task::Check { texts }) => (texts, true, None),
        _ => (args.sql.clone(), false, None),
    };
    let checked_count = if is_check { own_texts.len() } else { 0 };
    let texts = texts(args, own_texts).map_err(|error| failed(&error, None))?;
    let session = engine.default_session();
    let mut statements = Vec::new();
    for text in &texts {
        let parsed = session.parse(text).map_err(|error| failed(&error, Some(text)))?;
        statements.extend(parsed.into_iter().map(|statement| (statement, text)));
    }
    if statements.is_empty() {
        let error = Error::sql("no statement given").hint("try: swath \"SELECT 42\"");
        return Err(failed(&error, None));
    }
    let last = statements.len() - 1;
    let mut found_any = false;
    for (idx, (statement, text)) in statements.iter().enumerate() {
        let job = Job {
            session,
            params: &settings.params,
            destination: match args.output.as_deref().filter(|_| idx == last) {
                Some(path) => Destination::File(path),
                None => Destination::Stdout,
            },
            // The extension of the output file is about the last answer only.
            format: settings
                .format
                .filter(|_| idx == last || args.format.is_some())
                .or(own_format.filter(|_| args.output.is_none())),
            table: settings.table.clone(),
            stage_page: args.explain_html.as_deref().filter(|_| idx == last),
            kept: None,
        };
        match job.run(statement, &settings.report, interrupt) {
            // The statements of `swath check` come first, one for each path.
            Ok(ran) => found_any |= ran.row_count > 0 && idx < checked_count,
            // Whoever reads has seen enough.
            Err(Failure::ClosedPipe) => return Ok(()),
            Err(Failure::Error(error)) => return Err(failed(&error, Some(text))),
        }
    }
    // `swath check` is for scripts: whatever it finds makes it fail.
    if found_any { Err(ErrorKind::Data) } else { Ok(()) }
}

/// The texts to run: those of plain arguments, then `-c`, then `-f`, else stdin.
fn texts(args: &Args, mut texts: Vec<String>) -> Result<Vec<String>> {
    texts.extend(args.commands.iter().cloned());
    for path in &args.files {
        texts.push(read_text(path)?);
    }
    if texts.is_empty() {
        texts.push(read_stdin()?);
    }
    Ok(texts)
}

fn read_text(path: &Path) -> Result<String> {
    if path.as_os_str() == "-" {
        return read_stdin();
    }
    std::fs::read_to_string(path)
        .map_err(|error| Error::usage(format!("cannot read {}: {error}", path.display())))
}

fn read_stdin() -> Result<String> {
    let mut text = String::new();
    io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| Error::usage(format!("cannot read stdin: {error}")))?;
    Ok(text)
}
