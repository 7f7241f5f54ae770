//! The addresses of groups: taken from desired sets, and what their shells are told ([OWN-20], [OWN-70]).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::announce::{AnnouncementState, GroupKey, Withheld};
use crate::link::LinkIndex;
use crate::ownership::claims::ClaimState;
use crate::ownership::event::LossCause;
use crate::ownership::{CarrierId, Effect, Event};
use crate::time::Timestamp;

use super::Ownership;
use super::candidacy::{Foreign, Obstacle};
use super::group::{Applied, FIRST_CLAIM_PROBES, Group, GroupAddress, Joining, PROBE_SPACING, Stand, State};

impl Ownership {
    /// Takes the stands of a carrier; groups are made, changed and dropped as they say.
    pub(super) fn set_stands(&mut self, carrier: CarrierId, stands: BTreeMap<IpAddr, Stand>) {
        let now = self.now;
        let Some(record) = self.carriers.get_mut(&carrier) else { return };
        let before = core::mem::replace(&mut record.stands, stands.clone());
        let gone = before.keys().filter(|address| !stands.contains_key(*address)).copied().collect::<Vec<_>>();
        for address in gone {
            self.drop_address(now, address);
        }
        for (address, stand) in stands {
            match before.get(&address) {
                Some(same) if *same == stand => {}
                Some(other) if other.group != stand.group => self.move_address(now, carrier, address, stand),
                Some(_) => {
                    let key = stand.group;
                    if let Some(entry) = self.groups.get_mut(&key).and_then(|group| group.addresses.get_mut(&address)) {
                        entry.stand = stand;
                    }
                    self.touched.insert(key);
                }
                None => self.add_address(now, carrier, address, stand),
            }
        }
    }

    pub(super) fn add_address(&mut self, now: Timestamp, carrier: CarrierId, address: IpAddr, stand: Stand) {
        let key = stand.group;
        let known_epoch = self.known_epoch(address);
        let group = self.groups.entry(key).or_insert_with(|| Group::new(now));
        group.known_epoch = group.known_epoch.max(known_epoch);
        let joining = group.answers().then_some(Joining { next_probe: now, probes_left: FIRST_CLAIM_PROBES });
        let entry = GroupAddress { carrier, stand, applied: Applied::None, told: None, joining };
        group.addresses.insert(address, entry);
        self.group_of.insert(address, key);
        self.touched.insert(key);
    }

    /// The highest epoch that others claim an address with.
    pub(super) fn known_epoch(&self, address: IpAddr) -> u64 {
        let claims = self.claimed.get(&address).into_iter().flatten();
        let epochs = claims.filter_map(|(boot_id, group)| {
            self.members.get(boot_id).and_then(|member| member.claim(*group)).map(|claim| claim.epoch)
        });
        epochs.max().unwrap_or_default()
    }

    pub(super) fn drop_address(&mut self, now: Timestamp, address: IpAddr) {
        let Some(key) = self.group_of.remove(&address) else { return };
        let Some(group) = self.groups.get_mut(&key) else { return };
        let Some(entry) = group.addresses.remove(&address) else { return };
        let last = group.addresses.is_empty();
        if !matches!(entry.applied, Applied::None) {
            self.effect(entry.carrier, Effect::Deactivate { address });
        }
        self.effect(entry.carrier, Effect::State { address, state: None });
        if last {
            self.end_group(now, key);
        } else {
            self.touched.insert(key);
        }
    }

    pub(super) fn end_group(&mut self, _now: Timestamp, key: GroupKey) {
        let Some(group) = self.groups.remove(&key) else { return };
        if let Some(at) = group.deadline {
            self.timers.remove(&(at, key));
        }
        self.handing_over.remove(&key);
        self.touched.remove(&key);
        if group.answers() {
            self.tell(Event::Lost { group: key, cause: LossCause::NotWanted });
        }
        self.withdraw_claim(key);
    }

