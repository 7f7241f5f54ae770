//! A node as far as decisions need it: its name, its labels and what its status says about load balancing.

use crate::labels::Labels;
use crate::service::NodeName;

/// The label that takes a node out of load balancing, whatever its value ([ANN-44]).
pub const EXCLUDE_LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// Whether the node's network works, as its conditions say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NetworkCondition {
    /// The condition `NetworkUnavailable` is absent, false or unknown ([ANN-43]).
    #[default]
    Available,
    /// The condition `NetworkUnavailable` is `True`.
    Unavailable,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// Its labels.
    pub labels: Labels,
    /// Whether its network works.
    pub network: NetworkCondition,
}

impl Node {
    /// A node without labels whose network works.
    pub const fn new(name: NodeName) -> Self {
        Self { name, labels: Labels::new(), network: NetworkCondition::Available }
    }

    /// Whether the node carries the label that takes it out of load balancing ([ANN-44]).
    pub fn is_excluded(&self) -> bool {
        self.labels.contains_key(EXCLUDE_LABEL)
    }
}
