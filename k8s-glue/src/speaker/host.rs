//! The loop: what was seen and reported in, the desired set out, then what is to be told.
//!
//! The order of a pass is the promise: first the announcers get what changed, then everything that speaks to the API server, and that never
//! waits.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use announce_arp::io::{ArpAnnouncer, ArpConfig, now};
use announce_bgp::config::{BgpConfig, EngineDefaults, not_started};
use announce_bgp::io::BgpAnnouncer;
use announce_ndp::io::{NdpAnnouncer, NdpConfig};
use futures_util::future::select_all;
use kube::Client;
use lbcore::announce::{Announcer, ReachKind};
use lbcore::decide::{Affected, Extent, Snapshot};
use lbcore::ownership::Hub;
use lbcore::service::ServiceKey;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::{interval, sleep};

use super::SpeakerError;
use super::asking::{fetch_pod, watched};
use super::board::Board;
use super::clerk::{Clerk, Heard};
use super::event_log::{self, LabelLog};
use super::keys::{self, KeyRing};
use super::measures::Measures;
use super::remarks::{self, Quiet, Voice};
use super::scene::{ConfigurationLook, Decide, OPTIONAL, OwnNode, Scene, Settled};
use super::sessions::SessionLog;
use super::sight::Sight;
use super::start::Start;
use crate::announcing::status::{StatusReader, tell};
use crate::announcing::{Announcing, Bell, stop_asked, tell_event};
use crate::args::Outcome;
use crate::cluster::client::{RequestError, connect};
use crate::cluster::configuration_state::{OwnPod, Verdict};
use crate::cluster::optional::Optional;
use crate::cluster::watch::{Kind, Seen, Watches};
use crate::cluster::world::Touched;
use crate::run::RunError;
use crate::serving::{self, ProbesOn, ServingConfig};

/// A hand-over of everything this node answers for may take so long: within the grace of a Pod ([DEP-3]).
const HAND_OVER_WITHIN: Duration = Duration::from_millis(1_500);
/// A mounted key is looked at so often.
const KEY_EVERY: Duration = Duration::from_secs(10);
/// What is taken from the watches before decisions are made: a burst costs one pass, and none waits long.
const SEEN_AT_ONCE: usize = 4_096;
/// Services that are decided before the first of them are announced, when a speaker has just seen all.
const AT_FIRST: NonZeroUsize = NonZeroUsize::MIN.saturating_add(999);

/// Why the loop woke up.
enum Wake {
    Seen(Box<Seen>),
    Pod(Result<OwnPod, RequestError>),
    KeyFile,
    /// Members, events, a report: the pass looks at all of it.
    Look,
    Stop,
}

/// The speaker of a node.
struct Host {
    scene: Scene,
    hub: Arc<Hub>,
    keys: KeyRing,
    start: Start,
    bell: Arc<Bell>,
    announcing: Announcing,
    bgp: Arc<BgpAnnouncer>,
    readers: Vec<StatusReader>,
    board: Board,
    /// `None` until the own Pod is known: it owns what is written.
    clerk: Option<Clerk>,
    client: Client,
    measures: Arc<Measures>,
    sessions: SessionLog,
    labels: LabelLog,
    /// When what is wrong with objects has to be told again.
    objects_due: Quiet,
    /// What watches are in trouble with, said once.
    troubles: BTreeSet<(Kind, String)>,
    sight: Sight,
    optional: Optional,
    /// Why the configuration cannot be judged, as told last.
    unknown: Option<String>,
    /// Set once everything needed has been listed.
    is_ready: Arc<AtomicBool>,
}

