//! A set of numbers kept as disjoint intervals: the free addresses of a range.
//!
//! Every operation costs O(log n), whatever the numbers are: the whole of IPv6 is one interval. Nothing here counts numbers, because
//! the whole of IPv6 has one more than a `u128` can say.
//!
//! Numbers are grouped in aligned blocks of 256. Blocks that are in as a whole are intervals of block numbers; blocks of which
//! some numbers are in are bitmaps. A range full of holes, which as intervals of numbers would be an entry for every second address, so
//! stays small enough for the processor's cache.
//!
//! Invariants: a block is in at most one of the two parts; a bitmap is neither empty nor full; intervals of blocks are disjoint and never
//! adjacent.

use std::collections::BTreeMap;

/// Numbers of a block. The bitmap of one is as large as a map entry's key and a half, so that a lone address costs little.
const BLOCK: u128 = 256;
/// Bits of one word of a bitmap.
const WORD: u32 = u64::BITS;

/// A set of `u128` numbers, cheap wherever they are contiguous or close to each other.
///
/// # Examples
/// ```
/// use lbcore::interval::IntervalSet;
///
/// let mut free = IntervalSet::full(10, 20);
/// assert!(free.take(10) && free.take(12));
/// assert_eq!(free.lowest(), Some(11));
/// assert!(free.give_back(10));
/// assert_eq!(free.intervals().collect::<Vec<_>>(), [(10, 11), (13, 20)]);
/// ```
///
/// Source: [ALLOC-50].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IntervalSet {
    /// Numbers of the blocks that are in as a whole.
    whole: Intervals,
    /// The other blocks that have numbers in, by block number.
    partial: BTreeMap<u128, Bitmap>,
}

impl IntervalSet {
    /// The set of all numbers from `first` to `last`; empty where `first` is above `last`.
    pub fn full(first: u128, last: u128) -> Self {
        let mut set = Self::default();
        if first > last {
            return set;
        }
        let (first_block, last_block) = (first / BLOCK, last / BLOCK);
        let mut whole_first = first_block;
        let mut whole_last = Some(last_block);
        for block in [first_block, last_block] {
            let (start, end) = (block * BLOCK, block * BLOCK + (BLOCK - 1));
            if first > start || last < end {
                set.partial.insert(block, Bitmap::of(first.max(start) - start, last.min(end) - start));
                if block == first_block {
                    whole_first = first_block + 1;
                } else {
                    whole_last = last_block.checked_sub(1);
                }
            }
        }
        if let Some(whole_last) = whole_last.filter(|whole_last| whole_first <= *whole_last) {
            set.whole.first_by_last.insert(whole_last, whole_first);
        }
        set
    }

    /// The least number of the set.
    pub fn lowest(&self) -> Option<u128> {
        let whole = self.whole.lowest().map(|block| block * BLOCK);
        let partial = self.partial.first_key_value().and_then(|(block, bitmap)| Some(block * BLOCK + bitmap.lowest()?));
        match (whole, partial) {
            (Some(whole), Some(partial)) => Some(whole.min(partial)),
            (whole, partial) => whole.or(partial),
        }
    }

    /// Whether the number is in the set.
    pub fn contains(&self, number: u128) -> bool {
        let block = number / BLOCK;
        match self.partial.get(&block) {
            Some(bitmap) => bitmap.contains(number % BLOCK),
            None => self.whole.contains(block),
        }
    }

    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.whole.first_by_last.is_empty() && self.partial.is_empty()
    }

    /// Takes a number out. False, and nothing changed, where it was not in.
    pub fn take(&mut self, number: u128) -> bool {
        let (block, offset) = (number / BLOCK, number % BLOCK);
        if let Some(bitmap) = self.partial.get_mut(&block) {
            let was_in = bitmap.remove(offset);
            if bitmap.is_empty() {
                self.partial.remove(&block);
            }
            return was_in;
        }
        let was_in = self.whole.take(block);
        if was_in {
            let mut bitmap = Bitmap::FULL;
            bitmap.remove(offset);
            self.partial.insert(block, bitmap);
        }
        was_in
    }

    /// Puts a number in. False, and nothing changed, where it was in already.
    pub fn give_back(&mut self, number: u128) -> bool {
        let (block, offset) = (number / BLOCK, number % BLOCK);
        if let Some(bitmap) = self.partial.get_mut(&block) {
            let was_out = bitmap.insert(offset);
            if *bitmap == Bitmap::FULL {
                self.partial.remove(&block);
                self.whole.give_back(block);
            }
            return was_out;
        }
        let was_out = !self.whole.contains(block);
        if was_out {
            self.partial.insert(block, Bitmap::of(offset, offset));
        }
        was_out
    }

    /// The maximal intervals as (first, last), ascending.
    pub fn intervals(&self) -> impl Iterator<Item = (u128, u128)> {
        let mut pieces: Vec<(u128, u128)> = Vec::new();
        for (block, bitmap) in &self.partial {
            let numbers = (0..BLOCK).filter(|offset| bitmap.contains(*offset));
            pieces.extend(numbers.map(|offset| (block * BLOCK + offset, block * BLOCK + offset)));
        }
        pieces.extend(self.whole.iter().map(|(first, last)| (first * BLOCK, last * BLOCK + (BLOCK - 1))));
        pieces.sort_unstable();
        let mut joined: Vec<(u128, u128)> = Vec::new();
        for (first, last) in pieces {
            match joined.last_mut() {
                Some((_, previous)) if previous.checked_add(1) == Some(first) => *previous = last,
                _ => joined.push((first, last)),
            }
        }
        joined.into_iter()
    }
}

