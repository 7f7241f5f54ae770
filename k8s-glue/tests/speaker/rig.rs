//! One cluster of three nodes for all tests of a binary, with a speaker on each node and, where a test wants it, a controller, all with
//! exactly the rights of `deploy/`.
//!
//! Before each test everything that tests make is taken away, and the processes of the product are
//! those that the test starts, or those of the test before.

#![expect(dead_code, reason = "two test binaries share it, and neither uses all of it")]

use std::cell::Cell;
use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use lab::cluster::{INSTALL_NAMESPACE, Plan, Pod, Program, Role};
use lab::control_plane::objects::Transport;
use lab::control_plane::{Binaries, Kubectl};
use lab::{Capture, Cluster, Hardware, Host, Judge, Keep, Moment, Prober, http, wait_until};
use serde_json::Value;

pub(crate) type Checked = Result<(), Box<dyn Error>>;

/// What has to come about at all does so within this time, on a busy machine too.
pub(crate) const SOON: Duration = Duration::from_secs(40);
/// What must not come about is looked for during this time.
pub(crate) const CALM: Duration = Duration::from_secs(3);
/// Between two looks at the world.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Where each role tells its metrics, in the host it runs in.
pub(crate) const METRICS_PORT: u16 = 9_120;
/// The namespace of the Services.
pub(crate) const SHOP: &str = "shop";
/// Kinds that tests make and that are taken away before each.
const KINDS: &str = "ipaddresspools,l2advertisements,bgpadvertisements,bgppeers,bfdprofiles,communities,servicel2statuses,\
    servicebgpstatuses,configurationstates";

static BINARIES: OnceLock<Binaries> = OnceLock::new();

/// Keeps the programs for when the cluster is started.
pub(crate) fn keep(binaries: Binaries) {
    BINARIES.get_or_init(|| binaries);
}

/// The cluster with its speakers.
pub(crate) struct Rig {
    pub(crate) cluster: Cluster,
    pub(crate) speakers: Vec<Role>,
    pub(crate) controller: Option<Role>,
    /// The accounts of controller and speaker, with the rights of `deploy/`.
    users: [Kubectl; 2],
    pods: Vec<Pod>,
    /// Whether labels or conditions of nodes are others than at the start.
    nodes_changed: Cell<bool>,
}

/// Runs a check on the one cluster of this binary, after taking away what the one before made.
pub(crate) fn with(name: &str, check: fn(&mut Rig) -> Checked) -> Result<(), String> {
    static RIG: OnceLock<Result<Mutex<Rig>, String>> = OnceLock::new();
    let started = RIG.get_or_init(|| Rig::start().map(Mutex::new).map_err(|error| error.to_string()));
    let rig = started.as_ref().map_err(|error| format!("the cluster did not start: {error}"))?;
    let mut rig = rig.lock().unwrap_or_else(PoisonError::into_inner);
    rig.clear().map_err(|error| error.to_string())?;
    let outcome = check(&mut rig).map_err(|error| error.to_string());
    let logs = if outcome.is_err() { rig.logs() } else { String::new() };
    // What runs goes on for the next test, where there is a controller and nothing went wrong.
    if outcome.is_err() || rig.controller.is_none() {
        rig.stop();
    }
    outcome.map_err(|error| format!("{name}: {error}\n{logs}"))
}

