//! A text of SQL in pieces, whole or not: what the shell colours and completes by.

use std::ops::Range;

use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer, Whitespace, Word};

use super::complete::is_keyword;
use crate::plan::dialect::SwathDialect;
use crate::plan::parse::is_complete;
use crate::plan::place::Offsets;

/// What a piece of a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Keyword,
    /// A name, quoted or not.
    Name,
    /// A name before a parenthesis.
    Function,
    Text,
    Number,
    Comment,
    Open,
    Close,
    /// A quote or comment that has no end yet, up to the end of the text.
    Endless,
    Blank,
    Other,
}

/// A piece of a text, by bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) range: Range<usize>,
    pub(super) kind: Kind,
}

/// Cuts a text into pieces that cover all of it.
pub(super) fn pieces(text: &str) -> Vec<Piece> {
    let mut tokens = Vec::new();
    let is_whole =
        Tokenizer::new(&SwathDialect, text).tokenize_with_location_into_buf(&mut tokens).is_ok();
    let mut offsets = Offsets::new(text);
    let mut pieces: Vec<Piece> = Vec::with_capacity(tokens.len() + 1);
    for found in &tokens {
        let range = offsets.of(found.span.start)..offsets.of(found.span.end);
        pieces.push(Piece { range, kind: kind_of(&found.token) });
    }
    let end = pieces.last().map_or(0, |piece| piece.range.end);
    if !is_whole && end < text.len() {
        pieces.push(Piece { range: end..text.len(), kind: Kind::Endless });
    }
    for idx in 0..pieces.len() {
        let is_called = pieces[idx + 1..]
            .iter()
            .find(|piece| piece.kind != Kind::Blank)
            .is_some_and(|piece| &text[piece.range.clone()] == "(");
        if pieces[idx].kind == Kind::Name && is_called {
            pieces[idx].kind = Kind::Function;
        }
    }
    pieces
}

/// Statements and the command behind a bar that their answer goes to: `SELECT 1; | sort`.
pub(super) fn piped(text: &str) -> Option<(&str, &str)> {
    let said = pieces(text);
    let mut said = said.iter().filter(|piece| !matches!(piece.kind, Kind::Blank | Kind::Comment));
    let shown = |piece: &Piece| &text[piece.range.clone()];
    let mut is_end = false;
    let bar = said
        .find(|piece| std::mem::replace(&mut is_end, shown(piece) == ";") && shown(piece) == "|")?;
    Some((&text[..bar.range.start], text[bar.range.end..].trim()))
}

/// Whether a text of statements has come to its end.
pub(super) fn is_whole(text: &str) -> bool {
    is_complete(text) || piped(text).is_some()
}

fn kind_of(token: &Token) -> Kind {
    match token {
        Token::Word(Word { value, quote_style: None, .. }) if is_keyword(value) => Kind::Keyword,
        Token::Word(_) => Kind::Name,
        Token::Number(..) => Kind::Number,
        Token::Whitespace(
            Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_),
        ) => Kind::Comment,
        Token::Whitespace(_) => Kind::Blank,
        Token::LParen | Token::LBracket | Token::LBrace => Kind::Open,
        Token::RParen | Token::RBracket | Token::RBrace => Kind::Close,
        Token::SingleQuotedString(_)
        | Token::DollarQuotedString(_)
        | Token::EscapedStringLiteral(_)
        | Token::UnicodeStringLiteral(_)
        | Token::NationalStringLiteral(_)
        | Token::HexStringLiteral(_) => Kind::Text,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces that are not blank, with their kinds.
    fn cut(text: &str) -> Vec<(&str, Kind)> {
        let pieces = pieces(text);
        assert!(pieces.windows(2).all(|pair| pair[0].range.end == pair[1].range.start));
        assert_eq!(pieces.last().map_or(0, |piece| piece.range.end), text.len());
        let shown = pieces.into_iter().filter(|piece| piece.kind != Kind::Blank);
        shown.map(|piece| (&text[piece.range], piece.kind)).collect()
    }

    #[test]
    fn a_bar_behind_the_end_of_a_statement_is_a_pipe() {
        assert_eq!(piped("SELECT 1 | 2; | grep 'x"), Some(("SELECT 1 | 2; ", "grep 'x")));
        assert_eq!(
            piped("SELECT 1;\n-- to\n|sort -r | uniq"),
            Some(("SELECT 1;\n-- to\n", "sort -r | uniq"))
        );
        for text in
            ["SELECT 1 | 2;", "SELECT '; | x';", "SELECT 1; SELECT 2 | 3", "| sort", "SELECT 1;"]
        {
            assert_eq!(piped(text), None, "{text}");
        }
    }

    #[test]
    fn all_of_a_text_is_cut() {
        assert_eq!(
            cut("select sum (x) -- ö;\nFROM 'ä b', \"from\""),
            [
                ("select", Kind::Keyword),
                ("sum", Kind::Function),
                ("(", Kind::Open),
                ("x", Kind::Name),
                (")", Kind::Close),
                ("-- ö;\n", Kind::Comment),
                ("FROM", Kind::Keyword),
                ("'ä b'", Kind::Text),
                (",", Kind::Other),
                ("\"from\"", Kind::Name),
            ]
        );
        assert_eq!(
            cut("SELECT 1, 'to be").as_slice(),
            [
                ("SELECT", Kind::Keyword),
                ("1", Kind::Number),
                (",", Kind::Other),
                ("'to be", Kind::Endless),
            ]
        );
        assert!(cut("").is_empty());
    }
}
