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

/// What a quote means that does not pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stray {
    /// The record is malformed.
    Refused,
    /// The quote that opened the field is text, as if the field had none.
    Opening,
    /// Each quote before the one that a delimiter follows is text.
    Inner,
}

/// How far a record is followed whose quotes do not pair.
const STRAY_LEN_MAX_BYTES: usize = 64 << 10;

/// Finds the fields of one record at a time.
#[derive(Debug, Clone)]
pub(crate) struct Tokenizer {
    delimiter: Option<u8>,
    quote: Option<u8>,
    escape: Option<u8>,
    newline: u8,
    strict: bool,
    /// Whether blanks at the front of a field are no part of it.
    trims: bool,
    /// How many fields a record should have, to tell what a stray quote means.
    width: usize,
}

impl Tokenizer {
    pub(crate) fn new(dialect: &Dialect) -> Self {
        Tokenizer {
            delimiter: dialect.delimiter,
            quote: dialect.quote,
            escape: dialect.escape.filter(|escape| Some(*escape) != dialect.quote),
            newline: dialect.newline,
            strict: dialect.strict,
            trims: dialect.blank_after_delimiter,
            width: 0,
        }
    }

    /// The same, for records that should have `width` fields.
    pub(crate) fn for_width(dialect: &Dialect, width: usize) -> Self {
        Tokenizer { width, ..Tokenizer::new(dialect) }
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
        match self.cut(bytes, at_end, Stray::Refused, fields) {
            Err(_) if !self.strict => Ok(self.record_with_strays(bytes, at_end, fields)),
            result => result,
        }
    }

    /// Reads a record whose quotes do not pair, as whatever gives it the right number of fields; how
    /// much of it is here does not decide.
    fn record_with_strays(
        &self,
        bytes: &[u8],
        at_end: bool,
        fields: &mut Vec<Field>,
    ) -> Option<usize> {
        let mut cut = |bytes: &[u8], at_end, stray| {
            let used = self.cut(bytes, at_end, stray, fields).unwrap_or_default();
            (used, fields.len())
        };
        let is_all = at_end && bytes.len() <= STRAY_LEN_MAX_BYTES;
        let near = &bytes[..bytes.len().min(STRAY_LEN_MAX_BYTES)];
        let (opening, width) = cut(near, is_all, Stray::Opening);
        if opening.is_some() && width == self.width {
            return opening;
        }
        let (inner, width) = cut(near, is_all, Stray::Inner);
        match inner {
            Some(_) if width == self.width => return inner,
            None if !at_end && near.len() < STRAY_LEN_MAX_BYTES => return None,
            _ => {}
        }
        cut(bytes, at_end, Stray::Opening).0
    }

    /// Whether a record read by [`Tokenizer::record`] has quotes that do not pair, or stand where
    /// none is expected.
    pub(crate) fn has_strays(&self, record: &[u8], fields: &[Field]) -> bool {
        let quote = self.quote.unwrap_or(b'"');
        let is_stray = |field: &Field| {
            !field.quoted && memchr::memchr(quote, &record[field.start..field.end]).is_some()
        };
        fields.iter().any(is_stray)
            || self.cut(record, true, Stray::Refused, &mut Vec::new()).is_err()
    }

    #[inline]
    fn cut(
        &self,
        bytes: &[u8],
        at_end: bool,
        stray: Stray,
        fields: &mut Vec<Field>,
    ) -> Result<Option<usize>, Malformed> {
        fields.clear();
        // A delimiter that cannot occur on its own makes the loop below free of a branch.
        let delimiter = self.delimiter.unwrap_or(self.newline);
        let mut position = 0;
        loop {
            if self.trims {
                position += bytes[position..].iter().take_while(|byte| **byte == b' ').count();
            }
            if self.quote.is_some() && bytes.get(position).copied() == self.quote {
                match self.quoted(bytes, position, at_end, stray) {
                    Ok(None) => return Ok(None),
                    Ok(Some((field, after))) => {
                        fields.push(field);
                        match bytes.get(after) {
                            None => return Ok(Some(after)),
                            Some(&byte) if byte == self.newline => return Ok(Some(after + 1)),
                            Some(_) => position = after + 1,
                        }
                        continue;
                    }
                    Err(malformed) if stray == Stray::Refused => return Err(malformed),
                    // The quote is text.
                    Err(_) => {}
                }
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
        stray: Stray,
    ) -> Result<Option<(Field, usize)>, Malformed> {
        let quote = self.quote.unwrap_or(b'"');
        let mut position = open + 1;
        let mut escaped = false;
        loop {
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
                _ => {
                    let field = Field { start: open + 1, end: at, quoted: true, escaped };
                    match self.behind_quote(bytes, at + 1, at_end) {
                        Ok(after) => return Ok(after.map(|after| (field, after))),
                        Err(_) if stray == Stray::Inner => position = at + 1,
                        Err(malformed) => return Err(malformed),
                    }
                }
            }
        }
    }

    /// Where the delimiter or newline stands that follows a closing quote.
    fn behind_quote(
        &self,
        bytes: &[u8],
        start: usize,
        at_end: bool,
    ) -> Result<Option<usize>, Malformed> {
        let mut after = start;
        loop {
            match bytes.get(after) {
                None if at_end => return Ok(Some(after)),
                None => return Ok(None),
                Some(&byte) if byte == self.newline || Some(byte) == self.delimiter => {
                    return Ok(Some(after));
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
        let mut rest = raw.iter().peekable();
        while let Some(&byte) = rest.next() {
            if byte != escape {
                value.push(byte);
            } else if self.escape.is_some() {
                value.extend(rest.next());
            } else {
                // A quote that is not doubled is text, where strays are allowed.
                value.push(byte);
                rest.next_if(|next| **next == escape);
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
    fn blanks_after_delimiters() {
        let dialect = Dialect { blank_after_delimiter: true, ..Dialect::default() };
        check("a, \"b, c\",  d\n 1,2 , \n", &dialect, &[&["a", "b, c", "d"], &["1", "2 ", ""]]);
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
    fn stray_quotes_are_what_gives_a_record_its_width() {
        let dialect = Dialect { strict: false, ..Dialect::default() };
        let read = |text: &str| {
            let tokenizer = Tokenizer::for_width(&dialect, 3);
            let (mut fields, mut whole) = (Vec::new(), Vec::new());
            let used = tokenizer.record(text.as_bytes(), true, &mut whole).expect("lenient");
            for cut in 0..text.len() {
                let bytes = &text.as_bytes()[..cut];
                if let Some(early) = tokenizer.record(bytes, false, &mut fields).expect("lenient") {
                    assert_eq!((Some(early), &fields), (used, &whole), "{text:?} at {cut}");
                }
            }
            let values = whole.iter().map(|&field| tokenizer.value(text.as_bytes(), field));
            let values: Vec<_> =
                values.map(|value| String::from_utf8_lossy(&value).into_owned()).collect();
            (values.join("|"), used.map(|used| text[used..].to_string()))
        };
        let cases = [
            ("a,\"b,c\n", "a|\"b|c"),
            ("a,\"b,\"c\nd\"\n", "a|\"b|c\nd"),
            ("a,\"\"b, or so\",c\n", "a|\"b, or so|c"),
            ("a,\"the \"b\" or, \"\"so\"\"\",c\n", "a|the \"b\" or, \"so\"|c"),
            ("a,b,\"\n1,\"2\",3\n", "a|b|\""),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text).0, expected, "{text:?}");
        }
        assert_eq!(read(cases[4].0).1.as_deref(), Some("1,\"2\",3\n"));
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
