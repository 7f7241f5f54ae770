//! From a raw description to a [`Config`]: every problem is collected, each with the object and the field that have it.
//!
//! What lives here: the description as read ([`raw`]), the findings ([`problem`]), and the checks between them. Objects are
//! processed in the order of their names, so that the outcome does not depend on the order in which they were listed ([CFG-3]).

pub mod problem;
pub mod raw;

use std::sync::Arc;

pub use problem::{Category, ObjectRef, Origin, Problem, Severity};
pub use raw::{
    Raw, RawAlias, RawBfdProfile, RawBgpAdvertisement, RawCommunity, RawConfig, RawL2Advertisement, RawPeer, RawPool,
    RawPreference, RawRequirement, RawSecret, RawSecretReference, RawSelector, RawServiceAllocation,
};

/// How much of the configuration is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Level {
    /// The whole, references included; an object in another namespace is ignored with a warning.
    #[default]
    Full,
    /// What admission refuses: no references to objects that may come later ([WEBHOOK-20]); an object in another namespace is
    /// an error ([WEBHOOK-10]).
    Admission,
}

/// Whether all peers of a node must fit in one router.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PeerRules {
    /// Each session stands alone; a second session to one address is a warning.
    #[default]
    Independent,
    /// One router a node and VRF: [MODE-14] and [MODE-15] are errors.
    OneRouter,
}

/// What the checks need to know beside the objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The namespace whose objects count.
    pub install_namespace: Arc<str>,
    /// How much is looked at.
    pub level: Level,
    /// Rules between the peers of a node.
    pub peer_rules: PeerRules,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            install_namespace: Arc::from("metallb-system"),
            level: Level::default(),
            peer_rules: PeerRules::default(),
        }
    }
}
