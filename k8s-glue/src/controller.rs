//! `ferrule controller`: the role that allocates addresses to the Services of a cluster.
//!
//! | file | what it does | needs |
//! |---|---|---|
//! | `start` | own Pod, key of the members, signals | client |
//! | `term` | one term of a leader: reads the world anew, then follows it | client |
//! | `planner` | changes in, writes and things to tell out | nothing |
//! | `service_status` | what a status shall say, and the write that makes it so | nothing |
//! | `pool_status` | what the counters of pools say, and the writes that make them so | nothing |
//! | `policy_status` | what policies lead to, as their statuses say it | nothing |
//! | `pace`, `status_pace`, `state_report` | when what changed is told, and when again what failed | nothing |
//! | `measures` | the figures of metrics | nothing |
//!
//! One process leads (`cluster::lease`); the others wait without a watch. Who leads again reads everything again: nothing is
//! carried from one term to the next. Every write is made only while the lease is good.

mod measures;
mod pace;
mod planner;
pub(crate) mod policy_status;
mod pool_status;
mod service_status;
mod start;
mod state_report;
mod status_pace;
mod term;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::Client;
use lbcore::allocator::PoolsError;
use lbcore::ledger::MemoryLedger;
use thiserror::Error;
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::args::{ControllerArgs, Outcome, UnknownNamespace, WebhookMode};
use crate::cluster::client;
use crate::cluster::configuration_state::{Component, OwnPod, Speaking};
use crate::cluster::events::{EventSink, Reporter};
use crate::cluster::lease::{self, Leadership, LeaseName};
use crate::cluster::write::{Authority, Writer};
use crate::history::Question;
use crate::output;
use crate::serving::{self, Answer, ProbesOn, Serving, ServingConfig, ServingError};
use crate::telemetry;

pub use crate::cluster::client::{ConnectError, RequestError};
pub use crate::cluster::write::WriteError;

use self::measures::Measures;
use self::term::TermContext;

/// The name of the Lease, in the install namespace.
pub const LEASE: &str = "metallb-controller";
/// What the events of this role name as their source ([CEVT-1]).
const COMPONENT: &str = "metallb-controller";
/// How many changes of addresses the ledger keeps.
const LEDGER_LIMIT: usize = 20_000;
/// A polite stop that takes longer is cut short.
const STOP_WITHIN: Duration = Duration::from_millis(800);

