//! What can be wrong with a message, by the classes of RFC 4271 section 6, and the one mapping to the NOTIFICATION that answers it.
//!
//! What RFC 7606 lets a session survive is no error but a [`Reaction`](super::update::Reaction).

use thiserror::Error;

use super::HeaderError;
use super::iana::error;
use super::notification::Notification;

/// An OPEN that cannot be accepted (RFC 4271 section 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Subcode 0: the octets make no OPEN.
    #[error("malformed OPEN: {what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
    /// Subcode 1.
    #[error("unsupported version {version}, this is version 4")]
    UnsupportedVersion {
        /// As received.
        version: u8,
    },
    /// Subcode 2: also for AS 0 (RFC 7607), and where field and capability disagree.
    #[error("bad peer AS {asn}")]
    BadPeerAs {
        /// As received.
        asn: u32,
    },
    /// Subcode 3: zero, or our own within one AS (RFC 6286).
    #[error("bad BGP identifier")]
    BadIdentifier,
    /// Subcode 4.
    #[error("unsupported optional parameter {kind}")]
    UnsupportedParameter {
        /// As received.
        kind: u8,
    },
    /// Subcode 6.
    #[error("unacceptable hold time of {seconds} s")]
    UnacceptableHoldTime {
        /// As received.
        seconds: u16,
    },
}

/// An UPDATE after which the session cannot go on (RFC 7606).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// Subcode 1.
    #[error("malformed attribute list: {what}")]
    MalformedAttributeList {
        /// What is wrong.
        what: &'static str,
    },
    /// Subcode 9; the data is the attribute.
    #[error("error in optional attribute: {what}")]
    OptionalAttribute {
        /// What is wrong.
        what: &'static str,
        /// The attribute with its header.
        attribute: Vec<u8>,
    },
    /// Subcode 10.
    #[error("invalid network field")]
    InvalidNetwork,
}

/// A ROUTE-REFRESH with a wrong length (RFC 7313 section 5); the data is the message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("ROUTE-REFRESH of a wrong length")]
pub struct RouteRefreshError {
    /// The whole message.
    pub message: Vec<u8>,
}

/// Everything that ends a session by what the peer sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// In the header.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// In an OPEN.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// In an UPDATE.
    #[error(transparent)]
    Update(#[from] UpdateError),
    /// In a ROUTE-REFRESH.
    #[error(transparent)]
    RouteRefresh(#[from] RouteRefreshError),
}

impl DecodeError {
    /// What is sent before the connection is closed.
    pub fn notification(&self) -> Notification {
        match self {
            Self::Header(HeaderError::NotSynchronized) => Notification::new(error::HEADER, 1),
            Self::Header(HeaderError::BadLength { length }) => {
                Notification::with_data(error::HEADER, 2, &length.to_be_bytes())
            }
            Self::Header(HeaderError::BadKind { kind }) => Notification::with_data(error::HEADER, 3, &[*kind]),
            Self::Open(OpenError::Malformed { .. }) => Notification::new(error::OPEN, 0),
            Self::Open(OpenError::UnsupportedVersion { .. }) => {
                Notification::with_data(error::OPEN, 1, &4_u16.to_be_bytes())
            }
            Self::Open(OpenError::BadPeerAs { .. }) => Notification::new(error::OPEN, 2),
            Self::Open(OpenError::BadIdentifier) => Notification::new(error::OPEN, 3),
            Self::Open(OpenError::UnsupportedParameter { .. }) => Notification::new(error::OPEN, 4),
            Self::Open(OpenError::UnacceptableHoldTime { .. }) => Notification::new(error::OPEN, 6),
            Self::Update(UpdateError::MalformedAttributeList { .. }) => Notification::new(error::UPDATE, 1),
            Self::Update(UpdateError::OptionalAttribute { attribute, .. }) => {
                Notification::with_data(error::UPDATE, 9, attribute)
            }
            Self::Update(UpdateError::InvalidNetwork) => Notification::new(error::UPDATE, 10),
            Self::RouteRefresh(RouteRefreshError { message }) => {
                Notification::with_data(error::ROUTE_REFRESH, 1, message)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 4271 section 6, RFC 7606, RFC 7313: every variant with its code, subcode and data
    #[test]
    fn each_error_has_its_notification() {
        let open = |error: OpenError| DecodeError::from(error).notification();
        let update = |error: UpdateError| DecodeError::from(error).notification();
        let header = |error: HeaderError| DecodeError::from(error).notification();
        let of = Notification::with_data;
        assert_eq!(header(HeaderError::NotSynchronized), of(1, 1, &[]));
        assert_eq!(header(HeaderError::BadLength { length: 4_097 }), of(1, 2, &[0x10, 1]));
        assert_eq!(header(HeaderError::BadKind { kind: 9 }), of(1, 3, &[9]));
        assert_eq!(open(OpenError::Malformed { what: "x" }), of(2, 0, &[]));
        assert_eq!(open(OpenError::UnsupportedVersion { version: 3 }), of(2, 1, &[0, 4]));
        assert_eq!(open(OpenError::BadPeerAs { asn: 1 }), of(2, 2, &[]));
        assert_eq!(open(OpenError::BadIdentifier), of(2, 3, &[]));
        assert_eq!(open(OpenError::UnsupportedParameter { kind: 1 }), of(2, 4, &[]));
        assert_eq!(open(OpenError::UnacceptableHoldTime { seconds: 2 }), of(2, 6, &[]));
        assert_eq!(update(UpdateError::MalformedAttributeList { what: "x" }), of(3, 1, &[]));
        let attribute = vec![0x80, 14, 1, 0];
        assert_eq!(update(UpdateError::OptionalAttribute { what: "x", attribute }), of(3, 9, &[0x80, 14, 1, 0]));
        assert_eq!(update(UpdateError::InvalidNetwork), of(3, 10, &[]));
        let refresh = DecodeError::from(RouteRefreshError { message: vec![1, 2] });
        assert_eq!(refresh.notification(), of(7, 1, &[1, 2]));
    }
}
