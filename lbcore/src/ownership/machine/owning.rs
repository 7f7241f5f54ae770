//! What this node does about a group that it answers for, or did until it was stopped: defend, release, give way, resume
//! ([OWN-24], [OWN-30], [OWN-34], [OWN-35], [OWN-41], [OWN-50]).

use core::time::Duration;
use std::net::IpAddr;

use crate::announce::{GroupKey, Withheld};
use crate::ownership::Event;
use crate::ownership::claims::ClaimState;
use crate::ownership::event::{LossCause, TakeCause};
use crate::service::NodeName;
use crate::time::Timestamp;

use super::Ownership;
use super::candidacy::{Foreign, Obstacle};
use super::group::{Group, Joining, Release, State};
use super::standing::WATCH_EVERY;

/// How long a released group is answered for ([OWN-24]).
const RELEASE_LIMIT: Duration = Duration::from_millis(500);
/// A claim of epoch 0 rises once a member has been heard for so many periods without an objection ([OWN-30]).
const OBJECTION_PERIODS: u32 = 3;
const WATCH_SPACING: Duration = Duration::from_millis(100);

impl Ownership {
    pub(super) fn step_active(
        &mut self,
        now: Timestamp,
        key: GroupKey,
        group: &Group,
        foreign: &[Foreign],
        obstacle: Option<&Obstacle>,
        (since, epoch): (Timestamp, u64),
    ) {
        let own = self.own_order(key, group, epoch);
        let rivals = || foreign.iter().filter(|other| other.alive && other.state == ClaimState::Active);
        let higher: Vec<&Foreign> = rivals().filter(|other| other.order > own && other.hears_us).collect();
        if let Some(winner) = self.give_way(now, key, group, &higher) {
            return self.lose(key, LossCause::Outranked(winner), State::Standby);
        }
        match obstacle {
            Some(Obstacle::Withheld(Withheld::NoLink)) => {
                if self.links.is_empty() {
                    return self.enter(key, State::Suspended { epoch, lost_at: Some(now), held: true });
                }
                return self.lose(key, LossCause::NoLink, State::Standby);
            }
            Some(_) if self.mutual_members() == 0 => return self.lose(key, LossCause::NoSuccessor, State::Standby),
            Some(_) => {
                let state = State::Releasing { since, epoch, until: now + RELEASE_LIMIT, because: Release::Leaving };
                return self.enter(key, state);
            }
            None => {}
        }
        let group = &self.note_lacking(now, key, group, self.is_outgrown(now, key, group));
        if self.is_outranked(now, key, group, since) {
            let state = State::Releasing { since, epoch, until: now + RELEASE_LIMIT, because: Release::Outranked };
            return self.enter(key, state);
        }
        self.defend(now, key, group, foreign, rivals().next().is_some(), epoch);
    }

    pub(super) fn step_releasing(
        &mut self,
        now: Timestamp,
        key: GroupKey,
        group: &Group,
        foreign: &[Foreign],
        obstacle: Option<&Obstacle>,
        (since, epoch, until, because): (Timestamp, u64, Timestamp, Release),
    ) {
        let own = self.own_order(key, group, epoch);
        // One that releases answers, too: of two that do the lower stops.
        let higher: Vec<&Foreign> = foreign.iter().filter(|other| other.alive && other.order > own).collect();
        if let Some(successor) = self.give_way(now, key, group, &higher) {
            self.lose(key, LossCause::HandedOver(successor), State::Standby);
        } else if because == Release::Leaving && obstacle.is_none() {
            // It may own it again after all.
            self.enter(key, State::Active { since, epoch });
        } else if now >= until && because == Release::Outranked {
            // Nobody took it: a wish that is not followed counts as a move, so that it is not asked for ever again.
            if let Some(group) = self.groups.get_mut(&key) {
                group.note_move(now);
            }
            self.enter(key, State::Active { since, epoch });
        } else if now >= until {
            self.lose(key, LossCause::NoSuccessor, State::Standby);
        } else {
            self.schedule(key, Some(until));
        }
    }

    /// Stops answering for what higher claims cover; who holds one, where nothing is left.
    fn give_way(&mut self, now: Timestamp, key: GroupKey, group: &Group, higher: &[&Foreign]) -> Option<NodeName> {
        let winner = higher.first()?;
        let covered =
            |address: &IpAddr| higher.iter().any(|other| other.covers(*address) || other.withholds(key, *address));
        let left = group.addresses.iter().any(|(address, entry)| entry.joining.is_none() && !covered(address));
        if !left {
            return Some(winner.name.clone());
        }
        if let Some(group) = self.groups.get_mut(&key) {
            for (address, entry) in &mut group.addresses {
                if entry.joining.is_none() && covered(address) {
                    entry.joining = Some(Joining { was_claimed: true, ..Joining::new(now) });
                }
            }
        }
        None
    }

