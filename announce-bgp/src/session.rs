//! The machine of one peer: the table of [`fsm`] with negotiated values, timers, routes and outputs.
//!
//! It reads no clock and opens no connection. The shell carries out what [`Session::poll_output`] gives, tells what happened through
//! [`Session::handle_input`], and comes back at [`Session::poll_timeout`]. UPDATEs are made only when everything before them has been
//! handed to the network ([`Input::Written`]), so that a peer that reads slowly costs one batch of memory, and KEEPALIVEs never wait
//! behind more than that.

mod counts;
mod ending;
mod local_end;
mod negotiation;
mod received;
mod steps;

use core::time::Duration;
use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnetwork::IpNetwork;
use lbcore::announce::RouteAttributes;
use lbcore::family::IpFamily;
use lbcore::peer::{Peer, PeerEndpoint, PeerTimers};
use lbcore::rng::Rng;
use lbcore::service::NodeName;
use lbcore::time::Timestamp;

pub use self::counts::{MessageCounts, SessionCounts};
pub use self::ending::{Ending, StopReason};
pub use self::local_end::{Ends, LinkAddress, LocalEnd, Nearness, Standing, Way};
pub use self::negotiation::Negotiated;
use self::negotiation::{Offer, our_open};
use crate::config::{EngineDefaults, NotStarted, not_started, router_id_of_name};
use crate::fsm::{self, State};
use crate::rib_out::{RibOut, Touched};
use crate::timers::{Backoff, LONGEST_WAIT, Timer, TimerTable};
use crate::wire::MessageKind;
use crate::wire::error::DecodeError;
use crate::wire::notification::Notification;
use crate::wire::open::Open;

/// How long dialling (without `connectTime`), and then the wait for the peer's OPEN, may take ([BGP-1]).
const ATTEMPT: Duration = Duration::from_secs(10);
/// How long a session must last so that the next attempt after it comes at once ([BGP-5]).
const STABLE: Duration = Duration::from_secs(10);
/// How long a peer may take nothing, at least; twice the hold time where that is longer (RFC 9687 section 3).
const SEND_HOLD: Duration = Duration::from_secs(480);

/// What a session is made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    peer: Arc<Peer>,
    address: IpAddr,
    router_id_of_node: Ipv4Addr,
    defaults: EngineDefaults,
}

impl SessionConfig {
    /// For a peer of this node.
    ///
    /// # Errors
    /// [`NotStarted`] where the peer needs what this build does not do.
    pub fn new(peer: Arc<Peer>, node: &NodeName, defaults: EngineDefaults) -> Result<Self, NotStarted> {
        if let Some(reason) = not_started(&peer) {
            return Err(reason);
        }
        let PeerEndpoint::Address(address) = peer.endpoint else { return Err(NotStarted::Interface) };
        Ok(Self { peer, address, router_id_of_node: router_id_of_name(node), defaults })
    }

    /// The peer.
    pub const fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// Its address.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// TTL of the connection; `None` leaves it to the system.
    pub fn ttl(&self) -> Option<u8> {
        self.defaults.ttl(&self.peer)
    }

    fn timers(&self) -> PeerTimers {
        self.peer.timers.unwrap_or_else(|| self.defaults.timers())
    }
}

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The session shall be tried from now on.
    Start,
    /// It shall end: routes are withdrawn first, then the peer is told why.
    Stop(StopReason),
    /// What was dialled has answered.
    Connected(LocalEnd),
    /// Dialling failed, or the connection is gone; in words.
    Lost(Arc<str>),
    /// Octets came from the peer.
    Received(&'a [u8]),
    /// Everything that was to be transmitted has been handed to the network.
    Written,
    /// What shall be announced of some prefixes; `None` withdraws.
    Change(&'a [(IpNetwork, Option<Arc<RouteAttributes>>)]),
    /// All that shall be announced.
    Replace(Vec<(IpNetwork, Arc<RouteAttributes>)>),
    /// Addresses of this host have changed: this is our end of the connection now.
    Readdressed(LocalEnd),
    /// The wait between attempts is another one.
    ConnectTime(Option<Duration>),
}

/// What is to be done, or is worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Dial the peer; a connection or a dialling that is under way is given up.
    Dial,
    /// Send these octets, after those before.
    Transmit(Vec<u8>),
    /// Close the connection once what was to be sent is sent, or stop dialling.
    Disconnect,
    /// Something that an operator or a status wants to know.
    Event(Event),
}

/// Something that an operator or a status wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The session is established.
    Up(Box<Negotiated>),
    /// It was, and is no more.
    Down(Ending),
    /// An attempt came to nothing.
    Failed(Ending),
    /// Next hops have changed; routes are sent again.
    Readdressed(Box<Negotiated>),
    /// The session carries a family, and no address of the link may be its next hop: its routes wait, those that were sent are withdrawn.
    NoNextHop(IpFamily),
    /// The state is another one.
    State(State),
    /// Routes were handed to the network, or lost with the session.
    Routes(Touched),
    /// Routes of the peer were taken as withdrawn, for this reason (RFC 7606).
    TreatedAsWithdraw(&'static str),
    /// The session has been stopped for good.
    Stopped,
}

