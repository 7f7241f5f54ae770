//! Which pool, and which of its addresses: the search for a Service that asks for no particular address ([ALLOC-30] to [ALLOC-37]).
//!
//! Nothing here changes anything. A pool that is full answers in constant time, whatever its size. Policies change the order: what is
//! set aside for the Service, and what waits for it, comes before all else; what is so for others is never found.

use std::net::IpAddr;

use crate::family::{IpFamily, IpFamilyPolicy, ServiceFamilies};
use crate::request::{ServiceRequest, ServiceTerms};
use crate::service::PoolName;

use super::compartment::{Access, ReservationNumber};
use super::index::Index;
use super::outcome::{NeededFamilies, NoAddress, TriedPools};
use super::quotas::QuotaUsage;
use super::roster::{Placement, SlotNumber};
use super::space::{Part, Place, PoolSpace, Supply};

/// A search on behalf of one Service.
#[derive(Debug)]
pub(super) struct Search<'a> {
    index: &'a Index,
    slot: SlotNumber,
    terms: &'a ServiceTerms,
    /// The reservations that mean the Service, in the order in which it takes from them.
    reservations: Vec<ReservationNumber>,
    /// The addresses that wait for it.
    waiting: Vec<IpAddr>,
    /// The first quota for which addresses were passed over.
    used_up: Option<Box<QuotaUsage>>,
}

/// The families of which an address is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    One(IpFamily),
    Both,
}

impl<'a> Search<'a> {
    pub(super) fn new(index: &'a Index, slot: SlotNumber, terms: &'a ServiceTerms) -> Self {
        let mut search = Self { index, slot, terms, reservations: Vec::new(), waiting: Vec::new(), used_up: None };
        if !index.reserved_for.is_empty() {
            search.reservations = index.reserved_for.of(&index.policies, index.roster.key(slot), &terms.labels);
        }
        if !index.holds.is_empty() {
            search.waiting = index.holds.of_service(index.roster.key(slot)).collect();
        }
        search
    }

    /// Searches the pool that the Service names, or those for automatic choice. The Service must hold nothing, so that its own addresses
    /// count as free.
    ///
    /// # Errors
    /// Why there is no address.
    pub(super) fn choose(mut self, request: &ServiceRequest) -> Result<Placement, NoAddress> {
        let is_dual = matches!(request.families, ServiceFamilies::Dual { .. });
        if is_dual && request.policy == IpFamilyPolicy::SingleStack {
            return Err(NoAddress::DualStackUnwanted);
        }
        match &request.pool {
            Some(name) => self.named(name, request),
            None => self.automatic(request),
        }
    }

    /// [ALLOC-31]: one pool and no other.
    fn named(&mut self, name: &PoolName, request: &ServiceRequest) -> Result<Placement, NoAddress> {
        let number = self.index.pools.number(name).ok_or_else(|| NoAddress::NoSuchPool { pool: name.clone() })?;
        self.allowed(number)?;
        if let Some(placement) = self.best(&[number], request) {
            return Ok(placement);
        }
        if let Some(usage) = self.used_up.take() {
            return Err(NoAddress::QuotaExceeded { usage });
        }
        let needed = needed(request);
        let has_families = self.index.pools.space(number).is_some_and(|space| has_families(space, needed));
        let pool = name.clone();
        Err(if has_families {
            NoAddress::PoolExhausted { pool, needed }
        } else {
            NoAddress::FamilyNotInPool { pool, needed }
        })
    }

    /// Whether a pool serves the Service at all ([ALLOC-12]).
    ///
    /// # Errors
    /// [`NoAddress::PoolNotAllowed`].
    fn allowed(&self, number: u32) -> Result<(), NoAddress> {
        let Some(space) = self.index.pools.space(number) else { return Ok(()) };
        match self.index.restriction(space, self.slot, &self.terms.labels) {
            Some(restriction) => Err(NoAddress::PoolNotAllowed { pool: space.pool.name.clone(), restriction }),
            None => Ok(()),
        }
    }

    /// [ALLOC-30]: pinned pools by priority, then the unrestricted ones; before all of them those that have something for the Service.
    fn automatic(&mut self, request: &ServiceRequest) -> Result<Placement, NoAddress> {
        let index = self.index;
        let preferred = self.preferred(request.families);
        let found = self
            .best(&preferred, request)
            .or_else(|| self.best(&index.pools.pinned, request))
            .or_else(|| self.best(&index.pools.unpinned, request));
        match (found, self.used_up.take()) {
            (Some(placement), _) => Ok(placement),
            (None, Some(usage)) => Err(NoAddress::QuotaExceeded { usage }),
            (None, None) => Err(self.why_none(request)),
        }
    }

    /// The pools for automatic choice, group by group in the order tried; a pool may stand in two.
    pub(super) fn order(&self, families: ServiceFamilies) -> [Vec<u32>; 3] {
        [self.preferred(families), self.index.pools.pinned.clone(), self.index.pools.unpinned.clone()]
    }

