//! The ownership machine of one node: inputs in, outputs out, deadlines asked for. No clock, no socket.
//!
//! The work is divided by what it is about: `hearing` takes frames and judges members, `standing` decides about groups,
//! `telling` composes what goes out.

mod addresses;
mod candidacy;
mod group;
mod hearing;
mod moving;
mod owning;
mod pacing;
mod silence;
mod standing;
mod telling;
mod ways;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use crate::announce::{Announcement, AnnouncementKey, DesiredSet, GroupKey, Reach, ReachKind};
use crate::family::IpFamily;
use crate::hash::HashMap;
use crate::link::{LinkIndex, MacAddr};
use crate::rng::Rng;
use crate::service::{NodeName, ServiceKey};
use crate::time::Timestamp;

use super::claims::ClaimTable;
use super::claims::TableDigest;
use super::key::MemberKeys;
use super::member::{Member, SentSequences};
use super::{Assignment, BootId, CarrierId, Destination, Effect, Event, HubConfig, LinkEvent, MemberView, Sighting};

use group::{Group, Stand};
use pacing::{Allowance, Dirty};
use telling::SyncJob;

/// What the hub carries out after each call.
#[derive(Clone, Debug)]
pub(crate) enum Output {
    /// Put a member frame on a link.
    Transmit { carrier: CarrierId, link: LinkIndex, to: Destination, payload: Vec<u8> },
    /// For the shell of this carrier.
    Effect(CarrierId, Effect),
}

#[derive(Clone, Debug)]
struct Link {
    carriers: BTreeSet<CarrierId>,
    name: Arc<str>,
    mac: MacAddr,
    /// The segment has been listened to for one timeout ([OWN-31], [OWN-50]).
    settled_at: Timestamp,
    /// When any frame of another host was last received ([OWN-33]).
    last_foreign: Option<Timestamp>,
    /// When any neighbour was last asked for.
    asked_at: Option<Timestamp>,
    next_heartbeat: Timestamp,
    last_heartbeat: Option<Timestamp>,
    /// Families by which members were heard here since it came up.
    heard_by: BTreeSet<IpFamily>,
    /// Members were heard here since it was last silent.
    heard_since_silence: bool,
    silence: silence::LinkSilence,
    /// The family whose turn it was last to carry a group frame, where several serve the link.
    turn: Option<IpFamily>,
}

/// Where a frame came in, and from whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hop {
    pub(crate) link: LinkIndex,
    pub(crate) mac: MacAddr,
}

