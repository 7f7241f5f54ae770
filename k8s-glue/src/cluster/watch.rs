//! One stream of what happens to the watched kinds.
//!
//! A task a kind lists and watches, begins anew where the API server forgot the place (expiry), and tries again where it cannot be
//! reached. What comes out is level-driven: after [`Seen::Complete`] the receiver knows every object of the kind.
//!
//! A connection that was cut ends by itself (`client`). What still stands and says nothing, such as a proxy before an API server that has
//! gone, does not: so a watch asks again every 55 s from where it was, which costs the API server a request and no list.

mod backoff;

use std::pin::pin;
use std::time::Duration;

use announce_arp::io::now;
use futures_util::StreamExt;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use self::backoff::{Backoff, Failure};
use super::client::{status_of, text_of};

/// A watch ends after so many seconds, and goes on from there. The API server says where it is shortly before, also where nothing happens.
const ASK_AGAIN: u32 = 55;
/// A watch that was in trouble and says nothing for so long works: nothing else tells that it was taken up again.
const WORKS_AFTER: Duration = Duration::from_secs(8);
/// Objects a page when listing.
const PAGE: u32 = 500;
/// Objects under way between the watches and the receiver.
const QUEUE: usize = 1_024;

/// A kind that can be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    AddressReservation,
    BfdProfile,
    BgpAdvertisement,
    BgpPeer,
    Community,
    ConfigurationState,
    EndpointSlice,
    IpAddressPool,
    L2Advertisement,
    Namespace,
    Node,
    PoolPolicy,
    Secret,
    Service,
    ServiceBgpStatus,
    ServiceL2Status,
}

impl Kind {
    /// The kinds that a cluster need not have ([`super::optional`]).
    pub(crate) const OPTIONAL: [Self; 2] = [Self::AddressReservation, Self::PoolPolicy];

    /// Group, version, kind and plural.
    const fn names(self) -> (&'static str, &'static str, &'static str, &'static str) {
        const OURS: &str = "metallb.io";
        const OWN: &str = "ferrule.io";
        match self {
            Self::AddressReservation => (OWN, "v1alpha1", "AddressReservation", "addressreservations"),
            Self::BfdProfile => (OURS, "v1beta1", "BFDProfile", "bfdprofiles"),
            Self::BgpAdvertisement => (OURS, "v1beta1", "BGPAdvertisement", "bgpadvertisements"),
            Self::BgpPeer => (OURS, "v1beta2", "BGPPeer", "bgppeers"),
            Self::Community => (OURS, "v1beta1", "Community", "communities"),
            Self::ConfigurationState => (OURS, "v1beta1", "ConfigurationState", "configurationstates"),
            Self::EndpointSlice => ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"),
            Self::IpAddressPool => (OURS, "v1beta1", "IPAddressPool", "ipaddresspools"),
            Self::L2Advertisement => (OURS, "v1beta1", "L2Advertisement", "l2advertisements"),
            Self::Namespace => ("", "v1", "Namespace", "namespaces"),
            Self::Node => ("", "v1", "Node", "nodes"),
            Self::PoolPolicy => (OWN, "v1alpha1", "PoolPolicy", "poolpolicies"),
            Self::Secret => ("", "v1", "Secret", "secrets"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::ServiceBgpStatus => (OURS, "v1beta1", "ServiceBGPStatus", "servicebgpstatuses"),
            Self::ServiceL2Status => (OURS, "v1beta1", "ServiceL2Status", "servicel2statuses"),
        }
    }

    /// The API version of objects of the configuration.
    pub(crate) fn api_version(self) -> &'static str {
        if self == Self::BgpPeer {
            "metallb.io/v1beta2"
        } else if Self::OPTIONAL.contains(&self) {
            "ferrule.io/v1alpha1"
        } else {
            "metallb.io/v1beta1"
        }
    }

    /// What the client needs to know of it.
    pub(crate) fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = self.names();
        ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") },
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        }
    }

    /// Its name as objects carry it.
    pub(crate) const fn as_str(self) -> &'static str {
        self.names().2
    }
}

