//! The system calls that neither std nor socket2 offers, each behind a safe function. All `unsafe` of this crate is here.

#![expect(unsafe_code, reason = "namespaces, packet sockets and parent-death signals have no safe wrapper in std")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};

/// Every protocol, host order: a socket that hears all frames (`ETH_P_ALL`).
pub(crate) const EVERY_PROTOCOL: u16 = 0x0003;

#[expect(clippy::cast_possible_truncation, reason = "AF_PACKET is 17")]
const PACKET_FAMILY: libc::sa_family_t = libc::AF_PACKET.cast_unsigned() as libc::sa_family_t;

/// Size of a kernel structure as the socket calls take it.
#[expect(clippy::cast_possible_truncation, reason = "structures of the kernel's interface have some dozen octets")]
const fn length_of<T>() -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}

fn check(status: libc::c_int) -> io::Result<()> {
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives the calling thread new namespaces (`CLONE_NEW*` flags).
pub(crate) fn unshare(flags: libc::c_int) -> io::Result<()> {
    // SAFETY: unshare takes no pointers; it changes only the namespaces of the calling thread.
    check(unsafe { libc::unshare(flags) })
}

/// Moves the calling thread into the network namespace behind `namespace`.
pub(crate) fn enter_network(namespace: BorrowedFd<'_>) -> io::Result<()> {
    enter_network_raw(namespace.as_raw_fd())
}

fn enter_network_raw(namespace: RawFd) -> io::Result<()> {
    // SAFETY: setns takes no pointers; a descriptor that is closed or of another kind is refused by the kernel.
    check(unsafe { libc::setns(namespace, libc::CLONE_NEWNET) })
}

/// Effective user id of this process.
pub(crate) fn user_id() -> u32 {
    // SAFETY: geteuid cannot fail and touches no memory of ours.
    unsafe { libc::geteuid() }
}

/// Effective group id of this process.
pub(crate) fn group_id() -> u32 {
    // SAFETY: getegid cannot fail and touches no memory of ours.
    unsafe { libc::getegid() }
}

/// Sends a signal to every process of a group that [`confine`] made.
pub(crate) fn signal_group(leader: u32, signal: libc::c_int) -> io::Result<()> {
    let leader = libc::pid_t::try_from(leader).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: kill takes no pointers. The caller holds the unreaped child, so the number cannot be another's.
    check(unsafe { libc::kill(-leader, signal) })
}

/// Makes `command` run inside `namespace`, and die when the thread that spawns it does.
///
/// The namespace must stay open until the child has been spawned.
pub(crate) fn confine(command: &mut Command, namespace: BorrowedFd<'_>) {
    prepare_child(command, Some(namespace.as_raw_fd()));
}

/// Makes `command` die when the thread that spawns it does.
pub(crate) fn die_with_us(command: &mut Command) {
    prepare_child(command, None);
}

fn prepare_child(command: &mut Command, namespace: Option<RawFd>) {
    let parent = std::process::id();
    let prepare = move || {
        if let Some(namespace) = namespace {
            enter_network_raw(namespace)?;
        }
        // A shell without job control starts what it puts in the background with SIGINT and SIGQUIT ignored, and that is inherited.
        for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGHUP] {
            // SAFETY: signal with SIG_DFL installs no handler of ours.
            if unsafe { libc::signal(signal, libc::SIG_DFL) } == libc::SIG_ERR {
                return Err(io::Error::last_os_error());
            }
        }
        // SAFETY: prctl with PR_SET_PDEATHSIG reads one number.
        check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
        // SAFETY: getppid cannot fail.
        let present = unsafe { libc::getppid() };
        // The parent may have died before the signal was asked for; then nobody would end us.
        if u32::try_from(present) == Ok(parent) { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
    };
    command.process_group(0);
    // SAFETY: the closure runs between fork and exec; it makes system calls only, takes no lock and allocates nothing.
    unsafe { command.pre_exec(prepare) };
}

/// A packet socket bound to `protocol` (host order) on the link with this index; with protocol 0 it is deaf until bound.
pub(crate) fn packet_socket(protocol: u16, link_index: u32) -> io::Result<Socket> {
    // Protocol 0 first: bound at once, the queue would hold frames of every link.
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
    if protocol != 0 {
        socket.bind(&link_address(protocol, link_index)?)?;
    }
    Ok(socket)
}

/// Binds a packet socket that was opened with protocol 0 to a protocol (host order) on all links.
pub(crate) fn bind_packet(socket: &Socket, protocol: u16) -> io::Result<()> {
    socket.bind(&link_address(protocol, 0)?)
}

fn link_address(protocol: u16, link_index: u32) -> io::Result<SockAddr> {
    let index = i32::try_from(link_index).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: sockaddr_ll is plain data of a family that fits into the storage.
    let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    address.sll_family = PACKET_FAMILY;
    address.sll_protocol = protocol.to_be();
    address.sll_ifindex = index;
    let length = length_of::<libc::sockaddr_ll>();
    // SAFETY: the storage holds a sockaddr_ll, whose size is the length given.
    Ok(unsafe { SockAddr::new(storage, length) })
}

fn set_number(socket: &Socket, level: libc::c_int, option: libc::c_int, number: libc::c_int) -> io::Result<()> {
    let length = length_of::<libc::c_int>();
    // SAFETY: the pointer is to a live c_int and the length is its size.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const number).cast(), length) })
}

/// Asks for kernel time stamps, for received frames only, and for a queue of `queue` octets.
pub(crate) fn prepare_capture(socket: &Socket, queue: libc::c_int) -> io::Result<()> {
    set_number(socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
    set_number(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
    // Beyond the host's limit needs a privilege of the first user namespace; the limit will do where it is missing.
    set_number(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, queue)
        .or_else(|_| set_number(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, queue))
}

/// Frames that the kernel dropped for lack of room since the last call.
pub(crate) fn frames_lost(socket: &Socket) -> io::Result<u32> {
    let mut statistics = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
    let mut length = length_of::<libc::tpacket_stats>();
    let place = (&raw mut statistics).cast();
    // SAFETY: the pointer is to a live tpacket_stats and the length is its size.
    let status = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_PACKET, libc::PACKET_STATISTICS, place, &raw mut length)
    };
    check(status).map(|()| statistics.tp_drops)
}

/// One received frame: its length on the wire, the link it came in by, and its time stamp since 1970.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) stored: usize,
    pub(crate) link_index: u32,
    pub(crate) at: Duration,
}

