//! What every host does with its announcers: hand them what changed of the desired set, read what they report, stop them politely.
//!
//! Which addresses there are, and what is done with a report, is the host's: [`run`](crate::run), [`speaker`](crate::speaker).

pub(crate) mod status;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use lbcore::announce::{Announcement, Announcer, Change, DesiredSet, Reach};
use lbcore::decide::{Extent, Snapshot, changes_for};
use lbcore::ownership::{Event, Observer};
use lbcore::service::NodeName;
use tokio::signal::unix::Signal;
use tokio::sync::Notify;

/// The announcers of a node, and what they were told.
#[derive(Debug)]
pub(crate) struct Announcing {
    node: NodeName,
    announcers: Vec<Arc<dyn Announcer>>,
    desired: Arc<DesiredSet>,
    /// What no announcer takes, said once each.
    unsupported: BTreeSet<&'static str>,
}

impl Announcing {
    /// Nothing is desired yet.
    pub(crate) fn new(node: NodeName, announcers: Vec<Arc<dyn Announcer>>) -> Self {
        Self { node, announcers, desired: Arc::new(DesiredSet::new()), unsupported: BTreeSet::new() }
    }

    /// The announcers, in the order given.
    pub(crate) fn announcers(&self) -> &[Arc<dyn Announcer>] {
        &self.announcers
    }

    /// Hands on what the snapshot makes different; `None` where that is nothing.
    pub(crate) async fn announce(&mut self, snapshot: &Snapshot, extent: Extent<'_>) -> Option<Change> {
        let mut changes = changes_for(snapshot, &self.node, &self.desired, extent);
        changes.put.retain(|announcement| is_supported(&self.announcers, &mut self.unsupported, announcement));
        if changes.is_empty() {
            return None;
        }
        let from = self.desired.generation();
        let put = changes.put.iter().cloned().map(Arc::new).collect();
        self.desired = Arc::new(self.desired.changed(changes.put, changes.removed.iter().copied()));
        let change = Change { from, full: Arc::clone(&self.desired), put, removed: changes.removed };
        for announcer in &self.announcers {
            announcer.update(change.clone()).await;
        }
        Some(change)
    }

    /// Hands over and withdraws, all announcers at once.
    pub(crate) async fn shutdown(&self, within: Duration) {
        join_all(self.announcers.iter().map(|announcer| announcer.shutdown(within))).await;
    }
}

fn is_supported(
    announcers: &[Arc<dyn Announcer>],
    said: &mut BTreeSet<&'static str>,
    announcement: &Announcement,
) -> bool {
    if announcers.iter().any(|announcer| announcer.supports(announcement)) {
        return true;
    }
    let is_link = matches!(announcement.reach, Reach::Link(_));
    let what = if is_link { "IPv6 addresses on links" } else { "BGP routes" };
    if said.insert(what) {
        tracing::warn!(prefix = %announcement.prefix, "{what} are not announced by this process; they are left out");
    }
    false
}

/// Logs what ownership has to tell.
pub(crate) fn tell_event(event: &Event) {
    if matches!(event, Event::DuplicateName { .. } | Event::Stranger { .. } | Event::Unverified { .. }) {
        tracing::warn!("{event}");
    } else {
        tracing::info!("{event}");
    }
}

/// Wakes a host's loop from the threads of the hub.
#[derive(Debug, Default)]
pub(crate) struct Bell(Notify);

impl Bell {
    /// Resolves when it was rung since the last time.
    pub(crate) async fn rung(&self) {
        self.0.notified().await;
    }
}

impl Observer for Bell {
    fn notify(&self) {
        self.0.notify_one();
    }
}

/// Resolves at either signal.
pub(crate) async fn stop_asked(signals: &mut [Signal; 2]) {
    let [terminate, interrupt] = signals;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
