//! The naive model: first fit by looking at every address, counts by looking at every Service.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::addresses::ServiceAddresses;
use crate::family::{IpFamily, IpFamilyPolicy, ServiceFamilies};
use crate::labels::Labels;
use crate::policy::{AddressReservation, Policies, PoolPolicy, Specificity};
use crate::pool::{AutoAssign, Pool};
use crate::range::number_to_address;
use crate::request::{ServiceRequest, ServiceTerms};
use crate::service::ServiceKey;
use crate::sharing::SharingTerms;

/// A pool's name and addresses, or the category of the refusal.
pub(super) type Answer = Result<(String, Vec<IpAddr>), &'static str>;

#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) pool: String,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) sharing: SharingTerms,
}

/// First-fit by looking at everything.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) pools: Vec<Pool>,
    pub(super) policies: Policies,
    pub(super) held: BTreeMap<String, Held>,
    /// The labels that quotas count Services with.
    pub(super) labels: BTreeMap<String, Arc<Labels>>,
    pub(super) reserved: BTreeSet<IpAddr>,
    /// For whom an address waits, until when, and whether that is since the Service was deleted.
    pub(super) waiting: BTreeMap<IpAddr, (String, u64, bool)>,
    pub(super) now: u64,
}

/// One Service that searches.
#[derive(Clone, Copy)]
pub(super) struct Seeker<'a> {
    pub(super) service: &'a str,
    pub(super) terms: &'a ServiceTerms,
}

/// What a search of one pool came to.
enum Fit {
    Found(Vec<IpAddr>),
    UsedUp,
    Nothing,
}

fn key(service: &str) -> ServiceKey {
    service.parse().unwrap()
}

pub(super) fn namespace(service: &str) -> &str {
    service.split('/').next().unwrap()
}

