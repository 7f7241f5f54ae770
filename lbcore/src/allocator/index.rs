//! The maps behind the allocator: pools by name and by address, Services, what is withheld, counts of quotas, and the two changes that
//! keep them in step ([`Index::attach`] and [`Index::detach`]).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::addresses::{AddressesError, ServiceAddresses};
use crate::family::IpFamily;
use crate::labels::Labels;
use crate::policy::Policies;
use crate::pool::{AutoAssign, Pool, PoolRestriction};
use crate::range::{address_to_number, number_to_address};
use crate::service::{PoolName, ServiceKey};
use crate::sharing::SharingTerms;

use super::compartment::ReservationNumber;
use super::holds::{Departure, Hold, Holds};
use super::outcome::{NoAddress, PoolRange, PoolsError};
use super::quotas::Quotas;
use super::reserved::ReservedFor;
use super::roster::{Holding, Placement, Roster, SlotNumber};
use super::space::{IsReserved, Place, PoolSpace};

/// Where a range of addresses is: in which pool, and which of its ranges.
#[derive(Clone, Copy, Debug)]
struct Extent {
    family: IpFamily,
    first: u128,
    last: u128,
    pool: u32,
    range: u32,
}

/// Pools with the state of their addresses.
#[derive(Clone, Debug, Default)]
pub(super) struct Pools {
    /// Sorted by name; a pool's number is its place here.
    spaces: Vec<PoolSpace>,
    by_name: BTreeMap<PoolName, u32>,
    /// Sorted by family and address, disjoint.
    extents: Vec<Extent>,
    /// Numbers of the pools for automatic choice, in the order tried: pinned ones, then the others ([ALLOC-30]).
    pub(super) pinned: Vec<u32>,
    pub(super) unpinned: Vec<u32>,
    /// The pools of each reservation, in order of name.
    by_reservation: Vec<Vec<u32>>,
}

impl Pools {
    /// Builds the state of unused pools.
    ///
    /// # Errors
    /// [`PoolsError`] where a name or an address is there twice.
    pub(super) fn new(pools: impl IntoIterator<Item = Pool>, policies: &Policies) -> Result<Self, PoolsError> {
        let mut pools: Vec<Pool> = pools.into_iter().collect();
        pools.sort_by(|left, right| left.name.cmp(&right.name));
        let mut neighbours = pools.iter().zip(pools.iter().skip(1));
        if let Some((_, second)) = neighbours.find(|(first, second)| first.name == second.name) {
            return Err(PoolsError::DuplicateName { pool: second.name.clone() });
        }
        let by_name = pools.iter().map(|pool| pool.name.clone()).zip(0_u32..).collect();
        let spaces: Vec<PoolSpace> = pools.into_iter().map(|pool| PoolSpace::new(pool, policies)).collect();
        let mut extents: Vec<Extent> = (0_u32..)
            .zip(&spaces)
            .flat_map(|(pool, space)| {
                (0_u32..).zip(space.ranges()).map(move |(range, addresses)| Extent {
                    family: addresses.family(),
                    first: addresses.first_number(),
                    last: addresses.last_number(),
                    pool,
                    range,
                })
            })
            .collect();
        extents.sort_by_key(|extent| (extent.family, extent.first));
        let mut neighbours = extents.iter().zip(extents.iter().skip(1));
        let overlapping =
            neighbours.find(|(first, second)| first.family == second.family && second.first <= first.last);
        if let Some((first, second)) = overlapping {
            return Err(overlap(&spaces, first, second));
        }
        let mut by_reservation = vec![Vec::new(); policies.reservations.len()];
        for (pool, space) in (0_u32..).zip(&spaces) {
            for reservation in space.reservations() {
                if let Some(pools) = by_reservation.get_mut(reservation as usize) {
                    pools.push(pool);
                }
            }
        }
        let mut built = Self { spaces, by_name, extents, by_reservation, ..Self::default() };
        built.order();
        Ok(built)
    }

