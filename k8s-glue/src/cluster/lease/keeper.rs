//! Carries out what the elector says: reads and writes the Lease, and hands its outcome to who may write by it.

use std::sync::Arc;
use std::time::Duration;

use announce_arp::io::now;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject};
use lbcore::time::Timestamp;
use serde_json::{Map, Value, json};
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};

use super::refusals::Refusals;
use super::{Acquisition, Elector, Failed, Observed, Record, Step, Timings};
use crate::cluster::client::{RequestError, within};
use crate::cluster::clock::WallTime;
use crate::cluster::write::{Authority, Failing, Target, WriteError, Writer};

/// A release that takes longer is left to the clock of the others.
const RELEASE_WITHIN: Duration = Duration::from_millis(500);

/// Which Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeaseName {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// Whether this process does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leadership {
    /// It is not known yet, or the Lease cannot be used: this process could not take over.
    Outside,
    /// Somebody else does; this one would take over.
    Candidate,
    /// This one does; each acquisition has a number of its own, so that a right lost and won again is a new one.
    Leader { term: u64 },
    /// This one does: the API server never lets it use Leases.
    WithoutLease,
}

/// Keeps a Lease until told to stop, and releases it then. The authority is set before the leadership is told, and ends by itself.
pub(crate) async fn keep(
    client: Client,
    name: LeaseName,
    identity: String,
    authority: Arc<Authority>,
    leadership: watch::Sender<Leadership>,
    mut stop: oneshot::Receiver<()>,
) {
    let mut keeper = Keeper {
        writer: Writer::without_lease(client.clone()),
        client,
        name,
        elector: Elector::new(&identity, Timings::default()),
        refusals: Refusals::new(Timings::default()),
        object: Value::Null,
        authority,
        leadership,
        term: 0,
        trouble: None,
        is_outside: true,
    };
    loop {
        tokio::select! {
            biased;
            _ = &mut stop => {
                keeper.release().await;
                return;
            }
            () = keeper.step() => {}
        }
    }
}

struct Keeper {
    client: Client,
    writer: Writer,
    name: LeaseName,
    elector: Elector,
    refusals: Refusals,
    /// The Lease as last read or written, so that what is not ours in it stays.
    object: Value,
    authority: Arc<Authority>,
    leadership: watch::Sender<Leadership>,
    term: u64,
    /// The trouble told last.
    trouble: Option<String>,
    /// Whether this process could not take over.
    is_outside: bool,
}

fn resource() -> ApiResource {
    ApiResource {
        group: "coordination.k8s.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "coordination.k8s.io/v1".to_owned(),
        kind: "Lease".to_owned(),
        plural: "leases".to_owned(),
    }
}

impl Keeper {
    async fn step(&mut self) {
        self.elector.handle_timeout(now());
        self.refusals.handle_timeout(now());
        self.publish();
        let started = now();
        let outcome = match self.elector.poll_step(started) {
            Step::Wait(until) => {
                let ends = [self.elector.leads_until(), self.refusals.leads_until()];
                let wake = ends.into_iter().flatten().fold(until, Timestamp::min);
                sleep(wake.since(started)).await;
                return;
            }
            Step::Read => match self.read().await {
                Ok(read) => {
                    self.elector.handle_read(now(), read);
                    Ok(())
                }
                Err(error) => Err((WriteError::from(error), Failed::Read)),
            },
            Step::Create(record) => self.write(None, &record, Acquisition::New, started).await,
            Step::Replace { version, record, acquisition } => {
                self.write(Some(&version), &record, acquisition, started).await
            }
        };
        match outcome {
            Ok(()) => {
                self.refusals.handle_used();
                // What is to be written next may still be refused.
                if matches!(self.elector.poll_step(now()), Step::Wait(_) | Step::Read) {
                    self.trouble = None;
                    self.is_outside = false;
                }
            }
            Err((error, of)) => self.failed(&error, of, started),
        }
        self.publish();
    }

    fn failed(&mut self, error: &WriteError, of: Failed, started: Timestamp) {
        let is_forbidden = matches!(error, WriteError::Request(error) if error.status() == Some(403));
        if is_forbidden {
            self.refusals.handle_refused(started, now());
        } else {
            self.refusals.handle_failure();
        }
        let failing = error.failing();
        match failing {
            Failing::Conflict | Failing::Missing => self.elector.handle_conflict(now()),
            Failing::Server | Failing::Internal | Failing::Refused | Failing::Authority => {
                self.elector.handle_failure(now(), of);
            }
        }
        // What was just read as absent cannot be made: it is the namespace that is missing.
        let is_homeless = failing == Failing::Missing && self.object.is_null();
        self.is_outside |= is_forbidden || is_homeless;
        if is_homeless || !matches!(failing, Failing::Conflict | Failing::Missing) {
            self.tell(error, is_forbidden, is_homeless);
        }
    }

    /// Says what keeps the Lease from being used, once until it is something else.
    fn tell(&mut self, error: &WriteError, is_forbidden: bool, is_homeless: bool) {
        let text = error.to_string();
        if self.trouble.as_ref() == Some(&text) {
            return;
        }
        self.trouble = Some(text);
        let LeaseName { namespace, name } = &self.name;
        if is_homeless {
            tracing::warn!(
                namespace, name, %error,
                "the Lease cannot be made, and nothing is done before it is: make the namespace {namespace}, or correct --namespace"
            );
        } else if is_forbidden {
            tracing::warn!(
                namespace, name, %error,
                "the Lease is refused to this account: grant get, create and update on leases of coordination.k8s.io in namespace \
                 {namespace}"
            );
        } else {
            tracing::warn!(namespace, name, %error, "lease could not be kept");
        }
    }

