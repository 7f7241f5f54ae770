//! What the allocator's operations cost with 1 k to 1 M addresses in use, and beside them what a first-fit scan with a hash set costs.
//!
//! The addresses in use are what a long life leaves: half as many again are allocated, a random third is released, and then a quarter
//! comes and goes; so the lower part of the range is dense and the upper part is full of holes. Operations are measured in batches
//! over Services chosen at random, and undone outside of the measurement. What counts is the median batch, because a batch during which
//! another process had the processor says nothing. A key is a text of its own, as one has it who has just read it. The scan gets the same
//! addresses.
//!
//! Run: `cargo bench -p ferrule-benches --bench allocator` (about four minutes).

use std::collections::{HashSet, VecDeque};
use std::hint::black_box;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use lbcore::addresses::ServiceAddresses;
use lbcore::allocator::{Allocator, ServiceId};
use lbcore::family::{IpFamily, ServiceFamilies};
use lbcore::pool::{BuggyAddresses, Pool};
use lbcore::range::{AddressRange, number_to_address};
use lbcore::request::ServiceRequest;
use lbcore::rng::Rng;
use lbcore::service::ServiceKey;
use lbcore::sharing::{Protocol, ServicePort};

/// A range and how many of its addresses are in use.
struct Case {
    name: &'static str,
    in_use: u32,
    range: &'static str,
}

const CASES: [Case; 4] = [
    Case { name: "1k in a /16", in_use: 1_000, range: "10.0.0.0/16" },
    Case { name: "64k in a /16", in_use: 64_000, range: "10.0.0.0/16" },
    Case { name: "1M in a /8", in_use: 1_000_000, range: "10.0.0.0/8" },
    Case { name: "1M in a /64", in_use: 1_000_000, range: "2001:db8::/64" },
];
/// Operations measured at a stretch.
const BATCH: u32 = 256;
/// Services beyond those that hold an address.
const IDLE: u32 = 2 * BATCH;

/// One of the Services of a case.
#[derive(Clone)]
struct Service {
    /// A copy of its own, as a caller has it who has read it from a document.
    key: ServiceKey,
    id: ServiceId,
}

/// An allocator after a long life, with its Services.
struct Population {
    allocator: Allocator,
    request: ServiceRequest,
    range: AddressRange,
    holding: Vec<Service>,
    idle: Vec<Service>,
    rng: Rng,
}

impl Population {
    fn new(case: &Case) -> Self {
        let range: AddressRange = case.range.parse().expect("the ranges of the cases are written well");
        let mut request = ServiceRequest::new(ServiceFamilies::Single(range.family()));
        request.terms.sharing.ports = [ServicePort { protocol: Protocol::Tcp, port: 443 }].into_iter().collect();
        let mut population = Self {
            allocator: Allocator::default(),
            request,
            range,
            holding: Vec::new(),
            idle: Vec::new(),
            rng: Rng::new(u64::from(case.in_use)),
        };
        let pool = Pool::new("bench".parse().expect("not empty"), vec![range]);
        let pool = Pool { buggy_addresses: BuggyAddresses::Avoided, ..pool };
        population.allocator.replace_pools([pool]).expect("a single range overlaps nothing");
        let usable = population.allocator.usage(&"bench".parse().expect("not empty")).expect("the pool is there");
        let most = u32::try_from(usable.available_ipv4.max(usable.available_ipv6)).unwrap_or(u32::MAX);
        let peak = (case.in_use / 2 * 3).min(most);
        for _ in 0..peak {
            let key = population.random_key();
            // The allocator keeps its own copy of the text.
            let id = population.allocator.intern(&key.as_str().parse().expect("it was a key before"));
            population.idle.push(Service { key, id });
        }
        population.allocate(peak);
        population.release(peak - case.in_use.min(peak));
        for _ in 0..case.in_use / 4 {
            population.allocate(1);
            population.release(1);
        }
        population
    }

    /// As long as keys in clusters are, and in no order.
    fn random_key(&mut self) -> ServiceKey {
        let (namespace, name) = (self.rng.below(1000), self.rng.next_u64());
        ServiceKey::new(&format!("team-{namespace}"), &format!("web-{name:016x}")).expect("neither part is empty")
    }

    /// Takes Services that hold an address, chosen at random.
    fn choose(&mut self, count: u32) -> Vec<Service> {
        let chosen = (0..count).map(|_| {
            let position = self.rng.below(self.holding.len() as u64);
            self.holding.swap_remove(usize::try_from(position).expect("a place in a vector"))
        });
        chosen.collect()
    }

    fn choose_idle(&mut self, count: u32) -> Vec<Service> {
        let rest = self.idle.len().saturating_sub(count as usize);
        self.idle.split_off(rest)
    }

