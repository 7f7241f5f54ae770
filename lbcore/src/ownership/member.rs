//! What this node knows of one other member: when it was heard, whether hearing is mutual, its tables ([OWN-10] to [OWN-16]).

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::announce::GroupKey;
use crate::family::IpFamily;
use crate::link::{LinkIndex, MacAddr};
use crate::service::{NodeName, ServiceKey};
use crate::time::Timestamp;

use super::claims::{ClaimTable, TableDigest};
use super::frame::{Copy, HeardBy, Heartbeat};
use super::key::KeyId;
use super::{Assignment, BootId};

/// Frames of one member may overtake each other by so many.
const REORDERED: u64 = 64;
/// Members that one member may list as heard; more are passed over.
const MOST_HEARD_OF: usize = 1_024;

/// How a member is heard on one link.
#[derive(Clone, Debug)]
pub(crate) struct Hearing {
    /// Hardware address its frames come from.
    pub(crate) mac: MacAddr,
    /// When a frame was last taken by each family ([OWN-11]).
    pub(crate) by_family: BTreeMap<IpFamily, Timestamp>,
    /// Highest sequence taken.
    pub(crate) last_sequence: u64,
    /// Bit n: the sequence n + 1 below the highest was taken (the window of RFC 4303 section 3.4.3).
    taken: u64,
    /// When that was.
    pub(crate) last_heard: Timestamp,
    /// When a heartbeat to the group address was last heard.
    pub(crate) last_group: Option<Timestamp>,
    /// When a frame last listed a fresh sequence of ours.
    pub(crate) mutual_at: Option<Timestamp>,
    /// Whether it hears our heartbeats by the group address.
    pub(crate) hears_group: bool,
}

/// How a frame compares with those before it on its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Newness {
    /// Newer than all.
    Newest,
    /// Overtaken by another, but not seen before.
    Late,
    /// Seen before, or too old to tell.
    Replayed,
}

impl Hearing {
    fn take(&mut self, sequence: u64) -> Newness {
        if sequence > self.last_sequence {
            let ahead = sequence - self.last_sequence;
            self.taken = match u32::try_from(ahead) {
                Ok(ahead @ 1..=63) => (self.taken << ahead) | (1 << (ahead - 1)),
                Ok(64) => 1 << 63,
                _ => 0,
            };
            self.last_sequence = sequence;
            return Newness::Newest;
        }
        let behind = self.last_sequence - sequence;
        if behind == 0 || behind > 64 {
            return Newness::Replayed;
        }
        let bit = 1 << (behind - 1);
        if self.taken & bit != 0 {
            return Newness::Replayed;
        }
        self.taken |= bit;
        Newness::Late
    }
}

/// Sequences that this node sent, with their times, for as long as a listing of them counts as fresh.
#[derive(Clone, Debug, Default)]
pub(crate) struct SentSequences(std::collections::VecDeque<(Timestamp, u64)>);

impl SentSequences {
    /// Takes note of a sequence. Of those sent within a millisecond the first and the last are kept.
    pub(crate) fn push(&mut self, now: Timestamp, sequence: u64, timeout: Duration) {
        let length = self.0.len();
        let together = |(at, _): &(Timestamp, u64)| now.since(*at) < Duration::from_millis(1);
        if length >= 2
            && self.0.get(length - 2).is_some_and(together)
            && let Some(last) = self.0.back_mut()
        {
            last.1 = sequence;
            return;
        }
        self.0.push_back((now, sequence));
        while self.0.front().is_some_and(|(at, _)| now.since(*at) > timeout) {
            self.0.pop_front();
        }
    }

    /// Whether the sequence was sent within the last timeout ([OWN-16]).
    pub(crate) fn is_fresh(&self, now: Timestamp, sequence: u64, timeout: Duration) -> bool {
        let last = self.0.back().map_or(0, |(_, sequence)| *sequence);
        sequence <= last
            && self.0.iter().find(|(at, _)| now.since(*at) <= timeout).is_some_and(|(_, oldest)| sequence >= *oldest)
    }
}

