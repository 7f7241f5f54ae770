//! The laboratory in real namespaces: links carry traffic, faults lose what they say, witnesses see it, and nothing stays behind.

#![expect(
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test without the standard harness, to which the exceptions for tests in clippy.toml do not reach"
)]

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Duration;

use lab::arp::{Operation, Packet};
use lab::capture::Fate;
use lab::http::{self, Server};
use lab::judge::{HAND_OVER_LIMIT, Kind};
use lab::{Capture, Fault, Hardware, Host, Judge, Keep, Lab, Moment, Prober, Segment, wait_until};
use libtest_mimic::{Arguments, Failed, Trial};

/// Set for a copy of this binary that builds a laboratory, says what is in it, and waits to be killed.
const VICTIM: &str = "LAB_TEST_VICTIM";

const SOON: Duration = Duration::from_secs(5);
/// Long enough for an answer on an idle segment, short enough to wait for its absence.
const ABSENT: Duration = Duration::from_millis(300);

type Checked = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    if let Err(status) = lab::privilege::enter_for_tests("lab netns") {
        return status;
    }
    if let Ok(ending) = std::env::var(VICTIM) {
        return victim(&ending);
    }
    let trial = |name: &'static str, check: fn() -> Checked| {
        Trial::test(name, move || check().map_err(|error| Failed::from(error.to_string())))
    };
    let trials = vec![
        trial("a_page_is_fetched_across_the_segment", a_page_is_fetched_across_the_segment),
        trial("a_pulled_cable_takes_the_carrier_and_gives_it_back", a_pulled_cable_takes_the_carrier_and_gives_it_back),
        trial("a_silent_fault_loses_both_ways_and_keeps_the_carrier", a_silent_fault_loses_both_ways),
        trial("frames_from_a_mute_host_are_lost_and_it_still_hears", frames_from_a_mute_host_are_lost),
        trial("frames_toward_a_deaf_host_are_lost_and_it_is_still_heard", frames_toward_a_deaf_host_are_lost),
        trial("group_frames_are_lost_while_broadcast_arrives", group_frames_are_lost_while_broadcast_arrives),
        trial("isolated_hosts_reach_a_third_but_not_each_other", isolated_hosts_reach_a_third),
        trial("a_capture_names_the_true_origin", a_capture_names_the_true_origin),
        trial("the_judge_finds_two_hosts_that_hold_one_address", the_judge_finds_two_hosts),
        trial("a_neighbour_is_seen_and_forgotten", a_neighbour_is_seen_and_forgotten),
        trial("a_command_ends_with_its_value", a_command_ends_with_its_value),
        trial("a_missing_word_is_an_error_that_shows_the_log", a_missing_word_is_an_error),
        trial("nothing_is_left_after_sigkill", || nothing_is_left(Some(libc::SIGKILL), "wait")),
        trial("nothing_is_left_after_sigint", || nothing_is_left(Some(libc::SIGINT), "wait")),
        trial("nothing_is_left_after_a_panic", || nothing_is_left(None, "panic")),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Three hosts on one segment with addresses 192.0.2.1 to 3.
struct Trio {
    one: Host,
    two: Host,
    three: Host,
    lan: Segment,
}

const ONE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const TWO: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const THREE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 3);

fn trio(name: &str) -> lab::Result<Trio> {
    let lab = Lab::new(name);
    let (one, two, three) = (lab.host("n1")?, lab.host("n2")?, lab.host("n3")?);
    let lan = lab.segment("lan", &[&one, &two, &three])?;
    for (host, address) in [(&one, ONE), (&two, TWO), (&three, THREE)] {
        host.address("eth0", &format!("{address}/24"))?;
    }
    Ok(Trio { one, two, three, lan })
}

fn at(address: Ipv4Addr) -> SocketAddr {
    SocketAddr::from((address, 80))
}

fn check(holds: bool, what: &str) -> Checked {
    if holds { Ok(()) } else { Err(what.into()) }
}

/// Whether a page can be fetched from `server` by `client`, with an empty neighbour table on both.
fn reaches(client: &Host, server: Ipv4Addr, within: Duration) -> Result<bool, lab::Error> {
    client.forget_neighbour("eth0", server)?;
    Ok(http::get_from(client, at(server), within).is_ok())
}

fn a_page_is_fetched_across_the_segment() -> Checked {
    let trio = trio("page")?;
    let _server = Server::start(&trio.two, at(TWO), "two")?;
    check(http::get_from(&trio.one, at(TWO), SOON)? == "two", "another page")
}

