//! Hash maps whose hasher has no random key, so that two runs behave alike.
//!
//! They serve look-ups only and are never iterated; what is iterated is a `BTreeMap`.

use std::hash::{BuildHasherDefault, DefaultHasher};

/// SipHash with fixed keys.
pub type FixedState = BuildHasherDefault<DefaultHasher>;
/// A map for look-ups: never iterate it.
pub type HashMap<K, V> = std::collections::HashMap<K, V, FixedState>;
/// A set for look-ups: never iterate it.
pub type HashSet<K> = std::collections::HashSet<K, FixedState>;