    /// Puts new descriptions of the same addresses in place of the old ones. False, and nothing changed, where the addresses differ.
    pub(super) fn redescribe(&mut self, pools: &[Pool]) -> bool {
        let number_of = |pool: &Pool| self.by_name.get(&pool.name).copied();
        let names: BTreeSet<&PoolName> = pools.iter().map(|pool| &pool.name).collect();
        let same = names.len() == self.spaces.len()
            && pools.len() == names.len()
            && pools.iter().all(|pool| {
                number_of(pool).and_then(|number| self.space(number)).is_some_and(|space| space.has_addresses_of(pool))
            });
        if same {
            for pool in pools {
                if let Some(space) = number_of(pool).and_then(|number| self.spaces.get_mut(number as usize)) {
                    space.pool = pool.clone();
                }
            }
            self.order();
        }
        same
    }

    /// Sorts the pools for automatic choice: by priority, where 0 is last, then by name ([ALLOC-30], [ALLOC-37]).
    fn order(&mut self) {
        let automatic = (0_u32..).zip(&self.spaces).filter(|(_, space)| space.pool.auto_assign == AutoAssign::Enabled);
        let (mut pinned, mut unpinned) = (Vec::new(), Vec::new());
        for (number, space) in automatic {
            match &space.pool.allocation {
                Some(allocation) => pinned.push((allocation.priority == 0, allocation.priority, number)),
                None => unpinned.push(number),
            }
        }
        pinned.sort_unstable();
        self.pinned = pinned.into_iter().map(|(_, _, number)| number).collect();
        self.unpinned = unpinned;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.spaces.is_empty()
    }

    pub(super) fn space(&self, number: u32) -> Option<&PoolSpace> {
        self.spaces.get(number as usize)
    }

    /// The name of a pool whose number comes from here.
    pub(super) fn name(&self, number: u32) -> &PoolName {
        &self.space(number).expect("pool numbers come from this set of pools").pool.name
    }

    pub(super) fn number(&self, name: &PoolName) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// The pools of which a reservation sets something aside, in order of name.
    pub(super) fn of_reservation(&self, reservation: ReservationNumber) -> &[u32] {
        self.by_reservation.get(reservation as usize).map_or(&[], Vec::as_slice)
    }

    /// The pools in order of name.
    pub(super) fn iter(&self) -> impl Iterator<Item = &PoolSpace> {
        self.spaces.iter()
    }

    /// Where an address is, avoided or not.
    fn locate(&self, address: IpAddr) -> Option<(u32, Place)> {
        let (family, number) = (IpFamily::of(address), address_to_number(address));
        let after = self.extents.partition_point(|extent| (extent.family, extent.first) <= (family, number));
        let extent = self.extents.get(after.checked_sub(1)?)?;
        let inside = extent.family == family && number <= extent.last;
        inside.then_some((extent.pool, Place { range: extent.range, number }))
    }

    /// Where an address is that its pool does not avoid.
    pub(super) fn find(&self, address: IpAddr) -> Result<(u32, Place), NoAddress> {
        let (number, place) = self.locate(address).ok_or_else(|| self.why_nowhere(address))?;
        match self.space(number) {
            Some(space) if space.pool.avoids(address) && !space.pool.kept.contains(&address) => {
                Err(NoAddress::Avoided { address, pool: space.pool.name.clone() })
            }
            _ => Ok((number, place)),
        }
    }

    /// Where addresses are that a Service holds, and that are therefore all in one pool.
    fn placement_of(&self, addresses: ServiceAddresses) -> Option<Placement> {
        let mut pool = 0;
        let mut ranges = [0; 2];
        for (range, address) in ranges.iter_mut().zip(addresses.iter()) {
            let (found, place) = self.locate(address)?;
            (pool, *range) = (found, place.range);
        }
        Some(Placement { pool, addresses, ranges })
    }

    /// Why an address is in no pool: it is excluded, or in no range.
    fn why_nowhere(&self, address: IpAddr) -> NoAddress {
        let in_range = |space: &&PoolSpace| space.pool.ranges.iter().any(|range| range.contains(address));
        match self.spaces.iter().find(in_range) {
            Some(space) => NoAddress::Excluded { address, pool: space.pool.name.clone() },
            None => NoAddress::NotInPool { address },
        }
    }

