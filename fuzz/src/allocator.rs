//! Sequences of allocator operations, read from octets, and what must hold after each of them.
//!
//! What is looked at is the public interface alone: holdings are counted anew from what each Service holds, so that a mistake in the
//! allocator's own books shows. The windows are small and the Services few, so that most operations touch what others did.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use lbcore::addresses::ServiceAddresses;
use lbcore::allocator::{Allocator, Grant, NoAddress, QuotaUsage, ServiceId};
use lbcore::family::{IpFamily, IpFamilyPolicy, ServiceFamilies};
use lbcore::labels::{Labels, Requirement, Selector};
use lbcore::policy::{
    AddressReservation, Audience, Beneficiaries, Policies, PoolPolicy, PoolSelection, Quota, QuotaScope,
};
use lbcore::pool::{AutoAssign, BuggyAddresses, Pool, ServiceAllocation};
use lbcore::range::{AddressRange, address_to_number, number_to_address};
use lbcore::request::{ServiceRequest, ServiceTerms};
use lbcore::service::{PoolName, ServiceKey};
use lbcore::sharing::{BackendKey, Protocol, ServicePort, SharingTerms};
use lbcore::time::UnixTime;
use lbcore::usage::{Capacity, PoolUsage};

/// First addresses of windows, from which ranges are cut; several cross a .255 to .0 border.
const WINDOWS: [&str; 6] = ["192.0.2.250", "192.0.2.254", "10.0.0.0", "10.255.255.254", "2001:db8::", "2001:db8::ffff"];
const WINDOW_LENGTH: u8 = 4;
/// Beside the windows, for pools that are never full.
const LARGE: [&str; 2] = ["172.16.0.0/12", "2001:db8:1::/64"];
const POOLS: [&str; 4] = ["a", "b", "c", "none"];
const SERVICES: [&str; 8] = ["n0/s0", "n0/s1", "n0/s2", "n0/s3", "n1/s0", "n1/s1", "n1/s2", "n1/s3"];
/// Operations of one input; more would only make it slower.
const MOST_OPERATIONS: usize = 256;

/// Reads choices from octets; zeros when they are used up.
struct Tape<'o> {
    octets: &'o [u8],
}

