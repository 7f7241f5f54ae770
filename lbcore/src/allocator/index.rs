//! The maps behind the allocator: pools by name and by address, Services, reservations, and the two changes that keep them in step
//! ([`Index::attach`] and [`Index::detach`]).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::addresses::{AddressesError, ServiceAddresses};
use crate::family::IpFamily;
use crate::labels::Labels;
use crate::pool::{AutoAssign, Pool, PoolRestriction};
use crate::range::{address_to_number, number_to_address};
use crate::service::PoolName;
use crate::sharing::SharingTerms;

use super::outcome::{NoAddress, PoolRange, PoolsError};
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
}

impl Pools {
    /// Builds the state of unused pools.
    ///
    /// # Errors
    /// [`PoolsError`] where a name or an address is there twice.
    pub(super) fn new(pools: impl IntoIterator<Item = Pool>) -> Result<Self, PoolsError> {
        let mut pools: Vec<Pool> = pools.into_iter().collect();
        pools.sort_by(|left, right| left.name.cmp(&right.name));
        let mut neighbours = pools.iter().zip(pools.iter().skip(1));
        if let Some((_, second)) = neighbours.find(|(first, second)| first.name == second.name) {
            return Err(PoolsError::DuplicateName { pool: second.name.clone() });
        }
        let mut extents: Vec<Extent> = (0_u32..)
            .zip(&pools)
            .flat_map(|(pool, description)| {
                (0_u32..).zip(&description.ranges).map(move |(range, addresses)| Extent {
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
            return Err(overlap(&pools, first, second));
        }
        let by_name = pools.iter().map(|pool| pool.name.clone()).zip(0_u32..).collect();
        let mut built = Self { by_name, extents, ..Self::default() };
        built.spaces = pools.into_iter().map(PoolSpace::new).collect();
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
        let (number, place) = self.locate(address).ok_or(NoAddress::NotInPool { address })?;
        match self.space(number) {
            Some(space) if space.pool.avoids(address) => {
                Err(NoAddress::Avoided { address, pool: space.pool.name.clone() })
            }
            _ => Ok((number, place)),
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

fn overlap(pools: &[Pool], first: &Extent, second: &Extent) -> PoolsError {
    let describe = |extent: &Extent| {
        let pool = pools.get(extent.pool as usize).expect("extents are made from these pools");
        let range = pool.ranges.get(extent.range as usize).expect("extents are made from these ranges");
        Box::new(PoolRange { range: *range, pool: pool.name.clone() })
    };
    PoolsError::Overlap { first: describe(first), second: describe(second) }
}

/// Everything the allocator knows, kept in step.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    pub(super) pools: Pools,
    pub(super) roster: Roster,
    /// Addresses that somebody else holds, and who.
    reservations: BTreeMap<IpAddr, Arc<str>>,
}

impl Index {
    /// Who else holds an address.
    pub(super) fn reservation(&self, address: IpAddr) -> Option<&Arc<str>> {
        if self.reservations.is_empty() { None } else { self.reservations.get(&address) }
    }

    /// What keeps a Service with these labels out of a pool. Most pools serve everybody; then its key is not looked up.
    pub(super) fn restriction(&self, space: &PoolSpace, slot: SlotNumber, labels: &Labels) -> Option<PoolRestriction> {
        space.pool.allocation.as_ref()?;
        space.pool.restriction(self.roster.key(slot).namespace(), labels)
    }

    /// Makes a Service, which holds nothing, hold addresses that it may use.
    pub(super) fn attach(&mut self, slot: SlotNumber, holding: Holding) {
        if let Some(space) = self.pools.spaces.get_mut(holding.placement.pool as usize) {
            for (place, address) in holding.placement.places().zip(holding.placement.addresses.iter()) {
                let is_reserved = is_reserved(&self.reservations, address);
                space.occupy(place, slot, &holding.sharing, &self.roster, is_reserved);
            }
        }
        let before = self.roster.set_holding(slot, Some(holding));
        debug_assert!(before.is_none(), "a Service is detached before it is attached anew");
    }

    /// Makes a Service hold nothing; gives back what it held.
    pub(super) fn detach(&mut self, slot: SlotNumber) -> Option<Holding> {
        let holding = self.roster.set_holding(slot, None)?;
        if let Some(space) = self.pools.spaces.get_mut(holding.placement.pool as usize) {
            for (place, address) in holding.placement.places().zip(holding.placement.addresses.iter()) {
                let is_reserved =
                    if self.reservations.contains_key(&address) { IsReserved::Yes } else { IsReserved::No };
                space.vacate(place, slot, &holding.sharing, is_reserved);
            }
        }
        Some(holding)
    }

    /// Withholds an address; true where it was not withheld before.
    pub(super) fn reserve(&mut self, address: IpAddr, holder: Arc<str>) -> bool {
        let is_new = self.reservations.insert(address, holder).is_none();
        if is_new {
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

    /// Lets go of an address that was withheld; true where it was.
    pub(super) fn unreserve(&mut self, address: IpAddr) -> bool {
        let was_reserved = self.reservations.remove(&address).is_some();
        if was_reserved
            && let Ok((pool, place)) = self.pools.find(address)
            && let Some(space) = self.pools.spaces.get_mut(pool as usize)
        {
            space.unreserve(place);
        }
        was_reserved
    }

    /// The addresses withheld and who holds them, in order of address.
    pub(super) fn reservations(&self) -> impl Iterator<Item = (IpAddr, &str)> {
        self.reservations.iter().map(|(address, holder)| (*address, holder.as_ref()))
    }

    /// Puts other pools in place. What Services hold is entered there where one pool has all of it, else let go ([ALLOC-39]). Calls
    /// back for each Service that lost its addresses (`None`) or has them in a pool of another name.
    pub(super) fn replace_pools(&mut self, pools: Pools, mut tell: impl FnMut(SlotNumber, Option<PoolName>)) {
        let old = core::mem::replace(&mut self.pools, pools);
        for address in self.reservations.keys().copied().collect::<Vec<_>>() {
            self.withhold(address);
        }
        for slot in self.roster.slot_numbers() {
            let Some(holding) = self.roster.set_holding(slot, None) else { continue };
            match self.pools.place(holding.placement.addresses) {
                Ok(placement) => {
                    let name = self.pools.name(placement.pool);
                    if name != old.name(holding.placement.pool) {
                        tell(slot, Some(name.clone()));
                    }
                    self.attach(slot, Holding { placement, ..holding });
                }
                Err(_) => tell(slot, None),
            }
        }
    }
}

fn is_reserved(reservations: &BTreeMap<IpAddr, Arc<str>>, address: IpAddr) -> IsReserved {
    if reservations.contains_key(&address) { IsReserved::Yes } else { IsReserved::No }
}

impl Index {
    /// What must hold for each Service with addresses.
    ///
    /// # Panics
    /// Where it does not.
    pub(super) fn check_holding(&self, slot: SlotNumber, holding: &Holding) {
        let space = self.pools.space(holding.placement.pool);
        for place in holding.placement.places() {
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

    /// Whether a Service holding this on these terms is just what a holding says.
    pub(super) fn is_held_as(&self, sharing: &SharingTerms, holding: &Holding) -> bool {
        *self == holding.placement && *sharing == holding.sharing
    }
}

#[cfg(test)]
impl Index {
    /// Every invariant over everything. Only for small ranges.
    pub(super) fn check_everything(&self) {
        let mut rebuilt = self.clone();
        let pools = self.pools.iter().map(|space| space.pool.clone());
        rebuilt.replace_pools(Pools::new(pools).unwrap(), |slot, pool| panic!("{slot} would go to {pool:?}"));
        for (here, there) in self.pools.iter().zip(rebuilt.pools.iter()) {
            here.assert_equals_rebuilt(there);
        }
        for slot in self.roster.slot_numbers() {
            if let Some(holding) = self.roster.holding(slot) {
                self.check_holding(slot, holding);
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
