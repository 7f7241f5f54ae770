//! A host: a network namespace that only a file descriptor holds, so that it goes with the process however that ends.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use std::{fmt, fs};

use crate::error::{Error, Result};
use crate::netlink::{Netlink, VethPair};
use crate::process::{Output, Process};
use crate::sys;

/// Longest name of a host: its switch port is called `p-NAME`, and a link's name has at most 15 octets.
pub const NAME_OCTETS: usize = 13;

/// Hardware address of the one host behind a bridge of [`Host::bridge_to`]; no other segment has it.
const BEHIND_A_BRIDGE: [u8; 6] = [0x02, 0x1a, 0xb0, 1, 0, 1];

/// Which way a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via<'a> {
    /// To this neighbour, which passes it on.
    Gateway(IpAddr),
    /// Straight out of this link: the destinations are neighbours.
    Link(&'a str),
}

/// A hardware address as six octets, in the order they stand on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hardware(pub [u8; 6]);

impl Hardware {
    /// All hosts of a segment.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// "Not known", as in the target of an ARP request.
    pub const ZERO: Self = Self([0; 6]);
}

impl fmt::Display for Hardware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, others @ ..] = self.0;
        write!(f, "{first:02x}")?;
        others.iter().try_for_each(|octet| write!(f, ":{octet:02x}"))
    }
}

impl fmt::Debug for Hardware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A host of a laboratory; clones are the same host.
#[derive(Clone)]
pub struct Host {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    namespace: OwnedFd,
    netlink: Mutex<Netlink>,
    links: AtomicU32,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Host").field(&self.inner.name).finish()
    }
}

impl Host {
    /// A new host with its loopback link up.
    pub(crate) fn new(name: &str) -> Result<Self> {
        if name.is_empty() || name.len() > NAME_OCTETS || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        {
            let mend = format!("1 to {NAME_OCTETS} letters, digits or hyphens");
            return Err(Error::Input { what: "host name", value: name.to_owned(), mend });
        }
        let made = thread::scope(|scope| scope.spawn(new_namespace).join());
        let (namespace, mut netlink) = made.map_err(|_| Error::Thread { what: format!("host {name}") })??;
        let loopback = netlink.index_of("lo")?;
        netlink.set_up(loopback, true)?;
        let (netlink, links) = (Mutex::new(netlink), AtomicU32::new(0));
        Ok(Self { inner: Arc::new(Inner { name: name.to_owned(), namespace, netlink, links }) })
    }

    /// The name it was made with.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Adds an address with its prefix length ("192.0.2.1/24") to a link.
    ///
    /// # Errors
    /// [`Error::Input`] for text that is no address; else what the kernel refused.
    pub fn address(&self, link: &str, address: &str) -> Result<()> {
        let (ip, prefix) = parse_address(address)?;
        let mut netlink = self.netlink();
        let index = netlink.index_of(link)?;
        netlink.add_address(index, ip, prefix)
    }

    /// Removes an address that [`Host::address`] or a program in the host added.
    ///
    /// # Errors
    /// As [`Host::address`].
    pub fn remove_address(&self, link: &str, address: &str) -> Result<()> {
        let (ip, prefix) = parse_address(address)?;
        let mut netlink = self.netlink();
        let index = netlink.index_of(link)?;
        netlink.delete_address(index, ip, prefix)
    }