/// Which numbers of a block are in, by their offset in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bitmap([u64; 4]);

impl Bitmap {
    const EMPTY: Self = Self([0; 4]);
    const FULL: Self = Self([u64::MAX; 4]);

    /// The offsets from `first` to `last`, both below [`BLOCK`].
    fn of(first: u128, last: u128) -> Self {
        let mut bitmap = Self::EMPTY;
        for offset in first..=last {
            bitmap.insert(offset);
        }
        bitmap
    }

    /// The word that an offset is in, and its bit there.
    fn word_mut(&mut self, offset: u128) -> Option<(&mut u64, u64)> {
        let offset = u32::try_from(offset).ok()?;
        self.0.get_mut((offset / WORD) as usize).map(|word| (word, 1 << (offset % WORD)))
    }

    fn contains(mut self, offset: u128) -> bool {
        self.word_mut(offset).is_some_and(|(word, bit)| *word & bit != 0)
    }

    /// True where it was not in.
    fn insert(&mut self, offset: u128) -> bool {
        self.word_mut(offset).is_some_and(|(word, bit)| {
            let was_out = *word & bit == 0;
            *word |= bit;
            was_out
        })
    }

    /// True where it was in.
    fn remove(&mut self, offset: u128) -> bool {
        self.word_mut(offset).is_some_and(|(word, bit)| {
            let was_in = *word & bit != 0;
            *word &= !bit;
            was_in
        })
    }

    fn is_empty(self) -> bool {
        self == Self::EMPTY
    }

    fn lowest(self) -> Option<u128> {
        let (position, word) = (0_u32..).zip(self.0).find(|(_, word)| *word != 0)?;
        Some(u128::from(position * WORD + word.trailing_zeros()))
    }
}

/// Disjoint, non-adjacent intervals, both ends included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Intervals {
    /// Last number to first. Keyed by the *last* one because allocation eats an interval from its front, which then changes a value
    /// in place instead of moving a key.
    first_by_last: BTreeMap<u128, u128>,
}

impl Intervals {
    fn lowest(&self) -> Option<u128> {
        self.first_by_last.first_key_value().map(|(_, first)| *first)
    }

    fn contains(&self, number: u128) -> bool {
        self.first_by_last.range(number..).next().is_some_and(|(_, first)| *first <= number)
    }

