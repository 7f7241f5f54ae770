//! Addresses that wait for the Service that held them last: after its deletion (retention), or after any release (cool-down).
//!
//! Invariants: an address that waits is used by nobody; the three maps have the same addresses. The clock is the latest time handed in
//! and never goes back.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::policy::{Policies, PoolPolicy};
use crate::pool::Pool;
use crate::service::ServiceKey;
use crate::time::UnixTime;

/// Why an address waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HoldReason {
    /// Its Service was deleted, and may come back.
    Retention,
    /// It was released a short time ago, and the network may still know it as somebody's.
    Cooldown,
}

/// An address that waits: it is given to nobody but the Service that held it last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hold {
    /// The address.
    pub address: IpAddr,
    /// For whom it waits.
    pub service: ServiceKey,
    /// Until when.
    pub until: UnixTime,
    /// Why.
    pub reason: HoldReason,
}

/// How a Service came to give an address up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Departure {
    /// The Service is gone.
    Gone,
    /// It is there still.
    Released,
}

/// What policies say of one pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Waiting {
    retention: Duration,
    cooldown: Duration,
    /// The policies that may order addresses to be let go.
    policies: Vec<Arc<PoolPolicy>>,
}

impl Waiting {
    fn is_released_now(&self, address: IpAddr, service: &ServiceKey) -> bool {
        let mut orders = self.policies.iter().flat_map(|policy| &policy.release_now);
        orders.any(|order| order.concerns(address, service))
    }
}

/// Every address that waits.
#[derive(Clone, Debug, Default)]
pub(super) struct Holds {
    now: UnixTime,
    /// By number of the pool; empty where nothing waits in any pool.
    waiting: Vec<Waiting>,
    by_address: BTreeMap<IpAddr, Hold>,
    by_service: BTreeMap<ServiceKey, BTreeSet<IpAddr>>,
    by_end: BTreeSet<(UnixTime, IpAddr)>,
}

impl Holds {
    /// Takes over what policies say of the pools, which come in the order of their numbers.
    pub(super) fn describe<'a>(&mut self, policies: &Policies, pools: impl Iterator<Item = &'a Pool>) {
        self.waiting.clear();
        if !policies.pool_policies.iter().any(|policy| policy.retention.is_some() || policy.reuse_cooldown.is_some()) {
            return;
        }
        self.waiting.extend(pools.map(|pool| {
            let policies: Vec<_> = policies.of_pool(&pool.name, &pool.labels).cloned().collect();
            let first = |of: fn(&PoolPolicy) -> Option<Duration>| policies.iter().find_map(|policy| of(policy));
            let retention = first(|policy| policy.retention).unwrap_or_default();
            Waiting { retention, cooldown: first(|policy| policy.reuse_cooldown).unwrap_or_default(), policies }
        }));
    }

    /// Whether an address that is given up could have to wait at all.
    pub(super) fn may_begin(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The hold of an address of a pool that a Service has just given up, if there is one.
    pub(super) fn after(&self, service: &ServiceKey, address: IpAddr, pool: u32, departure: Departure) -> Option<Hold> {
        let waiting = self.waiting.get(pool as usize)?;
        let retention = match departure {
            Departure::Gone => waiting.retention,
            Departure::Released => Duration::ZERO,
        };
        let (length, reason) = if retention >= waiting.cooldown {
            (retention, HoldReason::Retention)
        } else {
            (waiting.cooldown, HoldReason::Cooldown)
        };
        let hold = Hold { address, service: service.clone(), until: self.now + length, reason };
        (!length.is_zero() && !waiting.is_released_now(address, service)).then_some(hold)
    }

    /// A hold as far as the policies of its pool let it stand: no longer than one that begins now, and not where they end it at once.
    pub(super) fn within_bounds(&self, hold: Hold, pool: u32) -> Option<Hold> {
        let waiting = self.waiting.get(pool as usize)?;
        let longest = match hold.reason {
            HoldReason::Retention => waiting.retention.max(waiting.cooldown),
            HoldReason::Cooldown => waiting.cooldown,
        };
        let until = hold.until.min(self.now + longest);
        (until > self.now && !waiting.is_released_now(hold.address, &hold.service)).then_some(Hold { until, ..hold })
    }

    /// Enters a hold in place of another of the same address.
    pub(super) fn insert(&mut self, hold: Hold) {
        self.remove(hold.address);
        self.by_service.entry(hold.service.clone()).or_default().insert(hold.address);
        self.by_end.insert((hold.until, hold.address));
        self.by_address.insert(hold.address, hold);
    }

    pub(super) fn remove(&mut self, address: IpAddr) -> Option<Hold> {
        if self.by_address.is_empty() {
            return None;
        }
        let hold = self.by_address.remove(&address)?;
        self.by_end.remove(&(hold.until, address));
        if let Some(addresses) = self.by_service.get_mut(&hold.service) {
            addresses.remove(&address);
            if addresses.is_empty() {
                self.by_service.remove(&hold.service);
            }
        }
        Some(hold)
    }

    pub(super) fn take_all(&mut self) -> Vec<Hold> {
        self.by_service.clear();
        self.by_end.clear();
        core::mem::take(&mut self.by_address).into_values().collect()
    }

    pub(super) fn of_address(&self, address: IpAddr) -> Option<&Hold> {
        if self.by_address.is_empty() { None } else { self.by_address.get(&address) }
    }

    /// The addresses that wait for a Service, in order.
    pub(super) fn of_service(&self, service: &ServiceKey) -> impl Iterator<Item = IpAddr> + '_ {
        self.by_service.get(service).into_iter().flatten().copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_address.is_empty()
    }

    /// How many addresses wait.
    pub(super) fn len(&self) -> usize {
        self.by_address.len()
    }

    /// In order of address.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Hold> {
        self.by_address.values()
    }

    pub(super) fn next_end(&self) -> Option<UnixTime> {
        self.by_end.first().map(|(until, _)| *until)
    }

    /// Moves the clock; tells what has waited long enough, in the order in which that came.
    pub(super) fn advance(&mut self, now: UnixTime) -> Vec<IpAddr> {
        self.now = self.now.max(now);
        let ended = self.by_end.iter().take_while(|(until, _)| *until <= self.now);
        ended.map(|(_, address)| *address).collect()
    }
}
