//! The shell: [`ArpAnnouncer`], which is the shell of [`segment::io`] with ARP's part of it.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use lbcore::family::IpFamily;
use lbcore::link::LinkIndex;
use lbcore::ownership::Destination;
use lbcore::time::Timestamp;
pub use segment::io::{
    Config as ArpConfig, DEFAULT_EXCLUSION, Exclusion, ExclusionError, HOLDER_LINK, StartError, ThreadPriority, now,
};
use segment::io::{Encoder, EtherType, Handled, Outcome, Port, Ports, Protocol, SegmentAnnouncer, UsableLink};

use crate::counters::Counters;
use crate::filter;
use crate::responder::{DropReason, Responder, Table, Verdict};
use crate::unsolicited;
use crate::wire::{ARP_FRAME_LENGTH, ArpFrame, MEMBER_GROUP_MAC, MemberEncoder, MemberPort};

/// Announces IPv4 addresses by ARP on the eligible links of this host's network namespace.
pub type ArpAnnouncer = SegmentAnnouncer<Arp>;

/// ARP's part of the shell.
#[derive(Debug)]
pub struct Arp(Responder);

impl Encoder for MemberEncoder {
    fn encode(&self, to: Destination, payload: &[u8], frame: &mut Vec<u8>) -> bool {
        self.encode(to, payload, frame).is_ok()
    }
}

impl Protocol for Arp {
    type Address = Ipv4Addr;
    type Reason = DropReason;
    type Frame = [u8; ARP_FRAME_LENGTH];
    type Encoder = MemberEncoder;

    const FAMILY: IpFamily = IpFamily::V4;
    const NAME: &'static str = "arp";

    fn new(port: MemberPort, counters: Arc<Counters>) -> Self {
        Self(Responder::new(port, counters))
    }

    fn ports(port: MemberPort) -> Ports {
        let answers = Port { ether_type: EtherType::Arp, filter: filter::arp().to_vec(), group: None };
        let members = Port {
            ether_type: EtherType::Ipv4,
            filter: filter::member_frames(port).to_vec(),
            group: Some(MEMBER_GROUP_MAC),
        };
        Ports { answers, members }
    }

    fn table(&self) -> &Table {
        &self.0
    }

    fn table_mut(&mut self) -> &mut Table {
        &mut self.0
    }

    fn open_link(&mut self, _link: LinkIndex, _facts: &UsableLink<Ipv4Addr>) -> io::Result<()> {
        Ok(())
    }

    fn set_link(&mut self, link: LinkIndex, facts: &UsableLink<Ipv4Addr>) -> MemberEncoder {
        self.0.set_link(link, facts.mac);
        let address = MemberEncoder::source_for(facts.mac, facts.address);
        MemberEncoder { mac: facts.mac, address, port: self.0.port() }
    }

    fn handle_frame<'a>(
        &mut self,
        now: Timestamp,
        link: LinkIndex,
        octets: &'a [u8],
    ) -> Outcome<'a, Ipv4Addr, Self::Frame> {
        let outcome = self.0.handle_frame(now, link, octets);
        let handled = match outcome.verdict {
            Verdict::Reply(reply) => Handled::Reply { address: reply.sender_address, frame: reply.encode() },
            Verdict::Member { source, payload } => Handled::Member { source, payload },
            Verdict::Dropped(reason) => Handled::Dropped(reason.label()),
        };
        Outcome { handled, sighting: outcome.sighting }
    }

    fn probe(&self, link: LinkIndex, address: Ipv4Addr) -> Option<Self::Frame> {
        self.0.mac(link).map(|mac| ArpFrame::probe(mac, address).encode())
    }

    fn probes_of_neighbors(&self, link: LinkIndex) -> Vec<Self::Frame> {
        let Some(mac) = self.0.mac(link) else { return Vec::new() };
        let neighbors = self.0.neighbors(link);
        neighbors.map(|known| ArpFrame::probe_of_neighbor(mac, known.mac, known.address).encode()).collect()
    }

    fn round(&self, link: LinkIndex, address: Ipv4Addr) -> Vec<Self::Frame> {
        let Some(mac) = self.0.mac(link) else { return Vec::new() };
        unsolicited::round(mac, address).iter().map(ArpFrame::encode).collect()
    }
}
