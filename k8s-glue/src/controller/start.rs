//! What a controller does once, before it takes part in the election: its own Pod, and the key that speakers share.
//!
//! An API server that cannot be reached is waited for, and for a while one that refuses: it does so while it starts. What it refuses for
//! good ends the start.

use std::fs::File;
use std::io::{self, Read as _};
use std::time::Duration;

use announce_arp::io::now;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::Client;
use kube::api::Api;
use serde_json::json;
use tokio::time::sleep;

use super::ControllerError;
use crate::cluster::client::{Patience, RequestError, within};
use crate::cluster::configuration_state::OwnPod;
use crate::cluster::watch::Kind;
use crate::cluster::write::{Answer, Failing, Target, WriteError, Writer};

/// Octets of the key ([MLSEC-1]).
const KEY_OCTETS: usize = 16;
/// The entry of the Secret that holds the key.
const KEY_NAME: &str = "secretkey";
/// Time between two tries to reach the API server.
const RETRY: Duration = Duration::from_secs(1);

/// Repeats a request until the API server says yes or no.
async fn answered<T, F>(what: &str, mut request: impl FnMut() -> F) -> Result<T, RequestError>
where
    F: Future<Output = Result<T, RequestError>>,
{
    let (mut was_told, mut patience) = (false, Patience::default());
    loop {
        match request().await {
            Err(error) if patience.is_worth_a_try(&error, now()) => {
                if !was_told {
                    tracing::warn!(what, %error, "API server does not give it yet");
                    was_told = true;
                }
                sleep(RETRY).await;
            }
            answer => return answer,
        }
    }
}

/// The Pod that this process runs in.
///
/// # Errors
/// [`ControllerError::OwnPod`].
pub(super) async fn own_pod(client: &Client, namespace: &str, name: &str) -> Result<OwnPod, ControllerError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pod = answered("own Pod", || within(pods.get_metadata(name)))
        .await
        .map_err(|source| ControllerError::OwnPod { namespace: namespace.to_owned(), name: name.to_owned(), source })?;
    Ok(OwnPod { name: name.to_owned(), uid: pod.metadata.uid.unwrap_or_default() })
}

/// Sees to it that there is a Secret with the key of the speakers; one that is there stays as it is ([MLSEC-1]).
///
/// # Errors
/// [`ControllerError::MemberSecret`], [`ControllerError::Deployment`].
pub(super) async fn member_secret(
    client: &Client,
    namespace: &str,
    name: &str,
    deployment: Option<&str>,
) -> Result<(), ControllerError> {
    let failed = |source: WriteError| ControllerError::MemberSecret { name: name.to_owned(), source };
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let present = answered("Secret of the speakers", || within(secrets.get_metadata_opt(name))).await;
    if present.map_err(|error| failed(error.into()))?.is_some() {
        return Ok(());
    }
    let mut metadata = json!({"name": name, "namespace": namespace});
    if let (Some(deployment), Some(metadata)) = (deployment, metadata.as_object_mut()) {
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
        let read = answered("own Deployment", || within(deployments.get_metadata(deployment))).await;
        let owner = read.map_err(|source| ControllerError::Deployment { name: deployment.to_owned(), source })?;
        let reference =
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment, "uid": owner.metadata.uid});
        metadata.insert("ownerReferences".to_owned(), json!([reference]));
    }
    let key = draw_key().map_err(|source| ControllerError::System { action: "draw random numbers", source })?;
    let body = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": {KEY_NAME: STANDARD.encode(key)}});
    let (writer, resource) = (Writer::without_lease(client.clone()), Kind::Secret.resource());
    let target = Target { resource: &resource, namespace, name };
    let mut patience = Patience::default();
    loop {
        let Err(error) = writer.create::<Answer>(target, &body).await else {
            tracing::info!(secret = name, "made the key of the speakers");
            return Ok(());
        };
        // Another controller was faster, or an earlier try of ours was carried out.
        if error.failing() == Failing::Conflict {
            return Ok(());
        }
        match &error {
            WriteError::Request(request) if patience.is_worth_a_try(request, now()) => sleep(RETRY).await,
            WriteError::Request(_) | WriteError::NotLeading => return Err(failed(error)),
        }
    }
}

/// Random octets as text, 22 characters.
fn draw_key() -> io::Result<String> {
    let mut octets = [0; KEY_OCTETS];
    File::open("/dev/urandom")?.read_exact(&mut octets)?;
    Ok(STANDARD_NO_PAD.encode(octets))
}

/// What tells this process from others outside of a Pod: host and process.
pub(super) fn process_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}-{}", host.trim(), std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    // [MLSEC-1]
    #[test]
    fn a_key_is_22_characters_and_another_each_time() {
        let (first, second) = (draw_key().unwrap(), draw_key().unwrap());
        assert_eq!(first.len(), 22);
        assert_ne!(first, second);
    }
}
