//! The parts of a frame: one writer and one reader for each kind.

use std::net::IpAddr;
use std::sync::Arc;

use crate::announce::GroupKey;
use crate::ownership::claims::{Claim, ClaimState, TableDigest};
use crate::ownership::key::KeyId;
use crate::ownership::{Assignment, BootId};
use crate::service::{NodeName, ServiceKey};

use super::reader::Reader;
use super::{Assignments, Body, Claims, Copy, FrameError, Heard, HeardBy, Heartbeat, MOST_HEARD, More, Request, Table};

const BODY_HEARTBEAT: u8 = 1;
const BODY_CLAIMS: u8 = 2;
const BODY_REQUEST: u8 = 3;
const BODY_ASSIGNMENTS: u8 = 4;

const PART_HEARD: u8 = 1;
const PART_DIGESTS: u8 = 2;
const PART_KEYS: u8 = 3;
const PART_RELAYED: u8 = 4;
const PART_COMPLETE_GROUPS: u8 = 5;
const PART_CLAIM: u8 = 6;
const PART_WITHDRAWN: u8 = 7;
const PART_REQUEST: u8 = 8;
const PART_COMPLETE_SERVICES: u8 = 9;
const PART_ASSIGNMENT: u8 = 10;
const PART_REMOVED: u8 = 11;
const PART_FLAGS: u8 = 12;

const FLAG_BROADCAST: u8 = 1;
const FLAG_MORE: u8 = 2;
const FLAG_BROADCAST_ALONE: u8 = 1;

/// A claim lists at most so many addresses on the wire; the rest of a larger group is answered for, but not listed.
pub(crate) const MOST_ADDRESSES: usize = 40;

pub(super) const fn body_kind(body: &Body) -> u8 {
    match body {
        Body::Heartbeat(_) => BODY_HEARTBEAT,
        Body::Claims(_) => BODY_CLAIMS,
        Body::Request(_) => BODY_REQUEST,
        Body::Assignments(_) => BODY_ASSIGNMENTS,
    }
}

/// One octet of length, then at most 255 octets of text, cut at a character.
pub(super) fn push_short_text(out: &mut Vec<u8>, text: &str) {
    let mut end = text.len().min(usize::from(u8::MAX));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    out.push(u8::try_from(end).unwrap_or(u8::MAX));
    out.extend_from_slice(text.get(..end).unwrap_or_default().as_bytes());
}

fn push_long_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn push_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => {
            out.push(4);
            out.extend_from_slice(&v4.octets());
        }
        IpAddr::V6(v6) => {
            out.push(6);
            out.extend_from_slice(&v6.octets());
        }
    }
}

fn push_part(out: &mut Vec<u8>, kind: u8, value: &[u8]) {
    out.push(kind);
    out.push(0);
    out.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(value);
}

/// The claim as a part, the way it travels and the way it is hashed.
pub(crate) fn encoded_claim(claim: &Claim) -> Vec<u8> {
    let mut value = Vec::with_capacity(48);
    push_address(&mut value, claim.group.0);
    value.push(match claim.state {
        ClaimState::Standby => 0,
        ClaimState::Active => 1,
        ClaimState::Releasing => 2,
    });
    value.extend_from_slice(&claim.epoch.to_be_bytes());
    value.extend_from_slice(&claim.score.to_be_bytes());
    push_address(&mut value, claim.election_key);
    let addresses = claim.addresses.iter().take(MOST_ADDRESSES);
    value.push(u8::try_from(addresses.len()).unwrap_or(u8::MAX));
    for address in addresses {
        push_address(&mut value, *address);
    }
    let links = claim.links.iter().take(8);
    value.push(u8::try_from(links.len()).unwrap_or(u8::MAX));
    for link in links {
        push_short_text(&mut value, link);
    }
    let mut part = Vec::with_capacity(value.len() + 4);
    push_part(&mut part, PART_CLAIM, &value);
    part
}

/// The assignment as a part, the way it travels and the way it is hashed.
pub(crate) fn encoded_assignment(service: &ServiceKey, assignment: &Assignment) -> Vec<u8> {
    let mut value = Vec::with_capacity(64);
    push_long_text(&mut value, service.as_str());
    value.extend_from_slice(&assignment.since_ms.to_be_bytes());
    let addresses = assignment.addresses.iter().take(2);
    value.push(u8::try_from(addresses.len()).unwrap_or(u8::MAX));
    for address in addresses {
        push_address(&mut value, *address);
    }
    let mut part = Vec::with_capacity(value.len() + 4);
    push_part(&mut part, PART_ASSIGNMENT, &value);
    part
}

