//! 100,000 /32 in four attribute sets announced to a table-only BIRD, from the first octet of the process to the last route: the example
//! `bgp_speaker`, and BIRD itself as announcer beside it.
//!
//! `cargo build --release -p ferrule-examples --example bgp_speaker && cargo bench -p ferrule-benches --bench bgp_to_bird -- [RUNS]`, as
//! root or where user namespaces may be made. Times are read off the receiver's counters every 2 ms.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::thread::sleep;
use std::time::{Duration, Instant};

use lab::router::Bird;
use lab::{Host, Lab, Process, Segment};

const PREFIXES: u32 = 100_000;
const SETS: u32 = 4;
const ANNOUNCER: &str = "10.99.0.1";
const RECEIVER: &str = "10.99.0.2";
const OWN_AS: u32 = 65_001;
const PEER_AS: u32 = 65_002;
const WITHIN: Duration = Duration::from_secs(60);

type Failure = Box<dyn Error>;

/// Seconds, seconds of processor time, MiB.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    start_to_established: f64,
    established_to_first: f64,
    established_to_last: f64,
    processor_total: f64,
    processor_in_session: f64,
    peak: f64,
}

struct Site {
    announcer: Host,
    receiver: Host,
    _segment: Segment,
}

fn site() -> lab::Result<Site> {
    let lab = Lab::new("bgp-bench");
    let (announcer, receiver) = (lab.host("announcer")?, lab.host("receiver")?);
    let segment = lab.segment("lan", &[&announcer, &receiver])?;
    announcer.address("eth0", &format!("{ANNOUNCER}/24"))?;
    receiver.address("eth0", &format!("{RECEIVER}/24"))?;
    Ok(Site { announcer, receiver, _segment: segment })
}

fn receiver(host: &Host) -> lab::Result<Bird> {
    Bird::start(
        host,
        &format!(
            "router id {RECEIVER};\nprotocol bgp p {{ local {RECEIVER} as {PEER_AS}; neighbor {ANNOUNCER} as {OWN_AS}; passive on;\n\
             ipv4 {{ import all; export none; }}; }}"
        ),
    )
}

/// State and number of routes of the receiver's session.
fn look(bird: &Bird) -> lab::Result<(bool, u32)> {
    let text = bird.ask("show protocols all p")?;
    let is_up = text.contains("BGP state:          Established");
    let imported =
        text.lines().find_map(|line| line.trim().strip_prefix("Routes:")?.trim().split(' ').next()?.parse().ok());
    Ok((is_up, imported.unwrap_or_default()))
}

/// Processor seconds of all threads, and the peak of resident MiB.
fn usage(process: u32) -> Result<(f64, f64), Failure> {
    let mut nanoseconds = 0_u64;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        nanoseconds += text.split_whitespace().next().unwrap_or_default().parse::<u64>()?;
    }
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    Ok((Duration::from_nanos(nanoseconds).as_secs_f64(), peak.unwrap_or_default() / 1_024.0))
}

fn measure(start: &dyn Fn(&Host) -> Result<Announcer, Failure>) -> Result<Figures, Failure> {
    let site = site()?;
    let bird = receiver(&site.receiver)?;
    let begun = Instant::now();
    let announcer = start(&site.announcer)?;
    let mut established = None;
    let mut first = None;
    let (at_last, processor_before) = loop {
        let (is_up, routes) = look(&bird)?;
        let now = Instant::now();
        if is_up && established.is_none() {
            established = Some((now, usage(announcer.id())?.0));
        }
        if routes > 0 && first.is_none() {
            first = Some(now);
        }
        if let (PREFIXES.., Some((_, before))) = (routes, established) {
            break (now, before);
        }
        if begun.elapsed() > WITHIN {
            return Err(format!("after {WITHIN:?}: established {is_up}, {routes} routes").into());
        }
        sleep(Duration::from_millis(2));
    };
    let (total, peak) = usage(announcer.id())?;
    check_sets(&bird)?;
    let established = established.map_or(at_last, |(at, _)| at);
    let since = |at: Instant| at.saturating_duration_since(established).as_secs_f64();
    Ok(Figures {
        start_to_established: established.saturating_duration_since(begun).as_secs_f64(),
        established_to_first: first.map_or(0.0, since),
        established_to_last: since(at_last),
        processor_total: total,
        processor_in_session: total - processor_before,
        peak,
    })
}