/// Runs until told to stop.
///
/// # Errors
/// [`SpeakerError`].
pub(super) async fn run(mut start: Start) -> Result<Outcome, SpeakerError> {
    let signal = |kind| signal(kind).map_err(|source| RunError::System { action: "listen for signals", source });
    let stop = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    let client = connect(start.arguments.role.kubeconfig()).await?;
    let node = start.judging.node.clone();
    let watches = Watches::start(&client, watched(&start));
    let pod = fetch_pod(&client, &start);
    let hub = Arc::clone(&start.hub);
    let bell = Arc::new(Bell::default());
    hub.set_observer(Arc::<Bell>::clone(&bell));
    let bgp = Arc::new(BgpAnnouncer::start(BgpConfig::new(node.clone(), start.defaults)));
    let measures = Arc::new(Measures::new(node.as_str(), Arc::clone(&bgp)));
    let figures = Arc::clone(&measures);
    let is_ready = Arc::new(AtomicBool::new(false));
    let ready = Arc::clone(&is_ready);
    let (render, ready) =
        (Arc::new(move || figures.figures().render()), Arc::new(move || ready.load(Ordering::Acquire)));
    let serving = ServingConfig::from_role(&start.arguments.role, &client, ProbesOn::Loopback, render, ready)?;
    let _serving = serving::start(serving).await?;
    let host = Host {
        scene: Scene::new(start.judging.clone()),
        keys: std::mem::take(&mut start.keys),
        hub,
        bell,
        announcing: Announcing::new(node.clone(), Vec::new()),
        bgp,
        readers: Vec::new(),
        board: Board::default(),
        clerk: None,
        client,
        measures,
        sessions: SessionLog::default(),
        labels: LabelLog::default(),
        objects_due: Quiet::default(),
        troubles: BTreeSet::new(),
        sight: Sight::default(),
        optional: Optional::new(&OPTIONAL),
        unknown: None,
        is_ready,
        start,
    };
    tracing::info!(op = "startup", %node, pod = host.start.pod, "speaker starts");
    host.serve(watches, pod, stop).await
}

impl Host {
    async fn serve(
        mut self,
        mut watches: Watches,
        mut pod: oneshot::Receiver<Result<OwnPod, RequestError>>,
        mut stop: [Signal; 2],
    ) -> Result<Outcome, SpeakerError> {
        if self.start.key_folder.is_some() && !self.keys.is_empty() {
            self.start_on_segments()?;
        }
        let period = self.hub.config().timings.period;
        let mut key_ticks = interval(KEY_EVERY);
        loop {
            self.pass().await?;
            let is_waiting = self.clerk.is_none();
            let of_clerk = self.clerk.as_ref().and_then(Clerk::poll_timeout);
            let told_at = self.objects_due.poll_timeout().into_iter().chain(of_clerk).min();
            let told_at = told_at.filter(|_| !is_waiting && !self.hub.is_listening());
            let told_in = told_at.map(|at| at.since(now()));
            let absent_in = self.optional.poll_timeout(self.scene.world()).map(|at| at.since(now()));
            let wake = tokio::select! {
                biased;
                () = stop_asked(&mut stop) => Wake::Stop,
                () = reported(&self.readers) => Wake::Look,
                () = self.bell.rung() => Wake::Look,
                () = self.sessions.changed(&self.bgp) => Wake::Look,
                Some(seen) = watches.next() => Wake::Seen(Box::new(seen)),
                Ok(answer) = &mut pod, if is_waiting => Wake::Pod(answer),
                _ = key_ticks.tick() => Wake::KeyFile,
                // The end of listening is a moment, not an event.
                () = sleep(period), if self.hub.is_listening() => Wake::Look,
                () = sleep(told_in.unwrap_or_default()), if told_in.is_some() => Wake::Look,
                () = sleep(absent_in.unwrap_or_default()), if absent_in.is_some() => Wake::Look,
            };
            match wake {
                Wake::Stop => break,
                Wake::Look => {}
                Wake::Seen(seen) => self.take_seen(*seen, &mut watches),
                Wake::Pod(answer) => self.open_clerk(answer)?,
                Wake::KeyFile => self.look_at_keys(),
            }
        }
        tracing::info!(op = "shutdown", "asked to stop; addresses are handed over, routes are withdrawn");
        tokio::select! {
            () = self.announcing.shutdown(HAND_OVER_WITHIN) => {}
            () = stop_asked(&mut stop) => tracing::warn!("asked again; stops at once"),
        }
        tracing::info!(op = "shutdown", "stopped");
        Ok(Outcome::Good)
    }

