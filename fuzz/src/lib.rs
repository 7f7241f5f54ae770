//! What each fuzz target does with its input, as plain functions: the targets call them, and `cargo test` replays the committed
//! corpora through them with a stable compiler.
//!
//! A target fails by panicking: in the code under test, or because something that must hold of every input did not.

mod allocator;
mod bgp;
mod manifest;
mod ndp;

use std::net::Ipv4Addr;
use std::sync::Arc;

use announce_arp::counters::Counters;
use announce_arp::responder::{Responder, Verdict};
use announce_arp::wire::{DEFAULT_MEMBER_PORT, Frame, MAX_PAYLOAD, MemberEncoder, Operation};
use lbcore::family::IpFamily;
use lbcore::link::{LinkIndex, MacAddr};
use lbcore::ownership::frame::{decode, encode};
use lbcore::ownership::key::{KeyId, MemberKeys};
use lbcore::ownership::{BootId, Carrier, Destination, Hub, HubConfig, LinkEvent};
use lbcore::service::NodeName;
use lbcore::time::Timestamp;

pub use allocator::allocator_ops;
pub use bgp::{bgp_notification, bgp_open, bgp_route_refresh, bgp_session, bgp_stream, bgp_update};
pub use manifest::manifest;
pub use ndp::ndp_frame;

const LINK: LinkIndex = LinkIndex::new(2);
const MAC: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);
const MEMBER: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 9]);
const VIP: Ipv4Addr = Ipv4Addr::new(192, 168, 10, 1);
const NOW: Timestamp = Timestamp::from_micros(1_000_000);

fn responder() -> Responder {
    let mut responder = Responder::new(DEFAULT_MEMBER_PORT, Arc::new(Counters::new()));
    responder.set_link(LINK, MAC);
    responder.activate(VIP, Arc::from([LINK]));
    responder
}

/// An Ethernet frame as the packet socket hands it over, to the reader and to the responder.
///
/// A frame of ARP that was read says the same when it is written and read again; only a request for the active address is answered.
pub fn arp_frame(octets: &[u8]) {
    let read = Frame::decode(octets, DEFAULT_MEMBER_PORT);
    if let Ok(Frame::Arp(frame)) = read {
        assert_eq!(Frame::decode(&frame.encode(), DEFAULT_MEMBER_PORT), Ok(Frame::Arp(frame)));
    }
    match responder().handle_frame(NOW, LINK, octets).verdict {
        Verdict::Reply(reply) => {
            assert_eq!((reply.sender_address, reply.sender_mac, reply.operation), (VIP, MAC, Operation::Reply));
            let Ok(Frame::Arp(request)) = read else { panic!("what could not be read was answered") };
            assert_eq!((request.target_address, request.operation), (VIP, Operation::Request));
        }
        Verdict::Member { source, payload } => assert!(source != MAC && payload.len() < octets.len()),
        Verdict::Dropped(_) => {}
    }
}

#[derive(Debug)]
struct Silent;

impl Carrier for Silent {
    fn transmit(&self, _link: LinkIndex, _to: Destination, _payload: &[u8]) {}

    fn wake(&self) {}
}

/// The payload of a member frame: to the decoder, to a whole hub, and through the wire.
///
/// A frame that was read says the same when it is written and read again; the wire hands over exactly what was sent.
pub fn member_frame(octets: &[u8]) {
    let keys = MemberKeys::none();
    if let Ok(frame) = decode(octets, &keys) {
        let again = encode(&frame, &keys, KeyId::NONE);
        if again.len() <= usize::from(u16::MAX) {
            assert_eq!(decode(&again, &keys), Ok(frame));
        }
    }
    let name = NodeName::new("n1").expect("a name that is not empty");
    let hub = Hub::new(HubConfig::new(name, BootId(1)), NOW, 1);
    let carrier = hub.register(IpFamily::V4, Arc::new(Silent));
    hub.handle_link(NOW, carrier, &LinkEvent::Up { link: LINK, name: "eth0".into(), mac: MAC });
    // Whether it was taken or refused is the hub's business; that it comes to rest is ours.
    let _ = hub.handle_member_frame(NOW, carrier, LINK, MEMBER, octets);
    hub.handle_timeout(NOW);
    if octets.len() <= MAX_PAYLOAD {
        let encoder = MemberEncoder { mac: MEMBER, address: Ipv4Addr::new(192, 168, 10, 9), port: DEFAULT_MEMBER_PORT };
        let mut frame = Vec::new();
        encoder.encode(Destination::Group, octets, &mut frame).expect("it fits");
        let verdict = responder().handle_frame(NOW, LINK, &frame).verdict;
        assert_eq!(verdict, Verdict::Member { source: MEMBER, payload: octets });
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Every file of a target's corpus.
    pub(crate) fn inputs(target: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        fs::read_dir(folder).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
    }

    /// Every file of a target's corpus, whole and cut at each octet.
    pub(crate) fn replay(target: &str, run: fn(&[u8])) {
        replay_in_parts(target, 1, run);
    }

    /// Every file of a target's corpus, whole and cut into at most so many parts less one.
    pub(crate) fn replay_whole(target: &str, parts: usize, run: fn(&[u8])) {
        let longest = inputs(target).iter().map(Vec::len).max().unwrap_or_default();
        replay_in_parts(target, longest.div_ceil(parts).max(1), run);
    }

    fn replay_in_parts(target: &str, step: usize, run: fn(&[u8])) {
        let inputs = inputs(target);
        assert!(!inputs.is_empty(), "the corpus of {target} is empty");
        for octets in inputs {
            for length in (0..octets.len()).step_by(step).chain([octets.len()]) {
                run(&octets[..length]);
            }
        }
    }

    #[test]
    fn the_corpus_of_arp_frames_runs_through() {
        replay("arp_frame", arp_frame);
    }

    #[test]
    fn the_corpus_of_ndp_frames_runs_through() {
        replay("ndp_frame", ndp_frame);
    }

    #[test]
    fn the_corpus_of_member_frames_runs_through() {
        replay("member_frame", member_frame);
    }

    /// A corpus of inputs that are all refused at once would test nothing.
    #[test]
    fn the_corpora_reach_every_kind_of_frame() {
        let verdicts: Vec<String> = inputs("arp_frame")
            .iter()
            .map(|octets| format!("{:?}", responder().handle_frame(NOW, LINK, octets).verdict))
            .collect();
        for kind in ["Reply(", "Member {", "NotRequest", "NotAnnounced", "Truncated", "HopLimit"] {
            assert!(verdicts.iter().any(|verdict| verdict.contains(kind)), "no input leads to {kind}");
        }
        let verdicts: Vec<String> = inputs("ndp_frame").iter().map(|octets| ndp::verdict(octets)).collect();
        let kinds =
            ["Reply(", "Member {", "NotSolicitation", "NotAnnounced", "Truncated", "HopLimit", "Option", "IcmpType"];
        for kind in kinds {
            assert!(verdicts.iter().any(|verdict| verdict.contains(kind)), "no input leads to {kind}");
        }
        let bodies: Vec<String> = inputs("member_frame")
            .iter()
            .map(|octets| format!("{:?}", decode(octets, &MemberKeys::none()).map(|frame| frame.body)))
            .collect();
        for kind in ["Heartbeat(", "Claims(", "Request(", "Assignments(", "NotOurs", "Malformed", "Unverified"] {
            assert!(bodies.iter().any(|body| body.contains(kind)), "no input leads to {kind}");
        }
    }
}
