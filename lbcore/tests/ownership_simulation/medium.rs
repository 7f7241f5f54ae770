//! What lies between nodes: delay, loss, hosts that are no members, a recorder.

use core::time::Duration;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::IpAddr;

use lbcore::family::IpFamily;
use lbcore::link::{LinkIndex, MacAddr};
use lbcore::ownership::Destination;
use lbcore::rng::Rng;
use lbcore::time::Timestamp;

use super::node::{Node, Outgoing};
use super::{Carriage, Gateway};

const GATEWAY: MacAddr = MacAddr::new([2, 0, 0, 0, 9, 1]);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Message {
    Member(IpFamily, MacAddr, Vec<u8>),
    Probe(MacAddr, IpAddr),
    Answer(MacAddr, IpAddr),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Multicast {
    Passes,
    Lost,
}

/// A member frame as it was sent.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) at: Timestamp,
    pub(crate) from: usize,
    pub(crate) source: MacAddr,
    pub(crate) family: IpFamily,
    pub(crate) to: Destination,
    pub(crate) payload: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Stranger {
    pub(super) mac: MacAddr,
    pub(super) link: LinkIndex,
    pub(super) address: IpAddr,
}

type Queued = (Timestamp, u64, usize, LinkIndex, Message);

pub(super) struct Medium {
    base_loss: f64,
    gateway: Gateway,
    loss: BTreeMap<(Option<LinkIndex>, usize, usize), f64>,
    pub(super) multicast: Multicast,
    /// Member frames of this family do not arrive, at this node or (`None`) at any.
    pub(super) blocked: Option<(IpFamily, Option<usize>)>,
    /// Whose member frames do not arrive.
    pub(super) mute: Option<usize>,
    pub(super) strangers: Vec<Stranger>,
    pub(super) recording: Option<Vec<Recorded>>,
    queue: BinaryHeap<Reverse<Queued>>,
    serial: u64,
}

impl Medium {
    pub(super) fn new(base_loss: f64, gateway: Gateway) -> Self {
        Self {
            base_loss,
            gateway,
            loss: BTreeMap::new(),
            multicast: Multicast::Passes,
            blocked: None,
            mute: None,
            strangers: Vec::new(),
            recording: None,
            queue: BinaryHeap::new(),
            serial: 0,
        }
    }

    pub(super) fn set_loss(&mut self, link: Option<LinkIndex>, from: usize, to: usize, loss: f64) {
        self.loss.insert((link, from, to), loss);
    }

    pub(super) fn due(&mut self, now: Timestamp) -> Vec<(usize, LinkIndex, Message)> {
        let mut due = Vec::new();
        while self.queue.peek().is_some_and(|Reverse((at, ..))| *at <= now) {
            if let Some(Reverse((_, _, target, link, message))) = self.queue.pop() {
                due.push((target, link, message));
            }
        }
        due
    }

    fn is_lost(&self, rng: &mut Rng, link: LinkIndex, from: usize, to: usize) -> bool {
        let of = |link| self.loss.get(&(link, from, to)).copied().unwrap_or(0.0);
        let loss = of(None).max(of(Some(link))).max(self.base_loss);
        (rng.below(1_000_000) as f64) < loss * 1_000_000.0
    }

    fn is_blocked(&self, message: &Message, to: usize) -> bool {
        let Message::Member(family, ..) = message else { return false };
        self.blocked.is_some_and(|(of, at)| of == *family && at.is_none_or(|node| node == to))
    }

    fn push(&mut self, now: Timestamp, rng: &mut Rng, target: usize, link: LinkIndex, message: Message) {
        let at = now + Duration::from_micros(50 + rng.below(900));
        self.serial += 1;
        self.queue.push(Reverse((at, self.serial, target, link, message)));
    }

    pub(super) fn post(
        &mut self,
        now: Timestamp,
        rng: &mut Rng,
        nodes: &[Node],
        (from, link): (usize, LinkIndex),
        message: &Message,
    ) {
        self.post_to(now, rng, nodes, (from, link), message, None);
    }

    fn post_to(
        &mut self,
        now: Timestamp,
        rng: &mut Rng,
        nodes: &[Node],
        (from, link): (usize, LinkIndex),
        message: &Message,
        to: Option<MacAddr>,
    ) {
        if nodes[from].links.get(&link) != Some(&Carriage::Up) {
            return;
        }
        for (target, node) in nodes.iter().enumerate() {
            if target == from
                || to.is_some_and(|mac| mac != node.mac(link))
                || self.is_blocked(message, target)
                || self.is_lost(rng, link, from, target)
            {
                continue;
            }
            self.push(now, rng, target, link, message.clone());
        }
    }

    pub(super) fn post_member(
        &mut self,
        now: Timestamp,
        rng: &mut Rng,
        nodes: &[Node],
        (from, link): (usize, LinkIndex),
        source: MacAddr,
        Outgoing { family, to, payload, .. }: Outgoing,
    ) {
        if let Some(recording) = &mut self.recording {
            recording.push(Recorded { at: now, from, source, family, to, payload: payload.clone() });
        }
        if self.mute == Some(from) || (to == Destination::Group && self.multicast == Multicast::Lost) {
            return;
        }
        let target = if let Destination::Unicast(mac) = to { Some(mac) } else { None };
        self.post_to(now, rng, nodes, (from, link), &Message::Member(family, source, payload), target);
    }

    pub(super) fn stranger(&mut self, link: LinkIndex, address: IpAddr) -> MacAddr {
        let mac = MacAddr::new([2, 0, 0, 0, 8, u8::try_from(self.strangers.len()).unwrap()]);
        self.strangers.push(Stranger { mac, link, address });
        mac
    }

    /// Strangers answer to all, so that everybody sees it at the same moment: the worst case for who claims next.
    pub(super) fn strangers_answer(
        &mut self,
        now: Timestamp,
        rng: &mut Rng,
        nodes: &[Node],
        link: LinkIndex,
        address: IpAddr,
    ) {
        let holders: Vec<Stranger> =
            self.strangers.iter().filter(|one| one.link == link && one.address == address).copied().collect();
        for stranger in holders {
            for target in 0..nodes.len() {
                self.push(now, rng, target, link, Message::Answer(stranger.mac, address));
            }
        }
    }

    pub(super) fn gateway_answers(
        &mut self,
        now: Timestamp,
        rng: &mut Rng,
        nodes: &[Node],
        (asking, link): (usize, LinkIndex),
    ) {
        if self.gateway == Gateway::Present && nodes[asking].links.get(&link) == Some(&Carriage::Up) {
            self.push(now, rng, asking, link, Message::Answer(GATEWAY, super::address(0)));
        }
    }

    pub(super) fn client_speaks(&mut self, now: Timestamp, rng: &mut Rng, nodes: &[Node], link: LinkIndex) {
        for target in 0..nodes.len() {
            self.push(now, rng, target, link, Message::Answer(GATEWAY, super::address(0)));
        }
    }

    pub(super) fn inject(
        &mut self,
        now: Timestamp,
        rng: &mut Rng,
        nodes: &[Node],
        link: LinkIndex,
        source: MacAddr,
        payload: &[u8],
    ) {
        for target in 0..nodes.len() {
            self.push(now, rng, target, link, Message::Member(IpFamily::V4, source, payload.to_vec()));
        }
    }
}
