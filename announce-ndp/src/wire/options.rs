//! Options of neighbor discovery (RFC 4861 section 4.6), by a strict reader of our own: a length of zero, or one past the end, discards
//! the whole message. Kinds that are not asked for are passed over.

use lbcore::link::MacAddr;

use super::DecodeError;

/// Source link-layer address.
pub(super) const SOURCE_LINK_LAYER: u8 = 1;
/// Target link-layer address.
pub(super) const TARGET_LINK_LAYER: u8 = 2;
/// Lengths are counted in units of so many octets.
const UNIT: usize = 8;

/// The Ethernet address in the first option of a kind, all options having been looked at.
///
/// # Errors
/// [`DecodeError::Option`].
pub(super) fn link_layer_address(options: &[u8], kind: u8) -> Result<Option<MacAddr>, DecodeError> {
    let mut found = None;
    let mut rest = options;
    while let [this, units, ..] = *rest {
        let length = usize::from(units) * UNIT;
        let (option, behind) = rest.split_at_checked(length).filter(|_| length > 0).ok_or(DecodeError::Option)?;
        if this == kind && found.is_none() {
            found = option.get(2..).and_then(<[u8]>::first_chunk::<6>).map(|octets| MacAddr::new(*octets));
        }
        rest = behind;
    }
    if rest.is_empty() { Ok(found) } else { Err(DecodeError::Option) }
}
