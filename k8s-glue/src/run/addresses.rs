//! `ferrule0`: the link that holds the addresses this node owns, so that local servers receive what is sent to them ([OWN-42]).
//!
//! It is a dummy link, or an empty bridge where the kernel has no dummy. Each address is on it as a /32 of scope *host*, so that the
//! kernel never picks it as the source of this node's own traffic.
//!
//! Only the owner has the address here. On a standby it would swallow what local clients send to the owner, so it cannot be added in
//! advance. And the owner's burst does not wait for it: the burst is what ends the outage, an address is added in well under a
//! millisecond, and until then the kernel silently drops what comes in (a packet for an unknown host; where it forwards, the packet
//! goes on to nobody). A client loses at most one segment, and only if it is faster than that. Waiting for the kernel would instead
//! let a busy netlink socket lengthen every outage.
//!
//! Everything goes by rtnetlink; no program is called. What somebody else removes is put back.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use announce_arp::io::HOLDER_LINK;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope, CacheInfo};
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkLayerType, LinkMessage};
use rtnetlink::{AddressMessageBuilder, Handle, LinkBridge, LinkDummy, MulticastGroup};
use thiserror::Error;
use tokio::time::{sleep, timeout};

use super::settings::LinkName;

/// Where the kernel may have been told to leave IPv6 off new links.
const IPV6_DISABLED: &str = "/proc/sys/net/ipv6/conf/ferrule0/disable_ipv6";
/// Addresses that are added or removed without waiting for one another.
const IN_FLIGHT: usize = 64;
/// The kernel answers at once; a longer silence is a lost answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Between two attempts to listen again.
const RECONNECT: Duration = Duration::from_secs(1);
/// The kernel does not know that kind of link.
const NOT_SUPPORTED: i32 = libc::EOPNOTSUPP;
/// It is there already.
const EXISTS: i32 = libc::EEXIST;
/// There is no such link.
const NO_DEVICE: i32 = libc::ENODEV;
/// The address is not there.
const NOT_AVAILABLE: i32 = libc::EADDRNOTAVAIL;

/// The kernel would not do something with links or addresses.
#[derive(Debug, Error)]
pub(crate) enum AddressError {
    #[error("no netlink socket: {0}")]
    Socket(#[source] io::Error),
    #[error("cannot {action}: {source} (CAP_NET_ADMIN is needed)")]
    Refused {
        action: String,
        #[source]
        source: rtnetlink::Error,
    },
    #[error("the kernel did not answer within {ANSWER_WITHIN:?}")]
    NoAnswer,
    #[error(
        "there is a link {HOLDER_LINK} which ferrule did not make; ferrule holds its addresses on a link of that name: rename or remove \
         the other"
    )]
    Foreign,
}

impl AddressError {
    /// Whether a new connection may help.
    const fn is_of_connection(&self) -> bool {
        matches!(self, Self::NoAnswer | Self::Socket(_) | Self::Refused { source: rtnetlink::Error::RequestFailed, .. })
    }
}

fn refused(action: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> AddressError {
    move |source| AddressError::Refused { action: action.into(), source }
}

/// The number of the system's error, positive.
fn errno(error: &rtnetlink::Error) -> Option<i32> {
    let rtnetlink::Error::NetlinkError(message) = error else { return None };
    Some(message.raw_code().abs())
}

/// What changed in the kernel without us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KernelEvent {
    /// A link appeared or changed.
    Link(LinkName),
    /// A link is gone.
    LinkGone(LinkName),
    /// An address, or the whole link, was taken from `ferrule0`: [`Holder::repair`] looks after it.
    Disturbed,
    /// Messages were lost: anything may have happened.
    Lost,
}

/// The kernel's messages about links and addresses.
pub(crate) struct KernelEvents {
    messages: BoxStream<'static, NetlinkMessage<RouteNetlinkMessage>>,
    /// The connection ends with the last handle.
    handle: Handle,
}

