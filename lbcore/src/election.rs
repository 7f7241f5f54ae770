//! The election order on a segment: higher score first, then SHA-256 of `<node>#<address>` ascending ([L2-3], [L2-4], [L2-6]).
//!
//! The order is compatible with that of MetalLB, so that the same node answers for the same address.

mod ballot;
mod lanes;

use core::cmp::{Ordering, Reverse};
use std::net::IpAddr;

use sha2::{Digest, Sha256};

pub(crate) use ballot::{Ballot, Voter};

use crate::service::NodeName;

/// SHA-256 of the node's name, `#`, and the canonical text of the address: dotted decimal for IPv4 and for IPv6 addresses that
/// stand for IPv4 ones, RFC 5952 for the others.
///
/// Source: [L2-3], [L2-4].
pub fn digest(node: &NodeName, address: IpAddr) -> [u8; 32] {
    let text = address.to_canonical().to_string();
    Sha256::new().chain_update(node.as_str()).chain_update("#").chain_update(text).finalize().into()
}

/// The place of a node in the order for one address: the least is the first owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rank {
    /// Sum of matching preferences; higher comes first.
    pub score: u32,
    /// [`digest`] of node and address; lower comes first.
    pub digest: [u8; 32],
    /// The node; decides where all else is equal.
    pub node: NodeName,
}

