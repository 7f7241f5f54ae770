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
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lbcore::announce::AnnouncementKey;
use lbcore::link::LinkIndex;
use lbcore::ownership::{CarrierId, Effect, Hub, LinkEvent, Sighting};
use lbcore::time::Timestamp;
use tokio::sync::watch;
use tracing::{debug, info, trace, warn};

use super::carrier::{LinkCarrier, WakeUps};
use super::ear::Ears;
use super::links::{LinkWatch, UsableLink};
use super::open_link::{OpenLink, Queue};
use super::protocol::{Handled, Ports, Protocol};
use super::socket::{self, Priority};
use super::status::StatusBoard;
use crate::bursts::Bursts;
use crate::counters::Counters;
use crate::member::MemberPort;
use crate::table::Address as _;

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

/// What the thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    WakeUps,
    Links,
    Frames(LinkIndex, Queue),
    Ear(LinkIndex),
}

/// What the thread is given.
#[derive(Debug)]
pub(super) struct Parts<P: Protocol> {
    pub(super) hub: Arc<Hub>,
    pub(super) id: CarrierId,
    pub(super) carrier: Arc<LinkCarrier<P>>,
    pub(super) wake_ups: WakeUps,
    pub(super) watch: LinkWatch<P::Address>,
    pub(super) port: MemberPort,
    pub(super) priority: ThreadPriority,
    pub(super) gratuitous_interval: Option<Duration>,
    pub(super) counters: Arc<Counters<P::Reason>>,
    pub(super) status: Arc<StatusBoard>,
    pub(super) must_stop: Arc<AtomicBool>,
    /// Closed when the thread has ended.
    pub(super) alive: watch::Sender<()>,
}

/// The loop with all that it holds.
#[derive(Debug)]
pub(super) struct Driver<P: Protocol> {
    protocol: P,
    /// The sockets that each link gets.
    ports: Ports,
    bursts: Bursts<P::Address>,
    links: BTreeMap<LinkIndex, OpenLink<P::Address>>,
    ears: Ears,
    /// When links that could not be opened, or a failed netlink socket, are tried again.
    retry_at: Option<Timestamp>,
    /// When the protocol wants to ask the kernel again for what it refused.
    protocol_retry_at: Option<Timestamp>,
    buffer: Vec<u8>,
    parts: Parts<P>,
}

impl<P: Protocol> Driver<P> {
    pub(super) fn new(parts: Parts<P>) -> Self {
        Self {
            protocol: P::new(parts.port, Arc::clone(&parts.counters)),
            ports: P::ports(parts.port),
            bursts: Bursts::with_interval(parts.gratuitous_interval),
            links: BTreeMap::new(),
            ears: Ears::new(P::FAMILY),
            retry_at: None,
            protocol_retry_at: None,
            buffer: vec![0; BUFFER],
            parts,
        }
    }

