//! The targets of `announce-bgp`: each message of a peer, the stream they come in, and a whole session that hears it.

use std::net::Ipv4Addr;
use std::sync::Arc;

use announce_bgp::config::EngineDefaults;
use announce_bgp::fsm::State;
use announce_bgp::session::{Input, LocalEnd, Output, Session, SessionConfig};
use announce_bgp::wire::attribute::{AsWidth, DecodeContext};
use announce_bgp::wire::capability::Capability;
use announce_bgp::wire::notification::Notification;
use announce_bgp::wire::open::Open;
use announce_bgp::wire::route_refresh::RouteRefresh;
use announce_bgp::wire::update::{Reaction, walk};
use announce_bgp::wire::{HEADER_LENGTH, MessageKind, take_message, write_message};
use lbcore::announce::RouteAttributes;
use lbcore::family::IpFamily;
use lbcore::peer::{Asn, Feature, Peer, PeerEndpoint, RemoteAs, SessionFamilies, SessionKind};
use lbcore::service::NodeName;
use lbcore::time::Timestamp;

use crate::NOW;

const OURS: u32 = 64_512;
const THEIRS: u32 = 64_999;

/// A stream of messages: what is framed is within the stream, and written again it is the same.
pub fn bgp_stream(octets: &[u8]) {
    let mut rest = octets;
    while let Ok(Some(framed)) = take_message(rest) {
        let whole = &rest[..rest.len() - framed.rest.len()];
        assert_eq!(framed.body, &whole[HEADER_LENGTH..]);
        assert_eq!(write_message(framed.kind, framed.body).as_deref(), Some(whole));
        rest = framed.rest;
    }
}

/// The body of an OPEN: what was read is written and read the same.
pub fn bgp_open(octets: &[u8]) {
    let Ok(open) = Open::decode(octets) else { return };
    assert!(open.asn() != 0 && !open.router_id.is_unspecified() && !matches!(open.hold_time, 1 | 2));
    let message = open.encode().expect("it came in one message");
    assert_eq!(Open::decode(&message[HEADER_LENGTH..]), Ok(open));
}

/// The body of an UPDATE, from a peer of each kind: prefixes are never more than the octets, and what is malformed reaches nothing.
pub fn bgp_update(octets: &[u8]) {
    for kind in [SessionKind::External, SessionKind::Internal] {
        for as_width in [AsWidth::Two, AsWidth::Four] {
            match walk(octets, DecodeContext { kind, as_width }) {
                Ok(received) => {
                    let prefixes = u64::from(received.reachable.total()) + u64::from(received.withdrawn.total());
                    assert!(prefixes <= octets.len() as u64);
                    if let Reaction::TreatAsWithdraw(_) = received.reaction {
                        assert_eq!(received.reachable.total(), 0);
                    }
                    assert!(received.end_of_rib.is_none() || prefixes == 0);
                }
                Err(error) => {
                    let message = announce_bgp::wire::error::DecodeError::from(error).notification().encode();
                    assert!(
                        matches!(take_message(&message), Ok(Some(framed)) if framed.kind == MessageKind::Notification)
                    );
                }
            }
        }
    }
}

/// The body of a NOTIFICATION: it can be told, in printable characters, and written again.
pub fn bgp_notification(octets: &[u8]) {
    let Some(notification) = Notification::decode(octets) else { return };
    assert!(notification.to_string().bytes().all(|octet| (b' '..=b'~').contains(&octet)));
    let message = notification.encode();
    let again = Notification::decode(&message[HEADER_LENGTH..]).expect("it was written so");
    assert_eq!((again.code, again.subcode), (notification.code, notification.subcode));
    assert!(again.data == notification.data || message.len() == 4_096);
}

/// The body of a ROUTE-REFRESH.
pub fn bgp_route_refresh(octets: &[u8]) {
    match RouteRefresh::decode(octets) {
        Ok(RouteRefresh::Request(family)) => {
            let message = RouteRefresh::request(family);
            assert_eq!(RouteRefresh::decode(&message[HEADER_LENGTH..]), Ok(RouteRefresh::Request(family)));
        }
        Ok(RouteRefresh::Other) => {}
        Err(error) => assert!(error.message.is_empty() || error.message.len() == HEADER_LENGTH + octets.len()),
    }
}

fn peer() -> Peer {
    let asn = |number| Asn::new(number).expect("not zero");
    Peer {
        name: "fuzz".into(),
        my_asn: asn(OURS),
        remote: RemoteAs::Exactly(asn(THEIRS)),
        local_asn: None,
        endpoint: PeerEndpoint::Address(Ipv4Addr::new(192, 0, 2, 2).into()),
        source_address: None,
        port: 179,
        timers: None,
        connect_time: None,
        router_id: None,
        node_selectors: Vec::new(),
        password: None,
        bfd_profile: None,
        graceful_restart: Feature::Off,
        multi_hop: Feature::Off,
        vrf: None,
        families: SessionFamilies::Both,
    }
}