    /// The announcers of segments start when the key is known: before that members would take this node for a stranger.
    fn start_on_segments(&mut self) -> Result<(), SpeakerError> {
        if !self.announcing.announcers().is_empty() {
            return Ok(());
        }
        let mut config = ArpConfig::new(Arc::clone(&self.hub)).map_err(RunError::from)?;
        let interval = u64::from(self.start.arguments.gratuitous_arp_interval);
        config.exclude = self.start.exclude.clone();
        config.gratuitous_interval = Some(Duration::from_secs(interval));
        let arp = Arc::new(ArpAnnouncer::start(config).map_err(SpeakerError::Segment)?);
        let mut config = NdpConfig::new(Arc::clone(&self.hub)).map_err(RunError::from)?;
        config.exclude = self.start.exclude.clone();
        config.gratuitous_interval = Some(Duration::from_secs(interval));
        let ndp = Arc::new(NdpAnnouncer::start(config).map_err(SpeakerError::Segment)?);
        self.measures.follow(Arc::clone(&arp), Arc::clone(&ndp));
        let bgp: Arc<dyn Announcer> = Arc::<BgpAnnouncer>::clone(&self.bgp);
        let announcers: Vec<Arc<dyn Announcer>> = vec![arp, ndp, bgp];
        self.readers = announcers.iter().map(|announcer| StatusReader::new(Arc::clone(announcer))).collect();
        self.announcing = Announcing::new(self.start.judging.node.clone(), announcers);
        if self.keys.is_empty() {
            tracing::warn!(
                "NO MEMBER KEY: any host on the segment can take the addresses over; the controller makes the Secret {}",
                keys::SECRET
            );
        }
        Ok(())
    }

    fn take_seen(&mut self, first: Seen, watches: &mut Watches) {
        let more = std::iter::from_fn(|| watches.try_next()).take(SEEN_AT_ONCE);
        let mut count = 0;
        for seen in std::iter::once(first).chain(more) {
            count += u64::from(matches!(seen, Seen::Object(..) | Seen::Gone(..)));
            for touched in self.scene.fold(seen) {
                self.take_touched(touched);
            }
        }
        self.measures.count_updates(count);
    }

    fn take_touched(&mut self, touched: Touched) {
        match touched {
            Touched::Report(kind, name) => {
                if let Some(clerk) = &mut self.clerk {
                    clerk.see(self.scene.world(), kind, &name);
                }
            }
            Touched::Complete(kind) => {
                let before = self.troubles.len();
                self.troubles.retain(|(known, _)| *known != kind);
                if self.troubles.len() < before {
                    tracing::info!(kind = kind.as_str(), "watch works again");
                }
                self.sight.handle_complete(kind);
                self.optional.handle_complete(kind);
                if let Some(clerk) = &self.clerk {
                    clerk.see_all(kind);
                }
            }
            Touched::Trouble(kind, trouble) => {
                self.optional.handle_trouble(now(), kind, &trouble);
                if Kind::OPTIONAL.contains(&kind) && trouble.absence.is_some() {
                    return;
                }
                self.measures.count_error();
                self.sight.handle_trouble(now(), kind, &trouble);
                let is_new = self.troubles.insert((kind, trouble.text.clone()));
                if is_new {
                    tracing::warn!(kind = kind.as_str(), error = trouble.text, "watch is in trouble; it tries again");
                }
            }
            Touched::Configuration
            | Touched::Endpoints(_)
            | Touched::Node(_)
            | Touched::Nothing
            | Touched::PolicyStatus(_)
            | Touched::PoolStatus(_)
            | Touched::Service(_) => {}
        }
    }

