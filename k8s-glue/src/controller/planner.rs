//! What becomes of every Service: changes in, writes and things to tell out ([CTRL-1] to [CTRL-63]).
//!
//! Pure. The order is the one of a machine (models 2.3): `handle_*`, then `poll_output` until `None`, then `poll_timeout`. Nothing is
//! allocated before [`Planner::handle_pools`]; with the first pools every recorded address is entered before any new one is given
//! ([CTRL-17]).
//!
//! Invariants. An address that a status may still name, though the Service does not hold it any more, *lingers*: it is withheld from
//! others until the write that takes it away has succeeded, so that no two statuses name one unsharable address by our doing. While a write may be under way, or the cache has not shown its
//! outcome, what was decided stands in for the record ([CTRL-63]). A Service has at most one write at a time. What is told is told when
//! it changes ([CEVT-20]); what a write makes true is told after it.

mod account;
mod chronicle;
mod following;
mod lingering;
mod stranded;
mod telling;
mod trouble;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use lbcore::addresses::{RecordedAddresses, ServiceAddresses};
use lbcore::allocator::{Allocator, Change};
use lbcore::converge::{CreationTime, ServiceKind, ServiceState, converge};
use lbcore::ledger::Entry;
use lbcore::pool::Pool;
use lbcore::service::{PoolName, ServiceKey};
use lbcore::time::{Timestamp, UnixTime};
use lbcore::usage::PoolUsage;

use self::account::{Account, Assumed, Flight};
use self::chronicle::Holding;
use self::lingering::Lingering;
use self::trouble::Trouble;
use super::service_status::Desired;
use crate::cluster::events::Told;
use crate::cluster::world::SeenService;
use crate::cluster::write::{Failing, Taken};

/// One write of a Service's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StatusWrite {
    pub(crate) key: ServiceKey,
    /// The Service as seen: what the write is based on.
    pub(crate) seen: Arc<SeenService>,
    pub(crate) desired: Desired,
}

/// What the host has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Make this write, and report to [`Planner::handle_written`] in any case.
    Write(StatusWrite),
    /// Tell this to the owner of the Service.
    Tell(Told),
}

/// What the planner has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Services looked at.
    pub(crate) looks: u64,
    /// Looks that ended without what was asked for, and failed writes.
    pub(crate) failures: u64,
    /// Services that went: what they held is free without a look at any other.
    pub(crate) departures: u64,
    /// Addresses that have waited long enough.
    pub(crate) expiries: u64,
}

/// A Service that has to be looked at. The order is that of looking: who has a record first, then the oldest ([CTRL-12], [CTRL-17]).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    is_new: bool,
    created: CreationTime,
    key: ServiceKey,
}

/// Decides for all Services of a cluster.
#[derive(Debug)]
pub(crate) struct Planner {
    class: Option<String>,
    allocator: Allocator,
    has_pools: bool,
    /// Pools that are there and of which nothing is in force.
    refused: BTreeSet<PoolName>,
    accounts: BTreeMap<ServiceKey, Account>,
    due: BTreeSet<Turn>,
    retries: BTreeSet<(Timestamp, ServiceKey)>,
    /// Services that a change elsewhere could help.
    waiting: BTreeSet<ServiceKey>,
    lingering: Lingering,
    /// The allocator's generation when those who wait were last considered.
    considered: u64,
    outputs: VecDeque<Output>,
    /// The latest wall time that was handed in.
    wall: UnixTime,
    /// What happened to addresses and was not taken yet.
    entries: Vec<Entry>,
    /// Services of the first view that were not looked at yet, or whose first write was not tried yet.
    untried: BTreeSet<ServiceKey>,
    trouble: Trouble,
    counts: Counts,
}

