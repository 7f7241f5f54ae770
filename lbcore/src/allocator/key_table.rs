//! From a hash to slots, in eight octets an entry: the table behind the look-up of Services by key. The keys themselves are with the slots.
//!
//! Open addressing with linear probing. Invariants: the number of places is a power of two; at least a quarter of them is empty; between the
//! home of an entry and its place no place is empty. An entry that goes is filled by those behind it, so that nothing is left in its place.

use super::roster::SlotNumber;

/// Places of a table that has an entry.
const FEWEST: usize = 8;

/// One place: a half of the hash, and the slot plus one. All zeros is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    hash: u32,
    slot_after: u32,
}

impl Place {
    const fn is_empty(self) -> bool {
        self.slot_after == 0
    }
}

/// Slots by hash.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyTable {
    places: Vec<Place>,
    len: usize,
}

/// The half of a hash that a table keeps.
fn half(hash: u64) -> u32 {
    u32::try_from(hash >> u32::BITS).unwrap_or_default()
}

impl KeyTable {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The slot with this hash for which the key is right.
    pub(super) fn find(&self, hash: u64, is_right: impl Fn(SlotNumber) -> bool) -> Option<SlotNumber> {
        self.place_of(hash, is_right).and_then(|at| self.places.get(at)).map(|place| place.slot_after - 1)
    }

    /// Enters a slot, which must not be in the table.
    pub(super) fn insert(&mut self, hash: u64, slot: SlotNumber) {
        if (self.len + 1) * 4 > self.places.len() * 3 {
            self.grow();
        }
        self.len += 1;
        self.put(Place { hash: half(hash), slot_after: slot.saturating_add(1) });
    }

    /// Takes the slot with this hash out for which the key is right.
    pub(super) fn remove(&mut self, hash: u64, is_right: impl Fn(SlotNumber) -> bool) -> Option<SlotNumber> {
        let mut hole = self.place_of(hash, is_right)?;
        let removed = core::mem::take(self.places.get_mut(hole)?);
        self.len -= 1;
        let mut at = hole;
        loop {
            at = self.after(at);
            let place = self.places.get(at).copied().filter(|place| !place.is_empty());
            let Some(place) = place else { break };
            // An entry may go back as far as its home.
            let (from_home, from_hole) = (self.distance(self.home(place.hash), at), self.distance(hole, at));
            if from_home >= from_hole {
                self.places.swap(hole, at);
                hole = at;
            }
        }
        Some(removed.slot_after - 1)
    }

    fn place_of(&self, hash: u64, is_right: impl Fn(SlotNumber) -> bool) -> Option<usize> {
        let hash = half(hash);
        let mut at = self.home(hash);
        loop {
            let place = self.places.get(at).filter(|place| !place.is_empty())?;
            if place.hash == hash && is_right(place.slot_after - 1) {
                return Some(at);
            }
            at = self.after(at);
        }
    }

    fn put(&mut self, place: Place) {
        let mut at = self.home(place.hash);
        while let Some(there) = self.places.get_mut(at) {
            if there.is_empty() {
                *there = place;
                return;
            }
            at = self.after(at);
        }
    }

    fn grow(&mut self) {
        let count = (self.places.len() * 2).max(FEWEST);
        let old = core::mem::replace(&mut self.places, vec![Place::default(); count]);
        for place in old.into_iter().filter(|place| !place.is_empty()) {
            self.put(place);
        }
    }

    /// Where an entry is looked for first; 0 in an empty table.
    const fn home(&self, hash: u32) -> usize {
        hash as usize & self.places.len().saturating_sub(1)
    }

    const fn after(&self, at: usize) -> usize {
        (at + 1) & self.places.len().saturating_sub(1)
    }

    /// How many steps lead from one place to another.
    const fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & self.places.len().saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        // Few hashes and many entries, so that runs of entries wrap around the end and have entries of several homes.
        #[test]
        fn the_table_equals_a_map(operations in prop::collection::vec((any::<bool>(), 0_u32..24, 0_u64..7), 0..200)) {
            let mut table = KeyTable::default();
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            for (insert, slot, hash) in operations {
                let hash = (hash.wrapping_mul(5)) << u32::BITS;
                if insert && !model.contains_key(&slot) {
                    table.insert(hash, slot);
                    model.insert(slot, hash);
                } else if let Some(hash) = model.remove(&slot) {
                    prop_assert_eq!(table.remove(hash, |found| found == slot), Some(slot));
                }
                prop_assert_eq!(table.len(), model.len());
                for slot in 0..24 {
                    for hash in (0..7_u64).map(|hash| (hash.wrapping_mul(5)) << u32::BITS) {
                        let expected = (model.get(&slot) == Some(&hash)).then_some(slot);
                        prop_assert_eq!(table.find(hash, |found| found == slot), expected);
                    }
                }
            }
        }
    }
}
