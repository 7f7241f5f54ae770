//! OPEN (RFC 4271 section 4.2) with its optional parameters (RFC 5492, RFC 9072).

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use lbcore::family::IpFamily;

use super::capability::{Capability, read_all};
use super::error::OpenError;
use super::iana::AS_TRANS;
use super::{MessageKind, write_message};

/// The version that this is.
const VERSION: u8 = 4;
/// The optional parameter that holds capabilities (RFC 5492 section 4).
const CAPABILITIES: u8 = 2;
/// Marks the long form of optional parameters (RFC 9072 section 2).
const EXTENDED: u8 = 255;

/// An OPEN as it stands on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// "My Autonomous System": [`AS_TRANS`] where the number does not fit.
    pub my_as: u16,
    /// Seconds; 0, or 3 and more.
    pub hold_time: u16,
    /// BGP identifier, not zero.
    pub router_id: Ipv4Addr,
    /// Capabilities in the order they stand, each once.
    pub capabilities: Vec<Capability>,
}

impl Open {
    /// The field for an AS number: itself where it fits, [`AS_TRANS`] where not (RFC 6793 section 9).
    pub fn as_field(asn: u32) -> u16 {
        u16::try_from(asn).unwrap_or(AS_TRANS)
    }

    /// The number of the AS with four octets, where the speaker has the capability.
    pub fn four_octet_as(&self) -> Option<u32> {
        self.capabilities.iter().find_map(|capability| match capability {
            Capability::FourOctetAs(asn) => Some(*asn),
            Capability::Multiprotocol { .. }
            | Capability::RouteRefresh
            | Capability::GracefulRestart(_)
            | Capability::Unknown { .. } => None,
        })
    }

    /// The speaker's AS (RFC 6793 section 4.1).
    pub fn asn(&self) -> u32 {
        self.four_octet_as().unwrap_or_else(|| u32::from(self.my_as))
    }

    /// The families whose unicast routes it takes: IPv4 where it has no multiprotocol capability at all (RFC 4760 section 8).
    pub fn families(&self) -> BTreeSet<IpFamily> {
        let mut multiprotocol = self
            .capabilities
            .iter()
            .filter(|capability| matches!(capability, Capability::Multiprotocol { .. }))
            .peekable();
        if multiprotocol.peek().is_none() {
            return BTreeSet::from([IpFamily::V4]);
        }
        multiprotocol.filter_map(Capability::family).collect()
    }

    /// The whole message, with all capabilities in one parameter; `None` where they do not fit.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let mut capabilities = Vec::new();
        for capability in &self.capabilities {
            capability.encode(&mut capabilities);
        }
        let mut body = vec![VERSION];
        body.extend_from_slice(&self.my_as.to_be_bytes());
        body.extend_from_slice(&self.hold_time.to_be_bytes());
        body.extend_from_slice(&self.router_id.octets());
        match (u8::try_from(capabilities.len()), u8::try_from(capabilities.len() + 2)) {
            (Ok(0), _) => body.push(0),
            (Ok(inner), Ok(outer)) if outer != EXTENDED => body.extend_from_slice(&[outer, CAPABILITIES, inner]),
            _ => {
                let inner = u16::try_from(capabilities.len()).ok()?;
                body.extend_from_slice(&[EXTENDED, EXTENDED]);
                body.extend_from_slice(&inner.checked_add(3)?.to_be_bytes());
                body.push(CAPABILITIES);
                body.extend_from_slice(&inner.to_be_bytes());
            }
        }
        body.extend_from_slice(&capabilities);
        write_message(MessageKind::Open, &body)
    }

    /// Reads the body of a message.
    ///
    /// # Errors
    /// [`OpenError`], by its variants. Whether the AS is the expected one is for the caller to say.
    pub fn decode(body: &[u8]) -> Result<Self, OpenError> {
        let short = OpenError::Malformed { what: "too short" };
        let Some((fixed, parameters)) = body.split_first_chunk::<10>() else { return Err(short) };
        let [version, as_high, as_low, hold_high, hold_low, router_id @ .., length] = *fixed;
        if version != VERSION {
            return Err(OpenError::UnsupportedVersion { version });
        }
        let open = Self {
            my_as: u16::from_be_bytes([as_high, as_low]),
            hold_time: u16::from_be_bytes([hold_high, hold_low]),
            router_id: Ipv4Addr::from(router_id),
            capabilities: read_parameters(length, parameters)?,
        };
        open.check()?;
        Ok(open)
    }

    fn check(&self) -> Result<(), OpenError> {
        let asn = self.asn();
        let disagree = self.four_octet_as().is_some() && self.my_as != AS_TRANS && u32::from(self.my_as) != asn;
        // RFC 7607: zero in either place.
        if asn == 0 || self.my_as == 0 || disagree {
            return Err(OpenError::BadPeerAs { asn });
        }
        if matches!(self.hold_time, 1 | 2) {
            return Err(OpenError::UnacceptableHoldTime { seconds: self.hold_time });
        }
        if self.router_id.is_unspecified() {
            return Err(OpenError::BadIdentifier);
        }
        Ok(())
    }
}

/// The optional parameters, in the short form or the long one.
fn read_parameters(length: u8, octets: &[u8]) -> Result<Vec<Capability>, OpenError> {
    let wrong = OpenError::Malformed { what: "optional parameters of another length than the message" };
    let (is_long, mut octets) = match octets {
        [EXTENDED, high, low, rest @ ..] if length != 0 => {
            let given = usize::from(u16::from_be_bytes([*high, *low]));
            (true, if rest.len() == given { rest } else { return Err(wrong) })
        }
        rest if rest.len() == usize::from(length) => (false, rest),
        _ => return Err(wrong),
    };
    let mut capabilities = Vec::new();
    while let Some((kind, rest)) = octets.split_first() {
        let cut = OpenError::Malformed { what: "optional parameter that runs past the message" };
        let (length, rest) = match (is_long, rest) {
            (true, [high, low, rest @ ..]) => (usize::from(u16::from_be_bytes([*high, *low])), rest),
            (false, [length, rest @ ..]) => (usize::from(*length), rest),
            _ => return Err(cut),
        };
        let Some((value, rest)) = rest.split_at_checked(length) else { return Err(cut) };
        if *kind != CAPABILITIES {
            return Err(OpenError::UnsupportedParameter { kind: *kind });
        }
        read_all(value, &mut capabilities)?;
        octets = rest;
    }
    Ok(capabilities)
}

#[cfg(test)]
mod tests;