fn carrier(host: &Host) -> lab::Result<bool> {
    let read = host.inside(|| {
        // The message of a link has its flags there too, but this asks the kernel by another way than the code under test.
        let mut command = Command::new("cat");
        command.arg("/proc/net/route");
        command
    })?;
    Ok(host.run(read, SOON)?.success()?.contains("eth0"))
}

fn a_pulled_cable_takes_the_carrier_and_gives_it_back() -> Checked {
    let trio = trio("cable")?;
    let _server = Server::start(&trio.two, at(TWO), "two")?;
    check(reaches(&trio.one, TWO, SOON)?, "not reachable at first")?;
    check(carrier(&trio.two)?, "no route at first")?;
    trio.lan.impose(&trio.two, Fault::Carrier)?;
    check(!reaches(&trio.one, TWO, ABSENT)?, "reachable with the cable pulled")?;
    trio.lan.heal(&trio.two)?;
    wait_until(SOON, "the page after the heal", || reaches(&trio.one, TWO, ABSENT).ok()?.then_some(()))?;
    Ok(())
}

fn a_silent_fault_loses_both_ways() -> Checked {
    let trio = trio("silent")?;
    let _two = Server::start(&trio.two, at(TWO), "two")?;
    let _three = Server::start(&trio.three, at(THREE), "three")?;
    trio.lan.impose(&trio.two, Fault::Silent)?;
    check(!reaches(&trio.one, TWO, ABSENT)?, "reachable in silence")?;
    check(reaches(&trio.one, THREE, SOON)?, "the third is not reachable")?;
    trio.lan.heal(&trio.two)?;
    check(reaches(&trio.one, TWO, SOON)?, "not reachable after the heal")
}

/// ARP packets with the host they came from and what became of them.
type Seen = Vec<(String, Packet, Fate)>;

/// Lets `from` ask for `target` once by a raw request and returns what the capture saw of it and of its answer.
fn ask(trio: &Trio, from: &Host, sender: Ipv4Addr, target: Ipv4Addr) -> Result<Seen, Box<dyn Error>> {
    let capture = Capture::start(&trio.lan, Keep::Arp)?;
    let prober = Prober::start(from, "eth0", sender, &[target], 20)?;
    thread::sleep(ABSENT);
    drop(prober);
    let frames = capture.frames()?;
    Ok(frames
        .iter()
        .filter_map(|frame| Some((frame.host.to_string(), Packet::read(&frame.octets)?, frame.fate)))
        .filter(|(_, packet, _)| packet.target == target || packet.sender == target)
        .collect())
}

fn answered(seen: &Seen, by: &str) -> bool {
    seen.iter().any(|(host, packet, _)| host == by && packet.operation == Operation::Reply)
}

fn frames_from_a_mute_host_are_lost() -> Checked {
    let trio = trio("mute")?;
    // It has been heard before, so that the switch knows it.
    check(answered(&ask(&trio, &trio.one, ONE, TWO)?, "n2"), "no answer at first")?;
    trio.lan.impose(&trio.two, Fault::FromHost)?;
    let seen = ask(&trio, &trio.two, TWO, ONE)?;
    check(!answered(&seen, "n1"), "the question of the mute host was heard")?;
    check(seen.iter().all(|(host, _, fate)| host != "n2" || *fate == Fate::Lost), "its frames do not count as lost")?;
    check(answered(&ask(&trio, &trio.one, ONE, TWO)?, "n2"), "the mute host does not hear")?;
    trio.lan.heal(&trio.two)?;
    check(answered(&ask(&trio, &trio.two, TWO, ONE)?, "n1"), "still mute after the heal")
}

fn frames_toward_a_deaf_host_are_lost() -> Checked {
    let trio = trio("deaf")?;
    check(answered(&ask(&trio, &trio.one, ONE, TWO)?, "n2"), "no answer at first")?;
    trio.lan.impose(&trio.two, Fault::TowardHost)?;
    check(!answered(&ask(&trio, &trio.one, ONE, TWO)?, "n2"), "the deaf host heard a question")?;
    check(answered(&ask(&trio, &trio.two, TWO, ONE)?, "n1"), "the deaf host is not heard")?;
    let _server = Server::start(&trio.one, at(ONE), "one")?;
    check(!reaches(&trio.two, ONE, ABSENT)?, "the deaf host got a page by unicast")?;
    trio.lan.heal(&trio.two)?;
    check(reaches(&trio.two, ONE, SOON)?, "still deaf after the heal")
}