#[derive(Clone, Debug)]
struct CarrierRecord {
    family: IpFamily,
    last_round: Option<Timestamp>,
    /// When a link came up for it: its responder has to run from then on.
    linked_at: Timestamp,
    stands: BTreeMap<IpAddr, Stand>,
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Ownership {
    config: HubConfig,
    rng: Rng,
    now: Timestamp,
    carriers: BTreeMap<CarrierId, CarrierRecord>,
    links: BTreeMap<LinkIndex, Link>,
    members: BTreeMap<BootId, Member>,
    departed: BTreeMap<BootId, silence::Departed>,
    groups: BTreeMap<GroupKey, Group>,
    group_of: HashMap<IpAddr, GroupKey>,
    /// Claims of others that answer for an address.
    claimed: HashMap<IpAddr, Vec<(BootId, GroupKey)>>,
    /// How many claims of others are kept.
    claims_of_all: u32,
    /// Addresses whose group changed, which are answered for under the old one until the owner of the new one claims them, with
    /// the new group.
    moving: BTreeMap<IpAddr, GroupKey>,
    hearing_view: silence::HearingView,
    /// Since when the view would be another.
    hearing_change: Option<Timestamp>,
    own_claims: ClaimTable,
    own_assignments: BTreeMap<ServiceKey, Assignment>,
    own_assignments_digest: TableDigest,
    dirty_claims: Dirty<GroupKey>,
    dirty_assignments: Dirty<ServiceKey>,
    jobs: VecDeque<SyncJob>,
    group_frames: Allowance,
    sequence: u64,
    sent: SentSequences,
    timers: BTreeSet<(Timestamp, GroupKey)>,
    touched: BTreeSet<GroupKey>,
    next_tick: Timestamp,
    /// Another host with our name was heard; nothing new is claimed until then ([OWN-10]).
    duplicate_until: Option<(Timestamp, MacAddr)>,
    handing_over: BTreeMap<GroupKey, Timestamp>,
    leaving: bool,
    unverified: u64,
    unverified_told: Option<Timestamp>,
    outputs: VecDeque<Output>,
    events: VecDeque<Event>,
    members_version: u64,
}

/// Events kept for a host that does not fetch them; the oldest are dropped.
const MOST_EVENTS: usize = 4_096;

impl Ownership {
    pub(crate) fn new(config: HubConfig, now: Timestamp, seed: u64) -> Self {
        Self {
            config,
            rng: Rng::new(seed),
            now,
            carriers: BTreeMap::new(),
            links: BTreeMap::new(),
            members: BTreeMap::new(),
            departed: BTreeMap::new(),
            groups: BTreeMap::new(),
            group_of: HashMap::default(),
            claimed: HashMap::default(),
            claims_of_all: 0,
            moving: BTreeMap::new(),
            hearing_view: silence::HearingView::default(),
            hearing_change: None,
            own_claims: ClaimTable::default(),
            own_assignments: BTreeMap::new(),
            own_assignments_digest: TableDigest::default(),
            dirty_claims: Dirty::new(),
            dirty_assignments: Dirty::new(),
            jobs: VecDeque::new(),
            group_frames: Allowance::new(now),
            sequence: 0,
            sent: SentSequences::default(),
            timers: BTreeSet::new(),
            touched: BTreeSet::new(),
            next_tick: now,
            duplicate_until: None,
            handing_over: BTreeMap::new(),
            leaving: false,
            unverified: 0,
            unverified_told: None,
            outputs: VecDeque::new(),
            events: VecDeque::new(),
            members_version: 0,
        }
    }

    const fn period(&self) -> Duration {
        self.config.timings.period
    }

    const fn timeout(&self) -> Duration {
        self.config.timings.timeout
    }

    /// Time never runs backwards: an earlier `now` counts as the latest seen.
    fn advance(&mut self, now: Timestamp) -> Timestamp {
        self.now = self.now.max(now);
        self.now
    }

    pub(crate) fn register(&mut self, carrier: CarrierId, family: IpFamily) {
        let record = CarrierRecord { family, last_round: None, linked_at: Timestamp::ZERO, stands: BTreeMap::new() };
        self.carriers.insert(carrier, record);
    }

    pub(crate) fn unregister(&mut self, now: Timestamp, carrier: CarrierId) {
        let now = self.advance(now);
        self.set_stands(carrier, BTreeMap::new());
        let links: Vec<LinkIndex> = self.links.keys().copied().collect();
        for link in links {
            self.link_down(now, carrier, link);
        }
        self.carriers.remove(&carrier);
        self.settle(now);
    }

    pub(crate) fn replace(&mut self, now: Timestamp, carrier: CarrierId, desired: &DesiredSet) {
        let now = self.advance(now);
        let Some(family) = self.carriers.get(&carrier).map(|record| record.family) else { return };
        let mut stands = BTreeMap::new();
        for announcement in desired.iter() {
            let address = announcement.prefix.ip();
            if let Reach::Link(reach) = &announcement.reach
                && IpFamily::of(address) == family
            {
                stands.insert(address, Stand::new(reach));
            }
        }
        self.set_stands(carrier, stands);
        self.settle(now);
    }

