//! How this node compares with others for a group: their claims, its rank, what keeps it from owning ([OWN-22], [OWN-30]).

use core::cmp::Reverse;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::announce::{GroupKey, Withheld};
use crate::election;
use crate::family::IpFamily;
use crate::link::LinkIndex;
use crate::ownership::claims::{Claim, ClaimOrder, ClaimState};
use crate::ownership::frame::MOST_ADDRESSES;
use crate::ownership::member::ClaimsAge;
use crate::ownership::{BootId, ReturnPolicy};
use crate::service::NodeName;
use crate::time::Timestamp;

use super::Ownership;
use super::group::{Group, GroupAddress, State};

/// Nobody waits for more than so many better ranked nodes: most of them may not stand for the group at all.
const MOST_RANKS: u32 = 3;
/// Moves by choice rest while more than so many moves are remembered ([OWN-34]).
const MOST_MOVES: f64 = 3.0;
/// How often it is looked whether they have rested enough.
const DAMPING_CHECK: Duration = Duration::from_secs(5);

/// A claim of another member on addresses of a group.
#[derive(Clone, Debug)]
pub(super) struct Foreign {
    pub(super) boot_id: BootId,
    pub(super) name: NodeName,
    pub(super) order: ClaimOrder,
    pub(super) state: ClaimState,
    pub(super) epoch: u64,
    /// Hearing is mutual, or a member that it is mutual with relays the claim: it can be yielded to ([OWN-33]).
    pub(super) hears_us: bool,
    /// It runs, and is not deaf: what it claims counts.
    pub(super) alive: bool,
    /// It runs and hears nobody.
    pub(super) is_deaf: bool,
    /// The last sign that it could answer.
    pub(super) evidence: Timestamp,
    /// The group that it claims, which may be another one with an address of ours.
    pub(super) group: GroupKey,
    pub(super) addresses: Arc<[IpAddr]>,
}

/// Why this node may not own a group now.
pub(super) enum Obstacle {
    /// It shall not, says the host.
    NotEligible,
    Withheld(Withheld),
}

impl Foreign {
    /// Whether it answers for an address; a list cut at its longest is taken to go on.
    pub(super) fn covers(&self, address: IpAddr) -> bool {
        covers(&self.addresses, address)
    }

    /// Whether an address is this one's by being of a group that it claims, although it cannot answer for the whole family: the group
    /// does not split over two nodes ([OWN-20]).
    pub(super) fn withholds(&self, group: GroupKey, address: IpAddr) -> bool {
        let family = IpFamily::of(address);
        self.group == group && self.addresses.iter().all(|own| IpFamily::of(*own) != family)
    }
}

/// Whether a claim's list has an address; a list cut at its longest is taken to go on.
fn covers(addresses: &[IpAddr], address: IpAddr) -> bool {
    addresses.len() >= MOST_ADDRESSES || addresses.contains(&address)
}

impl Ownership {
    pub(super) fn foreign_claims(&self, group: &Group) -> Vec<Foreign> {
        let mut seen: BTreeSet<(BootId, GroupKey)> = BTreeSet::new();
        for address in group.addresses.keys() {
            seen.extend(self.claimed.get(address).into_iter().flatten().copied());
        }
        let timeout = self.timeout();
        let mut found: Vec<Foreign> = seen
            .into_iter()
            .filter_map(|(boot_id, key)| {
                let member = self.members.get(&boot_id)?;
                let claim = member.claim(key)?;
                let is_deaf = self.is_deaf(member, claim.epoch);
                let evidence = member.deaf_since.filter(|_| is_deaf).or_else(|| member.evidence())?;
                let direct = member.is_present(self.now, timeout);
                let is_outdated = direct && member.claims_age == ClaimsAge::Outdated;
                Some(Foreign {
                    boot_id,
                    name: member.name.clone(),
                    order: claim.order(&member.name, boot_id),
                    state: claim.state,
                    epoch: claim.epoch,
                    hears_us: member.is_mutual(self.now, timeout) || !direct || self.relays(boot_id),
                    alive: !is_deaf && !is_outdated && self.now.since(evidence) < timeout,
                    is_deaf,
                    evidence,
                    group: key,
                    addresses: Arc::clone(&claim.addresses),
                })
            })
            .collect();
        found.sort_by(|left, right| right.order.cmp(&left.order));
        found
    }

    /// Whether a member that we hear mutually hears this one mutually: the third through which two settle ([OWN-15]).
    pub(super) fn relays(&self, boot_id: BootId) -> bool {
        let timeout = self.timeout();
        let Some(member) = self.members.get(&boot_id) else { return false };
        self.members.values().any(|third| {
            third.boot_id != boot_id
                && third.is_mutual(self.now, timeout)
                && third.lists_fresh(boot_id, self.now, timeout)
                && member.lists_fresh(third.boot_id, self.now, timeout)
        })
    }

