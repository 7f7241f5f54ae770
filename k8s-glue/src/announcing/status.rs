//! What an announcer reports, read as changes, with a log line for each that a reader would care about.

use std::collections::BTreeMap;
use std::sync::Arc;

use lbcore::announce::{
    AnnouncementKey, AnnouncementState, Announcer, ReachKind, StatusDelta, StatusVersion, Withheld,
};

/// A changed line of a report; `None` where the announcement is gone.
pub(crate) type Changed = (AnnouncementKey, Option<AnnouncementState>);

/// Reads the reports of one announcer.
#[derive(Debug)]
pub(crate) struct StatusReader {
    announcer: Arc<dyn Announcer>,
    states: BTreeMap<AnnouncementKey, AnnouncementState>,
    version: StatusVersion,
}

impl StatusReader {
    /// Nothing read yet.
    pub(crate) fn new(announcer: Arc<dyn Announcer>) -> Self {
        Self { announcer, states: BTreeMap::new(), version: StatusVersion::default() }
    }

    /// The announcer's name.
    pub(crate) fn announcer(&self) -> &'static str {
        self.announcer.name()
    }

    /// Resolves when there is something to read.
    pub(crate) async fn changed(&self) {
        self.announcer.changed(self.version).await;
    }

    /// What is true of each announcement, as read last.
    pub(crate) const fn states(&self) -> &BTreeMap<AnnouncementKey, AnnouncementState> {
        &self.states
    }

    /// Reads, and gives the lines that a reader would see differ.
    pub(crate) fn take_changes(&mut self) -> Vec<Changed> {
        let mut changes: Vec<Changed> = Vec::new();
        match self.announcer.status_since(self.version) {
            StatusDelta::Changes { version, changes: delta } => {
                self.version = version;
                changes.extend(delta.into_iter().map(|change| (change.key, change.state)));
            }
            StatusDelta::Resync { version, all } => {
                self.version = version;
                let known: BTreeMap<AnnouncementKey, AnnouncementState> = all.into_iter().collect();
                let gone = self.states.keys().filter(|key| !known.contains_key(*key));
                changes.extend(gone.map(|key| (*key, None)));
                changes.extend(known.into_iter().map(|(key, state)| (key, Some(state))));
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

/// Logs a change of an address on a segment, or of a route by its prefix.
pub(crate) fn tell(key: &AnnouncementKey, state: Option<&AnnouncementState>) {
    let address = match key.kind {
        ReachKind::Link => key.prefix.ip().to_string(),
        ReachKind::Routed => key.prefix.to_string(),
    };
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