impl std::fmt::Debug for KernelEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KernelEvents").field("handle", &self.handle).finish_non_exhaustive()
    }
}

/// `ferrule0` and what is on it.
#[derive(Debug)]
pub(crate) struct Holder {
    handle: Handle,
    index: u32,
    /// What each announcer wants on the link, by its name.
    wanted: BTreeMap<&'static str, BTreeSet<IpAddr>>,
    held: BTreeSet<IpAddr>,
}

impl Holder {
    /// Sweeps what a daemon that died left, and makes the link. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`AddressError`], by its variants.
    pub(crate) async fn open() -> Result<(Self, KernelEvents), AddressError> {
        let handle = connect()?;
        // Before the first look, so that nothing falls in between.
        let events = KernelEvents::listen()?;
        if let Some(left) = find(&handle).await? {
            if !is_ours(&left) {
                return Err(AddressError::Foreign);
            }
            remove(&handle, left.header.index).await?;
        }
        let index = make(&handle).await?;
        Ok((Self { handle, index, wanted: BTreeMap::new(), held: BTreeSet::new() }, events))
    }

    /// The link's own index.
    pub(crate) const fn index(&self) -> u32 {
        self.index
    }

    /// The links that may be announced on: Ethernet, and not `ferrule0`. Sorted.
    ///
    /// # Errors
    /// [`AddressError::Refused`].
    pub(crate) async fn links(&self) -> Result<Vec<LinkName>, AddressError> {
        let mut links = Vec::new();
        let mut messages = self.handle.link().get().execute();
        while let Some(message) = messages.next().await {
            links.extend(ethernet(&message.map_err(refused("list the links"))?));
        }
        links.sort();
        Ok(links)
    }

    /// Has just these addresses of one announcer on the link from now on, beside those of the others. Returns what could not be done.
    pub(crate) async fn hold(&mut self, announcer: &'static str, wanted: BTreeSet<IpAddr>) -> Vec<AddressError> {
        self.wanted.insert(announcer, wanted);
        let wanted: BTreeSet<IpAddr> = self.wanted.values().flatten().copied().collect();
        let removed: Vec<IpAddr> = self.held.difference(&wanted).copied().collect();
        let added: Vec<IpAddr> = wanted.difference(&self.held).copied().collect();
        // Removed first: an address of another owner must not swallow local traffic longer than need be.
        let gone = self.in_parallel(removed, Step::Remove).await;
        let here = self.in_parallel(added, Step::Add).await;
        let mut errors = Vec::new();
        for (address, step, outcome) in gone.into_iter().chain(here) {
            match outcome {
                Ok(()) => {
                    match step {
                        Step::Add => self.held.insert(address),
                        Step::Remove => self.held.remove(&address),
                    };
                }
                Err(error) => errors.push(error),
            }
        }
        if errors.iter().any(AddressError::is_of_connection) {
            // The caller tries again; a connection that is dead must not be what it tries with.
            match connect() {
                Ok(handle) => self.handle = handle,
                Err(error) => errors.push(error),
            }
        }
        errors
    }

    async fn in_parallel(&self, addresses: Vec<IpAddr>, step: Step) -> Vec<(IpAddr, Step, Result<(), AddressError>)> {
        let work = addresses.into_iter().map(|address| {
            let (handle, index) = (self.handle.clone(), self.index);
            async move {
                let changed = timeout(ANSWER_WITHIN, change(&handle, index, address, step)).await;
                (address, step, changed.unwrap_or(Err(AddressError::NoAnswer)))
            }
        });
        stream::iter(work).buffer_unordered(IN_FLIGHT).collect().await
    }

