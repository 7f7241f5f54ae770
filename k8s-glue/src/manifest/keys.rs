//! Entries of a map by their keys: exactly, and the longest that a path begins with.
//!
//! Small maps are looked through; large ones, which only somebody with bad intent writes, have an index, so that a hundred thousand
//! problems in one of them cost no hundred thousand walks.

use super::positions::Entry;

/// Maps up to this size have no index.
const SMALL: usize = 16;

/// Places of the entries in the order of their keys, equal ones as written; nothing for a small map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sorted(Option<Box<[usize]>>);

impl Sorted {
    pub(super) fn of(entries: &[Entry]) -> Self {
        if entries.len() <= SMALL {
            return Self(None);
        }
        let mut places: Vec<usize> = (0..entries.len()).collect();
        places.sort_by(|left, right| key_at(entries, *left).cmp(key_at(entries, *right)));
        Self(Some(places.into()))
    }

    /// The last entry with this key, which is the one that counts.
    pub(super) fn exact<'e>(&self, entries: &'e [Entry], key: &str) -> Option<&'e Entry> {
        match &self.0 {
            None => entries.iter().rev().find(|entry| *entry.key == *key),
            Some(places) => last_up_to(places, entries, key.as_bytes()).filter(|entry| *entry.key == *key),
        }
    }

    /// The last entry with the longest key that the path begins with, up to its end, a dot or a bracket.
    pub(super) fn longest_prefix<'e>(&self, entries: &'e [Entry], path: &str) -> Option<&'e Entry> {
        let begins = |entry: &Entry| {
            let after = path.strip_prefix(&*entry.key);
            after.is_some_and(|after| after.is_empty() || after.starts_with(['.', '[']))
        };
        let Some(places) = &self.0 else {
            // Of equal keys `max_by_key` gives the last.
            return entries.iter().filter(|entry| begins(entry)).max_by_key(|entry| entry.key.len());
        };
        let mut bound = path.as_bytes();
        loop {
            let entry = last_up_to(places, entries, bound)?;
            if begins(entry) {
                return Some(entry);
            }
            // A key that the path begins with and that is less than this one is no longer than what both have in common.
            let common = entry.key.bytes().zip(bound).take_while(|(left, right)| left == *right).count();
            let shorter = common.min(bound.len().checked_sub(1)?);
            bound = bound.get(..shorter).unwrap_or_default();
        }
    }
}

fn key_at(entries: &[Entry], place: usize) -> &str {
    entries.get(place).map_or("", |entry| &entry.key)
}

/// The last entry whose key is not greater.
fn last_up_to<'e>(places: &[usize], entries: &'e [Entry], bound: &[u8]) -> Option<&'e Entry> {
    let count = places.partition_point(|place| key_at(entries, *place).as_bytes() <= bound);
    entries.get(*places.get(count.checked_sub(1)?)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries(keys: &[String]) -> Vec<Entry> {
        keys.iter().enumerate().map(|(line, key)| Entry { key: key.as_str().into(), line, value: line }).collect()
    }

    proptest! {
        #[test]
        fn an_index_finds_what_a_walk_finds(
            keys in prop::collection::vec("[ab.]{0,4}|é.?", 17..60),
            paths in prop::collection::vec("[ab.\\[]{0,9}|é[.a]{0,3}", 20),
        ) {
            let entries = entries(&keys);
            let (sorted, walked) = (Sorted::of(&entries), Sorted::default());
            for path in keys.iter().chain(&paths) {
                prop_assert_eq!(sorted.exact(&entries, path), walked.exact(&entries, path));
                prop_assert_eq!(sorted.longest_prefix(&entries, path), walked.longest_prefix(&entries, path), "{}", path);
            }
        }
    }
}
