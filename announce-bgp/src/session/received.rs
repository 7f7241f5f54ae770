//! What comes from the peer: messages taken off the stream, counted, and told to the table.

use lbcore::peer::RemoteAs;

use super::negotiation::{Negotiated, Offer, negotiate};
use super::{Cause, Ending, Event, Session, Stage};
use crate::fsm::{self, State};
use crate::wire::attribute::DecodeContext;
use crate::wire::error::{DecodeError, OpenError};
use crate::wire::iana::error;
use crate::wire::notification::Notification;
use crate::wire::open::Open;
use crate::wire::route_refresh::RouteRefresh;
use crate::wire::update::{Reaction, walk};
use crate::wire::{MessageKind, take_message};

impl Session {
    pub(super) fn receive(&mut self, octets: &[u8]) {
        if self.state < State::OpenSent {
            return;
        }
        let mut buffer = core::mem::take(&mut self.buffer);
        buffer.extend_from_slice(octets);
        let mut rest = buffer.as_slice();
        loop {
            match take_message(rest) {
                Ok(Some(framed)) => {
                    rest = framed.rest;
                    self.counts.received.add(framed.kind, 1);
                    self.message(framed.kind, framed.body);
                }
                Ok(None) => break,
                Err(error) => self.step(fsm::Event::BgpHeaderErr, DecodeError::from(error).into()),
            }
            if self.state < State::OpenSent {
                return;
            }
        }
        let taken = buffer.len() - rest.len();
        buffer.drain(..taken);
        self.buffer = buffer;
    }

    fn message(&mut self, kind: MessageKind, body: &[u8]) {
        match kind {
            MessageKind::Open => self.open(body),
            MessageKind::Update => self.update(body),
            MessageKind::Notification => self.notification(body),
            MessageKind::KeepAlive => self.step(fsm::Event::KeepAliveMsg, Cause::default()),
            MessageKind::RouteRefresh => match RouteRefresh::decode(body) {
                Ok(refresh) => {
                    self.note_refresh(refresh);
                    self.step(fsm::Event::RouteRefreshMsg, Cause::default());
                }
                Err(error) => self.step(fsm::Event::RouteRefreshMsgErr, DecodeError::from(error).into()),
            },
        }
    }

    /// A refresh is answered for families that the session carries (RFC 2918 section 4).
    fn note_refresh(&mut self, refresh: RouteRefresh) {
        self.asked = match refresh {
            RouteRefresh::Request(family) => {
                let carries = |negotiated: &Negotiated| negotiated.families.contains(&family);
                self.negotiated().is_some_and(carries).then_some(family)
            }
            RouteRefresh::Other => None,
        };
    }

    fn open(&mut self, body: &[u8]) {
        let outcome = match &self.stage {
            Stage::Opened { local, ours } => {
                Open::decode(body).and_then(|theirs| negotiate(&self.config, local, ours, &theirs))
            }
            // The table refuses it, whatever it holds.
            Stage::Down | Stage::Agreed(_) => return self.step(fsm::Event::BgpOpen, Cause::default()),
        };
        match outcome {
            Ok(negotiated) => {
                self.stage = Stage::Agreed(Box::new(negotiated));
                self.step(fsm::Event::BgpOpen, Cause::default());
            }
            Err(error) => {
                let cause = Cause { reason: self.explain(error), ..DecodeError::from(error).into() };
                self.step(fsm::Event::BgpOpenMsgErr, cause);
            }
        }
    }

    /// The words of an error, with what was expected where that helps.
    fn explain(&self, error: OpenError) -> String {
        let expected = match (error, self.config.peer.remote) {
            (OpenError::BadPeerAs { .. }, RemoteAs::Exactly(asn)) => format!(", expected {asn}"),
            (OpenError::BadPeerAs { .. }, RemoteAs::Internal) => {
                format!(", expected our own, {}", self.config.peer.my_asn)
            }
            (OpenError::BadPeerAs { .. }, RemoteAs::External) => {
                format!(", expected any but our own, {}", self.config.peer.my_asn)
            }
            _ => String::new(),
        };
        format!("{error}{expected}")
    }

    fn update(&mut self, body: &[u8]) {
        if self.state != State::Established {
            return self.step(fsm::Event::UpdateMsg, Cause::default());
        }
        let Some(negotiated) = self.negotiated() else { return };
        match walk(body, DecodeContext { kind: negotiated.kind, as_width: negotiated.as_width }) {
            Ok(received) => {
                let dropped = u64::from(received.reachable.total());
                self.counts.prefixes_dropped = self.counts.prefixes_dropped.wrapping_add(dropped);
                match received.reaction {
                    Reaction::None => {}
                    Reaction::AttributeDiscard => self.counts.attributes_discarded += 1,
                    Reaction::TreatAsWithdraw(what) => {
                        self.counts.treated_as_withdraw += 1;
                        self.event(Event::TreatedAsWithdraw(what));
                    }
                }
                self.step(fsm::Event::UpdateMsg, Cause::default());
            }
            Err(error) => self.step(fsm::Event::UpdateMsgErr, DecodeError::from(error).into()),
        }
    }

    fn notification(&mut self, body: &[u8]) {
        let Some(notification) = Notification::decode(body) else { return };
        let event = match (notification.code, notification.subcode) {
            (error::OPEN, 1) => fsm::Event::NotifMsgVerErr,
            _ => fsm::Event::NotifMsg,
        };
        let is_refusal = (notification.code, notification.subcode) == (error::OPEN, 4);
        let is_of_open = matches!(self.state, State::OpenSent | State::OpenConfirm);
        let offered = self.offer;
        self.step(event, Ending::Received(notification).into());
        // [WIRE-24]: the peer knows no optional parameters, so the next attempt has none.
        if is_refusal && is_of_open && offered == Offer::Full {
            self.offer = Offer::Plain;
        }
    }
}
