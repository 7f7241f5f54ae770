//! A control plane with our definitions and rights, and controllers on it.

use std::error::Error;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lab::control_plane::audit::Write;
use lab::control_plane::objects;
use lab::control_plane::{Binaries, Kubectl, Settings};
use lab::process::Output;
use lab::{ControlPlane, Host, Lab, Process, wait_until};
use serde_json::Value;

pub(crate) type Fallible<T> = Result<T, Box<dyn Error>>;
pub(crate) type Checked = Fallible<()>;

/// Everything that has to come about at all does so within this time, on a busy machine too.
pub(crate) const SOON: Duration = Duration::from_secs(40);

/// The control plane, and the host that it and the controllers run in.
pub(crate) struct Plane {
    pub(crate) control: ControlPlane,
    host: Host,
    _lab: Lab,
}

static PLANE: Mutex<Option<Plane>> = Mutex::new(None);

/// The one of this process.
pub(crate) struct Guard(MutexGuard<'static, Option<Plane>>);

impl Deref for Guard {
    type Target = Plane;

    fn deref(&self) -> &Plane {
        self.0.as_ref().expect("made by plane()")
    }
}

impl DerefMut for Guard {
    fn deref_mut(&mut self) -> &mut Plane {
        self.0.as_mut().expect("made by plane()")
    }
}

/// The control plane of this process, started where it is not yet.
pub(crate) fn plane(binaries: &Binaries) -> Fallible<Guard> {
    let mut slot = PLANE.lock().unwrap_or_else(PoisonError::into_inner);
    if slot.is_none() {
        let lab = Lab::new("controller");
        let host = lab.host("control")?;
        let plane = ControlPlane::start(&host, binaries, &Settings::default())?;
        plane.apply(&definitions())?;
        plane.apply(&objects::namespace("shop"))?;
        *slot = Some(Plane { control: plane, host, _lab: lab });
    }
    Ok(Guard(slot))
}

/// The definitions of our kinds, as YAML.
pub(crate) fn definitions() -> String {
    let definitions = k8s_glue::crd::definitions();
    let definitions: Vec<String> = definitions.iter().map(k8s_glue::crd::Definition::to_yaml).collect();
    definitions.join("---\n")
}

impl Plane {
    /// Runs `ferrule explain` with a kubeconfig.
    pub(crate) fn explain(&self, kubeconfig: &Path, arguments: &[&str]) -> Fallible<Output> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ferrule"));
        command.arg("explain").args(arguments).arg("--kubeconfig").arg(kubeconfig);
        Ok(self.host.run(command, SOON)?)
    }
}

/// What `kubectl` prints of everything that a plan needs, as the documents say to ask for it.
pub(crate) fn dump(plane: &Plane) -> Fallible<String> {
    let kinds = "ipaddresspools,l2advertisements,bgpadvertisements,bgppeers,bfdprofiles,communities,poolpolicies,addressreservations,\
                 namespaces,services,endpointslices,nodes";
    Ok(plane.control.admin().run(&["get", "-A", "-o", "yaml", "--show-managed-fields", kinds])?)
}

/// Ends the control plane: statics are not dropped.
pub(crate) fn tear_down() {
    PLANE.lock().unwrap_or_else(PoisonError::into_inner).take();
}

/// A controller. It is killed when it is dropped; with this variable set, what it said is printed then.
pub(crate) struct Controller(Process);

const PRINT_LOGS: &str = "FERRULE_TEST_PRINT_LOGS";

impl Deref for Controller {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.0
    }
}

impl DerefMut for Controller {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.0
    }
}

impl Drop for Controller {
    #[expect(clippy::print_stderr, reason = "a person asked for it")]
    fn drop(&mut self) {
        if std::env::var_os(PRINT_LOGS).is_some() {
            eprintln!("{}{}", self.0.stdout(), self.0.stderr());
        }
    }
}

/// Which rights a controller has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rights {
    Ours,
    /// Those of upstream's manifests, which know no Leases and no kinds of our own ([CRBAC-1]).
    WithoutLeases,
}

/// An install namespace with the account of its controllers. Its name is also the class of its Services.
pub(crate) struct Site {
    pub(crate) name: &'static str,
    pub(crate) account: Kubectl,
    user: String,
}

