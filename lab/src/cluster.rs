//! A cluster: nodes on one segment with a real control plane, a real data path, pods that serve, and clients.
//!
//! ```no_run
//! # fn main() -> lab::Result<()> {
//! let binaries = lab::control_plane::find_or_build(&mut |line| eprintln!("{line}"))?;
//! let cluster = lab::Cluster::start(&binaries, &lab::cluster::Plan::default())?;
//! cluster.apply("{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {type: LoadBalancer, ports: [{port: 80}]}}")?;
//! let pods = [cluster.nodes()[0].pod("web-0")?, cluster.nodes()[1].pod("web-1")?];
//! cluster.endpoints("default", "web", &pods.each_ref())?;
//! # Ok(()) }
//! ```
//!
//! ```text
//!  control      n1 .11   n2 .12   n3 .13      client .100   client2 .101
//!    .1 |         |        |        |             |             |
//!  =====+=========+========+========+=============+=============+=====  lan   192.168.1.0/24, fc00:f853:ccd:e793::/64, and
//!                                      | .254                                 10.0.0.0/24 (router .1, nodes as in lan)
//!                                    router           (where the plan has one)
//!                                      | .1
//!  ====================================+====================+=========  far   172.30.0.0/16, fc00:f853:ccd:e798::/64
//!                                                       far .100
//! ```
//!
//! Host parts of IPv6 read like those of IPv4: n1 is `::11`. With a second segment, nodes and clients have a second link there, in
//! 192.168.2.0/24 and `fc00:f853:ccd:e794::/64`. Pods are in 10.244.N.0/24 and `fd00:10:244:N::/64` of node N, behind a bridge `cni0`.
//! The addresses are those of the examples that users have at hand: pools 192.168.1.240-192.168.1.250 and 192.168.10.0/24, peer 10.0.0.1.

mod node;
mod pod;
mod role;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

pub use node::Node;
pub use pod::{Answer, POD_PORT, Pod};
pub use role::{Program, Role, Roles};

use crate::Lab;
use crate::control_plane::objects::{self, Endpoint, SlicePort, Transport};
use crate::control_plane::{Binaries, ControlPlane, Kubectl, Settings};
use crate::error::{Error, Result};
use crate::host::{Host, Via};
use crate::segment::Segment;

/// Namespace that the product is installed in.
pub const INSTALL_NAMESPACE: &str = "metallb-system";

/// The Secret that the controller makes and speakers mount, and its entry ([OWN-16]).
const MEMBER_SECRET: &str = "memberlist";
const MEMBER_KEY: &str = "secretkey";

const LAN: u16 = 0xe793;
const SECOND: u16 = 0xe794;
const FAR: u16 = 0xe798;

/// What a cluster has.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many nodes, 1 to 9: `n1`, `n2`, ...
    pub nodes: u8,
    /// Whether kube-proxy runs on each node.
    pub proxy: bool,
    /// Whether there is a router with a network behind it and a client there.
    pub router: bool,
    /// Whether nodes and clients have a second link, on a second segment.
    pub second_segment: bool,
    /// Further flags of the API server.
    pub api_server_flags: Vec<String>,
}

impl Default for Plan {
    fn default() -> Self {
        Self { nodes: 3, proxy: true, router: false, second_segment: false, api_server_flags: Vec::new() }
    }
}

/// A running cluster. Everything in it ends when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    // Processes first: they end before the hosts that they are in.
    nodes: Vec<Node>,
    plane: ControlPlane,
    clients: [Host; 2],
    router: Option<Router>,
    lan: Segment,
    second: Option<Segment>,
    lab: Lab,
    guests: Mutex<BTreeMap<String, Host>>,
    /// Where the key of the speakers is mounted.
    member_key: Mutex<Option<PathBuf>>,
}

/// The router with the network behind it.
#[derive(Debug)]
struct Router {
    host: Host,
    client: Host,
    segment: Segment,
}