    /// Tells who writes, and who waits to lead.
    fn publish(&mut self) {
        let (with, without) = (self.elector.leads_until(), self.refusals.leads_until());
        self.authority.set(with.or(without));
        let before = *self.leadership.borrow();
        let after = match (with, without, before) {
            (Some(_), _, Leadership::Leader { .. }) => before,
            (Some(_), _, _) => {
                self.term += 1;
                tracing::info!(term = self.term, "became the leader");
                Leadership::Leader { term: self.term }
            }
            (None, Some(_), _) => Leadership::WithoutLease,
            (None, None, _) if self.is_outside => Leadership::Outside,
            (None, None, _) => Leadership::Candidate,
        };
        if before == after {
            return;
        }
        match (before, after) {
            (_, Leadership::WithoutLease) => tracing::warn!(
                namespace = self.name.namespace,
                name = self.name.name,
                "this account may not use Leases: running without a leader election, so never start a second controller; \
                 grant get, create and update on leases of coordination.k8s.io"
            ),
            (Leadership::Leader { .. }, _) => {
                tracing::warn!(holder = self.elector.holder(), "is not the leader any more");
            }
            (Leadership::WithoutLease, _) => {
                tracing::warn!("does not lead without a lease any more");
            }
            _ => {}
        }
        self.leadership.send_replace(after);
    }

    async fn read(&mut self) -> Result<Option<Observed>, RequestError> {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.name.namespace, &resource());
        let read = within(api.get_opt(&self.name.name)).await?;
        let object = read.and_then(|object| serde_json::to_value(object).ok());
        self.object = object.unwrap_or_default();
        Ok(observed(&self.object))
    }

    async fn write(
        &mut self,
        version: Option<&str>,
        record: &Record,
        acquisition: Acquisition,
        started: Timestamp,
    ) -> Result<(), (WriteError, Failed)> {
        let answer = self.put(version, record, acquisition).await.map_err(|error| (error, Failed::Write))?;
        match observed(&answer) {
            Some(observed) => {
                self.object = answer;
                self.elector.handle_written(started, now(), observed);
            }
            None => self.elector.handle_conflict(now()),
        }
        Ok(())
    }

    async fn put(&self, version: Option<&str>, record: &Record, acquisition: Acquisition) -> Result<Value, WriteError> {
        let resource = resource();
        let target = Target { resource: &resource, namespace: &self.name.namespace, name: &self.name.name };
        let body = self.body(version, record, acquisition);
        match version {
            None => self.writer.create(target, &body).await,
            Some(_) => self.writer.replace(target, &body).await,
        }
    }

    fn body(&self, version: Option<&str>, record: &Record, acquisition: Acquisition) -> Value {
        let mut object = match (version, &self.object) {
            (Some(_), Value::Object(object)) => object.clone(),
            _ => Map::new(),
        };
        object.insert("apiVersion".to_owned(), "coordination.k8s.io/v1".into());
        object.insert("kind".to_owned(), "Lease".into());
        let metadata = object.entry("metadata").or_insert_with(|| json!({}));
        if let Value::Object(metadata) = metadata {
            metadata.remove("managedFields");
            metadata.insert("name".to_owned(), self.name.name.as_str().into());
            metadata.insert("namespace".to_owned(), self.name.namespace.as_str().into());
            if let Some(version) = version {
                metadata.insert("resourceVersion".to_owned(), version.into());
            }
        }
        let spec = object.entry("spec").or_insert_with(|| json!({}));
        if let Value::Object(spec) = spec {
            let time = WallTime::now().micros();
            spec.insert("holderIdentity".to_owned(), record.holder.as_str().into());
            let seconds = record.duration.map_or(0, |duration| duration.as_secs());
            spec.insert("leaseDurationSeconds".to_owned(), seconds.into());
            spec.insert("leaseTransitions".to_owned(), record.transitions.into());
            if acquisition == Acquisition::New || !spec.contains_key("acquireTime") {
                spec.insert("acquireTime".to_owned(), time.as_str().into());
            }
            spec.insert("renewTime".to_owned(), time.into());
        }
        Value::Object(object)
    }

    async fn release(&mut self) {
        let released = self.elector.handle_release();
        self.authority.set(None);
        let Some((version, record)) = released else { return };
        match timeout(RELEASE_WITHIN, self.put(Some(&version), &record, Acquisition::Renewed)).await {
            Ok(Ok(_)) => tracing::info!("released the lease"),
            Ok(Err(error)) => tracing::info!(%error, "lease was not released and runs out by itself"),
            Err(_) => tracing::info!("lease was not released in time and runs out by itself"),
        }
    }
}

/// What the object says; `None` where it is no object of the API server.
fn observed(object: &Value) -> Option<Observed> {
    let version = object.get("metadata")?.get("resourceVersion")?.as_str()?;
    let spec = object.get("spec");
    let holder = spec.and_then(|spec| spec.get("holderIdentity")?.as_str()).unwrap_or_default();
    let seconds = spec.and_then(|spec| spec.get("leaseDurationSeconds")?.as_u64());
    let transitions = spec.and_then(|spec| spec.get("leaseTransitions")?.as_i64()).unwrap_or_default();
    let record = Record { holder: holder.to_owned(), duration: seconds.map(Duration::from_secs), transitions };
    Some(Observed { version: version.to_owned(), record })
}
