//! Code points with the names of their registries.
//!
//! Source: IANA, "Border Gateway Protocol (BGP) Parameters" and "Capability Codes".

use lbcore::family::IpFamily;

/// The AS number that stands where a number of four octets does not fit (RFC 6793 section 9).
pub const AS_TRANS: u16 = 23_456;

/// Subsequent address family: unicast.
pub const SAFI_UNICAST: u8 = 1;

/// Number of an address family (AFI).
pub const fn afi(family: IpFamily) -> u16 {
    match family {
        IpFamily::V4 => 1,
        IpFamily::V6 => 2,
    }
}

/// The family that unicast routes of this AFI and SAFI belong to; `None` for everything that we do not know.
pub const fn unicast(afi: u16, safi: u8) -> Option<IpFamily> {
    match (afi, safi) {
        (1, SAFI_UNICAST) => Some(IpFamily::V4),
        (2, SAFI_UNICAST) => Some(IpFamily::V6),
        _ => None,
    }
}

/// Capability codes (RFC 5492).
pub mod capability {
    /// Multiprotocol extensions (RFC 4760).
    pub const MULTIPROTOCOL: u8 = 1;
    /// Route refresh (RFC 2918).
    pub const ROUTE_REFRESH: u8 = 2;
    /// Graceful restart (RFC 4724).
    pub const GRACEFUL_RESTART: u8 = 64;
    /// AS numbers of four octets (RFC 6793).
    pub const FOUR_OCTET_AS: u8 = 65;
}

/// Path attribute type codes.
pub mod attribute {
    /// RFC 4271 section 5.1.1.
    pub const ORIGIN: u8 = 1;
    /// RFC 4271 section 5.1.2.
    pub const AS_PATH: u8 = 2;
    /// RFC 4271 section 5.1.3.
    pub const NEXT_HOP: u8 = 3;
    /// RFC 4271 section 5.1.4.
    pub const MULTI_EXIT_DISC: u8 = 4;
    /// RFC 4271 section 5.1.5.
    pub const LOCAL_PREF: u8 = 5;
    /// RFC 4271 section 5.1.6.
    pub const ATOMIC_AGGREGATE: u8 = 6;
    /// RFC 4271 section 5.1.7.
    pub const AGGREGATOR: u8 = 7;
    /// RFC 1997.
    pub const COMMUNITIES: u8 = 8;
    /// RFC 4456.
    pub const ORIGINATOR_ID: u8 = 9;
    /// RFC 4456.
    pub const CLUSTER_LIST: u8 = 10;
    /// RFC 4760.
    pub const MP_REACH_NLRI: u8 = 14;
    /// RFC 4760.
    pub const MP_UNREACH_NLRI: u8 = 15;
    /// RFC 4360.
    pub const EXTENDED_COMMUNITIES: u8 = 16;
    /// RFC 6793.
    pub const AS4_PATH: u8 = 17;
    /// RFC 6793.
    pub const AS4_AGGREGATOR: u8 = 18;
    /// RFC 5701.
    pub const IPV6_EXTENDED_COMMUNITIES: u8 = 25;
    /// RFC 8092.
    pub const LARGE_COMMUNITY: u8 = 32;

    /// Flag: optional, not well-known.
    pub const OPTIONAL: u8 = 0x80;
    /// Flag: transitive.
    pub const TRANSITIVE: u8 = 0x40;
    /// Flag: the length has two octets.
    pub const EXTENDED_LENGTH: u8 = 0x10;
}

/// AS_PATH segment type of a sequence (RFC 4271 section 4.3).
pub const AS_SEQUENCE: u8 = 2;

/// NOTIFICATION error codes.
pub mod error {
    /// Message header error.
    pub const HEADER: u8 = 1;
    /// OPEN message error.
    pub const OPEN: u8 = 2;
    /// UPDATE message error.
    pub const UPDATE: u8 = 3;
    /// Hold timer expired.
    pub const HOLD_TIMER_EXPIRED: u8 = 4;
    /// Finite state machine error.
    pub const STATE_MACHINE: u8 = 5;
    /// Cease (RFC 4486).
    pub const CEASE: u8 = 6;
    /// ROUTE-REFRESH message error (RFC 7313).
    pub const ROUTE_REFRESH: u8 = 7;
    /// Send hold timer expired (RFC 9687).
    pub const SEND_HOLD_TIMER_EXPIRED: u8 = 8;
}

/// Subcodes of [`error::CEASE`] that we send (RFC 4486).
pub mod cease {
    /// The speaker is stopped by its operator.
    pub const ADMINISTRATIVE_SHUTDOWN: u8 = 2;
    /// The peer was taken out of the configuration.
    pub const PEER_DE_CONFIGURED: u8 = 3;
    /// The peer's configuration changed.
    pub const OTHER_CONFIGURATION_CHANGE: u8 = 6;
}

/// Words for a code and subcode of a NOTIFICATION; empty where the registry is not known here.
pub const fn notification_text(code: u8, subcode: u8) -> &'static str {
    match (code, subcode) {
        (1, 1) => "connection not synchronized",
        (1, 2) => "bad message length",
        (1, 3) => "bad message type",
        (1, _) => "message header error",
        (2, 1) => "unsupported version number",
        (2, 2) => "bad peer AS",
        (2, 3) => "bad BGP identifier",
        (2, 4) => "unsupported optional parameter",
        (2, 6) => "unacceptable hold time",
        (2, 7) => "unsupported capability",
        (2, 11) => "role mismatch",
        (2, _) => "OPEN message error",
        (3, 1) => "malformed attribute list",
        (3, 2) => "unrecognized well-known attribute",
        (3, 3) => "missing well-known attribute",
        (3, 4) => "attribute flags error",
        (3, 5) => "attribute length error",
        (3, 6) => "invalid ORIGIN attribute",
        (3, 8) => "invalid NEXT_HOP attribute",
        (3, 9) => "optional attribute error",
        (3, 10) => "invalid network field",
        (3, 11) => "malformed AS_PATH",
        (3, _) => "UPDATE message error",
        (4, _) => "hold timer expired",
        (5, 1) => "unexpected message in OpenSent",
        (5, 2) => "unexpected message in OpenConfirm",
        (5, 3) => "unexpected message in Established",
        (5, _) => "finite state machine error",
        (6, 1) => "maximum number of prefixes reached",
        (6, 2) => "administrative shutdown",
        (6, 3) => "peer de-configured",
        (6, 4) => "administrative reset",
        (6, 5) => "connection rejected",
        (6, 6) => "other configuration change",
        (6, 7) => "connection collision resolution",
        (6, 8) => "out of resources",
        (6, 9) => "hard reset",
        (6, 10) => "BFD down",
        (6, _) => "cease",
        (7, _) => "ROUTE-REFRESH message error",
        (8, _) => "send hold timer expired",
        _ => "",
    }
}
