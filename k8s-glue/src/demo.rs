//! `ferrule demo`: a laboratory of its own, in which the real daemon does its main job before one's eyes.
//!
//! Three nodes each run `ferrule run` and a real HTTP server; two clients fetch a page each 10 ms, one that remembers its
//! neighbours and one that forgets them before each request. The owner's node is killed, then an owner's daemon alone, then an owner
//! is asked to stop; each time the outage that the clients saw is measured, and every frame of the segment is read to see who
//! answered for what. Nothing is simulated, and nothing is left behind.
//!
//! [`site`] builds all of it, [`lab::client`] asks, [`lab::outage`] measures. What must hold for exit status 0: traffic comes back each time,
//! and the hardware address that answers is another one.

pub mod cluster;
pub mod site;

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use lab::judge::HAND_OVER_LIMIT;
use lab::privilege::{self, Privilege};
use lab::{Hardware, Moment, wait_until};
use lbcore::rng::Rng;

use crate::args::DemoArgs;
use crate::state::StateError;

use lab::client::{Client, Memory};
use lab::outage::{self, Ending, milliseconds};
use site::Site;

/// The name of every host's link on the segment.
pub const LINK: &str = "eth0";

const NODES: [&str; 3] = ["n1", "n2", "n3"];
const SERVICES: [&str; 3] = ["mail", "shop", "web"];
/// The Service that the clients ask for.
const WATCHED: &str = "web";

/// How long nodes may take from their start to the first page.
const START_WITHIN: Duration = Duration::from_secs(15);
/// How long traffic may stay away before the demo gives up.
const RECOVER_WITHIN: Duration = Duration::from_secs(10);

/// Why the demo did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// The capture lost frames, so that nothing can be judged.
    #[error(
        "the capture lost {frames} frames, so that nothing can be said about owners; try again on a less busy machine"
    )]
    CaptureLost {
        /// How many.
        frames: u64,
    },
    /// A file could not be read or written.
    #[error("{doing} failed: {source}")]
    File {
        /// The step, as a phrase.
        doing: String,
        /// The reason.
        source: io::Error,
    },
    /// The laboratory failed.
    #[error(transparent)]
    Lab(#[from] lab::Error),
    /// A daemon did not do what it should.
    #[error("{node}: {source}\n{log}")]
    Node {
        /// The node.
        node: String,
        /// What was waited for.
        source: lab::Error,
        /// What its daemon has said.
        log: String,
    },
    /// Traffic came back, but by the same hardware address.
    #[error("traffic came back, but {hardware} still answers for {address}: nobody took over")]
    NobodyTookOver {
        /// The address.
        address: Ipv4Addr,
        /// Who answers.
        hardware: Hardware,
    },
    /// The state of a node could not be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// A part of the stage is not there that the plan has.
    #[error("the stage has not {what}")]
    Missing {
        /// The part.
        what: &'static str,
    },
    /// No node has this name.
    #[error("there is no node {node:?}")]
    Unknown {
        /// The name.
        node: String,
    },
    /// An address has no owner, or no IPv4 address was allocated.
    #[error("{what}\n{logs}")]
    Unserved {
        /// What is missing.
        what: String,
        /// What the daemons have said.
        logs: String,
    },
}

impl DemoError {
    pub(crate) const fn missing(what: &'static str) -> Self {
        Self::Missing { what }
    }

    pub(crate) fn file(doing: impl Into<String>, source: io::Error) -> Self {
        Self::File { doing: doing.into(), source }
    }
}

/// What one strike did to both clients.
#[derive(Clone, Debug)]
struct Strike {
    old: String,
    new: String,
    /// From the strike to the first frame in which another node answers for the address.
    first_frame: Duration,
    kept: Duration,
    cleared: Duration,
    unconnected: usize,
    cut: usize,
    violations: Vec<String>,
}

impl Strike {
    /// The larger outage of the two clients.
    fn outage(&self) -> Duration {
        self.kept.max(self.cleared)
    }
}