    /// An address changes its group: what this node owns it keeps, without a gap.
    pub(super) fn move_address(&mut self, now: Timestamp, carrier: CarrierId, address: IpAddr, stand: Stand) {
        let (from, to) = (self.group_of.get(&address).copied(), stand.group);
        let Some(old) = from.and_then(|from| self.groups.get_mut(&from)) else {
            return self.add_address(now, carrier, address, stand);
        };
        let inherited = old.state.clone();
        let (known_epoch, answered) = (old.known_epoch, old.answers());
        let Some(mut entry) = old.addresses.remove(&address) else { return };
        let emptied = old.addresses.is_empty();
        entry.stand = stand;
        let fresh = !self.groups.contains_key(&to);
        let group = self.groups.entry(to).or_insert_with(|| Group::new(now));
        group.known_epoch = group.known_epoch.max(known_epoch);
        if answered && !group.answers() && (fresh || matches!(group.state, State::Pending)) {
            group.state = inherited;
        } else if !answered && group.answers() {
            entry.joining = Some(Joining { next_probe: now, probes_left: FIRST_CLAIM_PROBES });
        }
        group.addresses.insert(address, entry);
        self.group_of.insert(address, to);
        self.touched.insert(to);
        if emptied && let Some(from) = from {
            self.end_group(now, from);
        } else if let Some(from) = from {
            self.touched.insert(from);
        }
    }

    pub(super) fn carrier_of(&self, address: IpAddr) -> Option<CarrierId> {
        let group = self.groups.get(self.group_of.get(&address)?)?;
        group.addresses.get(&address).map(|entry| entry.carrier)
    }

    /// Links an address can be answered on now.
    pub(super) fn links_of(&self, entry: &GroupAddress) -> Arc<[LinkIndex]> {
        self.links
            .iter()
            .filter(|(_, link)| link.carriers.contains(&entry.carrier) && entry.stand.links.selects(&link.name))
            .map(|(index, _)| *index)
            .collect()
    }

    /// When every link of the group has been listened to; `None` without a link.
    pub(super) fn settled_at(&self, group: &Group) -> Option<Timestamp> {
        let links: BTreeSet<LinkIndex> =
            group.addresses.values().flat_map(|entry| self.links_of(entry).to_vec()).collect();
        links.iter().filter_map(|index| self.links.get(index)).map(|link| link.settled_at).max()
    }

    pub(super) fn probe(&mut self, key: GroupKey) {
        let Some(group) = self.groups.get(&key) else { return };
        let probes: Vec<(CarrierId, IpAddr, LinkIndex)> = group
            .addresses
            .iter()
            .flat_map(|(address, entry)| {
                self.links_of(entry).iter().map(|link| (entry.carrier, *address, *link)).collect::<Vec<_>>()
            })
            .collect();
        for (carrier, address, link) in probes {
            self.effect(carrier, Effect::Probe { address, link });
        }
    }

