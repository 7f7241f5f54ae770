//! The cluster with its Services, a client for each address, and the record of who answers.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use lab::client::{Client, Memory};
use lab::cluster::{INSTALL_NAMESPACE, Node, Plan, Pod, Program, Role, Roles};
use lab::control_plane::Binaries;
use lab::control_plane::audit::Write;
use lab::router::{Bird, Router as _};
use lab::{Capture, Cluster, Judge, Keep, Moment, Prober, http, wait_until};
use serde_json::Value;

use super::Fallible;
use super::table::{Row, Traffic};

/// Namespace of the Services that clients ask, and of those that come and go.
pub(crate) const SHOP: &str = "shop";
pub(crate) const LATE: &str = "late";
/// What users install.
const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy");
/// Everything that has to come about at all does so within this time, on a busy machine too.
pub(crate) const WITHIN: Duration = Duration::from_secs(90);
/// Questions for each address and second, so that owners are seen.
const ASKED: u32 = 20;
/// Time between two looks at a record.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// An answer older than this says nothing about who owns an address now.
const FRESH: Duration = Duration::from_millis(600);

/// Pools on the segment and behind the router, each with one way of announcing.
const OBJECTS: &str = "
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: lan, namespace: metallb-system}
spec: {addresses: [192.168.1.200-192.168.1.250, \"fc00:f853:ccd:e793::f0-fc00:f853:ccd:e793::ff\"]}
---
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: routed, namespace: metallb-system}
spec: {addresses: [192.168.10.0/24, \"fc00:f853:ccd:e799::/124\"], autoAssign: false}
---
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: many, namespace: metallb-system}
spec: {addresses: [10.64.0.0/22], autoAssign: false}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: lan, namespace: metallb-system}
spec: {ipAddressPools: [lan]}
---
apiVersion: metallb.io/v1beta1
kind: BGPAdvertisement
metadata: {name: routed, namespace: metallb-system}
spec: {ipAddressPools: [routed]}
---
apiVersion: metallb.io/v1beta2
kind: BGPPeer
metadata: {name: router, namespace: metallb-system}
spec: {myASN: 64512, peerASN: 65000, peerAddress: 192.168.1.254}
---
apiVersion: metallb.io/v1beta2
kind: BGPPeer
metadata: {name: router6, namespace: metallb-system}
spec: {myASN: 64512, peerASN: 65000, peerAddress: \"fc00:f853:ccd:e793::254\"}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Namespace
metadata: {name: late}
";

/// The Services: name, pool, what more their spec says.
const SERVICES: [(&str, &str, &str); 6] = [
    ("l2-v4", "lan", "ipFamilies: [IPv4]"),
    ("l2-v6", "lan", "ipFamilies: [IPv6]"),
    ("dual", "lan", "ipFamilyPolicy: RequireDualStack"),
    ("local", "lan", "ipFamilies: [IPv4], externalTrafficPolicy: Local"),
    ("bgp-v4", "routed", "ipFamilies: [IPv4]"),
    ("bgp-v6", "routed", "ipFamilies: [IPv6]"),
];

/// Where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// On the segment of the nodes, asking for the neighbour before each request.
    Cold,
    /// There, relying on announcements.
    Warm,
    /// Behind the router.
    Far,
}

/// The clients: label, Service, whether they ask by IPv4, place.
const CLIENTS: [(&str, &str, bool, Place); 8] = [
    ("L2 IPv4", "l2-v4", true, Place::Cold),
    ("warm", "l2-v4", true, Place::Warm),
    ("L2 IPv6", "l2-v6", false, Place::Cold),
    ("dual, 4", "dual", true, Place::Cold),
    ("dual, 6", "dual", false, Place::Cold),
    ("Local", "local", true, Place::Cold),
    ("BGP IPv4", "bgp-v4", true, Place::Far),
    ("BGP IPv6", "bgp-v6", false, Place::Far),
];

/// The cluster.
pub(crate) struct Rig {
    // In this order they end: what asks, what serves, what it all stands on.
    clients: Vec<Client>,
    probers: Vec<Prober>,
    capture: Capture,
    pub(crate) roles: Roles,
    bird: Bird,
    pods: Vec<Pod>,
    pub(crate) cluster: Cluster,
    /// The addresses of the Services that clients ask, at the beginning.
    addresses: BTreeMap<String, Vec<IpAddr>>,
    /// When the fault of now began.
    begun: Moment,
}

/// What runs on the nodes: that a watch expired is no news for anybody but who looks for it.
fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_ferrule")).with_argument("--log-level=debug")
}

