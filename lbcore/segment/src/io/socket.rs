//! What the operating system is asked for: packet sockets, waiting, the clock, priority. All `unsafe` of this crate is here.
//!
//! A packet socket is created for protocol 0, which receives nothing; then its filter is attached and locked, and only then is
//! it bound. In any other order its queue holds unfiltered frames of every link.

#![expect(unsafe_code, reason = "these system calls have no safe wrapper in the crates that this one uses")]

use core::time::Duration;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};

use lbcore::link::{LinkIndex, MacAddr};
use lbcore::time::Timestamp;
use socket2::{Domain, SockFilter, Socket, Type};

use super::protocol::{EtherType, Port};
use crate::filter::Instruction;

impl EtherType {
    /// As the kernel wants it in `sockaddr_ll`: in network order.
    const fn to_network_order(self) -> u16 {
        match self {
            Self::Ipv4 => 0x0800_u16.to_be(),
            Self::Arp => 0x0806_u16.to_be(),
            Self::Ipv6 => 0x86dd_u16.to_be(),
        }
    }
}

/// A packet socket on one link for one protocol. Never blocks.
#[derive(Debug)]
pub(super) struct PacketSocket(Socket);

impl PacketSocket {
    /// Whether this process may open packet sockets at all.
    ///
    /// # Errors
    /// What the kernel said; `PermissionDenied` without `CAP_NET_RAW`.
    pub(super) fn probe_permission() -> io::Result<()> {
        Self::create().map(drop)
    }

    /// Opens a socket that receives what the port's filter passes.
    ///
    /// # Errors
    /// What the kernel said; among others where the link is gone.
    pub(super) fn open(link: LinkIndex, port: &Port) -> io::Result<Self> {
        let socket = Self::create()?;
        let in_kernel = |step: &Instruction| SockFilter::new(step.code, step.jump_true, step.jump_false, step.operand);
        let program: Vec<SockFilter> = port.filter.iter().map(in_kernel).collect();
        socket.0.attach_filter(&program)?;
        socket.set_option(libc::SOL_SOCKET, libc::SO_LOCK_FILTER, &1_i32)?;
        socket.bind(link, port.ether_type)?;
        if let Some(group) = port.group {
            socket.join(link, group)?;
        }
        Ok(socket)
    }

    /// Lets the link's hardware take in frames to a group address, for as long as the socket lives.
    ///
    /// # Errors
    /// What the kernel said.
    fn join(&self, link: LinkIndex, group: MacAddr) -> io::Result<()> {
        let mut address = [0; 8];
        for (place, octet) in address.iter_mut().zip(group.octets()) {
            *place = octet;
        }
        let membership = libc::packet_mreq {
            mr_ifindex: index_for_kernel(link)?,
            mr_type: u16::try_from(libc::PACKET_MR_MULTICAST).map_err(io::Error::other)?,
            mr_alen: 6,
            mr_address: address,
        };
        self.set_option(libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &membership)
    }

    /// Takes the next frame from the queue; `None` where it is empty. A longer frame than `buffer` is cut.
    ///
    /// # Errors
    /// What the kernel said; `NetworkDown` once where the link went down, after which the socket works on.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match (&self.0).read(buffer) {
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts a frame on the link.
    ///
    /// # Errors
    /// What the kernel said; `WouldBlock` where the link's queue is full.
    pub(super) fn send(&self, frame: &[u8]) -> io::Result<()> {
        (&self.0).write(frame).map(drop)
    }

    fn create() -> io::Result<Self> {
        Socket::new(Domain::PACKET, Type::RAW.nonblocking(), None).map(Self)
    }

    fn bind(&self, link: LinkIndex, protocol: EtherType) -> io::Result<()> {
        let address = libc::sockaddr_ll {
            sll_family: u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?,
            sll_protocol: protocol.to_network_order(),
            sll_ifindex: index_for_kernel(link)?,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        let length = length_of(&address)?;
        // SAFETY: `address` is a whole `sockaddr_ll` of `length` octets that lives through the call, which only reads it.
        let result = unsafe { libc::bind(self.0.as_raw_fd(), (&raw const address).cast(), length) };
        checked(result)
    }

    fn set_option<T: Copy>(&self, level: i32, name: i32, value: &T) -> io::Result<()> {
        let length = length_of(value)?;
        let value = core::ptr::from_ref(value);
        // SAFETY: `value` points to `length` octets that live through the call, which only reads them.
        let result = unsafe { libc::setsockopt(self.0.as_raw_fd(), level, name, value.cast(), length) };
        checked(result)
    }
}

impl AsRawFd for PacketSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

fn index_for_kernel(link: LinkIndex) -> io::Result<i32> {
    i32::try_from(link.as_u32()).map_err(io::Error::other)
}

fn length_of<T>(_value: &T) -> io::Result<libc::socklen_t> {
    libc::socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)
}

fn checked(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The time on `CLOCK_BOOTTIME`, which also runs while the machine is suspended ([OWN-50]): microseconds since the machine started.
///
/// Whoever calls the [`Hub`](lbcore::ownership::Hub) that an announcer works for has to use this clock.
pub fn now() -> Timestamp {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a whole `timespec` that the call may write. It cannot fail: the clock exists since Linux 2.6.39.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or_default();
    Timestamp::from_micros(seconds * 1_000_000 + nanoseconds / 1_000)
}

/// Asks to be woken when `source` can be read.
pub(super) fn readable(source: &impl AsRawFd) -> libc::pollfd {
    libc::pollfd { fd: source.as_raw_fd(), events: libc::POLLIN, revents: 0 }
}

/// Sleeps until one of `sources` can be read (or has failed), or `timeout` is over. Being interrupted counts as over.
///
/// # Errors
/// What the kernel said.
pub(super) fn wait(sources: &mut [libc::pollfd], timeout: Duration) -> io::Result<()> {
    // Rounded up: waking before a deadline would only mean to wait again.
    let timeout = i32::try_from(timeout.as_micros().div_ceil(1_000)).unwrap_or(i32::MAX);
    let count = libc::nfds_t::try_from(sources.len()).map_err(io::Error::other)?;
    // SAFETY: `sources` are `count` whole `pollfd` that live through the call, which may write them.
    let result = unsafe { libc::poll(sources.as_mut_ptr(), count, timeout) };
    match checked(result) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
        outcome => outcome,
    }
}

/// What the calling thread runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Priority {
    /// `SCHED_FIFO` 1: before every ordinary thread of the machine.
    RealTime,
    /// The best nice value.
    Nice,
    /// As any other thread.
    Ordinary,
}

/// Raises the calling thread as far as it may go: with busy cores the slowest replies come thirty times as fast.
pub(super) fn raise_priority() -> Priority {
    const BEST_NICE: libc::c_int = -20;
    let parameters = libc::sched_param { sched_priority: 1 };
    // Threads and processes begun from this one start over as ordinary ones.
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: `parameters` lives through the call, which only reads it; 0 names the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
    if result == 0 {
        return Priority::RealTime;
    }
    // SAFETY: no memory is handed over; 0 names the calling thread.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, BEST_NICE) };
    if result == 0 { Priority::Nice } else { Priority::Ordinary }
}
