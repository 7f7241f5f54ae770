//! The TCP MD5 signature option (RFC 2385), set on a socket before it connects. All that the kernel must be told is here.

#![expect(unsafe_code, reason = "the option has no safe wrapper in the crates that this one uses")]

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};

use lbcore::peer::Password;
use socket2::{SockAddr, SockAddrStorage};

/// Longest key that the kernel takes ([BGP-8]).
pub(super) const MAX_KEY: usize = 80;

/// `struct tcp_md5sig` of the kernel (`linux/tcp.h`).
#[repr(C)]
struct Signature {
    address: SockAddrStorage,
    flags: u8,
    prefix_length: u8,
    key_length: u16,
    link: u32,
    key: [u8; MAX_KEY],
}

/// Lets every segment to and from the peer be signed with the key. A peer with another key or none is never heard: dialling it
/// ends in silence.
///
/// # Errors
/// `InvalidInput` for an empty key or one of more than 80 octets; else what the kernel said, `ENOPROTOOPT` where it has no TCP MD5.
pub(super) fn sign(socket: &impl AsFd, peer: IpAddr, password: &Password) -> io::Result<()> {
    let key = password.as_bytes();
    if key.is_empty() || key.len() > MAX_KEY {
        let message = format!("the password has {} octets, TCP MD5 takes 1 to {MAX_KEY}", key.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let mut signature = Signature {
        address: SockAddr::from(SocketAddr::new(peer, 0)).as_storage(),
        flags: 0,
        prefix_length: 0,
        key_length: u16::try_from(key.len()).map_err(io::Error::other)?,
        link: 0,
        key: [0; MAX_KEY],
    };
    signature.key.iter_mut().zip(key).for_each(|(place, octet)| *place = *octet);
    let length = libc::socklen_t::try_from(size_of::<Signature>()).map_err(io::Error::other)?;
    // SAFETY: `signature` lives through the call, which only reads `length` octets of it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_MD5SIG,
            (&raw const signature).cast(),
            length,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
