//! The keys that members share, and the authentication of their frames (HMAC-SHA-256, [OWN-16]).

use core::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// Octets of the authentication tag at the end of each frame.
pub const TAG_LENGTH: usize = 32;
/// Shortest key taken: shorter ones can be guessed.
pub const SHORTEST_KEY: usize = 16;

/// Names a key in a frame without telling it: the first four octets of its SHA-256 digest, never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub u32);

impl KeyId {
    /// The mark of a frame that no key authenticates.
    pub const NONE: Self = Self(0);
}

/// Key material that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Too short.
    #[error("a member key needs at least {SHORTEST_KEY} octets, this one has {length}")]
    TooShort {
        /// Octets given.
        length: usize,
    },
    /// More than two keys.
    #[error("at most two member keys can be in use at once, {count} were given")]
    TooMany {
        /// Keys given.
        count: usize,
    },
}

/// One shared key. `Debug` does not show it.
#[derive(Clone)]
pub struct MemberKey {
    id: KeyId,
    mac: Hmac<Sha256>,
}

impl MemberKey {
    /// Takes key material of at least [`SHORTEST_KEY`] octets.
    ///
    /// # Errors
    /// [`KeyError::TooShort`].
    pub fn new(material: &[u8]) -> Result<Self, KeyError> {
        let too_short = KeyError::TooShort { length: material.len() };
        if material.len() < SHORTEST_KEY {
            return Err(too_short);
        }
        let digest = Sha256::digest(material);
        let mut id = [0; 4];
        for (octet, source) in id.iter_mut().zip(digest.iter()) {
            *octet = *source;
        }
        let mac = Hmac::<Sha256>::new_from_slice(material).map_err(|_| too_short)?;
        Ok(Self { id: KeyId(u32::from_be_bytes(id).max(1)), mac })
    }

    /// What names the key in frames.
    pub const fn id(&self) -> KeyId {
        self.id
    }
}

impl fmt::Debug for MemberKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemberKey({:08x}, ***)", self.id.0)
    }
}

/// The keys of a member: none, one, or two while a new one is brought in. The first is the one to move to.
#[derive(Clone, Debug, Default)]
pub struct MemberKeys(Arc<[MemberKey]>);

impl MemberKeys {
    /// No key: frames carry none, and frames that carry one are not understood.
    pub fn none() -> Self {
        Self::default()
    }

    /// Takes up to two keys, the one to move to first.
    ///
    /// # Errors
    /// [`KeyError::TooMany`].
    pub fn new(keys: Vec<MemberKey>) -> Result<Self, KeyError> {
        if keys.len() > 2 {
            return Err(KeyError::TooMany { count: keys.len() });
        }
        Ok(Self(keys.into()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ids of the keys held, the one to move to first.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.0.iter().map(MemberKey::id)
    }

    /// The tag of `content` under the key `id`; zeros where there is no such key.
    pub(crate) fn tag(&self, id: KeyId, content: &[u8]) -> [u8; TAG_LENGTH] {
        self.find(id)
            .map_or([0; TAG_LENGTH], |key| key.mac.clone().chain_update(content).finalize().into_bytes().into())
    }

    /// Whether `tag` is what the key `id` makes of `content`. Without keys only frames without a key pass.
    pub(crate) fn verifies(&self, id: KeyId, content: &[u8], tag: &[u8]) -> bool {
        if self.is_empty() {
            return id == KeyId::NONE;
        }
        self.find(id).is_some_and(|key| key.mac.clone().chain_update(content).verify_slice(tag).is_ok())
    }

    fn find(&self, id: KeyId) -> Option<&MemberKey> {
        self.0.iter().find(|key| key.id == id)
    }
}
