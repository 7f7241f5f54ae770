//! What became of the recorded addresses of a Service: which rule kept them, or took them away.

use crate::addresses::ServiceAddresses;
use crate::allocator::{Grant, NoAddress};
use crate::request::ClusterIpsProblem;
use crate::service::PoolName;

/// What a pass did with the record of a Service, and by which rule.
///
/// Source: [CTRL-35] to [CTRL-42].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordFate {
    /// The pass ended before it came to the record: no load balancer, no pool, no cluster IP, or two families required of one.
    #[default]
    NotReached,
    /// Nothing is recorded ([CTRL-35]).
    Nothing,
    /// It is not one address or one of each family, and is replaced ([CTRL-36]).
    Unreadable,
    /// It is left alone, because the families of the Service cannot be told ([CTRL-37]).
    Untouched {
        /// Why not.
        problem: ClusterIpsProblem,
    },
    /// None of it is of the families that the Service has ([CTRL-38]).
    OtherFamilies {
        /// What was recorded.
        addresses: ServiceAddresses,
    },
    /// The pools or other Services do not permit it ([CTRL-39]).
    Refused {
        /// What was recorded, as far as the families let it be kept.
        addresses: ServiceAddresses,
        /// Why.
        reason: NoAddress,
    },
    /// Another pool is requested than the one that has it ([CTRL-40]).
    OtherPool {
        /// What was recorded.
        addresses: ServiceAddresses,
        /// The pool that has it.
        pool: PoolName,
    },
    /// Other addresses are requested ([CTRL-41]).
    OtherAddresses {
        /// What was recorded.
        addresses: ServiceAddresses,
        /// What is requested.
        requested: ServiceAddresses,
    },
    /// Two addresses are required, and none of the other family is to be had beside it ([CTRL-42], [CHG-31]).
    Incomplete {
        /// What was recorded.
        addresses: ServiceAddresses,
        /// Why there is no second one.
        reason: NoAddress,
    },
    /// It is kept, or the part of it whose family the Service still has.
    Kept {
        /// What is kept.
        addresses: ServiceAddresses,
        /// The pool that has it.
        pool: PoolName,
    },
}

impl RecordFate {
    pub(super) fn kept(grant: &Grant) -> Self {
        Self::Kept { addresses: grant.addresses, pool: grant.pool.clone() }
    }
}
