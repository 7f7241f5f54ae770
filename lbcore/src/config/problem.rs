//! What is wrong with a configuration: one [`Problem`] for each finding, with the object and the field that have it.

use core::fmt;
use std::sync::Arc;

/// Opaque number that the reader gave to a document, so that it can find file and line again. It does not take part in
/// comparisons of configurations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(pub u64);

/// The object that a problem is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// The kind as written, such as `IPAddressPool`.
    pub kind: Arc<str>,
    /// The namespace; `None` for objects outside of namespaces, such as nodes.
    pub namespace: Option<Arc<str>>,
    /// The name.
    pub name: Arc<str>,
    /// Where it was read.
    pub origin: Origin,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// Whether a problem makes the configuration unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// Accepted, but surely not what was meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

macro_rules! categories {
    ($($(#[$doc:meta])* $variant:ident => $text:literal,)*) => {
        /// What kind of rule refuses; `Display` writes the text of the machine contract.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Category {
            $($(#[$doc])* $variant,)*
        }

        impl Category {
            /// The text of the machine contract.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

categories! {
    /// Peers of one node ask for two local AS numbers in one VRF.
    AsnMismatch => "asn-mismatch",
    /// Echo mode on a session that announces an IPv6 pool ([CFG-45]).
    BfdEchoIpv6 => "bfd-echo-ipv6",
    /// A BFD value out of range ([CFG-27]).
    BfdOutOfRange => "bfd-out-of-range",
    /// An alias defined twice ([COMM-4]).
    DuplicateCommunityAlias => "duplicate-community-alias",
    /// The same text twice in a list.
    DuplicateEntry => "duplicate-entry",
    /// Two objects of a kind with one name.
    DuplicateName => "duplicate-name",
    /// The same peer twice ([CFG-26], [MODE-14]).
    DuplicatePeer => "duplicate-peer",
    /// The same selector twice in a list ([API-GEN-8]).
    DuplicateSelector => "duplicate-selector",
    /// A field that may not change was changed.
    Immutable => "immutable",
    /// An object is deleted that another one needs.
    InUse => "in-use",
    /// Not an address range ([ADDR-1] to [ADDR-7]).
    InvalidAddressRange => "invalid-address-range",
    /// Longer than the address, or shorter than the range it aggregates ([API-BGPADV-3]).
    InvalidAggregationLength => "invalid-aggregation-length",
    /// An AS number is missing, or too many are given ([CFG-20]).
    InvalidAsn => "invalid-asn",
    /// Not a community value ([COMM-1]).
    InvalidCommunity => "invalid-community",
    /// Not the host part of an address.
    InvalidHostPart => "invalid-host-part",
    /// A name that cannot be one; conversion of the old format only.
    InvalidName => "invalid-name",
    /// Neither or both of address and interface, or not an address ([CFG-20]).
    InvalidPeerAddress => "invalid-peer-address",
    /// Not an address usable as router id ([PEER-54]).
    InvalidRouterId => "invalid-router-id",
    /// A label selector that does not parse ([API-GEN-6]).
    InvalidSelector => "invalid-selector",
    /// Not `namespace/name`.
    InvalidServiceName => "invalid-service-name",
    /// Not an address.
    InvalidSourceAddress => "invalid-source-address",
    /// Timers that BGP does not allow, or text that is no duration ([CFG-22]).
    InvalidTimers => "invalid-timers",
    /// Two advertisements give one route two local preferences ([CFG-40]).
    LocalPrefConflict => "localpref-conflict",
    /// A required field is empty.
    MissingField => "missing-field",
    /// Multi-hop for external peers asked for on an internal session.
    MultihopIbgp => "multihop-ibgp",
    /// Addresses of a policy that concern no pool; a warning.
    NoEffect => "no-effect",
    /// No configuration in the object; conversion of the old format only.
    NoData => "no-data",
    /// Another kind of object; conversion of the old format only.
    NotAConfigMap => "not-a-configmap",
    /// A range overlaps another ([ADDR-11]).
    OverlappingRanges => "overlapping-ranges",
    /// Both a password and a secret ([CFG-24]).
    PasswordAndSecret => "password-and-secret",
    /// Two policies set one field for one pool.
    PolicyConflict => "policy-conflict",
    /// Two advertisements give one route two values of `asPathPrepend` ([D162-2]).
    PrependConflict => "prepend-conflict",
    /// Peers of one node ask for two router ids.
    RouterIdMismatch => "router-id-mismatch",
    /// A value outside the type or range of the field.
    Schema => "schema",
    /// The secret is not there.
    SecretMissing => "secret-missing",
    /// The secret has no key `password`.
    SecretNoPassword => "secret-no-password",
    /// The secret is not of type `kubernetes.io/basic-auth`.
    SecretWrongType => "secret-wrong-type",
    /// An advertisement chooses Services and aggregates at once ([API-BGPADV-2]).
    ServiceSelectorWithAggregation => "service-selector-with-aggregation",
    /// The BFD profile is not there ([CFG-25]).
    UnknownBfdProfile => "unknown-bfd-profile",
    /// An alias that nobody defines ([COMM-5]).
    UnknownCommunity => "unknown-community",
    /// A reference to a pool that does not exist; a warning ([CFG-42]).
    NoSuchPool => "no-such-pool",
    /// A reference to a peer that does not exist; a warning ([CFG-42]).
    UnknownPeer => "unknown-peer",
    /// A feature that the engine chosen lacks.
    UnsupportedByBackend => "unsupported-by-backend",
    /// The object is not in the namespace of the program ([ARCH-6]).
    WrongNamespace => "wrong-namespace",
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Whether it makes the configuration unusable.
    pub severity: Severity,
    /// What kind of rule.
    pub category: Category,
    /// The object that has it; `None` where it belongs to no single object.
    pub object: Option<ObjectRef>,
    /// Path of the field within the object, such as `spec.addresses[1]`; empty for the whole object.
    pub field: String,
    /// What is wrong, with the values that are.
    pub message: String,
    /// How to mend it.
    pub fix: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.severity)?;
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        write!(f, "{} [{}]", self.message, self.category)?;
        if self.fix.is_empty() { Ok(()) } else { write!(f, "; {}", self.fix) }
    }
}
