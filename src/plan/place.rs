//! Places: where in the user's text an error of planning points to.
//!
//! The planner knows the places of names, but sees them after macros and views were put in, whose
//! texts are others: a place counts only if the name that the error is about stands there.

use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::dialect::SwathDialect;
use crate::error::{Error, ErrorKind, Place};

/// The error with its place in the text, if that can be told.
pub fn placed(error: Error, text: &str) -> Error {
    let is_ours = matches!(error.kind(), ErrorKind::Sql | ErrorKind::Data | ErrorKind::Usage);
    if !is_ours || matches!(error.place(), Some(Place::File { .. })) {
        return error;
    }
    let names = names_in(error.message());
    let mut tokens = Vec::new();
    // What cannot be cut into tokens has a place of its own.
    let _ = Tokenizer::new(&SwathDialect, text).tokenize_with_location_into_buf(&mut tokens);
    let place_of = |found: &TokenWithSpan| Place::Sql {
        line: found.span.start.line,
        column: found.span.start.column,
    };
    if let Some(place) = error.place() {
        let stands_there = names.is_empty()
            || tokens.iter().any(|found| {
                place_of(found) == *place && names.iter().any(|name| is_named(&found.token, name))
            });
        if stands_there {
            return error;
        }
    }
    for name in &names {
        let mut same = tokens.iter().filter(|found| is_named(&found.token, name));
        if let (Some(found), None) = (same.next(), same.next()) {
            return error.at(place_of(found));
        }
    }
    error.without_place()
}

/// What a message names: `a`, 'b', or behind "named".
fn names_in(message: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for quote in ['`', '\''] {
        names.extend(message.split(quote).skip(1).step_by(2));
    }
    if let Some((_, rest)) = message.split_once(" named ") {
        names.extend(rest.split([' ', ',', ';']).next());
    }
    let plain = |name: &&str| !name.is_empty() && name.len() < 200;
    names.into_iter().map(|name| name.trim_matches(['`', '\'', '"'])).filter(plain).collect()
}

fn is_named(token: &Token, name: &str) -> bool {
    // `t.x` is two words, of which the last is the name.
    let last = name.rsplit('.').next().unwrap_or(name);
    match token {
        Token::Word(word) => {
            word.value.eq_ignore_ascii_case(name) || word.value.eq_ignore_ascii_case(last)
        }
        Token::SingleQuotedString(text) | Token::Number(text, _) => text == name,
        _ => false,
    }
}

/// Turns lines and columns, both counted from 1, into offsets; each must lie behind the one before.
#[derive(Debug)]
pub struct Offsets<'a> {
    text: &'a str,
    at: usize,
    line: u64,
    column: u64,
}

impl<'a> Offsets<'a> {
    /// From the start of a text.
    pub fn new(text: &'a str) -> Self {
        Offsets { text, at: 0, line: 1, column: 1 }
    }

    /// The offset of a place; the end of the text if it lies behind that.
    pub fn of(&mut self, wanted: Location) -> usize {
        for c in self.text[self.at..].chars() {
            if (self.line, self.column) >= (wanted.line, wanted.column) {
                break;
            }
            self.at += c.len_utf8();
            (self.line, self.column) =
                if c == '\n' { (self.line + 1, 1) } else { (self.line, self.column + 1) };
        }
        self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(message: &str, at: Option<(u64, u64)>, text: &str) -> Option<String> {
        let mut error = Error::sql(message);
        if let Some((line, column)) = at {
            error = error.at(Place::Sql { line, column });
        }
        placed(error, text).place().map(ToString::to_string)
    }

    #[test]
    fn a_place_is_where_the_name_stands() {
        let at = |text: &str| Some(text.to_string());
        let text = "SELECT a,\n  nme FROM t WHERE nme > 1";
        // The planner's place is right.
        assert_eq!(place("no column named `nme`", Some((2, 20)), text), at("statement:2:20"));
        // It comes from another text, and the name stands at two places here.
        assert_eq!(place("no column named `nme`", Some((1, 8)), text), None);
        assert_eq!(place("no column named `nme`", Some((1, 8)), "SELECT nme"), at("statement:1:8"));
        assert_eq!(place("no table or view named t", None, text), at("statement:2:12"));
        assert_eq!(place("nothing matches 'a/b'", None, "FROM 'a/b'"), at("statement:1:6"));
        assert_eq!(place("something else", None, text), None);
    }
}
