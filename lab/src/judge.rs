//! The judge: from every frame of a segment, who answered for which address when, where two did at once, and where nobody did.
//!
//! *Answering* is any ARP frame, request included, whose sender is the address, and any neighbor advertisement or solicitation whose
//! target or source it is, from any host, process or kernel ([OWN-1]). A probe (sender 0.0.0.0, source `::`) is none. The judge is as fine as the questions are frequent: with a [`crate::Prober`] at 20 questions a second
//! and address it sees an owner every 50 ms.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::arp::{Operation, Packet};
use crate::capture::{Fate, Frame};
use crate::clock::Moment;
use crate::host::Hardware;
use crate::ndp::{Kind as Discovery, Message};

/// The longest hand-over that [OWN-1] allows.
pub const HAND_OVER_LIMIT: Duration = Duration::from_millis(100);

/// Changes of the answering host closer together than this are one contention, not two moves: no takeover can follow another
/// sooner, since half a timeout of 700 ms must pass, and a prober of 20 Hz shows eight answers in it.
const CONTENTION: Duration = Duration::from_millis(400);

/// One host answered for one address once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// When.
    pub at: Moment,
    /// Which host sent the frame, by the port it came in.
    pub host: Arc<str>,
    /// The address.
    pub address: IpAddr,
    /// The hardware address given for it.
    pub hardware: Hardware,
    /// How it was said.
    pub form: Form,
}

/// In which form a host says that it has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A reply or an advertisement.
    Answer,
    /// A gratuitous request, or a question from the address.
    Question,
}

/// What a frame says of the address of its sender; `None` where it says nothing of one.
fn said(frame: &Frame) -> Option<Sighting> {
    let (address, hardware, form) = if let Some(packet) = Packet::read(&frame.octets) {
        let form = match packet.operation {
            Operation::Request => Form::Question,
            Operation::Reply => Form::Answer,
        };
        (IpAddr::V4(packet.sender), packet.sender_hardware, form)
    } else {
        let message = Message::read(&frame.octets).filter(|message| message.hop_limit == 255)?;
        let form = match message.kind {
            Discovery::Solicitation => Form::Question,
            Discovery::Advertisement { .. } => Form::Answer,
        };
        (IpAddr::V6(message.owned()), message.hardware.unwrap_or(message.frame_source), form)
    };
    let host = Arc::clone(&frame.host);
    (!address.is_unspecified()).then_some(Sighting { at: frame.at, host, address, hardware, form })
}

/// How two hosts came to answer at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Afterwards another host than before answered: the old owner was slow to stop.
    HandOver,
    /// Afterwards the same host as before answered: another one cut in.
    Intrusion,
}

/// A time in which more than one host answered for an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The address.
    pub address: IpAddr,
    /// First frame of the second host.
    pub from: Moment,
    /// Last frame of the first host, or where it kept the address: its first after the other cut in.
    pub until: Moment,
    /// Everyone who answered meanwhile.
    pub hosts: BTreeSet<Arc<str>>,
    /// Hand-over or intrusion.
    pub kind: Kind,
}

impl Overlap {
    /// How long it lasted.
    pub const fn length(&self) -> Duration {
        self.until.since(self.from)
    }
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::HandOver => "hand-over",
            Kind::Intrusion => "intrusion",
        };
        let hosts: Vec<&str> = self.hosts.iter().map(AsRef::as_ref).collect();
        write!(f, "{}: {kind} of {:?} among {} at {:?}", self.address, self.length(), hosts.join(", "), self.from)
    }
}

/// Consecutive answers of one host for one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// The host.
    pub host: Arc<str>,
    /// Its first answer.
    pub from: Moment,
    /// Its last answer before another host's.
    pub until: Moment,
    /// The hardware address of its last answer.
    pub hardware: Hardware,
}

/// All answers of a segment, by address and in order of time.
#[derive(Clone, Debug, Default)]
pub struct Judge {
    sightings: BTreeMap<IpAddr, Vec<Sighting>>,
}

impl Judge {
    /// Reads every forwarded frame of ARP and neighbor discovery. Frames that a fault kept from the others answered nobody.
    pub fn of(frames: &[Frame]) -> Self {
        Self::new(frames.iter().filter(|frame| frame.fate == Fate::Forwarded).filter_map(said))
    }

    /// A judge of these answers, in any order.
    pub fn new(sightings: impl IntoIterator<Item = Sighting>) -> Self {
        let mut judge = Self::default();
        for sighting in sightings {
            judge.sightings.entry(sighting.address).or_default().push(sighting);
        }
        for answers in judge.sightings.values_mut() {
            answers.sort_by_key(|answer| answer.at);
        }
        judge
    }

    /// The same judge without what one host sent: a stranger that a test put there.
    #[must_use]
    pub fn without(&self, host: &str) -> Self {
        Self::new(self.sightings.values().flatten().filter(|answer| &*answer.host != host).cloned())
    }

    /// The same judge for the addresses that `wanted` picks.
    #[must_use]
    pub fn among(&self, wanted: impl Fn(IpAddr) -> bool) -> Self {
        Self::new(self.sightings.values().flatten().filter(|answer| wanted(answer.address)).cloned())
    }

