//! Which Service holds which address: allocate, assign, release, replace the pools ([ALLOC-1] to [ALLOC-51]).
//!
//! Every answer is that of the plain rule "the lowest usable address in the order of the pool" ([ALLOC-20], [ALLOC-21]); what it costs
//! depends neither on how large the ranges are nor on how full they are. The files: `index.rs` holds the maps and the two changes
//! that keep them in step, `space.rs` the addresses of one pool, `occupancy.rs` who uses them, `roster.rs` the Services, `terms.rs` on what terms they hold them, `choice.rs` the search, `outcome.rs` the
//! answers. Of policies: `compartment.rs` cuts pools, `reserved.rs` finds the reservations of a Service, `holds.rs` has what waits, `quotas.rs`
//! the counts, `policies.rs` what a host sees of all that. Without policies none of it costs more than a look at an empty list.
//!
//! Invariants (checked in debug builds for the Service that changed, and over everything by the property test): each address that a
//! Service holds lists it as a user, and no other address does; a used address is not free; all addresses of a Service are in one pool.

mod choice;
mod compartment;
mod few;
mod holds;
mod index;
mod key_table;
mod occupancy;
mod order;
mod outcome;
mod policies;
mod quotas;
mod reserved;
mod roster;
mod space;
mod terms;

use std::net::IpAddr;
use std::sync::Arc;

pub use self::holds::{Hold, HoldReason};
pub use self::order::PoolRank;
pub use self::outcome::{
    Change, Grant, NeededFamilies, NoAddress, PoolRange, PoolsError, PoolsReplaced, Reserved, TriedPools,
};
pub use self::quotas::QuotaUsage;
pub use self::roster::ServiceId;

use crate::addresses::ServiceAddresses;
use crate::family::IpFamily;
use crate::pool::Pool;
use crate::range::number_to_address;
use crate::request::{ServiceRequest, ServiceTerms};
use crate::service::{PoolName, ServiceKey};
use crate::sharing::SharingTerms;
use crate::usage::PoolUsage;

use self::choice::Search;
use self::compartment::Access;
use self::holds::Departure;
use self::index::Index;
use self::roster::{Holding, Placement, SlotNumber};

/// What a Service holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocation<'a> {
    /// The pool that holds all of the addresses.
    pub pool: &'a PoolName,
    /// The addresses in order.
    pub addresses: ServiceAddresses,
    /// The terms on which it holds them.
    pub sharing: &'a SharingTerms,
}

/// On what ground a Service is to have particular addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// They are recorded as its own: policies never take away what is held.
    Recorded,
    /// It asks for them.
    Requested,
}

/// Hands out addresses of pools to Services and remembers who has which.
///
/// # Examples
/// ```
/// use lbcore::allocator::Allocator;
/// use lbcore::family::{IpFamily, ServiceFamilies};
/// use lbcore::pool::{BuggyAddresses, Pool};
/// use lbcore::request::ServiceRequest;
///
/// let mut allocator = Allocator::default();
/// let public = Pool::new("public".parse()?, vec!["192.0.2.0/24".parse()?]);
/// allocator.replace_pools([Pool { buggy_addresses: BuggyAddresses::Avoided, ..public }])?;
/// let web = allocator.intern(&"shop/web".parse()?);
/// let grant = allocator.allocate(web, &ServiceRequest::new(ServiceFamilies::Single(IpFamily::V4)))?;
/// assert_eq!(grant.addresses.to_string(), "192.0.2.1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: [ALLOC-1] to [ALLOC-51].
#[derive(Clone, Debug, Default)]
pub struct Allocator {
    index: Index,
    freed_generation: u64,
}

impl Allocator {
    /// The id of a Service, by which every call is cheapest. The Service is known until [`Self::forget`].
    pub fn intern(&mut self, key: &ServiceKey) -> ServiceId {
        self.index.roster.intern(key)
    }

    /// The id of a Service that is known.
    pub fn find(&self, key: &ServiceKey) -> Option<ServiceId> {
        self.index.roster.find(key)
    }