impl Tape<'_> {
    fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.octets.split_first() else { return 0 };
        self.octets = rest;
        *first
    }

    fn is_used_up(&self) -> bool {
        self.octets.is_empty()
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.next()) % bound
    }

    fn one_in(&mut self, chances: u8) -> bool {
        self.next() % chances == 0
    }

    fn service(&mut self) -> ServiceKey {
        SERVICES[self.below(SERVICES.len())].parse().expect("a key")
    }

    fn address(&mut self) -> IpAddr {
        let (window, offset) = (self.below(WINDOWS.len()), self.next() % WINDOW_LENGTH);
        window_address(window, offset)
    }

    fn terms(&mut self) -> ServiceTerms {
        let (key, ports, other) = (self.next(), self.next(), self.next());
        let label = Labels::from([("team".to_owned(), "x".to_owned())]);
        let all = [(Protocol::Tcp, 80), (Protocol::Tcp, 443), (Protocol::Udp, 80)];
        let chosen = all.into_iter().enumerate().filter(|(place, _)| ports >> place & 1 == 1);
        let sharing = SharingTerms {
            sharing_key: [None, None, Some("k"), Some("k"), Some("l")][usize::from(key % 5)]
                .map(|key| key.parse().expect("not empty")),
            backend_key: if other % 5 == 0 { BackendKey::local("n0", &label) } else { BackendKey::Cluster },
            ports: chosen.map(|(_, (protocol, port))| ServicePort { protocol, port }).collect(),
        };
        ServiceTerms { labels: Arc::new(if other & 1 == 1 { label } else { Labels::new() }), sharing }
    }

    fn request(&mut self) -> ServiceRequest {
        let mut request = ServiceRequest::new(match self.below(4) {
            0 => ServiceFamilies::Single(IpFamily::V4),
            1 => ServiceFamilies::Single(IpFamily::V6),
            2 => ServiceFamilies::Dual { primary: IpFamily::V4 },
            _ => ServiceFamilies::Dual { primary: IpFamily::V6 },
        });
        if matches!(request.families, ServiceFamilies::Dual { .. }) {
            use IpFamilyPolicy::{PreferDualStack, RequireDualStack, SingleStack};
            request.policy = [PreferDualStack, RequireDualStack, PreferDualStack, SingleStack][self.below(4)];
        }
        request.terms = self.terms();
        request.addresses = match self.below(6) {
            0 => Some(ServiceAddresses::one(self.address())),
            1 => ServiceAddresses::pair(self.address(), self.address()),
            _ => None,
        };
        request.pool = self.one_in(3).then(|| POOLS[self.below(POOLS.len())].parse().expect("not empty"));
        request
    }

    /// Each window is in one pool or in none, and perhaps only a part of it.
    fn pools(&mut self) -> Vec<Pool> {
        let mut ranges: BTreeMap<usize, Vec<AddressRange>> = BTreeMap::new();
        for window in 0..WINDOWS.len() {
            let (pool, cut) = (self.below(POOLS.len()), self.next());
            let ends = [cut % WINDOW_LENGTH, cut / WINDOW_LENGTH % WINDOW_LENGTH];
            let [first, last] =
                [ends[0].min(ends[1]), ends[0].max(ends[1])].map(|offset| window_address(window, offset));
            ranges.entry(pool).or_default().push(AddressRange::new(first, last).expect("in order"));
        }
        for range in LARGE {
            if self.one_in(4) {
                ranges.entry(self.below(POOLS.len())).or_default().push(range.parse().expect("a range"));
            }
        }
        // What falls to the last name is in no pool.
        let named = POOLS.iter().take(POOLS.len() - 1).enumerate();
        named.filter_map(|(number, name)| Some(self.pool(name, ranges.remove(&number)?))).collect()
    }

    fn pool(&mut self, name: &str, mut ranges: Vec<AddressRange>) -> Pool {
        let (switches, restriction) = (self.next(), self.next());
        if switches & 4 == 4 {
            ranges.reverse();
        }
        let values = BTreeSet::from(["x".to_owned()]);
        let allocation = ServiceAllocation {
            priority: i64::from(restriction & 3),
            namespaces: (restriction & 12 == 4).then(|| BTreeSet::from(["n0".to_owned()])),
            service_selectors: if restriction & 48 == 16 {
                vec![Selector::new([Requirement::In { key: "team".to_owned(), values }])]
            } else {
                vec![]
            },
        };
        Pool {
            auto_assign: if switches % 5 == 0 { AutoAssign::Disabled } else { AutoAssign::Enabled },
            buggy_addresses: if switches & 2 == 2 { BuggyAddresses::Avoided } else { BuggyAddresses::Used },
            allocation: (restriction & 64 == 64).then_some(allocation),
            exclusions: if switches & 8 == 8 { vec![AddressRange::single(self.address())] } else { vec![] },
            ..Pool::new(name.parse().expect("not empty"), ranges)
        }
    }

    /// None, mostly: what holds without them has to hold.
    fn policies(&mut self) -> Arc<Policies> {
        if !self.one_in(3) {
            return Arc::default();
        }
        let reservations = (0..self.below(3)).map(|number| Arc::new(self.reservation(number)));
        let reservations = reservations.collect();
        let switches = self.next();
        let seconds = |bit: u8| Duration::from_secs(if switches >> bit & 1 == 1 { 10 } else { 0 });
        let quota = Quota {
            name: "q".into(),
            scope: if switches & 4 == 4 { QuotaScope::Together } else { QuotaScope::Namespace },
            audience: Audience::default(),
            limit: u64::from(switches >> 4),
        };
        let policy = PoolPolicy {
            name: "policy".into(),
            pools: PoolSelection::default(),
            retention: Some(seconds(0)),
            reuse_cooldown: Some(seconds(1)),
            quotas: if switches & 8 == 8 { vec![quota] } else { vec![] },
            ..PoolPolicy::default()
        };
        Arc::new(Policies { reservations, pool_policies: vec![Arc::new(policy)] })
    }

    fn reservation(&mut self, number: usize) -> AddressReservation {
        let audience = Audience { namespaces: Some(BTreeSet::from(["n0".to_owned()])), ..Audience::default() };
        let beneficiaries = match self.below(3) {
            0 => Beneficiaries { audience: Some(audience), ..Beneficiaries::default() },
            _ => Beneficiaries { services: BTreeSet::from([self.service()]), ..Beneficiaries::default() },
        };
        let addresses = (0..=self.below(3)).map(|_| AddressRange::single(self.address())).collect();
        AddressReservation {
            name: format!("r{number}").into(),
            addresses,
            host_parts: Vec::new(),
            pool: None,
            beneficiaries,
        }
    }
}

