//! The structural scanner: delimiters and newlines outside quotes, sixty-four bytes at a time.
//!
//! ```text
//! 64 bytes -> one bit for each delimiter, newline, quote, return -> quotes paired by prefix XOR
//!          -> positions of delimiters and newlines outside quotes
//! ```
//!
//! Pairing quotes is right only where each stands where RFC 4180 allows it. At the first that does
//! not the scanner stops, and [`super::records`], which knows what real files do, takes over for
//! that record. (Bits and prefix XOR as in Langdale and Lemire, "Parsing Gigabytes of JSON per
//! Second", VLDB Journal 28, 2019.)

use wide::u8x16;

use super::dialect::Dialect;

const BLOCK_LEN: usize = 64;
/// Blocks that are classified before their bits are used: few enough for the first-level cache.
const BLOCKS_MAX: usize = 32;

/// Which bytes of 64 are what, one bit each, the first byte lowest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Masks {
    delimiter: u64,
    newline: u64,
    quote: u64,
    carriage_return: u64,
}

type Scan = fn(&Scanner, &[u8], bool, &mut Structure);

/// Finds the structure of records in one dialect.
#[derive(Debug, Clone)]
pub(crate) struct Scanner {
    delimiter: u8,
    quote: Option<u8>,
    scan: Scan,
}

/// Where fields and records end in a piece of text that begins with a record.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Structure {
    /// Offset of the byte behind each field, in order.
    pub(crate) field_ends: Vec<u32>,
    /// For each complete record: how many fields end up to its end, and the offset behind it.
    pub(crate) records: Vec<(u32, u32)>,
    /// Whether the record behind the last complete one must be read with all care.
    pub(crate) odd: bool,
}

impl Scanner {
    /// A scanner for this dialect, if it is one in which quotes can be paired.
    pub(crate) fn new(dialect: &Dialect) -> Option<Self> {
        let delimiter = dialect.delimiter?;
        let is_plain =
            dialect.newline == b'\n' && dialect.comment.is_none() && dialect.escape.is_none();
        let is_plain = is_plain && !dialect.blank_after_delimiter;
        let ends_lines = |byte| matches!(byte, Some(b'\n' | b'\r'));
        let is_plain = is_plain && !ends_lines(Some(delimiter)) && !ends_lines(dialect.quote);
        is_plain.then(|| Scanner { delimiter, quote: dialect.quote, scan: best_scan() })
    }

    /// Scans `text`, which begins with a record; with `positions` off, fields are only counted.
    pub(crate) fn scan(&self, text: &[u8], positions: bool, found: &mut Structure) {
        (self.scan)(self, text, positions, found);
    }

    /// The scan, to be compiled for the instructions of whoever calls it.
    #[inline(always)]
    fn scan_with(
        &self,
        text: &[u8],
        positions: bool,
        found: &mut Structure,
        classify: impl Fn(&[[u8; BLOCK_LEN]], &mut [Masks; BLOCKS_MAX]),
    ) {
        found.field_ends.clear();
        found.records.clear();
        found.odd = false;
        let mut walk = Walk { may_open: 1, ..Walk::default() };
        let mut masks = [Masks::default(); BLOCKS_MAX];
        let (blocks, tail) = text.as_chunks::<BLOCK_LEN>();
        let mut offset = 0;
        for some in blocks.chunks(BLOCKS_MAX) {
            classify(some, &mut masks);
            for masks in &masks[..some.len()] {
                if !walk.step(masks, offset, u64::MAX, positions, found) {
                    return;
                }
                offset += BLOCK_LEN as u32;
            }
        }
        if !tail.is_empty() {
            let mut last = [0; BLOCK_LEN];
            last[..tail.len()].copy_from_slice(tail);
            classify(&[last], &mut masks);
            walk.step(&masks[0], offset, (1 << tail.len()) - 1, positions, found);
        }
    }
}

/// What one block hands to the next.
#[derive(Debug, Default)]
struct Walk {
    /// All ones inside quotes, else 0.
    inside: u64,
    /// 1 if a quote may open in the first byte.
    may_open: u64,
    /// 1 if the byte before closed a quoted field.
    closed: u64,
    /// 1 if the two bytes before were a closing quote and a return.
    closed_return: u64,
    field_count: u32,
}

