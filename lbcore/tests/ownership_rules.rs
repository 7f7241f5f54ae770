//! The rules of ownership one by one, each against real hubs on a simulated segment.
//!
//! Each test runs for several seeds and prints the one that fails; `SEED=7` runs one seed, `TRACE=1` prints what each node did,
//! `FERRULE_SIM_SEEDS=500` runs more.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    reason = "a test: it may fail loudly, and its seed comes from the environment"
)]

#[path = "ownership_rules/authority.rs"]
mod authority;
#[path = "ownership_rules/claims.rs"]
mod claims;
#[path = "ownership_rules/families.rs"]
mod families;
#[path = "ownership_rules/groups.rs"]
mod groups;
#[path = "ownership_rules/members.rs"]
mod members;
#[path = "ownership_rules/replays.rs"]
mod replays;
#[path = "ownership_simulation/segment.rs"]
#[expect(dead_code, reason = "shared with the tests of random faults")]
mod segment;
#[path = "ownership_rules/wire.rs"]
mod wire;

use core::time::Duration;

use segment::{Segment, Setup};

const SEEDS: u64 = 8;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn settled(setup: Setup) -> Segment {
    let mut segment = Segment::new(setup);
    segment.run(ms(4_000));
    segment.assert_one_owner_each("after the start");
    segment
}

/// Runs a test for each seed.
fn for_seeds(run: impl Fn(u64)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = number("FERRULE_SIM_SEEDS").unwrap_or(SEEDS);
    for seed in number("SEED").map_or(0..seeds, |seed| seed..seed + 1) {
        let result = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| run(seed)));
        if let Err(cause) = result {
            let text = cause.downcast_ref::<String>().cloned().unwrap_or_default();
            panic!("seed {seed}: {text}");
        }
    }
}
