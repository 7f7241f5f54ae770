//! The stage of the cluster demo: everything that is there before the first object of the story is applied.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use lab::cluster::{Node, Plan, Pod, Program, Role, Roles};
use lab::control_plane::{Binaries, kubernetes_version};
use lab::router::{Bird, Router as _};
use lab::{Capture, Cluster, Fault, Host, Judge, Keep, Moment, Prober, wait_until};

use super::super::{DemoError, LINK, Narrator};
use super::deploy;

/// How long the roles may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// An answer older than this says nothing about who owns an address now.
const FRESH: Duration = Duration::from_millis(500);

/// A cluster in which the roles run.
#[derive(Debug)]
pub struct Stage {
    // In this order they end: what asks, what serves, what it all stands on.
    roles: Roles,
    bird: Bird,
    pods: Vec<Pod>,
    /// The capture of all announcements on the nodes' segment.
    pub capture: Capture,
    /// The client behind the router.
    pub far: Host,
    /// The cluster.
    pub cluster: Cluster,
}

impl Stage {
    /// Builds it, telling what is there.
    ///
    /// # Errors
    /// What the laboratory or the API server refused.
    pub(in super::super) fn build(out: &mut Narrator, binaries: &Binaries) -> Result<Self, DemoError> {
        let begun = Moment::now();
        out.say(&format!("Starting etcd and kube-apiserver {} in a namespace of their own.", kubernetes_version()))?;
        let mut cluster = Cluster::start(binaries, &Plan { router: true, ..Plan::default() })?;
        let spent = Moment::now().since(begun).as_millis();
        out.say(&format!(
            "After {spent} ms the API server is ready, with three nodes (n1, n2, n3) that run kube-proxy, a router, two clients beside \
             the nodes and one behind the router."
        ))?;
        let program = std::env::current_exe().map_err(|source| DemoError::file("finding this program", source))?;
        let router = cluster.router().cloned().ok_or_else(|| DemoError::missing("the router"))?;
        let far = cluster.far_client().cloned().ok_or_else(|| DemoError::missing("the client behind the router"))?;
        let bird = Bird::start(&router, &configuration(&cluster))?;
        let capture = Capture::start(cluster.lan(), Keep::Announcements)?;
        let deploy = deploy::write()?;
        let roles = cluster.install(&Program::new(program), deploy.path())?;
        out.say(
            "Applied deploy/ (namespace, resource definitions, rights); the controller and three speakers run, each with the rights of \
             its ServiceAccount.",
        )?;
        cluster.nodes_mut().iter_mut().try_for_each(Node::wait_for_proxy)?;
        let pod = |node: &Node| node.pod(&format!("web-{}", node.number()));
        let pods = cluster.nodes().iter().map(pod).collect::<lab::Result<Vec<_>>>()?;
        cluster.endpoints("default", "web", &pods.iter().collect::<Vec<_>>())?;
        Ok(Self { roles, bird, pods, capture, far, cluster })
    }

    /// The address that a Service of namespace `default` has in its status.
    ///
    /// # Errors
    /// Where it gets none in time.
    pub fn address_of(&self, service: &str, within: Duration) -> Result<Ipv4Addr, DemoError> {
        let path = "jsonpath={.status.loadBalancer.ingress[0].ip}";
        let what = format!("an address for {service}");
        let is_address = |text: &str| text.trim().parse::<Ipv4Addr>().is_ok();
        let found = self.cluster.plane().wait_for(&what, within, &["service", service, "-o", path], is_address);
        let text = found.map_err(|error| self.unserved(&error))?;
        text.trim().parse().map_err(|_| DemoError::missing("an address of IPv4"))
    }

    /// From the creation of a Service to its status, by the API server's own record.
    ///
    /// # Errors
    /// Where the record does not have both.
    pub fn time_to_allocate(&self, service: &str, since: Moment, within: Duration) -> Result<Duration, DemoError> {
        let found = wait_until(within, "the record of both writes", || {
            let writes = self.cluster.plane().writes().ok()?;
            let of = |subresource: &str| {
                writes.iter().find(|write| {
                    write.at >= since
                        && write.resource == "services"
                        && write.name == service
                        && write.subresource == subresource
                        && write.is_success()
                })
            };
            Some(of("status")?.at.since(of("")?.at))
        });
        found.map_err(|error| self.unserved(&error))
    }