fn window_address(window: usize, offset: u8) -> IpAddr {
    let first: IpAddr = WINDOWS[window].parse().expect("an address");
    number_to_address(IpFamily::of(first), address_to_number(first) + u128::from(offset))
}

/// What each Service holds, counted from what the allocator says of each.
type Holdings = BTreeMap<ServiceKey, (PoolName, ServiceAddresses, SharingTerms)>;

struct Run {
    allocator: Allocator,
    /// Ids that were given up.
    stale: Vec<ServiceId>,
    reserved: BTreeSet<IpAddr>,
    /// Seconds since the begin.
    now: u64,
    /// What was answered, in order.
    answers: Vec<String>,
    /// What was used of the quotas before the step.
    used_before: Vec<QuotaUsage>,
}

impl Run {
    fn new() -> Self {
        Self {
            allocator: Allocator::default(),
            stale: Vec::new(),
            reserved: BTreeSet::new(),
            now: 0,
            answers: Vec::new(),
            used_before: Vec::new(),
        }
    }

    fn holdings(&self) -> Holdings {
        let keys = SERVICES.iter().map(|text| text.parse::<ServiceKey>().expect("a key"));
        let held = keys.filter_map(|key| {
            let held = self.allocator.allocation_by_key(&key)?;
            Some((key, (held.pool.clone(), held.addresses, held.sharing.clone())))
        });
        held.collect()
    }

