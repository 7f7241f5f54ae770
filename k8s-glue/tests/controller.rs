//! `ferrule controller` on a real API server, with the rights it is given and no other: what it writes, what it leaves alone, and what
//! becomes of it when it or the API server dies.
//!
//! One control plane for all; each test has an install namespace, a class and a controller of its own. `rig` builds these, `serving`
//! holds what one controller does, `policies` what the kinds of `ferrule.io` add, `failures` what happens when something breaks,
//! `explaining` what `ferrule explain` says of it.

#![expect(
    clippy::indexing_slicing,
    reason = "a test without the standard harness, to which clippy.toml's exceptions do not reach"
)]

#[path = "controller/explaining.rs"]
mod explaining;
#[path = "controller/failures.rs"]
mod failures;
#[path = "controller/policies.rs"]
mod policies;
#[path = "controller/rig.rs"]
mod rig;
#[path = "controller/serving.rs"]
mod serving;

use std::process::ExitCode;

use lab::control_plane;
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let binaries = match control_plane::enter_for_tests("ferrule controller") {
        Ok(binaries) => binaries,
        Err(status) => return status,
    };
    let trial = |name: &'static str, check: fn(&mut rig::Plane) -> rig::Checked| {
        let binaries = binaries.clone();
        Trial::test(name, move || {
            let mut plane = rig::plane(&binaries).map_err(|error| Failed::from(error.to_string()))?;
            check(&mut plane).map_err(|error| Failed::from(error.to_string()))
        })
    };
    let trials = vec![
        trial("a_service_gets_status_annotation_and_event_and_keeps_its_metadata", serving::a_service_gets_an_address),
        trial("families_requests_and_sharing_are_met", serving::families_requests_and_sharing),
        trial("an_idle_cluster_and_a_restart_cause_no_write", serving::idle_and_restart_write_nothing),
        trial("of_two_services_with_one_address_the_younger_loses", serving::two_services_with_one_address),
        trial("bad_pools_change_nothing_and_are_reported", serving::bad_pools_change_nothing),
        trial("a_cluster_is_explained_as_far_as_it_may_be_read", explaining::a_cluster_is_explained),
        trial("who_waits_is_served_when_an_address_is_freed", serving::who_waits_is_served),
        trial("reservations_quotas_and_retention_outlive_a_restart", policies::reservations_quotas_and_retention),
        trial("a_freeze_keeps_addresses_that_their_pool_lost", policies::a_freeze_keeps_addresses),
        trial("a_cluster_without_policies_works_and_gets_them_later", policies::a_cluster_without_policies),
        trial("without_the_right_to_leases_it_runs_and_says_so", failures::without_leases),
        trial(
            "a_right_to_leases_that_is_gone_for_a_moment_makes_no_second_leader",
            failures::leases_refused_for_a_moment,
        ),
        trial("a_namespace_that_is_not_there_is_told_and_is_not_ready", failures::a_namespace_that_is_not_there),
        trial("a_polite_stop_hands_the_lease_over_at_once", failures::a_polite_stop),
        trial("a_stopped_leader_gives_no_address_twice", failures::a_stopped_leader),
        trial("a_webhook_that_is_away_stops_its_own_services_alone", failures::a_webhook_away),
        trial("an_api_server_that_was_away_is_served_again", failures::an_api_server_away),
        trial("watches_that_expired_begin_anew", failures::watches_that_expired),
    ];
    let mut arguments = Arguments::from_args();
    // One after the other: they share the control plane, and one of them breaks it.
    arguments.test_threads = Some(1);
    let conclusion = libtest_mimic::run(&arguments, trials);
    rig::tear_down();
    conclusion.exit_code()
}
