//! The segment: virtual time, nodes with a toy shell, a lossy medium, and the judge.

use core::time::Duration;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use lbcore::announce::{Announcement, DesiredSet, GroupKey, LinkReach, Reach, Standing};
use lbcore::family::IpFamily;
use lbcore::link::{LinkIndex, LinkSelection, MacAddr};
use lbcore::ownership::{
    BootId, Carrier, CarrierId, Destination, Effect, Hub, HubConfig, LinkEvent, Sighting, Timings,
};
use lbcore::rng::Rng;
use lbcore::time::Timestamp;

const LINK: LinkIndex = LinkIndex::new(7);
const STEP: Duration = Duration::from_millis(1);

/// The n-th address: 192.0.2.n, then on from there.
fn address(number: u16) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0xc000_0200 + u32::from(number)))
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    pub(crate) nodes: usize,
    pub(crate) addresses: u16,
    pub(crate) loss: f64,
}

impl Default for Setup {
    fn default() -> Self {
        Self { seed: 0, nodes: 3, addresses: 4, loss: 0.0 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carriage {
    Up,
    Down,
}

#[derive(Debug, Default)]
struct Wire(Mutex<Vec<(Destination, Vec<u8>)>>);

impl Carrier for Wire {
    fn transmit(&self, _link: LinkIndex, to: Destination, payload: &[u8]) {
        self.0.lock().unwrap().push((to, payload.to_vec()));
    }

    fn wake(&self) {}
}

#[derive(Debug)]
struct Running {
    hub: Arc<Hub>,
    carrier: CarrierId,
    wire: Arc<Wire>,
    active: BTreeSet<IpAddr>,
    last_round: Timestamp,
}

#[derive(Debug)]
struct Node {
    name: String,
    mac: MacAddr,
    running: Option<Running>,
    paused_until: Timestamp,
    link: Carriage,
    inbox: Vec<Message>,
    /// Something was done to the hub from outside.
    poked: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Message {
    Member(MacAddr, Vec<u8>),
    Probe(MacAddr, IpAddr),
    Answer(MacAddr, IpAddr),
}

pub(crate) struct Segment {
    setup: Setup,
    rng: Rng,
    now: Timestamp,
    nodes: Vec<Node>,
    loss: BTreeMap<(usize, usize), f64>,
    queue: BinaryHeap<Reverse<(Timestamp, u64, usize, Message)>>,
    serial: u64,
    boots: u64,
    two_since: BTreeMap<IpAddr, Timestamp>,
    longest_two: Duration,
    none_since: BTreeMap<IpAddr, Timestamp>,
    gaps: Vec<(Timestamp, Duration)>,
}

impl Segment {
    pub(crate) fn new(setup: Setup) -> Self {
        let mut segment = Self {
            setup,
            rng: Rng::new(setup.seed),
            now: Timestamp::from_micros(1_000_000),
            nodes: Vec::new(),
            loss: BTreeMap::new(),
            queue: BinaryHeap::new(),
            serial: 0,
            boots: setup.seed << 16,
            two_since: BTreeMap::new(),
            longest_two: Duration::ZERO,
            none_since: BTreeMap::new(),
            gaps: Vec::new(),
        };
        for index in 0..setup.nodes {
            segment.add(format!("node{index}"));
        }
        for index in 0..setup.nodes {
            let wait = segment.rng.below(400);
            segment.run(Duration::from_millis(wait));
            segment.start(index);
        }
        segment
    }

    fn add(&mut self, name: String) -> usize {
        let index = self.nodes.len();
        let mac = MacAddr::new([2, 0, 0, 0, 1, u8::try_from(index).unwrap()]);
        self.nodes.push(Node {
            name,
            mac,
            running: None,
            paused_until: Timestamp::ZERO,
            link: Carriage::Up,
            inbox: Vec::new(),
            poked: false,
        });
        index
    }

    pub(crate) fn add_twin(&mut self, of: usize) -> usize {
        let twin = self.add(self.nodes[of].name.clone());
        self.start(twin);
        twin
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        (1..=self.setup.addresses).map(address)
    }

    pub(crate) fn start(&mut self, index: usize) {
        if self.nodes[index].running.is_some() {
            return;
        }
        self.boots += 1;
        let node = &mut self.nodes[index];
        let mut config = HubConfig::new(node.name.parse().unwrap(), BootId(0x1000 + self.boots));
        config.timings = Timings::default();
        let hub = Hub::new(config, self.now, self.boots);
        let wire = Arc::new(Wire::default());
        let carrier = hub.register(IpFamily::V4, Arc::clone(&wire) as Arc<dyn Carrier>);
        let announcements = (1..=self.setup.addresses).map(|last| {
            let address = address(last);
            Announcement {
                services: Arc::from([format!("shop/s{last}").parse().unwrap()]),
                prefix: address.into(),
                reach: Reach::Link(LinkReach {
                    group: GroupKey(address),
                    election_key: address,
                    score: 0,
                    links: LinkSelection::All,
                    standing: Standing::Eligible,
                }),
            }
        });
        hub.replace(self.now, carrier, &DesiredSet::new().changed(announcements, []));
        if node.link == Carriage::Up {
            let up = LinkEvent::Up { link: LINK, name: Arc::from("lan0"), mac: node.mac };
            hub.handle_link(self.now, carrier, &up);
        }
        node.inbox.clear();
        node.poked = true;
        node.running = Some(Running { hub, carrier, wire, active: BTreeSet::new(), last_round: self.now });
        node.paused_until = Timestamp::ZERO;
    }

    pub(crate) fn kill(&mut self, index: usize) {
        self.nodes[index].running = None;
    }

    pub(crate) fn pause(&mut self, index: usize, duration: Duration) {
        self.nodes[index].paused_until = self.now + duration;
    }

    pub(crate) fn leave(&mut self, index: usize) {
        let now = self.now;
        if let Some(running) = &self.nodes[index].running {
            running.hub.leave(now);
            self.nodes[index].poked = true;
        }
    }

    pub(crate) fn link(&mut self, index: usize, carriage: Carriage) {
        let now = self.now;
        let node = &mut self.nodes[index];
        if node.link == carriage {
            return;
        }
        node.link = carriage;
        node.poked = true;
        if let Some(running) = &node.running {
            let event = match carriage {
                Carriage::Up => LinkEvent::Up { link: LINK, name: Arc::from("lan0"), mac: node.mac },
                Carriage::Down => LinkEvent::Down { link: LINK },
            };
            running.hub.handle_link(now, running.carrier, &event);
        }
    }

    pub(crate) fn set_loss(&mut self, from: usize, to: usize, loss: f64) {
        self.loss.insert((from, to), loss);
    }

    fn post(&mut self, from: usize, to: Option<MacAddr>, message: &Message) {
        if self.nodes[from].link == Carriage::Down {
            return;
        }
        for target in 0..self.nodes.len() {
            if target == from || to.is_some_and(|mac| mac != self.nodes[target].mac) {
                continue;
            }
            let loss = self.loss.get(&(from, target)).copied().unwrap_or(0.0).max(self.setup.loss);
            if (self.rng.below(1_000_000) as f64) < loss * 1_000_000.0 {
                continue;
            }
            let at = self.now + Duration::from_micros(50 + self.rng.below(900));
            self.serial += 1;
            self.queue.push(Reverse((at, self.serial, target, message.clone())));
        }
    }

    pub(crate) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.now = self.now + STEP;
            while let Some(Reverse((at, ..))) = self.queue.peek() {
                if *at > self.now {
                    break;
                }
                let Some(Reverse((_, _, target, message))) = self.queue.pop() else { break };
                if self.nodes[target].link == Carriage::Up && self.nodes[target].running.is_some() {
                    self.nodes[target].inbox.push(message);
                }
            }
            for index in 0..self.nodes.len() {
                self.round(index);
            }
            self.judge();
        }
    }

    /// One round of the toy shell: authority, receive, timeout, effects, round completed.
    fn round(&mut self, index: usize) {
        let now = self.now;
        let mut answers = Vec::new();
        let mut probes = Vec::new();
        let mut frames = Vec::new();
        let node = &mut self.nodes[index];
        let mac = node.mac;
        if node.paused_until > now {
            return;
        }
        let Some(running) = &mut node.running else { return };
        let due = running.hub.poll_timeout().is_some_and(|at| at <= now);
        if node.inbox.is_empty() && !due && !core::mem::take(&mut node.poked) {
            return;
        }
        if now.since(running.last_round) > running.hub.config().timings.timeout / 2 {
            node.inbox.clear();
            running.hub.handle_stale(now, running.carrier);
        }
        for message in core::mem::take(&mut node.inbox) {
            match message {
                Message::Member(source, payload) => {
                    let _ = running.hub.handle_member_frame(now, running.carrier, LINK, source, &payload);
                }
                Message::Probe(source, address) => {
                    let seen = Sighting { address: None, mac: source, probed: Some(address) };
                    running.hub.handle_sighting(now, running.carrier, LINK, seen);
                    if running.active.contains(&address) {
                        answers.push(address);
                    }
                }
                Message::Answer(source, address) => {
                    let seen = Sighting { address: Some(address), mac: source, probed: None };
                    running.hub.handle_sighting(now, running.carrier, LINK, seen);
                }
            }
        }
        running.hub.handle_timeout(now);
        while let Some(effect) = running.hub.poll_effect(running.carrier) {
            match effect {
                Effect::Activate { address, .. } => {
                    running.active.insert(address);
                    answers.push(address);
                }
                Effect::Deactivate { address } => {
                    running.active.remove(&address);
                }
                Effect::Announce { address } => answers.push(address),
                Effect::Probe { address, .. } => probes.push(address),
                _ => {}
            }
        }
        if std::env::var_os("TRACE").is_some() {
            while let Some(event) = running.hub.poll_event() {
                eprintln!("{now} {}: {event}", node.name);
            }
        }
        running.hub.handle_round(now, running.carrier);
        running.last_round = now;
        frames.append(&mut running.wire.0.lock().unwrap());
        for (to, payload) in frames {
            let to = if let Destination::Unicast(mac) = to { Some(mac) } else { None };
            self.post(index, to, &Message::Member(mac, payload));
        }
        for address in probes {
            self.post(index, None, &Message::Probe(mac, address));
        }
        for address in answers {
            self.post(index, None, &Message::Answer(mac, address));
        }
    }

    /// Who would answer a client's request now: active, running, with authority, on a link that is up.
    fn answering(&self, address: IpAddr) -> Vec<usize> {
        let answers = |node: &Node| {
            node.link == Carriage::Up
                && node.paused_until <= self.now
                && node.running.as_ref().is_some_and(|running| running.active.contains(&address))
        };
        (0..self.nodes.len()).filter(|index| answers(&self.nodes[*index])).collect()
    }

    fn judge(&mut self) {
        for address in self.addresses() {
            let owners = self.answering(address).len();
            if owners > 1 {
                let since = *self.two_since.entry(address).or_insert(self.now);
                self.longest_two = self.longest_two.max(self.now.since(since) + STEP);
            } else {
                self.two_since.remove(&address);
            }
            if owners == 0 {
                self.none_since.entry(address).or_insert(self.now);
            } else if let Some(since) = self.none_since.remove(&address) {
                self.gaps.push((since, self.now.since(since)));
            }
        }
    }

    pub(crate) fn forget_judgement(&mut self) {
        self.two_since.clear();
        self.longest_two = Duration::ZERO;
    }

    pub(crate) fn owner(&self, address: usize) -> Option<usize> {
        self.owners()[address]
    }

    pub(crate) fn owners(&self) -> Vec<Option<usize>> {
        self.addresses().map(|address| self.answering(address).first().copied()).collect()
    }

    pub(crate) fn longest_gap_since(&self, start: Timestamp) -> Duration {
        let open = self.none_since.values().map(|since| self.now.since(*since)).max();
        let closed = self.gaps.iter().filter(|(since, _)| *since >= start).map(|(_, gap)| *gap).max();
        open.max(closed).unwrap_or_default()
    }

    pub(crate) fn assert_one_owner_each(&self, when: &str) {
        for address in self.addresses() {
            let owners = self.answering(address);
            assert_eq!(owners.len(), 1, "{when}: {address} is answered by {owners:?}");
        }
    }

    pub(crate) fn assert_never_two(&self, longer_than: Duration, what: &str) {
        assert!(self.longest_two <= longer_than, "{what}: two owners for {:?}", self.longest_two);
    }

    /// The election order spreads addresses over nodes.
    pub(crate) fn assert_spread(&self) {
        let owners: BTreeSet<_> = self.owners().into_iter().collect();
        assert!(owners.len() > 1, "all addresses on one node: {owners:?}");
    }
}
