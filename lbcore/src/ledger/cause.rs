//! Why something happened to an address: a word for programs and a sentence for people.

use core::fmt;
use core::str::FromStr;
use std::sync::Arc;

use super::ParseWordError;
use crate::allocator::NoAddress;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident => $text:literal,)*) => {
        /// Kinds of causes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Why {
            $($(#[$doc])* $variant,)*
        }

        impl Why {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word of the machine contract.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

reasons! {
    /// A free address was chosen for a Service that had none, or not all it wants.
    Choice => "choice",
    /// The Service's own request changed: address, pool, families, labels or sharing.
    Request => "request",
    /// It was recorded, and holds.
    Record => "record",
    /// Another host's choice was taken over.
    Adoption => "adoption",
    /// Another Service or another host has it.
    Conflict => "conflict",
    /// The pools changed, or who may use them.
    Pools => "pools",
    /// The Service is gone, or is no load balancer any more.
    ServiceGone => "service-gone",
    /// A rule of allocation refuses.
    Refusal => "refusal",
    /// Retention of a policy.
    Retention => "retention",
    /// Cool-down of a policy.
    CoolDown => "cool-down",
    /// The time of a hold is over.
    Expiry => "expiry",
    /// Somebody ended a hold, or confirmed a loss.
    Operator => "operator",
    /// Freeze of a policy.
    Freeze => "freeze",
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Why {
    type Err = ParseWordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().copied().find(|why| why.as_str() == text);
        found.ok_or_else(|| ParseWordError { text: text.to_owned() })
    }
}

/// A cause; `Display` writes the sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Its kind.
    pub why: Why,
    /// In a sentence, with names and values.
    pub text: Arc<str>,
}

impl Cause {
    /// A cause in these words.
    pub fn new(why: Why, text: impl Into<Arc<str>>) -> Self {
        Self { why, text: text.into() }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a rule of allocation says.
impl From<&NoAddress> for Cause {
    fn from(reason: &NoAddress) -> Self {
        let is_conflict = matches!(reason, NoAddress::SharingConflict { .. } | NoAddress::Reserved { .. });
        let is_of_pools = matches!(
            reason,
            NoAddress::NoPools
                | NoAddress::NotInPool { .. }
                | NoAddress::PoolNotAllowed { .. }
                | NoAddress::DifferentPools { .. }
                | NoAddress::Avoided { .. }
                | NoAddress::Excluded { .. }
                | NoAddress::OnlyKept { .. }
        );
        let why = match (is_conflict, is_of_pools) {
            (true, _) => Why::Conflict,
            (false, true) => Why::Pools,
            (false, false) => Why::Refusal,
        };
        Self::new(why, reason.to_string())
    }
}
