//! Frames in: who is heard, who hears us, whose tables are known ([OWN-10] to [OWN-16]).

use std::sync::Arc;

use crate::announce::GroupKey;
use crate::link::{LinkIndex, MacAddr};
use crate::ownership::claims::Claim;
use crate::ownership::frame::{self, Assignments, Body, Claims, Frame, FrameError, Heartbeat, More, Table};
use crate::ownership::member::{Arrival, ClaimsAge, Member, Newness};
use crate::ownership::{BootId, CarrierId, Destination, Event};
use crate::service::NodeName;
use crate::time::Timestamp;

use super::telling::{Source, SyncJob};
use super::{Hop, Ownership};

/// Frames that do not verify are told at most so often.
const UNVERIFIED_TELL_EVERY: core::time::Duration = core::time::Duration::from_secs(10);
/// Most members kept; beyond it a new one takes the place of the one that is least worth keeping.
const MOST_MEMBERS: usize = 1_024;
/// Most claims kept of one member and of all together; a table that is larger is not taken in beyond it. Three times 10,000 groups,
/// and what 20 members with that many need.
const MOST_CLAIMS: u32 = 32_768;
const MOST_CLAIMS_OF_ALL: u32 = 262_144;
/// Most assignments kept of one member.
const MOST_ASSIGNMENTS: usize = 65_536;