/// Which objects of a kind are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Watched {
    pub(crate) kind: Kind,
    /// All namespaces where `None`.
    pub(crate) namespace: Option<String>,
    /// A field selector, such as `metadata.name=web`.
    pub(crate) fields: Option<String>,
    /// A label selector.
    pub(crate) labels: Option<String>,
}

impl Watched {
    /// Every object of the kind, in all namespaces.
    pub(crate) const fn everywhere(kind: Kind) -> Self {
        Self { kind, namespace: None, fields: None, labels: None }
    }

    /// Every object of the kind in one namespace.
    pub(crate) fn within(kind: Kind, namespace: &str) -> Self {
        Self { kind, namespace: Some(namespace.to_owned()), fields: None, labels: None }
    }
}

/// Namespace (empty where there is none) and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ObjectName {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// What keeps a watch from working.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// In words.
    pub(crate) text: String,
    /// Whether the API server answered, and said no.
    pub(crate) is_refused: bool,
    /// Whether it said what it says of a kind that is not there, or that this account may not see.
    pub(crate) absence: Option<Absence>,
}

/// Why there is nothing to see of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Absence {
    /// The account may not list it (403). Who starts up says so to everybody for a moment.
    Forbidden,
    /// The cluster does not have it (404).
    Missing,
}

impl Absence {
    const fn of(status: Option<u16>) -> Option<Self> {
        match status {
            Some(403) => Some(Self::Forbidden),
            Some(404) => Some(Self::Missing),
            Some(_) | None => None,
        }
    }
}

/// One thing that a watch saw.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    /// All objects of the kind follow; what does not come before [`Seen::Complete`] is gone.
    Began(Kind),
    /// The object is as given. It has `apiVersion`, `kind` and `metadata`, without `managedFields`.
    Object(Kind, ObjectName, Map<String, Value>),
    /// The object is gone.
    Gone(Kind, ObjectName),
    /// Every object of the kind has come, or the watch works again after trouble.
    Complete(Kind),
    /// The API server cannot be reached or refuses; the watch tries again by itself.
    Trouble(Kind, Trouble),
}

/// Watches; they end when the value is dropped.
#[derive(Debug)]
pub(crate) struct Watches {
    seen: mpsc::Receiver<Seen>,
    _tasks: JoinSet<()>,
}

impl Watches {
    /// Starts a task for each.
    pub(crate) fn start(client: &Client, watched: Vec<Watched>) -> Self {
        let (sender, seen) = mpsc::channel(QUEUE);
        let mut tasks = JoinSet::new();
        for one in watched {
            tasks.spawn(watch(client.clone(), one, sender.clone()));
        }
        Self { seen, _tasks: tasks }
    }

    /// The next thing seen; `None` only where no kind is watched.
    pub(crate) async fn next(&mut self) -> Option<Seen> {
        self.seen.recv().await
    }

    /// What has come already, without waiting.
    pub(crate) fn try_next(&mut self) -> Option<Seen> {
        self.seen.try_recv().ok()
    }
}

async fn watch(client: Client, watched: Watched, sender: mpsc::Sender<Seen>) {
    let kind = watched.kind;
    let resource = kind.resource();
    let api: Api<DynamicObject> = match &watched.namespace {
        None => Api::all_with(client, &resource),
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
    };
    let mut config = watcher::Config::default().page_size(PAGE).timeout(ASK_AGAIN);
    config.field_selector = watched.fields;
    config.label_selector = watched.labels;
    let mut events = pin!(watcher(api, config));
    let mut progress = Progress { backoff: Backoff::of(kind), ..Progress::default() };
    loop {
        // Trouble is over where nothing more is said of it; a list says so itself.
        let event = if progress.is_listed && progress.is_troubled {
            let Ok(event) = timeout(WORKS_AFTER, events.next()).await else {
                progress.is_troubled = false;
                if sender.send(Seen::Complete(kind)).await.is_err() {
                    return;
                }
                continue;
            };
            event
        } else {
            events.next().await
        };
        let Some(event) = event else { return };
        let (seen, delay) = progress.handle(kind, event, &resource);
        for seen in seen {
            if sender.send(seen).await.is_err() {
                return;
            }
        }
        // Even no time at all would take a tick of the clock, for each object.
        if !delay.is_zero() {
            sleep(delay).await;
        }
    }
}