    fn allocate(&mut self, count: u32) {
        for service in self.choose_idle(count) {
            self.allocator.allocate(service.id, &self.request).expect("the range is large enough");
            self.holding.push(service);
        }
    }

    fn release(&mut self, count: u32) {
        for service in self.choose(count) {
            self.allocator.release(service.id);
            self.idle.push(service);
        }
    }

    /// A batch of Services without addresses, each with an address to assign that was free long enough to be out of the processor's
    /// cache. An empty stock is filled by releasing a part of the Services.
    fn draw_from(&mut self, stock: &mut VecDeque<(Service, ServiceAddresses)>) -> Vec<(Service, ServiceAddresses)> {
        if stock.len() < BATCH as usize {
            let count = u32::try_from(self.holding.len() / 8).unwrap_or(u32::MAX).max(BATCH);
            for service in self.choose(count) {
                let released = self.allocator.release(service.id).expect("it was chosen because it holds something");
                stock.push_back((service, released));
            }
        }
        // From the front, where what was released first is.
        stock.drain(..BATCH as usize).collect()
    }

    /// Assigns what is left of a stock.
    fn put_back(&mut self, stock: VecDeque<(Service, ServiceAddresses)>) {
        for (service, addresses) in stock {
            self.allocator.assign(service.id, &self.request.terms, addresses.as_slice()).expect("it was free");
            self.holding.push(service);
        }
    }

    /// Gives Services that are back in `idle` new ids, after calls by key have used up the old ones.
    fn renew(&mut self, services: Vec<Service>) -> Vec<Service> {
        let renewed =
            services.into_iter().map(|service| Service { id: self.allocator.intern(&service.key), ..service });
        renewed.collect()
    }
}