/// Runs the demo, or the part of it that the hidden flags ask for.
///
/// # Errors
/// Where the laboratory cannot be built, traffic does not come back, or nobody takes over.
pub fn run(args: &DemoArgs) -> Result<(), DemoError> {
    if let Some(name) = &args.serve {
        return serve(name);
    }
    let mut out = Narrator(Box::new(io::stdout()));
    // Before anything else: the namespace that a user without root gets has no way out to fetch what is missing.
    let binaries = args.cluster.then(|| cluster::find_programs(&mut out)).transpose()?;
    let privilege = privilege::enter()?;
    remove_folders_when_interrupted()?;
    out.say(match privilege {
        Privilege::Held => "Building a laboratory of network namespaces.",
        Privilege::UserNamespace => "Building a laboratory of network namespaces inside a user namespace of its own.",
    })?;
    match (binaries, args.kills) {
        (Some(binaries), _) => cluster::tell(&mut out, &binaries),
        (None, Some(kills)) => kill_often(&mut out, kills),
        (None, None) => tell(&mut out),
    }
}

/// The server of a node: answers on port 80 of all its addresses with the node's name until it is killed.
fn serve(name: &str) -> Result<(), DemoError> {
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 80));
    let bound = TcpListener::bind(address).map_err(|source| DemoError::file(format!("serving {address}"), source))?;
    Narrator(Box::new(io::stdout())).say("serving")?;
    lab::http::serve_until(&bound, name, &AtomicBool::new(false));
    Ok(())
}

/// The whole story.
fn tell(out: &mut Narrator) -> Result<(), DemoError> {
    let mut stage = Stage::build(out)?;
    stage.print_owners(out)?;

    let owner = stage.owner()?;
    out.say(&format!("\nKilling {owner}, which owns {}: all its processes (SIGKILL) and its link.", stage.address))?;
    let killed = stage.strike(&owner, Site::kill_node)?;
    out.tell_strike(&killed)?;
    stage.revive(&owner, Site::revive_node)?;
    stage.print_owners(out)?;

    let owner = stage.owner()?;
    out.say(&format!("\nKilling the daemon of {owner} alone; its kernel and its server go on."))?;
    let daemon = stage.strike(&owner, Site::kill_daemon)?;
    out.tell_strike(&daemon)?;
    stage.revive(&owner, Site::start_daemon)?;

    let owner = stage.owner()?;
    out.say(&format!("\nPlanned move: asking {owner} to stop (SIGTERM); it hands over first."))?;
    let moved = stage.strike(&owner, Site::stop_daemon)?;
    out.tell_strike(&moved)?;
    stage.print_owners(out)?;

    out.say("\nReport")?;
    out.report("node killed", &killed)?;
    out.report("daemon killed", &daemon)?;
    out.report("planned move", &moved)?;
    out.say(&format!("kill: outage {} ms", milliseconds(killed.outage())))?;
    out.say(&format!("move: outage {} ms", milliseconds(moved.outage())))
}

/// Kills owners again and again, at seeded moments, and prints how the outages spread.
fn kill_often(out: &mut Narrator, kills: u32) -> Result<(), DemoError> {
    let mut stage = Stage::build(out)?;
    let mut jitter = Rng::new(1);
    let mut strikes = Vec::new();
    for number in 1..=kills {
        // Anywhere between two heartbeats.
        std::thread::sleep(Duration::from_millis(jitter.below(200)));
        let owner = stage.owner()?;
        let strike = stage.strike(&owner, Site::kill_node)?;
        out.report(&format!("kill {number} of {kills}"), &strike)?;
        stage.revive(&owner, Site::revive_node)?;
        strikes.push(strike);
    }
    let mut row = |name: &str, spans: Vec<Duration>| match outage::spread(&spans) {
        Some((least, median, most)) => {
            let [least, median, most] = [least, median, most].map(milliseconds);
            out.say(&format!("{name:<28} min {least:>5} ms   median {median:>5} ms   max {most:>5} ms"))
        }
        None => Ok(()),
    };
    row("new owner's first frame", strikes.iter().map(|strike| strike.first_frame).collect())?;
    row("client that remembers", strikes.iter().map(|strike| strike.kept).collect())?;
    row("client that forgets", strikes.iter().map(|strike| strike.cleared).collect())?;
    let violations: usize = strikes.iter().map(|strike| strike.violations.len()).sum();
    out.say(&format!("times that two nodes answered for longer than {HAND_OVER_LIMIT:?}: {violations}"))
}

/// The built site with both clients asking for the watched Service.
struct Stage {
    // Clients first: they end before the hosts they are in.
    kept: Client,
    cleared: Client,
    _probers: Vec<lab::Prober>,
    site: Site,
    address: Ipv4Addr,
    table: Vec<(String, Ipv4Addr)>,
}

