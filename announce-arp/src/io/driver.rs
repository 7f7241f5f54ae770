//! The loop that feeds the machines, on a thread of its own for all links together.
//!
//! A round: what was heard, the deadlines, what ownership wants done, the bursts; then the authority to send is renewed and
//! ownership told, which is what lets the heartbeats out ([OWN-51]); then sleep. Authority is compared immediately before each
//! send ([OWN-50]). Where it has run out, everything that waits in the receive queues is discarded and ownership is told
//! before anything else happens.
//!
//! No decision about the protocol is made here.

use core::time::Duration;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lbcore::announce::AnnouncementKey;
use lbcore::link::LinkIndex;
use lbcore::ownership::{CarrierId, Effect, Hub, LinkEvent};
use lbcore::time::Timestamp;
use tokio::sync::watch;
use tracing::{debug, info, trace, warn};

use super::carrier::{ArpCarrier, WakeUps};
use super::links::{LinkWatch, UsableLink};
use super::socket::{self, EtherType, PacketSocket, Priority};
use super::status::StatusBoard;
use crate::counters::Counters;
use crate::filter;
use crate::responder::{Responder, Verdict};
use crate::unsolicited::Bursts;
use crate::wire::{ArpFrame, MEMBER_GROUP_MAC, MemberEncoder, MemberPort};

/// Frames taken from one socket before the others have their turn.
const MAX_FRAMES: usize = 64;

/// Frames thrown away from one socket where authority has run out: more than its queue holds.
const MAX_DISCARDED: usize = 8_192;

/// The shortest sleep: a deadline that is already past must not make the thread spin at real-time priority.
const MIN_SLEEP: Duration = Duration::from_millis(1);

/// After this time a link that could not be opened is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Octets of the longest frame that is read whole. Longer ones are no frames of ours.
const BUFFER: usize = 4_096;

/// Whether the thread raises its own priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ThreadPriority {
    /// As far as it may.
    #[default]
    Raised,
    /// Not at all.
    Unchanged,
}

/// Authority has run out; the round is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stale;

/// Which of a link's two sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    Arp,
    Members,
}

/// What the thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    WakeUps,
    Links,
    Frames(LinkIndex, Port),
}

#[derive(Debug)]
struct OpenLink {
    facts: UsableLink,
    arp: PacketSocket,
    members: Arc<PacketSocket>,
}

/// What the thread is given.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) hub: Arc<Hub>,
    pub(super) id: CarrierId,
    pub(super) carrier: Arc<ArpCarrier>,
    pub(super) wake_ups: WakeUps,
    pub(super) watch: LinkWatch,
    pub(super) port: MemberPort,
    pub(super) priority: ThreadPriority,
    pub(super) counters: Arc<Counters>,
    pub(super) status: Arc<StatusBoard>,
    pub(super) must_stop: Arc<AtomicBool>,
    /// Closed when the thread has ended.
    pub(super) alive: watch::Sender<()>,
}

/// The loop with all that it holds.
#[derive(Debug)]
pub(super) struct Driver {
    parts: Parts,
    responder: Responder,
    bursts: Bursts,
    links: BTreeMap<LinkIndex, OpenLink>,
    /// When links that could not be opened, or a failed netlink socket, are tried again.
    retry_at: Option<Timestamp>,
    buffer: Vec<u8>,
}

impl Driver {
    pub(super) fn new(parts: Parts) -> Self {
        let responder = Responder::new(parts.port, Arc::clone(&parts.counters));
        Self {
            parts,
            responder,
            bursts: Bursts::new(),
            links: BTreeMap::new(),
            retry_at: None,
            buffer: vec![0; BUFFER],
        }
    }

    /// Runs until it is told to stop.
    pub(super) fn run(mut self) {
        if self.parts.priority == ThreadPriority::Raised {
            match socket::raise_priority() {
                Priority::RealTime => debug!("ARP thread runs at real-time priority"),
                Priority::Nice => info!("ARP thread runs at the best nice value: real-time priority was refused"),
                Priority::Ordinary => {
                    info!("ARP thread runs at ordinary priority: raising it was refused (CAP_SYS_NICE)");
                }
            }
        }
        self.parts.carrier.authority().extend(socket::now());
        let mut ready = vec![Source::Links];
        while !self.parts.must_stop.load(Ordering::SeqCst) {
            if self.is_stale() || self.round(&ready) == Err(Stale) {
                self.discard();
            }
            ready = self.wait(self.sleep());
        }
        let links: Vec<LinkIndex> = self.links.keys().copied().collect();
        for link in links {
            self.close(link);
        }
        self.parts.hub.unregister(socket::now(), self.parts.id);
        self.parts.status.clear();
        drop(self.parts.alive);
    }