impl Site {
    pub(crate) fn new(plane: &Plane, name: &'static str, rights: Rights) -> Fallible<Self> {
        let ours = match rights {
            Rights::Ours => {
                "- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, create, update]}\n\
                 - {apiGroups: [ferrule.io], resources: [addressreservations, poolpolicies], verbs: [list, watch]}\n\
                 - {apiGroups: [ferrule.io], resources: [poolpolicies/status], verbs: [update]}\n"
            }
            Rights::WithoutLeases => "",
        };
        plane.control.apply(&objects::namespace(name))?;
        plane.control.apply(&format!(
            "
apiVersion: v1
kind: ServiceAccount
metadata: {{name: controller, namespace: {name}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: controller, namespace: {name}}}
spec:
  replicas: 0
  selector: {{matchLabels: {{app: metallb}}}}
  template: {{metadata: {{labels: {{app: metallb}}}}, spec: {{containers: [{{name: controller, image: ferrule}}]}}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: \"{name}:controller\"}}
rules:
- {{apiGroups: [\"\"], resources: [services, namespaces], verbs: [get, list, watch]}}
- {{apiGroups: [\"\"], resources: [services/status], verbs: [update]}}
- {{apiGroups: [\"\"], resources: [events], verbs: [create, patch]}}
- {{apiGroups: [metallb.io], resources: [configurationstates], verbs: [create, delete, get, list, patch, update, watch]}}
- {{apiGroups: [metallb.io], resources: [configurationstates/status], verbs: [get, patch, update]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: \"{name}:controller\"}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: \"{name}:controller\"}}
subjects: [{{kind: ServiceAccount, name: controller, namespace: {name}}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: controller, namespace: {name}}}
rules:
- {{apiGroups: [\"\"], resources: [secrets], verbs: [create, delete, get, list, patch, update, watch]}}
- {{apiGroups: [apps], resources: [deployments], resourceNames: [controller], verbs: [get]}}
- {{apiGroups: [\"\"], resources: [pods], verbs: [get, list]}}
- {{apiGroups: [metallb.io], resources: [ipaddresspools, communities], verbs: [get, list, watch]}}
- {{apiGroups: [metallb.io], resources: [ipaddresspools/status], verbs: [update]}}
{ours}"
        ))?;
        let account = plane.control.service_account(name, "controller")?;
        let site = Self { name, account, user: format!("system:serviceaccount:{name}:controller") };
        site.bind(plane)?;
        Ok(site)
    }

    /// Gives the account of the controllers its rights in the install namespace.
    pub(crate) fn bind(&self, plane: &Plane) -> Checked {
        let name = self.name;
        plane.control.apply(&format!(
            "{{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {{name: controller, namespace: {name}}}, \
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: controller}}, \
             subjects: [{{kind: ServiceAccount, name: controller, namespace: {name}}}]}}"
        ))?;
        Ok(())
    }

    /// Takes these rights away.
    pub(crate) fn unbind(&self, plane: &Plane) -> Checked {
        plane.control.admin().run(&["delete", "rolebinding", "controller", "-n", self.name])?;
        Ok(())
    }

    /// A controller with the rights of an administrator and an install namespace that nobody made, and where its probes are answered.
    pub(crate) fn stray(plane: &Plane, namespace: &str) -> Fallible<(Controller, SocketAddr)> {
        const PROBES: u16 = 17_473;
        let mut command = Command::new(env!("CARGO_BIN_EXE_ferrule"));
        command.args(["controller", "--port=0", &format!("--health-probe-port={PROBES}"), "--namespace", namespace]);
        command.env("KUBECONFIG", plane.control.kubeconfig());
        let controller = Controller(plane.host.spawn(command)?);
        Ok((controller, SocketAddr::from(([127, 0, 0, 1], PROBES))))
    }

    /// Whether a probe is answered with 200.
    pub(crate) fn probe(plane: &Plane, address: SocketAddr, path: &str) -> Fallible<bool> {
        match plane.host.inside(|| lab::http::get_path(address, path, SOON))? {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::InvalidData => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Applies a pool in the install namespace.
    pub(crate) fn pool(&self, plane: &Plane, name: &str, addresses: &str) -> Checked {
        let namespace = self.name;
        plane.control.apply(&format!(
            "{{apiVersion: metallb.io/v1beta1, kind: IPAddressPool, metadata: {{name: {name}, namespace: {namespace}}}, \
             spec: {{addresses: [{addresses}]}}}}"
        ))?;
        Ok(())
    }

    /// A Service of this site as YAML, with further lines of metadata and of spec (flow style, such as `annotations: {a: b}`).
    pub(crate) fn service(&self, name: &str, metadata: &str, spec: &str) -> String {
        let class = self.name;
        format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {class}-{name}, namespace: shop, labels: {{app: {name}}}{metadata}}}\n\
             spec: {{type: LoadBalancer, loadBalancerClass: {class}/x, allocateLoadBalancerNodePorts: false, ports: [{{port: 80}}]{spec}}}\n"
        )
    }

    /// A controller in a Pod of this name, running.
    pub(crate) fn controller(&self, plane: &Plane, pod: &str) -> Fallible<Controller> {
        plane.control.apply(&objects::pod(self.name, pod, "controller", "n1"))?;
        Ok(Controller(plane.host.spawn(self.command(pod))?))
    }

    /// The command of a controller.
    fn command(&self, pod: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ferrule"));
        let class = format!("{}/x", self.name);
        command.args(["controller", "--port=0", "--health-probe-port=0", "--log-level=debug"]);
        command.args(["--namespace", self.name, "--lb-class", &class, "--deployment", "controller"]);
        command.args(["--pod-name", pod, "--ml-secret-name", "memberlist"]);
        command.env("KUBECONFIG", self.account.kubeconfig());
        command
    }

    /// Every write that controllers of this site made, but those of the Lease.
    pub(crate) fn writes(&self, plane: &Plane) -> Fallible<Vec<Write>> {
        let writes = plane.control.writes()?;
        Ok(writes.into_iter().filter(|write| write.user == self.user && write.resource != "leases").collect())
    }

    /// A Service of this site.
    pub(crate) fn get(&self, plane: &Plane, name: &str) -> Fallible<Value> {
        let name = format!("{}-{name}", self.name);
        let text = plane.control.admin().run(&["get", "service", "-n", "shop", &name, "-o", "json"])?;
        Ok(serde_json::from_str(&text)?)
    }

    /// The addresses of a Service as its status has them, once they are as `good` wants.
    pub(crate) fn addresses(
        &self,
        plane: &Plane,
        name: &str,
        good: impl Fn(&[String]) -> bool,
    ) -> Fallible<Vec<String>> {
        let mut last = Vec::new();
        let found = wait_until(SOON, &format!("the addresses of {name}"), || {
            last = addresses_of(&self.get(plane, name).ok()?);
            good(&last).then(|| last.clone())
        });
        found.map_err(|error| format!("{error}; they are {last:?}").into())
    }

    /// Every Service of this site with its addresses.
    pub(crate) fn all(&self, plane: &Plane) -> Fallible<Vec<(String, Vec<String>)>> {
        let text = plane.control.admin().run(&["get", "services", "-n", "shop", "-o", "json"])?;
        let list: Value = serde_json::from_str(&text)?;
        let prefix = format!("{}-", self.name);
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let named = items.iter().filter_map(|item| {
            let name = item["metadata"]["name"].as_str()?.strip_prefix(&prefix)?;
            Some((name.to_owned(), addresses_of(item)))
        });
        Ok(named.collect())
    }

    /// Waits until there are so many Services and each has an address.
    pub(crate) fn all_served(&self, plane: &Plane, count: usize) -> Checked {
        let mut waiting = Vec::new();
        let found = wait_until(SOON, &format!("{count} Services to have addresses"), || {
            let all = self.all(plane).ok()?;
            waiting = all.iter().filter(|(_, addresses)| addresses.is_empty()).map(|(name, _)| name.clone()).collect();
            if all.len() != count {
                waiting.push(format!("and there are {}", all.len()));
            }
            waiting.is_empty().then_some(())
        });
        found.map_err(|error| format!("{error}; waiting: {waiting:?}").into())
    }

    /// The events about a Service: type, reason, component.
    pub(crate) fn events(&self, plane: &Plane, name: &str) -> Fallible<Vec<Value>> {
        let field = format!("involvedObject.name={}-{name}", self.name);
        let admin = plane.control.admin();
        let text = admin.run(&["get", "events", "-n", "shop", "--field-selector", &field, "-o", "json"])?;
        let list: Value = serde_json::from_str(&text)?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// An object of the install namespace.
    pub(crate) fn own(&self, plane: &Plane, kind: &str, name: &str) -> Fallible<Value> {
        let text = plane.control.admin().run(&["get", kind, "-n", self.name, name, "-o", "json"])?;
        Ok(serde_json::from_str(&text)?)
    }
}

/// The addresses in the status of a Service.
pub(crate) fn addresses_of(service: &Value) -> Vec<String> {
    let ingress = service["status"]["loadBalancer"]["ingress"].as_array().cloned().unwrap_or_default();
    ingress.iter().filter_map(|entry| entry["ip"].as_str().map(str::to_owned)).collect()
}

/// Fails with this text where it is not so.
pub(crate) fn ensure(is_so: bool, text: impl FnOnce() -> String) -> Checked {
    if is_so { Ok(()) } else { Err(text().into()) }
}

/// Waits until this is so.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> Fallible<bool>) -> Checked {
    let mut last = String::new();
    let found = wait_until(SOON, what, || match is_so() {
        Ok(true) => Some(()),
        Ok(false) => None,
        Err(error) => {
            last = error.to_string();
            None
        }
    });
    found.map_err(|error| format!("{error} {last}").into())
}
