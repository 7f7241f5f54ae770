//! The site: nodes that each run the real daemon and a real HTTP server, hosts that watch them, and the files they all work from.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lab::{Capture, Fault, Hardware, Host, Judge, Keep, Lab, Moment, Prober, Process, Segment, wait_until};
use lbcore::service::ServiceKey;

use super::{DemoError, LINK};
use crate::state::{self, RecordedService};

/// Group of the member frames, as the Ethernet address of 224.0.0.254.
const MEMBER_GROUP: [u8; 6] = [0x01, 0x00, 0x5e, 0x00, 0x00, 0xfe];

/// First of the addresses that the pool has.
pub const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 50);

/// What to build.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The binary `ferrule`.
    pub program: &'a Path,
    /// Names of the nodes.
    pub nodes: &'a [&'a str],
    /// Names of the Services, all in namespace `demo`; at most 50.
    pub services: &'a [&'a str],
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
}

impl Site {
    /// Builds hosts and files; starts the capture, but no node.
    ///
    /// # Errors
    /// What the kernel or the file system refused.
    pub fn build(plan: &Plan<'_>) -> Result<Self, DemoError> {
        let folder = Folder::make()?;
        folder.write("objects/objects.yaml", &objects(plan.services))?;
        folder.write("key", &random_key().map_err(|source| DemoError::file("reading /dev/urandom", source))?)?;
        let lab = Lab::new("site");
        let observer = lab.host("observer")?;
        let segment = lab.segment("lan", &[&observer])?;
        observer.address(LINK, "192.0.2.5/24")?;
        let capture = Capture::start(&segment, Keep::ArpAndGroups)?;
        let program = plan.program.to_path_buf();
        let mut site = Self { program, nodes: Vec::new(), segment, observer, capture, lab, guests: Vec::new(), folder };
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
                .filter(|frame| &*frame.host == name && frame.at > since && frame.octets.starts_with(&MEMBER_GROUP));
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

    /// Lets the observer ask for these addresses 20 times a second each, so that the judge sees their owners.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn probe(&self, addresses: &[Ipv4Addr]) -> Result<Prober, DemoError> {
        Ok(Prober::start(&self.observer, LINK, Ipv4Addr::new(192, 0, 2, 5), addresses, 20)?)
    }

    /// The judge of everything captured so far, without what hosts say of their own addresses.
    ///
    /// # Errors
    /// Where the capture lost frames or cannot keep up.
    pub fn judge(&self) -> Result<Judge, DemoError> {
        let frames = self.capture.frames()?;
        match self.capture.lost() {
            0 => Ok(Judge::of(&frames).among(|address| address.is_ipv4() && address >= FIRST_ADDRESS)),
            frames => Err(DemoError::CaptureLost { frames }),
        }
    }

    /// Who answers for an address now, by what the last 500 ms of the wire say.
    ///
    /// # Errors
    /// As [`Site::judge`].
    pub fn owner(&self, address: Ipv4Addr) -> Result<Option<String>, DemoError> {
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

/// The objects of the site: one pool, one advertisement, and the Services.
fn objects(services: &[&str]) -> String {
    let pool = "\
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: { name: lan, namespace: metallb-system }
spec: { addresses: [ 192.0.2.50-192.0.2.99 ] }
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: { name: lan, namespace: metallb-system }
spec: { ipAddressPools: [ lan ] }
";
    let service = |(name, last): (&&str, u16)| {
        format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{ name: {name}, namespace: demo }}\n\
             spec: {{ type: LoadBalancer, clusterIP: 10.96.0.{last}, ports: [ {{ port: 80, protocol: TCP }} ] }}\n"
        )
    };
    std::iter::once(pool.to_owned()).chain(services.iter().zip(1..).map(service)).collect()
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
