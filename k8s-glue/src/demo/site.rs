//! The site: nodes that each run the real daemon and a real HTTP server, hosts that watch them, and the files they all work from.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lab::{Capture, Fault, Hardware, Host, Judge, Keep, Lab, Moment, Prober, Process, Segment, wait_until};
use lbcore::service::ServiceKey;

use super::{DemoError, LINK};
use crate::state::{self, RecordedService};

/// Groups of the member frames, as the Ethernet addresses of 224.0.0.254 and `ff02::114`.
const MEMBER_GROUPS: [[u8; 6]; 2] = [[0x01, 0x00, 0x5e, 0x00, 0x00, 0xfe], [0x33, 0x33, 0x00, 0x00, 0x01, 0x14]];

/// First of the addresses that the pool has.
pub const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 50);

/// First of the IPv6 addresses that the pool has, where there are any.
pub const FIRST_ADDRESS6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x50, 0, 0, 0, 0, 0x50);

/// The observer's own addresses.
const OBSERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 5);
const OBSERVER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x50, 0, 0, 0, 0, 5);

/// Families of the Services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// IPv4 alone.
    V4,
    /// An address of each family for each Service.
    Dual,
}

/// Whether a frame is one of members, to their group.
pub fn is_member_frame(octets: &[u8]) -> bool {
    MEMBER_GROUPS.iter().any(|group| octets.starts_with(group))
}

/// What to build.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The binary `ferrule`.
    pub program: &'a Path,
    /// Names of the nodes.
    pub nodes: &'a [&'a str],
    /// Names of the Services, all in namespace `demo`; at most 50.
    pub services: &'a [&'a str],
    /// Their families.
    pub stack: Stack,
}

/// One node: a host, its daemon and its server.
#[derive(Debug)]
pub struct Node {
    name: String,
    host: Host,
    hardware: Hardware,
    daemon: Option<Process>,
    server: Option<Process>,
}

impl Node {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The host it is.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// Hardware address of its link.
    pub const fn hardware(&self) -> Hardware {
        self.hardware
    }

    /// Its daemon, while there is one.
    pub const fn daemon(&mut self) -> Option<&mut Process> {
        self.daemon.as_mut()
    }

    /// What its daemon has said.
    pub fn log(&self) -> String {
        self.daemon.as_ref().map(|daemon| daemon.stdout() + &daemon.stderr()).unwrap_or_default()
    }
}

/// A built site. Everything in it ends when it is dropped.
#[derive(Debug)]
pub struct Site {
    program: PathBuf,
    nodes: Vec<Node>,
    segment: Segment,
    observer: Host,
    capture: Capture,
    lab: Lab,
    guests: Vec<Host>,
    folder: Folder,
    stack: Stack,
}

impl Site {
    /// Builds hosts and files; starts the capture, but no node.
    ///
    /// # Errors
    /// What the kernel or the file system refused.
    pub fn build(plan: &Plan<'_>) -> Result<Self, DemoError> {
        let folder = Folder::make()?;
        folder.write("objects/objects.yaml", &objects(plan.services, plan.stack))?;
        folder.write("key", &random_key().map_err(|source| DemoError::file("reading /dev/urandom", source))?)?;
        let lab = Lab::new("site");
        let observer = lab.host("observer")?;
        prepare(&observer, plan.stack)?;
        let segment = lab.segment("lan", &[&observer])?;
        observer.address(LINK, &format!("{OBSERVER}/24"))?;
        if plan.stack == Stack::Dual {
            observer.address(LINK, &format!("{OBSERVER6}/64"))?;
        }
        let capture = Capture::start(&segment, Keep::ArpAndGroups)?;
        let program = plan.program.to_path_buf();
        let (nodes, guests, stack) = (Vec::new(), Vec::new(), plan.stack);
        let mut site = Self { program, nodes, segment, observer, capture, lab, guests, folder, stack };
        for name in plan.nodes {
            let host = site.guest(name)?;
            let hardware = host.hardware(LINK)?;
            site.nodes.push(Node { name: (*name).to_owned(), host, hardware, daemon: None, server: None });
        }
        Ok(site)
    }