    fn is_stale(&self) -> bool {
        !self.parts.carrier.authority().is_held(socket::now())
    }

    fn round(&mut self, ready: &[Source]) -> Result<(), Stale> {
        if ready.contains(&Source::WakeUps) {
            self.parts.wake_ups.take();
        }
        self.follow_links(ready);
        // Claims first: an address that another has taken is not answered for once more.
        self.receive(ready, Port::Members)?;
        self.parts.hub.handle_timeout(socket::now());
        self.carry_out_effects()?;
        self.receive(ready, Port::Arp)?;
        self.carry_out_effects()?;
        self.send_bursts()?;
        if self.is_stale() {
            return Err(Stale);
        }
        let now = socket::now();
        self.parts.carrier.authority().extend(now);
        self.parts.hub.handle_round(now, self.parts.id);
        self.carry_out_effects()
    }

    fn sleep(&self) -> Duration {
        let now = socket::now();
        // However quiet it is, the loop comes round well before its authority runs out.
        let latest = now + self.parts.carrier.authority().grace() / 2;
        let deadlines = [self.parts.hub.poll_timeout(), self.bursts.poll_timeout(), self.retry_at];
        let next = deadlines.into_iter().flatten().fold(latest, Ord::min);
        next.since(now).max(MIN_SLEEP)
    }

    fn wait(&self, sleep: Duration) -> Vec<Source> {
        let mut sources = vec![Source::WakeUps, Source::Links];
        let mut polled = vec![socket::readable(&self.parts.wake_ups), socket::readable(&self.parts.watch)];
        for (link, open) in &self.links {
            sources.extend([Source::Frames(*link, Port::Arp), Source::Frames(*link, Port::Members)]);
            polled.extend([socket::readable(&open.arp), socket::readable(open.members.as_ref())]);
        }
        if let Err(error) = socket::wait(&mut polled, sleep) {
            warn!(%error, "waiting for frames failed");
        }
        // Errors count as ready too: reading tells what they are.
        sources.into_iter().zip(polled).filter(|(_, state)| state.revents != 0).map(|(source, _)| source).collect()
    }

    /// Offers a frame to the kernel if authority is held at this very moment.
    fn send(&self, link: LinkIndex, frame: &ArpFrame) -> Result<Sent, Stale> {
        let Some(open) = self.links.get(&link) else { return Ok(Sent::No) };
        let octets = frame.encode();
        if self.is_stale() {
            self.parts.counters.count_not_sent();
            return Err(Stale);
        }
        match open.arp.send(&octets) {
            Ok(()) => Ok(Sent::Yes),
            Err(error) => {
                self.parts.counters.count_not_sent();
                debug!(link = %open.facts.name, %error, "frame was not sent");
                Ok(Sent::No)
            }
        }
    }

    fn receive(&mut self, ready: &[Source], port: Port) -> Result<(), Stale> {
        for source in ready {
            if let Source::Frames(link, of) = *source
                && of == port
            {
                let mut buffer = core::mem::take(&mut self.buffer);
                let outcome = self.receive_on(link, port, &mut buffer);
                self.buffer = buffer;
                outcome?;
            }
        }
        Ok(())
    }