pub(super) fn encode_body(body: &Body, out: &mut Vec<u8>) {
    match body {
        Body::Heartbeat(heartbeat) => encode_heartbeat(heartbeat, out),
        Body::Claims(claims) => encode_claims(claims, out),
        Body::Request(request) => {
            let mut value = request.target.0.to_be_bytes().to_vec();
            value.push(match request.table {
                Table::Claims => 1,
                Table::Assignments => 2,
            });
            push_part(out, PART_REQUEST, &value);
        }
        Body::Assignments(assignments) => encode_assignments(assignments, out),
    }
}

fn encode_heartbeat(heartbeat: &Heartbeat, out: &mut Vec<u8>) {
    if heartbeat.copy == Copy::Broadcast {
        push_part(out, PART_FLAGS, &[FLAG_BROADCAST]);
    }
    let mut value = Vec::with_capacity(heartbeat.heard.len() * 19);
    for heard in heartbeat.heard.iter().take(MOST_HEARD) {
        value.extend_from_slice(&heard.boot_id.0.to_be_bytes());
        value.extend_from_slice(&heard.sequence.to_be_bytes());
        value.extend_from_slice(&heard.age_ms.to_be_bytes());
        value.push(if heard.by == HeardBy::BroadcastAlone { FLAG_BROADCAST_ALONE } else { 0 });
    }
    push_part(out, PART_HEARD, &value);
    value.clear();
    for digest in [heartbeat.claims, heartbeat.assignments] {
        value.extend_from_slice(&digest.count.to_be_bytes());
        value.extend_from_slice(&digest.sum.to_be_bytes());
    }
    value.push(heartbeat.heard_links);
    push_part(out, PART_DIGESTS, &value);
    let keys: Vec<u8> = heartbeat.keys.iter().flat_map(|key| key.0.to_be_bytes()).collect();
    push_part(out, PART_KEYS, &keys);
}

fn encode_claims(claims: &Claims, out: &mut Vec<u8>) {
    if claims.more == More::Yes {
        push_part(out, PART_FLAGS, &[FLAG_MORE]);
    }
    if let Some((boot_id, name)) = &claims.relayed {
        let mut value = boot_id.0.to_be_bytes().to_vec();
        push_short_text(&mut value, name.as_str());
        push_part(out, PART_RELAYED, &value);
    }
    if let Some((first, last)) = claims.complete {
        let mut value = Vec::new();
        push_address(&mut value, first.0);
        push_address(&mut value, last.0);
        push_part(out, PART_COMPLETE_GROUPS, &value);
    }
    for claim in &claims.claims {
        out.extend_from_slice(&encoded_claim(claim));
    }
    for group in &claims.withdrawn {
        let mut value = Vec::new();
        push_address(&mut value, group.0);
        push_part(out, PART_WITHDRAWN, &value);
    }
}

fn encode_assignments(assignments: &Assignments, out: &mut Vec<u8>) {
    if let Some((first, last)) = &assignments.complete {
        let mut value = Vec::new();
        push_long_text(&mut value, first);
        push_long_text(&mut value, last);
        push_part(out, PART_COMPLETE_SERVICES, &value);
    }
    for (service, assignment) in &assignments.entries {
        out.extend_from_slice(&encoded_assignment(service, assignment));
    }
    for service in &assignments.removed {
        let mut value = Vec::new();
        push_long_text(&mut value, service.as_str());
        push_part(out, PART_REMOVED, &value);
    }
}

pub(super) fn decode_body(kind: u8, reader: &mut Reader<'_>) -> Result<Body, FrameError> {
    let mut parts = Parts::default();
    while !reader.is_empty() {
        let part = reader.byte()?;
        reader.skip(1)?;
        let length = usize::from(reader.number16()?);
        parts.read(part, reader.sub(length)?)?;
    }
    let malformed = reader.malformed();
    Ok(match kind {
        BODY_HEARTBEAT => Body::Heartbeat(Heartbeat {
            copy: if parts.flags & FLAG_BROADCAST == 0 { Copy::Group } else { Copy::Broadcast },
            heard: parts.heard,
            claims: parts.digests.0,
            assignments: parts.digests.1,
            keys: parts.keys,
            heard_links: parts.heard_links,
        }),
        BODY_CLAIMS => Body::Claims(Claims {
            relayed: parts.relayed,
            more: if parts.flags & FLAG_MORE == 0 { More::No } else { More::Yes },
            complete: parts.complete_groups,
            claims: parts.claims,
            withdrawn: parts.withdrawn,
        }),
        BODY_REQUEST => Body::Request(parts.request.ok_or(malformed)?),
        BODY_ASSIGNMENTS => Body::Assignments(Assignments {
            complete: parts.complete_services,
            entries: parts.assignments,
            removed: parts.removed,
        }),
        _ => return Err(malformed),
    })
}

