//! The slots of a hash table whose entries lie elsewhere, by number.
//!
//! A slot is half of a hash and the number of an entry, so that hardly ever an entry is looked at that is
//! not the one, and a table grows without a look at its entries. Looking up many at once goes in steps,
//! each over all of them: the processor waits for the memory of many at the same time.

use datafusion::common::{Result, exec_err};

/// So many rows are looked up at once.
pub(super) const STRIDE: usize = 256;
const COUNT_MIN: usize = 1024;
/// Beyond that, slots and entries are hardly in the processor's cache.
const COUNT_NEAR: usize = 1 << 15;
/// The upper half of a hash says where it is in a table of so many slots.
const COUNT_MAX: usize = 1 << 32;
const UPPER: u64 = !(u32::MAX as u64);

/// A hash table with open addressing; at most half of the slots are taken, of few ones a quarter.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// The upper half is that of a hash, the lower one the number of an entry and one. 0 is an empty
    /// slot.
    slots: Vec<u64>,
    taken: usize,
}

/// The numbers of entries with one added; 0 if there is none.
pub(super) type Candidates = [u32; STRIDE];

impl Slots {
    /// Bytes that are held.
    pub(super) fn size(&self) -> usize {
        self.slots.capacity() * size_of::<u64>()
    }

    /// Whether entries are far away, so that it pays to ask for many at once.
    pub(super) fn are_far(&self) -> bool {
        self.slots.len() > COUNT_NEAR
    }

    /// Makes sure that there is a slot.
    pub(super) fn prepare(&mut self) {
        if self.slots.is_empty() {
            self.slots = vec![0; COUNT_MIN];
        }
    }

    /// The first bits of a hash say where its slot is.
    fn shift(&self) -> u32 {
        u64::BITS - self.slots.len().trailing_zeros()
    }

    /// An entry that may be the one, for each of at most [`STRIDE`] hashes.
    #[inline]
    pub(super) fn candidates(&self, hashes: &[u64], candidates: &mut Candidates) {
        let (shift, mask) = (self.shift(), self.slots.len() - 1);
        let slots = self.slots.as_slice();
        for (candidate, hash) in candidates.iter_mut().zip(hashes) {
            let home = (*hash >> shift) as usize & mask;
            let (first, second) = (slots[home], slots[(home + 1) & mask]);
            let second = if (second ^ hash) & UPPER == 0 { second as u32 } else { 0 };
            *candidate = if (first ^ hash) & UPPER == 0 { first as u32 } else { second };
        }
    }

    /// The entry of that hash which is the one.
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(usize) -> bool) -> Option<u32> {
        let mut at = (hash >> self.shift()) as usize;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return None;
            }
            if (slot ^ hash) & UPPER == 0 && is_it((slot & !UPPER) as usize - 1) {
                return Some(slot as u32 - 1);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// If there are too many.
    pub(super) fn add(&mut self, hash: u64, number: usize) -> Result<()> {
        // Of a hash there is no more than 32 bits to say where its slot is.
        let Some(entry) = u32::try_from(number + 1).ok().filter(|_| self.slots.len() <= COUNT_MAX)
        else {
            return exec_err!("more than four billion groups in one task");
        };
        self.put((hash & UPPER) | u64::from(entry));
        self.taken += 1;
        let spare = if self.are_far() { 2 } else { 4 };
        if self.taken * spare > self.slots.len() {
            let old = std::mem::take(&mut self.slots);
            self.slots = vec![0; old.len() * 2];
            old.into_iter().filter(|slot| *slot != 0).for_each(|slot| self.put(slot));
        }
        Ok(())
    }

    /// Puts an entry into a slot; the upper half of a hash is enough to find it.
    fn put(&mut self, entry: u64) {
        let mut at = (entry >> self.shift()) as usize;
        while self.slots[at] != 0 {
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = entry;
    }

    /// Forgets all entries.
    pub(super) fn clear(&mut self) {
        self.slots.fill(0);
        self.taken = 0;
    }
}
