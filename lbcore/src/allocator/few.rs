//! A sorted map for what mostly has one or two entries: a vector as long as it must be, and a tree only where there are many.
//!
//! A tree's first node has room for eleven entries. Where each of a hundred thousand addresses has two users, that room is most of the
//! memory that the allocator takes.
//!
//! Invariants: the vector is sorted, each key once; there is a tree exactly where there are more than [`FEW`] entries, so that equal
//! contents are equal.

use std::collections::BTreeMap;

/// Entries that a search through a vector finds as fast as one through a tree.
const FEW: usize = 8;

/// Keys with values, sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FewMap<K, V> {
    Few(Vec<(K, V)>),
    Many(BTreeMap<K, V>),
}

impl<K, V> Default for FewMap<K, V> {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl<K: Ord, V> FewMap<K, V> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few(entries) => entries.len(),
            Self::Many(entries) => entries.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        match self {
            Self::Few(entries) => {
                let at = entries.binary_search_by(|(known, _)| known.cmp(key)).ok()?;
                entries.get(at).map(|(_, value)| value)
            }
            Self::Many(entries) => entries.get(key),
        }
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        match self {
            Self::Few(entries) => {
                let at = entries.binary_search_by(|(known, _)| known.cmp(key)).ok()?;
                entries.get_mut(at).map(|(_, value)| value)
            }
            Self::Many(entries) => entries.get_mut(key),
        }
    }

    pub(super) fn contains(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// In order of the keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> + Clone {
        let (few, many) = match self {
            Self::Few(entries) => (Some(entries), None),
            Self::Many(entries) => (None, Some(entries)),
        };
        let few = few.into_iter().flatten().map(|(key, value)| (key, value));
        few.chain(many.into_iter().flatten())
    }

    /// In order.
    pub(super) fn keys(&self) -> impl Iterator<Item = &K> + Clone {
        self.iter().map(|(key, _)| key)
    }

    /// Enters a value in place of another under the same key.
    pub(super) fn insert(&mut self, key: K, value: V) {
        match self {
            Self::Few(entries) => match entries.binary_search_by(|(known, _)| known.cmp(&key)) {
                Ok(at) => entries.splice(at..=at, [(key, value)]).for_each(drop),
                Err(at) if entries.len() < FEW => {
                    entries.reserve_exact(1);
                    entries.insert(at, (key, value));
                }
                Err(_) => {
                    let mut many: BTreeMap<K, V> = core::mem::take(entries).into_iter().collect();
                    many.insert(key, value);
                    *self = Self::Many(many);
                }
            },
            Self::Many(entries) => {
                entries.insert(key, value);
            }
        }
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        match self {
            Self::Few(entries) => {
                let at = entries.binary_search_by(|(known, _)| known.cmp(key)).ok()?;
                let (_, value) = entries.remove(at);
                entries.shrink_to_fit();
                Some(value)
            }
            Self::Many(entries) => {
                let removed = entries.remove(key);
                if entries.len() <= FEW {
                    *self = Self::Few(core::mem::take(entries).into_iter().collect());
                }
                removed
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_equals_a_tree(operations in prop::collection::vec((any::<bool>(), 0_u8..24, any::<u8>()), 0..100)) {
            let (mut few, mut tree) = (FewMap::default(), BTreeMap::new());
            for (insert, key, value) in operations {
                if insert {
                    few.insert(key, value);
                    tree.insert(key, value);
                } else {
                    prop_assert_eq!(few.remove(&key), tree.remove(&key));
                }
                prop_assert_eq!((few.len(), few.is_empty()), (tree.len(), tree.is_empty()));
                prop_assert!(few.iter().eq(&tree) && few.keys().eq(tree.keys()));
                prop_assert_eq!(few.get_mut(&key), tree.get_mut(&key));
                prop_assert_eq!((few.get(&key), few.contains(&key)), (tree.get(&key), tree.contains_key(&key)));
                prop_assert_eq!(matches!(few, FewMap::Many(_)), tree.len() > FEW);
            }
        }
    }

    #[test]
    fn a_vector_is_no_longer_than_its_entries() {
        let mut few = FewMap::default();
        for key in 0..FEW {
            few.insert(key, ());
            let FewMap::Few(entries) = &few else { panic!("few enough") };
            assert_eq!(entries.capacity(), key + 1);
        }
    }
}