/// All parts of one frame; what a body does not use is dropped.
#[derive(Default)]
struct Parts {
    flags: u8,
    heard: Vec<Heard>,
    digests: (TableDigest, TableDigest),
    heard_links: u8,
    keys: Vec<KeyId>,
    relayed: Option<(BootId, NodeName)>,
    complete_groups: Option<(GroupKey, GroupKey)>,
    claims: Vec<Claim>,
    withdrawn: Vec<GroupKey>,
    request: Option<Request>,
    complete_services: Option<(String, String)>,
    assignments: Vec<(ServiceKey, Assignment)>,
    removed: Vec<ServiceKey>,
}

impl Parts {
    fn read(&mut self, kind: u8, mut value: Reader<'_>) -> Result<(), FrameError> {
        match kind {
            PART_FLAGS => self.flags |= value.byte()?,
            PART_HEARD => {
                while !value.is_empty() {
                    self.heard.push(read_heard(&mut value)?);
                }
            }
            PART_DIGESTS => {
                self.digests = (read_digest(&mut value)?, read_digest(&mut value)?);
                self.heard_links = value.byte()?;
            }
            PART_KEYS => {
                while !value.is_empty() {
                    self.keys.push(KeyId(value.number32()?));
                }
            }
            PART_RELAYED => {
                let boot_id = BootId(value.number64()?);
                let malformed = value.malformed();
                let name = NodeName::new(value.short_text()?).map_err(|_| malformed)?;
                self.relayed = Some((boot_id, name));
            }
            PART_COMPLETE_GROUPS => {
                self.complete_groups = Some((GroupKey(value.address()?), GroupKey(value.address()?)));
            }
            PART_CLAIM => self.claims.push(read_claim(&mut value)?),
            PART_WITHDRAWN => self.withdrawn.push(GroupKey(value.address()?)),
            PART_REQUEST => {
                let target = BootId(value.number64()?);
                let malformed = value.malformed();
                let table = match value.byte()? {
                    1 => Table::Claims,
                    2 => Table::Assignments,
                    _ => return Err(malformed),
                };
                self.request = Some(Request { target, table });
            }
            PART_COMPLETE_SERVICES => {
                self.complete_services = Some((value.long_text()?.to_owned(), value.long_text()?.to_owned()));
            }
            PART_ASSIGNMENT => self.assignments.push(read_assignment(&mut value)?),
            PART_REMOVED => self.removed.push(read_service(&mut value)?),
            // A part of a later form of the protocol.
            _ => {}
        }
        Ok(())
    }
}

fn read_heard(value: &mut Reader<'_>) -> Result<Heard, FrameError> {
    Ok(Heard {
        boot_id: BootId(value.number64()?),
        sequence: value.number64()?,
        age_ms: value.number16()?,
        by: if value.byte()? & FLAG_BROADCAST_ALONE == 0 { HeardBy::Group } else { HeardBy::BroadcastAlone },
    })
}

fn read_digest(value: &mut Reader<'_>) -> Result<TableDigest, FrameError> {
    Ok(TableDigest { count: value.number32()?, sum: value.number64()? })
}

fn read_claim(value: &mut Reader<'_>) -> Result<Claim, FrameError> {
    let group = GroupKey(value.address()?);
    let malformed = value.malformed();
    let state = match value.byte()? {
        0 => ClaimState::Standby,
        1 => ClaimState::Active,
        2 => ClaimState::Releasing,
        _ => return Err(malformed),
    };
    let epoch = value.number64()?;
    let score = value.number32()?;
    let election_key = value.address()?;
    let count = usize::from(value.byte()?);
    let mut addresses = (0..count).map(|_| value.address()).collect::<Result<Vec<_>, _>>()?;
    addresses.sort_unstable();
    addresses.dedup();
    let count = usize::from(value.byte()?);
    let mut links = (0..count).map(|_| value.short_text().map(Arc::from)).collect::<Result<Vec<_>, _>>()?;
    links.sort_unstable();
    links.dedup();
    Ok(Claim { group, state, epoch, score, election_key, addresses: addresses.into(), links: links.into() })
}

fn read_service(value: &mut Reader<'_>) -> Result<ServiceKey, FrameError> {
    let malformed = value.malformed();
    value.long_text()?.parse().map_err(|_| malformed)
}

fn read_assignment(value: &mut Reader<'_>) -> Result<(ServiceKey, Assignment), FrameError> {
    let service = read_service(value)?;
    let since_ms = value.number64()?;
    let count = usize::from(value.byte()?);
    let addresses = (0..count).map(|_| value.address()).collect::<Result<Vec<_>, _>>()?;
    Ok((service, Assignment { addresses, since_ms }))
}
