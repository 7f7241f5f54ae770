//! What the configuration of one node comes to.

use lbcore::family::IpFamily;
use lbcore::peer::{Asn, RemoteAs, SessionFamilies};

use super::*;

pub(crate) fn peer(name: &str) -> Peer {
    Peer {
        name: name.into(),
        my_asn: Asn::new(64_512).unwrap(),
        remote: RemoteAs::Exactly(Asn::new(64_999).unwrap()),
        local_asn: None,
        endpoint: PeerEndpoint::Address("192.0.2.2".parse().unwrap()),
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
        families: SessionFamilies::Only(IpFamily::V4),
    }
}

fn asn(number: u32) -> Asn {
    Asn::new(number).unwrap()
}

// [VEC-17], [WIRE-8]
#[test]
fn the_identifier_of_a_name_is_its_checksum_in_little_endian() {
    let id = |name: &str| router_id_of_name(&NodeName::new(name).unwrap());
    assert_eq!(id("node1"), Ipv4Addr::new(64, 37, 239, 133));
    assert_eq!(id("worker-a"), Ipv4Addr::new(84, 33, 83, 87));
}

// [WIRE-40], [PEER-40]
#[test]
fn each_engine_has_its_values() {
    let (frr, native) = (EngineDefaults::Frr, EngineDefaults::Native);
    assert_eq!((frr.med(), frr.local_pref()), (Some(0), 100));
    assert_eq!((native.med(), native.local_pref()), (None, 0));
    assert_eq!((frr.timers().hold.as_secs(), native.timers().hold.as_secs()), (180, 90));
}

// [FRR-11], [WIRE-4], [WIRE-6]
#[test]
fn the_ttl_is_one_toward_direct_peers_of_other_systems() {
    let (frr, native) = (EngineDefaults::Frr, EngineDefaults::Native);
    let direct = peer("a");
    let far = Peer { multi_hop: Feature::On, ..peer("a") };
    let internal = Peer { remote: RemoteAs::Exactly(asn(64_512)), ..peer("a") };
    let overridden = Peer { local_asn: Some(asn(64_520)), ..internal.clone() };
    let dynamic = Peer { remote: RemoteAs::Internal, ..peer("a") };
    assert_eq!(frr.ttl(&direct), Some(1));
    assert_eq!((frr.ttl(&far), frr.ttl(&internal), frr.ttl(&dynamic)), (Some(255), Some(255), Some(255)));
    assert_eq!(frr.ttl(&overridden), Some(1));
    assert_eq!(native.ttl(&direct), None);
}

// [PEER-15], [PEER-28]
#[test]
fn what_is_not_supported_is_said() {
    assert_eq!((not_started(&peer("a")), left_out(&peer("a"))), (None, vec![]));
    let vrf = Peer { vrf: Some("red".into()), ..peer("a") };
    assert_eq!(not_started(&vrf), Some(NotStarted::Vrf));
    let unnumbered = Peer { endpoint: PeerEndpoint::Interface("eth0".into()), ..peer("a") };
    assert_eq!(not_started(&unnumbered), Some(NotStarted::Interface));
    let more = Peer { bfd_profile: Some("fast".into()), graceful_restart: Feature::On, ..peer("a") };
    assert_eq!(not_started(&more), None);
    assert_eq!(left_out(&more), [LeftOut::Bfd, LeftOut::GracefulRestart]);
}

// [PEER-5]
#[test]
fn only_what_the_wire_shows_resets_a_session() {
    let one = peer("a");
    let same = [
        Peer { connect_time: Some(Duration::from_secs(5)), ..peer("b") },
        Peer { bfd_profile: Some("fast".into()), ..peer("a") },
        Peer { node_selectors: vec![lbcore::labels::Selector::default()], ..peer("a") },
    ];
    assert!(same.iter().all(|other| is_same_on_the_wire(&one, other)));
    let others = [
        Peer { password: Some(lbcore::peer::Password::new(*b"x")), ..peer("a") },
        Peer { router_id: Some(Ipv4Addr::new(10, 0, 0, 9)), ..peer("a") },
        Peer { families: SessionFamilies::Both, ..peer("a") },
        Peer { timers: Some(EngineDefaults::Native.timers()), ..peer("a") },
        Peer { port: 1_179, ..peer("a") },
        Peer { multi_hop: Feature::On, ..peer("a") },
    ];
    assert!(others.iter().all(|other| !is_same_on_the_wire(&one, other)));
}