impl Cluster {
    /// Builds hosts and links, starts the control plane, makes the Node objects, and starts kube-proxy where the plan says so.
    ///
    /// # Errors
    /// What the kernel refused, and what [`ControlPlane::start`] says.
    pub fn start(binaries: &Binaries, plan: &Plan) -> Result<Self> {
        if !(1..=9).contains(&plan.nodes) {
            let value = plan.nodes.to_string();
            return Err(Error::Input { what: "number of nodes", value, mend: "1 to 9".into() });
        }
        let lab = Lab::new("cluster");
        let control = machine(&lab, "control")?;
        let lan = lab.segment("lan", &[&control])?;
        give(&control, "eth0", LAN, 1)?;
        let second = plan.second_segment.then(|| lab.segment("second", &[])).transpose()?;
        let settings = Settings { addresses: vec![v4(LAN, 1), v6(LAN, 1)], flags: plan.api_server_flags.clone() };
        let plane = ControlPlane::start(&control, binaries, &settings)?;
        let nodes = (1..=plan.nodes).map(|number| Node::make(&lab, &lan, second.as_ref(), number));
        let nodes = nodes.collect::<Result<Vec<_>>>()?;
        for one in &nodes {
            nodes.iter().filter(|other| other.number() != one.number()).try_for_each(|other| one.reach(other))?;
        }
        let client = |name: &str, number: u8| -> Result<Host> {
            let host = machine(&lab, name)?;
            join(&host, &lan, LAN, number)?;
            second.as_ref().map_or(Ok(()), |second| join(&host, second, SECOND, number))?;
            Ok(host)
        };
        let clients = [client("client", 100)?, client("client2", 101)?];
        let router = plan.router.then(|| Router::make(&lab, &lan)).transpose()?;
        let (guests, member_key) = (Mutex::default(), Mutex::default());
        let mut cluster = Self { nodes, plane, clients, router, lan, second, lab, guests, member_key };
        cluster.write_nodes()?;
        if plan.proxy {
            for node in &mut cluster.nodes {
                node.start_proxy(&cluster.plane)?;
            }
        }
        Ok(cluster)
    }

    /// The nodes in their order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The nodes in their order, to start and stop what runs on them.
    pub fn nodes_mut(&mut self) -> &mut [Node] {
        &mut self.nodes
    }

    /// A node by its name.
    ///
    /// # Errors
    /// [`Error::Input`] where there is none.
    pub fn node(&self, name: &str) -> Result<&Node> {
        let found = self.nodes.iter().find(|node| node.name() == name);
        let mend = || format!("n1 to n{}", self.nodes.len());
        found.ok_or_else(|| Error::Input { what: "node", value: name.to_owned(), mend: mend() })
    }

    /// The control plane.
    pub const fn plane(&self) -> &ControlPlane {
        &self.plane
    }

    /// The control plane, to break and mend it.
    pub const fn plane_mut(&mut self) -> &mut ControlPlane {
        &mut self.plane
    }

    /// The client on the segment of the nodes.
    pub const fn client(&self) -> &Host {
        let [client, _] = &self.clients;
        client
    }

    /// A second client there.
    pub const fn second_client(&self) -> &Host {
        let [_, client] = &self.clients;
        client
    }

    /// The router, where the plan has one: a host that forwards, with no routing daemon yet.
    pub fn router(&self) -> Option<&Host> {
        self.router.as_ref().map(|router| &router.host)
    }

    /// The client behind the router.
    pub fn far_client(&self) -> Option<&Host> {
        self.router.as_ref().map(|router| &router.client)
    }

    /// The segment behind the router.
    pub fn far_segment(&self) -> Option<&Segment> {
        self.router.as_ref().map(|router| &router.segment)
    }

    /// The segment of the nodes.
    pub const fn lan(&self) -> &Segment {
        &self.lan
    }

    /// The second segment of nodes and clients.
    pub const fn second_segment(&self) -> Option<&Segment> {
        self.second.as_ref()
    }

    /// The laboratory, for hosts of one's own.
    pub const fn lab(&self) -> &Lab {
        &self.lab
    }

    /// Applies objects as an administrator.
    ///
    /// # Errors
    /// As [`Kubectl::apply`].
    pub fn apply(&self, yaml: &str) -> Result<String> {
        self.plane.apply(yaml)
    }

    /// `kubectl` as an administrator.
    pub const fn admin(&self) -> &Kubectl {
        self.plane.admin()
    }

    /// Writes the EndpointSlices of a Service whose only port has no name: these pods, all ready. Again with other pods it replaces them.
    ///
    /// # Errors
    /// As [`Kubectl::apply`].
    pub fn endpoints(&self, namespace: &str, service: &str, pods: &[&Pod]) -> Result<()> {
        self.endpoints_at(namespace, service, &[("", Transport::Tcp)], pods)
    }