impl Rig {
    pub(crate) fn build(binaries: &Binaries) -> Fallible<Self> {
        let mut cluster = Cluster::start(binaries, &Plan { router: true, ..Plan::default() })?;
        let router = cluster.router().ok_or("no router in the plan")?;
        // Flows of one client go by all nodes.
        for family in ["ipv4", "ipv6"] {
            router.sysctl(&format!("net.{family}.fib_multipath_hash_policy"), "1")?;
        }
        let bird = Bird::start(router, &configuration(&cluster))?;
        let roles = cluster.install(&program(), Path::new(DEPLOY))?;
        cluster.apply(OBJECTS)?;
        cluster.nodes_mut().iter_mut().try_for_each(Node::wait_for_proxy)?;
        // Two on each node: one alone, which makes a thread for each request, is late on a busy machine.
        let pods = |node: &Node| ["a", "b"].map(|letter| node.pod(&format!("web-{}{letter}", node.number())));
        let pods = cluster.nodes().iter().flat_map(pods).collect::<lab::Result<Vec<_>>>()?;
        let capture = Capture::start(cluster.lan(), Keep::Arp)?;
        let (clients, probers, addresses, begun) = (Vec::new(), Vec::new(), BTreeMap::new(), Moment::now());
        let mut rig = Self { clients, probers, capture, roles, bird, pods, cluster, addresses, begun };
        for node in rig.cluster.nodes() {
            for peer in
                [format!("192.168.1.{}", 10 + node.number()), format!("fc00:f853:ccd:e793::{}", 10 + node.number())]
            {
                let up = rig.bird.wait_established(&peer, true, WITHIN);
                up.map_err(|error| format!("{error}\n{}", rig.logs()))?;
            }
        }
        for (name, pool, more) in SERVICES {
            let pods: Vec<&Pod> = rig.pods.iter().collect();
            rig.create(SHOP, name, pool, more, &pods)?;
        }
        rig.ask()?;
        Ok(rig)
    }

    /// Waits until all have their addresses, and starts what asks for them.
    fn ask(&mut self) -> Fallible<()> {
        for (name, ..) in SERVICES {
            let addresses = self.wait_for_addresses(SHOP, name)?;
            self.addresses.insert(name.to_owned(), addresses);
        }
        for (label, service, is_v4, place) in CLIENTS {
            let address = self.address(service, is_v4)?;
            let host = match place {
                Place::Cold => self.cluster.client(),
                Place::Warm => self.cluster.second_client(),
                Place::Far => self.cluster.far_client().ok_or("no client behind the router")?,
            };
            let memory = if place == Place::Cold { Memory::Cleared } else { Memory::Kept };
            let target = SocketAddr::new(address, 80);
            let page = wait_until(WITHIN, &format!("a page of {service}"), || {
                http::get_from(host, target, Duration::from_secs(2)).ok()
            });
            page.map_err(|error| format!("{error}\n{}", self.logs()))?;
            self.clients.push(Client::start(label, host, target, memory)?);
        }
        // On a host of its own: answers to its questions teach the clients nothing.
        let asker = self.cluster.guest("asker")?;
        for (is_v4, sender) in [(true, "192.168.1.99"), (false, "fc00:f853:ccd:e793::99")] {
            let asked: Vec<IpAddr> = self.on_segment().filter(|address| address.is_ipv4() == is_v4).collect();
            let sender: IpAddr = sender.parse()?;
            self.probers.push(Prober::start(&asker, "eth0", sender, &asked, ASKED)?);
        }
        Ok(())
    }

    fn address(&self, service: &str, is_v4: bool) -> Fallible<IpAddr> {
        let found = self.addresses.get(service).into_iter().flatten().find(|address| address.is_ipv4() == is_v4);
        found.copied().ok_or_else(|| format!("{service} has no address of the family").into())
    }

    /// The addresses that are announced on the segment.
    fn on_segment(&self) -> impl Iterator<Item = IpAddr> {
        let is_on_segment = |name: &str| SERVICES.iter().any(|(service, pool, _)| *service == name && *pool == "lan");
        self.addresses.iter().filter(move |(name, _)| is_on_segment(name)).flat_map(|(_, all)| all.iter().copied())
    }

