//! Who is alive: silence, deafness, the departed ([OWN-10], [OWN-23], [OWN-32], [OWN-33]).

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::announce::GroupKey;
use crate::family::IpFamily;
use crate::link::LinkIndex;
use crate::ownership::member::{ClaimsAge, Member};
use crate::ownership::{BootId, CarrierId, Effect, Event};
use crate::time::Timestamp;

use super::{Link, Ownership};

/// A member not heard for so long is forgotten; its epochs live on in the groups.
const FORGET_AFTER: Duration = Duration::from_secs(60);
/// Boot ids of members that are gone, kept so that recordings of them prove nothing; the oldest make room.
const MOST_DEPARTED: usize = 4_096;

/// What is kept of a member that is gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Departed {
    /// The highest sequence taken of it: nothing up to it is ever taken again.
    pub(super) sequence: u64,
    /// Its name had come back under another boot id.
    pub(super) superseded: bool,
    since: Timestamp,
}

/// How this node and the others hear each other, as of a while ago.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HearingView {
    /// Ways in which this node hears members: links, and on each the families.
    pub(super) heard: BTreeSet<(LinkIndex, IpFamily)>,
    /// The most ways in which another member hears members.
    pub(super) most_of_others: u8,
    hears_nothing: bool,
}

/// Whether a link on which members were heard carries nothing at all any more. Then this node may be the one that was cut off,
/// and what it owns may have another owner: it answers nothing there, and after the silence listens before it answers again. A
/// lonely survivor does so once, not in every quiet while ([OWN-3], [OWN-33]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkSilence {
    /// It carries frames, or never carried one of a member.
    None,
    /// Nothing came in for a timeout.
    Silent,
    /// Something came in: listening for members until then.
    Listening(Timestamp),
}

impl Link {
    /// Takes note of a frame of another host. Members that live send a heartbeat within a period.
    pub(super) fn hear_other(&mut self, now: Timestamp, period: Duration) {
        self.last_foreign = Some(now);
        if self.silence == LinkSilence::Silent {
            self.silence = LinkSilence::Listening(now + period * 2);
            self.heard_since_silence = false;
        }
    }

    /// Takes note of a heartbeat: after a silence it takes a few more until it is known what its sender claims.
    pub(super) fn hear_member(&mut self, now: Timestamp, family: IpFamily, period: Duration) {
        self.heard_by.insert(family);
        if let LinkSilence::Listening(until) = &mut self.silence
            && !self.heard_since_silence
        {
            *until = (*until).max(now + period * 3);
        }
        self.heard_since_silence = true;
    }
}

impl Ownership {
    /// Once a tick: where a link fell silent or has been listened to after a silence, every group is looked at. Half-way to the
    /// silence somebody is asked: a quiet segment is no dead one.
    pub(super) fn check_link_silence(&mut self, now: Timestamp) {
        let timeout = self.timeout();
        let mut changed = false;
        let quiet: Vec<LinkIndex> = self
            .links
            .iter()
            .filter(|(_, link)| {
                link.silence == LinkSilence::None
                    && link.heard_since_silence
                    && link.last_foreign.is_some_and(|at| now.since(at) >= timeout / 2)
            })
            .map(|(index, _)| *index)
            .collect();
        for index in quiet {
            self.ask_neighbors(now, index);
        }
        for link in self.links.values_mut() {
            let before = link.silence;
            link.silence = match link.silence {
                LinkSilence::None
                    if link.heard_since_silence
                        && now >= link.settled_at
                        && link.last_foreign.is_some_and(|at| now.since(at) >= timeout) =>
                {
                    LinkSilence::Silent
                }
                LinkSilence::Listening(until) if now >= until => LinkSilence::None,
                same @ (LinkSilence::None | LinkSilence::Silent | LinkSilence::Listening(_)) => same,
            };
            changed |= before != link.silence;
        }
        if changed {
            self.touched.extend(self.groups.keys().copied());
        }
    }