/// How far a watch has come.
#[derive(Debug, Default)]
struct Progress {
    backoff: Backoff,
    /// Whether every object has come since the last list began.
    is_listed: bool,
    is_troubled: bool,
}

impl Progress {
    /// What is to be told of an event, and how long nothing more is asked then.
    fn handle(
        &mut self,
        kind: Kind,
        event: Result<Event<DynamicObject>, watcher::Error>,
        resource: &ApiResource,
    ) -> (Vec<Seen>, Duration) {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                let (failure, absence, text) = failure_of(&error);
                let delay = self.backoff.handle_failure(now(), failure);
                tracing::debug!(kind = kind.as_str(), error = text, "watch");
                if failure == Failure::Expired && delay.is_zero() {
                    // The way it is meant: everything is listed again.
                    return (Vec::new(), delay);
                }
                self.is_troubled = true;
                return (
                    vec![Seen::Trouble(kind, Trouble { text, is_refused: failure == Failure::Refused, absence })],
                    delay,
                );
            }
        };
        let mut seen = Vec::new();
        match event {
            Event::Init => self.is_listed = false,
            Event::InitApply(_) => {}
            Event::InitDone => {
                self.is_listed = true;
                self.is_troubled = false;
                self.backoff.handle_success();
            }
            Event::Apply(_) | Event::Delete(_) => {
                self.backoff.handle_success();
                if std::mem::take(&mut self.is_troubled) {
                    seen.push(Seen::Complete(kind));
                }
            }
        }
        seen.push(seen_of(kind, event, resource));
        (seen, Duration::ZERO)
    }
}

/// What kind of failure it is, whether it means that there is nothing to see, and in words.
fn failure_of(error: &watcher::Error) -> (Failure, Option<Absence>, String) {
    let told = |status: Option<u16>, text: String| {
        let failure = match status {
            Some(410) => Failure::Expired,
            Some(_) => Failure::Refused,
            None => Failure::Unreachable,
        };
        (failure, Absence::of(status), text)
    };
    match error {
        watcher::Error::InitialListFailed(cause) => {
            told(status_of(cause), format!("cannot be listed: {}", text_of(cause)))
        }
        watcher::Error::WatchStartFailed(cause) | watcher::Error::WatchFailed(cause) => {
            told(status_of(cause), format!("cannot be watched: {}", text_of(cause)))
        }
        watcher::Error::WatchError(status) => {
            told(Some(status.code), format!("cannot be watched: {} ({})", status.message, status.code))
        }
        watcher::Error::NoResourceVersion => {
            (Failure::Refused, None, "cannot be watched: objects come without a version".to_owned())
        }
    }
}

fn seen_of(kind: Kind, event: Event<DynamicObject>, resource: &ApiResource) -> Seen {
    match event {
        Event::Init => Seen::Began(kind),
        Event::InitDone => Seen::Complete(kind),
        Event::Delete(object) => Seen::Gone(kind, name_of(&object)),
        Event::Apply(object) | Event::InitApply(object) => {
            let name = name_of(&object);
            Seen::Object(kind, name, map_of(object, resource))
        }
    }
}

fn name_of(object: &DynamicObject) -> ObjectName {
    ObjectName { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
}

/// The object as one map. Items of lists carry no kind of their own.
pub(crate) fn map_of(mut object: DynamicObject, resource: &ApiResource) -> Map<String, Value> {
    object.metadata.managed_fields = None;
    let mut map = Map::new();
    map.insert("apiVersion".to_owned(), Value::String(resource.api_version.clone()));
    map.insert("kind".to_owned(), Value::String(resource.kind.clone()));
    // Metadata are plain data: they always become a value.
    map.insert("metadata".to_owned(), serde_json::to_value(object.metadata).unwrap_or_default());
    if let Value::Object(data) = object.data {
        map.extend(data);
    }
    map
}

#[cfg(test)]
mod tests;
