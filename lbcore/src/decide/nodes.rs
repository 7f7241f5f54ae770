//! The nodes, each at a place that stays the same as long as the node is there, so that sets of nodes need not be made anew when one
//! comes or goes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::election::Voter;
use crate::node::Node;
use crate::service::NodeName;

/// A node with what the election hashes of it.
#[derive(Clone, Debug)]
pub(super) struct KnownNode {
    pub(super) node: Node,
    pub(super) voter: Voter,
}

/// The nodes by place and by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Nodes {
    places: Vec<Option<Arc<KnownNode>>>,
    by_name: BTreeMap<NodeName, usize>,
    /// Places that nobody has.
    free: BTreeSet<usize>,
}

impl Nodes {
    /// Of nodes with one name the last counts; places in the order of names.
    pub(super) fn new(nodes: impl IntoIterator<Item = Node>) -> Self {
        let by_name: BTreeMap<NodeName, Node> = nodes.into_iter().map(|node| (node.name.clone(), node)).collect();
        let mut known = Self::default();
        for node in by_name.into_values() {
            known.put(node);
        }
        known
    }

    /// Puts a node in, or another version of it at the place that it has.
    pub(super) fn put(&mut self, node: Node) -> usize {
        let place = match self.by_name.get(&node.name) {
            Some(place) => *place,
            None => self.free.pop_first().unwrap_or(self.places.len()),
        };
        self.by_name.insert(node.name.clone(), place);
        let known = Some(Arc::new(KnownNode { voter: Voter::new(&node.name), node }));
        match self.places.get_mut(place) {
            Some(old) => *old = known,
            None => self.places.push(known),
        }
        place
    }

    /// Takes a node out and gives the place that it had.
    pub(super) fn remove(&mut self, name: &NodeName) -> Option<usize> {
        let place = self.by_name.remove(name)?;
        *self.places.get_mut(place)? = None;
        self.free.insert(place);
        Some(place)
    }

    /// The node at a place.
    pub(super) fn get(&self, place: usize) -> Option<&Node> {
        self.known(place).map(|known| &known.node)
    }

    /// The node at a place, with what the election hashes of it.
    pub(super) fn known(&self, place: usize) -> Option<&KnownNode> {
        self.places.get(place)?.as_deref()
    }

    /// The place of a node.
    pub(super) fn place(&self, name: &NodeName) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The nodes in the order of their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Node> {
        self.placed().map(|(_, node)| node)
    }

    /// The nodes in the order of their names, with their places.
    pub(super) fn placed(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.by_name.values().filter_map(|place| Some((*place, self.get(*place)?)))
    }
}
