//! The daemon's loop: whatever happened, one pass over the whole, then sleep until something else does.
//!
//! The order of a pass is the promise: allocate and agree, make it durable, publish it to the members, announce it ([OWN-60]). Where a
//! step fails, the later ones wait, and everything that was announced before stays so.

mod booking;
mod reload;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use announce_arp::io::now;
use lbcore::agreement::{Assignment, Known, Listening, Member, Wait};
use lbcore::allocator::Hold;
use lbcore::decide::{
    Affected, BgpDecision, DecideOptions, Extent, Layer2Decision, MissingSlices, Reason, Snapshot, decide,
};
use lbcore::labels::Labels;
use lbcore::ledger::MemoryLedger;
use lbcore::ownership::{Hub, HubConfig};
use lbcore::policy::KeptAddress;
use lbcore::service::{NodeName, ServiceKey};
use lbcore::time::{Timestamp, UnixTime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use self::reload::Haste;
use super::addresses::{KernelEvent, KernelEvents};
use super::chronicle;
use super::input::{Input, Source};
use super::kernel::Kernel;
use super::ledger::{Circumstances, Ledger, Report as Told};
use super::routes::Routes;
use super::settings::{LinkName, SETTINGS_FOLDER};
use super::start;
use super::status::Follower;
use super::watch::Watch;
use super::{RunError, record};
use crate::announcing::{Announcing, Bell, stop_asked, tell_event};
use crate::args::{Outcome, RunArgs};
use crate::cluster::clock::unix_now;
use crate::output;
use crate::report::Report;

/// A hand-over of everything this node owns may take so long.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(1);
/// What could not be written is tried again after this time.
const SAVE_RETRY: Duration = Duration::from_secs(1);
/// A table is published, sent three times and heard within so many periods.
const SETTLE_PERIODS: u32 = 3;
/// Between two looks at the settings of links, of whose changes the kernel sends no notice.
const SETTINGS_LOOK: Duration = Duration::from_secs(2);

/// Why the loop woke up.
enum Wake {
    Files(Haste),
    Settings,
    Kernel(KernelEvent),
    /// Members, their tables, events, a deadline: the pass looks at all of it.
    Look,
    Stop,
}

/// The daemon.
struct Host {
    node: NodeName,
    labels: Labels,
    source: Source,
    input: Input,
    ledger: Ledger,
    hub: Arc<Hub>,
    bell: Arc<Bell>,
    announcing: Announcing,
    routes: Routes,
    kernel: Kernel,
    /// Who had which address; told in the state file.
    book: MemoryLedger,
    /// Whether entries came that are not on disk.
    is_book_stale: bool,
    /// What waited and what was kept when entries were made last.
    booked: (Vec<Hold>, Vec<KeptAddress>),
    published: BTreeMap<ServiceKey, Assignment>,
    /// What the last pass saw.
    listening: Listening,
    snapshot: Snapshot,
    /// What has changed in the snapshot and was not announced yet.
    affected: Affected,
    /// The members that the snapshot knows.
    members: BTreeSet<NodeName>,
    /// The addresses that the snapshot has.
    announced: BTreeMap<ServiceKey, Vec<IpAddr>>,
    /// What was logged last, so that it is said once.
    said: Said,
    /// When a change of the files that looks like half of one is carried out all the same.
    held_until: Option<Instant>,
    disturbed: Arc<Notify>,
    followers: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Said {
    problems: Option<Report>,
    withheld: BTreeMap<ServiceKey, String>,
    save: Option<String>,
    settings: Option<String>,
}

const fn options() -> DecideOptions {
    DecideOptions {
        exclude_label: lbcore::decide::ExcludeLabel::Respected,
        missing_slices: MissingSlices::ServedEverywhere,
        live_nodes: None,
    }
}

/// Runs until told to stop.
///
/// # Errors
/// [`RunError`] for everything that keeps the daemon from starting, except a bad input, which is printed.
pub(crate) async fn run(arguments: &RunArgs) -> Result<Outcome, RunError> {
    let system = |action: &'static str| move |source| RunError::System { action, source };
    // Watched before it is read: what changes in between is read again.
    let source = Source::new(&arguments.input).map_err(system("read standard input"))?;
    let watch = Watch::new(source.paths());
    let (input, report) = source.read();
    let Some(mut input) = input else {
        output::print(&report.to_text()).map_err(system("print the problems"))?;
        return Ok(Outcome::InputBad);
    };
    start::check_rights()?;
    let node = start::node_name(arguments.node_name.as_deref())?;
    let (_namespace, file, state) = start::lock(&arguments.state).await?;
    let hub = make_hub(arguments, &node)?;
    let config = start::segment_config(arguments, &hub)?;
    let records = state.services.clone();
    let (kept, holds) = (record::kept(&state), record::holds(&state));
    let book = state.history.clone().into_ledger(chronicle::LIMIT);
    input.keep(None, &kept, &records);
    let (kernel, events) = Kernel::open(file, state, Path::new(SETTINGS_FOLDER), config.exclude.clone()).await?;
    let settle = hub.config().timings.period * SETTLE_PERIODS;
    let waiting = (unix_now(), holds.clone());
    let started = Ledger::open(node.clone(), settle, &input.config, input.states(), &records, waiting)
        .map_err(RunError::from)
        .and_then(|opened| Ok((opened, start::segment_announcers(&config)?)));
    let ((ledger, told), mut announcers) = match started {
        Ok(started) => started,
        Err(error) => {
            kernel.close().await;
            return Err(error);
        }
    };
    tracing::info!(%node, state = %arguments.state.display(), services = input.states().len(), "started");
    let labels: Labels = arguments.node_labels.iter().cloned().collect();
    let nodes = input.nodes(&node, &labels, &BTreeSet::new());
    let routes = Routes::start(&input.config, &nodes, &node, start::engine_defaults(arguments));
    announcers.push(routes.announcer());
    let bell = Arc::new(Bell::default());
    hub.set_observer(Arc::<Bell>::clone(&bell));
    let mut host = Host {
        snapshot: Snapshot::new(Arc::clone(&input.config), nodes, options()),
        affected: Affected::default(),
        node: node.clone(),
        labels,
        source,
        input,
        ledger,
        hub,
        bell,
        announcing: Announcing::new(node, announcers),
        routes,
        kernel,
        book,
        is_book_stale: false,
        booked: (holds, kept),
        published: BTreeMap::new(),
        listening: Listening::Ongoing,
        members: BTreeSet::new(),
        announced: BTreeMap::new(),
        said: Said::default(),
        held_until: None,
        disturbed: Arc::new(Notify::new()),
        followers: Vec::new(),
    };
    host.say_problems(&report);
    host.tell_all(&told);
    host.follow();
    host.serve(watch, events).await
}

fn make_hub(arguments: &RunArgs, node: &NodeName) -> Result<Arc<Hub>, RunError> {
    let (boot_id, seed) = start::random()?;
    let mut config = HubConfig::new(node.clone(), boot_id);
    config.timings = start::timings(arguments.heartbeat_period, arguments.heartbeat_timeout)?;
    config.return_policy = arguments.return_policy;
    if let Some(path) = &arguments.member_key_file {
        config.keys = start::member_keys(path)?;
    } else {
        tracing::warn!(
            "NO MEMBER KEY: any host on the segment can take the addresses over; give all nodes one secret with --member-key-file"
        );
    }
    Ok(Hub::new(config, now(), seed))
}

impl Host {
    fn follow(&mut self) {
        for announcer in self.announcing.announcers() {
            let (announcer, holder) = (Arc::clone(announcer), Arc::clone(&self.kernel.holder));
            let follower = Follower::new(announcer, holder, Arc::clone(&self.disturbed));
            self.followers.push(tokio::spawn(follower.run()));
        }
    }

    async fn serve(mut self, mut watch: Watch, mut events: KernelEvents) -> Result<Outcome, RunError> {
        let signal = |kind| signal(kind).map_err(|source| RunError::System { action: "listen for signals", source });
        let mut stop = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
        let mut reload = signal(SignalKind::hangup())?;
        let mut settings_due = Instant::now() + SETTINGS_LOOK;
        loop {
            let retry = self.pass().await;
            let holder = self.kernel.holder.lock().await.index();
            let wake = tokio::select! {
                biased;
                () = stop_asked(&mut stop) => Wake::Stop,
                event = events.next(holder) => Wake::Kernel(event),
                () = watch.changed() => Wake::Files(Haste::Patient),
                () = until_instant(self.held_until) => Wake::Files(Haste::Patient),
                Some(()) = reload.recv() => Wake::Files(Haste::AtOnce),
                () = sleep_until(settings_due) => Wake::Settings,
                () = self.bell.rung() => Wake::Look,
                () = until(self.ledger.deadline()) => Wake::Look,
                () = until_wall(self.ledger.next_expiry()) => Wake::Look,
                () = sleep(SAVE_RETRY), if retry == Retry::Soon => Wake::Look,
                // The end of listening is a moment, not an event. What the pass saw counts: it may have ended since.
                () = sleep(self.hub.config().timings.period), if self.listening == Listening::Ongoing => Wake::Look,
            };
            match wake {
                Wake::Stop => break,
                Wake::Look => {}
                Wake::Files(haste) => self.reload(haste).await,
                Wake::Settings => {
                    settings_due = Instant::now() + SETTINGS_LOOK;
                    self.keep_settings().await;
                }
                Wake::Kernel(event) => self.take_kernel_event(event).await,
            }
        }
        tracing::info!("asked to stop; addresses are handed over");
        tokio::select! {
            () = self.announcing.shutdown(HAND_OVER_WITHIN) => {}
            () = stop_asked(&mut stop) => tracing::warn!("asked again; stops at once"),
        }
        for follower in &self.followers {
            follower.abort();
        }
        self.kernel.close().await;
        tracing::info!("stopped");
        Ok(Outcome::Good)
    }

    async fn take_kernel_event(&mut self, event: KernelEvent) {
        match event {
            KernelEvent::Link(link) => self.prepare_link(&link).await,
            KernelEvent::Lost => {
                let links = self.kernel.holder.lock().await.links().await;
                for link in links.unwrap_or_default() {
                    self.prepare_link(&link).await;
                }
                self.disturbed.notify_one();
            }
            KernelEvent::LinkGone(link) => self.kernel.forget_link(&link),
            KernelEvent::Disturbed => self.disturbed.notify_one(),
        }
    }

    async fn keep_settings(&mut self) {
        let found = self.kernel.keep_prepared().await.err().map(|error| error.to_string());
        if let Some(error) = found.as_ref().filter(|_| found != self.said.settings) {
            tracing::error!(%error, "the kernel cannot be kept from answering");
        }
        self.said.settings = found;
    }

    async fn prepare_link(&mut self, link: &LinkName) {
        if let Err(error) = self.kernel.prepare_link(link).await {
            tracing::error!(%error, link = %link.name, "link was not prepared");
        }
    }

    /// Takes in another input or other members.
    fn take_circumstances(&mut self) {
        let nodes = self.input.nodes(&self.node, &self.labels, &self.members);
        self.routes.configure(&self.input.config, &nodes, &self.node);
        self.affected.extend(self.snapshot.set_config(Arc::clone(&self.input.config)));
        self.affected.extend(self.snapshot.replace_nodes(nodes));
    }
}

/// Whether the pass has to be repeated without anything happening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retry {
    No,
    Soon,
}

impl Host {
    async fn pass(&mut self) -> Retry {
        while let Some(event) = self.hub.poll_event() {
            tell_event(&event);
        }
        let views = self.hub.members();
        let names: BTreeSet<NodeName> = views.iter().map(|view| view.name.clone()).collect();
        // Of two members of one name the first counts; the hub has told of it.
        let mut members: BTreeMap<&NodeName, Member<'_>> = BTreeMap::new();
        for view in views.iter().filter(|view| view.name != self.node) {
            let known = if view.synced { Known::Whole } else { Known::Partly };
            members.entry(&view.name).or_insert(Member { name: &view.name, table: &view.assignments, known });
        }
        let members: Vec<Member<'_>> = members.into_values().collect();
        self.ledger.tick(unix_now());
        self.listening = if self.hub.is_listening() { Listening::Ongoing } else { Listening::Done };
        let outcome = self.ledger.pass(Circumstances {
            now: now(),
            wall_ms: wall_ms(),
            listening: self.listening,
            members: &members,
        });
        self.tell_all(&outcome.reports);
        self.keep_what_is_held();
        self.book_waiting();
        if let Retry::Soon = self.make_durable().await {
            return Retry::Soon;
        }
        let table = self.ledger.table(now());
        if table != self.published {
            self.hub.publish(now(), table.clone());
            self.published = table;
        }
        self.ledger.table_published(now(), &self.published);
        self.announce(names).await;
        Retry::No
    }

    /// Hands what changed to the announcers.
    async fn announce(&mut self, members: BTreeSet<NodeName>) {
        if members != self.members {
            self.members = members;
            self.take_circumstances();
        }
        self.update_snapshot();
        let affected = std::mem::take(&mut self.affected);
        self.say_withheld(&affected);
        if let Some(change) = self.announcing.announce(&self.snapshot, Extent::Only(&affected)).await {
            self.routes.receive(&change.full, &self.announced, &self.kernel.holder).await;
        }
    }

    /// Brings the snapshot's Services in line with the ledger.
    fn update_snapshot(&mut self) {
        let held: BTreeMap<ServiceKey, Vec<IpAddr>> =
            self.ledger.held().map(|(service, addresses)| (service.clone(), addresses.to_vec())).collect();
        let gone: Vec<ServiceKey> =
            self.snapshot.services().map(|facts| facts.key.clone()).filter(|key| !held.contains_key(key)).collect();
        for service in gone {
            self.affected.extend(self.snapshot.remove_service(&service));
            self.announced.remove(&service);
        }
        for (service, addresses) in held {
            if self.announced.get(&service) == Some(&addresses) {
                continue;
            }
            if let Some(facts) = self.input.facts(&service, &addresses) {
                self.affected.extend(self.snapshot.set_service(facts));
            }
            self.announced.insert(service, addresses);
        }
    }

    fn say_withheld(&mut self, affected: &Affected) {
        let is_own = affected.nodes.contains_key(&self.node);
        let all = self.snapshot.services().map(|facts| &facts.key).filter(|_| is_own);
        let services: BTreeSet<ServiceKey> = affected.services.iter().chain(all).cloned().collect();
        for service in &services {
            let decision = decide(&self.snapshot, service, &self.node);
            let is_routed = matches!(decision.bgp, BgpDecision::Announce(_));
            let reason = match decision.layer2 {
                // What is meant for routers alone is not missed on the segment.
                Layer2Decision::Withhold(Reason::NoAdvertisement) if is_routed => None,
                Layer2Decision::Withhold(reason) if self.snapshot.service(service).is_some() => {
                    Some(reason.to_string())
                }
                Layer2Decision::Withhold(_) | Layer2Decision::Stand(_) => None,
            };
            let before = match &reason {
                Some(reason) => self.said.withheld.insert(service.clone(), reason.clone()),
                None => self.said.withheld.remove(service),
            };
            if let Some(reason) = reason.filter(|reason| before.as_ref() != Some(reason)) {
                tracing::warn!(%service, %reason, "withheld from the segment on this node");
            }
        }
    }
}

async fn until_instant(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

async fn until_wall(deadline: Option<UnixTime>) {
    match deadline {
        Some(deadline) => sleep(unix_now().until(deadline)).await,
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Timestamp>) {
    match deadline {
        Some(deadline) => sleep(deadline.since(now())).await,
        None => std::future::pending().await,
    }
}

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn tell(report: &Told) {
    match report {
        Told::Allocated { service, addresses, pool } => tracing::info!(%service, ?addresses, %pool, "allocated"),
        Told::Adopted { service, addresses, from, before } if before.is_empty() => {
            tracing::info!(%service, ?addresses, %from, "adopted");
        }
        Told::Adopted { service, addresses, from, before } => {
            tracing::warn!(%service, ?addresses, %from, ?before, "moved: an older claim of another node holds");
        }
        Told::Restored { service, addresses } => tracing::info!(%service, ?addresses, "kept from the state file"),
        Told::Released { service, addresses } => tracing::info!(%service, ?addresses, "released"),
        Told::GivenUp { service, addresses, cause } => tracing::warn!(%service, ?addresses, %cause, "given up"),
        Told::RecordVoid { service, addresses, cause } => {
            tracing::warn!(%service, ?addresses, %cause, "addresses of the state file do not hold any more");
        }
        Told::Unmet { service, cause } => tracing::warn!(%service, %cause, "no address"),
        Told::Waits { service, wait: wait @ (Wait::Table(_) | Wait::Candidate) } => {
            tracing::info!(%service, %wait, "waits for an address");
        }
        Told::Waits { service, wait } => tracing::debug!(%service, %wait, "waits for an address"),
    }
}
