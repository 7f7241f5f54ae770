//! The key that members share: the Secret of [MLSEC-1], from a mounted file or through the API server ([OWN-16]).
//!
//! A new key is taken in beside the old one, so that no member is unheard while the others have not got it yet; after
//! [`OLD_KEY_FOR`] the old one is accepted no more.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lbcore::ownership::key::{KeyError, MemberKey, MemberKeys};
use lbcore::time::Timestamp;
use serde_json::{Map, Value};

/// The Secret that the controller makes.
pub(crate) const SECRET: &str = "memberlist";
/// The key of the Secret, and the name of the file where it is mounted.
const FIELD: &str = "secretkey";
/// A Secret that is mounted is brought to all nodes within a minute or two.
const OLD_KEY_FOR: Duration = Duration::from_secs(600);

/// What is in the file; `None` where there is none.
///
/// # Errors
/// It is there and cannot be read.
pub(crate) fn of_folder(folder: &Path) -> io::Result<Option<Vec<u8>>> {
    let path: PathBuf = folder.join(FIELD);
    match fs::read(path) {
        Ok(octets) => Ok(Some(octets)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is in the Secret; `None` where it has no such key.
pub(crate) fn of_secret(secret: &Map<String, Value>) -> Option<Vec<u8>> {
    let text = secret.get("data")?.get(FIELD)?.as_str()?;
    STANDARD.decode(text.split_ascii_whitespace().collect::<String>()).ok()
}

/// The keys in use, the newest first.
#[derive(Debug, Default)]
pub(crate) struct KeyRing {
    newest: Option<Vec<u8>>,
    old: Option<(Vec<u8>, Timestamp)>,
}

impl KeyRing {
    /// The key is as given now. Gives the keys to use where they differ from before; one that is gone stays in use, for without it
    /// this node would be a stranger to the others.
    ///
    /// # Errors
    /// [`KeyError`] for one that is too short; the keys before stay in use.
    pub(crate) fn handle_material(
        &mut self,
        now: Timestamp,
        material: Option<Vec<u8>>,
    ) -> Result<Option<MemberKeys>, KeyError> {
        let Some(material) = material else { return Ok(None) };
        if self.newest.as_ref() == Some(&material) {
            return Ok(None);
        }
        MemberKey::new(&material)?;
        let before = self.newest.replace(material);
        self.old = before.map(|before| (before, now + OLD_KEY_FOR));
        self.keys().map(Some)
    }

    /// Gives the keys to use where an old one has had its time.
    ///
    /// # Errors
    /// None in practice: the keys were taken before.
    pub(crate) fn handle_timeout(&mut self, now: Timestamp) -> Result<Option<MemberKeys>, KeyError> {
        if self.old.as_ref().is_none_or(|(_, until)| now < *until) {
            return Ok(None);
        }
        self.old = None;
        self.keys().map(Some)
    }

    /// Whether there is no key.
    pub(crate) const fn is_empty(&self) -> bool {
        self.newest.is_none()
    }

    fn keys(&self) -> Result<MemberKeys, KeyError> {
        let materials = self.newest.iter().chain(self.old.as_ref().map(|(material, _)| material));
        MemberKeys::new(materials.map(|material| MemberKey::new(material)).collect::<Result<Vec<_>, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FIRST: &[u8] = b"0123456789abcdef";
    const SECOND: &[u8] = b"fedcba9876543210";

    fn take(ring: &mut KeyRing, seconds: u64, material: Option<&[u8]>) -> Option<usize> {
        let now = Timestamp::from_micros(seconds * 1_000_000);
        let keys = ring.handle_material(now, material.map(<[u8]>::to_vec)).unwrap();
        keys.map(|keys| keys.ids().count())
    }

    // [OWN-16]
    #[test]
    fn a_new_key_is_used_beside_the_old_one_for_a_while() {
        let mut ring = KeyRing::default();
        assert_eq!(take(&mut ring, 0, None), None);
        assert!(ring.is_empty());
        assert_eq!(take(&mut ring, 1, Some(FIRST)), Some(1));
        assert_eq!(take(&mut ring, 2, Some(FIRST)), None);
        assert_eq!(take(&mut ring, 3, Some(SECOND)), Some(2));
        assert_eq!(take(&mut ring, 4, None), None);
        assert!(ring.handle_timeout(Timestamp::from_micros(602_000_000)).unwrap().is_none());
        assert_eq!(ring.handle_timeout(Timestamp::from_micros(603_000_000)).unwrap().unwrap().ids().count(), 1);
    }

    #[test]
    fn a_key_that_is_too_short_changes_nothing() {
        let mut ring = KeyRing::default();
        take(&mut ring, 1, Some(FIRST));
        assert!(ring.handle_material(Timestamp::ZERO, Some(b"short".to_vec())).is_err());
        assert_eq!(take(&mut ring, 2, Some(FIRST)), None);
    }

    #[test]
    fn the_secret_and_the_file_hold_the_same_octets() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(of_folder(folder.path()).unwrap(), None);
        fs::write(folder.path().join(FIELD), FIRST).unwrap();
        let secret = json!({"data": {FIELD: STANDARD.encode(FIRST)}});
        assert_eq!(of_folder(folder.path()).unwrap(), of_secret(secret.as_object().unwrap()));
        assert_eq!(of_secret(json!({"data": {}}).as_object().unwrap()), None);
    }
}
