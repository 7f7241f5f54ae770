//! What this node asks the API server for: the kinds that it watches, and its own Pod.

use std::time::Duration;

use announce_arp::io::now;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::report::NODE_LABEL;
use super::scene::{NEEDED, OPTIONAL};
use super::start::Start;
use crate::cluster::client::{Patience, RequestError, within};
use crate::cluster::configuration_state::{OwnPod, label_value};
use crate::cluster::watch::{Kind, Watched};

/// The own Pod is asked for again after this time.
const POD_RETRY: Duration = Duration::from_secs(1);

/// What this node needs to see, no more: reports of other nodes are not watched.
pub(super) fn watched(start: &Start) -> Vec<Watched> {
    let namespace = start.judging.settings.install_namespace.as_ref();
    let node = start.judging.node.as_str();
    let mut watched: Vec<Watched> = NEEDED
        .iter()
        .chain(&OPTIONAL)
        .map(|kind| match kind {
            Kind::EndpointSlice | Kind::Namespace | Kind::Node | Kind::Service => Watched::everywhere(*kind),
            Kind::AddressReservation
            | Kind::BfdProfile
            | Kind::BgpAdvertisement
            | Kind::BgpPeer
            | Kind::Community
            | Kind::ConfigurationState
            | Kind::IpAddressPool
            | Kind::L2Advertisement
            | Kind::PoolPolicy
            | Kind::Secret
            | Kind::ServiceBgpStatus
            | Kind::ServiceL2Status => Watched::within(*kind, namespace),
        })
        .collect();
    for kind in [Kind::ServiceL2Status, Kind::ServiceBgpStatus] {
        let labels = Some(format!("{NODE_LABEL}={}", label_value(node)));
        watched.push(Watched { labels, ..Watched::within(kind, namespace) });
    }
    let fields = Some(format!("metadata.name=speaker-{node}"));
    watched.push(Watched { fields, ..Watched::within(Kind::ConfigurationState, namespace) });
    watched
}

/// Asks for the own Pod until there is an answer ([CLI-3]).
pub(super) fn fetch_pod(client: &Client, start: &Start) -> oneshot::Receiver<Result<OwnPod, RequestError>> {
    let (sender, receiver) = oneshot::channel();
    let resource = ApiResource {
        group: String::new(),
        version: "v1".to_owned(),
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        plural: "pods".to_owned(),
    };
    let namespace = &start.judging.settings.install_namespace;
    let pods: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let name = start.pod.clone();
    tokio::spawn(async move {
        let mut patience = Patience::default();
        loop {
            let answer = match within(pods.get(&name)).await {
                Ok(pod) => Ok(OwnPod { name, uid: pod.metadata.uid.unwrap_or_default() }),
                Err(error) if patience.is_worth_a_try(&error, now()) => {
                    tracing::debug!(%error, "own Pod is not known yet");
                    sleep(POD_RETRY).await;
                    continue;
                }
                Err(error) => Err(error),
            };
            // Nobody waits any more where the process is about to end.
            let _ = sender.send(answer);
            return;
        }
    });
    receiver
}
