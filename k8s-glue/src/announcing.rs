//! What every host does with its announcers: hand them what changed of the desired set, read what they report, stop them politely.
//!
//! Which addresses there are, and what is done with a report, is the host's: [`run`](crate::run), [`speaker`](crate::speaker).

pub(crate) mod status;

use std::collections::BTreeSet;
use std::fs;
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
    let what = if is_link { "nets on links" } else { "BGP routes" };
    if said.insert(what) {
        tracing::warn!(prefix = %announcement.prefix, "{what} are not announced by this process; they are left out");
    }
    false
}

/// Where the kernel lists links by number and name, those at least that take part in multicast, as every link with IP does.
const LINKS: &str = "/proc/thread-self/net/dev_mcast";

/// Logs what ownership has to tell.
pub(crate) fn tell_event(event: &Event) {
    if matches!(event, Event::DuplicateName { .. } | Event::Stranger { .. } | Event::Unverified { .. }) {
        let links = fs::read_to_string(LINKS).unwrap_or_default();
        tracing::warn!("{}", with_link_name(event, &links));
    } else {
        tracing::info!("{event}");
    }
}

/// The event's text with the name of its link, where the list knows it, instead of the number.
fn with_link_name(event: &Event, links: &str) -> String {
    let text = event.to_string();
    let Event::Unverified { link, .. } = event else { return text };
    let number = link.to_string();
    let name = links.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(&number)).then(|| words.next())?
    });
    match name {
        Some(name) => text.replace(&format!("on link {number} "), &format!("on link {name} ")),
        None => text,
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

#[cfg(test)]
mod tests {
    use lbcore::link::{LinkIndex, MacAddr};

    use super::*;

    #[test]
    fn a_link_is_told_by_its_name_where_that_is_known() {
        let event = Event::Unverified { mac: MacAddr::BROADCAST, link: LinkIndex::new(2), count: 2 };
        let list = "1    lo    1     0     333300000001\n2    eth0  1     0     01005e000001\n";
        assert!(with_link_name(&event, list).contains("on link eth0 do not verify (2 so far)"));
        assert!(with_link_name(&event, "").contains("on link 2 do not verify"));
    }
}
