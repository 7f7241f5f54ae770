//! What it takes to fill whole ranges, and what a Service costs that waits while fifty pools are full.
//!
//! Beside each stands a first-fit scan with a hash set, where that ends: it fills a /20 and a /16, and looks through the fifty pools.
//!
//! Run: `cargo bench -p ferrule-benches --bench allocator_whole` (three minutes, most of it for the scan).
#![expect(clippy::print_stdout, reason = "a program that prints figures")]

use std::collections::HashSet;
use std::hint::black_box;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use lbcore::allocator::{Allocator, ServiceId};
use lbcore::family::{IpFamily, ServiceFamilies};
use lbcore::pool::Pool;
use lbcore::range::{AddressRange, number_to_address};
use lbcore::request::ServiceRequest;
use lbcore::service::ServiceKey;
use lbcore::sharing::{Protocol, ServicePort};

fn pool(name: &str, range: &str) -> Pool {
    Pool::new(name.parse().expect("not empty"), vec![range.parse().expect("written well")])
}

fn request() -> ServiceRequest {
    let mut request = ServiceRequest::new(ServiceFamilies::Single(IpFamily::V4));
    request.terms.sharing.ports = [ServicePort { protocol: Protocol::Tcp, port: 443 }].into_iter().collect();
    request
}

fn key(number: usize) -> ServiceKey {
    ServiceKey::new(&format!("team-{}", number % 1000), &format!("web-{number:016x}")).expect("neither part is empty")
}

/// The median of several runs.
fn median(runs: usize, mut run: impl FnMut() -> Duration) -> Duration {
    let mut times: Vec<Duration> = (0..runs).map(|_| run()).collect();
    times.sort_unstable();
    times.get(runs / 2).copied().unwrap_or_default()
}

fn row(what: &str, time: Duration) {
    println!("{what:<44} {time:>12.3?}");
}

/// Fills a range from the first address to the last.
fn fill(range: &str, runs: usize) {
    let count = usize::try_from(range.parse::<AddressRange>().expect("written well").count()).expect("not that large");
    let (keys, request) = ((0..count).map(key).collect::<Vec<_>>(), request());
    let by_id = median(runs, || {
        let mut allocator = Allocator::default();
        allocator.replace_pools([pool("whole", range)]).expect("nothing overlaps");
        let ids: Vec<ServiceId> = keys.iter().map(|key| allocator.intern(key)).collect();
        let start = Instant::now();
        for id in &ids {
            black_box(allocator.allocate(*id, &request)).expect("there is room");
        }
        let elapsed = start.elapsed();
        assert!(allocator.allocate_by_key(&key(count), &request).is_err(), "the range is full");
        elapsed
    });
    row(&format!("fill {range}, by id"), by_id);
    let by_key = median(runs, || {
        let mut allocator = Allocator::default();
        allocator.replace_pools([pool("whole", range)]).expect("nothing overlaps");
        let start = Instant::now();
        for key in &keys {
            black_box(allocator.allocate_by_key(key, &request)).expect("there is room");
        }
        start.elapsed()
    });
    row(&format!("fill {range}, by key"), by_key);
}

fn first_free(range: &AddressRange, used: &HashSet<IpAddr>) -> Option<IpAddr> {
    let mut addresses =
        (range.first_number()..=range.last_number()).map(|number| number_to_address(range.family(), number));
    addresses.find(|address| !used.contains(address))
}

fn fill_by_scan(text: &str) {
    let range: AddressRange = text.parse().expect("written well");
    let mut used = HashSet::new();
    let start = Instant::now();
    while let Some(address) = first_free(&range, &used) {
        used.insert(address);
    }
    row(&format!("fill {text}, by scan"), start.elapsed());
}

/// A Service that waits, while fifty pools of a /16 are full.
fn exhausted() {
    let ranges: Vec<String> = (0..50).map(|number| format!("10.{number}.0.0/16")).collect();
    let (mut allocator, request) = (Allocator::default(), request());
    let pools = ranges.iter().map(|range| pool(&format!("pool-{range}"), range));
    allocator.replace_pools(pools).expect("nothing overlaps");
    let mut number = 0;
    while allocator.allocate_by_key(&key(number), &request).is_ok() {
        number += 1;
    }
    assert_eq!(number, 50 << 16, "all are full");
    let waiting = allocator.intern(&key(number));
    let mut refusal = |what: &str, request: &ServiceRequest| {
        let time = median(10_001, || {
            let start = Instant::now();
            let refused = black_box(allocator.allocate(waiting, request)).is_err();
            let elapsed = start.elapsed();
            assert!(refused);
            elapsed
        });
        row(what, time);
    };
    refusal("50 full /16, a Service that waits", &request);
    let mut shares = request.clone();
    shares.terms.sharing.sharing_key = Some("dns".parse().expect("not empty"));
    refusal("50 full /16, one that shares", &shares);
    let numbers = 0x0a00_0000..0x0a00_0000 + (50_u128 << 16);
    let used: HashSet<IpAddr> = numbers.map(|number| number_to_address(IpFamily::V4, number)).collect();
    let ranges: Vec<AddressRange> = ranges.iter().map(|range| range.parse().expect("written well")).collect();
    let scan = median(5, || {
        let start = Instant::now();
        assert!(black_box(ranges.iter().find_map(|range| first_free(range, &used))).is_none());
        start.elapsed()
    });
    row("50 full /16, by scan", scan);
}

fn main() {
    fill("10.0.0.0/20", 11);
    fill("10.0.0.0/16", 11);
    fill("10.0.0.0/12", 3);
    exhausted();
    fill_by_scan("10.0.0.0/20");
    fill_by_scan("10.0.0.0/16");
}
