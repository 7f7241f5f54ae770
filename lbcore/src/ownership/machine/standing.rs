//! What this node does about each group: listen, wait, probe, claim, answer, release, yield ([OWN-20] to [OWN-41]).

use core::time::Duration;
use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::announce::GroupKey;
use crate::link::MacAddr;
use crate::ownership::claims::{Claim, ClaimState};
use crate::ownership::event::{LossCause, TakeCause};
use crate::ownership::{Event, ReturnPolicy};
use crate::time::Timestamp;

use super::Ownership;
use super::candidacy::{Foreign, Obstacle};
use super::group::{FIRST_CLAIM_PROBES, Group, PROBE_SPACING, State};

/// How often an address in use is asked for, and how many silent probes free it ([OWN-40]).
const IN_USE_PROBE_EVERY: Duration = Duration::from_secs(1);
const SILENT_PROBES: u8 = 3;
/// An owned address is probed at this interval, more seldom where that would exceed ten probes a second ([OWN-41]).
pub(super) const WATCH_EVERY: Duration = Duration::from_secs(30);

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
        if !self.moving.is_empty() {
            self.retry_moves(now, key);
        }
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
                let releasing = (*since, *epoch, *until, *because);
                self.step_releasing(now, key, &group, &foreign, obstacle.as_ref(), releasing);
            }
            State::Suspended { epoch, lost_at, held } => {
                self.step_suspended(now, key, &group, &foreign, (*epoch, *lost_at, *held));
            }
            State::InUse { next_probe, silent_probes, holder } => {
                if obstacle.is_some() || foreign.iter().any(|other| other.alive) {
                    self.enter(key, State::Standby);
                } else if now < *next_probe {
                    self.schedule(key, Some(*next_probe));
                } else if *silent_probes >= SILENT_PROBES {
                    // Everybody who asked sees the silence at the same time: the better placed go first.
                    if let Some(group) = self.groups.get_mut(&key) {
                        group.freed_by = Some(*holder);
                    }
                    self.enter(key, State::Standby);
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
        if let Some(owner) = owner {
            let lacks = obstacle.is_none() && self.lacks_ours(group, &owner.addresses);
            let group = &self.note_lacking(now, key, group, lacks);
            self.wish(now, key, group, obstacle);
            // One that says it is deaf may have to be replaced later, without a further event, and so may one that lacks an address.
            let deaf = self.members.get(&owner.boot_id).is_some_and(|member| member.deaf_since.is_some());
            let later = deaf.then(|| now + self.timeout());
            let lacking = group.lacking_since.filter(|_| !self.has_lacked(now, group));
            let lacking = lacking.map(|since| since + self.lacking_patience());
            self.schedule(key, later.into_iter().chain(lacking).min());
            self.forget_freed(key);
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
        if let Some(holder) = group.freed_by {
            let until = now + self.period() * 2 * self.rank(key, group, &BTreeSet::new());
            return self.wait(now, key, group, until, TakeCause::StrangerGone(holder));
        }
        if let Some(name) = group.void_owner.clone() {
            let without = BTreeSet::from([name.clone()]);
            // Members learn of the new boot id up to a period apart, so ranks stand two periods apart.
            let until = now + self.period() * 2 * self.rank(key, group, &without);
            return self.wait(now, key, group, until, TakeCause::OwnerRestarted(name));
        }
        if self.better_intends(key, group)
            && let Some(until) = self.patience(now, key)
        {
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
        if dead.is_deaf {
            // Its frames arrive: it is not this node that hears nothing.
            return self.wait(now, key, group, until, TakeCause::OwnerDeaf(dead.name.clone()));
        }
        if !self.heard_others_since(dead) {
            until = dead.evidence + self.timeout() * 3;
        }
        self.wait(now, key, group, until, TakeCause::OwnerSilent(dead.name.clone()));
    }

    /// Whether a frame of another host came in since the owner's last one, on a link where the owner was heard ([OWN-33]). Where it
    /// was heard through others alone, those are the other hosts.
    fn heard_others_since(&self, dead: &Foreign) -> bool {
        let Some(member) = self.members.get(&dead.boot_id) else { return false };
        self.links.iter().any(|(index, link)| {
            let last_heard = member.hearings.get(index).map(|hearing| hearing.last_heard);
            let since = if member.hearings.is_empty() { Some(dead.evidence) } else { last_heard };
            // Since the probes half-way: who went deaf between two heartbeats heard others after the owner, too.
            since.is_some_and(|since| link.last_foreign >= Some(since + self.timeout() / 2))
        })
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
            now + self.period() / 4
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
    pub(super) fn holds_for_unread(&mut self, now: Timestamp, key: GroupKey) -> bool {
        self.others_are_unread() && self.patience(now, key).is_some()
    }

    /// Until when this group may wait for others: two timeouts from when it was first asked, then never again before the group has
    /// come to rest.
    fn patience(&mut self, now: Timestamp, key: GroupKey) -> Option<Timestamp> {
        let limit = now + self.timeout() * 2;
        let group = self.groups.get_mut(&key)?;
        Some(*group.hold_limit.get_or_insert(limit)).filter(|limit| now < *limit)
    }

    fn forget_freed(&mut self, key: GroupKey) {
        if let Some(group) = self.groups.get_mut(&key) {
            group.freed_by = None;
        }
    }

    fn go_on_probing(&mut self, now: Timestamp, key: GroupKey, next_probe: Timestamp, probes_left: u8) {
        if now < next_probe {
            self.schedule(key, Some(next_probe));
        } else if probes_left == 0 && self.holds_for_unread(now, key) {
            self.schedule(key, Some(now + self.period() / 4));
        } else if probes_left == 0 {
            self.take(now, key, TakeCause::Unclaimed);
        } else {
            self.probe(key);
            let next_probe = now + PROBE_SPACING;
            self.enter(key, State::Probing { next_probe, probes_left: probes_left - 1 });
            self.schedule(key, Some(next_probe));
        }
    }

    /// A standby with a score, or one that policy lets return, or that could answer for what the owner lacks, says so in a claim of its
    /// own.
    fn wish(&mut self, now: Timestamp, key: GroupKey, group: &Group, obstacle: Option<&Obstacle>) {
        let by_policy = group.score() > 0 || self.config.return_policy != ReturnPolicy::Never;
        let wanted = obstacle.is_none() && (by_policy || self.has_lacked(now, group));
        if wanted {
            self.claim(key, ClaimState::Standby, group.known_epoch);
        } else {
            self.withdraw_claim(key);
        }
    }

    /// Notes since when the owner lacks addresses; the group as it is then.
    pub(super) fn note_lacking(&mut self, now: Timestamp, key: GroupKey, group: &Group, lacks: bool) -> Group {
        let since = if lacks { group.lacking_since.or(Some(now)) } else { None };
        if let Some(record) = self.groups.get_mut(&key) {
            record.lacking_since = since;
        }
        Group { lacking_since: since, ..group.clone() }
    }

    pub(super) fn take(&mut self, now: Timestamp, key: GroupKey, cause: TakeCause) {
        let mutual = self.mutual_members() > 0;
        let Some(group) = self.groups.get_mut(&key) else { return };
        let epoch = if mutual { group.known_epoch.saturating_add(1) } else { 0 };
        group.known_epoch = group.known_epoch.max(epoch);
        group.void_owner = None;
        group.freed_by = None;
        group.note_move(now);
        group.next_watch = now + WATCH_EVERY;
        self.tell(Event::Took { group: key, epoch, cause });
        // Claims leave within the same call, in as few frames as they fit in; effects are fetched after it.
        self.enter(key, State::Active { since: now, epoch });
    }

    pub(super) fn lose(&mut self, key: GroupKey, cause: LossCause, next: State) {
        let now = self.now;
        if let Some(group) = self.groups.get_mut(&key) {
            group.note_move(now);
        }
        self.tell(Event::Lost { group: key, cause });
        self.enter(key, next);
    }

    /// Stops answering for everything; this node was last heard then.
    pub(super) fn suspend_all(&mut self, last_heard: Timestamp) {
        let owned: Vec<(GroupKey, u64)> =
            self.groups.iter().filter_map(|(key, group)| group.answered_epoch().map(|epoch| (*key, epoch))).collect();
        for (key, epoch) in owned {
            self.enter(key, State::Suspended { epoch, lost_at: Some(last_heard), held: true });
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

    pub(super) fn enter(&mut self, key: GroupKey, state: State) {
        let Some(group) = self.groups.get_mut(&key) else { return };
        if group.state == state {
            return;
        }
        if !matches!(state, State::Waiting { .. } | State::Probing { .. }) {
            group.hold_limit = None;
        }
        let probed = matches!(group.state, State::Probing { .. });
        group.lacking_since = None;
        group.state = state;
        let told = match &group.state {
            State::Active { epoch, .. } | State::Suspended { epoch, held: true, .. } => {
                Some((ClaimState::Active, *epoch))
            }
            State::Releasing { epoch, .. } => Some((ClaimState::Releasing, *epoch)),
            // Whoever probes says so: of two that probe at once the better placed goes on.
            State::Probing { .. } => Some((ClaimState::Standby, group.known_epoch)),
            State::Pending
            | State::Standby
            | State::Waiting { .. }
            | State::Suspended { held: false, .. }
            | State::InUse { .. } => None,
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