impl Ownership {
    pub(crate) fn handle_member_frame(
        &mut self,
        now: Timestamp,
        carrier: CarrierId,
        Hop { link, mac }: Hop,
        payload: &[u8],
    ) -> Result<(), FrameError> {
        let now = self.advance(now);
        let Some(family) = self.carriers.get(&carrier).map(|record| record.family) else { return Ok(()) };
        if !self.links.contains_key(&link) {
            return Ok(());
        }
        let decoded = frame::decode(payload, &self.config.keys);
        if let Ok(frame) = &decoded
            && frame.boot_id == self.config.boot_id
        {
            return Ok(());
        }
        let period = self.period();
        if let Some(record) = self.links.get_mut(&link) {
            record.hear_other(now, period);
        }
        match decoded {
            Ok(frame) => {
                let arrival = Arrival { now, link, mac, family, sequence: frame.sequence };
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
        if self.departed.get(&frame.boot_id).is_some_and(|gone| arrival.sequence <= gone.sequence) {
            // A recording of a member that is gone.
            return;
        }
        if !self.admit(now, frame.boot_id, &frame.name) {
            return;
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
        self.revive(frame.boot_id);
        if silent && let Some(link) = self.links.get_mut(&arrival.link) {
            // New or back: let it know soon that it is heard, so that claims count sooner. Made-up members cannot make this node
            // send without end.
            let soonest = link.last_heartbeat.map_or(now, |at| at + self.config.timings.period / 4);
            link.next_heartbeat = link.next_heartbeat.min(soonest.max(now));
            self.next_tick = self.next_tick.min(link.next_heartbeat);
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
        let (was_mutual, was_deaf) = (member.is_mutual(now, timeout), member.judged_deaf.is_some());
        let age_before = member.claims_age;
        let fresh = member.take_heartbeat(arrival, heartbeat, own, &self.sent, timeout);
        if member.is_synced() != was_synced {
            // The table may have come before the heartbeat that calls it whole: nothing else will tell the host.
            self.members_version += 1;
        }
        if (was_deaf && member.judged_deaf.is_none()) || age_before != member.claims_age {
            self.touch_claims_of(boot_id);
        }
        if let Some(link) = self.links.get_mut(&arrival.link) {
            link.hear_member(now, arrival.family, self.config.timings.period);
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
        self.reinstate(boot_id, name);
        self.take_evidence(boot_id, heartbeat);
        self.request_missing(now, boot_id);
        let Some(member) = self.members.get_mut(&boot_id) else { return };
        if member.superseded {
            return;
        }
        if !core::mem::replace(&mut member.told_alive, true) {
            self.members_version += 1;
            self.tell(Event::MemberUp { name: name.clone(), mac: arrival.mac });
        }
        if !was_mutual {
            // Claims may be yielded to now that could not before, and ours count for somebody.
            self.members_version += 1;
            self.touched.extend(self.groups.keys().copied());
        }
    }

    /// Makes room for a member and takes it in; whether it is in. The least worth keeping goes: one that never heard us, the
    /// longest silent; who hears us stays ([OWN-16]).
    fn admit(&mut self, now: Timestamp, boot_id: BootId, name: &NodeName) -> bool {
        if self.members.contains_key(&boot_id) {
            return true;
        }
        if self.members.len() >= MOST_MEMBERS {
            let timeout = self.timeout();
            let others = self.members.values().filter(|member| !member.told_alive && !member.is_mutual(now, timeout));
            let Some(least) = others.min_by_key(|member| member.last_heard()).map(|member| member.boot_id) else {
                return false;
            };
            self.forget_member(least);
        }
        let mut member = Member::new(name.clone(), boot_id, now);
        if let Some(departed) = self.departed.remove(&boot_id) {
            member.floor = departed.sequence;
            member.superseded = departed.superseded;
        }
        self.members.insert(boot_id, member);
        true
    }

    /// Takes from a mutually heard member whom it hears: evidence that those run.
    fn take_evidence(&mut self, boot_id: BootId, heartbeat: &Heartbeat) {
        let Some(member) = self.members.get(&boot_id).filter(|member| !member.superseded) else { return };
        let told: Vec<(BootId, Timestamp)> = heartbeat
            .heard
            .iter()
            .filter_map(|heard| member.hears.get(&heard.boot_id).map(|at| (heard.boot_id, *at)))
            .collect();
        for (heard, at) in told {
            if let Some(other) = self.members.get_mut(&heard) {
                other.told_at = other.told_at.max(Some(at));
                self.revive(heard);
            }
        }
    }

    /// There is evidence of a member again: its silence is to be judged anew.
    pub(super) fn revive(&mut self, boot_id: BootId) {
        let (now, timeout) = (self.now, self.config.timings.timeout);
        let Some(member) = self.members.get_mut(&boot_id) else { return };
        if member.judged_silent && member.evidence().is_some_and(|at| now.since(at) < timeout) {
            member.judged_silent = false;
            self.members_version += 1;
            self.touch_claims_of(boot_id);
            self.announce_what_it_claimed(boot_id);
        }
    }

    /// A heal: what this node answers for and the member answered for before is announced again ([OWN-31]).
    fn announce_what_it_claimed(&mut self, boot_id: BootId) {
        let Some(member) = self.members.get(&boot_id) else { return };
        let claimed: Vec<GroupKey> =
            member.claims.iter().filter(|claim| claim.answers()).flat_map(|claim| self.groups_of(claim)).collect();
        for key in claimed {
            if let Some(group) = self.groups.get_mut(&key).filter(|group| group.answers()) {
                group.announce_again = true;
            }
        }
    }

    /// Two hosts shared a name and the other is gone: the one left counts again.
    fn reinstate(&mut self, boot_id: BootId, name: &NodeName) {
        let superseded = self.members.get(&boot_id).is_some_and(|member| member.superseded);
        let rivalled = self
            .members
            .values()
            .any(|other| other.boot_id != boot_id && other.name == *name && !other.superseded && self.is_alive(other));
        if !superseded || rivalled {
            return;
        }
        let Some(member) = self.members.get_mut(&boot_id) else { return };
        member.superseded = false;
        for claim in member.claims.iter().filter(|claim| claim.answers()) {
            for address in claim.addresses.iter() {
                self.claimed.entry(*address).or_default().push((boot_id, claim.group));
            }
        }
        self.touch_claims_of(boot_id);
    }

    /// Looks again at our groups that a member claims.
    pub(super) fn touch_claims_of(&mut self, boot_id: BootId) {
        let Some(member) = self.members.get(&boot_id) else { return };
        for claim in member.claims.iter() {
            self.touched.extend(self.groups_of(claim));
        }
    }

    /// A fresh frame under a new boot id voids the claims of the same name under every other ([OWN-10]).
    fn supersede_others(&mut self, now: Timestamp, boot_id: BootId, name: &NodeName) {
        let Some(newer) = self.members.get(&boot_id).filter(|member| !member.superseded) else { return };
        let (first_heard, timeout) = (newer.first_heard, self.timeout());
        let older: Vec<BootId> = self
            .members
            .values()
            .filter(|other| other.boot_id != boot_id && other.name == *name && !other.superseded)
            // What came later but never heard us is a recording.
            .filter(|other| other.first_heard <= first_heard || !other.is_mutual(now, timeout))
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
        if self.jobs.len() >= super::telling::MOST_JOBS {
            return;
        }
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
            if heard || !trusted || boot_id == self.config.boot_id || !self.admit(now, boot_id, &name) {
                return;
            }
            owner = boot_id;
            // What the relay told of hearing it may have come before it was known here.
            let told = self.members.get(&sender).and_then(|relay| relay.hears.get(&boot_id).copied());
            if let Some(member) = self.members.get_mut(&boot_id) {
                member.told_at = member.told_at.max(told);
            }
            self.revive(boot_id);
        } else if claims.more == More::Yes {
            let until = now + self.period().saturating_mul(2);
            if let Some(member) = self.members.get_mut(&sender) {
                member.more_until = Some(until);
            }
        } else if let Some(member) = self.members.get_mut(&sender) {
            member.more_until = None;
        }
        let in_step = self.members.get(&owner).is_some_and(|member| member.claims.digest() == member.claims_told);
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
        if let Some(member) = self.members.get_mut(&owner)
            && core::mem::replace(&mut member.claims_age, ClaimsAge::Current) == ClaimsAge::Outdated
        {
            self.touch_claims_of(owner);
        }
        // Whoever was in step and takes a change stays in step; the next heartbeat tells whether something was missed.
        if in_step && let Some(member) = self.members.get_mut(&owner) {
            member.claims_told = member.claims.digest();
        }
    }

    pub(super) fn forget_claim(&mut self, owner: BootId, group: GroupKey) {
        let Some(member) = self.members.get_mut(&owner) else { return };
        if let Some(claim) = member.claims.remove(group) {
            self.claims_of_all = self.claims_of_all.saturating_sub(1);
            self.unindex(owner, &claim);
            let groups = self.groups_of(&claim);
            self.touched.extend(groups);
        }
    }

    fn take_claim(&mut self, owner: BootId, claim: &Claim) {
        let all = self.claims_of_all;
        let Some(member) = self.members.get_mut(&owner) else { return };
        let known = member.claims.get(claim.group);
        if known.is_none() && (member.claims.digest().count >= MOST_CLAIMS || all >= MOST_CLAIMS_OF_ALL) {
            return;
        }
        if known == Some(claim) {
            // Said again: nothing new, but a conflict may want its answer.
            let groups = self.groups_of(claim);
            self.touched.extend(groups);
            return;
        }
        let superseded = member.superseded;
        let before = member.claims.put(claim.clone());
        if before.is_none() {
            self.claims_of_all += 1;
        }
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
        // Copied only where a host still looks at the table before.
        let table = Arc::make_mut(&mut member.assignments);
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
            if table.len() >= MOST_ASSIGNMENTS && !table.contains_key(&service) {
                continue;
            }
            digest.add(&frame::encoded_assignment(&service, &assignment));
            if let Some(before) = table.insert(service.clone(), assignment) {
                digest.remove(&frame::encoded_assignment(&service, &before));
            }
        }
        member.assignments_digest = digest;
        self.members_version += 1;
    }
}