    /// [`Cluster::endpoints`] of a Service whose ports have these names and protocols; every one leads to [`POD_PORT`].
    ///
    /// # Errors
    /// As [`Kubectl::apply`].
    pub fn endpoints_at(
        &self,
        namespace: &str,
        service: &str,
        ports: &[(&str, Transport)],
        pods: &[&Pod],
    ) -> Result<()> {
        let endpoints: Vec<Endpoint> = pods.iter().flat_map(|pod| pod.endpoints()).collect();
        let port = |&(name, transport)| SlicePort { name, number: POD_PORT, transport };
        let ports: Vec<SlicePort<'_>> = ports.iter().map(port).collect();
        self.apply(&objects::endpoint_slices(namespace, service, &ports, &endpoints)).map(drop)
    }

    /// A further host on the segment of the nodes, with host part 30 and above: a controller's pod, a stranger. The same name is the
    /// same host again.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn guest(&self, name: &str) -> Result<Host> {
        let mut guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = guests.get(name) {
            return Ok(host.clone());
        }
        let host = machine(&self.lab, name)?;
        let number = u8::try_from(30 + guests.len()).ok().filter(|number| *number < 100);
        let mend = || "at most 70 of them".to_owned();
        let number = number.ok_or_else(|| Error::Input { what: "guest", value: name.to_owned(), mend: mend() })?;
        join(&host, &self.lan, LAN, number)?;
        gateways(&host, LAN)?;
        guests.insert(name.to_owned(), host.clone());
        Ok(host)
    }

    /// Installs the product as users do: `kubectl apply -k FOLDER`, then what a kubelet would start: a controller, and a speaker on each
    /// node, with the rights of the ServiceAccounts `controller` and `speaker`. A speaker starts once the Secret that it mounts is there.
    ///
    /// # Errors
    /// What the API server refused; [`Error::Late`] where the controller makes no Secret, with what it said.
    pub fn install(&self, program: &Program, deploy: &Path) -> Result<Roles> {
        self.admin().run(&["apply", "-k", &deploy.to_string_lossy()])?;
        let account = |name: &str| self.plane.service_account(&program.namespace, name);
        let mut controller = self.controller(program, "controller", &account("controller")?)?;
        controller.start()?;
        self.mount_member_key(&program.namespace).map_err(|error| error.with_last_look(&controller.log()))?;
        let user = account("speaker")?;
        let speakers = self.nodes.iter().map(|node| {
            let mut speaker = self.speaker(program, node.name(), &user)?;
            speaker.start().map(|()| speaker)
        });
        let speakers = speakers.collect::<Result<Vec<_>>>()?;
        Ok(Roles { controller, speakers })
    }

    /// Waits for the Secret with the key that speakers share, and mounts it for those that [`Cluster::speaker`] makes from then on.
    ///
    /// # Errors
    /// [`Error::Late`].
    pub fn mount_member_key(&self, namespace: &str) -> Result<PathBuf> {
        let folder = self.plane.mount_secret(namespace, MEMBER_SECRET, MEMBER_KEY, START_WITHIN)?;
        let mut mounted = self.member_key.lock().unwrap_or_else(PoisonError::into_inner);
        *mounted = Some(folder.clone());
        Ok(folder)
    }

    /// A controller with the rights of `user`, not started yet, in a host of its own called `name`, which is also its Pod's name.
    ///
    /// # Errors
    /// What the kernel or the API server refused.
    pub fn controller(&self, program: &Program, name: &str, user: &Kubectl) -> Result<Role> {
        let host = self.guest(name)?;
        let node = self.nodes.first().map(Node::name).unwrap_or_default();
        self.apply(&objects::pod(&program.namespace, name, "controller", node))?;
        let environment = [("METALLB_DEPLOYMENT", "controller"), ("METALLB_ML_SECRET_NAME", MEMBER_SECRET)];
        Ok(Role::new(program, "controller", name, &host, user, &environment))
    }

    /// The speaker of a node with the rights of `user`, not started yet.
    ///
    /// # Errors
    /// [`Error::Input`] where there is no such node; what the API server refused.
    pub fn speaker(&self, program: &Program, node: &str, user: &Kubectl) -> Result<Role> {
        let node = self.node(node)?;
        let name = format!("speaker-{}", node.name());
        self.apply(&objects::pod(&program.namespace, &name, "speaker", node.name()))?;
        let address = node.address_v4().to_string();
        let mounted = self.member_key.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mounted = mounted.map(|folder| folder.to_string_lossy().into_owned());
        let environment = [
            ("METALLB_NODE_NAME", node.name()),
            ("METALLB_HOST", &address),
            ("METALLB_ML_BIND_ADDR", &address),
            ("METALLB_ML_LABELS", "app=metallb,component=speaker"),
        ];
        let mounted = mounted.as_deref().map(|folder| ("METALLB_ML_SECRET_KEY_PATH", folder));
        let environment: Vec<(&str, &str)> = environment.into_iter().chain(mounted).collect();
        Ok(Role::new(program, "speaker", &name, node.host(), user, &environment))
    }

    fn write_nodes(&self) -> Result<()> {
        let addresses = |node: &Node| [IpAddr::V4(node.address_v4()), IpAddr::V6(node.address_v6())];
        let text: String = self.nodes.iter().map(|node| objects::node(node.name(), &addresses(node))).collect();
        self.apply(&text)?;
        self.admin().feed(&["replace", "--subresource=status"], &text).map(drop)
    }
}