    /// A further host on the segment, with an address of its own: a client, a stranger.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn guest(&mut self, name: &str) -> Result<Host, DemoError> {
        let host = self.lab.host(name)?;
        prepare(&host, self.stack)?;
        self.segment.join(&host)?;
        self.guests.push(host.clone());
        host.address(LINK, &format!("192.0.2.{}/24", 10 + self.guests.len()))?;
        Ok(host)
    }

    /// Every host that [`Site::guest`] made, nodes included.
    pub fn guests(&self) -> impl Iterator<Item = &Host> {
        self.guests.iter()
    }

    /// The segment all are on.
    pub const fn segment(&self) -> &Segment {
        &self.segment
    }

    /// The capture of all ARP and group frames.
    pub const fn capture(&self) -> &Capture {
        &self.capture
    }

    /// The nodes, in the order of the plan.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A node by its name.
    ///
    /// # Errors
    /// [`DemoError::Unknown`].
    pub fn node(&mut self, name: &str) -> Result<&mut Node, DemoError> {
        let found = self.nodes.iter_mut().find(|node| node.name == name);
        found.ok_or_else(|| DemoError::Unknown { node: name.to_owned() })
    }

    /// The folder of a node's state and whatever else a test wants to keep for it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.0.join(name)
    }

    /// Starts the daemon of a node.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start_daemon(&mut self, name: &str) -> Result<(), DemoError> {
        let command = self.daemon_command(name, name);
        let node = self.node(name)?;
        node.daemon = Some(node.host.spawn(command)?);
        Ok(())
    }

    /// The command that starts a daemon as the node `name`, with its state in the folder [`Site::path`] of `folder`.
    pub fn daemon_command(&self, name: &str, folder: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("run").arg("-f").arg(self.path("objects"));
        command.arg("--state").arg(self.path(folder).join("state.json"));
        command.arg("--member-key-file").arg(self.path("key"));
        command.args(["--node-name", name]);
        command
    }

    /// Starts the HTTP server of a node, a process of its own as in real life; it answers with the node's name.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start_server(&mut self, name: &str) -> Result<(), DemoError> {
        let mut command = Command::new(&self.program);
        command.args(["demo", "--serve", name]);
        let node = self.node(name)?;
        let mut server = node.host.spawn(command)?;
        server.wait_for("serving", Duration::from_secs(5))?;
        node.server = Some(server);
        Ok(())
    }

    /// Ends a node: its link is cut and all its processes are killed. Returns the moment just before.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn kill_node(&mut self, name: &str) -> Result<Moment, DemoError> {
        let segment = self.segment.clone();
        let at = Moment::now();
        let node = self.node(name)?;
        segment.impose(&node.host, Fault::Carrier)?;
        let ended = [node.daemon.take(), node.server.take()];
        for mut process in ended.into_iter().flatten() {
            process.signal(libc::SIGKILL)?;
        }
        Ok(at)
    }

    /// Kills the daemon of a node alone (SIGKILL). Returns the moment just before.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn kill_daemon(&mut self, name: &str) -> Result<Moment, DemoError> {
        let at = Moment::now();
        if let Some(mut daemon) = self.node(name)?.daemon.take() {
            daemon.kill()?;
        }
        Ok(at)
    }

    /// Asks the daemon of a node to stop (SIGTERM), as a planned move. Returns the moment just before.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn stop_daemon(&mut self, name: &str) -> Result<Moment, DemoError> {
        let at = Moment::now();
        if let Some(daemon) = self.node(name)?.daemon() {
            daemon.terminate()?;
        }
        Ok(at)
    }

    /// Plugs the link of a killed node in again and starts its processes.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn revive_node(&mut self, name: &str) -> Result<(), DemoError> {
        let segment = self.segment.clone();
        segment.heal(&self.node(name)?.host)?;
        self.start_server(name)?;
        self.start_daemon(name)
    }

    /// Waits until a node has sent member frames for longer than it must listen before it may take part.
    ///
    /// # Errors
    /// [`lab::Error::Late`] with the daemon's log.
    pub fn wait_until_member(&mut self, name: &str, since: Moment) -> Result<(), DemoError> {
        let what = format!("member frames of {name}");
        let frames = wait_until(Duration::from_secs(10), &what, || {
            let frames = self.capture.frames().ok()?;
            let heard = frames
                .iter()
                .filter(|frame| &*frame.host == name && frame.at > since && is_member_frame(&frame.octets));
            // Twice the timeout of 700 ms at one frame in 100 ms.
            (heard.count() >= 14).then_some(())
        });
        let log = self.node(name)?.log();
        frames.map_err(|source| DemoError::Node { node: name.to_owned(), source, log })
    }

    /// What a node has recorded as allocated.
    ///
    /// # Errors
    /// Where its state file cannot be read.
    pub fn allocations(&self, name: &str) -> Result<BTreeMap<ServiceKey, RecordedService>, DemoError> {
        let path = self.path(name).join("state.json");
        let octets =
            fs::read(&path).map_err(|source| DemoError::file(format!("reading {}", path.display()), source))?;
        Ok(state::decode(&octets, &path)?.services)
    }

    /// Lets the observer ask for these addresses 20 times a second each, so that the judge sees their owners: a prober for each family
    /// that is among them.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn probe<A: Into<IpAddr> + Copy>(&self, addresses: &[A]) -> Result<Vec<Prober>, DemoError> {
        let all: Vec<IpAddr> = addresses.iter().map(|address| (*address).into()).collect();
        let families = [IpAddr::V4(OBSERVER), IpAddr::V6(OBSERVER6)].map(|sender| {
            let asked = all.iter().filter(|address| address.is_ipv4() == sender.is_ipv4()).copied();
            (sender, asked.collect::<Vec<IpAddr>>())
        });
        let asked = families.iter().filter(|(_, addresses)| !addresses.is_empty());
        asked.map(|(sender, addresses)| Ok(Prober::start(&self.observer, LINK, *sender, addresses, 20)?)).collect()
    }

    /// The judge of everything captured so far, without what hosts say of their own addresses.
    ///
    /// # Errors
    /// Where the capture lost frames or cannot keep up.
    pub fn judge(&self) -> Result<Judge, DemoError> {
        let frames = self.capture.frames()?;
        match self.capture.lost() {
            0 => Ok(Judge::of(&frames).among(is_of_a_pool)),
            frames => Err(DemoError::CaptureLost { frames }),
        }
    }

    /// Who answers for an address now, by what the last 500 ms of the wire say.
    ///
    /// # Errors
    /// As [`Site::judge`].
    pub fn owner(&self, address: impl Into<IpAddr>) -> Result<Option<String>, DemoError> {
        let now = Moment::now();
        let judge = self.judge()?;
        let last = judge.answers(address).last().filter(|answer| now.since(answer.at) < Duration::from_millis(500));
        Ok(last.map(|answer| answer.host.to_string()))
    }

    /// Everything all daemons have said, for the message of a failure.
    pub fn logs(&self) -> String {
        self.nodes.iter().map(|node| format!("--- {}\n{}", node.name, node.log())).collect::<Vec<_>>().join("\n")
    }
}

