//! Groups and links: what is joined, when, and who is told.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv6Addr;
use std::time::Duration;

use lab::ndp::{Message, solicited_node};
use lab::{Fault, Host, Moment, Process, wait_until};

use crate::announcer::{self, NAMESAKE, VIP};
use crate::site::{CLIENT, Checked, SOON, Site, ask, check};

const MEMBERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x114);

/// The groups that the kernel of a host has joined on `eth0`.
fn joined(host: &Host) -> lab::Result<BTreeSet<Ipv6Addr>> {
    let text = host.inside(|| fs::read_to_string("/proc/thread-self/net/igmp6"))?.unwrap_or_default();
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let groups = lines.filter_map(|columns| match columns.as_slice() {
        [_, "eth0", group, ..] => u128::from_str_radix(group, 16).ok().map(Ipv6Addr::from_bits),
        _ => None,
    });
    Ok(groups.collect())
}

/// Groups that a host reported by MLD version 2 (RFC 3810 section 5.2), as joined (record types 2 and 4) or as left (3).
fn reported(site: &Site, host: &str) -> lab::Result<(BTreeSet<Ipv6Addr>, BTreeSet<Ipv6Addr>)> {
    let (mut joined, mut left) = (BTreeSet::new(), BTreeSet::new());
    for frame in site.capture.frames()?.iter().filter(|frame| &*frame.host == host) {
        // Ethernet, IPv6 with hop-by-hop options of 8 octets, then ICMPv6 type 143.
        let Some(report) = frame.octets.get(62..).filter(|report| report.first() == Some(&143)) else { continue };
        let mut records = report.get(8..).unwrap_or_default();
        while let Some((record, behind)) = records.split_first_chunk::<20>() {
            let [kind, words, high, low, group @ ..] = *record;
            let group = Ipv6Addr::from(group);
            match kind {
                2 | 4 => joined.insert(group),
                3 => left.insert(group),
                _ => false,
            };
            let skipped = usize::from(u16::from_be_bytes([high, low])) * 16 + usize::from(words) * 4;
            records = behind.get(skipped..).unwrap_or_default();
        }
    }
    Ok((joined, left))
}

// [L2-61]: two addresses share a group, which is joined once and left when the announcer goes; the members' group is joined, too.
pub(crate) fn groups_are_reported_and_left() -> Checked {
    let site = Site::new("groups", 1)?;
    let group = solicited_node(VIP);
    check(group == solicited_node(NAMESAKE), "the addresses share no group")?;
    let mut announcers = site.start()?;
    wait_until(SOON, "reports of both groups", || {
        let (joined, _) = reported(&site, "n1").ok()?;
        (joined.contains(&group) && joined.contains(&MEMBERS)).then_some(())
    })?;
    let groups = joined(site.node(0)?)?;
    check(groups.contains(&group) && groups.contains(&MEMBERS), format!("{groups:?}"))?;
    announcers.first_mut().ok_or("no announcer")?.terminate()?;
    wait_until(SOON, "a report that the group was left", || {
        let (_, left) = reported(&site, "n1").ok()?;
        left.contains(&group).then_some(())
    })?;
    let groups = joined(site.node(0)?)?;
    check(!groups.contains(&group) && !groups.contains(&MEMBERS), format!("{groups:?}"))
}

// A switch with MLD snooping and a querier passes a group on only to ports that reported it. Without reports the address is deaf.
pub(crate) fn a_switch_that_snoops_passes_on() -> Checked {
    let site = Site::new("snooping", 2)?;
    site.lan.snoop()?;
    let mut announcers = site.start()?;
    // A bridge holds groups back once its querier counts.
    let snooping = Moment::now();
    wait_until(SOON, "the querier to count", || {
        (Moment::now().since(snooping) > Duration::from_secs(2)).then_some(())
    })?;
    let client = site.client.hardware("eth0")?;
    let begun = Moment::now();
    site.send(&Message::solicitation(client, CLIENT, VIP))?;
    site.advertisement("n1", begun, |told| told.frame_destination == client)?;
    // Members hear each other through it as well: one owner, and a successor that knows.
    let prober = site.probe()?;
    ask(&prober, 10)?;
    announcers.first_mut().ok_or("no announcer")?.kill()?;
    let killed = Moment::now();
    wait_until(SOON, "another owner", || site.judge().ok()?.successor_of("n1", VIP, killed).map(drop))?;
    Ok(())
}

// Where optmem_max is small a socket takes few memberships.
pub(crate) fn more_groups_than_a_socket_takes() -> Checked {
    const ADDRESSES: usize = 900;
    let site = Site::new("many", 1)?;
    let node = site.node(0)?;
    // The old default, some 360 memberships for a socket. Kernels before 6.9 have one value for all namespaces: there it stays.
    drop(node.sysctl("net.core.optmem_max", "20480"));
    let mut announcer = announcer::start_with_many(node, ADDRESSES)?;
    announcer.wait_for("active", SOON)?;
    let count = wait_until(SOON, "every group to be joined", || {
        let count = joined(node).ok()?.iter().filter(|group| group.segments()[6] == 0xff01).count();
        (count >= ADDRESSES).then_some(count)
    })?;
    check(count == ADDRESSES, format!("{count} groups"))
}

fn flap(site: &Site, announcer: &mut Process) -> Result<Moment, Box<dyn std::error::Error>> {
    site.lan.impose(site.node(0)?, Fault::Carrier)?;
    announcer.wait_for("withheld no-link", SOON)?;
    let healed = Moment::now();
    site.lan.heal(site.node(0)?)?;
    Ok(healed)
}

// [L2-26]: groups are joined again and a burst is sent.
pub(crate) fn a_link_that_was_down_is_announced_on_again() -> Checked {
    let site = Site::new("down", 1)?;
    let mut announcers = site.start()?;
    let announcer = announcers.first_mut().ok_or("no announcer")?;
    let healed = flap(&site, announcer)?;
    site.advertisement("n1", healed, |told| told.target == VIP)?;
    check(joined(site.node(0)?)?.contains(&solicited_node(VIP)), "the group was not joined again")?;
    let client = site.client.hardware("eth0")?;
    let begun = Moment::now();
    site.send(&Message::solicitation(client, CLIENT, VIP))?;
    site.advertisement("n1", begun, |told| told.frame_destination == client)?;
    Ok(())
}

// [L2-23], [L2-67]: without a link-local address there is no announcing, and with one again there is.
pub(crate) fn a_link_without_ipv6_is_followed() -> Checked {
    let site = Site::new("disabled", 1)?;
    let node = site.node(0)?;
    node.sysctl("net.ipv6.conf.eth0.disable_ipv6", "1")?;
    let mut announcer = announcer::start(node, "")?;
    announcer.wait_for("withheld no-link", SOON)?;
    node.sysctl("net.ipv6.conf.eth0.disable_ipv6", "0")?;
    let enabled = Moment::now();
    announcer.wait_for("active", SOON)?;
    site.advertisement("n1", enabled, |told| told.target == VIP)?;
    node.sysctl("net.ipv6.conf.eth0.disable_ipv6", "1")?;
    announcer.wait_for("withheld no-link", SOON)?;
    Ok(())
}