impl Stage {
    fn build(out: &mut Narrator) -> Result<Self, DemoError> {
        let program: PathBuf =
            std::env::current_exe().map_err(|source| DemoError::file("finding this program", source))?;
        let mut site =
            Site::build(&site::Plan { program: &program, nodes: &NODES, services: &SERVICES, stack: site::Stack::V4 })?;
        let (kept, cleared) = (site.guest("remembers")?, site.guest("forgets")?);
        out.say(
            "Three nodes (n1, n2, n3) run `ferrule run` and an HTTP server each; two clients share their segment.",
        )?;
        let started = Moment::now();
        for name in NODES {
            site.start_server(name)?;
            site.start_daemon(name)?;
        }
        let table = wait_for_allocations(&mut site)?;
        let address = table.iter().find(|(service, _)| service.ends_with(WATCHED)).map(|(_, address)| *address);
        let Some(address) = address else {
            return Err(DemoError::Unserved { what: format!("{WATCHED} got no IPv4 address"), logs: site.logs() });
        };
        let addresses: Vec<Ipv4Addr> = table.iter().map(|(_, address)| *address).collect();
        let probers = site.probe(&addresses)?;
        let target = SocketAddr::from((address, 80));
        let served = wait_until(START_WITHIN, "the first page", || {
            lab::http::get_from(&kept, target, Duration::from_millis(300)).ok()
        });
        served.map_err(|error| DemoError::Unserved { what: error.to_string(), logs: site.logs() })?;
        out.say(&format!("First page after {} ms.", milliseconds(Moment::now().since(started))))?;
        for name in NODES {
            site.wait_until_member(name, started)?;
        }
        let kept = Client::start("remembers", &kept, target, Memory::Kept)?;
        let cleared = Client::start("forgets", &cleared, target, Memory::Cleared)?;
        let stage = Self { kept, cleared, _probers: probers, site, address, table };
        stage.settle(Moment::now(), "")?;
        Ok(stage)
    }

    /// The node that answers for the watched address.
    fn owner(&self) -> Result<String, DemoError> {
        let what = || format!("nobody answers for {}", self.address);
        self.site.owner(self.address)?.ok_or_else(|| DemoError::Unserved { what: what(), logs: self.site.logs() })
    }

    /// Strikes an owner, waits for traffic by another node, and measures.
    fn strike(
        &mut self,
        old: &str,
        blow: impl FnOnce(&mut Site, &str) -> Result<Moment, DemoError>,
    ) -> Result<Strike, DemoError> {
        self.site.capture().clear();
        let hardware = self.site.node(old)?.hardware();
        // A moment of traffic, so that the answer before the strike is there.
        std::thread::sleep(Duration::from_millis(100));
        let at = blow(&mut self.site, old)?;
        self.settle(at, old)?;
        let to = Moment::now();
        let (kept, cleared) = (self.kept.attempts(), self.cleared.attempts());
        let count = |ending| outage::count(&kept, at, to, ending) + outage::count(&cleared, at, to, ending);
        let judge = self.site.judge()?;
        let nobody = || DemoError::NobodyTookOver { address: self.address, hardware };
        let first = judge.successor_of(old, self.address, at).ok_or_else(nobody)?;
        let last = judge.answers(self.address).last().filter(|answer| answer.hardware != hardware);
        let last = last.ok_or_else(nobody)?;
        Ok(Strike {
            old: old.to_owned(),
            new: last.host.to_string(),
            first_frame: first.at.since(at),
            kept: outage::outage(&kept, at, to),
            cleared: outage::outage(&cleared, at, to),
            unconnected: count(&Ending::Unconnected),
            cut: count(&Ending::Cut),
            violations: judge.violations(HAND_OVER_LIMIT).iter().map(ToString::to_string).collect(),
        })
    }

    /// Waits until both clients are served by others than `old`.
    fn settle(&self, after: Moment, old: &str) -> Result<(), DemoError> {
        for client in [&self.kept, &self.cleared] {
            let what = format!("traffic by another node for the client that {}", client.name());
            let settled = || outage::is_settled(&client.attempts(), after, old).then_some(());
            wait_until(RECOVER_WITHIN, &what, settled)
                .map_err(|error| DemoError::Unserved { what: error.to_string(), logs: self.site.logs() })?;
        }
        Ok(())
    }

    /// Brings a node back and waits until it takes part again.
    fn revive(
        &mut self,
        name: &str,
        start: impl FnOnce(&mut Site, &str) -> Result<(), DemoError>,
    ) -> Result<(), DemoError> {
        let since = Moment::now();
        start(&mut self.site, name)?;
        self.site.wait_until_member(name, since)
    }

