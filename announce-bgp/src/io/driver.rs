//! The task of one peer: carries out what its session wants, and tells it what happened.
//!
//! What has come is read before deadlines are looked at, so that a task that was late does not take its own delay for the peer's silence.
//! No decision about the protocol is made here.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnetwork::IpNetwork;
use lbcore::announce::{AnnouncementKey, ReachKind};
use lbcore::time::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::task::yield_now;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::connection::{Connection, Happened};
use super::socket::{DialPlan, now};
use super::status::StatusBoard;
use crate::rib_out::Touched;
use crate::session::{Ending, Event, Input, Output, Session, StopReason};

/// A session with what its task and its announcer share.
#[derive(Debug)]
pub(super) struct PeerTask {
    pub(super) name: Arc<str>,
    session: Mutex<Session>,
    wake: Notify,
    /// Until when a session that stops may say so.
    stop_by: Mutex<Option<Timestamp>>,
}

impl PeerTask {
    pub(super) const fn new(name: Arc<str>, session: Session) -> Self {
        Self { name, session: Mutex::new(session), wake: Notify::const_new(), stop_by: Mutex::new(None) }
    }

    /// The session. Nothing is awaited while it is held.
    pub(super) fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the session something, and its task that there may be something to do.
    pub(super) fn tell(&self, input: Input<'_>) {
        self.session().handle_input(now(), input);
        self.wake.notify_one();
    }

    /// Ends the session within a time.
    pub(super) fn stop(&self, reason: StopReason, within: Duration) {
        *self.stop_by.lock().unwrap_or_else(PoisonError::into_inner) = Some(now() + within);
        self.tell(Input::Stop(reason));
    }

    fn stop_by(&self) -> Option<Timestamp> {
        *self.stop_by.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the tasks of an announcer tell it.
#[derive(Debug)]
pub(super) struct Observed {
    pub(super) board: StatusBoard,
    /// Counts changes of any session's state.
    pub(super) sessions: watch::Sender<u64>,
    /// Counts changes of the addresses of this host: what the announcer tells its tasks.
    pub(super) addresses: watch::Sender<u64>,
}

/// Different failures between two sessions that are logged loudly: a router can alternate between a few.
const SAID_AT_MOST: usize = 8;

/// Whether the task goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    On,
    Ended,
}

#[derive(Debug)]
pub(super) struct Driver {
    peer: Arc<PeerTask>,
    observed: Arc<Observed>,
    connection: Connection,
    plan: DialPlan,
    addresses: watch::Receiver<u64>,
    /// The failures since the last session that were logged loudly.
    said: BTreeSet<String>,
}

impl Driver {
    pub(super) fn new(peer: Arc<PeerTask>, observed: Arc<Observed>, plan: DialPlan) -> Self {
        let addresses = observed.addresses.subscribe();
        Self { peer, observed, connection: Connection::new(), plan, addresses, said: BTreeSet::new() }
    }

    /// Runs until the session has been stopped.
    pub(super) async fn run(mut self) {
        self.peer.tell(Input::Start);
        while self.carry_out() == Course::On {
            let sleep_for = self.sleep();
            if self.has_run_out() {
                warn!(peer = %self.peer.name, "session was cut off: the peer did not take what was to be said last");
                break;
            }
            tokio::select! {
                happened = self.connection.happens() => match happened {
                    Happened::Connected(local) => self.input(Input::Connected(local)),
                    Happened::Lost(words) => self.input(Input::Lost(words)),
                    Happened::Ready => {}
                },
                () = self.peer.wake.notified() => {}
                // The sender lives as long as `observed`.
                Ok(()) = self.addresses.changed() => {
                    if let Some(local) = self.connection.local_end() {
                        self.input(Input::Readdressed(local));
                    }
                }
                () = sleep(sleep_for) => {}
            }
            let has_read = self.read();
            self.peer.session().handle_timeout(now());
            if has_read {
                // A peer that never stops sending is always ready: without this the runtime would come to no other task, timer or socket.
                yield_now().await;
            }
        }
        self.connection.closed().await;
    }