    /// What the clients are called.
    pub(crate) fn labels() -> Vec<&'static str> {
        CLIENTS.iter().map(|(label, ..)| *label).collect()
    }

    /// The end of what each role has said.
    pub(crate) fn logs(&self) -> String {
        let tail = |role: &Role| {
            let log = role.log();
            let lines: Vec<&str> = log.lines().collect();
            let from = lines.len().saturating_sub(40);
            format!("--- {}\n{}\n", role.name(), lines.get(from..).unwrap_or_default().join("\n"))
        };
        self.roles.all().map(tail).collect()
    }

    /// A Service of a pool with these pods as its endpoints.
    fn create(&self, namespace: &str, name: &str, pool: &str, more: &str, pods: &[&Pod]) -> Fallible<()> {
        self.cluster.endpoints(namespace, name, pods)?;
        self.cluster.apply(&service(namespace, name, pool, more))?;
        Ok(())
    }

    /// A Service that comes while something is broken, announced on the segment. With a node, that one alone may announce it.
    pub(crate) fn late(&self, name: &str, node: Option<&str>) -> Fallible<()> {
        let is_wanted = |pod: &&Pod| node.is_none_or(|node| pod.node() == node);
        let pods: Vec<&Pod> = self.pods.iter().filter(is_wanted).collect();
        let policy = if node.is_some() { "Local" } else { "Cluster" };
        self.create(LATE, name, "lan", &format!("ipFamilies: [IPv4], externalTrafficPolicy: {policy}"), &pods)
    }

    /// One with an address that no other gets by itself.
    pub(crate) fn late_with(&self, name: &str, address: IpAddr) -> Fallible<()> {
        let pods: Vec<&Pod> = self.pods.iter().collect();
        self.create(LATE, name, "lan", &format!("ipFamilies: [IPv4], loadBalancerIP: {address}"), &pods)
    }

    /// Asks for an address that no client asks for.
    pub(crate) fn probe(&self, address: IpAddr) -> Fallible<Prober> {
        let sender: IpAddr = "192.168.1.98".parse()?;
        Ok(Prober::start(&self.cluster.guest("asker")?, "eth0", sender, &[address], ASKED)?)
    }

    /// Takes such a Service away.
    pub(crate) fn delete_late(&self, name: &str) -> Fallible<()> {
        self.cluster.admin().run(&["delete", "service", name, "--namespace", LATE])?;
        Ok(())
    }

    /// Takes away what faults made: each kind at once, since there may be hundreds.
    fn clear(&self) -> Fallible<()> {
        for (group, kind) in [("/api/v1", "services"), ("/apis/discovery.k8s.io/v1", "endpointslices")] {
            self.cluster.admin().run(&["delete", "--raw", &format!("{group}/namespaces/{LATE}/{kind}")])?;
        }
        Ok(())
    }

    /// The addresses of a Service, once it has some.
    pub(crate) fn wait_for_addresses(&self, namespace: &str, name: &str) -> Fallible<Vec<IpAddr>> {
        let path = "jsonpath={.status.loadBalancer.ingress[*].ip}";
        let what = format!("addresses of {name}");
        let arguments = ["service", name, "--namespace", namespace, "-o", path];
        let found = self.cluster.plane().wait_for(&what, WITHIN, &arguments, |text| !text.trim().is_empty());
        let text = found.map_err(|error| format!("{error}\n{}", self.logs()))?;
        Ok(text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
    }

    /// When a Service that came late was created, by the API server's own record.
    pub(crate) fn created(&self, name: &str) -> Fallible<Moment> {
        self.wait_for_write(name, "")
    }

    /// When the status of a Service that came late was first written, by the same record.
    pub(crate) fn wait_for_status(&self, name: &str) -> Fallible<Moment> {
        self.wait_for_write(name, "status")
    }

    fn wait_for_write(&self, name: &str, subresource: &str) -> Fallible<Moment> {
        let is_wanted = |write: &&Write| {
            write.is_success()
                && write.resource == "services"
                && write.subresource == subresource
                && (write.namespace.as_str(), write.name.as_str()) == (LATE, name)
                && write.at >= self.begun
        };
        let found = wait_until(WITHIN, &format!("a write of {name}"), || {
            sleep(LOOK_EVERY);
            self.cluster.plane().writes().ok()?.iter().find(is_wanted).map(|write| write.at)
        });
        found.map_err(|error| format!("{error}\n{}", self.logs()).into())
    }

    /// When somebody first said after a moment that it has the address of a Service that came late.
    pub(crate) fn wait_for_claim(&self, name: &str, since: Moment) -> Fallible<(Moment, String)> {
        let address = *self.wait_for_addresses(LATE, name)?.first().ok_or("no address")?;
        let found = wait_until(WITHIN, &format!("an announcement of {name}"), || {
            sleep(LOOK_EVERY);
            let judge = self.judge().ok()?.since(since.max(self.begun));
            judge.answers(address).first().map(|first| (first.at, first.host.to_string()))
        });
        found.map_err(|error| format!("{error}\n{}", self.logs()).into())
    }

    /// Every Service of the shop with its addresses.
    fn standing(&self) -> Fallible<BTreeMap<String, Vec<IpAddr>>> {
        let text = self.cluster.admin().run(&["get", "services", "--namespace", SHOP, "-o", "json"])?;
        Ok(addresses_of_list(&text)?)
    }

    /// Every Service that came late with its addresses.
    pub(crate) fn late_ones(&self) -> Fallible<BTreeMap<String, Vec<IpAddr>>> {
        let text = self.cluster.admin().run(&["get", "services", "--namespace", LATE, "-o", "json"])?;
        Ok(addresses_of_list(&text)?)
    }

    /// Everything that was answered on the segment since the fault began.
    pub(crate) fn judge(&self) -> Fallible<Judge> {
        let frames = self.capture.frames()?;
        match self.capture.lost() {
            0 => Ok(Judge::of(&frames)),
            lost => Err(format!("the capture lost {lost} frames").into()),
        }
    }

    /// Who owns which address of the segment now.
    fn owners(&self) -> Fallible<BTreeMap<IpAddr, String>> {
        let found = wait_until(WITHIN, "an owner of each address", || {
            let now = Moment::now();
            let judge = self.judge().ok()?;
            let owner = |address: IpAddr| {
                let last = judge.answers(address).last().filter(|answer| now.since(answer.at) < FRESH)?;
                Some((address, last.host.to_string()))
            };
            self.on_segment().map(owner).collect::<Option<BTreeMap<_, _>>>()
        });
        found.map_err(|error| format!("{error}\n{}", self.logs()).into())
    }

    /// The node that owns most addresses.
    pub(crate) fn busiest(&self) -> Fallible<String> {
        let owners: Vec<String> = self.owners()?.into_values().collect();
        let most = owners.iter().max_by_key(|name| owners.iter().filter(|other| other == name).count());
        most.cloned().ok_or_else(|| "nobody owns anything".into())
    }

    /// The node that owns the address which two clients ask for, one that knows it and one that does not.
    pub(crate) fn owner(&self) -> Fallible<String> {
        let address = self.address("l2-v4", true)?;
        self.owners()?.remove(&address).ok_or_else(|| format!("nobody owns {address}").into())
    }

    /// The speaker of a node.
    pub(crate) fn speaker(&mut self, node: &str) -> Fallible<&mut Role> {
        self.roles.speaker(node).ok_or_else(|| format!("no speaker on {node}").into())
    }

    /// How often the roles have said something.
    pub(crate) fn said(&self, text: &str) -> usize {
        self.roles.all().map(|role| role.log().matches(text).count()).sum()
    }

    /// A second controller, started, which waits to lead.
    pub(crate) fn second_controller(&self, name: &str) -> Fallible<Role> {
        let account = self.cluster.plane().service_account(INSTALL_NAMESPACE, "controller")?;
        let mut second = self.cluster.controller(&program(), name, &account)?;
        second.start()?;
        Ok(second)
    }

    /// Does something to the cluster and says what came of it. The addresses of `mover` may go to others, once; everything else stays.
    pub(crate) fn observe(
        &mut self,
        fault: &str,
        demanded: Traffic,
        mover: Option<&str>,
        act: impl FnOnce(&mut Self) -> Fallible<Vec<String>>,
    ) -> Fallible<Row> {
        self.clear()?;
        self.capture.clear();
        self.wait_for_calm()?;
        // What was answered during the calm stays on record: who is killed at once is still seen as the owner before.
        let owners = self.owners()?;
        let from = Moment::now();
        self.begun = from;
        let measured = act(self)?;
        let to = Moment::now();
        let seen = self.clients.iter().map(|client| client.report(from, to)).collect();
        let mut wrong = self.rewritten(from)?;
        let now = self.standing()?;
        for (name, before) in &self.addresses {
            if now.get(name) != Some(before) {
                wrong.push(format!("{name} had {before:?} and has {:?}", now.get(name)));
            }
        }
        let judge = self.judge()?;
        let mut moved = 0;
        for (address, owner) in owners {
            let hosts: Vec<String> = judge.tenures(address).iter().map(|tenure| tenure.host.to_string()).collect();
            let is_mover = mover == Some(owner.as_str());
            moved += usize::from(is_mover && hosts.len() > 1);
            if hosts.len() != 1 + usize::from(is_mover) || hosts.first() != Some(&owner) {
                wrong.push(format!("{address} of {owner} was answered for by {}", hosts.join(", then ")));
            }
        }
        let violations = judge.violations(lab::judge::HAND_OVER_LIMIT);
        wrong.extend(violations.iter().map(ToString::to_string));
        Ok(Row { fault: fault.to_owned(), demanded, seen, measured, moved, wrong })
    }

    /// Waits until no request has failed for two seconds.
    fn wait_for_calm(&self) -> Fallible<()> {
        let span = Duration::from_secs(2);
        let mut begun = Moment::now();
        self.clients.iter().for_each(|client| client.forget(begun));
        wait_until(WITHIN, "traffic without a failure", || {
            sleep(LOOK_EVERY);
            let now = Moment::now();
            let failed: usize = self.clients.iter().map(|client| client.report(begun, now).failed).sum();
            if failed > 0 {
                begun = now;
            }
            (now.since(begun) > span).then_some(())
        })?;
        Ok(())
    }

    /// Statuses of the Services that clients ask which a role has written since: nothing of theirs has changed.
    fn rewritten(&self, since: Moment) -> Fallible<Vec<String>> {
        let writes = self.cluster.plane().writes()?;
        let is_wrong = |write: &&Write| write.at >= since && write.resource == "services" && write.namespace == SHOP;
        let told = |write: &Write| format!("{} wrote {}", write.user, write.name);
        Ok(writes.iter().filter(is_wrong).map(told).collect())
    }
}

