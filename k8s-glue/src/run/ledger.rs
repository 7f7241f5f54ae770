//! Who has which address on this host, and how that changes: allocation and the agreement with other daemons brought together.
//!
//! [`Ledger::pass`] does everything that the present input, the members' tables and the clock allow, and says what changed. It reads no
//! clock and writes nothing. The host makes [`Ledger::records`] durable after a pass, and only then publishes [`Ledger::table`] and
//! announces [`Ledger::held`] ([OWN-60]).
//!
//! Invariants: what the allocator holds for a Service is its live assignment or its record; addresses that members hold for other
//! Services are reserved in the allocator; a live assignment changes only by an edit of the input or by a conflict, and each change is
//! reported with its cause.

mod judge;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use lbcore::addresses::{RecordedAddresses, ServiceAddresses};
use lbcore::agreement::{self, Agreement, Assignment, Candidacy, Entry, Listening, Member, Verdict, View, Wait};
use lbcore::allocator::{Allocator, Hold, NoAddress, PoolsError};
use lbcore::config::Config;
use lbcore::converge::{ServiceKind, ServiceState, converge, replay};
use lbcore::ledger::{Cause, Why};
use lbcore::service::{NodeName, PoolName, ServiceKey};
use lbcore::time::{Timestamp, UnixTime};

use self::judge::Bench;
use crate::state::RecordedService;

/// What a Service without a time of its own in the file counts as: older than everything allocated by a daemon.
const OLDEST: u64 = 1;

/// Something to tell the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// Addresses were chosen here.
    Allocated { service: ServiceKey, addresses: Vec<IpAddr>, pool: PoolName },
    /// Another node's choice was taken over, in place of other addresses where there were some.
    Adopted { service: ServiceKey, addresses: Vec<IpAddr>, from: NodeName, before: Vec<IpAddr> },
    /// The addresses of the state file hold.
    Restored { service: ServiceKey, addresses: Vec<IpAddr> },
    /// The Service is gone from the input, and its addresses are free.
    Released { service: ServiceKey, addresses: Vec<IpAddr> },
    /// Addresses were given up for this reason; others follow.
    GivenUp { service: ServiceKey, addresses: Vec<IpAddr>, cause: Cause },
    /// The addresses of the state file do not hold.
    RecordVoid { service: ServiceKey, addresses: Vec<IpAddr>, cause: Cause },
    /// There is no address to be had here.
    Unmet { service: ServiceKey, cause: NoAddress },
    /// The Service has no address yet, because something has to happen first.
    Waits { service: ServiceKey, wait: Wait },
}

/// What a pass led to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// In the order of what was done.
    pub(crate) reports: Vec<Report>,
}

/// One Service of the input.
#[derive(Clone, Debug)]
struct Account {
    state: ServiceState,
    live: Option<Assignment>,
    record: Option<Assignment>,
    /// When a table that names it was published, without a pause since.
    listed_at: Option<Timestamp>,
    /// The last refusal, and the allocator's generation at that time.
    refused: Option<(u64, NoAddress)>,
    /// The terms may differ from those the allocator knows.
    is_stale: bool,
    /// The last wait that was told.
    told: Option<Wait>,
}

/// The accounts of all Services of the input.
#[derive(Debug)]
pub(crate) struct Ledger {
    node: NodeName,
    settle: Duration,
    allocator: Allocator,
    bench: Bench,
    accounts: BTreeMap<ServiceKey, Account>,
    reserved: BTreeMap<IpAddr, ServiceKey>,
}

/// What the world looks like at a pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances<'a> {
    /// The clock of deadlines.
    pub(crate) now: Timestamp,
    /// Milliseconds since 1970.
    pub(crate) wall_ms: u64,
    pub(crate) listening: Listening,
    pub(crate) members: &'a [Member<'a>],
}

