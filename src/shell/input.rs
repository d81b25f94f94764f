//! Input: when a line is complete, what may complete it, how it looks. A statement ends with `;`, a
//! dot-command with its line.

use std::borrow::Cow;

use rustyline::completion::{Completer, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper, Result};

use super::command::is_command;
use super::complete::Completion;
use super::highlight::Palette;
use super::pieces::is_whole;

/// Tells rustyline whether more lines must follow, what Tab offers, and the colours.
pub(super) struct Statements {
    completion: Completion,
    /// None shows no colours.
    pub(super) palette: Option<Palette>,
}

impl Statements {
    pub(super) fn new(completion: Completion) -> Self {
        Statements { completion, palette: None }
    }
}

impl Validator for Statements {
    fn validate(&self, context: &mut ValidationContext<'_>) -> Result<ValidationResult> {
        let text = context.input();
        let complete = is_command(text) || is_whole(text);
        Ok(if complete { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

impl Completer for Statements {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _context: &Context<'_>,
    ) -> Result<(usize, Vec<Pair>)> {
        Ok(self.completion.candidates(line, position))
    }
}

impl Hinter for Statements {
    type Hint = String;
}

impl Highlighter for Statements {
    fn highlight<'l>(&self, line: &'l str, _position: usize) -> Cow<'l, str> {
        match self.palette {
            Some(palette) => Cow::Owned(palette.highlight(line)),
            None => Cow::Borrowed(line),
        }
    }

    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(
        &'s self,
        prompt: &'p str,
        _default: bool,
    ) -> Cow<'b, str> {
        match self.palette {
            Some(_) => Cow::Owned(format!("\x1b[2m{prompt}\x1b[0m")),
            None => Cow::Borrowed(prompt),
        }
    }

    fn highlight_char(&self, _line: &str, _position: usize, kind: CmdKind) -> bool {
        // What is typed may change the colour of what stands before it.
        self.palette.is_some() && kind != CmdKind::MoveCursor
    }
}

impl Helper for Statements {}
