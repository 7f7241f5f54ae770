//! The description of a configuration as it was read: text is still text, numbers are not yet checked.
//!
//! A reader (YAML files, the API server, an orchestrator of somebody else) fills these types and judges nothing but the *type* of
//! a value: a list where a number belongs is the reader's problem, a number out of range is not. Field names are those of the
//! custom resources in snake case, so that a problem can name the field as the user wrote it.

mod policies;

use core::time::Duration;
use std::collections::BTreeMap;

use super::problem::ObjectRef;
use crate::labels::Labels;
use crate::node::Node;
use crate::peer::Password;
use crate::policy::KeptAddress;

pub use self::policies::{RawAddressReservation, RawFreeze, RawPoolPolicy, RawQuota};

/// One object with its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw<T> {
    /// Kind, namespace, name, and where it was read.
    pub object: ObjectRef,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `spec`.
    pub spec: T,
}

/// Everything that makes a configuration, in any order.
#[derive(Clone, Debug, Default)]
pub struct RawConfig {
    /// IPAddressPool objects.
    pub pools: Vec<Raw<RawPool>>,
    /// L2Advertisement objects.
    pub l2_advertisements: Vec<Raw<RawL2Advertisement>>,
    /// BGPAdvertisement objects.
    pub bgp_advertisements: Vec<Raw<RawBgpAdvertisement>>,
    /// BGPPeer objects of the newer version.
    pub peers: Vec<Raw<RawPeer>>,
    /// BFDProfile objects.
    pub bfd_profiles: Vec<Raw<RawBfdProfile>>,
    /// Community objects.
    pub communities: Vec<Raw<RawCommunity>>,
    /// Secret objects.
    pub secrets: Vec<Raw<RawSecret>>,
    /// AddressReservation objects.
    pub address_reservations: Vec<Raw<RawAddressReservation>>,
    /// PoolPolicy objects.
    pub pool_policies: Vec<Raw<RawPoolPolicy>>,
    /// What freezes keep, as recorded or as worked out last. They are in their pools whatever else is described.
    pub kept: Vec<KeptAddress>,
    /// The nodes that are known.
    pub nodes: Vec<Node>,
    /// The namespaces that are known, by name, with their labels.
    pub namespaces: BTreeMap<String, Labels>,
}

/// A label selector as written ([API-GEN-6]).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RawSelector {
    /// `matchLabels`.
    pub match_labels: BTreeMap<String, String>,
    /// `matchExpressions`.
    pub match_expressions: Vec<RawRequirement>,
}

/// One expression of a selector as written.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RawRequirement {
    /// `key`; empty where absent.
    pub key: String,
    /// `operator`; empty where absent.
    pub operator: String,
    /// `values`.
    pub values: Vec<String>,
}

/// Spec of an IPAddressPool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawPool {
    /// `addresses`.
    pub addresses: Vec<String>,
    /// `autoAssign`; absent means true.
    pub auto_assign: Option<bool>,
    /// `avoidBuggyIPs`; absent means false.
    pub avoid_buggy_ips: Option<bool>,
    /// `serviceAllocation`.
    pub service_allocation: Option<RawServiceAllocation>,
}

/// `serviceAllocation` of an IPAddressPool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawServiceAllocation {
    /// `priority`; absent means 0.
    pub priority: Option<i64>,
    /// `namespaces`.
    pub namespaces: Vec<String>,
    /// `namespaceSelectors`.
    pub namespace_selectors: Vec<RawSelector>,
    /// `serviceSelectors`.
    pub service_selectors: Vec<RawSelector>,
}

/// Spec of an L2Advertisement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawL2Advertisement {
    /// `ipAddressPools`.
    pub ip_address_pools: Vec<String>,
    /// `ipAddressPoolSelectors`.
    pub ip_address_pool_selectors: Vec<RawSelector>,
    /// `nodeSelectors`.
    pub node_selectors: Vec<RawSelector>,
    /// `interfaces`.
    pub interfaces: Vec<String>,
    /// `serviceSelectors`.
    pub service_selectors: Vec<RawSelector>,
    /// `preferredNodeSelectors`.
    pub preferred_node_selectors: Vec<RawPreference>,
}