impl Ledger {
    /// Opens the accounts of a host that starts: recorded addresses, and those that wait, are entered before anything can be allocated
    /// ([CTRL-17]). `settle` is how long members may take to hear a table.
    ///
    /// # Errors
    /// [`PoolsError`], which a checked configuration does not cause.
    pub(crate) fn open(
        node: NodeName,
        settle: Duration,
        config: &Config,
        states: Vec<ServiceState>,
        records: &BTreeMap<ServiceKey, RecordedService>,
        (wall, holds): (UnixTime, Vec<Hold>),
    ) -> Result<(Self, Vec<Report>), PoolsError> {
        let mut allocator = Allocator::default();
        allocator.follow(config)?;
        allocator.restore_holds(wall, holds);
        let bench = Bench::new(config)?;
        let mut ledger = Self { node, settle, allocator, bench, accounts: BTreeMap::new(), reserved: BTreeMap::new() };
        for state in states {
            let record = records
                .get(&state.key)
                .map(|recorded| Assignment { addresses: recorded.addresses.clone(), since_ms: recorded.since });
            let record = record.or_else(|| record_of_status(&state));
            ledger.accounts.insert(state.key.clone(), Account::new(state, record));
        }
        let reports = ledger.replay();
        Ok((ledger, reports))
    }

    fn replay(&mut self) -> Vec<Report> {
        let recorded: Vec<ServiceState> =
            self.accounts.values().filter_map(|account| Some(account.with(account.record.as_ref()?))).collect();
        let refused = replay(&mut self.allocator, &recorded);
        let void = refused.into_iter().filter_map(|(key, cause)| {
            let record = self.accounts.get_mut(&key)?.record.take()?;
            Some(Report::RecordVoid { service: key, addresses: record.addresses, cause: (&cause).into() })
        });
        void.collect()
    }

    /// Takes another input: pools and policies where they changed, and all Services. Addresses of Services that are gone are free at once,
    /// or wait as policies say.
    ///
    /// # Errors
    /// [`PoolsError`], which a checked configuration does not cause; nothing is changed then.
    pub(crate) fn replace_input(
        &mut self,
        config: Option<&Config>,
        states: Vec<ServiceState>,
    ) -> Result<Outcome, PoolsError> {
        if let Some(config) = config {
            let bench = Bench::new(config)?;
            self.allocator.follow(config)?;
            self.bench = bench;
            for account in self.accounts.values_mut() {
                account.touch();
            }
        }
        let mut before = std::mem::take(&mut self.accounts);
        for state in states {
            let key = state.key.clone();
            let account = match before.remove(&key) {
                Some(mut account) => {
                    if account.state != state {
                        self.bench.forget(&key);
                        account.state = state;
                        account.touch();
                    }
                    account
                }
                None => Account::new(state, None),
            };
            self.accounts.insert(key, account);
        }
        let mut outcome = Outcome::default();
        for (service, account) in before {
            self.bench.forget(&service);
            self.allocator.forget_by_key(&service);
            if let Some(held) = account.live.or(account.record) {
                outcome.reports.push(Report::Released { service, addresses: held.addresses });
            }
        }
        Ok(outcome)
    }

    /// Does what can be done now.
    pub(crate) fn pass(&mut self, circumstances: Circumstances<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        let agreement = self.agree(&circumstances);
        self.reserve(&agreement);
        self.make_room(&agreement, &mut outcome);
        for (service, verdict) in &agreement.verdicts {
            self.settle(service, verdict, &mut outcome);
        }
        let mut open: Vec<&ServiceKey> = agreement
            .verdicts
            .iter()
            .filter(|(_, verdict)| **verdict == Verdict::AllocateHere)
            .map(|(service, _)| service)
            .collect();
        // The oldest first, as a plan does it ([CTRL-17]).
        open.sort_by_key(|service| self.accounts.get(*service).map(|account| account.state.created));
        for service in open {
            self.allocate(service, circumstances.wall_ms, &mut outcome);
        }
        outcome
    }