impl Rank {
    /// The place of `node` for `address`.
    pub fn new(node: NodeName, address: IpAddr, score: u32) -> Self {
        Self { score, digest: digest(&node, address), node }
    }
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |rank: &Self| (Reverse(rank.score), rank.digest);
        key(self).cmp(&key(other)).then_with(|| self.node.cmp(&other.node))
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// All candidates with their scores, in the order of election for `address`.
///
/// # Examples
/// ```
/// use lbcore::election::order;
/// use lbcore::service::NodeName;
///
/// let nodes = ["node1", "node2", "node3"].map(|name| NodeName::new(name).expect("not empty"));
/// let order = order("192.168.10.1".parse()?, nodes.into_iter().map(|node| (node, 0)));
/// assert_eq!(order.iter().map(NodeName::as_str).collect::<Vec<_>>(), ["node3", "node1", "node2"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: [L2-4].
pub fn order(address: IpAddr, candidates: impl IntoIterator<Item = (NodeName, u32)>) -> Vec<NodeName> {
    let ranks = candidates.into_iter().map(|(node, score)| Rank::new(node, address, score));
    let mut ranks: Vec<Rank> = ranks.collect();
    ranks.sort();
    ranks.into_iter().map(|rank| rank.node).collect()
}

/// The first of the order, in one pass.
pub fn first(address: IpAddr, candidates: impl IntoIterator<Item = (NodeName, u32)>) -> Option<NodeName> {
    let ranks = candidates.into_iter().map(|(node, score)| Rank::new(node, address, score));
    ranks.min().map(|rank| rank.node)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(candidates: &[(&str, u32)], address: &str) -> Vec<String> {
        let candidates = candidates.iter().map(|(name, score)| (NodeName::new(*name).unwrap(), *score));
        order(address.parse().unwrap(), candidates).iter().map(ToString::to_string).collect()
    }

    fn hex(node: &str, address: &str) -> String {
        let digest = digest(&NodeName::new(node).unwrap(), address.parse().unwrap());
        let (high, low) = digest.split_at(16);
        let number = |half: &[u8]| u128::from_be_bytes(half.try_into().unwrap());
        format!("{:032x}{:032x}", number(high), number(low))
    }

    // [VEC-1] to [VEC-4]
    #[test]
    fn published_digests_are_met() {
        assert_eq!(hex("node1", "192.168.10.1"), "86214c60a1344de7570e8f38828c9c0703b4515a190b6503afc285411cf507aa");
        assert_eq!(hex("node2", "192.168.10.1"), "8ff16061450628883cc67edd30a005656e0d123c574f29ead802d16a959ec528");
        assert_eq!(hex("node3", "192.168.10.1"), "44e5fb10176da0c286207e57405411da9ca199cd4e27cd9618efc08da463339a");
        assert_eq!(hex("node1", "2001:db8::10"), "039565c79d3912be7329488022cd751d5ff26f0013d0fd439461db33e07435a0");
    }

    // [VEC-5] to [VEC-9c]
    #[test]
    fn published_orders_are_met() {
        let three = [("node1", 0), ("node2", 0), ("node3", 0)];
        assert_eq!(names(&three, "192.168.10.1"), ["node3", "node1", "node2"]);
        assert_eq!(names(&three, "192.168.10.2"), ["node2", "node1", "node3"]);
        assert_eq!(names(&three, "192.168.10.4"), ["node1", "node2", "node3"]);
        assert_eq!(names(&three, "2001:db8::10"), ["node1", "node2", "node3"]);
        let preferred = [("node1", 0), ("node2", 50), ("node3", 0)];
        assert_eq!(names(&preferred, "192.168.10.1"), ["node2", "node3", "node1"]);
        let two_preferred = [("node1", 10), ("node2", 10), ("node3", 0)];
        assert_eq!(names(&two_preferred, "192.168.10.1"), ["node1", "node2", "node3"]);
        assert_eq!(names(&three[..2], "192.168.10.1"), ["node1", "node2"]);
        let workers = [("worker-a", 0), ("worker-b", 0), ("worker-c", 0), ("worker-d", 0)];
        assert_eq!(names(&workers, "10.0.0.50"), ["worker-c", "worker-a", "worker-d", "worker-b"]);
    }

    // [L2-3]
    #[test]
    fn an_ipv6_address_that_stands_for_an_ipv4_one_counts_as_that() {
        assert_eq!(hex("node1", "::ffff:192.168.10.1"), hex("node1", "192.168.10.1"));
    }

    proptest! {
        // [L2-3], [L2-4]
        #[test]
        fn digests_side_by_side_equal_those_one_by_one(
            names in prop::collection::vec("[a-z0-9.-]{1,64}", 0..100),
            v4 in any::<u32>(),
            v6 in any::<u128>(),
            is_v4 in any::<bool>(),
        ) {
            let address = if is_v4 { IpAddr::V4(v4.into()) } else { IpAddr::V6(v6.into()) };
            let nodes: Vec<NodeName> = names.iter().map(|name| NodeName::new(name.as_str()).unwrap()).collect();
            let voters: Vec<Voter> = nodes.iter().map(Voter::new).collect();
            let mut found = vec![0; nodes.len()];
            let given = nodes.iter().zip(&voters).enumerate().map(|(at, (node, voter))| (at, node, voter));
            Ballot::new(address).prefixes(given, |at, prefix| found[at] = prefix);
            let expected: Vec<u64> =
                nodes.iter().map(|node| u64::from_be_bytes(digest(node, address)[..8].try_into().unwrap())).collect();
            prop_assert_eq!(found, expected);
        }

        // [L2-4], [L2-6]
        #[test]
        fn the_order_equals_a_naive_sort(scores in prop::collection::btree_map("[a-z]{1,8}", 0_u32..3, 0..12), last in any::<u8>()) {
            let address = IpAddr::from([192, 0, 2, last]);
            let candidates: Vec<_> =
                scores.iter().map(|(name, score)| (NodeName::new(name.as_str()).unwrap(), *score)).collect();
            let mut naive: Vec<(i64, String, NodeName)> = candidates
                .iter()
                .map(|(node, score)| (-i64::from(*score), hex(node.as_str(), &address.to_string()), node.clone()))
                .collect();
            naive.sort();
            let naive: Vec<NodeName> = naive.into_iter().map(|(_, _, node)| node).collect();
            prop_assert_eq!(first(address, candidates.clone()), naive.first().cloned());
            prop_assert_eq!(order(address, candidates), naive);
        }
    }
}