    /// The one pool that has all the addresses ([ALLOC-12]).
    pub(super) fn place(&self, addresses: ServiceAddresses) -> Result<Placement, NoAddress> {
        match *addresses.as_slice() {
            [first, second] => {
                let (first_pool, first_place) = self.find(first)?;
                let (second_pool, second_place) = self.find(second)?;
                if first_pool != second_pool {
                    return Err(NoAddress::DifferentPools {
                        first,
                        first_pool: self.name(first_pool).clone(),
                        second,
                        second_pool: self.name(second_pool).clone(),
                    });
                }
                Ok(Placement { pool: first_pool, addresses, ranges: [first_place.range, second_place.range] })
            }
            [address, ..] => {
                let (pool, place) = self.find(address)?;
                Ok(Placement { pool, addresses, ranges: [place.range, 0] })
            }
            [] => Err(NoAddress::Addresses(AddressesError::Empty)),
        }
    }
}

fn overlap(spaces: &[PoolSpace], first: &Extent, second: &Extent) -> PoolsError {
    let describe = |extent: &Extent| {
        let space = spaces.get(extent.pool as usize).expect("extents are made from these pools");
        let range = space.ranges().nth(extent.range as usize).expect("extents are made from these ranges");
        // As written, where it is a part of something written.
        let written = space.pool.ranges.iter().find(|written| written.overlaps(&range)).copied();
        Box::new(PoolRange { range: written.unwrap_or(range), pool: space.pool.name.clone() })
    };
    PoolsError::Overlap { first: describe(first), second: describe(second) }
}

/// Everything the allocator knows, kept in step.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    pub(super) pools: Pools,
    pub(super) roster: Roster,
    pub(super) policies: Arc<Policies>,
    pub(super) reserved_for: ReservedFor,
    /// Addresses that somebody else holds, and who.
    reservations: BTreeMap<IpAddr, Arc<str>>,
    /// Addresses that wait for a Service.
    pub(super) holds: Holds,
    pub(super) quotas: Quotas,
}

impl Index {
    /// Who else holds an address.
    pub(super) fn reservation(&self, address: IpAddr) -> Option<&Arc<str>> {
        if self.reservations.is_empty() { None } else { self.reservations.get(&address) }
    }

    /// Whether an address that nobody uses is kept from being given to everybody.
    fn is_withheld(&self, address: IpAddr) -> IsReserved {
        let is_withheld = self.reservation(address).is_some() || self.holds.of_address(address).is_some();
        if is_withheld { IsReserved::Yes } else { IsReserved::No }
    }

    /// What keeps a Service with these labels out of a pool. Most pools serve everybody; then its key is not looked up.
    pub(super) fn restriction(&self, space: &PoolSpace, slot: SlotNumber, labels: &Labels) -> Option<PoolRestriction> {
        space.pool.allocation.as_ref()?;
        space.pool.restriction(self.roster.key(slot).namespace(), labels)
    }

    /// What a Service holds, and where that is.
    pub(super) fn placement(&self, slot: SlotNumber) -> Option<Placement> {
        self.pools.placement_of(self.roster.addresses(slot)?)
    }

    /// Makes a Service, which holds nothing, hold addresses that it may use. They no longer wait for anybody.
    pub(super) fn attach(&mut self, slot: SlotNumber, placement: &Placement, sharing: &SharingTerms) {
        let pool = placement.pool;
        for (place, address) in placement.places().zip(placement.addresses.iter()) {
            let is_withheld = self.is_withheld(address);
            if let Some(space) = self.pools.spaces.get_mut(pool as usize) {
                space.occupy(place, slot, sharing, &self.roster, is_withheld);
            }
            self.holds.remove(address);
        }
        if self.quotas.concern(pool) {
            self.quotas.count(self.roster.key(slot), slot, pool, &placement.addresses);
        }
        self.roster.put(slot, &placement.addresses, sharing);
    }

    /// Makes a Service hold nothing; gives back what it held.
    pub(super) fn detach(&mut self, slot: SlotNumber) -> Option<Holding> {
        let placement = self.placement(slot)?;
        let (_, sharing) = self.roster.take(slot)?;
        for (place, address) in placement.places().zip(placement.addresses.iter()) {
            let is_withheld = self.is_withheld(address);
            if let Some(space) = self.pools.spaces.get_mut(placement.pool as usize) {
                space.vacate(place, slot, &sharing, is_withheld);
            }
        }
        if self.quotas.concern(placement.pool) {
            self.quotas.discount(self.roster.key(slot), slot, placement.pool, &placement.addresses);
        }
        Some(Holding { placement, sharing })
    }