    /// Runs until it is told to stop.
    pub(super) fn run(mut self) {
        if self.parts.priority == ThreadPriority::Raised {
            match socket::raise_priority() {
                Priority::RealTime => debug!(protocol = P::NAME, "thread runs at real-time priority"),
                Priority::Nice => {
                    info!(protocol = P::NAME, "thread runs at the best nice value: real-time priority was refused");
                }
                Priority::Ordinary => {
                    info!(
                        protocol = P::NAME,
                        "thread runs at ordinary priority: raising it was refused (CAP_SYS_NICE)"
                    );
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
        self.retry_protocol();
        self.listen(ready);
        // Claims first: an address that another has taken is not answered for once more.
        self.receive(ready, Queue::Members)?;
        self.parts.hub.handle_timeout(socket::now());
        self.carry_out_effects()?;
        self.receive(ready, Queue::Answers)?;
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
        let deadlines =
            [self.parts.hub.poll_timeout(), self.bursts.poll_timeout(), self.retry_at, self.protocol_retry_at];
        let next = deadlines.into_iter().flatten().fold(latest, Ord::min);
        next.since(now).max(MIN_SLEEP)
    }

    fn wait(&self, sleep: Duration) -> Vec<Source> {
        let mut sources = vec![Source::WakeUps, Source::Links];
        let mut polled = vec![socket::readable(&self.parts.wake_ups), socket::readable(&self.parts.watch)];
        for (link, open) in &self.links {
            sources.extend([Source::Frames(*link, Queue::Answers), Source::Frames(*link, Queue::Members)]);
            polled.extend([socket::readable(&open.answers), socket::readable(open.members.as_ref())]);
        }
        for (link, ear) in self.ears.sockets() {
            sources.push(Source::Ear(link));
            polled.push(socket::readable(ear));
        }
        if let Err(error) = socket::wait(&mut polled, sleep) {
            warn!(%error, "waiting for frames failed");
        }
        // Errors count as ready too: reading tells what they are.
        sources.into_iter().zip(polled).filter(|(_, state)| state.revents != 0).map(|(source, _)| source).collect()
    }

    /// Offers a frame to the kernel if authority is held at this very moment.
    fn send(&self, link: LinkIndex, frame: &P::Frame) -> Result<Sent, Stale> {
        let Some(open) = self.links.get(&link) else { return Ok(Sent::No) };
        if self.is_stale() {
            self.parts.counters.count_not_sent();
            return Err(Stale);
        }
        match open.answers.send(frame.as_ref()) {
            Ok(()) => Ok(Sent::Yes),
            Err(error) => {
                self.parts.counters.count_not_sent();
                debug!(link = %open.facts.name, %error, "frame was not sent");
                Ok(Sent::No)
            }
        }
    }

    fn listen(&mut self, ready: &[Source]) {
        for source in ready {
            if let Source::Ear(link) = *source
                && let Some(mac) = self.ears.heard(link)
            {
                let sighting = Sighting { mac, address: None, probed: None };
                self.parts.hub.handle_sighting(socket::now(), self.parts.id, link, sighting);
            }
        }
    }

    fn receive(&mut self, ready: &[Source], port: Queue) -> Result<(), Stale> {
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

    fn receive_on(&mut self, link: LinkIndex, port: Queue, buffer: &mut [u8]) -> Result<(), Stale> {
        for _ in 0..MAX_FRAMES {
            let Some(open) = self.links.get(&link) else { return Ok(()) };
            match open.queue(port).receive(buffer) {
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
        let outcome = self.protocol.handle_frame(now, link, octets);
        match outcome.handled {
            Handled::Reply { address, frame } => {
                if self.send(link, &frame)? == Sent::Yes {
                    self.protocol.table().reply_was_sent(address);
                    trace!(%address, "request was answered");
                }
            }
            Handled::Member { source, payload } => {
                if let Err(reason) = self.parts.hub.handle_member_frame(now, self.parts.id, link, source, payload) {
                    self.parts.counters.count_member_frame_refused(reason);
                    trace!(link = %link, %source, %reason, "member frame was dropped");
                }
            }
            Handled::Dropped(reason) => trace!(reason, "frame was not answered"),
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

    fn carry_out(&mut self, effect: Effect) -> Result<(), Stale> {
        match effect {
            Effect::State { address, state } => {
                if state.is_none()
                    && let Some(address) = P::Address::of(address)
                {
                    self.bursts.stop(address);
                    self.protocol.forget(address);
                }
                self.parts.status.set(AnnouncementKey::link(address), state);
                Ok(())
            }
            Effect::ProbeNeighbors { link } => {
                self.ears.open(link);
                self.protocol.probes_of_neighbors(link).iter().try_for_each(|probe| self.send_probe(link, probe))
            }
            Effect::Activate { address, .. }
            | Effect::Deactivate { address }
            | Effect::Announce { address }
            | Effect::Prepare { address, .. }
            | Effect::Probe { address, .. } => match P::Address::of(address) {
                Some(own) => self.carry_out_for(own, effect),
                None => Ok(()),
            },
            // One of a later version.
            _ => Ok(()),
        }
    }

    /// What ownership wants done about an address of this family.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are no matter of one address")]
    fn carry_out_for(&mut self, address: P::Address, effect: Effect) -> Result<(), Stale> {
        match effect {
            Effect::Activate { links, .. } => {
                self.protocol.activate(address, links);
                self.bursts.start(socket::now(), address);
            }
            Effect::Deactivate { .. } => {
                self.bursts.stop(address);
                self.protocol.table_mut().deactivate(address);
            }
            Effect::Announce { .. } => self.bursts.start(socket::now(), address),
            Effect::Prepare { .. } => self.protocol.watch(address),
            Effect::Probe { link, .. } => {
                self.protocol.watch(address);
                if let Some(probe) = self.protocol.probe(link, address) {
                    self.send_probe(link, &probe)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn send_probe(&self, link: LinkIndex, probe: &P::Frame) -> Result<(), Stale> {
        if self.send(link, probe)? == Sent::Yes {
            self.parts.counters.count_probe_sent();
        }
        Ok(())
    }

    fn send_bursts(&mut self) -> Result<(), Stale> {
        while let Some(address) = self.bursts.poll_round(socket::now()) {
            let links: Vec<LinkIndex> = self.protocol.table().links_of(address).to_vec();
            for link in links {
                for frame in self.protocol.round(link, address) {
                    if self.send(link, &frame)? == Sent::Yes {
                        self.protocol.table().gratuitous_were_sent(address, 1);
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
            for socket in [&open.answers, open.members.as_ref()] {
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
        warn!(
            protocol = P::NAME,
            discarded, "authority had run out: this process was stopped or starved; frames were discarded"
        );
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

    fn open(&mut self, link: LinkIndex, facts: UsableLink<P::Address>) {
        let opened = OpenLink::open(link, &facts, &self.ports).and_then(|open| {
            self.protocol.open_link(link, &facts)?;
            Ok(open)
        });
        match opened {
            Ok(open) => {
                self.links.insert(link, open);
                self.announce_on(link, facts);
            }
            Err(error) => {
                warn!(protocol = P::NAME, link = %facts.name, %error, "link could not be opened, it is tried again");
                self.protocol.close_link(link);
                self.retry_at = Some(socket::now() + RETRY);
            }
        }
    }

    fn announce_on(&mut self, link: LinkIndex, facts: UsableLink<P::Address>) {
        info!(protocol = P::NAME, link = %facts.name, index = %link, mac = %facts.mac, "link is announced on");
        let event = LinkEvent::Up { link, name: Arc::clone(&facts.name), mac: facts.mac };
        self.set_facts(link, facts);
        self.parts.hub.handle_link(socket::now(), self.parts.id, &event);
    }

    fn set_facts(&mut self, link: LinkIndex, facts: UsableLink<P::Address>) {
        if let Some(open) = self.links.get_mut(&link) {
            let encoder = self.protocol.set_link(link, &facts);
            self.parts.carrier.open(link, Arc::clone(&open.members), encoder);
            open.facts = facts;
        }
    }

    fn close(&mut self, link: LinkIndex) {
        if let Some(open) = self.links.remove(&link) {
            info!(protocol = P::NAME, link = %open.facts.name, index = %link, "link is not announced on any more");
            self.parts.carrier.close(link);
            self.ears.close(link);
            self.protocol.close_link(link);
            self.parts.hub.handle_link(socket::now(), self.parts.id, &LinkEvent::Down { link });
        }
    }

    fn retry_protocol(&mut self) {
        let now = socket::now();
        if self.protocol_retry_at.is_none_or(|at| at <= now) {
            self.protocol_retry_at = self.protocol.retry(now);
        }
    }
}

/// Whether the kernel took a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Yes,
    No,
}
