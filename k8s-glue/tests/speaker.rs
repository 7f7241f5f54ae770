//! `ferrule speaker` on a real API server, with nodes as namespaces: what it announces, what it tells, and what it survives.
//!
//! `rig` has the cluster and its speakers; `announcing`, `faults` and `telling` hold the promises. There is no controller here: addresses
//! are written into the status of Services by hand.

#![expect(
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test without the standard harness, to which clippy.toml's exceptions do not reach"
)]

#[path = "speaker/announcing.rs"]
mod announcing;
#[path = "speaker/faults.rs"]
mod faults;
#[path = "speaker/rig.rs"]
mod rig;
#[path = "speaker/telling.rs"]
mod telling;

use std::process::ExitCode;

use lab::control_plane;
use libtest_mimic::{Arguments, Failed, Trial};
use rig::{Checked, Rig};

fn main() -> ExitCode {
    let binaries = match control_plane::enter_for_tests("ferrule speaker") {
        Ok(binaries) => binaries,
        Err(status) => return status,
    };
    rig::keep(binaries);
    let trial = |name: &'static str, check: fn(&mut Rig) -> Checked| {
        Trial::test(name, move || rig::with(name, check).map_err(Failed::from))
    };
    let trials = vec![
        trial("one_node_of_three_announces_a_service_and_it_is_reached", announcing::one_node_announces),
        trial("both_families_of_a_service_are_announced_by_one_node", announcing::both_families_by_one_node),
        trial("with_policy_local_a_node_with_an_endpoint_announces", announcing::policy_local),
        trial("a_node_that_is_excluded_hands_over", announcing::an_excluded_node_hands_over),
        trial("services_of_another_class_are_not_touched", announcing::another_class),
        trial("a_killed_owner_is_replaced_and_a_stopped_one_hands_over", faults::owner_killed_and_stopped),
        trial("without_the_api_server_everything_goes_on", faults::without_the_api_server),
        trial("a_node_that_was_cut_off_misses_nothing", faults::a_node_cut_off),
        trial("a_stranger_that_answers_keeps_the_address_until_it_stops", faults::a_stranger_first),
        trial("statuses_say_who_announces_and_are_put_right", telling::statuses),
        trial("events_are_told_at_a_change_alone", telling::events),
        trial("an_interface_that_is_not_there_is_told", telling::no_interface),
        trial("a_wrong_object_costs_itself_and_is_told", telling::wrong_objects),
        trial("nothing_is_written_while_nothing_changes", telling::no_idle_writes),
    ];
    let mut arguments = Arguments::from_args();
    // One cluster for all, which some of them break for a while.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit_code()
}