/// A member under one boot id.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) name: NodeName,
    pub(crate) boot_id: BootId,
    pub(crate) hearings: BTreeMap<LinkIndex, Hearing>,
    /// When a frame of it was last taken on any link, also one that is gone by now.
    last_heard: Option<Timestamp>,
    /// The highest sequence taken on any link: a frame far below it is a replay on every link.
    pub(crate) highest_sequence: u64,
    /// What is not above it was taken, or was sent before this node looked away.
    pub(crate) floor: u64,
    /// The latest time at which a mutually heard member says that it heard this one.
    pub(crate) told_at: Option<Timestamp>,
    /// This process was stopped until then, so that silence before proves nothing.
    pub(crate) excused_at: Option<Timestamp>,
    /// Since when its heartbeats say that it hears nobody on any link ([OWN-33]).
    pub(crate) deaf_since: Option<Timestamp>,
    /// When its groups were looked at because it is deaf.
    pub(crate) judged_deaf: Option<Timestamp>,
    /// Whom it hears on any link: when it last heard them, by our clock.
    pub(crate) hears: BTreeMap<BootId, Timestamp>,
    /// In how many ways (links, and on each the families) it hears members.
    pub(crate) heard_links: u8,
    pub(crate) keys: Vec<KeyId>,
    pub(crate) claims: ClaimTable,
    pub(crate) claims_told: TableDigest,
    pub(crate) assignments: Arc<BTreeMap<ServiceKey, Assignment>>,
    pub(crate) assignments_digest: TableDigest,
    pub(crate) assignments_told: TableDigest,
    pub(crate) first_heard: Timestamp,
    /// It answered a probe for an address it claims, from its own hardware address ([OWN-32]).
    pub(crate) answered_at: Option<Timestamp>,
    /// Families of which an address was asked for when it fell silent, and when it last answered for each.
    pub(crate) asked: Vec<IpFamily>,
    answered: BTreeMap<IpFamily, Timestamp>,
    /// When a probe was last sent because it fell silent.
    pub(crate) probed_at: Option<Timestamp>,
    /// Its name came back under another boot id: its claims are void ([OWN-10]).
    pub(crate) superseded: bool,
    /// More claims were said to follow at once; until then.
    pub(crate) more_until: Option<Timestamp>,
    /// Last time each table was asked for.
    pub(crate) requested: BTreeMap<super::frame::Table, Timestamp>,
    /// Members whose claims were relayed to this one, with the digest relayed.
    pub(crate) relayed: BTreeMap<BootId, (TableDigest, u8, Timestamp)>,
    /// Whether the host was told that it is there.
    pub(crate) told_alive: bool,
    /// Its silence has reached the timeout, and its groups were looked at for that.
    pub(crate) judged_silent: bool,
    /// Whether what it says of itself vouches for the claims kept of it.
    pub(crate) claims_age: ClaimsAge,
}

/// Of when the claims kept of a member are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClaimsAge {
    /// It claims them.
    Current,
    /// They are from before a silence of it, and it may have given them up meanwhile.
    Outdated,
}

/// When a digest was heard, and the frame that told it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) now: Timestamp,
    pub(crate) link: LinkIndex,
    pub(crate) mac: MacAddr,
    pub(crate) family: IpFamily,
    pub(crate) sequence: u64,
}

impl Member {
    pub(crate) fn new(name: NodeName, boot_id: BootId, now: Timestamp) -> Self {
        Self {
            name,
            boot_id,
            hearings: BTreeMap::new(),
            last_heard: None,
            highest_sequence: 0,
            floor: 0,
            told_at: None,
            excused_at: None,
            deaf_since: None,
            judged_deaf: None,
            hears: BTreeMap::new(),
            heard_links: 0,
            keys: Vec::new(),
            claims: ClaimTable::default(),
            claims_told: TableDigest::default(),
            assignments: Arc::default(),
            assignments_digest: TableDigest::default(),
            assignments_told: TableDigest::default(),
            first_heard: now,
            answered_at: None,
            asked: Vec::new(),
            answered: BTreeMap::new(),
            probed_at: None,
            superseded: false,
            more_until: None,
            requested: BTreeMap::new(),
            relayed: BTreeMap::new(),
            told_alive: false,
            judged_silent: false,
            claims_age: ClaimsAge::Current,
        }
    }

