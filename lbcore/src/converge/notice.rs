//! What the owner of a Service is told: the events [CEVT-1] to [CEVT-10] as values.

use core::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::addresses::{RequestError, ServiceAddresses};
use crate::allocator::NoAddress;
use crate::request::ClusterIpsProblem;
use crate::service::PoolName;

/// Whether a notice asks for attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoticeKind {
    /// Event type `Normal`.
    Normal,
    /// Event type `Warning`.
    Warning,
}

/// One thing to tell the owner of a Service; `Display` is the text of the event.
///
/// Source: [CEVT-1] to [CEVT-8].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Addresses were assigned, or one was added to another ([CEVT-1]).
    Allocated {
        /// All addresses now.
        addresses: ServiceAddresses,
        /// Where they are from.
        pool: PoolName,
    },
    /// The recorded addresses are no longer acceptable ([CEVT-2]).
    Cleared {
        /// What was recorded.
        addresses: ServiceAddresses,
        /// Why.
        reason: NoAddress,
    },
    /// A second address is wanted and not to be had ([CEVT-3]).
    AdditionalFailed {
        /// The address held.
        held: IpAddr,
        /// Why there is no other.
        reason: NoAddress,
    },
    /// The request cannot be read; the addresses held are kept ([CEVT-4]).
    RequestInvalid {
        /// What is wrong.
        problem: RequestError,
    },
    /// Two addresses are required by a Service of one family ([CEVT-5]).
    NotEnoughClusterIps {
        /// How many cluster IPs it has.
        count: usize,
    },
    /// The families of the recorded addresses cannot be told ([CEVT-6]).
    RecordedFamilyUnknown {
        /// What is recorded.
        texts: Vec<String>,
    },
    /// The families of the Service cannot be told ([CEVT-7]).
    ServiceFamilyUnknown {
        /// Why.
        problem: ClusterIpsProblem,
    },
    /// An address that the Service holds is set aside for others; it keeps it. Upstream has no such event.
    HoldsReserved {
        /// The address.
        address: IpAddr,
        /// The name of the AddressReservation.
        reservation: Arc<str>,
    },
    /// No address was found ([CEVT-8]).
    AllocationFailed {
        /// Why.
        reason: NoAddress,
    },
}

impl Notice {
    /// The `reason` of the event.
    pub const fn event_reason(&self) -> &'static str {
        match self {
            Self::Allocated { .. } => "IPAllocated",
            Self::Cleared { .. } => "ClearAssignment",
            Self::AdditionalFailed { .. } => "AdditionalAssignFailed",
            Self::RequestInvalid { .. } => "LoadBalancerFailed",
            Self::NotEnoughClusterIps { .. } => "not enough clusterips",
            Self::RecordedFamilyUnknown { .. } => "nolbIPsIPFamily",
            Self::ServiceFamilyUnknown { .. } => "noclusterIPsIPFamily",
            Self::HoldsReserved { .. } => "HoldsReservedAddress",
            Self::AllocationFailed { .. } => "AllocationFailed",
        }
    }

    /// The `type` of the event.
    pub const fn kind(&self) -> NoticeKind {
        match self {
            Self::Allocated { .. } | Self::Cleared { .. } | Self::AdditionalFailed { .. } => NoticeKind::Normal,
            Self::RequestInvalid { .. }
            | Self::NotEnoughClusterIps { .. }
            | Self::RecordedFamilyUnknown { .. }
            | Self::ServiceFamilyUnknown { .. }
            | Self::HoldsReserved { .. }
            | Self::AllocationFailed { .. } => NoticeKind::Warning,
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allocated { addresses, pool } => write!(f, "assigned {addresses} from pool {pool}"),
            Self::Cleared { addresses, reason } => write!(f, "gave up {addresses}: {reason}"),
            Self::AdditionalFailed { held, reason } => write!(f, "no second address beside {held}: {reason}"),
            Self::RequestInvalid { problem } => write!(f, "the addresses are kept, but {problem}"),
            Self::NotEnoughClusterIps { count } => write!(f, "{}", NoAddress::DualStackRequired { count: *count }),
            Self::RecordedFamilyUnknown { texts } => {
                write!(f, "the recorded addresses {texts:?} are not one address or one of each family and are replaced")
            }
            Self::ServiceFamilyUnknown { problem } => write!(f, "{problem}"),
            Self::HoldsReserved { address, reservation } => {
                write!(f, "{address} is kept, though the AddressReservation {reservation} sets it aside for others")
            }
            Self::AllocationFailed { reason } => write!(f, "no address: {reason}"),
        }
    }
}
