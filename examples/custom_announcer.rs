//! An announcer of one's own: names in a hosts file, for programs that look there instead of at the network.
//!
//! Run: `cargo run -p ferrule-examples --example custom_announcer`

use core::mem::discriminant;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use lbcore::announce::{
    Announcement, AnnouncementKey, AnnouncementState, Announcer, DesiredSet, HandOverError, Reach, RoutedReach,
    StatusDelta, StatusVersion,
};
use lbcore::family::IpFamily;
use tokio::sync::watch;

/// Writes `ADDRESS NAME.NAMESPACE` for each address, the file as a whole each time.
#[derive(Debug)]
pub(crate) struct HostsFile {
    path: PathBuf,
    started: Instant,
    status: watch::Sender<(StatusVersion, Vec<(AnnouncementKey, AnnouncementState)>)>,
}

impl HostsFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, started: Instant::now(), status: watch::Sender::default() }
    }

    fn write(&self, desired: &DesiredSet) -> std::io::Result<()> {
        let ours = desired.iter().filter(|announcement| self.supports(announcement));
        let lines = ours.flat_map(|line| line.services.iter().map(move |service| (line.prefix.ip(), service)));
        let lines = lines.map(|(address, service)| format!("{address} {}.{}\n", service.name(), service.namespace()));
        let next = self.path.with_extension("next");
        std::fs::write(&next, lines.collect::<Vec<_>>().concat())?;
        std::fs::rename(&next, &self.path)
    }
}

#[async_trait]
impl Announcer for HostsFile {
    fn name(&self) -> &'static str {
        "hosts-file"
    }

    fn supports(&self, announcement: &Announcement) -> bool {
        announcement.prefix.prefix() == IpFamily::of(announcement.prefix.ip()).bits()
    }

    async fn replace(&self, desired: Arc<DesiredSet>) {
        let since = lbcore::time::Timestamp::ZERO + self.started.elapsed();
        let state = match self.write(&desired) {
            Ok(()) => AnnouncementState::Active { since, links: Arc::from([]), epoch: 0 },
            Err(error) => AnnouncementState::Failed(error.to_string().into()),
        };
        let (version, before) = self.status.borrow().clone();
        let ours = desired.iter().filter(|announcement| self.supports(announcement)).map(|announcement| {
            let same = |(key, old): &&(_, _)| *key == announcement.key() && discriminant(old) == discriminant(&state);
            before.iter().find(same).cloned().unwrap_or_else(|| (announcement.key(), state.clone()))
        });
        let ours: Vec<_> = ours.collect();
        if ours != before {
            self.status.send_replace((StatusVersion(version.0 + 1), ours));
        }
    }

    fn status_since(&self, since: StatusVersion) -> StatusDelta {
        let (version, all) = self.status.borrow().clone();
        let nothing = StatusDelta::Changes { version, changes: Vec::new() };
        if version == since { nothing } else { StatusDelta::Resync { version, all } }
    }

    async fn changed(&self, since: StatusVersion) {
        let _ = self.status.subscribe().wait_for(|(version, _)| *version > since).await;
    }

    async fn hand_over(&self, _keys: &[AnnouncementKey]) -> Result<(), HandOverError> {
        Ok(()) // A line in a file of this host stands in nobody's way.
    }

    async fn shutdown(&self, _within: Duration) {
        self.replace(Arc::new(DesiredSet::new())).await;
    }
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "an example shows what it does")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let announcer = HostsFile::new(std::env::temp_dir().join(format!("ferrule-hosts-{}", std::process::id())));
    let reach = Reach::Routed(RoutedReach { parts: Arc::from([]) });
    let web = Announcement { services: Arc::from(["shop/web".parse()?]), prefix: "192.0.2.1/32".parse()?, reach };
    announcer.replace(Arc::new(DesiredSet::new().changed([web], []))).await;
    announcer.changed(StatusVersion::default()).await;
    println!("{}{:?}", std::fs::read_to_string(&announcer.path)?, announcer.status_since(StatusVersion::default()));
    announcer.shutdown(Duration::from_secs(1)).await;
    println!("{}{:?}", std::fs::read_to_string(&announcer.path)?, announcer.status_since(StatusVersion(1)));
    Ok(std::fs::remove_file(&announcer.path)?)
}
