//! Scenarios of a whole cluster: a real API server, the controller and the speakers with exactly the rights of `deploy/`.
//!
//! `rig` has the cluster; names of tests begin with the id of their scenario in `conformance-vectors/e2e-catalogue.md`, lower case.
//! `writes` holds what a Service costs, and `definitions` the resources against the API server alone.

#![expect(
    clippy::indexing_slicing,
    reason = "a test without the standard harness, to which clippy.toml's exceptions do not reach"
)]

#[path = "cluster/assignment.rs"]
mod assignment;
#[path = "cluster/definitions.rs"]
mod definitions;
#[path = "cluster/families.rs"]
mod families;
#[path = "cluster/rig.rs"]
mod rig;
#[path = "cluster/scrape.rs"]
mod scrape;
#[path = "cluster/series.rs"]
mod series;
#[path = "cluster/states.rs"]
mod states;
#[path = "cluster/writes.rs"]
mod writes;

use std::process::ExitCode;

use lab::control_plane;
use libtest_mimic::{Arguments, Failed, Trial};
use rig::{Checked, Rig};

fn main() -> ExitCode {
    let binaries = match control_plane::enter_for_tests("ferrule in a cluster") {
        Ok(binaries) => binaries,
        Err(status) => return status,
    };
    rig::keep(binaries);
    let scenarios = [definitions::ALL, assignment::ALL, families::ALL, states::ALL, series::ALL, writes::ALL];
    let trials = scenarios
        .iter()
        .flat_map(|scenarios| scenarios.iter())
        .map(|&(name, check): &Scenario| Trial::test(name, move || rig::with(name, check).map_err(Failed::from)));
    let trials = trials.collect();
    let mut arguments = Arguments::from_args();
    // One cluster for all.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The name of a test, and the test.
type Scenario = (&'static str, fn(&mut Rig) -> Checked);
