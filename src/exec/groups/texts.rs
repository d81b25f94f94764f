//! Texts, each once, by number.

use std::hash::BuildHasher;
use std::hint::black_box;

use datafusion::arrow::array::{Array, StringViewArray, StringViewBuilder};
use datafusion::common::hash_utils::RandomState;
use datafusion::common::{Result, exec_err};

use super::keys::{HASH_FACTOR, HASH_START, mix};
use super::slots::{STRIDE, Slots};

/// The longest text that stands in its view.
const INLINE_MAX: u32 = 12;
/// No view begins like this: a text of that length does not fit into its array.
const NULL_VIEW: u128 = u128::MAX;

/// So many views are kept at hand with their numbers.
const RECENT_COUNT: usize = 512;
/// After so many rows it is seen whether that is of use ...
const RECENT_TRIAL: usize = 1 << 14;
/// ... and if not, for so many it is left.
const RECENT_PAUSE: usize = 1 << 19;

/// A table of texts; NULL is one of them.
#[derive(Debug)]
pub(super) struct Texts {
    slots: Slots,
    /// The view that each text came with: of a long one, where it lay tells nothing.
    views: Vec<u128>,
    texts: StringViewBuilder,
    finished: StringViewArray,
    null: Option<u32>,
    recent: Recent,
}

/// The numbers of texts that came last, by their views.
#[derive(Debug)]
struct Recent {
    views: Vec<u128>,
    numbers: Vec<u32>,
    /// Rows that were looked up since the last decision, and those of them that were not found.
    looked_up: usize,
    missed: usize,
    /// For so many rows it is not asked: too few texts come again.
    pause: usize,
}

impl Default for Recent {
    fn default() -> Self {
        Recent {
            views: vec![NULL_VIEW; RECENT_COUNT],
            numbers: vec![0; RECENT_COUNT],
            looked_up: 0,
            missed: 0,
            pause: 0,
        }
    }
}

impl Recent {
    fn place(view: u128) -> usize {
        let folded = (view as u64).wrapping_add(((view >> u64::BITS) as u64).rotate_left(29));
        (folded.wrapping_mul(HASH_FACTOR) >> (u64::BITS - RECENT_COUNT.trailing_zeros())) as usize
    }

    /// The numbers of texts that are known, and the rows of those that are not.
    #[inline]
    fn look_up(&mut self, views: &[u128], numbers: &mut [u32; STRIDE], missed: &mut Vec<usize>) {
        if self.pause > 0 {
            self.pause = self.pause.saturating_sub(views.len());
            missed.extend(0..views.len());
            return;
        }
        let (known, known_numbers) = (&self.views[..RECENT_COUNT], &self.numbers[..RECENT_COUNT]);
        for (row, (view, number)) in views.iter().zip(numbers).enumerate() {
            let place = Recent::place(*view) % RECENT_COUNT;
            *number = known_numbers[place];
            if known[place] != *view {
                missed.push(row);
            }
        }
        self.looked_up += views.len();
        self.missed += missed.len();
        if self.looked_up >= RECENT_TRIAL {
            if self.missed > self.looked_up / 2 {
                self.pause = RECENT_PAUSE;
            }
            (self.looked_up, self.missed) = (0, 0);
        }
    }

    fn put(&mut self, view: u128, number: u32) {
        let place = Recent::place(view);
        self.views[place] = view;
        self.numbers[place] = number;
    }

    /// The views of long texts say where these lie among the rows that they came with.
    fn forget_long(&mut self) {
        for view in &mut self.views {
            *view = if *view as u32 <= INLINE_MAX { *view } else { NULL_VIEW };
        }
    }

    fn forget(&mut self) {
        *self = Recent::default();
    }
}

impl Default for Texts {
    fn default() -> Self {
        Texts {
            slots: Slots::default(),
            views: Vec::new(),
            texts: StringViewBuilder::new(),
            finished: StringViewArray::new_null(0),
            null: None,
            recent: Recent::default(),
        }
    }
}

/// Whether two views are of equal texts, as far as they show it.
#[inline]
fn look_alike(one: u128, other: u128) -> bool {
    if one as u32 <= INLINE_MAX { one == other } else { one as u64 == other as u64 }
}

impl Texts {
    /// Bytes that are held.
    pub(super) fn size(&self) -> usize {
        let views = self.views.capacity() * size_of::<u128>();
        self.slots.size() + views + self.texts.allocated_size()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.views.len()
    }

