//! What this node does about each group: listen, wait, probe, claim, answer, release, yield ([OWN-20] to [OWN-41]).

use core::time::Duration;
use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::announce::{GroupKey, Withheld};
use crate::link::MacAddr;
use crate::ownership::claims::{Claim, ClaimState};
use crate::ownership::event::{LossCause, TakeCause};
use crate::ownership::{Event, ReturnPolicy};
use crate::time::Timestamp;

use super::Ownership;
use super::candidacy::{Foreign, Obstacle};
use super::group::{FIRST_CLAIM_PROBES, Group, PROBE_SPACING, Release, State};

/// How often an address in use is asked for, and how many silent probes free it ([OWN-40]).
const IN_USE_PROBE_EVERY: Duration = Duration::from_secs(1);
const SILENT_PROBES: u8 = 3;
/// How long a released group is answered for ([OWN-24]).
const RELEASE_LIMIT: Duration = Duration::from_millis(500);
/// An owned address is probed at this interval, more seldom where that would exceed ten probes a second ([OWN-41]).
const WATCH_EVERY: Duration = Duration::from_secs(30);
const WATCH_SPACING: Duration = Duration::from_millis(100);

impl Ownership {
    /// Looks at one group and does what follows, until nothing changes.
    pub(super) fn step(&mut self, now: Timestamp, key: GroupKey) {
        for _ in 0..8 {
            let Some(group) = self.groups.get(&key) else { return };
            let before = group.state.clone();
            self.step_once(now, key);
            let same = self.groups.get(&key).is_none_or(|group| group.state == before);
            if same {
                break;
            }
        }
        self.apply(now, key);
    }

    fn step_once(&mut self, now: Timestamp, key: GroupKey) {
        let Some(group) = self.groups.get(&key).cloned() else { return };
        let foreign = self.foreign_claims(&group);
        let obstacle = self.obstacle(key, &group);
        match &group.state {
            State::Pending => match self.settled_at(&group) {
                Some(at) if at > now => self.schedule(key, Some(at)),
                Some(_) | None => self.enter(key, State::Standby),
            },
            State::Standby | State::Waiting { .. } | State::Probing { .. } => {
                self.step_standby(now, key, &group, &foreign, obstacle.as_ref());
            }
            State::Active { since, epoch } => {
                self.step_active(now, key, &group, &foreign, obstacle.as_ref(), (*since, *epoch));
            }
            State::Releasing { since, epoch, until, because } => {
                let own = self.own_order(key, &group, *epoch);
                let successor =
                    foreign.iter().find(|other| other.alive && other.state == ClaimState::Active && other.order > own);
                if let Some(successor) = successor {
                    self.lose(key, LossCause::HandedOver(successor.name.clone()), State::Standby);
                } else if now >= *until && *because == Release::Outranked {
                    self.enter(key, State::Active { since: *since, epoch: *epoch });
                } else if now >= *until {
                    self.lose(key, LossCause::NoSuccessor, State::Standby);
                } else {
                    self.schedule(key, Some(*until));
                }
            }
            State::Suspended { epoch } => self.step_suspended(now, key, &group, &foreign, *epoch),
            State::InUse { next_probe, silent_probes, holder } => {
                if obstacle.is_some() || foreign.iter().any(|other| other.alive) {
                    self.enter(key, State::Standby);
                } else if now < *next_probe {
                    self.schedule(key, Some(*next_probe));
                } else if *silent_probes >= SILENT_PROBES {
                    self.take(now, key, TakeCause::Unclaimed);
                } else {
                    let next_probe = now + IN_USE_PROBE_EVERY;
                    let state = State::InUse { holder: *holder, next_probe, silent_probes: silent_probes + 1 };
                    self.probe(key);
                    self.enter(key, state);
                    self.schedule(key, Some(next_probe));
                }
            }
        }
    }