impl Planner {
    /// Handles the Services of this class ([CTRL-1]).
    pub(crate) fn new(class: Option<String>) -> Self {
        Self {
            class,
            allocator: Allocator::default(),
            has_pools: false,
            refused: BTreeSet::new(),
            accounts: BTreeMap::new(),
            due: BTreeSet::new(),
            retries: BTreeSet::new(),
            waiting: BTreeSet::new(),
            lingering: Lingering::default(),
            considered: 0,
            outputs: VecDeque::new(),
            wall: UnixTime::default(),
            entries: Vec::new(),
            untried: BTreeSet::new(),
            trouble: Trouble::default(),
            counts: Counts::default(),
        }
    }

    /// A Service came or changed; `None` where it is gone.
    pub(crate) fn handle_service(&mut self, key: &ServiceKey, seen: Option<&Arc<SeenService>>) {
        let Some(seen) = seen else { return self.forget(key) };
        if self.accounts.get(key).is_some_and(|account| account.seen.uid() != seen.uid()) {
            // Another Service of the same name.
            self.forget(key);
        }
        let is_ours = seen.object.is_of_class(self.class.as_deref());
        let is_releasing = self.accounts.get(key).is_some_and(|account| account.is_releasing);
        if !is_ours && !is_releasing && self.allocator.allocation_by_key(key).is_none() {
            return self.forget(key);
        }
        match self.accounts.get_mut(key) {
            Some(account) => account.renew(Arc::clone(seen)),
            None => {
                self.accounts.insert(key.clone(), Account::new(Arc::clone(seen)));
            }
        }
        if self.has_pools {
            self.linger(key, &[]);
        }
        self.call(key);
    }

    /// The pools of which nothing is in force, though they are there. What Services have of them is kept as it is recorded.
    pub(crate) fn handle_refused(&mut self, refused: BTreeSet<PoolName>) {
        if self.refused != refused {
            self.refused = refused;
            let keys: Vec<ServiceKey> = self.accounts.keys().cloned().collect();
            for key in &keys {
                self.call(key);
            }
        }
    }

    /// A write came to its end: the API server took it, or not.
    pub(crate) fn handle_written(&mut self, now: Timestamp, write: &StatusWrite, outcome: Result<Taken, Failing>) {
        self.untried.remove(&write.key);
        if outcome.is_ok() {
            for other in self.trouble.succeed(&write.key) {
                self.try_again(&other);
            }
        }
        self.counts.failures += u64::from(outcome.is_err());
        // A Service that was forgotten meanwhile may be back, and have a write of its own.
        let is_its_own = |account: &&mut Account| {
            account.seen.uid() == write.seen.uid()
                && account.flight != Flight::None
                && *account.writes_on == *write.seen.resource_version()
        };
        let Some(account) = self.accounts.get_mut(&write.key).filter(is_its_own) else {
            if outcome == Err(Failing::Server) {
                self.trouble.pause_all(now);
            }
            return;
        };
        let was_called = account.flight == Flight::Called;
        account.flight = Flight::None;
        match outcome {
            Ok(taken) => {
                account.succeed(&write.desired, taken);
                self.outputs.extend(account.untold.drain(..).map(Output::Tell));
                self.linger(&write.key, &[]);
                if was_called {
                    self.call(&write.key);
                }
            }
            Err(failing) => {
                let delay = self.trouble.fail(now, &write.key, failing, &mut account.fault);
                account.fail(now, failing, delay);
                self.linger(&write.key, &[]);
                self.call(&write.key);
            }
        }
    }