    fn step(&mut self, tape: &mut Tape<'_>) {
        let before = (self.holdings(), self.allocator.freed_generation());
        self.used_before = self.allocator.quota_usage().collect();
        let refused = match tape.below(16) {
            0..=5 => {
                let (key, request) = (tape.service(), tape.request());
                let id = self.allocator.intern(&key);
                let waiting = self.waiting();
                let granted = self.allocator.allocate(id, &request);
                self.granted(&key, granted, &before.0, &waiting, &request.terms)
            }
            6 | 7 => {
                let (key, terms) = (tape.service(), tape.terms());
                let addresses: Vec<IpAddr> = (0..tape.below(4)).map(|_| tape.address()).collect();
                let granted = self.allocator.assign_by_key(&key, &terms, &addresses);
                // What is recorded is entered whatever policies say.
                self.answered(granted).is_none()
            }
            8 => {
                let (key, terms) = (tape.service(), tape.terms());
                let id = self.allocator.intern(&key);
                let waiting = self.waiting();
                let granted = self.allocator.add_family(id, &terms);
                self.granted(&key, granted, &before.0, &waiting, &terms)
            }
            9 | 10 => {
                let key = tape.service();
                let released = self.allocator.release_by_key(&key);
                assert_eq!(released, before.0.get(&key).map(|held| held.1), "what was released is what was held");
                assert!(self.allocator.allocation_by_key(&key).is_none(), "a released Service holds nothing");
                self.answers.push(format!("{released:?}"));
                false
            }
            11 => {
                let key = tape.service();
                let id = self.allocator.find(&key);
                let released = self.allocator.forget_by_key(&key);
                assert_eq!(released, before.0.get(&key).map(|held| held.1));
                assert!(self.allocator.find(&key).is_none(), "a forgotten Service is not known");
                self.stale.extend(id);
                self.answers.push(format!("{released:?}"));
                false
            }
            12 => self.replace_pools(tape),
            13 => {
                let address = tape.address();
                let reserved = self.allocator.reserve(address, "somebody");
                self.reserved.insert(address);
                self.answers.push(format!("{reserved:?}"));
                false
            }
            14 => {
                let address = tape.address();
                assert_eq!(self.allocator.unreserve(address), self.reserved.remove(&address));
                false
            }
            _ if tape.one_in(2) => {
                self.now += u64::from(tape.next() % 16);
                let ended = self.allocator.expire(UnixTime::from_secs(self.now));
                assert!(ended.iter().all(|hold| hold.until <= UnixTime::from_secs(self.now)));
                self.answers.push(format!("{ended:?}"));
                false
            }
            _ => self.use_stale_id(tape),
        };
        if refused {
            let after = (self.holdings(), self.allocator.freed_generation());
            assert_eq!(after, before, "a refused call changes nothing");
        }
    }

    /// For whom each address waits.
    fn waiting(&self) -> BTreeMap<IpAddr, ServiceKey> {
        self.allocator.holds().map(|hold| (hold.address, hold.service.clone())).collect()
    }

    /// Notes an answer; nothing where it was a refusal.
    fn answered(&mut self, granted: Result<Grant, NoAddress>) -> Option<Grant> {
        self.answers.push(format!("{granted:?}"));
        match granted {
            Ok(grant) => {
                for address in grant.addresses.iter() {
                    assert!(!self.reserved.contains(&address), "{address} is withheld and was given");
                }
                Some(grant)
            }
            Err(reason) => {
                assert!(!reason.category().is_empty() && !reason.to_string().is_empty());
                None
            }
        }
    }

    /// True where it was a refusal. An address that is new to the Service is one that policies let it have.
    fn granted(
        &mut self,
        key: &ServiceKey,
        granted: Result<Grant, NoAddress>,
        before: &Holdings,
        waiting: &BTreeMap<IpAddr, ServiceKey>,
        terms: &ServiceTerms,
    ) -> bool {
        let Some(grant) = self.answered(granted) else { return true };
        let pool = self.allocator.pools().find(|pool| pool.name == grant.pool).expect("it was granted from there");
        let is_new = |address: &IpAddr| before.get(key).is_none_or(|held| !held.1.contains(*address));
        for address in grant.addresses.iter().filter(is_new) {
            assert!(pool.offers(address), "{address} is not to be handed out");
            assert!(waiting.get(&address).is_none_or(|owner| owner == key), "{address} waits for another");
            let mut reservations = self.allocator.policies().reservations_at(pool, address).peekable();
            let is_free = reservations.peek().is_none();
            let mut beneficiaries = reservations.map(|reservation| &reservation.beneficiaries);
            let is_mine = beneficiaries.any(|others| others.specificity(key, &terms.labels).is_some());
            assert!(is_free || is_mine, "{address} is set aside for others and was given to {key}");
        }
        if grant.addresses.iter().any(|address| is_new(&address)) {
            // One that was above its limit before is no business of a grant by which it does not grow.
            let id = |usage: &QuotaUsage| (usage.policy.clone(), usage.quota.clone(), usage.namespace.clone());
            let grew =
                |now: &QuotaUsage| !self.used_before.iter().any(|was| id(was) == id(now) && was.used >= now.used);
            let is_ours =
                |usage: &QuotaUsage| usage.namespace.as_deref().is_none_or(|namespace| namespace == key.namespace());
            let over = self.allocator.quota_usage().find(|now| now.used > now.limit && is_ours(now) && grew(now));
            let many = before.get(key).map_or(0, |held| held.1.iter().count());
            // Whoever exchanges what it has for no more is let through where others, or a smaller limit, have filled the quota.
            assert!(over.is_none() || grant.addresses.iter().count() <= many, "{over:?} after a grant to {key}");
        }
        false
    }

