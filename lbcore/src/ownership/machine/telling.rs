//! What goes out: heartbeats, changed claims and assignments, whole tables on request, relayed claims ([OWN-11] to [OWN-15]).

use core::time::Duration;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::announce::GroupKey;
use crate::link::LinkIndex;
use crate::ownership::claims::{Claim, TableDigest};
use crate::ownership::frame::{
    self, Assignments, Body, Claims, Copy, Frame, Heard, HeardBy, Heartbeat, MOST_HEARD, More, ROOM_FOR_PARTS, Request,
    Table,
};
use crate::ownership::key::KeyId;
use crate::ownership::member::Member;
use crate::ownership::{Assignment, BootId, CarrierId, Destination};
use crate::service::ServiceKey;
use crate::time::Timestamp;

use super::pacing::COPIES;
use super::{Output, Ownership};

/// Frames of whole tables in one call, over all requests.
const JOB_FRAMES_PER_ROUND: usize = 16;
/// Most requests answered at the same time.
pub(super) const MOST_JOBS: usize = 256;
/// Most members between which claims are relayed.
const MOST_RELAYED: usize = 64;
/// Periods for which one member must have missed another before its claims are relayed to it.
const RELAY_AFTER_PERIODS: u32 = 3;

/// Whether frames wait for the allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// What others must know before they act.
    AtOnce,
    /// Repeats.
    Allowance,
}

/// What a job sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// One of our tables.
    Own(Table),
    /// The claims of another member.
    Relayed(BootId),
    /// A request for a table of the member.
    Request(BootId, Table),
}

/// A table on its way to one member, a few frames at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SyncJob {
    link: LinkIndex,
    to: Destination,
    source: Source,
    group: GroupKey,
    service: String,
}

