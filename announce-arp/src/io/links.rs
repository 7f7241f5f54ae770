//! The links of this host, followed by netlink: a dump at the start (and after lost messages), then every change as it happens.
//!
//! The table is level-driven: after each batch of messages the shell asks which links are [usable](LinkWatch::usable) and opens or
//! closes sockets accordingly. A link that went away and came back within one batch is named by
//! [`take_interrupted`](LinkWatch::take_interrupted), since its neighbours may have forgotten us meanwhile ([L2-26]).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use lbcore::link::{LinkIndex, MacAddr};
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{LinkAttribute, LinkLayerType, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::eligibility::{Exclusion, LinkFacts, LinkRole, judge};

/// `RTMGRP_LINK` and `RTMGRP_IPV4_IFADDR`: links and their IPv4 addresses.
const GROUPS: u32 = 0x01 | 0x10;

/// Datagrams read in one go; a dump of a thousand links takes a few dozen.
const MAX_DATAGRAMS: usize = 64;

/// More than the kernel puts into one datagram of a dump (32 KiB).
const BUFFER: usize = 64 << 10;

/// A link that is announced on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UsableLink {
    /// Its name.
    pub(super) name: Arc<str>,
    /// Its hardware address.
    pub(super) mac: MacAddr,
    /// Its first IPv4 address, where it has one.
    pub(super) address: Option<Ipv4Addr>,
}

/// How far the dump is.
#[derive(Debug, PartialEq, Eq)]
enum Dump {
    Links { seen: BTreeSet<LinkIndex> },
    Addresses,
    Complete,
}

/// What is known of all links, and the decision which of them count.
#[derive(Debug)]
struct Table {
    exclusion: Exclusion,
    links: BTreeMap<LinkIndex, LinkFacts>,
    /// In the order in which they were told, which is the kernel's order of preference.
    addresses: BTreeMap<LinkIndex, Vec<Ipv4Addr>>,
    interrupted: BTreeSet<LinkIndex>,
    is_changed: bool,
}

impl Table {
    fn new(exclusion: Exclusion) -> Self {
        Self {
            exclusion,
            links: BTreeMap::new(),
            addresses: BTreeMap::new(),
            interrupted: BTreeSet::new(),
            is_changed: false,
        }
    }

    fn usable(&self) -> BTreeMap<LinkIndex, UsableLink> {
        let judged = self.links.iter().filter_map(|(index, facts)| {
            let mac = judge(facts, &self.exclusion).ok()?;
            let address = self.addresses.get(index).and_then(|all| all.first().copied());
            Some((*index, UsableLink { name: facts.name.as_str().into(), mac, address }))
        });
        judged.collect()
    }

    fn put_link(&mut self, index: LinkIndex, facts: LinkFacts) {
        self.is_changed = true;
        if judge(&facts, &self.exclusion).is_err() {
            self.interrupted.insert(index);
        }
        self.links.insert(index, facts);
    }

    fn remove_link(&mut self, index: LinkIndex) {
        self.is_changed = true;
        self.links.remove(&index);
        self.addresses.remove(&index);
        self.interrupted.insert(index);
    }

    fn put_address(&mut self, index: LinkIndex, address: Ipv4Addr) {
        self.is_changed = true;
        let all = self.addresses.entry(index).or_default();
        if !all.contains(&address) {
            all.push(address);
        }
    }

    fn remove_address(&mut self, index: LinkIndex, address: Ipv4Addr) {
        self.is_changed = true;
        if let Some(all) = self.addresses.get_mut(&index) {
            all.retain(|known| *known != address);
        }
    }
}

/// Follows the links of this network namespace.
#[derive(Debug)]
pub(super) struct LinkWatch {
    socket: Socket,
    buffer: Vec<u8>,
    table: Table,
    dump: Dump,
    /// Of the dump that is going on; answers to an earlier one are passed over.
    sequence: u32,
    /// Messages were lost while a dump was going on: another has to follow it.
    must_repeat: bool,
}

