//! The ledger against scripted members.

use std::sync::Arc;

use lbcore::agreement::Known;
use lbcore::config::{ObjectRef, Origin, Raw, RawConfig, RawPool, Settings};
use lbcore::family::{IpFamily, ServiceFamilies};
use lbcore::labels::Labels;

use super::*;

const SETTLE: Duration = Duration::from_millis(300);
const NOTHING_WAITS: (UnixTime, Vec<Hold>) = (UnixTime::from_secs(1), Vec::new());

/// A configuration of one pool.
fn pool(name: &str, range: &str) -> Arc<Config> {
    let object =
        ObjectRef { kind: "IPAddressPool".into(), namespace: None, name: name.into(), origin: Origin::default() };
    let spec = RawPool { addresses: vec![range.to_owned()], ..RawPool::default() };
    let raw = RawConfig { pools: vec![Raw { object, labels: Labels::new(), spec }], ..RawConfig::default() };
    let outcome = Config::build(&raw, &Settings::default());
    outcome.config.unwrap_or_else(|| panic!("{:?}", outcome.problems))
}

fn state(key: &str) -> ServiceState {
    ServiceState::new(key.parse().unwrap(), Ok(ServiceFamilies::Single(IpFamily::V4)))
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

type Table = BTreeMap<ServiceKey, Assignment>;

struct World {
    ledger: Ledger,
    now: Timestamp,
    listening: Listening,
    members: Vec<(NodeName, Table)>,
}

impl World {
    fn start(services: &[&str], records: &[(&str, &str)]) -> Self {
        let records = records.iter().map(|(key, address)| {
            let recorded =
                RecordedService { addresses: addresses(&[address]), pool: "p".parse().unwrap(), since: 1_000 };
            (key.parse().unwrap(), recorded)
        });
        let states = services.iter().map(|key| state(key)).collect();
        let (ledger, _) = Ledger::open(
            "node-m".parse().unwrap(),
            SETTLE,
            &pool("p", "192.0.2.1-192.0.2.9"),
            states,
            &records.collect(),
            NOTHING_WAITS,
        )
        .unwrap();
        Self { ledger, now: Timestamp::from_micros(1), listening: Listening::Done, members: Vec::new() }
    }

    fn pass(&mut self) -> Vec<Report> {
        let members: Vec<Member<'_>> =
            self.members.iter().map(|(name, table)| Member { name, table, known: Known::Whole }).collect();
        let outcome = self.ledger.pass(Circumstances {
            now: self.now,
            wall_ms: 5_000,
            listening: self.listening,
            members: &members,
        });
        let table = self.ledger.table(self.now);
        self.ledger.table_published(self.now, &table);
        self.now = self.now + SETTLE;
        outcome.reports
    }

    fn member(&mut self, name: &str, entries: &[(&str, &[&str], u64)]) {
        let table = entries.iter().map(|(key, held, since_ms)| {
            (key.parse().unwrap(), Assignment { addresses: addresses(held), since_ms: *since_ms })
        });
        self.members = vec![(name.parse().unwrap(), table.collect())];
    }

    fn held(&self) -> Vec<(String, String)> {
        let text = |held: &[IpAddr]| held.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        self.ledger.held().map(|(key, held)| (key.to_string(), text(held))).collect()
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, address)| ((*key).to_owned(), (*address).to_owned())).collect()
}

// [CTRL-17], [OWN-60]
#[test]
fn recorded_addresses_survive_a_start_and_are_given_to_nobody_else() {
    let mut world = World::start(&["a/first", "z/last"], &[("z/last", "192.0.2.1")]);
    world.listening = Listening::Ongoing;
    assert!(world.pass().iter().all(|report| matches!(report, Report::Waits { .. })));
    assert_eq!(world.held(), []);
    assert_eq!(world.ledger.records().len(), 1, "the record stays on disk meanwhile");
    world.listening = Listening::Done;
    world.pass();
    assert_eq!(world.held(), pairs(&[("a/first", "192.0.2.2"), ("z/last", "192.0.2.1")]));
}

// [OWN-60]
#[test]
fn a_stale_record_gives_way_to_a_live_claim() {
    let mut world = World::start(&["a/old"], &[("a/old", "192.0.2.1")]);
    world.member("node-z", &[("b/new", &["192.0.2.1"], 9_000)]);
    let reports = world.pass();
    assert!(matches!(reports.as_slice(), [Report::RecordVoid { .. }, Report::Waits { .. }]), "{reports:?}");
    world.pass();
    assert_eq!(world.held(), pairs(&[("a/old", "192.0.2.2")]));
}

// [OWN-60]
#[test]
fn what_a_member_holds_is_adopted_whatever_the_record_says() {
    let mut world = World::start(&["a/web"], &[("a/web", "192.0.2.1")]);
    world.member("node-z", &[("a/web", &["192.0.2.7"], 9_000)]);
    world.pass();
    assert_eq!(world.held(), pairs(&[("a/web", "192.0.2.7")]));
    let records = world.ledger.records();
    assert_eq!(records.values().map(|record| record.since).collect::<Vec<_>>(), [9_000]);
}

// [OWN-60]
#[test]
fn the_lower_name_allocates_and_the_result_is_adopted() {
    let mut world = World::start(&["a/web"], &[]);
    world.member("node-a", &[("a/web", &[], 0)]);
    for _ in 0..3 {
        world.pass();
    }
    assert_eq!(world.held(), []);
    world.member("node-a", &[("a/web", &["192.0.2.3"], 7_000)]);
    world.pass();
    assert_eq!(world.held(), pairs(&[("a/web", "192.0.2.3")]));
}

