//! Sessions with a peer that the test plays: every message by hand, time by hand.

mod endings;
mod opening;
mod routes;

use std::collections::BTreeSet;

use lbcore::peer::{Asn, Password, RemoteAs, SessionFamilies, SessionKind};
use proptest::prelude::*;

use super::*;
use crate::config::tests::peer;
use crate::wire::capability::Capability;
use crate::wire::take_message;

const OURS: u32 = 64_512;
const THEIRS: u32 = 64_999;

/// A session, the time, and everything that it wanted done.
struct Rig {
    session: Session,
    now: Timestamp,
    /// Outputs that no test has looked at yet.
    outputs: Vec<Output>,
}

impl Rig {
    fn new(peer: Peer) -> Self {
        Self::with(peer, EngineDefaults::Frr)
    }

    fn with(peer: Peer, defaults: EngineDefaults) -> Self {
        let config = SessionConfig::new(Arc::new(peer), &NodeName::new("node1").unwrap(), defaults).unwrap();
        let now = Timestamp::from_micros(1_000_000);
        let mut rig = Self { session: Session::new(config, now, 7), now, outputs: Vec::new() };
        rig.input(Input::Start);
        rig
    }

    /// An established session; what led to it is forgotten.
    fn established(peer: Peer) -> Self {
        let mut rig = Self::new(peer);
        rig.establish();
        rig
    }

    fn establish(&mut self) {
        self.connect();
        self.send(&open(THEIRS, 90, &[IpFamily::V4]));
        self.send(&keepalive());
        assert_eq!(self.session.state(), State::Established, "{:?}", self.outputs);
        self.written();
        self.outputs.clear();
    }

    fn connect(&mut self) {
        self.input(Input::Connected(LocalEnd::of("192.0.2.1".parse().unwrap())));
    }

    fn input(&mut self, input: Input<'_>) {
        self.session.handle_input(self.now, input);
        self.drain();
    }

    fn send(&mut self, message: &[u8]) {
        self.input(Input::Received(message));
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            self.outputs.push(output);
        }
    }

    /// Everything was handed to the network, until nothing more comes.
    fn written(&mut self) {
        loop {
            let before = self.sent().len();
            self.input(Input::Written);
            if self.sent().len() == before {
                return;
            }
        }
    }

    /// Lets time pass, deadline by deadline.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some((at, _)) = self.session.poll_timeout().filter(|(at, _)| *at <= end) {
            self.now = at.max(self.now);
            self.session.handle_timeout(self.now);
            self.drain();
            self.written();
        }
        self.now = end;
    }

    /// Messages sent and not looked at yet.
    fn sent(&self) -> Vec<(MessageKind, Vec<u8>)> {
        let mut messages = Vec::new();
        for output in &self.outputs {
            let Output::Transmit(octets) = output else { continue };
            let mut rest = octets.as_slice();
            while let Some(framed) = take_message(rest).unwrap() {
                messages.push((framed.kind, framed.body.to_vec()));
                rest = framed.rest;
            }
        }
        messages
    }

    fn kinds(&self) -> Vec<MessageKind> {
        self.sent().into_iter().map(|(kind, _)| kind).collect()
    }

    /// The last NOTIFICATION sent.
    fn notification(&self) -> Option<(u8, u8, Vec<u8>)> {
        let (_, body) = self.sent().into_iter().rfind(|(kind, _)| *kind == MessageKind::Notification)?;
        let notification = Notification::decode(&body)?;
        Some((notification.code, notification.subcode, notification.data))
    }

    fn count(&self, output: &Output) -> usize {
        self.outputs.iter().filter(|known| *known == output).count()
    }

    fn events(&self) -> Vec<&Event> {
        let events = self.outputs.iter().filter_map(|output| match output {
            Output::Event(event) => Some(event),
            Output::Dial | Output::Transmit(_) | Output::Disconnect => None,
        });
        events.collect()
    }

    /// What ended the last session or attempt that was not looked at yet.
    fn ending(&self) -> Option<&Ending> {
        self.events().into_iter().rev().find_map(|event| match event {
            Event::Down(ending) | Event::Failed(ending) => Some(ending),
            Event::Up(_)
            | Event::Readdressed(_)
            | Event::NoNextHop(_)
            | Event::State(_)
            | Event::Routes(_)
            | Event::TreatedAsWithdraw(_)
            | Event::Stopped => None,
        })
    }
}

