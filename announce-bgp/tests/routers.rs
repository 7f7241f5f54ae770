//! The announcer against routers by others: BIRD, FRR and `GoBGP` in namespaces. Ids such as BGP-40 are scenarios of the published
//! end-to-end catalogue, as far as they can be had without a cluster.

#![expect(
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::format_push_string,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and may wait"
)]

#[path = "routers/bird.rs"]
mod bird;
#[path = "routers/interop.rs"]
mod interop;
#[path = "routers/next_hops.rs"]
mod next_hops;
#[path = "routers/silent.rs"]
mod silent;
#[path = "routers/speaker.rs"]
mod speaker;

use std::process::ExitCode;
use std::time::Duration;

use lab::{Host, Lab, Segment};
use libtest_mimic::{Arguments, Failed, Trial};

use crate::speaker::Checked;

/// How long anything may take that comes at once.
pub(crate) const SOON: Duration = Duration::from_secs(15);

fn main() -> ExitCode {
    if let Err(status) = lab::privilege::enter_for_tests("announce-bgp routers") {
        return status;
    }
    let scenarios = [bird::TRIALS, interop::TRIALS, next_hops::TRIALS, silent::TRIALS];
    let trials = scenarios.into_iter().flatten().map(|(name, check)| {
        let check = *check;
        Trial::test(*name, move || check().map_err(|error| Failed::from(error.to_string())))
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// `SIGSTOP` and `SIGCONT` on Linux.
pub(crate) const STOP: i32 = 19;
pub(crate) const CONTINUE: i32 = 18;

pub(crate) type Scenario = (&'static str, fn() -> Checked);

/// A node and a router on one segment, with addresses of both families.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) node: Host,
    pub(crate) router: Host,
    pub(crate) _lan: Segment,
}

pub(crate) const NODE_V4: &str = "192.0.2.1";
pub(crate) const ROUTER_V4: &str = "192.0.2.2";
pub(crate) const NODE_V6: &str = "2001:db8::1";
pub(crate) const ROUTER_V6: &str = "2001:db8::2";

impl Site {
    pub(crate) fn new(name: &str) -> lab::Result<Self> {
        let lab = Lab::new(name);
        let (node, router) = (lab.host("node")?, lab.host("router")?);
        for host in [&node, &router] {
            // Addresses are usable at once.
            host.sysctl("net.ipv6.conf.default.accept_dad", "0")?;
            host.sysctl("net.ipv6.conf.all.accept_dad", "0")?;
        }
        let lan = lab.segment("lan", &[&node, &router])?;
        for (host, v4, v6) in [(&node, NODE_V4, NODE_V6), (&router, ROUTER_V4, ROUTER_V6)] {
            host.address("eth0", &format!("{v4}/24"))?;
            host.address("eth0", &format!("{v6}/64"))?;
        }
        Ok(Self { node, router, _lan: lan })
    }
}

/// Fails with words where something does not hold.
pub(crate) fn check(holds: bool, what: impl Into<String>) -> Checked {
    if holds { Ok(()) } else { Err(what.into().into()) }
}