    fn agree(&self, circumstances: &Circumstances<'_>) -> Agreement {
        let generation = self.allocator.freed_generation();
        let entry = |account: &Account| Entry {
            live: account.live.clone(),
            record: account.record.clone(),
            candidacy: account.candidacy(generation, circumstances.now, self.settle),
        };
        let own = self.accounts.iter().map(|(key, account)| (key.clone(), entry(account))).collect();
        let view =
            View { node: &self.node, listening: circumstances.listening, own: &own, members: circumstances.members };
        agreement::agree(&view, &self.bench.judge(&self.accounts))
    }

    /// Keeps the allocator from handing out what members hold.
    fn reserve(&mut self, agreement: &Agreement) {
        let standing = self.standing(agreement);
        let wanted: BTreeMap<IpAddr, ServiceKey> = agreement
            .reserved
            .iter()
            .filter(|(address, _)| !standing.contains(*address))
            .map(|(address, service)| (*address, service.clone()))
            .collect();
        for address in self.reserved.keys().filter(|address| !wanted.contains_key(*address)) {
            self.allocator.unreserve(*address);
        }
        for (address, service) in
            wanted.iter().filter(|(address, service)| self.reserved.get(*address) != Some(*service))
        {
            self.allocator.reserve(*address, service.as_str());
        }
        self.reserved = wanted;
    }

    /// The addresses that this node's own Services keep or take by this agreement: the allocator knows their holders.
    fn standing(&self, agreement: &Agreement) -> BTreeSet<IpAddr> {
        let mut standing = BTreeSet::new();
        for (service, verdict) in &agreement.verdicts {
            match verdict {
                Verdict::Keep { .. } => {
                    let live = self.accounts.get(service).and_then(|account| account.live.as_ref());
                    standing.extend(live.into_iter().flat_map(|live| &live.addresses));
                }
                Verdict::Adopt { assignment, .. } | Verdict::Confirm(assignment) => {
                    standing.extend(&assignment.addresses);
                }
                Verdict::AllocateHere | Verdict::GiveUp(_) | Verdict::Wait(_) => {}
            }
        }
        standing
    }

    /// Takes from the allocator everything that does not stand, so that what does can be entered in any order.
    fn make_room(&mut self, agreement: &Agreement, outcome: &mut Outcome) {
        for service in &agreement.void_records {
            let Some(account) = self.accounts.get_mut(service) else { continue };
            if let Some(record) = account.record.take() {
                let comes_back = matches!(
                    agreement.verdicts.get(service),
                    Some(Verdict::Adopt { assignment, .. }) if assignment.addresses == record.addresses
                );
                if comes_back {
                    continue;
                }
                self.allocator.release_by_key(service);
                let cause = Cause::new(Why::Conflict, "its addresses are held by others, or not allowed any more");
                outcome.reports.push(Report::RecordVoid {
                    service: service.clone(),
                    addresses: record.addresses,
                    cause,
                });
            }
        }
        for (service, verdict) in &agreement.verdicts {
            match verdict {
                Verdict::GiveUp(conflict) => {
                    self.give_up(service, Cause::new(Why::Conflict, conflict.to_string()), outcome);
                }
                Verdict::Adopt { assignment, from } => {
                    let account = self.accounts.get_mut(service);
                    let other = account
                        .and_then(|account| account.record.take_if(|record| record.addresses != assignment.addresses));
                    if let Some(record) = other {
                        let (service, addresses) = (service.clone(), record.addresses);
                        let cause = Cause::new(Why::Adoption, format!("node {from} holds other addresses for it"));
                        outcome.reports.push(Report::RecordVoid { service, addresses, cause });
                    }
                    let held = self.allocator.allocation_by_key(service);
                    if held.is_some_and(|held| held.addresses.as_slice() != assignment.addresses) {
                        self.allocator.release_by_key(service);
                    }
                }
                Verdict::AllocateHere | Verdict::Confirm(_) | Verdict::Keep { .. } | Verdict::Wait(_) => {}
            }
        }
    }