    /// Whether there is evidence of it within the timeout.
    pub(super) fn is_alive(&self, member: &Member) -> bool {
        member.evidence().is_some_and(|at| self.now.since(at) < self.timeout())
    }

    /// Members that hear us and that we hear.
    pub(super) fn mutual_members(&self) -> usize {
        let own = self.own_name();
        let timeout = self.timeout();
        self.members.values().filter(|member| member.name != *own && member.is_mutual(self.now, timeout)).count()
    }

    /// It sends and hears nobody, and it is not this node that cannot be heard: another member hears us, or it says itself by
    /// epoch 0 that nothing at all reaches it. What it claims does not count ([OWN-33]).
    pub(super) fn is_deaf(&self, member: &Member, epoch: u64) -> bool {
        let timeout = self.timeout();
        member.is_deaf_for(self.now, timeout)
            && ((epoch == 0 && member.is_deaf_for(self.now, timeout.saturating_mul(3)))
                || self.members.values().any(|third| {
                    third.boot_id != member.boot_id && third.name != member.name && third.is_mutual(self.now, timeout)
                }))
    }

    /// No frame of any host has come in for three timeouts on links where members were heard ([OWN-33]).
    pub(super) fn hears_nothing(&self, now: Timestamp) -> bool {
        let patience = self.timeout().saturating_mul(3);
        !self.links.is_empty()
            && self.links.values().all(|link| {
                !link.heard_by.is_empty()
                    && now >= link.settled_at
                    && link.last_foreign.is_some_and(|at| now.since(at) > patience)
            })
    }

    /// Once a tick: forgets the long dead, notes who went deaf, ends a duplicate name.
    pub(super) fn check_members(&mut self, now: Timestamp) {
        if self.duplicate_until.is_some_and(|(until, _)| until <= now) {
            self.duplicate_until = None;
            self.touched.extend(self.groups.keys().copied());
        }
        let timeout = self.timeout();
        let gone: Vec<BootId> = self
            .members
            .values()
            .filter(|member| {
                let last = member.evidence().unwrap_or(member.first_heard);
                let idle = if member.superseded { timeout.saturating_mul(4) } else { FORGET_AFTER };
                now.since(last) > idle
            })
            .map(|member| member.boot_id)
            .collect();
        for boot_id in gone {
            self.forget_member(boot_id);
        }
        let deafened: Vec<BootId> = self
            .members
            .values()
            .filter(|member| member.judged_deaf.is_none() && member.is_deaf_for(now, timeout))
            .map(|member| member.boot_id)
            .collect();
        for boot_id in deafened {
            if let Some(member) = self.members.get_mut(&boot_id) {
                member.judged_deaf = Some(now);
            }
            self.touch_claims_of(boot_id);
        }
        self.check_hearing(now);
        self.check_link_silence(now);
    }

    /// Notes in which ways members are heard; where that changed, every group is looked at ([OWN-23]).
    fn check_hearing(&mut self, now: Timestamp) {
        let timeout = self.timeout();
        let heard = self.ways_heard(now);
        let most = self
            .members
            .values()
            .filter(|member| member.is_mutual(now, timeout))
            .map(|member| member.heard_links)
            .max()
            .unwrap_or_default();
        let view = HearingView { heard, most_of_others: most, hears_nothing: self.hears_nothing(now) };
        if view == self.hearing_view {
            self.hearing_change = None;
            return;
        }
        // Members notice the silence of a link up to two periods apart; before that the views of two do not compare.
        let noticed = *self.hearing_change.get_or_insert(now);
        if now.since(noticed) >= self.period() * 5 / 2 {
            self.hearing_view = view;
            self.hearing_change = None;
            self.touched.extend(self.groups.keys().copied());
        }
    }

