//! Keeps the ConfigurationState of this node ([STAT-40] to [STAT-44]): written when the verdict changes, and put right when somebody else
//! changes it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{sleep, timeout};

use crate::cluster::configuration_state::{Brought, Need, Speaking, Verdict, bring};
use crate::cluster::watch::ObjectName;
use crate::cluster::write::Writer;

/// Time before the first new try after a failure, doubling up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// The longest time between two writes that change nothing, as where a webhook takes away what they bring: a thousand nodes make them.
const IN_VAIN_MAX: Duration = Duration::from_secs(60);
/// What was written is seen by the watch within this time; else the next step is tried without.
const SEEN_WITHIN: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
struct State {
    verdict: Option<Verdict>,
    remark: String,
    observed: Option<Map<String, Value>>,
    is_listed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    bell: Notify,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when the object is another than this one.
    async fn seen_other(&self, before: Option<&Map<String, Value>>) {
        while self.state().observed.as_ref() == before {
            self.bell.notified().await;
        }
    }
}

/// Keeps the object.
#[derive(Debug)]
pub(crate) struct VerdictKeeper {
    name: String,
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl Drop for VerdictKeeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl VerdictKeeper {
    /// Starts the task; it writes once there is a verdict and the object was looked for.
    pub(crate) fn start(speaking: Speaking, writer: Writer) -> Self {
        let name = speaking.component.object_name();
        let shared = Arc::new(Shared::default());
        let task: JoinHandle<()> = tokio::spawn(keep(Arc::clone(&shared), speaking, writer));
        Self { name, shared, task: task.abort_handle() }
    }

    /// What is true from now on, and what is not honoured in full.
    pub(crate) fn say(&self, verdict: Verdict, remark: String) {
        let mut state = self.shared.state();
        state.verdict = Some(verdict);
        state.remark = remark;
        drop(state);
        self.shared.bell.notify_one();
    }

    /// An object is as given, or gone; others than this node's are passed over.
    pub(crate) fn see(&self, name: &ObjectName, object: Option<&Map<String, Value>>) {
        if name.name == self.name {
            self.shared.state().observed = object.cloned();
            self.shared.bell.notify_one();
        }
    }

    /// Every object was seen.
    pub(crate) fn see_all(&self) {
        self.shared.state().is_listed = true;
        self.shared.bell.notify_one();
    }
}

async fn keep(shared: Arc<Shared>, mut speaking: Speaking, writer: Writer) {
    let mut delay = RETRY_MIN;
    loop {
        let (observed, verdict) = {
            let state = shared.state();
            speaking.remark.clone_from(&state.remark);
            (state.observed.clone(), state.verdict.clone().filter(|_| state.is_listed))
        };
        let Some(verdict) = verdict else {
            shared.bell.notified().await;
            continue;
        };
        if speaking.need(observed.as_ref(), &verdict) == Need::Nothing {
            shared.bell.notified().await;
            continue;
        }
        match bring(&writer, &speaking, observed.as_ref(), &verdict).await {
            Ok(Brought::Unchanged) => {
                let _ = timeout(delay, shared.bell.notified()).await;
                delay = (delay * 2).min(IN_VAIN_MAX);
            }
            Ok(Brought::Changed) => {
                delay = RETRY_MIN;
                // Without a sign of the watch the next look is at the same, and the write is one that changes nothing.
                let _ = timeout(SEEN_WITHIN, shared.seen_other(observed.as_ref())).await;
            }
            Err(error) => {
                tracing::debug!(%error, "configuration state is not written yet");
                sleep(delay).await;
                delay = (delay * 2).min(RETRY_MAX);
            }
        }
    }
}