impl Router {
    fn make(lab: &Lab, lan: &Segment) -> Result<Self> {
        let (host, client) = (machine(lab, "router")?, machine(lab, "far")?);
        forwards(&host)?;
        join(&host, lan, LAN, 254)?;
        host.address("eth0", "10.0.0.1/24")?;
        let segment = lab.segment("far", &[&host, &client])?;
        give(&host, "eth1", FAR, 1)?;
        give(&client, "eth0", FAR, 100)?;
        client.route("0.0.0.0/0", Via::Gateway(v4(FAR, 1)))?;
        client.route("::/0", Via::Gateway(v6(FAR, 1)))?;
        Ok(Self { host, client, segment })
    }
}

/// A host whose IPv6 addresses are usable at once.
fn machine(lab: &Lab, name: &str) -> Result<Host> {
    let host = lab.host(name)?;
    for scope in ["all", "default"] {
        host.sysctl(&format!("net.ipv6.conf.{scope}.accept_dad"), "0")?;
        host.sysctl(&format!("net.ipv6.conf.{scope}.dad_transmits"), "0")?;
    }
    Ok(host)
}

fn forwards(host: &Host) -> Result<()> {
    host.sysctl("net.ipv4.ip_forward", "1")?;
    host.sysctl("net.ipv6.conf.all.forwarding", "1")
}

/// Gives a host a link on a segment with the addresses of a network.
fn join(host: &Host, segment: &Segment, network: u16, number: u8) -> Result<()> {
    let link = segment.join(host)?;
    give(host, &link, network, number)
}

fn give(host: &Host, link: &str, network: u16, number: u8) -> Result<()> {
    let length = if network == FAR { 16 } else { 24 };
    host.address(link, &format!("{}/{length}", v4(network, number)))?;
    host.address(link, &format!("{}/64", v6(network, number)))
}

/// The router as the way to everywhere else, whether the plan has one or not: a host without a default route cannot even reach the
/// address of a Service that its own kernel would translate.
fn gateways(host: &Host, network: u16) -> Result<()> {
    host.route("0.0.0.0/0", Via::Gateway(v4(network, 254)))?;
    host.route("::/0", Via::Gateway(v6(network, 254)))
}

/// The IPv4 address of a host part in a network.
const fn v4(network: u16, number: u8) -> IpAddr {
    IpAddr::V4(match network {
        SECOND => Ipv4Addr::new(192, 168, 2, number),
        FAR => Ipv4Addr::new(172, 30, 0, number),
        _ => Ipv4Addr::new(192, 168, 1, number),
    })
}

/// The IPv6 address of a host part in a network; it reads like the one of IPv4.
fn v6(network: u16, number: u8) -> IpAddr {
    let digits = u16::from_str_radix(&number.to_string(), 16).unwrap_or_default();
    IpAddr::V6(Ipv6Addr::new(0xfc00, 0xf853, 0xccd, network, 0, 0, 0, digits))
}

/// How long a node's part may take to start.
const START_WITHIN: Duration = Duration::from_secs(60);
