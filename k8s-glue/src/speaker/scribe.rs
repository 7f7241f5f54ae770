//! Writes the statuses of [`report`](super::report). It never keeps the announcing waiting: what is wanted is put down under a short lock,
//! and a task of its own brings the API server there, as fast as that allows.

mod sweep;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject};
use lbcore::service::ServiceKey;
use serde_json::{Map, Value};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::sleep;

use self::sweep::Sweep;
use super::report::{Author, ReportKind, Reports, Write};
use crate::cluster::client::within;
use crate::cluster::watch::map_of;
use crate::cluster::write::{Answer, Failing, Target, WriteError, Writer};

/// Services that are written for at once.
const AT_ONCE: usize = 8;
/// Writes for one Service in a row: creation, status, and what is redundant.
const IN_A_ROW: usize = 6;
/// Time before the first new try after a failure, doubling up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// What the API server refuses is tried again after this time.
const REFUSED_FOR: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Shared {
    reports: Mutex<Reports>,
    /// Services that this node has come to announce: objects of other nodes are taken away ([STAT-4]).
    won: Mutex<BTreeSet<ServiceKey>>,
    bell: Notify,
    sweep_bell: Notify,
}

impl Shared {
    fn reports(&self) -> MutexGuard<'_, Reports> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn won(&self) -> MutexGuard<'_, BTreeSet<ServiceKey>> {
        self.won.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The statuses of one kind.
#[derive(Debug)]
pub(crate) struct Scribe {
    kind: ReportKind,
    shared: Arc<Shared>,
    tasks: [AbortHandle; 2],
}

impl Drop for Scribe {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Scribe {
    /// Starts the tasks.
    pub(crate) fn start(author: Author, client: Client, writer: Writer) -> Self {
        let kind = author.kind;
        let shared = Arc::new(Shared {
            reports: Mutex::new(Reports::new(author)),
            won: Mutex::default(),
            bell: Notify::new(),
            sweep_bell: Notify::new(),
        });
        let resource = kind.kind().resource();
        let (of_sweep, client_of_sweep) = (Arc::clone(&shared), client.clone());
        let sweep =
            Sweep { shared: of_sweep, resource: resource.clone(), client: client_of_sweep, writer: writer.clone() };
        let work = Work { shared: Arc::clone(&shared), resource, client, writer };
        let tasks: [JoinHandle<()>; 2] = [tokio::spawn(work.run()), tokio::spawn(sweep.run())];
        Self { kind, shared, tasks: tasks.map(|task| task.abort_handle()) }
    }

    /// What shall be said of a Service from now on.
    pub(crate) fn want(&self, service: &ServiceKey, wanted: Option<Vec<String>>) {
        self.shared.reports().handle_wanted(service.clone(), wanted);
        self.shared.bell.notify_one();
    }

    /// This node has come to announce a Service.
    pub(crate) fn won(&self, service: &ServiceKey) {
        // Routes are announced by many nodes: what the others say stays.
        if self.kind == ReportKind::Layer2 {
            self.shared.won().insert(service.clone());
            self.shared.sweep_bell.notify_one();
        }
    }

    /// An object is as given, or gone.
    pub(crate) fn see(&self, name: &str, object: Option<&Map<String, Value>>) {
        self.shared.reports().handle_object(name, object.cloned());
        self.shared.bell.notify_one();
    }

    /// Every object was seen.
    pub(crate) fn see_all(&self) {
        self.shared.reports().handle_listed();
        self.shared.bell.notify_one();
    }

    /// Whether an object of this node stands there for the Service.
    pub(crate) fn has(&self, service: &ServiceKey) -> bool {
        self.shared.reports().has(service)
    }

    /// The Services that an object speaks of and that nobody has judged yet.
    pub(crate) fn unjudged(&self) -> Vec<ServiceKey> {
        self.shared.reports().unjudged()
    }
}

struct Work {
    shared: Arc<Shared>,
    resource: ApiResource,
    client: Client,
    writer: Writer,
}

impl Work {
    async fn run(self) {
        let mut delay = RETRY_MIN;
        loop {
            let due = self.shared.reports().take_due(AT_ONCE);
            if due.is_empty() {
                self.shared.bell.notified().await;
                continue;
            }
            let written = join_all(due.into_iter().map(|service| self.bring(service))).await;
            if written.into_iter().any(|outcome| outcome.is_err()) {
                sleep(delay).await;
                delay = (delay * 2).min(RETRY_MAX);
            } else {
                delay = RETRY_MIN;
            }
        }
    }

    /// Writes for one Service what has to be written; an error says that the API server is in trouble.
    async fn bring(&self, service: ServiceKey) -> Result<(), WriteError> {
        for _ in 0..IN_A_ROW {
            let Some(write) = self.shared.reports().next_write(&service) else { return Ok(()) };
            let outcome = self.carry_out(&write).await;
            match outcome {
                Ok(version) => self.shared.reports().handle_written(&service, &write, &version),
                Err(error) => match error.failing() {
                    Failing::Missing => self.shared.reports().handle_object(write.name(), None),
                    Failing::Conflict => self.look_at(write.name()).await?,
                    Failing::Refused => {
                        tracing::warn!(%service, kind = self.resource.kind, %error, "status is refused by the API server");
                        self.again_later(service);
                        return Ok(());
                    }
                    Failing::Server | Failing::Internal | Failing::Authority => {
                        tracing::debug!(%service, kind = self.resource.kind, %error, "status is not written yet");
                        self.shared.reports().make_due(service);
                        return Err(error);
                    }
                },
            }
        }
        self.shared.reports().make_due(service);
        Ok(())
    }

    fn again_later(&self, service: ServiceKey) {
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            sleep(REFUSED_FOR).await;
            shared.reports().make_due(service);
            shared.bell.notify_one();
        });
    }

    async fn carry_out(&self, write: &Write) -> Result<String, WriteError> {
        let namespace = self.shared.reports().author().namespace.clone();
        let target = Target { resource: &self.resource, namespace: &namespace, name: write.name() };
        match write {
            Write::Create { body, .. } => self.writer.create::<Answer>(target, body).await.map(Answer::into_version),
            Write::Merge { body, .. } => self.writer.merge::<Answer>(target, body).await.map(Answer::into_version),
            Write::Status { body, .. } => {
                self.writer.apply_status(target, "ferrule-speaker", body).await.map(Answer::into_version)
            }
            Write::Delete { .. } => match self.writer.delete(target).await {
                Err(error) if error.failing() != Failing::Missing => Err(error),
                Ok(_) | Err(_) => Ok(String::new()),
            },
        }
    }

    fn api(&self) -> Api<DynamicObject> {
        let namespace = self.shared.reports().author().namespace.clone();
        Api::namespaced_with(self.client.clone(), &namespace, &self.resource)
    }

    async fn look_at(&self, name: &str) -> Result<(), WriteError> {
        let found = within(self.api().get_opt(name)).await?;
        let object = found.map(|object| map_of(object, &self.resource));
        self.shared.reports().handle_object(name, object);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
