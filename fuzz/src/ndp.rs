//! Neighbor discovery: an Ethernet frame as the packet socket hands it over.

use std::net::Ipv6Addr;
use std::sync::Arc;

use announce_ndp::counters::Counters;
use announce_ndp::responder::{Responder, Verdict};
use announce_ndp::wire::{DEFAULT_MEMBER_PORT, Frame};
use lbcore::link::{LinkIndex, MacAddr};
use lbcore::time::Timestamp;

const LINK: LinkIndex = LinkIndex::new(2);
const MAC: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);
const VIP: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);
const NOW: Timestamp = Timestamp::from_micros(1_000_000);

/// A responder that answers for one address.
pub fn responder() -> Responder {
    let mut responder = Responder::new(DEFAULT_MEMBER_PORT, Arc::new(Counters::new()));
    responder.set_link(LINK, MAC);
    responder.set_link_local(LINK, Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
    responder.activate(VIP, Arc::from([LINK]));
    responder
}

/// What becomes of a frame, as text.
pub fn verdict(octets: &[u8]) -> String {
    format!("{:?}", responder().handle_frame(NOW, LINK, octets).verdict)
}

/// To the reader and to the responder. A message that was read says the same when it is written and read again; only a solicitation
/// for the active address is answered, with an advertisement that a strict reader takes.
pub fn ndp_frame(octets: &[u8]) {
    let read = Frame::decode(octets, DEFAULT_MEMBER_PORT);
    match read {
        Ok(Frame::Solicitation(message)) => {
            let again = message.encode();
            assert_eq!(Frame::decode(again.as_ref(), DEFAULT_MEMBER_PORT), Ok(Frame::Solicitation(message)));
        }
        Ok(Frame::Advertisement(message)) => {
            let again = message.encode();
            assert_eq!(Frame::decode(again.as_ref(), DEFAULT_MEMBER_PORT), Ok(Frame::Advertisement(message)));
        }
        Ok(Frame::Member(_)) | Err(_) => {}
    }
    match responder().handle_frame(NOW, LINK, octets).verdict {
        Verdict::Reply(reply) => {
            assert_eq!((reply.target, reply.source, reply.target_link_layer), (VIP, VIP, Some(MAC)));
            let Ok(Frame::Solicitation(asked)) = read else { panic!("what could not be read was answered") };
            assert_eq!((asked.target, reply.is_solicited), (VIP, !asked.is_probe()));
            // A group that nobody can be is no asker, so the answer can be read by whoever asked.
            let told = Frame::decode(reply.encode().as_ref(), DEFAULT_MEMBER_PORT) == Ok(Frame::Advertisement(reply));
            assert!(told, "the answer is refused by a strict reader");
        }
        Verdict::Member { source, payload } => assert!(source != MAC && payload.len() < octets.len()),
        Verdict::Dropped(_) => {}
    }
}
