//! What `ferrule run` keeps on disk: the addresses of its Services, those that wait or are kept by policies, the ledger, and the changes it
//! made to the kernel.
//!
//! The file is one JSON object, `{"version":2,"sha256":"..","state":{..}}`; the digest is taken over the exact octets of `state`.
//! It is replaced as a whole (temporary file in the same folder, fsync, rename, fsync of the folder), so that a reader finds the
//! old or the new content, never a mixture. A file that is damaged, truncated or of a later version is refused, never passed over:
//! forgetting an allocation silently could give an address in use to somebody else.
//!
//! Invariant of the host: nothing is announced before it is in this file ([OWN-60]). One daemon a file and one a network namespace,
//! by locks that end with the process ([OWN-61]).

mod namespace;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use lbcore::labels::Labels;
use lbcore::service::{PoolName, ServiceKey};
use lbcore::time::UnixTime;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::history::History;

pub use namespace::NamespaceLock;

/// The version that this build writes, and the highest that it reads.
const VERSION: u64 = 2;
/// The lowest that it reads: without holds, kept addresses and ledger.
const OLDEST_VERSION: u64 = 1;
/// A state file past this size is none of ours: a hundred thousand Services need some 10 MiB.
const SIZE_MAX: u64 = 256 << 20;
/// Readable and writable by the owner alone.
const FILE_MODE: u32 = 0o600;
/// As `FILE_MODE`, for a folder that had to be made.
const FOLDER_MODE: u32 = 0o700;

/// Why the state cannot be read, written or locked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StateError {
    /// The content is not what was written.
    #[error(
        "state file {}: damaged ({what}); it is not used, so that no address in use is given away. Restore it from a backup, or, \
         where other nodes of the segment run and hold the addresses, move it away and start again: what they claim is adopted, \
         everything else is allocated anew",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Written by a later ferrule.
    #[error(
        "state file {}: it has version {found} and this ferrule reads up to version {VERSION}; start the later ferrule that wrote it",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// The system refused to do something with a path.
    #[error("cannot {action} {}: {cause} ({mend})", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What to do about it.
        mend: &'static str,
        /// What the system said; part of the text, and so no source beside it.
        cause: io::Error,
    },
    /// Another daemon works with the file ([OWN-61]).
    #[error(
        "state file {}: another `ferrule run`{} works with it; stop that one first, or give this one a file of its own with --state",
        path.display(),
        holder.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    FileInUse {
        /// The file.
        path: PathBuf,
        /// The other's process id, where it could be read.
        holder: Option<u32>,
    },
    /// Another daemon lives in the network namespace ([OWN-61]).
    #[error(
        "another `ferrule run`{} works in this network namespace; two would answer for the same addresses: stop that one first \
         (`ss -xlp | grep @ferrule-run` shows it)",
        holder.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    NamespaceInUse {
        /// The other's process id, where it could be read.
        holder: Option<u32>,
    },
    /// Processes that are no daemons have every name that the lock could have.
    #[error(
        "the names of the lock of this network namespace are taken by processes that are no `ferrule run`: end them \
         (`ss -xap | grep @ferrule-run` shows them)"
    )]
    NamespaceSquatted,
}

impl StateError {
    /// Whether trying again later may help.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Io { .. })
    }
}

/// What is kept of one Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedService {
    /// Its addresses in the order of its status; at least one.
    pub addresses: Vec<IpAddr>,
    /// The pool they came from.
    #[serde(with = "text")]
    pub pool: PoolName,
    /// When they were allocated first, by whichever daemon: milliseconds since 1970 of that daemon's clock.
    pub since: u64,
}

/// The per-link settings of the kernel that `run` changes ([OWN-42]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkSetting {
    /// `net.ipv4.conf.LINK.arp_announce`.
    ArpAnnounce,
    /// `net.ipv4.conf.LINK.arp_ignore`.
    ArpIgnore,
}