impl Walk {
    /// Takes in one block; returns false where the scanner must stop.
    #[inline(always)]
    fn step(
        &mut self,
        masks: &Masks,
        offset: u32,
        valid: u64,
        positions: bool,
        found: &mut Structure,
    ) -> bool {
        let ends = (masks.delimiter | masks.newline) & valid;
        if masks.quote & valid | self.inside | self.closed | self.closed_return == 0 {
            self.may_open = ends >> 63;
            self.emit(ends, masks.newline, offset, positions, found);
            return true;
        }
        let quote = masks.quote & valid;
        let inside = prefix_xor(quote) ^ self.inside;
        let ends_outside = ends & !inside;
        let (opens, closes) = (quote & inside, quote & !inside);
        let may_open = ((ends_outside | closes) << 1) | self.may_open;
        let after_close = (closes << 1) | self.closed;
        let return_after_close = after_close & masks.carriage_return;
        let after_return = (return_after_close << 1) | self.closed_return;
        let allowed = masks.delimiter | masks.newline | masks.quote | masks.carriage_return;
        let odd =
            ((opens & !may_open) | (after_close & !allowed) | (after_return & !masks.newline))
                & valid;
        if odd != 0 {
            let before = (1 << odd.trailing_zeros()) - 1;
            self.emit(ends_outside & before, masks.newline, offset, positions, found);
            found.odd = true;
            return false;
        }
        self.inside = ((inside as i64) >> 63) as u64;
        self.may_open = (ends_outside | closes) >> 63;
        self.closed = closes >> 63;
        self.closed_return = return_after_close >> 63;
        self.emit(ends_outside, masks.newline, offset, positions, found);
        true
    }

    #[inline(always)]
    fn emit(
        &mut self,
        ends: u64,
        newline: u64,
        offset: u32,
        positions: bool,
        found: &mut Structure,
    ) {
        let mut newlines = ends & newline;
        while newlines != 0 {
            let lowest = newlines & newlines.wrapping_neg();
            let upto = ends & (lowest | (lowest - 1));
            let at = offset + lowest.trailing_zeros();
            found.records.push((self.field_count + upto.count_ones(), at + 1));
            newlines ^= lowest;
        }
        self.field_count += ends.count_ones();
        if positions {
            let mut rest = ends;
            found.field_ends.extend(std::iter::from_fn(|| {
                (rest != 0).then(|| {
                    let at = offset + rest.trailing_zeros();
                    rest &= rest - 1;
                    at
                })
            }));
        }
    }
}

/// Bit `i` becomes the XOR of the bits up to and with `i`.
#[inline(always)]
fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

fn best_scan() -> Scan {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("bmi1")
        && std::arch::is_x86_feature_detected!("popcnt")
    {
        return avx2::scan;
    }
    scan_narrow
}

/// By sixteen bytes, which SSE2 and NEON have wherever there are 64 bits.
fn scan_narrow(scanner: &Scanner, text: &[u8], positions: bool, found: &mut Structure) {
    let [delimiter, newline, carriage_return] = [scanner.delimiter, b'\n', b'\r'].map(u8x16::splat);
    let quote = scanner.quote.map(u8x16::splat);
    scanner.scan_with(text, positions, found, |blocks, masks| {
        for (block, masks) in blocks.iter().zip(masks) {
            let (parts, _) = block.as_chunks::<16>();
            let equal = |wanted: u8x16| {
                parts.iter().rev().fold(0, |bits, part| {
                    (bits << 16) | u64::from(u8x16::new(*part).simd_eq(wanted).to_bitmask())
                })
            };
            *masks = Masks {
                delimiter: equal(delimiter),
                newline: equal(newline),
                quote: quote.map_or(0, equal),
                carriage_return: equal(carriage_return),
            };
        }
    });
}

