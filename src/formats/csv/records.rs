//! Records: where each field of one CSV record begins and ends.
//!
//! The grammar is RFC 4180 with what real files do: a quote opens a quoted field only as the first
//! byte of a field, elsewhere it is text; blanks may follow a closing quote; a record may end with
//! `\n`, `\r\n` or, where the dialect says so, `\r`. [`super::split`] relies on just this grammar.

use std::borrow::Cow;

use super::dialect::Dialect;

/// One field: a range of bytes without its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) quoted: bool,
    /// Holds doubled quotes or escapes that must be undone.
    pub(crate) escaped: bool,
}

/// What keeps bytes from being a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// A quote was opened here and never closed.
    UnclosedQuote(usize),
    /// Text stands here, between a closing quote and the next delimiter.
    TextAfterQuote(usize),
}

/// Finds the fields of one record at a time.
#[derive(Debug, Clone)]
pub(crate) struct Tokenizer {
    delimiter: Option<u8>,
    quote: Option<u8>,
    escape: Option<u8>,
    newline: u8,
}

impl Tokenizer {
    pub(crate) fn new(dialect: &Dialect) -> Self {
        Tokenizer {
            delimiter: dialect.delimiter,
            quote: dialect.quote,
            escape: dialect.escape.filter(|escape| Some(*escape) != dialect.quote),
            newline: dialect.newline,
        }
    }

    /// Reads the record at the front of `bytes` into `fields`.
    ///
    /// Returns how many bytes it takes with its newline, or `None` when it does not end within
    /// `bytes` and more may follow (`at_end` is false).
    #[inline]
    pub(crate) fn record(
        &self,
        bytes: &[u8],
        at_end: bool,
        fields: &mut Vec<Field>,
    ) -> Result<Option<usize>, Malformed> {
        fields.clear();
        // A delimiter that cannot occur on its own makes the loop below free of a branch.
        let delimiter = self.delimiter.unwrap_or(self.newline);
        let mut position = 0;
        loop {
            if self.quote.is_some() && bytes.get(position).copied() == self.quote {
                match self.quoted(bytes, position, at_end)? {
                    None => return Ok(None),
                    Some((field, after)) => {
                        fields.push(field);
                        match bytes.get(after) {
                            None => return Ok(Some(after)),
                            Some(&byte) if byte == self.newline => return Ok(Some(after + 1)),
                            Some(_) => position = after + 1,
                        }
                    }
                }
                continue;
            }
            let start = position;
            match find_either(bytes, start, delimiter, self.newline) {
                Some(end) if bytes[end] != self.newline => {
                    fields.push(Field { start, end, quoted: false, escaped: false });
                    position = end + 1;
                }
                Some(end) => {
                    let stop = trim_return(bytes, start, end, self.newline);
                    fields.push(Field { start, end: stop, quoted: false, escaped: false });
                    return Ok(Some(end + 1));
                }
                None if at_end => {
                    let end = trim_return(bytes, start, bytes.len(), self.newline);
                    fields.push(Field { start, end, quoted: false, escaped: false });
                    return Ok(Some(bytes.len()));
                }
                None => return Ok(None),
            }
        }
    }

    /// Reads a quoted field whose opening quote stands at `open`; returns it with the position of
    /// the delimiter or newline behind it.
    fn quoted(
        &self,
        bytes: &[u8],
        open: usize,
        at_end: bool,
    ) -> Result<Option<(Field, usize)>, Malformed> {
        let quote = self.quote.unwrap_or(b'"');
        let mut position = open + 1;
        let mut escaped = false;
        let end = loop {
            let found = match self.escape {
                Some(escape) => memchr::memchr2(quote, escape, &bytes[position..]),
                None => memchr::memchr(quote, &bytes[position..]),
            };
            let Some(at) = found.map(|found| position + found) else {
                return if at_end { Err(Malformed::UnclosedQuote(open)) } else { Ok(None) };
            };
            if bytes[at] != quote {
                // An escape: the byte behind it is text, whatever it is.
                escaped = true;
                position = at + 2;
                if position > bytes.len() {
                    return if at_end { Err(Malformed::UnclosedQuote(open)) } else { Ok(None) };
                }
                continue;
            }
            match bytes.get(at + 1) {
                None if !at_end => return Ok(None),
                Some(&next) if next == quote && self.escape.is_none() => {
                    escaped = true;
                    position = at + 2;
                }
                _ => break at,
            }
        };
        let field = Field { start: open + 1, end, quoted: true, escaped };
        let mut after = end + 1;
        loop {
            match bytes.get(after) {
                None if at_end => return Ok(Some((field, after))),
                None => return Ok(None),
                Some(&byte) if byte == self.newline || Some(byte) == self.delimiter => {
                    return Ok(Some((field, after)));
                }
                Some(b' ' | b'\t' | b'\r') => after += 1,
                Some(_) => return Err(Malformed::TextAfterQuote(after)),
            }
        }
    }

