//! What decisions cost: 10,000 Services on 3 nodes and on 1,000, the whole set of one node, one changed Service, checking a configuration of
//! many ranges; and 100,000 Services on 1,000 nodes, the design case: all owners at first, and each kind of change after that.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::fs;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use lbcore::announce::DesiredSet;
use lbcore::config::{
    Config, ObjectRef, Origin, Raw, RawBgpAdvertisement, RawConfig, RawL2Advertisement, RawPeer, RawPool, Settings,
};
use lbcore::decide::{
    DecideOptions, EndpointAddress, Endpoints, Extent, Owners, Progress, ServiceFacts, SharingAnnotation, Snapshot,
    TrafficPolicy, changes_for, decide, desired_for, first_owner,
};
use lbcore::labels::Labels;
use lbcore::node::{NetworkCondition, Node};
use lbcore::service::{NodeName, ServiceKey};

/// Services of the everyday case.
const SERVICES: u32 = 10_000;
/// Services of the design case.
const MANY_SERVICES: u32 = 100_000;
/// Nodes of both.
const NODES: u32 = 1_000;

fn raw<T>(name: &str, spec: T) -> Raw<T> {
    let object = ObjectRef { kind: "Any".into(), namespace: None, name: name.into(), origin: Origin(0) };
    Raw { object, labels: Labels::new(), spec }
}

fn node_name(index: u32) -> NodeName {
    NodeName::new(format!("node-{index}")).expect("the name is not empty")
}

fn node(index: u32) -> Node {
    Node { name: node_name(index), labels: Labels::new(), network: NetworkCondition::Available }
}

fn world(nodes: u32) -> RawConfig {
    let peer = RawPeer {
        my_asn: Some(64512),
        peer_asn: Some(64999),
        peer_address: Some("192.0.2.1".to_owned()),
        ..RawPeer::default()
    };
    let addresses = vec!["10.0.0.0/8".to_owned()];
    RawConfig {
        pools: vec![raw("pool", RawPool { addresses, ..RawPool::default() })],
        l2_advertisements: vec![raw("everywhere", RawL2Advertisement::default())],
        bgp_advertisements: vec![raw("everywhere", RawBgpAdvertisement::default())],
        peers: vec![raw("router", peer)],
        nodes: (0..nodes).map(node).collect(),
        ..RawConfig::default()
    }
}

fn service(index: u32, nodes: u32, policy: TrafficPolicy) -> ServiceFacts {
    let mut endpoints = Endpoints::none();
    for offset in 0..3 {
        endpoints.add(Some(&node_name((index + offset) % nodes)), EndpointAddress::Present);
    }
    let [_, high, middle, low] = index.to_be_bytes();
    ServiceFacts {
        key: ServiceKey::new("default", &format!("service-{index}")).expect("neither part is empty"),
        labels: Labels::new(),
        addresses: vec![[10, high, middle, low].into()],
        policy,
        sharing: SharingAnnotation::Absent,
        endpoints,
    }
}

fn checked(raw: &RawConfig) -> Arc<Config> {
    Config::build(raw, &Settings::default()).config.expect("the configuration is good")
}

fn snapshot(services: u32, nodes: u32) -> Snapshot {
    let raw = world(nodes);
    let mut snapshot = Snapshot::new(checked(&raw), raw.nodes, DecideOptions::default());
    for index in 0..services {
        snapshot.set_service(service(index, nodes, TrafficPolicy::Cluster));
    }
    snapshot
}

