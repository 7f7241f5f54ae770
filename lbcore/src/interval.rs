//! A set of disjoint intervals of numbers: the free addresses of a range.
//!
//! Invariants: intervals are disjoint and never adjacent (two that touch are one), so the number of intervals is the least possible.
//! Every operation costs O(log n) in the number of intervals, whatever the numbers are: the whole of IPv6 is one interval. Nothing
//! here counts numbers, because the whole of IPv6 has one more than a `u128` can say.

use std::collections::BTreeMap;

/// Disjoint, non-adjacent intervals of `u128`, both ends included.
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
    /// Last number to first. Keyed by the *last* one because allocation eats an interval from its front, which then changes a value
    /// in place instead of moving a key.
    first_by_last: BTreeMap<u128, u128>,
}

impl IntervalSet {
    /// The set of all numbers from `first` to `last`; empty where `first` is above `last`.
    pub fn full(first: u128, last: u128) -> Self {
        let mut set = Self::default();
        if first <= last {
            set.first_by_last.insert(last, first);
        }
        set
    }

    /// The least number of the set.
    pub fn lowest(&self) -> Option<u128> {
        self.first_by_last.first_key_value().map(|(_, first)| *first)
    }

    /// Whether the number is in the set.
    pub fn contains(&self, number: u128) -> bool {
        self.first_by_last.range(number..).next().is_some_and(|(_, first)| *first <= number)
    }

    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.first_by_last.is_empty()
    }

    /// Takes a number out. False, and nothing changed, where it was not in.
    pub fn take(&mut self, number: u128) -> bool {
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

    /// Puts a number in, joining the intervals it touches. False, and nothing changed, where it was in already.
    pub fn give_back(&mut self, number: u128) -> bool {
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

    /// The intervals as (first, last), ascending.
    pub fn intervals(&self) -> impl Iterator<Item = (u128, u128)> + '_ {
        self.first_by_last.iter().map(|(last, first)| (*first, *last))
    }

    /// How many intervals there are.
    pub fn interval_count(&self) -> usize {
        self.first_by_last.len()
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
        for number in [0, 7, u128::MAX] {
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
    fn giving_back_joins_both_neighbours() {
        let mut set = IntervalSet::full(1, 9);
        assert!(set.take(5));
        assert_eq!(set.interval_count(), 2);
        assert!(set.give_back(5));
        assert_eq!(intervals(&set), [(1, 9)]);
    }

    proptest! {
        #[test]
        fn the_set_equals_a_set_of_numbers(
            operations in prop::collection::vec((any::<bool>(), 0_u128..40), 0..200),
            at_the_top in any::<bool>(),
        ) {
            // The same window of forty numbers at the bottom or at the very top of the number space.
            let base = if at_the_top { u128::MAX - 39 } else { 0 };
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
            }
            let mut previous_last: Option<u128> = None;
            for (first, last) in set.intervals() {
                prop_assert!(first <= last);
                prop_assert!(previous_last.is_none_or(|previous| previous + 1 < first), "intervals touch");
                previous_last = Some(last);
            }
            let numbers: BTreeSet<u128> = set.intervals().flat_map(|(first, last)| first..=last).collect();
            prop_assert_eq!(numbers, model);
        }
    }
}
