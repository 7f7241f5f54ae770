//! A node: a host that forwards, with pods behind a bridge and kube-proxy in its kernel.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::pod::Pod;
use super::{LAN, SECOND, START_WITHIN, forwards, gateways, join, machine, v4, v6};
use crate::Lab;
use crate::control_plane::ControlPlane;
use crate::deadline::wait_until;
use crate::error::{Error, Result};
use crate::host::{Hardware, Host, Via};
use crate::http;
use crate::process::Process;
use crate::segment::Segment;

/// The bridge that pods are on. Names like these are what users exclude from announcing by default.
const POD_BRIDGE: &str = "cni0";
const POD_PORT_LINK: &str = "veth-pods";

/// The addresses of all pods, IPv4 and IPv6.
const POD_RANGES: &str = "10.244.0.0/16,fd00:10:244::/48";

/// Rules that cut a node off from the API server in silence, whatever else is in its tables.
const CUT_OFF: &str = "
add table inet laboratory
add chain inet laboratory in { type filter hook input priority -300; }
add chain inet laboratory out { type filter hook output priority -300; }
add rule inet laboratory in tcp sport 6443 drop
add rule inet laboratory out tcp dport 6443 drop
";

/// A node of a cluster.
#[derive(Debug)]
pub struct Node {
    // Ends before the host that it is in.
    proxy: Option<Process>,
    number: u8,
    host: Host,
    pods: Host,
    made: AtomicU8,
}

impl Node {
    pub(super) fn make(lab: &Lab, lan: &Segment, second: Option<&Segment>, number: u8) -> Result<Self> {
        let (host, pods) = (machine(lab, &format!("n{number}"))?, machine(lab, &format!("pods-n{number}"))?);
        forwards(&host)?;
        join(&host, lan, LAN, 10 + number)?;
        host.address("eth0", &format!("10.0.0.{}/24", 10 + number))?;
        second.map_or(Ok(()), |second| join(&host, second, SECOND, 10 + number))?;
        gateways(&host, LAN)?;
        let link = host.bridge_to(POD_BRIDGE, POD_PORT_LINK, &pods)?;
        let (gateway_v4, gateway_v6) = (pod_v4(number, 1), pod_v6(number, 1));
        host.address(POD_BRIDGE, &format!("{gateway_v4}/24"))?;
        host.address(POD_BRIDGE, &format!("{gateway_v6}/64"))?;
        pods.address(&link, &format!("{}/24", pod_v4(number, 2)))?;
        pods.address(&link, &format!("{}/64", pod_v6(number, 2)))?;
        pods.route("0.0.0.0/0", Via::Gateway(gateway_v4.into()))?;
        pods.route("::/0", Via::Gateway(gateway_v6.into()))?;
        Ok(Self { proxy: None, number, host, pods, made: AtomicU8::new(0) })
    }

    /// Its name: `n1`.
    pub fn name(&self) -> &str {
        self.host.name()
    }

    /// Its number, from 1.
    pub const fn number(&self) -> u8 {
        self.number
    }

    /// The host it is.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// Its internal address of IPv4.
    pub const fn address_v4(&self) -> Ipv4Addr {
        match v4(LAN, 10 + self.number) {
            IpAddr::V4(address) => address,
            IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
        }
    }

    /// Its internal address of IPv6.
    pub fn address_v6(&self) -> Ipv6Addr {
        match v6(LAN, 10 + self.number) {
            IpAddr::V6(address) => address,
            IpAddr::V4(_) => Ipv6Addr::UNSPECIFIED,
        }
    }

