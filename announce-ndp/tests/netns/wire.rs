//! What is answered and announced, in which form.

use std::fs;
use std::net::{Ipv6Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use lab::ndp::{Kind, Message, group_hardware};
use lab::{Hardware, Moment, http, wait_until};

use crate::announcer::{self, NAMESAKE, VIP};
use crate::site::{CLIENT, Checked, SOON, Site, ask, check};

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// An advertisement to all nodes, as a burst has it.
fn unsolicited(own: Hardware, address: Ipv6Addr) -> Message {
    Message {
        frame_destination: group_hardware(ALL_NODES),
        frame_source: own,
        source: address,
        destination: ALL_NODES,
        hop_limit: 255,
        kind: Kind::Advertisement { solicited: false, overrides: true },
        target: address,
        hardware: Some(own),
    }
}

fn solicited(own: Hardware, client: Hardware, address: Ipv6Addr) -> Message {
    Message {
        frame_destination: client,
        destination: CLIENT,
        kind: Kind::Advertisement { solicited: true, overrides: true },
        ..unsolicited(own, address)
    }
}

// [L2-62], [L2-63], [L2-66]: for both addresses of one solicited-node group, each by itself.
pub(crate) fn solicitations_are_answered() -> Checked {
    let site = Site::new("answers", 1)?;
    let _announcers = site.start()?;
    let (own, client) = (site.node(0)?.hardware("eth0")?, site.client.hardware("eth0")?);
    for address in [VIP, NAMESAKE] {
        let begun = Moment::now();
        site.send(&Message::solicitation(client, CLIENT, address))?;
        let answer = site.advertisement("n1", begun, |told| told.frame_destination == client)?;
        check(answer == solicited(own, client, address), format!("{answer:?}"))?;
    }
    Ok(())
}

// [L2-65]
pub(crate) fn a_confirmation_is_answered() -> Checked {
    let site = Site::new("confirm", 1)?;
    let _announcers = site.start()?;
    let (own, client) = (site.node(0)?.hardware("eth0")?, site.client.hardware("eth0")?);
    let begun = Moment::now();
    site.send(&Message::confirmation(client, CLIENT, VIP, own))?;
    let answer = site.advertisement("n1", begun, |told| told.frame_destination == client)?;
    check(answer == solicited(own, client, VIP), format!("{answer:?}"))
}

// [L2-64]
pub(crate) fn a_probe_is_answered_to_all_nodes() -> Checked {
    let site = Site::new("probe", 1)?;
    let _announcers = site.start()?;
    let (own, client) = (site.node(0)?.hardware("eth0")?, site.client.hardware("eth0")?);
    // The burst has the same form.
    site.wait_for_the_end_of_the_burst()?;
    let begun = Moment::now();
    site.send(&Message::probe(client, VIP))?;
    let answer = site.advertisement("n1", begun, |_| true)?;
    check(answer == unsolicited(own, VIP), format!("{answer:?}"))
}

// RFC 4861 section 7.1.1
pub(crate) fn a_routed_solicitation_is_not_answered() -> Checked {
    let site = Site::new("routed", 1)?;
    let _announcers = site.start()?;
    let client = site.client.hardware("eth0")?;
    let begun = Moment::now();
    let question = Message::solicitation(client, CLIENT, VIP);
    site.send(&Message { hop_limit: 254, ..question })?;
    site.send(&Message::solicitation(client, CLIENT, NAMESAKE))?;
    // Frames are answered in their order: once the second is, the first has been passed over.
    site.advertisement("n1", begun, |told| told.frame_destination == client && told.target == NAMESAKE)?;
    let answered = site
        .sent("n1")?
        .into_iter()
        .find(|(at, told)| *at > begun && told.frame_destination == client && told.target == VIP);
    check(answered.is_none(), format!("{answered:?}"))
}

// [L2-81] with its two repetitions, [L2-83]
pub(crate) fn a_claim_is_followed_by_its_burst() -> Checked {
    let site = Site::new("burst", 1)?;
    let _announcers = site.start()?;
    let own = site.node(0)?.hardware("eth0")?;
    let told = wait_until(SOON, "four rounds", || {
        let sent = site.sent("n1").ok()?;
        let ours: Vec<_> = sent.into_iter().filter(|(_, message)| message.owned() == VIP).collect();
        (ours.len() >= 4).then_some(ours)
    })?;
    let first = told.first().map(|(at, _)| *at).ok_or("no round")?;
    for ((at, message), due) in told.iter().zip([0, 30, 200, 1_100]) {
        check(*message == unsolicited(own, VIP), format!("{message:?}"))?;
        let after = at.since(first);
        let early = after + Duration::from_millis(2) < Duration::from_millis(due);
        check(!early && after < Duration::from_millis(due + 300), format!("{after:?} instead of {due} ms"))?;
    }
    Ok(())
}

// [D162-7]
pub(crate) fn an_interval_announces_again() -> Checked {
    let site = Site::new("interval", 1)?;
    let mut announcer = announcer::start_with_interval(site.node(0)?, 400)?;
    announcer.wait_for("active", SOON)?;
    // Seven rounds of the burst, the last at 4.4 s, then one each 0.4 s.
    let told = wait_until(SOON + SOON, "rounds after the burst", || {
        let sent = site.sent("n1").ok()?;
        let ours: Vec<Moment> =
            sent.into_iter().filter(|(_, message)| message.owned() == VIP).map(|(at, _)| at).collect();
        (ours.len() >= 10).then_some(ours)
    })?;
    for pair in told.get(6..).ok_or("too few")?.windows(2) {
        let [before, after] = pair else { continue };
        let spacing = after.since(*before);
        check(spacing > Duration::from_millis(350) && spacing < Duration::from_millis(800), format!("{spacing:?}"))?;
    }
    Ok(())
}

// [L2-24]: nothing configures the address, a client's kernel finds it nevertheless.
pub(crate) fn a_kernel_resolves_an_address() -> Checked {
    let site = Site::new("kernel", 1)?;
    let _announcers = site.start()?;
    let own = site.node(0)?.hardware("eth0")?;
    site.client.forget_neighbour("eth0", VIP)?;
    // Nobody serves there; only the question for the hardware address matters.
    let _ = http::get_from(&site.client, SocketAddr::from((VIP, 80)), Duration::from_millis(300));
    let found = site.client.neighbour("eth0", VIP)?;
    check(found == Some(own), format!("{found:?}"))
}

// [L2-64]: the kernel of the other host finds the duplicate and does not use the address; ours stays.
pub(crate) fn a_host_that_configures_the_address_is_told() -> Checked {
    let site = Site::new("duplicate", 1)?;
    let _announcers = site.start()?;
    site.client.sysctl("net.ipv6.conf.all.accept_dad", "1")?;
    site.client.sysctl("net.ipv6.conf.eth0.accept_dad", "1")?;
    // As an administrator does it, and not as the lab does for its own addresses: the kernel asks the segment first.
    let mut command = Command::new("ip");
    command.args(["-6", "address", "add", &format!("{VIP}/64"), "dev", "eth0"]);
    check(site.client.run(command, SOON)?.status.success(), "the client did not get the address")?;
    let list = || site.client.inside(|| fs::read_to_string("/proc/thread-self/net/if_inet6"));
    let wanted = format!("{:032x}", VIP.to_bits());
    wait_until(SOON, "the client's kernel to find the duplicate", || {
        let text = list().ok()?.ok()?;
        let line = text.lines().find(|line| line.starts_with(&wanted))?;
        // The fifth column: IFA_F_DADFAILED is 8.
        let flags = u8::from_str_radix(line.split_whitespace().nth(4)?, 16).ok()?;
        (flags & 0x08 != 0).then_some(())
    })?;
    let prober = site.probe()?;
    ask(&prober, 20)?;
    let tenures = site.judge()?.tenures(VIP);
    check(tenures.len() == 1, format!("{tenures:?}"))
}

// [L2-27]
pub(crate) fn a_changed_hardware_address_is_announced() -> Checked {
    let site = Site::new("hardware", 1)?;
    let _announcers = site.start()?;
    let node = site.node(0)?;
    site.wait_for_the_end_of_the_burst()?;
    let changed = Hardware([0x02, 0x1a, 0xb0, 0x77, 0, 1]);
    let begun = Moment::now();
    node.set_hardware("eth0", changed)?;
    let told = site.advertisement("n1", begun, |told| told.hardware == Some(changed))?;
    check(told == unsolicited(changed, VIP) || told == unsolicited(changed, NAMESAKE), format!("{told:?}"))?;
    let client = site.client.hardware("eth0")?;
    let asked = Moment::now();
    site.send(&Message::solicitation(client, CLIENT, VIP))?;
    let answer = site.advertisement("n1", asked, |told| told.frame_destination == client)?;
    check(answer == solicited(changed, client, VIP), format!("{answer:?}"))
}

// [L2-21]
pub(crate) fn an_excluded_link_is_silent() -> Checked {
    let site = Site::new("excluded", 1)?;
    let mut announcer = announcer::start(site.node(0)?, "^eth0$")?;
    announcer.wait_for("withheld no-link", SOON)?;
    ask(&site.probe()?, 30)?;
    let sent = site.sent("n1")?;
    check(sent.iter().all(|(_, message)| message.owned() != VIP), format!("{sent:?}"))?;
    let members = group_hardware(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x114));
    let frames = site.capture.frames()?;
    let heartbeats = frames.iter().filter(|frame| &*frame.host == "n1" && frame.octets.starts_with(&members.0));
    check(heartbeats.count() == 0, "member frames on an excluded link")
}