/// One entry of `preferredNodeSelectors`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawPreference {
    /// `weight`; absent is refused.
    pub weight: Option<i64>,
    /// `preference`; absent is refused.
    pub preference: Option<RawSelector>,
}

/// Spec of a BGPAdvertisement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawBgpAdvertisement {
    /// `aggregationLength`; absent means 32.
    pub aggregation_length: Option<i64>,
    /// `aggregationLengthV6`; absent means 128.
    pub aggregation_length_v6: Option<i64>,
    /// `localPref`; absent and 0 mean unset.
    pub local_pref: Option<i64>,
    /// `asPathPrepend`; absent means none.
    pub as_path_prepend: Option<i64>,
    /// `communities`: literals and aliases.
    pub communities: Vec<String>,
    /// `ipAddressPools`.
    pub ip_address_pools: Vec<String>,
    /// `ipAddressPoolSelectors`.
    pub ip_address_pool_selectors: Vec<RawSelector>,
    /// `nodeSelectors`.
    pub node_selectors: Vec<RawSelector>,
    /// `peers`.
    pub peers: Vec<String>,
    /// `serviceSelectors`.
    pub service_selectors: Vec<RawSelector>,
}

/// Spec of a BGPPeer. Empty text counts as absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawPeer {
    /// `myASN`.
    pub my_asn: Option<i64>,
    /// `peerASN`; 0 counts as absent.
    pub peer_asn: Option<i64>,
    /// `dynamicASN`.
    pub dynamic_asn: Option<String>,
    /// `localASN`.
    pub local_asn: Option<i64>,
    /// `peerAddress`.
    pub peer_address: Option<String>,
    /// `interface`.
    pub interface: Option<String>,
    /// `sourceAddress`.
    pub source_address: Option<String>,
    /// `peerPort`; absent means 179.
    pub peer_port: Option<i64>,
    /// `holdTime`.
    pub hold_time: Option<Duration>,
    /// `keepaliveTime`.
    pub keepalive_time: Option<Duration>,
    /// `connectTime`.
    pub connect_time: Option<Duration>,
    /// `routerID`.
    pub router_id: Option<String>,
    /// `nodeSelectors`.
    pub node_selectors: Vec<RawSelector>,
    /// `password`.
    pub password: Option<Password>,
    /// `passwordSecret`.
    pub password_secret: Option<RawSecretReference>,
    /// `bfdProfile`.
    pub bfd_profile: Option<String>,
    /// `enableGracefulRestart`; absent means false.
    pub enable_graceful_restart: Option<bool>,
    /// `ebgpMultiHop`; absent means false.
    pub ebgp_multi_hop: Option<bool>,
    /// `vrf`.
    pub vrf: Option<String>,
    /// `disableMP`; without effect.
    pub disable_mp: Option<bool>,
    /// `dualStackAddressFamily`; absent means false.
    pub dual_stack_address_family: Option<bool>,
}

/// `passwordSecret` of a BGPPeer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawSecretReference {
    /// `name`; empty where absent.
    pub name: String,
    /// `namespace`; empty where absent. It takes no part in the look-up ([CFG-24]).
    pub namespace: String,
}

/// Spec of a BFDProfile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawBfdProfile {
    /// `receiveInterval` in milliseconds.
    pub receive_interval: Option<i64>,
    /// `transmitInterval` in milliseconds.
    pub transmit_interval: Option<i64>,
    /// `detectMultiplier`.
    pub detect_multiplier: Option<i64>,
    /// `echoInterval` in milliseconds.
    pub echo_interval: Option<i64>,
    /// `echoMode`; absent means false.
    pub echo_mode: Option<bool>,
    /// `passiveMode`; absent means false.
    pub passive_mode: Option<bool>,
    /// `minimumTtl`.
    pub minimum_ttl: Option<i64>,
}

/// Spec of a Community.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawCommunity {
    /// `communities`.
    pub communities: Vec<RawAlias>,
}

/// One alias of a Community.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawAlias {
    /// `name`; empty where absent.
    pub name: String,
    /// `value`; empty where absent.
    pub value: String,
}

/// What counts of a Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawSecret {
    /// `type`; empty where absent.
    pub secret_type: String,
    /// The value of the key `password`, decoded; `None` where there is no such key.
    pub password: Option<Password>,
}
