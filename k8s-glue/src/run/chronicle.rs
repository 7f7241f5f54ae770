//! What a pass of `ferrule run` did to addresses, as entries of the ledger that the state file keeps.

use std::net::IpAddr;

use lbcore::allocator::{Hold, HoldReason};
use lbcore::ledger::{Cause, Entry, Event, Why};
use lbcore::policy::KeptAddress;
use lbcore::service::{PoolName, ServiceKey};
use lbcore::time::UnixTime;

use super::ledger::Report;

/// How many entries are kept.
pub(crate) const LIMIT: usize = 2_000;

/// The entries for a report; none where no address changed hands. `pool_of` knows the pool of what a Service has, or had just before.
pub(crate) fn entries(at: UnixTime, report: &Report, pool_of: impl Fn(&ServiceKey) -> Option<PoolName>) -> Vec<Entry> {
    let each = |service: &ServiceKey, pool: Option<PoolName>, addresses: &[IpAddr], event: Event, cause: &Cause| {
        let entry = |address: &IpAddr| Entry {
            at,
            address: *address,
            service: service.clone(),
            pool: pool.clone(),
            event,
            cause: cause.clone(),
        };
        addresses.iter().map(entry).collect::<Vec<Entry>>()
    };
    match report {
        Report::Allocated { service, addresses, pool } => {
            let cause = Cause::new(Why::Choice, format!("the first that is free for it in pool {pool}"));
            each(service, Some(pool.clone()), addresses, Event::Granted, &cause)
        }
        Report::Adopted { service, addresses, from, before } => {
            let cause = Cause::new(Why::Adoption, format!("node {from} gave it to the Service"));
            let pool = pool_of(service);
            let gone: Vec<IpAddr> = before.iter().filter(|address| !addresses.contains(address)).copied().collect();
            let new: Vec<IpAddr> = addresses.iter().filter(|address| !before.contains(address)).copied().collect();
            let mut entries = each(service, pool.clone(), &gone, Event::Moved, &cause);
            entries.extend(each(service, pool, &new, Event::Granted, &cause));
            entries
        }
        Report::Released { service, addresses } => {
            let cause = Cause::new(Why::ServiceGone, "the Service is gone from the files");
            each(service, pool_of(service), addresses, Event::Released, &cause)
        }
        Report::GivenUp { service, addresses, cause } | Report::RecordVoid { service, addresses, cause } => {
            each(service, pool_of(service), addresses, Event::Released, cause)
        }
        Report::Restored { .. } | Report::Unmet { .. } | Report::Waits { .. } => Vec::new(),
    }
}

/// The entries for addresses that begin to wait or wait no longer. Who takes his address back is told as a grant; `is_used` knows.
pub(crate) fn hold_entries(
    at: UnixTime,
    before: &[Hold],
    after: &[Hold],
    is_used: impl Fn(IpAddr) -> bool,
    pool_of: impl Fn(IpAddr) -> Option<PoolName>,
) -> Vec<Entry> {
    let entry = |hold: &Hold, event: Event, cause: Cause| {
        let (address, service) = (hold.address, hold.service.clone());
        Entry { at, address, service, pool: pool_of(address), event, cause }
    };
    let has = |holds: &[Hold], hold: &Hold| {
        let place = holds.binary_search_by(|other| other.address.cmp(&hold.address));
        place.is_ok_and(|place| holds.get(place).is_some_and(|other| other.service == hold.service))
    };
    let ended = before.iter().filter(|hold| !has(after, hold) && !is_used(hold.address)).map(|hold| {
        let cause = if hold.until <= at {
            Cause::new(Why::Expiry, "its time is over")
        } else {
            Cause::new(Why::Operator, "the policies do not let it wait any longer")
        };
        entry(hold, Event::HoldEnded, cause)
    });
    let begun = after.iter().filter(|hold| !has(before, hold)).map(|hold| {
        let until = hold.until;
        let cause = match hold.reason {
            HoldReason::Retention => Cause::new(Why::Retention, format!("its Service may come back until {until}")),
            HoldReason::Cooldown => Cause::new(Why::CoolDown, format!("it cools down until {until}")),
        };
        entry(hold, Event::Held, cause)
    });
    ended.chain(begun).collect()
}

