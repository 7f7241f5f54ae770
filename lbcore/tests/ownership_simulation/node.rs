//! A node: a real hub behind a toy shell with one carrier for each family.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use lbcore::announce::{Announcement, AnnouncementKey, AnnouncementState, DesiredSet, LinkReach, Reach};
use lbcore::family::IpFamily;
use lbcore::link::{LinkIndex, MacAddr};
use lbcore::ownership::key::{MemberKey, MemberKeys};
use lbcore::ownership::{BootId, Carrier, CarrierId, Destination, Effect, Event, Hub, HubConfig, LinkEvent, Sighting};
use lbcore::time::Timestamp;

use super::medium::Message;
use super::{Carriage, Ears, Setup, Stack};

/// A member frame on its way out.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) family: IpFamily,
    pub(super) link: LinkIndex,
    pub(super) to: Destination,
    pub(super) payload: Vec<u8>,
}

/// What all carriers of a node send through, each by its own family.
type Tray = Arc<Mutex<Vec<Outgoing>>>;

#[derive(Debug)]
struct Wire {
    family: IpFamily,
    tray: Tray,
}

impl Carrier for Wire {
    fn transmit(&self, link: LinkIndex, to: Destination, payload: &[u8]) {
        let outgoing = Outgoing { family: self.family, link, to, payload: payload.to_vec() };
        self.tray.lock().unwrap().push(outgoing);
    }

    fn wake(&self) {}
}

#[derive(Debug)]
pub(super) struct Running {
    pub(super) hub: Arc<Hub>,
    carriers: Vec<(IpFamily, CarrierId)>,
    tray: Tray,
    pub(super) active: BTreeMap<IpAddr, Arc<[LinkIndex]>>,
    last_round: Timestamp,
}

/// What a node sends in one round.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) frames: Vec<Outgoing>,
    pub(super) probes: Vec<(LinkIndex, IpAddr)>,
    pub(super) neighbor_probes: Vec<LinkIndex>,
    pub(super) answers: Vec<(LinkIndex, IpAddr)>,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    number: u8,
    pub(super) running: Option<Running>,
    pub(super) paused_until: Timestamp,
    pub(super) links: BTreeMap<LinkIndex, Carriage>,
    pub(super) ears: Ears,
    /// Links that a family is not served on.
    pub(super) without: BTreeSet<(LinkIndex, IpFamily)>,
    pub(super) keys: Vec<&'static [u8]>,
    stands: BTreeMap<IpAddr, LinkReach>,
    inbox: Vec<(LinkIndex, Message)>,
    pub(super) stalled: Option<IpFamily>,
    /// Something was done to the hub from outside.
    pub(super) poked: bool,
    pub(super) events: Vec<(Timestamp, Event)>,
    pub(super) states: BTreeMap<IpAddr, AnnouncementState>,
    pub(super) probes: BTreeMap<IpAddr, Vec<Timestamp>>,
    pub(super) announced: BTreeMap<IpAddr, Vec<Timestamp>>,
    pub(super) refused: u32,
}

fn announcement(address: IpAddr, reach: LinkReach) -> Announcement {
    Announcement {
        services: Arc::from([format!("shop/s-{address}").parse().unwrap()]),
        prefix: address.into(),
        reach: Reach::Link(reach),
    }
}

impl Node {
    pub(super) fn new(
        name: String,
        number: u8,
        links: BTreeMap<LinkIndex, Carriage>,
        stands: BTreeMap<IpAddr, LinkReach>,
        keys: Vec<&'static [u8]>,
    ) -> Self {
        Self {
            name,
            number,
            running: None,
            paused_until: Timestamp::ZERO,
            links,
            ears: Ears::Open,
            without: BTreeSet::new(),
            keys,
            stands,
            inbox: Vec::new(),
            stalled: None,
            poked: false,
            events: Vec::new(),
            states: BTreeMap::new(),
            probes: BTreeMap::new(),
            announced: BTreeMap::new(),
            refused: 0,
        }
    }