    fn give_up(&mut self, service: &ServiceKey, cause: Cause, outcome: &mut Outcome) {
        let Some(account) = self.accounts.get_mut(service) else { return };
        self.allocator.release_by_key(service);
        account.listed_at = None;
        account.touch();
        if let Some(live) = account.live.take() {
            outcome.reports.push(Report::GivenUp { service: service.clone(), addresses: live.addresses, cause });
        }
    }

    fn settle(&mut self, service: &ServiceKey, verdict: &Verdict, outcome: &mut Outcome) {
        match verdict {
            Verdict::Keep { since_ms } => self.keep(service, *since_ms, outcome),
            Verdict::Adopt { assignment, from } => {
                if let Some(before) = self.enter(service, assignment, outcome) {
                    let (service, addresses, from) = (service.clone(), assignment.addresses.clone(), from.clone());
                    outcome.reports.push(Report::Adopted { service, addresses, from, before });
                }
            }
            Verdict::Confirm(assignment) => {
                if self.enter(service, assignment, outcome).is_some() {
                    let (service, addresses) = (service.clone(), assignment.addresses.clone());
                    outcome.reports.push(Report::Restored { service, addresses });
                }
            }
            Verdict::Wait(wait) => {
                let Some(account) = self.accounts.get_mut(service) else { return };
                if account.told.as_ref() != Some(wait) {
                    account.told = Some(wait.clone());
                    outcome.reports.push(Report::Waits { service: service.clone(), wait: wait.clone() });
                }
            }
            Verdict::AllocateHere | Verdict::GiveUp(_) => {}
        }
    }

    fn keep(&mut self, service: &ServiceKey, since_ms: u64, outcome: &mut Outcome) {
        let Some(account) = self.accounts.get_mut(service) else { return };
        let Some(live) = &mut account.live else { return };
        live.since_ms = since_ms;
        if !account.is_stale {
            return;
        }
        account.is_stale = false;
        let entered = self.allocator.assign_by_key(service, &account.state.terms, &live.addresses);
        if let Err(cause) = entered {
            self.give_up(service, (&cause).into(), outcome);
        }
    }

    /// Makes an assignment live; returns the addresses before. Where the allocator refuses, the Service is left without.
    fn enter(&mut self, service: &ServiceKey, assignment: &Assignment, outcome: &mut Outcome) -> Option<Vec<IpAddr>> {
        let account = self.accounts.get_mut(service)?;
        account.told = None;
        match self.allocator.assign_by_key(service, &account.state.terms, &assignment.addresses) {
            Ok(_) => {
                account.record = None;
                account.refused = None;
                account.is_stale = false;
                let before = account.live.replace(assignment.clone());
                Some(before.map(|live| live.addresses).unwrap_or_default())
            }
            Err(cause) => {
                account.record = None;
                let is_new = account.refused.as_ref().is_none_or(|(_, before)| *before != cause);
                account.refused = Some((self.allocator.freed_generation(), cause.clone()));
                if account.live.is_some() {
                    self.give_up(service, (&cause).into(), outcome);
                } else if is_new {
                    outcome.reports.push(Report::Unmet { service: service.clone(), cause });
                }
                None
            }
        }
    }

    fn allocate(&mut self, service: &ServiceKey, wall_ms: u64, outcome: &mut Outcome) {
        let Some(account) = self.accounts.get_mut(service) else { return };
        account.told = None;
        let state = ServiceState { recorded: RecordedAddresses::Nothing, ..account.state.clone() };
        let converged = converge(&mut self.allocator, &state);
        match (converged.addresses, converged.pool, converged.problem) {
            (Some(addresses), Some(pool), _) => {
                let addresses = addresses.as_slice().to_vec();
                account.live = Some(Assignment { addresses: addresses.clone(), since_ms: wall_ms });
                account.record = None;
                account.refused = None;
                account.is_stale = false;
                outcome.reports.push(Report::Allocated { service: service.clone(), addresses, pool });
            }
            (_, _, Some(cause)) => {
                let is_new = account.refused.as_ref().is_none_or(|(_, before)| *before != cause);
                account.refused = Some((self.allocator.freed_generation(), cause.clone()));
                if is_new {
                    outcome.reports.push(Report::Unmet { service: service.clone(), cause });
                }
            }
            (_, _, None) => {}
        }
    }

