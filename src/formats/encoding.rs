//! Encodings: everything above this module is UTF-8.
//!
//! A byte order mark decides; else valid UTF-8 is UTF-8; else a statistical guess (chardetng, as in
//! Firefox), which is said in the notes. Bytes that an encoding does not have are errors, never
//! replacement characters.

use std::io::{self, Read};

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8};

use crate::error::Error;

/// What the first bytes of a file say about its encoding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detected {
    /// The encoding.
    pub encoding: &'static Encoding,
    /// Bytes of the byte order mark.
    pub mark_len_bytes: usize,
    /// Whether it is only a guess.
    pub guessed: bool,
}

/// Finds the encoding of a file that starts with `head`; `cut` if more follows.
pub fn detect(head: &[u8], cut: bool) -> Detected {
    if let Some((encoding, mark_len_bytes)) = Encoding::for_bom(head) {
        return Detected { encoding, mark_len_bytes, guessed: false };
    }
    let sure = |encoding| Detected { encoding, mark_len_bytes: 0, guessed: false };
    match std::str::from_utf8(head) {
        Ok(_) => sure(UTF_8),
        Err(error) if cut && error.error_len().is_none() => sure(UTF_8),
        Err(_) => {
            let mut detector = chardetng::EncodingDetector::new(chardetng::Iso2022JpDetection::Deny);
            detector.feed(head, !cut);
            let encoding = detector.guess(None, chardetng::Utf8Detection::Deny);
            Detected { encoding, mark_len_bytes: 0, guessed: true }
        }
    }
}

/// Turns bytes of any encoding into UTF-8.
pub struct Utf8Reader<R> {
    inner: R,
    decoder: Decoder,
    raw: Vec<u8>,
    raw_start: usize,
    raw_end: usize,
    at_end: bool,
    name: String,
}

impl<R: Read> Utf8Reader<R> {
    /// Wraps a reader of the file `name`; a byte order mark is dropped.
    pub fn new(inner: R, encoding: &'static Encoding, name: &str) -> Self {
        Utf8Reader {
            inner,
            decoder: encoding.new_decoder_with_bom_removal(),
            raw: vec![0; 64 * 1024],
            raw_start: 0,
            raw_end: 0,
            at_end: false,
            name: name.to_string(),
        }
    }

    fn malformed(&self) -> io::Error {
        Error::data(format!(
            "{}: bytes that are not valid {}",
            self.name,
            self.decoder.encoding().name()
        ))
        .hint(format!("name the encoding: read_csv('{}', encoding => 'windows-1252')", self.name))
        .into()
    }
}

impl<R: Read> Read for Utf8Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // A decoder writes whole characters: leave it room for one.
        if buffer.len() < 16 {
            return Err(io::Error::other("the buffer is too small to decode into"));
        }
        loop {
            if self.raw_start == self.raw_end && !self.at_end {
                self.raw_end = self.inner.read(&mut self.raw)?;
                self.raw_start = 0;
                self.at_end = self.raw_end == 0;
            }
            let input = &self.raw[self.raw_start..self.raw_end];
            let (result, read, written) =
                self.decoder.decode_to_utf8_without_replacement(input, buffer, self.at_end);
            self.raw_start += read;
            match result {
                DecoderResult::Malformed(..) => return Err(self.malformed()),
                _ if written > 0 || self.at_end => return Ok(written),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latin_1_and_utf_16_become_utf_8() {
        let latin: &[u8] = b"caf\xe9,na\xefve,\xfcber,Stra\xdfe und Gr\xf6\xdfe\n";
        let detected = detect(latin, false);
        assert!(detected.guessed);
        let mut text = String::new();
        let mut reader = Utf8Reader::new(latin, detected.encoding, "f");
        let mut buffer = [0; 64];
        let count = reader.read(&mut buffer).expect("decodes");
        text.push_str(std::str::from_utf8(&buffer[..count]).expect("UTF-8"));
        assert!(text.starts_with("café,naïve,über"), "{text}");
        assert_eq!(detect(b"\xff\xfea\0,\0", false).encoding, encoding_rs::UTF_16LE);
        assert_eq!(detect("é".as_bytes(), false).encoding, UTF_8);
        assert_eq!(detect(&"é".as_bytes()[..1], true).encoding, UTF_8);
    }
}
