//! Writes to the API server, each made only while its role may write.
//!
//! A request is looked at before every step of its way: a process that was stopped in the middle and goes on after its right to write
//! has ended gives the request up instead of sending it.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use announce_arp::io::now;
use kube::Client;
use kube::Resource as _;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::Request;
use lbcore::time::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use super::client::{RequestError, within};

/// Until when a role may write; shared by who keeps the lease and who writes. The clock is `CLOCK_BOOTTIME`.
#[derive(Debug)]
pub(crate) struct Authority(AtomicU64);

impl Authority {
    /// No right to write.
    pub(crate) const fn none() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The right to write for ever: a role without a lease.
    pub(crate) const fn unlimited() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }

    /// Sets the time at which the right ends; `None` ends it at once.
    pub(crate) fn set(&self, until: Option<Timestamp>) {
        self.0.store(until.map_or(0, Timestamp::as_micros), Ordering::Release);
    }

    /// Whether a write may be made at this time.
    pub(crate) fn covers(&self, now: Timestamp) -> bool {
        now.as_micros() < self.0.load(Ordering::Acquire)
    }
}

/// Why a write did not succeed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The request failed.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The role may not write any more; whether the request was sent before is not known.
    #[error("this process is not the leader any more")]
    NotLeading,
}

/// What a failed write says about the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failing {
    /// The API server cannot be reached or is overloaded: other writes would fare the same.
    Server,
    /// The API server failed at this write (500) or did not answer in time, as where a webhook is away: others may fare better.
    Internal,
    /// The object has another version than was seen.
    Conflict,
    /// The object is not there.
    Missing,
    /// The API server refuses this write.
    Refused,
    /// The role may not write any more.
    Authority,
}

impl WriteError {
    /// What it says about the next write.
    pub(crate) fn failing(&self) -> Failing {
        match self {
            Self::NotLeading => Failing::Authority,
            // A webhook that does not answer takes longer than a request may.
            Self::Request(RequestError::Timeout) => Failing::Internal,
            Self::Request(error) => match error.status() {
                Some(404) => Failing::Missing,
                Some(409) => Failing::Conflict,
                Some(500) => Failing::Internal,
                None | Some(429 | 501..) => Failing::Server,
                Some(_) => Failing::Refused,
            },
        }
    }
}

/// What the API server answers to a write, as far as it is looked at.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Answer {
    metadata: AnswerMetadata,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnswerMetadata {
    #[serde(default)]
    resource_version: String,
}

impl Answer {
    /// The version that the object has now.
    pub(crate) fn version(&self) -> &str {
        &self.metadata.resource_version
    }

    /// The same.
    pub(crate) fn into_version(self) -> String {
        self.metadata.resource_version
    }

    /// What became of the object that had this version before; `None` where there was none.
    pub(crate) fn taken_on(&self, version: Option<&str>) -> Taken {
        if version == Some(self.version()) { Taken::Unchanged } else { Taken::Changed }
    }
}

/// What became of a write that the API server took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The object has another version now, which the watch will show.
    Changed,
    /// The object is as it was: nothing was to be changed, or somebody takes away what it lacks. The watch has nothing to tell.
    Unchanged,
}

/// Where a write goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) resource: &'a ApiResource,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
}

/// Makes writes for one role. Clones share its right to write.
#[derive(Clone)]
pub(crate) struct Writer {
    client: Client,
    authority: Arc<Authority>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("authority", &self.authority).finish_non_exhaustive()
    }
}

impl Writer {
    /// Writes by this client while the authority covers it.
    pub(crate) const fn new(client: Client, authority: Arc<Authority>) -> Self {
        Self { client, authority }
    }

    /// Writes without a lease, as speakers do.
    pub(crate) fn without_lease(client: Client) -> Self {
        Self::new(client, Arc::new(Authority::unlimited()))
    }

    /// Whether a write may be made now.
    pub(crate) fn may_write(&self) -> bool {
        self.authority.covers(now())
    }

    /// Creates an object; its name is in the body. `T` is what is read of the answer, such as [`Answer`].
    ///
    /// # Errors
    /// [`WriteError`].
    pub(crate) async fn create<T: DeserializeOwned>(&self, target: Target<'_>, body: &Value) -> Result<T, WriteError> {
        let request = requests(target).create(&PostParams::default(), octets(body)?).map_err(unbuilt)?;
        self.guard(self.client.request(request)).await
    }