    /// The Pod is known: from now on things can be told. What was seen and decided before is told first.
    fn open_clerk(&mut self, answer: Result<OwnPod, RequestError>) -> Result<(), SpeakerError> {
        let namespace = self.start.judging.settings.install_namespace.to_string();
        let pod = answer.map_err(|source| SpeakerError::Pod {
            namespace: namespace.clone(),
            name: self.start.pod.clone(),
            source: Box::new(source),
        })?;
        let mut clerk = Clerk::start(&self.client, &namespace, self.start.judging.node.as_str(), &pod);
        let world = self.scene.world();
        for kind in [Kind::ServiceL2Status, Kind::ServiceBgpStatus, Kind::ConfigurationState] {
            for (name, _) in world.reports(kind) {
                clerk.see(world, kind, name);
            }
            if world.is_complete(&[kind]) {
                clerk.see_all(kind);
            }
        }
        self.clerk = Some(clerk);
        self.tell_verdict();
        Ok(())
    }

    async fn pass(&mut self) -> Result<(), SpeakerError> {
        while let Some(event) = self.hub.poll_event() {
            tell_event(&event);
        }
        self.look_at_sight();
        self.look_at_absence();
        if let Some(settled) = self.scene.settle() {
            self.apply(settled).await?;
        }
        for reader in &mut self.readers {
            for (key, state) in reader.take_changes() {
                if key.kind == ReachKind::Link {
                    tell(&key, state.as_ref());
                }
                self.board.handle_state(key, state);
            }
        }
        self.sessions.tell(&self.bgp);
        self.tell();
        Ok(())
    }

    /// Hands on what the new view makes different.
    async fn apply(&mut self, settled: Settled) -> Result<(), SpeakerError> {
        if settled.configuration != ConfigurationLook::Untouched {
            self.look_at_keys();
            self.tell_configuration();
        }
        self.start_on_segments()?;
        if settled.own_node == OwnNode::Changed || matches!(settled.decide, Decide::All) {
            self.labels.tell(self.scene.own_node());
        }
        if let Some(clerk) = &mut self.clerk {
            clerk.handle_settled(now(), &settled);
        }
        let Some(snapshot) = self.scene.snapshot().cloned() else { return Ok(()) };
        self.is_ready.store(true, Ordering::Release);
        match &settled.decide {
            Decide::Only(affected) => {
                if settled.concerns_sessions() {
                    self.configure_bgp();
                }
                self.announce(&snapshot, affected).await;
            }
            Decide::All => {
                for part in snapshot.parts(AT_FIRST) {
                    self.announce(&snapshot, &part).await;
                }
                // A peer takes the end of the first routes for the end of all of them (RFC 4724), so sessions begin when all are known.
                self.configure_bgp();
            }
        }
        Ok(())
    }

    async fn announce(&mut self, snapshot: &Snapshot, affected: &Affected) {
        event_log::say_withheld(snapshot, &self.start.judging.node, affected);
        if let Some(change) = self.announcing.announce(snapshot, Extent::Only(affected)).await {
            self.board.handle_change(&change);
        }
    }

    fn configure_bgp(&mut self) {
        let Some(config) = self.scene.config() else { return };
        let own = self.scene.own_node();
        let defaults: EngineDefaults = self.start.defaults;
        let config = BgpConfig::for_node(config, own.name.clone(), &own.labels, defaults);
        let without = config.peers.iter().filter(|(_, peer)| not_started(peer).is_some());
        self.board.handle_sessions(without.map(|(name, _)| Arc::clone(name)).collect());
        self.bgp.configure(config);
    }

    fn tell_configuration(&mut self) {
        let refusals = self.scene.refusals();
        self.measures.set_configuration(!refusals.is_empty());
        self.objects_due.handle_change(now());
        if refusals.is_empty() {
            tracing::info!(event = "configReloaded", "config reloaded");
        } else {
            for line in &refusals {
                tracing::error!(op = "setConfig", error = line, "configuration could not be used in full");
            }
        }
        self.tell_verdict();
    }