    /// Takes note of a frame and tells whether it is newer than all before it on its link.
    pub(crate) fn hear(&mut self, arrival: Arrival) -> Newness {
        // Every sequence is used once, whatever the link, so that what lies far below the highest is a recording: on a link where
        // the member was not heard yet, too.
        let floor = self.floor.max(self.highest_sequence.saturating_sub(REORDERED + 1));
        if arrival.sequence <= floor {
            return Newness::Replayed;
        }
        let hearing = self.hearings.entry(arrival.link).or_insert(Hearing {
            mac: arrival.mac,
            by_family: BTreeMap::new(),
            last_sequence: floor,
            taken: u64::MAX,
            last_heard: arrival.now,
            last_group: None,
            mutual_at: None,
            hears_group: true,
        });
        if self.highest_sequence == 0 {
            // Below the first sequence ever heard everything counts as seen.
            hearing.last_sequence = arrival.sequence - 1;
        }
        let newness = hearing.take(arrival.sequence);
        if newness != Newness::Replayed {
            hearing.by_family.insert(arrival.family, arrival.now);
        }
        if newness == Newness::Newest {
            self.highest_sequence = self.highest_sequence.max(arrival.sequence);
            self.last_heard = Some(arrival.now);
            hearing.last_heard = arrival.now;
            hearing.mac = arrival.mac;
        }
        newness
    }

    /// Takes what a heartbeat says of hearing; returns whether it listed a fresh sequence of ours.
    pub(crate) fn take_heartbeat(
        &mut self,
        arrival: Arrival,
        heartbeat: &Heartbeat,
        own: BootId,
        sent: &SentSequences,
        timeout: Duration,
    ) -> bool {
        let mut fresh = false;
        for heard in &heartbeat.heard {
            if heard.boot_id == own {
                fresh = sent.is_fresh(arrival.now, heard.sequence, timeout);
                if let Some(hearing) = self.hearings.get_mut(&arrival.link) {
                    hearing.hears_group = heard.by == HeardBy::Group;
                }
            } else {
                let age = Duration::from_millis(u64::from(heard.age_ms));
                let at = Timestamp::from_micros(
                    arrival.now.as_micros().saturating_sub(u64::try_from(age.as_micros()).unwrap_or(u64::MAX)),
                );
                if let Some(known) = self.hears.get_mut(&heard.boot_id) {
                    *known = at.max(*known);
                } else if self.hears.len() < MOST_HEARD_OF {
                    self.hears.insert(heard.boot_id, at);
                }
            }
        }
        if let Some(hearing) = self.hearings.get_mut(&arrival.link) {
            if fresh {
                hearing.mutual_at = Some(arrival.now);
            }
            if heartbeat.copy == Copy::Group {
                hearing.last_group = Some(arrival.now);
            }
        }
        self.hears.retain(|_, at| arrival.now.since(*at) <= timeout.saturating_mul(4));
        self.heard_links = heartbeat.heard_links;
        if heartbeat.heard_links > 0 || fresh {
            self.deaf_since = None;
            self.judged_deaf = None;
        } else {
            self.deaf_since.get_or_insert(arrival.now);
        }
        self.keys.clone_from(&heartbeat.keys);
        self.claims_told = heartbeat.claims;
        if self.claims.digest() == heartbeat.claims {
            self.claims_age = ClaimsAge::Current;
        }
        self.assignments_told = heartbeat.assignments;
        fresh
    }

    /// It answered for an address that it claims: evidence once every family asked for has answered ([OWN-32]).
    pub(crate) fn take_answer(&mut self, now: Timestamp, family: IpFamily) {
        self.answered.insert(family, now);
        if self.asked.iter().all(|asked| self.answered.get(asked).copied() >= self.probed_at) {
            self.answered_at = Some(now);
        }
    }

    /// A link is gone: what was sent until now does not count as news when it comes back.
    pub(crate) fn forget_link(&mut self, link: LinkIndex) {
        if self.hearings.remove(&link).is_some() {
            self.floor = self.highest_sequence;
        }
    }

    /// Whether its whole table of assignments is known, as it says itself.
    pub(crate) fn is_synced(&self) -> bool {
        self.assignments_digest == self.assignments_told
    }

    /// When any frame of it was last taken.
    pub(crate) const fn last_heard(&self) -> Option<Timestamp> {
        self.last_heard
    }