    pub(super) fn mac(&self, link: LinkIndex) -> MacAddr {
        MacAddr::new([2, 0, 0, u8::try_from(link.as_u32()).unwrap(), 1, self.number])
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    fn link_event(&self, link: LinkIndex, carriage: Carriage) -> LinkEvent {
        match carriage {
            Carriage::Up => {
                LinkEvent::Up { link, name: Arc::from(format!("lan{}", link.as_u32())), mac: self.mac(link) }
            }
            Carriage::Down => LinkEvent::Down { link },
        }
    }

    pub(super) fn start(&mut self, now: Timestamp, boot: u64, setup: &Setup) {
        let mut config = HubConfig::new(self.name.parse().unwrap(), BootId(0x1000 + boot));
        config.timings = setup.timings;
        config.return_policy = setup.return_policy;
        let keys = self.keys.iter().map(|material| MemberKey::new(material).unwrap()).collect();
        config.keys = MemberKeys::new(keys).unwrap();
        let hub = Hub::new(config, now, boot);
        let tray = Tray::default();
        let carriers: Vec<(IpFamily, CarrierId)> = self
            .families(setup.stack)
            .iter()
            .map(|family| {
                let wire = Arc::new(Wire { family: *family, tray: Arc::clone(&tray) });
                (*family, hub.register(*family, wire as Arc<dyn Carrier>))
            })
            .collect();
        let announcements = self.stands.iter().map(|(address, reach)| announcement(*address, reach.clone()));
        let desired = DesiredSet::new().changed(announcements, []);
        for (_, carrier) in &carriers {
            hub.replace(now, *carrier, &desired);
        }
        for (family, carrier) in &carriers {
            let serves = |link: &LinkIndex| !self.without.contains(&(*link, *family));
            for (link, carriage) in
                self.links.iter().filter(|(link, carriage)| serves(link) && **carriage == Carriage::Up)
            {
                hub.handle_link(now, *carrier, &self.link_event(*link, *carriage));
            }
        }
        self.inbox.clear();
        self.states.clear();
        self.poked = true;
        self.paused_until = Timestamp::ZERO;
        self.running = Some(Running { hub, carriers, tray, active: BTreeMap::new(), last_round: now });
    }

    pub(super) fn set_link(&mut self, now: Timestamp, link: LinkIndex, carriage: Carriage) {
        if self.links.insert(link, carriage) == Some(carriage) {
            return;
        }
        self.poked = true;
        let event = self.link_event(link, carriage);
        if let Some(running) = &self.running {
            for (family, carrier) in &running.carriers {
                if !self.without.contains(&(link, *family)) {
                    running.hub.handle_link(now, *carrier, &event);
                }
            }
        }
    }

    /// What a carrier of the family is told when its link loses what it needs, or gets it (a link-local address).
    pub(super) fn set_serving(&mut self, now: Timestamp, link: LinkIndex, family: IpFamily, carriage: Carriage) {
        match carriage {
            Carriage::Up => self.without.remove(&(link, family)),
            Carriage::Down => self.without.insert((link, family)),
        };
        self.poked = true;
        let event = self.link_event(link, carriage);
        let Some(running) = &self.running else { return };
        for (_, carrier) in running.carriers.iter().filter(|(of, _)| *of == family) {
            running.hub.handle_link(now, *carrier, &event);
        }
    }

    /// The families that its carriers serve.
    fn families(&self, stack: Stack) -> &'static [IpFamily] {
        match stack {
            Stack::V4 => &[IpFamily::V4],
            // The first node of a mixed segment is one that knows ARP alone.
            Stack::Mixed if self.number == 0 => &[IpFamily::V4],
            Stack::Dual | Stack::Mixed => &[IpFamily::V4, IpFamily::V6],
        }
    }

    pub(super) fn set_stand(&mut self, now: Timestamp, address: IpAddr, reach: Option<LinkReach>) {
        self.poked = true;
        let (put, removed) = if let Some(reach) = reach {
            self.stands.insert(address, reach.clone());
            (vec![Arc::new(announcement(address, reach))], Vec::new())
        } else {
            self.stands.remove(&address);
            (Vec::new(), vec![AnnouncementKey::link(address)])
        };
        if let Some(running) = &self.running {
            for (family, carrier) in &running.carriers {
                if *family == IpFamily::of(address) {
                    running.hub.update(now, *carrier, &put, &removed);
                }
            }
        }
    }

    pub(super) fn receive(&mut self, link: LinkIndex, message: Message) {
        let up = self.links.get(&link) == Some(&Carriage::Up);
        if up && self.ears == Ears::Open && self.running.is_some() {
            self.inbox.push((link, message));
        }
    }

