//! One cluster of two nodes for all scenarios, with a controller and a speaker on each node, all with the rights of `deploy/`.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Debug;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use lab::cluster::{INSTALL_NAMESPACE, Plan, Pod, Program, Role, Roles};
use lab::control_plane::{Binaries, Kubectl};
use lab::{Cluster, wait_until};
use serde_json::Value;

pub(crate) type Checked = Result<(), Box<dyn Error>>;

/// What has to come about does so within this time, on a busy machine too.
pub(crate) const SOON: Duration = Duration::from_secs(60);
/// What must not come about is looked for during this time.
pub(crate) const CALM: Duration = Duration::from_secs(4);
/// The namespace of the Services, where a scenario needs no other.
pub(crate) const SHOP: &str = "shop";
/// A second one.
pub(crate) const OTHER: &str = "other";
/// Kinds that scenarios make, and that are taken away before each.
const KINDS: &str = "ipaddresspools,l2advertisements,bgpadvertisements,bgppeers,bfdprofiles,communities";

static BINARIES: OnceLock<Binaries> = OnceLock::new();

/// Keeps the programs for when the cluster is started.
pub(crate) fn keep(binaries: Binaries) {
    BINARIES.get_or_init(|| binaries);
}

/// What runs in both roles.
pub(crate) fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_ferrule")).with_argument("--log-level=debug")
}

/// The cluster with its roles.
pub(crate) struct Rig {
    pub(crate) controller: Role,
    pub(crate) speakers: Vec<Role>,
    /// They serve as long as this lives.
    pub(crate) pods: Vec<Pod>,
    /// An account that may read metrics.
    pub(crate) scraper: Kubectl,
    pub(crate) cluster: Cluster,
}

/// Runs a scenario on the one cluster of this binary, after taking away what the one before made.
pub(crate) fn with(name: &str, check: fn(&mut Rig) -> Checked) -> Result<(), String> {
    static RIG: OnceLock<Result<Mutex<Rig>, String>> = OnceLock::new();
    let started = RIG.get_or_init(|| Rig::start().map(Mutex::new).map_err(|error| error.to_string()));
    let rig = started.as_ref().map_err(|error| format!("the cluster did not start: {error}"))?;
    let mut rig = rig.lock().unwrap_or_else(PoisonError::into_inner);
    rig.clear().map_err(|error| format!("taking away what was there: {error}\n{}", rig.logs()))?;
    let outcome = check(&mut rig).map_err(|error| error.to_string());
    outcome.map_err(|error| format!("{name}: {error}\n{}", rig.logs()))
}

