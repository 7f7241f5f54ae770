//! Capabilities of an OPEN (RFC 5492). Unknown ones are kept; a broken one of those that we use is an error.

use lbcore::family::IpFamily;

use super::error::OpenError;
use super::iana::{SAFI_UNICAST, afi, capability, unicast};

/// Most octets of one capability's value: its length is one octet.
const MAX_VALUE: usize = 255;

/// One capability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Routes of an address family are exchanged (RFC 4760); also one that we do not know.
    Multiprotocol {
        /// Address family.
        afi: u16,
        /// Subsequent address family.
        safi: u8,
    },
    /// ROUTE-REFRESH is understood (RFC 2918).
    RouteRefresh,
    /// AS numbers have four octets; this is the speaker's own (RFC 6793).
    FourOctetAs(u32),
    /// Graceful restart (RFC 4724).
    GracefulRestart(GracefulRestart),
    /// Any other.
    Unknown {
        /// Its code.
        code: u8,
        /// Its value, at most 255 octets.
        value: Box<[u8]>,
    },
}

/// What a speaker says of its restarts (RFC 4724 section 3). An empty list of families means that it sends End-of-RIB, no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GracefulRestart {
    /// R, N and reserved bits: the upper four of the first two octets.
    pub flags: u8,
    /// Seconds within which it is back, 0 to 4095.
    pub time: u16,
    /// AFI, SAFI and flags of each family.
    pub families: Vec<(u16, u8, u8)>,
}

impl Capability {
    /// Unicast routes of a family.
    pub const fn unicast(family: IpFamily) -> Self {
        Self::Multiprotocol { afi: afi(family), safi: SAFI_UNICAST }
    }

    /// The family of unicast routes that it stands for.
    pub const fn family(&self) -> Option<IpFamily> {
        match self {
            Self::Multiprotocol { afi, safi } => unicast(*afi, *safi),
            Self::RouteRefresh | Self::FourOctetAs(_) | Self::GracefulRestart(_) | Self::Unknown { .. } => None,
        }
    }

    const fn code(&self) -> u8 {
        match self {
            Self::Multiprotocol { .. } => capability::MULTIPROTOCOL,
            Self::RouteRefresh => capability::ROUTE_REFRESH,
            Self::FourOctetAs(_) => capability::FOUR_OCTET_AS,
            Self::GracefulRestart(_) => capability::GRACEFUL_RESTART,
            Self::Unknown { code, .. } => *code,
        }
    }

    fn value(&self) -> Vec<u8> {
        match self {
            Self::Multiprotocol { afi, safi } => {
                let [high, low] = afi.to_be_bytes();
                vec![high, low, 0, *safi]
            }
            Self::RouteRefresh => Vec::new(),
            Self::FourOctetAs(asn) => asn.to_be_bytes().to_vec(),
            Self::GracefulRestart(restart) => {
                let head = u16::from(restart.flags & 0xf) << 12 | (restart.time & 0x0fff);
                let mut value = head.to_be_bytes().to_vec();
                for (afi, safi, flags) in &restart.families {
                    value.extend_from_slice(&afi.to_be_bytes());
                    value.extend_from_slice(&[*safi, *flags]);
                }
                value
            }
            Self::Unknown { value, .. } => value.to_vec(),
        }
    }

    /// Appends it; a value of more than 255 octets is cut.
    pub(super) fn encode(&self, octets: &mut Vec<u8>) {
        let value = self.value();
        let value = value.get(..MAX_VALUE).unwrap_or(&value);
        octets.push(self.code());
        octets.push(u8::try_from(value.len()).unwrap_or(u8::MAX));
        octets.extend_from_slice(value);
    }

    fn read(code: u8, value: &[u8]) -> Result<Self, OpenError> {
        let unknown = || Self::Unknown { code, value: value.into() };
        Ok(match (code, value) {
            (capability::MULTIPROTOCOL, [high, low, _, safi]) => {
                Self::Multiprotocol { afi: u16::from_be_bytes([*high, *low]), safi: *safi }
            }
            (capability::FOUR_OCTET_AS, [first, second, third, fourth]) => {
                Self::FourOctetAs(u32::from_be_bytes([*first, *second, *third, *fourth]))
            }
            // [BGP-23]: the two without which nothing can be agreed.
            (capability::MULTIPROTOCOL | capability::FOUR_OCTET_AS, _) => {
                return Err(OpenError::Malformed { what: "capability of a wrong length" });
            }
            (capability::ROUTE_REFRESH, []) => Self::RouteRefresh,
            (capability::GRACEFUL_RESTART, value) => {
                GracefulRestart::read(value).map_or_else(unknown, Self::GracefulRestart)
            }
            _ => unknown(),
        })
    }
}

impl GracefulRestart {
    fn read(value: &[u8]) -> Option<Self> {
        let (head, rest) = value.split_first_chunk::<2>()?;
        let head = u16::from_be_bytes(*head);
        let (families, []) = rest.as_chunks::<4>() else { return None };
        let families = families
            .iter()
            .map(|[high, low, safi, flags]| (u16::from_be_bytes([*high, *low]), *safi, *flags))
            .collect();
        let flags = u8::try_from(head >> 12).unwrap_or(0);
        Some(Self { flags, time: head & 0x0fff, families })
    }
}

/// Reads the capabilities of one optional parameter and appends those that are not there yet.
///
/// # Errors
/// [`OpenError::Malformed`] where a length runs past the parameter, or where one that we use has a wrong length.
pub(super) fn read_all(mut octets: &[u8], found: &mut Vec<Capability>) -> Result<(), OpenError> {
    while let Some((code, rest)) = octets.split_first() {
        let cut = OpenError::Malformed { what: "capability that runs past its parameter" };
        let Some((length, rest)) = rest.split_first() else { return Err(cut) };
        let Some((value, rest)) = rest.split_at_checked(usize::from(*length)) else { return Err(cut) };
        octets = rest;
        let capability = Capability::read(*code, value)?;
        if !found.contains(&capability) {
            found.push(capability);
        }
    }
    Ok(())
}