fn check_sets(bird: &Bird) -> Result<(), Failure> {
    for set in 0..SETS {
        let answer = bird.ask(&format!("show route where ({OWN_AS},{}) ~ bgp_community count", 100 + set))?;
        if !answer.contains(&format!("{} of ", PREFIXES / SETS)) {
            return Err(format!("set {set}: {answer}").into());
        }
    }
    Ok(())
}

/// A process that announces.
enum Announcer {
    Ours(Process),
    Bird(Bird),
}

impl Announcer {
    fn id(&self) -> u32 {
        match self {
            Self::Ours(process) => process.id(),
            Self::Bird(bird) => bird.process.id(),
        }
    }
}

fn ours(host: &Host) -> Result<Announcer, Failure> {
    let own = std::env::current_exe()?;
    let folder = own.parent().and_then(|deps| deps.parent()).map(PathBuf::from).unwrap_or_default();
    let path = folder.join("examples/bgp_speaker");
    if !path.exists() {
        return Err("build it first: cargo build --release -p ferrule-examples --example bgp_speaker".into());
    }
    let mut command = Command::new(path);
    command.args([
        OWN_AS.to_string(),
        RECEIVER.to_owned(),
        PEER_AS.to_string(),
        PREFIXES.to_string(),
        SETS.to_string(),
    ]);
    Ok(Announcer::Ours(host.spawn(command)?))
}

fn bird(host: &Host) -> Result<Announcer, Failure> {
    let size = PREFIXES / SETS;
    let mut text = format!("router id {ANNOUNCER};\n");
    for set in 0..SETS {
        let community = format!("bgp_community.add(({OWN_AS},{}))", 100 + set);
        let address = |number: u32| std::net::Ipv4Addr::from(0x1400_0000 + number);
        let routes = (set * size..(set + 1) * size).map(|number| format!("route {}/32 blackhole;\n", address(number)));
        let routes: String = routes.collect();
        text += "protocol static s";
        text += &set.to_string();
        text += &[" { ipv4 { import filter { ", &community, "; accept; }; };\n", &routes, "}\n"].concat();
    }
    let session = format!(
        "protocol bgp p {{ local {ANNOUNCER} as {OWN_AS}; neighbor {RECEIVER} as {PEER_AS}; connect delay time 1; connect retry time 1;\n\
         ipv4 {{ import none; export where source = RTS_STATIC; next hop self; }}; }}\n"
    );
    text.push_str(&session);
    Ok(Announcer::Bird(Bird::start(host, &text)?))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn report(name: &str, runs: &[Figures]) {
    let of = |field: &dyn Fn(&Figures) -> f64| -> String {
        let values: Vec<f64> = runs.iter().map(field).collect();
        let (least, most) =
            values.iter().fold((f64::MAX, 0_f64), |(least, most), value| (least.min(*value), most.max(*value)));
        format!("{:.3} ({least:.3}..{most:.3})", median(values))
    };
    println!("{name}: {PREFIXES} /32, {SETS} sets, {} runs: median (least..most)", runs.len());
    println!("  start to established, s      {}", of(&|figures| figures.start_to_established));
    println!("  established to first, s      {}", of(&|figures| figures.established_to_first));
    println!("  established to last, s       {}", of(&|figures| figures.established_to_last));
    println!("  processor, total, s          {}", of(&|figures| figures.processor_total));
    println!("  processor, in session, s     {}", of(&|figures| figures.processor_in_session));
    println!("  peak resident, MiB           {}", of(&|figures| figures.peak));
}

/// Starts an announcer in a host.
type Start = fn(&Host) -> Result<Announcer, Failure>;

fn run(runs: usize) -> Result<(), Failure> {
    let announcers: [(&str, Start); 2] = [("bgp_speaker", ours), ("bird", bird)];
    for (name, start) in announcers {
        let figures = (0..runs).map(|_| measure(&start)).collect::<Result<Vec<_>, _>>()?;
        report(name, &figures);
    }
    Ok(())
}

fn main() -> ExitCode {
    if let Err(status) = lab::privilege::enter_for_tests("bgp_to_bird") {
        return status;
    }
    let runs = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(5);
    match run(runs) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}