impl Rig {
    fn start() -> Result<Self, Box<dyn Error>> {
        let binaries = BINARIES.get().ok_or("the programs were not looked for")?;
        let mut cluster = Cluster::start(binaries, &Plan { router: true, second_segment: true, ..Plan::default() })?;
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
        cluster.admin().run(&["apply", "-k", &deploy.to_string_lossy()])?;
        cluster.apply(&format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {SHOP}}}}}"))?;
        let key = "{apiVersion: v1, kind: Secret, metadata: {name: memberlist, namespace: metallb-system}, stringData: {secretkey: \
                   0123456789abcdef0123456789abcdef}}";
        cluster.apply(key)?;
        let pods =
            cluster.nodes().iter().map(|node| node.pod(&format!("web-{}", node.name()))).collect::<Result<_, _>>()?;
        for node in cluster.nodes_mut() {
            node.wait_for_proxy()?;
        }
        let user = |name: &str| cluster.plane().service_account(INSTALL_NAMESPACE, name);
        let users = [user("controller")?, user("speaker")?];
        Ok(Self { cluster, speakers: Vec::new(), controller: None, users, pods, nodes_changed: Cell::new(false) })
    }

    /// Takes away everything that tests make.
    fn clear(&self) -> Checked {
        let admin = self.cluster.admin();
        admin.run(&["delete", "services,endpointslices,events", "--all", "--namespace", SHOP])?;
        admin.run(&["delete", KINDS, "--all", "--namespace", INSTALL_NAMESPACE])?;
        if !self.nodes_changed.replace(false) {
            return Ok(());
        }
        let labels = [
            "node.kubernetes.io/exclude-from-external-load-balancers-",
            "kind-",
            "x-",
            "in-",
            "zone-",
            "role-",
            "name-",
            "rack-",
            "network-speed-",
        ];
        admin.run(&[&["label", "nodes", "--all"], labels.as_slice()].concat())?;
        for node in self.cluster.nodes() {
            self.network(node.name(), "False")?;
        }
        self.nodes_changed.set(false);
        Ok(())
    }

    fn stop(&mut self) {
        self.speakers.clear();
        self.controller = None;
    }

    fn logs(&self) -> String {
        let log = |role: &Role| {
            let log = role.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            let lines: Vec<&str> = tail.into_iter().rev().collect();
            format!("--- {}\n{}\n", role.name(), lines.join("\n"))
        };
        self.speakers.iter().chain(&self.controller).map(log).collect()
    }

    /// The program as every node runs it.
    pub(crate) fn program() -> Program {
        Program::new(env!("CARGO_BIN_EXE_ferrule"))
            .with_argument("--log-level=debug")
            .with_argument(&format!("--port={METRICS_PORT}"))
            .with_argument("--metrics-plain-http")
    }

    /// Starts a speaker on each node.
    pub(crate) fn start_speakers(&mut self, program: &Program) -> Checked {
        let names: Vec<String> = self.cluster.nodes().iter().map(|node| node.name().to_owned()).collect();
        for name in names {
            let mut role = self.cluster.speaker(program, &name, &self.users[1])?;
            role.start()?;
            self.speakers.push(role);
        }
        Ok(())
    }

    /// Starts a controller, and a speaker on each node whose addresses return to the node that the election order prefers.
    pub(crate) fn start_all(&mut self) -> Checked {
        if self.controller.is_some() {
            return Ok(());
        }
        let mut controller = self.cluster.controller(&Self::program(), "controller", &self.users[0])?;
        controller.start()?;
        self.controller = Some(controller);
        self.start_speakers(&Self::program().with_argument("--return=at-once"))
    }

    /// Creates a Service of one family or both, served by a pod on each of these nodes, and does not wait for an address.
    pub(crate) fn create(&self, name: &str, more: &str, dual: bool, nodes: &[&str]) -> Checked {
        let dual = if dual { "ipFamilyPolicy: RequireDualStack, " } else { "" };
        let spec = format!("{{type: LoadBalancer, {dual}{more}ports: [{{port: 80, targetPort: 8080}}]}}");
        self.apply_service(name, "{}", &spec, nodes)
    }

    fn apply_service(&self, name: &str, annotations: &str, spec: &str, nodes: &[&str]) -> Checked {
        let metadata = format!("{{name: {name}, namespace: {SHOP}, annotations: {annotations}}}");
        self.cluster.apply(&format!("{{apiVersion: v1, kind: Service, metadata: {metadata}, spec: {spec}}}"))?;
        self.serve(SHOP, name, &[("", Transport::Tcp)], nodes)
    }

    /// Gives a Service a pod on each of these nodes; its ports have these names and protocols.
    pub(crate) fn serve(&self, namespace: &str, service: &str, ports: &[(&str, Transport)], nodes: &[&str]) -> Checked {
        let pods: Vec<&Pod> = self.pods.iter().filter(|pod| nodes.contains(&pod.node())).collect();
        self.cluster.endpoints_at(namespace, service, ports, &pods)?;
        Ok(())
    }

    /// Creates a Service and waits for its addresses.
    pub(crate) fn ask(
        &self,
        name: &str,
        more: &str,
        dual: bool,
        nodes: &[&str],
    ) -> Result<Vec<String>, Box<dyn Error>> {
        self.create(name, more, dual, nodes)?;
        self.addressed(name)
    }

    /// Creates a Service with these annotations on a port, and waits for its addresses.
    pub(crate) fn asked(
        &self,
        name: &str,
        annotations: &str,
        port: u16,
        nodes: &[&str],
    ) -> Result<Vec<String>, Box<dyn Error>> {
        let spec = format!("{{type: LoadBalancer, ports: [{{port: {port}, targetPort: 8080}}]}}");
        self.apply_service(name, &format!("{{{annotations}}}"), &spec, nodes)?;
        self.addressed(name)
    }

    fn addressed(&self, name: &str) -> Result<Vec<String>, Box<dyn Error>> {
        wait(&format!("addresses of {name}"), || self.addresses(name), |addresses| !addresses.is_empty())
    }

    /// The addresses in the status of a Service.
    pub(crate) fn addresses(&self, name: &str) -> Result<Vec<String>, Box<dyn Error>> {
        self.addresses_in(SHOP, name)
    }

    /// The addresses in the status of a Service of any namespace.
    pub(crate) fn addresses_in(&self, namespace: &str, name: &str) -> Result<Vec<String>, Box<dyn Error>> {
        let service = self.get(&["service", name, "-n", namespace])?;
        let ingress = service[0]["status"]["loadBalancer"]["ingress"].as_array().cloned().unwrap_or_default();
        Ok(ingress.iter().filter_map(|entry| entry["ip"].as_str().map(ToOwned::to_owned)).collect())
    }

    /// Waits until exactly one ServiceL2Status speaks of the Service, and gives its node.
    pub(crate) fn speaker_of(&self, service: &str) -> Result<String, Box<dyn Error>> {
        let look = || -> Result<Vec<String>, Box<dyn Error>> {
            let statuses = self.statuses("servicel2statuses")?;
            Ok(statuses.into_iter().filter(|(_, named, _)| named == service).map(|(node, ..)| node).collect())
        };
        let nodes = wait(&format!("one status of {service}"), look, |nodes| nodes.len() == 1)?;
        nodes.into_iter().next().ok_or_else(|| "nobody".into())
    }

    /// Waits until the one ServiceL2Status of a Service names this node.
    pub(crate) fn speaks(&self, service: &str, node: &str) -> Checked {
        wait(&format!("{node} to speak for {service}"), || self.speaker_of(service), |speaker| speaker == node)
            .map(drop)
    }

    /// Labels a node: `key=value`, or `key-` to take a label away.
    pub(crate) fn label(&self, node: &str, label: &str) -> Checked {
        self.nodes_changed.set(true);
        self.cluster.admin().run(&["label", "--overwrite", "node", node, label])?;
        Ok(())
    }

    /// Labels a Service.
    pub(crate) fn label_service(&self, service: &str, label: &str) -> Checked {
        self.cluster.admin().run(&["label", "--overwrite", "service", service, "-n", SHOP, label])?;
        Ok(())
    }

    /// Sets a node's condition `NetworkUnavailable`.
    pub(crate) fn network(&self, node: &str, unavailable: &str) -> Checked {
        self.nodes_changed.set(true);
        let condition =
            format!("{{\"type\": \"NetworkUnavailable\", \"status\": \"{unavailable}\", \"reason\": \"Laboratory\"}}");
        let patch = format!("{{\"status\": {{\"conditions\": [{condition}]}}}}");
        let arguments = ["patch", "node", node, "--subresource=status", "--type=strategic", "-p", &patch];
        self.cluster.admin().run(&arguments)?;
        Ok(())
    }

    /// The hardware addresses that are given for an address.
    pub(crate) fn hardware_of(&self, address: &str) -> Result<BTreeSet<Hardware>, Box<dyn Error>> {
        let address: IpAddr = address.parse()?;
        let watch = self.watch(&[address])?;
        std::thread::sleep(Duration::from_secs(1));
        Ok(watch.judge()?.answers(address).iter().map(|answer| answer.hardware).collect())
    }

    /// The speaker of a node.
    pub(crate) fn speaker(&mut self, node: &str) -> Result<&mut Role, Box<dyn Error>> {
        let name = format!("speaker-{node}");
        let found = self.speakers.iter_mut().find(|role| role.name() == name);
        found.ok_or_else(|| format!("no speaker on {node}").into())
    }

    /// A pool of both families with an advertisement of everything.
    pub(crate) fn usual_pool(&self) -> Checked {
        self.pool("lan", &["192.168.1.240-192.168.1.250", "fc00:f853:ccd:e793::f0-fc00:f853:ccd:e793::ff"])?;
        self.ours("L2Advertisement", "v1beta1", "all", "{}")
    }

    pub(crate) fn pool(&self, name: &str, addresses: &[&str]) -> Checked {
        self.ours("IPAddressPool", "v1beta1", name, &format!("{{addresses: {addresses:?}}}"))
    }

    /// Applies an object of the install namespace.
    pub(crate) fn ours(&self, kind: &str, version: &str, name: &str, spec: &str) -> Checked {
        let text = format!(
            "{{apiVersion: metallb.io/{version}, kind: {kind}, metadata: {{name: {name}, namespace: {INSTALL_NAMESPACE}}}, spec: {spec}}}"
        );
        self.cluster.apply(&text).map(drop)?;
        Ok(())
    }

    /// A Service with these addresses in its status, served by a pod on each of these nodes.
    pub(crate) fn service(&self, name: &str, more: &str, addresses: &[&str], nodes: &[&str]) -> Checked {
        self.create(name, more, addresses.len() > 1, nodes)?;
        self.give(name, addresses)
    }

    /// Writes addresses into the status of a Service, as a controller does.
    pub(crate) fn give(&self, name: &str, addresses: &[&str]) -> Checked {
        let ingress: Vec<String> = addresses.iter().map(|address| format!("{{\"ip\": \"{address}\"}}")).collect();
        let patch = format!("{{\"status\": {{\"loadBalancer\": {{\"ingress\": [{}]}}}}}}", ingress.join(", "));
        let arguments = ["patch", "service", name, "-n", SHOP, "--subresource=status", "--type=merge", "-p", &patch];
        self.cluster.admin().run(&arguments)?;
        Ok(())
    }

    /// Who answers for the address within three seconds of questions: names of hosts.
    pub(crate) fn answering(&self, address: &str, during: Duration) -> Result<BTreeSet<String>, Box<dyn Error>> {
        let address: IpAddr = address.parse()?;
        let watch = self.watch(&[address])?;
        std::thread::sleep(during);
        let judge = watch.judge()?;
        Ok(judge.answers(address).iter().map(|answer| answer.host.to_string()).collect())
    }

    /// [`Rig::answering`] on the second segment.
    pub(crate) fn answering_on_second(
        &self,
        address: &str,
        during: Duration,
    ) -> Result<BTreeSet<String>, Box<dyn Error>> {
        let address: IpAddr = address.parse()?;
        let segment = self.cluster.second_segment().ok_or("the cluster has no second segment")?;
        let capture = Capture::start(segment, Keep::Arp)?;
        let sender: IpAddr = "192.168.2.100".parse()?;
        let prober = Prober::start(self.cluster.client(), "eth1", sender, &[address], 20)?;
        std::thread::sleep(during);
        drop(prober);
        let judge = Judge::of(&capture.frames()?);
        Ok(judge.answers(address).iter().map(|answer| answer.host.to_string()).collect())
    }

    /// Waits until exactly one host answers for the address, and gives its name.
    pub(crate) fn owner(&self, address: &str) -> Result<String, Box<dyn Error>> {
        let look = || self.answering(address, Duration::from_millis(600));
        let owners = wait(&format!("one node to answer for {address}"), look, |owners| owners.len() == 1)?;
        owners.into_iter().next().ok_or_else(|| "nobody".into())
    }

    /// Begins to ask for addresses, and to read every answer.
    pub(crate) fn watch(&self, addresses: &[IpAddr]) -> Result<Watch, Box<dyn Error>> {
        let capture = Capture::start(self.cluster.lan(), Keep::Arp)?;
        let client = self.cluster.client();
        let mut probers = Vec::new();
        for (is_v4, sender) in [(true, "192.168.1.100"), (false, "fc00:f853:ccd:e793::100")] {
            let family: Vec<IpAddr> = addresses.iter().copied().filter(|address| address.is_ipv4() == is_v4).collect();
            if !family.is_empty() {
                probers.push(Prober::start(client, "eth0", sender.parse::<IpAddr>()?, &family, 20)?);
            }
        }
        Ok(Watch { capture, _probers: probers })
    }

    /// Fetches from the client, once.
    pub(crate) fn fetch(&self, address: &str) -> Result<String, Box<dyn Error>> {
        fetch_from(self.cluster.client(), address, 80)
    }

    /// Waits until the client gets a page.
    pub(crate) fn reach(&self, address: &str) -> Result<String, Box<dyn Error>> {
        wait(&format!("a page of {address}"), || self.fetch(address), |_| true)
    }

    /// Objects of the API server: `kubectl get ARGUMENTS -o json`, its items.
    pub(crate) fn get(&self, arguments: &[&str]) -> Result<Vec<Value>, Box<dyn Error>> {
        let arguments: Vec<&str> = ["get", "-o", "json"].iter().copied().chain(arguments.iter().copied()).collect();
        let answer: Value = serde_json::from_str(&self.cluster.admin().run(&arguments)?)?;
        Ok(answer.get("items").and_then(Value::as_array).cloned().unwrap_or_else(|| vec![answer]))
    }

    /// Statuses of the kind: (node, service, details).
    pub(crate) fn statuses(&self, kind: &str) -> Result<Statuses, Box<dyn Error>> {
        let text = |value: &Value, key: &str| value["status"][key].as_str().unwrap_or_default().to_owned();
        let row = |item: Value| {
            let details = item["status"].get("interfaces").or_else(|| item["status"].get("peers"));
            let details = details.map(ToString::to_string).unwrap_or_default();
            (text(&item, "node"), text(&item, "serviceName"), details)
        };
        Ok(self.get(&[kind, "-n", INSTALL_NAMESPACE])?.into_iter().map(row).collect())
    }

    /// Reasons and messages of the events on a Service.
    pub(crate) fn events(&self, service: &str) -> Result<Vec<(String, String)>, Box<dyn Error>> {
        self.events_in(SHOP, service)
    }

    /// [`Rig::events`] of any namespace.
    pub(crate) fn events_in(&self, namespace: &str, service: &str) -> Result<Vec<(String, String)>, Box<dyn Error>> {
        let selector = format!("involvedObject.name={service}");
        let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let items = self.get(&["events", "-n", namespace, "--field-selector", &selector])?;
        Ok(items.iter().map(|item| (text(item, "reason"), text(item, "message"))).collect())
    }
}

