//! The announcer in real namespaces: what it answers and announces on the wire, which groups it joins, what it does when links and
//! processes come and go. Frames are read and judged by the laboratory's own code.

#![expect(clippy::print_stdout, reason = "copies of this binary tell the test what they do")]

#[path = "netns/announcer.rs"]
mod announcer;
#[path = "netns/groups.rs"]
mod groups;
#[path = "netns/ownership.rs"]
mod ownership;
#[path = "netns/site.rs"]
mod site;
#[path = "netns/wire.rs"]
mod wire;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use site::Checked;

fn main() -> ExitCode {
    if let Some(status) = announcer::run_if_asked() {
        return status;
    }
    if let Err(status) = lab::privilege::enter_for_tests("announce-ndp netns") {
        return status;
    }
    let trial = |name: &'static str, check: fn() -> Checked| {
        Trial::test(name, move || check().map_err(|error| Failed::from(error.to_string())))
    };
    let trials = vec![
        trial("solicitations_are_answered_octet_by_octet", wire::solicitations_are_answered),
        trial("a_confirmation_is_answered", wire::a_confirmation_is_answered),
        trial("a_probe_for_duplicates_is_answered_to_all_nodes", wire::a_probe_is_answered_to_all_nodes),
        trial("a_routed_solicitation_is_not_answered", wire::a_routed_solicitation_is_not_answered),
        trial("a_claim_is_followed_by_its_burst", wire::a_claim_is_followed_by_its_burst),
        trial("an_interval_announces_again_after_the_burst", wire::an_interval_announces_again),
        trial("a_kernel_resolves_an_address_that_no_host_has", wire::a_kernel_resolves_an_address),
        trial("a_host_that_configures_the_address_is_told", wire::a_host_that_configures_the_address_is_told),
        trial("a_changed_hardware_address_is_announced", wire::a_changed_hardware_address_is_announced),
        trial("an_excluded_link_is_silent", wire::an_excluded_link_is_silent),
        trial("groups_are_reported_to_the_switch_and_left", groups::groups_are_reported_and_left),
        trial("a_switch_that_snoops_passes_solicitations_on", groups::a_switch_that_snoops_passes_on),
        trial("more_groups_than_a_socket_takes_are_joined", groups::more_groups_than_a_socket_takes),
        trial("a_link_that_was_down_is_announced_on_again", groups::a_link_that_was_down_is_announced_on_again),
        trial("a_link_without_ipv6_is_followed_when_it_gets_it", groups::a_link_without_ipv6_is_followed),
        trial("an_owner_killed_is_replaced_within_a_second", ownership::an_owner_killed_is_replaced),
        trial("an_owner_that_was_stopped_answers_nothing_it_missed", ownership::a_stopped_owner_answers_nothing),
        trial("a_terminated_owner_hands_over_first", ownership::a_terminated_owner_hands_over_first),
        trial("an_address_in_use_is_withheld_until_it_is_free", ownership::an_address_in_use_is_withheld),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