/// What is known at each stage of a connection.
#[derive(Debug)]
enum Stage {
    /// There is none.
    Down,
    /// It stands, our OPEN is sent.
    Opened { local: LocalEnd, ours: Open },
    /// Both OPENs are taken.
    Agreed(Box<Negotiated>),
}

/// Why the table is asked, as far as a NOTIFICATION or a log tells of it.
#[derive(Debug, Default)]
struct Cause {
    notification: Option<Notification>,
    reason: String,
    ending: Option<Ending>,
}

impl From<DecodeError> for Cause {
    fn from(error: DecodeError) -> Self {
        Self { notification: Some(error.notification()), reason: error.to_string(), ending: None }
    }
}

impl From<Ending> for Cause {
    fn from(ending: Ending) -> Self {
        Self { ending: Some(ending), ..Self::default() }
    }
}

/// Whether what was to be transmitted is still on its way to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pipe {
    Clear,
    Occupied,
}

/// The machine of one peer.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    connect_time: Option<Duration>,
    state: State,
    stage: Stage,
    offer: Offer,
    rib: RibOut,
    timers: TimerTable,
    backoff: Backoff,
    rng: Rng,
    buffer: Vec<u8>,
    pipe: Pipe,
    outputs: VecDeque<Output>,
    counts: SessionCounts,
    /// Set when it shall end; taken when the peer is told.
    stopping: Option<StopReason>,
    /// The family of the ROUTE-REFRESH at hand.
    asked: Option<IpFamily>,
    /// Families that are to be sent again. An answer costs a walk over all routes, and thousands of requests fit one read.
    to_refresh: BTreeSet<IpFamily>,
    last_ending: Option<Ending>,
    /// The last one that was told to or by the peer.
    last_notification: Option<Ending>,
    up_since: Option<Timestamp>,
    now: Timestamp,
}

impl Session {
    /// A session in Idle. The seed is for jitter.
    pub fn new(config: SessionConfig, now: Timestamp, seed: u64) -> Self {
        Self {
            connect_time: config.peer.connect_time,
            config,
            state: State::Idle,
            stage: Stage::Down,
            offer: Offer::Full,
            rib: RibOut::new(),
            timers: TimerTable::new(),
            backoff: Backoff::default(),
            rng: Rng::new(seed),
            buffer: Vec::new(),
            pipe: Pipe::Clear,
            outputs: VecDeque::new(),
            counts: SessionCounts::default(),
            stopping: None,
            asked: None,
            to_refresh: BTreeSet::new(),
            last_ending: None,
            last_notification: None,
            up_since: None,
            now,
        }
    }

    /// What it was made with.
    pub const fn config(&self) -> &SessionConfig {
        &self.config
    }

    /// Its state.
    pub const fn state(&self) -> State {
        self.state
    }

    /// What is agreed with the peer; `None` before its OPEN was taken.
    pub fn negotiated(&self) -> Option<&Negotiated> {
        match &self.stage {
            Stage::Agreed(negotiated) => Some(negotiated),
            Stage::Down | Stage::Opened { .. } => None,
        }
    }

    /// What it has counted.
    pub const fn counts(&self) -> &SessionCounts {
        &self.counts
    }

    /// Its routes.
    pub const fn routes(&self) -> &RibOut {
        &self.rib
    }

    /// Why the last session or attempt ended.
    pub const fn last_ending(&self) -> Option<&Ending> {
        self.last_ending.as_ref()
    }

    /// The last ending that one side told the other, which may be older than [`Session::last_ending`].
    pub const fn last_notification(&self) -> Option<&Ending> {
        self.last_notification.as_ref()
    }

    /// Since when it is established.
    pub const fn up_since(&self) -> Option<Timestamp> {
        self.up_since
    }

    /// One thing happened.
    pub fn handle_input(&mut self, now: Timestamp, input: Input<'_>) {
        self.now = self.now.max(now);
        match input {
            Input::Start => self.step(fsm::Event::ManualStart, Cause::default()),
            Input::Stop(reason) => self.stop(reason),
            Input::Connected(local) => {
                if matches!(self.state, State::Connect | State::Active) {
                    let ours = our_open(&self.config, &local, self.offer);
                    self.stage = Stage::Opened { local, ours };
                }
                self.step(fsm::Event::TcpConnectionAcknowledged, Cause::default());
            }
            Input::Lost(words) => self.step(fsm::Event::TcpConnectionFails, Ending::Lost(words).into()),
            Input::Received(octets) => self.receive(octets),
            Input::Written => {
                self.pipe = Pipe::Clear;
                self.timers.stop(Timer::SendHold);
                self.confirm();
            }
            Input::Change(changes) => {
                for (prefix, attributes) in changes {
                    self.rib.set(*prefix, attributes.as_ref().filter(|_| self.stopping.is_none()));
                }
            }
            Input::Replace(routes) if self.stopping.is_none() => self.rib.replace(routes.into_iter()),
            Input::Replace(_) => {}
            Input::Readdressed(local) => self.readdress(local),
            Input::ConnectTime(time) => self.set_connect_time(time),
        }
        self.check_invariants();
    }

