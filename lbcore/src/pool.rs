//! A pool of addresses and who may use it ([API-POOL-1] to [API-POOL-8]), with what policies take out of it or keep in it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::labels::{Labels, Selector, any_matches};
use crate::range::AddressRange;
use crate::service::PoolName;

/// Whether the pool takes part in automatic choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AutoAssign {
    /// It does.
    #[default]
    Enabled,
    /// Only by explicit request.
    Disabled,
}

/// Whether IPv4 addresses ending in .0 and .255 are avoided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BuggyAddresses {
    /// They are addresses like others.
    #[default]
    Used,
    /// They are not in the pool ([ADDR-8]).
    Avoided,
}

/// Restrictions of a *pinned* pool: one with `serviceAllocation`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceAllocation {
    /// Lower positive is preferred; 0 is least preferred ([ALLOC-30]). Negative numbers come before positive ones.
    pub priority: i64,
    /// The namespaces allowed now (named ones and those that match a namespace selector); `None` where the pool declares no namespace
    /// restriction. The empty set allows nobody ([API-POOL-6]).
    pub namespaces: Option<BTreeSet<String>>,
    /// Service labels must match one; empty means no restriction.
    pub service_selectors: Vec<Selector>,
}

/// What restriction of a pool keeps a Service out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PoolRestriction {
    /// Its namespaces ([API-POOL-3]).
    Namespace,
    /// Its service selectors ([API-POOL-4]).
    ServiceLabels,
}

/// A pool, checked: at least one range, none overlapping another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its name.
    pub name: PoolName,
    /// Labels of the object, for advertisements that select pools.
    pub labels: Labels,
    /// The ranges in the order written; the search goes in this order ([ALLOC-20]).
    pub ranges: Vec<AddressRange>,
    /// Automatic choice.
    pub auto_assign: AutoAssign,
    /// Addresses ending in .0 and .255.
    pub buggy_addresses: BuggyAddresses,
    /// Who may use it; `None` for everybody and unpinned.
    pub allocation: Option<ServiceAllocation>,
    /// Parts of the ranges that are not in the pool, as policies say.
    pub exclusions: Vec<AddressRange>,
    /// Addresses that Services hold and that are in the pool whatever its ranges, exclusions and restrictions say, until they are
    /// released: a freeze keeps them. None of them is handed out anew.
    pub kept: BTreeSet<IpAddr>,
}

/// Whether an address is one that old equipment mistakes for network or broadcast: IPv4 ending in .0 or .255.
pub const fn is_buggy(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => matches!(v4.octets()[3], 0 | 255),
        IpAddr::V6(_) => false,
    }
}

impl Pool {
    /// A pool of these ranges that everybody may use, with the defaults of the resource.
    pub const fn new(name: PoolName, ranges: Vec<AddressRange>) -> Self {
        Self {
            name,
            labels: Labels::new(),
            ranges,
            auto_assign: AutoAssign::Enabled,
            buggy_addresses: BuggyAddresses::Used,
            allocation: None,
            exclusions: Vec::new(),
            kept: BTreeSet::new(),
        }
    }

    /// Whether the address belongs to the pool: it can be handed out, or it is kept. One that the pool avoids or excludes does not.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.kept.contains(&address) || self.offers(address)
    }

    /// Whether the address can be handed out from the pool: in a range, neither avoided nor excluded.
    pub fn offers(&self, address: IpAddr) -> bool {
        !self.avoids(address) && self.ranges.iter().any(|range| range.contains(address)) && !self.excludes(address)
    }

    /// Whether the pool leaves such an address out as policies say, should it lie in one of its ranges.
    pub fn excludes(&self, address: IpAddr) -> bool {
        self.exclusions.iter().any(|range| range.contains(address))
    }

    /// Ranges that cover every address of the pool: those written, then one for each kept address outside of them. Those of different
    /// pools of one configuration may overlap only in excluded addresses; [`Self::contains`] tells whose such an address is.
    pub fn extents(&self) -> impl Iterator<Item = AddressRange> + '_ {
        let outside = self.kept.iter().filter(|address| !self.ranges.iter().any(|range| range.contains(**address)));
        self.ranges.iter().copied().chain(outside.map(|address| AddressRange::single(*address)))
    }

    /// Whether the pool leaves such an address out, should it lie in one of its ranges.
    pub fn avoids(&self, address: IpAddr) -> bool {
        self.buggy_addresses == BuggyAddresses::Avoided && is_buggy(address)
    }

    /// Whether a Service of this namespace with these labels may use the pool ([API-POOL-3] to [API-POOL-6]).
    pub fn allows(&self, namespace: &str, labels: &Labels) -> bool {
        self.restriction(namespace, labels).is_none()
    }

    /// What keeps a Service of this namespace with these labels out of the pool, if anything does.
    pub fn restriction(&self, namespace: &str, labels: &Labels) -> Option<PoolRestriction> {
        let allocation = self.allocation.as_ref()?;
        let selectors = &allocation.service_selectors;
        if allocation.namespaces.as_ref().is_some_and(|allowed| !allowed.contains(namespace)) {
            Some(PoolRestriction::Namespace)
        } else if !selectors.is_empty() && !any_matches(selectors, labels) {
            Some(PoolRestriction::ServiceLabels)
        } else {
            None
        }
    }
}