    fn step_standby(
        &mut self,
        now: Timestamp,
        key: GroupKey,
        group: &Group,
        foreign: &[Foreign],
        obstacle: Option<&Obstacle>,
    ) {
        if self.settled_at(group).is_some_and(|at| at > now) {
            return self.enter(key, State::Pending);
        }
        let owner = foreign.iter().find(|other| other.alive && other.state == ClaimState::Active);
        if owner.is_some() {
            self.wish(key, group, obstacle);
            self.schedule(key, None);
            return self.enter(key, State::Standby);
        }
        if obstacle.is_some() {
            self.withdraw_claim(key);
            self.schedule(key, None);
            return self.enter(key, State::Standby);
        }
        if let Some(releasing) = foreign.iter().find(|other| other.alive) {
            let without = BTreeSet::from([releasing.name.clone()]);
            let until = now + self.period() * self.rank(key, group, &without);
            return self.wait(now, key, group, until, TakeCause::OwnerReleased(releasing.name.clone()));
        }
        if let Some(dead) = foreign.first() {
            return self.succeed_dead(now, key, group, dead);
        }
        if let Some(name) = group.void_owner.clone() {
            let without = BTreeSet::from([name.clone()]);
            // Members learn of the new boot id up to a period apart, so ranks stand two periods apart.
            let until = now + self.period() * 2 * self.rank(key, group, &without);
            return self.wait(now, key, group, until, TakeCause::OwnerRestarted(name));
        }
        if self.better_intends(key, group) {
            let until = now + self.timeout() * 2;
            self.enter(key, State::Waiting { until, cause: TakeCause::Unclaimed });
            return self.schedule(key, Some(until));
        }
        if let State::Probing { next_probe, probes_left } = group.state {
            return self.go_on_probing(now, key, next_probe, probes_left);
        }
        let until = now + self.period() * self.rank(key, group, &BTreeSet::new());
        self.wait(now, key, group, until, TakeCause::Unclaimed);
    }

    /// The owner was silent for the timeout: claims after the better ranked had their turn ([OWN-32], [OWN-33]).
    fn succeed_dead(&mut self, now: Timestamp, key: GroupKey, group: &Group, dead: &Foreign) {
        let without = BTreeSet::from([dead.name.clone()]);
        let silent_at = dead.evidence + self.timeout();
        let mut until = silent_at + self.period() * self.rank(key, group, &without);
        let more = self
            .members
            .values()
            .filter(|member| member.boot_id != dead.boot_id && !member.superseded)
            .filter_map(|member| member.more_until)
            .max();
        if let Some(more) = more
            && more > now
            && until > silent_at
        {
            until = until.max(more);
        }
        let heard_since = self.members.get(&dead.boot_id).is_some_and(|member| {
            let mut last_foreign = self.links.iter().filter_map(|(index, link)| {
                let heard = member.hearings.get(index).map(|hearing| hearing.last_heard);
                // Since the probes half-way: who went deaf between two heartbeats heard others after the owner too.
                link.last_foreign.map(|foreign| heard.is_none_or(|heard| foreign >= heard + self.timeout() / 2))
            });
            last_foreign.any(|since| since)
        });
        if !heard_since {
            until = dead.evidence + self.timeout() * 3;
        }
        self.wait(now, key, group, until, TakeCause::OwnerSilent(dead.name.clone()));
    }

    /// Waits until then, or goes on with the wait that runs; then probes or claims.
    fn wait(&mut self, now: Timestamp, key: GroupKey, group: &Group, until: Timestamp, cause: TakeCause) {
        let until = match &group.state {
            // A deadline computed from a silence stays exact; one counted from now must not be pushed on.
            State::Waiting { until: running, cause: same }
                if *same == cause && !matches!(cause, TakeCause::OwnerSilent(_)) =>
            {
                *running
            }
            State::Waiting { .. }
            | State::Pending
            | State::Standby
            | State::Probing { .. }
            | State::Active { .. }
            | State::Releasing { .. }
            | State::Suspended { .. }
            | State::InUse { .. } => until,
        };
        let until = if now >= until && self.holds_for_unread(now, key) {
            // Somebody's claim may be among what is still on its way.
            now + self.period()
        } else {
            until
        };
        if now < until {
            self.enter(key, State::Waiting { until, cause });
            return self.schedule(key, Some(until));
        }
        if cause == TakeCause::Unclaimed {
            self.enter(key, State::Probing { next_probe: now, probes_left: FIRST_CLAIM_PROBES });
        } else {
            self.take(now, key, cause);
        }
    }