    /// The pools that have an address set aside for the Service or waiting for it: by reservation, then those where something waits.
    fn preferred(&self, families: ServiceFamilies) -> Vec<u32> {
        let mut numbers = Vec::new();
        let mut add = |number: u32| {
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        };
        for reservation in &self.reservations {
            for number in self.index.pools.of_reservation(*reservation) {
                let Some(space) = self.index.pools.space(*number) else { continue };
                let has = |family| {
                    let waits = |access: &Access| access.admits(Part::Reserved(*reservation));
                    self.waiting_in(*number, family, waits).is_some()
                        || self
                            .shared_or_free(*number, space, family, (Part::Reserved(*reservation), Supply::All))
                            .is_some()
                };
                if IpFamily::ALL.into_iter().filter(|family| families.has(*family)).any(has) {
                    add(*number);
                }
            }
        }
        for address in &self.waiting {
            if let Ok((number, place)) = self.index.pools.find(*address)
                && families.has(IpFamily::of(*address))
                && self.index.pools.space(number).is_some_and(|space| self.may_take_from(space.access(place)))
            {
                add(number);
            }
        }
        numbers
    }

    /// The best pool of an ordered list: the first with all that is needed; where two addresses are only preferred, else the first with
    /// the primary family, else the first with the other one ([ALLOC-32], [ALLOC-34]).
    fn best(&mut self, numbers: &[u32], request: &ServiceRequest) -> Option<Placement> {
        let (mut with_primary, mut with_secondary) = (None, None);
        for &number in numbers {
            let Some(space) = self.index.pools.space(number) else { continue };
            if self.index.restriction(space, self.slot, &self.terms.labels).is_some() {
                continue;
            }
            match request.families {
                ServiceFamilies::Single(family) => {
                    if let Some(placement) = self.fit(number, space, Wanted::One(family)) {
                        return Some(placement);
                    }
                }
                ServiceFamilies::Dual { primary } => {
                    if let Some(placement) = self.fit(number, space, Wanted::Both) {
                        return Some(placement);
                    }
                    if request.policy == IpFamilyPolicy::PreferDualStack {
                        with_primary = with_primary.or_else(|| self.fit(number, space, Wanted::One(primary)));
                        with_secondary =
                            with_secondary.or_else(|| self.fit(number, space, Wanted::One(primary.other())));
                    }
                }
            }
        }
        with_primary.or(with_secondary)
    }

    /// Addresses of a pool in the wanted families that no quota forbids. Where one is used up, those that count already will do.
    fn fit(&mut self, number: u32, space: &PoolSpace, wanted: Wanted) -> Option<Placement> {
        use Supply::{All, Shared};
        let found = self.placement(number, space, wanted, [All, All])?;
        let quotas = &self.index.quotas;
        if !quotas.concern(number) {
            return Some(found);
        }
        let service = self.index.roster.key(self.slot);
        let admit = |found: &Placement| quotas.admit(service, &self.terms.labels, number, &found.addresses);
        let Err(usage) = admit(&found) else { return Some(found) };
        let frugal: &[[Supply; 2]] = match wanted {
            Wanted::One(_) => &[[Shared, Shared]],
            Wanted::Both => &[[Shared, All], [All, Shared], [Shared, Shared]],
        };
        let others = frugal.iter().filter_map(|supplies| self.placement(number, space, wanted, *supplies));
        let counted = others.into_iter().find(|found| admit(found).is_ok());
        if counted.is_none() {
            self.used_up.get_or_insert(usage);
        }
        counted
    }

    /// `supplies` are those of IPv4 and of IPv6.
    fn placement(&self, number: u32, space: &PoolSpace, wanted: Wanted, supplies: [Supply; 2]) -> Option<Placement> {
        let [v4, v6] = supplies;
        let find = |family| {
            let supply = match family {
                IpFamily::V4 => v4,
                IpFamily::V6 => v6,
            };
            self.find(number, space, family, supply)
        };
        match wanted {
            Wanted::One(family) => Some(Placement::one(number, family, find(family)?)),
            Wanted::Both => Some(Placement::dual(number, find(IpFamily::V4)?, find(IpFamily::V6)?)),
        }
    }