/// A Service as YAML.
fn service(namespace: &str, name: &str, pool: &str, more: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}, annotations: {{metallb.io/address-pool: {pool}}}}}\n\
         spec: {{type: LoadBalancer, {more}, ports: [{{port: 80, targetPort: 8080}}]}}\n"
    )
}

/// A Service of a pool that nobody announces, and which kube-proxy leaves alone.
pub(crate) fn bare_service(name: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {LATE}, annotations: {{metallb.io/address-pool: many}}, \
         labels: {{service.kubernetes.io/service-proxy-name: nobody}}}}\nspec: {{type: LoadBalancer, allocateLoadBalancerNodePorts: false, \
         ports: [{{port: 80}}]}}\n"
    )
}

fn addresses_of_list(text: &str) -> Result<BTreeMap<String, Vec<IpAddr>>, serde_json::Error> {
    let list: Value = serde_json::from_str(text)?;
    let items = list.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    let row = |item: &Value| {
        let ingress =
            item.pointer("/status/loadBalancer/ingress").and_then(Value::as_array).cloned().unwrap_or_default();
        let address = |entry: &Value| entry.get("ip")?.as_str()?.parse().ok();
        Some((item.pointer("/metadata/name")?.as_str()?.to_owned(), ingress.iter().filter_map(address).collect()))
    };
    Ok(items.iter().filter_map(row).collect())
}

/// BIRD as an external peer of every node, by IPv4 and by IPv6, with every node that has a route as a next hop.
fn configuration(cluster: &Cluster) -> String {
    let kernel = |family: &str| {
        format!("protocol kernel {{ merge paths on; {family} {{ import none; export where source = RTS_BGP; }}; }}\n")
    };
    let session = |node: &Node| {
        let (name, number) = (node.name(), 10 + node.number());
        let common = "error wait time 1, 2; connect delay time 1;";
        format!(
            "protocol bgp {name} {{ local 192.168.1.254 as 65000; neighbor 192.168.1.{number} as 64512; {common} \
             ipv4 {{ import all; export none; }}; }}\n\
             protocol bgp {name}x {{ local fc00:f853:ccd:e793::254 as 65000; neighbor fc00:f853:ccd:e793::{number} as 64512; {common} \
             ipv6 {{ import all; export none; }}; }}\n"
        )
    };
    let head = ["router id 10.0.0.1;\n".to_owned(), kernel("ipv4"), kernel("ipv6")];
    head.into_iter().chain(cluster.nodes().iter().map(session)).collect()
}