/// A session that has come to a state.
fn session_in(state: State) -> Session {
    let node = NodeName::new("node1").expect("not empty");
    let config = SessionConfig::new(Arc::new(peer()), &node, EngineDefaults::Frr).expect("nothing special");
    let mut session = Session::new(config, NOW, 1);
    let prefix = "198.51.100.1/32".parse().expect("a prefix");
    session.handle_input(NOW, Input::Replace(vec![(prefix, Arc::new(RouteAttributes::default()))]));
    session.handle_input(NOW, Input::Start);
    session.handle_input(NOW, Input::Connected(LocalEnd::of(Ipv4Addr::new(192, 0, 2, 1).into())));
    let capabilities =
        vec![Capability::unicast(IpFamily::V4), Capability::RouteRefresh, Capability::FourOctetAs(THEIRS)];
    let router_id = Ipv4Addr::new(10, 0, 0, 2);
    let open = Open { my_as: Open::as_field(THEIRS), hold_time: 90, router_id, capabilities };
    if state >= State::OpenConfirm {
        session.handle_input(NOW, Input::Received(&open.encode().expect("short")));
    }
    if state >= State::Established {
        let keepalive = write_message(MessageKind::KeepAlive, &[]).expect("no body");
        session.handle_input(NOW, Input::Received(&keepalive));
    }
    assert_eq!(session.state(), state);
    session
}

/// Everything that a session wants done; what it sends must be messages, at most one of them a NOTIFICATION, the last.
fn drain(session: &mut Session) -> Vec<MessageKind> {
    let mut kinds = Vec::new();
    let mut sent = Vec::new();
    while let Some(output) = session.poll_output() {
        if let Output::Transmit(octets) = output {
            sent.extend(octets);
            session.handle_input(NOW, Input::Written);
        }
    }
    let mut rest = sent.as_slice();
    while let Some(framed) = take_message(rest).expect("we frame well") {
        kinds.push(framed.kind);
        rest = framed.rest;
    }
    assert!(rest.is_empty());
    kinds
}

/// A stream to a session in each state that hears one: in one piece and octet by octet it comes to the same, and the session can be tried
/// again.
pub fn bgp_session(octets: &[u8]) {
    for state in [State::OpenSent, State::OpenConfirm, State::Established] {
        let (mut whole, mut pieces) = (session_in(state), session_in(state));
        drain(&mut whole);
        drain(&mut pieces);
        whole.handle_input(NOW, Input::Received(octets));
        let kinds = drain(&mut whole);
        let notifications = kinds.iter().filter(|kind| **kind == MessageKind::Notification).count();
        assert!(notifications <= 1);
        assert!(notifications == 0 || kinds.last() == Some(&MessageKind::Notification));
        for octet in octets {
            pieces.handle_input(NOW, Input::Received(core::slice::from_ref(octet)));
            drain(&mut pieces);
        }
        assert_eq!(whole.state(), pieces.state());
        assert_eq!(whole.counts().received, pieces.counts().received);
        if whole.state() == State::Idle {
            let (at, _) = whole.poll_timeout().expect("an attempt follows");
            whole.handle_timeout(at);
            assert_eq!(whole.state(), State::Connect);
        }
        let late = Timestamp::from_micros(NOW.as_micros() + 100_000_000);
        whole.handle_timeout(late);
        drain(&mut whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{inputs, replay};

    #[test]
    fn the_corpora_of_bgp_run_through() {
        replay("bgp_stream", bgp_stream);
        replay("bgp_open", bgp_open);
        replay("bgp_update", bgp_update);
        replay("bgp_notification", bgp_notification);
        replay("bgp_route_refresh", bgp_route_refresh);
        replay("bgp_session", bgp_session);
    }

    /// A corpus of inputs that are all refused at once would test nothing.
    #[test]
    fn the_corpora_of_bgp_reach_every_outcome() {
        let reached = |target: &str, show: &dyn Fn(&[u8]) -> String, outcomes: &[&str]| {
            let shown: Vec<String> = inputs(target).iter().map(|octets| show(octets)).collect();
            for outcome in outcomes {
                assert!(shown.iter().any(|shown| shown.contains(outcome)), "{target}: no input leads to {outcome}");
            }
        };
        reached(
            "bgp_open",
            &|octets| format!("{:?}", Open::decode(octets)),
            &[
                "GracefulRestart",
                "Unknown",
                "FourOctetAs",
                "BadPeerAs",
                "BadIdentifier",
                "UnsupportedVersion",
                "UnsupportedParameter",
                "UnacceptableHoldTime",
                "Malformed",
            ],
        );
        let context = DecodeContext { kind: SessionKind::External, as_width: AsWidth::Four };
        reached(
            "bgp_update",
            &|octets| format!("{:?}", walk(octets, context)),
            &[
                "reaction: None",
                "AttributeDiscard",
                "TreatAsWithdraw",
                "end_of_rib: Some(V4)",
                "end_of_rib: Some(V6)",
                "MalformedAttributeList",
                "OptionalAttribute",
                "InvalidNetwork",
            ],
        );
        reached(
            "bgp_stream",
            &|octets| format!("{:?}", take_message(octets)),
            &["Open", "Update", "NotSynchronized", "BadLength", "BadKind", "Ok(None)"],
        );
        reached(
            "bgp_route_refresh",
            &|octets| format!("{:?}", RouteRefresh::decode(octets)),
            &["Request(V4)", "Request(V6)", "Other", "Err"],
        );
    }
}
