//! UPDATE (RFC 4271 section 4.3): the validating walk over received ones. It counts prefixes and keeps nothing ([WIRE-60]).
//!
//! Errors are handled as RFC 7606 says: most cost the routes of the message or one attribute, few the session. How UPDATEs are composed
//! stands in [`compose`].

pub mod compose;

use lbcore::family::IpFamily;

use super::attribute::{DecodeContext, RawAttribute, Verdict, judge, take};
use super::error::UpdateError;
use super::iana::{attribute, unicast};
use super::nlri;

/// A number of prefixes for each family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrefixCounts {
    /// IPv4.
    pub v4: u32,
    /// IPv6.
    pub v6: u32,
}

impl PrefixCounts {
    fn add(&mut self, family: IpFamily, prefixes: u32) {
        let place = match family {
            IpFamily::V4 => &mut self.v4,
            IpFamily::V6 => &mut self.v6,
        };
        *place = place.saturating_add(prefixes);
    }

    /// Both together.
    pub const fn total(self) -> u32 {
        self.v4.saturating_add(self.v6)
    }
}

/// What RFC 7606 makes of the message, less than a reset of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// It is in order.
    None,
    /// Attributes were ignored.
    AttributeDiscard,
    /// Its routes count as withdrawn, for what stands here.
    TreatAsWithdraw(&'static str),
}

/// What an UPDATE held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Prefixes that became reachable.
    pub reachable: PrefixCounts,
    /// Prefixes that were withdrawn, those of a malformed message included.
    pub withdrawn: PrefixCounts,
    /// The family whose routes are complete now (RFC 4724 section 2).
    pub end_of_rib: Option<IpFamily>,
    /// How it was taken.
    pub reaction: Reaction,
}

/// The three parts of an UPDATE's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// IPv4 prefixes withdrawn.
    pub withdrawn: &'a [u8],
    /// Path attributes.
    pub attributes: &'a [u8],
    /// IPv4 prefixes announced.
    pub reachable: &'a [u8],
}

/// Splits the body of an UPDATE.
///
/// # Errors
/// [`UpdateError::MalformedAttributeList`] where a length runs past the message (RFC 4271 section 6.3).
pub fn split(body: &[u8]) -> Result<Parts<'_>, UpdateError> {
    let malformed = UpdateError::MalformedAttributeList { what: "a length that runs past the message" };
    let block = |octets: &mut &[u8]| -> Option<usize> {
        let (length, rest) = octets.split_first_chunk::<2>()?;
        *octets = rest;
        Some(usize::from(u16::from_be_bytes(*length)))
    };
    let mut octets = body;
    let parts = block(&mut octets).and_then(|length| {
        let (withdrawn, rest) = octets.split_at_checked(length)?;
        octets = rest;
        let length = block(&mut octets)?;
        let (attributes, reachable) = octets.split_at_checked(length)?;
        Some(Parts { withdrawn, attributes, reachable })
    });
    parts.ok_or(malformed)
}

/// Walks over the body of an UPDATE.
///
/// # Errors
/// [`UpdateError`] where the session cannot go on.
pub fn walk(body: &[u8], context: DecodeContext) -> Result<Received, UpdateError> {
    let parts = split(body)?;
    let base = |octets: &[u8]| nlri::count(IpFamily::V4, octets).map_err(|_| UpdateError::InvalidNetwork);
    let mut walk = Walk::default();
    walk.withdrawn.add(IpFamily::V4, base(parts.withdrawn)?);
    walk.reachable.add(IpFamily::V4, base(parts.reachable)?);
    walk.attributes(parts.attributes, context, !parts.reachable.is_empty())?;
    walk.check_mandatory(!parts.reachable.is_empty());
    let end_of_rib = match parts {
        Parts { withdrawn: [], attributes: [], reachable: [] } => Some(IpFamily::V4),
        Parts { withdrawn: [], reachable: [], .. } if walk.is_lone_empty_unreach => walk.unreach,
        Parts { .. } => None,
    };
    let mut received = Received {
        reachable: walk.reachable,
        withdrawn: walk.withdrawn,
        end_of_rib,
        reaction: if walk.discarded { Reaction::AttributeDiscard } else { Reaction::None },
    };
    // Only routes can be taken as withdrawn: attributes of a message without any are of no meaning (RFC 7606 section 5.2).
    if let Some(what) = walk.withdraw {
        received.withdrawn.v4 = received.withdrawn.v4.saturating_add(received.reachable.v4);
        received.withdrawn.v6 = received.withdrawn.v6.saturating_add(received.reachable.v6);
        received.reachable = PrefixCounts::default();
        received.reaction = Reaction::TreatAsWithdraw(what);
    }
    Ok(received)
}

/// What was seen so far.
#[derive(Default)]
struct Walk {
    reachable: PrefixCounts,
    withdrawn: PrefixCounts,
    /// Types seen, one bit each.
    seen: [u64; 4],
    reach: Option<IpFamily>,
    unreach: Option<IpFamily>,
    is_lone_empty_unreach: bool,
    discarded: bool,
    withdraw: Option<&'static str>,
}

