//! What the kernel tells of addresses and ways, by netlink: unlike `getifaddrs` it says which addresses pass, when each was made, and
//! which link owns it, whatever the label.

use core::convert::Infallible;
use core::time::Duration;
use std::io;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use lbcore::link::LinkIndex;
use netlink_packet_core::{NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::socket::watched;
use crate::session::{Ends, LinkAddress, LocalEnd, Nearness, Standing, Way};

/// More than the kernel puts into one datagram of a dump (32 KiB).
const BUFFER: usize = 64 << 10;

/// How often addresses are read anew because they changed under the reading.
const READINGS: usize = 5;

/// `RTMGRP_IPV4_IFADDR` and `RTMGRP_IPV6_IFADDR`.
const ADDRESS_GROUPS: u32 = 0x10 | 0x100;

/// Changes come in flocks: an address, its uniqueness, its route.
const SETTLE: Duration = Duration::from_secs(1);

/// How often ends are looked at though nothing was heard: ways change without a change of addresses.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What is known of our end of a new connection.
///
/// # Errors
/// What the kernel said where it does not tell its addresses.
pub(super) fn local_end(ends: Ends) -> io::Result<LocalEnd> {
    // Without the way the addresses still tell most.
    let way = way(ends).unwrap_or_default();
    Ok(LocalEnd::find(ends, &addresses()?, way))
}

/// What is known of our end of a connection that stands; `None` while nothing leads to the peer, which is no reason to take next hops away.
///
/// # Errors
/// As [`local_end`].
pub(super) fn local_end_now(ends: Ends) -> io::Result<Option<LocalEnd>> {
    let Some(way) = way(ends)? else { return Ok(None) };
    Ok(Some(LocalEnd::find(ends, &addresses()?, Some(way))))
}

/// Counts up a moment after addresses of this host have changed, and every minute.
///
/// # Errors
/// What the kernel said where it does not tell of changes.
pub(super) async fn follow(changes: &watch::Sender<u64>) -> io::Result<Infallible> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.set_non_blocking(true)?;
    socket.bind(&SocketAddr::new(0, ADDRESS_GROUPS))?;
    let socket = watched(socket)?;
    let mut buffer = Vec::with_capacity(BUFFER);
    loop {
        if let Ok(readable) = timeout(LOOK_EVERY, socket.readable()).await {
            let mut readable = readable?;
            sleep(SETTLE).await;
            // What a message says does not matter, nor that some were lost: all is read anew.
            while let Ok(received) = readable.try_io(|socket| recv(socket.get_ref(), &mut buffer)) {
                if let Err(error) = received
                    && error.raw_os_error() != Some(libc::ENOBUFS)
                {
                    return Err(error);
                }
            }
        }
        changes.send_modify(|changes| *changes += 1);
    }
}

fn recv(socket: &Socket, buffer: &mut Vec<u8>) -> io::Result<usize> {
    buffer.clear();
    socket.recv(buffer, 0)
}

/// The addresses of all links.
fn addresses() -> io::Result<Vec<LinkAddress>> {
    let mut answers = Answers::default();
    for _ in 0..READINGS {
        let all = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        answers = ask(all, NLM_F_REQUEST | NLM_F_DUMP)?;
        if answers.whole == Whole::Yes {
            break;
        }
    }
    #[expect(clippy::wildcard_enum_match_arm, reason = "of some sixty kinds of messages one is asked for")]
    let read = answers.messages.iter().filter_map(|message| match message {
        RouteNetlinkMessage::NewAddress(message) => read_address(message),
        _ => None,
    });
    Ok(read.collect())
}

/// How packets to the peer leave; `None` where the kernel has no way, or the peer is this host.
fn way(ends: Ends) -> io::Result<Option<Way>> {
    let mut message = RouteMessage::default();
    let (family, octets) = match ends.remote {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    message.header.address_family = family;
    message.header.destination_prefix_length = octets;
    message.header.source_prefix_length = octets;
    message.attributes = vec![
        RouteAttribute::Destination(RouteAddress::from(ends.remote)),
        RouteAttribute::Source(RouteAddress::from(ends.local)),
    ];
    let answers = ask(RouteNetlinkMessage::GetRoute(message), NLM_F_REQUEST)?;
    #[expect(clippy::wildcard_enum_match_arm, reason = "of some sixty kinds of messages one is asked for")]
    let read = answers.messages.iter().find_map(|message| match message {
        RouteNetlinkMessage::NewRoute(message) => read_way(message),
        _ => None,
    });
    Ok(read)
}

fn read_address(message: &AddressMessage) -> Option<LinkAddress> {
    let (mut own, mut network, mut created) = (None, None, 0);
    for attribute in &message.attributes {
        #[expect(clippy::wildcard_enum_match_arm, reason = "three of a dozen attributes are needed")]
        match attribute {
            AddressAttribute::Local(address) => own = Some(*address),
            AddressAttribute::Address(address) => network = Some(*address),
            AddressAttribute::CacheInfo(times) => created = times.cstamp,
            _ => {}
        }
    }
    // IPv6 has one of the two, but for a link with two ends, where the other is the peer's.
    let address = own.or(network)?;
    let network = IpNetwork::new(network.unwrap_or(address), message.header.prefix_len).ok()?;
    let standing = standing(address, message.header.flags);
    Some(LinkAddress { link: LinkIndex::new(message.header.index), address, network, standing, created })
}

fn standing(address: IpAddr, flags: AddressHeaderFlags) -> Standing {
    let has = |flag| flags.contains(flag);
    // The bit of a temporary IPv6 address is that of a second IPv4 address in one network.
    let is_temporary = address.is_ipv6() && has(AddressHeaderFlags::Secondary);
    let is_tentative = has(AddressHeaderFlags::Tentative) && !has(AddressHeaderFlags::Optimistic);
    if is_temporary || is_tentative || has(AddressHeaderFlags::Deprecated) || has(AddressHeaderFlags::Dadfailed) {
        Standing::Passing
    } else if has(AddressHeaderFlags::Permanent) {
        Standing::Permanent
    } else {
        Standing::Leased
    }
}

fn read_way(message: &RouteMessage) -> Option<Way> {
    if message.header.kind != RouteType::Unicast {
        return None;
    }
    let (mut link, mut nearness) = (None, Nearness::OnLink);
    for attribute in &message.attributes {
        #[expect(clippy::wildcard_enum_match_arm, reason = "three of some thirty attributes are needed")]
        match attribute {
            RouteAttribute::Oif(index) => link = Some(LinkIndex::new(*index)),
            RouteAttribute::Gateway(_) | RouteAttribute::Via(_) => nearness = Nearness::Routed,
            _ => {}
        }
    }
    Some(Way { link: link?, nearness })
}

/// Whether a dump is of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Whole {
    #[default]
    Yes,
    /// The kernel says that what it read from changed meanwhile (`NLM_F_DUMP_INTR`): something may be missing.
    No,
}