/// Why the controller did not start, or stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ControllerError {
    /// The install namespace is not known.
    #[error(transparent)]
    Namespace(#[from] UnknownNamespace),
    /// There is no way to the API server.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The Pod named as our own cannot be read.
    #[error("the own Pod {namespace}/{name} cannot be read: correct --pod-name, or grant get on pods")]
    OwnPod {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// What the API server said.
        source: RequestError,
    },
    /// The Secret with the key of the speakers cannot be made ([MLSEC-1]).
    #[error("the Secret {name} with the key of the speakers cannot be read or made")]
    MemberSecret {
        /// Its name.
        name: String,
        /// What the API server said.
        source: WriteError,
    },
    /// The Deployment that shall own the Secret cannot be read.
    #[error("the Deployment {name}, which owns the Secret of the speakers, cannot be read: correct --deployment")]
    Deployment {
        /// Its name.
        name: String,
        /// What the API server said.
        source: RequestError,
    },
    /// A checked configuration has pools that the allocator refuses: a fault of our own.
    #[error("the checked pools are refused by the allocator")]
    Pools(#[from] PoolsError),
    /// Metrics or probes cannot be served.
    #[error(transparent)]
    Serving(#[from] ServingError),
    /// The system refused something that every program gets.
    #[error("cannot {action}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// `ferrule controller`; returns when it has been told to stop.
///
/// # Errors
/// [`ControllerError`], by its variants.
pub fn run(arguments: &ControllerArgs) -> Result<Outcome, ControllerError> {
    telemetry::start(arguments.role.log_level);
    telemetry::tell_ineffective(&arguments.without_effect());
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .thread_name("ferrule-controller")
        .build()
        .map_err(|source| ControllerError::System { action: "start threads", source })?;
    let outcome = runtime.block_on(serve(arguments));
    runtime.shutdown_background();
    outcome
}

async fn serve(arguments: &ControllerArgs) -> Result<Outcome, ControllerError> {
    let mut signals = Signals::new()?;
    tokio::select! {
        () = signals.next() => Ok(Outcome::Good),
        started = Controller::start(arguments) => {
            let controller = started?;
            controller.run(signals).await
        }
    }
}

/// SIGTERM and SIGINT.
struct Signals([Signal; 2]);

impl Signals {
    fn new() -> Result<Self, ControllerError> {
        let listen =
            |kind| signal(kind).map_err(|source| ControllerError::System { action: "listen for signals", source });
        Ok(Self([listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?]))
    }

    async fn next(&mut self) {
        let [terminate, interrupt] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}

/// A controller that has what it needs.
struct Controller {
    client: Client,
    namespace: String,
    class: Option<String>,
    pod: Option<OwnPod>,
    identity: String,
    is_ready: Arc<AtomicBool>,
    measures: Arc<Measures>,
    ledger: Arc<Mutex<MemoryLedger>>,
    /// Whether everything but webhooks is somebody else's.
    is_for_webhooks: bool,
    /// Metrics and probes.
    _serving: Serving,
}

impl Controller {
    async fn start(arguments: &ControllerArgs) -> Result<Self, ControllerError> {
        let namespace = arguments.role.install_namespace()?;
        let client = client::connect(arguments.role.kubeconfig()).await?;
        // First of all: probes must find a process that waits for the API server.
        let (is_ready, measures) = (Arc::new(AtomicBool::new(false)), Arc::new(Measures::default()));
        let (ready, shown) = (Arc::clone(&is_ready), Arc::clone(&measures));
        let mut serving = ServingConfig::from_role(
            &arguments.role,
            &client,
            ProbesOn::Everywhere,
            Arc::new(move || shown.render()),
            Arc::new(move || ready.load(Ordering::Acquire)),
        )?;
        let ledger = Arc::new(Mutex::new(MemoryLedger::new(LEDGER_LIMIT)));
        serving.ledger = Some(answers(&ledger));
        let serving = serving::start(serving).await?;
        let is_for_webhooks = arguments.webhook_mode == Some(WebhookMode::Onlywebhook);
        let pod = match &arguments.role.pod_name {
            Some(name) => Some(start::own_pod(&client, &namespace, name).await?),
            None => None,
        };
        if let Some(secret) = arguments.ml_secret_name.as_ref().filter(|_| !is_for_webhooks) {
            start::member_secret(&client, &namespace, secret, arguments.deployment.as_deref()).await?;
        }
        let identity = pod.as_ref().map_or_else(start::process_name, |pod| pod.name.clone());
        let class = arguments.role.load_balancer_class.clone();
        Ok(Self {
            client,
            namespace,
            class,
            pod,
            identity,
            is_ready,
            measures,
            ledger,
            is_for_webhooks,
            _serving: serving,
        })
    }

    async fn run(self, mut signals: Signals) -> Result<Outcome, ControllerError> {
        if self.is_for_webhooks {
            // [WEBHOOK-30]: one that took part in the election would allocate.
            tracing::warn!(
                "nothing is done here: with --webhook-mode=onlywebhook there is nothing but webhooks, and none are served"
            );
            self.is_ready.store(true, Ordering::Release);
            signals.next().await;
            return Ok(Outcome::Good);
        }
        let authority = Arc::new(Authority::none());
        let (leadership, led) = watch::channel(Leadership::Outside);
        let (stop, stopped) = oneshot::channel();
        let name = LeaseName { namespace: self.namespace.clone(), name: LEASE.to_owned() };
        let keeper =
            lease::keep(self.client.clone(), name, self.identity.clone(), Arc::clone(&authority), leadership, stopped);
        let keeper = tokio::spawn(keeper);
        tracing::info!(identity = self.identity, namespace = self.namespace, class = self.class, "started");
        let outcome = tokio::select! {
            () = signals.next() => Ok(Outcome::Good),
            error = self.terms(&authority, led) => Err(error),
        };
        // Whatever was being written was dropped with the term; the keeper releases the lease.
        let _ = stop.send(());
        if timeout(STOP_WITHIN, keeper).await.is_err() {
            tracing::warn!("stopped before the lease was released");
        }
        tracing::info!("stopped");
        outcome
    }

    /// One term after the other; returns only for a fault of our own.
    async fn terms(&self, authority: &Arc<Authority>, mut led: watch::Receiver<Leadership>) -> ControllerError {
        loop {
            let leadership = *led.borrow_and_update();
            let leads = matches!(leadership, Leadership::Leader { .. } | Leadership::WithoutLease);
            // Who waits is ready where it could take over.
            self.is_ready.store(leadership == Leadership::Candidate, Ordering::Release);
            if !leads {
                self.measures.clear();
            }
            let changed = async {
                if led.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            if !leads {
                changed.await;
                continue;
            }
            tokio::select! {
                () = changed => {}
                failed = term::lead(&self.client, self.context(authority)) => {
                    if let Err(error) = failed {
                        return error;
                    }
                }
            }
        }
    }

    fn context(&self, authority: &Arc<Authority>) -> TermContext {
        let writer = Writer::new(self.client.clone(), Arc::clone(authority));
        let reporter = Reporter { component: COMPONENT, instance: self.identity.clone() };
        TermContext {
            namespace: self.namespace.clone(),
            class: self.class.clone(),
            events: EventSink::start(writer.clone(), reporter),
            writer,
            speaking: Speaking {
                component: Component::Controller,
                namespace: self.namespace.clone(),
                pod: self.pod.clone(),
                remark: String::new(),
            },
            is_ready: Arc::clone(&self.is_ready),
            measures: Arc::clone(&self.measures),
            ledger: Arc::clone(&self.ledger),
        }
    }
}

/// Answers questions about the ledger.
fn answers(ledger: &Arc<Mutex<MemoryLedger>>) -> Answer {
    let ledger = Arc::clone(ledger);
    Arc::new(move |query| {
        let question = Question::of_query(query).map_err(|error| error.to_string())?;
        Ok(output::json(&question.answer(&ledger.lock().unwrap_or_else(PoisonError::into_inner))))
    })
}