/// Node, Service and details of status objects.
pub(crate) type Statuses = BTreeSet<(String, String, String)>;

/// Questions and the record of every answer.
pub(crate) struct Watch {
    capture: Capture,
    _probers: Vec<Prober>,
}

impl Watch {
    pub(crate) fn judge(&self) -> Result<Judge, Box<dyn Error>> {
        Ok(Judge::of(&self.capture.frames()?))
    }

    /// Fails where two answered at once for longer than a hand-over may take.
    pub(crate) fn nobody_answered_beside(&self, without: &[&str]) -> Checked {
        let judge = without.iter().fold(self.judge()?, |judge, host| judge.without(host));
        let violations = judge.violations(lab::judge::HAND_OVER_LIMIT);
        check(violations.is_empty(), format!("{violations:?}"))
    }

    /// The longest time without an answer since a moment.
    pub(crate) fn gap(&self, address: &str, from: Moment) -> Result<Duration, Box<dyn Error>> {
        let address: IpAddr = address.parse()?;
        Ok(self.judge()?.gap(address, from, Moment::now()).0)
    }
}

/// Fetches from a host, once.
pub(crate) fn fetch_from(host: &Host, address: &str, port: u16) -> Result<String, Box<dyn Error>> {
    let page = http::get_from(host, SocketAddr::new(address.parse()?, port), Duration::from_secs(2))?;
    Ok(page.trim().to_owned())
}

pub(crate) fn check(holds: bool, what: impl Into<String>) -> Checked {
    if holds { Ok(()) } else { Err(what.into().into()) }
}

/// Waits until a look at the world says so; the last look stands in the message.
pub(crate) fn wait<T: Debug>(
    what: &str,
    mut look: impl FnMut() -> Result<T, Box<dyn Error>>,
    is_good: impl Fn(&T) -> bool,
) -> Result<T, Box<dyn Error>> {
    let mut last = String::new();
    let found = wait_until(SOON, what, || {
        last = match look() {
            Ok(value) if is_good(&value) => return Some(value),
            Ok(value) => format!("{value:?}"),
            Err(error) => error.to_string(),
        };
        // Most looks start a kubectl: without a pause they take a processor from those whom they wait for.
        std::thread::sleep(LOOK_EVERY);
        None
    });
    found.map_err(|error| format!("{error}; last seen: {last}").into())
}

/// The first addresses of the pool.
pub(crate) const FIRST: &str = "192.168.1.240";
pub(crate) const FIRST_V6: &str = "fc00:f853:ccd:e793::f0";