    fn input(&self, input: Input<'_>) {
        self.peer.session().handle_input(now(), input);
    }

    /// Hands on what has come; says whether anything had.
    fn read(&mut self) -> bool {
        let input = match self.connection.read() {
            None => return false,
            Some(Ok(octets)) => Input::Received(octets),
            Some(Err(words)) => Input::Lost(words),
        };
        self.peer.session().handle_input(now(), input);
        true
    }

    /// Until the next deadline.
    fn sleep(&self) -> Duration {
        // Whatever has no deadline comes about by an event.
        const LONGEST: Duration = Duration::from_secs(3_600);
        let next = self.peer.session().poll_timeout().map(|(at, _)| at);
        let now = now();
        next.into_iter().chain(self.peer.stop_by()).map(|at| at.since(now)).min().unwrap_or(LONGEST)
    }

    fn has_run_out(&self) -> bool {
        self.peer.stop_by().is_some_and(|by| by <= now())
    }

    /// Does everything that the session wants now.
    fn carry_out(&mut self) -> Course {
        let mut course = Course::On;
        loop {
            let output = self.peer.session().poll_output();
            match output {
                Some(Output::Dial) => self.connection.dial(&self.plan),
                Some(Output::Transmit(octets)) => self.connection.queue(octets),
                Some(Output::Disconnect) => self.connection.close(),
                Some(Output::Event(Event::Stopped)) => course = Course::Ended,
                Some(Output::Event(event)) => self.observe(event),
                None => match self.connection.write() {
                    Ok(true) => self.input(Input::Written),
                    Ok(false) => return course,
                    Err(error) => {
                        // The session forgets the connection, and with it what was to be written.
                        self.input(Input::Lost(format!("connection failed: {error}").into()));
                    }
                },
            }
        }
    }

    fn observe(&mut self, event: Event) {
        let peer = &self.peer.name;
        match event {
            Event::Up(negotiated) => {
                let (asn, hold) = (negotiated.remote_as, negotiated.hold);
                self.said.clear();
                info!(%peer, asn, ?hold, families = ?negotiated.families, "session up");
            }
            Event::Readdressed(negotiated) => {
                let (ipv4, ipv6) = (negotiated.encoding.v4, negotiated.encoding.v6);
                info!(%peer, ?ipv4, ?ipv6, "next hops changed with the addresses of this host");
            }
            Event::NoNextHop(family) => {
                warn!(%peer, %family, "no address may be the next hop of this family: its routes wait until there is one");
            }
            Event::Down(Ending::Stopped) | Event::Failed(Ending::Stopped) => info!(%peer, "session is over"),
            Event::Down(ending) => warn!(%peer, reason = %ending, "session down"),
            Event::Failed(ending) => {
                let words = ending.to_string();
                if self.said.len() < SAID_AT_MOST && !self.said.contains(&words) {
                    warn!(%peer, reason = %words, "session could not be established; it is tried again");
                    self.said.insert(words);
                } else {
                    debug!(%peer, reason = %words, "session could not be established");
                }
            }
            Event::State(_) => self.observed.sessions.send_modify(|changes| *changes += 1),
            Event::Routes(Touched::Some(prefixes)) => self.observed.board.touch(prefixes.into_iter().map(routed)),
            Event::Routes(Touched::All) => self.observed.board.touch_all(),
            Event::TreatedAsWithdraw(what) => debug!(%peer, what, "malformed UPDATE was taken as a withdrawal"),
            Event::Stopped => {}
        }
    }
}

/// The identity of a routed prefix.
const fn routed(prefix: IpNetwork) -> AnnouncementKey {
    AnnouncementKey { prefix, kind: ReachKind::Routed }
}
