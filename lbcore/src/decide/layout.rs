//! What follows from the configuration alone: places of pools and advertisements, and which pool an address is in.
//!
//! Pools and advertisements have places that stay the same from one configuration to the next, so that a Service which none of the
//! changes concerns need not be looked at again. A place that was given up is not given to another name in the same change.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::advertisement::{BgpAdvertisement, L2Advertisement};
use crate::config::between_advertisements::{PoolFamilies, disagreements};
use crate::config::{Config, ConfiguredPool};
use crate::family::IpFamily;
use crate::pool::Pool;
use crate::range::{AddressRange, address_to_number};
use crate::service::PoolName;

/// A pool with its advertisements.
#[derive(Debug)]
pub(super) struct PoolPlan {
    pub(super) pool: Arc<Pool>,
    /// Places of its L2 advertisements in the order of their names.
    pub(super) l2: Vec<usize>,
    /// Places of its BGP advertisements in the order of their names.
    pub(super) bgp: Vec<usize>,
    /// Places of BGP advertisements that give one route two values ([ADV-30]).
    pub(super) conflicts: Vec<(usize, usize)>,
}

/// An advertisement at its place, with the places of its pools.
#[derive(Debug)]
struct Attached<A> {
    advertisement: Arc<A>,
    pools: Vec<usize>,
}

/// Ranges of one family sorted by their first address, to be asked which of them have an address.
#[derive(Debug, Default)]
struct Ranges {
    sorted: Vec<(AddressRange, usize)>,
    /// The highest last address of each range and those before it in the same family.
    reach: Vec<u128>,
}

impl Ranges {
    fn new(mut ranges: Vec<(AddressRange, usize)>) -> Self {
        ranges.sort_unstable();
        let mut reach = Vec::with_capacity(ranges.len());
        let mut highest: Option<(IpFamily, u128)> = None;
        for (range, _) in &ranges {
            let before = highest.filter(|(family, _)| *family == range.family()).map_or(0, |(_, last)| last);
            let last = before.max(range.last_number());
            highest = Some((range.family(), last));
            reach.push(last);
        }
        Self { sorted: ranges, reach }
    }

    /// What the ranges that have the address belong to, the last in order first.
    fn at(&self, address: IpAddr) -> impl Iterator<Item = usize> {
        let (family, number) = (IpFamily::of(address), address_to_number(address));
        let key = |range: &AddressRange| (range.family(), range.first_number());
        let after = self.sorted.partition_point(|(range, _)| key(range) <= (family, number));
        let before = self.sorted.iter().zip(&self.reach).take(after).rev();
        let near = before.take_while(move |((range, _), reach)| range.family() == family && **reach >= number);
        near.filter(move |((range, _), _)| range.last_number() >= number).map(|((_, owner), _)| *owner)
    }
}

/// Everything that does not depend on nodes or Services.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) config: Arc<Config>,
    pool_places: BTreeMap<PoolName, usize>,
    pools: Vec<Option<PoolPlan>>,
    l2_places: BTreeMap<Arc<str>, usize>,
    l2: BTreeMap<usize, Attached<L2Advertisement>>,
    bgp_places: BTreeMap<Arc<str>, usize>,
    bgp: BTreeMap<usize, Attached<BgpAdvertisement>>,
    ranges: Ranges,
    /// Addresses that freezes keep, with the place of their pool.
    kept: BTreeMap<IpAddr, usize>,
}

impl Layout {
    /// Lays a configuration out; names that were there before keep their places.
    pub(super) fn new(config: Arc<Config>, before: Option<&Self>) -> Self {
        let (none, blank) = (BTreeMap::new(), BTreeMap::new());
        let configured = || config.pools().values();
        let pool_places = places(config.pools().keys(), before.map_or(&none, |before| &before.pool_places));
        let l2_names: BTreeSet<&Arc<str>> = configured().flat_map(|pool| pool.l2.iter().map(|one| &one.name)).collect();
        let l2_places = places(l2_names, before.map_or(&blank, |before| &before.l2_places));
        let bgp_names: BTreeSet<&Arc<str>> =
            configured().flat_map(|pool| pool.bgp.iter().map(|one| &one.name)).collect();
        let bgp_places = places(bgp_names, before.map_or(&blank, |before| &before.bgp_places));
        let mut layout = Self {
            config,
            pool_places,
            pools: Vec::new(),
            l2_places,
            l2: BTreeMap::new(),
            bgp_places,
            bgp: BTreeMap::new(),
            ranges: Ranges::default(),
            kept: BTreeMap::new(),
        };
        let (config, mut ranges) = (Arc::clone(&layout.config), Vec::new());
        for (name, pool) in config.pools() {
            let Some(place) = layout.pool_places.get(name).copied() else { continue };
            ranges.extend(pool.pool.ranges.iter().map(|range| (*range, place)));
            layout.kept.extend(pool.pool.kept.iter().map(|address| (*address, place)));
            layout.add_pool(place, pool);
        }
        layout.ranges = Ranges::new(ranges);
        layout
    }