    /// Withholds an address; true where it was not withheld before.
    pub(super) fn reserve(&mut self, address: IpAddr, holder: Arc<str>) -> bool {
        let was_withheld = self.is_withheld(address);
        let is_new = self.reservations.insert(address, holder).is_none();
        if was_withheld == IsReserved::No {
            self.withhold(address);
        }
        is_new
    }

    fn withhold(&mut self, address: IpAddr) {
        if let Ok((pool, place)) = self.pools.find(address)
            && let Some(space) = self.pools.spaces.get_mut(pool as usize)
        {
            space.reserve(place);
        }
    }

    /// Frees an address that was withheld and is no longer.
    fn let_go(&mut self, address: IpAddr) {
        if self.is_withheld(address) == IsReserved::No
            && let Ok((pool, place)) = self.pools.find(address)
            && let Some(space) = self.pools.spaces.get_mut(pool as usize)
        {
            space.unreserve(place);
        }
    }

    /// Lets go of an address that was withheld; true where it was.
    pub(super) fn unreserve(&mut self, address: IpAddr) -> bool {
        let was_reserved = self.reservations.remove(&address).is_some();
        if was_reserved {
            self.let_go(address);
        }
        was_reserved
    }

    /// The addresses withheld and who holds them, in order of address.
    pub(super) fn reservations(&self) -> impl Iterator<Item = (IpAddr, &str)> {
        self.reservations.iter().map(|(address, holder)| (*address, holder.as_ref()))
    }

    /// Makes addresses that a Service has just given up wait for it, where the policies say so and nobody else uses them.
    pub(super) fn hold_back(&mut self, service: &ServiceKey, addresses: &ServiceAddresses, departure: Departure) {
        for address in addresses.iter() {
            let Ok((pool, place)) = self.pools.find(address) else { continue };
            let is_free = self.pools.space(pool).is_some_and(|space| space.is_unused(place) && space.can_wait(place));
            if is_free && let Some(hold) = self.holds.after(service, address, pool, departure) {
                self.enter_hold(hold);
            }
        }
    }

    /// Makes an address that nobody uses wait; one that is in use does not.
    pub(super) fn enter_hold(&mut self, hold: Hold) {
        let address = hold.address;
        let is_unused = self.pools.find(address).is_ok_and(|(pool, place)| {
            self.pools.space(pool).is_some_and(|space| space.is_unused(place) && space.can_wait(place))
        });
        if is_unused {
            let was_withheld = self.is_withheld(address);
            self.holds.insert(hold);
            if was_withheld == IsReserved::No {
                self.withhold(address);
            }
        }
    }

    /// Lets the hold of an address end.
    pub(super) fn end_hold(&mut self, address: IpAddr) -> Option<Hold> {
        let hold = self.holds.remove(address)?;
        self.let_go(address);
        Some(hold)
    }

    /// Puts other pools in place, with policies. What Services hold is entered there where one pool has all of it, else let go
    /// ([ALLOC-39]). Calls back for each Service that lost its addresses (`None`) or has them in a pool of another name.
    pub(super) fn replace_pools(
        &mut self,
        pools: Pools,
        policies: Arc<Policies>,
        mut tell: impl FnMut(SlotNumber, Option<PoolName>),
    ) {
        let old = core::mem::replace(&mut self.pools, pools);
        self.policies = policies;
        let holds = self.holds.take_all();
        self.describe_policies();
        for address in self.reservations.keys().copied().collect::<Vec<_>>() {
            self.withhold(address);
        }
        let mut lost = Vec::new();
        for slot in self.roster.slot_numbers() {
            let Some((addresses, sharing)) = self.roster.take(slot) else { continue };
            if let Ok(placement) = self.pools.place(addresses) {
                let name = self.pools.name(placement.pool);
                let before = old.placement_of(addresses);
                if before.is_none_or(|before| name != old.name(before.pool)) {
                    tell(slot, Some(name.clone()));
                }
                self.attach(slot, &placement, &sharing);
            } else {
                lost.push((self.roster.key(slot).clone(), addresses));
                tell(slot, None);
            }
        }
        self.enter_holds(holds);
        lost.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        for (service, addresses) in lost {
            self.hold_back(&service, &addresses, Departure::Released);
        }
    }

