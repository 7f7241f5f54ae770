//! What happened, from two witnesses: the API server's record of writes, and every frame of the nodes' segment.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

use lab::control_plane::audit::Write;
use lab::{Capture, Cluster, Frame, Moment};

/// The start of the names of ServiceAccounts of the roles.
const ROLES: &str = "system:serviceaccount:metallb-system:";

/// The writes since a moment.
pub(crate) struct Record(Vec<Write>);

impl Record {
    pub(crate) fn of(cluster: &Cluster, from: Moment) -> lab::Result<Self> {
        let writes = cluster.plane().writes()?;
        Ok(Self(writes.into_iter().filter(|write| write.at >= from && write.is_success()).collect()))
    }

    fn services(&self) -> impl Iterator<Item = &Write> {
        self.0.iter().filter(|write| write.resource == "services")
    }

    /// When a Service was created, and when its status was first written.
    pub(crate) fn allocation(&self, name: &str) -> Option<(Moment, Moment)> {
        let created = self.services().find(|write| write.verb == "create" && write.name == name)?;
        let written = self.services().find(|write| write.subresource == "status" && write.name == name)?;
        Some((created.at, written.at))
    }

    /// How many of these Services have had their status written.
    pub(crate) fn written(&self, names: &[String]) -> usize {
        let written: std::collections::BTreeSet<&str> =
            self.services().filter(|write| write.subresource == "status").map(|write| write.name.as_str()).collect();
        names.iter().filter(|name| written.contains(name.as_str())).count()
    }

    /// When the last status of a Service was written.
    pub(crate) fn last_status(&self) -> Moment {
        self.services().filter(|write| write.subresource == "status").map(|write| write.at).max().unwrap_or_default()
    }

    /// What the roles wrote, counted by verb and kind.
    pub(crate) fn writes_of_roles(&self) -> String {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for write in &self.0 {
            if let Some(role) = write.user.strip_prefix(ROLES) {
                let slash = if write.subresource.is_empty() { "" } else { "/" };
                let what = format!("{role} {} {}{slash}{}", write.verb, write.resource, write.subresource);
                *counts.entry(what).or_default() += 1;
            }
        }
        let rows: Vec<String> = counts.into_iter().map(|(what, count)| format!("{count} {what}")).collect();
        if rows.is_empty() { "none".to_owned() } else { rows.join(", ") }
    }
}

/// What was on the wire.
pub(crate) struct Wire(Vec<Frame>);

impl Wire {
    pub(crate) fn of(capture: &Capture) -> Result<Self, Box<dyn Error>> {
        let frames = capture.frames()?;
        match capture.lost() {
            0 => Ok(Self(frames)),
            lost => Err(format!("the capture lost {lost} frames").into()),
        }
    }

    /// The first frame after a moment in which a host claims an address: ARP with it as the sender, or a neighbour advertisement for it.
    pub(crate) fn first_claim(&self, address: IpAddr, after: Moment) -> Option<Moment> {
        let claims = |frame: &Frame| match address {
            IpAddr::V4(address) => lab::arp::Packet::read(&frame.octets).is_some_and(|packet| packet.sender == address),
            IpAddr::V6(address) => is_advertisement(&frame.octets, &address.octets()),
        };
        self.0.iter().find(|frame| frame.at > after && claims(frame)).map(|frame| frame.at)
    }

    /// The first frame of BGP after a moment that has the host route to an address among its octets.
    pub(crate) fn first_update(&self, address: IpAddr, after: Moment) -> Option<Moment> {
        let route: Vec<u8> = match address {
            IpAddr::V4(address) => std::iter::once(32).chain(address.octets()).collect(),
            IpAddr::V6(address) => std::iter::once(128).chain(address.octets()).collect(),
        };
        let has = |frame: &Frame| {
            frame.octets.get(54..).is_some_and(|data| data.windows(route.len()).any(|part| part == route.as_slice()))
        };
        let is_group = |frame: &Frame| frame.octets.first().is_some_and(|octet| octet & 1 == 1);
        self.0.iter().find(|frame| frame.at > after && !is_group(frame) && has(frame)).map(|frame| frame.at)
    }
}

/// Whether a frame is a neighbour advertisement (RFC 4861 section 4.4) for this target.
fn is_advertisement(frame: &[u8], target: &[u8; 16]) -> bool {
    const ICMP: u8 = 58;
    const ADVERTISEMENT: u8 = 136;
    frame.get(12..14) == Some(&[0x86, 0xdd])
        && frame.get(20) == Some(&ICMP)
        && frame.get(54) == Some(&ADVERTISEMENT)
        && frame.get(62..78) == Some(target)
}

/// Count, median, 99th percentile and maximum, in milliseconds.
pub(crate) fn spread(spans: &[Duration]) -> String {
    let mut sorted = spans.to_vec();
    sorted.sort_unstable();
    let at = |numerator: usize| sorted.get((sorted.len() * numerator / 100).min(sorted.len().saturating_sub(1)));
    let milliseconds = |span: Option<&Duration>| span.map_or(0.0, Duration::as_secs_f64) * 1_000.0;
    let [median, high, most] = [at(50), at(99), sorted.last()].map(milliseconds);
    format!("n {:>5}   p50 {median:>8.1} ms   p99 {high:>8.1} ms   max {most:>8.1} ms", sorted.len())
}
