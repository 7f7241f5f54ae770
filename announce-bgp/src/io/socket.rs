//! What the operating system is asked for: sockets that are ready to dial, the addresses of links, the clock. All `unsafe` of this crate
//! but that of TCP MD5 is here.

#![expect(unsafe_code, reason = "these system calls have no safe wrapper in the crates that this one uses")]

use core::ptr;
use std::ffi::CStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use lbcore::peer::Password;
use lbcore::time::Timestamp;
use socket2::SockRef;
use tokio::net::TcpSocket;

use super::tcp_md5;
use crate::session::{LocalEnd, Nearness};

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

/// An address of a link with the mask of its network.
#[derive(Clone, Debug)]
struct LinkAddress {
    link: Vec<u8>,
    address: IpAddr,
    mask: IpAddr,
}

impl LinkAddress {
    fn contains(&self, other: IpAddr) -> bool {
        match (self.address, self.mask, other) {
            (IpAddr::V4(own), IpAddr::V4(mask), IpAddr::V4(other)) => {
                u32::from(own) & u32::from(mask) == u32::from(other) & u32::from(mask)
            }
            (IpAddr::V6(own), IpAddr::V6(mask), IpAddr::V6(other)) => {
                u128::from(own) & u128::from(mask) == u128::from(other) & u128::from(mask)
            }
            _ => false,
        }
    }
}

/// What is known of our end of a connection. Where the system tells nothing of links, only the address is.
pub(super) fn local_end(local: IpAddr, remote: IpAddr) -> LocalEnd {
    let local = local.to_canonical();
    describe(local, remote.to_canonical(), &link_addresses().unwrap_or_default())
}

fn describe(local: IpAddr, remote: IpAddr, addresses: &[LinkAddress]) -> LocalEnd {
    let mut end = LocalEnd::of(local);
    let Some(owner) = addresses.iter().find(|known| known.address == local) else { return end };
    for known in addresses.iter().filter(|known| known.link == owner.link) {
        match known.address {
            IpAddr::V4(address) => end.link_v4 = end.link_v4.or(Some(address)),
            IpAddr::V6(address) if address.is_unicast_link_local() => {
                end.link_local = end.link_local.or(Some(address));
            }
            IpAddr::V6(address) => end.link_v6 = end.link_v6.or(Some(address)),
        }
    }
    if owner.contains(remote) {
        end.nearness = Nearness::OnLink;
    }
    end
}

/// The addresses of all links, in the kernel's order.
fn link_addresses() -> io::Result<Vec<LinkAddress>> {
    let mut first: *mut libc::ifaddrs = ptr::null_mut();
    // SAFETY: the call writes one pointer into `first`, which lives through it.
    let result = unsafe { libc::getifaddrs(&raw mut first) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut found = Vec::new();
    let mut next = first;
    // SAFETY: the list is valid until it is freed below; its end is a null pointer, for which this yields `None`.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ifa_next;
        let (Some(address), Some(mask)) = (address_at(entry.ifa_addr), address_at(entry.ifa_netmask)) else { continue };
        if entry.ifa_name.is_null() {
            continue;
        }
        // SAFETY: names in the list are texts that end with a zero octet, and this one is not null.
        let link = unsafe { CStr::from_ptr(entry.ifa_name) }.to_bytes().to_vec();
        found.push(LinkAddress { link, address, mask });
    }
    // SAFETY: `first` came from `getifaddrs`, and nothing borrowed from the list is left.
    unsafe { libc::freeifaddrs(first) };
    Ok(found)
}

/// The IP address that a pointer of the list leads to; `None` for null and for other families.
#[expect(clippy::cast_ptr_alignment, reason = "the C library aligns each address for its family")]
fn address_at(address: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: pointers of the list are null or lead to an address that begins with its family.
    let family = i32::from(unsafe { address.as_ref() }?.sa_family);
    match family {
        libc::AF_INET => {
            // SAFETY: the family says that a `sockaddr_in` stands there, which the kernel aligned for all families.
            let address = unsafe { address.cast::<libc::sockaddr_in>().as_ref() }?;
            Some(IpAddr::V4(Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr))))
        }
        libc::AF_INET6 => {
            // SAFETY: as above, with a `sockaddr_in6`.
            let address = unsafe { address.cast::<libc::sockaddr_in6>().as_ref() }?;
            Some(IpAddr::V6(Ipv6Addr::from(address.sin6_addr.s6_addr)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(link: &str, address: &str, mask: &str) -> LinkAddress {
        LinkAddress { link: link.into(), address: address.parse().unwrap(), mask: mask.parse().unwrap() }
    }

    // [WIRE-50], [WIRE-51]
    #[test]
    fn the_link_of_an_address_tells_its_others() {
        let addresses = [
            known("eth0", "192.0.2.1", "255.255.255.0"),
            known("eth1", "198.51.100.1", "255.255.255.0"),
            known("eth0", "fe80::1", "ffff:ffff:ffff:ffff::"),
            known("eth0", "2001:db8::1", "ffff:ffff:ffff:ffff::"),
        ];
        let end = describe("192.0.2.1".parse().unwrap(), "192.0.2.9".parse().unwrap(), &addresses);
        let expected = LocalEnd {
            local: "192.0.2.1".parse().unwrap(),
            link_v4: Some("192.0.2.1".parse().unwrap()),
            link_v6: Some("2001:db8::1".parse().unwrap()),
            link_local: Some("fe80::1".parse().unwrap()),
            nearness: Nearness::OnLink,
        };
        assert_eq!(end, expected);
        let routed = describe("2001:db8::1".parse().unwrap(), "2001:db8:9::1".parse().unwrap(), &addresses);
        assert_eq!((routed.nearness, routed.link_v4), (Nearness::Routed, expected.link_v4));
        let unknown: IpAddr = "203.0.113.1".parse().unwrap();
        assert_eq!(describe(unknown, unknown, &addresses), LocalEnd::of(unknown));
    }

    #[test]
    fn the_loopback_link_is_among_the_links_of_this_host() {
        let addresses = link_addresses().unwrap();
        assert!(addresses.iter().all(|known| !known.link.is_empty() && known.contains(known.address)));
    }
}
