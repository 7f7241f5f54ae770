//! What is really true of each announcement, with its changes numbered: what [`Announcer::status_since`] reads.
//!
//! [`Announcer::status_since`]: lbcore::announce::Announcer::status_since

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lbcore::announce::{AnnouncementKey, AnnouncementState, StatusChange, StatusDelta, StatusVersion};
use tokio::sync::watch;

/// Changes remembered; who asks for older ones gets everything.
const MAX_REMEMBERED: usize = 8_192;

#[derive(Debug, Default)]
struct Board {
    version: StatusVersion,
    states: BTreeMap<AnnouncementKey, AnnouncementState>,
    /// The latest changes; the last one made `version`, each one before it the version before.
    changed: VecDeque<AnnouncementKey>,
}

/// The status of all announcements, written by the shell's thread and read by any.
#[derive(Debug)]
pub(super) struct StatusBoard {
    board: Mutex<Board>,
    version: watch::Sender<StatusVersion>,
}

impl StatusBoard {
    pub(super) fn new() -> Self {
        Self { board: Mutex::default(), version: watch::Sender::new(StatusVersion::default()) }
    }

    /// Notes what is true of an announcement now; `None` where it is gone. The same state again is no change.
    pub(super) fn set(&self, key: AnnouncementKey, state: Option<AnnouncementState>) {
        let mut board = self.lock();
        if board.states.get(&key) == state.as_ref() {
            return;
        }
        match state {
            Some(state) => board.states.insert(key, state),
            None => board.states.remove(&key),
        };
        board.version.0 += 1;
        if board.changed.len() >= MAX_REMEMBERED {
            board.changed.pop_front();
        }
        board.changed.push_back(key);
        let version = board.version;
        drop(board);
        self.version.send_replace(version);
    }

    /// Everything is gone: the announcer has stopped.
    pub(super) fn clear(&self) {
        let keys: Vec<AnnouncementKey> = self.lock().states.keys().copied().collect();
        for key in keys {
            self.set(key, None);
        }
    }

    /// What changed since `since`; everything where that is not remembered any more, or was never a version of this board.
    pub(super) fn since(&self, since: StatusVersion) -> StatusDelta {
        let board = self.lock();
        let version = board.version;
        let behind = version.0.checked_sub(since.0).and_then(|count| usize::try_from(count).ok());
        match behind.and_then(|count| board.changed.len().checked_sub(count)) {
            Some(known) => {
                let keys: BTreeSet<AnnouncementKey> = board.changed.range(known..).copied().collect();
                let state_of = |key: AnnouncementKey| StatusChange { key, state: board.states.get(&key).cloned() };
                StatusDelta::Changes { version, changes: keys.into_iter().map(state_of).collect() }
            }
            None => StatusDelta::Resync {
                version,
                all: board.states.iter().map(|(key, state)| (*key, state.clone())).collect(),
            },
        }
    }

    /// Resolves when there is a newer version than `since`.
    pub(super) async fn changed(&self, since: StatusVersion) {
        let mut version = self.version.subscribe();
        // The sender lives as long as `self`, so this cannot fail.
        let _ = version.wait_for(|version| *version > since).await;
    }

    /// Resolves when `holds` is true of the states; asks again at each change.
    pub(super) async fn until(&self, holds: impl Fn(&BTreeMap<AnnouncementKey, AnnouncementState>) -> bool) {
        loop {
            let seen = {
                let board = self.lock();
                if holds(&board.states) {
                    return;
                }
                board.version
            };
            self.changed(seen).await;
        }
    }

    /// Those of these announcements that are active.
    pub(super) fn active_among(&self, keys: &[AnnouncementKey]) -> Vec<AnnouncementKey> {
        let board = self.lock();
        keys.iter().filter(|key| is_active(board.states.get(key))).copied().collect()
    }

    /// Takes out the announcements that are with another node now.
    pub(super) fn retain_without_successor(&self, keys: &mut Vec<AnnouncementKey>) {
        let board = self.lock();
        keys.retain(|key| !is_with_another(board.states.get(key)));
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether this node answers for an announcement of this state.
pub(super) const fn is_active(state: Option<&AnnouncementState>) -> bool {
    matches!(state, Some(AnnouncementState::Active { .. }))
}

/// Whether another node answers for an announcement of this state, or none is wanted to any more.
pub(super) const fn is_with_another(state: Option<&AnnouncementState>) -> bool {
    matches!(state, None | Some(AnnouncementState::Standby { owner: Some(_) }))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn key(last: u8) -> AnnouncementKey {
        AnnouncementKey::link(IpAddr::from([192, 0, 2, last]))
    }

    fn change(last: u8, state: Option<AnnouncementState>) -> StatusChange {
        StatusChange { key: key(last), state }
    }

    // [OWN-70]
    #[test]
    fn changes_are_told_once_for_each_announcement_with_its_latest_state() {
        let board = StatusBoard::new();
        board.set(key(2), Some(AnnouncementState::Pending));
        board.set(key(1), Some(AnnouncementState::Pending));
        board.set(key(2), Some(AnnouncementState::Probing));
        let version = StatusVersion(3);
        assert_eq!(
            board.since(StatusVersion(0)),
            StatusDelta::Changes {
                version,
                changes: vec![change(1, Some(AnnouncementState::Pending)), change(2, Some(AnnouncementState::Probing))],
            }
        );
        assert_eq!(board.since(version), StatusDelta::Changes { version, changes: vec![] });
    }

    #[test]
    fn the_same_state_again_is_no_change() {
        let board = StatusBoard::new();
        board.set(key(1), Some(AnnouncementState::Pending));
        board.set(key(1), Some(AnnouncementState::Pending));
        board.set(key(2), None);
        assert!(matches!(board.since(StatusVersion(0)), StatusDelta::Changes { version: StatusVersion(1), .. }));
    }

    #[test]
    fn an_announcement_that_is_gone_is_told_as_gone() {
        let board = StatusBoard::new();
        board.set(key(1), Some(AnnouncementState::Pending));
        board.clear();
        assert_eq!(
            board.since(StatusVersion(1)),
            StatusDelta::Changes { version: StatusVersion(2), changes: vec![change(1, None)] }
        );
    }

    #[test]
    fn a_version_that_is_too_old_or_was_never_given_gets_everything() {
        let board = StatusBoard::new();
        let count = u64::try_from(MAX_REMEMBERED).unwrap();
        for round in 0..=count {
            let state = if round % 2 == 0 { AnnouncementState::Pending } else { AnnouncementState::Probing };
            board.set(key(1), Some(state));
        }
        let all = vec![(key(1), AnnouncementState::Pending)];
        let version = StatusVersion(count + 1);
        assert_eq!(board.since(StatusVersion(0)), StatusDelta::Resync { version, all: all.clone() });
        assert_eq!(board.since(StatusVersion(count + 2)), StatusDelta::Resync { version, all });
        assert!(matches!(board.since(StatusVersion(1)), StatusDelta::Changes { .. }));
    }

    #[tokio::test]
    async fn a_waiter_wakes_at_a_newer_version() {
        let board = StatusBoard::new();
        board.set(key(1), Some(AnnouncementState::Pending));
        board.changed(StatusVersion(0)).await;
        let waits = board.changed(StatusVersion(1));
        tokio::join!(waits, async { board.set(key(1), None) });
    }
}
