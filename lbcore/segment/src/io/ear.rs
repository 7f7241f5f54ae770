//! Whether anything at all comes in on a link: any frame of another host proves that this node hears ([OWN-33]).
//!
//! A quiet segment carries no ARP for minutes, while every host on it works. So where ownership asks, a socket for the packets of the
//! announced family is opened, until the first of them: it costs nothing while others are heard, and one frame where they are not. Not a
//! socket for all protocols: that one hears what a filter of this host then keeps from everybody else.

use std::collections::BTreeMap;

use lbcore::family::IpFamily;
use lbcore::link::{LinkIndex, MacAddr};

use super::protocol::{EtherType, Port};
use super::socket::PacketSocket;
use crate::filter::{Instruction, JUMP_EQUAL, LOAD_OCTET, OUTGOING, PACKET_TYPE, RETURN, jump, plain};

/// Octets handed over: the addresses are enough.
const HEADER: u32 = 14;

/// Everything that another host sent: also what is for others, which the link hears all the same.
const ANY_HOST: [Instruction; 4] =
    [plain(LOAD_OCTET, PACKET_TYPE), jump(JUMP_EQUAL, OUTGOING, 1, 0), plain(RETURN, HEADER), plain(RETURN, 0)];

/// The links that are listened to.
#[derive(Debug)]
pub(super) struct Ears {
    ether_type: EtherType,
    open: BTreeMap<LinkIndex, PacketSocket>,
}

impl Ears {
    /// None yet; packets of this family count.
    pub(super) const fn new(family: IpFamily) -> Self {
        let ether_type = match family {
            IpFamily::V4 => EtherType::Ipv4,
            IpFamily::V6 => EtherType::Ipv6,
        };
        Self { ether_type, open: BTreeMap::new() }
    }

    /// Listens on a link until the next frame; where that is not possible nothing is heard.
    pub(super) fn open(&mut self, link: LinkIndex) {
        let port = Port { ether_type: self.ether_type, filter: ANY_HOST.to_vec(), group: None };
        if !self.open.contains_key(&link)
            && let Ok(socket) = PacketSocket::open(link, &port)
        {
            self.open.insert(link, socket);
        }
    }

    /// Listens no more.
    pub(super) fn close(&mut self, link: LinkIndex) {
        self.open.remove(&link);
    }

    /// The sockets to wait for.
    pub(super) fn sockets(&self) -> impl Iterator<Item = (LinkIndex, &PacketSocket)> {
        self.open.iter().map(|(link, socket)| (*link, socket))
    }

    /// The sender of the frame that came in; then the link is listened to no more.
    pub(super) fn heard(&mut self, link: LinkIndex) -> Option<MacAddr> {
        let mut header = [0; HEADER as usize];
        let received = self.open.get(&link)?.receive(&mut header);
        if matches!(received, Ok(None)) {
            return None;
        }
        self.close(link);
        let source: [u8; 6] = header.get(6..12)?.try_into().ok()?;
        received.ok().flatten().filter(|length| *length >= 12).map(|_| MacAddr::new(source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{BROADCAST, HOST, OTHER_HOST, is_sound};

    #[test]
    fn every_packet_of_a_host_counts_and_none_of_our_own() {
        let passes = |kind| crate::filter::passes(&ANY_HOST, kind, &[0; 14]);
        assert!(is_sound(&ANY_HOST));
        for kind in [HOST, OTHER_HOST, BROADCAST] {
            assert_eq!(passes(kind), Some(true));
        }
        assert_eq!(passes(OUTGOING), Some(false));
    }
}
