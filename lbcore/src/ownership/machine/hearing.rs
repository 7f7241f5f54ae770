//! Frames in: who is heard, who hears us, whose tables are known ([OWN-10] to [OWN-16]).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::announce::GroupKey;
use crate::link::{LinkIndex, MacAddr};
use crate::ownership::claims::Claim;
use crate::ownership::frame::{self, Assignments, Body, Claims, Frame, FrameError, Heartbeat, More, Table};
use crate::ownership::member::{Arrival, Member, Newness};
use crate::ownership::{BootId, Destination, Effect, Event};
use crate::service::NodeName;
use crate::time::Timestamp;

use super::Ownership;
use super::telling::{Source, SyncJob};

/// Frames that do not verify are told at most so often.
const UNVERIFIED_TELL_EVERY: core::time::Duration = core::time::Duration::from_secs(10);
/// A member not heard for so long is forgotten; its epochs live on in the groups.
const FORGET_AFTER: core::time::Duration = core::time::Duration::from_secs(60);
/// Most members kept; beyond it a new one is not taken in before an old one is forgotten.
const MOST_MEMBERS: usize = 1_024;

impl Ownership {
    pub(crate) fn handle_member_frame(
        &mut self,
        now: Timestamp,
        link: LinkIndex,
        mac: MacAddr,
        payload: &[u8],
    ) -> Result<(), FrameError> {
        let now = self.advance(now);
        if !self.links.contains_key(&link) {
            return Ok(());
        }
        let decoded = frame::decode(payload, &self.config.keys);
        if let Ok(frame) = &decoded
            && frame.boot_id == self.config.boot_id
        {
            return Ok(());
        }
        if let Some(record) = self.links.get_mut(&link) {
            record.last_foreign = Some(now);
        }
        match decoded {
            Ok(frame) => {
                let arrival = Arrival { now, link, mac, sequence: frame.sequence };
                self.take_frame(arrival, frame);
                self.settle(now);
                Ok(())
            }
            Err(error) => {
                if error == FrameError::Unverified {
                    self.note_unverified(now, link, mac);
                }
                Err(error)
            }
        }
    }

    fn note_unverified(&mut self, now: Timestamp, link: LinkIndex, mac: MacAddr) {
        self.unverified += 1;
        if self.unverified_told.is_none_or(|at| now.since(at) >= UNVERIFIED_TELL_EVERY) {
            self.unverified_told = Some(now);
            self.tell(Event::Unverified { mac, link, count: self.unverified });
        }
    }

    fn take_frame(&mut self, arrival: Arrival, frame: Frame) {
        let now = arrival.now;
        if !self.members.contains_key(&frame.boot_id) {
            if self.members.len() >= MOST_MEMBERS {
                return;
            }
            self.members.insert(frame.boot_id, Member::new(frame.name.clone(), frame.boot_id, now));
        }
        let Some(member) = self.members.get_mut(&frame.boot_id) else { return };
        let silent = member.judged_silent || member.hearings.is_empty();
        if member.name != frame.name {
            return;
        }
        let newness = member.hear(arrival);
        if newness == Newness::Replayed {
            return;
        }
        if silent && let Some(link) = self.links.get_mut(&arrival.link) {
            // New or back: let it know at once that it is heard, so that claims count sooner.
            link.next_heartbeat = now;
            self.next_tick = now;
        }
        match frame.body {
            Body::Heartbeat(heartbeat) => {
                // One that was overtaken tells of an older state.
                if newness == Newness::Newest {
                    self.take_heartbeat(arrival, frame.boot_id, &frame.name, &heartbeat);
                }
            }
            Body::Claims(claims) => self.take_claims(now, frame.boot_id, claims),
            Body::Request(request) => {
                if request.target == self.config.boot_id {
                    let to = Destination::Unicast(arrival.mac);
                    self.add_job(SyncJob::new(arrival.link, to, Source::Own(request.table)));
                }
            }
            Body::Assignments(assignments) => self.take_assignments(frame.boot_id, assignments),
        }
    }