    /// What to do now; drain until `None`.
    pub(crate) fn poll_output(&mut self, now: Timestamp) -> Option<Output> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            if !self.has_pools || self.trouble.paused_until(now).is_some() {
                return None;
            }
            while let Some((_, key)) = self.retries.first().filter(|(at, _)| *at <= now).cloned() {
                self.retries.pop_first();
                self.call(&key);
            }
            if let Some(turn) = self.due.pop_first() {
                self.look(now, &turn.key);
            } else if !self.consider_waiting() {
                return None;
            }
        }
    }

    /// When to poll again, if nothing happens before.
    pub(crate) fn poll_timeout(&self, now: Timestamp) -> Option<Timestamp> {
        self.trouble.paused_until(now).or_else(|| self.retries.first().map(|(at, _)| *at))
    }

    /// Whether every Service of the first view has been looked at since the first pools, and every write that followed was tried; one that
    /// fails holds up no other.
    pub(crate) fn has_passed(&self) -> bool {
        self.has_pools && self.untried.is_empty()
    }

    /// The counters of the pools, in order of name.
    pub(crate) fn usages(&self) -> impl Iterator<Item = (PoolName, PoolUsage)> + '_ {
        self.allocator.pools().filter_map(|pool| Some((pool.name.clone(), self.allocator.usage(&pool.name)?)))
    }

    /// The pools in force.
    pub(crate) fn pools(&self) -> impl Iterator<Item = &Pool> {
        self.allocator.pools()
    }

    /// How many Services hold addresses of each pool.
    pub(crate) fn services_by_pool(&self) -> BTreeMap<PoolName, u64> {
        let mut counts: BTreeMap<PoolName, u64> = self.allocator.pools().map(|pool| (pool.name.clone(), 0)).collect();
        for key in self.accounts.keys() {
            if let Some(allocation) = self.allocator.allocation_by_key(key)
                && let Some(count) = counts.get_mut(allocation.pool)
            {
                *count += 1;
            }
        }
        counts
    }

    /// What was counted so far.
    pub(crate) const fn counts(&self) -> Counts {
        self.counts
    }

    /// Has a Service looked at.
    fn call(&mut self, key: &ServiceKey) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        match account.flight {
            Flight::None if self.has_pools => {
                let object = &account.seen.object;
                let is_new = object.recorded.is_empty() && account.assumed.is_none();
                self.due.insert(Turn { is_new, created: object.created, key: key.clone() });
            }
            Flight::None => {}
            Flight::Writing | Flight::Called => account.flight = Flight::Called,
        }
    }

    /// Has those looked at who wait and for whom something became free since; false where there is nobody ([CTRL-27]).
    fn consider_waiting(&mut self) -> bool {
        let generation = self.allocator.freed_generation();
        if self.considered == generation {
            return false;
        }
        self.considered = generation;
        let stale: Vec<ServiceKey> = self
            .waiting
            .iter()
            .filter(|key| self.accounts.get(*key).is_some_and(|account| account.generation != generation))
            .cloned()
            .collect();
        for key in &stale {
            self.call(key);
        }
        !self.due.is_empty()
    }

    /// What a Service failed at may be over.
    fn try_again(&mut self, key: &ServiceKey) {
        if let Some(account) = self.accounts.get_mut(key).filter(|account| !account.fault.is_own()) {
            account.not_before = Timestamp::ZERO;
            self.call(key);
        }
    }

    fn forget(&mut self, key: &ServiceKey) {
        self.waiting.remove(key);
        self.untried.remove(key);
        self.trouble.forget(key);
        let before = self.holding(key);
        let held = self.allocator.forget_by_key(key);
        self.record_departure(key, &before);
        let Some(_) = self.accounts.remove(key) else { return };
        self.counts.departures += 1;
        let touched = self.lingering.replace(key, BTreeSet::new());
        self.balance(touched.iter().copied().chain(held.iter().flat_map(ServiceAddresses::iter)));
    }

    /// The state that a look starts from.
    fn state_of(&self, account: &Account) -> ServiceState {
        let mut state = account.seen.object.state();
        if let Some(assumed) = account.assumed() {
            state.recorded = assumed.recorded.clone();
        }
        if !account.seen.object.is_of_class(self.class.as_deref()) {
            // It has left the class: what it holds is given back ([CTRL-3]).
            state.kind = ServiceKind::Other;
        }
        state
    }

    /// What a Service held that is of another class now.
    fn left_behind(&mut self, key: &ServiceKey, holding: &Holding) -> Vec<IpAddr> {
        let Some(account) = self.accounts.get_mut(key) else { return Vec::new() };
        account.left.extend(holding.iter().flat_map(|(addresses, _)| addresses.iter()));
        account.left.clone()
    }

    fn look(&mut self, now: Timestamp, key: &ServiceKey) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        if account.flight != Flight::None {
            account.flight = Flight::Called;
            return;
        }
        if now < account.not_before {
            self.retries.insert((account.not_before, key.clone()));
            return;
        }
        self.counts.looks += 1;
        if self.strand(key) {
            return;
        }
        let holding = self.holding(key);
        let before = self.lift(key);
        let Some(account) = self.accounts.get(key) else { return };
        let state = self.state_of(account);
        let is_anothers =
            state.kind == ServiceKind::Other && account.seen.object.service_kind == ServiceKind::LoadBalancer;
        let outcome = converge(&mut self.allocator, &state);
        self.record_look(key, &holding, &state, &outcome);
        self.counts.failures += u64::from(outcome.problem.is_some());
        // A problem that leaves the record alone leaves the status alone ([CTRL-37]).
        let is_untouched = outcome.change == Change::Unchanged
            && outcome.pool.is_none()
            && state.recorded != RecordedAddresses::Nothing;
        let desired = match (is_untouched, outcome.addresses, outcome.pool.clone()) {
            _ if is_anothers => Some(Desired::Left(self.left_behind(key, &holding))),
            (true, ..) => None,
            (false, Some(addresses), Some(pool)) => Some(Desired::Addresses { addresses, pool }),
            (false, ..) => Some(Desired::Nothing),
        };
        let is_waiting = outcome.is_waiting() && state.kind == ServiceKind::LoadBalancer;
        if is_waiting {
            self.waiting.insert(key.clone());
        } else {
            self.waiting.remove(key);
        }
        let write = desired.and_then(|desired| self.settle(key, desired));
        self.put_back(key, &before);
        let generation = self.allocator.freed_generation();
        if let Some(account) = self.accounts.get_mut(key) {
            account.generation = generation;
        }
        self.tell(key, &outcome, write.is_some());
        if write.is_none() {
            self.untried.remove(key);
        }
        if let Some(write) = write {
            self.outputs.push_back(Output::Write(write));
        } else if state.kind == ServiceKind::Other && !self.is_releasing(key) {
            self.leave(key);
        }
    }

    /// Takes note of what shall be said, and of the write that it needs.
    fn settle(&mut self, key: &ServiceKey, desired: Desired) -> Option<StatusWrite> {
        let account = self.accounts.get_mut(key)?;
        if let Some(assumed) = account.assumed_mut()
            && let Some(written) = &assumed.written
        {
            // The API server has more than the cache has shown: the next event tells the version to build on, and calls again.
            assumed.recorded = desired.recorded();
            account.is_releasing = desired.is_nothing() && *written != desired;
            return None;
        }
        // Where an earlier write was not answered, a write that changes nothing finds out whether it was carried out.
        let is_certain = account.assumed().is_none_or(|assumed| assumed.sent.is_empty());
        if is_certain && desired.is_said_by(&account.seen) {
            account.assumed = None;
            account.is_releasing = false;
            return None;
        }
        account.is_releasing = desired.is_nothing();
        let sent = account.assumed_mut().map(|assumed| std::mem::take(&mut assumed.sent)).unwrap_or_default();
        account.assumed = Some(Assumed {
            against: account.seen.resource_version().into(),
            recorded: desired.recorded(),
            written: None,
            sending: desired.addresses().to_vec(),
            sent,
        });
        account.flight = Flight::Writing;
        account.writes_on = account.seen.resource_version().into();
        Some(StatusWrite { key: key.clone(), seen: Arc::clone(&account.seen), desired })
    }

    fn is_releasing(&self, key: &ServiceKey) -> bool {
        self.accounts.get(key).is_some_and(|account| account.is_releasing)
    }

    /// Has nothing to do with a Service that wants nothing and has nothing any more.
    fn leave(&mut self, key: &ServiceKey) {
        let is_ours = self.accounts.get(key).is_some_and(|account| {
            account.seen.object.is_of_class(self.class.as_deref()) && account.assumed().is_some()
        });
        if !is_ours {
            self.forget(key);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
