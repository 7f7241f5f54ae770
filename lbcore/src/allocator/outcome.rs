//! What the allocator answers: a grant, or no address and why, in the categories that every command reports.

use core::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use thiserror::Error;

use crate::addresses::{AddressesError, RequestError, ServiceAddresses};
use crate::family::{IpFamily, ServiceFamilies};
use crate::pool::PoolRestriction;
use crate::range::AddressRange;
use crate::request::ClusterIpsProblem;
use crate::service::{PoolName, ServiceKey};
use crate::sharing::SharingConflict;

use super::holds::Hold;
use super::quotas::QuotaUsage;

/// Whether a call changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// Everything is as it was ([ALLOC-15]).
    Unchanged,
    /// Something differs: addresses, pool, ports or keys.
    Changed,
}

/// The addresses of a Service after a successful call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The pool that holds all of them ([ALLOC-35]).
    pub pool: PoolName,
    /// The addresses in order.
    pub addresses: ServiceAddresses,
    /// Against the state before the call.
    pub change: Change,
}

/// The pools that were tried: all of them counted, the first few named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TriedPools {
    /// The first [`TriedPools::NAMED`] in the order tried.
    pub named: Vec<PoolName>,
    /// How many there were.
    pub count: usize,
}

impl TriedPools {
    /// How many pools a message names; more would hide its end.
    pub const NAMED: usize = 4;

    pub(super) fn add(&mut self, pool: &PoolName) {
        if self.named.len() < Self::NAMED {
            self.named.push(pool.clone());
        }
        self.count += 1;
    }
}

impl fmt::Display for TriedPools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, pool) in self.named.iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(f, "{separator}{pool}")?;
        }
        match self.count.saturating_sub(self.named.len()) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Families that a pool, or every pool that was tried, does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NeededFamilies {
    /// This one.
    One(IpFamily),
    /// Both at once.
    Both,
    /// Any of the two.
    Either,
}

impl fmt::Display for NeededFamilies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(family) => write!(f, "{family}"),
            Self::Both => f.write_str("both IPv4 and IPv6"),
            Self::Either => f.write_str("IPv4 or IPv6"),
        }
    }
}