    /// Waits until BIRD has the address by every node; returns the next hops.
    ///
    /// # Errors
    /// Where it does not come so far.
    pub fn wait_for_routes(&self, address: Ipv4Addr, within: Duration) -> Result<Vec<String>, DemoError> {
        let prefix = format!("{address}/32");
        let hops = |routes: &[lab::router::Route]| -> Vec<String> {
            let ours = routes.iter().filter(|route| route.prefix == prefix);
            ours.flat_map(|route| route.next_hops.iter().cloned()).collect()
        };
        let nodes = self.cluster.nodes().len();
        let what = format!("routes to {prefix} by {nodes} nodes");
        let found = self.bird.wait_routes(4, &what, within, &|routes| hops(routes).len() == nodes);
        Ok(hops(&found.map_err(|error| self.unserved(&error))?))
    }

    /// Lets the second client ask for the address 20 times a second, so that its owner is seen.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn probe(&self, address: Ipv4Addr) -> Result<Prober, DemoError> {
        let sender = Ipv4Addr::new(192, 168, 1, 101);
        Ok(Prober::start(self.cluster.second_client(), LINK, sender, &[address], 20)?)
    }

    /// Who answers for the address now.
    ///
    /// # Errors
    /// Where nobody does.
    pub fn wait_for_owner(&self, address: Ipv4Addr) -> Result<String, DemoError> {
        let what = format!("an answer for {address}");
        let found = wait_until(READY_WITHIN, &what, || {
            let now = Moment::now();
            let judge = self.judge(address).ok()?;
            let last = judge.answers(address).last().filter(|answer| now.since(answer.at) < FRESH)?;
            Some(last.host.to_string())
        });
        found.map_err(|error| self.unserved(&error))
    }

    /// The judge of who answered for the address so far.
    ///
    /// # Errors
    /// Where the capture lost frames.
    pub fn judge(&self, address: Ipv4Addr) -> Result<Judge, DemoError> {
        let frames = self.capture.frames()?;
        match self.capture.lost() {
            0 => Ok(Judge::of(&frames).among(|seen| seen == IpAddr::V4(address))),
            frames => Err(DemoError::CaptureLost { frames }),
        }
    }

    /// Takes the pod of a node out of the Service's endpoints.
    ///
    /// # Errors
    /// What the API server refused.
    pub fn serve_without(&self, node: &str) -> Result<(), DemoError> {
        let others: Vec<&Pod> = self.pods.iter().filter(|pod| pod.node() != node).collect();
        self.cluster.endpoints("default", "web", &others)?;
        Ok(())
    }

    /// Ends a node: its link is cut and its processes are killed. Returns the moment just before.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn kill_node(&mut self, name: &str) -> Result<Moment, DemoError> {
        let at = Moment::now();
        let host = self.cluster.node(name)?.host().clone();
        self.cluster.lan().impose(&host, Fault::Carrier)?;
        self.roles.speaker(name).map_or(Ok(()), Role::kill)?;
        for node in self.cluster.nodes_mut().iter_mut().filter(|node| node.name() == name) {
            drop(node.proxy().take());
        }
        Ok(at)
    }

    /// What failed, with everything that the roles have said.
    pub fn unserved(&self, error: &lab::Error) -> DemoError {
        DemoError::Unserved { what: error.to_string(), logs: self.roles.logs() }
    }
}

/// BIRD as the peer of every node, writing what it learns into its kernel, with every node that has a route as a next hop.
fn configuration(cluster: &Cluster) -> String {
    let kernel = "protocol kernel { merge paths on; ipv4 { import none; export where source = RTS_BGP; }; }";
    let sessions = cluster.nodes().iter().map(|node| {
        let (name, number) = (node.name(), 10 + node.number());
        format!(
            "protocol bgp {name} {{ local 10.0.0.1 as 64501; neighbor 10.0.0.{number} as 64500; ipv4 {{ import all; export none; }}; }}"
        )
    });
    ["router id 10.0.0.1;".to_owned(), kernel.to_owned()].into_iter().chain(sessions).collect::<Vec<_>>().join("\n")
}