    fn replace_pools(&mut self, tape: &mut Tape<'_>) -> bool {
        let mut pools = tape.pools();
        if tape.one_in(8) {
            // Two pools of one name, or with a common address.
            pools.extend(pools.first().cloned());
        }
        let (before, policies) = (self.holdings(), tape.policies());
        let replaced = self.allocator.replace(pools, policies);
        self.answers.push(format!("{replaced:?}"));
        let Ok(replaced) = replaced else { return true };
        let after = self.holdings();
        for (key, held) in &before {
            let moved = replaced.moved.iter().find(|(moved, _)| moved == key);
            match after.get(key) {
                None => assert!(replaced.released.contains(key), "{key} lost its addresses unsaid"),
                Some(now) => {
                    assert_eq!((now.1, &now.2), (held.1, &held.2), "new pools change no addresses");
                    assert_eq!(moved.map(|(_, pool)| pool), (now.0 != held.0).then_some(&now.0), "{key} moved unsaid");
                }
            }
        }
        false
    }

    fn use_stale_id(&mut self, tape: &mut Tape<'_>) -> bool {
        if self.stale.is_empty() {
            return false;
        }
        let id = self.stale[tape.below(self.stale.len())];
        assert!(self.allocator.key(id).is_none() && self.allocator.allocation(id).is_none(), "a stale id means nobody");
        assert!(self.allocator.release(id).is_none() && self.allocator.forget(id).is_none());
        let request = tape.request();
        let addresses = [tape.address()];
        assert_eq!(self.allocator.allocate(id, &request), Err(NoAddress::Forgotten));
        assert_eq!(self.allocator.assign(id, &request.terms, &addresses), Err(NoAddress::Forgotten));
        assert_eq!(self.allocator.add_family(id, &request.terms), Err(NoAddress::Forgotten));
        true
    }

    /// No address twice unless shared; everything in its pool; the books agree with a recount.
    fn check(&self) {
        let holdings = self.holdings();
        let mut users: BTreeMap<IpAddr, Vec<&ServiceKey>> = BTreeMap::new();
        for (key, (pool, addresses, _)) in &holdings {
            let found = self.allocator.pools().find(|found| found.name == *pool);
            let found = found.unwrap_or_else(|| panic!("{key} holds something of pool {pool}, which is not there"));
            for address in addresses.iter() {
                assert!(found.contains(address), "{key} holds {address}, which is not in {pool}");
                users.entry(address).or_default().push(key);
            }
        }
        for (address, keys) in &users {
            assert_eq!(self.allocator.users_of(*address).iter().collect::<Vec<_>>(), *keys, "who uses {address}");
            for (place, first) in keys.iter().enumerate() {
                for second in keys.iter().skip(place + 1) {
                    let (first, second) = (&holdings[*first].2, &holdings[*second].2);
                    assert_eq!(first.admit(second), Ok(()), "{address} is used twice and not shared: {keys:?}");
                }
            }
        }
        for (window, offset) in
            (0..WINDOWS.len()).flat_map(|window| (0..WINDOW_LENGTH).map(move |offset| (window, offset)))
        {
            let address = window_address(window, offset);
            assert_eq!(
                self.allocator.users_of(address).is_empty(),
                !users.contains_key(&address),
                "whether {address} is used"
            );
        }
        for pool in self.allocator.pools() {
            let used: BTreeSet<IpAddr> = users.keys().copied().filter(|address| pool.contains(*address)).collect();
            let mut usage = self.allocator.usage(&pool.name).expect("the pool is there");
            let counted = self.recount(pool, &used);
            if !self.allocator.policies().is_empty() {
                // What waits or is set aside is not available to everybody; how much that is no single number says.
                assert!(usage.available_ipv4 <= counted.available_ipv4 && usage.available_ipv4 >= 0);
                assert!(usage.available_ipv6 <= counted.available_ipv6 && usage.available_ipv6 >= 0);
                usage = PoolUsage {
                    available_ipv4: counted.available_ipv4,
                    available_ipv6: counted.available_ipv6,
                    ..usage
                };
            }
            assert_eq!(usage, counted, "usage of {}", pool.name);
        }
        for hold in self.allocator.holds() {
            assert!(!users.contains_key(&hold.address), "{} is used and waits", hold.address);
            assert!(self.allocator.next_expiry().is_some_and(|next| next <= hold.until));
        }
        let reserved: BTreeSet<IpAddr> = self.allocator.reservations().map(|(address, _)| address).collect();
        assert_eq!(reserved, self.reserved);
    }

