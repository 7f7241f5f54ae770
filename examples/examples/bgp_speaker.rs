//! Announces IPv4 host routes to one router by BGP, with nothing of Kubernetes: the smallest host of `announce-bgp`.
//!
//! `cargo run -p ferrule-examples --example bgp_speaker -- OWN-AS PEER-ADDRESS PEER-AS COUNT SETS` announces COUNT addresses from 20.0.0.0
//! on, in SETS blocks of equal size, each with a community of its own (OWN-AS:100, OWN-AS:101, ...), until it is interrupted.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use announce_bgp::config::{BgpConfig, EngineDefaults};
use announce_bgp::io::BgpAnnouncer;
use ipnetwork::IpNetwork;
use lbcore::announce::{Announcement, Announcer, DesiredSet, Reach, RouteAttributes, RoutedPart, RoutedReach};
use lbcore::family::IpFamily;
use lbcore::peer::{Asn, Feature, Peer, PeerEndpoint, RemoteAs, SessionFamilies};
use lbcore::service::{NodeName, ServiceKey};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn peer(name: &Arc<str>, own: Asn, address: IpAddr, remote: Asn) -> Peer {
    Peer {
        name: Arc::clone(name),
        my_asn: own,
        remote: RemoteAs::Exactly(remote),
        local_asn: None,
        endpoint: PeerEndpoint::Address(address),
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
        families: SessionFamilies::Only(IpFamily::of(address)),
    }
}

/// Prefixes of one block share their Services and what goes with them.
fn announcements(name: &Arc<str>, own: Asn, count: u32, sets: u32) -> Result<Vec<Announcement>, Failure> {
    let services = Arc::from([ServiceKey::new("example", "web")?]);
    let peers: Arc<[Arc<str>]> = Arc::from([Arc::clone(name)]);
    let size = count.div_ceil(sets.max(1)).max(1);
    let mut announcements = Vec::new();
    for set in 0..sets {
        let communities = vec![own.as_u32() << 16 | (100 + set)];
        let attributes = Arc::new(RouteAttributes { communities, ..RouteAttributes::default() });
        let part = RoutedPart { peers: Arc::clone(&peers), attributes };
        let reach = Reach::Routed(RoutedReach { parts: Arc::from([part]) });
        for number in (set * size)..((set + 1) * size).min(count) {
            let prefix = IpNetwork::from(IpAddr::from(Ipv4Addr::from(0x1400_0000 + number)));
            announcements.push(Announcement { services: Arc::clone(&services), prefix, reach: reach.clone() });
        }
    }
    Ok(announcements)
}

#[expect(clippy::print_stdout, reason = "an example shows what happens")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [own, address, remote, count, sets] = arguments.as_slice() else {
        return Err("usage: bgp_speaker OWN-AS PEER-ADDRESS PEER-AS COUNT SETS".into());
    };
    let asn = |text: &str| text.parse().ok().and_then(Asn::new).ok_or("an AS is a number from 1 on");
    let (name, own): (Arc<str>, Asn) = ("router".into(), asn(own)?);
    // 1. The peers of this node. The announcer dials them at once.
    let mut config = BgpConfig::new(NodeName::new("example")?, EngineDefaults::Native);
    let peer = peer(&name, own, address.parse()?, asn(remote)?);
    config.peers.insert(Arc::clone(&name), Arc::new(peer));
    let announcer = BgpAnnouncer::start(config);
    // 2. The whole of what shall be announced, as a value.
    let announcements = announcements(&name, own, count.parse()?, sets.parse()?)?;
    announcer.replace(Arc::new(DesiredSet::new().changed(announcements, []))).await;
    // 3. What becomes of the session.
    let mut version = announcer.sessions_version();
    loop {
        for view in announcer.sessions() {
            println!("{}: {}, {} prefixes", view.label(), view.state.name(), view.announced_prefixes);
        }
        tokio::select! {
            () = announcer.sessions_changed(version) => version = announcer.sessions_version(),
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                break;
            }
        }
    }
    // 4. Withdraws and says goodbye before it stops.
    announcer.shutdown(Duration::from_secs(2)).await;
    Ok(())
}
