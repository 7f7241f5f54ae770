//! One term of a leader: the world is read anew, and then followed until the term ends.
//!
//! Nothing decided in an earlier term is known here; what it wrote is read back from the API server.

mod log;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use announce_arp::io::now;
use kube::Client;
use lbcore::config::Config;
use lbcore::ledger::{Ledger as _, MemoryLedger};
use lbcore::policy::KeptAddress;
use lbcore::pool::Pool;
use lbcore::service::PoolName;
use lbcore::time::Timestamp;
use lbcore::usage::PoolUsage;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::ControllerError;
use super::measures::{self, Measures};
use super::pace::Pace;
use super::planner::{Counts, Output, Planner, StatusWrite};
use super::policy_status::{self, Effects, PolicyWrite};
use super::pool_status::{PoolStatuses, PoolWrite};
use super::state_report::StateReport;
use super::status_pace::StatusPace;
use crate::cluster::clock::unix_now;
use crate::cluster::configuration_state::{self, Need, Speaking, Verdict};
use crate::cluster::events::EventSink;
use crate::cluster::kept::kept_of;
use crate::cluster::optional::Optional;
use crate::cluster::standing::Standing;
use crate::cluster::watch::{Kind, ObjectName, Watched, Watches};
use crate::cluster::world::{Touched, World};
use crate::cluster::write::{Answer, Failing, Taken, Target, WriteError, Writer};
use crate::freeze;
use crate::metrics::controller::WorkFigures;

/// Writes of Services under way at once: enough to keep an API server busy, few enough to leave it to others.
const WRITES_AT_ONCE: usize = 16;
/// Changes taken in before anything is done about them.
const CHANGES_AT_ONCE: usize = 256;
/// Whether the right to write is back is looked at so often.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// What must be known before anything is decided.
const NEEDED: [Kind; 3] = [Kind::IpAddressPool, Kind::Namespace, Kind::Service];
/// The kinds of the configuration.
const CONFIGURATION: [Kind; 3] = [Kind::AddressReservation, Kind::IpAddressPool, Kind::PoolPolicy];

/// What a term needs.
#[derive(Clone, Debug)]
pub(crate) struct TermContext {
    pub(crate) namespace: String,
    pub(crate) class: Option<String>,
    pub(crate) writer: Writer,
    pub(crate) events: EventSink,
    pub(crate) speaking: Speaking,
    /// Set once everything has been looked at.
    pub(crate) is_ready: Arc<AtomicBool>,
    /// What a scrape is given.
    pub(crate) measures: Arc<Measures>,
    /// Who had which address.
    pub(crate) ledger: Arc<Mutex<MemoryLedger>>,
}

/// A write that has come to its end.
enum Done {
    Service(StatusWrite, Result<Taken, WriteError>),
    Pool(PoolName, Result<(), WriteError>),
    Policy(Arc<str>, Result<(), WriteError>),
    State(Result<Taken, WriteError>),
}

struct Term {
    context: TermContext,
    watches: Watches,
    world: World,
    planner: Planner,
    pool_statuses: PoolStatuses,
    policy_statuses: StatusPace,
    writes: JoinSet<Done>,
    writing_services: usize,
    is_config_stale: bool,
    config: Option<Arc<Config>>,
    /// What freezes keep in it.
    kept: Vec<KeptAddress>,
    standing: Standing,
    state_report: StateReport,
    optional: Optional,
    /// Watches in trouble, and what the API server said.
    troubled: BTreeMap<Kind, String>,
    /// What the planner had counted when pools were last called stale.
    counted: Counts,
    /// Times that the pools were judged.
    judgements: u64,
    pace: Pace,
}

/// Leads until dropped.
///
/// # Errors
/// [`ControllerError`], for faults of our own only.
pub(crate) async fn lead(client: &Client, context: TermContext) -> Result<(), ControllerError> {
    let own_state = Watched {
        fields: Some(format!("metadata.name={}", context.speaking.component.object_name())),
        ..Watched::within(Kind::ConfigurationState, &context.namespace)
    };
    let watched = vec![
        Watched::within(Kind::AddressReservation, &context.namespace),
        Watched::within(Kind::IpAddressPool, &context.namespace),
        Watched::within(Kind::PoolPolicy, &context.namespace),
        Watched::everywhere(Kind::Namespace),
        Watched::everywhere(Kind::Service),
        own_state,
    ];
    let mut term = Term::new(Watches::start(client, watched), context);
    loop {
        term.until_writing().await;
        term.act()?;
        term.wait().await;
    }
}

