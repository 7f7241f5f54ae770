//! Solicited-node groups: where solicitations for an address are sent, and which of them have to be joined.
//!
//! Addresses that end in the same 24 bits share a group, so groups are counted ([L2-61]). They are joined on every link that neighbor
//! discovery works on, whatever links an address is answered on. [`Groups`] says what to do; the shell does it, and says what failed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv6Addr;

use lbcore::link::LinkIndex;

const PREFIX: u128 = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0).to_bits();
const LAST_24: u128 = 0x00ff_ffff;

/// The group of all addresses that end in the same 24 bits.
///
/// # Examples
/// ```
/// use announce_ndp::multicast::solicited_node;
///
/// let group = solicited_node("2001:db8::10".parse()?);
/// assert_eq!(group.to_string(), "ff02::1:ff00:10");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
///
/// Source: RFC 4291 section 2.7.1; [VEC-32].
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits(PREFIX | (address.to_bits() & LAST_24))
}

/// Whether it is the solicited-node group of any address.
pub const fn is_solicited_node(group: Ipv6Addr) -> bool {
    group.to_bits() & !LAST_24 == PREFIX
}

/// What to ask of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Join the group on the link; say so with [`Groups::join_failed`] where that cannot be.
    Join {
        /// Where.
        link: LinkIndex,
        /// Which.
        group: Ipv6Addr,
    },
    /// Leave it.
    Leave {
        /// Where.
        link: LinkIndex,
        /// Which.
        group: Ipv6Addr,
    },
}

/// The groups of the addresses that this node stands for.
///
/// Source: [L2-61], [L2-26].
#[derive(Debug, Default)]
pub struct Groups {
    addresses: BTreeSet<Ipv6Addr>,
    /// How many addresses each group has, never 0.
    counts: BTreeMap<Ipv6Addr, u32>,
    links: BTreeSet<LinkIndex>,
    failed: BTreeSet<(LinkIndex, Ipv6Addr)>,
    changes: VecDeque<Change>,
}

impl Groups {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Solicitations for `address` shall arrive from now on. Twice is once.
    pub fn watch(&mut self, address: Ipv6Addr) {
        if !self.addresses.insert(address) {
            return;
        }
        let group = solicited_node(address);
        let count = self.counts.entry(group).or_default();
        *count += 1;
        if *count == 1 {
            self.changes.extend(self.links.iter().map(|link| Change::Join { link: *link, group }));
        }
    }

    /// Solicitations for `address` need not arrive any more.
    pub fn forget(&mut self, address: Ipv6Addr) {
        if !self.addresses.remove(&address) {
            return;
        }
        let group = solicited_node(address);
        let Some(count) = self.counts.get_mut(&group) else { return };
        *count -= 1;
        if *count == 0 {
            self.counts.remove(&group);
            for link in &self.links {
                // What could not be joined need not be left.
                if !self.failed.remove(&(*link, group)) {
                    self.changes.push_back(Change::Leave { link: *link, group });
                }
            }
        }
    }

    /// A link can be used from now on, without any membership so far.
    pub fn add_link(&mut self, link: LinkIndex) {
        if self.links.insert(link) {
            self.changes.extend(self.counts.keys().map(|group| Change::Join { link, group: *group }));
        }
    }

    /// A link is gone, and its memberships with it.
    pub fn remove_link(&mut self, link: LinkIndex) {
        self.links.remove(&link);
        self.failed.retain(|(failed, _)| *failed != link);
        let is_elsewhere = |change: &Change| {
            let (Change::Join { link: of, .. } | Change::Leave { link: of, .. }) = change;
            *of != link
        };
        self.changes.retain(is_elsewhere);
    }

    /// A group could not be joined: [`retry`](Self::retry) asks for it again.
    pub fn join_failed(&mut self, link: LinkIndex, group: Ipv6Addr) {
        if self.links.contains(&link) && self.counts.contains_key(&group) {
            self.failed.insert((link, group));
        }
    }

    /// How many memberships could not be had.
    pub fn failures(&self) -> usize {
        self.failed.len()
    }

    /// Asks again for what failed.
    pub fn retry(&mut self) {
        let failed = core::mem::take(&mut self.failed);
        self.changes.extend(failed.into_iter().map(|(link, group)| Change::Join { link, group }));
    }

    /// The next thing to do, until `None`.
    pub fn poll_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ETH0: LinkIndex = LinkIndex::new(2);
    const ETH1: LinkIndex = LinkIndex::new(3);

