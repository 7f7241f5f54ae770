//! One group of addresses as this node stands for it.

use core::time::Duration;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::announce::{AnnouncementState, GroupKey, LinkReach, Standing, Withheld};
use crate::link::{LinkIndex, LinkSelection, MacAddr};
use crate::ownership::CarrierId;
use crate::ownership::event::TakeCause;
use crate::service::NodeName;
use crate::time::Timestamp;

/// Probes before the first claim of an address, and their spacing: the claim follows one spacing after the last ([OWN-31]).
pub(super) const FIRST_CLAIM_PROBES: u8 = 3;
pub(super) const PROBE_SPACING: Duration = Duration::from_millis(200);

/// What the desired set says of one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stand {
    pub(super) group: GroupKey,
    pub(super) election_key: IpAddr,
    pub(super) score: u32,
    pub(super) links: LinkSelection,
    pub(super) standing: Standing,
}

impl Stand {
    pub(super) fn new(reach: &LinkReach) -> Self {
        Self {
            group: reach.group,
            election_key: reach.election_key,
            score: reach.score,
            links: reach.links.clone(),
            standing: reach.standing,
        }
    }
}

/// What the shell was last told to do for an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    /// Nothing.
    None,
    /// Watch it on these links.
    Prepared(Arc<[LinkIndex]>),
    /// Answer for it on these links.
    Active(Arc<[LinkIndex]>),
}

/// An address that came to a group which this node owns already: asked for on the segment before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Joining {
    pub(super) next_probe: Timestamp,
    pub(super) probes_left: u8,
    /// Another member was heard to answer for it: once it does not any more, the address has been handed over.
    pub(super) was_claimed: bool,
}

impl Joining {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self { next_probe: now, probes_left: FIRST_CLAIM_PROBES, was_claimed: false }
    }
}

/// One address of a group.
#[derive(Clone, Debug)]
pub(super) struct GroupAddress {
    pub(super) carrier: CarrierId,
    pub(super) stand: Stand,
    pub(super) applied: Applied,
    pub(super) told: Option<AnnouncementState>,
    pub(super) joining: Option<Joining>,
}

/// Where a group stands on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Listening ([OWN-31]).
    Pending,
    /// Another owns it, or nobody can here.
    Standby,
    /// It may be claimed once the better ranked have had their turn ([OWN-32]).
    Waiting { until: Timestamp, cause: TakeCause },
    /// The segment is asked whether somebody holds the addresses ([OWN-31]).
    Probing { next_probe: Timestamp, probes_left: u8 },
    /// This node answers.
    Active { since: Timestamp, epoch: u64 },
    /// This node answers until a successor has claimed, at the longest until then.
    Releasing { since: Timestamp, epoch: u64, until: Timestamp, because: Release },
    /// This node owned it when its authority ran out or its links went; it does not answer ([OWN-50]). `lost_at` is when it was last
    /// heard, until it is judged whether others noticed; `held` is whether it still claims the group, as one does whom nobody missed.
    Suspended { epoch: u64, lost_at: Option<Timestamp>, held: bool },
    /// A stranger answers for an address of it ([OWN-40]).
    InUse { holder: MacAddr, next_probe: Timestamp, silent_probes: u8 },
}

/// Why a group is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Release {
    /// This node may own it no more: it stops when the time is over.
    Leaving,
    /// Another stands higher: if it does not claim, this node goes on.
    Outranked,
}