    /// Authority, receive, timeout, effects, round completed; `None` where there was nothing to do.
    pub(super) fn round(&mut self, now: Timestamp, trace: bool) -> Option<Sent> {
        if self.paused_until > now {
            return None;
        }
        let running = self.running.as_mut()?;
        let due = running.hub.poll_timeout().is_some_and(|at| at <= now);
        if self.inbox.is_empty() && !due && !core::mem::take(&mut self.poked) {
            return None;
        }
        let mut sent = Sent::default();
        let Running { hub, carriers, active, .. } = running;
        if now.since(running.last_round) > hub.config().timings.timeout / 2 {
            self.inbox.clear();
            for (_, carrier) in &*carriers {
                hub.handle_stale(now, *carrier);
            }
        }
        let listener = carriers[0].1;
        for (link, message) in core::mem::take(&mut self.inbox) {
            match message {
                Message::Member(family, source, payload) => {
                    let by = carriers.iter().find(|(of, _)| *of == family && !self.without.contains(&(link, family)));
                    if let Some((_, carrier)) = by
                        && hub.handle_member_frame(now, *carrier, link, source, &payload).is_err()
                    {
                        self.refused += 1;
                    }
                }
                Message::Probe(mac, address) => {
                    let seen = Sighting { address: None, mac, probed: Some(address) };
                    hub.handle_sighting(now, listener, link, seen);
                    let stalled = self.stalled == Some(IpFamily::of(address));
                    if !stalled && active.get(&address).is_some_and(|links| links.contains(&link)) {
                        sent.answers.push((link, address));
                    }
                }
                Message::Answer(mac, address) => {
                    let seen = Sighting { address: Some(address), mac, probed: None };
                    hub.handle_sighting(now, listener, link, seen);
                }
            }
        }
        hub.handle_timeout(now);
        self.carry_out(now, trace, &mut sent);
        let running = self.running.as_mut()?;
        let hub = &running.hub;
        while let Some(event) = hub.poll_event() {
            if trace {
                eprintln!("{now} {}: {event}", self.name);
            }
            self.events.push((now, event));
        }
        running.last_round = now;
        sent.frames.append(&mut running.tray.lock().unwrap());
        Some(sent)
    }

    /// Does what the hub asks for, carrier by carrier; each completes its round.
    fn carry_out(&mut self, now: Timestamp, trace: bool, sent: &mut Sent) {
        let Some(Running { hub, carriers, active, .. }) = &mut self.running else { return };
        for (family, carrier) in &*carriers {
            if self.stalled == Some(*family) {
                continue;
            }
            while let Some(effect) = hub.poll_effect(*carrier) {
                match effect {
                    Effect::Activate { address, links } => {
                        sent.answers.extend(links.iter().map(|link| (*link, address)));
                        self.announced.entry(address).or_default().push(now);
                        active.insert(address, links);
                    }
                    Effect::Deactivate { address } => {
                        active.remove(&address);
                    }
                    Effect::Announce { address } => {
                        self.announced.entry(address).or_default().push(now);
                        let links = active.get(&address).map_or(&[][..], |links| links);
                        sent.answers.extend(links.iter().map(|link| (*link, address)));
                    }
                    Effect::Probe { address, link } => {
                        self.probes.entry(address).or_default().push(now);
                        sent.probes.push((link, address));
                    }
                    Effect::ProbeNeighbors { link } => sent.neighbor_probes.push(link),
                    Effect::State { address, state: Some(state) } => {
                        if trace {
                            eprintln!("{now} {}: {address} is {state:?}", self.name);
                        }
                        self.states.insert(address, state);
                    }
                    Effect::State { address, state: None } => {
                        self.states.remove(&address);
                    }
                    _ => {}
                }
            }
            hub.handle_round(now, *carrier);
        }
    }

    /// Would answer a client's request now: active, running, able to hear it, on a link that is up.
    pub(super) fn answers(&self, now: Timestamp, address: IpAddr) -> bool {
        self.paused_until <= now
            && self.stalled != Some(IpFamily::of(address))
            && self.ears == Ears::Open
            && self
                .running
                .as_ref()
                .and_then(|running| running.active.get(&address))
                .is_some_and(|links| links.iter().any(|link| self.links.get(link) == Some(&Carriage::Up)))
    }
}
