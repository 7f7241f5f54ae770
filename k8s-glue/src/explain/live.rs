//! A cluster read once, with the rights of whoever asks. What they may not read is said, and what follows from it.

use std::collections::BTreeSet;
use std::io;

use kube::Client;
use kube::api::{Api, DynamicObject, ListParams};
use serde_json::Value;
use thiserror::Error;

use super::reports::Reports;
use super::scene::{Scene, Source};
use super::subject::Subject;
use crate::args::ExplainArgs;
use crate::cluster::client::{ConnectError, RequestError, connect, within};
use crate::cluster::watch::{Kind, map_of};
use crate::manifest::{Document, Manifests};

/// Objects a page when listing.
const PAGE: u32 = 500;

/// The kinds of the configuration, which are read in the install namespace.
const CONFIGURATION: [Kind; 6] = [
    Kind::IpAddressPool,
    Kind::L2Advertisement,
    Kind::BgpAdvertisement,
    Kind::BgpPeer,
    Kind::BfdProfile,
    Kind::Community,
];
/// In which speakers say what they announce.
const REPORTS: [Kind; 2] = [Kind::ServiceL2Status, Kind::ServiceBgpStatus];
/// What is read in the whole cluster beside Services, and what follows where it may not be read.
const EVERYWHERE: [(Kind, &str); 3] = [
    (Kind::EndpointSlice, "Services count as having no endpoint"),
    (Kind::Namespace, "namespace selectors of pools match nothing"),
    (Kind::Node, "who announces is not told"),
];

/// What kept a cluster from being read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LiveError {
    /// There is no way to an API server.
    #[error("the cluster cannot be read (to explain files, name them with -f)")]
    Connect(#[source] ConnectError),
    /// A request failed; without an answer to it nothing can be said.
    #[error("{what} cannot be read: {error}")]
    Read {
        /// What was asked for.
        what: String,
        /// Why.
        error: RequestError,
    },
    /// The runtime could not be started.
    #[error("the client cannot be started")]
    Runtime(#[from] io::Error),
}

/// Reads the cluster.
pub(super) fn read(arguments: &ExplainArgs, subject: &Subject) -> Result<Scene, LiveError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let reader = runtime.block_on(async {
        let client = connect(arguments.kubeconfig.as_deref()).await.map_err(LiveError::Connect)?;
        let mut reader = Reader { client, documents: Vec::new(), listed: BTreeSet::new(), remarks: Vec::new() };
        reader.read(arguments, subject).await?;
        Ok::<_, LiveError>(reader)
    })?;
    let Reader { documents, listed, remarks, .. } = reader;
    let manifests = Manifests { documents, ..Manifests::default() };
    let mut scene = Scene::of(Source::Cluster, manifests, arguments);
    scene.reports = Reports::of(&scene.documents, &scene.install_namespace, |kind| listed.contains(&kind));
    scene.remarks.extend(remarks);
    Ok(scene)
}

struct Reader {
    client: Client,
    documents: Vec<Document>,
    /// The kinds that could be read.
    listed: BTreeSet<Kind>,
    remarks: Vec<String>,
}

impl Reader {
    async fn read(&mut self, arguments: &ExplainArgs, subject: &Subject) -> Result<(), LiveError> {
        let install_namespace = &arguments.namespace;
        for kind in CONFIGURATION {
            match self.list(kind, Some(install_namespace)).await {
                Ok(()) => {}
                Err(error) if is_refused(&error) && kind != Kind::IpAddressPool => {
                    let kind = kind.as_str();
                    self.remarks.push(format!("{kind} objects count as absent, because they may not be read: {error}"));
                }
                Err(error) => {
                    let what = format!("{} objects of namespace {install_namespace}", kind.as_str());
                    return Err(LiveError::Read { what, error });
                }
            }
        }
        self.read_reports(install_namespace).await?;
        for kind in Kind::OPTIONAL {
            match self.list(kind, Some(install_namespace)).await {
                Ok(()) => {}
                // A cluster need not have them.
                Err(error) if error.status() == Some(404) => {}
                Err(error) if is_refused(&error) => {
                    let kind = kind.as_str();
                    self.remarks.push(format!("{kind} objects count as absent, because they may not be read: {error}"));
                }
                Err(error) => {
                    let what = format!("{} objects of namespace {install_namespace}", kind.as_str());
                    return Err(LiveError::Read { what, error });
                }
            }
        }
        self.read_secrets(install_namespace).await?;
        self.read_services(subject).await?;
        for (kind, without) in EVERYWHERE {
            match self.list(kind, None).await {
                Ok(()) => {}
                Err(error) if is_refused(&error) => {
                    self.remarks.push(format!("{} objects may not be read, so {without}: {error}", kind.as_str()));
                }
                Err(error) => return Err(LiveError::Read { what: format!("{} objects", kind.as_str()), error }),
            }
        }
        Ok(())
    }