    pub(crate) fn update(
        &mut self,
        now: Timestamp,
        carrier: CarrierId,
        put: &[Arc<Announcement>],
        removed: &[AnnouncementKey],
    ) {
        let now = self.advance(now);
        let Some(family) = self.carriers.get(&carrier).map(|record| record.family) else { return };
        for key in removed.iter().filter(|key| key.kind == ReachKind::Link) {
            self.drop_stand(carrier, key.prefix.ip());
        }
        for announcement in put {
            let address = announcement.prefix.ip();
            if let Reach::Link(reach) = &announcement.reach
                && IpFamily::of(address) == family
            {
                self.put_stand(carrier, address, Stand::new(reach));
            }
        }
        self.settle(now);
    }

    pub(crate) fn handle_link(&mut self, now: Timestamp, carrier: CarrierId, event: &LinkEvent) {
        let now = self.advance(now);
        match event {
            LinkEvent::Up { link, name, mac } => self.link_up(now, carrier, *link, name, *mac),
            LinkEvent::Down { link } => self.link_down(now, carrier, *link),
        }
        self.touched.extend(self.groups.keys().copied());
        self.settle(now);
    }

    fn link_up(&mut self, now: Timestamp, carrier: CarrierId, index: LinkIndex, name: &Arc<str>, mac: MacAddr) {
        let settled_at = now + self.timeout();
        if let Some(record) = self.carriers.get_mut(&carrier) {
            record.linked_at = now;
        }
        let link = self.links.entry(index).or_insert_with(|| Link {
            carriers: BTreeSet::new(),
            name: Arc::clone(name),
            mac,
            settled_at,
            last_foreign: None,
            asked_at: None,
            next_heartbeat: now,
            last_heartbeat: None,
            heard_by: BTreeSet::new(),
            heard_since_silence: false,
            silence: silence::LinkSilence::None,
            turn: None,
        });
        link.carriers.insert(carrier);
        link.name = Arc::clone(name);
        if link.mac != mac {
            link.mac = mac;
            // The neighbours hold the old hardware address: tell them at once.
            for group in self.groups.values_mut() {
                group.announce_again = true;
            }
        }
    }

    fn link_down(&mut self, _now: Timestamp, carrier: CarrierId, index: LinkIndex) {
        if let Some(link) = self.links.get_mut(&index) {
            link.carriers.remove(&carrier);
            if link.carriers.is_empty() {
                self.links.remove(&index);
                for member in self.members.values_mut() {
                    member.forget_link(index);
                }
            }
        }
    }

    pub(crate) fn handle_sighting(&mut self, now: Timestamp, index: LinkIndex, sighting: Sighting) {
        let now = self.advance(now);
        if self.links.values().any(|link| link.mac == sighting.mac) {
            return;
        }
        let period = self.period();
        if let Some(link) = self.links.get_mut(&index) {
            link.hear_other(now, period);
        }
        let Some(address) = sighting.address else { return };
        let Some(group) = self.group_of.get(&address).copied() else { return };
        let claimants = self.claimed.get(&address).cloned().unwrap_or_default();
        for (boot_id, _) in claimants {
            if let Some(member) = self.members.get_mut(&boot_id).filter(|member| member.has_mac(sighting.mac)) {
                member.take_answer(now, IpFamily::of(address));
                self.touched.insert(group);
                self.revive(boot_id);
            }
        }
        if !self.members.values().any(|member| member.has_mac(sighting.mac)) {
            self.stranger_sighted(now, group, address, sighting.mac);
        }
        self.settle(now);
    }

    pub(crate) fn handle_round(&mut self, now: Timestamp, carrier: CarrierId) {
        let now = self.advance(now);
        if let Some(record) = self.carriers.get_mut(&carrier) {
            record.last_round = Some(now);
        }
    }

    pub(crate) fn handle_stale(&mut self, now: Timestamp, _carrier: CarrierId) {
        let now = self.advance(now);
        let settled_at = now + self.timeout();
        for link in self.links.values_mut() {
            link.settled_at = settled_at;
        }
        // Silence during the stop proves nothing: nobody is judged before the segment was heard for a timeout.
        for member in self.members.values_mut().filter(|member| !member.judged_silent) {
            member.excused_at = Some(now);
        }
        let last_heard = self.links.values().filter_map(|link| link.last_heartbeat).max();
        self.suspend_all(last_heard.unwrap_or(now));
        self.settle(now);
    }