const LOWEST_GROUP: GroupKey = GroupKey(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
const HIGHEST_GROUP: GroupKey = GroupKey(IpAddr::V6(Ipv6Addr::from_bits(u128::MAX)));
const HIGHEST_SERVICE: &str = "\u{10ffff}";

impl SyncJob {
    pub(super) const fn new(link: LinkIndex, to: Destination, source: Source) -> Self {
        Self { link, to, source, group: LOWEST_GROUP, service: String::new() }
    }
}

impl Ownership {
    pub(super) fn add_job(&mut self, job: SyncJob) {
        let same = |other: &SyncJob| other.to == job.to && other.link == job.link && other.source == job.source;
        if self.jobs.len() < MOST_JOBS && !self.jobs.iter().any(same) {
            self.jobs.push_back(job);
        }
    }

    pub(super) fn put_claim(&mut self, claim: Claim) {
        let group = claim.group;
        if self.own_claims.get(group) != Some(&claim) {
            self.own_claims.put(claim);
            self.claim_again(group);
        }
    }

    pub(super) fn withdraw_claim(&mut self, group: GroupKey) {
        if self.own_claims.remove(group).is_some() {
            self.claim_again(group);
        }
    }

    /// Tells a claim, or that there is none any more, three times from now.
    pub(super) fn claim_again(&mut self, group: GroupKey) {
        self.dirty_claims.mark(self.now, group);
    }

    pub(super) fn replace_assignments(&mut self, now: Timestamp, table: BTreeMap<ServiceKey, Assignment>) {
        let before = core::mem::take(&mut self.own_assignments);
        for (service, assignment) in &before {
            if table.get(service) != Some(assignment) {
                self.own_assignments_digest.remove(&frame::encoded_assignment(service, assignment));
                self.dirty_assignments.mark(now, service.clone());
            }
        }
        for (service, assignment) in &table {
            if before.get(service) != Some(assignment) {
                self.own_assignments_digest.add(&frame::encoded_assignment(service, assignment));
                self.dirty_assignments.mark(now, service.clone());
            }
        }
        self.own_assignments = table;
    }

    pub(super) fn next_flush(&self) -> Option<Timestamp> {
        let jobs = (!self.jobs.is_empty()).then_some(self.now + Duration::from_millis(5));
        [self.dirty_claims.next(), self.dirty_assignments.next(), jobs].into_iter().flatten().min()
    }

    /// Sends changes that are due: first copies at once, repeats as far as the allowance goes.
    pub(super) fn flush(&mut self, now: Timestamp) {
        self.flush_claims(now);
        self.flush_assignments(now);
    }

    fn flush_claims(&mut self, now: Timestamp) {
        let (first, repeats) = self.dirty_claims.take_due(now);
        self.tell_claims(now, &first, Pace::AtOnce);
        self.tell_claims(now, &repeats, Pace::Allowance);
    }

    fn tell_claims(&mut self, now: Timestamp, groups: &[GroupKey], pace: Pace) {
        let next = now + self.period() / 2;
        let mut rest = groups;
        while !rest.is_empty() {
            if pace == Pace::Allowance && !self.group_frames.take(now) {
                return self.dirty_claims.drop_repeats(rest);
            }
            let mut body =
                Claims { relayed: None, more: More::No, complete: None, claims: Vec::new(), withdrawn: Vec::new() };
            let mut room = ROOM_FOR_PARTS;
            let mut taken = 0;
            for group in rest {
                let claim = self.own_claims.get(*group);
                let length = claim.map_or(24, |claim| frame::encoded_claim(claim).len());
                if length > room && taken > 0 {
                    break;
                }
                room = room.saturating_sub(length);
                match claim {
                    Some(claim) => body.claims.push(claim.clone()),
                    None => body.withdrawn.push(*group),
                }
                taken += 1;
            }
            let (told, left) = rest.split_at(taken);
            for group in told {
                self.dirty_claims.told(group, next);
            }
            rest = left;
            if !rest.is_empty() {
                body.more = More::Yes;
            }
            self.send_to_all(now, &Body::Claims(body));
        }
    }

    fn flush_assignments(&mut self, now: Timestamp) {
        let (first, repeats) = self.dirty_assignments.take_due(now);
        self.tell_assignments(now, &first, Pace::AtOnce);
        self.tell_assignments(now, &repeats, Pace::Allowance);
    }

    fn tell_assignments(&mut self, now: Timestamp, services: &[ServiceKey], pace: Pace) {
        let next = now + self.period() / 2;
        let mut rest = services;
        while !rest.is_empty() {
            if pace == Pace::Allowance && !self.group_frames.take(now) {
                return self.dirty_assignments.drop_repeats(rest);
            }
            let mut body = Assignments { complete: None, entries: Vec::new(), removed: Vec::new() };
            let mut room = ROOM_FOR_PARTS;
            let mut taken = 0;
            for service in rest {
                let assignment = self.own_assignments.get(service);
                let length =
                    assignment.map_or(service.as_str().len() + 8, |one| frame::encoded_assignment(service, one).len());
                if length > room && taken > 0 {
                    break;
                }
                room = room.saturating_sub(length);
                match assignment {
                    Some(assignment) => body.entries.push((service.clone(), assignment.clone())),
                    None => body.removed.push(service.clone()),
                }
                taken += 1;
            }
            let (told, left) = rest.split_at(taken);
            for service in told {
                self.dirty_assignments.told(service, next);
            }
            rest = left;
            self.send_to_all(now, &Body::Assignments(body));
        }
    }

    pub(super) fn run_jobs(&mut self, now: Timestamp) {
        for _ in 0..JOB_FRAMES_PER_ROUND {
            let Some(mut job) = self.jobs.pop_front() else { return };
            let (body, done) = match job.source.clone() {
                Source::Request(target, table) => (Body::Request(Request { target, table }), true),
                Source::Own(Table::Claims) => self.claims_page(&mut job, None),
                Source::Relayed(boot_id) => self.claims_page(&mut job, Some(boot_id)),
                Source::Own(Table::Assignments) => self.assignments_page(&mut job),
            };
            self.send(now, job.link, job.to, &body);
            if !done {
                self.jobs.push_back(job);
            }
        }
    }

    fn claims_page(&self, job: &mut SyncJob, relayed: Option<BootId>) -> (Body, bool) {
        let member = relayed.and_then(|boot_id| self.members.get(&boot_id));
        let table = member.map_or(&self.own_claims, |member| &member.claims);
        let mut claims = Vec::new();
        let mut room = ROOM_FOR_PARTS - 64;
        let mut last = None;
        for claim in table.from(job.group) {
            let length = frame::encoded_claim(claim).len();
            if length > room && !claims.is_empty() {
                last = Some(claim.group);
                break;
            }
            room = room.saturating_sub(length);
            claims.push(claim.clone());
        }
        // A page says everything up to its last claim; the last page up to the end.
        let (end, done) = match (last, claims.last()) {
            (Some(_), Some(claim)) => (claim.group, false),
            _ => (HIGHEST_GROUP, true),
        };
        let complete = Some((job.group, end));
        if let Some(next) = last {
            job.group = next;
        }
        // What lies between the last claim of this page and the first of the next is claimed by nobody.
        let complete = if done { complete } else { complete.map(|(first, _)| (first, before(job.group))) };
        let relayed = member.map(|member| (member.boot_id, member.name.clone()));
        (Body::Claims(Claims { relayed, more: More::No, complete, claims, withdrawn: Vec::new() }), done)
    }

    fn assignments_page(&self, job: &mut SyncJob) -> (Body, bool) {
        let mut entries: Vec<(ServiceKey, Assignment)> = Vec::new();
        let mut room = ROOM_FOR_PARTS - 700;
        let mut next = None;
        let after = self.own_assignments.iter().filter(|(service, _)| service.as_str() >= job.service.as_str());
        for (service, assignment) in after {
            let length = frame::encoded_assignment(service, assignment).len();
            if length > room && !entries.is_empty() {
                next = Some(service.as_str().to_owned());
                break;
            }
            room = room.saturating_sub(length);
            entries.push((service.clone(), assignment.clone()));
        }
        let first = core::mem::take(&mut job.service);
        let done = next.is_none();
        let end = match (&next, entries.last()) {
            (Some(_), Some((service, _))) => service.as_str().to_owned(),
            _ => HIGHEST_SERVICE.to_owned(),
        };
        job.service = next.unwrap_or_default();
        (Body::Assignments(Assignments { complete: Some((first, end)), entries, removed: Vec::new() }), done)
    }

    /// One heartbeat per link and period, where every responder of the link ran lately ([OWN-11], [OWN-51]).
    pub(super) fn send_heartbeats(&mut self, now: Timestamp) {
        let (period, timeout) = (self.period(), self.timeout());
        let links: Vec<LinkIndex> =
            self.links.iter().filter(|(_, link)| link.next_heartbeat <= now).map(|(index, _)| *index).collect();
        for index in links {
            let Some(link) = self.links.get_mut(&index) else { continue };
            let listening = link.settled_at > now;
            let responders_ran = link.carriers.iter().all(|carrier| {
                let record = self.carriers.get(carrier);
                let last = record.and_then(|record| record.last_round.max(Some(record.linked_at)));
                last.is_some_and(|at| now.since(at) <= period)
            });
            if !responders_ran {
                continue;
            }
            // Half a tick early rather than late: ticks come every half period.
            link.next_heartbeat = now + period * 7 / 8;
            link.last_heartbeat = Some(now);
            let group = self.heartbeat(now, index, Copy::Group);
            self.send(now, index, Destination::Group, &Body::Heartbeat(group));
            let unreached = self.members.values().any(|member| {
                let told = member.hearings.get(&index);
                let unheard = told.is_some_and(|hearing| {
                    !hearing.hears_group || hearing.mutual_at.is_none_or(|at| now.since(at) > period * 3)
                });
                let recent = member.last_heard().is_some_and(|at| now.since(at) < timeout * 12);
                !member.superseded && recent && unheard
            });
            let alone = !self.members.values().any(|member| member.is_present(now, timeout));
            let every_fifth = self.rng.below(5) == 0;
            if unreached || listening || (alone && every_fifth) {
                let broadcast = self.heartbeat(now, index, Copy::Broadcast);
                self.send(now, index, Destination::Broadcast, &Body::Heartbeat(broadcast));
            }
        }
    }

    fn heartbeat(&mut self, now: Timestamp, index: LinkIndex, copy: Copy) -> Heartbeat {
        let timeout = self.timeout();
        // Who hears us comes first: made-up members do not push real ones out of the list.
        let (mutual, others): (Vec<&Member>, Vec<&Member>) =
            self.members.values().partition(|member| member.is_mutual(now, timeout));
        let certain = if mutual.len() <= MOST_HEARD * 3 / 4 { mutual.len() } else { 0 };
        let mut heard: Vec<Heard> = mutual
            .into_iter()
            .chain(others)
            .filter_map(|member| {
                let hearing = member.hearings.get(&index)?;
                let age = now.since(hearing.last_heard);
                (age < timeout).then(|| Heard {
                    boot_id: member.boot_id,
                    sequence: hearing.last_sequence,
                    age_ms: u16::try_from(age.as_millis()).unwrap_or(u16::MAX),
                    by: match hearing.last_group {
                        Some(at) if now.since(at) < timeout => HeardBy::Group,
                        _ => HeardBy::BroadcastAlone,
                    },
                })
            })
            .collect();
        if heard.len() > MOST_HEARD {
            // More than fit take turns.
            let (fixed, turning) = heard.split_at_mut(certain.min(MOST_HEARD));
            let places = MOST_HEARD - fixed.len();
            let start = usize::try_from(self.sequence).unwrap_or(0).wrapping_mul(places) % turning.len();
            turning.rotate_left(start);
            heard.truncate(MOST_HEARD);
        }
        let heard_links = u8::try_from(self.ways_heard(now).len()).unwrap_or(u8::MAX);
        Heartbeat {
            copy,
            heard,
            claims: self.own_claims.digest(),
            assignments: self.own_assignments_digest,
            keys: self.config.keys.ids().collect(),
            heard_links,
        }
    }

    /// Tells members of each other's claims where one does not hear the other ([OWN-15]).
    pub(super) fn relay_claims(&mut self, now: Timestamp) {
        let (timeout, patience) = (self.timeout(), self.period() * RELAY_AFTER_PERIODS);
        let mutual: Vec<(BootId, TableDigest)> = self
            .members
            .values()
            .filter(|member| member.is_mutual(now, timeout) && now.since(member.first_heard) > patience)
            .take(MOST_RELAYED)
            .map(|member| (member.boot_id, member.claims.digest()))
            .collect();
        let mut jobs = Vec::new();
        for (listener, _) in &mutual {
            let Some(member) = self.members.get_mut(listener) else { continue };
            for (speaker, digest) in mutual.iter().filter(|(speaker, _)| speaker != listener) {
                if member.lists_fresh(*speaker, now, patience) {
                    member.relayed.remove(speaker);
                    continue;
                }
                let (told, copies, at) = member.relayed.get(speaker).copied().unwrap_or((*digest, 0, Timestamp::ZERO));
                let again = told != *digest || copies < COPIES || now.since(at) > timeout;
                if again && now.since(at) >= self.config.timings.period {
                    let copies = if told == *digest { copies.saturating_add(1) } else { 1 };
                    member.relayed.insert(*speaker, (*digest, copies, now));
                    if let Some((link, mac)) = member.best_link() {
                        jobs.push(SyncJob::new(link, Destination::Unicast(mac), Source::Relayed(*speaker)));
                    }
                }
            }
        }
        for job in jobs {
            self.add_job(job);
        }
    }

    fn send_to_all(&mut self, now: Timestamp, body: &Body) {
        let unreached = self
            .members
            .values()
            .any(|member| member.hearings.values().any(|hearing| !hearing.hears_group || hearing.last_group.is_none()));
        let links: Vec<LinkIndex> = self.links.keys().copied().collect();
        for link in links {
            self.send(now, link, Destination::Group, body);
            if unreached {
                self.send(now, link, Destination::Broadcast, body);
            }
        }
    }

    /// Sends a frame by every carrier that it needs ([OWN-11]).
    fn send(&mut self, now: Timestamp, index: LinkIndex, to: Destination, body: &Body) {
        for carrier in self.carriers_for(now, index, to) {
            self.send_by(now, carrier, index, to, body.clone());
        }
    }

    fn send_by(&mut self, now: Timestamp, carrier: CarrierId, index: LinkIndex, to: Destination, body: Body) {
        self.sequence += 1;
        self.sent.push(now, self.sequence, self.config.timings.timeout);
        let key = self.sending_key(now);
        let frame =
            Frame { boot_id: self.config.boot_id, name: self.config.node.clone(), sequence: self.sequence, body };
        let payload = frame::encode(&frame, &self.config.keys, key);
        self.outputs.push_back(Output::Transmit { carrier, link: index, to, payload });
    }

    /// The key to move to once every member heard holds it, until then the other ([OWN-16]).
    fn sending_key(&self, now: Timestamp) -> KeyId {
        let timeout = self.timeout();
        let mut ids = self.config.keys.ids();
        let Some(preferred) = ids.next() else { return KeyId::NONE };
        let everybody_holds_it = self
            .members
            .values()
            .filter(|member| member.is_present(now, timeout))
            .all(|member| member.keys.is_empty() || member.keys.contains(&preferred));
        if everybody_holds_it { preferred } else { ids.next().unwrap_or(preferred) }
    }
}

/// The group just below another.
fn before(group: GroupKey) -> GroupKey {
    GroupKey(match group.0 {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits().saturating_sub(1))),
        IpAddr::V6(v6) if v6.is_unspecified() => IpAddr::V4(Ipv4Addr::BROADCAST),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() - 1)),
    })
}