/// Room for one control message with a time stamp, aligned as the kernel wants it.
#[repr(C, align(8))]
struct ControlRoom([u8; 64]);

/// Receives one frame into `room`, with the link and the kernel's time stamp.
pub(crate) fn receive(socket: &Socket, room: &mut [u8]) -> io::Result<Received> {
    let mut control = ControlRoom([0; 64]);
    let mut part = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
    let mut source = SockAddrStorage::zeroed();
    // SAFETY: sockaddr_ll is plain data of a family that fits into the storage.
    let address = unsafe { source.view_as::<libc::sockaddr_ll>() };
    // SAFETY: msghdr is plain data for which zero is valid.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = std::ptr::from_mut(address).cast();
    header.msg_namelen = length_of::<libc::sockaddr_ll>();
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = control.0.len();
    // SAFETY: every pointer of the header is to live memory of the stated length.
    let stored = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, 0) };
    let stored = usize::try_from(stored).map_err(|_| io::Error::last_os_error())?;
    let link_index = u32::try_from(address.sll_ifindex).unwrap_or(0);
    Ok(Received { stored: stored.min(room.len()), link_index, at: stamp(&control.0) })
}

/// The time stamp of the first control message (`SCM_TIMESTAMPNS`: length, level, type, seconds, nanoseconds).
fn stamp(control: &[u8; 64]) -> Duration {
    let word = |from: usize| {
        let octets = control.get(from..from + 8).and_then(|part| <[u8; 8]>::try_from(part).ok());
        octets.map_or(0, u64::from_ne_bytes)
    };
    // cmsghdr is a length of 8 octets and two ints of 4 on the 64-bit machines this runs on.
    Duration::new(word(16), u32::try_from(word(24)).unwrap_or(0))
}

#[cfg(not(target_pointer_width = "64"))]
compile_error!("the control message of a time stamp is read in its 64-bit form");
