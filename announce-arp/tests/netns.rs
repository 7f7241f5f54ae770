//! The announcer in real namespaces: what it answers and announces on the wire, what it does when links and processes come and go.
//! Frames are read and judged by the laboratory's own code.

#![expect(clippy::print_stdout, reason = "copies of this binary tell the test what they do")]

#[path = "netns/announcer.rs"]
mod announcer;

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use announcer::VIP;
use lab::arp::{Operation, Packet};
use lab::judge::HAND_OVER_LIMIT;
use lab::{Capture, Fault, Hardware, Host, Judge, Keep, Lab, Moment, Prober, Process, Segment, http, wait_until};
use libtest_mimic::{Arguments, Failed, Trial};

const SOON: Duration = Duration::from_secs(8);
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
/// Questions in a second for each address, as ownership's faults are judged.
const RATE: u32 = 20;
/// `Hardware` of a broadcast frame.
const EVERYONE: Hardware = Hardware([0xff; 6]);
/// `SIGSTOP` and `SIGCONT` on Linux.
const STOP: i32 = 19;
const CONTINUE: i32 = 18;
/// `SIGHUP`: hand over.
const HAND_OVER: i32 = 1;

type Checked = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    if let Some(status) = announcer::run_if_asked() {
        return status;
    }
    if let Err(status) = lab::privilege::enter_for_tests("announce-arp netns") {
        return status;
    }
    let trial = |name: &'static str, check: fn() -> Checked| {
        Trial::test(name, move || check().map_err(|error| Failed::from(error.to_string())))
    };
    let trials = vec![
        trial("requests_and_probes_are_answered_octet_by_octet", requests_and_probes_are_answered),
        trial("a_claim_is_followed_by_its_burst", a_claim_is_followed_by_its_burst),
        trial("an_interval_announces_again_after_the_burst", an_interval_announces_again),
        trial("a_changed_hardware_address_is_announced", a_changed_hardware_address_is_announced),
        trial("a_kernel_resolves_an_address_that_no_host_has", a_kernel_resolves_an_address),
        trial("an_excluded_link_is_silent", an_excluded_link_is_silent),
        trial("a_link_that_was_down_is_announced_on_again", a_link_that_was_down_is_announced_on_again),
        trial("a_link_made_anew_is_followed", a_link_made_anew_is_followed),
        trial("an_owner_killed_is_replaced_within_a_second", an_owner_killed_is_replaced),
        trial("an_owner_that_was_stopped_answers_nothing_it_missed", an_owner_that_was_stopped_answers_nothing),
        trial("a_terminated_owner_hands_over_first", a_terminated_owner_hands_over_first),
        trial("a_hand_over_returns_when_another_owns", a_hand_over_returns_when_another_owns),
        trial("a_hand_over_without_a_successor_says_so", a_hand_over_without_a_successor_says_so),
        trial("members_agree_without_multicast", members_agree_without_multicast),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Nodes and a client on one segment, every frame of which is kept.
struct Site {
    nodes: Vec<Host>,
    client: Host,
    lan: Segment,
    capture: Capture,
}

impl Site {
    fn new(name: &str, nodes: usize) -> lab::Result<Self> {
        let lab = Lab::new(name);
        let nodes = (1..=nodes).map(|number| lab.host(&format!("n{number}"))).collect::<lab::Result<Vec<_>>>()?;
        let client = lab.host("client")?;
        let mut hosts: Vec<&Host> = nodes.iter().collect();
        hosts.push(&client);
        let lan = lab.segment("lan", &hosts)?;
        client.address("eth0", &format!("{CLIENT}/24"))?;
        let capture = Capture::start(&lan, Keep::ArpAndGroups)?;
        Ok(Self { nodes, client, lan, capture })
    }

    fn node(&self, place: usize) -> Result<&Host, Box<dyn Error>> {
        self.nodes.get(place).ok_or_else(|| "no such node".into())
    }

    /// Starts an announcer on each node, the first one first, so that it owns the address.
    fn start(&self) -> Result<Vec<Process>, Box<dyn Error>> {
        let mut started = Vec::new();
        for (place, node) in self.nodes.iter().enumerate() {
            let mut process = announcer::start(node, "")?;
            process.wait_for(if place == 0 { "active" } else { "standby n1" }, SOON)?;
            started.push(process);
        }
        Ok(started)
    }

    /// ARP that the node sent so far.
    fn sent(&self, node: &str) -> lab::Result<Vec<(Moment, Packet)>> {
        let frames = self.capture.frames()?;
        let own = frames.iter().filter(|frame| &*frame.host == node);
        Ok(own.filter_map(|frame| Some((frame.at, Packet::read(&frame.octets)?))).collect())
    }

    fn judge(&self) -> lab::Result<Judge> {
        Ok(Judge::of(&self.capture.frames()?).without("client"))
    }

    fn probe(&self, sender: Ipv4Addr) -> lab::Result<Prober> {
        Prober::start(&self.client, "eth0", sender, &[VIP], RATE)
    }
}

fn check(holds: bool, what: impl Into<String>) -> Checked {
    if holds { Ok(()) } else { Err(what.into().into()) }
}

/// Waits until the client has asked so often from now on.
fn ask(prober: &Prober, questions: u64) -> lab::Result<()> {
    let until = prober.sent() + questions;
    wait_until(SOON, "the client to ask", || (prober.sent() >= until).then_some(()))
}

/// Waits for the first reply of a node to the client after a moment.
fn reply_of(site: &Site, node: &str, after: Moment) -> lab::Result<Packet> {
    wait_until(SOON, &format!("a reply of {node}"), || {
        let sent = site.sent(node).ok()?;
        let mut replies = sent.iter().filter(|(at, packet)| *at > after && packet.operation == Operation::Reply);
        replies.find(|(_, packet)| packet.frame_destination != EVERYONE).map(|(_, packet)| *packet)
    })
}

// [L2-41] to [L2-44], the form of VEC-30
fn requests_and_probes_are_answered() -> Checked {
    let site = Site::new("answers", 1)?;
    let _announcers = site.start()?;
    let (own, client) = (site.node(0)?.hardware("eth0")?, site.client.hardware("eth0")?);
    for sender in [CLIENT, Ipv4Addr::UNSPECIFIED] {
        let begun = Moment::now();
        let _prober = site.probe(sender)?;
        let expected = Packet {
            frame_destination: client,
            frame_source: own,
            operation: Operation::Reply,
            sender_hardware: own,
            sender: VIP,
            target_hardware: client,
            target: sender,
        };
        let reply = reply_of(&site, "n1", begun)?;
        check(reply == expected, format!("asked by {sender}: {reply:?}"))?;
    }
    Ok(())
}

// [L2-81] with its two repetitions, [L2-82]
fn a_claim_is_followed_by_its_burst() -> Checked {
    let site = Site::new("burst", 1)?;
    let _announcers = site.start()?;
    let own = site.node(0)?.hardware("eth0")?;
    let gratuitous = wait_until(SOON, "four rounds", || {
        let sent = site.sent("n1").ok()?;
        let ours: Vec<_> = sent.into_iter().filter(|(_, packet)| packet.sender == VIP).collect();
        (ours.len() >= 8).then_some(ours)
    })?;
    let expected = |operation, target_hardware| Packet {
        frame_destination: EVERYONE,
        frame_source: own,
        operation,
        sender_hardware: own,
        sender: VIP,
        target_hardware,
        target: VIP,
    };
    let pair = [expected(Operation::Request, EVERYONE), expected(Operation::Reply, own)];
    let packets: Vec<Packet> = gratuitous.iter().map(|(_, packet)| *packet).collect();
    check(packets.chunks(2).all(|round| *round == pair || round.len() < 2), format!("{packets:?}"))?;
    let starts: Vec<Moment> = gratuitous.iter().step_by(2).map(|(at, _)| *at).collect();
    let first = starts.first().copied().ok_or("no round")?;
    for (at, due) in starts.iter().zip([0, 30, 200, 1_100]) {
        let after = at.since(first);
        let early = after + Duration::from_millis(2) < Duration::from_millis(due);
        check(!early && after < Duration::from_millis(due + 300), format!("{after:?} instead of {due} ms"))?;
    }
    Ok(())
}

// [D162-7]
fn an_interval_announces_again() -> Checked {
    let site = Site::new("interval", 1)?;
    let mut announcer = announcer::start_with_interval(site.node(0)?, 400)?;
    announcer.wait_for("active", SOON)?;
    // Seven pairs of the burst, the last at 4.4 s, then one each 0.4 s.
    let starts = wait_until(SOON + SOON, "rounds after the burst", || {
        let sent = site.sent("n1").ok()?;
        let ours: Vec<Moment> = sent.iter().filter(|(_, packet)| packet.sender == VIP).map(|(at, _)| *at).collect();
        (ours.len() >= 20).then(|| ours.into_iter().step_by(2).collect::<Vec<_>>())
    })?;
    for pair in starts.get(6..).ok_or("too few")?.windows(2) {
        let [before, after] = pair else { continue };
        let spacing = after.since(*before);
        check(spacing > Duration::from_millis(350) && spacing < Duration::from_millis(800), format!("{spacing:?}"))?;
    }
    Ok(())
}

// [L2-27]
fn a_changed_hardware_address_is_announced() -> Checked {
    let site = Site::new("hardware", 1)?;
    let _announcers = site.start()?;
    wait_until(SOON, "the end of the burst", || {
        let sent = site.sent("n1").ok()?;
        (sent.iter().filter(|(_, packet)| packet.sender == VIP).count() >= 14).then_some(())
    })?;
    let changed = Hardware([0x02, 0x1a, 0xb0, 0x77, 0, 1]);
    let begun = Moment::now();
    site.node(0)?.set_hardware("eth0", changed)?;
    let told = wait_until(SOON, "a burst with the new hardware address", || {
        let sent = site.sent("n1").ok()?;
        sent.into_iter().find(|(at, packet)| *at > begun && packet.sender == VIP).map(|(_, packet)| packet)
    })?;
    check(told.sender_hardware == changed && told.frame_source == changed, format!("{told:?}"))?;
    let asked = Moment::now();
    let _prober = site.probe(CLIENT)?;
    let reply = reply_of(&site, "n1", asked)?;
    check(reply.sender_hardware == changed, format!("{reply:?}"))
}

// [L2-24]: nothing configures the address, a client's kernel finds it nevertheless.
fn a_kernel_resolves_an_address() -> Checked {
    let site = Site::new("kernel", 1)?;
    let _announcers = site.start()?;
    let own = site.node(0)?.hardware("eth0")?;
    site.client.forget_neighbour("eth0", VIP)?;
    // Nobody serves there; only the question for the hardware address matters.
    let _ = http::get_from(&site.client, SocketAddr::from((VIP, 80)), Duration::from_millis(300));
    let found = site.client.neighbour("eth0", VIP)?;
    check(found == Some(own), format!("{found:?}"))
}

// [L2-21]
fn an_excluded_link_is_silent() -> Checked {
    let site = Site::new("excluded", 1)?;
    let mut announcer = announcer::start(site.node(0)?, "^eth0$")?;
    announcer.wait_for("withheld no-link", SOON)?;
    ask(&site.probe(CLIENT)?, 30)?;
    let heard: Vec<_> = site.capture.frames()?.into_iter().filter(|frame| &*frame.host == "n1").collect();
    let ours =
        heard.iter().filter(|frame| Packet::read(&frame.octets).is_some() || frame.octets.get(12..14) == Some(&[8, 0]));
    check(ours.count() == 0, "frames on an excluded link")
}

// [L2-26]
fn a_link_that_was_down_is_announced_on_again() -> Checked {
    let site = Site::new("down", 1)?;
    let mut announcers = site.start()?;
    let announcer = announcers.first_mut().ok_or("no announcer")?;
    site.lan.impose(site.node(0)?, Fault::Carrier)?;
    announcer.wait_for("withheld no-link", SOON)?;
    let healed = Moment::now();
    site.lan.heal(site.node(0)?)?;
    wait_until(SOON, "a burst after the link came back", || {
        let sent = site.sent("n1").ok()?;
        sent.iter().any(|(at, packet)| *at > healed && packet.sender == VIP).then_some(())
    })?;
    let _prober = site.probe(CLIENT)?;
    reply_of(&site, "n1", healed).map(drop)?;
    Ok(())
}

// [L2-25], [L2-27]: identity is the index, and the new link has another hardware address.
fn a_link_made_anew_is_followed() -> Checked {
    let site = Site::new("anew", 1)?;
    let mut announcers = site.start()?;
    let announcer = announcers.first_mut().ok_or("no announcer")?;
    let node = site.node(0)?;
    let before = node.hardware("eth0")?;
    node.delete_link("eth0")?;
    announcer.wait_for("withheld no-link", SOON)?;
    let made = Moment::now();
    let link = site.lan.join(node)?;
    let after = node.hardware(&link)?;
    check(before != after, "the laboratory gave the same hardware address twice")?;
    let _prober = site.probe(CLIENT)?;
    let reply = reply_of(&site, "n1", made)?;
    check(reply.sender_hardware == after, format!("{reply:?}"))
}

// [OWN-1], [OWN-2]
fn an_owner_killed_is_replaced() -> Checked {
    let site = Site::new("kill", 3)?;
    let mut announcers = site.start()?;
    let _prober = site.probe(CLIENT)?;
    reply_of(&site, "n1", Moment::now())?;
    let killed = Moment::now();
    announcers.first_mut().ok_or("no announcer")?.kill()?;
    let successor = wait_until(SOON, "another owner", || {
        site.judge().ok()?.successor_of("n1", VIP, killed).map(|answer| answer.at)
    })?;
    let outage = successor.since(killed);
    check(outage < Duration::from_secs(1), format!("replaced after {outage:?}"))?;
    let violations = site.judge()?.violations(HAND_OVER_LIMIT);
    check(violations.is_empty(), format!("{violations:?}"))
}

// [OWN-3], [OWN-50]
fn an_owner_that_was_stopped_answers_nothing() -> Checked {
    let site = Site::new("stop", 3)?;
    let mut announcers = site.start()?;
    let prober = site.probe(CLIENT)?;
    reply_of(&site, "n1", Moment::now())?;
    let owner = announcers.first_mut().ok_or("no announcer")?;
    owner.signal(STOP)?;
    let stopped = Moment::now();
    ask(&prober, 60)?;
    owner.signal(CONTINUE)?;
    owner.wait_for("standby n", SOON)?;
    ask(&prober, 10)?;
    let judge = site.judge()?;
    check(judge.successor_of("n1", VIP, stopped).is_some(), "nobody took over")?;
    let late: Vec<_> =
        judge.answers(VIP).iter().filter(|answer| &*answer.host == "n1" && answer.at > stopped).collect();
    check(late.is_empty(), format!("{late:?}"))?;
    owner.terminate()?;
    owner.wait_for("stopped", SOON)?;
    check(!owner.stdout().contains("stale 0\n"), owner.stdout())?;
    check(!owner.stdout().contains("discarded 0\n"), owner.stdout())
}

// [OWN-35]
fn a_terminated_owner_hands_over_first() -> Checked {
    let site = Site::new("move", 2)?;
    let mut announcers = site.start()?;
    let _prober = site.probe(CLIENT)?;
    reply_of(&site, "n1", Moment::now())?;
    let asked = Moment::now();
    let owner = announcers.first_mut().ok_or("no announcer")?;
    owner.terminate()?;
    owner.wait_for("stopped", SOON)?;
    reply_of(&site, "n2", asked)?;
    let judge = site.judge()?;
    let (gap, from) = judge.gap(VIP, asked, Moment::now());
    // Two questions may go by: at 20 a second the gap without any outage is 50 ms.
    check(gap < Duration::from_millis(200), format!("no answer for {gap:?} from {from:?} on"))?;
    let violations = judge.violations(HAND_OVER_LIMIT);
    check(violations.is_empty(), format!("{violations:?}"))
}

// [OWN-35]
fn a_hand_over_returns_when_another_owns() -> Checked {
    let site = Site::new("hand-over", 2)?;
    let mut announcers = site.start()?;
    let prober = site.probe(CLIENT)?;
    let owner = announcers.first_mut().ok_or("no announcer")?;
    owner.signal(HAND_OVER)?;
    owner.wait_for("handed over", SOON)?;
    let safe = Moment::now();
    ask(&prober, 10)?;
    let judge = site.judge()?;
    check(judge.since(safe).tenures(VIP).iter().all(|tenure| &*tenure.host == "n2"), "the old owner answered on")?;
    let violations = judge.violations(HAND_OVER_LIMIT);
    check(violations.is_empty(), format!("{violations:?}"))
}

fn a_hand_over_without_a_successor_says_so() -> Checked {
    let site = Site::new("alone", 1)?;
    let mut announcers = site.start()?;
    let owner = announcers.first_mut().ok_or("no announcer")?;
    owner.signal(HAND_OVER)?;
    owner.wait_for("kept: no successor", SOON)?;
    let _prober = site.probe(CLIENT)?;
    reply_of(&site, "n1", Moment::now()).map(drop)?;
    Ok(())
}

// [OWN-11]
fn members_agree_without_multicast() -> Checked {
    let site = Site::new("groups", 2)?;
    for node in &site.nodes {
        site.lan.impose(node, Fault::Multicast)?;
    }
    let _announcers = site.start()?;
    ask(&site.probe(CLIENT)?, 40)?;
    let tenures = site.judge()?.tenures(VIP);
    check(tenures.len() == 1, format!("{tenures:?}"))
}
