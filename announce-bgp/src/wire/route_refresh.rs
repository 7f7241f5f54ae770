//! ROUTE-REFRESH (RFC 2918, RFC 7313): the peer asks for all routes of a family again.

use lbcore::family::IpFamily;

use super::error::RouteRefreshError;
use super::iana::{SAFI_UNICAST, afi, unicast};
use super::{MessageKind, write_message};

/// What a ROUTE-REFRESH says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteRefresh {
    /// All routes of this family are asked for.
    Request(IpFamily),
    /// The peer begins or ends a refresh of its own, or speaks of a family or in a subtype that we do not know.
    Other,
}

impl RouteRefresh {
    /// Reads the body of a message.
    ///
    /// # Errors
    /// [`RouteRefreshError`] where the beginning or the end of a refresh has another length than four octets (RFC 7313 section 5).
    pub fn decode(body: &[u8]) -> Result<Self, RouteRefreshError> {
        let Some(([high, low, subtype, safi], rest)) = body.split_first_chunk::<4>() else { return Ok(Self::Other) };
        match subtype {
            // Octets behind are filters that we did not offer to take (RFC 5291): the whole is sent, which is never wrong.
            0 => Ok(unicast(u16::from_be_bytes([*high, *low]), *safi).map_or(Self::Other, Self::Request)),
            1 | 2 if !rest.is_empty() => {
                let message = write_message(MessageKind::RouteRefresh, body).unwrap_or_default();
                Err(RouteRefreshError { message })
            }
            _ => Ok(Self::Other),
        }
    }

    /// The message that asks for all routes of a family.
    pub fn request(family: IpFamily) -> Vec<u8> {
        let [high, low] = afi(family).to_be_bytes();
        write_message(MessageKind::RouteRefresh, &[high, low, 0, SAFI_UNICAST]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 2918 section 3
    #[test]
    fn a_request_names_its_family() {
        let message = RouteRefresh::request(IpFamily::V6);
        assert_eq!(message[16..], [0, 23, 5, 0, 2, 0, 1]);
        assert_eq!(RouteRefresh::decode(&message[19..]), Ok(RouteRefresh::Request(IpFamily::V6)));
        assert_eq!(RouteRefresh::decode(&[0, 1, 0, 1, 9, 9]), Ok(RouteRefresh::Request(IpFamily::V4)));
        assert_eq!(RouteRefresh::decode(&[0, 25, 0, 70]), Ok(RouteRefresh::Other));
    }

    // RFC 7313 section 5
    #[test]
    fn the_marks_of_a_refresh_have_four_octets_and_other_subtypes_are_ignored() {
        assert_eq!(RouteRefresh::decode(&[0, 1, 1, 1]), Ok(RouteRefresh::Other));
        assert_eq!(RouteRefresh::decode(&[0, 1, 7, 1, 0]), Ok(RouteRefresh::Other));
        let error = RouteRefresh::decode(&[0, 1, 2, 1, 0]).unwrap_err();
        assert_eq!(error.message[16..], [0, 24, 5, 0, 1, 2, 1, 0]);
    }
}