    /// A deadline passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        while let Some(timer) = self.timers.expire(self.now) {
            let (event, cause) = match timer {
                Timer::ConnectRetry => {
                    (fsm::Event::ConnectRetryTimerExpires, Cause::from(Ending::NoAnswer(self.attempt_time())))
                }
                Timer::Hold => {
                    let reason = "nothing was heard for the hold time".to_owned();
                    let notification = Some(Notification::hold_timer_expired());
                    (fsm::Event::HoldTimerExpires, Cause { notification, reason, ending: None })
                }
                Timer::IdleHold => (fsm::Event::IdleHoldTimerExpires, Cause::default()),
                Timer::KeepAlive => (fsm::Event::KeepAliveTimerExpires, Cause::default()),
                Timer::SendHold => {
                    let reason = "the peer has taken nothing for the send hold time".to_owned();
                    let notification = Some(Notification::send_hold_timer_expired());
                    (fsm::Event::SendHoldTimerExpires, Cause { notification, reason, ending: None })
                }
                Timer::Stable => {
                    self.backoff.reset();
                    continue;
                }
            };
            self.step(event, cause);
        }
        self.check_invariants();
    }

    /// The next thing to do; drain it until `None` after every call of the others.
    pub fn poll_output(&mut self) -> Option<Output> {
        while self.outputs.is_empty() && self.state == State::Established && self.pipe == Pipe::Clear {
            if self.rib.is_pending() {
                self.send_routes();
            } else if let Some(family) = self.to_refresh.pop_first() {
                // Only now, so that a peer that asks without end costs a walk for each time that it has taken everything.
                self.rib.refresh(family);
                self.counts.refreshes_answered += 1;
            } else if self.stopping.is_some() {
                self.end();
            } else {
                break;
            }
        }
        self.outputs.pop_front()
    }

    /// Makes the next batch.
    fn send_routes(&mut self) {
        let mut octets = Vec::new();
        let packed = self.rib.pack(self.now, &mut octets);
        self.counts.sent.add(MessageKind::Update, u64::from(packed.updates));
        if octets.is_empty() {
            // Nothing of it fits a message: there is nothing to wait for.
            self.confirm();
        } else {
            self.transmit(octets);
        }
    }

    fn confirm(&mut self) {
        let touched = self.rib.confirm();
        if touched != Touched::Some(Vec::new()) {
            self.event(Event::Routes(touched));
        }
    }

    /// The next deadline with its name; it may change with every call of the others.
    pub fn poll_timeout(&self) -> Option<(Timestamp, Timer)> {
        self.timers.next()
    }

    /// How long dialling may take: from one attempt to the next pass `connectTime`, whether somebody refuses or nobody answers ([PEER-20]).
    fn attempt_time(&self) -> Duration {
        self.connect_time.unwrap_or(ATTEMPT)
    }

    /// A shorter time also shortens the wait that is under way, which may be one of 18 hours.
    fn set_connect_time(&mut self, time: Option<Duration>) {
        self.connect_time = time;
        let until_next = time.unwrap_or(LONGEST_WAIT);
        self.timers.shorten(Timer::IdleHold, self.now + until_next);
        let wait = if self.state == State::Connect { self.attempt_time() } else { until_next };
        self.timers.shorten(Timer::ConnectRetry, self.now + wait);
    }

    fn stop(&mut self, reason: StopReason) {
        self.stopping = Some(reason);
        self.rib.clear();
        // An established session withdraws first; its end comes when nothing is left to send.
        if self.state != State::Established {
            self.end();
        }
    }

    fn end(&mut self) {
        let Some(reason) = self.stopping else { return };
        let cause =
            Cause { notification: Some(reason.notification()), reason: String::new(), ending: Some(Ending::Stopped) };
        let was_idle = self.state == State::Idle;
        self.step(fsm::Event::ManualStop, cause);
        if was_idle {
            self.event(Event::Stopped);
        }
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn transmit(&mut self, octets: Vec<u8>) {
        self.pipe = Pipe::Occupied;
        if !self.timers.is_running(Timer::SendHold) {
            let hold = self.negotiated().map_or(Duration::ZERO, |negotiated| negotiated.hold);
            self.timers.set(Timer::SendHold, self.now + SEND_HOLD.max(hold * 2));
        }
        self.outputs.push_back(Output::Transmit(octets));
    }

    fn send(&mut self, kind: MessageKind, message: Vec<u8>) {
        self.counts.sent.add(kind, 1);
        self.transmit(message);
    }

    /// In debug builds: what must be true between any two calls.
    fn check_invariants(&self) {
        let is_agreed = matches!(self.stage, Stage::Agreed(_));
        debug_assert_eq!(is_agreed, self.state >= State::OpenConfirm, "{:?} {:?}", self.state, self.stage);
        debug_assert!(self.state == State::Established || self.rib.announced() == 0, "routes without a session");
        debug_assert!(
            self.state != State::Idle || !self.timers.is_running(Timer::Hold),
            "a timer outlived its session"
        );
    }
}

#[cfg(test)]
mod tests;
