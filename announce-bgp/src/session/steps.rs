//! Transitions of the table, carried out.

use super::local_end::LocalEnd;
use super::negotiation::{LEAST_KEEPALIVE, Negotiated, Offer, Readdressed};
use super::{ATTEMPT, Cause, Ending, Event, Output, Pipe, STABLE, Session, Stage};
use crate::fsm::{self, Action, State, transition};
use crate::rib_out::Touched;
use crate::timers::{Timer, jittered};
use crate::wire::iana::error;
use crate::wire::notification::Notification;
use crate::wire::{MessageKind, write_message};

impl Session {
    pub(super) fn step(&mut self, event: fsm::Event, cause: Cause) {
        let before = self.state;
        let next = transition(before, event);
        self.state = next.next;
        let mut ending = cause.ending;
        for action in next.actions {
            if let Some(notification) = notification_of(*action, before, cause.notification.as_ref()) {
                self.send(MessageKind::Notification, notification.encode());
                ending = Some(Ending::Sent { notification, reason: cause.reason.clone() });
                continue;
            }
            self.act(*action);
        }
        let is_over = next.actions.contains(&Action::Drop);
        if is_over && before >= State::Connect {
            let ending = ending.unwrap_or(Ending::Stopped);
            self.last_ending = Some(ending.clone());
            if matches!(ending, Ending::Received(_) | Ending::Sent { .. }) {
                self.last_notification = Some(ending.clone());
            }
            self.event(if before == State::Established { Event::Down(ending) } else { Event::Failed(ending) });
        }
        if before != self.state {
            self.event(Event::State(self.state));
            // Also where the connection was lost before the peer could be told.
            if self.state == State::Idle && self.stopping.is_some() {
                self.event(Event::Stopped);
            }
        }
        if before != State::Established
            && self.state == State::Established
            && let Stage::Agreed(negotiated) = &self.stage
        {
            let negotiated = negotiated.clone();
            self.event(Event::Up(negotiated.clone()));
            self.tell_next_hops(&negotiated);
        }
    }

    /// Addresses of this host have changed: our end is as it is here.
    pub(super) fn readdress(&mut self, end: LocalEnd) {
        match &mut self.stage {
            Stage::Down => {}
            Stage::Opened { local, .. } => *local = end,
            Stage::Agreed(negotiated) => {
                if negotiated.readdress(&end) == Readdressed::Yes && self.state == State::Established {
                    let negotiated = negotiated.clone();
                    self.rib.readdress(negotiated.encoding);
                    self.event(Event::Readdressed(negotiated.clone()));
                    self.tell_next_hops(&negotiated);
                }
            }
        }
    }

    fn tell_next_hops(&mut self, negotiated: &Negotiated) {
        for family in negotiated.without_next_hop() {
            self.event(Event::NoNextHop(family));
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Dial => {
                self.counts.attempts += 1;
                self.outputs.push_back(Output::Dial);
            }
            Action::Drop => self.drop_connection(),
            Action::Refresh => self.to_refresh.extend(self.asked.take()),
            Action::SendCause | Action::SendStateError => {}
            Action::SendKeepAlive => {
                let message = write_message(MessageKind::KeepAlive, &[]).unwrap_or_default();
                self.send(MessageKind::KeepAlive, message);
            }
            Action::SendOpen => {
                let message = match &self.stage {
                    Stage::Opened { ours, .. } => ours.encode(),
                    Stage::Down | Stage::Agreed(_) => None,
                };
                self.send(MessageKind::Open, message.unwrap_or_default());
            }
            Action::StartRoutes => self.start_routes(),
            Action::StartConnectRetry => self.timers.set(Timer::ConnectRetry, self.now + self.attempt_time()),
            Action::StartReconnect => self.wait_for_attempt(Timer::ConnectRetry),
            Action::StartIdleHold => self.wait_for_attempt(Timer::IdleHold),
            Action::StartOpenHold => self.timers.set(Timer::Hold, self.now + ATTEMPT),
            Action::StartHold => match self.negotiated().map(|negotiated| negotiated.hold) {
                Some(hold) if !hold.is_zero() => self.timers.set(Timer::Hold, self.now + hold),
                _ => self.timers.stop(Timer::Hold),
            },
            Action::StartKeepAlive => match self.negotiated().and_then(|negotiated| negotiated.keepalive) {
                Some(wait) => {
                    let wait = jittered(wait, &mut self.rng).max(LEAST_KEEPALIVE);
                    self.timers.set(Timer::KeepAlive, self.now + wait);
                }
                None => self.timers.stop(Timer::KeepAlive),
            },
            Action::StopConnectRetry => self.timers.stop(Timer::ConnectRetry),
            Action::StopIdleHold => self.timers.stop(Timer::IdleHold),
        }
    }

    fn wait_for_attempt(&mut self, timer: Timer) {
        // What shall end is not tried again.
        if self.stopping.is_none() {
            let wait = self.backoff.next_wait(self.connect_time, &mut self.rng);
            self.timers.set(timer, self.now + wait);
        }
    }

    fn start_routes(&mut self) {
        let Stage::Agreed(negotiated) = &self.stage else { return };
        self.rib.start(negotiated.encoding, &negotiated.families);
        self.counts.established += 1;
        self.up_since = Some(self.now);
        self.timers.set(Timer::Stable, self.now + STABLE);
    }

    fn drop_connection(&mut self) {
        self.up_since = None;
        if !matches!(self.stage, Stage::Down) {
            // RFC 5492 section 3 has the plain OPEN for the one attempt after the refusal. The refusal may have passed, and an AS number
            // of four octets cannot be told in a plain one.
            self.offer = Offer::Full;
        }
        self.timers.stop_all();
        self.stage = Stage::Down;
        self.to_refresh.clear();
        self.buffer.clear();
        self.pipe = Pipe::Clear;
        self.outputs.push_back(Output::Disconnect);
        if self.rib.forget() {
            self.event(Event::Routes(Touched::All));
        }
    }
}

/// The NOTIFICATION that an action sends, if it sends one.
fn notification_of(action: Action, state: State, cause: Option<&Notification>) -> Option<Notification> {
    match action {
        Action::SendCause => cause.cloned(),
        Action::SendStateError => {
            // RFC 6608: the subcode names the state.
            let subcode = match state {
                State::OpenSent => 1,
                State::OpenConfirm => 2,
                State::Established => 3,
                State::Idle | State::Connect | State::Active => 0,
            };
            Some(Notification::new(error::STATE_MACHINE, subcode))
        }
        Action::Dial
        | Action::Drop
        | Action::Refresh
        | Action::SendKeepAlive
        | Action::SendOpen
        | Action::StartRoutes
        | Action::StartConnectRetry
        | Action::StartReconnect
        | Action::StartHold
        | Action::StartOpenHold
        | Action::StartKeepAlive
        | Action::StartIdleHold
        | Action::StopConnectRetry
        | Action::StopIdleHold => None,
    }
}