/// Why a Service gets no address. Every text says what to do.
///
/// Source: the table "No address" of the conformance vectors.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NoAddress {
    /// The pool leaves the address out because it ends in .0 or .255.
    #[error(
        "{address} ends in .0 or .255, which the pool {pool} avoids: request another address, or set avoidBuggyIPs to false"
    )]
    Avoided {
        /// The address.
        address: IpAddr,
        /// The pool in whose ranges it lies.
        pool: PoolName,
    },
    /// The cluster IPs do not tell the families.
    #[error(transparent)]
    ClusterIps(#[from] ClusterIpsProblem),
    /// Two addresses, each in a pool, but not in the same ([ANNOT-12]).
    #[error(
        "no single pool contains both {first} (pool {first_pool}) and {second} (pool {second_pool}): request two addresses of one pool"
    )]
    DifferentPools {
        /// The first address.
        first: IpAddr,
        /// Its pool.
        first_pool: PoolName,
        /// The second address.
        second: IpAddr,
        /// Its pool.
        second_pool: PoolName,
    },
    /// The policies of the pool exclude the address.
    #[error("{address} is excluded from the pool {pool}: request another address, or take it out of the exclusions")]
    Excluded {
        /// The address.
        address: IpAddr,
        /// The pool in whose ranges it lies.
        pool: PoolName,
    },
    /// Two addresses are required and the Service has one family ([CTRL-34]).
    #[error(
        "ipFamilyPolicy RequireDualStack needs two cluster IPs and the Service has {count}: use PreferDualStack or SingleStack"
    )]
    DualStackRequired {
        /// How many cluster IPs it has.
        count: usize,
    },
    /// A Service of two families with policy `SingleStack` ([ALLOC-34]).
    #[error("the Service has two cluster IPs and ipFamilyPolicy SingleStack: use PreferDualStack or RequireDualStack")]
    DualStackUnwanted,
    /// The requested addresses are not of the Service's families ([CTRL-51]).
    #[error("the requested {addresses} do not fit the Service, which has {}: request exactly that", written(*.families))]
    FamilyMismatch {
        /// What was requested.
        addresses: ServiceAddresses,
        /// What the Service has.
        families: ServiceFamilies,
    },
    /// The pool asked for has no range of a needed family ([ALLOC-38]).
    #[error("the pool {pool} has no range of {needed}: add one to it, or ask for another pool")]
    FamilyNotInPool {
        /// The pool asked for.
        pool: PoolName,
        /// What is needed.
        needed: NeededFamilies,
    },
    /// No pool that the Service may use automatically has ranges of the needed families.
    #[error("no pool that may be used automatically ({pools}) has ranges of {needed}: add one to a pool")]
    FamilyNowhere {
        /// The pools.
        pools: TriedPools,
        /// What is needed.
        needed: NeededFamilies,
    },
    /// The id was given up, or comes from another allocator.
    #[error("the Service id is not known here: intern its key first")]
    Forgotten,
    /// The Service already has both families, or none to add to.
    #[error("there is no single address of the Service to add a second one to: allocate first")]
    NothingToAddTo,
    /// No pool at all.
    #[error("there is no address pool: create an IPAddressPool")]
    NoPools,
    /// No pool that the Service may use automatically ([API-POOL-7]).
    #[error(
        "no pool may be used automatically by this Service: set autoAssign on one, widen its serviceAllocation, or name a pool"
    )]
    NoEligiblePool,
    /// The pool asked for does not exist.
    #[error("there is no pool {pool}: correct the name, or create the pool")]
    NoSuchPool {
        /// The name.
        pool: PoolName,
    },
    /// The address is in no pool.
    #[error("{address} is in no pool: request an address of a pool, or add it to one")]
    NotInPool {
        /// The address.
        address: IpAddr,
    },
    /// A freeze keeps the address for those who hold it, and for nobody else.
    #[error(
        "{address} stays in the pool {pool} only for those who hold it: request another address, or add it to a pool"
    )]
    OnlyKept {
        /// The address.
        address: IpAddr,
        /// The pool that keeps it.
        pool: PoolName,
    },
    /// The pool asked for is full.
    #[error("the pool {pool} has no {needed} address left for this Service: enlarge it, or release addresses")]
    PoolExhausted {
        /// The pool.
        pool: PoolName,
        /// What is needed.
        needed: NeededFamilies,
    },
    /// Pool and address are requested and do not go together ([CTRL-51]).
    #[error(
        "the requested {address} is in the pool {found}, not in the requested pool {requested}: drop one of the two requests"
    )]
    PoolMismatch {
        /// The address.
        address: IpAddr,
        /// The pool it is in.
        found: PoolName,
        /// The pool asked for.
        requested: PoolName,
    },
    /// The pool does not serve this Service.
    #[error("the pool {pool} does not serve {}: widen its serviceAllocation, or use another pool", kept_out(*.restriction))]
    PoolNotAllowed {
        /// The pool.
        pool: PoolName,
        /// What keeps the Service out.
        restriction: PoolRestriction,
    },
    /// Every pool that the Service may use automatically is full for it.
    #[error(
        "no {needed} address is left in any pool that may be used automatically ({pools}): enlarge one, or release addresses"
    )]
    PoolsExhausted {
        /// The pools.
        pools: TriedPools,
        /// What is needed.
        needed: NeededFamilies,
    },
    /// A quota allows no more addresses.
    #[error("{}", used_up(.usage))]
    QuotaExceeded {
        /// The quota, with what is used of it.
        usage: Box<QuotaUsage>,
    },
    /// The request cannot be read.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The addresses given are none that a Service can have.
    #[error(transparent)]
    Addresses(#[from] AddressesError),
    /// Somebody else holds the address.
    #[error("{address} is held by {holder}: request another address, or release it there")]
    Reserved {
        /// The address.
        address: IpAddr,
        /// Who holds it, as the host named it.
        holder: Arc<str>,
    },
    /// The address is set aside for others.
    #[error(
        "{address} is set aside by the AddressReservation {reservation}: request another address, or add this Service to it"
    )]
    SetAside {
        /// The address.
        address: IpAddr,
        /// The name of the reservation.
        reservation: Arc<str>,
    },
    /// Another Service holds the address and does not share it with this one.
    #[error("{address} is in use by {holder}, {conflict}")]
    SharingConflict {
        /// The address.
        address: IpAddr,
        /// The other Service.
        holder: ServiceKey,
        /// Why the two cannot share.
        conflict: SharingConflict,
    },
    /// The address waits for the Service that held it last.
    #[error(
        "{} waits for {} until {}: request another address, or end that by releaseNow in the PoolPolicy",
        .hold.address, .hold.service, .hold.until
    )]
    Waits {
        /// For whom, until when and why.
        hold: Box<Hold>,
    },
}