    fn take_heartbeat(&mut self, arrival: Arrival, boot_id: BootId, name: &NodeName, heartbeat: &Heartbeat) {
        let (now, timeout) = (arrival.now, self.timeout());
        let own = self.config.boot_id;
        let Some(member) = self.members.get_mut(&boot_id) else { return };
        let was_synced = member.is_synced();
        let fresh = member.take_heartbeat(arrival, heartbeat, own, &self.sent, timeout);
        if member.is_synced() != was_synced {
            // The table may have come before the heartbeat that calls it whole: nothing else will tell the host.
            self.members_version += 1;
        }
        if let Some(link) = self.links.get_mut(&arrival.link) {
            link.heard_members = true;
        }
        if !fresh {
            self.request_missing(now, boot_id);
            return;
        }
        if name == self.own_name() {
            let ours = self.links.get(&arrival.link).map_or(MacAddr::ZERO, |link| link.mac);
            if self.duplicate_until.is_none() {
                self.tell(Event::DuplicateName { name: name.clone(), theirs: arrival.mac, ours });
            }
            self.duplicate_until = Some((now + timeout.saturating_mul(3), arrival.mac));
            return;
        }
        self.supersede_others(now, boot_id, name);
        self.request_missing(now, boot_id);
        let Some(member) = self.members.get_mut(&boot_id) else { return };
        if !member.told_alive && !member.superseded {
            member.told_alive = true;
            self.members_version += 1;
            self.tell(Event::MemberUp { name: name.clone(), mac: arrival.mac });
            self.touched.extend(self.groups.keys().copied());
        }
    }

    /// A fresh frame under a new boot id voids the claims of the same name under every other ([OWN-10]).
    fn supersede_others(&mut self, now: Timestamp, boot_id: BootId, name: &NodeName) {
        let Some(first_heard) = self.members.get(&boot_id).map(|member| member.first_heard) else { return };
        let older: Vec<BootId> = self
            .members
            .values()
            .filter(|other| {
                other.boot_id != boot_id && other.name == *name && !other.superseded && other.first_heard <= first_heard
            })
            .map(|other| other.boot_id)
            .collect();
        for other in older {
            self.void_claims(now, other);
        }
    }

    fn void_claims(&mut self, _now: Timestamp, boot_id: BootId) {
        let Some(member) = self.members.get_mut(&boot_id) else { return };
        member.superseded = true;
        let name = member.name.clone();
        let claims: Vec<Claim> = member.claims.iter().cloned().collect();
        self.members_version += 1;
        for claim in claims {
            self.unindex(boot_id, &claim);
            for group in self.groups_of(&claim) {
                if claim.answers()
                    && let Some(group) = self.groups.get_mut(&group)
                {
                    group.void_owner = Some(name.clone());
                }
                self.touched.insert(group);
            }
        }
    }

    /// Asks for tables that are not as the member says; once in two periods.
    fn request_missing(&mut self, now: Timestamp, boot_id: BootId) {
        let patience = self.period().saturating_mul(2);
        let Some(member) = self.members.get_mut(&boot_id) else { return };
        if member.more_until.is_some_and(|until| until > now) {
            return;
        }
        let mut wanted = Vec::new();
        if member.claims.digest() != member.claims_told {
            wanted.push(Table::Claims);
        }
        if member.assignments_digest != member.assignments_told {
            wanted.push(Table::Assignments);
        }
        wanted.retain(|table| member.requested.get(table).is_none_or(|at| now.since(*at) >= patience));
        let Some((link, mac)) = member.best_link() else { return };
        for table in wanted {
            member.requested.insert(table, now);
            self.jobs.push_front(SyncJob::new(link, Destination::Unicast(mac), Source::Request(boot_id, table)));
        }
    }

    fn take_claims(&mut self, now: Timestamp, sender: BootId, claims: Claims) {
        let mut owner = sender;
        if let Some((boot_id, name)) = claims.relayed.clone() {
            let timeout = self.timeout();
            let heard = self.members.get(&boot_id).is_some_and(|member| member.is_present(now, timeout));
            let trusted = self.members.get(&sender).is_some_and(|relay| relay.is_mutual(now, timeout));
            if heard || !trusted || boot_id == self.config.boot_id || self.members.len() >= MOST_MEMBERS {
                return;
            }
            owner = boot_id;
            let member = self.members.entry(boot_id).or_insert_with(|| Member::new(name, boot_id, now));
            member.judged_silent = false;
        } else if claims.more == More::Yes {
            let until = now + self.period().saturating_mul(2);
            if let Some(member) = self.members.get_mut(&sender) {
                member.more_until = Some(until);
            }
        } else if let Some(member) = self.members.get_mut(&sender) {
            member.more_until = None;
        }
        let mut gone = claims.withdrawn;
        if let Some((first, last)) = claims.complete
            && let Some(member) = self.members.get(&owner)
        {
            let listed: std::collections::BTreeSet<GroupKey> = claims.claims.iter().map(|claim| claim.group).collect();
            gone.extend(member.claims.groups_within(first, last).into_iter().filter(|group| !listed.contains(group)));
        }
        for group in gone {
            self.forget_claim(owner, group);
        }
        for claim in claims.claims {
            self.take_claim(owner, &claim);
        }
    }

