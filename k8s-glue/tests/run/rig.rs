//! Hosts on one segment, the files they read, and the daemon in each.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use k8s_glue::state::{self, State};
use lab::{Host, Lab, Process, Segment, wait_until};
use tempfile::TempDir;

pub(crate) type Checked = Result<(), Box<dyn Error>>;

/// Everything that has to come about at all does so within this time, on a busy machine too.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Hosts `n1`, `n2`, ... with addresses 198.51.100.1 and so on, and one of them, the last, for clients.
pub(crate) struct Rig {
    pub(crate) nodes: Vec<Host>,
    pub(crate) client: Host,
    pub(crate) lab: Lab,
    pub(crate) segment: Segment,
    pub(crate) folder: TempDir,
}

impl Rig {
    pub(crate) fn new(name: &str, nodes: u8) -> Result<Self, Box<dyn Error>> {
        let lab = Lab::new(name);
        let client = lab.host("client")?;
        let segment = lab.segment("lan", &[&client])?;
        client.address("eth0", "198.51.100.200/24")?;
        let mut hosts = Vec::new();
        for number in 1..=nodes {
            let host = lab.host(&format!("n{number}"))?;
            segment.join(&host)?;
            host.address("eth0", &format!("198.51.100.{number}/24"))?;
            hosts.push(host);
        }
        Ok(Self { nodes: hosts, client, lab, segment, folder: tempfile::tempdir()? })
    }

    /// The folder that a node reads.
    pub(crate) fn objects(&self, node: &str) -> PathBuf {
        self.folder.path().join(node).join("objects")
    }

    pub(crate) fn state_path(&self, node: &str) -> PathBuf {
        self.folder.path().join(node).join("state.json")
    }

    /// Replaces what a node reads, as an editor does: a new file renamed over the old one.
    pub(crate) fn write(&self, node: &str, text: &str) -> Result<(), Box<dyn Error>> {
        let folder = self.objects(node);
        fs::create_dir_all(&folder)?;
        let fresh = folder.join("objects.yaml.new");
        fs::write(&fresh, text)?;
        fs::rename(fresh, folder.join("objects.yaml"))?;
        Ok(())
    }

    /// The command that starts a node's daemon.
    pub(crate) fn command(&self, node: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ferrule"));
        command.arg("run").arg("-f").arg(self.objects(node)).arg("--state").arg(self.state_path(node));
        command.args(["--node-name", node]).env("RUST_LOG", "debug,netlink_proto=warn");
        command
    }

    pub(crate) fn start(&self, number: usize) -> Result<Process, Box<dyn Error>> {
        let host = &self.nodes[number];
        Ok(host.spawn(self.command(host.name()))?)
    }

    /// What a node has on disk.
    pub(crate) fn state(&self, node: &str) -> Result<State, Box<dyn Error>> {
        let path = self.state_path(node);
        match fs::read(&path) {
            Ok(octets) => Ok(state::decode(&octets, &path)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(State::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// The addresses that a node has on disk, by Service.
    pub(crate) fn recorded(&self, node: &str) -> Result<BTreeMap<String, Vec<IpAddr>>, Box<dyn Error>> {
        let services = self.state(node)?.services;
        Ok(services.into_iter().map(|(key, recorded)| (key.to_string(), recorded.addresses)).collect())
    }
}

/// A pool 198.51.100.10 to 198.51.100.N, an advertisement, and Services of these names.
pub(crate) fn objects<'a>(last: &str, services: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = format!(
        "\
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {{name: lan, namespace: metallb-system}}
spec: {{addresses: [198.51.100.10-{last}]}}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {{name: lan, namespace: metallb-system}}
"
    );
    for name in services {
        text.push_str("---\napiVersion: v1\nkind: Service\nmetadata: {name: ");
        text.push_str(name);
        text.push_str("}\nspec: {type: LoadBalancer, ports: [{port: 80}]}\n");
    }
    text
}

pub(crate) fn check(holds: bool, what: impl Into<String>) -> Checked {
    if holds { Ok(()) } else { Err(what.into().into()) }
}

/// Waits until a file-like look at the world says so; the last look stands in the message.
pub(crate) fn wait<T: std::fmt::Debug>(
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

/// A setting of a link as the host's kernel has it.
pub(crate) fn setting(host: &Host, link: &str, name: &str) -> Result<String, Box<dyn Error>> {
    let path = format!("/proc/sys/net/ipv4/conf/{link}/{name}");
    Ok(host.inside(|| fs::read_to_string(&path))??.trim().to_owned())
}

/// The local addresses of a host with a /32, except loopback: what is on `ferrule0`.
pub(crate) fn held(host: &Host) -> Result<BTreeSet<Ipv4Addr>, Box<dyn Error>> {
    let table = host.inside(|| fs::read_to_string("/proc/thread-self/net/fib_trie"))??;
    let mut addresses = BTreeSet::new();
    let mut lines = table.lines().peekable();
    while let Some(line) = lines.next() {
        let is_local = lines.peek().is_some_and(|next| next.contains("/32 host LOCAL"));
        if let Some(address) = line.trim().strip_prefix("|-- ").filter(|_| is_local) {
            addresses.insert(address.parse()?);
        }
    }
    addresses.retain(|address: &Ipv4Addr| (10..200).contains(&address.octets()[3]) && !address.is_loopback());
    Ok(addresses)
}

/// Whether a client's `arping` gets an answer for the address.
pub(crate) fn answers(client: &Host, address: &str) -> Result<bool, Box<dyn Error>> {
    let mut command = Command::new("arping");
    command.args(["-f", "-c", "3", "-w", "2", "-I", "eth0", address]);
    Ok(client.run(command, SOON)?.status.success())
}

pub(crate) fn is_absent(path: &Path) -> bool {
    !path.exists()
}