fn decisions(criterion: &mut Criterion) {
    let three = snapshot(SERVICES, 3);
    let keys: Vec<ServiceKey> = three.services().map(|facts| facts.key.clone()).collect();
    let names: Vec<NodeName> = (0..3).map(node_name).collect();
    criterion.bench_function("decide/10k_services_x_3_nodes", |bencher| {
        bencher.iter(|| {
            for key in &keys {
                for name in &names {
                    black_box(decide(&three, key, name));
                }
            }
        });
    });
    criterion.bench_function("first_owner/10k_services_of_3_nodes", |bencher| {
        bencher.iter(|| keys.iter().filter(|key| first_owner(&three, key).is_some()).count());
    });
    let many = snapshot(SERVICES, NODES);
    let one = service(7, NODES, TrafficPolicy::Cluster).key;
    let name = node_name(1);
    criterion.bench_function("first_owner/1_service_of_1000_nodes", |bencher| {
        bencher.iter(|| black_box(first_owner(&many, &one)));
    });
    criterion.bench_function("desired_for/10k_services_on_1_of_1000_nodes", |bencher| {
        bencher.iter(|| black_box(desired_for(&many, &name)).len());
    });
    let set = DesiredSet::new().changed(desired_for(&many, &name), []);
    let changed = service(77, NODES, TrafficPolicy::Local);
    criterion.bench_function("changes_for/1_of_10k_services", |bencher| {
        bencher.iter_batched(
            || (many.clone(), changed.clone()),
            |(mut snapshot, facts)| {
                let affected = snapshot.set_service(facts);
                black_box(changes_for(&snapshot, &name, &set, Extent::Only(&affected)))
            },
            BatchSize::SmallInput,
        );
    });
    criterion.bench_function("snapshot/rebuilt_10k_services_1000_nodes", |bencher| {
        bencher.iter(|| {
            many.rebuilt(Arc::clone(many.config()), many.nodes().cloned().collect(), DecideOptions::default())
        });
    });
}

fn configurations(criterion: &mut Criterion) {
    let entry = |index: u32| {
        let [_, _, high, low] = index.to_be_bytes();
        raw(
            &format!("pool-{index}"),
            RawPool { addresses: vec![format!("10.{high}.{low}.0/24")], ..RawPool::default() },
        )
    };
    let many = RawConfig { pools: (0..SERVICES).map(entry).collect(), ..RawConfig::default() };
    criterion.bench_function("config/10k_pools", |bencher| {
        bencher.iter(|| Config::build(&many, &Settings::default()).problems.len());
    });
}

/// Octets of memory that the process has.
fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").expect("the kernel tells");
    let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("it is a number");
    pages * 4_096
}

/// The time of one of two steps that undo each other, over and over.
fn one_of_two<S>(
    criterion: &mut Criterion,
    name: &str,
    state: &mut S,
    mut timed: impl FnMut(&mut S),
    mut undo: impl FnMut(&mut S),
) {
    criterion.bench_function(name, |bencher| {
        bencher.iter_custom(|count| {
            let mut spent = Duration::ZERO;
            for _ in 0..count {
                let start = Instant::now();
                timed(state);
                spent += start.elapsed();
                undo(state);
            }
            spent
        });
    });
}

/// A view and who comes first in it.
struct Cluster {
    snapshot: Snapshot,
    owners: Owners,
}

impl Cluster {
    /// Works out all owners, once, and prints what that took.
    fn first() -> Self {
        let start = Instant::now();
        let snapshot = snapshot(MANY_SERVICES, NODES);
        println!("design case, once: {MANY_SERVICES} Services placed in {:.2} s", start.elapsed().as_secs_f64());
        let name = node_name(1);
        let start = Instant::now();
        let mut parts = snapshot.parts(NonZeroUsize::new(1_000).expect("it is not zero"));
        let first = parts.next().expect("there are Services");
        let set = DesiredSet::new();
        let changes = changes_for(&snapshot, &name, &set, Extent::Only(&first));
        let (count, first) = (changes.put.len(), start.elapsed());
        println!("  one node's first {count} announcements in {:.1} ms", first.as_secs_f64() * 1e3);
        for part in parts {
            black_box(changes_for(&snapshot, &name, &set, Extent::Only(&part)));
        }
        println!("  all of its announcements in {:.2} s", start.elapsed().as_secs_f64());
        let (before, start) = (resident(), Instant::now());
        let mut owners = Owners::new(&snapshot);
        let mut slowest = Duration::ZERO;
        loop {
            let step = Instant::now();
            let progress = owners.advance(1_000);
            slowest = slowest.max(step.elapsed());
            if progress == Progress::Done {
                break;
            }
        }
        println!("  owners of all groups among {NODES} nodes in {:.2} s", start.elapsed().as_secs_f64());
        println!("  the slowest thousand of them in {:.0} ms", slowest.as_secs_f64() * 1e3);
        let octets = resident().saturating_sub(before) / u64::from(MANY_SERVICES);
        println!("  {octets} octets a group, resident");
        Self { snapshot, owners }
    }

