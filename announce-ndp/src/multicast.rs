//! Solicited-node multicast groups: where solicitations for an address are sent.

use std::net::Ipv6Addr;

/// The group of all addresses that end in the same 24 bits.
///
/// # Examples
/// ```
/// use announce_ndp::multicast::solicited_node;
///
/// let group = solicited_node("2001:db8::10".parse()?);
/// assert_eq!(group.to_string(), "ff02::1:ff00:10");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
///
/// Source: RFC 4291 section 2.7.1; [VEC-32].
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let prefix = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0).to_bits();
    Ipv6Addr::from_bits(prefix | (address.to_bits() & 0x00ff_ffff))
}

#[cfg(test)]
mod tests {
    use super::*;

    // [VEC-32]
    #[test]
    fn the_last_24_bits_choose_the_group() {
        let group = |text: &str| solicited_node(text.parse().unwrap()).to_string();
        assert_eq!(group("2001:db8::10"), "ff02::1:ff00:10");
        assert_eq!(group("2001:db8::ab:cdef:1234"), "ff02::1:ffef:1234");
    }
}