    /// Replaces the status of an object (verb `update`); the body holds the version seen.
    ///
    /// # Errors
    /// [`WriteError`].
    pub(crate) async fn replace_status<T: DeserializeOwned>(
        &self,
        target: Target<'_>,
        body: &Value,
    ) -> Result<T, WriteError> {
        let params = PostParams::default();
        let request = requests(target).replace_subresource("status", target.name, &params, octets(body)?);
        self.guard(self.client.request(request.map_err(unbuilt)?)).await
    }

    /// Replaces an object (verb `update`); the body holds the version seen.
    ///
    /// # Errors
    /// [`WriteError`].
    pub(crate) async fn replace<T: DeserializeOwned>(&self, target: Target<'_>, body: &Value) -> Result<T, WriteError> {
        let request = requests(target).replace(target.name, &PostParams::default(), octets(body)?).map_err(unbuilt)?;
        self.guard(self.client.request(request)).await
    }

    /// Merges into an object (verb `patch`).
    ///
    /// # Errors
    /// [`WriteError`].
    pub(crate) async fn merge<T: DeserializeOwned>(&self, target: Target<'_>, body: &Value) -> Result<T, WriteError> {
        let request = requests(target).patch(target.name, &PatchParams::default(), &Patch::Merge(body));
        self.guard(self.client.request(request.map_err(unbuilt)?)).await
    }

    /// Applies the status of an object for a field owner, whoever owned the fields before (verb `patch`).
    ///
    /// # Errors
    /// [`WriteError`].
    pub(crate) async fn apply_status(
        &self,
        target: Target<'_>,
        owner: &str,
        body: &Value,
    ) -> Result<Answer, WriteError> {
        let params = PatchParams::apply(owner).force();
        let request = requests(target).patch_subresource("status", target.name, &params, &Patch::Apply(body));
        self.guard(self.client.request(request.map_err(unbuilt)?)).await
    }

    /// Deletes an object (verb `delete`).
    ///
    /// # Errors
    /// [`WriteError`].
    pub(crate) async fn delete(&self, target: Target<'_>) -> Result<Value, WriteError> {
        let request = requests(target).delete(target.name, &DeleteParams::default()).map_err(unbuilt)?;
        self.guard(self.client.request(request)).await
    }

    async fn guard<T>(&self, request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, WriteError> {
        let mut sending = pin!(within(request));
        poll_fn(|context| {
            if !self.authority.covers(now()) {
                return Poll::Ready(Err(WriteError::NotLeading));
            }
            sending.as_mut().poll(context).map_err(WriteError::from)
        })
        .await
    }
}

fn unbuilt(error: kube::core::request::Error) -> RequestError {
    kube::Error::BuildRequest(error).into()
}

fn requests(target: Target<'_>) -> Request {
    let namespace = (!target.namespace.is_empty()).then_some(target.namespace);
    Request::new(DynamicObject::url_path(target.resource, namespace))
}

fn octets(body: &Value) -> Result<Vec<u8>, RequestError> {
    serde_json::to_vec(body).map_err(|error| RequestError::from(kube::Error::SerdeError(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_ends_with_its_time_and_not_before() {
        let authority = Authority::none();
        assert!(!authority.covers(Timestamp::ZERO));
        authority.set(Some(Timestamp::from_micros(10)));
        assert!(authority.covers(Timestamp::from_micros(9)) && !authority.covers(Timestamp::from_micros(10)));
        authority.set(None);
        assert!(!authority.covers(Timestamp::from_micros(1)));
        assert!(Authority::unlimited().covers(Timestamp::from_micros(u64::MAX - 1)));
    }

    // [ARCH-10]
    #[test]
    fn statuses_say_who_is_at_fault() {
        let api = |code: u16| {
            let status = kube::core::Status::failure("no", "no").with_code(code);
            WriteError::from(RequestError::from(kube::Error::Api(status.boxed()))).failing()
        };
        assert_eq!(
            [404, 409, 429, 500, 503, 403, 422].map(api),
            [
                Failing::Missing,
                Failing::Conflict,
                Failing::Server,
                Failing::Internal,
                Failing::Server,
                Failing::Refused,
                Failing::Refused
            ]
        );
        assert_eq!(WriteError::from(RequestError::Timeout).failing(), Failing::Internal);
        assert_eq!(WriteError::NotLeading.failing(), Failing::Authority);
    }
}