    /// Puts back the link and the addresses that somebody else removed.
    ///
    /// # Errors
    /// [`AddressError`], by its variants.
    pub(crate) async fn repair(&mut self) -> Result<(), AddressError> {
        match find(&self.handle).await? {
            Some(link) if link.header.index == self.index => {}
            Some(_) => return Err(AddressError::Foreign),
            None => self.index = make(&self.handle).await?,
        }
        let present = present(&self.handle, self.index).await?;
        let missing: Vec<IpAddr> = self.held.difference(&present).copied().collect();
        for (_, _, outcome) in self.in_parallel(missing, Step::Add).await {
            outcome?;
        }
        Ok(())
    }

    /// Takes the link away, and all addresses with it.
    ///
    /// # Errors
    /// [`AddressError::Refused`].
    pub(crate) async fn close(&mut self) -> Result<(), AddressError> {
        self.wanted.clear();
        self.held.clear();
        remove(&self.handle, self.index).await
    }
}

/// A connection for requests alone: its queue holds answers only, so that a storm of notices cannot push one out.
fn connect() -> Result<Handle, AddressError> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(AddressError::Socket)?;
    tokio::spawn(connection);
    Ok(handle)
}

impl KernelEvents {
    fn listen() -> Result<Self, AddressError> {
        let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
        let (connection, handle, messages) =
            rtnetlink::new_multicast_connection(&groups).map_err(AddressError::Socket)?;
        tokio::spawn(connection);
        Ok(Self { messages: messages.map(|(message, _)| message).boxed(), handle })
    }

    /// The next change. May be dropped and called again.
    pub(crate) async fn next(&mut self, holder: u32) -> KernelEvent {
        loop {
            let Some(message) = self.messages.next().await else {
                sleep(RECONNECT).await;
                if let Ok(again) = Self::listen() {
                    *self = again;
                    return KernelEvent::Lost;
                }
                continue;
            };
            if matches!(message.payload, NetlinkPayload::Overrun(_)) {
                return KernelEvent::Lost;
            }
            let NetlinkPayload::InnerMessage(inner) = message.payload else { continue };
            #[expect(
                clippy::wildcard_enum_match_arm,
                reason = "of some forty messages of another crate, these are of use"
            )]
            let event = match inner {
                RouteNetlinkMessage::NewLink(link) => ethernet(&link).map(KernelEvent::Link),
                RouteNetlinkMessage::DelLink(link) if link.header.index == holder => Some(KernelEvent::Disturbed),
                RouteNetlinkMessage::DelLink(link) => ethernet(&link).map(KernelEvent::LinkGone),
                RouteNetlinkMessage::DelAddress(address) if address.header.index == holder => {
                    Some(KernelEvent::Disturbed)
                }
                _ => None,
            };
            if let Some(event) = event {
                return event;
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Add,
    Remove,
}

fn address_message(index: u32, address: IpAddr) -> AddressMessage {
    match address {
        IpAddr::V4(address) => address_message_v4(index, address),
        IpAddr::V6(address) => address_message_v6(index, address),
    }
}

fn address_message_v4(index: u32, address: Ipv4Addr) -> AddressMessage {
    let mut message = AddressMessageBuilder::<Ipv4Addr>::new().index(index).address(address, 32).build();
    message.header.scope = AddressScope::Host;
    // A broadcast address would be of no use on a /32.
    message.attributes.retain(|attribute| !matches!(attribute, AddressAttribute::Broadcast(_)));
    message
}

/// Usable at once, since ownership has probed for it already, and never the kernel's choice for connections of its own: that is what a
/// preferred lifetime of zero says (RFC 4862 section 5.5.4).
fn address_message_v6(index: u32, address: Ipv6Addr) -> AddressMessage {
    let mut message = AddressMessageBuilder::<Ipv6Addr>::new().index(index).address(address, 128).build();
    let mut lifetime = CacheInfo::default();
    lifetime.ifa_preferred = 0;
    lifetime.ifa_valid = u32::MAX;
    message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad | AddressFlags::Noprefixroute));
    message.attributes.push(AddressAttribute::CacheInfo(lifetime));
    message
}