    fn forget_claim(&mut self, owner: BootId, group: GroupKey) {
        let Some(member) = self.members.get_mut(&owner) else { return };
        if let Some(claim) = member.claims.remove(group) {
            self.unindex(owner, &claim);
            let groups = self.groups_of(&claim);
            self.touched.extend(groups);
        }
    }

    fn take_claim(&mut self, owner: BootId, claim: &Claim) {
        let Some(member) = self.members.get_mut(&owner) else { return };
        if member.claims.get(claim.group) == Some(claim) {
            // Said again: nothing new, but a conflict may want its answer.
            let groups = self.groups_of(claim);
            self.touched.extend(groups);
            return;
        }
        let superseded = member.superseded;
        let before = member.claims.put(claim.clone());
        if let Some(before) = before {
            self.unindex(owner, &before);
            let groups = self.groups_of(&before);
            self.touched.extend(groups);
        }
        if superseded {
            return;
        }
        if claim.answers() {
            for address in claim.addresses.iter() {
                self.claimed.entry(*address).or_default().push((owner, claim.group));
            }
        }
        for group in self.groups_of(claim) {
            if let Some(record) = self.groups.get_mut(&group) {
                record.known_epoch = record.known_epoch.max(claim.epoch);
                if claim.answers() {
                    record.void_owner = None;
                }
            }
            self.touched.insert(group);
        }
    }

    fn unindex(&mut self, owner: BootId, claim: &Claim) {
        for address in claim.addresses.iter() {
            if let Some(entries) = self.claimed.get_mut(address) {
                entries.retain(|entry| *entry != (owner, claim.group));
                if entries.is_empty() {
                    self.claimed.remove(address);
                }
            }
        }
    }

