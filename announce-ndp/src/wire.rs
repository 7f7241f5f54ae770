//! Neighbor solicitations and advertisements as values (RFC 4861 sections 4.3, 4.4 and 4.6.1).
//!
//! Options are walked by a strict reader of our own: a length of zero, or one past the end, discards the message, as RFC 4861
//! section 4.6 says.

use std::net::Ipv6Addr;

use lbcore::link::MacAddr;
use pnet_packet::icmpv6::{Icmpv6Packet, checksum};
use thiserror::Error;

const TYPE_SOLICITATION: u8 = 135;
const TYPE_ADVERTISEMENT: u8 = 136;
const OPTION_SOURCE_LINK_LAYER: u8 = 1;
const OPTION_TARGET_LINK_LAYER: u8 = 2;
const FLAG_SOLICITED: u8 = 0x40;
const FLAG_OVERRIDE: u8 = 0x20;
/// Type, code, checksum, flags or reserved, target.
const FIXED_LENGTH: usize = 24;

/// A message that is discarded (RFC 4861 section 7.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WireError {
    /// Shorter than its fixed part.
    #[error("shorter than {FIXED_LENGTH} octets")]
    TooShort,
    /// Not a solicitation.
    #[error("type {kind}, code {code} is no neighbor solicitation")]
    Kind {
        /// `ICMPv6` type.
        kind: u8,
        /// `ICMPv6` code.
        code: u8,
    },
    /// The target is a multicast address.
    #[error("multicast target")]
    MulticastTarget,
    /// An option of length zero or one that runs past the end.
    #[error("malformed option at octet {offset}")]
    Option {
        /// Where it begins.
        offset: usize,
    },
}

/// A neighbor solicitation, checked as far as its `ICMPv6` part tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Solicitation {
    /// The address asked for.
    pub target: Ipv6Addr,
    /// The asker's hardware address; absent in probes for duplicates.
    pub source_link_layer: Option<MacAddr>,
}

/// Reads the `ICMPv6` message of a solicitation. The caller has checked hop limit 255 and the checksum.
///
/// # Errors
/// [`WireError`]: the message is to be discarded.
///
/// Source: RFC 4861 sections 4.3 and 7.1.1.
pub fn read_solicitation(message: &[u8]) -> Result<Solicitation, WireError> {
    let (fixed, options) = message.split_first_chunk::<FIXED_LENGTH>().ok_or(WireError::TooShort)?;
    let [kind, code, ..] = *fixed;
    if kind != TYPE_SOLICITATION || code != 0 {
        return Err(WireError::Kind { kind, code });
    }
    let target = fixed.last_chunk::<16>().map_or(Ipv6Addr::UNSPECIFIED, |octets| Ipv6Addr::from(*octets));
    if target.is_multicast() {
        return Err(WireError::MulticastTarget);
    }
    let mut source_link_layer = None;
    let mut rest = options;
    while let [kind, units, ..] = *rest {
        let length = usize::from(units) * 8;
        let error = WireError::Option { offset: message.len() - rest.len() };
        let (option, next) = rest.split_at_checked(length).filter(|_| length > 0).ok_or(error)?;
        if kind == OPTION_SOURCE_LINK_LAYER && source_link_layer.is_none() {
            let octets = option.get(2..).and_then(<[u8]>::first_chunk::<6>);
            source_link_layer = octets.map(|octets| MacAddr::new(*octets));
        }
        rest = next;
    }
    if rest.is_empty() {
        Ok(Solicitation { target, source_link_layer })
    } else {
        Err(WireError::Option { offset: message.len() - rest.len() })
    }
}

/// Why an advertisement is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// An answer to a solicitation from an address: Solicited set, Override clear ([VEC-33]).
    Solicited,
    /// Unsolicited: Override set, Solicited clear, so that hosts take the new hardware address at once ([L2-83]).
    Unsolicited,
}

/// Writes a neighbor advertisement with its target link-layer option; the checksum covers the pseudo header of these addresses.
///
/// Source: RFC 4861 section 4.4; [VEC-33].
pub fn write_advertisement(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    target: Ipv6Addr,
    mac: MacAddr,
    occasion: Occasion,
) -> Vec<u8> {
    let flags = match occasion {
        Occasion::Solicited => FLAG_SOLICITED,
        Occasion::Unsolicited => FLAG_OVERRIDE,
    };
    let mut message = vec![TYPE_ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0];
    message.extend_from_slice(&target.octets());
    message.extend_from_slice(&[OPTION_TARGET_LINK_LAYER, 1]);
    message.extend_from_slice(&mac.octets());
    let sum = Icmpv6Packet::new(&message).map_or(0, |packet| checksum(&packet, &source, &destination));
    if let Some(field) = message.get_mut(2..4) {
        field.copy_from_slice(&sum.to_be_bytes());
    }
    message
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn solicitation(options: &[u8]) -> Vec<u8> {
        let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
        message.extend_from_slice(&"2001:db8::10".parse::<Ipv6Addr>().unwrap().octets());
        message.extend_from_slice(options);
        message
    }

    // [VEC-33], with the checksum zeroed as the vector has it.
    #[test]
    fn an_unsolicited_advertisement_is_the_published_octets() {
        let address = "2001:db8::10".parse().unwrap();
        let mac = "02:00:00:00:00:01".parse().unwrap();
        let mut message = write_advertisement(address, "ff02::1".parse().unwrap(), address, mac, Occasion::Unsolicited);
        assert_ne!(&message[2..4], &[0, 0]);
        message[2..4].fill(0);
        let expected = [
            &[0x88, 0, 0, 0, 0x20, 0, 0, 0, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10][..],
            &[2, 1, 2, 0, 0, 0, 0, 1][..],
        ]
        .concat();
        assert_eq!(message, expected);
        let solicited = write_advertisement(address, address, address, mac, Occasion::Solicited);
        assert_eq!(solicited[4], 0x40);
    }

    // RFC 4861 section 4.6: a length of zero discards the message.
    #[test]
    fn options_are_read_strictly() {
        let mac = "02:00:00:00:00:50".parse().unwrap();
        let read = read_solicitation(&solicitation(&[1, 1, 2, 0, 0, 0, 0, 0x50])).unwrap();
        assert_eq!(read.source_link_layer, Some(mac));
        assert_eq!(read_solicitation(&solicitation(&[])).unwrap().source_link_layer, None);
        for bad in [&[1, 0, 0, 0, 0, 0, 0, 0][..], &[1, 2, 0, 0, 0, 0, 0, 0], &[1, 32, 0, 0, 0, 0, 0, 0], &[1]] {
            assert_eq!(read_solicitation(&solicitation(bad)), Err(WireError::Option { offset: 24 }));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe(message in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_solicitation(&message);
            let _ = read_solicitation(&solicitation(&message));
        }
    }
}