    /// Keeps the claim known: says it again to a lower rival, raises an epoch of 0, follows a releasing higher claim.
    fn defend(&mut self, now: Timestamp, key: GroupKey, group: &Group, foreign: &[Foreign], rival: bool, epoch: u64) {
        let period = self.period();
        let mutual = self.mutual_members() > 0;
        let higher = foreign.iter().filter(|other| other.alive).map(|other| other.epoch).max().unwrap_or_default();
        // What others took meanwhile may still be on its way: a claim made alone does not rise before they had time to object.
        let alone = epoch == 0 && mutual && !rival;
        let unread = self.others_are_unread();
        let nothing_heard = self.hears_nothing(now);
        let mut next = None;
        let Some(record) = self.groups.get_mut(&key) else { return };
        record.raise_at = if alone { record.raise_at.or(Some(now + period * OBJECTION_PERIODS)) } else { None };
        let unopposed = record.raise_at.is_some_and(|at| at <= now) && !unread;
        if alone && !unopposed {
            next = Some(record.raise_at.unwrap_or(now).max(now + period / 2));
        }
        if unopposed || (higher > epoch && !rival) {
            record.known_epoch = record.known_epoch.max(higher);
            let epoch = record.known_epoch.saturating_add(1);
            record.known_epoch = epoch;
            if let State::Active { epoch: claimed, .. } = &mut record.state {
                *claimed = epoch;
            }
        } else if nothing_heard && let State::Active { epoch: claimed, .. } = &mut record.state {
            // Whoever hears anybody shall have it: nothing reaches this node ([OWN-33]).
            *claimed = 0;
        }
        if rival {
            let due = group.contested_at.is_none_or(|at| now.since(at) >= period);
            if due {
                record.contested_at = Some(now);
                self.claim_again(key);
            }
            next = Some(next.map_or(now + period, |at| at.min(now + period)));
        } else if record.contested_at.take().is_some() {
            record.announce_again = true;
        }
        let watch = self.watch(now, key);
        let outgrown = group.lacking_since.map(|since| (since + self.lacking_patience()).max(now + period));
        let next =
            [next, outgrown, self.next_return(now, key, group)].into_iter().flatten().fold(watch, Timestamp::min);
        self.schedule(key, Some(next));
    }

    /// Probes owned addresses now and then: a rival that configures one says nothing by itself ([OWN-41]).
    fn watch(&mut self, now: Timestamp, key: GroupKey) -> Timestamp {
        let groups = self.own_claims.digest().count;
        let every = WATCH_EVERY.max(WATCH_SPACING.saturating_mul(groups));
        let jitter = Duration::from_millis(self.rng.below(5_000));
        let Some(group) = self.groups.get_mut(&key) else { return now + every };
        if now < group.next_watch {
            return group.next_watch;
        }
        let first = group.next_watch == Timestamp::ZERO;
        group.next_watch = now + every + jitter;
        let next = group.next_watch;
        if !first {
            self.probe(key);
        }
        next
    }

    pub(super) fn step_suspended(
        &mut self,
        now: Timestamp,
        key: GroupKey,
        group: &Group,
        foreign: &[Foreign],
        (epoch, lost_at, held): (u64, Option<Timestamp>, bool),
    ) {
        let settled_at = self.settled_at(group);
        if settled_at.is_none() && self.links.is_empty() {
            return self.schedule(key, None);
        }
        if let Some(lost_at) = lost_at {
            // Away for a timeout: others noticed and may have taken it. A claim of before would take it back from one that answers.
            let held = held && now.since(lost_at) < self.timeout();
            return self.enter(key, State::Suspended { epoch, lost_at: None, held });
        }
        match settled_at {
            None => return self.lose(key, LossCause::NoLink, State::Standby),
            Some(at) if at > now => return self.schedule(key, Some(at)),
            Some(_) => {}
        }
        let own = self.own_order(key, group, epoch);
        let taken = |other: &Foreign| other.order > own || (!held && other.state == ClaimState::Active);
        if foreign.iter().any(|other| other.alive && taken(other)) {
            return self.lose(key, LossCause::Stalled, State::Standby);
        }
        if self.holds_for_unread(now, key) {
            // Somebody may have taken it meanwhile and not have told yet.
            return self.schedule(key, Some(now + self.period() / 4));
        }
        if held {
            self.tell(Event::Took { group: key, epoch, cause: TakeCause::Resumed });
            self.enter(key, State::Active { since: now, epoch });
        } else {
            self.take(now, key, TakeCause::Resumed);
        }
        self.claim_again(key);
    }
}
