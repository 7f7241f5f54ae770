//! The kernel's links, addresses and neighbours by netlink, one blocking request at a time.
//!
//! A socket belongs to the namespace it was opened in for good, so that any thread may use it afterwards. Nothing here needs
//! iproute2 to be installed.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, RawFd};
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{
    InfoBridge, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute, LinkFlags,
    LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use socket2::SockRef;

use crate::error::{Error, Result};

/// How long the kernel may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Largest answer that is read: the kernel's own limit for one message of a link.
const ANSWER_OCTETS: usize = 32 * 1024;

/// A hardware address.
pub(crate) type Octets6 = [u8; 6];

/// A netlink socket and the number of the next request on it.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
}

/// A link pair to be made: the end that stays here, and the one that goes to another namespace.
#[derive(Debug)]
pub(crate) struct VethPair<'a> {
    pub(crate) here: &'a str,
    pub(crate) there: &'a str,
    pub(crate) there_hardware: Octets6,
    pub(crate) there_namespace: RawFd,
    pub(crate) bridge: u32,
}

impl Netlink {
    /// Opens a socket in the network namespace of the calling thread.
    pub(crate) fn open() -> Result<Self> {
        let failed = |source| Error::system("opening a netlink socket", source);
        let mut socket = Socket::new(NETLINK_ROUTE).map_err(failed)?;
        socket.bind_auto().map_err(failed)?;
        socket.connect(&SocketAddr::new(0, 0)).map_err(failed)?;
        SockRef::from(&socket.as_fd()).set_read_timeout(Some(ANSWER_WITHIN)).map_err(failed)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Index of a link by its name.
    pub(crate) fn index_of(&mut self, link: &str) -> Result<u32> {
        let doing = format!("looking up link {link}");
        match self.link(&doing, link)? {
            Some(found) => Ok(found.header.index),
            None => Err(Error::Netlink { doing, detail: "no link in it".into() }),
        }
    }

    /// Hardware address of a link by its name.
    pub(crate) fn hardware_of(&mut self, link: &str) -> Result<Octets6> {
        let doing = format!("reading the hardware address of {link}");
        let attributes = self.link(&doing, link)?.map(|found| found.attributes).unwrap_or_default();
        let found = attributes.iter().find_map(|attribute| {
            let LinkAttribute::Address(octets) = attribute else { return None };
            Octets6::try_from(octets.as_slice()).ok()
        });
        found.ok_or_else(|| Error::Netlink { doing, detail: "no address of six octets in it".into() })
    }

    fn link(&mut self, doing: &str, link: &str) -> Result<Option<LinkMessage>> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(link.to_owned()));
        match self.request(doing, RouteNetlinkMessage::GetLink(message), 0)? {
            Some(RouteNetlinkMessage::NewLink(found)) => Ok(Some(found)),
            _ => Ok(None),
        }
    }

    /// Sets a link up or down.
    pub(crate) fn set_up(&mut self, link: u32, up: bool) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = link;
        message.header.change_mask = LinkFlags::Up;
        message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
        let doing = format!("setting link {link} {}", if up { "up" } else { "down" });
        self.request(&doing, RouteNetlinkMessage::SetLink(message), 0).map(drop)
    }

    /// Deletes a link; its other end goes too.
    pub(crate) fn delete(&mut self, link: u32) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = link;
        self.request(&format!("deleting link {link}"), RouteNetlinkMessage::DelLink(message), 0).map(drop)
    }

    /// Makes a bridge that forwards at once and treats groups as broadcast.
    pub(crate) fn add_bridge(&mut self, name: &str) -> Result<()> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        let settings = vec![InfoBridge::ForwardDelay(0), InfoBridge::MulticastSnooping(false)];
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Bridge),
            LinkInfo::Data(InfoData::Bridge(settings)),
        ]));
        self.create(&format!("making bridge {name}"), message)
    }

    /// Lets a bridge look for listeners of groups, and ask for them.
    pub(crate) fn snoop(&mut self, bridge: u32) -> Result<()> {
        // In hundredths of a second: until listeners must have answered, and between the first queries.
        const SOON: u64 = 50;
        let settings = vec![
            InfoBridge::MulticastQueryResponseInterval(SOON),
            InfoBridge::MulticastStartupQueryInterval(SOON),
            InfoBridge::MulticastQuerier(true),
            InfoBridge::MulticastSnooping(true),
        ];
        let mut message = LinkMessage::default();
        message.header.index = bridge;
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Bridge),
            LinkInfo::Data(InfoData::Bridge(settings)),
        ]));
        self.request("letting a bridge look for listeners", RouteNetlinkMessage::NewLink(message), 0).map(drop)
    }

    /// Gives a link another hardware address.
    pub(crate) fn set_hardware(&mut self, link: u32, hardware: Octets6) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = link;
        message.attributes.push(LinkAttribute::Address(hardware.to_vec()));
        let doing = format!("changing the hardware address of link {link}");
        self.request(&doing, RouteNetlinkMessage::SetLink(message), 0).map(drop)
    }

    /// Makes a veth pair whose near end is a port of a bridge.
    pub(crate) fn add_veth(&mut self, pair: &VethPair<'_>) -> Result<()> {
        let mut peer = LinkMessage::default();
        peer.attributes.push(LinkAttribute::IfName(pair.there.to_owned()));
        peer.attributes.push(LinkAttribute::Address(pair.there_hardware.to_vec()));
        peer.attributes.push(LinkAttribute::NetNsFd(pair.there_namespace));
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(pair.here.to_owned()));
        message.attributes.push(LinkAttribute::Controller(pair.bridge));
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]));
        self.create(&format!("making link {} to {}", pair.here, pair.there), message)
    }

    /// Changes what a bridge does at one of its ports.
    pub(crate) fn set_port(&mut self, port: u32, settings: Vec<InfoBridgePort>) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = port;
        let doing = format!("setting bridge port {port} to {settings:?}");
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(InfoPortData::BridgePort(settings)),
        ]));
        self.request(&doing, RouteNetlinkMessage::NewLink(message), 0).map(drop)
    }

    /// Adds an address to a link. One of IPv6 is usable at once: a laboratory gives no address twice by accident.
    pub(crate) fn add_address(&mut self, link: u32, address: IpAddr, prefix: u8) -> Result<()> {
        let mut message = address_message(link, address, prefix);
        if address.is_ipv6() {
            message.header.flags = AddressHeaderFlags::Nodad;
        }
        let doing = format!("adding {address}/{prefix} to link {link}");
        self.request(&doing, RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_REPLACE).map(drop)
    }

    /// Removes an address from a link.
    pub(crate) fn delete_address(&mut self, link: u32, address: IpAddr, prefix: u8) -> Result<()> {
        let message = address_message(link, address, prefix);
        let doing = format!("removing {address}/{prefix} from link {link}");
        self.request(&doing, RouteNetlinkMessage::DelAddress(message), 0).map(drop)
    }

    /// Forgets what the kernel knows of a neighbour; one that is not known is no error.
    pub(crate) fn forget_neighbour(&mut self, link: u32, address: IpAddr) -> Result<()> {
        let doing = format!("forgetting neighbour {address}");
        match self.request(&doing, RouteNetlinkMessage::DelNeighbour(neighbour_message(link, address)), 0) {
            Err(Error::System { source, .. }) if source.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            other => other.map(drop),
        }
    }

    /// The hardware address that the kernel holds for a neighbour.
    pub(crate) fn neighbour(&mut self, link: u32, address: IpAddr) -> Result<Option<Octets6>> {
        let doing = format!("looking up neighbour {address}");
        let message = RouteNetlinkMessage::GetNeighbour(neighbour_message(link, address));
        match self.request(&doing, message, 0) {
            Err(Error::System { source, .. }) if source.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Ok(Some(RouteNetlinkMessage::NewNeighbour(found))) => Ok(found.attributes.iter().find_map(|attribute| {
                let NeighbourAttribute::LinkLayerAddress(octets) = attribute else { return None };
                Octets6::try_from(octets.as_slice()).ok()
            })),
            Ok(_) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// Makes the kernel hold a hardware address for a neighbour for ever.
    pub(crate) fn set_neighbour(&mut self, link: u32, address: IpAddr, hardware: Octets6) -> Result<()> {
        let mut message = neighbour_message(link, address);
        message.header.state = NeighbourState::Permanent;
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(hardware.to_vec()));
        let doing = format!("setting neighbour {address}");
        let flags = NLM_F_CREATE | NLM_F_REPLACE;
        self.request(&doing, RouteNetlinkMessage::NewNeighbour(message), flags).map(drop)
    }

    /// Adds a route to the main table, by a link or by a gateway; one to the same destination is replaced.
    pub(crate) fn add_route(&mut self, to: IpAddr, prefix: u8, by: std::result::Result<u32, IpAddr>) -> Result<()> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(to);
        message.header.destination_prefix_length = prefix;
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Static;
        message.header.kind = RouteType::Unicast;
        if prefix > 0 {
            message.attributes.push(RouteAttribute::Destination(RouteAddress::from(to)));
        }
        match by {
            Ok(link) => {
                message.header.scope = RouteScope::Link;
                message.attributes.push(RouteAttribute::Oif(link));
            }
            Err(gateway) => {
                message.header.scope = RouteScope::Universe;
                message.attributes.push(RouteAttribute::Gateway(RouteAddress::from(gateway)));
            }
        }
        let doing = format!("adding a route to {to}/{prefix}");
        self.request(&doing, RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_REPLACE).map(drop)
    }

    fn create(&mut self, doing: &str, message: LinkMessage) -> Result<()> {
        self.request(doing, RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL).map(drop)
    }

    /// Sends one request and reads until the kernel has acknowledged it; yields the object it sent before, if any.
    fn request(&mut self, doing: &str, body: RouteNetlinkMessage, flags: u16) -> Result<Option<RouteNetlinkMessage>> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(body));
        message.finalize();
        let mut octets = vec![0; message.buffer_len()];
        message.serialize(&mut octets);
        self.socket.send(&octets, 0).map_err(|source| Error::system(doing, source))?;
        let mut object = None;
        loop {
            let mut answer = Vec::with_capacity(ANSWER_OCTETS);
            self.socket.recv(&mut answer, 0).map_err(|source| Error::system(doing, source))?;
            let mut rest = answer.as_slice();
            while !rest.is_empty() {
                let part = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                    .map_err(|error| Error::Netlink { doing: doing.to_owned(), detail: error.to_string() })?;
                rest = usize::try_from(part.header.length).ok().and_then(|used| rest.get(used..)).unwrap_or_default();
                if part.header.sequence_number != self.sequence {
                    continue;
                }
                #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum that may grow")]
                match part.payload {
                    NetlinkPayload::Error(answer) if answer.code.is_none() => return Ok(object),
                    NetlinkPayload::Error(answer) => return Err(Error::system(doing, refusal(answer.raw_code()))),
                    NetlinkPayload::InnerMessage(inner) => object = Some(inner),
                    // "Done" and "noop" carry nothing; "overrun" is of sockets that listen for events.
                    _ => {}
                }
            }
        }
    }
}

fn refusal(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code.saturating_neg())
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

fn address_message(link: u32, address: IpAddr, prefix: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(address);
    message.header.prefix_len = prefix;
    message.header.index = link;
    message.attributes.push(AddressAttribute::Address(address));
    if address.is_ipv4() {
        message.attributes.push(AddressAttribute::Local(address));
    }
    message
}

fn neighbour_message(link: u32, address: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family(address);
    message.header.ifindex = link;
    let destination = match address {
        IpAddr::V4(address) => NeighbourAddress::Inet(address),
        IpAddr::V6(address) => NeighbourAddress::Inet6(address),
    };
    message.attributes.push(NeighbourAttribute::Destination(destination));
    message
}