    fn recount(&self, pool: &Pool, used: &BTreeSet<IpAddr>) -> PoolUsage {
        let capacity = Capacity::of(pool);
        let withheld: BTreeSet<IpAddr> = self
            .reserved
            .iter()
            .copied()
            .filter(|address| pool.contains(*address) && !used.contains(address))
            .collect();
        let count = |addresses: &BTreeSet<IpAddr>, family| {
            i64::try_from(addresses.iter().filter(|address| IpFamily::of(**address) == family).count())
                .unwrap_or(i64::MAX)
        };
        let [v4, v6] = [IpFamily::V4, IpFamily::V6];
        PoolUsage {
            assigned_ipv4: count(used, v4),
            assigned_ipv6: count(used, v6),
            available_ipv4: capacity.ipv4 - count(used, v4) - count(&withheld, v4),
            available_ipv6: capacity.ipv6 - count(used, v6) - count(&withheld, v6),
        }
    }
}

fn run(octets: &[u8]) -> Run {
    let mut tape = Tape { octets };
    let mut run = Run::new();
    run.allocator.replace_pools(tape.pools()).expect("pools cut from windows are disjoint");
    for _ in 0..MOST_OPERATIONS {
        if tape.is_used_up() {
            break;
        }
        run.step(&mut tape);
        run.check();
    }
    run
}

/// A sequence of operations on an allocator: pools replaced, allocate, assign, a family added, release, forget, addresses withheld and
/// let go, ids that were given up. What must hold is looked at after each; the same sequence twice answers the same.
pub fn allocator_ops(octets: &[u8]) {
    let (first, second) = (run(octets), run(octets));
    assert_eq!(first.answers, second.answers, "the same sequence answers the same");
    assert_eq!(first.holdings(), second.holdings());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{inputs, replay_whole};

    #[test]
    fn the_corpus_of_allocator_operations_runs_through() {
        replay_whole("allocator_ops", 3, allocator_ops);
    }

    /// A corpus of refusals alone would test nothing.
    #[test]
    fn the_corpus_reaches_grants_and_refusals_of_every_kind() {
        let answers: Vec<String> = inputs("allocator_ops").iter().flat_map(|octets| run(octets).answers).collect();
        for kind in [
            "change: Changed",
            "change: Unchanged",
            "Two([",
            "SharingConflict",
            "Reserved {",
            "PoolExhausted",
            "PoolsExhausted",
            "PoolNotAllowed",
            "NoEligiblePool",
            "NothingToAddTo",
            "FamilyNotInPool",
            "DifferentPools",
            "InUseBy([",
            "DuplicateName",
            "released: [\"",
            "moved: [(",
        ] {
            assert!(answers.iter().any(|answer| answer.contains(kind)), "no input leads to {kind}");
        }
    }
}