impl Term {
    fn new(watches: Watches, context: TermContext) -> Self {
        Self {
            watches,
            world: World::for_writer(&context.namespace),
            planner: Planner::new(context.class.clone()),
            pool_statuses: PoolStatuses::default(),
            policy_statuses: StatusPace::new(policy_status::PERIOD),
            writes: JoinSet::new(),
            writing_services: 0,
            is_config_stale: true,
            config: None,
            kept: Vec::new(),
            standing: Standing::default(),
            state_report: StateReport::new(),
            optional: Optional::new(&Kind::OPTIONAL),
            troubled: BTreeMap::new(),
            counted: Counts::default(),
            judgements: 0,
            pace: Pace::due(measures::PERIOD),
            context,
        }
    }

    /// Returns once this process may write. Where its right has ended, who keeps the lease ends the term; where that renews the lease just
    /// then, the term goes on, and nobody tells.
    async fn until_writing(&self) {
        while !self.context.writer.may_write() {
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits for something to happen, and takes it in.
    async fn wait(&mut self) {
        let current = now();
        let deadline = self.deadline(current).map(|at| Instant::now() + at.since(current));
        let expired = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            seen = self.watches.next() => {
                let mut room = CHANGES_AT_ONCE;
                let mut next = seen;
                while let Some(seen) = next {
                    for touched in self.world.fold(seen) {
                        self.take(touched);
                    }
                    room -= 1;
                    // What is taken out of the queue must be folded: nothing is taken once the room is used up.
                    next = if room > 0 { self.watches.try_next() } else { None };
                }
            }
            Some(done) = self.writes.join_next() => {
                if let Ok(done) = done {
                    self.finish(done);
                }
            }
            () = expired => {}
        }
        while let Some(Ok(done)) = self.writes.try_join_next() {
            self.finish(done);
        }
    }

    /// Whether something may be decided on: there is room for a write, and what is known of Services is of one moment.
    fn may_decide(&self) -> bool {
        self.writing_services < WRITES_AT_ONCE && !self.world.is_listing(&[Kind::Service])
    }

    fn deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let pools = self.pool_statuses.poll_timeout().filter(|_| self.planner.has_passed());
        let report = self.state_report.poll_timeout();
        let planner = self.planner.poll_timeout(now).filter(|_| self.may_decide());
        let figures = self.pace.poll_timeout().filter(|_| self.optional.was_settled());
        let policies = self.policy_statuses.poll_timeout().filter(|_| self.planner.has_passed());
        let expiry = self.planner.next_expiry().map(|at| now + unix_now().until(at));
        let absence = self.optional.poll_timeout(&self.world).filter(|_| self.world.is_complete(&NEEDED));
        [planner, pools, policies, expiry, report, figures, absence].into_iter().flatten().min()
    }

    fn take(&mut self, touched: Touched) {
        match touched {
            Touched::Configuration => self.is_config_stale = true,
            Touched::PoolStatus(_) => self.pool_statuses.handle_change(),
            Touched::PolicyStatus(_) => self.policy_statuses.handle_change(),
            Touched::Service(key) => self.planner.handle_service(&key, self.world.service(&key)),
            Touched::Report(..) => self.state_report.handle_change(),
            Touched::Complete(kind) => {
                if kind == Kind::ConfigurationState {
                    self.state_report.handle_listed();
                }
                self.optional.handle_complete(kind);
                if self.troubled.remove(&kind).is_some() {
                    tracing::info!(kind = kind.as_str(), "watch works again");
                }
            }
            Touched::Trouble(kind, trouble) => {
                self.optional.handle_trouble(now(), kind, &trouble);
                if Kind::OPTIONAL.contains(&kind) && trouble.absence.is_some() {
                    return;
                }
                let error = trouble.text;
                if self.troubled.insert(kind, error.clone()).is_none() {
                    tracing::warn!(kind = kind.as_str(), error, "watch failed and is tried again");
                }
            }
            Touched::Nothing | Touched::Node(_) | Touched::Endpoints(_) => {}
        }
    }

    /// Does what can be done now.
    fn act(&mut self) -> Result<(), ControllerError> {
        self.advance()?;
        self.report();
        Ok(())
    }