    fn address(text: &str) -> Ipv6Addr {
        text.parse().unwrap()
    }

    fn drain(groups: &mut Groups) -> Vec<Change> {
        core::iter::from_fn(|| groups.poll_change()).collect()
    }

    // [VEC-32]
    #[test]
    fn the_last_24_bits_choose_the_group() {
        let group = |text: &str| solicited_node(address(text)).to_string();
        assert_eq!(group("2001:db8::10"), "ff02::1:ff00:10");
        assert_eq!(group("2001:db8::ab:cdef:1234"), "ff02::1:ffef:1234");
        assert!(is_solicited_node(address("ff02::1:ff00:10")));
        assert!(!is_solicited_node(address("ff02::1")));
        assert!(!is_solicited_node(address("ff02::1:fe00:10")));
    }

    // [L2-61]
    #[test]
    fn a_group_of_two_addresses_is_joined_once_and_left_with_the_last() {
        let mut groups = Groups::new();
        groups.add_link(ETH0);
        let (first, second) = (address("2001:db8::1:10"), address("2001:db8:0:2::1:10"));
        let group = solicited_node(first);
        assert_eq!(group, solicited_node(second));
        groups.watch(first);
        groups.watch(first);
        groups.watch(second);
        assert_eq!(drain(&mut groups), [Change::Join { link: ETH0, group }]);
        groups.forget(first);
        groups.forget(first);
        assert_eq!(drain(&mut groups), []);
        groups.forget(second);
        assert_eq!(drain(&mut groups), [Change::Leave { link: ETH0, group }]);
    }

    // [L2-26]
    #[test]
    fn a_link_that_comes_back_gets_the_groups_of_all_addresses() {
        let mut groups = Groups::new();
        groups.watch(address("2001:db8::10"));
        groups.add_link(ETH0);
        let join = |link| Change::Join { link, group: address("ff02::1:ff00:10") };
        assert_eq!(drain(&mut groups), [join(ETH0)]);
        groups.add_link(ETH1);
        groups.remove_link(ETH1);
        assert_eq!(drain(&mut groups), [], "what was not done yet need not be done on a link that is gone");
        groups.add_link(ETH1);
        assert_eq!(drain(&mut groups), [join(ETH1)]);
    }

    #[test]
    fn what_failed_is_asked_for_again_and_never_left() {
        let mut groups = Groups::new();
        groups.add_link(ETH0);
        groups.watch(address("2001:db8::10"));
        let join = drain(&mut groups);
        groups.join_failed(ETH0, address("ff02::1:ff00:10"));
        assert_eq!(groups.failures(), 1);
        groups.retry();
        assert_eq!((groups.failures(), drain(&mut groups)), (0, join));
        groups.join_failed(ETH0, address("ff02::1:ff00:10"));
        groups.forget(address("2001:db8::10"));
        assert_eq!((groups.failures(), drain(&mut groups)), (0, Vec::new()));
    }

    proptest! {
        // Whatever happens, carrying out the changes leaves exactly the groups of the watched addresses on the links that are there.
        #[test]
        fn memberships_are_those_of_the_watched_addresses(
            course in prop::collection::vec((0..6_u8, 0..4_u32, 0..3_u32), 0..80),
        ) {
            let mut groups = Groups::new();
            let (mut joined, mut watched, mut links) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
            for (step, number, link) in course {
                // Pairs of addresses share a group.
                let address = Ipv6Addr::from_bits(u128::from(number / 2) | u128::from(number % 2) << 64);
                let link = LinkIndex::new(link);
                match step {
                    0 | 1 => { groups.watch(address); watched.insert(address); }
                    2 => { groups.forget(address); watched.remove(&address); }
                    3 | 4 => { groups.add_link(link); links.insert(link); }
                    _ => { groups.remove_link(link); links.remove(&link); joined.retain(|(of, _)| *of != link); }
                }
                while let Some(change) = groups.poll_change() {
                    match change {
                        Change::Join { link, group } => prop_assert!(joined.insert((link, group))),
                        Change::Leave { link, group } => prop_assert!(joined.remove(&(link, group))),
                    }
                }
                let expected: BTreeSet<_> = links
                    .iter()
                    .flat_map(|link| watched.iter().map(|address| (*link, solicited_node(*address))))
                    .collect();
                prop_assert_eq!(&joined, &expected);
            }
        }
    }
}
