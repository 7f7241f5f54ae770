//! What an announcer reports, carried out: addresses of this node on `ferrule0`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use lbcore::announce::{AnnouncementState, Announcer, ReachKind};
use tokio::sync::{Mutex, Notify};
use tokio::time::sleep;

use super::addresses::Holder;
use crate::announcing::status::{StatusReader, tell};

/// What the kernel refused is tried again after this time.
const RETRY: Duration = Duration::from_secs(1);

/// Follows one announcer.
#[derive(Debug)]
pub(crate) struct Follower {
    reader: StatusReader,
    holder: Arc<Mutex<Holder>>,
    /// Told when somebody else took something from the link.
    disturbed: Arc<Notify>,
}

impl Follower {
    pub(crate) fn new(announcer: Arc<dyn Announcer>, holder: Arc<Mutex<Holder>>, disturbed: Arc<Notify>) -> Self {
        Self { reader: StatusReader::new(announcer), holder, disturbed }
    }

    /// Runs until it is dropped.
    pub(crate) async fn run(mut self) {
        let mut is_due = false;
        loop {
            tokio::select! {
                () = self.reader.changed() => {}
                () = self.disturbed.notified() => {
                    if let Err(error) = self.holder.lock().await.repair().await {
                        tracing::error!(%error, "addresses that somebody else removed could not be put back");
                        self.disturbed.notify_one();
                        sleep(RETRY).await;
                    }
                }
                () = sleep(RETRY), if is_due => {}
            }
            let changes = self.reader.take_changes();
            // The addresses first: traffic comes with the first frame of the burst.
            is_due = self.hold().await;
            for (key, state) in changes {
                tell(&key, state.as_ref());
            }
        }
    }

    /// Whether something has to be tried again.
    async fn hold(&self) -> bool {
        let active =
            self.reader.states().iter().filter(|(key, state)| {
                key.kind == ReachKind::Link && matches!(state, AnnouncementState::Active { .. })
            });
        let wanted: BTreeSet<IpAddr> = active.map(|(key, _)| key.prefix.ip()).collect();
        let errors = self.holder.lock().await.hold(self.reader.announcer(), wanted).await;
        for error in &errors {
            tracing::error!(%error, "address of this node could not be changed");
        }
        !errors.is_empty()
    }
}
