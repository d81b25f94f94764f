//! Dot-commands: what the shell does besides SQL. `.help` is made from this table.

use std::path::Path;
use std::time::Duration;

use super::Shell;
use crate::console::watch;
use crate::error::{Error, Result};
use crate::output::Format;

/// How often a watched statement looks after its files.
const WATCH_EVERY: Duration = Duration::from_secs(2);

/// What happens after a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Stay,
    Leave,
}

/// Name, arguments, and what it does.
const COMMANDS: [(&str, &str, &str); 9] = [
    (".help", "", "shows this list"),
    (".tables", "", "lists tables and views"),
    (".schema", "NAME or 'PATH'", "shows columns and types"),
    (".timer", "on|off", "shows each statement's time"),
    (".mode", "FORMAT", "sets the output format"),
    (".output", "[FILE]", "writes each answer to a file, anew, or to the terminal again"),
    (".read", "FILE", "runs the statements in a file"),
    (".watch", "SELECT ...", "answers again whenever files change, until Ctrl-C"),
    (".quit", "", "leaves, as Ctrl-D does"),
];

/// The names of all commands.
pub(super) fn names() -> Vec<&'static str> {
    COMMANDS.iter().map(|(name, ..)| *name).collect()
}

impl Shell<'_> {
    pub(super) fn command(&mut self, line: &str) -> Outcome {
        let line = line.trim_end_matches(';').trim_end();
        let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let argument = argument.trim();
        let result = match name {
            ".quit" | ".exit" => return Outcome::Leave,
            ".help" => {
                println!("{}", help());
                Ok(())
            }
            ".tables" => {
                self.session.table_names().iter().for_each(|name| println!("{name}"));
                Ok(())
            }
            ".schema" => self.schema(argument),
            ".timer" => self.timer(argument),
            ".mode" => self.mode(argument),
            ".output" => self.set_output(argument),
            ".read" => self.read(argument),
            ".watch" => self.watch(argument),
            _ => Err(unknown(name)),
        };
        if let Err(error) = result {
            self.settings.report.error(&error, None);
        }
        Outcome::Stay
    }

    fn schema(&self, argument: &str) -> Result<()> {
        if argument.is_empty() {
            return Err(Error::usage("no table given").hint(".schema 'data/sales'"));
        }
        self.run_sql(&format!("DESCRIBE SELECT * FROM {argument}"));
        Ok(())
    }

    fn timer(&mut self, argument: &str) -> Result<()> {
        match argument {
            "on" => self.settings.report.timer = true,
            "off" => self.settings.report.timer = false,
            "" => println!("timer is {}", if self.settings.report.timer { "on" } else { "off" }),
            _ => return Err(Error::usage("the timer is on or off").hint(".timer on")),
        }
        Ok(())
    }

    fn mode(&mut self, argument: &str) -> Result<()> {
        if argument.is_empty() {
            println!("mode is {}", self.settings.format.unwrap_or(Format::Table).name());
            return Ok(());
        }
        self.settings.format = Some(Format::parse(argument)?);
        Ok(())
    }

    fn set_output(&mut self, argument: &str) -> Result<()> {
        let path = argument.trim_matches('\'');
        if path.is_empty() {
            self.output = None;
            return Ok(());
        }
        Format::of_path(Path::new(path))?;
        self.output = Some(path.into());
        Ok(())
    }

    fn watch(&self, argument: &str) -> Result<()> {
        if argument.is_empty() {
            return Err(
                Error::usage("no statement given").hint(".watch SELECT count(*) FROM 'logs'")
            );
        }
        watch(&self.session, argument, WATCH_EVERY, &self.settings, self.interrupt)
    }

    fn read(&mut self, argument: &str) -> Result<()> {
        let path = argument.trim_matches('\'');
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::usage(format!("cannot read {path:?}: {error}")))?;
        self.run_sql(&text);
        Ok(())
    }
}

fn help() -> String {
    let mut lines: Vec<String> = COMMANDS
        .iter()
        .map(|(name, arguments, what)| format!("{:<24} {what}", format!("{name} {arguments}")))
        .collect();
    lines.push("a statement ends with ; and may span lines; Ctrl-C stops it".to_string());
    lines.join("\n")
}

fn unknown(name: &str) -> Error {
    let nearest = COMMANDS
        .iter()
        .map(|(known, ..)| *known)
        .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
    let error = Error::usage(format!("no command named {name}"));
    match nearest {
        Some(nearest) if strsim::jaro_winkler(nearest, name) > 0.8 => {
            error.hint(format!("did you mean {nearest}?"))
        }
        _ => error.hint(".help lists all commands"),
    }
}