impl Model {
    fn pool_of(&self, address: IpAddr) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.contains(address))
    }

    /// What an address that is in no pool is refused for.
    fn why_nowhere(&self, address: IpAddr) -> &'static str {
        let in_range = |pool: &&Pool| pool.ranges.iter().any(|range| range.contains(address));
        if self.pools.iter().find(in_range).is_some_and(|pool| pool.excludes(address)) {
            "excluded"
        } else {
            "not-in-pool"
        }
    }

    fn reservations_at(&self, pool: &Pool, address: IpAddr) -> Vec<Arc<AddressReservation>> {
        self.policies.reservations_at(pool, address).cloned().collect()
    }

    /// The reservations of a Service, most specific first, then by place.
    fn reservations_of(&self, seeker: Seeker<'_>) -> Vec<Arc<AddressReservation>> {
        let mut found: Vec<(Specificity, usize)> = (0..)
            .zip(&self.policies.reservations)
            .filter_map(|(place, reservation)| {
                let of = &reservation.beneficiaries;
                Some((of.specificity(&key(seeker.service), &seeker.terms.labels)?, place))
            })
            .collect();
        found.sort_unstable();
        found.iter().map(|(_, place)| Arc::clone(&self.policies.reservations[*place])).collect()
    }

    /// [ALLOC-10], by looking at every other Service.
    fn is_shareable(&self, address: IpAddr, seeker: Seeker<'_>) -> bool {
        let sharing = &seeker.terms.sharing;
        self.held.iter().filter(|(name, held)| *name != seeker.service && held.addresses.contains(&address)).all(
            |(_, held)| {
                held.sharing.sharing_key.is_some()
                    && held.sharing.sharing_key == sharing.sharing_key
                    && held.sharing.backend_key == sharing.backend_key
                    && !sharing.ports.as_slice().iter().any(|port| held.sharing.ports.as_slice().contains(port))
            },
        )
    }

    fn is_used_by_another(&self, address: IpAddr, service: &str) -> bool {
        self.held.iter().any(|(name, held)| name != service && held.addresses.contains(&address))
    }

    /// [ALLOC-20], by looking at every address; before it, what is set aside for the Service or waits for it.
    fn find(&self, pool: &Pool, family: IpFamily, seeker: Seeker<'_>, only_counted: bool) -> Option<IpAddr> {
        let ranges = pool.ranges.iter().filter(|range| range.family() == family);
        let offered: Vec<IpAddr> = ranges
            .flat_map(|range| range.first_number()..=range.last_number())
            .map(|number| number_to_address(family, number))
            .filter(|address| pool.offers(*address) && !self.reserved.contains(address))
            .collect();
        let ours = self.reservations_of(seeker);
        let is_ours = |address: IpAddr| self.reservations_at(pool, address).iter().any(|one| ours.contains(one));
        let is_common = |address: IpAddr| self.reservations_at(pool, address).is_empty();
        let mut waiting: Vec<IpAddr> = offered.clone();
        waiting.retain(|address| {
            !only_counted && self.waiting.get(address).is_some_and(|(service, ..)| service == seeker.service)
        });
        waiting.sort_unstable();
        let usable = |address: &IpAddr| {
            !self.waiting.contains_key(address)
                && self.is_shareable(*address, seeker)
                && (!only_counted
                    || (self.is_used_by_another(*address, seeker.service) && self.counts(pool, seeker, *address)))
        };
        let of_reservation = |reservation: &Arc<AddressReservation>| {
            offered
                .iter()
                .copied()
                .filter(usable)
                .find(|address| self.reservations_at(pool, *address).contains(reservation))
        };
        waiting
            .iter()
            .copied()
            .find(|address| is_ours(*address))
            .or_else(|| ours.iter().find_map(of_reservation))
            .or_else(|| waiting.iter().copied().find(|address| is_common(*address)))
            .or_else(|| offered.iter().copied().filter(usable).find(|address| is_common(*address)))
    }

    fn fit(&self, pool: &Pool, seeker: Seeker<'_>, families: &[IpFamily], without: &str) -> Fit {
        let choices: &[&[bool]] = match families {
            [_] => &[&[false], &[true]],
            _ => &[&[false, false], &[true, false], &[false, true], &[true, true]],
        };
        let find = |only_counted: &[bool]| -> Option<Vec<IpAddr>> {
            families.iter().zip(only_counted).map(|(family, only)| self.find(pool, *family, seeker, *only)).collect()
        };
        if find(choices[0]).is_none() {
            return Fit::Nothing;
        }
        let found = choices.iter().filter_map(|choice| find(choice));
        found.into_iter().find(|found| self.admits(pool, seeker, found, without)).map_or(Fit::UsedUp, Fit::Found)
    }

    /// [ALLOC-32], [ALLOC-34]; what is refused for a quota is noted.
    fn best(
        &self,
        pools: &[&Pool],
        seeker: Seeker<'_>,
        request: &ServiceRequest,
        used_up: &mut bool,
    ) -> Option<(String, Vec<IpAddr>)> {
        let wishes: Vec<Vec<IpFamily>> = match (request.families, request.policy) {
            (ServiceFamilies::Single(family), _) => vec![vec![family]],
            (ServiceFamilies::Dual { primary }, IpFamilyPolicy::PreferDualStack) => {
                vec![vec![IpFamily::V4, IpFamily::V6], vec![primary], vec![primary.other()]]
            }
            (ServiceFamilies::Dual { .. }, _) => vec![vec![IpFamily::V4, IpFamily::V6]],
        };
        for families in wishes {
            for pool in pools {
                match self.fit(pool, seeker, &families, seeker.service) {
                    Fit::Found(addresses) => return Some((pool.name.to_string(), addresses)),
                    Fit::UsedUp => *used_up = true,
                    Fit::Nothing => {}
                }
            }
        }
        None
    }

    /// The pools that have something for the Service: by its reservations, then those where something waits for it.
    fn preferred(&self, seeker: Seeker<'_>, families: ServiceFamilies) -> Vec<&Pool> {
        let wanted = |family: &IpFamily| families.has(*family);
        let mut found: Vec<&Pool> = Vec::new();
        for reservation in self.reservations_of(seeker) {
            for pool in &self.pools {
                let free = |family: IpFamily| {
                    let ranges = pool.ranges.iter().filter(move |range| range.family() == family);
                    let mut addresses = ranges
                        .flat_map(|range| range.first_number()..=range.last_number())
                        .map(|number| number_to_address(family, number));
                    addresses.any(|address| {
                        let waits_for_others =
                            self.waiting.get(&address).is_some_and(|(service, ..)| service != seeker.service);
                        pool.offers(address)
                            && !self.reserved.contains(&address)
                            && !waits_for_others
                            && self.is_shareable(address, seeker)
                            && self.reservations_at(pool, address).contains(&reservation)
                    })
                };
                if IpFamily::ALL.into_iter().filter(wanted).any(free) && !found.contains(&pool) {
                    found.push(pool);
                }
            }
        }
        let ours = self.reservations_of(seeker);
        for (address, (service, ..)) in &self.waiting {
            let Some(pool) = self.pool_of(*address).filter(|_| service == seeker.service) else { continue };
            let at = self.reservations_at(pool, *address);
            let may = at.is_empty() || at.iter().any(|one| ours.contains(one));
            if may && families.has(IpFamily::of(*address)) && !found.contains(&pool) {
                found.push(pool);
            }
        }
        found
    }

    pub(super) fn allocate(&mut self, service: &str, request: &ServiceRequest) -> Answer {
        if self.pools.is_empty() {
            return Err("no-config");
        }
        if let Some(addresses) = request.addresses {
            return self.allocate_requested(service, request, addresses);
        }
        if matches!(request.families, ServiceFamilies::Dual { .. }) && request.policy == IpFamilyPolicy::SingleStack {
            return Err("invalid-request");
        }
        let seeker = Seeker { service, terms: &request.terms };
        let serves = |pool: &&Pool| pool.allows(namespace(service), &request.terms.labels);
        let mut used_up = false;
        let found = if let Some(name) = &request.pool {
            let named = self.pools.iter().find(|pool| pool.name == *name).ok_or("no-such-pool")?;
            if !serves(&named) {
                return Err("pool-not-allowed");
            }
            self.best(&[named], seeker, request, &mut used_up)
        } else {
            let automatic = || self.pools.iter().filter(|pool| pool.auto_assign == AutoAssign::Enabled).filter(serves);
            let mut pinned: Vec<&Pool> = automatic().filter(|pool| pool.allocation.is_some()).collect();
            pinned.sort_by_key(|pool| {
                let priority = pool.allocation.as_ref().map_or(0, |allocation| allocation.priority);
                (if priority == 0 { i64::MAX } else { priority }, pool.name.clone())
            });
            let unpinned: Vec<&Pool> = automatic().filter(|pool| pool.allocation.is_none()).collect();
            let mut preferred = self.preferred(seeker, request.families);
            preferred.retain(serves);
            let found =
                [preferred, pinned, unpinned].iter().find_map(|pools| self.best(pools, seeker, request, &mut used_up));
            if found.is_none() && !used_up && automatic().next().is_none() {
                return Err("no-eligible-pool");
            }
            found
        };
        // Which of the two other reasons it is depends on the pools looked at, and is left to the unit tests.
        let (pool, addresses) = found.ok_or(if used_up { "quota-exceeded" } else { "nothing-left" })?;
        self.hold(service, pool, addresses, &request.terms)
    }

    fn allocate_requested(&mut self, service: &str, request: &ServiceRequest, addresses: ServiceAddresses) -> Answer {
        let families: BTreeSet<IpFamily> = addresses.iter().map(IpFamily::of).collect();
        let wanted = match request.families {
            ServiceFamilies::Single(family) => BTreeSet::from([family]),
            ServiceFamilies::Dual { .. } => BTreeSet::from([IpFamily::V4, IpFamily::V6]),
        };
        if families != wanted {
            return Err("family-mismatch");
        }
        if let Some(name) = &request.pool {
            if !self.pools.iter().any(|pool| pool.name == *name) {
                return Err("no-such-pool");
            }
            for address in addresses.iter() {
                if self.pool_of(address).ok_or_else(|| self.why_nowhere(address))?.name != *name {
                    return Err("pool-mismatch");
                }
            }
        }
        self.enter(service, &request.terms, addresses.as_slice(), true)
    }

    pub(super) fn assign(&mut self, service: &str, terms: &ServiceTerms, addresses: &[IpAddr]) -> Answer {
        let families: BTreeSet<IpFamily> = addresses.iter().copied().map(IpFamily::of).collect();
        if addresses.is_empty() || families.len() != addresses.len() {
            return Err("invalid-request");
        }
        self.enter(service, terms, addresses, false)
    }

    fn enter(&mut self, service: &str, terms: &ServiceTerms, addresses: &[IpAddr], is_request: bool) -> Answer {
        for address in addresses {
            self.pool_of(*address).ok_or_else(|| self.why_nowhere(*address))?;
        }
        let seeker = Seeker { service, terms };
        let pool = self.pools.iter().find(|pool| addresses.iter().all(|address| pool.contains(*address)));
        let pool = pool.ok_or("not-in-pool")?;
        let all_kept = addresses.iter().all(|address| pool.kept.contains(address));
        if !pool.allows(namespace(service), &terms.labels) && (is_request || !all_kept) {
            return Err("pool-not-allowed");
        }
        for address in addresses {
            if self.reserved.contains(address) {
                return Err("sharing-conflict");
            }
            let is_held = self.held.get(service).is_some_and(|held| held.addresses.contains(address));
            if is_request && !is_held {
                let ours = self.reservations_of(seeker);
                let at = self.reservations_at(pool, *address);
                if !pool.offers(*address) {
                    return Err("not-in-pool");
                }
                if !at.is_empty() && !at.iter().any(|one| ours.contains(one)) {
                    return Err("reserved");
                }
                if self.waiting.get(address).is_some_and(|(other, ..)| other != service) {
                    return Err("retained");
                }
            }
            if !self.is_shareable(*address, seeker) {
                return Err("sharing-conflict");
            }
        }
        let is_same =
            self.held.get(service).is_some_and(|held| held.addresses == addresses && held.sharing == terms.sharing);
        if is_request && !is_same && !self.admits(pool, seeker, addresses, service) {
            return Err("quota-exceeded");
        }
        self.hold(service, pool.name.to_string(), addresses.to_vec(), terms)
    }

    pub(super) fn add_family(&mut self, service: &str, terms: &ServiceTerms) -> Answer {
        let held = self.held.get(service).filter(|held| held.addresses.len() == 1).ok_or("invalid-request")?;
        let pool = self.pools.iter().find(|pool| pool.name.as_str() == held.pool).unwrap();
        let family = IpFamily::of(held.addresses[0]).other();
        let second = match self.fit(pool, Seeker { service, terms }, &[family], "") {
            Fit::Found(addresses) => addresses[0],
            Fit::UsedUp => return Err("quota-exceeded"),
            Fit::Nothing => return Err("nothing-left"),
        };
        let both = [held.addresses[0], second];
        self.assign(service, terms, &both)
    }

    #[expect(clippy::unnecessary_wraps, reason = "every answer of the model has this type")]
    fn hold(&mut self, service: &str, pool: String, addresses: Vec<IpAddr>, terms: &ServiceTerms) -> Answer {
        let held = Held { pool: pool.clone(), addresses: addresses.clone(), sharing: terms.sharing.clone() };
        let before = self.held.insert(service.to_owned(), held);
        if self.selects_by_labels() {
            self.labels.insert(service.to_owned(), Arc::clone(&terms.labels));
        }
        for address in &addresses {
            self.waiting.remove(address);
        }
        for address in before.into_iter().flat_map(|held| held.addresses) {
            self.begin_to_wait(service, address, false);
        }
        Ok((pool, addresses))
    }

    fn selects_by_labels(&self) -> bool {
        let mut quotas = self.policies.pool_policies.iter().flat_map(|policy| &policy.quotas);
        quotas.any(|quota| !quota.audience.service_selectors.is_empty())
    }

    /// The retention and the cool-down of an address' pool, each zero where there is none.
    fn lengths(&self, address: IpAddr, service: &str) -> (u64, u64) {
        let Some(pool) = self.pools.iter().find(|pool| pool.offers(address)) else { return (0, 0) };
        let policies: Vec<_> = self.policies.of_pool(&pool.name, &pool.labels).collect();
        if policies.iter().any(|policy| policy.release_now.iter().any(|order| order.concerns(address, &key(service)))) {
            return (0, 0);
        }
        let first = |of: fn(&PoolPolicy) -> Option<Duration>| policies.iter().find_map(|policy| of(policy));
        let seconds = |length: Option<Duration>| length.map_or(0, |length| length.as_secs());
        (seconds(first(|policy| policy.retention)), seconds(first(|policy| policy.reuse_cooldown)))
    }

    fn begin_to_wait(&mut self, service: &str, address: IpAddr, is_gone: bool) {
        let (retention, cooldown) = self.lengths(address, service);
        let length = if is_gone { retention.max(cooldown) } else { cooldown };
        if length > 0 && !self.is_used_by_another(address, "") {
            let retained = is_gone && retention >= cooldown;
            self.waiting.insert(address, (service.to_owned(), self.now + length, retained));
        }
    }

    pub(super) fn release(&mut self, service: &str, is_gone: bool) -> Option<Vec<IpAddr>> {
        let held = self.held.remove(service);
        for address in held.iter().flat_map(|held| held.addresses.clone()) {
            self.begin_to_wait(service, address, is_gone);
        }
        if is_gone {
            self.labels.remove(service);
        }
        held.map(|held| held.addresses)
    }

    pub(super) fn expire(&mut self, seconds: u64) -> BTreeSet<IpAddr> {
        self.now += seconds;
        let now = self.now;
        let is_over = |(_, (_, until, _)): &(&IpAddr, &(String, u64, bool))| *until <= now;
        let ended: BTreeSet<IpAddr> = self.waiting.iter().filter(is_over).map(|(address, _)| *address).collect();
        self.waiting.retain(|address, _| !ended.contains(address));
        ended
    }

    pub(super) fn replace(&mut self, pools: Vec<Pool>, policies: Policies) -> (Vec<String>, Vec<String>) {
        self.pools = pools;
        self.pools.sort_by(|left, right| left.name.cmp(&right.name));
        self.policies = policies;
        if !self.selects_by_labels() {
            self.labels.clear();
        }
        let (mut released, mut moved, mut lost) = (Vec::new(), Vec::new(), Vec::new());
        for (service, mut held) in core::mem::take(&mut self.held) {
            match self.pools.iter().find(|pool| held.addresses.iter().all(|address| pool.contains(*address))) {
                None => {
                    lost.extend(held.addresses.iter().map(|address| (service.clone(), *address)));
                    released.push(service);
                }
                Some(pool) => {
                    if pool.name.as_str() != held.pool {
                        moved.push(service.clone());
                    }
                    held.pool = pool.name.to_string();
                    self.held.insert(service, held);
                }
            }
        }
        for (address, (service, until, retained)) in core::mem::take(&mut self.waiting) {
            let (retention, cooldown) = self.lengths(address, &service);
            let longest = if retained { retention.max(cooldown) } else { cooldown };
            let until = until.min(self.now + longest);
            if until > self.now && !self.is_used_by_another(address, "") {
                self.waiting.insert(address, (service, until, retained));
            }
        }
        for (service, address) in lost {
            self.begin_to_wait(&service, address, false);
        }
        (released, moved)
    }
}