    pub(crate) fn handle_timeout(&mut self, now: Timestamp) {
        let now = self.advance(now);
        if now >= self.next_tick {
            self.next_tick = now + self.period() / 2;
            self.check_members(now);
            self.send_heartbeats(now);
            self.relay_claims(now);
            self.handing_over.retain(|group, until| {
                let lasts = *until > now;
                if !lasts {
                    // Where nobody took it, this node stands for it again.
                    self.touched.insert(*group);
                }
                lasts
            });
        }
        self.check_silence(now);
        while let Some((at, group)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.pop_first();
            self.touched.insert(group);
        }
        self.settle(now);
    }

    pub(crate) fn hand_over(&mut self, now: Timestamp, keys: &[AnnouncementKey]) {
        let now = self.advance(now);
        let until = now + self.timeout().saturating_mul(3);
        for key in keys.iter().filter(|key| key.kind == ReachKind::Link) {
            if let Some(group) = self.group_of.get(&key.prefix.ip()).copied() {
                self.handing_over.insert(group, until);
                self.touched.insert(group);
            }
        }
        self.settle(now);
    }

    pub(crate) fn leave(&mut self, now: Timestamp) {
        let now = self.advance(now);
        self.leaving = true;
        self.touched.extend(self.groups.keys().copied());
        self.settle(now);
    }

    pub(crate) fn publish(&mut self, now: Timestamp, table: BTreeMap<ServiceKey, Assignment>) {
        let now = self.advance(now);
        self.replace_assignments(now, table);
        self.flush(now);
    }

    pub(crate) fn set_keys(&mut self, keys: MemberKeys) {
        self.config.keys = keys;
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(crate) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        if self.links.is_empty() && self.timers.is_empty() {
            return None;
        }
        let mut next = self.next_tick;
        if let Some((at, _)) = self.timers.first() {
            next = next.min(*at);
        }
        if let Some(at) = self.next_silence() {
            next = next.min(at);
        }
        if let Some(at) = self.next_flush() {
            next = next.min(at);
        }
        Some(next)
    }

    pub(crate) const fn members_version(&self) -> u64 {
        self.members_version
    }

    pub(crate) fn is_listening(&self) -> bool {
        !self.links.values().any(|link| link.settled_at <= self.now)
    }

    pub(crate) fn members(&self) -> Vec<MemberView> {
        let live = self.members.values().filter(|member| !member.superseded && self.is_alive(member));
        let mut views: Vec<MemberView> = live
            .map(|member| MemberView {
                name: member.name.clone(),
                boot_id: member.boot_id,
                mac: member.best_link().map(|(_, mac)| mac),
                mutual: if member.is_mutual(self.now, self.timeout()) { super::Mutual::Yes } else { super::Mutual::No },
                assignments: Arc::clone(&member.assignments),
                synced: member.is_synced(),
            })
            .collect();
        views.sort_by(|left, right| left.name.cmp(&right.name));
        views
    }

    pub(crate) const fn claims_of_all(&self) -> u32 {
        self.claims_of_all
    }

    pub(crate) fn is_idle(&self) -> bool {
        !self.groups.values().any(Group::answers)
    }

    fn tell(&mut self, event: Event) {
        if self.events.len() >= MOST_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    fn effect(&mut self, carrier: CarrierId, effect: Effect) {
        self.outputs.push_back(Output::Effect(carrier, effect));
    }

    /// Steps every group that something happened to, then sends what became due.
    fn settle(&mut self, now: Timestamp) {
        let mut rounds = 0_u32;
        while let Some(group) = self.touched.pop_first() {
            self.step(now, group);
            rounds += 1;
            debug_assert!(rounds < 10_000_000, "steps must come to rest");
        }
        self.flush(now);
        self.run_jobs(now);
    }

    fn own_name(&self) -> &NodeName {
        &self.config.node
    }
}