/// One changed setting of a link, with what is needed to put it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedSetting {
    /// The link's name.
    pub link: String,
    /// The kernel's index of the link at that time: a namesake made later was never changed by us.
    pub index: u32,
    /// Which setting.
    pub setting: LinkSetting,
    /// The value before.
    pub original: u8,
    /// The value that was written.
    pub written: u8,
}

/// Why an address waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedReason {
    /// For the return of its Service.
    Retention,
    /// For the end of its cool-down.
    CoolDown,
}

/// An address that waits as a policy says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RecordedHold {
    /// The address.
    pub address: IpAddr,
    /// The Service that had it.
    #[serde(with = "text")]
    pub service: ServiceKey,
    /// When it is free for all.
    #[serde(with = "text")]
    pub until: UnixTime,
    /// Why it waits.
    pub reason: RecordedReason,
}

/// An address that a freeze keeps for a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedKept {
    /// The address.
    pub address: IpAddr,
    /// The pool that had it.
    #[serde(with = "text")]
    pub pool: PoolName,
    /// The Service that has it.
    #[serde(with = "text")]
    pub service: ServiceKey,
    /// The labels of the pool when it was last there.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub pool_labels: Labels,
}

/// Everything that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The Services that have addresses.
    #[serde(with = "keyed")]
    pub services: BTreeMap<ServiceKey, RecordedService>,
    /// Addresses that wait, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<RecordedHold>,
    /// Addresses that freezes keep, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<RecordedKept>,
    /// Who had which address, and why it moved.
    #[serde(default, skip_serializing_if = "History::is_empty")]
    pub history: History,
    /// Settings of links that are changed, or about to be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<RecordedSetting>,
}

/// Names of lbcore as JSON texts.
mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A map by Service, as a JSON object.
mod keyed {
    use std::collections::BTreeMap;

    use lbcore::service::ServiceKey;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::RecordedService;

    type Services = BTreeMap<ServiceKey, RecordedService>;