impl LinkWatch {
    /// Opens the socket and asks for everything.
    ///
    /// # Errors
    /// What the kernel said.
    pub(super) fn open(exclusion: Exclusion) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_non_blocking(true)?;
        socket.bind(&SocketAddr::new(0, GROUPS))?;
        let mut watch = Self {
            socket,
            buffer: Vec::with_capacity(BUFFER),
            table: Table::new(exclusion),
            dump: Dump::Complete,
            sequence: 0,
            must_repeat: false,
        };
        watch.begin_dump()?;
        Ok(watch)
    }

    /// The links to announce on. While the first dump is going on it grows.
    pub(super) fn usable(&self) -> BTreeMap<LinkIndex, UsableLink> {
        self.table.usable()
    }

    /// Whether anything was said of a link since the last call.
    pub(super) fn take_changed(&mut self) -> bool {
        core::mem::take(&mut self.table.is_changed)
    }

    /// Links that were not usable at some moment since the last call, whatever they are now.
    pub(super) fn take_interrupted(&mut self) -> BTreeSet<LinkIndex> {
        core::mem::take(&mut self.table.interrupted)
    }

    /// Reads what the kernel has to say; returns when there is nothing left, or after a bounded number of messages.
    ///
    /// # Errors
    /// What the kernel said, but for lost messages, which begin a new dump. The next call begins one after any other error.
    pub(super) fn read(&mut self) -> io::Result<()> {
        if self.must_repeat && self.dump == Dump::Complete {
            self.begin_dump()?;
        }
        let outcome = self.read_datagrams();
        if outcome.is_err() {
            self.dump = Dump::Complete;
            self.must_repeat = true;
        }
        outcome
    }

    fn read_datagrams(&mut self) -> io::Result<()> {
        for _ in 0..MAX_DATAGRAMS {
            self.buffer.clear();
            match self.socket.recv(&mut self.buffer, 0) {
                Ok(_) => {
                    let datagram = core::mem::take(&mut self.buffer);
                    let outcome = self.handle_datagram(&datagram);
                    self.buffer = datagram;
                    outcome?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => match self.dump {
                    Dump::Complete => self.begin_dump()?,
                    // The kernel refuses a second dump on one socket while the first is going on.
                    Dump::Links { .. } | Dump::Addresses => self.must_repeat = true,
                },
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn begin_dump(&mut self) -> io::Result<()> {
        self.request(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
        self.must_repeat = false;
        self.dump = Dump::Links { seen: BTreeSet::new() };
        Ok(())
    }

    fn request(&mut self, message: RouteNetlinkMessage) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        header.sequence_number = self.sequence;
        let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(message));
        packet.finalize();
        let mut octets = vec![0; packet.buffer_len()];
        packet.serialize(&mut octets);
        self.socket.send_to(&octets, &SocketAddr::new(0, 0), 0).map(drop)
    }

    fn handle_datagram(&mut self, datagram: &[u8]) -> io::Result<()> {
        let mut rest = datagram;
        // What cannot be read is passed over whole: the kernel speaks, and speaks of more than this crate knows.
        while let Some(length) = message_length(rest) {
            let Some((message, behind)) = rest.split_at_checked(length) else { break };
            if let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(message) {
                self.handle_message(message)?;
            }
            // Messages start at multiples of four octets.
            rest = behind.get(length.next_multiple_of(4) - length..).unwrap_or_default();
        }
        Ok(())
    }

    fn handle_message(&mut self, message: NetlinkMessage<RouteNetlinkMessage>) -> io::Result<()> {
        let is_of_dump = message.header.sequence_number == self.sequence;
        #[expect(clippy::wildcard_enum_match_arm, reason = "no other payload has a meaning here")]
        match message.payload {
            NetlinkPayload::InnerMessage(inner) => {
                self.handle_route(inner);
                Ok(())
            }
            NetlinkPayload::Done(_) if is_of_dump => self.end_of_dump(),
            NetlinkPayload::Error(error) if is_of_dump => Err(error.to_io()),
            _ => Ok(()),
        }
    }

    fn end_of_dump(&mut self) -> io::Result<()> {
        match core::mem::replace(&mut self.dump, Dump::Complete) {
            Dump::Links { seen } => {
                let gone: Vec<LinkIndex> =
                    self.table.links.keys().filter(|index| !seen.contains(index)).copied().collect();
                for index in gone {
                    self.table.remove_link(index);
                }
                self.table.addresses.clear();
                self.request(RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
                self.dump = Dump::Addresses;
                Ok(())
            }
            Dump::Addresses if self.must_repeat => self.begin_dump(),
            Dump::Addresses | Dump::Complete => Ok(()),
        }
    }

    fn handle_route(&mut self, message: RouteNetlinkMessage) {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "some sixty kinds of messages; three groups of them are asked for"
        )]
        match message {
            RouteNetlinkMessage::NewLink(link) => {
                if let Some((index, facts)) = facts_of(&link) {
                    if let Dump::Links { seen } = &mut self.dump {
                        seen.insert(index);
                    }
                    self.table.put_link(index, facts);
                }
            }
            // A port that leaves a bridge is told as a deleted link of the bridge's own family.
            RouteNetlinkMessage::DelLink(link) if link.header.interface_family == AddressFamily::Unspec => {
                let index = LinkIndex::new(link.header.index);
                if let Dump::Links { seen } = &mut self.dump {
                    seen.remove(&index);
                }
                self.table.remove_link(index);
            }
            RouteNetlinkMessage::NewAddress(address) => {
                if let Some((index, address)) = source_of(&address) {
                    self.table.put_address(index, address);
                }
            }
            RouteNetlinkMessage::DelAddress(address) => {
                if let Some((index, address)) = source_of(&address) {
                    self.table.remove_address(index, address);
                }
            }
            _ => {}
        }
    }
}

impl AsRawFd for LinkWatch {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// The length in the header of the first message, where it is one.
fn message_length(octets: &[u8]) -> Option<usize> {
    const HEADER: usize = 16;
    let length = usize::try_from(u32::from_ne_bytes(*octets.first_chunk::<4>()?)).ok()?;
    (length >= HEADER).then_some(length)
}

/// What a link message says; `None` where it tells of something else than the link (wireless events, bridge ports).
fn facts_of(message: &LinkMessage) -> Option<(LinkIndex, LinkFacts)> {
    if message.header.interface_family != AddressFamily::Unspec {
        return None;
    }
    let mut name = None;
    let mut mac = None;
    let mut role = LinkRole::Independent;
    for attribute in &message.attributes {
        #[expect(clippy::wildcard_enum_match_arm, reason = "three of some seventy attributes are needed")]
        match attribute {
            LinkAttribute::IfName(text) => name = Some(text.clone()),
            LinkAttribute::Address(octets) if message.header.link_layer_type == LinkLayerType::Ether => {
                mac = <[u8; 6]>::try_from(octets.as_slice()).ok().map(MacAddr::new);
            }
            LinkAttribute::Controller(index) if *index != 0 => role = LinkRole::Port,
            _ => {}
        }
    }
    let facts = LinkFacts { name: name?, mac, flags: message.header.flags, role };
    Some((LinkIndex::new(message.header.index), facts))
}

/// An address that member frames may be sent from: the link's own on its subnet, none that was merely added to it.
fn source_of(message: &AddressMessage) -> Option<(LinkIndex, Ipv4Addr)> {
    let header = &message.header;
    if header.family != AddressFamily::Inet
        || header.prefix_len >= 32
        || header.scope != AddressScope::Universe
        || header.flags.contains(AddressHeaderFlags::Secondary)
    {
        return None;
    }
    let local = message.attributes.iter().find_map(|attribute| {
        if let AddressAttribute::Local(IpAddr::V4(address)) = attribute { Some(*address) } else { None }
    });
    Some((LinkIndex::new(header.index), local?))
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::link::LinkFlags;

    use super::*;

    const INDEX: LinkIndex = LinkIndex::new(7);
    const MAC: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);

    fn table() -> Table {
        Table::new(Exclusion::upstream_default().unwrap())
    }

    fn message(name: &str) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = INDEX.as_u32();
        message.header.link_layer_type = LinkLayerType::Ether;
        message.header.flags = LinkFlags::Up | LinkFlags::Broadcast | LinkFlags::LowerUp;
        message.attributes =
            vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::Address(MAC.octets().to_vec())];
        message
    }

    fn put(table: &mut Table, message: &LinkMessage) {
        let (index, facts) = facts_of(message).unwrap();
        table.put_link(index, facts);
    }

    fn address(text: &str, prefix_len: u8) -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.prefix_len = prefix_len;
        message.header.index = INDEX.as_u32();
        message.attributes = vec![AddressAttribute::Local(text.parse().unwrap())];
        message
    }

    // [L2-25]
    #[test]
    fn a_link_that_appears_is_usable_and_one_that_goes_is_not() {
        let mut table = table();
        put(&mut table, &message("eth0"));
        let expected = UsableLink { name: "eth0".into(), mac: MAC, address: None };
        assert_eq!(table.usable(), BTreeMap::from([(INDEX, expected)]));
        table.remove_link(INDEX);
        assert!(table.usable().is_empty());
    }

    // [L2-26]
    #[test]
    fn a_link_that_was_down_for_a_moment_is_named() {
        let mut table = table();
        put(&mut table, &message("eth0"));
        assert!(table.interrupted.is_empty());
        let mut down = message("eth0");
        down.header.flags = LinkFlags::Up | LinkFlags::Broadcast;
        put(&mut table, &down);
        put(&mut table, &message("eth0"));
        assert_eq!(table.interrupted, BTreeSet::from([INDEX]));
        assert_eq!(table.usable().len(), 1);
    }

    // [L2-23]
    #[test]
    fn a_port_of_a_bridge_is_not_usable() {
        let mut table = table();
        let mut port = message("eth0");
        port.attributes.push(LinkAttribute::Controller(3));
        put(&mut table, &port);
        assert!(table.usable().is_empty());
    }

    #[test]
    fn messages_of_a_bridge_about_its_ports_and_wireless_events_are_passed_over() {
        let mut bridge = message("eth0");
        bridge.header.interface_family = AddressFamily::Bridge;
        assert_eq!(facts_of(&bridge), None);
        let mut wireless = message("wlan0");
        wireless.attributes.clear();
        assert_eq!(facts_of(&wireless), None);
    }

    #[test]
    fn a_hardware_address_that_is_not_of_ethernet_does_not_count() {
        let mut long = message("ib0");
        long.attributes[1] = LinkAttribute::Address(vec![0; 20]);
        assert_eq!(facts_of(&long).unwrap().1.mac, None);
        let mut tunnel = message("gre0");
        tunnel.header.link_layer_type = LinkLayerType::Ipgre;
        assert_eq!(facts_of(&tunnel).unwrap().1.mac, None);
    }

    #[test]
    fn the_first_address_of_a_links_own_is_its_source() {
        assert_eq!(source_of(&address("192.0.2.9", 24)), Some((INDEX, "192.0.2.9".parse().unwrap())));
        assert_eq!(source_of(&address("192.0.2.9", 32)), None);
        let mut secondary = address("192.0.2.9", 24);
        secondary.header.flags = AddressHeaderFlags::Secondary;
        assert_eq!(source_of(&secondary), None);
        let mut table = table();
        put(&mut table, &message("eth0"));
        table.put_address(INDEX, Ipv4Addr::new(192, 0, 2, 9));
        table.put_address(INDEX, Ipv4Addr::new(192, 0, 2, 1));
        assert_eq!(table.usable()[&INDEX].address, Some(Ipv4Addr::new(192, 0, 2, 9)));
        table.remove_address(INDEX, Ipv4Addr::new(192, 0, 2, 9));
        assert_eq!(table.usable()[&INDEX].address, Some(Ipv4Addr::new(192, 0, 2, 1)));
    }
}