#[derive(Debug, Default)]
struct Answers {
    messages: Vec<RouteNetlinkMessage>,
    whole: Whole,
}

/// Asks the kernel, which answers at once: of a dump with everything until its end, else with one message.
fn ask(question: RouteNetlinkMessage, flags: u16) -> io::Result<Answers> {
    let socket = Socket::new(NETLINK_ROUTE)?;
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    header.sequence_number = 1;
    let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(question));
    packet.finalize();
    let mut octets = vec![0; packet.buffer_len()];
    packet.serialize(&mut octets);
    socket.send_to(&octets, &SocketAddr::new(0, 0), 0)?;
    let is_dump = flags & NLM_F_DUMP == NLM_F_DUMP;
    let mut answers = Answers::default();
    let mut buffer = Vec::with_capacity(BUFFER);
    loop {
        match recv(&socket, &mut buffer) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        for message in messages(&buffer) {
            if message.header.flags & NLM_F_DUMP_INTR != 0 {
                answers.whole = Whole::No;
            }
            #[expect(clippy::wildcard_enum_match_arm, reason = "no other payload has a meaning here")]
            match message.payload {
                NetlinkPayload::InnerMessage(inner) if is_dump => answers.messages.push(inner),
                NetlinkPayload::InnerMessage(inner) => {
                    answers.messages.push(inner);
                    return Ok(answers);
                }
                NetlinkPayload::Done(_) => return Ok(answers),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                _ => {}
            }
        }
    }
}

/// The messages of a datagram; what cannot be read is passed over.
fn messages(datagram: &[u8]) -> impl Iterator<Item = NetlinkMessage<RouteNetlinkMessage>> {
    const HEADER: usize = 16;
    let mut rest = datagram;
    let raw = core::iter::from_fn(move || {
        let length = usize::try_from(u32::from_ne_bytes(*rest.first_chunk::<4>()?)).ok()?;
        let (message, _) = rest.split_at_checked(length).filter(|_| length >= HEADER)?;
        // Messages start at multiples of four octets.
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    });
    raw.filter_map(|message| NetlinkMessage::deserialize(message).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 4862, RFC 8981
    #[test]
    fn what_passes_is_told_from_what_lasts() {
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        let v4: IpAddr = "192.0.2.1".parse().unwrap();
        let permanent = AddressHeaderFlags::Permanent;
        assert_eq!(standing(v6, permanent), Standing::Permanent);
        assert_eq!(standing(v6, AddressHeaderFlags::empty()), Standing::Leased);
        let passing = [
            AddressHeaderFlags::Secondary,
            permanent | AddressHeaderFlags::Deprecated,
            permanent | AddressHeaderFlags::Tentative,
            permanent | AddressHeaderFlags::Tentative | AddressHeaderFlags::Dadfailed,
        ];
        for flags in passing {
            assert_eq!(standing(v6, flags), Standing::Passing, "{flags:?}");
        }
        assert_eq!(standing(v6, AddressHeaderFlags::Tentative | AddressHeaderFlags::Optimistic), Standing::Leased);
        assert_eq!(standing(v4, permanent | AddressHeaderFlags::Secondary), Standing::Permanent);
    }

    // A link may give each of its IPv4 addresses a label of its own.
    #[test]
    fn a_label_makes_no_link() {
        let mut message = AddressMessage::default();
        message.header.index = 7;
        message.header.prefix_len = 24;
        message.header.flags = AddressHeaderFlags::Permanent;
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        message.attributes = vec![
            AddressAttribute::Address(address),
            AddressAttribute::Local(address),
            AddressAttribute::Label("eth0:1".to_owned()),
        ];
        let read = read_address(&message).unwrap();
        assert_eq!((read.link, read.address), (LinkIndex::new(7), address));
        assert!(read.network.contains("192.0.2.9".parse().unwrap()));
        // The other end of a link with two.
        let other: IpAddr = "198.51.100.1".parse().unwrap();
        message.attributes[0] = AddressAttribute::Address(other);
        let read = read_address(&message).unwrap();
        assert_eq!((read.address, read.network.contains(other)), (address, true));
    }

    #[test]
    fn the_kernel_tells_the_loopback_addresses_of_this_host() {
        let known = addresses().unwrap();
        assert!(known.iter().all(|known| known.link.as_u32() > 0));
        let local = IpAddr::from([127, 0, 0, 1]);
        let end = local_end(Ends { local, remote: local }).unwrap();
        assert_eq!((end.local, end.link_v4, end.link_v6), (local, None, None));
    }
}
