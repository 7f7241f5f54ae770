//! What a host should log, count and show of ownership ([OWN-4]).

use core::fmt;
use std::net::IpAddr;

use crate::announce::GroupKey;
use crate::link::{LinkIndex, MacAddr};
use crate::service::NodeName;

/// Why this node took over a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TakeCause {
    /// Nobody claimed it.
    Unclaimed,
    /// Its owner was silent for the timeout.
    OwnerSilent(NodeName),
    /// Its owner runs but hears nobody, so that no request reaches it.
    OwnerDeaf(NodeName),
    /// A stranger that held an address of it answers no more.
    StrangerGone(MacAddr),
    /// Its owner came back under a new boot id.
    OwnerRestarted(NodeName),
    /// Its owner released it (shutdown, no longer eligible, a planned move).
    OwnerReleased(NodeName),
    /// This node was stopped or cut off for a while, and nobody took over meanwhile.
    Resumed,
}

/// Why this node gave up a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LossCause {
    /// A successor claimed after this node released.
    HandedOver(NodeName),
    /// Another node's claim is higher.
    Outranked(NodeName),
    /// Nobody took it within the time for a hand-over.
    NoSuccessor,
    /// Nothing asks for it here any more.
    NotWanted,
    /// No link to answer on.
    NoLink,
    /// This process was not run for too long, its authority ran out.
    Stalled,
    /// A stranger answers for the address.
    Stranger(MacAddr),
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// This node now answers for the group.
    Took {
        /// The group.
        group: GroupKey,
        /// The epoch of its claim.
        epoch: u64,
        /// Why.
        cause: TakeCause,
    },
    /// This node answers for it no more.
    Lost {
        /// The group.
        group: GroupKey,
        /// Why.
        cause: LossCause,
    },
    /// A member is heard.
    MemberUp {
        /// Who.
        name: NodeName,
        /// Where its frames come from.
        mac: MacAddr,
    },
    /// A member is heard no more.
    MemberDown {
        /// Who.
        name: NodeName,
    },
    /// Another host uses this node's name ([OWN-10]).
    DuplicateName {
        /// The name.
        name: NodeName,
        /// Its hardware address.
        theirs: MacAddr,
        /// Ours on that link.
        ours: MacAddr,
    },
    /// Frames came in that do not verify ([OWN-16]); told at most every ten seconds.
    Unverified {
        /// Where from.
        mac: MacAddr,
        /// On which link.
        link: LinkIndex,
        /// How many since the start.
        count: u64,
    },
    /// A stranger answers for an address that this node wants ([OWN-40], [OWN-41]).
    Stranger {
        /// The address.
        address: IpAddr,
        /// Its hardware address.
        holder: MacAddr,
    },
}

impl fmt::Display for TakeCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unclaimed => f.write_str("nobody claimed it"),
            Self::OwnerSilent(name) => write!(f, "its owner {name} fell silent"),
            Self::OwnerDeaf(name) => write!(f, "its owner {name} hears nobody"),
            Self::StrangerGone(mac) => write!(f, "{mac}, which is no member, does not answer for it any more"),
            Self::OwnerRestarted(name) => write!(f, "its owner {name} started anew"),
            Self::OwnerReleased(name) => write!(f, "its owner {name} released it"),
            Self::Resumed => f.write_str("this node came back and nobody had taken it"),
        }
    }
}

impl fmt::Display for LossCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HandedOver(name) => write!(f, "handed over to {name}"),
            Self::Outranked(name) => write!(f, "the claim of {name} is higher"),
            Self::NoSuccessor => f.write_str("released, and nobody took it in time"),
            Self::NotWanted => f.write_str("nothing asks for it here any more"),
            Self::NoLink => f.write_str("no link to answer on"),
            Self::Stalled => f.write_str("this process was stopped or starved too long"),
            Self::Stranger(mac) => write!(f, "{mac}, which is no member, answers for it"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Took { group, epoch, cause } => write!(f, "took {group} (epoch {epoch}): {cause}"),
            Self::Lost { group, cause } => write!(f, "gave up {group}: {cause}"),
            Self::MemberUp { name, mac } => write!(f, "member {name} is heard from {mac}"),
            Self::MemberDown { name } => write!(f, "member {name} is heard no more"),
            Self::DuplicateName { name, theirs, ours } => {
                write!(
                    f,
                    "another host uses the node name {name}: {theirs} (ours is {ours}); give each node a name of its own"
                )
            }
            Self::Unverified { mac, link, count } => {
                write!(
                    f,
                    "member frames from {mac} on link {link} do not verify ({count} so far): do all nodes have the same member key?"
                )
            }
            Self::Stranger { address, holder } => {
                write!(
                    f,
                    "{holder}, which is no member, answers for {address}: remove the address there or take it out of the pool"
                )
            }
        }
    }
}