    fn iter(&self) -> impl Iterator<Item = (u128, u128)> + '_ {
        self.first_by_last.iter().map(|(last, first)| (*first, *last))
    }

    /// False, and nothing changed, where it was not in.
    fn take(&mut self, number: u128) -> bool {
        let Some((&last, first)) = self.first_by_last.range_mut(number..).next() else {
            return false;
        };
        let interval_first = *first;
        if interval_first > number {
            return false;
        }
        match number.checked_add(1) {
            Some(next) if next <= last => *first = next,
            _ => {
                self.first_by_last.remove(&last);
            }
        }
        if let Some(before) = number.checked_sub(1)
            && interval_first <= before
        {
            self.first_by_last.insert(before, interval_first);
        }
        true
    }

    /// Joins the intervals that the number touches. False, and nothing changed, where it was in already.
    fn give_back(&mut self, number: u128) -> bool {
        let above = self.first_by_last.range(number..).next().map(|(last, first)| (*last, *first));
        if above.is_some_and(|(_, first)| first <= number) {
            return false;
        }
        let before = number.checked_sub(1);
        let first = before.and_then(|before| self.first_by_last.remove(&before)).unwrap_or(number);
        match above {
            Some((last, above_first)) if number.checked_add(1) == Some(above_first) => {
                self.first_by_last.insert(last, first);
            }
            _ => {
                self.first_by_last.insert(number, first);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn intervals(set: &IntervalSet) -> Vec<(u128, u128)> {
        set.intervals().collect()
    }

    // [ALLOC-50]: the whole of IPv6 has 2^128 numbers.
    #[test]
    fn both_ends_of_the_number_space_are_taken_and_given_back() {
        let mut set = IntervalSet::full(0, u128::MAX);
        assert!(set.take(0) && set.take(u128::MAX) && !set.take(0) && !set.take(u128::MAX));
        assert_eq!(intervals(&set), [(1, u128::MAX - 1)]);
        assert!(set.give_back(u128::MAX) && set.give_back(0) && !set.give_back(0));
        assert_eq!(set, IntervalSet::full(0, u128::MAX));
    }

    #[test]
    fn a_single_number_is_taken_to_the_empty_set_and_back() {
        for number in [0, 7, 256, u128::MAX] {
            let mut set = IntervalSet::full(number, number);
            assert!(set.take(number));
            assert!(set.is_empty() && set.lowest().is_none() && !set.contains(number));
            assert!(set.give_back(number));
            assert_eq!(set.lowest(), Some(number));
        }
    }

    #[test]
    fn a_reversed_pair_of_ends_is_the_empty_set() {
        assert!(IntervalSet::full(2, 1).is_empty());
    }

    #[test]
    fn ends_within_blocks_and_at_their_borders_are_exact() {
        let block = BLOCK;
        for first in [0, 1, block - 1, block, block + 1] {
            for last in [first, block - 1, block, 2 * block - 1, 2 * block, 3 * block - 1, 3 * block + 5] {
                let expected = if first <= last { vec![(first, last)] } else { vec![] };
                assert_eq!(intervals(&IntervalSet::full(first, last)), expected);
            }
        }
    }

    #[test]
    fn a_block_given_back_number_by_number_is_whole_again() {
        let mut set = IntervalSet::full(0, 3 * BLOCK - 1);
        let numbers = BLOCK..2 * BLOCK;
        assert!(numbers.clone().all(|number| set.take(number)));
        assert_eq!(intervals(&set), [(0, BLOCK - 1), (2 * BLOCK, 3 * BLOCK - 1)]);
        assert!(numbers.rev().all(|number| set.give_back(number)));
        assert_eq!(set, IntervalSet::full(0, 3 * BLOCK - 1));
    }

    proptest! {
        #[test]
        fn the_set_equals_a_set_of_numbers(
            operations in prop::collection::vec((any::<bool>(), 0_u128..40), 0..200),
            base in prop_oneof![Just(0), Just(BLOCK - 20), Just(u128::MAX - 39)],
        ) {
            // The same window of forty numbers at the bottom, across a border of blocks, or at the very top of the number space.
            let mut set = IntervalSet::full(base + 3, base + 39);
            let mut model: BTreeSet<u128> = (base + 3..=base + 39).collect();
            for (take, offset) in operations {
                let number = base + offset;
                if take {
                    prop_assert_eq!(set.take(number), model.remove(&number));
                } else {
                    prop_assert_eq!(set.give_back(number), model.insert(number));
                }
                prop_assert_eq!(set.lowest(), model.first().copied());
                prop_assert_eq!(set.contains(number), model.contains(&number));
                prop_assert_eq!(set.is_empty(), model.is_empty());
            }
            let numbers: BTreeSet<u128> = set.intervals().flat_map(|(first, last)| first..=last).collect();
            prop_assert_eq!(numbers, model);
        }

        #[test]
        fn intervals_equal_a_set_of_numbers(operations in prop::collection::vec((any::<bool>(), 0_u128..40), 0..200)) {
            let mut set = Intervals::default();
            let mut model = BTreeSet::new();
            for (take, number) in operations {
                if take {
                    prop_assert_eq!(set.take(number), model.remove(&number));
                } else {
                    prop_assert_eq!(set.give_back(number), model.insert(number));
                }
                prop_assert_eq!(set.lowest(), model.first().copied());
                prop_assert_eq!(set.contains(number), model.contains(&number));
            }
            let mut previous_last: Option<u128> = None;
            for (first, last) in set.iter() {
                prop_assert!(first <= last);
                prop_assert!(previous_last.is_none_or(|previous| previous + 1 < first), "intervals touch");
                previous_last = Some(last);
            }
        }
    }
}