/// A group of addresses.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) addresses: BTreeMap<IpAddr, GroupAddress>,
    pub(super) state: State,
    /// The highest epoch seen for it.
    pub(super) known_epoch: u64,
    /// Its owner came back under a new boot id, which voids the claim: taken over without asking the segment.
    pub(super) void_owner: Option<NodeName>,
    /// A stranger held an address of it and has been silent for three probes: taken over in the order of ranks ([OWN-40]).
    pub(super) freed_by: Option<MacAddr>,
    /// When its claim of epoch 0 may rise.
    pub(super) raise_at: Option<Timestamp>,
    /// Deadline entered in the timers.
    pub(super) deadline: Option<Timestamp>,
    /// Hardware addresses changed, or a conflict was settled: send a burst at the next step.
    pub(super) announce_again: bool,
    /// A claim below ours was heard; said again at most once a period.
    pub(super) contested_at: Option<Timestamp>,
    /// Until when a claim waits for claims of others that are still on their way.
    pub(super) hold_limit: Option<Timestamp>,
    /// Since when an owner answers for fewer of its addresses than another could ([OWN-22]).
    pub(super) lacking_since: Option<Timestamp>,
    /// Next probe for strangers while owning ([OWN-41]).
    pub(super) next_watch: Timestamp,
    /// Grows by one with each change of owner and halves each minute ([OWN-34]).
    pub(super) penalty: f64,
    pub(super) penalty_at: Timestamp,
}

impl Group {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self {
            addresses: BTreeMap::new(),
            state: State::Pending,
            known_epoch: 0,
            void_owner: None,
            freed_by: None,
            raise_at: None,
            deadline: None,
            announce_again: false,
            contested_at: None,
            hold_limit: None,
            lacking_since: None,
            next_watch: now,
            penalty: 0.0,
            penalty_at: now,
        }
    }

    /// Whether this node answers for it.
    pub(super) const fn answers(&self) -> bool {
        matches!(self.state, State::Active { .. } | State::Releasing { .. })
    }

    /// The epoch of the claim it answers under.
    pub(super) const fn answered_epoch(&self) -> Option<u64> {
        match self.state {
            State::Active { epoch, .. } | State::Releasing { epoch, .. } => Some(epoch),
            State::Pending
            | State::Standby
            | State::Waiting { .. }
            | State::Probing { .. }
            | State::Suspended { .. }
            | State::InUse { .. } => None,
        }
    }

    /// The preference of this node: the highest over its addresses.
    pub(super) fn score(&self) -> u32 {
        self.addresses.values().map(|address| address.stand.score).max().unwrap_or_default()
    }

    /// The address that the election hashes; the addresses of a group agree unless a change is half-way through.
    pub(super) fn election_key(&self, group: GroupKey) -> IpAddr {
        self.addresses.values().next().map_or(group.0, |address| address.stand.election_key)
    }

    /// Eligible for every address ([OWN-22]).
    pub(super) fn is_eligible(&self) -> bool {
        self.addresses.values().all(|address| address.stand.standing == Standing::Eligible)
    }

    /// The penalty at this time: it halves each minute.
    pub(super) fn penalty(&self, now: Timestamp) -> f64 {
        self.penalty * (-now.since(self.penalty_at).as_secs_f64() / 60.0).exp2()
    }

    pub(super) fn note_move(&mut self, now: Timestamp) {
        self.penalty = self.penalty(now) + 1.0;
        self.penalty_at = now;
    }

    /// What is true of its addresses, as far as the group's state tells.
    pub(super) fn told_state(&self, owner: Option<NodeName>, obstacle: Option<Withheld>) -> AnnouncementState {
        match &self.state {
            State::Pending => AnnouncementState::Pending,
            State::Standby => match (owner, obstacle) {
                (Some(owner), _) => AnnouncementState::Standby { owner: Some(owner) },
                (None, Some(reason)) => AnnouncementState::Withheld(reason),
                (None, None) => AnnouncementState::Standby { owner: None },
            },
            State::Waiting { .. } => AnnouncementState::Standby { owner },
            State::Probing { .. } => AnnouncementState::Probing,
            State::Active { since, epoch } | State::Releasing { since, epoch, .. } => {
                AnnouncementState::Active { since: *since, links: Arc::from([]), epoch: *epoch }
            }
            State::Suspended { .. } => match obstacle {
                Some(reason) => AnnouncementState::Withheld(reason),
                None => AnnouncementState::Pending,
            },
            State::InUse { holder, .. } => AnnouncementState::Withheld(Withheld::AddressInUse { holder: *holder }),
        }
    }
}
