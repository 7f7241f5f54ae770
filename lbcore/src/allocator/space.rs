//! The addresses of one pool: which are free, who uses which, and which can be shared.
//!
//! Invariants, where a *range* is a compartment of the pool (`compartment.rs`):
//! - Of each range, an address is in exactly one of: free, used, withheld and unused, or avoided and already trimmed. Of a kept address
//!   nothing is ever free.
//! - Avoided addresses (.0 and .255) start as free ones, because cutting them out of a large range would leave as many holes as it has
//!   /24s. They are trimmed for good when they come to the front, so that *the lowest free address is never an avoided one*.
//! - A range is open exactly where something is free in it, under each of those who may take from it.
//! - An address is in the group of its keys exactly where its users have a sharing key, under the ports that they hold together.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::family::IpFamily;
use crate::hash::HashMap;
use crate::interval::IntervalSet;
use crate::policy::Policies;
use crate::pool::{BuggyAddresses, Pool, is_buggy};
use crate::range::{AddressRange, number_to_address};
use crate::service::{ServiceKey, SharingKey};
use crate::sharing::{BackendKey, ServicePorts, SharingConflict, SharingTerms};
use crate::usage::{Capacity, PoolUsage};

use super::compartment::{Access, Cut, ReservationNumber, cut};
use super::few::FewMap;
use super::occupancy::{Occupancy, Users};
use super::roster::{Roster, SlotNumber};

/// One value for each family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PerFamily<T> {
    v4: T,
    v6: T,
}

impl<T> PerFamily<T> {
    pub(super) const fn of(&self, family: IpFamily) -> &T {
        match family {
            IpFamily::V4 => &self.v4,
            IpFamily::V6 => &self.v6,
        }
    }

    pub(super) const fn of_mut(&mut self, family: IpFamily) -> &mut T {
        match family {
            IpFamily::V4 => &mut self.v4,
            IpFamily::V6 => &mut self.v6,
        }
    }
}

/// An address of a pool, ordered as the search goes: ranges as written, addresses ascending ([ALLOC-20]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Number of the range within the pool.
    pub(super) range: u32,
    /// The address as a number.
    pub(super) number: u128,
}

/// Whether an address is withheld: somebody outside holds it, or it waits for a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IsReserved {
    Yes,
    No,
}

/// The part of a pool that a search goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// What nobody reserved.
    Common,
    /// What this reservation sets aside.
    Reserved(ReservationNumber),
}

/// What a search may find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Supply {
    /// Free addresses and shared ones.
    All,
    /// Only addresses that are in use and can be shared.
    Shared,
}

#[derive(Clone, Debug)]
struct RangeSpace {
    range: AddressRange,
    access: Access,
    free: IntervalSet,
    users: Occupancy,
}

/// Whether something is free in a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IsOpen {
    Yes,
    No,
}

impl Access {
    /// Whether addresses with this access belong to a part.
    pub(super) fn admits(&self, part: Part) -> bool {
        match (self, part) {
            (Self::Everybody, Part::Common) => true,
            (Self::Reserved(numbers), Part::Reserved(number)) => numbers.contains(&number),
            (Self::Everybody | Self::Kept, Part::Reserved(_)) | (Self::Reserved(_) | Self::Kept, Part::Common) => false,
        }
    }
}

/// Services with these keys may share.
type GroupKey = (SharingKey, BackendKey);

/// The addresses whose users share under one pair of keys, by family and by the ports in use on them. Many addresses have the same ports,
/// so that looking at each set of ports once finds the lowest address without a port conflict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Group(FewMap<(IpFamily, ServicePorts), FewMap<Place, ()>>);

impl Group {
    fn lowest(&self, family: IpFamily, ports: &ServicePorts, is_usable: impl Fn(&Place) -> bool) -> Option<Place> {
        let of_family = self.0.iter().filter(|((of, _), _)| *of == family);
        let compatible = of_family.filter(|((_, used), _)| ports.first_common(used).is_none());
        compatible.filter_map(|(_, places)| places.keys().find(|place| is_usable(place))).min().copied()
    }

