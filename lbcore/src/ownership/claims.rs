//! Claims: who says that it answers for a group, and which of two claims is the higher ([OWN-30]).

use core::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::announce::GroupKey;
use crate::election;
use crate::service::NodeName;

use super::BootId;

/// What a member says of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClaimState {
    /// It does not answer, but stands ready with a score or a wish that the owner should know ([OWN-34]).
    Standby,
    /// It answers.
    Active,
    /// It answers until a successor has claimed ([OWN-24], [OWN-35]).
    Releasing,
}

/// A claim as it travels. Whose it is stands beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The group.
    pub group: GroupKey,
    /// What is said of it.
    pub state: ClaimState,
    /// Grows with each change of owner; 0 where it was claimed while hearing nobody.
    pub epoch: u64,
    /// Sum of preferences of the claiming node.
    pub score: u32,
    /// The address whose text the election order hashes.
    pub election_key: IpAddr,
    /// The addresses, sorted, unique.
    pub addresses: Arc<[IpAddr]>,
    /// Names of the links it is answered on, sorted, unique; informative.
    pub links: Arc<[Arc<str>]>,
}

/// The total order of claims: epoch, score, digest order, node name; the boot id breaks what is left. Greater wins.
///
/// Source: [OWN-30].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClaimOrder {
    epoch: u64,
    score: u32,
    digest: Reverse<[u8; 32]>,
    name: Reverse<NodeName>,
    boot_id: BootId,
}

impl Claim {
    /// Its place in the total order when `name` under `boot_id` makes it.
    pub fn order(&self, name: &NodeName, boot_id: BootId) -> ClaimOrder {
        ClaimOrder {
            epoch: self.epoch,
            score: self.score,
            digest: Reverse(election::digest(name, self.election_key)),
            name: Reverse(name.clone()),
            boot_id,
        }
    }

    /// Whether the claimant answers.
    pub const fn answers(&self) -> bool {
        matches!(self.state, ClaimState::Active | ClaimState::Releasing)
    }
}

/// Number of entries and the sum of their hashes: equal tables have equal digests, whatever the order they were filled in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TableDigest {
    /// How many entries.
    pub count: u32,
    /// Wrapping sum of 64 bits of SHA-256 of each encoded entry.
    pub sum: u64,
}

impl TableDigest {
    pub(crate) fn add(&mut self, entry: &[u8]) {
        self.count = self.count.wrapping_add(1);
        self.sum = self.sum.wrapping_add(entry_hash(entry));
    }

    pub(crate) fn remove(&mut self, entry: &[u8]) {
        self.count = self.count.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(entry_hash(entry));
    }
}

fn entry_hash(entry: &[u8]) -> u64 {
    let digest: [u8; 32] = Sha256::digest(entry).into();
    digest.first_chunk::<8>().map_or(0, |octets| u64::from_be_bytes(*octets))
}

/// The claims of one member with their digest.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClaimTable {
    claims: BTreeMap<GroupKey, Claim>,
    digest: TableDigest,
}

impl ClaimTable {
    pub(crate) const fn digest(&self) -> TableDigest {
        self.digest
    }

    pub(crate) fn get(&self, group: GroupKey) -> Option<&Claim> {
        self.claims.get(&group)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Claim> {
        self.claims.values()
    }

    /// Claims from a group on, in order.
    pub(crate) fn from(&self, group: GroupKey) -> impl Iterator<Item = &Claim> {
        self.claims.range(group..).map(|(_, claim)| claim)
    }

    /// Groups within the range, both ends included.
    pub(crate) fn groups_within(&self, first: GroupKey, last: GroupKey) -> Vec<GroupKey> {
        if first > last {
            return Vec::new();
        }
        self.claims.range(first..=last).map(|(group, _)| *group).collect()
    }

    /// Puts a claim in and returns the one it replaces.
    pub(crate) fn put(&mut self, claim: Claim) -> Option<Claim> {
        self.digest.add(&super::frame::encoded_claim(&claim));
        let before = self.claims.insert(claim.group, claim);
        if let Some(before) = &before {
            self.digest.remove(&super::frame::encoded_claim(before));
        }
        before
    }

    pub(crate) fn remove(&mut self, group: GroupKey) -> Option<Claim> {
        let before = self.claims.remove(&group)?;
        self.digest.remove(&super::frame::encoded_claim(&before));
        Some(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(epoch: u64, score: u32) -> Claim {
        let address: IpAddr = "192.0.2.7".parse().unwrap();
        Claim {
            group: GroupKey(address),
            state: ClaimState::Active,
            epoch,
            score,
            election_key: "192.168.10.1".parse().unwrap(),
            addresses: Arc::from([address]),
            links: Arc::from([]),
        }
    }

    fn order(claim: &Claim, name: &str) -> ClaimOrder {
        claim.order(&name.parse().unwrap(), BootId(9))
    }

    // [OWN-30], [VEC-5]: digest order of the key is node3, node1, node2.
    #[test]
    fn epoch_comes_before_score_before_digest_order() {
        assert!(order(&claim(2, 0), "node2") > order(&claim(1, 70), "node3"));
        assert!(order(&claim(1, 70), "node2") > order(&claim(1, 0), "node3"));
        assert!(order(&claim(1, 0), "node3") > order(&claim(1, 0), "node1"));
        assert!(order(&claim(1, 0), "node1") > order(&claim(1, 0), "node2"));
        assert!(order(&claim(0, 9), "node3") < order(&claim(1, 0), "node2"));
    }

    #[test]
    fn tables_filled_in_another_order_have_one_digest() {
        let mut other = claim(4, 1);
        other.group = GroupKey("192.0.2.8".parse().unwrap());
        let (mut left, mut right) = (ClaimTable::default(), ClaimTable::default());
        left.put(claim(1, 0));
        left.put(other.clone());
        right.put(other);
        right.put(claim(7, 7));
        assert_ne!(left.digest(), right.digest());
        right.put(claim(1, 0));
        assert_eq!(left.digest(), right.digest());
        left.remove(GroupKey("192.0.2.8".parse().unwrap()));
        assert_ne!(left.digest(), right.digest());
    }
}
