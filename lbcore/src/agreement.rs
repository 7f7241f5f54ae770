//! How daemons without a common store agree on who has which address ([OWN-60]).
//!
//! Each daemon publishes a table of its own Services: the addresses it holds for each and since when, or that it has none yet.
//! [`agree`] looks at the tables of all live members at once and says what this daemon has to do for each of its Services. It is a
//! pure function, and daemons that see the same tables come to the same result.
//!
//! The rules, in order:
//! 1. *Live before recorded.* What a daemon finds in its own file at start is a record, not a claim: while it was down, the
//!    Service may have gone and the address been given to another. So it listens first, and a claim of any live member beats it.
//! 2. *Older before younger.* Claims are taken in the order of their age, then node name, then addresses. A claim stands if its
//!    Service has no older one and none of its addresses is held by an older one of a Service that cannot share it.
//! 3. *One allocates.* For a Service that nobody claims, the member with the youngest record of it speaks first (the youngest,
//!    since a daemon with an older one was down when it was replaced), else the lowest name. Only members count whose table names the
//!    Service: a daemon whose files are behind cannot allocate it. Everybody else waits for the claim.
//! 4. A claim that this node's own configuration refuses is neither adopted nor stands in the way of the Service's other claims, but
//!    its addresses are in use there and are not handed out here.
//!
//! In a table an empty entry says "I have this Service and no address for it", and its age, where it is not 0, "but a record as young as
//! that".
//!
//! The age is by the clock of the daemon that allocated, and travels with the claim; a wrong clock decides conflicts wrongly, but
//! the same way everywhere.

use core::cmp::Reverse;
use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub use crate::ownership::Assignment;
use crate::service::{NodeName, ServiceKey};

/// Whether this node has listened to the segment long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listening {
    /// Members may be there that were not heard yet.
    Ongoing,
    /// Everybody who can be heard was heard.
    Done,
}

/// Whether the whole table of a member is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Parts are missing still.
    Partly,
    /// It is what the member said last.
    Whole,
}

/// A live member and its table.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Its name.
    pub name: &'a NodeName,
    /// What it published.
    pub table: &'a BTreeMap<ServiceKey, Assignment>,
    /// Whether that is all of it.
    pub known: Known,
}

/// Whether this daemon bids for the allocation of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Candidacy {
    /// Its published table does not name the Service: it could not allocate it, or has it since this moment.
    Silent,
    /// Its table names the Service, but others may not have heard yet.
    Fresh,
    /// Everybody has heard.
    Settled,
}

/// What this daemon has of one of its own Services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it holds and has published.
    pub live: Option<Assignment>,
    /// What its file said at start, until it is confirmed or void.
    pub record: Option<Assignment>,
    /// Whether it bids.
    pub candidacy: Candidacy,
}

/// All that the decision depends on.
#[derive(Debug)]
pub struct View<'a> {
    /// This node.
    pub node: &'a NodeName,
    /// Whether it has heard everybody.
    pub listening: Listening,
    /// Its own Services: those in its files.
    pub own: &'a BTreeMap<ServiceKey, Entry>,
    /// The live members without itself, each once.
    pub members: &'a [Member<'a>],
}

/// What only this node's configuration can say.
pub trait Judge {
    /// Whether one of this node's Services may have these addresses, whoever else holds them.
    fn accepts(&self, service: &ServiceKey, addresses: &[IpAddr]) -> bool;

    /// Whether two of this node's Services may hold one address together.
    fn may_share(&self, one: &ServiceKey, other: &ServiceKey) -> bool;
}