    pub(super) fn obstacle(&self, key: GroupKey, group: &Group) -> Option<Obstacle> {
        if self.settled_at(group).is_none() {
            return Some(Obstacle::Withheld(Withheld::NoLink));
        }
        if let Some((_, holder)) = self.duplicate_until
            && !group.answers()
        {
            return Some(Obstacle::Withheld(Withheld::DuplicateNodeName { holder }));
        }
        if self.leaving || self.handing_over.contains_key(&key) || !group.is_eligible() {
            return Some(Obstacle::NotEligible);
        }
        self.is_partly_deaf(group).then_some(Obstacle::Withheld(Withheld::PartlyDeaf))
    }

    /// Members are heard in some of the group's ways (its links, and on each the families of its addresses) but not in another in
    /// which they were heard before, and another member hears them in as many ways as this node once did ([OWN-23]).
    pub(super) fn is_partly_deaf(&self, group: &Group) -> bool {
        let ways: BTreeSet<(LinkIndex, IpFamily)> = group
            .addresses
            .iter()
            .flat_map(|(address, entry)| {
                self.links_of(entry).iter().map(|link| (*link, IpFamily::of(*address))).collect::<Vec<_>>()
            })
            .collect();
        let view = &self.hearing_view;
        let was_heard = |(index, family): &&(LinkIndex, IpFamily)| {
            self.links.get(index).is_some_and(|link| link.heard_by.contains(family))
        };
        let once = ways.iter().filter(was_heard).count();
        let now = ways.intersection(&view.heard).count();
        now > 0 && now < once && usize::from(view.most_of_others) >= once
    }

    /// How many live members stand before this node in the election order of a group ([OWN-32]).
    pub(super) fn rank(&self, key: GroupKey, group: &Group, without: &BTreeSet<NodeName>) -> u32 {
        let election_key = group.election_key(key);
        let order = |name: &NodeName, score: u32| (Reverse(score), election::digest(name, election_key), name.clone());
        let own = order(self.own_name(), group.score());
        let names: BTreeMap<NodeName, u32> = self
            .members
            .values()
            .filter(|member| !member.superseded && self.is_alive(member) && !without.contains(&member.name))
            .map(|member| (member.name.clone(), member.claim(key).map_or(0, |claim| claim.score)))
            .collect();
        let better = names.iter().filter(|(name, score)| order(name, **score) < own).count();
        let better = u32::try_from(better).unwrap_or(u32::MAX).min(MOST_RANKS);
        // Whoever can answer for the whole group goes first ([OWN-22]).
        if self.is_partial(group) && !names.is_empty() { better + MOST_RANKS + 1 } else { better }
    }

    /// The addresses of a group that this node could answer for: those with a link.
    fn answerable(&self, group: &Group) -> Vec<IpAddr> {
        let with_link = |(address, entry): (&IpAddr, &GroupAddress)| self.has_link(entry).then_some(*address);
        group.addresses.iter().filter_map(with_link).collect()
    }

    fn has_link(&self, entry: &GroupAddress) -> bool {
        self.links.values().any(|link| link.carriers.contains(&entry.carrier) && entry.stand.links.selects(&link.name))
    }

    /// Whether some addresses of the group can be answered for here and others cannot ([OWN-22], [L2-67]).
    pub(super) fn is_partial(&self, group: &Group) -> bool {
        let mut with_link = group.addresses.values().map(|entry| self.has_link(entry));
        let first = with_link.next();
        with_link.any(|has| Some(has) != first)
    }

    /// Whether a claim lists addresses that this node would answer for and its maker does not.
    pub(super) fn lacks_ours(&self, group: &Group, claim: &[IpAddr]) -> bool {
        self.answerable(group).iter().any(|address| !covers(claim, *address))
    }

    /// Whether a claim of a standby lists all that this node answers for, and more.
    fn has_more(&self, group: &Group, claim: &[IpAddr]) -> bool {
        let own = self.answerable(group);
        claim.len() > own.len() && own.iter().all(|address| claim.contains(address))
    }

    /// Whether a live member has told of claims that have not arrived yet.
    pub(super) fn others_are_unread(&self) -> bool {
        let timeout = self.timeout();
        self.members.values().any(|member| {
            member.is_mutual(self.now, timeout) && self.is_alive(member) && member.has_more_to_tell(self.now)
        })
    }

