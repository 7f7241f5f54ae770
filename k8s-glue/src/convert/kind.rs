//! Which kinds count, and what is wrong with one that seems to be meant and is none.

use crate::names::{self, NameError};

/// The kinds of core groups that count, and where they are without a namespace.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Core {
    ConfigMap,
    EndpointSlice,
    Namespace,
    Node,
    Secret,
    Service,
}

impl Core {
    /// What the API server holds its names against.
    pub(super) const fn name_rule(self) -> fn(&str) -> Result<(), NameError> {
        match self {
            Self::Namespace | Self::Service => names::label,
            Self::ConfigMap | Self::EndpointSlice | Self::Node | Self::Secret => names::subdomain,
        }
    }
}

/// The kinds of `metallb.io` and `ferrule.io`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ours {
    AddressReservation,
    BfdProfile,
    BgpAdvertisement,
    BgpPeerV1Beta1,
    BgpPeer,
    Community,
    IpAddressPool,
    L2Advertisement,
    PoolPolicy,
    /// Written by programs; nothing to read.
    Status,
}

/// What a document is.
pub(super) enum Kind {
    Core(Core),
    Ours(Ours),
    /// Another group's, or a kind without meaning here.
    Foreign,
    /// In one of our groups, but no such kind or version.
    Unknown {
        message: String,
        fix: &'static str,
    },
}

const METALLB_KINDS: &str = "the kinds are IPAddressPool, L2Advertisement, BGPAdvertisement, BGPPeer, BFDProfile, Community, \
    ServiceL2Status, ServiceBGPStatus and ConfigurationState";
const OWN_KINDS: &str = "the kinds are AddressReservation and PoolPolicy";

pub(super) fn kind_of(api_version: &str, kind: &str) -> Kind {
    match (api_version, kind) {
        ("v1", "ConfigMap") => Kind::Core(Core::ConfigMap),
        ("v1", "Namespace") => Kind::Core(Core::Namespace),
        ("v1", "Node") => Kind::Core(Core::Node),
        ("v1", "Secret") => Kind::Core(Core::Secret),
        ("v1", "Service") => Kind::Core(Core::Service),
        ("discovery.k8s.io/v1" | "discovery.k8s.io/v1beta1", "EndpointSlice") => Kind::Core(Core::EndpointSlice),
        _ => match api_version.split_once('/') {
            Some(("metallb.io", version)) if !kind.is_empty() => kind_of_metallb(version, kind),
            Some(("ferrule.io", version)) if !kind.is_empty() => kind_of_our_own(version, kind),
            _ => Kind::Foreign,
        },
    }
}

fn kind_of_our_own(version: &str, kind: &str) -> Kind {
    let known = match kind {
        "AddressReservation" => Ours::AddressReservation,
        "PoolPolicy" => Ours::PoolPolicy,
        _ => return Kind::Unknown { message: format!("there is no kind {kind:?} in ferrule.io"), fix: OWN_KINDS },
    };
    if version == "v1alpha1" {
        return Kind::Ours(known);
    }
    let message = format!("there is no version {version:?} of {kind} in ferrule.io");
    Kind::Unknown { message, fix: "write ferrule.io/v1alpha1" }
}

fn kind_of_metallb(version: &str, kind: &str) -> Kind {
    let known = match kind {
        "BFDProfile" => Ours::BfdProfile,
        "BGPAdvertisement" => Ours::BgpAdvertisement,
        "BGPPeer" if version == "v1beta1" => Ours::BgpPeerV1Beta1,
        "BGPPeer" => Ours::BgpPeer,
        "Community" => Ours::Community,
        "IPAddressPool" => Ours::IpAddressPool,
        "L2Advertisement" => Ours::L2Advertisement,
        "ConfigurationState" | "ServiceBGPStatus" | "ServiceL2Status" => Ours::Status,
        "AddressPool" => {
            let fix = "turn it into an IPAddressPool and an advertisement with `ferrule convert`";
            return Kind::Unknown { message: "the kind AddressPool is no longer part of metallb.io".to_owned(), fix };
        }
        "AddressReservation" | "PoolPolicy" => {
            let message = format!("{kind} is a kind of ferrule.io, not of metallb.io");
            return Kind::Unknown { message, fix: "write apiVersion: ferrule.io/v1alpha1" };
        }
        _ => return Kind::Unknown { message: format!("there is no kind {kind:?} in metallb.io"), fix: METALLB_KINDS },
    };
    match (version, known) {
        ("v1beta1", _) | ("v1beta2", Ours::BgpPeer) => Kind::Ours(known),
        (_, Ours::BgpPeer) => {
            let message = format!("there is no version {version:?} of BGPPeer in metallb.io");
            Kind::Unknown { message, fix: "write metallb.io/v1beta2" }
        }
        _ => {
            let message = format!("there is no version {version:?} of {kind} in metallb.io");
            Kind::Unknown { message, fix: "write metallb.io/v1beta1" }
        }
    }
}
