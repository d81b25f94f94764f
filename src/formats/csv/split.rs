//! Splitting: where records begin when several tasks read one file.
//!
//! A newline inside quotes does not end a record, and whether byte `n` lies inside quotes depends
//! on every quote before it. Mostly not on many of them, though: started in each of the three
//! states, a walk over text with quotes ends in one and the same after a few, because a quote in the
//! midst of a field opens nothing. So a task first walks over what stands just before its piece. If
//! that does not tell the state, each piece before it is condensed into a transition: for each state
//! in which the piece may begin, the state in which it ends. That gives a task its own state at the
//! start, exactly, whoever computes the transitions, and each piece is condensed once. Only quote
//! bytes are looked at, so that this pass runs at the speed of `memchr`. (The two-pass scheme of Ge,
//! Li, Eilebrecht, Chandramouli and Kossmann, "Speculative Distributed CSV Data Parsing", SIGMOD
//! 2019, with a third state for `""` on a border, and with the first pass left out where a
//! synchronizing word stands before the border.)

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::dialect::Dialect;
use crate::error::Result;
use crate::formats::file::{OpenFile, SourceFile};

/// The first block is shorter: most walks end in it.
const FIRST_LEN_BYTES: usize = 1 << 16;
const BLOCK_LEN_BYTES: usize = 1 << 20;
/// How far before a piece a task looks for quotes that tell its state.
const LOOK_BACK_LEN_BYTES: u64 = 128 * 1024;

/// Where a byte position stands with respect to quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Outside = 0,
    Inside = 1,
    /// The byte before was a quote that closed a field: another one makes it an escaped quote.
    JustClosed = 2,
}

/// What a piece of a file does to each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Transition([State; 3]);

/// The pieces of one file and what is known about them.
#[derive(Debug)]
pub struct Splits {
    file: Arc<SourceFile>,
    dialect: Dialect,
    cuts: Cuts,
    look_back_len_bytes: u64,
    transitions: Vec<OnceLock<Result<Transition>>>,
}

/// Where a file is cut, as others may be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cuts {
    /// Offset of the first record.
    data_start: u64,
    /// What each piece covers.
    bounds: Vec<(u64, u64)>,
    /// Whether each piece is known to begin with a record; else the pieces make up the file.
    are_known: bool,
}

impl Splits {
    /// Cuts `data_start..len` of a file into `piece_count` pieces of equal length, or fewer, at
    /// multiples of `unit_bytes`.
    pub fn new(
        file: Arc<SourceFile>,
        dialect: Dialect,
        data_start: u64,
        piece_count: usize,
        unit_bytes: u64,
    ) -> Self {
        let len = file.identity.len.max(data_start) - data_start;
        let count = piece_count.max(1) as u64;
        let cut = |idx: u64| {
            let at = data_start + (u128::from(len) * u128::from(idx) / u128::from(count)) as u64;
            at - at % unit_bytes
        };
        let mut cuts: Vec<u64> =
            (1..count).map(cut).filter(|&cut| cut > data_start && cut < data_start + len).collect();
        cuts.dedup();
        let starts = std::iter::once(data_start).chain(cuts.iter().copied());
        let ends = cuts.iter().copied().chain([data_start + len]);
        let bounds = starts.zip(ends).collect();
        Splits::of(file, dialect, Cuts { data_start, bounds, are_known: false })
    }

    /// Pieces of which the first record is known: its offset, and the end of the piece.
    pub fn known(file: Arc<SourceFile>, dialect: Dialect, pieces: Vec<(u64, u64)>) -> Self {
        Splits::of(file, dialect, Cuts { data_start: 0, bounds: pieces, are_known: true })
    }

    /// The pieces that someone else has cut.
    pub fn of(file: Arc<SourceFile>, dialect: Dialect, cuts: Cuts) -> Self {
        let transitions = cuts.bounds.iter().map(|_| OnceLock::new()).collect();
        let look_back_len_bytes = LOOK_BACK_LEN_BYTES;
        Splits { file, dialect, cuts, look_back_len_bytes, transitions }
    }

