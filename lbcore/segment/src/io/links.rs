//! The links of this host, followed by netlink: a dump at the start (and after lost messages), then every change as it happens.
//!
//! The table is level-driven: after each batch of messages the shell asks which links are [usable](LinkWatch::usable) and opens or
//! closes sockets accordingly. A link that went away and came back within one batch is named by
//! [`take_interrupted`](LinkWatch::take_interrupted), since its neighbours may have forgotten us meanwhile ([L2-26]).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use lbcore::family::IpFamily;
use lbcore::link::{LinkIndex, MacAddr};
use netlink_packet_core::{NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{LinkAttribute, LinkLayerType, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::eligibility::{Exclusion, LinkFacts, LinkRole, OwnAddress, judge};
use crate::table::Address;

/// `RTMGRP_LINK`.
const LINK_GROUP: u32 = 0x01;

/// Datagrams read in one go; a dump of a thousand links takes a few dozen.
const MAX_DATAGRAMS: usize = 64;

/// More than the kernel puts into one datagram of a dump (32 KiB).
const BUFFER: usize = 64 << 10;

/// An address that a link has of its own, of the family that is announced: of IPv4 the one on its subnet, of IPv6 the link-local one.
/// Two types are, and no others can be.
pub trait LinkAddress: Address + FromKernel {}

impl LinkAddress for Ipv4Addr {}
impl LinkAddress for Ipv6Addr {}

mod sealed {
    use super::{AddressMessage, IpFamily, OfLink};

    #[expect(unnameable_types, reason = "seals the trait above it: what the kernel's messages look like stays in here")]
    pub trait FromKernel: Sized {
        /// The family.
        const FAMILY: IpFamily;
        /// Group of the kernel's messages about such addresses.
        const GROUP: u32;

        /// What a message says of an address that frames of ours may be sent from; `None` where it is about another.
        fn read(message: &AddressMessage) -> Option<OfLink<Self>>;
    }
}

use sealed::FromKernel;

/// What the kernel says of an address of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(unnameable_types, reason = "in the signature of a sealed trait alone")]
pub enum OfLink<A> {
    /// It can be sent from.
    Usable(A),
    /// It cannot: not yet, or not any more.
    Unusable(A),
}

/// The link's own address on its subnet, none that was merely added to it.
impl FromKernel for Ipv4Addr {
    const FAMILY: IpFamily = IpFamily::V4;
    /// `RTMGRP_IPV4_IFADDR`.
    const GROUP: u32 = 0x10;

    fn read(message: &AddressMessage) -> Option<OfLink<Self>> {
        let header = &message.header;
        if header.family != AddressFamily::Inet
            || header.prefix_len >= 32
            || header.scope != AddressScope::Universe
            || header.flags.contains(AddressHeaderFlags::Secondary)
        {
            return None;
        }
        message.attributes.iter().find_map(|attribute| {
            if let AddressAttribute::Local(IpAddr::V4(address)) = attribute {
                Some(OfLink::Usable(*address))
            } else {
                None
            }
        })
    }
}

/// The link's link-local address, once no other host is found to have it (RFC 4862 section 5.4).
impl FromKernel for Ipv6Addr {
    const FAMILY: IpFamily = IpFamily::V6;
    /// `RTMGRP_IPV6_IFADDR`.
    const GROUP: u32 = 0x100;

    fn read(message: &AddressMessage) -> Option<OfLink<Self>> {
        let header = &message.header;
        if header.family != AddressFamily::Inet6 {
            return None;
        }
        let address = message.attributes.iter().find_map(|attribute| {
            if let AddressAttribute::Address(IpAddr::V6(address)) = attribute { Some(*address) } else { None }
        })?;
        if !address.is_unicast_link_local() {
            return None;
        }
        let flags = header.flags;
        let is_tentative =
            flags.contains(AddressHeaderFlags::Tentative) && !flags.contains(AddressHeaderFlags::Optimistic);
        let is_duplicate = flags.contains(AddressHeaderFlags::Dadfailed);
        Some(if is_tentative || is_duplicate { OfLink::Unusable(address) } else { OfLink::Usable(address) })
    }
}

/// A link that is announced on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsableLink<A> {
    /// Its name.
    pub name: Arc<str>,
    /// Its hardware address.
    pub mac: MacAddr,
    /// Its first own address of the family, where it has one; a link that IPv6 is announced on always has.
    pub address: Option<A>,
}

/// Whether a dump is of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whole {
    Yes,
    /// What the kernel read from changed meanwhile (`NLM_F_DUMP_INTR`): it may have skipped something that is there.
    No,
}

