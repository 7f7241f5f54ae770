//! Sends what the desk lets out. Telling never waits and never fails: an event that cannot be written is lost after a second try.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use announce_arp::io::now;
use kube::api::ApiResource;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::sleep;

use super::{Desk, Next, Post, Reporter, Ticket, Told};
use crate::cluster::clock::WallTime;
use crate::cluster::write::{Answer, Failing, Target, WriteError, Writer};

/// An API server that does not take an event is left alone for so long; then the event is tried once more.
const PAUSE: Duration = Duration::from_secs(1);

struct Shared {
    desk: Mutex<Desk>,
    bell: Notify,
}

/// Takes events. Clones tell by the same road; it ends with the last of them.
#[derive(Clone)]
pub(crate) struct EventSink {
    shared: Arc<Shared>,
    _task: Arc<Task>,
}

struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl fmt::Debug for EventSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSink").finish_non_exhaustive()
    }
}

impl EventSink {
    /// Starts the road.
    pub(crate) fn start(writer: Writer, reporter: Reporter) -> Self {
        let shared = Arc::new(Shared { desk: Mutex::new(Desk::default()), bell: Notify::new() });
        let task: JoinHandle<()> = tokio::spawn(send(Arc::clone(&shared), writer, reporter));
        Self { shared, _task: Arc::new(Task(task.abort_handle())) }
    }

    /// Tells something.
    pub(crate) fn tell(&self, told: Told) {
        self.shared.desk().handle_told(told);
        self.shared.bell.notify_one();
    }
}

impl Shared {
    fn desk(&self) -> std::sync::MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn send(shared: Arc<Shared>, writer: Writer, reporter: Reporter) {
    loop {
        let (next, dropped) = {
            let mut desk = shared.desk();
            (desk.poll_next(now(), WallTime::now()), desk.take_dropped())
        };
        if dropped > 0 {
            tracing::warn!(dropped, "events were given up, because too many waited");
        }
        match next {
            Next::Idle => shared.bell.notified().await,
            Next::Wait(until) => sleep(until.since(now())).await,
            Next::Post(post) => {
                if let Err(error) = carry_out(&shared, &writer, &reporter, post).await {
                    tracing::debug!(%error, "event was lost");
                }
            }
        }
    }
}

async fn carry_out(shared: &Shared, writer: &Writer, reporter: &Reporter, post: Post) -> Result<(), WriteError> {
    let ticket = match post {
        Post::Create(ticket) => ticket,
        Post::Repeat(ticket) => {
            let target = Target { resource: &resource(), namespace: ticket.namespace(), name: &ticket.name };
            let patched = writer.merge::<Answer>(target, &ticket.repetition(WallTime::now())).await;
            match patched.map_err(|error| (error.failing(), error)) {
                Ok(_) => return Ok(()),
                Err((Failing::Missing, _)) => shared.desk().handle_missing(ticket, WallTime::now()),
                Err((_, error)) => return Err(error),
            }
        }
    };
    match create(writer, reporter, &ticket).await {
        Err(error) if matches!(error.failing(), Failing::Server | Failing::Internal) => {
            sleep(PAUSE).await;
            create(writer, reporter, &ticket).await
        }
        done => done,
    }
}

async fn create(writer: &Writer, reporter: &Reporter, ticket: &Ticket) -> Result<(), WriteError> {
    let target = Target { resource: &resource(), namespace: ticket.namespace(), name: &ticket.name };
    writer.create::<Answer>(target, &ticket.body(reporter, WallTime::now())).await.map(drop)
}

fn resource() -> ApiResource {
    ApiResource {
        group: String::new(),
        version: "v1".to_owned(),
        api_version: "v1".to_owned(),
        kind: "Event".to_owned(),
        plural: "events".to_owned(),
    }
}
