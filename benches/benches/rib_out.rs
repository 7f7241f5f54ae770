//! The routes of one BGP peer: 100,000 /32 in four attribute sets taken in, packed into UPDATEs for a new session, and one change among
//! them ([WIRE-42], [WIRE-43]).
//!
//! Aim: packed in well under the 40 ms that a receiver needs to take them.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use announce_bgp::config::EngineDefaults;
use announce_bgp::rib_out::{Encoding, RibOut};
use announce_bgp::wire::attribute::{AsWidth, DecodeContext};
use announce_bgp::wire::take_message;
use announce_bgp::wire::update::walk;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ipnetwork::IpNetwork;
use lbcore::announce::RouteAttributes;
use lbcore::family::IpFamily;
use lbcore::peer::SessionKind;
use lbcore::time::Timestamp;

const PREFIXES: u32 = 100_000;
const SETS: u32 = 4;

const ENCODING: Encoding = Encoding {
    kind: SessionKind::External,
    local_as: 64_512,
    as_width: AsWidth::Four,
    defaults: EngineDefaults::Native,
    v4: Some(Ipv4Addr::new(10, 0, 0, 1)),
    v6: None,
};

fn prefix(number: u32) -> IpNetwork {
    IpNetwork::from(IpAddr::from(Ipv4Addr::from(0x1400_0000 + number)))
}

fn attributes(set: u32) -> Arc<RouteAttributes> {
    Arc::new(RouteAttributes { communities: vec![64_512 << 16 | (100 + set)], ..RouteAttributes::default() })
}

fn routes() -> Vec<(IpNetwork, Arc<RouteAttributes>)> {
    let sets: Vec<_> = (0..SETS).map(attributes).collect();
    let of = |number: u32| sets.get((number / (PREFIXES / SETS)) as usize).map(Arc::clone).unwrap_or_default();
    (0..PREFIXES).map(|number| (prefix(number), of(number))).collect()
}

fn pack(rib: &mut RibOut, out: &mut Vec<u8>) -> usize {
    let mut octets = 0;
    while rib.is_pending() {
        out.clear();
        rib.pack(Timestamp::ZERO, out);
        octets += black_box(&*out).len();
    }
    octets
}

fn rib_out(criterion: &mut Criterion) {
    let routes = routes();
    let mut group = criterion.benchmark_group("rib_out");
    group.sample_size(20).throughput(Throughput::Elements(u64::from(PREFIXES)));
    group.bench_function("take_in", |bencher| {
        bencher.iter_batched(
            || (RibOut::new(), routes.clone()),
            |(mut rib, routes)| {
                rib.replace(routes.into_iter());
                rib
            },
            BatchSize::LargeInput,
        );
    });
    let mut rib = RibOut::new();
    rib.replace(routes.iter().cloned());
    let mut out = Vec::new();
    group.bench_function("new_session", |bencher| {
        bencher.iter(|| {
            rib.start(ENCODING, &[IpFamily::V4].into());
            let octets = pack(&mut rib, &mut out);
            assert_eq!(octets, 506_200 + 23, "124 UPDATEs and End-of-RIB");
        });
    });
    group.throughput(Throughput::Elements(1));
    let sets = [attributes(0), attributes(1)];
    let mut turn = 0;
    group.bench_function("one_change", |bencher| {
        bencher.iter(|| {
            turn = (turn + 1) % (2 * PREFIXES);
            // Each prefix gets the other set when its turn comes again.
            let set = (turn + turn / PREFIXES) % 2;
            rib.set(prefix(turn % PREFIXES * 7_919 % PREFIXES), sets.get(set as usize));
            pack(&mut rib, &mut out)
        });
    });
    group.finish();
}

/// The receiving side: what a peer with a full table costs.
fn receive(criterion: &mut Criterion) {
    let mut rib = RibOut::new();
    rib.replace(routes().into_iter().take(809));
    rib.start(ENCODING, &[IpFamily::V4].into());
    let mut message = Vec::new();
    rib.pack(Timestamp::ZERO, &mut message);
    let context = DecodeContext { kind: SessionKind::External, as_width: AsWidth::Four };
    let mut group = criterion.benchmark_group("update_in");
    group.throughput(Throughput::Elements(809));
    group.bench_function("walk_of_809_prefixes", |bencher| {
        bencher.iter(|| {
            let framed = take_message(black_box(&message)).ok().flatten();
            let received = framed.and_then(|framed| walk(framed.body, context).ok());
            assert_eq!(received.map(|received| received.reachable.v4), Some(809));
        });
    });
    group.finish();
}

criterion_group!(benches, rib_out, receive);
criterion_main!(benches);
