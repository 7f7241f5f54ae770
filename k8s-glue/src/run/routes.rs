//! BGP in `ferrule run`: which peers this node has sessions with, and which addresses must be on `ferrule0` because routes lead here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use announce_bgp::config::{BgpConfig, EngineDefaults};
use announce_bgp::io::BgpAnnouncer;
use lbcore::announce::{Announcer, DesiredSet, Reach};
use lbcore::config::Config;
use lbcore::labels::Labels;
use lbcore::node::Node;
use lbcore::service::{NodeName, ServiceKey};
use tokio::sync::Mutex;

use super::addresses::Holder;

/// The name under which addresses of routes are held, beside those of the segment's announcers.
const HELD_AS: &str = "routes";

/// The announcer of routes with what it is configured with.
#[derive(Debug)]
pub(crate) struct Routes {
    announcer: Arc<BgpAnnouncer>,
    defaults: EngineDefaults,
    /// The addresses that are held; `None` where that is not known.
    held: Option<BTreeSet<IpAddr>>,
}

impl Routes {
    /// Dials the peers of this node. Must be called within a tokio runtime.
    pub(crate) fn start(config: &Config, nodes: &[Node], own: &NodeName, defaults: EngineDefaults) -> Self {
        let config = BgpConfig::for_node(config, own.clone(), &labels_of(nodes, own), defaults);
        Self { announcer: Arc::new(BgpAnnouncer::start(config)), defaults, held: Some(BTreeSet::new()) }
    }

    /// Takes another configuration; sessions of peers that did not change go on.
    pub(crate) fn configure(&self, config: &Config, nodes: &[Node], own: &NodeName) {
        let labels = labels_of(nodes, own);
        self.announcer.configure(BgpConfig::for_node(config, own.clone(), &labels, self.defaults));
    }

    /// The announcer as every other.
    pub(crate) fn announcer(&self) -> Arc<dyn Announcer> {
        Arc::<BgpAnnouncer>::clone(&self.announcer)
    }

    /// Has the addresses that routes lead to on this host.
    pub(crate) async fn receive(
        &mut self,
        desired: &DesiredSet,
        held: &BTreeMap<ServiceKey, Vec<IpAddr>>,
        holder: &Mutex<Holder>,
    ) {
        let wanted = addresses(desired, held);
        if self.held.as_ref() == Some(&wanted) {
            return;
        }
        let errors = holder.lock().await.hold(HELD_AS, wanted.clone()).await;
        for error in &errors {
            tracing::error!(%error, "address that a route leads to could not be changed; it is tried again with the next change");
        }
        self.held = errors.is_empty().then_some(wanted);
    }
}

fn labels_of(nodes: &[Node], own: &NodeName) -> Labels {
    nodes.iter().find(|node| node.name == *own).map(|node| node.labels.clone()).unwrap_or_default()
}

/// The addresses of Services that a route of this node covers: what comes for them must be received here.
fn addresses(desired: &DesiredSet, held: &BTreeMap<ServiceKey, Vec<IpAddr>>) -> BTreeSet<IpAddr> {
    let routed = desired.iter().filter(|announcement| matches!(announcement.reach, Reach::Routed(_)));
    let covered = routed.flat_map(|announcement| {
        let addresses = announcement.services.iter().filter_map(|service| held.get(service)).flatten();
        addresses.copied().filter(|address| announcement.prefix.contains(*address))
    });
    covered.collect()
}

#[cfg(test)]
mod tests {
    use lbcore::announce::{Announcement, RoutedReach};

    use super::*;

    #[test]
    fn a_route_brings_the_addresses_of_its_services_that_it_covers() {
        let service = |name: &str| ServiceKey::new("default", name).unwrap();
        let route = |prefix: &str, names: &[&str]| Announcement {
            services: names.iter().map(|name| service(name)).collect(),
            prefix: prefix.parse().unwrap(),
            reach: Reach::Routed(RoutedReach { parts: Arc::from([]) }),
        };
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let held = BTreeMap::from([
            (service("a"), vec![address("198.51.100.1"), address("2001:db8::1")]),
            (service("b"), vec![address("198.51.100.9")]),
            (service("c"), vec![address("198.51.100.10")]),
        ]);
        let desired =
            DesiredSet::new().changed([route("198.51.100.0/24", &["a", "b"]), route("2001:db8::1/128", &["a"])], []);
        let expected = ["198.51.100.1", "198.51.100.9", "2001:db8::1"].map(address);
        assert_eq!(addresses(&desired, &held), BTreeSet::from(expected));
        assert_eq!(addresses(&DesiredSet::new(), &held), BTreeSet::new());
    }
}
