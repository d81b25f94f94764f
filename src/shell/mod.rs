//! The shell: lines in, statements and dot-commands out, until the user leaves.
//!
//! Ctrl-C stops what runs, or clears the line; Ctrl-D leaves. History lives in the XDG state folder.
#![expect(clippy::print_stdout, reason = "the shell talks to its user")]

mod command;
mod complete;
mod input;

use std::path::PathBuf;

use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Config, Editor};

use self::command::Outcome;
use self::complete::Completion;
use self::input::Statements;
use crate::console::{Failure, Interrupt, Job, Settings};
use crate::engine::{Engine, Session};
use crate::error::{Error, ErrorKind, Result};

const PROMPT: &str = "swath> ";
const HISTORY_LEN_MAX: usize = 10_000;

/// Runs the shell until its user leaves.
///
/// # Errors
/// When the terminal cannot be used.
pub fn run(
    engine: &Engine,
    settings: Settings,
    interrupt: &Interrupt,
    history: Option<PathBuf>,
) -> Result<()> {
    let mut shell = Shell { session: engine.session(), settings, interrupt, output: None };
    interrupt.stay();
    let terminal = |error: ReadlineError| {
        Error::new(ErrorKind::Usage, format!("cannot use the terminal: {error}"))
    };
    let config = Config::builder()
        .auto_add_history(false)
        .max_history_size(HISTORY_LEN_MAX)
        .and_then(|builder| builder.history_ignore_dups(true))
        .map_err(terminal)?
        .completion_type(CompletionType::List)
        .build();
    let mut editor: Editor<Statements, DefaultHistory> =
        Editor::with_config(config).map_err(terminal)?;
    let completion = Completion::new(shell.session.clone(), command::names());
    editor.set_helper(Some(Statements(completion)));
    if let Some(path) = &history {
        // No history yet is no error.
        let _ = editor.load_history(path);
    }
    println!(
        "swath {}: SQL over files. .help for help, Ctrl-D to leave.",
        env!("CARGO_PKG_VERSION")
    );
    loop {
        match editor.readline(PROMPT) {
            Ok(line) => {
                if line.trim().is_empty() {
                    continue;
                }
                let _ = editor.add_history_entry(line.trim());
                if shell.take(&line) == Outcome::Leave {
                    break;
                }
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(terminal(error)),
        }
    }
    if let Some(path) = &history {
        save_history(&mut editor, path, &shell);
    }
    Ok(())
}

fn save_history(
    editor: &mut Editor<Statements, DefaultHistory>,
    path: &std::path::Path,
    shell: &Shell<'_>,
) {
    if let Some(folder) = path.parent() {
        let _ = std::fs::create_dir_all(folder);
    }
    if let Err(error) = editor.save_history(path) {
        shell.settings.report.warn(&format!("the history was not saved: {error}"));
    }
}

/// What lasts from line to line.
struct Shell<'a> {
    session: Session,
    settings: Settings,
    interrupt: &'a Interrupt,
    /// Where answers go instead of the terminal.
    output: Option<PathBuf>,
}

impl Shell<'_> {
    /// Runs a line: a dot-command, or statements.
    fn take(&mut self, line: &str) -> Outcome {
        let line = line.trim();
        if line.starts_with('.') {
            return self.command(line);
        }
        self.run_sql(line);
        Outcome::Stay
    }

    fn run_sql(&self, text: &str) {
        let statements = match self.session.parse(text) {
            Ok(statements) => statements,
            Err(error) => return self.settings.report.error(&error, Some(text)),
        };
        for statement in statements {
            let job = Job {
                session: &self.session,
                params: &self.settings.params,
                output: self.output.as_deref(),
                format: self.settings.format.filter(|_| self.output.is_none()),
                table: self.settings.table.clone(),
                stage_page: None,
            };
            match job.run(&statement, &self.settings.report, self.interrupt) {
                Ok(_) => {}
                Err(Failure::ClosedPipe) => return,
                Err(Failure::Error(error)) => {
                    self.settings.report.error(&error, Some(text));
                    return;
                }
            }
        }
    }
}