    /// Where the file is cut.
    pub fn cuts(&self) -> &Cuts {
        &self.cuts
    }

    /// How many pieces there are.
    pub fn piece_count(&self) -> usize {
        self.cuts.bounds.len()
    }

    /// The length of a piece in bytes.
    pub fn piece_len_bytes(&self, piece: usize) -> u64 {
        let (start, end) = self.cuts.bounds[piece];
        end.saturating_sub(start)
    }

    /// The records that belong to a piece: those that begin in the returned range, whose start is
    /// the beginning of a record.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn record_range(&self, piece: usize) -> Result<(u64, u64)> {
        let (from, end) = self.cuts.bounds[piece];
        if self.cuts.are_known {
            return Ok((from, end));
        }
        if piece == 0 {
            return Ok((self.cuts.data_start, end));
        }
        let file = self.file.open()?;
        let start = self.next_record_start(&file, from, self.state_at(&file, piece)?)?;
        Ok((start, end))
    }

    /// The state at the first byte of a piece.
    fn state_at(&self, file: &OpenFile, piece: usize) -> Result<State> {
        if self.dialect.quote.is_none() {
            return Ok(State::Outside);
        }
        let (from, _) = self.cuts.bounds[piece];
        let back = from.saturating_sub(self.look_back_len_bytes).max(self.cuts.data_start);
        if let [state, other, third] = self.condense(file, back, from)?.0
            && state == other
            && state == third
        {
            return Ok(state);
        }
        let mut state = State::Outside;
        for before in 0..piece {
            state = self.transition(before)?.0[state as usize];
        }
        Ok(state)
    }

    fn transition(&self, piece: usize) -> Result<Transition> {
        self.transitions[piece]
            .get_or_init(|| {
                let (start, end) = self.cuts.bounds[piece];
                self.condense(&self.file.open()?, start, end)
            })
            .clone()
    }

    fn condense(&self, file: &OpenFile, start: u64, end: u64) -> Result<Transition> {
        let mut states = [State::Outside, State::Inside, State::JustClosed];
        for_blocks(file, start, end, |block, previous| {
            // Walks that have met go on as one.
            let mut covered = [None; 3];
            for state in &mut states {
                let covered = &mut covered[*state as usize];
                *state = *covered.get_or_insert_with(|| {
                    let mut walk = Walk::new(&self.dialect, *state);
                    walk.cover(block, previous);
                    walk.state
                });
            }
            true
        })?;
        Ok(Transition(states))
    }

    /// The first position at or after `from` where a record begins, if `from` is in `state`.
    fn next_record_start(&self, file: &OpenFile, from: u64, state: State) -> Result<u64> {
        let mut walk = Walk::new(&self.dialect, state);
        let (mut position, mut found) = (from, None);
        // One byte back: a newline just before `from` means that a record begins there.
        let mut before = [0];
        file.read_exact_at(&mut before, from - 1)?;
        if before[0] == self.dialect.newline && state != State::Inside {
            return Ok(from);
        }
        for_blocks(file, from, self.file.identity.len, |block, previous| {
            found = walk.newline_outside(block, previous).map(|at| position + at as u64 + 1);
            position += block.len() as u64;
            found.is_none()
        })?;
        Ok(found.unwrap_or(self.file.identity.len))
    }
}

/// Calls `visit` with the blocks of `start..end` and the byte before each, until it says `false`.
fn for_blocks(
    file: &OpenFile,
    start: u64,
    end: u64,
    mut visit: impl FnMut(&[u8], Option<u8>) -> bool,
) -> Result<()> {
    let mut buffer = vec![0; FIRST_LEN_BYTES];
    let mut position = start;
    let mut previous = None;
    if start > 0 {
        let mut before = [0];
        file.read_exact_at(&mut before, start - 1)?;
        previous = Some(before[0]);
    }
    while position < end {
        let len = buffer.len().min(usize::try_from(end - position).unwrap_or(buffer.len()));
        let block = &mut buffer[..len];
        file.read_exact_at(block, position)?;
        if !visit(block, previous) {
            return Ok(());
        }
        previous = block.last().copied();
        position += len as u64;
        if position < end && buffer.len() < BLOCK_LEN_BYTES {
            buffer = vec![0; BLOCK_LEN_BYTES];
        }
    }
    Ok(())
}