#[test]
fn before_it_allocates_it_tells_and_waits() {
    let mut world = World::start(&["a/web"], &[]);
    world.member("node-z", &[]);
    assert!(matches!(world.pass().as_slice(), [Report::Waits { wait: Wait::Settle, .. }]));
    assert_eq!(world.ledger.deadline(), Some(Timestamp::from_micros(1) + SETTLE));
    assert!(matches!(world.pass().as_slice(), [Report::Allocated { .. }]));
    assert_eq!(world.ledger.deadline(), None);
}

// [OWN-60]
#[test]
fn an_older_claim_of_another_service_takes_the_address_and_both_end_with_one() {
    let mut world = World::start(&["a/api", "a/web"], &[]);
    world.pass();
    assert_eq!(world.held(), pairs(&[("a/api", "192.0.2.1"), ("a/web", "192.0.2.2")]));
    world.member("node-z", &[("a/web", &["192.0.2.1"], 4_000)]);
    let reports = world.pass();
    assert!(reports.iter().any(|report| matches!(report, Report::GivenUp { .. })), "{reports:?}");
    assert!(reports.iter().any(|report| matches!(report, Report::Adopted { .. })), "{reports:?}");
    for _ in 0..3 {
        world.pass();
    }
    assert_eq!(world.held(), pairs(&[("a/api", "192.0.2.2"), ("a/web", "192.0.2.1")]));
}

// [OWN-60]
#[test]
fn a_record_that_comes_back_by_way_of_another_node_is_no_loss() {
    let mut world = World::start(&["a/api", "a/web"], &[("a/api", "192.0.2.3"), ("a/web", "192.0.2.4")]);
    world.member("node-z", &[("a/web", &["192.0.2.4"], 500), ("a/api", &["192.0.2.5"], 500)]);
    let reports = world.pass();
    let is_void =
        |report: &Report, key: &str| matches!(report, Report::RecordVoid { service, .. } if service.as_str() == key);
    assert!(reports.iter().any(|report| is_void(report, "a/api")), "{reports:?}");
    assert!(!reports.iter().any(|report| is_void(report, "a/web")), "{reports:?}");
    assert_eq!(world.held(), pairs(&[("a/api", "192.0.2.5"), ("a/web", "192.0.2.4")]));
}

#[test]
fn an_edit_that_forbids_the_address_moves_the_service() {
    let mut world = World::start(&["a/web"], &[]);
    world.pass();
    let requested = ServiceAddresses::new(&addresses(&["192.0.2.5"])).unwrap();
    let edited = ServiceState { requested_addresses: Ok(Some(requested)), ..state("a/web") };
    world.ledger.replace_input(None, vec![edited]).unwrap();
    world.pass();
    world.pass();
    assert_eq!(world.held(), pairs(&[("a/web", "192.0.2.5")]));
}

#[test]
fn a_service_that_goes_frees_its_address_for_one_that_waits() {
    let mut world = World::start(&["a/one"], &[]);
    let one = pool("p", "192.0.2.1-192.0.2.1");
    world.ledger.replace_input(Some(&one), vec![state("a/one"), state("a/two")]).unwrap();
    let reports = world.pass();
    assert!(matches!(reports.as_slice(), [Report::Allocated { .. }, Report::Unmet { .. }]), "{reports:?}");
    assert_eq!(world.pass(), [Report::Waits { service: "a/two".parse().unwrap(), wait: Wait::Candidate }]);
    let outcome = world.ledger.replace_input(None, vec![state("a/two")]).unwrap();
    assert!(matches!(outcome.reports.as_slice(), [Report::Released { .. }]));
    world.pass();
    assert_eq!(world.held(), pairs(&[("a/two", "192.0.2.1")]));
}

#[test]
fn a_failed_bid_is_withdrawn_until_something_is_free() {
    let mut world = World::start(&["a/one"], &[]);
    let one = pool("p", "192.0.2.1-192.0.2.1");
    world.ledger.replace_input(Some(&one), vec![state("a/one"), state("a/two")]).unwrap();
    world.pass();
    let table = world.ledger.table(world.now);
    assert_eq!(table.keys().map(ServiceKey::as_str).collect::<Vec<_>>(), ["a/one"]);
    world.ledger.replace_input(None, vec![state("a/two")]).unwrap();
    assert_eq!(world.ledger.table(world.now).len(), 1);
}

#[test]
fn addresses_of_services_that_only_members_have_are_not_handed_out() {
    let mut world = World::start(&["a/web"], &[]);
    world.member("node-z", &[("b/theirs", &["192.0.2.1"], 4_000)]);
    world.pass();
    world.pass();
    assert_eq!(world.held(), pairs(&[("a/web", "192.0.2.2")]));
}

#[test]
fn a_status_in_the_file_counts_as_a_record() {
    let with_status = ServiceState {
        recorded: RecordedAddresses::Known(ServiceAddresses::new(&addresses(&["192.0.2.8"])).unwrap()),
        ..state("a/web")
    };
    let mut world = World::start(&[], &[]);
    let pool = pool("p", "192.0.2.1-192.0.2.9");
    let node = "node-m".parse().unwrap();
    let opened = Ledger::open(node, SETTLE, &pool, vec![with_status], &BTreeMap::new(), NOTHING_WAITS);
    world.ledger = opened.unwrap().0;
    world.pass();
    assert_eq!(world.held(), pairs(&[("a/web", "192.0.2.8")]));
}