/// The entries for addresses that freezes begin to keep, or keep no longer.
pub(crate) fn kept_entries(at: UnixTime, before: &[KeptAddress], after: &[KeptAddress]) -> Vec<Entry> {
    let entry = |kept: &KeptAddress, event: Event, cause: Cause| {
        let (address, service, pool) = (kept.address, kept.service.clone(), Some(kept.pool.clone()));
        Entry { at, address, service, pool, event, cause }
    };
    let ended = before.iter().filter(|kept| !after.contains(kept)).map(|kept| {
        let cause = Cause::new(Why::Operator, "its loss is confirmed, it was given up, or a pool has it again");
        entry(kept, Event::KeepEnded, cause)
    });
    let begun = after.iter().filter(|kept| !before.contains(kept)).map(|kept| {
        entry(kept, Event::Kept, Cause::new(Why::Freeze, "no pool gives it any more, and a freeze keeps it"))
    });
    ended.chain(begun).collect()
}

#[cfg(test)]
mod tests {
    use lbcore::allocator::NoAddress;

    use super::*;

    fn told(report: &Report) -> Vec<String> {
        let pool = |_: &ServiceKey| Some("lan".parse().unwrap());
        let entries = entries(UnixTime::from_secs(1), report, pool);
        entries.iter().map(|entry| format!("{} {} {}", entry.address, entry.event, entry.cause.why)).collect()
    }

    #[test]
    fn every_change_of_hands_is_an_entry_and_nothing_else() {
        let service: ServiceKey = "shop/web".parse().unwrap();
        let (one, other): (IpAddr, IpAddr) = ("192.0.2.7".parse().unwrap(), "192.0.2.9".parse().unwrap());
        let pool = "lan".parse().unwrap();
        let allocated = Report::Allocated { service: service.clone(), addresses: vec![one], pool };
        assert_eq!(told(&allocated), ["192.0.2.7 granted choice"]);
        let from = "n2".parse().unwrap();
        let adopted = Report::Adopted { service: service.clone(), addresses: vec![other], from, before: vec![one] };
        assert_eq!(told(&adopted), ["192.0.2.7 moved adoption", "192.0.2.9 granted adoption"]);
        let released = Report::Released { service: service.clone(), addresses: vec![one] };
        assert_eq!(told(&released), ["192.0.2.7 released service-gone"]);
        let cause = Cause::from(&NoAddress::NotInPool { address: one });
        let given_up = Report::GivenUp { service: service.clone(), addresses: vec![one], cause };
        assert_eq!(told(&given_up), ["192.0.2.7 released pools"]);
        let restored = Report::Restored { service: service.clone(), addresses: vec![one] };
        assert_eq!(told(&restored), [""; 0]);
        assert_eq!(told(&Report::Unmet { service, cause: NoAddress::NoPools }), [""; 0]);
    }

    #[test]
    fn what_begins_to_wait_and_what_waits_no_longer_is_told() {
        let hold = |octet: u8, until: u64, reason: HoldReason| Hold {
            address: IpAddr::from([192, 0, 2, octet]),
            service: "shop/web".parse().unwrap(),
            until: UnixTime::from_secs(until),
            reason,
        };
        let before = [
            hold(1, 5, HoldReason::Retention),
            hold(2, 50, HoldReason::Retention),
            hold(3, 50, HoldReason::Retention),
            hold(4, 50, HoldReason::Cooldown),
        ];
        let after = [hold(4, 50, HoldReason::Cooldown), hold(5, 60, HoldReason::Cooldown)];
        let used = IpAddr::from([192, 0, 2, 3]);
        let entries = hold_entries(UnixTime::from_secs(9), &before, &after, |address| address == used, |_| None);
        let told: Vec<String> =
            entries.iter().map(|entry| format!("{} {} {}", entry.address, entry.event, entry.cause.why)).collect();
        assert_eq!(told, ["192.0.2.1 hold-ended expiry", "192.0.2.2 hold-ended operator", "192.0.2.5 held cool-down"]);
    }

    #[test]
    fn what_a_freeze_keeps_is_told() {
        let kept = |octet: u8| KeptAddress {
            address: IpAddr::from([192, 0, 2, octet]),
            pool: "lan".parse().unwrap(),
            service: "shop/web".parse().unwrap(),
            pool_labels: lbcore::labels::Labels::new(),
        };
        let entries = kept_entries(UnixTime::from_secs(9), &[kept(1), kept(2)], &[kept(2), kept(3)]);
        let told: Vec<String> = entries.iter().map(|entry| format!("{} {}", entry.address, entry.event)).collect();
        assert_eq!(told, ["192.0.2.1 keep-ended", "192.0.2.3 kept"]);
    }
}
