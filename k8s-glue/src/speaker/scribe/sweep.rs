//! Takes away what other nodes say of Services that this node has come to announce ([STAT-4]): a list, and a deletion for each object
//! found.
//!
//! It is a task of its own: of a cluster with very many objects the list is long, and an API server that does not give it shall not keep
//! this node's own statuses waiting.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use lbcore::service::ServiceKey;
use tokio::time::sleep;

use super::Shared;
use crate::cluster::client::within;
use crate::cluster::watch::map_of;
use crate::cluster::write::{Failing, Target, WriteError, Writer};
use crate::speaker::report::{is_of_another, selector_of, subject_of};

/// Above so many Services, all objects are listed once instead of those of each.
const LISTED_ALONE: usize = 16;
/// Objects in one answer: so many come within the time of a request however many there are.
const PAGE: u32 = 500;
/// Time before the first new try after a failure, doubling up to [`RETRY_MAX`]: each lists everything again.
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Sweeps until dropped.
pub(super) struct Sweep {
    pub(super) shared: Arc<Shared>,
    pub(super) resource: ApiResource,
    pub(super) client: Client,
    pub(super) writer: Writer,
}

impl Sweep {
    pub(super) async fn run(self) {
        let mut delay = RETRY_MIN;
        loop {
            let won = std::mem::take(&mut *self.shared.won());
            if won.is_empty() {
                self.shared.sweep_bell.notified().await;
                continue;
            }
            match self.sweep(&won).await {
                Ok(()) => delay = RETRY_MIN,
                Err(error) => {
                    tracing::debug!(%error, "statuses of other nodes are not taken away yet");
                    self.shared.won().extend(won);
                    sleep(delay).await;
                    delay = (delay * 2).min(RETRY_MAX);
                }
            }
        }
    }

    async fn sweep(&self, won: &BTreeSet<ServiceKey>) -> Result<(), WriteError> {
        let (namespace, node) = {
            let reports = self.shared.reports();
            (reports.author().namespace.clone(), reports.author().node.clone())
        };
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &namespace, &self.resource);
        for label_selector in selectors(won) {
            let mut params = ListParams { label_selector, limit: Some(PAGE), ..ListParams::default() };
            loop {
                let page = within(api.list(&params)).await?;
                params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
                for object in page.items {
                    let name = object.metadata.name.clone().unwrap_or_default();
                    let object = map_of(object, &self.resource);
                    // It may have been lost again meanwhile.
                    let is_won = |service: &ServiceKey| won.contains(service) && self.shared.reports().wants(service);
                    if is_of_another(&object, &node) && subject_of(&object).is_some_and(|service| is_won(&service)) {
                        self.delete(&namespace, &name).await?;
                    }
                }
                if params.continue_token.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn delete(&self, namespace: &str, name: &str) -> Result<(), WriteError> {
        match self.writer.delete(Target { resource: &self.resource, namespace, name }).await {
            Err(error) if error.failing() != Failing::Missing => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// What is listed: the objects of each Service, or of many Services all there are.
fn selectors(won: &BTreeSet<ServiceKey>) -> Vec<Option<String>> {
    if won.len() > LISTED_ALONE { vec![None] } else { won.iter().map(|service| Some(selector_of(service))).collect() }
}