/// Why a claim of this node gives way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// An older claim of another Service holds the address.
    Address {
        /// The address.
        address: IpAddr,
        /// The Service that keeps it.
        keeper: ServiceKey,
        /// A node that claims it for that Service.
        node: NodeName,
    },
    /// The Service's own request or the pools do not allow the addresses any more.
    Refused,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { address, keeper, node } => {
                write!(f, "{address} was claimed earlier for {keeper} (by node {node})")
            }
            Self::Refused => f.write_str("pools or request do not allow its addresses any more"),
        }
    }
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The segment is listened to.
    Listen,
    /// The rest of this member's table.
    Table(NodeName),
    /// That everybody hears that this node has the Service.
    Settle,
    /// This member allocates.
    Member(NodeName),
    /// Nobody bids: those who have the Service could not allocate it.
    Candidate,
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen => f.write_str("the segment is listened to first"),
            Self::Table(node) => write!(f, "the table of node {node} is not complete yet"),
            Self::Settle => f.write_str("the other nodes are told first"),
            Self::Member(node) => write!(f, "node {node} allocates it"),
            Self::Candidate => f.write_str("no node can allocate it"),
        }
    }
}

/// What to do for one of this node's Services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The live assignment stands; `since_ms` is the oldest known age of it, perhaps another daemon's.
    Keep {
        /// Milliseconds since 1970.
        since_ms: u64,
    },
    /// Take over what another live member claims, in place of what is held now.
    Adopt {
        /// Addresses and age.
        assignment: Assignment,
        /// Who claims it.
        from: NodeName,
    },
    /// Nobody contradicts the record: it is live from now on.
    Confirm(Assignment),
    /// Choose addresses.
    AllocateHere,
    /// Do nothing yet.
    Wait(Wait),
    /// Release what is held.
    GiveUp(Conflict),
}

/// The whole result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    /// For every Service of the view.
    pub verdicts: BTreeMap<ServiceKey, Verdict>,
    /// Addresses that live members hold for Services which do not hold them here: not to be handed out.
    pub reserved: BTreeMap<IpAddr, ServiceKey>,
    /// Services whose record can never be confirmed: forget it. Sorted.
    pub void_records: Vec<ServiceKey>,
}

/// The table to publish: what is held, and an empty entry for each Service that is bid for.
pub fn table(own: &BTreeMap<ServiceKey, Entry>) -> BTreeMap<ServiceKey, Assignment> {
    let bid = |entry: &Entry| Assignment {
        addresses: Vec::new(),
        since_ms: entry.record.as_ref().map_or(0, |record| record.since_ms),
    };
    own.iter()
        .filter(|(_, entry)| entry.live.is_some() || entry.candidacy != Candidacy::Silent)
        .map(|(service, entry)| (service.clone(), entry.live.clone().unwrap_or_else(|| bid(entry))))
        .collect()
}

/// Decides for all of this node's Services.
///
/// Source: [OWN-60].
pub fn agree(view: &View<'_>, judge: &dyn Judge) -> Agreement {
    let claims = collect(view);
    let standing = Standing::settle(&claims, view, judge);
    let verdicts = view
        .own
        .iter()
        .map(|(service, entry)| (service.clone(), verdict(view, judge, &standing, service, entry)))
        .collect();
    let is_void = |service: &ServiceKey, entry: &Entry| {
        entry.record.as_ref().is_some_and(|record| !standing.admits(service, record, view, judge))
    };
    let mut void_records = Vec::new();
    if incomplete(view).is_none() {
        let void = view.own.iter().filter(|(service, entry)| is_void(service, entry));
        void_records.extend(void.map(|(service, _)| service.clone()));
    }
    Agreement { verdicts, reserved: reserved(view, &standing), void_records }
}

/// One set of addresses for one Service, by everybody who claims just that.
#[derive(Debug)]
struct Claim<'a> {
    service: &'a ServiceKey,
    addresses: &'a [IpAddr],
    /// The oldest age, and the lowest name among those who tell it.
    since_ms: u64,
    node: &'a NodeName,
    claimants: BTreeSet<&'a NodeName>,
}

