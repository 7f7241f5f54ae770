//! What the operating system is asked for: sockets that are ready to dial, the clock. All `unsafe` of this crate but that of TCP MD5 is
//! here.

#![expect(unsafe_code, reason = "these system calls have no safe wrapper in the crates that this one uses")]

use std::io;
use std::net::{IpAddr, SocketAddr};

use lbcore::peer::Password;
use lbcore::time::Timestamp;
use socket2::SockRef;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpSocket;

use super::tcp_md5;

/// Differentiated services code point CS6, network control, as the whole octet (RFC 4271 appendix E).
const NETWORK_CONTROL: u32 = 0xc0;

/// Microseconds of `CLOCK_BOOTTIME`: the clock of all announcers.
pub fn now() -> Timestamp {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` lives through the call, which writes it whole; the clock exists since Linux 2.6.39, so the call cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let micros = u64::try_from(time.tv_nsec / 1_000).unwrap_or(0);
    Timestamp::from_micros(seconds * 1_000_000 + micros)
}

/// A netlink socket that the runtime tells of messages on.
///
/// # Errors
/// What the runtime said.
pub(super) fn watched(socket: netlink_sys::Socket) -> io::Result<AsyncFd<netlink_sys::Socket>> {
    // SAFETY: the socket owns its descriptor, and neither replaces nor closes it before it is dropped, which is after the registration.
    Ok(unsafe { AsyncFd::register(socket) }?)
}

/// How a peer is dialled.
#[derive(Clone, Debug)]
pub(super) struct DialPlan {
    pub(super) remote: SocketAddr,
    pub(super) source: Option<IpAddr>,
    pub(super) ttl: Option<u8>,
    pub(super) password: Option<Password>,
}

impl DialPlan {
    /// A socket that has everything it needs before it connects.
    ///
    /// # Errors
    /// What the kernel said, with what was asked of it.
    pub(super) fn socket(&self) -> io::Result<TcpSocket> {
        let said = |what: &str, error: &io::Error| io::Error::new(error.kind(), format!("{what}: {error}"));
        let is_v4 = self.remote.is_ipv4();
        let socket = if is_v4 { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        let options = SockRef::from(&socket);
        options.set_tcp_nodelay(true)?;
        if is_v4 {
            options.set_tos_v4(NETWORK_CONTROL)?;
        } else {
            options.set_tclass_v6(NETWORK_CONTROL)?;
        }
        if let Some(ttl) = self.ttl.map(u32::from) {
            if is_v4 { options.set_ttl_v4(ttl)? } else { options.set_unicast_hops_v6(ttl)? }
        }
        // An empty password is none ([PEER-23]).
        if let Some(password) = self.password.as_ref().filter(|password| !password.as_bytes().is_empty()) {
            tcp_md5::sign(&socket, self.remote.ip(), password)
                .map_err(|error| said("the password (TCP MD5) could not be set", &error))?;
        }
        if let Some(source) = self.source {
            socket
                .bind(SocketAddr::new(source, 0))
                .map_err(|error| said(&format!("the source address {source} could not be used"), &error))?;
        }
        Ok(socket)
    }
}
