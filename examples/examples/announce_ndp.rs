//! Announces one IPv6 address on the links of this host, with nothing of Kubernetes: the smallest host of `announce-ndp`.
//!
//! As root: `cargo run -p ferrule-examples --example announce_ndp -- NODE-NAME ADDRESS`. Started on a second host of the segment under
//! another name, it stands by, and takes over when the first one dies or is interrupted.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use announce_ndp::io::{NdpAnnouncer, NdpConfig, now};
use ipnetwork::IpNetwork;
use lbcore::announce::{
    Announcement, Announcer, DesiredSet, GroupKey, LinkReach, Reach, Standing, StatusDelta, StatusVersion,
};
use lbcore::link::LinkSelection;
use lbcore::ownership::{BootId, Hub, HubConfig};
use lbcore::service::{NodeName, ServiceKey};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A number that differs at each start: the keys of the standard library's hash maps are random.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn announcement(address: Ipv6Addr) -> Result<Announcement, Failure> {
    let address = IpAddr::V6(address);
    let reach = LinkReach {
        group: GroupKey(address),
        election_key: address,
        score: 0,
        links: LinkSelection::All,
        standing: Standing::Eligible,
    };
    let service = ServiceKey::new("example", "web")?;
    Ok(Announcement { services: Arc::from([service]), prefix: IpNetwork::from(address), reach: Reach::Link(reach) })
}

#[expect(clippy::print_stdout, reason = "an example shows what happens")]
fn show(delta: StatusDelta) -> StatusVersion {
    match delta {
        StatusDelta::Changes { version, changes } => {
            for change in changes {
                println!("{}: {:?}", change.key.prefix, change.state);
            }
            version
        }
        StatusDelta::Resync { version, all } => {
            println!("{all:?}");
            version
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let (Some(name), Some(address)) = (arguments.next(), arguments.next()) else {
        return Err("usage: announce_ndp NODE-NAME ADDRESS".into());
    };
    // 1. One hub for the node decides who answers for what; announcers of several families would share it.
    let config = HubConfig::new(NodeName::new(name)?, BootId(random()));
    let hub = Hub::new(config, now(), random());
    // 2. The announcer finds the links by itself.
    let announcer = NdpAnnouncer::start(NdpConfig::new(hub)?)?;
    // 3. The whole of what this node shall announce, as a value.
    let desired = DesiredSet::new().changed([announcement(address.parse()?)?], []);
    announcer.replace(Arc::new(desired)).await;
    // 4. What is really done comes back as changes.
    let mut version = StatusVersion::default();
    loop {
        tokio::select! {
            () = announcer.changed(version) => version = show(announcer.status_since(version)),
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                break;
            }
        }
    }
    // 5. Hands over before it stops.
    announcer.shutdown(Duration::from_secs(2)).await;
    show(announcer.status_since(version));
    Ok(())
}
