//! Received path attributes: walked, and judged by RFC 7606. Nothing of them is kept.

use lbcore::peer::SessionKind;

use super::iana::{AS_SEQUENCE, attribute};

/// What is known of the session when an UPDATE comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeContext {
    /// Whether the peer is in our AS.
    pub kind: SessionKind,
    /// How wide AS numbers are in its UPDATEs.
    pub as_width: AsWidth,
}

/// How many octets an AS number has in UPDATEs of a session (RFC 6793).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsWidth {
    /// Two: the peer has not the capability.
    Two,
    /// Four.
    Four,
}

impl AsWidth {
    /// The number of octets.
    pub const fn octets(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }
}

/// One attribute as it stands in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawAttribute<'a> {
    /// Flags.
    pub flags: u8,
    /// Type code.
    pub code: u8,
    /// Value.
    pub value: &'a [u8],
    /// Header and value.
    pub whole: &'a [u8],
}

/// The end of the list came within an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut;

/// Takes the first attribute off a list; `None` at its end.
///
/// # Errors
/// [`Cut`] where the list ends within the attribute (RFC 7606 section 4).
pub fn take(list: &[u8]) -> Result<Option<(RawAttribute<'_>, &[u8])>, Cut> {
    let (flags, code, length, value) = match list {
        [] => return Ok(None),
        [flags, code, high, low, rest @ ..] if flags & attribute::EXTENDED_LENGTH != 0 => {
            (*flags, *code, usize::from(u16::from_be_bytes([*high, *low])), rest)
        }
        [flags, code, length, rest @ ..] if flags & attribute::EXTENDED_LENGTH == 0 => {
            (*flags, *code, usize::from(*length), rest)
        }
        _ => return Err(Cut),
    };
    let (value, rest) = value.split_at_checked(length).ok_or(Cut)?;
    let whole = list.get(..list.len() - rest.len()).unwrap_or(list);
    Ok(Some((RawAttribute { flags, code, value, whole }, rest)))
}

/// What an attribute comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Fine,
    /// As if it were not there.
    Discard,
    /// The routes of the message count as withdrawn.
    Withdraw(&'static str),
}

/// The optional and transitive bits that an attribute must have; `None` for one that is not known here.
const fn required_flags(code: u8) -> Option<u8> {
    match code {
        attribute::ORIGIN
        | attribute::AS_PATH
        | attribute::NEXT_HOP
        | attribute::LOCAL_PREF
        | attribute::ATOMIC_AGGREGATE => Some(attribute::TRANSITIVE),
        attribute::MULTI_EXIT_DISC
        | attribute::ORIGINATOR_ID
        | attribute::CLUSTER_LIST
        | attribute::MP_REACH_NLRI
        | attribute::MP_UNREACH_NLRI => Some(attribute::OPTIONAL),
        attribute::AGGREGATOR
        | attribute::COMMUNITIES
        | attribute::EXTENDED_COMMUNITIES
        | attribute::AS4_PATH
        | attribute::AS4_AGGREGATOR
        | attribute::IPV6_EXTENDED_COMMUNITIES
        | attribute::LARGE_COMMUNITY => Some(attribute::OPTIONAL | attribute::TRANSITIVE),
        _ => None,
    }
}

/// Judges an attribute that carries no prefixes (RFC 7606 section 7).
pub(super) fn judge(raw: &RawAttribute<'_>, context: DecodeContext) -> Verdict {
    let given = raw.flags & (attribute::OPTIONAL | attribute::TRANSITIVE);
    match required_flags(raw.code) {
        None if given & attribute::OPTIONAL == 0 => return Verdict::Withdraw("unrecognized well-known attribute"),
        None => return Verdict::Fine,
        Some(required) if required != given => return Verdict::Withdraw("attribute flags"),
        Some(_) => {}
    }
    let length = raw.value.len();
    let is_list_of = |size: usize| length != 0 && length.is_multiple_of(size);
    let or_withdraw = |holds: bool, what| if holds { Verdict::Fine } else { Verdict::Withdraw(what) };
    let or_discard = |holds: bool| if holds { Verdict::Fine } else { Verdict::Discard };
    let internal = context.kind == SessionKind::Internal;
    match raw.code {
        attribute::ORIGIN => or_withdraw(matches!(raw.value, [0..=2]), "ORIGIN"),
        attribute::AS_PATH => or_withdraw(is_sequence(raw.value, context.as_width), "AS_PATH"),
        attribute::NEXT_HOP => or_withdraw(length == 4, "NEXT_HOP"),
        attribute::MULTI_EXIT_DISC => or_withdraw(length == 4, "MULTI_EXIT_DISC"),
        // Sections 7.5, 7.9 and 7.10: from another system these three are ignored whatever they hold.
        attribute::LOCAL_PREF | attribute::ORIGINATOR_ID | attribute::CLUSTER_LIST if !internal => Verdict::Discard,
        attribute::LOCAL_PREF => or_withdraw(length == 4, "LOCAL_PREF"),
        attribute::ORIGINATOR_ID => or_withdraw(length == 4, "ORIGINATOR_ID"),
        attribute::CLUSTER_LIST => or_withdraw(is_list_of(4), "CLUSTER_LIST"),
        attribute::ATOMIC_AGGREGATE => or_discard(length == 0),
        attribute::AGGREGATOR => or_discard(is_aggregator(raw.value, context.as_width)),
        attribute::COMMUNITIES => or_withdraw(is_list_of(4), "COMMUNITIES"),
        attribute::EXTENDED_COMMUNITIES => or_withdraw(is_list_of(8), "EXTENDED COMMUNITIES"),
        attribute::IPV6_EXTENDED_COMMUNITIES => or_withdraw(is_list_of(20), "IPv6 EXTENDED COMMUNITIES"),
        attribute::LARGE_COMMUNITY => or_withdraw(is_list_of(12), "LARGE_COMMUNITY"),
        // RFC 6793 section 6: never from a speaker that has four octets, and no reason to lose a route.
        attribute::AS4_PATH | attribute::AS4_AGGREGATOR if context.as_width == AsWidth::Four => Verdict::Discard,
        attribute::AS4_PATH => or_discard(is_sequence(raw.value, AsWidth::Four)),
        attribute::AS4_AGGREGATOR => or_discard(is_aggregator(raw.value, AsWidth::Four)),
        _ => Verdict::Fine,
    }
}

/// Whether octets are AS_SEQUENCE segments of at least one AS each, none of them 0. Sets and confederations are refused (RFC 9774,
/// RFC 5065 section 5).
fn is_sequence(mut octets: &[u8], width: AsWidth) -> bool {
    while let [kind, count, rest @ ..] = octets {
        let Some((numbers, rest)) = rest.split_at_checked(usize::from(*count) * width.octets()) else { return false };
        let has_zero = numbers.chunks_exact(width.octets()).any(|number| number.iter().all(|octet| *octet == 0));
        if *kind != AS_SEQUENCE || *count == 0 || has_zero {
            return false;
        }
        octets = rest;
    }
    octets.is_empty()
}

fn is_aggregator(value: &[u8], width: AsWidth) -> bool {
    let asn = value.get(..width.octets()).unwrap_or_default();
    value.len() == width.octets() + 4 && asn.iter().any(|octet| *octet != 0)
}