    pub(super) fn serialize<S: Serializer>(services: &Services, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(services.iter().map(|(key, recorded)| (key.as_str(), recorded)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Services, D::Error> {
        let by_text = BTreeMap::<String, RecordedService>::deserialize(deserializer)?;
        by_text.into_iter().map(|(key, recorded)| Ok((key.parse().map_err(D::Error::custom)?, recorded))).collect()
    }
}

/// The version alone, whatever else a later ferrule may write.
#[derive(Deserialize)]
struct VersionOnly {
    version: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(rename = "version")]
    _version: u64,
    sha256: String,
    #[serde(borrow)]
    state: &'a RawValue,
}

fn digest(octets: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for octet in Sha256::digest(octets) {
        // Writing into a text cannot fail.
        let _ = write!(text, "{octet:02x}");
    }
    text
}

/// The octets of a state file.
///
/// # Errors
/// None that a value of [`State`] can cause; serde's signature asks for the result.
pub fn encode(state: &State) -> Result<Vec<u8>, serde_json::Error> {
    let body = serde_json::to_string(state)?;
    Ok(format!("{{\"version\":{VERSION},\"sha256\":\"{}\",\"state\":{body}}}\n", digest(body.as_bytes())).into_bytes())
}

/// The state in the octets of a file; `path` is for the error text.
///
/// # Errors
/// [`StateError::Newer`] for a later version, [`StateError::Damaged`] for everything else that was not written by [`encode`].
pub fn decode(octets: &[u8], path: &Path) -> Result<State, StateError> {
    let damaged = |what: String| StateError::Damaged { path: path.to_owned(), what };
    if octets.is_empty() {
        return Err(damaged("it is empty".to_owned()));
    }
    let VersionOnly { version } = serde_json::from_slice(octets).map_err(|error| damaged(error.to_string()))?;
    match version {
        OLDEST_VERSION..=VERSION => {}
        newer if newer > VERSION => return Err(StateError::Newer { path: path.to_owned(), found: newer }),
        other => return Err(damaged(format!("there never was a version {other}"))),
    }
    let envelope: Envelope<'_> = serde_json::from_slice(octets).map_err(|error| damaged(error.to_string()))?;
    if digest(envelope.state.get().as_bytes()) != envelope.sha256 {
        return Err(damaged("its content does not match its checksum".to_owned()));
    }
    serde_json::from_str(envelope.state.get()).map_err(|error| damaged(error.to_string()))
}

/// A locked state file: from [`open`](Self::open) until dropped no other daemon works with it.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    folder: PathBuf,
    temporary: PathBuf,
    /// Holds the lock; the kernel takes it back when the process ends, however it ends.
    _lock: File,
}

impl StateFile {
    /// Locks the file, making its folder where that is missing, and reads it; a file that does not exist is the empty state.
    ///
    /// # Errors
    /// Every variant of [`StateError`] but those about the network namespace.
    pub fn open(path: &Path) -> Result<(Self, State), StateError> {
        let Some(name) = path.file_name() else {
            let source = io::Error::from(io::ErrorKind::IsADirectory);
            return Err(failed("use", path, "give --state the name of a file")(source));
        };
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&folder).map_err(failed(
            "make the folder",
            &folder,
            "make it, or choose another place with --state",
        ))?;
        let sibling = |suffix: &str| {
            let mut sibling = name.to_owned();
            sibling.push(suffix);
            folder.join(sibling)
        };
        let lock = lock_file(&sibling(".lock"), path)?;
        let state = read(path)?;
        let temporary = sibling(".new");
        Ok((Self { path: path.to_owned(), folder, temporary, _lock: lock }, state))
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the content; when this returns, a power failure does not lose it.
    ///
    /// # Errors
    /// [`StateError::Io`]; the old content is then still there.
    pub fn save(&self, state: &State) -> Result<(), StateError> {
        const MEND: &str = "nothing new is announced until it can be written: check free space and permissions";
        let write = failed("write", &self.temporary, MEND);
        let octets = encode(state).map_err(io::Error::other).map_err(&write)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE)
            .open(&self.temporary)
            .map_err(&write)?;
        file.write_all(&octets).and_then(|()| file.sync_all()).map_err(&write)?;
        drop(file);
        fs::rename(&self.temporary, &self.path).map_err(failed("replace", &self.path, MEND))?;
        // The new name is safe only when the folder is.
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(failed(
            "sync the folder",
            &self.folder,
            MEND,
        ))
    }
}

fn failed<'a>(action: &'static str, path: &'a Path, mend: &'static str) -> impl Fn(io::Error) -> StateError + 'a {
    move |cause| StateError::Io { action, path: path.to_owned(), mend, cause }
}

fn lock_file(lock_path: &Path, state_path: &Path) -> Result<File, StateError> {
    const MEND: &str = "run as a user who may write there, or choose another place with --state";
    let mut lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(lock_path)
        .map_err(failed("open", lock_path, MEND))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let holder = lock.read_to_string(&mut holder).ok().and_then(|_| holder.trim().parse().ok());
            return Err(StateError::FileInUse { path: state_path.to_owned(), holder });
        }
        Err(TryLockError::Error(source)) => return Err(failed("lock", lock_path, MEND)(source)),
    }
    // For the text of a second daemon's refusal only; the lock holds without it.
    lock.set_len(0)
        .and_then(|()| writeln!(lock, "{}", std::process::id()))
        .map_err(failed("write", lock_path, MEND))?;
    Ok(lock)
}

fn read(path: &Path) -> Result<State, StateError> {
    let fail = failed("read", path, "it must be readable by the user that runs ferrule");
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::default()),
        Err(error) => return Err(fail(error)),
    };
    let mut octets = Vec::new();
    file.take(SIZE_MAX + 1).read_to_end(&mut octets).map_err(&fail)?;
    if octets.len() as u64 > SIZE_MAX {
        return Err(StateError::Damaged {
            path: path.to_owned(),
            what: format!("it is larger than {SIZE_MAX} octets"),
        });
    }
    decode(&octets, path)
}

#[cfg(test)]
mod tests;
