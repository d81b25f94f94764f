//! Texts, each once, by number.

use std::hint::black_box;

use datafusion::arrow::array::{Array, StringViewArray, StringViewBuilder};
use datafusion::common::{Result, exec_err};

use super::slots::{STRIDE, Slots};

/// The longest text that stands in its view.
const INLINE_MAX: u32 = 12;
/// No view begins like this: a text of that length does not fit into its array.
const NULL_VIEW: u128 = u128::MAX;

/// A table of texts; NULL is one of them.
#[derive(Debug)]
pub(super) struct Texts {
    slots: Slots,
    /// The view that each text came with: of a long one, where it lay tells nothing.
    views: Vec<u128>,
    texts: StringViewBuilder,
    finished: StringViewArray,
    null: Option<u32>,
}

impl Default for Texts {
    fn default() -> Self {
        Texts {
            slots: Slots::default(),
            views: Vec::new(),
            texts: StringViewBuilder::new(),
            finished: StringViewArray::new_null(0),
            null: None,
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
        row_hashes: &[u64],
        mut give: impl FnMut(u32),
    ) -> Result<()> {
        self.slots.prepare();
        let nulls = rows.nulls().filter(|nulls| nulls.null_count() > 0);
        let mut candidates = [0; STRIDE];
        let strides = rows.views().chunks(STRIDE).zip(row_hashes.chunks(STRIDE));
        for (stride, (views, hashes)) in strides.enumerate() {
            let start = stride * STRIDE;
            self.slots.candidates(hashes, &mut candidates);
            let candidates = &mut candidates[..views.len()];
            let are_short = views.iter().all(|view| *view as u32 <= INLINE_MAX);
            if are_short {
                let known = self.views.as_slice();
                for (candidate, view) in candidates.iter_mut().zip(views) {
                    let found = *candidate as usize;
                    *candidate =
                        if found != 0 && known[found - 1] == *view { *candidate } else { 0 };
                }
            } else {
                if self.slots.are_far() {
                    self.touch(candidates);
                }
                for (idx, candidate) in candidates.iter_mut().enumerate() {
                    let is_it = *candidate != 0
                        && self.is_it(*candidate as usize - 1, views[idx], rows, start + idx);
                    *candidate = if is_it { *candidate } else { 0 };
                }
            }
            for (idx, candidate) in candidates.iter().enumerate() {
                let is_null = nulls.is_some_and(|nulls| nulls.is_null(start + idx));
                give(match *candidate {
                    _ if is_null => self.null()?,
                    0 => self.find_or_add(rows, start + idx, hashes[idx])?,
                    found => found - 1,
                });
            }
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
        self.null = None;
        self.texts.finish();
        self.finished = StringViewArray::new_null(0);
    }
}
