//! What holds for pools: exclusions, how long released addresses wait, quotas, and the freeze.

use core::time::Duration;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::Audience;
use crate::labels::{Labels, Selector, any_matches};
use crate::range::AddressRange;
use crate::service::{PoolName, ServiceKey};

/// Which pools a policy holds for; both lists empty means all, as with advertisements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolSelection {
    /// Pools by name, whether or not they exist.
    pub names: BTreeSet<PoolName>,
    /// Pools by label. Sorted.
    pub selectors: Vec<Selector>,
}

impl PoolSelection {
    /// Whether a pool of this name with these labels is meant.
    pub fn selects(&self, name: &PoolName, labels: &Labels) -> bool {
        (self.names.is_empty() && self.selectors.is_empty())
            || self.names.contains(name)
            || any_matches(&self.selectors, labels)
    }
}

/// How the Services that a quota concerns are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum QuotaScope {
    /// Each namespace by itself.
    #[default]
    Namespace,
    /// All of them as one.
    Together,
}

/// How many distinct addresses of the pools of its policy Services may hold. What is held already is never taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Its name within the policy.
    pub name: Arc<str>,
    /// Who is counted together.
    pub scope: QuotaScope,
    /// Whom it concerns; every Service where nothing is said.
    pub audience: Audience,
    /// The most addresses.
    pub limit: u64,
}

/// An order to let go of addresses that wait, at once; it holds as long as it stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReleaseNow {
    /// These addresses.
    Addresses(AddressRange),
    /// Whatever waits for this Service.
    Service(ServiceKey),
}

impl ReleaseNow {
    /// Whether an address that waits for this Service is meant.
    pub fn concerns(&self, address: IpAddr, service: &ServiceKey) -> bool {
        match self {
            Self::Addresses(range) => range.contains(address),
            Self::Service(key) => key == service,
        }
    }
}

/// A pool edit takes no live address away, but those that are confirmed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Freeze {
    /// Losses that the operator has confirmed.
    pub confirmed: Vec<AddressRange>,
}

impl Freeze {
    /// Whether the loss of an address is confirmed.
    pub fn confirms(&self, address: IpAddr) -> bool {
        self.confirmed.iter().any(|range| range.contains(address))
    }
}

/// A `PoolPolicy`, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolPolicy {
    /// `metadata.name`.
    pub name: Arc<str>,
    /// For which pools.
    pub pools: PoolSelection,
    /// Parts of ranges that are not in the pools. [`crate::config::Config::build`] has put them into the pools.
    pub exclusions: Vec<AddressRange>,
    /// How long the addresses of a deleted Service wait for the same name; `None` and zero mean not at all.
    pub retention: Option<Duration>,
    /// What no longer waits.
    pub release_now: Vec<ReleaseNow>,
    /// How long a released address is given to nobody else; `None` and zero mean not at all.
    pub reuse_cooldown: Option<Duration>,
    /// Quotas over the pools of the policy, in the order written.
    pub quotas: Vec<Quota>,
    /// Whether pool edits take live addresses away.
    pub freeze: Option<Freeze>,
}
