//! What operators lay down about addresses beyond pools: reservations, exclusions, quotas, how long a released address waits, and what
//! a pool edit must not take away.
//!
//! Plain values, read from the objects `AddressReservation` and `PoolPolicy` by [`crate::config`]. The allocator follows them;
//! [`kept_by_freezes`] works out what freezes keep. Without any of these objects nothing here has an effect.
//!
//! `reservation.rs` has the addresses set aside, `pool_policy.rs` what holds for a pool, `freeze.rs` what an edit must not take.

mod freeze;
mod pool_policy;
mod reservation;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::labels::{Labels, Selector, any_matches};
use crate::pool::Pool;
use crate::service::{PoolName, ServiceKey};

pub use self::freeze::{LiveAddresses, kept_by_freezes};
pub use self::pool_policy::{Freeze, PoolPolicy, PoolSelection, Quota, QuotaScope, ReleaseNow};
pub use self::reservation::{AddressReservation, Beneficiaries, HostPart, ParseHostPartError, Specificity};

/// Services by namespace and labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audience {
    /// The namespaces meant now (named ones and those that match a namespace selector); `None` where nothing is said of namespaces.
    /// The empty set means nobody.
    pub namespaces: Option<BTreeSet<String>>,
    /// Service labels must match one; empty means no restriction.
    pub service_selectors: Vec<Selector>,
}

impl Audience {
    /// Whether a Service of this namespace with these labels is meant. Where nothing is said, every Service is.
    pub fn includes(&self, namespace: &str, labels: &Labels) -> bool {
        self.namespaces.as_ref().is_none_or(|namespaces| namespaces.contains(namespace))
            && (self.service_selectors.is_empty() || any_matches(&self.service_selectors, labels))
    }
}

/// Every policy in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    /// Addresses set aside, in the order of their names.
    pub reservations: Vec<Arc<AddressReservation>>,
    /// What holds for pools, in the order of their names.
    pub pool_policies: Vec<Arc<PoolPolicy>>,
}

impl Policies {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.reservations.is_empty() && self.pool_policies.is_empty()
    }

    /// The policies that hold for a pool of this name with these labels, in the order of their names.
    pub fn of_pool<'a>(&'a self, pool: &PoolName, labels: &Labels) -> impl Iterator<Item = &'a Arc<PoolPolicy>> {
        self.pool_policies.iter().filter(move |policy| policy.pools.selects(pool, labels))
    }

    /// The freeze of a pool, whether or not the pool is there now.
    pub fn freeze_of(&self, pool: &PoolName, labels: &Labels) -> Option<&Freeze> {
        self.of_pool(pool, labels).find_map(|policy| policy.freeze.as_ref())
    }

    /// The reservations that set an address of a pool aside.
    pub fn reservations_at<'a>(
        &'a self,
        pool: &'a Pool,
        address: IpAddr,
    ) -> impl Iterator<Item = &'a Arc<AddressReservation>> {
        let covers = move |range: crate::range::AddressRange| range.contains(address);
        self.reservations.iter().filter(move |reservation| reservation.ranges_in(pool).any(covers))
    }
}

/// An address that a freeze keeps for the Services that hold it. A host records these and hands them in with the description of the
/// configuration ([`crate::config::RawConfig::kept`]).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeptAddress {
    /// The address.
    pub address: IpAddr,
    /// The pool that keeps it; it may be gone otherwise.
    pub pool: PoolName,
    /// Who holds it.
    pub service: ServiceKey,
    /// The labels of the pool when it was last there. They tell which advertisements and policies select a pool that is gone, and count
    /// for nothing else; a host that does not record them leaves them empty.
    pub pool_labels: Labels,
}
