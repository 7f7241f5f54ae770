//! Hash maps whose hasher has no random key, so that two runs behave alike.
//!
//! They serve look-ups only and are never iterated; what is iterated is a `BTreeMap`.

use std::hash::{BuildHasherDefault, DefaultHasher, Hasher};

/// SipHash with fixed keys.
pub type FixedState = BuildHasherDefault<DefaultHasher>;
/// A map for look-ups: never iterate it.
pub type HashMap<K, V> = std::collections::HashMap<K, V, FixedState>;
/// A map from numbers for look-ups: never iterate it. For numbers that nobody outside chooses freely, such as addresses of a pool.
pub(crate) type NumberMap<V> = std::collections::HashMap<u128, V, BuildHasherDefault<NumberHasher>>;
/// A set for look-ups: never iterate it.
pub type HashSet<K> = std::collections::HashSet<K, FixedState>;

/// Mixes one number by a folded multiplication, which costs a tenth of SipHash.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NumberHasher(u64);

/// Odd, and with its bits in no pattern.
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

impl NumberHasher {
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word ^ MULTIPLIER.rotate_left(32)) * u128::from(MULTIPLIER);
        let (high, low) = (product >> u64::BITS, product & u128::from(u64::MAX));
        self.0 = u64::try_from(high ^ low).unwrap_or_default();
    }
}

impl Hasher for NumberHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.mix(u64::from(*byte));
        }
    }

    fn write_u128(&mut self, number: u128) {
        let (high, low) = (number >> u64::BITS, number & u128::from(u64::MAX));
        self.mix(u64::try_from(high).unwrap_or_default());
        self.mix(u64::try_from(low).unwrap_or_default());
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::hash::BuildHasher;

    use super::*;

    // Low bits choose the place in a table and the highest seven tell entries apart.
    #[test]
    fn neighbouring_and_distant_numbers_spread_over_low_and_high_bits() {
        let hash = |number: u128| BuildHasherDefault::<NumberHasher>::default().hash_one(number);
        for stride in [1_u128, 256, 1 << 64, 1 << 120] {
            let hashes: Vec<u64> = (0..256).map(|step| hash(step * stride)).collect();
            let low: BTreeSet<u64> = hashes.iter().map(|hash| hash % 256).collect();
            let high: BTreeSet<u64> = hashes.iter().map(|hash| hash >> 57).collect();
            assert!(low.len() > 120 && high.len() > 80, "stride {stride}: {} and {}", low.len(), high.len());
        }
    }
}