    /// The key of a Service; `None` for a stale id.
    pub fn key(&self, id: ServiceId) -> Option<&ServiceKey> {
        self.index.roster.slot(id).map(|slot| self.index.roster.key(slot))
    }

    /// Releases what a Service holds and gives its id up. A stale id does nothing.
    pub fn forget(&mut self, id: ServiceId) -> Option<ServiceAddresses> {
        let key = self.key(id)?.clone();
        self.forget_by_key(&key)
    }

    /// Like [`Self::forget`], by key.
    pub fn forget_by_key(&mut self, key: &ServiceKey) -> Option<ServiceAddresses> {
        let id = self.index.roster.unlist(key)?;
        let slot = self.index.roster.slot(id)?;
        let released = self.let_go(slot, Departure::Gone);
        self.index.quotas.forget(slot);
        self.index.roster.vacate(id);
        released
    }

    /// Gives a Service what it asks for: its requested addresses, else the lowest usable ones of the requested pool, else of the best
    /// pool. Addresses that it holds are given up for the new ones, and count as free in the search; on refusal it keeps them.
    ///
    /// # Errors
    /// Why there is no address; nothing is changed then.
    ///
    /// Source: [CTRL-50] to [CTRL-53], [ALLOC-20] to [ALLOC-38].
    pub fn allocate(&mut self, id: ServiceId, request: &ServiceRequest) -> Result<Grant, NoAddress> {
        let slot = self.index.roster.slot(id).ok_or(NoAddress::Forgotten)?;
        if self.index.pools.is_empty() {
            return Err(NoAddress::NoPools);
        }
        if let Some(addresses) = request.addresses {
            return self.allocate_requested(slot, request, addresses);
        }
        let before = self.index.detach(slot);
        let chosen = Search::new(&self.index, slot, &request.terms).choose(request);
        match chosen {
            Ok(placement) => Ok(self.hold(slot, before, placement, &request.terms)),
            Err(reason) => {
                if let Some(held) = before {
                    self.index.attach(slot, &held.placement, &held.sharing);
                }
                self.check(slot);
                Err(reason)
            }
        }
    }

    /// Like [`Self::allocate`], by key.
    ///
    /// # Errors
    /// As [`Self::allocate`].
    pub fn allocate_by_key(&mut self, key: &ServiceKey, request: &ServiceRequest) -> Result<Grant, NoAddress> {
        let id = self.intern(key);
        self.allocate(id, request)
    }

    /// [CTRL-51]: all of the requested addresses, of just the Service's families, or none.
    fn allocate_requested(
        &mut self,
        slot: SlotNumber,
        request: &ServiceRequest,
        addresses: ServiceAddresses,
    ) -> Result<Grant, NoAddress> {
        if !addresses.are_of(request.families) {
            return Err(NoAddress::FamilyMismatch { addresses, families: request.families });
        }
        if let Some(requested) = &request.pool {
            if self.index.pools.number(requested).is_none() {
                return Err(NoAddress::NoSuchPool { pool: requested.clone() });
            }
            for address in addresses.iter() {
                let (pool, _) = self.index.pools.find(address)?;
                let found = self.index.pools.name(pool);
                if found != requested {
                    return Err(NoAddress::PoolMismatch {
                        address,
                        found: found.clone(),
                        requested: requested.clone(),
                    });
                }
            }
        }
        self.assign_slot(slot, &request.terms, addresses, Claim::Requested)
    }

    /// Enters just these addresses, in this order, as what is recorded of a Service, in place of any it holds. `autoAssign` does not
    /// matter ([ALLOC-13]), and of policies only what is out of the pool does: nothing that is held is taken away by a reservation, a quota
    /// or a waiting time. To *ask* for particular addresses, [`Self::allocate`] with them in the request. Repeating it changes nothing
    /// ([ALLOC-15]).
    ///
    /// # Errors
    /// Why it cannot have them; nothing is changed then.
    ///
    /// Source: [ALLOC-12] to [ALLOC-15].
    pub fn assign(&mut self, id: ServiceId, terms: &ServiceTerms, addresses: &[IpAddr]) -> Result<Grant, NoAddress> {
        let slot = self.index.roster.slot(id).ok_or(NoAddress::Forgotten)?;
        self.assign_slot(slot, terms, ServiceAddresses::new(addresses)?, Claim::Recorded)
    }

