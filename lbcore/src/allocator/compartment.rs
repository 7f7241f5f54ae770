//! How a pool is cut: its ranges less what is excluded, split where a reservation begins or ends, and the kept addresses beside them.
//!
//! The order of the compartments is that of the search: ranges as written, addresses ascending ([ALLOC-20]). A pool without policies has
//! one compartment a range.

use std::collections::BTreeMap;

use crate::policy::Policies;
use crate::pool::Pool;
use crate::range::AddressRange;

/// Number of a reservation: its place among those of the policies.
pub(super) type ReservationNumber = u32;

/// Who is given addresses of a compartment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Everybody,
    /// The Services of these reservations; at least one.
    Reserved(Vec<ReservationNumber>),
    /// Nobody: it is there for those who hold it.
    Kept,
}

/// A part of a pool whose addresses are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) range: AddressRange,
    pub(super) access: Access,
}

/// Cuts a pool.
pub(super) fn cut(pool: &Pool, policies: &Policies) -> Vec<Cut> {
    let reserved: Vec<(AddressRange, ReservationNumber)> = (0..)
        .zip(&policies.reservations)
        .flat_map(|(number, reservation)| reservation.ranges_in(pool).map(move |range| (range, number)))
        .collect();
    let beyond: Vec<AddressRange> = pool
        .kept
        .iter()
        .filter(|address| !pool.offers(**address))
        .map(|address| AddressRange::single(*address))
        .collect();
    let cuts: Vec<AddressRange> = pool.exclusions.iter().chain(&beyond).copied().collect();
    let parts = pool.ranges.iter().flat_map(|range| if cuts.is_empty() { vec![*range] } else { range.without(&cuts) });
    let mut compartments: Vec<Cut> = Vec::with_capacity(pool.ranges.len());
    for part in parts {
        if reserved.is_empty() {
            compartments.push(Cut { range: part, access: Access::Everybody });
        } else {
            split(part, &reserved, &mut compartments);
        }
    }
    compartments.extend(beyond.into_iter().map(|range| Cut { range, access: Access::Kept }));
    compartments
}

/// Splits a part at the borders of what is reserved of it.
fn split(part: AddressRange, reserved: &[(AddressRange, ReservationNumber)], compartments: &mut Vec<Cut>) {
    // How often each reservation begins (above 0) or ended at the number before (below 0).
    let mut borders: BTreeMap<u128, Vec<(ReservationNumber, i64)>> = BTreeMap::new();
    for (range, number) in reserved {
        let Some(common) = part.intersection(range) else { continue };
        borders.entry(common.first_number()).or_default().push((*number, 1));
        if common.last_number() < part.last_number() {
            borders.entry(common.last_number() + 1).or_default().push((*number, -1));
        }
    }
    let mut covering: BTreeMap<ReservationNumber, i64> = BTreeMap::new();
    let mut first = part.first_number();
    let mut push = |first: u128, last: u128, covering: &BTreeMap<ReservationNumber, i64>| {
        let numbers: Vec<ReservationNumber> =
            covering.iter().filter(|(_, times)| **times > 0).map(|(number, _)| *number).collect();
        let access = if numbers.is_empty() { Access::Everybody } else { Access::Reserved(numbers) };
        compartments.push(Cut { range: part.between(first, last), access });
    };
    for (border, changes) in borders {
        if border > first {
            push(first, border - 1, &covering);
            first = border;
        }
        for (number, change) in changes {
            *covering.entry(number).or_default() += change;
        }
    }
    push(first, part.last_number(), &covering);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::policy::{AddressReservation, Beneficiaries};

    fn reservation(addresses: &[&str]) -> Arc<AddressReservation> {
        Arc::new(AddressReservation {
            name: "r".into(),
            addresses: addresses.iter().map(|text| AddressRange::parse_lenient(text).unwrap()).collect(),
            host_parts: vec![],
            pool: None,
            beneficiaries: Beneficiaries::default(),
        })
    }

    fn pool(ranges: &[&str], exclusions: &[&str], kept: &[&str]) -> Pool {
        let exclusions = exclusions.iter().map(|text| AddressRange::parse_lenient(text).unwrap()).collect();
        let kept = kept.iter().map(|text| text.parse().unwrap()).collect();
        let ranges = ranges.iter().map(|text| text.parse().unwrap()).collect();
        Pool { exclusions, kept, ..Pool::new("p".parse().unwrap(), ranges) }
    }

    fn written(pool: &Pool, policies: &Policies) -> Vec<String> {
        let write = |cut: &Cut| match &cut.access {
            Access::Everybody => cut.range.to_string(),
            Access::Reserved(numbers) => format!("{} for {numbers:?}", cut.range),
            Access::Kept => format!("{} kept", cut.range),
        };
        cut(pool, policies).iter().map(write).collect()
    }

    // [ALLOC-20]
    #[test]
    fn the_order_of_the_ranges_stays() {
        let pool = pool(&["192.0.2.8/30", "192.0.2.0/30"], &["192.0.2.9", "192.0.2.3"], &[]);
        let expected = ["192.0.2.8/32", "192.0.2.10/31", "192.0.2.0-192.0.2.2"];
        assert_eq!(written(&pool, &Policies::default()), expected);
    }

    #[test]
    fn reservations_that_overlap_share_the_common_part() {
        let reservations =
            vec![reservation(&["192.0.2.1-192.0.2.3"]), reservation(&["192.0.2.3-192.0.2.7", "192.0.2.3"])];
        let policies = Policies { reservations, ..Policies::default() };
        let expected =
            ["192.0.2.0/32", "192.0.2.1-192.0.2.2 for [0]", "192.0.2.3/32 for [0, 1]", "192.0.2.4/30 for [1]"];
        assert_eq!(written(&pool(&["192.0.2.0/29"], &[], &[]), &policies), expected);
    }

    #[test]
    fn a_kept_address_is_a_compartment_only_where_the_pool_does_not_offer_it() {
        let kept = ["192.0.2.1", "192.0.2.2", "198.51.100.7"];
        let pool = pool(&["192.0.2.0/30"], &["192.0.2.2"], &kept);
        let expected = ["192.0.2.0/31", "192.0.2.3/32", "192.0.2.2/32 kept", "198.51.100.7/32 kept"];
        assert_eq!(written(&pool, &Policies::default()), expected);
    }

    #[test]
    fn the_ends_of_the_number_space_are_no_border_beyond() {
        let policies = Policies { reservations: vec![reservation(&["::/1", "8000::/1"])], ..Policies::default() };
        assert_eq!(written(&pool(&["::/0"], &[], &[]), &policies), ["::/1 for [0]", "8000::/1 for [0]"]);
        let excluded = pool(&["::/0"], &["::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"], &[]);
        assert_eq!(written(&excluded, &Policies::default()).len(), 1);
    }
}