fn their_open(asn: u32, hold_time: u16, families: &[IpFamily]) -> Open {
    let families = families.iter().map(|family| Capability::unicast(*family));
    let capabilities = families.chain([Capability::RouteRefresh, Capability::FourOctetAs(asn)]).collect();
    Open { my_as: Open::as_field(asn), hold_time, router_id: Ipv4Addr::new(10, 0, 0, 2), capabilities }
}

fn open(asn: u32, hold_time: u16, families: &[IpFamily]) -> Vec<u8> {
    their_open(asn, hold_time, families).encode().unwrap()
}

fn keepalive() -> Vec<u8> {
    crate::wire::write_message(MessageKind::KeepAlive, &[]).unwrap()
}

fn routes(count: u32) -> Vec<(IpNetwork, Arc<RouteAttributes>)> {
    let attributes = Arc::new(RouteAttributes::default());
    let prefix = |number: u32| IpNetwork::from(IpAddr::from((0x1400_0000 + number).to_be_bytes()));
    (0..count).map(|number| (prefix(number), Arc::clone(&attributes))).collect()
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// One thing that can happen to a session, in any order.
#[derive(Clone, Debug)]
enum Anything {
    Connected,
    Lost,
    Octets(Vec<u8>),
    Message(u8, Vec<u8>),
    Open(u16),
    Keepalive,
    Written,
    Routes(u32),
    Time(u32),
    Stop,
}

fn anything() -> impl Strategy<Value = Anything> {
    let octets = || proptest::collection::vec(any::<u8>(), 0..60);
    prop_oneof![
        3 => Just(Anything::Connected),
        1 => Just(Anything::Lost),
        1 => octets().prop_map(Anything::Octets),
        2 => (0_u8..7, octets()).prop_map(|(kind, body)| Anything::Message(kind, body)),
        3 => (0_u16..12).prop_map(Anything::Open),
        3 => Just(Anything::Keepalive),
        3 => Just(Anything::Written),
        2 => (0_u32..50).prop_map(Anything::Routes),
        2 => (0_u32..30_000).prop_map(Anything::Time),
        1 => Just(Anything::Stop),
    ]
}

proptest! {
    // Whatever a peer and the network do, in whatever order: no panic, invariants hold, and what we send can be read.
    #[test]
    fn any_sequence_of_events_is_safe(sequence in proptest::collection::vec(anything(), 1..80)) {
        let mut rig = Rig::new(Peer { timers: Some(EngineDefaults::Native.timers()), ..peer("a") });
        for step in sequence {
            match step {
                Anything::Connected => rig.connect(),
                Anything::Lost => rig.input(Input::Lost("gone".into())),
                Anything::Octets(octets) => rig.send(&octets),
                Anything::Message(kind, body) => {
                    let mut message = vec![0xff; 16];
                    message.extend(u16::try_from(19 + body.len()).unwrap().to_be_bytes());
                    message.push(kind);
                    message.extend(body);
                    rig.send(&message);
                }
                Anything::Open(hold) => rig.send(&open(THEIRS, hold, &[IpFamily::V4, IpFamily::V6])),
                Anything::Keepalive => rig.send(&keepalive()),
                Anything::Written => rig.input(Input::Written),
                Anything::Routes(count) => rig.input(Input::Replace(routes(count))),
                Anything::Time(millis) => rig.pass(Duration::from_millis(u64::from(millis))),
                Anything::Stop => rig.input(Input::Stop(StopReason::Shutdown)),
            }
            let _ = rig.sent();
        }
    }
}