/// How far the dump is.
#[derive(Debug, PartialEq, Eq)]
enum Dump<A> {
    Links { seen: BTreeSet<LinkIndex> },
    Addresses { seen: BTreeSet<(LinkIndex, A)> },
    Complete,
}

/// What is known of all links, and the decision which of them count.
#[derive(Debug)]
struct Table<A> {
    exclusion: Exclusion,
    links: BTreeMap<LinkIndex, LinkFacts>,
    /// In the order in which they were told, which is the kernel's order of preference.
    addresses: BTreeMap<LinkIndex, Vec<A>>,
    interrupted: BTreeSet<LinkIndex>,
    is_changed: bool,
}

impl<A: LinkAddress> Table<A> {
    fn new(exclusion: Exclusion) -> Self {
        Self {
            exclusion,
            links: BTreeMap::new(),
            addresses: BTreeMap::new(),
            interrupted: BTreeSet::new(),
            is_changed: false,
        }
    }

    fn usable(&self) -> BTreeMap<LinkIndex, UsableLink<A>> {
        let judged = self.links.iter().filter_map(|(index, facts)| {
            let mac = self.judge(*index)?;
            Some((*index, UsableLink { name: facts.name.as_str().into(), mac, address: self.address_of(*index) }))
        });
        judged.collect()
    }

    fn address_of(&self, index: LinkIndex) -> Option<A> {
        self.addresses.get(&index).and_then(|all| all.first().copied())
    }

    /// The hardware address of a link that can be announced on.
    fn judge(&self, index: LinkIndex) -> Option<MacAddr> {
        let own = self.address_of(index).map_or(OwnAddress::Absent, |_| OwnAddress::Present);
        judge(self.links.get(&index)?, own, A::FAMILY, &self.exclusion).ok()
    }

    /// Something about a link was said.
    fn note(&mut self, index: LinkIndex) {
        self.is_changed = true;
        if self.judge(index).is_none() {
            self.interrupted.insert(index);
        }
    }

    fn put_link(&mut self, index: LinkIndex, facts: LinkFacts) {
        self.links.insert(index, facts);
        self.note(index);
    }

    fn remove_link(&mut self, index: LinkIndex) {
        self.links.remove(&index);
        self.addresses.remove(&index);
        self.note(index);
    }

    fn put_address(&mut self, index: LinkIndex, address: A) {
        let all = self.addresses.entry(index).or_default();
        if !all.contains(&address) {
            all.push(address);
        }
        self.note(index);
    }

    fn remove_address(&mut self, index: LinkIndex, address: A) {
        if let Some(all) = self.addresses.get_mut(&index) {
            all.retain(|known| *known != address);
        }
        self.note(index);
    }
}

/// Follows the links of this network namespace.
#[derive(Debug)]
pub(super) struct LinkWatch<A> {
    socket: Socket,
    buffer: Vec<u8>,
    table: Table<A>,
    dump: Dump<A>,
    /// Of the dump that is going on; answers to an earlier one are passed over.
    sequence: u32,
    /// Of the part of the dump that is going on.
    whole: Whole,
    /// Messages were lost while a dump was going on, or it was not whole: another has to follow it.
    must_repeat: bool,
}