    /// Forgets a member and its claims; its boot id is remembered for a while.
    pub(super) fn forget_member(&mut self, boot_id: BootId) {
        let claims: Vec<GroupKey> = self
            .members
            .get(&boot_id)
            .map(|member| member.claims.iter().map(|claim| claim.group).collect())
            .unwrap_or_default();
        for group in claims {
            self.forget_claim(boot_id, group);
        }
        let Some(member) = self.members.remove(&boot_id) else { return };
        for other in self.members.values_mut() {
            other.relayed.remove(&boot_id);
        }
        self.members_version += 1;
        if member.told_alive && !member.superseded {
            self.tell(Event::MemberDown { name: member.name.clone() });
        }
        let sequence = member.floor.max(member.highest_sequence);
        if sequence == 0 {
            return;
        }
        if self.departed.len() >= MOST_DEPARTED {
            let oldest = self.departed.iter().min_by_key(|(_, gone)| gone.since).map(|(boot_id, _)| *boot_id);
            if let Some(oldest) = oldest {
                self.departed.remove(&oldest);
            }
        }
        let superseded = member.superseded;
        self.departed.insert(boot_id, Departed { sequence, superseded, since: self.now });
    }

    /// Members whose silence has reached the half or the whole of the timeout.
    pub(super) fn check_silence(&mut self, now: Timestamp) {
        let (timeout, half) = (self.timeout(), self.timeout() / 2);
        let mut probes = Vec::new();
        let mut died = Vec::new();
        for member in self.members.values().filter(|member| !member.superseded) {
            let Some(last) = member.evidence() else { continue };
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
            member.claims_age = ClaimsAge::Outdated;
            let was_told = core::mem::take(&mut member.told_alive);
            let name = member.name.clone();
            self.members_version += 1;
            if was_told {
                self.tell(Event::MemberDown { name });
            }
            self.touch_claims_of(boot_id);
        }
    }

    /// Asks once for an address of a member that fell silent, and for any neighbour where nobody else is heard ([OWN-32], [OWN-33]).
    fn probe_silent(&mut self, now: Timestamp, boot_id: BootId) {
        let Some(member) = self.members.get_mut(&boot_id) else { return };
        member.probed_at = Some(now);
        let Some((link, _)) = member.best_link() else { return };
        let addresses =
            member.claims.iter().filter(|claim| claim.answers()).flat_map(|claim| claim.addresses.iter().copied());
        // One of each family: each has a responder of its own, and one that stands still silences the node.
        let mut asked: BTreeMap<IpFamily, IpAddr> = BTreeMap::new();
        for address in addresses {
            if asked.len() < 2 && self.group_of.contains_key(&address) {
                asked.entry(IpFamily::of(address)).or_insert(address);
            }
        }
        member.asked = asked.keys().copied().collect();
        for address in asked.into_values() {
            if let Some(carrier) = self.carrier_of(address) {
                self.effect(carrier, Effect::Probe { address, link });
            }
        }
        self.ask_neighbors(now, link);
    }

    /// Asks for any neighbour where nothing was heard for a period; once for each time that nothing is ([OWN-33]).
    fn ask_neighbors(&mut self, now: Timestamp, index: LinkIndex) {
        let period = self.period();
        let Some(link) = self.links.get_mut(&index) else { return };
        let quiet = link.last_foreign.is_none_or(|at| now.since(at) > period);
        let asked = link.asked_at.is_some_and(|asked| link.last_foreign.is_none_or(|heard| heard < asked));
        if !quiet || asked {
            return;
        }
        link.asked_at = Some(now);
        // By every family: a host that is heard by one proves as much.
        let carriers: Vec<CarrierId> = link.carriers.iter().copied().collect();
        for carrier in carriers {
            self.effect(carrier, Effect::ProbeNeighbors { link: index });
        }
    }

    /// When silence of a member will next mean something.
    pub(super) fn next_silence(&self) -> Option<Timestamp> {
        let (timeout, half) = (self.timeout(), self.timeout() / 2);
        let members = self.members.values().filter(|member| !member.judged_silent && !member.superseded);
        members
            .filter_map(|member| {
                let last = member.evidence()?;
                let halfway = last + half;
                Some(if self.now < halfway { halfway } else { last + timeout })
            })
            .min()
    }
}
