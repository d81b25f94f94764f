//! Texts, each once, by number.

use std::hint::black_box;

use datafusion::arrow::array::{Array, StringViewArray, make_view};
use datafusion::arrow::buffer::{Buffer, NullBuffer};
use datafusion::common::{Result, exec_err};

use super::slots::{STRIDE, Slots};

/// The longest text that stands in its view.
const INLINE_MAX: u32 = 12;
/// Blocks of texts are of this length, or longer for a text that is.
const BLOCK_BYTES: usize = 1 << 20;
/// No view begins like this: a text of that length does not fit into its array.
const NULL_VIEW: u128 = u128::MAX;

/// A table of texts; NULL is one of them.
#[derive(Debug, Default)]
pub(super) struct Texts {
    slots: Slots,
    /// As in an array of views.
    views: Vec<u128>,
    blocks: Vec<Vec<u8>>,
    null: Option<u32>,
}

/// Whether two views are of equal texts, as far as they show it.
#[inline]
fn look_alike(one: u128, other: u128) -> bool {
    if one as u32 <= INLINE_MAX { one == other } else { one as u64 == other as u64 }
}

impl Texts {
    /// Bytes that are held.
    pub(super) fn size(&self) -> usize {
        let blocks: usize = self.blocks.iter().map(Vec::capacity).sum();
        self.slots.size() + self.views.capacity() * size_of::<u128>() + blocks
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
        for start in (0..rows.len()).step_by(STRIDE) {
            let end = rows.len().min(start + STRIDE);
            let (views, hashes) = (&rows.views()[start..end], &row_hashes[start..end]);
            self.slots.candidates(hashes, &mut candidates);
            if self.slots.are_far() {
                self.touch(&candidates[..views.len()]);
            }
            for (idx, (view, candidate)) in views.iter().zip(&candidates).enumerate() {
                if nulls.is_some_and(|nulls| nulls.is_null(start + idx)) {
                    give(self.null()?);
                    continue;
                }
                let is_it = *candidate != 0
                    && look_alike(*view, self.views[*candidate as usize - 1])
                    && (*view as u32 <= INLINE_MAX
                        || self.long(*candidate as usize - 1)
                            == rows.value(start + idx).as_bytes());
                match is_it {
                    true => give(*candidate - 1),
                    false => give(self.find_or_add(rows, start + idx, hashes[idx])?),
                }
            }
        }
        Ok(())
    }

    /// Asks for the memory of views and of long texts.
    fn touch(&self, candidates: &[u32]) {
        let mut places = [(0_u32, 0_u32); STRIDE];
        for (place, candidate) in places.iter_mut().zip(candidates) {
            let view = if *candidate == 0 { 0 } else { self.views[*candidate as usize - 1] };
            if view as u32 > INLINE_MAX && view != NULL_VIEW {
                *place = ((view >> 64) as u32 + 1, (view >> 96) as u32);
            }
        }
        let mut sum = 0_u8;
        for (block, offset) in places.iter().filter(|(block, _)| *block != 0) {
            sum ^= self.blocks[*block as usize - 1][*offset as usize];
        }
        black_box(sum);
    }

    /// The bytes of a text that is too long for its view.
    #[inline]
    fn long(&self, number: usize) -> &[u8] {
        let view = self.views[number];
        let (block, offset) = ((view >> 64) as u32 as usize, (view >> 96) as u32 as usize);
        &self.blocks[block][offset..offset + view as u32 as usize]
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
        self.null = Some(number);
        Ok(number)
    }

    #[inline(never)]
    fn find_or_add(&mut self, rows: &StringViewArray, row: usize, hash: u64) -> Result<u32> {
        let view = rows.views()[row];
        let text = rows.value(row).as_bytes();
        let is_it = |number: usize| {
            look_alike(view, self.views[number])
                && (view as u32 <= INLINE_MAX || self.long(number) == text)
        };
        if let Some(number) = self.slots.find(hash, is_it) {
            return Ok(number);
        }
        let number = self.views.len();
        self.slots.add(hash, number)?;
        let view = if view as u32 <= INLINE_MAX { view } else { self.stored(text)? };
        self.views.push(view);
        Ok(number as u32)
    }

    /// Stores a long text; its view.
    fn stored(&mut self, text: &[u8]) -> Result<u128> {
        let has_room = |block: &Vec<u8>| block.capacity() - block.len() >= text.len();
        if !self.blocks.last().is_some_and(has_room) {
            self.blocks.push(Vec::with_capacity(BLOCK_BYTES.max(text.len())));
        }
        let idx = self.blocks.len() - 1;
        let block = &mut self.blocks[idx];
        let (Ok(idx), Ok(offset)) = (u32::try_from(idx), u32::try_from(block.len())) else {
            return exec_err!("the texts of a task do not fit into an array");
        };
        block.extend_from_slice(text);
        Ok(make_view(text, idx, offset))
    }

    /// All texts by number; what is left is empty.
    pub(super) fn take(&mut self) -> Result<StringViewArray> {
        self.slots.clear();
        let mut views = std::mem::take(&mut self.views);
        let nulls = self.null.take().map(|null| {
            views[null as usize] = 0;
            NullBuffer::from_iter((0..views.len()).map(|number| number != null as usize))
        });
        let blocks: Vec<Buffer> =
            std::mem::take(&mut self.blocks).into_iter().map(Buffer::from_vec).collect();
        Ok(StringViewArray::try_new(views.into(), blocks, nulls)?)
    }
}
