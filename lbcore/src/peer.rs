//! BGP peers and BFD profiles as configuration values ([CFG-20] to [CFG-27], [PEER-10] to [PEER-42]).

use core::fmt;
use std::sync::Arc;

/// A password for TCP MD5. `Debug` never shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Arc<[u8]>);

impl Password {
    /// Takes the octets of a password.
    pub fn new(octets: impl Into<Arc<[u8]>>) -> Self {
        Self(octets.into())
    }

    /// The octets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
