//! The cluster that is measured, and bulk writes to its API server.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use lab::cluster::{Plan, Program, Roles};
use lab::control_plane::{Binaries, Part};
use lab::router::{Bird, Router as _};
use lab::{Capture, Cluster, Keep, Moment, wait_until};
use serde_json::json;

use super::record::Record;

const NAMESPACE: &str = "default";
/// What users install.
const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy");
/// How long the roles may take to be up and the sessions to stand.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Pools that are large enough for every run, on the segment's side of the router.
const OBJECTS: &str = "
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: bench, namespace: metallb-system}
spec: {addresses: [10.64.0.0/16, \"fc00:f853:ccd:e7a0::/112\"]}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: bench, namespace: metallb-system}
---
apiVersion: metallb.io/v1beta2
kind: BGPPeer
metadata: {name: bird, namespace: metallb-system}
spec: {myASN: 64500, peerASN: 64501, peerAddress: 10.0.0.1}
---
apiVersion: metallb.io/v1beta1
kind: BGPAdvertisement
metadata: {name: bench, namespace: metallb-system}
";

/// Which addresses a Service asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Families {
    Both,
    V4,
}

/// A cluster without kube-proxy (nothing is fetched here), with all roles.
pub(crate) struct Rig {
    pub(crate) roles: Roles,
    _bird: Bird,
    pub(crate) capture: Capture,
    pub(crate) cluster: Cluster,
}

impl Rig {
    pub(crate) fn build(binaries: &Binaries) -> Result<Self, Box<dyn Error>> {
        let cluster = Cluster::start(binaries, &Plan { proxy: false, router: true, ..Plan::default() })?;
        let router = cluster.router().ok_or("no router in the plan")?;
        let bird = Bird::start(router, &configuration(&cluster))?;
        let roles = cluster.install(&Program::new(env!("CARGO_BIN_EXE_ferrule")), Path::new(DEPLOY))?;
        cluster.apply(OBJECTS)?;
        for node in cluster.nodes() {
            let peer = format!("10.0.0.{}", 10 + node.number());
            bird.wait_established(&peer, true, READY_WITHIN).map_err(|error| format!("{error}\n{}", roles.logs()))?;
        }
        let capture = Capture::start(cluster.lan(), Keep::Announcements)?;
        Ok(Self { roles, _bird: bird, capture, cluster })
    }

    /// Creates an EndpointSlice and a Service for each name, by so many clients at once.
    pub(crate) fn create(&self, names: &[String], clients: usize, families: Families) -> Result<(), Box<dyn Error>> {
        self.with_client(async |client| {
            let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), NAMESPACE);
            let services: Api<Service> = Api::namespaced(client, NAMESPACE);
            let made = stream::iter(names).map(async |name: &String| -> Result<(), kube::Error> {
                slices.create(&PostParams::default(), &slice(name, "v4")).await?;
                if families == Families::Both {
                    slices.create(&PostParams::default(), &slice(name, "v6")).await?;
                }
                services.create(&PostParams::default(), &service(name, families)).await?;
                Ok(())
            });
            made.buffer_unordered(clients).try_collect::<Vec<()>>().await.map(drop)
        })
    }

    /// The addresses of all Services.
    pub(crate) fn addresses(&self) -> Result<BTreeMap<String, Vec<IpAddr>>, Box<dyn Error>> {
        let found = self.with_client(async |client| {
            Api::<Service>::namespaced(client, NAMESPACE).list(&ListParams::default()).await
        })?;
        let rows = found.items.into_iter().map(|service| {
            let ingress = service.status.and_then(|status| status.load_balancer?.ingress).unwrap_or_default();
            let addresses = ingress.iter().filter_map(|entry| entry.ip.as_deref()?.parse().ok()).collect();
            (service.metadata.name.unwrap_or_default(), addresses)
        });
        Ok(rows.collect())
    }

    /// Waits until the status of each has been written.
    pub(crate) fn wait_for_status(
        &self,
        names: &[String],
        from: Moment,
        within: Duration,
    ) -> Result<(), Box<dyn Error>> {
        let all = || {
            std::thread::sleep(Duration::from_millis(200));
            let record = Record::of(&self.cluster, from).ok()?;
            (record.written(names) == names.len()).then_some(())
        };
        wait_until(within, "every Service to have an address", all)
            .map_err(|error| format!("{error}\n{}", self.roles.controller.log()).into())
    }

    /// Processor time of each role so far.
    pub(crate) fn processor_time(&mut self) -> BTreeMap<String, Duration> {
        self.roles
            .all_mut()
            .map(|role| {
                let time = role.process().and_then(|process| process.processor_time());
                (role.name().to_owned(), time.unwrap_or_default())
            })
            .collect()
    }

    /// What each role has burnt since.
    pub(crate) fn burnt_since(&mut self, before: &BTreeMap<String, Duration>) -> String {
        let mut text = String::from("processor time:");
        for (name, now) in self.processor_time() {
            let spent = now.saturating_sub(before.get(&name).copied().unwrap_or_default());
            let _ = write!(text, " {name} {:.2} s", spent.as_secs_f64());
        }
        text
    }

    pub(crate) fn print_memory(&mut self) {
        let mebibytes = |octets: Option<u64>| octets.unwrap_or_default() / (1 << 20);
        let mut text = String::from("resident:");
        for role in self.roles.all_mut() {
            let name = role.name().to_owned();
            let _ = write!(text, " {name} {} MiB", mebibytes(role.process().and_then(|process| process.resident())));
        }
        for (name, part) in [("kube-apiserver", Part::ApiServer), ("etcd", Part::Etcd)] {
            let resident = self.cluster.plane().process(part).and_then(lab::Process::resident);
            let _ = write!(text, " {name} {} MiB", mebibytes(resident));
        }
        println!("{text}");
    }

    /// Runs something with a client of the API server, on a thread in the control plane's host.
    fn with_client<T: Send, F>(&self, work: impl FnOnce(Client) -> F + Send) -> Result<T, Box<dyn Error>>
    where
        F: Future<Output = Result<T, kube::Error>>,
    {
        let path = self.cluster.plane().kubeconfig().to_owned();
        let done = self.cluster.plane().host().inside(|| -> Result<T, String> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| error.to_string())?;
            runtime.block_on(async {
                let kubeconfig = Kubeconfig::read_from(path).map_err(|error| error.to_string())?;
                let options = KubeConfigOptions::default();
                let config =
                    Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| error.to_string())?;
                let client = Client::try_from(config).map_err(|error| error.to_string())?;
                work(client).await.map_err(|error| error.to_string())
            })
        })?;
        Ok(done?)
    }
}