/// The twin without vector instructions: the oracle of the others.
#[cfg(test)]
fn scan_scalar(scanner: &Scanner, text: &[u8], positions: bool, found: &mut Structure) {
    scanner.scan_with(text, positions, found, |blocks, masks| {
        for (block, masks) in blocks.iter().zip(masks) {
            let mut found = Masks::default();
            for (idx, &byte) in block.iter().enumerate() {
                found.delimiter |= u64::from(byte == scanner.delimiter) << idx;
                found.newline |= u64::from(byte == b'\n') << idx;
                found.quote |= u64::from(Some(byte) == scanner.quote) << idx;
                found.carriage_return |= u64::from(byte == b'\r') << idx;
            }
            *masks = found;
        }
    });
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "vector loads, and calling what needs AVX2")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_set1_epi8,
    };

    use super::{BLOCK_LEN, BLOCKS_MAX, Masks, Scanner, Structure};

    pub(super) fn scan(scanner: &Scanner, text: &[u8], positions: bool, found: &mut Structure) {
        // SAFETY: `best_scan` hands this function out only where the processor has all of it.
        unsafe { scan_blocks(scanner, text, positions, found) }
    }

    #[target_feature(enable = "avx2,bmi1,popcnt")]
    fn scan_blocks(scanner: &Scanner, text: &[u8], positions: bool, found: &mut Structure) {
        scanner.scan_with(text, positions, found, |blocks, masks| {
            classify(scanner, blocks, masks);
        });
    }

    #[target_feature(enable = "avx2")]
    fn classify(scanner: &Scanner, blocks: &[[u8; BLOCK_LEN]], masks: &mut [Masks; BLOCKS_MAX]) {
        let splat = |byte: u8| _mm256_set1_epi8(byte.cast_signed());
        let delimiter = splat(scanner.delimiter);
        let quote = scanner.quote.map(splat);
        let (newline, carriage_return) = (splat(b'\n'), splat(b'\r'));
        for (block, masks) in blocks.iter().zip(masks) {
            let start = block.as_ptr().cast::<__m256i>();
            // SAFETY: the block has 64 bytes, so two loads of 32 stay inside; neither is aligned.
            let (low, high) =
                unsafe { (_mm256_loadu_si256(start), _mm256_loadu_si256(start.add(1))) };
            let equal = |wanted: __m256i| {
                let low = _mm256_movemask_epi8(_mm256_cmpeq_epi8(low, wanted)).cast_unsigned();
                let high = _mm256_movemask_epi8(_mm256_cmpeq_epi8(high, wanted)).cast_unsigned();
                u64::from(low) | (u64::from(high) << 32)
            };
            *masks = Masks {
                delimiter: equal(delimiter),
                newline: equal(newline),
                quote: quote.map_or(0, equal),
                carriage_return: equal(carriage_return),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::records::Tokenizer;
    use super::*;

    /// The next of a fixed sequence of pseudo-random numbers (SplitMix64).
    fn next_random(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn random_text(state: &mut u64, len: usize, quote_share: u64) -> Vec<u8> {
        (0..len)
            .map(|_| match next_random(state) % 16 {
                0..3 => b',',
                3..5 => b'\n',
                5 => b'\r',
                6 | 7 if next_random(state) % 8 < quote_share => b'"',
                8 => b' ',
                _ => b'a',
            })
            .collect()
    }

    /// Every record that the scanner vouches for is just what the tokenizer makes of it.
    fn check(text: &[u8], scanner: &Scanner) {
        let tokenizer = Tokenizer::new(&Dialect::default());
        let (mut found, mut counted) = (Structure::default(), Structure::default());
        scanner.scan(text, true, &mut found);
        scanner.scan(text, false, &mut counted);
        assert_eq!((&found.records, found.odd), (&counted.records, counted.odd));
        let (mut start, mut fields_before, mut fields) = (0, 0, Vec::new());
        for &(field_count, end) in &found.records {
            let used = tokenizer.record(&text[start..], true, &mut fields);
            assert_eq!(used, Ok(Some(end as usize - start)), "{:?}", String::from_utf8_lossy(text));
            let own = &found.field_ends[fields_before..field_count as usize];
            assert_eq!(own.len(), fields.len());
            for (field, &stop) in fields.iter().zip(own) {
                let stop = stop as usize - start;
                let between = stop - field.end;
                assert!(between <= 2, "{field:?} ends before {stop}");
            }
            (start, fields_before) = (end as usize, field_count as usize);
        }
        // What is left out is odd, or does not end in this text.
        if !found.odd && start < text.len() {
            let rest = tokenizer.record(&text[start..], false, &mut fields);
            assert_eq!(rest, Ok(None), "{:?}", String::from_utf8_lossy(&text[start..]));
        }
    }

    #[test]
    fn what_the_scanner_finds_is_what_the_tokenizer_finds() {
        let best = Scanner::new(&Dialect::default()).expect("plain");
        let narrow = Scanner { scan: scan_narrow, ..best.clone() };
        let mut state = 1;
        for round in 0..20_000 {
            let len = (next_random(&mut state) % 300) as usize;
            let text = random_text(&mut state, len, round % 9);
            check(&text, &best);
            check(&text, &narrow);
        }
        for (text, odd) in [
            ("a,\"b\"\"c\"\r\n\"\",\"\n\"\n", false),
            ("5\" pipe,x\n", true),
            ("\"a\" ,b\n", true),
            ("\"a\"\rb\n", true),
        ] {
            let mut found = Structure::default();
            best.scan(text.as_bytes(), true, &mut found);
            assert_eq!(found.odd, odd, "{text:?}");
            check(text.as_bytes(), &best);
        }
    }

    #[test]
    fn with_and_without_vectors_the_structure_is_the_same() {
        let best = Scanner::new(&Dialect::default()).expect("plain");
        let narrow = Scanner { scan: scan_narrow, ..best.clone() };
        let scalar = Scanner { scan: scan_scalar, ..best.clone() };
        let mut state = 7;
        for round in 0..1000 {
            let text = random_text(&mut state, BLOCK_LEN * 3 + round % BLOCK_LEN, round as u64 % 9);
            let structure = |scanner: &Scanner| {
                let mut found = Structure::default();
                scanner.scan(&text, true, &mut found);
                found
            };
            let expected = structure(&scalar);
            assert_eq!(structure(&best), expected);
            assert_eq!(structure(&narrow), expected);
        }
    }
}