    /// Our groups that a claim touches.
    fn groups_of(&self, claim: &Claim) -> Vec<GroupKey> {
        let mut groups: Vec<GroupKey> =
            claim.addresses.iter().filter_map(|address| self.group_of.get(address).copied()).collect();
        if self.groups.contains_key(&claim.group) {
            groups.push(claim.group);
        }
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    fn take_assignments(&mut self, sender: BootId, assignments: Assignments) {
        let Some(member) = self.members.get_mut(&sender) else { return };
        let mut table: BTreeMap<_, _> = (*member.assignments).clone();
        let mut digest = member.assignments_digest;
        let mut gone = assignments.removed;
        if let Some((first, last)) = &assignments.complete {
            let within = table.keys().filter(|service| {
                (first.as_str()..=last.as_str()).contains(&service.as_str())
                    && !assignments.entries.iter().any(|(listed, _)| listed == *service)
            });
            gone.extend(within.cloned().collect::<Vec<_>>());
        }
        for service in gone {
            if let Some(before) = table.remove(&service) {
                digest.remove(&frame::encoded_assignment(&service, &before));
            }
        }
        for (service, assignment) in assignments.entries {
            digest.add(&frame::encoded_assignment(&service, &assignment));
            if let Some(before) = table.insert(service.clone(), assignment) {
                digest.remove(&frame::encoded_assignment(&service, &before));
            }
        }
        member.assignments = Arc::new(table);
        member.assignments_digest = digest;
        self.members_version += 1;
    }

    /// The latest evidence that a member runs: its frames, its answers to probes, and what others tell of hearing it.
    pub(super) fn evidence(&self, member: &Member) -> Option<Timestamp> {
        let direct = member.last_heard().max(member.answered_at);
        let told = self
            .members
            .values()
            .filter(|other| other.boot_id != member.boot_id && other.is_mutual(self.now, self.timeout()))
            .filter_map(|other| other.hears.get(&member.boot_id).copied())
            .max();
        direct.max(told)
    }

    /// Whether there is evidence of it within the timeout.
    pub(super) fn is_alive(&self, member: &Member) -> bool {
        self.evidence(member).is_some_and(|at| self.now.since(at) < self.timeout())
    }

    /// Members that hear us and that we hear.
    pub(super) fn mutual_members(&self) -> usize {
        let own = self.own_name();
        let timeout = self.timeout();
        self.members.values().filter(|member| member.name != *own && member.is_mutual(self.now, timeout)).count()
    }

    /// Once a tick: forgets the long dead, notes the newly dead, ends a duplicate name.
    pub(super) fn check_members(&mut self, now: Timestamp) {
        if self.duplicate_until.is_some_and(|(until, _)| until <= now) {
            self.duplicate_until = None;
            self.touched.extend(self.groups.keys().copied());
        }
        let gone: Vec<BootId> = self
            .members
            .values()
            .filter(|member| {
                let last = self.evidence(member).unwrap_or(member.first_heard);
                let idle = if member.superseded { self.timeout().saturating_mul(4) } else { FORGET_AFTER };
                now.since(last) > idle
            })
            .map(|member| member.boot_id)
            .collect();
        for boot_id in gone {
            let claims: Vec<Claim> =
                self.members.get(&boot_id).map(|member| member.claims.iter().cloned().collect()).unwrap_or_default();
            for claim in claims {
                self.forget_claim(boot_id, claim.group);
            }
            self.members.remove(&boot_id);
            self.members_version += 1;
        }
    }

    /// Members whose silence has reached the half or the whole of the timeout.
    pub(super) fn check_silence(&mut self, now: Timestamp) {
        let (timeout, half) = (self.timeout(), self.timeout() / 2);
        let mut probes = Vec::new();
        let mut died = Vec::new();
        for member in self.members.values().filter(|member| !member.superseded) {
            let Some(last) = self.evidence(member) else { continue };
            let silence = now.since(last);
            if silence >= timeout && !member.judged_silent {
                died.push(member.boot_id);
            }
            let due = member.probed_at.is_none_or(|at| at < last && now.since(at) >= half);
            if silence >= half && silence < timeout && due {
                probes.push(member.boot_id);
            }
        }
        for boot_id in probes {
            self.probe_silent(now, boot_id);
        }
        for boot_id in died {
            let Some(member) = self.members.get_mut(&boot_id) else { continue };
            member.judged_silent = true;
            let was_told = core::mem::take(&mut member.told_alive);
            let name = member.name.clone();
            let claims: Vec<Claim> = member.claims.iter().cloned().collect();
            self.members_version += 1;
            if was_told {
                self.tell(Event::MemberDown { name });
            }
            for claim in claims {
                let groups = self.groups_of(&claim);
                self.touched.extend(groups);
            }
        }
    }

    /// Asks once for an address of a member that fell silent, and for any neighbour where nobody else is heard ([OWN-32], [OWN-33]).
    fn probe_silent(&mut self, now: Timestamp, boot_id: BootId) {
        let Some(member) = self.members.get_mut(&boot_id) else { return };
        member.probed_at = Some(now);
        let Some((link, _)) = member.best_link() else { return };
        let last = member.last_heard();
        let address = member
            .claims
            .iter()
            .filter(|claim| claim.answers())
            .flat_map(|claim| claim.addresses.iter().copied())
            .find(|address| self.group_of.contains_key(address));
        if let Some(address) = address
            && let Some(carrier) = self.carrier_of(address)
        {
            self.effect(carrier, Effect::Probe { address, link });
        }
        let Some(record) = self.links.get(&link) else { return };
        if record.last_foreign <= last
            && let Some(carrier) = record.carriers.first().copied()
        {
            self.effect(carrier, Effect::ProbeNeighbors { link });
        }
    }

    /// When silence of a member will next mean something.
    pub(super) fn next_silence(&self) -> Option<Timestamp> {
        let (timeout, half) = (self.timeout(), self.timeout() / 2);
        let members = self.members.values().filter(|member| !member.judged_silent && !member.superseded);
        members
            .filter_map(|member| {
                let last = self.evidence(member)?;
                let halfway = last + half;
                Some(if self.now < halfway { halfway } else { last + timeout })
            })
            .min()
    }
}