/// Follows the quotes through consecutive blocks.
struct Walk {
    quote: Option<u8>,
    delimiter: Option<u8>,
    newline: u8,
    state: State,
}

impl Walk {
    fn new(dialect: &Dialect, state: State) -> Self {
        Walk { quote: dialect.quote, delimiter: dialect.delimiter, newline: dialect.newline, state }
    }

    /// Takes the state over a whole block.
    fn cover(&mut self, block: &[u8], previous: Option<u8>) {
        let Some(quote) = self.quote else { return };
        let mut next = 0;
        for at in memchr::memchr_iter(quote, block) {
            self.pass_text(at - next);
            self.pass_quote(if at == 0 { previous } else { Some(block[at - 1]) });
            next = at + 1;
        }
        self.pass_text(block.len() - next);
    }

    /// The position in the block of the first newline outside quotes.
    fn newline_outside(&mut self, block: &[u8], previous: Option<u8>) -> Option<usize> {
        let quote = self.quote.unwrap_or(self.newline);
        let mut next = 0;
        for at in memchr::memchr2_iter(quote, self.newline, block) {
            self.pass_text(at - next);
            next = at + 1;
            if block[at] == self.newline {
                if self.state != State::Inside {
                    return Some(at);
                }
            } else {
                self.pass_quote(if at == 0 { previous } else { Some(block[at - 1]) });
            }
        }
        self.pass_text(block.len() - next);
        None
    }

    fn pass_text(&mut self, len: usize) {
        if len > 0 && self.state == State::JustClosed {
            self.state = State::Outside;
        }
    }

    fn pass_quote(&mut self, previous: Option<u8>) {
        self.state = match self.state {
            State::Inside => State::JustClosed,
            State::JustClosed => State::Inside,
            State::Outside => {
                let opens = previous
                    .is_none_or(|byte| byte == self.newline || Some(byte) == self.delimiter);
                if opens { State::Inside } else { State::Outside }
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::csv::records::Tokenizer;

    fn record_starts(text: &[u8], from: usize) -> Vec<u64> {
        let tokenizer = Tokenizer::new(&Dialect::default());
        let (mut at, mut starts, mut fields) = (from, Vec::new(), Vec::new());
        while at < text.len() {
            starts.push(at as u64);
            at += tokenizer
                .record(&text[at..], true, &mut fields)
                .expect("well-formed")
                .expect("complete");
        }
        starts
    }

    /// Every record is owned by exactly one piece, whatever the cut and however far back it looks.
    fn check(text: &[u8]) {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("f.csv");
        std::fs::write(&path, text).expect("write");
        let metadata = std::fs::metadata(&path).expect("metadata");
        let file = Arc::new(SourceFile::local("f.csv", path, &metadata));
        let expected = record_starts(text, 0);
        for count in 1..=text.len() {
            for look_back in [0, 1, 2, 5, 1000] {
                let mut splits = Splits::new(Arc::clone(&file), Dialect::default(), 0, count, 1);
                splits.look_back_len_bytes = look_back;
                let mut starts = Vec::new();
                for piece in 0..splits.piece_count() {
                    let (start, end) = splits.record_range(piece).expect("range");
                    let own = record_starts(text, usize::try_from(start).expect("small"));
                    starts.extend(own.into_iter().filter(|&at| at < end));
                }
                assert_eq!(starts, expected, "{count} pieces, {look_back} back");
            }
        }
    }

    #[test]
    fn pieces_share_the_records_without_gap_or_overlap() {
        check(b"a,\"x\n\"\"y\"\"\n\"\nb \"inch,\"\"\nc,\"\n\n\"\r\nd,\"\"\"\"\n\"e\",f\"\n");
        check(b"1,\"a,b\"\n2,\"\"\n3,4\" 5\"\n6,7\n\"8\n\n9\",0\n");
    }
}
