//! `make bench-cluster`: what the roles cost on a real API server, and how fast they are. `-- --services 10000` asks for more than 2,000.
//!
//! All times are differences of two stamps of one clock: the API server's record of writes, and the kernel's stamps of captured frames.
//! Nothing is polled for them.
//!
//! `rig` builds the cluster and speaks to the API server, `record` reads what happened.

#![expect(clippy::print_stdout, reason = "what a benchmark is for")]

#[path = "cluster/record.rs"]
mod record;
#[path = "cluster/rig.rs"]
mod rig;

use std::error::Error;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use lab::{Moment, wait_until};

use record::{Record, Wire, spread};
use rig::{Families, Rig};

type Checked = Result<(), Box<dyn Error>>;

/// Services that are created one by one, each after the one before has settled.
const SINGLE: usize = 50;
/// Time that each of them has to be announced.
const SETTLE: Duration = Duration::from_millis(300);
/// How long the roles are left alone to see what they write and burn.
const IDLE: Duration = Duration::from_secs(60);
/// How long everything may take to be allocated.
const FILL_WITHIN: Duration = Duration::from_secs(500);

fn main() -> ExitCode {
    let binaries = match lab::control_plane::enter_for_tests("bench-cluster") {
        Ok(binaries) => binaries,
        Err(status) => return status,
    };
    let mut words = std::env::args();
    let wanted = words.find(|word| word == "--services").and_then(|_| words.next()).and_then(|word| word.parse().ok());
    let done = Rig::build(&binaries).and_then(|mut rig| measure(&mut rig, wanted.unwrap_or(2_000)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("bench-cluster: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(rig: &mut Rig, services: usize) -> Checked {
    println!("# one Service at a time, dual stack, {SINGLE} times, alone in the cluster");
    one_by_one(rig, "alone")?;
    rig.print_memory();
    println!("# {services} Services of IPv4 with an EndpointSlice each, created by 8 clients at once");
    fill(rig, services)?;
    println!("# one Service at a time, dual stack, {SINGLE} times, beside {services}");
    one_by_one(rig, "beside")?;
    println!("# nothing happens for {} s", IDLE.as_secs());
    idle(rig)?;
    println!("# the controller is stopped (SIGTERM) and started again");
    restart(rig)
}

/// Creates Services one by one; prints how long each step after the creation took.
fn one_by_one(rig: &mut Rig, prefix: &str) -> Checked {
    rig.capture.clear();
    let from = Moment::now();
    let names: Vec<String> = (0..SINGLE).map(|number| format!("{prefix}-{number}")).collect();
    for name in &names {
        rig.create(std::slice::from_ref(name), 1, Families::Both)?;
        thread::sleep(SETTLE);
    }
    rig.wait_for_status(&names, from, FILL_WITHIN)?;
    thread::sleep(SETTLE);
    let record = Record::of(&rig.cluster, from)?;
    let wire = Wire::of(&rig.capture)?;
    let addresses = rig.addresses()?;
    let mut rows: [(&str, Vec<Duration>); 4] = [
        ("Service created -> status written", Vec::new()),
        ("status written -> first ARP frame", Vec::new()),
        ("status written -> first neighbour advertisement", Vec::new()),
        ("status written -> first UPDATE", Vec::new()),
    ];
    let [created, arp, advertisement, update] = &mut rows;
    for name in &names {
        let Some((begun, written)) = record.allocation(name) else { continue };
        created.1.push(written.since(begun));
        for address in addresses.get(name).into_iter().flatten() {
            let row = if address.is_ipv4() { &mut *arp } else { &mut *advertisement };
            row.1.extend(wire.first_claim(*address, begun).map(|at| at.since(written)));
            update.1.extend(wire.first_update(*address, begun).map(|at| at.since(written)));
        }
    }
    for (name, spans) in &rows {
        println!("{name:<48} {}", spread(spans));
    }
    println!("writes of the roles: {}", record.writes_of_roles());
    Ok(())
}

/// Creates many at once.
fn fill(rig: &mut Rig, services: usize) -> Checked {
    let from = Moment::now();
    let burnt = rig.processor_time();
    let names: Vec<String> = (0..services).map(|number| format!("many-{number}")).collect();
    rig.create(&names, 8, Families::V4)?;
    let made = Moment::now();
    rig.wait_for_status(&names, from, FILL_WITHIN)?;
    let record = Record::of(&rig.cluster, from)?;
    let spans: Vec<Duration> =
        names.iter().filter_map(|name| record.allocation(name)).map(|(begun, written)| written.since(begun)).collect();
    println!("created in {:.1} s", made.since(from).as_secs_f64());
    println!("{:<48} {}", "Service created -> status written", spread(&spans));
    println!("all have an address after {:.1} s", record.last_status().since(from).as_secs_f64());
    thread::sleep(Duration::from_secs(10));
    println!("10 s later: {}", rig.burnt_since(&burnt));
    println!("writes of the roles until then: {}", Record::of(&rig.cluster, from)?.writes_of_roles());
    rig.print_memory();
    Ok(())
}

/// Leaves the roles alone.
fn idle(rig: &mut Rig) -> Checked {
    let burnt = rig.processor_time();
    let from = Moment::now();
    thread::sleep(IDLE);
    let record = Record::of(&rig.cluster, from)?;
    println!("writes of the roles: {}", record.writes_of_roles());
    println!("{}", rig.burnt_since(&burnt));
    Ok(())
}

/// Stops and starts the controller, with one Service that came while it was away.
fn restart(rig: &mut Rig) -> Checked {
    rig.roles.controller.terminate(Duration::from_secs(10))?;
    let late = ["late".to_owned()];
    rig.create(&late, 1, Families::V4)?;
    let from = Moment::now();
    rig.roles.controller.start()?;
    let record = wait_until(FILL_WITHIN, "the Service that came while the controller was away", || {
        let record = Record::of(&rig.cluster, from).ok()?;
        (record.last_status() > from).then_some(record)
    })?;
    println!("the Service that came meanwhile is served after {:.2} s", record.last_status().since(from).as_secs_f64());
    thread::sleep(Duration::from_secs(20));
    println!("writes of the roles: {}", Record::of(&rig.cluster, from)?.writes_of_roles());
    rig.print_memory();
    Ok(())
}
