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
use super::silence::LinkSilence;

impl Ownership {
    /// Takes the whole of a carrier's stands; groups are made, changed and dropped as they say.
    pub(super) fn set_stands(&mut self, carrier: CarrierId, stands: BTreeMap<IpAddr, Stand>) {
        let Some(record) = self.carriers.get(&carrier) else { return };
        let gone: Vec<IpAddr> =
            record.stands.keys().filter(|address| !stands.contains_key(*address)).copied().collect();
        for address in gone {
            self.drop_stand(carrier, address);
        }
        for (address, stand) in stands {
            self.put_stand(carrier, address, stand);
        }
    }

    pub(super) fn drop_stand(&mut self, carrier: CarrierId, address: IpAddr) {
        let Some(record) = self.carriers.get_mut(&carrier) else { return };
        if record.stands.remove(&address).is_some() {
            self.drop_address(self.now, address);
        }
    }

    pub(super) fn put_stand(&mut self, carrier: CarrierId, address: IpAddr, stand: Stand) {
        let now = self.now;
        let Some(record) = self.carriers.get_mut(&carrier) else { return };
        if record.stands.get(&address) == Some(&stand) {
            return;
        }
        record.stands.insert(address, stand.clone());
        self.moving.remove(&address);
        match self.group_of.get(&address).copied() {
            None => self.add_address(now, carrier, address, stand),
            Some(key) if key != stand.group => self.move_address(now, carrier, address, stand),
            Some(key) => {
                self.with_address(key, address, |entry| entry.stand = stand);
                self.touched.insert(key);
            }
        }
    }

    pub(super) fn add_address(&mut self, now: Timestamp, carrier: CarrierId, address: IpAddr, stand: Stand) {
        let key = stand.group;
        let known_epoch = self.known_epoch(address);
        let group = self.groups.entry(key).or_insert_with(|| Group::new(now));
        group.known_epoch = group.known_epoch.max(known_epoch);
        let joining = group.answers().then_some(Joining::new(now));
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
        self.moving.remove(&address);
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
            let audible: Arc<[LinkIndex]> = links.iter().copied().filter(|link| self.is_audible(*link)).collect();
            let active = group.answers() && !joining && !audible.is_empty();
            self.apply_address(key, *address, entry, if active { &audible } else { &links }, active, again);
            let state = match &told {
                AnnouncementState::Active { since, epoch, .. } if !joining && !links.is_empty() => {
                    AnnouncementState::Active { since: *since, links: Arc::clone(&audible), epoch: *epoch }
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

    /// Whether a link carries frames of others, or never carried one of a member.
    fn is_audible(&self, link: LinkIndex) -> bool {
        self.links.get(&link).is_some_and(|link| link.silence == LinkSilence::None)
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
        let Some(mut joining) = entry.joining else { return false };
        if foreign.iter().any(|other| other.alive && other.addresses.contains(&address)) {
            joining.was_claimed = true;
            joining.probes_left = FIRST_CLAIM_PROBES;
            joining.next_probe = now;
            self.with_address(key, address, |entry| entry.joining = Some(joining));
            return true;
        }
        if joining.was_claimed || (now >= joining.next_probe && joining.probes_left == 0) {
            // Its owner handed it over, or nobody answered.
            self.with_address(key, address, |entry| entry.joining = None);
            return false;
        }
        if now >= joining.next_probe {
            joining.probes_left = joining.probes_left.saturating_sub(1);
            joining.next_probe = now + PROBE_SPACING;
            for link in self.links_of(entry).iter() {
                self.effect(entry.carrier, Effect::Probe { address, link: *link });
            }
            self.with_address(key, address, |entry| entry.joining = Some(joining));
        }
        let deadline = self.groups.get(&key).and_then(|group| group.deadline);
        let at = deadline.map_or(joining.next_probe, |deadline| deadline.min(joining.next_probe));
        self.schedule(key, Some(at));
        true
    }

    pub(super) fn with_address(&mut self, key: GroupKey, address: IpAddr, change: impl FnOnce(&mut GroupAddress)) {
        if let Some(entry) = self.groups.get_mut(&key).and_then(|group| group.addresses.get_mut(&address)) {
            change(entry);
        }
    }
}
