//! Groups by position, for keys of few values: numbers of a short range, few texts, flags.
//!
//! Such keys need neither a hash nor a comparison. The positions follow the keys that a table has after a
//! while; a key beyond them is looked up as ever.

use super::slots::STRIDE;

/// At most so many bits of a position: its groups stay in the cache, and their numbers are as short.
const BITS_MAX: u32 = 16;
/// A column at most: what has more values than that hardly shares positions.
const COLUMNS_MAX: usize = 8;
/// A key that has not been seen.
const NONE: u16 = 0;

/// Where a column stands in the words of a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bits {
    pub(super) word: usize,
    pub(super) shift: u32,
    pub(super) width: u32,
}

/// A column's part of a position.
#[derive(Debug, Clone, Copy)]
struct Axis {
    of: Bits,
    least: u64,
    bits: u32,
    at: u32,
}

/// Groups by position.
#[derive(Debug, Default)]
pub(super) struct Direct {
    axes: Vec<Axis>,
    /// With one added; the last is the place of all keys outside, and always empty.
    groups: Vec<u16>,
}

impl Bits {
    fn mask(self) -> u64 {
        u64::MAX >> (u64::BITS - self.width)
    }

    #[inline]
    fn of<const N: usize>(self, key: &[u64; N]) -> u64 {
        (key[self.word] >> self.shift) & self.mask()
    }

    /// The value as one that is ordered as signed numbers are.
    fn ordered<const N: usize>(self, key: &[u64; N]) -> i64 {
        let spare = u64::BITS - self.width;
        ((self.of(key) << spare) as i64) >> spare
    }
}

impl Direct {
    /// Positions for the keys of groups, if their columns have few values. Those that `is_plain` denies are
    /// without one.
    pub(super) fn new<const N: usize>(
        columns: &[Bits],
        keys: &[[u64; N]],
        is_plain: impl Fn(usize) -> bool,
    ) -> Option<Self> {
        if columns.len() > COLUMNS_MAX || keys.is_empty() {
            return None;
        }
        let mut axes = Vec::with_capacity(columns.len());
        let mut at = 0;
        for of in columns.iter().copied() {
            let values = || keys.iter().map(|key| of.ordered(key));
            let (least, most) = (values().min()?, values().max()?);
            let span = most.abs_diff(least);
            let bits = u64::BITS - span.leading_zeros();
            axes.push(Axis { of, least: least as u64, bits, at });
            at += bits;
            if at > BITS_MAX {
                return None;
            }
        }
        let mut direct = Direct { axes, groups: vec![NONE; (1 << at) + 1] };
        for (group, key) in keys.iter().enumerate().filter(|(group, _)| is_plain(*group)) {
            direct.put(direct.position(key), group);
        }
        Some(direct)
    }

    pub(super) fn size(&self) -> usize {
        self.groups.capacity() * size_of::<u16>()
    }

    pub(super) fn is_on(&self) -> bool {
        !self.groups.is_empty()
    }

    fn outside(&self) -> u32 {
        self.groups.len() as u32 - 1
    }

    /// The position of a key.
    #[inline]
    pub(super) fn position<const N: usize>(&self, key: &[u64; N]) -> u32 {
        self.axes.iter().fold(0, |position, axis| position | axis.of(key)).min(self.outside())
    }

    /// The groups of at most [`STRIDE`] keys; false if some have none.
    #[inline]
    pub(super) fn look_up<const N: usize>(&self, keys: &[[u64; N]], groups: &mut [usize]) -> bool {
        let mut positions = [0; STRIDE];
        for axis in &self.axes {
            for (position, key) in positions.iter_mut().zip(keys) {
                *position |= axis.of(key);
            }
        }
        let outside = self.outside();
        let mut is_complete = true;
        for (group, position) in groups.iter_mut().zip(positions) {
            let entry = self.groups[position.min(outside) as usize];
            is_complete &= entry != NONE;
            // None becomes usize::MAX.
            *group = usize::from(entry).wrapping_sub(1);
        }
        is_complete
    }

    pub(super) fn put(&mut self, position: u32, group: usize) {
        if position < self.outside()
            && let Ok(entry) = u16::try_from(group + 1)
        {
            self.groups[position as usize] = entry;
        }
    }
}

impl Axis {
    /// Its part of a position; beyond all of them if the value lies outside.
    #[inline]
    fn of<const N: usize>(self, key: &[u64; N]) -> u32 {
        let value = self.of.of(key).wrapping_sub(self.least) & self.of.mask();
        if value >> self.bits == 0 { (value as u32) << self.at } else { u32::MAX }
    }
}
