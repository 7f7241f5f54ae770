//! Sets of known nodes, so that each list of selectors is held against the nodes only once ([MODE-16]).

use crate::advertisement::covers;
use crate::labels::{Labels, Selector};

/// A set of nodes by their index in a fixed list.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeSet(Vec<u64>);

impl NodeSet {
    /// The nodes that a list of selectors covers, where the empty list covers all.
    pub(crate) fn covered<'a>(selectors: &[Selector], nodes: impl IntoIterator<Item = &'a Labels>) -> Self {
        let mut set = Self::default();
        for (index, labels) in nodes.into_iter().enumerate() {
            if covers(selectors, labels) {
                set.insert(index);
            }
        }
        set
    }

    /// Puts a node in.
    pub(crate) fn insert(&mut self, index: usize) {
        let word = index / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(bits) = self.0.get_mut(word) {
            *bits |= 1 << (index % 64);
        }
    }

    /// Whether the two have a node in common.
    pub(crate) fn intersects(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(left, right)| left & right != 0)
    }
}