    /// Like [`Self::assign`], by key.
    ///
    /// # Errors
    /// As [`Self::assign`].
    pub fn assign_by_key(
        &mut self,
        key: &ServiceKey,
        terms: &ServiceTerms,
        addresses: &[IpAddr],
    ) -> Result<Grant, NoAddress> {
        let id = self.intern(key);
        self.assign(id, terms, addresses)
    }

    fn assign_slot(
        &mut self,
        slot: SlotNumber,
        terms: &ServiceTerms,
        addresses: ServiceAddresses,
        claim: Claim,
    ) -> Result<Grant, NoAddress> {
        let placement = self.index.pools.place(addresses)?;
        self.admit(slot, terms, &placement, claim)?;
        if self.index.roster.addresses(slot) == Some(addresses)
            && *self.index.roster.sharing(slot) == terms.sharing
            && !self.index.quotas.would_relabel(slot, &terms.labels)
        {
            let pool = self.index.pools.name(placement.pool).clone();
            return Ok(Grant { pool, addresses, change: Change::Unchanged });
        }
        let before = self.index.detach(slot);
        if claim == Claim::Requested && self.index.quotas.concern(placement.pool) {
            let service = self.index.roster.key(slot);
            let admitted = self.index.quotas.admit(service, &terms.labels, placement.pool, &addresses);
            if let Err(usage) = admitted {
                if let Some(held) = before {
                    self.index.attach(slot, &held.placement, &held.sharing);
                }
                return Err(NoAddress::QuotaExceeded { usage });
            }
        }
        Ok(self.hold(slot, before, placement, terms))
    }

    /// Whether a Service may hold a placement: the pool serves it, nobody else holds an address, and those who use one share it. What is
    /// kept for it by a freeze it may hold wherever that is.
    fn admit(
        &self,
        slot: SlotNumber,
        terms: &ServiceTerms,
        placement: &Placement,
        claim: Claim,
    ) -> Result<(), NoAddress> {
        let Some(space) = self.index.pools.space(placement.pool) else { return Err(NoAddress::NoPools) };
        if let Some(restriction) = self.index.restriction(space, slot, &terms.labels)
            && !(claim == Claim::Recorded
                && placement.addresses.iter().all(|address| space.pool.kept.contains(&address)))
        {
            return Err(NoAddress::PoolNotAllowed { pool: space.pool.name.clone(), restriction });
        }
        for (place, address) in placement.places().zip(placement.addresses.iter()) {
            if let Some(holder) = self.index.reservation(address) {
                return Err(NoAddress::Reserved { address, holder: Arc::clone(holder) });
            }
            if claim == Claim::Requested && !space.is_used_by(place, slot) {
                self.admit_request(slot, terms, address, space.access(place))?;
            }
            space
                .admits(place, slot, &terms.sharing, &self.index.roster)
                .map_err(|(holder, conflict)| NoAddress::SharingConflict { address, holder, conflict })?;
        }
        Ok(())
    }

