//! Why something is not announced, in the words of the machine contract and of MetalLB.

use core::fmt;

use crate::service::{NodeName, ServiceKey};

/// Layer 2 or BGP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// BGP.
    Bgp,
    /// ARP and NDP.
    Layer2,
}

/// Whether a reason holds for the node that was asked about, or for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Nobody announces it: what is announced is withdrawn at once ([OWN-24]).
    Everywhere,
    /// Another node may: an owner goes on until a successor has claimed ([OWN-24]).
    ThisNode,
}

/// Why a Service is not announced by a node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Two BGP advertisements that apply give one route two values ([ANN-42]).
    ConflictingAdvertisements {
        /// The names of the two.
        advertisements: [String; 2],
    },
    /// The node may not answer for another Service of the same group ([OWN-22]).
    GroupNotEligible {
        /// That Service.
        service: ServiceKey,
        /// Why not.
        because: Box<Self>,
    },
    /// The addresses are not all in one pool ([ANN-6]).
    IpNotAllowed,
    /// No advertisement covers the Service, on any node ([ANN-11]).
    NoAdvertisement,
    /// No usable endpoint anywhere ([ANN-30], [ANN-46]).
    NoEndpoints,
    /// No address is recorded ([ANN-4]).
    NoIpAllocated,
    /// Policy `Local`, and no usable endpoint on the node ([ANN-45], [L2-1] step 5).
    NoLocalEndpoints,
    /// No advertisement that covers the Service includes the node ([ANN-32], [ANN-41]).
    NoMatchingAdvertisement,
    /// The node carries the exclude label ([ANN-44]).
    NodeExcluded,
    /// The node's network is unavailable ([ANN-43]).
    NodeNetworkUnavailable,
    /// No speaker lives on the node ([L2-1] step 1).
    NodeNotAlive,
    /// The node is not known.
    NodeUnknown,
    /// Another node comes first in the election order ([ANN-34]).
    NotElected {
        /// That node.
        first: NodeName,
    },
    /// The Service is not there ([ANN-1]).
    ServiceDeleted,
    /// The address may be shared, and an advertisement that covers it chooses Services ([ANN-31]).
    SharedIpWithServiceSelector,
}

impl Reason {
    /// Whether it holds for this node alone.
    pub const fn scope(&self) -> Scope {
        match self {
            Self::IpNotAllowed
            | Self::NoAdvertisement
            | Self::NoEndpoints
            | Self::NoIpAllocated
            | Self::ServiceDeleted
            | Self::SharedIpWithServiceSelector => Scope::Everywhere,
            Self::ConflictingAdvertisements { .. }
            | Self::GroupNotEligible { .. }
            | Self::NoLocalEndpoints
            | Self::NoMatchingAdvertisement
            | Self::NodeExcluded
            | Self::NodeNetworkUnavailable
            | Self::NodeNotAlive
            | Self::NodeUnknown
            | Self::NotElected { .. } => Scope::ThisNode,
        }
    }

    /// The category of the machine contract. On layer 2 everything that takes a candidate out of the election is one category.
    pub const fn category(&self, protocol: Protocol) -> &'static str {
        match (self, protocol) {
            (Self::ServiceDeleted, _) => "service-deleted",
            (Self::NoIpAllocated, _) => "no-ip-allocated",
            (Self::IpNotAllowed, _) => "ip-not-allowed",
            (Self::NoAdvertisement | Self::NoMatchingAdvertisement | Self::NodeUnknown, _) => {
                "no-matching-advertisement"
            }
            (Self::ConflictingAdvertisements { .. }, _) => "advertisement-conflict",
            (Self::SharedIpWithServiceSelector, _) => "shared-ip-with-service-selector",
            (Self::NoEndpoints, Protocol::Bgp) => "no-endpoints",
            (Self::NoLocalEndpoints, Protocol::Bgp) => "no-local-endpoints",
            (Self::NodeExcluded, Protocol::Bgp) => "node-excluded",
            (Self::NodeNetworkUnavailable, Protocol::Bgp) => "node-network-unavailable",
            (Self::NodeNotAlive, Protocol::Bgp) => "node-not-alive",
            (
                Self::NoEndpoints | Self::NoLocalEndpoints | Self::NodeExcluded | Self::NodeNetworkUnavailable,
                Protocol::Layer2,
            )
            | (Self::GroupNotEligible { .. } | Self::NodeNotAlive | Self::NotElected { .. }, _) => "not-elected",
        }
    }

    /// The reason that MetalLB logs in this case ([ANN-1] to [ANN-46]).
    pub const fn upstream_name(&self, protocol: Protocol) -> &'static str {
        match (self, protocol) {
            (Self::ServiceDeleted, _) => "serviceDeleted",
            (Self::NoIpAllocated, _) => "noIPAllocated",
            (Self::IpNotAllowed, _) => "ipNotAllowed",
            (Self::NoAdvertisement | Self::NoMatchingAdvertisement | Self::NodeUnknown, _) => "noMatchingAdvertisement",
            (Self::ConflictingAdvertisements { .. }, _) => "conflictingAdvertisements",
            (Self::SharedIpWithServiceSelector, _) => "sharedIPWithServiceSelector",
            (Self::NoEndpoints, Protocol::Bgp) => "noEndpoints",
            (Self::NoLocalEndpoints, Protocol::Bgp) => "noLocalEndpoints",
            (Self::NodeExcluded, Protocol::Bgp) => "nodeLabeledExcludeBalancers",
            (Self::NodeNetworkUnavailable, Protocol::Bgp) => "nodeNetworkUnavailable",
            (
                Self::NoEndpoints | Self::NoLocalEndpoints | Self::NodeExcluded | Self::NodeNetworkUnavailable,
                Protocol::Layer2,
            )
            | (Self::GroupNotEligible { .. } | Self::NodeNotAlive | Self::NotElected { .. }, _) => "notOwner",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConflictingAdvertisements { advertisements: [one, other] } => {
                write!(f, "BGPAdvertisements {one} and {other} apply and give the route different values")
            }
            Self::GroupNotEligible { service, because } => {
                write!(f, "the addresses move together with those of {service}, for which: {because}")
            }
            Self::IpNotAllowed => f.write_str("no single pool has all its addresses"),
            Self::NoAdvertisement => f.write_str("no advertisement of its pool covers the Service"),
            Self::NoEndpoints => f.write_str("it has no usable endpoint"),
            Self::NoIpAllocated => f.write_str("it has no address"),
            Self::NoLocalEndpoints => f.write_str("externalTrafficPolicy is Local and the node has no usable endpoint"),
            Self::NoMatchingAdvertisement => f.write_str("no advertisement that covers the Service includes the node"),
            Self::NodeExcluded => {
                f.write_str("the node is labelled node.kubernetes.io/exclude-from-external-load-balancers")
            }
            Self::NodeNetworkUnavailable => f.write_str("the node's network is unavailable"),
            Self::NodeNotAlive => f.write_str("no speaker is alive on the node"),
            Self::NodeUnknown => f.write_str("the node is not known"),
            Self::NotElected { first } => write!(f, "node {first} comes first in the election"),
            Self::ServiceDeleted => f.write_str("the Service does not exist"),
            Self::SharedIpWithServiceSelector => f.write_str(
                "the Service may share its address, and an L2Advertisement that covers it has serviceSelectors",
            ),
        }
    }
}