    fn advance(&mut self) -> Result<(), ControllerError> {
        if !self.world.is_complete(&NEEDED) {
            if let Some((kind, error)) = self.troubled.iter().find(|(kind, _)| NEEDED.contains(kind)) {
                // What cannot be listed is not called valid ([CFGST-9]).
                let error = format!("objects of kind {} {error}", kind.as_str());
                self.state_report.handle_verdict(Verdict::UnknownError(error));
            }
            return Ok(());
        }
        if !self.optional.is_settled(now(), &self.world) {
            return Ok(());
        }
        if let Some(remark) = self.optional.take_remark() {
            tracing::info!(remark, "there are no policies; they count once there are, within a minute");
        }
        self.planner.handle_clock(unix_now());
        loop {
            if std::mem::take(&mut self.is_config_stale) {
                self.configure()?;
            }
            self.decide();
            // What nobody holds any more is not kept any longer.
            self.is_config_stale = self.kept.iter().any(|kept| !self.planner.has(&kept.service, kept.address));
            if !self.is_config_stale {
                break;
            }
        }
        let counts = self.planner.counts();
        if counts != self.counted {
            self.counted = counts;
            self.pool_statuses.handle_change();
            self.policy_statuses.handle_change();
            self.pace.handle_change();
        }
        if self.planner.has_passed() {
            self.write_pools();
            self.write_policies();
            self.context.is_ready.store(true, Ordering::Release);
        }
        if self.pace.poll(now()) {
            self.show();
        }
        Ok(())
    }

    /// Carries out what the planner has decided, as far as there is room.
    fn decide(&mut self) {
        while self.may_decide() {
            match self.planner.poll_output(now()) {
                Some(Output::Write(write)) => self.write_service(write),
                Some(Output::Tell(told)) => {
                    tracing::debug!(service = %told.about.name, reason = told.reason, text = told.text, "event was told");
                    self.context.events.tell(told);
                }
                None => break,
            }
        }
        let entries = self.planner.take_entries();
        let mut ledger = self.context.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in entries {
            tracing::info!(service = %entry.service, address = %entry.address, event = %entry.event, cause = %entry.cause, "address");
            ledger.record(entry);
        }
    }

    /// Puts the figures of metrics together.
    fn show(&self) {
        let counts = self.planner.counts();
        let work = WorkFigures {
            updates: counts.looks + self.judgements,
            update_errors: counts.failures,
            config_loaded: self.config.is_some(),
            config_stale: matches!(self.state_report.verdict(), Some(Verdict::ConfigurationError(_))),
        };
        let usages: BTreeMap<PoolName, PoolUsage> = self.planner.usages().collect();
        let services = self.planner.services_by_pool();
        let of_pool =
            |pool: &Pool| measures::of_pool(pool, usages.get(&pool.name).copied().unwrap_or_default(), &services);
        self.context.measures.show(work, self.planner.pools().map(of_pool).collect());
    }

    /// Judges the pools, and puts in force what is good of them ([CFG-10] to [CFG-12]).
    fn configure(&mut self) -> Result<(), ControllerError> {
        let (mut raw, problems) = self.world.raw_config(&CONFIGURATION);
        let settings = lbcore::config::Settings {
            install_namespace: Arc::from(self.context.namespace.as_str()),
            ..lbcore::config::Settings::default()
        };
        let policies = || self.world.all_ours(Kind::PoolPolicy);
        if self.config.is_none() {
            self.kept = policies().flat_map(kept_of).collect();
        }
        raw.kept.clone_from(&self.kept);
        let mut config = self.standing.judge(&self.world, &raw, &problems, &settings);
        let kept = freeze::kept(&config, self.config.as_deref(), self.planner.live());
        if kept != raw.kept {
            raw.kept.clone_from(&kept);
            config = self.standing.judge(&self.world, &raw, &problems, &settings);
        }
        self.kept = kept;
        self.planner.handle_refused(self.standing.refused_pools());
        if self.config.as_ref() != Some(&config) {
            self.planner.handle_config(&config)?;
            if self.config.is_none() {
                self.planner.handle_holds(policies().flat_map(policy_status::holds_of).collect());
            }
            tracing::info!(pools = config.pools().len(), "configuration is in force");
            self.config = Some(config);
        }
        // Also where the same stays in force: an object that was made anew as it was has no status.
        self.pool_statuses.handle_change();
        self.policy_statuses.handle_change();
        let refusals = self.standing.refusals();
        let verdict = if refusals.is_empty() {
            Verdict::Reconciled
        } else {
            let reasons = refusals.join("\n");
            tracing::error!(error = reasons, "configuration could not be used in full");
            Verdict::ConfigurationError(reasons)
        };
        self.judgements += 1;
        self.pace.handle_change();
        self.state_report.handle_verdict(verdict);
        Ok(())
    }