    /// Gives the number of each row's text to `give`, in order; those that are new are added.
    pub(super) fn intern(
        &mut self,
        rows: &StringViewArray,
        mut give: impl FnMut(u32),
    ) -> Result<()> {
        self.slots.prepare();
        if !rows.data_buffers().is_empty() {
            self.recent.forget_long();
        }
        let nulls = rows.nulls().filter(|nulls| nulls.null_count() > 0);
        let mut numbers = [0; STRIDE];
        let mut missed = Vec::with_capacity(STRIDE);
        for (stride, views) in rows.views().chunks(STRIDE).enumerate() {
            let start = stride * STRIDE;
            missed.clear();
            self.recent.look_up(views, &mut numbers, &mut missed);
            if let Some(nulls) = nulls {
                missed.retain(|row| nulls.is_valid(start + row));
            }
            if !missed.is_empty() {
                self.find_all(rows, start, &missed, &mut numbers)?;
            }
            for (row, number) in numbers[..views.len()].iter().enumerate() {
                give(match nulls {
                    Some(nulls) if nulls.is_null(start + row) => self.null()?,
                    _ => *number,
                });
            }
        }
        Ok(())
    }

    /// Finds or adds the texts of some rows of a stride.
    fn find_all(
        &mut self,
        rows: &StringViewArray,
        start: usize,
        asked: &[usize],
        numbers: &mut [u32; STRIDE],
    ) -> Result<()> {
        let views = &rows.views()[start..];
        let mut hashes = [0; STRIDE];
        for (hash, row) in hashes.iter_mut().zip(asked) {
            *hash = match views[*row] {
                view if view as u32 <= INLINE_MAX => {
                    mix(mix(HASH_START, view as u64), (view >> u64::BITS) as u64)
                }
                _ => RandomState::default().hash_one(rows.value(start + row)),
            };
        }
        let mut candidates = [0; STRIDE];
        self.slots.candidates(&hashes[..asked.len()], &mut candidates);
        let candidates = &mut candidates[..asked.len()];
        let are_short = asked.iter().all(|row| views[*row] as u32 <= INLINE_MAX);
        if are_short {
            let known = self.views.as_slice();
            for (candidate, row) in candidates.iter_mut().zip(asked) {
                let found = *candidate as usize;
                let is_it = found != 0 && known[found - 1] == views[*row];
                *candidate = if is_it { *candidate } else { 0 };
            }
        } else {
            if self.slots.are_far() {
                self.touch(candidates);
            }
            for (candidate, row) in candidates.iter_mut().zip(asked) {
                let is_it = *candidate != 0
                    && self.is_it(*candidate as usize - 1, views[*row], rows, start + row);
                *candidate = if is_it { *candidate } else { 0 };
            }
        }
        for ((candidate, row), hash) in candidates.iter().zip(asked).zip(hashes) {
            numbers[*row] = match *candidate {
                0 => self.find_or_add(rows, start + row, hash)?,
                found => found - 1,
            };
            self.recent.put(views[*row], numbers[*row]);
        }
        Ok(())
    }

    /// Asks for the memory of texts.
    fn touch(&self, candidates: &[u32]) {
        let mut sum = 0;
        for candidate in candidates.iter().filter(|candidate| **candidate != 0) {
            sum ^= self.views[*candidate as usize - 1] as u64;
        }
        for candidate in candidates.iter().filter(|candidate| **candidate != 0) {
            sum ^= u64::from(*self.texts.get_value(*candidate as usize - 1).first().unwrap_or(&0));
        }
        black_box(sum);
    }

    /// Whether a text is that of a row.
    #[inline]
    fn is_it(&self, number: usize, view: u128, rows: &StringViewArray, row: usize) -> bool {
        look_alike(view, self.views[number])
            && (view as u32 <= INLINE_MAX
                || self.texts.get_value(number) == rows.value(row).as_bytes())
    }

    fn null(&mut self) -> Result<u32> {
        if let Some(number) = self.null {
            return Ok(number);
        }
        // It has no slot: nothing else must be taken for it.
        let number = self.views.len() as u32;
        if number == u32::MAX {
            return exec_err!("more than four billion texts in one task");
        }
        self.views.push(NULL_VIEW);
        self.texts.append_null();
        self.null = Some(number);
        Ok(number)
    }

    #[inline(never)]
    fn find_or_add(&mut self, rows: &StringViewArray, row: usize, hash: u64) -> Result<u32> {
        let view = rows.views()[row];
        if let Some(number) = self.slots.find(hash, |number| self.is_it(number, view, rows, row)) {
            return Ok(number);
        }
        let number = self.views.len();
        self.slots.add(hash, number)?;
        self.views.push(view);
        self.texts.try_append_value(rows.value(row))?;
        Ok(number as u32)
    }

    /// Ends the growth of the table.
    pub(super) fn finish(&mut self) {
        self.finished = self.texts.finish();
    }

    /// All texts by number, once the table has grown to its end.
    pub(super) fn finished(&self) -> &StringViewArray {
        &self.finished
    }

    /// Forgets all texts; the slots stay.
    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.views.clear();
        self.recent.forget();
        self.null = None;
        self.texts.finish();
        self.finished = StringViewArray::new_null(0);
    }
}