    /// Whether policies let a Service that does not hold an address ask for it.
    fn admit_request(
        &self,
        slot: SlotNumber,
        terms: &ServiceTerms,
        address: IpAddr,
        access: &Access,
    ) -> Result<(), NoAddress> {
        match access {
            Access::Everybody => {}
            Access::Kept => {
                let pool = self.pool_of(address).ok_or(NoAddress::NotInPool { address })?;
                return Err(NoAddress::OnlyKept { address, pool: pool.name.clone() });
            }
            Access::Reserved(_) => {
                let others = Search::new(&self.index, slot, terms).set_aside_for_others(access);
                let reservation = others.and_then(|number| self.index.policies.reservations.get(number as usize));
                if let Some(reservation) = reservation {
                    return Err(NoAddress::SetAside { address, reservation: Arc::clone(&reservation.name) });
                }
            }
        }
        match self.index.holds.of_address(address) {
            Some(hold) if hold.service != *self.index.roster.key(slot) => {
                Err(NoAddress::Waits { hold: Box::new(hold.clone()) })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Enters a placement for a Service that was detached from `before`.
    fn hold(&mut self, slot: SlotNumber, before: Option<Holding>, placement: Placement, terms: &ServiceTerms) -> Grant {
        let sharing = &terms.sharing;
        let change = match &before {
            Some(held) if held.placement == placement && held.sharing == *sharing => Change::Unchanged,
            _ => Change::Changed,
        };
        let is_relabelled = self.index.quotas.would_relabel(slot, &terms.labels);
        if is_relabelled {
            self.index.quotas.relabel(slot, &terms.labels);
        }
        let given_up = before.filter(|held| is_relabelled || frees(held, &placement, sharing));
        let waiting_before = self.index.holds.len();
        self.index.attach(slot, &placement, sharing);
        let ends_a_hold = self.index.holds.len() < waiting_before;
        // What others could not have until now, and can share from now on.
        let is_counted_and_shared = sharing.sharing_key.is_some() && self.index.quotas.concern(placement.pool);
        if given_up.is_some() || ends_a_hold || (change == Change::Changed && is_counted_and_shared) {
            self.freed_generation += 1;
        }
        if let Some(held) = given_up {
            self.hold_back(slot, &held, Departure::Released);
        }
        self.check(slot);
        Grant { pool: self.index.pools.name(placement.pool).clone(), addresses: placement.addresses, change }
    }

    /// Makes what a Service gave up wait for it, where policies say so.
    fn hold_back(&mut self, slot: SlotNumber, held: &Holding, departure: Departure) {
        if self.index.holds.may_begin() {
            let service = self.index.roster.key(slot).clone();
            self.index.hold_back(&service, &held.placement.addresses, departure);
        }
    }

    /// Takes away what a Service holds.
    fn let_go(&mut self, slot: SlotNumber, departure: Departure) -> Option<ServiceAddresses> {
        let held = self.index.detach(slot)?;
        self.freed_generation += 1;
        self.hold_back(slot, &held, departure);
        Some(held.placement.addresses)
    }

    /// Adds an address of the other family, from the same pool, after the one that a Service holds.
    ///
    /// # Errors
    /// Why there is none; nothing is changed then.
    ///
    /// Source: [ALLOC-33].
    pub fn add_family(&mut self, id: ServiceId, terms: &ServiceTerms) -> Result<Grant, NoAddress> {
        let slot = self.index.roster.slot(id).ok_or(NoAddress::Forgotten)?;
        let held = self.index.placement(slot).ok_or(NoAddress::NothingToAddTo)?;
        let (number, addresses) = (held.pool, held.addresses);
        let [first] = addresses.as_slice() else { return Err(NoAddress::NothingToAddTo) };
        let family = IpFamily::of(*first).other();
        let place = Search::new(&self.index, slot, terms).another(number, family)?;
        let added = number_to_address(family, place.number);
        let both = ServiceAddresses::new(&[*first, added])?;
        self.assign_slot(slot, terms, both, Claim::Recorded)
    }

    /// Takes away what a Service holds; gives back what it was.
    pub fn release(&mut self, id: ServiceId) -> Option<ServiceAddresses> {
        let slot = self.index.roster.slot(id)?;
        self.let_go(slot, Departure::Released)
    }

    /// Like [`Self::release`], by key.
    pub fn release_by_key(&mut self, key: &ServiceKey) -> Option<ServiceAddresses> {
        self.find(key).and_then(|id| self.release(id))
    }

    /// Uses these pools from now on, with the policies that it has. Services keep addresses that are still all in one pool, without a
    /// look at whether that pool serves them: assigning anew finds out.
    ///
    /// # Errors
    /// [`PoolsError`] where a name or an address is there twice; the pools are then as before.
    ///
    /// Source: [ALLOC-39].
    pub fn replace_pools(&mut self, pools: impl IntoIterator<Item = Pool>) -> Result<PoolsReplaced, PoolsError> {
        let policies = Arc::clone(&self.index.policies);
        self.replace(pools, policies)
    }

    /// Withholds an address that somebody outside holds, whether or not a pool contains it now. `holder` is how refusals name them.
    pub fn reserve(&mut self, address: IpAddr, holder: impl Into<Arc<str>>) -> Reserved {
        self.index.reserve(address, holder.into());
        match self.users_of(address) {
            users if users.is_empty() => Reserved::Free,
            users => Reserved::InUseBy(users),
        }
    }

    /// Lets go of a reserved address. False where it was not reserved.
    pub fn unreserve(&mut self, address: IpAddr) -> bool {
        let was_reserved = self.index.unreserve(address);
        self.freed_generation += u64::from(was_reserved);
        was_reserved
    }

    /// The reserved addresses and who holds them, in order of address.
    pub fn reservations(&self) -> impl Iterator<Item = (IpAddr, &str)> {
        self.index.reservations()
    }

    /// What a Service holds.
    pub fn allocation(&self, id: ServiceId) -> Option<Allocation<'_>> {
        let slot = self.index.roster.slot(id)?;
        let Placement { pool, addresses, .. } = self.index.placement(slot)?;
        let pool = self.index.pools.name(pool);
        Some(Allocation { pool, addresses, sharing: self.index.roster.sharing(slot) })
    }

    /// Like [`Self::allocation`], by key.
    pub fn allocation_by_key(&self, key: &ServiceKey) -> Option<Allocation<'_>> {
        self.find(key).and_then(|id| self.allocation(id))
    }

    /// The Services that hold an address, sorted.
    pub fn users_of(&self, address: IpAddr) -> Vec<ServiceKey> {
        let Ok((number, place)) = self.index.pools.find(address) else { return Vec::new() };
        self.index.pools.space(number).map(|space| space.user_keys(place, &self.index.roster)).unwrap_or_default()
    }

    /// The counters of a pool; `None` where there is no such pool.
    pub fn usage(&self, pool: &PoolName) -> Option<PoolUsage> {
        self.index.pools.number(pool).and_then(|number| self.index.pools.space(number)).map(space::PoolSpace::usage)
    }

    /// The pools in order of name.
    pub fn pools(&self) -> impl Iterator<Item = &Pool> {
        self.index.pools.iter().map(|space| &space.pool)
    }

    /// The pool that contains an address which it does not avoid.
    pub fn pool_of(&self, address: IpAddr) -> Option<&Pool> {
        let (number, _) = self.index.pools.find(address).ok()?;
        self.index.pools.space(number).map(|space| &space.pool)
    }

    /// How many Services are known.
    pub fn service_count(&self) -> usize {
        self.index.roster.len()
    }

    /// A number that grows whenever an address, or a port on a shared address, became free, sharing keys changed in place, or pools
    /// were replaced. A host tries Services that wait for an address again when it has grown, and only then.
    ///
    /// Source: [CTRL-23], [CTRL-27], [CTRL-28a].
    pub const fn freed_generation(&self) -> u64 {
        self.freed_generation
    }

    /// The cheap part of the invariants: those of one Service.
    fn check(&self, slot: SlotNumber) {
        if cfg!(debug_assertions)
            && let Some(placement) = self.index.placement(slot)
        {
            self.index.check_placement(slot, &placement);
        }
    }
}

/// Whether a Service that goes from one holding to another leaves something that others may have been waiting for.
fn frees(before: &Holding, placement: &Placement, sharing: &SharingTerms) -> bool {
    let keeps_addresses = before.placement.addresses.iter().all(|address| placement.addresses.contains(address));
    let keeps_ports = sharing.ports.contains_all(&before.sharing.ports);
    let keeps_keys =
        sharing.sharing_key == before.sharing.sharing_key && sharing.backend_key == before.sharing.backend_key;
    !(keeps_addresses && keeps_ports && keeps_keys)
}

#[cfg(test)]
pub(crate) mod properties;
#[cfg(test)]
mod tests;
