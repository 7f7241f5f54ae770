//! What decisions cost: 10,000 Services on 3 nodes and on 1,000, the whole set of one node, one changed Service, and checking a
//! configuration of many ranges.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use lbcore::announce::DesiredSet;
use lbcore::config::{
    Config, ObjectRef, Origin, Raw, RawBgpAdvertisement, RawConfig, RawL2Advertisement, RawPeer, RawPool, Settings,
};
use lbcore::decide::{
    DecideOptions, EndpointAddress, Endpoints, Extent, ServiceFacts, SharingAnnotation, Snapshot, TrafficPolicy,
    changes_for, decide, desired_for, first_owner,
};
use lbcore::labels::Labels;
use lbcore::node::{NetworkCondition, Node};
use lbcore::service::{NodeName, ServiceKey};

/// Services of the everyday case.
const SERVICES: u16 = 10_000;

fn raw<T>(name: &str, spec: T) -> Raw<T> {
    let object = ObjectRef { kind: "Any".into(), namespace: None, name: name.into(), origin: Origin(0) };
    Raw { object, labels: Labels::new(), spec }
}

fn node_name(index: u16) -> NodeName {
    NodeName::new(format!("node-{index}")).expect("the name is not empty")
}

fn world(nodes: u16) -> RawConfig {
    let peer = RawPeer {
        my_asn: Some(64512),
        peer_asn: Some(64999),
        peer_address: Some("192.0.2.1".to_owned()),
        ..RawPeer::default()
    };
    let addresses = vec!["10.0.0.0/16".to_owned()];
    RawConfig {
        pools: vec![raw("pool", RawPool { addresses, ..RawPool::default() })],
        l2_advertisements: vec![raw("everywhere", RawL2Advertisement::default())],
        bgp_advertisements: vec![raw("everywhere", RawBgpAdvertisement::default())],
        peers: vec![raw("router", peer)],
        nodes: (0..nodes)
            .map(|index| Node { name: node_name(index), labels: Labels::new(), network: NetworkCondition::Available })
            .collect(),
        ..RawConfig::default()
    }
}

fn service(index: u16, nodes: u16, policy: TrafficPolicy) -> ServiceFacts {
    let mut endpoints = Endpoints::none();
    for offset in 0..3 {
        endpoints.add(Some(&node_name((index + offset) % nodes)), EndpointAddress::Present);
    }
    let [high, low] = index.to_be_bytes();
    ServiceFacts {
        key: ServiceKey::new("default", &format!("service-{index}")).expect("neither part is empty"),
        labels: Labels::new(),
        addresses: vec![[10, 0, high, low].into()],
        policy,
        sharing: SharingAnnotation::Absent,
        endpoints,
    }
}

fn snapshot(nodes: u16) -> Snapshot {
    let raw = world(nodes);
    let config = Config::build(&raw, &Settings::default()).config.expect("the configuration is good");
    let mut snapshot = Snapshot::new(config, raw.nodes, DecideOptions::default());
    for index in 0..SERVICES {
        snapshot.set_service(service(index, nodes, TrafficPolicy::Cluster));
    }
    snapshot
}

fn decisions(criterion: &mut Criterion) {
    let three = snapshot(3);
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
    let many = snapshot(1_000);
    let one = service(7, 1_000, TrafficPolicy::Cluster).key;
    let name = node_name(1);
    criterion.bench_function("first_owner/1_service_of_1000_nodes", |bencher| {
        bencher.iter(|| black_box(first_owner(&many, &one)));
    });
    criterion.bench_function("desired_for/10k_services_on_1_of_1000_nodes", |bencher| {
        bencher.iter(|| black_box(desired_for(&many, &name)).len());
    });
    let set = DesiredSet::new().changed(desired_for(&many, &name), []);
    let changed = service(77, 1_000, TrafficPolicy::Local);
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
        bencher.iter(|| many.rebuilt(Arc::clone(many.config()), many.nodes().to_vec(), DecideOptions::default()));
    });
}

fn configurations(criterion: &mut Criterion) {
    let entry = |index: u16| {
        let [high, low] = index.to_be_bytes();
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

criterion_group!(benches, decisions, configurations);
criterion_main!(benches);