async fn change(handle: &Handle, index: u32, address: IpAddr, step: Step) -> Result<(), AddressError> {
    let message = address_message(index, address);
    let (outcome, action, harmless) = match step {
        Step::Add => {
            let mut request = handle.address().add(index, address, message.header.prefix_len);
            *request.message_mut() = message;
            (request.execute().await, "add", &[EXISTS][..])
        }
        Step::Remove => (handle.address().del(message).execute().await, "remove", &[NOT_AVAILABLE, NO_DEVICE][..]),
    };
    match outcome {
        Err(error) if errno(&error).is_some_and(|number| harmless.contains(&number)) => Ok(()),
        outcome => outcome.map_err(refused(format!("{action} {address} on {HOLDER_LINK}"))),
    }
}

/// The addresses on the link now.
async fn present(handle: &Handle, index: u32) -> Result<BTreeSet<IpAddr>, AddressError> {
    let mut addresses = BTreeSet::new();
    let mut messages = handle.address().get().set_link_index_filter(index).execute();
    while let Some(message) = messages.next().await {
        let message = message.map_err(refused(format!("list the addresses of {HOLDER_LINK}")))?;
        addresses.extend(message.attributes.iter().filter_map(|attribute| {
            let AddressAttribute::Address(address) = attribute else { return None };
            Some(*address)
        }));
    }
    Ok(addresses)
}

async fn find(handle: &Handle) -> Result<Option<LinkMessage>, AddressError> {
    match handle.link().get().match_name(HOLDER_LINK.to_owned()).execute().next().await {
        Some(Ok(link)) => Ok(Some(link)),
        Some(Err(error)) if errno(&error) == Some(NO_DEVICE) => Ok(None),
        Some(Err(error)) => Err(refused(format!("look for {HOLDER_LINK}"))(error)),
        None => Ok(None),
    }
}

/// Of the kinds that we make; everything else of that name is somebody else's.
fn is_ours(link: &LinkMessage) -> bool {
    link.attributes.iter().any(|attribute| {
        let LinkAttribute::LinkInfo(infos) = attribute else { return false };
        infos.iter().any(|info| matches!(info, LinkInfo::Kind(InfoKind::Dummy | InfoKind::Bridge)))
    })
}

async fn make(handle: &Handle) -> Result<u32, AddressError> {
    let dummy = handle.link().add(LinkDummy::new(HOLDER_LINK).up().build()).execute().await;
    match dummy {
        Ok(()) => {}
        Err(error) if errno(&error) == Some(NOT_SUPPORTED) => {
            let bridge = handle.link().add(LinkBridge::new(HOLDER_LINK).up().build()).execute().await;
            bridge.map_err(refused(format!("make the link {HOLDER_LINK}")))?;
        }
        Err(error) => return Err(refused(format!("make the link {HOLDER_LINK}"))(error)),
    }
    let made = find(handle).await?;
    // Where IPv6 is off altogether there is no such file, and no IPv6 address is ever announced.
    if let Err(error) = fs::write(IPV6_DISABLED, "0\n") {
        tracing::debug!(%error, "IPv6 was not enabled on {HOLDER_LINK}");
    }
    made.map(|link| link.header.index).ok_or(AddressError::Foreign)
}

async fn remove(handle: &Handle, index: u32) -> Result<(), AddressError> {
    match handle.link().del(index).execute().await {
        Err(error) if errno(&error) == Some(NO_DEVICE) => Ok(()),
        outcome => outcome.map_err(refused(format!("remove the link {HOLDER_LINK}"))),
    }
}

/// Name and index of an Ethernet link that is not ours.
fn ethernet(link: &LinkMessage) -> Option<LinkName> {
    if link.header.link_layer_type != LinkLayerType::Ether {
        return None;
    }
    let name = link.attributes.iter().find_map(|attribute| {
        let LinkAttribute::IfName(name) = attribute else { return None };
        Some(name.clone())
    })?;
    (name != HOLDER_LINK).then_some(LinkName { name, index: link.header.index })
}
