//! Which announcements changed, numbered: what [`Announcer::status_since`] reads. What is true of them is asked of the sessions.
//!
//! [`Announcer::status_since`]: lbcore::announce::Announcer::status_since

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lbcore::announce::{AnnouncementKey, StatusVersion};
use tokio::sync::watch;

/// Changes remembered; who asks for older ones gets everything.
const MAX_REMEMBERED: usize = 8_192;

#[derive(Debug, Default)]
struct Board {
    version: StatusVersion,
    /// The latest changes; the last one made `version`, each one before it the version before.
    changed: VecDeque<AnnouncementKey>,
}

/// Which announcements changed, written by every task and read by any.
#[derive(Debug)]
pub(super) struct StatusBoard {
    board: Mutex<Board>,
    version: watch::Sender<StatusVersion>,
}

/// What changed since a version.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Changed {
    /// These.
    Some(BTreeSet<AnnouncementKey>),
    /// It is not remembered any more.
    All,
}

impl StatusBoard {
    pub(super) fn new() -> Self {
        Self { board: Mutex::default(), version: watch::Sender::new(StatusVersion::default()) }
    }

    /// These may have changed.
    pub(super) fn touch(&self, keys: impl IntoIterator<Item = AnnouncementKey>) {
        let mut board = self.lock();
        let before = board.version;
        for key in keys {
            board.version.0 += 1;
            if board.changed.len() >= MAX_REMEMBERED {
                board.changed.pop_front();
            }
            board.changed.push_back(key);
        }
        self.publish(before, board);
    }

    /// Any may have changed.
    pub(super) fn touch_all(&self) {
        let mut board = self.lock();
        let before = board.version;
        board.version.0 += 1;
        board.changed.clear();
        self.publish(before, board);
    }

    /// What changed since `since`, with the version that this is; everything where `since` was never a version of this board.
    pub(super) fn since(&self, since: StatusVersion) -> (StatusVersion, Changed) {
        let board = self.lock();
        let version = board.version;
        let behind = version.0.checked_sub(since.0).and_then(|count| usize::try_from(count).ok());
        let changed = match behind.and_then(|count| board.changed.len().checked_sub(count)) {
            Some(known) => Changed::Some(board.changed.range(known..).copied().collect()),
            None => Changed::All,
        };
        (version, changed)
    }

    /// Resolves when there is a newer version than `since`.
    pub(super) async fn changed(&self, since: StatusVersion) {
        let mut version = self.version.subscribe();
        // The sender lives as long as `self`, so this cannot fail.
        let _ = version.wait_for(|version| *version > since).await;
    }

    fn publish(&self, before: StatusVersion, board: MutexGuard<'_, Board>) {
        let version = board.version;
        drop(board);
        if version != before {
            self.version.send_if_modified(|known| {
                let is_newer = version > *known;
                *known = version.max(*known);
                is_newer
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use lbcore::announce::ReachKind;

    use super::*;

    fn key(last: u8) -> AnnouncementKey {
        AnnouncementKey { prefix: IpAddr::from([192, 0, 2, last]).into(), kind: ReachKind::Routed }
    }

    // [OWN-70]
    #[test]
    fn changes_are_told_once_each() {
        let board = StatusBoard::new();
        board.touch([key(2), key(1), key(2)]);
        let version = StatusVersion(3);
        assert_eq!(board.since(StatusVersion(0)), (version, Changed::Some([key(1), key(2)].into())));
        assert_eq!(board.since(version), (version, Changed::Some(BTreeSet::new())));
        assert_eq!(board.since(StatusVersion(2)), (version, Changed::Some([key(2)].into())));
    }

    #[test]
    fn what_is_not_remembered_is_everything() {
        let board = StatusBoard::new();
        board.touch([key(1)]);
        board.touch_all();
        assert_eq!(board.since(StatusVersion(1)), (StatusVersion(2), Changed::All));
        assert_eq!(board.since(StatusVersion(9)).1, Changed::All);
        board.touch(core::iter::repeat_n(key(3), MAX_REMEMBERED));
        assert_eq!(board.since(StatusVersion(2)).1, Changed::Some([key(3)].into()));
        board.touch([key(4)]);
        assert_eq!(board.since(StatusVersion(2)).1, Changed::All);
    }
}
