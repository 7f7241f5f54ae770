//! The rule behind a refusal, and its mend apart from what is wrong.

use crate::allocator::NoAddress;
use crate::decide::{Protocol, Reason};
use crate::pool::PoolRestriction;
use crate::request::ClusterIpsProblem;

/// The rule by which there is no address.
pub(super) const fn rule_of(reason: &NoAddress) -> &'static str {
    match reason {
        NoAddress::NoPools => "CTRL-31",
        NoAddress::ClusterIps(ClusterIpsProblem::Missing) => "CTRL-32",
        NoAddress::ClusterIps(ClusterIpsProblem::Undeterminable { .. }) => "CTRL-37",
        NoAddress::DualStackRequired { .. } => "CTRL-34",
        NoAddress::DualStackUnwanted => "ALLOC-34",
        NoAddress::FamilyMismatch { .. } | NoAddress::PoolMismatch { .. } => "CTRL-51",
        NoAddress::Request(_) | NoAddress::Addresses(_) => "ANNOT-10",
        NoAddress::DifferentPools { .. } => "ANNOT-12",
        NoAddress::NotInPool { .. } | NoAddress::Forgotten => "ALLOC-12",
        NoAddress::Avoided { .. } => "ADDR-8",
        NoAddress::NoSuchPool { .. } => "ALLOC-31",
        NoAddress::PoolNotAllowed { restriction: PoolRestriction::Namespace, .. } => "API-POOL-3",
        NoAddress::PoolNotAllowed { restriction: PoolRestriction::ServiceLabels, .. } => "API-POOL-4",
        NoAddress::Reserved { .. } | NoAddress::SharingConflict { .. } => "ALLOC-10",
        NoAddress::FamilyNotInPool { .. } => "ALLOC-38",
        NoAddress::FamilyNowhere { .. } | NoAddress::PoolsExhausted { .. } => "ALLOC-32",
        NoAddress::PoolExhausted { .. } => "ALLOC-23",
        NoAddress::NoEligiblePool => "ALLOC-30",
        NoAddress::NothingToAddTo => "ALLOC-33",
        NoAddress::Excluded { .. } => "POL-EXCLUDE",
        NoAddress::OnlyKept { .. } => "POL-FREEZE",
        NoAddress::QuotaExceeded { .. } => "POL-QUOTA",
        NoAddress::SetAside { .. } => "POL-RESERVE",
        NoAddress::Waits { .. } => "POL-WAIT",
    }
}

/// What is wrong, and the mend, which stands last behind a colon in every text of a [`NoAddress`].
pub(super) fn parts_of(reason: &NoAddress) -> (String, Option<String>) {
    let text = reason.to_string();
    if let NoAddress::QuotaExceeded { .. } = reason {
        // The figures stand between the two.
        let (wrong, fix) = text.rsplit_once("; ").unwrap_or((&text, "raise the limit"));
        return (wrong.to_owned(), Some(fix.to_owned()));
    }
    match text.rsplit_once(": ") {
        Some((wrong, fix)) => (wrong.to_owned(), Some(fix.to_owned())),
        None => (text, None),
    }
}

/// The rule by which something is not announced.
pub(super) const fn rule_of_reason(reason: &Reason, protocol: Protocol) -> &'static str {
    match (reason, protocol) {
        (Reason::ServiceDeleted, _) => "ANN-1",
        (Reason::NoIpAllocated, _) => "ANN-4",
        (Reason::IpNotAllowed, _) => "ANN-6",
        (Reason::NoAdvertisement, _) => "ANN-11",
        (Reason::NoEndpoints, Protocol::Layer2) => "ANN-30",
        (Reason::NoEndpoints, Protocol::Bgp) => "ANN-46",
        (Reason::SharedIpWithServiceSelector, _) => "ANN-31",
        (Reason::NoMatchingAdvertisement, Protocol::Layer2) => "ANN-32",
        (Reason::NoMatchingAdvertisement, Protocol::Bgp) => "ANN-40",
        (Reason::NoLocalEndpoints, Protocol::Layer2) => "ANN-24",
        (Reason::NoLocalEndpoints, Protocol::Bgp) => "ANN-45",
        (Reason::ConflictingAdvertisements { .. }, _) => "ANN-42",
        (Reason::NodeNetworkUnavailable, _) => "ANN-43",
        (Reason::NodeExcluded, _) => "ANN-44",
        (Reason::GroupNotEligible { .. }, _) => "OWN-22",
        (Reason::NodeNotAlive | Reason::NodeUnknown, _) => "L2-1",
        (Reason::NotElected { .. }, _) => "ANN-34",
    }
}

/// What would let the node announce it; `None` for [`Reason::NotElected`], which needs no mend.
pub fn mend_of_reason(reason: &Reason) -> Option<String> {
    let fix = match reason {
        Reason::ServiceDeleted => "create it, or correct the name",
        Reason::NoIpAllocated => "see above why it has none",
        Reason::IpNotAllowed => "let one pool contain all its addresses, or let the controller replace them",
        Reason::NoAdvertisement => {
            "create an L2Advertisement or BGPAdvertisement that covers the pool, and the Service where it has serviceSelectors"
        }
        Reason::NoEndpoints => {
            "start Pods that its selector matches and that become ready, and look at its EndpointSlices"
        }
        Reason::SharedIpWithServiceSelector => {
            "remove the annotation allow-shared-ip from the Service, or serviceSelectors from the L2Advertisement"
        }
        Reason::NoMatchingAdvertisement => "widen the nodeSelectors of an advertisement, or label the node accordingly",
        Reason::NoLocalEndpoints => {
            "run a ready Pod of the Service on the node, or set externalTrafficPolicy to Cluster"
        }
        Reason::ConflictingAdvertisements { .. } => {
            "give both the same values, or let them differ in peers, nodes or aggregation lengths"
        }
        Reason::NodeNetworkUnavailable => {
            "the network plugin clears the condition NetworkUnavailable when the network of the node works"
        }
        Reason::NodeExcluded => {
            "remove the label node.kubernetes.io/exclude-from-external-load-balancers from the node, or run with \
             --ignore-exclude-lb"
        }
        Reason::GroupNotEligible { because, .. } => return mend_of_reason(because),
        Reason::NodeNotAlive => "start the speaker on the node",
        Reason::NodeUnknown => "correct the name, or add the node",
        Reason::NotElected { .. } => return None,
    };
    Some(fix.to_owned())
}