/// Runs batches of a size until at least so many operations were measured; tells what they cost at the rate of the median batch.
fn batches(operations: u64, size: u32, mut batch: impl FnMut() -> Duration) -> Duration {
    let count = operations.div_ceil(u64::from(size)).max(1);
    let mut elapsed: Vec<Duration> = (0..count).map(|_| batch()).collect();
    elapsed.sort_unstable();
    let median = elapsed.get(elapsed.len() / 2).copied().unwrap_or_default();
    let nanoseconds = median.as_nanos() * u128::from(operations) / u128::from(size);
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

/// Keys as a caller has them who has just read them.
fn read_keys(services: &[Service]) -> Vec<ServiceKey> {
    services.iter().map(|service| service.key.as_str().parse().expect("it was a key before")).collect()
}

fn by_id(group: &mut BenchmarkGroup<'_, WallTime>, population: &mut Population) {
    group.bench_function("allocate by id", |bencher| {
        bencher.iter_custom(|operations| {
            batches(operations, BATCH, || {
                let services = population.choose_idle(BATCH);
                let start = Instant::now();
                for service in &services {
                    black_box(population.allocator.allocate(service.id, &population.request)).expect("there is room");
                }
                let elapsed = start.elapsed();
                population.holding.extend(services);
                population.release(BATCH);
                elapsed
            })
        });
    });
    group.bench_function("release by id", |bencher| {
        bencher.iter_custom(|operations| {
            batches(operations, BATCH, || {
                let services = population.choose(BATCH);
                let start = Instant::now();
                for service in &services {
                    black_box(population.allocator.release(service.id));
                }
                let elapsed = start.elapsed();
                population.idle.extend(services);
                population.allocate(BATCH);
                elapsed
            })
        });
    });
    let mut stock = VecDeque::new();
    group.bench_function("assign by id", |bencher| {
        bencher.iter_custom(|operations| {
            batches(operations, BATCH, || {
                let vacated = population.draw_from(&mut stock);
                let start = Instant::now();
                for (service, addresses) in &vacated {
                    let terms = &population.request.terms;
                    black_box(population.allocator.assign(service.id, terms, addresses.as_slice()))
                        .expect("it was free");
                }
                let elapsed = start.elapsed();
                population.holding.extend(vacated.into_iter().map(|(service, _)| service));
                elapsed
            })
        });
    });
    population.put_back(stock);
}

fn by_key(group: &mut BenchmarkGroup<'_, WallTime>, population: &mut Population) {
    group.bench_function("allocate by key", |bencher| {
        bencher.iter_custom(|operations| {
            batches(operations, BATCH, || {
                let services = population.choose_idle(BATCH);
                for service in &services {
                    population.allocator.forget(service.id);
                }
                let start = Instant::now();
                for service in &services {
                    black_box(population.allocator.allocate_by_key(&service.key, &population.request))
                        .expect("there is room");
                }
                let elapsed = start.elapsed();
                let services = population.renew(services);
                population.holding.extend(services);
                population.release(BATCH);
                elapsed
            })
        });
    });
    group.bench_function("release by key", |bencher| {
        bencher.iter_custom(|operations| {
            batches(operations, BATCH, || {
                let services = population.choose(BATCH);
                let keys = read_keys(&services);
                let start = Instant::now();
                for key in &keys {
                    black_box(population.allocator.forget_by_key(key));
                }
                let elapsed = start.elapsed();
                let services = population.renew(services);
                population.idle.extend(services);
                population.allocate(BATCH);
                elapsed
            })
        });
    });
    let mut stock = VecDeque::new();
    group.bench_function("assign by key", |bencher| {
        bencher.iter_custom(|operations| {
            batches(operations, BATCH, || {
                let vacated = population.draw_from(&mut stock);
                let services: Vec<Service> = vacated.iter().map(|(service, _)| service.clone()).collect();
                let keys = read_keys(&services);
                let start = Instant::now();
                for (key, (_, addresses)) in keys.iter().zip(&vacated) {
                    let terms = &population.request.terms;
                    black_box(population.allocator.assign_by_key(key, terms, addresses.as_slice()))
                        .expect("it was free");
                }
                let elapsed = start.elapsed();
                population.holding.extend(services);
                elapsed
            })
        });
    });
    population.put_back(stock);
}

/// First-fit as a scan: the first address of the range that is not in the set. What it takes is taken out again, so that each scan has the
/// dense part before it.
fn by_scan(group: &mut BenchmarkGroup<'_, WallTime>, population: &Population) {
    let addresses = population.holding.iter().filter_map(|service| population.allocator.allocation(service.id));
    let mut used: HashSet<IpAddr> = addresses.flat_map(|held| held.addresses.iter().collect::<Vec<_>>()).collect();
    let (family, range) = (population.range.family(), population.range);
    let is_avoided = |number: u128| family == IpFamily::V4 && matches!(number & 0xff, 0 | 0xff);
    group.bench_function("allocate by scan", |bencher| {
        bencher.iter_custom(|operations| {
            batches(operations, 1, || {
                let start = Instant::now();
                let numbers = (range.first_number()..=range.last_number()).filter(|number| !is_avoided(*number));
                let found =
                    numbers.map(|number| number_to_address(family, number)).find(|address| !used.contains(address));
                let found = found.expect("there is room");
                used.insert(found);
                let elapsed = start.elapsed();
                used.remove(black_box(&found));
                elapsed
            })
        });
    });
}

/// The answer that a full pool gives to each Service that waits.
fn refusal(group: &mut BenchmarkGroup<'_, WallTime>, population: &mut Population) {
    while let Some(service) = population.idle.pop() {
        if population.allocator.allocate(service.id, &population.request).is_err() {
            population.idle.push(service);
            break;
        }
        population.holding.push(service);
    }
    let key = population.random_key();
    let waiting = population.allocator.intern(&key);
    group.bench_function("refuse when full, by id", |bencher| {
        bencher.iter(|| black_box(population.allocator.allocate(waiting, &population.request)).is_err());
    });
}

fn benches(criterion: &mut Criterion) {
    for case in &CASES {
        let mut population = Population::new(case);
        for _ in 0..IDLE {
            let key = population.random_key();
            let id = population.allocator.intern(&key.as_str().parse().expect("it was a key before"));
            population.idle.push(Service { key, id });
        }
        let mut group = criterion.benchmark_group(case.name);
        group.sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
        by_id(&mut group, &mut population);
        by_key(&mut group, &mut population);
        group.sample_size(10);
        by_scan(&mut group, &population);
        group.finish();
    }
    let mut population = Population::new(&Case { name: "full /16", in_use: 65_536, range: "10.0.0.0/16" });
    let mut group = criterion.benchmark_group("full /16");
    group.sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(1));
    refusal(&mut group, &mut population);
    by_scan_when_full(&mut group, &population);
    group.finish();
}

/// What a scan costs to find that nothing is left.
fn by_scan_when_full(group: &mut BenchmarkGroup<'_, WallTime>, population: &Population) {
    let range = population.range;
    let numbers = range.first_number()..=range.last_number();
    let used: HashSet<IpAddr> = numbers.clone().map(|number| number_to_address(range.family(), number)).collect();
    group.sample_size(10);
    group.bench_function("refuse when full, by scan", |bencher| {
        bencher.iter(|| {
            let mut addresses = numbers.clone().map(|number| number_to_address(range.family(), number));
            black_box(addresses.all(|address| used.contains(&address)))
        });
    });
}

criterion_group!(all, benches);
criterion_main!(all);