    fn add_pool(&mut self, at: usize, configured: &ConfiguredPool) {
        let (mut l2, mut bgp) = (Vec::new(), Vec::new());
        for advertisement in &configured.l2 {
            let Some(place) = self.l2_places.get(&advertisement.name).copied() else { continue };
            let blank = || Attached { advertisement: Arc::clone(advertisement), pools: Vec::new() };
            self.l2.entry(place).or_insert_with(blank).pools.push(at);
            l2.push(place);
        }
        for advertisement in &configured.bgp {
            let Some(place) = self.bgp_places.get(&advertisement.name).copied() else { continue };
            let blank = || Attached { advertisement: Arc::clone(advertisement), pools: Vec::new() };
            self.bgp.entry(place).or_insert_with(blank).pools.push(at);
            bgp.push(place);
        }
        let conflicts = conflicts(configured, &bgp);
        put_at(&mut self.pools, at, PoolPlan { pool: Arc::clone(&configured.pool), l2, bgp, conflicts });
    }

    /// The pool at a place.
    pub(super) fn pool(&self, place: usize) -> Option<&PoolPlan> {
        self.pools.get(place)?.as_ref()
    }

    /// The pool of a name.
    pub(super) fn pool_named(&self, name: &PoolName) -> Option<&PoolPlan> {
        self.pool(*self.pool_places.get(name)?)
    }

    /// The L2 advertisements that are attached to a pool, with their places.
    pub(super) fn l2_advertisements(&self) -> impl Iterator<Item = (usize, &Arc<L2Advertisement>)> {
        self.l2.iter().map(|(place, attached)| (*place, &attached.advertisement))
    }

    /// The BGP advertisements that are attached to a pool, with their places.
    pub(super) fn bgp_advertisements(&self) -> impl Iterator<Item = (usize, &Arc<BgpAdvertisement>)> {
        self.bgp.iter().map(|(place, attached)| (*place, &attached.advertisement))
    }

    /// The places of the pools that an L2 advertisement is attached to.
    pub(super) fn pools_of_l2(&self, place: usize) -> impl Iterator<Item = usize> {
        self.l2.get(&place).into_iter().flat_map(|attached| attached.pools.iter().copied())
    }

    /// The places of the pools that a BGP advertisement is attached to.
    pub(super) fn pools_of_bgp(&self, place: usize) -> impl Iterator<Item = usize> {
        self.bgp.get(&place).into_iter().flat_map(|attached| attached.pools.iter().copied())
    }

    /// The place of the pool that has the address ([ANN-6]); one that the pool avoids or excludes is not in it.
    fn pool_of(&self, address: IpAddr) -> Option<usize> {
        if let Some(pool) = self.kept.get(&address) {
            return Some(*pool);
        }
        self.ranges.at(address).find(|place| self.pool(*place).is_some_and(|plan| plan.pool.contains(address)))
    }

    /// The place of the one pool that has all the addresses ([ANN-6]); `None` also where there are no addresses.
    pub(super) fn pool_of_all(&self, addresses: &[IpAddr]) -> Option<usize> {
        let (first, others) = addresses.split_first()?;
        let pool = self.pool_of(*first)?;
        others.iter().all(|address| self.pool_of(*address) == Some(pool)).then_some(pool)
    }
}

/// Puts a value at a place; places that nobody has yet are empty.
pub(super) fn put_at<T>(places: &mut Vec<Option<T>>, place: usize, value: T) {
    if places.len() <= place {
        places.resize_with(place + 1, || None);
    }
    if let Some(at) = places.get_mut(place) {
        *at = Some(value);
    }
}

/// A place for each name: the one that it had, or one that nobody had.
fn places<'a, K: Ord + Clone + 'a>(
    names: impl IntoIterator<Item = &'a K>,
    before: &BTreeMap<K, usize>,
) -> BTreeMap<K, usize> {
    let taken: BTreeSet<usize> = before.values().copied().collect();
    let mut next = 0;
    let mut fresh = || {
        while taken.contains(&next) {
            next += 1;
        }
        next += 1;
        next - 1
    };
    names.into_iter().map(|name| (name.clone(), before.get(name).copied().unwrap_or_else(&mut fresh))).collect()
}

fn conflicts(configured: &ConfiguredPool, places: &[usize]) -> Vec<(usize, usize)> {
    let has = |family| configured.pool.extents().any(|range| range.family() == family);
    let families = PoolFamilies { v4: has(IpFamily::V4), v6: has(IpFamily::V6) };
    let placed: Vec<(usize, &Arc<BgpAdvertisement>)> = places.iter().copied().zip(&configured.bgp).collect();
    let mut found = Vec::new();
    for (count, (later, left)) in placed.iter().enumerate() {
        for (earlier, right) in placed.iter().take(count) {
            if disagreements(families, left, right).next().is_some() {
                found.push((*earlier, *later));
            }
        }
    }
    found
}
