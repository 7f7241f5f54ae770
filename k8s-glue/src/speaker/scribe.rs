//! Writes the statuses of [`report`](super::report). It never keeps the announcing waiting: what is wanted is put down under a short lock,
//! and a task of its own brings the API server there, as fast as that allows.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use lbcore::service::ServiceKey;
use serde_json::{Map, Value};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::sleep;

use super::report::{Author, ReportKind, Reports, Write, is_of_another, selector_of, subject_of};
use crate::cluster::client::within;
use crate::cluster::watch::map_of;
use crate::cluster::write::{Answer, Failing, Target, WriteError, Writer};

/// Services that are written for at once.
const AT_ONCE: usize = 8;
/// Writes for one Service in a row: creation, status, and what is redundant.
const IN_A_ROW: usize = 6;
/// Above so many Services, all objects are listed once instead of those of each.
const LISTED_ALONE: usize = 16;
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
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl Drop for Scribe {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Scribe {
    /// Starts the task.
    pub(crate) fn start(author: Author, client: Client, writer: Writer) -> Self {
        let kind = author.kind;
        let shared =
            Arc::new(Shared { reports: Mutex::new(Reports::new(author)), won: Mutex::default(), bell: Notify::new() });
        let work = Work { shared: Arc::clone(&shared), resource: kind.kind().resource(), client, writer };
        let task: JoinHandle<()> = tokio::spawn(work.run());
        Self { shared, task: task.abort_handle() }
    }

    /// What shall be said of a Service from now on.
    pub(crate) fn want(&self, service: &ServiceKey, wanted: Option<Vec<String>>) {
        self.shared.reports().handle_wanted(service.clone(), wanted);
        self.shared.bell.notify_one();
    }

    /// This node has come to announce a Service.
    pub(crate) fn won(&self, service: &ServiceKey) {
        self.shared.won().insert(service.clone());
        self.shared.bell.notify_one();
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
            let won = std::mem::take(&mut *self.shared.won());
            if due.is_empty() && won.is_empty() {
                self.shared.bell.notified().await;
                continue;
            }
            let written = join_all(due.into_iter().map(|service| self.bring(service))).await;
            let swept = self.sweep(won).await;
            if written.into_iter().chain([swept]).any(|outcome| outcome.is_err()) {
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

    /// Takes away what other nodes say of Services that this node announces now.
    async fn sweep(&self, won: BTreeSet<ServiceKey>) -> Result<(), WriteError> {
        if won.is_empty() || self.shared.reports().author().kind != ReportKind::Layer2 {
            return Ok(());
        }
        let outcome = self.try_sweep(&won).await;
        if let Err(error) = &outcome {
            tracing::debug!(%error, "statuses of other nodes are not taken away yet");
            self.shared.won().extend(won);
        }
        outcome
    }

    async fn try_sweep(&self, won: &BTreeSet<ServiceKey>) -> Result<(), WriteError> {
        let node = self.shared.reports().author().node.clone();
        let selectors: Vec<Option<String>> = if won.len() > LISTED_ALONE {
            vec![None]
        } else {
            won.iter().map(|service| Some(selector_of(service))).collect()
        };
        for selector in selectors {
            let params = ListParams { label_selector: selector, ..ListParams::default() };
            for object in within(self.api().list(&params)).await? {
                let name = object.metadata.name.clone().unwrap_or_default();
                let object = map_of(object, &self.resource);
                // It may have been lost again meanwhile.
                let is_won = |service: &ServiceKey| won.contains(service) && self.shared.reports().wants(service);
                if is_of_another(&object, &node) && subject_of(&object).is_some_and(|service| is_won(&service)) {
                    self.carry_out(&Write::Delete { name }).await?;
                }
            }
        }
        Ok(())
    }
}
