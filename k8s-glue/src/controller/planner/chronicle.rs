//! What looks and departures do to addresses, as entries of the ledger.

use std::collections::BTreeMap;
use std::net::IpAddr;

use lbcore::addresses::{RecordedAddresses, ServiceAddresses};
use lbcore::allocator::{Hold, HoldReason};
use lbcore::converge::{Convergence, Notice, ServiceKind, ServiceState};
use lbcore::ledger::{Cause, Entry, Event, Held, Why, changes};
use lbcore::service::{PoolName, ServiceKey};

use super::Planner;

/// What a Service holds, and of which pool.
pub(super) type Holding = Option<(ServiceAddresses, PoolName)>;
/// Kept addresses with their pools.
pub(super) type Kept = BTreeMap<IpAddr, PoolName>;

impl Planner {
    /// What a Service holds now.
    pub(super) fn holding(&self, key: &ServiceKey) -> Holding {
        self.allocator.allocation_by_key(key).map(|held| (held.addresses, held.pool.clone()))
    }

    /// The addresses that wait.
    pub(super) fn holds_by_address(&self) -> BTreeMap<IpAddr, Hold> {
        self.allocator.holds().map(|hold| (hold.address, hold.clone())).collect()
    }

    /// The addresses that freezes keep.
    pub(super) fn kept_by_address(&self) -> Kept {
        let of_pool = |pool: &lbcore::pool::Pool| {
            let name = pool.name.clone();
            pool.kept.iter().map(move |address| (*address, name.clone())).collect::<Vec<_>>()
        };
        self.allocator.pools().flat_map(of_pool).collect()
    }

    /// Records what a look led to.
    pub(super) fn record_look(
        &mut self,
        key: &ServiceKey,
        before: &Holding,
        state: &ServiceState,
        outcome: &Convergence,
    ) {
        let after = self.holding(key);
        if *before == after {
            return;
        }
        let loss = cause_of_loss(state, outcome);
        let gain = cause_of_gain(state, outcome, after.as_ref());
        self.record(key, before, &after, &loss, &gain);
    }

    /// Records that a Service went.
    pub(super) fn record_departure(&mut self, key: &ServiceKey, before: &Holding) {
        if before.is_some() {
            let cause = Cause::new(Why::ServiceGone, "the Service is gone, or is not of this class");
            self.record(key, before, &None, &cause, &cause);
        }
    }

    fn record(&mut self, key: &ServiceKey, before: &Holding, after: &Holding, loss: &Cause, gain: &Cause) {
        let mut entries = changes(self.wall, key, held(before.as_ref()), held(after.as_ref()), loss);
        for entry in entries.iter_mut().filter(|entry| entry.event == Event::Granted) {
            entry.cause = gain.clone();
        }
        let given_up = entries.iter().filter(|entry| entry.event != Event::Granted);
        let waiting: Vec<Entry> = given_up.filter_map(|entry| self.entry_of_hold(entry)).collect();
        self.entries.extend(entries);
        self.entries.extend(waiting);
    }

    /// That an address which was given up waits, where it does.
    fn entry_of_hold(&self, given_up: &Entry) -> Option<Entry> {
        self.allocator.next_expiry()?;
        let hold = self.allocator.holds().find(|hold| hold.address == given_up.address)?;
        let until = hold.until;
        let cause = match hold.reason {
            HoldReason::Retention => Cause::new(Why::Retention, format!("its Service may come back until {until}")),
            HoldReason::Cooldown => Cause::new(Why::CoolDown, format!("it cools down until {until}")),
        };
        let service = hold.service.clone();
        Some(Entry { service, event: Event::Held, cause, ..given_up.clone() })
    }

    /// Records that addresses have waited long enough.
    pub(super) fn record_expiries(&mut self, ended: &[Hold]) {
        let cause = Cause::new(Why::Expiry, "its time is over");
        let entries: Vec<Entry> = ended.iter().map(|hold| self.entry(hold, Event::HoldEnded, &cause)).collect();
        self.entries.extend(entries);
    }

    /// Records what other policies have changed.
    pub(super) fn record_policies(&mut self, holds: &BTreeMap<IpAddr, Hold>, kept: &Kept) {
        let (holds_now, kept_now) = (self.holds_by_address(), self.kept_by_address());
        let cause = Cause::new(Why::Operator, "the policies do not let it wait any longer");
        let ended = holds.values().filter(|hold| !holds_now.contains_key(&hold.address));
        let mut entries: Vec<Entry> = ended.map(|hold| self.entry(hold, Event::HoldEnded, &cause)).collect();
        let of_kept = |(address, pool): (&IpAddr, &PoolName), event, cause: &Cause| -> Vec<Entry> {
            let entry = |service: ServiceKey| Entry {
                at: self.wall,
                address: *address,
                service,
                pool: Some(pool.clone()),
                event,
                cause: cause.clone(),
            };
            self.allocator.users_of(*address).into_iter().map(entry).collect()
        };
        let cause = Cause::new(Why::Freeze, "no pool has it any more, and a freeze keeps it");
        let new = kept_now.iter().filter(|(address, _)| !kept.contains_key(*address));
        entries.extend(new.flat_map(|one| of_kept(one, Event::Kept, &cause)));
        let cause = Cause::new(Why::Operator, "its loss is confirmed, or a pool has it again");
        let gone = kept.iter().filter(|(address, _)| !kept_now.contains_key(*address));
        entries.extend(gone.flat_map(|one| of_kept(one, Event::KeepEnded, &cause)));
        self.entries.extend(entries);
    }

    fn entry(&self, hold: &Hold, event: Event, cause: &Cause) -> Entry {
        let pool = self.allocator.pool_of(hold.address).map(|pool| pool.name.clone());
        let (address, service) = (hold.address, hold.service.clone());
        Entry { at: self.wall, address, service, pool, event, cause: cause.clone() }
    }
}

fn held(holding: Option<&(ServiceAddresses, PoolName)>) -> Option<Held<'_>> {
    holding.map(|(addresses, pool)| Held { addresses, pool: Some(pool) })
}

/// Why a Service gives up what it held.
fn cause_of_loss(state: &ServiceState, outcome: &Convergence) -> Cause {
    if state.kind == ServiceKind::Other {
        return Cause::new(Why::ServiceGone, "it is no load balancer of this class any more");
    }
    let cleared = outcome
        .notices
        .iter()
        .find_map(|notice| if let Notice::Cleared { reason, .. } = notice { Some(Cause::from(reason)) } else { None });
    let refused = outcome.problem.as_ref().map(Cause::from);
    cleared.or(refused).unwrap_or_else(|| Cause::new(Why::Request, "what it asks for has changed"))
}

/// Why a Service gets what it holds now.
fn cause_of_gain(state: &ServiceState, outcome: &Convergence, after: Option<&(ServiceAddresses, PoolName)>) -> Cause {
    let is_recorded =
        matches!((&state.recorded, after), (RecordedAddresses::Known(recorded), Some((held, _))) if recorded == held);
    let allocated = outcome.notices.iter().find(|notice| matches!(notice, Notice::Allocated { .. }));
    match allocated {
        Some(notice) => Cause::new(Why::Choice, notice.to_string()),
        None if is_recorded => Cause::new(Why::Record, "it is recorded in its status"),
        None => Cause::new(Why::Request, "it asks for it"),
    }
}