impl NoAddress {
    /// The category that commands, metrics and vectors know it by.
    pub const fn category(&self) -> &'static str {
        match self {
            Self::NoPools => "no-config",
            Self::ClusterIps(_) => "no-cluster-ip",
            Self::Request(_)
            | Self::Addresses(_)
            | Self::DualStackUnwanted
            | Self::Forgotten
            | Self::NothingToAddTo => "invalid-request",
            Self::FamilyMismatch { .. } => "family-mismatch",
            Self::DualStackRequired { .. } => "dual-stack-required",
            Self::NoSuchPool { .. } => "no-such-pool",
            Self::Avoided { .. } | Self::DifferentPools { .. } | Self::NotInPool { .. } | Self::OnlyKept { .. } => {
                "not-in-pool"
            }
            Self::Excluded { .. } => "excluded",
            Self::QuotaExceeded { .. } => "quota-exceeded",
            Self::SetAside { .. } => "reserved",
            Self::Waits { .. } => "retained",
            Self::PoolMismatch { .. } => "pool-mismatch",
            Self::PoolNotAllowed { .. } => "pool-not-allowed",
            Self::Reserved { .. } | Self::SharingConflict { .. } => "sharing-conflict",
            Self::FamilyNotInPool { .. } | Self::FamilyNowhere { .. } => "family-unavailable",
            Self::PoolExhausted { .. } | Self::PoolsExhausted { .. } => "pool-exhausted",
            Self::NoEligiblePool => "no-eligible-pool",
        }
    }
}

const fn written(families: ServiceFamilies) -> &'static str {
    match families {
        ServiceFamilies::Single(IpFamily::V4) => "one IPv4 address",
        ServiceFamilies::Single(IpFamily::V6) => "one IPv6 address",
        ServiceFamilies::Dual { .. } => "one IPv4 and one IPv6 address",
    }
}

fn used_up(usage: &QuotaUsage) -> String {
    let QuotaUsage { policy, quota, namespace, used, limit } = usage;
    let whose = namespace.as_ref().map_or_else(String::new, |namespace| format!(" for the namespace {namespace}"));
    format!(
        "the quota {quota} of the PoolPolicy {policy} is used up{whose}: {used} of {limit} addresses; release one, raise the limit, or \
         name another pool"
    )
}

const fn kept_out(restriction: PoolRestriction) -> &'static str {
    match restriction {
        PoolRestriction::Namespace => "the namespace of this Service",
        PoolRestriction::ServiceLabels => "Services with these labels",
    }
}

/// What replacing the pools did to Services that held addresses.
///
/// Source: [ALLOC-39].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolsReplaced {
    /// Services whose addresses are no longer all in one pool: they hold nothing now. Sorted.
    pub released: Vec<ServiceKey>,
    /// Services that keep their addresses under another pool name, with that name. Sorted.
    pub moved: Vec<(ServiceKey, PoolName)>,
}

/// A range and the pool that it is of; written `RANGE of pool NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolRange {
    /// The addresses.
    pub range: AddressRange,
    /// The pool.
    pub pool: PoolName,
}

impl fmt::Display for PoolRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of pool {}", self.range, self.pool)
    }
}

/// Pools that cannot be used together; the allocator keeps those it has.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PoolsError {
    /// Two pools of one name ([ADDR-12]).
    #[error("there are two pools named {pool}: give each pool a name of its own")]
    DuplicateName {
        /// The name.
        pool: PoolName,
    },
    /// Two ranges have an address in common ([ADDR-11]).
    #[error("{first} and {second} overlap: remove the common addresses from one of them")]
    Overlap {
        /// The one that starts lower.
        first: Box<PoolRange>,
        /// The other.
        second: Box<PoolRange>,
    },
}

/// What became of a wish to reserve an address for somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// Nobody held it here.
    Free,
    /// Services here hold it; they keep it until they are released or their assignment is tried again, which is then refused. Sorted.
    InUseBy(Vec<ServiceKey>),
}