    /// Whether a better placed member says that it is about to claim.
    pub(super) fn better_intends(&self, key: GroupKey, group: &Group) -> bool {
        let election_key = group.election_key(key);
        let own = (self.is_partial(group), Reverse(group.score()), election::digest(self.own_name(), election_key));
        self.members.values().any(|member| {
            member.is_mutual(self.now, self.timeout())
                && member.claim(key).is_some_and(|claim| {
                    let theirs = (
                        self.lacks_ours(group, &claim.addresses),
                        Reverse(claim.score),
                        election::digest(&member.name, election_key),
                    );
                    claim.state == ClaimState::Standby && theirs < own
                })
        })
    }

    /// Whether another stands ready that policy prefers ([OWN-34]).
    pub(super) fn is_outranked(&self, now: Timestamp, key: GroupKey, group: &Group, since: Timestamp) -> bool {
        if group.penalty(now) > MOST_MOVES {
            return false;
        }
        let election_key = group.election_key(key);
        let own = (Reverse(group.score()), election::digest(self.own_name(), election_key));
        self.members.values().any(|member| {
            let Some(claim) = member.claim(key).filter(|claim| claim.state == ClaimState::Standby) else {
                return false;
            };
            if !member.is_mutual(now, self.timeout()) {
                return false;
            }
            if self.lacks_ours(group, &claim.addresses) {
                return false;
            }
            if self.has_more(group, &claim.addresses) && self.has_lacked(now, group) {
                return true;
            }
            let returns = match self.config.return_policy {
                ReturnPolicy::Never => false,
                ReturnPolicy::After(wait) => now.since(since) >= wait,
                ReturnPolicy::AtOnce => true,
            };
            claim.score > group.score()
                || (returns && (Reverse(claim.score), election::digest(&member.name, election_key)) < own)
        })
    }

    /// Whether a standby of a group that this node owns could answer for more of it.
    pub(super) fn is_outgrown(&self, now: Timestamp, key: GroupKey, group: &Group) -> bool {
        self.members.values().any(|member| {
            member.is_mutual(now, self.timeout())
                && member
                    .claim(key)
                    .is_some_and(|claim| claim.state == ClaimState::Standby && self.has_more(group, &claim.addresses))
        })
    }

    /// Whether an owner has lacked addresses of a group for so long that it is no mere delay in hearing of them.
    pub(super) fn has_lacked(&self, now: Timestamp, group: &Group) -> bool {
        group.lacking_since.is_some_and(|since| now.since(since) >= self.lacking_patience())
    }

    /// Nodes learn of a new address at different moments; what lasts longer is a node that cannot answer for it.
    pub(super) fn lacking_patience(&self) -> Duration {
        self.timeout() * 3
    }

    /// When another that stands ready may have it, where time alone keeps it from that ([OWN-34]).
    pub(super) fn next_return(&self, now: Timestamp, key: GroupKey, group: &Group) -> Option<Timestamp> {
        let State::Active { since, .. } = group.state else { return None };
        let wishing = self.members.values().any(|member| {
            member.is_mutual(now, self.timeout())
                && member.claim(key).is_some_and(|claim| claim.state == ClaimState::Standby)
        });
        if !wishing {
            return None;
        }
        let damped = (group.penalty(now) > MOST_MOVES).then(|| now + DAMPING_CHECK);
        let due = match self.config.return_policy {
            ReturnPolicy::After(wait) => Some(since + wait).filter(|at| *at > now),
            ReturnPolicy::Never | ReturnPolicy::AtOnce => None,
        };
        damped.into_iter().chain(due).min()
    }

    pub(super) fn own_order(&self, key: GroupKey, group: &Group, epoch: u64) -> ClaimOrder {
        self.compose_claim(key, group, ClaimState::Active, epoch).order(self.own_name(), self.config.boot_id)
    }

    pub(super) fn compose_claim(&self, key: GroupKey, group: &Group, state: ClaimState, epoch: u64) -> Claim {
        let indexes: BTreeSet<LinkIndex> =
            group.addresses.values().flat_map(|entry| self.links_of(entry).to_vec()).collect();
        let names: BTreeSet<Arc<str>> =
            indexes.iter().filter_map(|index| self.links.get(index)).map(|link| Arc::clone(&link.name)).collect();
        // Others see by it what this node cannot answer for; without any link it is the whole.
        let addresses: Arc<[IpAddr]> = if self.is_partial(group) {
            self.answerable(group).into()
        } else {
            group.addresses.keys().copied().collect()
        };
        Claim {
            group: key,
            state,
            epoch,
            score: group.score(),
            election_key: group.election_key(key),
            addresses,
            links: names.into_iter().collect(),
        }
    }

    pub(super) fn claim(&mut self, key: GroupKey, state: ClaimState, epoch: u64) {
        let Some(group) = self.groups.get(&key) else { return };
        let claim = self.compose_claim(key, group, state, epoch);
        self.put_claim(claim);
    }
}
