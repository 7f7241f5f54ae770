//! What a live allocation takes in memory beyond its key, with a million of them, counted by the global allocator.
//!
//! The keys are made before the count begins; what the allocator keeps of a key (a pointer to the same text) counts. *Churned* is what a
//! long life leaves: half as many again were allocated, and a random third released, so that the free addresses lie in single holes.
//!
//! Run: `cargo bench -p ferrule-benches --bench allocator_memory` (ten seconds). It fails where a figure is above its bound.
#![expect(clippy::print_stdout, reason = "a program that prints figures")]

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::process::ExitCode;

use ferrule_benches::counting::Counting;
use lbcore::allocator::{Allocator, ServiceId};
use lbcore::family::{IpFamily, ServiceFamilies};
use lbcore::pool::{BuggyAddresses, Pool};
use lbcore::request::ServiceRequest;
use lbcore::rng::Rng;
use lbcore::service::ServiceKey;
use lbcore::sharing::{Protocol, ServicePort};

#[global_allocator]
static MEMORY: Counting = Counting::new();

const LIVE: usize = 1_000_000;
/// Octets for each live allocation.
const BOUND: usize = 150;

fn keys(count: usize, rng: &mut Rng) -> Vec<ServiceKey> {
    let key = |_| {
        let (namespace, name) = (rng.below(1000), rng.next_u64());
        ServiceKey::new(&format!("team-{namespace}"), &format!("web-{name:016x}")).expect("neither part is empty")
    };
    (0..count).map(key).collect()
}

fn allocator() -> Allocator {
    let mut allocator = Allocator::default();
    let ranges = ["10.0.0.0/8", "2001:db8::/64"].iter().map(|range| range.parse().expect("written well"));
    let pool = Pool::new("bench".parse().expect("not empty"), ranges.collect());
    let pool = Pool { buggy_addresses: BuggyAddresses::Avoided, ..pool };
    allocator.replace_pools([pool]).expect("nothing overlaps");
    allocator
}

/// What is left after some were released at random: `LIVE` allocations.
fn fill(keys: &[ServiceKey], families: ServiceFamilies, shares: bool, rng: &mut Rng) -> Allocator {
    let mut allocator = allocator();
    let mut request = ServiceRequest::new(families);
    let mut ids: Vec<ServiceId> = Vec::with_capacity(keys.len());
    for (place, key) in keys.iter().enumerate() {
        let port = if shares { u16::try_from(place % 2).unwrap_or_default() + 80 } else { 443 };
        request.terms.sharing.ports = [ServicePort { protocol: Protocol::Tcp, port }].into_iter().collect();
        request.terms.sharing.sharing_key = shares.then(|| format!("k{}", place / 2).parse().expect("not empty"));
        let id = allocator.intern(key);
        allocator.allocate(id, &request).expect("there is room");
        ids.push(id);
    }
    while ids.len() > LIVE {
        let place = usize::try_from(rng.below(ids.len() as u64)).expect("a place in a vector");
        allocator.forget(ids.swap_remove(place));
    }
    allocator
}

/// What a map and a set take, which is the least that a first-fit scan needs.
fn naive(keys: &[ServiceKey]) -> (HashMap<ServiceKey, IpAddr>, HashSet<IpAddr>) {
    let addresses = (0_u32..).map(|number| IpAddr::from((0x0a00_0000 + number).to_be_bytes()));
    let held: HashMap<ServiceKey, IpAddr> = keys.iter().cloned().zip(addresses).collect();
    let used = held.values().copied().collect();
    (held, used)
}

/// Octets for each allocation that what `make` makes takes.
fn octets_each<T>(make: impl FnOnce() -> T) -> usize {
    let before = MEMORY.live_octets();
    let made = make();
    let octets = MEMORY.live_octets().saturating_sub(before);
    drop(made);
    octets / LIVE
}

fn main() -> ExitCode {
    let mut rng = Rng::new(7);
    let (exact, more) = (keys(LIVE, &mut rng), keys(LIVE / 2 * 3, &mut rng));
    let v4 = ServiceFamilies::Single(IpFamily::V4);
    let both = ServiceFamilies::Dual { primary: IpFamily::V4 };
    let v6 = ServiceFamilies::Single(IpFamily::V6);
    let rows = [
        ("IPv4, in a row", octets_each(|| fill(&exact, v4, false, &mut rng))),
        ("IPv4, churned", octets_each(|| fill(&more, v4, false, &mut rng))),
        ("IPv6, churned", octets_each(|| fill(&more, v6, false, &mut rng))),
        ("both families, churned", octets_each(|| fill(&more, both, false, &mut rng))),
        ("IPv4, two share an address", octets_each(|| fill(&exact, v4, true, &mut rng))),
    ];
    println!("{:<28} octets for each of {LIVE}", "allocations");
    for (name, octets) in rows {
        println!("{name:<28} {octets}");
    }
    println!("{:<28} {}", "a map and a set, IPv4", octets_each(|| naive(&exact)));
    let above = rows.iter().take(2).any(|(_, octets)| *octets >= BOUND);
    if above { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