    fn insert(&mut self, family: IpFamily, ports: ServicePorts, place: Place) {
        let key = (family, ports);
        if let Some(places) = self.0.get_mut(&key) {
            places.insert(place, ());
        } else {
            let mut places = FewMap::default();
            places.insert(place, ());
            self.0.insert(key, places);
        }
    }

    fn remove(&mut self, family: IpFamily, ports: &ServicePorts, place: Place) {
        let key = (family, ports.clone());
        if let Some(places) = self.0.get_mut(&key) {
            places.remove(&place);
            if places.is_empty() {
                self.0.remove(&key);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A pool with the state of its addresses.
#[derive(Clone, Debug)]
pub(super) struct PoolSpace {
    /// The pool as configured. Its ranges and its `buggy_addresses` must not be changed.
    pub(super) pool: Pool,
    capacity: Capacity,
    ranges: Vec<RangeSpace>,
    /// Open ranges for everybody.
    open: PerFamily<BTreeSet<u32>>,
    /// Open ranges of each reservation that sets something of the pool aside.
    reservations: BTreeMap<ReservationNumber, PerFamily<BTreeSet<u32>>>,
    groups: HashMap<GroupKey, Group>,
    assigned: PerFamily<i64>,
    reserved: PerFamily<i64>,
    /// Kept addresses in use, which the capacity does not count.
    beyond: PerFamily<i64>,
}

impl PoolSpace {
    pub(super) fn new(pool: Pool, policies: &Policies) -> Self {
        let ranges = cut(&pool, policies).into_iter().map(|Cut { range, access }| {
            let free = match access {
                Access::Everybody | Access::Reserved(_) => IntervalSet::full(range.first_number(), range.last_number()),
                Access::Kept => IntervalSet::default(),
            };
            RangeSpace { range, access, free, users: Occupancy::default() }
        });
        let mut space = Self {
            capacity: Capacity::of(&pool),
            ranges: ranges.collect(),
            pool,
            open: PerFamily::default(),
            reservations: BTreeMap::new(),
            groups: HashMap::default(),
            assigned: PerFamily::default(),
            reserved: PerFamily::default(),
            beyond: PerFamily::default(),
        };
        for number in (0_u32..).zip(&space.ranges).map(|(number, _)| number).collect::<Vec<_>>() {
            space.set_open(number, IsOpen::Yes);
            space.trim(number);
        }
        space
    }

    /// The ranges in the order of the search, with their places in it.
    pub(super) fn ranges(&self) -> impl Iterator<Item = AddressRange> + '_ {
        self.ranges.iter().map(|space| space.range)
    }

    /// The reservations that set something of the pool aside, full or not.
    pub(super) fn reservations(&self) -> impl Iterator<Item = ReservationNumber> + '_ {
        self.reservations.keys().copied()
    }

    /// Who is given the addresses around a place.
    pub(super) fn access(&self, place: Place) -> &Access {
        self.ranges.get(place.range as usize).map_or(&Access::Kept, |space| &space.access)
    }

    /// Whether the pool has a range of the family, full or not.
    pub(super) fn has_family(&self, family: IpFamily) -> bool {
        self.pool.ranges.iter().any(|range| range.family() == family)
    }

    /// The lowest address of a part that the newcomer may use: a free one, or one that it may share ([ALLOC-20], [ALLOC-21]). Of the
    /// shared ones only those count that `is_usable` lets through.
    pub(super) fn lowest(
        &self,
        family: IpFamily,
        newcomer: &SharingTerms,
        (part, supply): (Part, Supply),
        is_usable: impl Fn(IpAddr) -> bool,
    ) -> Option<Place> {
        let open = match part {
            Part::Common => self.open.of(family),
            Part::Reserved(number) => self.reservations.get(&number)?.of(family),
        };
        let open = open.first().filter(|_| supply == Supply::All);
        let free = open.and_then(|range| {
            let number = self.ranges.get(*range as usize)?.free.lowest()?;
            Some(Place { range: *range, number })
        });
        let shared = newcomer.sharing_key.as_ref().and_then(|key| {
            let group = self.groups.get(&(key.clone(), newcomer.backend_key.clone()))?;
            let is_usable =
                |place: &Place| self.access(*place).admits(part) && is_usable(number_to_address(family, place.number));
            group.lowest(family, &newcomer.ports, is_usable)
        });
        match (free, shared) {
            (Some(free), Some(shared)) => Some(free.min(shared)),
            (free, shared) => free.or(shared),
        }
    }

    /// Whether a Service may use an address beside those who do ([ALLOC-10]). It may itself be one of them.
    ///
    /// # Errors
    /// The Service it conflicts with, the first by key where the reason is the keys, and why.
    pub(super) fn admits(
        &self,
        place: Place,
        slot: SlotNumber,
        newcomer: &SharingTerms,
        roster: &Roster,
    ) -> Result<(), (ServiceKey, SharingConflict)> {
        match self.users(place) {
            None => Ok(()),
            Some(Users::One(user)) if user == slot => Ok(()),
            Some(Users::One(user)) => {
                roster.sharing(user).admit(newcomer).map_err(|conflict| (roster.key(user).clone(), conflict))
            }
            Some(Users::Many(sharers)) => {
                let mut others = sharers.slots.keys().filter(|user| **user != slot);
                if let Some(other) = others.clone().next()
                    && let Err(conflict) = roster.sharing(*other).keys_admit(newcomer)
                {
                    let first = others.by_ref().map(|user| roster.key(*user)).min();
                    return Err((first.unwrap_or_else(|| roster.key(*other)).clone(), conflict));
                }
                for port in newcomer.ports.as_slice() {
                    if let Some(user) = sharers.ports.get(port).filter(|user| **user != slot) {
                        return Err((roster.key(*user).clone(), SharingConflict::PortTaken { port: *port }));
                    }
                }
                Ok(())
            }
        }
    }

    /// The Services that use an address, sorted by key.
    pub(super) fn user_keys(&self, place: Place, roster: &Roster) -> Vec<ServiceKey> {
        let mut keys: Vec<ServiceKey> = match self.users(place) {
            None => Vec::new(),
            Some(Users::One(user)) => vec![roster.key(user).clone()],
            Some(Users::Many(sharers)) => sharers.slots.keys().map(|user| roster.key(*user).clone()).collect(),
        };
        keys.sort_unstable();
        keys
    }

    /// Enters a Service as a user of an address that it may use, or that it has used just before. The roster need not know of it yet.
    pub(super) fn occupy(
        &mut self,
        place: Place,
        slot: SlotNumber,
        sharing: &SharingTerms,
        roster: &Roster,
        is_reserved: IsReserved,
    ) {
        let Some(space) = self.ranges.get_mut(place.range as usize) else { return };
        let family = space.range.family();
        let ports_before = match (space.users.users(place.number), &sharing.sharing_key) {
            // Only groups need the ports.
            (Some(users), Some(_)) => Some(users.ports(roster)),
            (Some(_), None) => None,
            (None, _) => {
                *self.assigned.of_mut(family) += 1;
                match (&space.access, is_reserved) {
                    (Access::Kept, _) => *self.beyond.of_mut(family) += 1,
                    (_, IsReserved::Yes) => *self.reserved.of_mut(family) -= 1,
                    (_, IsReserved::No) => self.take(place),
                }
                None
            }
        };
        if let Some(space) = self.ranges.get_mut(place.range as usize) {
            space.users.add(place.number, slot, &sharing.ports, roster);
        }
        if let Some(key) = &sharing.sharing_key {
            let group = self.groups.entry((key.clone(), sharing.backend_key.clone())).or_default();
            let ports_after = match ports_before {
                None => sharing.ports.clone(),
                Some(before) => {
                    group.remove(family, &before, place);
                    before.as_slice().iter().chain(sharing.ports.as_slice()).copied().collect()
                }
            };
            group.insert(family, ports_after, place);
        }
    }

    /// Strikes a Service, which holds it on these terms, out as a user of an address. An address that nobody uses any more becomes free
    /// unless it is reserved.
    pub(super) fn vacate(&mut self, place: Place, slot: SlotNumber, sharing: &SharingTerms, is_reserved: IsReserved) {
        let Some(space) = self.ranges.get_mut(place.range as usize) else { return };
        let family = space.range.family();
        let ports_after = space.users.remove(place.number, slot, &sharing.ports);
        if ports_after.is_none() {
            *self.assigned.of_mut(family) -= 1;
            match (&space.access, is_reserved) {
                (Access::Kept, _) => *self.beyond.of_mut(family) -= 1,
                (_, IsReserved::Yes) => *self.reserved.of_mut(family) += 1,
                (_, IsReserved::No) => self.give_back(place),
            }
        }
        if let Some(key) = &sharing.sharing_key {
            let group_key = (key.clone(), sharing.backend_key.clone());
            if let Some(group) = self.groups.get_mut(&group_key) {
                let others = ports_after.iter().flat_map(ServicePorts::as_slice);
                let ports_before = others.chain(sharing.ports.as_slice()).copied().collect();
                group.remove(family, &ports_before, place);
                if let Some(after) = ports_after {
                    group.insert(family, after, place);
                }
                if group.is_empty() {
                    self.groups.remove(&group_key);
                }
            }
        }
    }

    /// Withholds an address that is reserved; one in use stays with its users.
    pub(super) fn reserve(&mut self, place: Place) {
        if self.users(place).is_none()
            && let Some(space) = self.ranges.get(place.range as usize).filter(|space| space.access != Access::Kept)
        {
            *self.reserved.of_mut(space.range.family()) += 1;
            self.take(place);
        }
    }

    /// Frees an address that is no longer reserved; one in use stays with its users.
    pub(super) fn unreserve(&mut self, place: Place) {
        if self.users(place).is_none()
            && let Some(space) = self.ranges.get(place.range as usize).filter(|space| space.access != Access::Kept)
        {
            *self.reserved.of_mut(space.range.family()) -= 1;
            self.give_back(place);
        }
    }

    /// The counters of the pool ([ALLOC-44]).
    pub(super) fn usage(&self) -> PoolUsage {
        let available = |family| {
            let taken = self.assigned.of(family) - self.beyond.of(family) + self.reserved.of(family);
            self.capacity.family(family) - taken
        };
        PoolUsage {
            assigned_ipv4: self.assigned.v4,
            assigned_ipv6: self.assigned.v6,
            available_ipv4: available(IpFamily::V4),
            available_ipv6: available(IpFamily::V6),
        }
    }

    /// Whether this and the pool have the same addresses, so that the state of one serves the other.
    pub(super) fn has_addresses_of(&self, pool: &Pool) -> bool {
        self.pool.name == pool.name
            && self.pool.ranges == pool.ranges
            && self.pool.buggy_addresses == pool.buggy_addresses
            && self.pool.exclusions == pool.exclusions
            && self.pool.kept == pool.kept
    }

    /// Whether the Service is listed as a user of an address.
    pub(super) fn is_used_by(&self, place: Place, slot: SlotNumber) -> bool {
        match self.users(place) {
            None => false,
            Some(Users::One(user)) => user == slot,
            Some(Users::Many(sharers)) => sharers.slots.contains(&slot),
        }
    }

    /// Whether nothing keeps an address from being handed out.
    pub(super) fn is_free(&self, place: Place) -> bool {
        self.ranges.get(place.range as usize).is_some_and(|space| space.free.contains(place.number))
    }

    /// Whether nobody uses an address.
    pub(super) fn is_unused(&self, place: Place) -> bool {
        self.users(place).is_none()
    }

    /// Whether an address could be given to somebody else one day, so that it makes sense to have it wait for one.
    pub(super) fn can_wait(&self, place: Place) -> bool {
        *self.access(place) != Access::Kept
    }

    fn users(&self, place: Place) -> Option<Users<'_>> {
        self.ranges.get(place.range as usize)?.users.users(place.number)
    }

    fn take(&mut self, place: Place) {
        if let Some(space) = self.ranges.get_mut(place.range as usize) {
            space.free.take(place.number);
            self.trim(place.range);
        }
    }

    fn give_back(&mut self, place: Place) {
        if let Some(space) = self.ranges.get_mut(place.range as usize) {
            let was_empty = space.free.is_empty();
            space.free.give_back(place.number);
            if was_empty {
                self.set_open(place.range, IsOpen::Yes);
            }
        }
    }

    /// Enters a range among the open ones of those who may take from it, or strikes it out.
    fn set_open(&mut self, range: u32, is_open: IsOpen) {
        let Some(space) = self.ranges.get(range as usize) else { return };
        let family = space.range.family();
        let set = |open: &mut PerFamily<BTreeSet<u32>>| match is_open {
            IsOpen::Yes => open.of_mut(family).insert(range),
            IsOpen::No => open.of_mut(family).remove(&range),
        };
        match &space.access {
            Access::Everybody => {
                set(&mut self.open);
            }
            Access::Reserved(numbers) => {
                for number in numbers {
                    set(self.reservations.entry(*number).or_default());
                }
            }
            Access::Kept => {}
        }
    }

    /// Takes avoided addresses off the front of a range, and closes it where nothing is left.
    fn trim(&mut self, range: u32) {
        let Some(space) = self.ranges.get_mut(range as usize) else { return };
        let family = space.range.family();
        if self.pool.buggy_addresses == BuggyAddresses::Avoided {
            while let Some(lowest) = space.free.lowest().filter(|lowest| is_buggy(number_to_address(family, *lowest))) {
                space.free.take(lowest);
            }
        }
        if space.free.is_empty() {
            self.set_open(range, IsOpen::No);
        }
    }
}

#[cfg(test)]
impl PoolSpace {
    /// The full check: this is just what the same holdings and reservations build from nothing. Only for small ranges.
    pub(super) fn assert_equals_rebuilt(&self, rebuilt: &Self) {
        assert_eq!(self.groups, rebuilt.groups, "groups of shareable addresses");
        let counters = |space: &Self| [space.assigned.clone(), space.reserved.clone(), space.beyond.clone()];
        assert_eq!(counters(self), counters(rebuilt), "counters");
        assert_eq!((&self.open, &self.reservations), (&rebuilt.open, &rebuilt.reservations), "open ranges");
        for (here, there) in self.ranges.iter().zip(&rebuilt.ranges) {
            assert_eq!(here.users, there.users, "users");
            // Which avoided addresses are trimmed already depends on history; of the others each is where it must be.
            let avoids = |number: &u128| self.pool.avoids(number_to_address(here.range.family(), *number));
            assert!(here.free.lowest().is_none_or(|lowest| !avoids(&lowest)), "the lowest free address is not avoided");
            let free = |set: &IntervalSet| -> Vec<u128> {
                set.intervals().flat_map(|(first, last)| first..=last).filter(|number| !avoids(number)).collect()
            };
            assert_eq!(free(&here.free), free(&there.free), "free addresses");
            assert!(free(&here.free).iter().all(|number| here.users.users(*number).is_none()), "used and free at once");
        }
        let usage = self.usage();
        assert!(usage.available_ipv4 >= 0 && usage.available_ipv6 >= 0, "more in use than there is");
    }
}
