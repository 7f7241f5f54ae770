//! The NDP reply path without the system call: a solicitation in, the octets of the advertisement out ([L2-46]).
//!
//! Aim: below 400 ns with one address (the checksums of both messages are in it) and below 1 µs with ten thousand, whose entries do
//! not fit the nearest cache. `foreign` is a solicitation that concerns nobody here.

use std::hint::black_box;
use std::net::Ipv6Addr;
use std::sync::Arc;

use announce_ndp::counters::Counters;
use announce_ndp::responder::{Responder, Verdict};
use announce_ndp::wire::{DEFAULT_MEMBER_PORT, Octets, Solicitation};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use lbcore::link::{LinkIndex, MacAddr};
use lbcore::time::Timestamp;

const LINK: LinkIndex = LinkIndex::new(2);
const FIRST: u128 = 0x2001_0db8 << 96;

fn responder(addresses: u32) -> Responder {
    let mut responder = Responder::new(DEFAULT_MEMBER_PORT, Arc::new(Counters::new()));
    responder.set_link(LINK, MacAddr::new([2, 0, 0, 0, 0, 1]));
    let links: Arc<[LinkIndex]> = Arc::from([LINK]);
    for number in 0..addresses {
        responder.activate(Ipv6Addr::from(FIRST + u128::from(number)), Arc::clone(&links));
    }
    responder
}

fn solicitation(target: u128) -> Octets {
    let mac = MacAddr::new([2, 0, 0, 0, 0, 0x50]);
    let probe = Solicitation::probe(mac, Ipv6Addr::from(target));
    let source = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x50);
    Solicitation { source, source_link_layer: Some(mac), ..probe }.encode()
}

fn answer(responder: &mut Responder, frame: &[u8], now: u64) -> Option<Octets> {
    let outcome = responder.handle_frame(Timestamp::from_micros(now), LINK, frame);
    if let Verdict::Reply(reply) = outcome.verdict { Some(reply.encode()) } else { None }
}

fn reply_path(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ndp_reply");
    for addresses in [1, 10_000_u32] {
        let mut responder = responder(addresses);
        // Another address each time, as clients ask; a stride that visits them all.
        let questions: Vec<_> =
            (0..addresses).map(|number| solicitation(FIRST + u128::from(number * 7_919 % addresses))).collect();
        let mut turn = 0_u64;
        group.bench_function(BenchmarkId::new("answered", addresses), |bencher| {
            bencher.iter(|| {
                turn += 1;
                let frame = questions.get(usize::try_from(turn).unwrap_or_default() % questions.len());
                let reply = answer(&mut responder, black_box(frame.map_or(&[], |frame| frame.as_ref())), turn);
                assert!(reply.is_some(), "every solicitation is for an active address");
                reply
            });
        });
        let foreign = solicitation((0x2001_0db8_0001 << 80) | 1);
        group.bench_function(BenchmarkId::new("foreign", addresses), |bencher| {
            bencher.iter(|| {
                turn += 1;
                answer(&mut responder, black_box(foreign.as_ref()), turn)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, reply_path);
criterion_main!(benches);