    fn print_owners(&mut self, out: &mut Narrator) -> Result<(), DemoError> {
        out.say(&format!("\n{:<12} {:<14} {:<6} {}", "SERVICE", "ADDRESS", "OWNER", "HARDWARE ADDRESS"))?;
        let judge = self.site.judge()?;
        for (service, address) in &self.table {
            let (owner, hardware) = judge.answers(*address).last().map_or_else(
                || ("nobody".to_owned(), String::new()),
                |answer| (answer.host.to_string(), answer.hardware.to_string()),
            );
            out.say(&format!("{service:<12} {address:<14} {owner:<6} {hardware}"))?;
        }
        Ok(())
    }
}

/// Waits until every node has recorded the same address for each Service.
fn wait_for_allocations(site: &mut Site) -> Result<Vec<(String, Ipv4Addr)>, DemoError> {
    let allocated = wait_until(START_WITHIN, "all nodes to agree on the addresses", || {
        let tables = NODES.map(|name| site.allocations(name).ok());
        let [Some(first), Some(second), Some(third)] = tables else { return None };
        let addresses = |table: &std::collections::BTreeMap<_, crate::state::RecordedService>| {
            table.values().map(|record| record.addresses.clone()).collect::<Vec<_>>()
        };
        let alike = addresses(&first) == addresses(&second) && addresses(&second) == addresses(&third);
        (first.len() == SERVICES.len() && alike).then_some(first)
    });
    let allocated = allocated.map_err(|error| DemoError::Unserved { what: error.to_string(), logs: site.logs() })?;
    let rows = allocated.iter().flat_map(|(service, record)| {
        record.addresses.iter().filter_map(move |address| match address {
            IpAddr::V4(address) => Some((service.to_string(), *address)),
            IpAddr::V6(_) => None,
        })
    });
    Ok(rows.collect())
}

/// Where the story is told.
struct Narrator(Box<dyn Write>);

impl Narrator {
    fn say(&mut self, line: &str) -> Result<(), DemoError> {
        let written = writeln!(self.0, "{line}").and_then(|()| self.0.flush());
        written.map_err(|source| DemoError::file("writing to standard output", source))
    }

    fn tell_strike(&mut self, strike: &Strike) -> Result<(), DemoError> {
        let first = milliseconds(strike.first_frame);
        self.say(&format!(
            "{} answers instead of {}; the first frame of a new owner came after {first} ms.",
            strike.new, strike.old
        ))?;
        let (kept, cleared) = (milliseconds(strike.kept), milliseconds(strike.cleared));
        self.say(&format!("The client that remembers its neighbours was without answers for {kept} ms,"))?;
        self.say(&format!("the client that forgets them before each request for {cleared} ms."))?;
        for violation in &strike.violations {
            self.say(&format!("Two nodes answered at once: {violation}"))?;
        }
        Ok(())
    }

    fn report(&mut self, name: &str, strike: &Strike) -> Result<(), DemoError> {
        let [first, kept, cleared] = [strike.first_frame, strike.kept, strike.cleared].map(milliseconds);
        let Strike { old, new, unconnected, cut, .. } = strike;
        self.say(&format!(
            "{name:<16} {old} -> {new}: first frame {first:>4} ms, outage {kept:>4} ms (remembers) {cleared:>4} ms (forgets), \
             requests without connection {unconnected}, cut {cut}"
        ))
    }
}

/// The start of the name of every folder that this process makes.
fn folder_prefix() -> PathBuf {
    std::env::temp_dir().join(format!("ferrule-demo-{}", std::process::id()))
}

/// Removes the folders of this process at SIGINT and SIGTERM; everything else goes with the process by itself.
fn remove_folders_when_interrupted() -> Result<(), DemoError> {
    let failed = |source| DemoError::file("preparing for signals", source);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let body = move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            leave();
        });
    };
    std::thread::Builder::new().name("signals".into()).spawn(body).map(drop).map_err(failed)
}

#[expect(clippy::exit, reason = "an interrupt ends the process here and now; what it started ends with it")]
fn leave() {
    let prefix = folder_prefix();
    let folders = std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    let ours = |path: &PathBuf| path.with_extension("") == prefix;
    for path in folders.map(|entry| entry.path()).filter(ours) {
        drop(std::fs::remove_dir_all(path));
    }
    std::process::exit(130);
}
