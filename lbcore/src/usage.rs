//! How many addresses a pool has, and how many of them are in use, as the signed 64-bit numbers of a pool's status.
//!
//! Nothing here overflows: every count stops at `i64::MAX` ([ALLOC-40] to [ALLOC-44], [D162-5]).

use crate::family::IpFamily;
use crate::pool::{BuggyAddresses, Pool};
use crate::range::AddressRange;

/// Host bits from which a block of IPv6 addresses counts as `i64::MAX` ([ALLOC-42]).
const COUNTLESS_HOST_BITS: u32 = 62;
/// Addresses of a /24, in which avoided ones are the first and the last.
const BUGGY_PERIOD: u128 = 256;

/// The usable addresses of a pool; each figure stops at `i64::MAX`.
///
/// Source: [ALLOC-40] to [ALLOC-43].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Both families together.
    pub total: i64,
    /// IPv4.
    pub ipv4: i64,
    /// IPv6.
    pub ipv6: i64,
}

impl Capacity {
    /// Counts the ranges of a pool, without the addresses that it avoids or excludes.
    pub fn of(pool: &Pool) -> Self {
        let mut capacity = Self::default();
        for range in pool.ranges.iter().flat_map(|range| range.without(&pool.exclusions)) {
            let count = range_capacity(&range, pool.buggy_addresses);
            capacity.total = capacity.total.saturating_add(count);
            match range.family() {
                IpFamily::V4 => capacity.ipv4 = capacity.ipv4.saturating_add(count),
                IpFamily::V6 => capacity.ipv6 = capacity.ipv6.saturating_add(count),
            }
        }
        capacity
    }

    /// The figure of one family.
    pub const fn family(&self, family: IpFamily) -> i64 {
        match family {
            IpFamily::V4 => self.ipv4,
            IpFamily::V6 => self.ipv6,
        }
    }
}

/// The four counters of a pool's status.
///
/// Available addresses are the capacity less those in use and less those reserved for somebody else; an address that several
/// Services share is in use once.
///
/// Source: [ALLOC-3], [ALLOC-44], [POOLST-7].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolUsage {
    /// Distinct IPv4 addresses in use by Services.
    pub assigned_ipv4: i64,
    /// Distinct IPv6 addresses in use by Services.
    pub assigned_ipv6: i64,
    /// IPv4 addresses that can still be given.
    pub available_ipv4: i64,
    /// IPv6 addresses that can still be given; `i64::MAX` less those in use where the pool has more than can be counted.
    pub available_ipv6: i64,
}

impl PoolUsage {
    /// The addresses of one family that are in use, and those that can still be given.
    pub const fn family(&self, family: IpFamily) -> (i64, i64) {
        match family {
            IpFamily::V4 => (self.assigned_ipv4, self.available_ipv4),
            IpFamily::V6 => (self.assigned_ipv6, self.available_ipv6),
        }
    }
}

/// Usable addresses of one range, at most `i64::MAX`.
pub fn range_capacity(range: &AddressRange, buggy_addresses: BuggyAddresses) -> i64 {
    let (first, last) = (range.first_number(), range.last_number());
    match (range.family(), buggy_addresses) {
        (IpFamily::V6, _) if holds_countless_block(first, last) => i64::MAX,
        (IpFamily::V4, BuggyAddresses::Avoided) => saturate(range.count() - buggy_count(first, last)),
        _ => saturate(range.count()),
    }
}

/// Whether one of the CIDRs that make up the range has so many host bits that it counts as `i64::MAX`. That is so exactly where an
/// aligned block of that size lies within the range.
fn holds_countless_block(first: u128, last: u128) -> bool {
    let block = 1_u128 << COUNTLESS_HOST_BITS;
    let aligned = first.checked_next_multiple_of(block);
    aligned.and_then(|start| start.checked_add(block - 1)).is_some_and(|end| end <= last)
}

/// How many IPv4 addresses from `first` to `last` end in .0 or .255.
const fn buggy_count(first: u128, last: u128) -> u128 {
    let zeros = last / BUGGY_PERIOD + 1 - first.div_ceil(BUGGY_PERIOD);
    let all_ones = (last + 1) / BUGGY_PERIOD - first / BUGGY_PERIOD;
    zeros + all_ones
}

