//! Scenarios of the end-to-end catalogue on a real API server, a controller and a speaker on each of three nodes. Their names begin with
//! the ids of the catalogue.

#![expect(
    clippy::indexing_slicing,
    reason = "a test without the standard harness, to which clippy.toml's exceptions do not reach"
)]

#[path = "catalogue/bgp.rs"]
mod bgp;
#[path = "catalogue/documented.rs"]
mod documented;
#[path = "catalogue/layer2.rs"]
mod layer2;
#[path = "speaker/rig.rs"]
mod rig;
#[path = "catalogue/routers.rs"]
mod routers;
#[path = "catalogue/sessions.rs"]
mod sessions;

use std::process::ExitCode;

use lab::control_plane;
use libtest_mimic::{Arguments, Failed, Trial};
use rig::{Checked, Rig};

fn main() -> ExitCode {
    let binaries = match control_plane::enter_for_tests("announcing in a cluster") {
        Ok(binaries) => binaries,
        Err(status) => return status,
    };
    rig::keep(binaries);
    let trial = |&(name, check): &Scenario| Trial::test(name, move || rig::with(name, check).map_err(Failed::from));
    let all = [layer2::SCENARIOS, bgp::SCENARIOS, sessions::SCENARIOS, documented::SCENARIOS];
    let trials = all.into_iter().flatten().map(trial).collect();
    let mut arguments = Arguments::from_args();
    // One cluster for all, which some of them break for a while.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The name of a test, and the test.
type Scenario = (&'static str, fn(&mut Rig) -> Checked);
