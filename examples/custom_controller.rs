//! An orchestrator that is not Kubernetes: jobs come and go, each with an address that a restart keeps and a file announces.
//!
//! Run: `cargo run -p ferrule-examples --example custom_controller`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::path::PathBuf;
use std::sync::Arc;

use lbcore::addresses::RecordedAddresses;
use lbcore::allocator::Allocator;
use lbcore::announce::{Announcer, DesiredSet};
use lbcore::config::{Config, ObjectRef, Origin, Raw, RawConfig, RawL2Advertisement, RawPool, Settings};
use lbcore::converge::{ServiceState, converge, replay};
use lbcore::decide::{DecideOptions, MissingSlices, ServiceFacts, Snapshot, desired_for};
use lbcore::family::{IpFamily, ServiceFamilies};
use lbcore::labels::Labels;
use lbcore::node::Node;

#[expect(dead_code, reason = "it has a main of its own")]
mod custom_announcer;
const HERE: &str = "this-host";
type Failure = Box<dyn std::error::Error>;

struct Orchestrator<'a> {
    allocator: Allocator,
    snapshot: Snapshot,
    announcer: &'a dyn Announcer,
    jobs: Vec<ServiceState>,
    records: PathBuf,
}

fn object<T>(spec: T) -> Raw<T> {
    let object = ObjectRef { kind: "Jobs".into(), namespace: None, name: "jobs".into(), origin: Origin(0) };
    Raw { object, labels: Labels::new(), spec }
}

/// A line `NAMESPACE/NAME`, with the address behind it where one was recorded.
fn job(line: &str) -> Result<ServiceState, Failure> {
    let (key, address) = line.split_once(' ').unwrap_or((line, ""));
    let recorded = RecordedAddresses::parse([address]);
    Ok(ServiceState { recorded, ..ServiceState::new(key.parse()?, Ok(ServiceFamilies::Single(IpFamily::V4))) })
}

impl<'a> Orchestrator<'a> {
    /// Begins with what an earlier run recorded; here before each event.
    fn start(pool: &str, records: PathBuf, announcer: &'a dyn Announcer) -> Result<Self, Failure> {
        let pools = vec![object(RawPool { addresses: vec![pool.to_owned()], ..RawPool::default() })];
        let l2_advertisements = vec![object(RawL2Advertisement::default())];
        let raw = RawConfig { pools, l2_advertisements, ..RawConfig::default() };
        let outcome = Config::build(&raw, &Settings::default());
        let config = outcome.config.ok_or_else(|| format!("{:?}", outcome.problems))?;
        let mut allocator = Allocator::default();
        allocator.follow(&config)?;
        let options = DecideOptions { missing_slices: MissingSlices::ServedEverywhere, ..DecideOptions::default() };
        let snapshot = Snapshot::new(config, vec![Node::new(HERE.parse()?)], options);
        let lines = std::fs::read_to_string(&records).unwrap_or_default();
        let jobs = lines.lines().map(job).collect::<Result<Vec<_>, _>>()?;
        replay(&mut allocator, &jobs);
        Ok(Self { allocator, snapshot, announcer, jobs, records })
    }

    /// `+KEY`: a job has come, `-KEY`: it has gone. Whoever waits is looked at again; what is recorded is announced.
    async fn handle(&mut self, event: &str) -> Result<(), Failure> {
        if let Some(key) = event.strip_prefix('+') {
            self.jobs.push(job(key)?);
        } else if let Some(key) = event.strip_prefix('-') {
            self.jobs.retain(|job| job.key.as_str() != key);
            self.allocator.forget_by_key(&key.parse()?);
            self.snapshot.remove_service(&key.parse()?);
        }
        let mut records = String::new();
        for job in &mut self.jobs {
            let outcome = converge(&mut self.allocator, job);
            let addresses = outcome.addresses.map_or_else(Vec::new, |addresses| addresses.as_slice().to_vec());
            let text = addresses.iter().map(ToString::to_string).collect::<String>();
            job.recorded = RecordedAddresses::parse([text.as_str()]);
            records.extend([job.key.as_str(), " ", &text, "\n"]);
            outcome.problem.iter().for_each(|problem| println!("{event}: {} waits: {problem}", job.key));
            self.snapshot.set_service(ServiceFacts::new(job.key.clone(), addresses));
        }
        std::fs::write(&self.records, &records)?;
        let desired = DesiredSet::new().changed(desired_for(&self.snapshot, &HERE.parse()?), []);
        self.announcer.replace(Arc::new(desired)).await;
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let folder = std::env::temp_dir().join(format!("ferrule-jobs-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let hosts = custom_announcer::HostsFile::new(folder.join("hosts"));
    for event in ["+build/a", "+build/b", "+test/c", "-build/a", "+build/d"] {
        let mut host = Orchestrator::start("192.0.2.1-192.0.2.2", folder.join("records"), &hosts)?;
        host.handle(event).await?;
        println!("{event}:\n{}", std::fs::read_to_string(folder.join("hosts"))?);
    }
    Ok(std::fs::remove_dir_all(&folder)?)
}
