//! The segment: virtual time, nodes with a toy shell, a lossy medium, strangers on it.

mod judge;
mod medium;
mod node;

use core::time::Duration;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lbcore::announce::{AnnouncementState, GroupKey, LinkReach, Standing};
use lbcore::family::IpFamily;
use lbcore::link::{LinkIndex, LinkSelection, MacAddr};
use lbcore::ownership::{Event, Hub, ReturnPolicy, Timings};
use lbcore::rng::Rng;
use lbcore::time::Timestamp;

use judge::Judge;
use medium::{Medium, Message};
use node::Node;

pub(crate) use medium::Recorded;

pub(crate) const LINK: LinkIndex = LinkIndex::new(7);
pub(crate) const SECOND_LINK: LinkIndex = LinkIndex::new(8);
const STEP: Duration = Duration::from_millis(1);

/// The n-th address: 192.0.2.n, then on from there.
pub(crate) fn address(number: u16) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0xc000_0200 + u32::from(number)))
}

/// The n-th address of the other family.
pub(crate) fn address6(number: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number))
}

/// What every node stands with at first.
pub(crate) fn reach(group: IpAddr) -> LinkReach {
    LinkReach {
        group: GroupKey(group),
        election_key: group,
        score: 0,
        links: LinkSelection::All,
        standing: Standing::Eligible,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stack {
    V4,
    /// Each address has a partner of the other family in its group, carried by a second carrier.
    Dual,
    /// The same, but for the first node, which has no carrier of the other family.
    Mixed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gateway {
    Absent,
    /// A host that answers whoever asks for a neighbour.
    Present,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    pub(crate) nodes: usize,
    pub(crate) addresses: u16,
    pub(crate) loss: f64,
    pub(crate) links: u32,
    pub(crate) stack: Stack,
    pub(crate) gateway: Gateway,
    pub(crate) key: Option<&'static [u8]>,
    pub(crate) return_policy: ReturnPolicy,
    pub(crate) timings: Timings,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            seed: 0,
            nodes: 3,
            addresses: 4,
            loss: 0.0,
            links: 1,
            stack: Stack::V4,
            gateway: Gateway::Absent,
            key: None,
            return_policy: ReturnPolicy::Never,
            timings: Timings::default(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carriage {
    Up,
    Down,
}

/// What a node receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ears {
    Open,
    /// Nothing at all; what it sends goes out.
    Deaf,
}

pub(crate) struct Segment {
    setup: Setup,
    rng: Rng,
    now: Timestamp,
    nodes: Vec<Node>,
    medium: Medium,
    judge: Judge,
    boots: u64,
    trace: bool,
}

impl Segment {
    /// Nodes started at random moments within half a second of each other.
    pub(crate) fn new(setup: Setup) -> Self {
        let mut segment = Self::idle(setup);
        for index in 0..setup.nodes {
            let wait = segment.rng.below(400);
            segment.run(Duration::from_millis(wait));
            segment.start(index);
        }
        segment
    }

    /// Nodes that are not started yet.
    pub(crate) fn idle(setup: Setup) -> Self {
        let mut segment = Self {
            setup,
            rng: Rng::new(setup.seed),
            now: Timestamp::from_micros(1_000_000),
            nodes: Vec::new(),
            medium: Medium::new(setup.loss, setup.gateway),
            judge: Judge::default(),
            boots: setup.seed << 16,
            trace: std::env::var_os("TRACE").is_some(),
        };
        for index in 0..setup.nodes {
            segment.add(format!("node{index}"));
        }
        segment
    }

    /// One more node, not started.
    pub(crate) fn add(&mut self, name: String) -> usize {
        let index = self.nodes.len();
        let mut stands = BTreeMap::new();
        for number in 1..=self.setup.addresses {
            stands.insert(address(number), reach(address(number)));
            if self.setup.stack != Stack::V4 {
                stands.insert(address6(number), reach(address(number)));
            }
        }
        let links = (0..self.setup.links).map(|link| (LinkIndex::new(LINK.as_u32() + link), Carriage::Up)).collect();
        let keys = self.setup.key.into_iter().collect();
        self.nodes.push(Node::new(name, u8::try_from(index).unwrap(), links, stands, keys));
        index
    }

    pub(crate) fn add_twin(&mut self, of: usize) -> usize {
        let twin = self.add(self.nodes[of].name.clone());
        self.start(twin);
        twin
    }

    /// Tells what a test does, where it is traced.
    pub(crate) fn trace(&self, text: &dyn Fn() -> String) {
        if self.trace {
            eprintln!("{} {}", self.now, text());
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let stack = self.setup.stack;
        let v6 = move |number| (stack != Stack::V4).then(|| address6(number));
        (1..=self.setup.addresses).flat_map(move |number| [Some(address(number)), v6(number)]).flatten()
    }

    pub(crate) fn start(&mut self, index: usize) {
        if self.nodes[index].is_running() {
            return;
        }
        self.boots += 1;
        self.nodes[index].start(self.now, self.boots, &self.setup);
    }

    pub(crate) fn kill(&mut self, index: usize) {
        self.nodes[index].running = None;
    }

    pub(crate) fn pause(&mut self, index: usize, duration: Duration) {
        self.nodes[index].paused_until = self.now + duration;
    }

    pub(crate) fn leave(&mut self, index: usize) {
        let now = self.now;
        self.with_hub(index, |hub| hub.leave(now));
    }

    /// Does something to a running node's hub from outside.
    pub(crate) fn with_hub<T>(&mut self, index: usize, work: impl FnOnce(&Hub) -> T) -> Option<T> {
        let node = &mut self.nodes[index];
        node.poked = true;
        node.running.as_ref().map(|running| work(&running.hub))
    }

    /// All links of a node at once.
    pub(crate) fn link(&mut self, index: usize, carriage: Carriage) {
        let links: Vec<LinkIndex> = self.nodes[index].links.keys().copied().collect();
        for link in links {
            self.one_link(index, link, carriage);
        }
    }

    pub(crate) fn one_link(&mut self, index: usize, link: LinkIndex, carriage: Carriage) {
        self.nodes[index].set_link(self.now, link, carriage);
    }

    pub(crate) fn set_ears(&mut self, index: usize, ears: Ears) {
        self.nodes[index].ears = ears;
    }

    /// Stops the shell of one family of a node, or lets it go on.
    pub(crate) fn stall(&mut self, index: usize, family: Option<IpFamily>) {
        self.nodes[index].stalled = family;
    }

    pub(crate) fn set_keys(&mut self, index: usize, keys: Vec<&'static [u8]>) {
        self.nodes[index].keys = keys;
    }

    /// Changes what a node stands with for one address; `None` takes it out.
    pub(crate) fn set_stand(&mut self, index: usize, address: IpAddr, reach: Option<LinkReach>) {
        self.nodes[index].set_stand(self.now, address, reach);
    }

    pub(crate) fn state(&self, index: usize, address: IpAddr) -> Option<&AnnouncementState> {
        self.nodes[index].states.get(&address)
    }

    pub(crate) fn epoch(&self, index: usize, address: IpAddr) -> Option<u64> {
        match self.state(index, address) {
            Some(AnnouncementState::Active { epoch, .. }) => Some(*epoch),
            _ => None,
        }
    }

    pub(crate) fn events(&self, index: usize) -> impl Iterator<Item = &Event> {
        self.nodes[index].events.iter().map(|(_, event)| event)
    }

    pub(crate) fn events_since(&self, index: usize, start: Timestamp) -> impl Iterator<Item = &Event> {
        self.nodes[index].events.iter().filter(move |(at, _)| *at >= start).map(|(_, event)| event)
    }

    /// How many probes a node sent for an address.
    pub(crate) fn probes(&self, index: usize, address: IpAddr) -> &[Timestamp] {
        self.nodes[index].probes.get(&address).map_or(&[], Vec::as_slice)
    }

    /// When a node announced an address, at the activation and after.
    pub(crate) fn announced(&self, index: usize, address: IpAddr) -> &[Timestamp] {
        self.nodes[index].announced.get(&address).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn refused(&self, index: usize) -> u32 {
        self.nodes[index].refused
    }

    pub(crate) fn mac(&self, index: usize, link: LinkIndex) -> MacAddr {
        self.nodes[index].mac(link)
    }

    pub(crate) fn boot_id(&self, index: usize) -> lbcore::ownership::BootId {
        self.nodes[index].running.as_ref().unwrap().hub.config().boot_id
    }

    pub(crate) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.now = self.now + STEP;
            for (target, link, message) in self.medium.due(self.now) {
                self.nodes[target].receive(link, message);
            }
            for index in 0..self.nodes.len() {
                self.round(index);
            }
            self.judge();
        }
    }

    /// Runs until the condition holds; whether it did within the time.
    pub(crate) fn run_until(&mut self, limit: Duration, mut holds: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while self.now < end {
            if holds(self) {
                return true;
            }
            self.run(STEP);
        }
        holds(self)
    }

    /// One round of the toy shell of a node, and what it sends.
    fn round(&mut self, index: usize) {
        let Some(sent) = self.nodes[index].round(self.now, self.trace) else { return };
        let (now, rng) = (self.now, &mut self.rng);
        for frame in sent.frames {
            let source = self.nodes[index].mac(frame.link);
            self.medium.post_member(now, rng, &self.nodes, (index, frame.link), source, frame);
        }
        for (link, address) in sent.probes {
            let source = self.nodes[index].mac(link);
            self.medium.post(now, rng, &self.nodes, (index, link), &Message::Probe(source, address));
            self.medium.strangers_answer(now, rng, &self.nodes, link, address);
        }
        for link in sent.neighbor_probes {
            self.medium.gateway_answers(now, rng, &self.nodes, (index, link));
        }
        for (link, address) in sent.answers {
            let source = self.nodes[index].mac(link);
            self.medium.post(now, rng, &self.nodes, (index, link), &Message::Answer(source, address));
        }
    }

    pub(crate) fn set_loss(&mut self, from: usize, to: usize, loss: f64) {
        self.medium.set_loss(None, from, to, loss);
    }

    pub(crate) fn set_link_loss(&mut self, link: LinkIndex, from: usize, to: usize, loss: f64) {
        self.medium.set_loss(Some(link), from, to, loss);
    }

    /// Nothing that a node sends as a member arrives; its answers do.
    pub(crate) fn lose_members_of(&mut self, index: usize) {
        self.medium.mute = Some(index);
    }

    /// Whether frames to the group address arrive.
    pub(crate) fn set_multicast(&mut self, multicast: medium::Multicast) {
        self.medium.multicast = multicast;
    }

    pub(crate) fn multicast_lost(&mut self) {
        self.set_multicast(medium::Multicast::Lost);
    }

    /// Member frames of one family do not arrive any more, at one node or anywhere.
    pub(crate) fn block(&mut self, family: IpFamily, at: Option<usize>) {
        self.medium.blocked = Some((family, at));
    }

    /// A link of a node loses what one family needs, or gets it.
    pub(crate) fn set_serving(&mut self, index: usize, family: IpFamily, carriage: Carriage) {
        self.nodes[index].set_serving(self.now, LINK, family, carriage);
    }

    /// A host that is no member and answers for an address.
    pub(crate) fn stranger(&mut self, address: IpAddr) -> MacAddr {
        self.medium.stranger(LINK, address)
    }

    pub(crate) fn stranger_goes(&mut self, address: IpAddr) {
        self.medium.strangers.retain(|stranger| stranger.address != address);
    }

    /// A stranger says by itself that it holds an address.
    pub(crate) fn stranger_speaks(&mut self, address: IpAddr) {
        self.medium.strangers_answer(self.now, &mut self.rng, &self.nodes, LINK, address);
    }

    pub(crate) fn record(&mut self) {
        self.medium.recording = Some(Vec::new());
    }

    /// What one hardware address sent since the recording began, which goes on.
    pub(crate) fn recorded_by(&self, source: MacAddr) -> impl Iterator<Item = &Recorded> {
        self.medium.recording.iter().flatten().filter(move |frame| frame.source == source)
    }

    pub(crate) fn recorded(&mut self) -> Vec<Recorded> {
        self.medium.recording.take().unwrap_or_default()
    }

    /// Puts a member frame on the segment from outside; every node receives it.
    pub(crate) fn inject(&mut self, link: LinkIndex, source: MacAddr, payload: &[u8]) {
        self.medium.inject(self.now, &mut self.rng, &self.nodes, link, source, payload);
    }

    /// Some host, no member, sends an ARP frame of its own on the first link; every node receives it.
    pub(crate) fn client_speaks(&mut self) {
        self.medium.client_speaks(self.now, &mut self.rng, &self.nodes, LINK);
    }
}