/// All live claims, oldest first.
fn collect<'a>(view: &View<'a>) -> Vec<Claim<'a>> {
    let own = view.own.iter().filter_map(|(service, entry)| entry.live.as_ref().map(|live| (view.node, service, live)));
    let theirs = view
        .members
        .iter()
        .flat_map(|member| member.table.iter().map(|(service, claimed)| (member.name, service, claimed)));
    let mut merged: BTreeMap<(&ServiceKey, &[IpAddr]), Claim<'a>> = BTreeMap::new();
    for (node, service, claimed) in own.chain(theirs).filter(|(_, _, claimed)| !claimed.addresses.is_empty()) {
        let since_ms = claimed.since_ms;
        let claim = merged.entry((service, &claimed.addresses)).or_insert_with(|| Claim {
            service,
            addresses: &claimed.addresses,
            since_ms,
            node,
            claimants: BTreeSet::new(),
        });
        claim.claimants.insert(node);
        if (since_ms, node) < (claim.since_ms, claim.node) {
            (claim.since_ms, claim.node) = (since_ms, node);
        }
    }
    let mut claims: Vec<Claim<'a>> = merged.into_values().collect();
    claims.sort_by(|left, right| left.order().cmp(&right.order()));
    claims
}

impl<'a> Claim<'a> {
    fn order(&self) -> (u64, &'a NodeName, &'a [IpAddr], &'a ServiceKey) {
        (self.since_ms, self.node, self.addresses, self.service)
    }
}

/// Which claims stand.
#[derive(Debug, Default)]
struct Standing<'a, 'c> {
    by_service: BTreeMap<&'a ServiceKey, &'c Claim<'a>>,
    by_address: BTreeMap<IpAddr, Vec<&'c Claim<'a>>>,
    /// Why the first claim of a Service without a standing one fell.
    fallen: BTreeMap<&'a ServiceKey, Conflict>,
}

impl<'a, 'c> Standing<'a, 'c> {
    fn settle(claims: &'c [Claim<'a>], view: &View<'a>, judge: &dyn Judge) -> Self {
        let mut standing = Self::default();
        for claim in claims {
            let is_own = view.own.contains_key(claim.service);
            if standing.by_service.contains_key(claim.service) {
                continue;
            }
            let conflict = if is_own && !judge.accepts(claim.service, claim.addresses) {
                Some(Conflict::Refused)
            } else {
                standing.collision(claim, view, judge)
            };
            if let Some(conflict) = conflict {
                standing.fallen.entry(claim.service).or_insert(conflict);
                continue;
            }
            standing.by_service.insert(claim.service, claim);
            for address in claim.addresses {
                standing.by_address.entry(*address).or_default().push(claim);
            }
        }
        standing
    }

    /// The older claim that keeps one of this claim's addresses from it.
    fn collision(&self, claim: &Claim<'a>, view: &View<'a>, judge: &dyn Judge) -> Option<Conflict> {
        claim.addresses.iter().find_map(|address| {
            let keeper = self.by_address.get(address)?.iter().find(|holder| !shares(holder, claim, view, judge))?;
            Some(Conflict::Address { address: *address, keeper: keeper.service.clone(), node: keeper.node.clone() })
        })
    }

    /// Whether a record of this node's could become live beside the standing claims.
    fn admits(&self, service: &ServiceKey, record: &Assignment, view: &View<'a>, judge: &dyn Judge) -> bool {
        judge.accepts(service, &record.addresses)
            && record.addresses.iter().all(|address| {
                self.by_address.get(address).is_none_or(|holders| {
                    let may_share = |holder: &ServiceKey| judge.may_share(holder, service);
                    holders.iter().all(|holder| view.own.contains_key(holder.service) && may_share(holder.service))
                })
            })
    }

    /// The record with an age below that of the claims whose addresses it joins: who was away cannot be senior to who stayed.
    fn junior(&self, record: &Assignment) -> Assignment {
        let holders = record.addresses.iter().filter_map(|address| self.by_address.get(address)).flatten();
        let youngest = holders.map(|holder| holder.since_ms.saturating_add(1)).max();
        Assignment { since_ms: record.since_ms.max(youngest.unwrap_or_default()), ..record.clone() }
    }
}