    /// Takes other policies, of which the pools were cut for the same reservations, and goes over what follows from them.
    pub(super) fn replace_policies(&mut self, policies: Arc<Policies>) {
        let counted = !self.quotas.is_empty();
        self.policies = policies;
        self.describe_policies();
        if counted || !self.quotas.is_empty() {
            for slot in self.roster.slot_numbers() {
                if let Some(Placement { pool, addresses, .. }) = self.placement(slot) {
                    self.quotas.count(self.roster.key(slot), slot, pool, &addresses);
                }
            }
        }
        let holds: Vec<Hold> = self.holds.iter().cloned().collect();
        for hold in &holds {
            self.end_hold(hold.address);
        }
        self.enter_holds(holds);
    }

    /// Works out which quotas and waiting times are those of which pool, with nothing counted.
    fn describe_policies(&mut self) {
        let pools = || self.pools.iter().map(|space| &space.pool);
        self.reserved_for = ReservedFor::new(&self.policies);
        self.quotas = Quotas::new(&self.policies, pools(), &self.quotas);
        self.holds.describe(&self.policies, pools());
    }

    /// Enters holds again, as far as the policies let them stand.
    pub(super) fn enter_holds(&mut self, holds: Vec<Hold>) {
        for hold in holds {
            if let Ok((pool, _)) = self.pools.find(hold.address)
                && let Some(hold) = self.holds.within_bounds(hold, pool)
            {
                self.enter_hold(hold);
            }
        }
    }
}

impl Index {
    /// What must hold for each Service with addresses.
    ///
    /// # Panics
    /// Where it does not.
    pub(super) fn check_placement(&self, slot: SlotNumber, placement: &Placement) {
        let space = self.pools.space(placement.pool);
        for place in placement.places() {
            assert!(space.is_some_and(|space| space.is_used_by(place, slot)), "an address lists who holds it");
            assert!(space.is_some_and(|space| !space.is_free(place)), "a used address is not free");
        }
    }
}

impl Placement {
    /// The places of the addresses, in their order.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> + use<> {
        let (addresses, ranges) = (self.addresses, self.ranges);
        (0..addresses.as_slice().len()).filter_map(move |position| {
            let address = addresses.as_slice().get(position)?;
            Some(Place { range: *ranges.get(position)?, number: address_to_number(*address) })
        })
    }

    /// A single place of a pool.
    pub(super) const fn one(pool: u32, family: IpFamily, place: Place) -> Self {
        let addresses = ServiceAddresses::one(number_to_address(family, place.number));
        Self { pool, addresses, ranges: [place.range, 0] }
    }

    /// An IPv4 and an IPv6 place of one pool, in this order ([ALLOC-34]).
    pub(super) fn dual(pool: u32, ipv4: Place, ipv6: Place) -> Self {
        let first = number_to_address(IpFamily::V4, ipv4.number);
        let second = number_to_address(IpFamily::V6, ipv6.number);
        let addresses = ServiceAddresses::pair(first, second).expect("IPv4 and IPv6 are two families");
        Self { pool, addresses, ranges: [ipv4.range, ipv6.range] }
    }
}

#[cfg(test)]
impl Index {
    /// Every invariant over everything. Only for small ranges.
    pub(super) fn check_everything(&self) {
        let mut rebuilt = self.clone();
        let pools = self.pools.iter().map(|space| space.pool.clone());
        let pools = Pools::new(pools, &self.policies).unwrap();
        let policies = Arc::clone(&self.policies);
        rebuilt.replace_pools(pools, policies, |slot, pool| panic!("{slot} would go to {pool:?}"));
        assert_eq!(self.quotas, rebuilt.quotas, "counts of quotas");
        let holds = |index: &Self| index.holds.iter().cloned().collect::<Vec<_>>();
        assert_eq!(holds(self), holds(&rebuilt), "addresses that wait");
        for hold in self.holds.iter() {
            let (pool, place) = self.pools.find(hold.address).unwrap();
            let space = self.pools.space(pool).unwrap();
            assert!(space.is_unused(place) && !space.is_free(place), "what waits is neither used nor free");
        }
        for (here, there) in self.pools.iter().zip(rebuilt.pools.iter()) {
            here.assert_equals_rebuilt(there);
        }
        for slot in self.roster.slot_numbers() {
            if let Some(placement) = self.placement(slot) {
                self.check_placement(slot, &placement);
                let id = self.roster.find(self.roster.key(slot));
                assert_eq!(
                    id.and_then(|id| self.roster.slot(id)),
                    Some(slot),
                    "who holds something is known by its key"
                );
            }
        }
    }
}