    /// Hardware address of its link on the segment of the nodes.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn hardware(&self) -> Result<Hardware> {
        self.host.hardware("eth0")
    }

    /// Starts a pod here that answers HTTP on [`super::POD_PORT`] with its name, its node and its client's address.
    ///
    /// # Errors
    /// What the kernel refused; [`Error::Input`] after 200 pods.
    pub fn pod(&self, name: &str) -> Result<Pod> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        if number >= 200 {
            let mend = "at most 200 on a node".to_owned();
            return Err(Error::Input { what: "pod", value: name.to_owned(), mend });
        }
        let (v4, v6) = (pod_v4(self.number, 10 + number), pod_v6(self.number, 10 + number));
        self.pods.address("eth0", &format!("{v4}/24"))?;
        self.pods.address("eth0", &format!("{v6}/64"))?;
        Pod::start(&self.pods, name, self.name(), v4, v6)
    }

    /// Lets this node's kernel send to the pods of another.
    pub(super) fn reach(&self, other: &Self) -> Result<()> {
        let (by_v4, by_v6) = (other.address_v4().into(), other.address_v6().into());
        self.host.route(&format!("{}/24", pod_v4(other.number, 0)), Via::Gateway(by_v4))?;
        self.host.route(&format!("{}/64", pod_v6(other.number, 0)), Via::Gateway(by_v6))
    }

    /// Starts kube-proxy in nftables mode; [`Node::wait_for_proxy`] waits until it has written its rules.
    ///
    /// # Errors
    /// [`Error::Missing`] where there is no kube-proxy.
    pub fn start_proxy(&mut self, plane: &ControlPlane) -> Result<()> {
        let mut command = Command::new(plane.binaries().kube_proxy()?);
        command.arg("--kubeconfig").arg(plane.kubeconfig_of_kube_proxy());
        command.args(["--hostname-override", self.name(), "--proxy-mode", "nftables", "--cluster-cidr", POD_RANGES]);
        command.args(["--nodeport-addresses", "primary"]);
        command.args(["--healthz-bind-address", "127.0.0.1:10256", "--metrics-bind-address", "127.0.0.1:10249"]);
        // In a namespace the limits of connection tracking are read-only, and an attempt to set them would end it.
        command.args(["--conntrack-max-per-core", "0", "--conntrack-min", "0"]);
        command.args(["--conntrack-tcp-timeout-established", "0s", "--conntrack-tcp-timeout-close-wait", "0s"]);
        self.proxy = Some(self.host.spawn(command)?);
        Ok(())
    }

    /// Waits until kube-proxy has written its rules for the first time.
    ///
    /// # Errors
    /// [`Error::Late`] or [`Error::Exit`], with what it said.
    pub fn wait_for_proxy(&mut self) -> Result<()> {
        let what = format!("kube-proxy of {} to write its rules", self.name());
        let health = SocketAddr::from((Ipv4Addr::LOCALHOST, 10_256));
        let (host, proxy) = (&self.host, &mut self.proxy);
        let is_well = |host: &Host| {
            host.inside(|| http::get_path(health, "/healthz", Duration::from_secs(1)).is_ok()).unwrap_or(false)
        };
        let well = wait_until(START_WITHIN, &what, || {
            let ended = proxy.as_mut().and_then(|proxy| proxy.poll().ok().flatten());
            if let Some(status) = ended { Some(Err(status)) } else { is_well(host).then_some(Ok(())) }
        });
        let log = || self.proxy.as_ref().map(Process::stderr).unwrap_or_default();
        match well {
            Ok(Ok(())) => Ok(()),
            Ok(Err(status)) => {
                Err(Error::Exit { command: "kube-proxy".into(), status: status.to_string(), log: log() })
            }
            Err(error) => Err(error.with_last_look(&log())),
        }
    }

    /// kube-proxy, while it runs.
    pub const fn proxy(&mut self) -> &mut Option<Process> {
        &mut self.proxy
    }

    /// Loses everything between this node and the API server in silence, until [`Node::reach_api_server`].
    ///
    /// # Errors
    /// What the kernel refused; [`Error::System`] where there is no `nft`.
    pub fn lose_api_server(&self) -> Result<()> {
        self.nft(CUT_OFF)
    }

    /// Undoes [`Node::lose_api_server`].
    ///
    /// # Errors
    /// As there.
    pub fn reach_api_server(&self) -> Result<()> {
        self.nft("delete table inet laboratory")
    }

    fn nft(&self, rules: &str) -> Result<()> {
        let mut command = Command::new("nft");
        command.arg(rules.trim().replace('\n', "; "));
        self.host.run(command, START_WITHIN)?.success().map(drop)
    }
}

const fn pod_v4(node: u8, number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 244, node, number)
}

const fn pod_v6(node: u8, number: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0x10, 0x244, node as u16, 0, 0, 0, number as u16)
}