    /// An address of one family to add to those that the Service holds in a pool, quotas permitting.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn another(mut self, number: u32, family: IpFamily) -> Result<Place, NoAddress> {
        let space = self.index.pools.space(number).ok_or(NoAddress::NoPools)?;
        let found = self.fit(number, space, Wanted::One(family));
        if let Some(place) = found.and_then(|placement| placement.places().next()) {
            return Ok(place);
        }
        if let Some(usage) = self.used_up.take() {
            return Err(NoAddress::QuotaExceeded { usage });
        }
        let (pool, needed) = (space.pool.name.clone(), NeededFamilies::One(family));
        Err(if space.has_family(family) {
            NoAddress::PoolExhausted { pool, needed }
        } else {
            NoAddress::FamilyNotInPool { pool, needed }
        })
    }

    /// The address of a pool that the Service takes first: what waits for it of that which is set aside for it, what is set aside for it,
    /// what else waits for it, then the lowest ([ALLOC-20]).
    fn find(&self, number: u32, space: &PoolSpace, family: IpFamily, supply: Supply) -> Option<Place> {
        let common = || self.shared_or_free(number, space, family, (Part::Common, supply));
        if self.reservations.is_empty() && self.waiting.is_empty() {
            return common();
        }
        let waiting = |of: &dyn Fn(&Access) -> bool| match supply {
            Supply::All => self.waiting_in(number, family, of),
            Supply::Shared => None,
        };
        let is_for_us = |access: &Access| *access != Access::Everybody && self.may_take_from(access);
        let reserved = || {
            let mut parts = self.reservations.iter().map(|reservation| (Part::Reserved(*reservation), supply));
            parts.find_map(|part| self.shared_or_free(number, space, family, part))
        };
        waiting(&is_for_us)
            .or_else(reserved)
            .or_else(|| waiting(&|access| *access == Access::Everybody))
            .or_else(common)
    }

    /// The lowest address of a part of a pool, free or to be shared. Of shared ones, where only these are looked for, those that count
    /// under the quotas already.
    fn shared_or_free(
        &self,
        number: u32,
        space: &PoolSpace,
        family: IpFamily,
        (part, supply): (Part, Supply),
    ) -> Option<Place> {
        let counts = |address| {
            let service = self.index.roster.key(self.slot);
            self.index.quotas.counts(service, &self.terms.labels, number, address)
        };
        space.lowest(family, &self.terms.sharing, (part, supply), |address| {
            self.index.reservation(address).is_none() && (supply == Supply::All || counts(address))
        })
    }

    /// The lowest address of a pool that waits for the Service, of those whose access will do.
    fn waiting_in(&self, number: u32, family: IpFamily, will_do: impl Fn(&Access) -> bool) -> Option<Place> {
        let mut places =
            self.waiting.iter().filter(|address| IpFamily::of(**address) == family).filter_map(|address| {
                let (pool, place) = self.index.pools.find(*address).ok().filter(|(pool, _)| *pool == number)?;
                let access = self.index.pools.space(pool)?.access(place);
                (will_do(access) && self.index.reservation(*address).is_none()).then_some(place)
            });
        places.next()
    }

    /// Whether the Service is among those who are given addresses with this access.
    fn may_take_from(&self, access: &Access) -> bool {
        match access {
            Access::Everybody => true,
            Access::Reserved(numbers) => numbers.iter().any(|number| self.reservations.contains(number)),
            Access::Kept => false,
        }
    }

    /// The first reservation that keeps an address from the Service.
    pub(super) fn set_aside_for_others(&self, access: &Access) -> Option<ReservationNumber> {
        match access {
            Access::Reserved(numbers) if !self.may_take_from(access) => numbers.first().copied(),
            Access::Everybody | Access::Reserved(_) | Access::Kept => None,
        }
    }

    /// Says why automatic choice found nothing, with the pools that were looked at.
    fn why_none(&self, request: &ServiceRequest) -> NoAddress {
        let needed = needed(request);
        let mut pools = TriedPools::default();
        let mut families_exist = false;
        for number in self.index.pools.pinned.iter().chain(&self.index.pools.unpinned) {
            let Some(space) = self.index.pools.space(*number) else { continue };
            if self.index.restriction(space, self.slot, &self.terms.labels).is_none() {
                pools.add(&space.pool.name);
                families_exist |= has_families(space, needed);
            }
        }
        if pools.count == 0 {
            NoAddress::NoEligiblePool
        } else if families_exist {
            NoAddress::PoolsExhausted { pools, needed }
        } else {
            NoAddress::FamilyNowhere { pools, needed }
        }
    }
}

const fn needed(request: &ServiceRequest) -> NeededFamilies {
    match (request.families, request.policy) {
        (ServiceFamilies::Single(family), _) => NeededFamilies::One(family),
        (ServiceFamilies::Dual { .. }, IpFamilyPolicy::PreferDualStack) => NeededFamilies::Either,
        (ServiceFamilies::Dual { .. }, IpFamilyPolicy::RequireDualStack | IpFamilyPolicy::SingleStack) => {
            NeededFamilies::Both
        }
    }
}

fn has_families(space: &PoolSpace, needed: NeededFamilies) -> bool {
    match needed {
        NeededFamilies::One(family) => space.has_family(family),
        NeededFamilies::Both => space.has_family(IpFamily::V4) && space.has_family(IpFamily::V6),
        NeededFamilies::Either => true,
    }
}
