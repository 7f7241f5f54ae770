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

    /// Takes a node out.
    pub(crate) fn remove(&mut self, index: usize) {
        if let Some(bits) = self.0.get_mut(index / 64) {
            *bits &= !(1 << (index % 64));
        }
    }

    /// Puts a node in or takes it out.
    pub(crate) fn set(&mut self, index: usize, is_in: bool) {
        if is_in {
            self.insert(index);
        } else {
            self.remove(index);
        }
    }

    /// Whether the node is in.
    pub(crate) fn contains(&self, index: usize) -> bool {
        self.0.get(index / 64).is_some_and(|bits| bits >> (index % 64) & 1 == 1)
    }

    /// Whether the two have a node in common.
    pub(crate) fn intersects(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(left, right)| left & right != 0)
    }

    /// Puts in all nodes of the other.
    pub(crate) fn unite(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (bits, more) in self.0.iter_mut().zip(&other.0) {
            *bits |= more;
        }
    }

    /// Keeps only the nodes of the other.
    pub(crate) fn restrict(&mut self, other: &Self) {
        self.0.truncate(other.0.len());
        for (bits, kept) in self.0.iter_mut().zip(&other.0) {
            *bits &= kept;
        }
    }

    /// The indices in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        let words = self.0.iter().enumerate();
        words.flat_map(|(word, bits)| (0..64).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| word * 64 + bit))
    }
}
