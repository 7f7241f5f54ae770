//! What an announcer reports, carried out and told: addresses of this node on `ferrule0`, and a log line for each change.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use lbcore::announce::{
    AnnouncementKey, AnnouncementState, Announcer, ReachKind, StatusDelta, StatusVersion, Withheld,
};
use tokio::sync::{Mutex, Notify};
use tokio::time::sleep;

use super::addresses::Holder;

/// What the kernel refused is tried again after this time.
const RETRY: Duration = Duration::from_secs(1);

/// Follows one announcer.
#[derive(Debug)]
pub(crate) struct Follower {
    announcer: Arc<dyn Announcer>,
    holder: Arc<Mutex<Holder>>,
    /// Told when somebody else took something from the link.
    disturbed: Arc<Notify>,
    states: BTreeMap<AnnouncementKey, AnnouncementState>,
    version: StatusVersion,
}

impl Follower {
    pub(crate) fn new(announcer: Arc<dyn Announcer>, holder: Arc<Mutex<Holder>>, disturbed: Arc<Notify>) -> Self {
        Self { announcer, holder, disturbed, states: BTreeMap::new(), version: StatusVersion::default() }
    }

    /// Runs until it is dropped.
    pub(crate) async fn run(mut self) {
        let mut is_due = false;
        loop {
            tokio::select! {
                () = self.announcer.changed(self.version) => {}
                () = self.disturbed.notified() => {
                    if let Err(error) = self.holder.lock().await.repair().await {
                        tracing::error!(%error, "addresses that somebody else removed could not be put back");
                        self.disturbed.notify_one();
                        sleep(RETRY).await;
                    }
                }
                () = sleep(RETRY), if is_due => {}
            }
            let changes = self.take_changes();
            // The addresses first: traffic comes with the first frame of the burst.
            is_due = self.hold().await;
            for (key, state) in changes {
                tell(&key, state.as_ref());
            }
        }
    }

    /// The states that differ from what was known.
    fn take_changes(&mut self) -> Vec<(AnnouncementKey, Option<AnnouncementState>)> {
        let mut changes = Vec::new();
        match self.announcer.status_since(self.version) {
            StatusDelta::Changes { version, changes: delta } => {
                self.version = version;
                changes.extend(delta.into_iter().map(|change| (change.key, change.state)));
            }
            StatusDelta::Resync { version, all } => {
                self.version = version;
                let gone = self.states.keys().filter(|key| all.iter().all(|(known, _)| known != *key));
                changes.extend(gone.map(|key| (*key, None)));
                changes.extend(all.into_iter().map(|(key, state)| (key, Some(state))));
            }
        }
        changes.retain(|(key, state)| {
            let before = match state {
                Some(state) => self.states.insert(*key, state.clone()),
                None => self.states.remove(key),
            };
            !is_alike(before.as_ref(), state.as_ref())
        });
        changes
    }

    /// Whether something has to be tried again.
    async fn hold(&self) -> bool {
        let active = self
            .states
            .iter()
            .filter(|(key, state)| key.kind == ReachKind::Link && matches!(state, AnnouncementState::Active { .. }));
        let wanted: BTreeSet<IpAddr> = active.map(|(key, _)| key.prefix.ip()).collect();
        let errors = self.holder.lock().await.hold(&wanted).await;
        for error in &errors {
            tracing::error!(%error, "address of this node could not be changed");
        }
        !errors.is_empty()
    }
}

/// Whether a reader would see no difference: times and links are details of an active announcement.
fn is_alike(before: Option<&AnnouncementState>, after: Option<&AnnouncementState>) -> bool {
    match (before, after) {
        (
            Some(AnnouncementState::Active { epoch: before, .. }),
            Some(AnnouncementState::Active { epoch: after, .. }),
        ) => before == after,
        (before, after) => before == after,
    }
}

fn tell(key: &AnnouncementKey, state: Option<&AnnouncementState>) {
    let address = key.prefix.ip();
    match state {
        None => tracing::debug!(%address, "announcement ended"),
        Some(AnnouncementState::Active { epoch, .. }) => tracing::info!(%address, epoch, "now active"),
        Some(AnnouncementState::Standby { owner: Some(owner) }) => tracing::info!(%address, %owner, "now standby"),
        Some(AnnouncementState::Standby { owner: None }) => {
            tracing::debug!(%address, "now standby, without an owner yet");
        }
        // Told by the Service, with the rule that says so.
        Some(AnnouncementState::Withheld(Withheld::NotEligible)) => tracing::debug!(%address, "not eligible"),
        Some(AnnouncementState::Withheld(reason)) => tracing::warn!(%address, %reason, "withheld"),
        Some(AnnouncementState::Failed(reason)) => tracing::error!(%address, %reason, "announcing failed"),
        Some(other) => tracing::debug!(%address, state = ?other, "announcement changed"),
    }
}