    /// Sets a link of the host up.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn up(&self, link: &str) -> Result<()> {
        let mut netlink = self.netlink();
        let index = netlink.index_of(link)?;
        netlink.set_up(index, true)
    }

    /// Sets a link of the host down.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn down(&self, link: &str) -> Result<()> {
        let mut netlink = self.netlink();
        let index = netlink.index_of(link)?;
        netlink.set_up(index, false)
    }

    /// Deletes a link of the host.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn delete_link(&self, link: &str) -> Result<()> {
        let mut netlink = self.netlink();
        let index = netlink.index_of(link)?;
        netlink.delete(index)
    }

    /// Kernel index of a link.
    ///
    /// # Errors
    /// What the kernel refused; a link that does not exist is `ENODEV`.
    pub fn link_index(&self, link: &str) -> Result<u32> {
        self.netlink().index_of(link)
    }

    /// Hardware address of a link.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn hardware(&self, link: &str) -> Result<Hardware> {
        self.netlink().hardware_of(link).map(Hardware)
    }

    /// Gives a link of the host another hardware address.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn set_hardware(&self, link: &str, hardware: Hardware) -> Result<()> {
        let mut netlink = self.netlink();
        let index = netlink.index_of(link)?;
        netlink.set_hardware(index, hardware.0)
    }

    /// The hardware address that the host's kernel holds for a neighbour, if it holds one.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn neighbour(&self, link: &str, address: impl Into<IpAddr>) -> Result<Option<Hardware>> {
        let mut netlink = self.netlink();
        let index = netlink.index_of(link)?;
        Ok(netlink.neighbour(index, address.into())?.map(Hardware))
    }

    /// Makes the host's kernel hold a hardware address for a neighbour, whatever anybody says on the wire.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn set_neighbour(&self, link: &str, address: impl Into<IpAddr>, hardware: Hardware) -> Result<()> {
        let mut netlink = self.netlink();
        let index = netlink.index_of(link)?;
        netlink.set_neighbour(index, address.into(), hardware.0)
    }

    /// Makes the host's kernel forget a neighbour; one that it does not know is no error.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn forget_neighbour(&self, link: &str, address: impl Into<IpAddr>) -> Result<()> {
        let mut netlink = self.netlink();
        let index = netlink.index_of(link)?;
        netlink.forget_neighbour(index, address.into())
    }

    /// Adds a route ("0.0.0.0/0", "`2001:db8::/32`"); one to the same destination is replaced.
    ///
    /// # Errors
    /// [`Error::Input`] for text that is no destination; else what the kernel refused.
    pub fn route(&self, destination: &str, by: Via<'_>) -> Result<()> {
        let (to, prefix) = parse_address(destination)?;
        let mut netlink = self.netlink();
        let by = match by {
            Via::Link(link) => Ok(netlink.index_of(link)?),
            Via::Gateway(gateway) => Err(gateway),
        };
        netlink.add_route(to, prefix, by)
    }

    /// Makes a bridge in this host with one port, whose other end is a link of `other`; returns that link's name. All are up.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn bridge_to(&self, bridge: &str, port: &str, other: &Self) -> Result<String> {
        let link = other.next_link();
        let mut netlink = self.netlink();
        netlink.add_bridge(bridge)?;
        let index = netlink.index_of(bridge)?;
        netlink.set_up(index, true)?;
        netlink.add_veth(&VethPair {
            here: port,
            there: &link,
            there_hardware: BEHIND_A_BRIDGE,
            there_namespace: other.namespace_raw(),
            bridge: index,
        })?;
        let port = netlink.index_of(port)?;
        netlink.set_up(port, true)?;
        drop(netlink);
        other.up(&link)?;
        Ok(link)
    }

    /// Sets a kernel parameter of the host (`net.ipv4.ip_forward`, `1`).
    ///
    /// # Errors
    /// [`Error::System`] where it does not exist or cannot be written.
    pub fn sysctl(&self, name: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        let written = self.inside(|| fs::write(&path, value))?;
        written.map_err(|source| Error::system(format!("writing {path}"), source))
    }

    /// Starts a command in the host, in a process group of its own; it is killed when the value is dropped or we die.
    ///
    /// # Errors
    /// [`Error::System`] where it cannot be started.
    pub fn spawn(&self, command: Command) -> Result<Process> {
        Process::spawn(self, command)
    }

    /// Runs a command in the host to its end, whatever its status.
    ///
    /// # Errors
    /// [`Error::Late`] where it takes longer; it is killed then. [`Error::System`] where it cannot be started.
    pub fn run(&self, command: Command, within: Duration) -> Result<Output> {
        self.spawn(command)?.output(within)
    }

    /// Runs a closure on a new thread inside the host; sockets it opens stay in the host wherever they go.
    ///
    /// # Errors
    /// [`Error::System`] where no thread can be made. Where the host cannot be entered, joining the thread yields that error.
    pub fn thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<thread::JoinHandle<Result<T>>> {
        let host = self.clone();
        let builder = thread::Builder::new().name(format!("host {}", self.name()));
        let body = move || {
            host.enter()?;
            Ok(work())
        };
        builder.spawn(body).map_err(|source| Error::system("making a thread", source))
    }

    /// Runs a closure inside the host and waits for its result.
    ///
    /// # Errors
    /// [`Error::System`] where the host cannot be entered, [`Error::Thread`] where the closure panics.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let body = || {
            self.enter()?;
            Ok(work())
        };
        let joined = thread::scope(|scope| scope.spawn(body).join());
        joined.map_err(|_| Error::Thread { what: format!("work in host {}", self.name()) })?
    }

    /// The namespace's descriptor, for whoever wants to enter it by other means.
    pub fn namespace(&self) -> BorrowedFd<'_> {
        self.inner.namespace.as_fd()
    }

    pub(crate) fn namespace_raw(&self) -> RawFd {
        self.inner.namespace.as_raw_fd()
    }

    /// The host's netlink socket. A panic of another thread cannot leave it half used: each request is whole.
    pub(crate) fn netlink(&self) -> MutexGuard<'_, Netlink> {
        self.inner.netlink.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Name for the next link of this host: `eth0`, `eth1`, ...
    pub(crate) fn next_link(&self) -> String {
        format!("eth{}", self.inner.links.fetch_add(1, Ordering::Relaxed))
    }

    fn enter(&self) -> Result<()> {
        let doing = || format!("entering host {}", self.name());
        sys::enter_network(self.namespace()).map_err(|source| Error::system(doing(), source))
    }
}

/// Makes a network namespace from a thread that ends right after, and a netlink socket in it.
fn new_namespace() -> Result<(OwnedFd, Netlink)> {
    let failed = |source: io::Error| Error::system("making a network namespace", source);
    sys::unshare(libc::CLONE_NEWNET).map_err(failed)?;
    let namespace = fs::File::open("/proc/thread-self/ns/net").map_err(failed)?;
    Ok((OwnedFd::from(namespace), Netlink::open()?))
}

fn parse_address(text: &str) -> Result<(IpAddr, u8)> {
    let parsed = text.split_once('/').and_then(|(ip, prefix)| Some((ip.parse().ok()?, prefix.parse().ok()?)));
    parsed.ok_or_else(|| Error::Input {
        what: "address",
        value: text.to_owned(),
        mend: "write it with its prefix length, as in 192.0.2.1/24".into(),
    })
}
