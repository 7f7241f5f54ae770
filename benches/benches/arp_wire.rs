//! The ARP reply path without the system call: a request in, the octets of the reply out ([L2-46]).
//!
//! Aim: below 300 ns, and the same with one address and with ten thousand. `foreign` is the frame that a busy segment brings most:
//! a request that concerns nobody here.

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;

use announce_arp::counters::Counters;
use announce_arp::responder::{Responder, Verdict};
use announce_arp::wire::{ARP_FRAME_LENGTH, ArpFrame, DEFAULT_MEMBER_PORT};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use lbcore::link::{LinkIndex, MacAddr};
use lbcore::time::Timestamp;

const LINK: LinkIndex = LinkIndex::new(2);
const FIRST: u32 = 0x0a00_0000;

fn responder(addresses: u32) -> Responder {
    let mut responder = Responder::new(DEFAULT_MEMBER_PORT, Arc::new(Counters::new()));
    responder.set_link(LINK, MacAddr::new([2, 0, 0, 0, 0, 1]));
    let links: Arc<[LinkIndex]> = Arc::from([LINK]);
    for number in 0..addresses {
        responder.activate(Ipv4Addr::from(FIRST + number), Arc::clone(&links));
    }
    responder
}

fn request(target: u32) -> [u8; ARP_FRAME_LENGTH] {
    let probe = ArpFrame::probe(MacAddr::new([2, 0, 0, 0, 0, 0x50]), Ipv4Addr::from(target));
    ArpFrame { sender_address: Ipv4Addr::new(192, 0, 2, 50), ..probe }.encode()
}

fn answer(responder: &mut Responder, frame: &[u8], now: u64) -> Option<[u8; ARP_FRAME_LENGTH]> {
    let outcome = responder.handle_frame(Timestamp::from_micros(now), LINK, frame);
    if let Verdict::Reply(reply) = outcome.verdict { Some(reply.encode()) } else { None }
}

fn reply_path(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("arp_reply");
    for addresses in [1, 10_000_u32] {
        let mut responder = responder(addresses);
        // Another address each time, as clients ask; a stride that visits them all.
        let requests: Vec<_> = (0..addresses).map(|number| request(FIRST + number * 7_919 % addresses)).collect();
        let mut turn = 0_u64;
        group.bench_function(BenchmarkId::new("answered", addresses), |bencher| {
            bencher.iter(|| {
                turn += 1;
                let frame = requests.get(usize::try_from(turn).unwrap_or_default() % requests.len());
                let reply = answer(&mut responder, black_box(frame.map_or(&[], |frame| frame.as_slice())), turn);
                assert!(reply.is_some(), "every request is for an active address");
                reply
            });
        });
        let foreign = request(0xc000_0263);
        group.bench_function(BenchmarkId::new("foreign", addresses), |bencher| {
            bencher.iter(|| {
                turn += 1;
                answer(&mut responder, black_box(&foreign), turn)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, reply_path);
criterion_main!(benches);