/// Sends datagrams from `n1` to a group and to broadcast; returns which of both `n2` received.
fn group_and_broadcast(trio: &Trio) -> Result<(bool, bool), Box<dyn Error>> {
    let group = Ipv4Addr::new(224, 0, 0, 254);
    let listen = |port: u16| -> std::io::Result<std::net::UdpSocket> {
        let socket = std::net::UdpSocket::bind(("0.0.0.0", port))?;
        socket.join_multicast_v4(&group, &TWO)?;
        socket.set_read_timeout(Some(ABSENT))?;
        Ok(socket)
    };
    let (grouped, broadcast) = (trio.two.inside(|| listen(4_001))??, trio.two.inside(|| listen(4_002))??);
    trio.one.inside(|| -> std::io::Result<()> {
        let socket = std::net::UdpSocket::bind((ONE, 0))?;
        socket.set_broadcast(true)?;
        socket2::SockRef::from(&socket).set_multicast_if_v4(&ONE)?;
        socket.send_to(b"group", (group, 4_001))?;
        socket.send_to(b"all", (Ipv4Addr::new(192, 0, 2, 255), 4_002)).map(drop)
    })??;
    let mut room = [0; 16];
    Ok((grouped.recv(&mut room).is_ok(), broadcast.recv(&mut room).is_ok()))
}

fn group_frames_are_lost_while_broadcast_arrives() -> Checked {
    let trio = trio("groups")?;
    check(group_and_broadcast(&trio)? == (true, true), "both must arrive at first")?;
    trio.lan.impose(&trio.two, Fault::Multicast)?;
    check(group_and_broadcast(&trio)? == (false, true), "only broadcast must arrive")?;
    trio.lan.heal(&trio.two)?;
    check(group_and_broadcast(&trio)? == (true, true), "both must arrive after the heal")
}

fn isolated_hosts_reach_a_third() -> Checked {
    let trio = trio("isolated")?;
    let _one = Server::start(&trio.one, at(ONE), "one")?;
    trio.lan.isolate(&[&trio.one, &trio.two])?;
    check(!reaches(&trio.two, ONE, ABSENT)?, "isolated, and yet reachable")?;
    check(reaches(&trio.three, ONE, SOON)?, "the third does not reach an isolated host")
}

fn a_capture_names_the_true_origin() -> Checked {
    let trio = trio("origin")?;
    let capture = Capture::start(&trio.lan, Keep::Arp)?;
    let before = Moment::now();
    // The third asks in the name of the first.
    let prober = Prober::start(&trio.three, "eth0", ONE, &[TWO], 20)?;
    let seen = wait_until(SOON, "the forged question", || {
        let frames = capture.frames().ok()?;
        frames.into_iter().find(|frame| Packet::read(&frame.octets).is_some_and(|packet| packet.sender == ONE))
    })?;
    drop(prober);
    check(&*seen.host == "n3", "the capture believed the frame")?;
    check(seen.at > before && seen.at <= Moment::now(), "the stamp is not of this time")?;
    check(capture.lost() == 0, "frames were lost")?;
    let file = std::env::temp_dir().join(format!("lab-{}.pcap", std::process::id()));
    capture.write_pcap(&file)?;
    let octets = fs::read(&file)?;
    fs::remove_file(&file)?;
    check(octets.len() > 24 + 16 && octets[..4] == [0xd4, 0xc3, 0xb2, 0xa1], "no capture file")
}

// [OWN-1]
fn the_judge_finds_two_hosts() -> Checked {
    let trio = trio("double")?;
    let shared = Ipv4Addr::new(192, 0, 2, 50);
    trio.one.address("eth0", &format!("{shared}/32"))?;
    let capture = Capture::start(&trio.lan, Keep::Arp)?;
    let _prober = Prober::start(&trio.three, "eth0", THREE, &[shared], 20)?;
    thread::sleep(Duration::from_millis(600));
    check(Judge::of(&capture.frames()?).violations(HAND_OVER_LIMIT).is_empty(), "one owner was judged to be two")?;
    trio.two.address("eth0", &format!("{shared}/32"))?;
    thread::sleep(Duration::from_millis(600));
    trio.one.remove_address("eth0", &format!("{shared}/32"))?;
    thread::sleep(Duration::from_millis(600));
    let judge = Judge::of(&capture.frames()?);
    let violations = judge.violations(HAND_OVER_LIMIT);
    check(violations.len() == 1, &format!("not one violation but {violations:?}"))?;
    let length = violations[0].length();
    check(violations[0].kind == Kind::HandOver, &format!("{}", violations[0]))?;
    check((400..900).contains(&length.as_millis()), &format!("{length:?}"))?;
    check(judge.owner_at(shared, Moment::now()).as_deref() == Some("n2"), "the new owner is not found")
}

