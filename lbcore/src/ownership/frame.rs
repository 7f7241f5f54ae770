//! The frames that members send each other: the payload of a UDP datagram that the carriers build ([OWN-11] to [OWN-13]).
//!
//! Layout, all numbers in network order:
//!
//! ```text
//! header   magic "FRRL" | version 1 | kind | total length (2) | key id (4) | boot id (8) | sequence (8) | name length | name
//! parts    kind | flags | length (2) | value        as many as there are; a kind that is not known is skipped
//! trailer  HMAC-SHA-256 over all before it, zeros where the key id is 0 (32)
//! ```
//!
//! A decoder of a later version can add parts; a frame of another version is refused as a whole.

mod parts;
mod reader;
#[cfg(test)]
mod tests;

use thiserror::Error;

use crate::announce::GroupKey;
use crate::service::{NodeName, ServiceKey};

use super::claims::{Claim, TableDigest};
use super::key::{KeyId, MemberKeys, TAG_LENGTH};
use super::{Assignment, BootId};

use parts::{decode_body, encode_body};
use reader::Reader;

pub(crate) use parts::{MOST_ADDRESSES, encoded_assignment, encoded_claim};

/// Longest payload ever sent ([OWN-13]).
pub const LONGEST_FRAME: usize = 1_200;
/// Room for parts in a frame with the longest name.
pub(crate) const ROOM_FOR_PARTS: usize = LONGEST_FRAME - HEADER_LENGTH - LONGEST_NAME - TAG_LENGTH;
/// Entries of the list of members heard that fit beside the other parts of a heartbeat.
pub(crate) const MOST_HEARD: usize = 32;

const MAGIC: [u8; 4] = *b"FRRL";
const VERSION: u8 = 1;
/// Octets before the name.
const HEADER_LENGTH: usize = 4 + 1 + 1 + 2 + 4 + 8 + 8 + 1;
/// A node name is a DNS subdomain of at most 253 octets.
const LONGEST_NAME: usize = 253;

/// A payload that is no frame to act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// It does not begin as a member frame does.
    #[error("not a member frame")]
    NotOurs,
    /// Another version of the protocol.
    #[error("member frame of version {version}, not {VERSION}")]
    Version {
        /// The version it says.
        version: u8,
    },
    /// A length runs past the end, or a value cannot be.
    #[error("malformed member frame at octet {offset}")]
    Malformed {
        /// Where.
        offset: usize,
    },
    /// The tag is wrong, or the key is not one of ours: someone is there, no more ([OWN-16]).
    #[error("member frame that does not verify")]
    Unverified,
}

/// One member as another hears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Who.
    pub boot_id: BootId,
    /// The last sequence heard of it on this link.
    pub sequence: u64,
    /// Milliseconds since, at most 65,535.
    pub age_ms: u16,
    /// Whether it is heard by the group address, or only by broadcast ([OWN-11]).
    pub by: HeardBy,
}

/// How a member's heartbeats arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeardBy {
    /// Multicast works.
    Group,
    /// Only the broadcast copies arrive.
    BroadcastAlone,
}

/// To which address this copy of a heartbeat was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copy {
    /// The group address.
    Group,
    /// The broadcast address.
    Broadcast,
}

/// The regular sign of life on one link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Which copy this is.
    pub copy: Copy,
    /// The members heard on this link.
    pub heard: Vec<Heard>,
    /// The sender's claim table.
    pub claims: TableDigest,
    /// The sender's assignment table.
    pub assignments: TableDigest,
    /// Ids of the keys it holds.
    pub keys: Vec<KeyId>,
    /// In how many ways it hears members: links, and on each link the families of its frames.
    pub heard_links: u8,
}

/// Whether more frames of the same change follow at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// This is the last.
    No,
    /// Others follow: wait for them before acting on what they leave open.
    Yes,
}

