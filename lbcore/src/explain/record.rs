//! What became of a recorded address, in words.

use super::mend::{parts_of, rule_of};
use super::{Trace, Verdict};
use crate::addresses::RecordedAddresses;
use crate::allocator::NoAddress;
use crate::converge::RecordFate;
use crate::service::PoolName;

/// Why recorded addresses are not kept, as a sentence without an end, with the mend where there is one; `None` where they are kept, or
/// nothing was recorded.
pub fn why_not_kept(fate: &RecordFate, requested_pool: Option<&PoolName>) -> Option<(String, Option<String>)> {
    let plain = |text: String| Some((text, None));
    match fate {
        RecordFate::NotReached | RecordFate::Nothing | RecordFate::Untouched { .. } | RecordFate::Kept { .. } => None,
        RecordFate::Unreadable => {
            plain("what is recorded is not one address or one of each family, and is replaced".to_owned())
        }
        RecordFate::OtherFamilies { addresses } => {
            plain(format!("the recorded {addresses} is not of the families that the Service has"))
        }
        RecordFate::Refused { addresses, reason } => {
            let (wrong, fix) = parts_of(reason);
            Some((format!("the recorded {addresses} cannot be kept, because {wrong}"), fix))
        }
        RecordFate::OtherPool { addresses, pool } => {
            let requested = requested_pool.map_or("another pool", PoolName::as_str);
            let text = format!("the recorded {addresses} is of pool {pool}, and the Service asks for pool {requested}");
            Some((text, Some(format!("ask for pool {pool} to keep it"))))
        }
        RecordFate::OtherAddresses { addresses, requested } => {
            let text = format!("the recorded {addresses} is given up for the requested {requested}");
            Some((text, Some(format!("request {addresses} to keep it"))))
        }
        RecordFate::Incomplete { addresses, reason } => {
            let (wrong, fix) = parts_of(reason);
            let text = format!("{addresses} alone is not enough for RequireDualStack, and beside it {wrong}");
            Some((text, fix))
        }
    }
}

const fn rule_of_fate(fate: &RecordFate) -> &'static str {
    match fate {
        RecordFate::NotReached | RecordFate::Nothing => "CTRL-35",
        RecordFate::Unreadable => "CTRL-36",
        RecordFate::Untouched { .. } => "CTRL-37",
        RecordFate::OtherFamilies { .. } => "CTRL-38",
        RecordFate::Refused { .. } => "CTRL-39",
        RecordFate::OtherPool { .. } => "CTRL-40",
        RecordFate::OtherAddresses { .. } => "CTRL-41",
        RecordFate::Incomplete { .. } => "CHG-31",
        RecordFate::Kept { .. } => "CTRL-47",
    }
}

/// Adds the steps about the record.
pub(super) fn tell(
    trace: &mut Trace,
    fate: &RecordFate,
    recorded: &RecordedAddresses,
    requested_pool: Option<&PoolName>,
) {
    let rule = rule_of_fate(fate);
    match fate {
        RecordFate::NotReached => {}
        RecordFate::Nothing => {
            trace.step(rule, Verdict::Noted, "no address is recorded for the Service, so one is looked for");
        }
        RecordFate::Untouched { .. } => {
            let text = "what is recorded is left alone until the cluster IPs tell the families of the Service";
            trace.step(rule, Verdict::Noted, text);
        }
        RecordFate::Kept { addresses, pool } => {
            let part = recorded.known().filter(|recorded| recorded.as_slice().len() > addresses.as_slice().len());
            let text = match part {
                Some(all) => {
                    format!("of the recorded {all} the Service keeps {addresses}, the family that it still has")
                }
                None => format!("the recorded {addresses} is kept: pool {pool} has it and serves the Service"),
            };
            trace.step(rule, Verdict::Chosen, text).about("IPAddressPool", pool.as_str());
        }
        RecordFate::Unreadable
        | RecordFate::OtherFamilies { .. }
        | RecordFate::Refused { .. }
        | RecordFate::OtherPool { .. }
        | RecordFate::OtherAddresses { .. }
        | RecordFate::Incomplete { .. } => {
            let Some((text, fix)) = why_not_kept(fate, requested_pool) else { return };
            let step = trace.step(rule, Verdict::Refused, text);
            step.fix = fix;
            if let RecordFate::Refused { reason, .. } | RecordFate::Incomplete { reason, .. } = fate {
                involve(step, reason);
                if let RecordFate::Refused { .. } = fate {
                    step.rule = rule_of(reason);
                }
            }
        }
    }
}

/// Adds the objects that a refusal names.
pub(super) fn involve(step: &mut super::Step, reason: &NoAddress) {
    let mut pool = |name: &PoolName| {
        step.about("IPAddressPool", name.as_str());
    };
    match reason {
        NoAddress::Avoided { pool: name, .. }
        | NoAddress::Excluded { pool: name, .. }
        | NoAddress::OnlyKept { pool: name, .. }
        | NoAddress::FamilyNotInPool { pool: name, .. }
        | NoAddress::NoSuchPool { pool: name }
        | NoAddress::PoolExhausted { pool: name, .. }
        | NoAddress::PoolNotAllowed { pool: name, .. } => pool(name),
        NoAddress::DifferentPools { first_pool, second_pool, .. } => {
            pool(first_pool);
            pool(second_pool);
        }
        NoAddress::PoolMismatch { found, requested, .. } => {
            pool(found);
            pool(requested);
        }
        NoAddress::FamilyNowhere { pools, .. } | NoAddress::PoolsExhausted { pools, .. } => {
            pools.named.iter().for_each(pool);
        }
        NoAddress::SharingConflict { holder, .. } => step.objects.push(super::ObjectName::service(holder)),
        NoAddress::Waits { hold } => step.objects.push(super::ObjectName::service(&hold.service)),
        NoAddress::QuotaExceeded { usage } => {
            step.about("PoolPolicy", &usage.policy);
        }
        NoAddress::SetAside { reservation, .. } => {
            step.about("AddressReservation", reservation);
        }
        NoAddress::Addresses(_)
        | NoAddress::ClusterIps(_)
        | NoAddress::DualStackRequired { .. }
        | NoAddress::DualStackUnwanted
        | NoAddress::FamilyMismatch { .. }
        | NoAddress::Forgotten
        | NoAddress::NoEligiblePool
        | NoAddress::NoPools
        | NoAddress::NotInPool { .. }
        | NoAddress::NothingToAddTo
        | NoAddress::Request(_)
        | NoAddress::Reserved { .. } => {}
    }
}