    /// The same judge where the two addresses of each pair are one, called as the first: answers of two hosts for the two then are two
    /// owners of one, which is how a dual-stack Service that splits over nodes is seen.
    #[must_use]
    pub fn as_one(&self, pairs: &[(IpAddr, IpAddr)]) -> Self {
        let first_of =
            |address| pairs.iter().find(|(_, second)| *second == address).map_or(address, |(first, _)| *first);
        let renamed = self.sightings.values().flatten().cloned();
        Self::new(renamed.map(|answer| Sighting { address: first_of(answer.address), ..answer }))
    }

    /// The same judge with what was sent from `from` on.
    #[must_use]
    pub fn since(&self, from: Moment) -> Self {
        Self::new(self.sightings.values().flatten().filter(|answer| answer.at >= from).cloned())
    }

    /// The same judge with what was sent before `to`.
    #[must_use]
    pub fn until(&self, to: Moment) -> Self {
        Self::new(self.sightings.values().flatten().filter(|answer| answer.at < to).cloned())
    }

    /// Every address that anyone answered for.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.sightings.keys().copied()
    }

    /// All answers for an address, in order of time.
    pub fn answers(&self, address: impl Into<IpAddr>) -> &[Sighting] {
        self.sightings.get(&address.into()).map_or(&[], Vec::as_slice)
    }

    /// Who answered for an address, one entry for each change of host.
    pub fn tenures(&self, address: impl Into<IpAddr>) -> Vec<Tenure> {
        let mut tenures: Vec<Tenure> = Vec::new();
        for answer in self.answers(address) {
            match tenures.last_mut() {
                Some(tenure) if tenure.host == answer.host => {
                    tenure.until = answer.at;
                    tenure.hardware = answer.hardware;
                }
                _ => tenures.push(Tenure {
                    host: Arc::clone(&answer.host),
                    from: answer.at,
                    until: answer.at,
                    hardware: answer.hardware,
                }),
            }
        }
        tenures
    }

    /// Who answered for an address last, up to a moment.
    pub fn owner_at(&self, address: impl Into<IpAddr>, at: Moment) -> Option<Arc<str>> {
        let answers = self.answers(address).iter();
        answers.take_while(|answer| answer.at <= at).last().map(|answer| Arc::clone(&answer.host))
    }

    /// The first answer after a moment from another host than `host`.
    pub fn successor_of(&self, host: &str, address: impl Into<IpAddr>, after: Moment) -> Option<&Sighting> {
        self.answers(address).iter().find(|answer| answer.at > after && &*answer.host != host)
    }

    /// Every time in which two hosts answered for one address, of all addresses.
    pub fn overlaps(&self) -> Vec<Overlap> {
        self.addresses().flat_map(|address| self.overlaps_of(address)).collect()
    }

    /// The overlaps that [OWN-1] forbids: hand-overs longer than `limit`, and every intrusion.
    pub fn violations(&self, limit: Duration) -> Vec<Overlap> {
        let forbidden = |overlap: &Overlap| overlap.kind == Kind::Intrusion || overlap.length() > limit;
        self.overlaps().into_iter().filter(forbidden).collect()
    }

    /// The longest time without an answer for an address between two moments, and when it began.
    pub fn gap(&self, address: impl Into<IpAddr>, from: Moment, to: Moment) -> (Duration, Moment) {
        let within = self.answers(address).iter().map(|answer| answer.at).filter(|at| (from..=to).contains(at));
        let mut longest = (Duration::ZERO, from);
        let mut last = from;
        for at in within.chain([to]) {
            if at.since(last) > longest.0 {
                longest = (at.since(last), last);
            }
            last = at;
        }
        longest
    }

    /// Changes of the answering host that lie close together are one contention; a change alone is a move and no overlap.
    fn overlaps_of(&self, address: IpAddr) -> Vec<Overlap> {
        let tenures = self.tenures(address);
        let mut overlaps = Vec::new();
        let mut rest = tenures.as_slice();
        while let [before, others @ ..] = rest {
            let together = others.windows(2).take_while(|pair| is_contention(pair)).count() + 1;
            let contending = others.get(..together).unwrap_or(others);
            overlaps.extend(contention(address, before, contending));
            // The last of them is the owner from here on: the next contention, if any, begins with it.
            rest = rest.get(together..).filter(|rest| rest.len() > 1).unwrap_or_default();
        }
        overlaps
    }
}

fn is_contention(pair: &[Tenure]) -> bool {
    matches!(pair, [first, second] if second.from.since(first.from) < CONTENTION)
}

/// What happened between the owner before and the last of the contending tenures.
fn contention(address: IpAddr, before: &Tenure, contending: &[Tenure]) -> Option<Overlap> {
    let [first, .., last] = contending else { return None };
    let hosts = std::iter::once(before).chain(contending).map(|tenure| Arc::clone(&tenure.host)).collect();
    let (kind, until) = if last.host == before.host {
        (Kind::Intrusion, last.from)
    } else {
        // The last frame of anyone but the successor.
        let others = contending.iter().filter(|tenure| tenure.host != last.host).map(|tenure| tenure.until);
        (Kind::HandOver, others.max().unwrap_or(first.from))
    };
    Some(Overlap { address, from: first.from, until, hosts, kind })
}

#[cfg(test)]
mod tests;