    fn set(&mut self, facts: ServiceFacts) {
        let affected = self.snapshot.set_service(facts);
        self.owners.follow(&self.snapshot, &affected);
    }

    fn configure(&mut self, config: &Arc<Config>) {
        let affected = self.snapshot.set_config(Arc::clone(config));
        self.owners.follow(&self.snapshot, &affected);
    }

    fn join(&mut self, index: u32) {
        let affected = self.snapshot.set_node(node(index));
        self.owners.follow(&self.snapshot, &affected);
    }

    fn leave(&mut self, index: u32) {
        let affected = self.snapshot.remove_node(&node_name(index));
        self.owners.follow(&self.snapshot, &affected);
    }
}

fn cluster(criterion: &mut Criterion) {
    let mut cluster = Cluster::first();
    let name = node_name(1);
    let set = DesiredSet::new().changed(desired_for(&cluster.snapshot, &name), []);
    let (usual, local) = (service(77, NODES, TrafficPolicy::Cluster), service(77, NODES, TrafficPolicy::Local));
    let mut moved = usual.clone();
    moved.endpoints.add(Some(&node_name(500)), EndpointAddress::Present);
    let decide_again = |cluster: &mut Cluster, facts: &ServiceFacts| {
        let affected = cluster.snapshot.set_service(facts.clone());
        black_box(changes_for(&cluster.snapshot, &name, &set, Extent::Only(&affected)));
        affected
    };
    one_of_two(
        criterion,
        "design/service_changed_one_node",
        &mut cluster,
        |cluster| drop(decide_again(cluster, &local)),
        |cluster| drop(decide_again(cluster, &usual)),
    );
    one_of_two(
        criterion,
        "design/service_endpoints_changed_with_owners",
        &mut cluster,
        |cluster| cluster.set(moved.clone()),
        |cluster| cluster.set(usual.clone()),
    );
    one_of_two(
        criterion,
        "design/service_becomes_local_with_owners",
        &mut cluster,
        |cluster| cluster.set(local.clone()),
        |cluster| cluster.set(usual.clone()),
    );
    one_of_two(
        criterion,
        "design/service_becomes_cluster_with_owners",
        &mut cluster,
        |cluster| cluster.set(usual.clone()),
        |cluster| cluster.set(local.clone()),
    );
    cluster.set(usual);
    one_of_two(criterion, "design/node_joins", &mut cluster, |all| all.join(NODES), |all| all.leave(NODES));
    one_of_two(criterion, "design/node_leaves", &mut cluster, |all| all.leave(7), |all| all.join(7));
    let mut raw = world(NODES);
    raw.pools.push(self::raw("spare", RawPool { addresses: vec!["192.0.2.0/24".to_owned()], ..RawPool::default() }));
    let (config, more) = (Arc::clone(cluster.snapshot.config()), checked(&raw));
    one_of_two(
        criterion,
        "design/pool_without_services_comes",
        &mut cluster,
        |all| all.configure(&more),
        |all| all.configure(&config),
    );
    let on_one_link = RawL2Advertisement { interfaces: vec!["eth0".to_owned()], ..RawL2Advertisement::default() };
    raw.l2_advertisements = vec![self::raw("everywhere", on_one_link)];
    let links = checked(&raw);
    let mut group = criterion.benchmark_group("design");
    group.sample_size(10);
    group.bench_function("advertisement_of_all_services_changed", |bencher| {
        let mut is_other = false;
        bencher.iter(|| {
            is_other = !is_other;
            cluster.configure(if is_other { &links } else { &config });
        });
    });
    group.finish();
}

criterion_group!(benches, decisions, configurations, cluster);
criterion_main!(benches);