impl<A: LinkAddress> LinkWatch<A> {
    /// Opens the socket and asks for everything.
    ///
    /// # Errors
    /// What the kernel said.
    pub(super) fn open(exclusion: Exclusion) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_non_blocking(true)?;
        socket.bind(&SocketAddr::new(0, LINK_GROUP | A::GROUP))?;
        let mut watch = Self {
            socket,
            buffer: Vec::with_capacity(BUFFER),
            table: Table::new(exclusion),
            dump: Dump::Complete,
            sequence: 0,
            whole: Whole::Yes,
            must_repeat: false,
        };
        watch.begin_dump()?;
        Ok(watch)
    }

    /// The links to announce on. While the first dump is going on it grows.
    pub(super) fn usable(&self) -> BTreeMap<LinkIndex, UsableLink<A>> {
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
                    Dump::Links { .. } | Dump::Addresses { .. } => self.must_repeat = true,
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
        self.whole = Whole::Yes;
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
        if is_of_dump && message.header.flags & NLM_F_DUMP_INTR != 0 {
            self.whole = Whole::No;
            self.must_repeat = true;
        }
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

    /// What was not seen is gone, unless the dump was not whole: then the next one says so.
    fn end_of_dump(&mut self) -> io::Result<()> {
        let whole = self.whole;
        match core::mem::replace(&mut self.dump, Dump::Complete) {
            Dump::Links { seen } => {
                let unseen = self.table.links.keys().filter(|index| !seen.contains(index));
                let gone: Vec<LinkIndex> = unseen.filter(|_| whole == Whole::Yes).copied().collect();
                for index in gone {
                    self.table.remove_link(index);
                }
                self.request(RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
                self.dump = Dump::Addresses { seen: BTreeSet::new() };
                Ok(())
            }
            Dump::Addresses { seen } => {
                let known =
                    self.table.addresses.iter().flat_map(|(index, all)| all.iter().map(|address| (*index, *address)));
                let unseen = known.filter(|known| !seen.contains(known));
                let gone: Vec<(LinkIndex, A)> = unseen.filter(|_| whole == Whole::Yes).collect();
                for (index, address) in gone {
                    self.table.remove_address(index, address);
                }
                if self.must_repeat { self.begin_dump() } else { Ok(()) }
            }
            Dump::Complete => Ok(()),
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
            RouteNetlinkMessage::NewAddress(message) => {
                let index = LinkIndex::new(message.header.index);
                match A::read(&message) {
                    Some(OfLink::Usable(address)) => self.put_address(index, address),
                    Some(OfLink::Unusable(address)) => self.remove_address(index, address),
                    None => {}
                }
            }
            RouteNetlinkMessage::DelAddress(message) => {
                if let Some(OfLink::Usable(address) | OfLink::Unusable(address)) = A::read(&message) {
                    self.remove_address(LinkIndex::new(message.header.index), address);
                }
            }
            _ => {}
        }
    }

    fn put_address(&mut self, index: LinkIndex, address: A) {
        if let Dump::Addresses { seen } = &mut self.dump {
            seen.insert((index, address));
        }
        self.table.put_address(index, address);
    }

    fn remove_address(&mut self, index: LinkIndex, address: A) {
        if let Dump::Addresses { seen } = &mut self.dump {
            seen.remove(&(index, address));
        }
        self.table.remove_address(index, address);
    }
}

impl<A> AsRawFd for LinkWatch<A> {
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

#[cfg(test)]
mod tests {
    use netlink_packet_core::DoneMessage;
    use netlink_packet_route::link::LinkFlags;

    use super::*;

    const INDEX: LinkIndex = LinkIndex::new(7);
    const MAC: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);

    fn table() -> Table<Ipv4Addr> {
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

    fn put<A: LinkAddress>(table: &mut Table<A>, message: &LinkMessage) {
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
        let read = <Ipv4Addr as FromKernel>::read;
        assert_eq!(read(&address("192.0.2.9", 24)), Some(OfLink::Usable("192.0.2.9".parse().unwrap())));
        assert_eq!(read(&address("192.0.2.9", 32)), None);
        let mut secondary = address("192.0.2.9", 24);
        secondary.header.flags = AddressHeaderFlags::Secondary;
        assert_eq!(read(&secondary), None);
        let mut table = table();
        put(&mut table, &message("eth0"));
        table.put_address(INDEX, Ipv4Addr::new(192, 0, 2, 9));
        table.put_address(INDEX, Ipv4Addr::new(192, 0, 2, 1));
        assert_eq!(table.usable()[&INDEX].address, Some(Ipv4Addr::new(192, 0, 2, 9)));
        table.remove_address(INDEX, Ipv4Addr::new(192, 0, 2, 9));
        assert_eq!(table.usable()[&INDEX].address, Some(Ipv4Addr::new(192, 0, 2, 1)));
    }

    fn address_v6(text: &str, flags: AddressHeaderFlags) -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet6;
        message.header.prefix_len = 64;
        message.header.flags = flags;
        message.attributes = vec![AddressAttribute::Address(text.parse().unwrap())];
        message
    }

    // [L2-23], [L2-67]: neither another kind of address nor one that is not in use yet, or never will be.
    #[test]
    fn only_a_link_local_address_in_use_counts_for_ipv6() {
        let read = <Ipv6Addr as FromKernel>::read;
        let own: Ipv6Addr = "fe80::1".parse().unwrap();
        let none = AddressHeaderFlags::empty();
        let (tentative, optimistic) = (AddressHeaderFlags::Tentative, AddressHeaderFlags::Optimistic);
        assert_eq!(read(&address_v6("fe80::1", none)), Some(OfLink::Usable(own)));
        assert_eq!(read(&address_v6("fe80::1", tentative)), Some(OfLink::Unusable(own)));
        assert_eq!(read(&address_v6("fe80::1", tentative | optimistic)), Some(OfLink::Usable(own)));
        assert_eq!(read(&address_v6("fe80::1", AddressHeaderFlags::Dadfailed)), Some(OfLink::Unusable(own)));
        assert_eq!(read(&address_v6("2001:db8::1", none)), None);
        assert_eq!(read(&address("192.0.2.9", 24)), None);
    }

    // [L2-20], [L2-26]: links of this host, and one that a dump passed over because another went away meanwhile.
    #[test]
    fn what_a_torn_dump_does_not_show_is_not_gone() {
        let end = |watch: &mut LinkWatch<Ipv4Addr>, flags: u16| {
            let mut header = NetlinkHeader::default();
            header.sequence_number = watch.sequence;
            header.flags = flags;
            let done = NetlinkPayload::Done(DoneMessage::default());
            watch.handle_message(NetlinkMessage::new(header, done)).unwrap();
        };
        let unseen = || Dump::Links { seen: BTreeSet::new() };
        let mut watch: LinkWatch<Ipv4Addr> = LinkWatch::open(Exclusion::upstream_default().unwrap()).unwrap();
        let (known, address) = (LinkIndex::new(u32::MAX), Ipv4Addr::new(192, 0, 2, 9));
        watch.table.put_link(known, facts_of(&message("eth0")).unwrap().1);
        watch.table.put_address(known, address);
        watch.dump = unseen();
        end(&mut watch, NLM_F_DUMP_INTR);
        assert_eq!(watch.table.usable()[&known].address, Some(address));
        // The addresses are another part, which may be whole; links are asked for again after it.
        assert!(matches!(watch.dump, Dump::Addresses { .. }) && watch.must_repeat);
        end(&mut watch, NLM_F_DUMP_INTR);
        assert_eq!(watch.table.usable()[&known].address, Some(address));
        assert!(matches!(watch.dump, Dump::Links { .. }) && !watch.must_repeat);
        end(&mut watch, 0);
        assert_eq!(watch.table.usable().get(&known), None);
        end(&mut watch, 0);
        assert_eq!(watch.dump, Dump::Complete);
    }

    // [L2-67]
    #[test]
    fn a_link_counts_for_ipv6_while_it_has_its_link_local_address() {
        let mut table: Table<Ipv6Addr> = Table::new(Exclusion::upstream_default().unwrap());
        let mut link = message("eth0");
        link.header.flags |= LinkFlags::Multicast;
        put(&mut table, &link);
        assert!(table.usable().is_empty());
        let own: Ipv6Addr = "fe80::1".parse().unwrap();
        table.put_address(INDEX, own);
        assert_eq!(table.usable()[&INDEX].address, Some(own));
        table.interrupted.clear();
        table.remove_address(INDEX, own);
        assert!(table.usable().is_empty());
        assert_eq!(table.interrupted, BTreeSet::from([INDEX]));
    }
}