fn saturate(count: u128) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pool::is_buggy;
    use crate::range::number_to_address;

    const COUNTLESS: i64 = i64::MAX;

    fn capacity(ranges: &[&str], buggy_addresses: BuggyAddresses) -> (i64, i64, i64) {
        let ranges = ranges.iter().map(|text| text.parse().unwrap()).collect();
        let pool = Pool { buggy_addresses, ..Pool::new("p".parse().unwrap(), ranges) };
        let capacity = Capacity::of(&pool);
        (capacity.total, capacity.ipv4, capacity.ipv6)
    }

    // [VEC-CAP]
    #[test]
    fn the_published_capacities_hold() {
        use BuggyAddresses::{Avoided, Used};
        assert_eq!(capacity(&["1.2.3.0/24"], Used), (256, 256, 0));
        assert_eq!(capacity(&["1.2.3.0/24", "2.3.4.128/25"], Used), (384, 384, 0));
        assert_eq!(capacity(&["1.2.3.0/24", "2.3.4.128/25"], Avoided), (381, 381, 0));
        assert_eq!(capacity(&["1.2.3.0/24", "2.3.4.128/25", "1000::/64"], Avoided), (COUNTLESS, 381, COUNTLESS));
        assert_eq!(capacity(&["1.2.3.0/31", "1000::/127"], Avoided), (3, 1, 2));
    }

    // [ALLOC-43], [D162-5]
    #[test]
    fn ranges_after_a_countless_one_do_not_overflow() {
        use BuggyAddresses::Used;
        assert_eq!(capacity(&["2001:db8::/64", "10.0.0.0/24"], Used), (COUNTLESS, 256, COUNTLESS));
        assert_eq!(capacity(&["2001:db8::/64", "2001:db9::/64"], Used), (COUNTLESS, 0, COUNTLESS));
        assert_eq!(capacity(&["0.0.0.0/0", "::/0"], Used), (COUNTLESS, 1 << 32, COUNTLESS));
    }

    // [ALLOC-43]
    #[test]
    fn an_avoided_single_address_is_subtracted_once() {
        use BuggyAddresses::Avoided;
        assert_eq!(capacity(&["10.0.0.0/32"], Avoided), (0, 0, 0));
        assert_eq!(capacity(&["10.0.0.255-10.0.1.3"], Avoided), (3, 3, 0));
        assert_eq!(capacity(&["0.0.0.0/0"], Avoided), ((1 << 32) - (1 << 25), (1 << 32) - (1 << 25), 0));
    }

    // [ALLOC-42]
    #[test]
    fn sixty_two_host_bits_are_countless_and_sixty_one_are_counted() {
        use BuggyAddresses::Used;
        assert_eq!(capacity(&["2001:db8::/66"], Used).2, COUNTLESS);
        assert_eq!(capacity(&["2001:db8::/67"], Used).2, 1 << 61);
        // As large as a /66 but nowhere aligned to one: counted.
        assert_eq!(capacity(&["2001:db8::1-2001:db8::4000:0:0:0"], Used).2, 1 << 62);
        assert_eq!(capacity(&["2001:db8::1-2001:db8::7fff:ffff:ffff:ffff"], Used).2, COUNTLESS);
    }

    proptest! {
        // [ALLOC-40]
        #[test]
        fn counting_avoided_addresses_equals_looking_at_each(first in any::<u32>(), span in 0_u32..2000) {
            let last = first.saturating_add(span);
            let range = AddressRange::new(
                number_to_address(IpFamily::V4, first.into()),
                number_to_address(IpFamily::V4, last.into()),
            ).unwrap();
            let looked_at = (first..=last).filter(|number| !is_buggy(number_to_address(IpFamily::V4, (*number).into()))).count();
            prop_assert_eq!(range_capacity(&range, BuggyAddresses::Avoided), i64::try_from(looked_at).unwrap());
        }
    }
}
