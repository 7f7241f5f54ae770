//! What the decisions need to know of a Service: its addresses, its policy, and where its endpoints are.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::labels::Labels;
use crate::service::{NodeName, ServiceKey};

/// `spec.externalTrafficPolicy`; empty means `Cluster`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TrafficPolicy {
    /// Every node may attract traffic.
    #[default]
    Cluster,
    /// Only nodes with a usable endpoint may ([ANN-24]).
    Local,
}

/// Whether the Service carries an annotation that allows sharing of its address: presence alone counts, under either prefix
/// ([ANN-31]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SharingAnnotation {
    /// It does not.
    #[default]
    Absent,
    /// It does, with any value.
    Present,
}

/// Whether an endpoint has an address ([ANN-22]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndpointAddress {
    /// It has at least one.
    Present,
    /// It has none: it counts on the segment and not for BGP.
    Absent,
}

/// How many usable endpoints there are ([ANN-20]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct UsableEndpoints {
    /// All of them; what counts on a segment.
    pub all: u32,
    /// Those with an address; what counts for BGP ([ANN-22]).
    pub with_address: u32,
}

impl UsableEndpoints {
    fn add(&mut self, address: EndpointAddress) {
        self.all = self.all.saturating_add(1);
        if address == EndpointAddress::Present {
            self.with_address = self.with_address.saturating_add(1);
        }
    }
}

/// The usable endpoints of a Service, over all its slices and both families ([ANN-21]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Endpoints {
    /// No slice exists for the Service; [`MissingSlices`](super::MissingSlices) says what that means.
    #[default]
    NoSlice,
    /// There are slices, perhaps empty.
    Counted {
        /// The nodes with at least one usable endpoint.
        per_node: BTreeMap<NodeName, UsableEndpoints>,
        /// Usable endpoints whose node is not known; they count for policy `Cluster` only ([ANN-24]).
        unplaced: UsableEndpoints,
    },
}

impl Endpoints {
    /// Slices without any usable endpoint.
    pub const fn none() -> Self {
        Self::Counted { per_node: BTreeMap::new(), unplaced: UsableEndpoints { all: 0, with_address: 0 } }
    }

    /// Counts one more usable endpoint.
    pub fn add(&mut self, node: Option<&NodeName>, address: EndpointAddress) {
        if *self == Self::NoSlice {
            *self = Self::none();
        }
        if let Self::Counted { per_node, unplaced } = self {
            match node {
                Some(node) => per_node.entry(node.clone()).or_default().add(address),
                None => unplaced.add(address),
            }
        }
    }
}

/// A Service as the decisions see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceFacts {
    /// Namespace and name.
    pub key: ServiceKey,
    /// Its labels.
    pub labels: Labels,
    /// The addresses recorded in its status, in that order; empty where none is allocated ([ANN-4]).
    pub addresses: Vec<IpAddr>,
    /// `externalTrafficPolicy`.
    pub policy: TrafficPolicy,
    /// Whether it may share its address.
    pub sharing: SharingAnnotation,
    /// Its usable endpoints.
    pub endpoints: Endpoints,
}

impl ServiceFacts {
    /// A Service without labels that every node may attract traffic for, with these addresses and no known endpoint.
    pub const fn new(key: ServiceKey, addresses: Vec<IpAddr>) -> Self {
        let (policy, sharing) = (TrafficPolicy::Cluster, SharingAnnotation::Absent);
        Self { key, labels: Labels::new(), addresses, policy, sharing, endpoints: Endpoints::NoSlice }
    }
}
