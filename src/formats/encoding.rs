//! Encodings: everything above this module is UTF-8.
//!
//! A byte order mark decides; else valid UTF-8 is UTF-8; else a statistical guess (chardetng, as in
//! Firefox), which is said in the notes. Bytes that an encoding does not have are errors, never
//! replacement characters.

use std::io::{self, Read};

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8};

use crate::error::{Error, Place};

const BLOCK_LEN_BYTES: usize = 64 * 1024;
/// Latin scripts are mostly ASCII: with fewer other bytes than one in so many, the guess is theirs.
const ASCII_SHARE: usize = 100;

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
            let foreign = head.iter().filter(|byte| !byte.is_ascii()).count();
            if foreign * ASCII_SHARE < head.len() {
                let encoding = encoding_rs::WINDOWS_1252;
                return Detected { encoding, mark_len_bytes: 0, guessed: true };
            }
            let mut detector =
                chardetng::EncodingDetector::new(chardetng::Iso2022JpDetection::Deny);
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
    /// Decoded text that is not handed out yet: `text[text_start..]`.
    text: String,
    text_start: usize,
    at_end: bool,
    name: String,
}

impl<R: Read> Utf8Reader<R> {
    /// Wraps a reader of the file `name`; a byte order mark is dropped.
    pub fn new(inner: R, encoding: &'static Encoding, name: &str) -> Self {
        Utf8Reader {
            inner,
            decoder: encoding.new_decoder_with_bom_removal(),
            raw: vec![0; BLOCK_LEN_BYTES],
            raw_start: 0,
            raw_end: 0,
            text: String::with_capacity(BLOCK_LEN_BYTES * 3),
            text_start: 0,
            at_end: false,
            name: name.to_string(),
        }
    }

    /// Decodes the next block into `text`.
    fn decode(&mut self) -> io::Result<()> {
        if self.raw_start == self.raw_end {
            self.raw_end = self.inner.read(&mut self.raw)?;
            self.raw_start = 0;
            self.at_end = self.raw_end == 0;
        }
        self.text.clear();
        self.text_start = 0;
        let input = &self.raw[self.raw_start..self.raw_end];
        let (result, read) =
            self.decoder.decode_to_string_without_replacement(input, &mut self.text, self.at_end);
        self.raw_start += read;
        match result {
            DecoderResult::Malformed(..) => Err(self.malformed()),
            DecoderResult::InputEmpty | DecoderResult::OutputFull => Ok(()),
        }
    }

    fn malformed(&self) -> io::Error {
        let encoding = self.decoder.encoding().name();
        Error::data(format!("bytes that are not valid {encoding}"))
            .at(Place::file(&self.name))
            .hint(format!(
                "name the encoding: read_csv('{}', encoding => 'windows-1252')",
                self.name
            ))
            .into()
    }
}

impl<R: Read> Read for Utf8Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.text_start == self.text.len() && !self.at_end {
            self.decode()?;
        }
        let rest = &self.text.as_bytes()[self.text_start..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.text_start += count;
        Ok(count)
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
        reader.read_to_string(&mut text).expect("decodes");
        assert!(text.starts_with("café,naïve,über"), "{text}");
        assert_eq!(detect(b"\xff\xfea\0,\0", false).encoding, encoding_rs::UTF_16LE);
        assert_eq!(detect("é".as_bytes(), false).encoding, UTF_8);
        assert_eq!(detect(&"é".as_bytes()[..1], true).encoding, UTF_8);
    }
}