    /// What has to be on disk before anything of it is published or announced.
    pub(crate) fn records(&self) -> BTreeMap<ServiceKey, RecordedService> {
        let record = |(service, account): (&ServiceKey, &Account)| {
            let kept = account.live.as_ref().or(account.record.as_ref())?;
            let pool = self.allocator.allocation_by_key(service)?.pool.clone();
            Some((service.clone(), RecordedService { addresses: kept.addresses.clone(), pool, since: kept.since_ms }))
        };
        self.accounts.iter().filter_map(record).collect()
    }

    /// What the other daemons shall hear.
    pub(crate) fn table(&self, now: Timestamp) -> BTreeMap<ServiceKey, Assignment> {
        let generation = self.allocator.freed_generation();
        let entry = |account: &Account| Entry {
            live: account.live.clone(),
            record: account.record.clone(),
            candidacy: account.candidacy(generation, now, self.settle),
        };
        agreement::table(&self.accounts.iter().map(|(key, account)| (key.clone(), entry(account))).collect())
    }

    /// Takes note that a table was published at this moment.
    pub(crate) fn table_published(&mut self, now: Timestamp, table: &BTreeMap<ServiceKey, Assignment>) {
        for (service, account) in &mut self.accounts {
            if table.contains_key(service) {
                account.listed_at.get_or_insert(now);
            } else {
                account.listed_at = None;
            }
        }
    }

    /// When a pass may do more than the last, if nothing else happens.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        let waits = self.accounts.values().filter(|account| account.told == Some(Wait::Settle));
        waits.filter_map(|account| account.listed_at).min().map(|listed| listed + self.settle)
    }

    /// The live addresses of every Service that has some.
    pub(crate) fn held(&self) -> impl Iterator<Item = (&ServiceKey, &[IpAddr])> {
        self.accounts.iter().filter_map(|(key, account)| Some((key, account.live.as_ref()?.addresses.as_slice())))
    }
}

impl Account {
    fn new(state: ServiceState, record: Option<Assignment>) -> Self {
        Self { state, live: None, record, listed_at: None, refused: None, is_stale: false, told: None }
    }

    /// Forgets what was known of the old input.
    fn touch(&mut self) {
        self.refused = None;
        self.is_stale = true;
    }

    fn candidacy(&self, generation: u64, now: Timestamp, settle: Duration) -> Candidacy {
        match (&self.refused, self.listed_at) {
            (Some((refused_at, _)), _) if *refused_at == generation => Candidacy::Silent,
            (_, Some(listed)) if now.since(listed) >= settle => Candidacy::Settled,
            _ => Candidacy::Fresh,
        }
    }

    /// Its state with these addresses as the record.
    fn with(&self, assignment: &Assignment) -> ServiceState {
        let recorded =
            ServiceAddresses::new(&assignment.addresses).map_or(RecordedAddresses::Nothing, RecordedAddresses::Known);
        ServiceState { recorded, ..self.state.clone() }
    }
}

/// Addresses in the status of the file, such as one exported from a cluster, where the state file knows none.
fn record_of_status(state: &ServiceState) -> Option<Assignment> {
    let known = state.recorded.known()?;
    let since_ms = u64::try_from(state.created.0).unwrap_or_default().saturating_mul(1_000).max(OLDEST);
    Some(Assignment { addresses: known.as_slice().to_vec(), since_ms })
}

/// Whether a Service takes part: other types have no addresses ([CTRL-30]).
pub(crate) fn takes_part(state: &ServiceState) -> bool {
    state.kind == ServiceKind::LoadBalancer
}

#[cfg(test)]
mod tests;