    /// Whether claims of others are still on their way; waited for at most two timeouts.
    fn holds_for_unread(&mut self, now: Timestamp, key: GroupKey) -> bool {
        if !self.others_are_unread() {
            return false;
        }
        let limit = now + self.timeout() * 2;
        self.groups.get_mut(&key).is_some_and(|group| now < *group.hold_limit.get_or_insert(limit))
    }

    fn go_on_probing(&mut self, now: Timestamp, key: GroupKey, next_probe: Timestamp, probes_left: u8) {
        if now < next_probe {
            self.schedule(key, Some(next_probe));
        } else if probes_left == 0 && self.holds_for_unread(now, key) {
            self.schedule(key, Some(now + self.period()));
        } else if probes_left == 0 {
            self.take(now, key, TakeCause::Unclaimed);
        } else {
            self.probe(key);
            let next_probe = now + PROBE_SPACING;
            self.enter(key, State::Probing { next_probe, probes_left: probes_left - 1 });
            self.schedule(key, Some(next_probe));
        }
    }

    fn step_active(
        &mut self,
        now: Timestamp,
        key: GroupKey,
        group: &Group,
        foreign: &[Foreign],
        obstacle: Option<&Obstacle>,
        (since, epoch): (Timestamp, u64),
    ) {
        let own = self.own_order(key, group, epoch);
        let rival = foreign.iter().find(|other| other.alive && other.state == ClaimState::Active);
        if let Some(rival) = rival
            && rival.order > own
            && rival.hears_us
        {
            return self.lose(key, LossCause::Outranked(rival.name.clone()), State::Standby);
        }
        match obstacle {
            Some(Obstacle::Withheld(Withheld::NoLink)) => {
                if self.links.is_empty() {
                    return self.enter(key, State::Suspended { epoch });
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
        if self.is_outranked(now, key, group, since) {
            let state = State::Releasing { since, epoch, until: now + RELEASE_LIMIT, because: Release::Outranked };
            return self.enter(key, state);
        }
        self.defend(now, key, group, foreign, rival.is_some(), epoch);
    }

    /// Keeps the claim known: says it again to a lower rival, raises an epoch of 0, follows a releasing higher claim.
    fn defend(&mut self, now: Timestamp, key: GroupKey, group: &Group, foreign: &[Foreign], rival: bool, epoch: u64) {
        let period = self.period();
        let mutual = self.mutual_members() > 0;
        let higher = foreign.iter().filter(|other| other.alive).map(|other| other.epoch).max().unwrap_or_default();
        let raise = (epoch == 0 && mutual && !rival) || (higher > epoch && !rival);
        let mut next = None;
        let Some(record) = self.groups.get_mut(&key) else { return };
        if raise {
            record.known_epoch = record.known_epoch.max(higher);
            let epoch = record.known_epoch.saturating_add(1);
            record.known_epoch = epoch;
            if let State::Active { epoch: claimed, .. } = &mut record.state {
                *claimed = epoch;
            }
        }
        if rival {
            let due = group.contested_at.is_none_or(|at| now.since(at) >= period);
            if due {
                record.contested_at = Some(now);
                self.claim_again(key);
            }
            next = Some(now + period);
        } else if record.contested_at.take().is_some() {
            record.announce_again = true;
        }
        let watch = self.watch(now, key);
        self.schedule(key, Some(next.map_or(watch, |next| watch.min(next))));
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

    fn step_suspended(&mut self, now: Timestamp, key: GroupKey, group: &Group, foreign: &[Foreign], epoch: u64) {
        match self.settled_at(group) {
            None if self.links.is_empty() => return self.schedule(key, None),
            None => return self.lose(key, LossCause::NoLink, State::Standby),
            Some(at) if at > now => return self.schedule(key, Some(at)),
            Some(_) => {}
        }
        let own = self.own_order(key, group, epoch);
        if foreign.iter().any(|other| other.alive && other.order > own) {
            return self.lose(key, LossCause::Stalled, State::Standby);
        }
        self.tell(Event::Took { group: key, epoch, cause: TakeCause::Resumed });
        self.enter(key, State::Active { since: now, epoch });
        self.claim_again(key);
    }

    /// A standby with a score, or one that policy lets return, says so in a claim of its own.
    fn wish(&mut self, key: GroupKey, group: &Group, obstacle: Option<&Obstacle>) {
        let wanted = obstacle.is_none() && (group.score() > 0 || self.config.return_policy != ReturnPolicy::Never);
        if wanted {
            self.claim(key, ClaimState::Standby, group.known_epoch);
        } else {
            self.withdraw_claim(key);
        }
    }

    fn take(&mut self, now: Timestamp, key: GroupKey, cause: TakeCause) {
        let mutual = self.mutual_members() > 0;
        let Some(group) = self.groups.get_mut(&key) else { return };
        let epoch = if mutual { group.known_epoch.saturating_add(1) } else { 0 };
        group.known_epoch = group.known_epoch.max(epoch);
        group.void_owner = None;
        group.note_move(now);
        group.next_watch = now + WATCH_EVERY;
        self.tell(Event::Took { group: key, epoch, cause });
        self.enter(key, State::Active { since: now, epoch });
        // The claim leaves before the first answer does.
        self.flush(now);
    }

    fn lose(&mut self, key: GroupKey, cause: LossCause, next: State) {
        let now = self.now;
        if let Some(group) = self.groups.get_mut(&key) {
            group.note_move(now);
        }
        self.tell(Event::Lost { group: key, cause });
        self.enter(key, next);
    }

    pub(super) fn suspend_all(&mut self) {
        let owned: Vec<(GroupKey, u64)> =
            self.groups.iter().filter_map(|(key, group)| group.answered_epoch().map(|epoch| (*key, epoch))).collect();
        for (key, epoch) in owned {
            self.enter(key, State::Suspended { epoch });
        }
        self.touched.extend(self.groups.keys().copied());
    }

    pub(super) fn stranger_sighted(&mut self, now: Timestamp, key: GroupKey, address: IpAddr, holder: MacAddr) {
        let Some(group) = self.groups.get(&key) else { return };
        let owned = group.answers();
        match &group.state {
            State::Probing { .. } | State::Active { .. } | State::Releasing { .. } => {
                self.tell(Event::Stranger { address, holder });
                let state = State::InUse { holder, next_probe: now + IN_USE_PROBE_EVERY, silent_probes: 0 };
                if owned {
                    self.lose(key, LossCause::Stranger(holder), state);
                } else {
                    self.enter(key, state);
                }
            }
            State::InUse { next_probe, .. } => {
                let state = State::InUse { holder, next_probe: *next_probe, silent_probes: 0 };
                self.enter(key, state);
            }
            State::Pending | State::Standby | State::Waiting { .. } | State::Suspended { .. } => {}
        }
        self.touched.insert(key);
    }

    fn enter(&mut self, key: GroupKey, state: State) {
        let Some(group) = self.groups.get_mut(&key) else { return };
        if group.state == state {
            return;
        }
        if !matches!(state, State::Waiting { .. } | State::Probing { .. }) {
            group.hold_limit = None;
        }
        let probed = matches!(group.state, State::Probing { .. });
        group.state = state;
        let told = match &group.state {
            State::Active { epoch, .. } | State::Suspended { epoch } => Some((ClaimState::Active, *epoch)),
            State::Releasing { epoch, .. } => Some((ClaimState::Releasing, *epoch)),
            // Whoever probes says so: of two that probe at once the better placed goes on.
            State::Probing { .. } => Some((ClaimState::Standby, group.known_epoch)),
            State::Pending | State::Standby | State::Waiting { .. } | State::InUse { .. } => None,
        };
        match told {
            Some((state, epoch)) => self.claim(key, state, epoch),
            None if probed || self.own_claims.get(key).is_some_and(Claim::answers) => self.withdraw_claim(key),
            None => {}
        }
        self.touched.insert(key);
    }

    pub(super) fn schedule(&mut self, key: GroupKey, at: Option<Timestamp>) {
        let Some(group) = self.groups.get_mut(&key) else { return };
        if group.deadline == at && at.is_none_or(|at| self.timers.contains(&(at, key))) {
            return;
        }
        if let Some(before) = group.deadline.take() {
            self.timers.remove(&(before, key));
        }
        group.deadline = at;
        if let Some(at) = at {
            self.timers.insert((at, key));
        }
    }
}