    /// What speakers say that they announce. It decides nothing, so that a cluster without these kinds can be explained.
    async fn read_reports(&mut self, install_namespace: &str) -> Result<(), LiveError> {
        for kind in REPORTS {
            match self.list(kind, Some(install_namespace)).await {
                Ok(()) => {}
                Err(error) if is_refused(&error) || error.status() == Some(404) => {
                    let (kind, report) = (kind.as_str(), if kind == Kind::ServiceL2Status { "layer 2" } else { "BGP" });
                    let text =
                        format!("what speakers report of {report} is not told, because {kind} objects cannot be read");
                    self.remarks.push(format!("{text}: {error}"));
                }
                Err(error) => {
                    let what = format!("{} objects of namespace {install_namespace}", kind.as_str());
                    return Err(LiveError::Read { what, error });
                }
            }
        }
        Ok(())
    }

    /// Passwords of peers have nothing to do with addresses. Whether the Secrets are there is looked at where that is allowed; else
    /// the peers count as without password.
    async fn read_secrets(&mut self, install_namespace: &str) -> Result<(), LiveError> {
        let named: Vec<String> = self.documents.iter().filter_map(secret_of).collect();
        if named.is_empty() {
            return Ok(());
        }
        match self.list(Kind::Secret, Some(install_namespace)).await {
            Ok(()) => Ok(()),
            Err(error) if is_refused(&error) => {
                let text = "the Secrets of peers may not be read and count as there and right";
                self.remarks.push(format!("{text}: {error}"));
                self.documents.iter_mut().for_each(forget_secret);
                Ok(())
            }
            Err(error) => {
                let what = format!("Secret objects of namespace {install_namespace}");
                Err(LiveError::Read { what, error })
            }
        }
    }

    /// All Services, or those of the one namespace where not all may be read.
    async fn read_services(&mut self, subject: &Subject) -> Result<(), LiveError> {
        let error = match self.list(Kind::Service, None).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        match subject {
            Subject::Service(key) if is_refused(&error) => {
                let namespace = key.namespace();
                self.list(Kind::Service, Some(namespace)).await.map_err(|error| LiveError::Read {
                    what: format!("Service objects of namespace {namespace}"),
                    error,
                })?;
                self.remarks.push(format!(
                    "Services of other namespaces than {namespace} may not be read, so their addresses count as free: {error}"
                ));
                Ok(())
            }
            Subject::Service(_) | Subject::Address(_) => {
                Err(LiveError::Read { what: "Service objects of all namespaces".to_owned(), error })
            }
        }
    }

    async fn list(&mut self, kind: Kind, namespace: Option<&str>) -> Result<(), RequestError> {
        let resource = kind.resource();
        let api: Api<DynamicObject> = match namespace {
            None => Api::all_with(self.client.clone(), &resource),
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
        };
        let mut parameters = ListParams::default().limit(PAGE);
        loop {
            let page = within(api.list(&parameters)).await?;
            self.documents.extend(page.items.into_iter().map(|object| Document::of_server(map_of(object, &resource))));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters = parameters.continue_token(&token),
                None => break,
            }
        }
        self.listed.insert(kind);
        Ok(())
    }
}

fn is_refused(error: &RequestError) -> bool {
    matches!(error.status(), Some(401 | 403))
}

/// The Secret that a peer names.
fn secret_of(document: &Document) -> Option<String> {
    let is_peer = document.value.get("kind").and_then(Value::as_str) == Some(Kind::BgpPeer.as_str());
    let name = document.value.get("spec")?.get("passwordSecret")?.get("name")?.as_str()?;
    (is_peer && !name.is_empty()).then(|| name.to_owned())
}

fn forget_secret(document: &mut Document) {
    if secret_of(document).is_some()
        && let Some(spec) = document.value.get_mut("spec").and_then(Value::as_object_mut)
    {
        spec.remove("passwordSecret");
    }
}