fn service(name: &str, families: Families) -> Service {
    let policy = if families == Families::Both { "RequireDualStack" } else { "SingleStack" };
    let value = json!({
        "metadata": {"name": name},
        "spec": {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "ipFamilyPolicy": policy,
                 "ports": [{"port": 80, "targetPort": 8080, "protocol": "TCP"}]},
    });
    serde_json::from_value(value).unwrap_or_default()
}

fn slice(service: &str, family: &str) -> EndpointSlice {
    let is_v4 = family == "v4";
    let endpoint = |number: u8| {
        let address = if is_v4 { format!("10.244.{number}.10") } else { format!("fd00:10:244:{number}::10") };
        json!({"addresses": [address], "nodeName": format!("n{number}"), "conditions": {"ready": true}})
    };
    let value = json!({
        "metadata": {"name": format!("{service}-{family}"), "labels": {"kubernetes.io/service-name": service}},
        "addressType": if is_v4 { "IPv4" } else { "IPv6" },
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
        "endpoints": [endpoint(1), endpoint(2), endpoint(3)],
    });
    serde_json::from_value(value).unwrap_or_default()
}

fn configuration(cluster: &Cluster) -> String {
    let mut text = String::from("router id 10.0.0.1;\n");
    for node in cluster.nodes() {
        let (name, number) = (node.name(), 10 + node.number());
        let _ = writeln!(
            text,
            "protocol bgp {name} {{ local 10.0.0.1 as 64501; neighbor 10.0.0.{number} as 64500; ipv4 {{ import all; export none; }}; \
             ipv6 {{ import all; export none; }}; }}"
        );
    }
    text
}