    fn write_service(&mut self, write: StatusWrite) {
        let writer = self.context.writer.clone();
        self.writing_services += 1;
        self.writes.spawn(async move {
            let resource = Kind::Service.resource();
            let target = Target { resource: &resource, namespace: write.key.namespace(), name: write.key.name() };
            let written = writer.replace_status::<Answer>(target, &write.desired.body(&write.seen)).await;
            let taken = written.map(|answer| answer.taken_on(Some(write.seen.resource_version())));
            Done::Service(write, taken)
        });
    }

    fn write_pools(&mut self) {
        let world = &self.world;
        let writes = self
            .pool_statuses
            .poll_writes(now(), self.planner.usages(), |pool| world.ours(Kind::IpAddressPool, pool.as_str()));
        for PoolWrite { pool, body } in writes {
            let (writer, namespace) = (self.context.writer.clone(), self.context.namespace.clone());
            self.writes.spawn(async move {
                let resource = Kind::IpAddressPool.resource();
                let target = Target { resource: &resource, namespace: &namespace, name: pool.as_str() };
                let written = writer.replace_status::<Answer>(target, &body).await;
                Done::Pool(pool, written.map(drop))
            });
        }
    }

    fn write_policies(&mut self) {
        let Some(config) = self.config.clone().filter(|_| self.policy_statuses.poll(now())) else { return };
        let effects = Effects {
            quotas: self.planner.quotas().collect(),
            holds: self.planner.holds().cloned().collect(),
            kept: self.kept.clone(),
        };
        let world = &self.world;
        let needed = policy_status::writes(&config, &effects, |policy| world.ours(Kind::PoolPolicy, policy));
        for PolicyWrite { policy, body } in self.policy_statuses.choose(needed, |write| &write.policy) {
            let (writer, namespace) = (self.context.writer.clone(), self.context.namespace.clone());
            self.writes.spawn(async move {
                let resource = Kind::PoolPolicy.resource();
                let target = Target { resource: &resource, namespace: &namespace, name: &policy };
                let written = writer.replace_status::<Answer>(target, &body).await;
                Done::Policy(policy, written.map(drop))
            });
        }
    }

    /// Says whether the configuration is good, where that is not said already ([CFGST-10]).
    fn report(&mut self) {
        let Some(verdict) = self.state_report.poll(now()) else { return };
        let speaking = self.context.speaking.clone();
        let name = ObjectName { namespace: speaking.namespace.clone(), name: speaking.component.object_name() };
        let observed = self.world.report(Kind::ConfigurationState, &name);
        if speaking.need(observed, &verdict) == Need::Nothing {
            return;
        }
        let (writer, observed) = (self.context.writer.clone(), observed.cloned());
        self.state_report.handle_started();
        self.writes.spawn(async move {
            Done::State(configuration_state::bring(&writer, &speaking, observed.as_ref(), &verdict).await)
        });
    }

    fn finish(&mut self, done: Done) {
        match done {
            Done::Service(write, outcome) => {
                self.writing_services = self.writing_services.saturating_sub(1);
                log::written(&write, outcome.as_ref());
                self.planner.handle_written(now(), &write, outcome.map_err(|error| error.failing()));
            }
            Done::Pool(pool, outcome) => {
                let news = self.pool_statuses.handle_written(now(), &pool, said(&outcome));
                log::status(Kind::IpAddressPool, pool.as_str(), &outcome, news);
            }
            Done::Policy(policy, outcome) => {
                let news = self.policy_statuses.handle_written(now(), &policy, said(&outcome));
                log::status(Kind::PoolPolicy, &policy, &outcome, news);
            }
            Done::State(outcome) => {
                let outcome = outcome.map(drop);
                let news = self.state_report.handle_written(now(), said(&outcome));
                log::status(Kind::ConfigurationState, &self.context.speaking.component.object_name(), &outcome, news);
            }
        }
    }
}

/// What the end of a write says about the next one.
fn said(outcome: &Result<(), WriteError>) -> Result<(), Failing> {
    outcome.as_ref().copied().map_err(WriteError::failing)
}

#[cfg(test)]
mod tests;
