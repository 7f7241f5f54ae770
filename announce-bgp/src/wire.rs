//! BGP messages as octets: the header that frames each of them (RFC 4271 section 4.1) with its errors (section 6.1), and the messages.
//!
//! Everything that a peer sent is read here by our own code: no input panics, none allocates more than its own size, and the work is
//! linear in it. What we send is composed here too; [`update::compose`] alone leaves part of that to zettabgp.

pub mod attribute;
pub mod capability;
pub mod error;
pub mod iana;
pub mod nlri;
pub mod notification;
pub mod open;
pub mod route_refresh;
pub mod update;

use thiserror::Error;

/// Octets of a header.
pub const HEADER_LENGTH: usize = 19;
/// Longest message without extended messages (RFC 4271 section 4.1).
pub const LONGEST_MESSAGE: usize = 4_096;

/// What a message is, with its number in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageKind {
    /// 1
    Open,
    /// 2
    Update,
    /// 3
    Notification,
    /// 4
    KeepAlive,
    /// 5 (RFC 2918)
    RouteRefresh,
}

impl MessageKind {
    /// The number in the header.
    pub const fn code(self) -> u8 {
        match self {
            Self::Open => 1,
            Self::Update => 2,
            Self::Notification => 3,
            Self::KeepAlive => 4,
            Self::RouteRefresh => 5,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Open,
            2 => Self::Update,
            3 => Self::Notification,
            4 => Self::KeepAlive,
            5 => Self::RouteRefresh,
            _ => return None,
        })
    }

    /// Shortest message of the kind (RFC 4271 sections 4.2 to 4.5, RFC 2918 section 3).
    const fn shortest(self) -> usize {
        match self {
            Self::Open => 29,
            Self::Update | Self::RouteRefresh => 23,
            Self::Notification => 21,
            Self::KeepAlive => HEADER_LENGTH,
        }
    }

    const fn longest(self) -> usize {
        match self {
            Self::KeepAlive => HEADER_LENGTH,
            Self::Open | Self::Update | Self::Notification | Self::RouteRefresh => LONGEST_MESSAGE,
        }
    }
}

/// A header that ends the session: NOTIFICATION code 1 with the subcode of the variant (RFC 4271 section 6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// Subcode 1.
    #[error("connection not synchronized: the marker is not all ones")]
    NotSynchronized,
    /// Subcode 2; the length goes into the data field.
    #[error("bad message length {length}")]
    BadLength {
        /// As received.
        length: u16,
    },
    /// Subcode 3; the kind goes into the data field.
    #[error("bad message type {kind}")]
    BadKind {
        /// As received.
        kind: u8,
    },
}

/// A whole message at the front of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framed<'a> {
    /// What it is.
    pub kind: MessageKind,
    /// What follows the header.
    pub body: &'a [u8],
    /// What follows the message.
    pub rest: &'a [u8],
}

/// Takes the first message off a stream; `None` while octets are missing. A bad header is told as soon as it is there.
///
/// # Errors
/// [`HeaderError`], in the order of RFC 4271 section 6.1.
pub fn take_message(stream: &[u8]) -> Result<Option<Framed<'_>>, HeaderError> {
    let Some((header, _)) = stream.split_first_chunk::<HEADER_LENGTH>() else { return Ok(None) };
    let [marker @ .., high, low, code] = *header;
    if marker != [0xff; 16] {
        return Err(HeaderError::NotSynchronized);
    }
    let length = u16::from_be_bytes([high, low]);
    let octets = usize::from(length);
    if !(HEADER_LENGTH..=LONGEST_MESSAGE).contains(&octets) {
        return Err(HeaderError::BadLength { length });
    }
    let kind = MessageKind::from_code(code).ok_or(HeaderError::BadKind { kind: code })?;
    if octets < kind.shortest() || octets > kind.longest() {
        return Err(HeaderError::BadLength { length });
    }
    let Some((message, rest)) = stream.split_at_checked(octets) else { return Ok(None) };
    Ok(Some(Framed { kind, body: message.get(HEADER_LENGTH..).unwrap_or_default(), rest }))
}

/// Writes a message; `None` where the body does not fit the kind.
pub fn write_message(kind: MessageKind, body: &[u8]) -> Option<Vec<u8>> {
    let octets = HEADER_LENGTH + body.len();
    if octets < kind.shortest() || octets > kind.longest() {
        return None;
    }
    let mut message = vec![0xff; 16];
    message.extend_from_slice(&u16::try_from(octets).ok()?.to_be_bytes());
    message.push(kind.code());
    message.extend_from_slice(body);
    Some(message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_come_off_a_stream_one_by_one() {
        let mut stream = write_message(MessageKind::KeepAlive, &[]).unwrap();
        stream.extend(write_message(MessageKind::Update, &[0, 0, 0, 0]).unwrap());
        let first = take_message(&stream).unwrap().unwrap();
        assert_eq!((first.kind, first.body.len()), (MessageKind::KeepAlive, 0));
        let second = take_message(first.rest).unwrap().unwrap();
        assert_eq!((second.kind, second.body, second.rest), (MessageKind::Update, &[0, 0, 0, 0][..], &[][..]));
        assert_eq!(take_message(&stream[..18]), Ok(None));
        assert_eq!(take_message(&first.rest[..22]), Ok(None));
    }

    // RFC 4271 section 6.1
    #[test]
    fn a_bad_header_names_its_error() {
        let mut message = write_message(MessageKind::KeepAlive, &[]).unwrap();
        message[18] = 9;
        assert_eq!(take_message(&message), Err(HeaderError::BadKind { kind: 9 }));
        message[18] = 1;
        assert_eq!(take_message(&message), Err(HeaderError::BadLength { length: 19 }));
        message[17] = 18;
        assert_eq!(take_message(&message), Err(HeaderError::BadLength { length: 18 }));
        message[16] = 0x20;
        assert_eq!(take_message(&message), Err(HeaderError::BadLength { length: 0x2012 }));
        message[3] = 0;
        assert_eq!(take_message(&message), Err(HeaderError::NotSynchronized));
        assert_eq!(write_message(MessageKind::KeepAlive, &[0]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe_and_written_messages_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..5_000)) {
            let _ = take_message(&bytes);
            if let Some(message) = write_message(MessageKind::Update, &bytes) {
                let framed = take_message(&message).unwrap().unwrap();
                prop_assert_eq!(framed.body, &bytes[..]);
            }
        }
    }
}