    /// Takes note of kinds that the cluster does not have, and says so once.
    fn look_at_absence(&mut self) {
        if self.optional.was_settled() || !self.optional.is_settled(now(), self.scene.world()) {
            return;
        }
        self.scene.handle_policies_known();
        if let Some(remark) = self.optional.take_remark() {
            tracing::info!(
                op = "setConfig",
                remark,
                "there are no policies; they count once there are, within a minute"
            );
        }
    }

    /// Says where the configuration cannot be judged, and where it can be again.
    fn look_at_sight(&mut self) {
        let unknown = self.sight.unknown(now(), self.scene.world(), &self.start.judging.node);
        if unknown == self.unknown {
            return;
        }
        if let Some(reason) = &unknown {
            tracing::warn!(op = "setConfig", reason, "configuration cannot be judged");
        } else {
            tracing::info!(op = "setConfig", "configuration can be judged again");
        }
        self.unknown = unknown;
        self.tell_verdict();
    }

    fn tell_verdict(&self) {
        let Some(clerk) = &self.clerk else { return };
        let refusals = self.scene.refusals();
        let verdict = match &self.unknown {
            _ if !refusals.is_empty() => Verdict::ConfigurationError(refusals.join("\n")),
            Some(reason) => Verdict::UnknownError(reason.clone()),
            None if self.scene.snapshot().is_some() => Verdict::Reconciled,
            None => return,
        };
        clerk.tell_configuration(verdict, remarks::as_text(&self.scene));
    }

    fn look_at_keys(&mut self) {
        let mounted = self.start.key_folder.as_ref().map(|folder| keys::of_folder(folder));
        let material = match mounted {
            Some(Ok(Some(material))) => Some(material),
            Some(Err(error)) => {
                tracing::error!(%error, "member key cannot be read");
                None
            }
            Some(Ok(None)) | None => self.scene.world().ours(Kind::Secret, keys::SECRET).and_then(keys::of_secret),
        };
        let taken = self.keys.handle_material(now(), material);
        let dropped = self.keys.handle_timeout(now());
        for outcome in [taken, dropped] {
            match outcome {
                Ok(Some(keys)) => {
                    tracing::info!(count = keys.ids().count(), "member keys were taken");
                    self.hub.set_keys(keys);
                }
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "member key cannot be used; the one before stays in use"),
            }
        }
    }

    /// Tells what changed. It waits for nothing.
    fn tell(&mut self) {
        let Some(clerk) = &mut self.clerk else { return };
        let Some(snapshot) = self.scene.snapshot() else { return };
        let addresses =
            |service: &ServiceKey| snapshot.service(service).map(|facts| facts.addresses.clone()).unwrap_or_default();
        let world = self.scene.world();
        for moved in self.board.take_moved(addresses) {
            event_log::tell_moved(&moved, snapshot, &self.start.judging.node);
            self.measures.handle_moved(&moved);
            clerk.tell_moved(now(), world, &moved);
        }
        clerk.hear(now(), || self.hub.members().into_iter().map(|member| member.name).collect());
        if self.hub.is_listening() {
            return;
        }
        clerk.judge_rest(&self.board, Heard::Enough);
        let own = &self.start.judging.node;
        if self.objects_due.poll(now()) {
            let is_first = self.hub.members().iter().all(|member| member.name >= *own);
            let voice = if is_first { Voice::All } else { Voice::Own };
            clerk.tell_objects(remarks::of_objects(&self.scene, voice));
        }
        clerk.tell_failures(now(), world, snapshot, own);
    }
}

/// Resolves when an announcer reports something.
async fn reported(readers: &[StatusReader]) {
    if readers.is_empty() {
        return std::future::pending().await;
    }
    select_all(readers.iter().map(|reader| Box::pin(reader.changed()))).await;
}