/// Claims of the sender, or relayed by it ([OWN-15]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Whose claims, where they are relayed.
    pub relayed: Option<(BootId, NodeName)>,
    /// More frames of this change follow.
    pub more: More,
    /// Groups within this range (both ends included) that are not listed are not claimed.
    pub complete: Option<(GroupKey, GroupKey)>,
    /// Claims made or changed.
    pub claims: Vec<Claim>,
    /// Groups claimed no more.
    pub withdrawn: Vec<GroupKey>,
}

/// Which of a member's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Its claims.
    Claims,
    /// Its assignments.
    Assignments,
}

/// A wish for a whole table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The member asked.
    pub target: BootId,
    /// The table.
    pub table: Table,
}

/// Addresses that the sender holds for Services ([OWN-60]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignments {
    /// Services within this range of texts (both ends included) that are not listed have no entry.
    pub complete: Option<(String, String)>,
    /// Entries made or changed.
    pub entries: Vec<(ServiceKey, Assignment)>,
    /// Services without an entry any more.
    pub removed: Vec<ServiceKey>,
}

/// What a frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A sign of life.
    Heartbeat(Heartbeat),
    /// Claims.
    Claims(Claims),
    /// A request for a table.
    Request(Request),
    /// Assignments.
    Assignments(Assignments),
}

/// A member frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The sender's boot id.
    pub boot_id: BootId,
    /// The sender's name.
    pub name: NodeName,
    /// Grows with every frame of this boot of the sender.
    pub sequence: u64,
    /// What it says.
    pub body: Body,
}

/// Writes a frame under the key `key`.
pub fn encode(frame: &Frame, keys: &MemberKeys, key: KeyId) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(&MAGIC);
    out.push(VERSION);
    out.push(parts::body_kind(&frame.body));
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&key.0.to_be_bytes());
    out.extend_from_slice(&frame.boot_id.0.to_be_bytes());
    out.extend_from_slice(&frame.sequence.to_be_bytes());
    parts::push_short_text(&mut out, frame.name.as_str());
    encode_body(&frame.body, &mut out);
    let total = u16::try_from(out.len() + TAG_LENGTH).unwrap_or(u16::MAX);
    if let Some(length) = out.get_mut(6..8) {
        length.copy_from_slice(&total.to_be_bytes());
    }
    let tag = keys.tag(key, &out);
    out.extend_from_slice(&tag);
    out
}

/// Reads a frame; octets after its total length (Ethernet padding) are passed over. Any bytes are safe.
///
/// # Errors
/// [`FrameError`], the first thing that is wrong; the tag is checked before any part is read.
pub fn decode(payload: &[u8], keys: &MemberKeys) -> Result<Frame, FrameError> {
    let mut reader = Reader::new(payload);
    if reader.array::<4>().map_err(|_| FrameError::NotOurs)? != MAGIC {
        return Err(FrameError::NotOurs);
    }
    let version = reader.byte()?;
    if version != VERSION {
        return Err(FrameError::Version { version });
    }
    let kind = reader.byte()?;
    let total = usize::from(reader.number16()?);
    let content_length = total.checked_sub(TAG_LENGTH).ok_or(FrameError::Malformed { offset: 6 })?;
    let (Some(content), Some(tag)) = (payload.get(..content_length), payload.get(content_length..total)) else {
        return Err(FrameError::Malformed { offset: 6 });
    };
    let mut reader = Reader::new(content);
    reader.skip(8)?;
    let key = KeyId(reader.number32()?);
    if !keys.verifies(key, content, tag) {
        return Err(FrameError::Unverified);
    }
    let boot_id = BootId(reader.number64()?);
    let sequence = reader.number64()?;
    let name_offset = reader.offset();
    let name = NodeName::new(reader.short_text()?).map_err(|_| FrameError::Malformed { offset: name_offset })?;
    let body = decode_body(kind, &mut reader)?;
    Ok(Frame { boot_id, name, sequence, body })
}
