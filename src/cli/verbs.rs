//! Verbs: words before a path that stand for a statement, or for something besides statements.
//!
//! ```text
//! swath schema 'sales/*.csv'      DESCRIBE SELECT * FROM 'sales/*.csv'
//! swath convert in.csv out.parquet
//! ```

use std::io::Write;

use clap::ValueEnum;
use clap_complete::Shell;

use super::args::Args;
use crate::console::about;
use crate::error::{Error, Result};
use crate::output::Format;
use crate::units::show_literal;

/// Name, arguments, what it does.
const VERBS: [(&str, &str, &str); 11] = [
    ("schema", "PATH...", "columns and types"),
    ("head", "PATH...", "the first ten rows"),
    ("summarize", "PATH...", "each column's range, quantiles and NULLs"),
    ("files", "PATH...", "the files, their sizes and formats"),
    ("sniff", "PATH...", "how files are written, and the call that reads them so"),
    ("check", "PATH...", "all that is wrong with files; exit code 3 if anything"),
    ("convert", "PATH FILE", "writes all rows into one file, by its extension"),
    ("watch", "SQL", "answers again whenever files change"),
    ("cache", "stats|clear", "what is kept of files"),
    ("completions", "SHELL", "a script that completes flags: bash, zsh, fish, ..."),
    ("man", "", "the manual page, as roff"),
];

/// What a verb asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Statements, and what they are shown as if nothing else is asked for.
    Statements { texts: Vec<String>, format: Option<Format> },
    /// The same; each row that they find is something wrong.
    Check { texts: Vec<String> },
    /// A statement to watch.
    Watch(String),
    /// Something to do with the cache.
    Cache(String),
    /// Something about the program itself.
    Completions(Shell),
    /// The manual page.
    Manual,
}

/// What the plain arguments ask for, if they begin with a verb.
///
/// # Errors
/// When the verb's arguments are wrong.
pub(super) fn task(words: &[String]) -> Result<Option<Task>> {
    let Some((verb, rest)) = words.split_first() else { return Ok(None) };
    let Some((name, arguments, _)) = VERBS.iter().find(|(name, ..)| name == verb) else {
        return Ok(None);
    };
    let for_each = |sql: &str| -> Vec<String> {
        rest.iter().map(|path| sql.replace("{}", &show_literal(path))).collect()
    };
    let statements = |sql: &str| Task::Statements { texts: for_each(sql), format: None };
    Ok(Some(match (*name, rest) {
        ("schema", [_, ..]) => statements(about::SCHEMA),
        ("head", [_, ..]) => statements("SELECT * FROM {} LIMIT 10"),
        ("summarize", [_, ..]) => statements("SUMMARIZE SELECT * FROM {}"),
        ("files", [_, ..]) => statements(about::FILES),
        ("sniff", [_, ..]) => {
            Task::Statements { texts: for_each(about::SNIFF), format: Some(Format::Line) }
        }
        ("check", [_, ..]) => Task::Check { texts: for_each(about::CHECK) },
        ("convert", [from, to]) => {
            let (from, to) = (show_literal(from), show_literal(to));
            Task::Statements {
                texts: vec![format!("COPY (SELECT * FROM {from}) TO {to}")],
                format: None,
            }
        }
        ("watch", [sql]) => Task::Watch(sql.clone()),
        ("cache", [what]) => Task::Cache(what.clone()),
        ("completions", [shell]) => {
            Task::Completions(Shell::from_str(shell, true).map_err(|_| {
                let names: Vec<_> =
                    Shell::value_variants().iter().map(ToString::to_string).collect();
                Error::usage(format!("no completions for {shell}"))
                    .hint(format!("there are {}", names.join(", ")))
            })?)
        }
        ("man", []) => Task::Manual,
        _ => {
            return Err(Error::usage(format!(
                "swath {name} takes {}",
                if arguments.is_empty() { "nothing more" } else { arguments }
            ))
            .hint(format!("swath {name} {arguments}").trim_end().to_string()));
        }
    }))
}

/// The verbs for the help text.
pub(super) fn help() -> String {
    #[cfg(feature = "cluster")]
    let roles = super::cluster::ROLES;
    #[cfg(not(feature = "cluster"))]
    let roles = [("", "", ""); 0];
    let lines = VERBS
        .iter()
        .chain(&roles)
        .map(|(name, arguments, help)| format!("  {:<22} {help}\n", format!("{name} {arguments}")));
    format!("Instead of SQL:\n{}", lines.collect::<String>())
}

/// Writes the script that completes flags and verbs.
pub(super) fn write_completions(shell: Shell) {
    let mut command = Args::whole_command();
    clap_complete::generate(shell, &mut command, "swath", &mut std::io::stdout());
}

/// Writes the manual page.
///
/// # Errors
/// When stdout cannot be written to.
pub(super) fn write_manual() -> Result<()> {
    let mut page = Vec::new();
    let fail = |error: std::io::Error| Error::data(format!("cannot write the manual: {error}"));
    clap_mangen::Man::new(Args::whole_command()).render(&mut page).map_err(fail)?;
    std::io::stdout().write_all(&page).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_stands_before_what_it_needs() {
        let task =
            |words: &[&str]| task(&words.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(task(&["SELECT 1"]).expect("fine"), None);
        assert_eq!(
            task(&["schema", "it's"]).expect("fine"),
            Some(Task::Statements {
                texts: vec!["DESCRIBE SELECT * FROM 'it''s'".into()],
                format: None
            })
        );
        assert!(task(&["schema"]).is_err());
        assert!(task(&["convert", "a.csv"]).is_err());
        assert!(task(&["completions", "cobol"]).is_err());
    }
}
