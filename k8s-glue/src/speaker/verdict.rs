//! Keeps the ConfigurationState of this node ([STAT-40] to [STAT-44]): written when the verdict changes, and put right when somebody else
//! changes it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{sleep, timeout};

use crate::cluster::configuration_state::{Need, Speaking, Verdict, bring};
use crate::cluster::watch::{Kind, ObjectName};
use crate::cluster::write::{Failing, Taken, Writer};

/// Time before the first new try after a failure, doubling up to [`RETRY_MAX`] while the API server is in trouble.
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// The longest time between two writes that are refused, or that change nothing, as where a webhook takes away what they bring: a thousand
/// nodes make them.
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

/// The longest time between two tries: who says no is asked seldom, and one who cannot be reached is found soon after he is back.
const fn most_after(failing: Failing) -> Duration {
    match failing {
        Failing::Missing | Failing::Refused => IN_VAIN_MAX,
        Failing::Authority | Failing::Conflict | Failing::Internal | Failing::Server => RETRY_MAX,
    }
}

async fn keep(shared: Arc<Shared>, mut speaking: Speaking, writer: Writer) {
    let mut delay = RETRY_MIN;
    // What was told of why it fails, once while that lasts.
    let mut told = None;
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
            Ok(Taken::Unchanged) => {
                let _ = timeout(delay, shared.bell.notified()).await;
                delay = (delay * 2).min(IN_VAIN_MAX);
            }
            Ok(Taken::Changed) => {
                (delay, told) = (RETRY_MIN, None);
                // Without a sign of the watch the next look is at the same, and the write is one that changes nothing.
                let _ = timeout(SEEN_WITHIN, shared.seen_other(observed.as_ref())).await;
            }
            Err(error) => {
                let failing = error.failing();
                // The first refusal may pass by itself, as while an API server starts.
                let lasts = delay > RETRY_MIN && most_after(failing) == IN_VAIN_MAX;
                if lasts && told.replace(failing) != Some(failing) {
                    let (kind, name) = (Kind::ConfigurationState.as_str(), speaking.component.object_name());
                    tracing::warn!(kind, name, %error, "status cannot be written; it is tried again, up to a minute apart");
                } else {
                    tracing::debug!(%error, "configuration state is not written yet");
                }
                sleep(delay).await;
                delay = (delay * 2).min(most_after(failing));
            }
        }
    }
}