    /// Tells the shells what differs from what they were told before.
    pub(super) fn apply(&mut self, now: Timestamp, key: GroupKey) {
        let Some(group) = self.groups.get(&key).cloned() else { return };
        let foreign = self.foreign_claims(&group);
        let owner = foreign.iter().find(|other| other.alive).map(|other| other.name.clone());
        let obstacle = self.obstacle(key, &group).map(|obstacle| match obstacle {
            Obstacle::NotEligible => Withheld::NotEligible,
            Obstacle::Withheld(reason) => reason,
        });
        let told = group.told_state(owner, obstacle);
        let again = group.announce_again;
        for (address, entry) in &group.addresses {
            let joining = self.step_joining(now, key, *address, entry, &foreign);
            let links = self.links_of(entry);
            let active = group.answers() && !joining && !links.is_empty();
            self.apply_address(key, *address, entry, &links, active, again);
            let state = match &told {
                AnnouncementState::Active { since, epoch, .. } if active => {
                    AnnouncementState::Active { since: *since, links: Arc::clone(&links), epoch: *epoch }
                }
                AnnouncementState::Active { .. } if joining => AnnouncementState::Probing,
                AnnouncementState::Active { .. } => AnnouncementState::Withheld(Withheld::NoLink),
                other @ (AnnouncementState::Pending
                | AnnouncementState::Probing
                | AnnouncementState::Standby { .. }
                | AnnouncementState::Withheld(_)
                | AnnouncementState::Failed(_)) => other.clone(),
            };
            if entry.told.as_ref() != Some(&state) {
                self.effect(entry.carrier, Effect::State { address: *address, state: Some(state.clone()) });
                self.with_address(key, *address, |entry| entry.told = Some(state));
            }
        }
        if let Some(group) = self.groups.get_mut(&key) {
            group.announce_again = false;
        }
        // Addresses, links, score or epoch may differ from what the claim said.
        if let Some(epoch) = group.answered_epoch() {
            let releasing = matches!(group.state, State::Releasing { .. });
            self.claim(key, if releasing { ClaimState::Releasing } else { ClaimState::Active }, epoch);
        }
    }

    pub(super) fn apply_address(
        &mut self,
        key: GroupKey,
        address: IpAddr,
        entry: &GroupAddress,
        links: &Arc<[LinkIndex]>,
        active: bool,
        again: bool,
    ) {
        let wanted = if active {
            Applied::Active(Arc::clone(links))
        } else if links.is_empty() {
            Applied::None
        } else {
            Applied::Prepared(Arc::clone(links))
        };
        if entry.applied == wanted {
            if active && again {
                self.effect(entry.carrier, Effect::Announce { address });
            }
            return;
        }
        if matches!(entry.applied, Applied::Active(_)) && !active {
            self.effect(entry.carrier, Effect::Deactivate { address });
        }
        match &wanted {
            Applied::Active(links) => {
                self.effect(entry.carrier, Effect::Activate { address, links: Arc::clone(links) });
            }
            Applied::Prepared(links) => {
                self.effect(entry.carrier, Effect::Prepare { address, links: Arc::clone(links) });
            }
            Applied::None => {}
        }
        self.with_address(key, address, |entry| entry.applied = wanted);
    }

    /// An address that came to an owned group is probed first, and not answered while another member claims it.
    pub(super) fn step_joining(
        &mut self,
        now: Timestamp,
        key: GroupKey,
        address: IpAddr,
        entry: &GroupAddress,
        foreign: &[Foreign],
    ) -> bool {
        let Some(joining) = entry.joining else { return false };
        let claimed = foreign.iter().any(|other| {
            other.alive
                && self
                    .claimed
                    .get(&address)
                    .is_some_and(|entries| entries.iter().any(|(boot_id, _)| *boot_id == other.boot_id))
        });
        let mut next = joining;
        if now >= joining.next_probe {
            if joining.probes_left == 0 && !claimed {
                self.with_address(key, address, |entry| entry.joining = None);
                return false;
            }
            next.probes_left = joining.probes_left.saturating_sub(1);
            next.next_probe = now + PROBE_SPACING;
            for link in self.links_of(entry).iter() {
                self.effect(entry.carrier, Effect::Probe { address, link: *link });
            }
            self.with_address(key, address, |entry| entry.joining = Some(next));
        }
        let deadline = self.groups.get(&key).and_then(|group| group.deadline);
        let at = deadline.map_or(next.next_probe, |deadline| deadline.min(next.next_probe));
        self.schedule(key, Some(at));
        true
    }

    pub(super) fn with_address(&mut self, key: GroupKey, address: IpAddr, change: impl FnOnce(&mut GroupAddress)) {
        if let Some(entry) = self.groups.get_mut(&key).and_then(|group| group.addresses.get_mut(&address)) {
            change(entry);
        }
    }
}