/// Two Services on one address are fine where this node can tell, or where one member that knows both holds both.
fn shares(one: &Claim<'_>, other: &Claim<'_>, view: &View<'_>, judge: &dyn Judge) -> bool {
    if view.own.contains_key(one.service) && view.own.contains_key(other.service) {
        judge.may_share(one.service, other.service)
    } else {
        one.claimants.intersection(&other.claimants).next().is_some()
    }
}

fn verdict(
    view: &View<'_>,
    judge: &dyn Judge,
    standing: &Standing<'_, '_>,
    service: &ServiceKey,
    entry: &Entry,
) -> Verdict {
    let incomplete = incomplete(view);
    if let Some(claim) = standing.by_service.get(service) {
        return match (&entry.live, incomplete) {
            (Some(live), _) if live.addresses == claim.addresses => Verdict::Keep { since_ms: claim.since_ms },
            // An older claim may be in what is still missing; what is held already gives way at once.
            (None, Some(wait)) => Verdict::Wait(wait),
            (_, _) => Verdict::Adopt {
                assignment: Assignment { addresses: claim.addresses.to_vec(), since_ms: claim.since_ms },
                from: claim.node.clone(),
            },
        };
    }
    if entry.live.is_some() {
        return Verdict::GiveUp(standing.fallen.get(service).cloned().unwrap_or(Conflict::Refused));
    }
    if let Some(wait) = incomplete {
        return Verdict::Wait(wait);
    }
    let record = entry.record.as_ref().filter(|record| standing.admits(service, record, view, judge));
    match first_bidder(view, judge, service, entry, record) {
        None => Verdict::Wait(Wait::Candidate),
        Some(node) if node != view.node => Verdict::Wait(Wait::Member(node.clone())),
        Some(_) if entry.candidacy == Candidacy::Fresh && !view.members.is_empty() => Verdict::Wait(Wait::Settle),
        Some(_) => record.map_or(Verdict::AllocateHere, |record| Verdict::Confirm(standing.junior(record))),
    }
}

/// What is missing before anything can be called unclaimed.
fn incomplete(view: &View<'_>) -> Option<Wait> {
    if view.listening == Listening::Ongoing {
        return Some(Wait::Listen);
    }
    let partly = view.members.iter().find(|member| member.known == Known::Partly)?;
    Some(Wait::Table(partly.name.clone()))
}

/// Who speaks first for a Service that nobody claims: youngest record, then lowest name. A member that is content with addresses which
/// this node refuses will not allocate others, so it does not bid.
fn first_bidder<'a>(
    view: &View<'a>,
    judge: &dyn Judge,
    service: &ServiceKey,
    entry: &Entry,
    record: Option<&Assignment>,
) -> Option<&'a NodeName> {
    let own =
        (entry.candidacy != Candidacy::Silent).then(|| (Reverse(record.map(|record| record.since_ms)), view.node));
    let theirs = view.members.iter().filter_map(|member| {
        let published = member.table.get(service)?;
        let bids = published.addresses.is_empty() || judge.accepts(service, &published.addresses);
        let recorded = published.addresses.is_empty() && published.since_ms > 0;
        bids.then_some((Reverse(recorded.then_some(published.since_ms)), member.name))
    });
    own.into_iter().chain(theirs).min().map(|(_, node)| node)
}

fn reserved(view: &View<'_>, standing: &Standing<'_, '_>) -> BTreeMap<IpAddr, ServiceKey> {
    let mut reserved = BTreeMap::new();
    for (service, claimed) in view.members.iter().flat_map(|member| member.table) {
        let standing_here = standing.by_service.get(service).filter(|_| view.own.contains_key(service));
        let held_here = standing_here.map_or(&[][..], |claim| claim.addresses);
        for address in claimed.addresses.iter().filter(|address| !held_here.contains(address)) {
            reserved.insert(*address, service.clone());
        }
    }
    reserved
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod simulation;