impl Rig {
    fn start() -> Result<Self, Box<dyn Error>> {
        let binaries = BINARIES.get().ok_or("the programs were not looked for")?;
        let cluster = Cluster::start(binaries, &Plan { nodes: 2, proxy: false, ..Plan::default() })?;
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
        let Roles { controller, speakers } = cluster.install(&program(), &deploy)?;
        for namespace in [SHOP, OTHER] {
            cluster.apply(&format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}}}}}"))?;
        }
        let scraper = make_scraper(&cluster)?;
        let pods = cluster.nodes().iter().map(|node| node.pod(&format!("web-{}", node.name())));
        let pods = pods.collect::<Result<_, _>>()?;
        Ok(Self { controller, speakers, pods, scraper, cluster })
    }

    fn clear(&self) -> Checked {
        let admin = self.cluster.admin();
        for namespace in [SHOP, OTHER] {
            admin.run(&["delete", "services,endpointslices,events", "--all", "--namespace", namespace])?;
            admin.run(&["label", "namespace", namespace, "team-", "stage-"])?;
        }
        admin.run(&["delete", KINDS, "--all", "--namespace", INSTALL_NAMESPACE])?;
        admin.run(&["delete", "secrets", "--namespace", INSTALL_NAMESPACE, "--selector", "test"])?;
        admin.run(&["label", "nodes", "--all", "rack-", "row-"])?;
        Ok(())
    }

    fn logs(&self) -> String {
        let log = |role: &Role| {
            let log = role.log();
            let tail: Vec<&str> = log.lines().rev().take(25).collect();
            let lines: Vec<&str> = tail.into_iter().rev().collect();
            format!("--- {}\n{}\n", role.name(), lines.join("\n"))
        };
        [&self.controller].into_iter().chain(&self.speakers).map(log).collect()
    }

    /// Applies an object of the install namespace.
    pub(crate) fn ours(&self, kind: &str, name: &str, spec: &str) -> Checked {
        let version = if kind == "BGPPeer" { "v1beta2" } else { "v1beta1" };
        let text = format!(
            "{{apiVersion: metallb.io/{version}, kind: {kind}, metadata: {{name: {name}, namespace: {INSTALL_NAMESPACE}}}, spec: {spec}}}"
        );
        self.cluster.apply(&text)?;
        Ok(())
    }

    /// A pool of these addresses.
    pub(crate) fn pool(&self, name: &str, addresses: &[&str]) -> Checked {
        self.ours("IPAddressPool", name, &format!("{{addresses: {addresses:?}}}"))
    }

    /// A pool for some Services only.
    pub(crate) fn pool_for(&self, name: &str, address: &str, allocation: &str) -> Checked {
        let spec = format!("{{addresses: [\"{address}\"], serviceAllocation: {{{allocation}}}}}");
        self.ours("IPAddressPool", name, &spec)
    }

    /// Takes an object of the install namespace away.
    pub(crate) fn delete_ours(&self, kind: &str, name: &str) -> Checked {
        self.cluster.admin().run(&["delete", kind, name, "--namespace", INSTALL_NAMESPACE])?;
        Ok(())
    }

    /// A Service of type `LoadBalancer` with port 80; `more` goes into its `spec`.
    pub(crate) fn service(&self, name: &str, more: &str) -> Checked {
        self.service_in(SHOP, name, "", more)
    }

    /// The same, with `metadata` of its own, such as `labels: {a: b}`.
    pub(crate) fn service_in(&self, namespace: &str, name: &str, metadata: &str, more: &str) -> Checked {
        let ports = if more.contains("ports:") { "" } else { "ports: [{port: 80, targetPort: 8080}]" };
        let text = format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: {namespace}, {metadata}}}, spec: {{type: LoadBalancer, \
             selector: {{app: web}}, {more}{ports}}}}}"
        );
        self.cluster.apply(&text)?;
        Ok(())
    }

    /// Changes the spec of a Service.
    pub(crate) fn change(&self, name: &str, spec: &str) -> Checked {
        let patch = format!("{{\"spec\": {spec}}}");
        self.cluster.admin().run(&["patch", "service", name, "-n", SHOP, "--type=merge", "-p", &patch])?;
        Ok(())
    }

    /// Takes a Service away.
    pub(crate) fn delete(&self, name: &str) -> Checked {
        self.cluster.admin().run(&["delete", "service", name, "-n", SHOP])?;
        Ok(())
    }

    /// The addresses of a Service.
    pub(crate) fn addresses(&self, namespace: &str, name: &str) -> Result<Vec<String>, Box<dyn Error>> {
        let path = "jsonpath={.status.loadBalancer.ingress[*].ip}";
        let text = self.cluster.admin().run(&["get", "service", name, "-n", namespace, "-o", path])?;
        Ok(text.split_whitespace().map(str::to_owned).collect())
    }

    /// Waits until a Service has exactly these addresses.
    pub(crate) fn gets(&self, name: &str, addresses: &[&str]) -> Checked {
        self.gets_in(SHOP, name, addresses)
    }

    /// The same in any namespace.
    pub(crate) fn gets_in(&self, namespace: &str, name: &str, addresses: &[&str]) -> Checked {
        let what = format!("{namespace}/{name} to have {addresses:?}");
        wait(&what, || self.addresses(namespace, name), |found| found == addresses).map(drop)
    }

    /// Holds that a Service has exactly these addresses, now and for a while.
    pub(crate) fn keeps(&self, name: &str, addresses: &[&str]) -> Checked {
        self.keep_all(&[(name, addresses)], CALM)
    }

    /// Holds that Services have exactly these addresses during a time.
    pub(crate) fn keep_all(&self, expected: &[(&str, &[&str])], during: Duration) -> Checked {
        let end = Instant::now() + during;
        loop {
            for (name, addresses) in expected {
                let found = self.addresses(SHOP, name)?;
                check(found == *addresses, format!("{name} has {found:?}, not {addresses:?}"))?;
            }
            if Instant::now() > end {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Objects of the API server: `kubectl get ARGUMENTS -o json`, its items.
    pub(crate) fn get(&self, arguments: &[&str]) -> Result<Vec<Value>, Box<dyn Error>> {
        let arguments: Vec<&str> = ["get", "-o", "json"].iter().copied().chain(arguments.iter().copied()).collect();
        let answer: Value = serde_json::from_str(&self.cluster.admin().run(&arguments)?)?;
        Ok(answer.get("items").and_then(Value::as_array).cloned().unwrap_or_else(|| vec![answer]))
    }

    /// The results of all processes: name of the ConfigurationState, then result and summary.
    pub(crate) fn states(&self) -> Result<BTreeMap<String, (String, String)>, Box<dyn Error>> {
        let text =
            |value: &Value, path: &str| value.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let items = self.get(&["configurationstates", "-n", INSTALL_NAMESPACE])?;
        let row = |item: &Value| {
            (text(item, "/metadata/name"), (text(item, "/status/result"), text(item, "/status/errorSummary")))
        };
        Ok(items.iter().map(row).collect())
    }
}

/// A ServiceAccount bound to the `ClusterRole` of `deploy/`.
fn make_scraper(cluster: &Cluster) -> Result<Kubectl, Box<dyn Error>> {
    cluster.apply(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: scraper, namespace: shop}\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: \
         ClusterRoleBinding\nmetadata: {name: scraper}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: \
         metallb-metrics-reader}\nsubjects: [{kind: ServiceAccount, name: scraper, namespace: shop}]\n",
    )?;
    Ok(cluster.plane().service_account(SHOP, "scraper")?)
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
    let found = wait_until(SOON, what, || match look() {
        Ok(value) if is_good(&value) => Some(value),
        Ok(value) => {
            last = format!("{value:?}");
            None
        }
        Err(error) => {
            last = error.to_string();
            None
        }
    });
    found.map_err(|error| format!("{error}; last seen: {last}").into())
}
