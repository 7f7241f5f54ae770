//! What the log says of the end of a write.

use lbcore::service::PoolName;

use crate::cluster::watch::Kind;
use crate::cluster::write::{Failing, Taken, WriteError};
use crate::controller::planner::StatusWrite;
use crate::controller::status_pace::News;

pub(super) fn status(kind: Kind, name: &str, outcome: &Result<(), WriteError>, news: News) {
    let (Err(error), kind) = (outcome, kind.as_str()) else { return };
    match news {
        News::Told => {
            tracing::warn!(kind, name, %error, "status cannot be written; it is tried again, up to a minute apart");
        }
        News::Nothing => tracing::debug!(kind, name, %error, "status was not written and is tried again"),
    }
}

/// Whether the API server gave a write up for a webhook that does not answer.
fn is_by_webhook(error: &WriteError) -> bool {
    error.to_string().contains("failed calling webhook")
}

pub(super) fn written(write: &StatusWrite, outcome: Result<&Taken, &WriteError>) {
    let service = &write.key;
    match outcome {
        Ok(Taken::Unchanged) => tracing::debug!(%service, "status was so already"),
        Ok(Taken::Changed) => {
            let (addresses, pool) = (write.desired.addresses(), write.desired.pool().map(PoolName::as_str));
            tracing::info!(%service, ?addresses, pool, "status was written");
        }
        Err(error) if matches!(error.failing(), Failing::Conflict | Failing::Authority) => {
            tracing::debug!(%service, %error, "status was not written");
        }
        Err(error) if is_by_webhook(error) => {
            let mend =
                "mend that webhook, or delete its ValidatingWebhookConfiguration or MutatingWebhookConfiguration";
            tracing::warn!(%service, %error, mend, "status was not written and is tried again");
        }
        Err(error) => tracing::warn!(%service, %error, "status was not written and is tried again"),
    }
}
