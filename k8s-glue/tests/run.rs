//! `ferrule run` in real namespaces: the binary as a user starts it, killed, restarted, edited under its feet.
//!
//! `rig` builds hosts and daemons, `single` holds what one daemon promises, `families` the same of
//! IPv6, `policies` what `ferrule.io` adds, `several` what three do together.

#![expect(
    clippy::indexing_slicing,
    reason = "a test without the standard harness, to which clippy.toml's exceptions do not reach"
)]

#[path = "run/families.rs"]
mod families;
#[path = "run/policies.rs"]
mod policies;
#[path = "run/rig.rs"]
mod rig;
#[path = "run/routes.rs"]
mod routes;
#[path = "run/several.rs"]
mod several;
#[path = "run/single.rs"]
mod single;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    if let Err(status) = lab::privilege::enter_for_tests("ferrule run") {
        return status;
    }
    let trial = |name: &'static str, check: fn() -> rig::Checked| {
        Trial::test(name, move || check().map_err(|error| Failed::from(error.to_string())))
    };
    let trials = vec![
        trial("arping_and_curl_reach_an_address_from_another_host", single::arping_and_curl_reach_an_address),
        trial("stopping_undoes_every_change_to_the_kernel", single::stopping_undoes_every_change),
        trial("the_kernel_of_a_dead_daemon_is_silent_and_the_next_start_sweeps", single::the_next_start_sweeps),
        trial("a_link_that_appears_later_is_prepared", single::a_link_that_appears_later_is_prepared),
        trial("an_address_that_somebody_removes_is_put_back", single::an_address_that_somebody_removes_is_put_back),
        trial("a_setting_that_somebody_resets_is_set_again", single::a_setting_that_is_reset_is_set_again),
        trial("a_link_that_goes_is_no_error", single::a_link_that_goes_is_no_error),
        trial("a_restart_right_after_a_kill_starts", single::a_restart_right_after_a_kill_starts),
        trial(
            "a_file_that_is_truncated_and_written_again_releases_nothing",
            single::a_file_that_is_truncated_and_written_again_releases_nothing,
        ),
        trial("a_second_daemon_is_refused", single::a_second_daemon_is_refused),
        trial("a_damaged_state_file_is_refused", single::a_damaged_state_file_is_refused),
        trial("an_invalid_start_configuration_is_refused", single::an_invalid_start_configuration_is_refused),
        trial("a_bad_edit_keeps_the_last_good_configuration", single::a_bad_edit_keeps_the_last_good),
        trial("nothing_is_announced_before_it_is_durable", single::nothing_is_announced_before_it_is_durable),
        trial("kills_at_any_moment_change_no_recorded_address", single::kills_change_no_recorded_address),
        trial(
            "a_deleted_service_gets_its_address_back_after_a_restart",
            policies::a_deleted_service_gets_its_address_back,
        ),
        trial("a_freeze_keeps_an_address_that_its_pool_lost", policies::a_freeze_keeps_an_address_that_its_pool_lost),
        trial("reservations_quotas_and_exclusions_count", policies::reservations_quotas_and_exclusions_count),
        trial("a_router_sees_a_service_come_and_go", routes::a_router_sees_a_service_come_and_go),
        trial("a_wrong_password_costs_the_route_alone", routes::a_wrong_password_costs_the_route_alone),
        trial("curl_reaches_both_addresses_of_a_dual_stack_service", families::curl_reaches_both_addresses),
        trial("a_kernel_never_answers_for_an_ipv6_address_by_itself", families::a_kernel_never_answers),
        trial("a_host_without_ipv6_announces_ipv4_as_ever", families::a_host_without_ipv6),
        trial("only_the_owner_holds_the_address", several::only_the_owner_holds_the_address),
        trial(
            "of_two_nodes_the_survivor_serves_a_client_that_does_not_ask_anew",
            several::of_two_nodes_the_survivor_serves_a_client_that_does_not_ask_anew,
        ),
        trial("a_daemon_that_was_away_changes_nothing", several::a_daemon_that_was_away_changes_nothing),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