fn a_neighbour_is_seen_and_forgotten() -> Checked {
    let trio = trio("neighbour")?;
    let _two = Server::start(&trio.two, at(TWO), "two")?;
    check(trio.one.neighbour("eth0", TWO)?.is_none(), "known before any traffic")?;
    http::get_from(&trio.one, at(TWO), SOON)?;
    let expected: Hardware = trio.two.hardware("eth0")?;
    check(trio.one.neighbour("eth0", TWO)? == Some(expected), "not the hardware address of the link")?;
    trio.one.forget_neighbour("eth0", TWO)?;
    check(trio.one.neighbour("eth0", TWO)?.is_none(), "still known")?;
    trio.one.forget_neighbour("eth0", TWO)?;
    Ok(())
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

fn is_alive(process: &str) -> bool {
    // A zombie is dead; its entry stays until whoever inherited it looks.
    fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|text| text.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with('Z')))
}

fn a_command_ends_with_its_value() -> Checked {
    let trio = trio("command")?;
    let mut process = trio.one.spawn(shell("sleep 1000 & echo grandchild $!; wait"))?;
    process.wait_for("grandchild", SOON)?;
    let grandchild = process.stdout().trim().rsplit(' ').next().unwrap_or_default().to_owned();
    check(is_alive(&grandchild), "it never ran")?;
    drop(process);
    wait_until(SOON, "the grandchild to die", || (!is_alive(&grandchild)).then_some(()))?;
    Ok(())
}

fn a_missing_word_is_an_error() -> Checked {
    let trio = trio("word")?;
    let mut process = trio.one.spawn(shell("echo reason >&2; exit 3"))?;
    let error = process.wait_for("ready", SOON).err().map(|error| error.to_string()).unwrap_or_default();
    check(error.contains("exit status: 3") && error.contains("reason"), &error)
}

/// Builds a laboratory, prints its namespaces and processes, then waits to be killed or panics.
fn victim(ending: &str) -> ExitCode {
    let built = trio("victim").and_then(|trio| {
        let process = trio.one.spawn(shell("exec sleep 1000"))?;
        Ok((trio, process))
    });
    let Ok((trio, process)) = built else { return ExitCode::FAILURE };
    let _capture = Capture::start(&trio.lan, Keep::Everything);
    let spaces = [&trio.one, &trio.two, &trio.three, trio.lan.switch()]
        .map(|host| fs::read_link(format!("/proc/self/fd/{}", host.namespace().as_raw_fd())).unwrap_or_default());
    let spaces = spaces.map(|link| link.display().to_string()).join(" ");
    println!("process {}\nspaces {spaces}\nready", process.id());
    assert!(ending != "panic", "as asked");
    thread::sleep(Duration::from_secs(60));
    ExitCode::FAILURE
}

/// Every namespace that a process is in or holds open, and every one that is mounted.
fn namespaces() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let descriptors = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        let links = descriptors.map(|entry| entry.path()).chain([process.path().join("ns/net")]);
        found.extend(links.filter_map(|path| fs::read_link(path).ok()).map(|link| link.display().to_string()));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    found.extend(mounts.split_whitespace().filter(|word| word.starts_with("net:[")).map(str::to_owned));
    found.retain(|name| name.starts_with("net:["));
    found
}

fn nothing_is_left(signal: Option<i32>, ending: &str) -> Checked {
    let lab = Lab::new("killer");
    let host = lab.host("killer")?;
    let mut command = Command::new(std::env::current_exe()?);
    command.env(VICTIM, ending).arg("--nocapture");
    let mut victim = host.spawn(command)?;
    victim.wait_for("ready", SOON)?;
    let said = victim.stdout();
    let word = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
    let (process, spaces) = (word("process"), word("spaces"));
    check(spaces.split(' ').count() == 4, &said)?;
    if let Some(signal) = signal {
        let held = namespaces();
        check(is_alive(&process) && spaces.split(' ').all(|space| held.contains(space)), "it never was there")?;
        // To the victim alone: what it started must go by itself.
        let status = Command::new("kill").args([format!("-{signal}"), victim.id().to_string()]).status()?;
        check(status.success(), "not killed")?;
    }
    victim.wait(SOON)?;
    wait_until(SOON, "its process to die", || (!is_alive(&process)).then_some(()))?;
    wait_until(SOON, "its namespaces to go", || {
        let held = namespaces();
        spaces.split(' ').all(|space| !held.contains(space)).then_some(())
    })?;
    Ok(())
}
