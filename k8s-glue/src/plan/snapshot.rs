//! The view that decisions are made on: configuration, nodes, and Services with their addresses and endpoints.

use std::net::IpAddr;
use std::sync::Arc;

use lbcore::config::Config;
use lbcore::decide::{
    DecideOptions, EndpointAddress, Endpoints, ExcludeLabel, MissingSlices, ServiceFacts, SharingAnnotation, Snapshot,
};
use lbcore::labels::Labels;
use lbcore::node::{NetworkCondition, Node};
use lbcore::service::NodeName;

use super::{Assignment, PlanSettings};
use crate::convert::{Endpoint, Objects, Readiness, ServiceObject};

/// The view in which every Service has the addresses that it was assigned.
pub fn of(
    config: &Arc<Config>,
    objects: &Objects,
    assignments: &[Assignment<'_>],
    settings: &PlanSettings,
) -> Snapshot {
    let live = settings.live_nodes.as_ref();
    let options = DecideOptions {
        exclude_label: if settings.ignore_exclude_label { ExcludeLabel::Ignored } else { ExcludeLabel::Respected },
        missing_slices: if settings.standalone { MissingSlices::ServedEverywhere } else { MissingSlices::NoEndpoint },
        live_nodes: live.map(|names| names.iter().filter_map(|name| NodeName::new(name.as_str()).ok()).collect()),
    };
    let mut snapshot = Snapshot::new(Arc::clone(config), nodes(objects, settings), options);
    for assignment in assignments {
        let addresses = assignment.outcome.addresses.as_ref().map(|addresses| addresses.as_slice().to_vec());
        let endpoints = objects.endpoints.get(&assignment.state.key);
        snapshot.set_service(facts(assignment.object, addresses.unwrap_or_default(), endpoints.map(Vec::as_slice)));
    }
    snapshot
}

/// The nodes of the input; without a cluster, where nobody writes documents for them, also those said to be alive.
fn nodes(objects: &Objects, settings: &PlanSettings) -> Vec<Node> {
    let mut nodes = objects.config.nodes.clone();
    let live = settings.live_nodes.iter().flatten().filter(|_| settings.standalone);
    for name in live.filter_map(|name| NodeName::new(name.as_str()).ok()) {
        if nodes.iter().all(|node| node.name != name) {
            nodes.push(Node { name, labels: Labels::new(), network: NetworkCondition::default() });
        }
    }
    nodes
}

/// A Service as decisions see it, with these addresses; `None` for endpoints means that it has no slice.
///
/// Source: [ANN-20] to [ANN-24], [ANN-31].
pub fn facts(service: &ServiceObject, addresses: Vec<IpAddr>, endpoints: Option<&[Endpoint]>) -> ServiceFacts {
    ServiceFacts {
        key: service.key.clone(),
        labels: (*service.labels).clone(),
        addresses,
        policy: service.traffic_policy,
        sharing: if service.has_sharing_annotation() { SharingAnnotation::Present } else { SharingAnnotation::Absent },
        endpoints: endpoints.map_or(Endpoints::NoSlice, count),
    }
}

fn count(endpoints: &[Endpoint]) -> Endpoints {
    let mut counted = Endpoints::none();
    for endpoint in endpoints.iter().filter(|endpoint| endpoint.readiness == Readiness::Usable) {
        let address = if endpoint.addresses.is_empty() { EndpointAddress::Absent } else { EndpointAddress::Present };
        counted.add(endpoint.node.as_ref(), address);
    }
    counted
}