impl Walk {
    fn has(&self, code: u8) -> bool {
        let word = self.seen.get(usize::from(code / 64)).copied().unwrap_or_default();
        word & (1 << (code % 64)) != 0
    }

    fn mark(&mut self, code: u8) {
        if let Some(word) = self.seen.get_mut(usize::from(code / 64)) {
            *word |= 1 << (code % 64);
        }
    }

    fn attributes(&mut self, list: &[u8], context: DecodeContext, has_base: bool) -> Result<(), UpdateError> {
        let mut rest = list;
        loop {
            let (raw, after) = match take(rest) {
                Ok(None) => return Ok(()),
                Ok(Some(taken)) => taken,
                // Section 4: the routes are known where they stand in the base field or have come by already.
                Err(_) if has_base || self.reach.is_some() => {
                    self.withdraw = self.withdraw.or(Some("attribute that runs past the list"));
                    return Ok(());
                }
                Err(_) => {
                    return Err(UpdateError::MalformedAttributeList { what: "attribute that runs past the list" });
                }
            };
            self.attribute(&raw, context)?;
            let empty_unreach = self.unreach.is_some() && self.withdrawn == PrefixCounts::default();
            self.is_lone_empty_unreach = raw.whole.len() == list.len() && empty_unreach;
            rest = after;
        }
    }

    fn attribute(&mut self, raw: &RawAttribute<'_>, context: DecodeContext) -> Result<(), UpdateError> {
        let is_multiprotocol = matches!(raw.code, attribute::MP_REACH_NLRI | attribute::MP_UNREACH_NLRI);
        if self.has(raw.code) {
            // Section 3: of two the first counts, but two lists of prefixes cannot be told apart.
            if is_multiprotocol {
                return Err(UpdateError::MalformedAttributeList { what: "two multiprotocol attributes of one type" });
            }
            self.discarded = true;
            return Ok(());
        }
        self.mark(raw.code);
        match judge(raw, context) {
            Verdict::Fine => {}
            Verdict::Discard => self.discarded = true,
            Verdict::Withdraw(what) => self.withdraw = self.withdraw.or(Some(what)),
        }
        match raw.code {
            attribute::MP_REACH_NLRI => self.multiprotocol_reach(raw),
            attribute::MP_UNREACH_NLRI => self.multiprotocol_unreach(raw),
            _ => Ok(()),
        }
    }

    fn multiprotocol_reach(&mut self, raw: &RawAttribute<'_>) -> Result<(), UpdateError> {
        let wrong = |what| UpdateError::OptionalAttribute { what, attribute: raw.whole.to_vec() };
        let [high, low, safi, length, rest @ ..] = raw.value else {
            return Err(wrong("MP_REACH_NLRI that is too short"));
        };
        let Some(family) = unicast(u16::from_be_bytes([*high, *low]), *safi) else { return Ok(()) };
        let is_possible = match family {
            // RFC 8950 is not offered, so an IPv6 next hop cannot stand here.
            IpFamily::V4 => *length == 4,
            IpFamily::V6 => matches!(length, 16 | 32),
        };
        if !is_possible {
            return Err(wrong("next hop of a wrong length"));
        }
        let prefixes = rest.split_at_checked(usize::from(*length)).and_then(|(_, rest)| rest.split_first());
        let Some((_reserved, prefixes)) = prefixes else { return Err(wrong("MP_REACH_NLRI that is too short")) };
        let count = nlri::count(family, prefixes).map_err(|_| wrong("prefixes of MP_REACH_NLRI"))?;
        self.reachable.add(family, count);
        self.reach = Some(family);
        Ok(())
    }

    fn multiprotocol_unreach(&mut self, raw: &RawAttribute<'_>) -> Result<(), UpdateError> {
        let wrong = |what| UpdateError::OptionalAttribute { what, attribute: raw.whole.to_vec() };
        let [high, low, safi, prefixes @ ..] = raw.value else {
            return Err(wrong("MP_UNREACH_NLRI that is too short"));
        };
        let Some(family) = unicast(u16::from_be_bytes([*high, *low]), *safi) else { return Ok(()) };
        let count = nlri::count(family, prefixes).map_err(|_| wrong("prefixes of MP_UNREACH_NLRI"))?;
        self.withdrawn.add(family, count);
        self.unreach = Some(family);
        Ok(())
    }

    /// RFC 7606 section 3 d.
    fn check_mandatory(&mut self, has_base: bool) {
        let is_missing = |code| !self.has(code);
        let is_without = if has_base {
            is_missing(attribute::ORIGIN) || is_missing(attribute::AS_PATH) || is_missing(attribute::NEXT_HOP)
        } else {
            self.reach.is_some() && (is_missing(attribute::ORIGIN) || is_missing(attribute::AS_PATH))
        };
        if is_without {
            self.withdraw = self.withdraw.or(Some("missing well-known attribute"));
        }
    }
}

#[cfg(test)]
mod tests;
