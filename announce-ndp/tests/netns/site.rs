//! Nodes and a client on one segment, every frame of which is kept.

use std::error::Error;
use std::net::Ipv6Addr;
use std::time::Duration;

use lab::ndp::{Kind, Message};
use lab::{Capture, Host, Judge, Keep, Lab, Moment, Prober, Process, Segment, inject, wait_until};

use crate::announcer::{self, NAMESAKE, VIP};

pub(crate) const SOON: Duration = Duration::from_secs(8);
pub(crate) const CLIENT: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9);
/// Questions in a second for each address, as ownership's faults are judged.
const RATE: u32 = 20;

pub(crate) type Checked = Result<(), Box<dyn Error>>;

pub(crate) struct Site {
    pub(crate) nodes: Vec<Host>,
    pub(crate) client: Host,
    pub(crate) lan: Segment,
    pub(crate) capture: Capture,
}

impl Site {
    pub(crate) fn new(name: &str, nodes: usize) -> Result<Self, Box<dyn Error>> {
        let lab = Lab::new(name);
        let nodes = (1..=nodes).map(|number| lab.host(&format!("n{number}"))).collect::<lab::Result<Vec<_>>>()?;
        let client = lab.host("client")?;
        let mut hosts: Vec<&Host> = nodes.iter().collect();
        hosts.push(&client);
        // Nobody waits for duplicate address detection of link-local addresses but where a test is about it.
        for host in &hosts {
            host.sysctl("net.ipv6.conf.default.accept_dad", "0")?;
        }
        let lan = lab.segment("lan", &hosts)?;
        client.address("eth0", &format!("{CLIENT}/64"))?;
        let capture = Capture::start(&lan, Keep::ArpAndGroups)?;
        Ok(Self { nodes, client, lan, capture })
    }

    pub(crate) fn node(&self, place: usize) -> Result<&Host, Box<dyn Error>> {
        self.nodes.get(place).ok_or_else(|| "no such node".into())
    }

    /// Starts an announcer on each node, the first one first, so that it owns the addresses.
    pub(crate) fn start(&self) -> Result<Vec<Process>, Box<dyn Error>> {
        let mut started = Vec::new();
        for (place, node) in self.nodes.iter().enumerate() {
            let mut process = announcer::start(node, "")?;
            process.wait_for(if place == 0 { "active" } else { "standby n1" }, SOON)?;
            started.push(process);
        }
        Ok(started)
    }

    /// Neighbor discovery that a host sent so far.
    pub(crate) fn sent(&self, host: &str) -> lab::Result<Vec<(Moment, Message)>> {
        let frames = self.capture.frames()?;
        let own = frames.iter().filter(|frame| &*frame.host == host);
        Ok(own.filter_map(|frame| Some((frame.at, Message::read(&frame.octets)?))).collect())
    }

    pub(crate) fn judge(&self) -> lab::Result<Judge> {
        let judge = Judge::of(&self.capture.frames()?).without("client");
        Ok(judge.among(|address| address == VIP || address == NAMESAKE))
    }

    pub(crate) fn probe(&self) -> lab::Result<Prober> {
        Prober::start(&self.client, "eth0", CLIENT, &[VIP, NAMESAKE], RATE)
    }

    /// Lets the client put a message on the segment.
    pub(crate) fn send(&self, message: &Message) -> lab::Result<()> {
        inject(&self.client, "eth0", &[message.write()])
    }

    /// Waits until the first node has announced both addresses seven times ([L2-81] and two early repetitions).
    pub(crate) fn wait_for_the_end_of_the_burst(&self) -> lab::Result<()> {
        wait_until(SOON, "the end of the burst", || {
            let sent = self.sent("n1").ok()?;
            let rounds = |address| sent.iter().filter(|(_, message)| message.owned() == address).count();
            (rounds(VIP) >= 7 && rounds(NAMESAKE) >= 7).then_some(())
        })
    }

    /// Waits for the first advertisement of a node after a moment that `wanted` picks.
    pub(crate) fn advertisement(
        &self,
        node: &str,
        after: Moment,
        wanted: impl Fn(&Message) -> bool,
    ) -> lab::Result<Message> {
        wait_until(SOON, &format!("an advertisement of {node}"), || {
            let sent = self.sent(node).ok()?;
            let told = sent.iter().filter(|(at, message)| *at > after && message.kind != Kind::Solicitation);
            told.map(|(_, message)| *message).find(|message| wanted(message))
        })
    }
}

pub(crate) fn check(holds: bool, what: impl Into<String>) -> Checked {
    if holds { Ok(()) } else { Err(what.into().into()) }
}

/// Waits until the client has asked so often from now on.
pub(crate) fn ask(prober: &Prober, questions: u64) -> lab::Result<()> {
    let until = prober.sent() + questions;
    wait_until(SOON, "the client to ask", || (prober.sent() >= until).then_some(()))
}
