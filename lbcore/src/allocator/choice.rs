//! Which pool, and which of its addresses: the search for a Service that asks for no particular address ([ALLOC-30] to [ALLOC-37]).
//!
//! Nothing here changes anything. A pool that is full answers in constant time, whatever its size.

use crate::family::{IpFamily, IpFamilyPolicy, ServiceFamilies};
use crate::request::ServiceRequest;
use crate::service::PoolName;
use crate::sharing::SharingTerms;

use super::index::Index;
use super::outcome::{NeededFamilies, NoAddress, TriedPools};
use super::roster::{Placement, SlotNumber};
use super::space::{Place, PoolSpace};

/// The lowest usable address of a pool in a family ([ALLOC-20]).
pub(super) fn lowest(index: &Index, space: &PoolSpace, family: IpFamily, sharing: &SharingTerms) -> Option<Place> {
    space.lowest(family, sharing, |address| index.reservation(address).is_some())
}

/// Searches the pool that the Service names, or those for automatic choice. The Service must hold nothing, so that its own addresses
/// count as free.
///
/// # Errors
/// Why there is no address.
pub(super) fn choose(index: &Index, slot: SlotNumber, request: &ServiceRequest) -> Result<Placement, NoAddress> {
    let is_dual = matches!(request.families, ServiceFamilies::Dual { .. });
    if is_dual && request.policy == IpFamilyPolicy::SingleStack {
        return Err(NoAddress::DualStackUnwanted);
    }
    match &request.pool {
        Some(name) => from_named(index, name, slot, request),
        None => automatic(index, slot, request),
    }
}

/// [ALLOC-31]: one pool and no other.
fn from_named(
    index: &Index,
    name: &PoolName,
    slot: SlotNumber,
    request: &ServiceRequest,
) -> Result<Placement, NoAddress> {
    let number = index.pools.number(name).ok_or_else(|| NoAddress::NoSuchPool { pool: name.clone() })?;
    allowed(index, number, slot, request)?;
    best(index, &[number], slot, request).ok_or_else(|| {
        let needed = needed(request);
        let has_families = index.pools.space(number).is_some_and(|space| has_families(space, needed));
        let pool = name.clone();
        if has_families {
            NoAddress::PoolExhausted { pool, needed }
        } else {
            NoAddress::FamilyNotInPool { pool, needed }
        }
    })
}

/// Whether a pool serves the Service at all ([ALLOC-12]).
///
/// # Errors
/// [`NoAddress::PoolNotAllowed`].
fn allowed(index: &Index, number: u32, slot: SlotNumber, request: &ServiceRequest) -> Result<(), NoAddress> {
    let Some(space) = index.pools.space(number) else { return Ok(()) };
    match index.restriction(space, slot, &request.terms.labels) {
        Some(restriction) => Err(NoAddress::PoolNotAllowed { pool: space.pool.name.clone(), restriction }),
        None => Ok(()),
    }
}

/// [ALLOC-30]: pinned pools by priority, then the unrestricted ones.
fn automatic(index: &Index, slot: SlotNumber, request: &ServiceRequest) -> Result<Placement, NoAddress> {
    best(index, &index.pools.pinned, slot, request)
        .or_else(|| best(index, &index.pools.unpinned, slot, request))
        .ok_or_else(|| why_none(index, slot, request))
}

/// The best pool of an ordered list: the first with all that is needed; where two addresses are only preferred, else the first with the
/// primary family, else the first with the other one ([ALLOC-32], [ALLOC-34]).
fn best(index: &Index, numbers: &[u32], slot: SlotNumber, request: &ServiceRequest) -> Option<Placement> {
    let sharing = &request.terms.sharing;
    let (mut with_primary, mut with_secondary) = (None, None);
    for &number in numbers {
        let Some(space) = index.pools.space(number).filter(|space| serves(index, space, slot, request)) else {
            continue;
        };
        let search = |family| lowest(index, space, family, sharing);
        match request.families {
            ServiceFamilies::Single(family) => {
                if let Some(place) = search(family) {
                    return Some(Placement::one(number, family, place));
                }
            }
            ServiceFamilies::Dual { primary } => match (search(IpFamily::V4), search(IpFamily::V6)) {
                (Some(ipv4), Some(ipv6)) => return Some(Placement::dual(number, ipv4, ipv6)),
                (None, None) => {}
                (Some(place), None) => {
                    note(number, IpFamily::V4, place, primary, &mut with_primary, &mut with_secondary);
                }
                (None, Some(place)) => {
                    note(number, IpFamily::V6, place, primary, &mut with_primary, &mut with_secondary);
                }
            },
        }
    }
    if request.policy == IpFamilyPolicy::PreferDualStack { with_primary.or(with_secondary) } else { None }
}

/// Keeps a single address as a fall-back, unless an earlier pool gave one of that family.
fn note(
    number: u32,
    family: IpFamily,
    place: Place,
    primary: IpFamily,
    with_primary: &mut Option<Placement>,
    with_secondary: &mut Option<Placement>,
) {
    let fallback = if family == primary { with_primary } else { with_secondary };
    fallback.get_or_insert_with(|| Placement::one(number, family, place));
}

fn serves(index: &Index, space: &PoolSpace, slot: SlotNumber, request: &ServiceRequest) -> bool {
    index.restriction(space, slot, &request.terms.labels).is_none()
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

/// Says why automatic choice found nothing, with the pools that were looked at.
fn why_none(index: &Index, slot: SlotNumber, request: &ServiceRequest) -> NoAddress {
    let needed = needed(request);
    let mut pools = TriedPools::default();
    let mut families_exist = false;
    for number in index.pools.pinned.iter().chain(&index.pools.unpinned) {
        if let Some(space) = index.pools.space(*number).filter(|space| serves(index, space, slot, request)) {
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