/// Whether an address is one that Services get.
fn is_of_a_pool(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address >= FIRST_ADDRESS,
        IpAddr::V6(address) => address >= FIRST_ADDRESS6 && address.segments().starts_with(&[0x2001, 0xdb8, 0x50]),
    }
}

/// Hosts of a site with IPv6 have had their link-local addresses for long: nobody waits for duplicate address detection.
fn prepare(host: &Host, stack: Stack) -> Result<(), DemoError> {
    match stack {
        Stack::V4 => Ok(()),
        Stack::Dual => Ok(host.sysctl("net.ipv6.conf.default.accept_dad", "0")?),
    }
}

/// The objects of the site: one pool, one advertisement, and the Services.
fn objects(services: &[&str], stack: Stack) -> String {
    let further = match stack {
        Stack::V4 => "",
        Stack::Dual => ", \"2001:db8:50::50-2001:db8:50::99\"",
    };
    let pool = format!(
        "\
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {{ name: lan, namespace: metallb-system }}
spec: {{ addresses: [ 192.0.2.50-192.0.2.99{further} ] }}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {{ name: lan, namespace: metallb-system }}
spec: {{ ipAddressPools: [ lan ] }}
"
    );
    let service = |(name, last): (&&str, u16)| {
        let families = match stack {
            Stack::V4 => format!("clusterIP: 10.96.0.{last}"),
            Stack::Dual => format!(
                "clusterIP: 10.96.0.{last}, clusterIPs: [ 10.96.0.{last}, \"fd00:96::{last}\" ], \
                 ipFamilies: [ IPv4, IPv6 ], ipFamilyPolicy: RequireDualStack"
            ),
        };
        format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{ name: {name}, namespace: demo }}\n\
             spec: {{ type: LoadBalancer, {families}, ports: [ {{ port: 80, protocol: TCP }} ] }}\n"
        )
    };
    std::iter::once(pool).chain(services.iter().zip(1..).map(service)).collect()
}

/// 32 random octets as hexadecimal text.
fn random_key() -> io::Result<String> {
    let mut octets = [0_u8; 32];
    fs::File::open("/dev/urandom")?.read_exact(&mut octets)?;
    Ok(octets.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().concat())
}

/// A folder of our own that goes with us.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Self, DemoError> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = super::folder_prefix().with_extension(number.to_string());
        fs::create_dir_all(&path).map_err(|source| DemoError::file(format!("making {}", path.display()), source))?;
        Ok(Self(path))
    }

    fn write(&self, name: &str, text: &str) -> Result<(), DemoError> {
        let path = self.0.join(name);
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        let written = made.and_then(|()| fs::write(&path, text));
        written.map_err(|source| DemoError::file(format!("writing {}", path.display()), source))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}