    /// The bytes of a field with its escapes undone.
    #[inline]
    pub(crate) fn value<'a>(&self, bytes: &'a [u8], field: Field) -> Cow<'a, [u8]> {
        let raw = &bytes[field.start..field.end];
        if !field.escaped {
            return Cow::Borrowed(raw);
        }
        let escape = self.escape.or(self.quote).unwrap_or(b'"');
        let mut value = Vec::with_capacity(raw.len());
        let mut rest = raw.iter();
        while let Some(&byte) = rest.next() {
            if byte == escape {
                value.extend(rest.next());
            } else {
                value.push(byte);
            }
        }
        Cow::Owned(value)
    }
}

/// The first position from `start` on that holds `a` or `b`, eight bytes at a time.
#[inline]
fn find_either(bytes: &[u8], start: usize, a: u8, b: u8) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let (a_word, b_word) = (ONES * u64::from(a), ONES * u64::from(b));
    let mut position = start;
    while let Some(chunk) = bytes.get(position..position + 8) {
        let word = u64::from_le_bytes(chunk.try_into().expect("the slice has eight bytes"));
        let (x, y) = (word ^ a_word, word ^ b_word);
        // The lowest zero byte of x or y has its high bit set here (Hacker's Delight, 6-1).
        let hits = ((x.wrapping_sub(ONES) & !x) | (y.wrapping_sub(ONES) & !y)) & HIGH;
        if hits != 0 {
            return Some(position + hits.trailing_zeros() as usize / 8);
        }
        position += 8;
    }
    bytes[position..].iter().position(|&byte| byte == a || byte == b).map(|found| position + found)
}

/// Where the text ends when `\r` stands before a `\n`.
#[inline]
fn trim_return(bytes: &[u8], start: usize, end: usize, newline: u8) -> usize {
    if newline == b'\n' && end > start && bytes[end - 1] == b'\r' { end - 1 } else { end }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, dialect: &Dialect, expected: &[&[&str]]) {
        let tokenizer = Tokenizer::new(dialect);
        let (mut rest, mut fields, mut found) = (text.as_bytes(), Vec::new(), Vec::new());
        while !rest.is_empty() {
            let used = tokenizer.record(rest, true, &mut fields).expect("well-formed");
            let record: Vec<_> = fields
                .iter()
                .map(|&field| String::from_utf8_lossy(&tokenizer.value(rest, field)).into_owned())
                .collect();
            found.push(record);
            rest = &rest[used.expect("complete at the end")..];
        }
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn records_as_real_files_write_them() {
        let dialect = Dialect::default();
        check("a,b\r\n1,2\n", &dialect, &[&["a", "b"], &["1", "2"]]);
        check("a,\"b\n\"\"c\"\"\"\n,\n", &dialect, &[&["a", "b\n\"c\""], &["", ""]]);
        check("5\" pipe,\"x\" ,y", &dialect, &[&["5\" pipe", "x", "y"]]);
        check("long unquoted text;1", &dialect, &[&["long unquoted text;1"]]);
        check("a,", &dialect, &[&["a", ""]]);
        check("a\rb,c\n", &dialect, &[&["a\rb", "c"]]);
    }

    #[test]
    fn escapes_other_than_doubling() {
        let dialect = Dialect { escape: Some(b'\\'), ..Dialect::default() };
        check(r#""a\"b","c\\""#, &dialect, &[&[r#"a"b"#, r"c\"]]);
    }

    #[test]
    fn what_is_malformed_says_where() {
        let tokenizer = Tokenizer::new(&Dialect::default());
        let mut fields = Vec::new();
        let mut record = |text: &str| tokenizer.record(text.as_bytes(), true, &mut fields);
        assert_eq!(record("a,\"open\nb"), Err(Malformed::UnclosedQuote(2)));
        assert_eq!(record("\"a\"b,c"), Err(Malformed::TextAfterQuote(3)));
    }

    #[test]
    fn an_incomplete_record_asks_for_more() {
        let tokenizer = Tokenizer::new(&Dialect::default());
        let text = b"a,\"b\"\"c\",dddddddddddd\n";
        let mut fields = Vec::new();
        for cut in 0..text.len() {
            assert_eq!(tokenizer.record(&text[..cut], false, &mut fields), Ok(None), "{cut}");
        }
        assert_eq!(tokenizer.record(text, false, &mut fields), Ok(Some(text.len())));
    }
}