    fn receive_on(&mut self, link: LinkIndex, port: Port, buffer: &mut [u8]) -> Result<(), Stale> {
        for _ in 0..MAX_FRAMES {
            let Some(open) = self.links.get(&link) else { return Ok(()) };
            let received = match port {
                Port::Arp => open.arp.receive(buffer),
                Port::Members => open.members.receive(buffer),
            };
            match received {
                Ok(Some(length)) => self.handle_frame(link, buffer.get(..length).unwrap_or_default())?,
                Ok(None) => return Ok(()),
                // Told once when a link goes down; the socket works on, and netlink says the rest.
                Err(error) if error.kind() == io::ErrorKind::NetworkDown => {}
                Err(error) => {
                    warn!(link = %open.facts.name, %error, "receiving failed, link is opened anew");
                    self.close(link);
                    self.retry_at = Some(socket::now() + RETRY);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn handle_frame(&mut self, link: LinkIndex, octets: &[u8]) -> Result<(), Stale> {
        let now = socket::now();
        let outcome = self.responder.handle_frame(now, link, octets);
        match outcome.verdict {
            Verdict::Reply(reply) => {
                if self.send(link, &reply)? == Sent::Yes {
                    self.responder.reply_was_sent(reply.sender_address);
                    trace!(address = %reply.sender_address, to = %reply.target_mac, "request was answered");
                }
            }
            Verdict::Member { source, payload } => {
                if let Err(reason) = self.parts.hub.handle_member_frame(now, self.parts.id, link, source, payload) {
                    self.parts.counters.count_member_frame_refused(reason);
                    trace!(link = %link, %source, %reason, "member frame was dropped");
                }
            }
            Verdict::Dropped(reason) => trace!(reason = reason.label(), "frame was not answered"),
        }
        if let Some(sighting) = outcome.sighting {
            self.parts.hub.handle_sighting(now, self.parts.id, link, sighting);
        }
        Ok(())
    }

    /// All of them: the addresses that ownership took away must be silent before the next request is read.
    fn carry_out_effects(&mut self) -> Result<(), Stale> {
        while let Some(effect) = self.parts.hub.poll_effect(self.parts.id) {
            self.carry_out(effect)?;
        }
        Ok(())
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "effects of the other family and of later versions are alike")]
    fn carry_out(&mut self, effect: Effect) -> Result<(), Stale> {
        match effect {
            Effect::State { address, state } => {
                if state.is_none()
                    && let IpAddr::V4(address) = address
                {
                    self.bursts.stop(address);
                    self.responder.forget(address);
                }
                self.parts.status.set(AnnouncementKey::link(address), state);
            }
            Effect::Activate { address: IpAddr::V4(address), links } => {
                self.responder.activate(address, links);
                self.bursts.start(socket::now(), address);
            }
            Effect::Deactivate { address: IpAddr::V4(address) } => {
                self.bursts.stop(address);
                self.responder.deactivate(address);
            }
            Effect::Announce { address: IpAddr::V4(address) } => self.bursts.start(socket::now(), address),
            Effect::Prepare { address: IpAddr::V4(address), .. } => self.responder.watch(address),
            Effect::Probe { address: IpAddr::V4(address), link } => {
                self.responder.watch(address);
                if let Some(mac) = self.responder.mac(link) {
                    self.send_probe(link, &ArpFrame::probe(mac, address))?;
                }
            }
            Effect::ProbeNeighbors { link } => {
                if let Some(mac) = self.responder.mac(link) {
                    let neighbors: Vec<_> = self.responder.neighbors(link).collect();
                    for neighbor in neighbors {
                        self.send_probe(link, &ArpFrame::probe_of_neighbor(mac, neighbor.mac, neighbor.address))?;
                    }
                }
            }
            other => debug!(effect = ?other, "effect is not for this announcer"),
        }
        Ok(())
    }

    fn send_probe(&self, link: LinkIndex, probe: &ArpFrame) -> Result<(), Stale> {
        if self.send(link, probe)? == Sent::Yes {
            self.parts.counters.count_probe_sent();
        }
        Ok(())
    }

    fn send_bursts(&mut self) -> Result<(), Stale> {
        while let Some(address) = self.bursts.poll_round(socket::now()) {
            let links: Vec<LinkIndex> = self.responder.links_of(address).to_vec();
            for link in links {
                let Some(mac) = self.responder.mac(link) else { continue };
                for frame in [ArpFrame::gratuitous_request(mac, address), ArpFrame::gratuitous_reply(mac, address)] {
                    if self.send(link, &frame)? == Sent::Yes {
                        self.responder.gratuitous_were_sent(address, 1);
                    }
                }
            }
        }
        Ok(())
    }

    /// Authority has run out: what waits in the queues was asked of an owner that may be none any more ([OWN-50]).
    fn discard(&mut self) {
        let mut discarded = 0;
        for open in self.links.values() {
            for socket in [&open.arp, open.members.as_ref()] {
                for _ in 0..MAX_DISCARDED {
                    match socket.receive(&mut self.buffer) {
                        Ok(Some(_)) => discarded += 1,
                        Err(error) if error.kind() == io::ErrorKind::NetworkDown => {}
                        Ok(None) | Err(_) => break,
                    }
                }
            }
        }
        self.parts.counters.count_stale(discarded);
        let now = socket::now();
        self.parts.hub.handle_stale(now, self.parts.id);
        self.parts.carrier.authority().extend(now);
        warn!(discarded, "authority had run out: this process was stopped or starved; frames were discarded");
    }

    fn follow_links(&mut self, ready: &[Source]) {
        let now = socket::now();
        let is_retry = self.retry_at.is_some_and(|at| at <= now);
        if is_retry {
            self.retry_at = None;
        }
        if (is_retry || ready.contains(&Source::Links))
            && let Err(error) = self.parts.watch.read()
        {
            warn!(%error, "reading links by netlink failed, everything is asked for again");
            self.retry_at = Some(now + RETRY);
        }
        if self.parts.watch.take_changed() || is_retry {
            self.reconcile();
        }
    }

    /// Closes links that are gone or were interrupted, opens those that are usable and not open, follows what changed of the rest.
    fn reconcile(&mut self) {
        let interrupted = self.parts.watch.take_interrupted();
        let usable = self.parts.watch.usable();
        let is_gone = |link: &LinkIndex| interrupted.contains(link) || !usable.contains_key(link);
        let gone: Vec<LinkIndex> = self.links.keys().filter(|link| is_gone(link)).copied().collect();
        for link in gone {
            self.close(link);
        }
        for (link, facts) in usable {
            match self.links.get(&link) {
                None => self.open(link, facts),
                Some(open) if open.facts == facts => {}
                Some(open) if open.facts.mac == facts.mac && open.facts.name == facts.name => {
                    self.set_facts(link, facts);
                }
                // Another name or hardware address ([L2-27]): the sockets go by the index and stay.
                Some(_) => self.announce_on(link, facts),
            }
        }
    }

    fn open(&mut self, link: LinkIndex, facts: UsableLink) {
        match open_sockets(link, self.parts.port) {
            Ok((arp, members)) => {
                self.links.insert(link, OpenLink { facts: facts.clone(), arp, members: Arc::new(members) });
                self.announce_on(link, facts);
            }
            Err(error) => {
                warn!(link = %facts.name, %error, "link could not be opened, it is tried again");
                self.retry_at = Some(socket::now() + RETRY);
            }
        }
    }

    fn announce_on(&mut self, link: LinkIndex, facts: UsableLink) {
        info!(link = %facts.name, index = %link, mac = %facts.mac, "link is announced on");
        let event = LinkEvent::Up { link, name: Arc::clone(&facts.name), mac: facts.mac };
        self.responder.set_link(link, facts.mac);
        self.set_facts(link, facts);
        self.parts.hub.handle_link(socket::now(), self.parts.id, &event);
    }

    fn set_facts(&mut self, link: LinkIndex, facts: UsableLink) {
        if let Some(open) = self.links.get_mut(&link) {
            let address = MemberEncoder::source_for(facts.mac, facts.address);
            let encoder = MemberEncoder { mac: facts.mac, address, port: self.parts.port };
            self.parts.carrier.open(link, Arc::clone(&open.members), encoder);
            open.facts = facts;
        }
    }

    fn close(&mut self, link: LinkIndex) {
        if let Some(open) = self.links.remove(&link) {
            info!(link = %open.facts.name, index = %link, "link is not announced on any more");
            self.parts.carrier.close(link);
            self.responder.remove_link(link);
            self.parts.hub.handle_link(socket::now(), self.parts.id, &LinkEvent::Down { link });
        }
    }
}

/// Whether the kernel took a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Yes,
    No,
}

fn open_sockets(link: LinkIndex, port: MemberPort) -> io::Result<(PacketSocket, PacketSocket)> {
    let arp = PacketSocket::open(link, EtherType::Arp, &filter::arp())?;
    let members = PacketSocket::open(link, EtherType::Ipv4, &filter::member_frames(port))?;
    members.join(link, MEMBER_GROUP_MAC)?;
    Ok((arp, members))
}