    /// The latest evidence that it runs: its frames, its answers to probes, and what others tell of hearing it.
    pub(crate) fn evidence(&self) -> Option<Timestamp> {
        self.last_heard.max(self.answered_at).max(self.told_at).max(self.excused_at)
    }

    /// It has said for so long that it hears nobody.
    pub(crate) fn is_deaf_for(&self, now: Timestamp, duration: Duration) -> bool {
        self.deaf_since.is_some_and(|since| now.since(since) >= duration)
    }

    /// Its claims are not all known yet.
    pub(crate) fn has_more_to_tell(&self, now: Timestamp) -> bool {
        self.claims.digest() != self.claims_told || self.more_until.is_some_and(|at| at > now)
    }

    /// Heard within the timeout.
    pub(crate) fn is_present(&self, now: Timestamp, timeout: Duration) -> bool {
        self.last_heard().is_some_and(|at| now.since(at) < timeout)
    }

    /// Hearing is mutual on some link, told within the timeout ([OWN-12]).
    pub(crate) fn is_mutual(&self, now: Timestamp, timeout: Duration) -> bool {
        !self.superseded
            && self.hearings.values().any(|hearing| hearing.mutual_at.is_some_and(|at| now.since(at) < timeout))
    }

    /// It told, within the timeout, that it hears the member with this boot id.
    pub(crate) fn lists_fresh(&self, boot_id: BootId, now: Timestamp, timeout: Duration) -> bool {
        self.hears.get(&boot_id).is_some_and(|at| now.since(*at) < timeout)
    }

    pub(crate) fn has_mac(&self, mac: MacAddr) -> bool {
        self.hearings.values().any(|hearing| hearing.mac == mac)
    }

    /// The link on which it was heard last.
    pub(crate) fn best_link(&self) -> Option<(LinkIndex, MacAddr)> {
        self.hearings.iter().max_by_key(|(_, hearing)| hearing.last_heard).map(|(link, hearing)| (*link, hearing.mac))
    }

    /// Its claim on a group, unless void.
    pub(crate) fn claim(&self, group: GroupKey) -> Option<&super::claims::Claim> {
        if self.superseded { None } else { self.claims.get(group) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(700);

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_micros(ms * 1_000)
    }

    // [OWN-16]
    #[test]
    fn a_listed_sequence_is_fresh_for_one_timeout_and_only_if_it_was_sent() {
        let mut sent = SentSequences::default();
        for step in 0..20 {
            sent.push(at(step * 100), step + 5, TIMEOUT);
        }
        assert!(sent.is_fresh(at(1_900), 24, TIMEOUT));
        assert!(sent.is_fresh(at(1_900), 17, TIMEOUT));
        assert!(!sent.is_fresh(at(1_900), 16, TIMEOUT), "sent 800 ms ago");
        assert!(!sent.is_fresh(at(1_900), 25, TIMEOUT), "never sent");
        assert!(!sent.is_fresh(at(9_000), 24, TIMEOUT));
    }

    // [OWN-16]: a replay is never taken, a frame overtaken on the way is.
    #[test]
    fn a_frame_is_taken_once_whatever_the_order() {
        let mut member = Member::new("beryl".parse().unwrap(), BootId(3), at(0));
        let mut hear = |sequence| {
            member.hear(Arrival {
                now: at(10),
                link: LinkIndex::new(4),
                mac: MacAddr::ZERO,
                family: IpFamily::V4,
                sequence,
            })
        };
        assert_eq!(hear(100), Newness::Newest);
        assert_eq!(hear(99), Newness::Replayed, "older than the first ever heard");
        assert_eq!(hear(100), Newness::Replayed);
        assert_eq!(hear(104), Newness::Newest);
        assert_eq!(hear(102), Newness::Late);
        assert_eq!(hear(102), Newness::Replayed);
        assert_eq!(hear(100), Newness::Replayed);
        assert_eq!(hear(103), Newness::Late);
        assert_eq!(hear(300), Newness::Newest);
        assert_eq!(hear(104), Newness::Replayed, "too old to tell");
        assert_eq!(hear(250), Newness::Late);
        assert_eq!(hear(364), Newness::Newest);
        assert_eq!(hear(300), Newness::Replayed);
        assert_eq!(hear(301), Newness::Late);
    }
}
