//! Specs of the kinds of `ferrule.io`, as they were read.

use core::time::Duration;

use super::RawSelector;

/// Spec of an AddressReservation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawAddressReservation {
    /// `addresses`: addresses, ranges and prefixes.
    pub addresses: Vec<String>,
    /// `hostParts`.
    pub host_parts: Vec<String>,
    /// `pool`; empty text counts as absent.
    pub pool: Option<String>,
    /// `services`: each `namespace/name`.
    pub services: Vec<String>,
    /// `namespaces`.
    pub namespaces: Vec<String>,
    /// `namespaceSelectors`.
    pub namespace_selectors: Vec<RawSelector>,
    /// `serviceSelectors`.
    pub service_selectors: Vec<RawSelector>,
}

/// Spec of a PoolPolicy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawPoolPolicy {
    /// `ipAddressPools`.
    pub ip_address_pools: Vec<String>,
    /// `ipAddressPoolSelectors`.
    pub ip_address_pool_selectors: Vec<RawSelector>,
    /// `exclusions`: addresses, ranges and prefixes.
    pub exclusions: Vec<String>,
    /// `retention`.
    pub retention: Option<Duration>,
    /// `releaseNow`: each `namespace/name`, or an address, range or prefix.
    pub release_now: Vec<String>,
    /// `reuseCooldown`.
    pub reuse_cooldown: Option<Duration>,
    /// `quotas`.
    pub quotas: Vec<RawQuota>,
    /// `freeze`.
    pub freeze: Option<RawFreeze>,
}

/// One entry of `quotas` of a PoolPolicy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawQuota {
    /// `name`; absent means its position.
    pub name: Option<String>,
    /// `scope`; absent means `Namespace`.
    pub scope: Option<String>,
    /// `namespaces`.
    pub namespaces: Vec<String>,
    /// `namespaceSelectors`.
    pub namespace_selectors: Vec<RawSelector>,
    /// `serviceSelectors`.
    pub service_selectors: Vec<RawSelector>,
    /// `limit`; absent is refused.
    pub limit: Option<i64>,
}

/// `freeze` of a PoolPolicy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawFreeze {
    /// `confirmed`: addresses, ranges and prefixes.
    pub confirmed: Vec<String>,
}
