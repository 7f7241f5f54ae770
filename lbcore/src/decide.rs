//! What one node announces, and why it does not: pure functions of an immutable [`Snapshot`].
//!
//! On a segment every eligible node *stands* for a group of addresses and ownership makes one of them active ([OWN-21]); by BGP
//! each node decides for itself. A decision of one node needs nobody's view but its own ([OWN-22]).
//!
//! Every change says what it affects, and costs no more than that: a host tells [`Snapshot::set_service`], [`Snapshot::set_node`],
//! [`Snapshot::set_config`] or [`Snapshot::set_options`] of it and asks [`changes_for`] what to do. [`Snapshot::parts`] cuts a first
//! decision into pieces. Who comes first in the whole cluster is kept by [`Owners`].

mod affected;
mod bgp;
mod changing;
mod contest;
mod desired;
mod facts;
mod layer2;
mod layout;
mod nodes;
mod options;
mod owners;
mod parts;
mod placed;
mod plans;
mod reason;
mod snapshot;

pub use affected::{Affected, NodeExtent};
pub use bgp::{RouteRequest, peers_of_prefix, routes_by_peer};
pub use desired::{Changes, Extent, changes_for, desired_for};
pub use facts::{EndpointAddress, Endpoints, ServiceFacts, SharingAnnotation, TrafficPolicy, UsableEndpoints};
pub use layer2::{first_owner, first_owner_of_address};
pub use options::{DecideOptions, ExcludeLabel, MissingSlices};
pub use owners::{FirstOwner, Owners, Progress};
pub use parts::Parts;
pub use placed::Group;
pub use reason::{Protocol, Reason, Scope};
pub use snapshot::Snapshot;

use crate::announce::LinkReach;
use crate::service::{NodeName, ServiceKey};

/// What a node does on the segment for a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layer2Decision {
    /// It may answer for the Service's addresses; ownership decides whether it does ([OWN-21]).
    Stand(LinkReach),
    /// It may not, for this reason; [`Reason::scope`] tells whether another node may.
    Withhold(Reason),
}

/// What a node does by BGP for a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BgpDecision {
    /// It asks for these routes, one for each address and advertisement that applies ([ADV-20]).
    Announce(Vec<RouteRequest>),
    /// It does not, for this reason.
    Withhold(Reason),
}

/// The decision of one node for one Service, by protocol; neither depends on the other ([SPK-19]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// On the segment.
    pub layer2: Layer2Decision,
    /// By BGP.
    pub bgp: BgpDecision,
}

/// Decides for one node and one Service, with the reason where something is withheld.
///
/// Source: [ANN-1] to [ANN-49], [L2-1] to [L2-9], [OWN-21], [OWN-22].
pub fn decide(snapshot: &Snapshot, service: &ServiceKey, node: &NodeName) -> Decision {
    let Some(placed) = snapshot.placed(service) else {
        return Decision {
            layer2: Layer2Decision::Withhold(Reason::ServiceDeleted),
            bgp: BgpDecision::Withhold(Reason::ServiceDeleted),
        };
    };
    Decision {
        layer2: layer2::decide(snapshot, placed, node).map_or_else(Layer2Decision::Withhold, Layer2Decision::Stand),
        bgp: bgp::decide(snapshot, placed, node).map_or_else(BgpDecision::Withhold, BgpDecision::Announce),
    }
}

/// Why the node would not be the first owner of the Service's addresses; `None` where it would ([ANN-30] to [ANN-34]).
pub fn why_not_first_owner(snapshot: &Snapshot, service: &ServiceKey, node: &NodeName) -> Option<Reason> {
    match decide(snapshot, service, node).layer2 {
        Layer2Decision::Withhold(reason) => Some(reason),
        Layer2Decision::Stand(_) => {
            let (first, _) = first_owner(snapshot, service)?;
            (first != *node).then_some(Reason::NotElected { first })
        }
    }
}

#[cfg(test)]
mod tests;
