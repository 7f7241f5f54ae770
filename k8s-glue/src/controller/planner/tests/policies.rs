//! Policies and the ledger in the planner.

use lbcore::allocator::Hold;
use lbcore::config::{Config, Settings};
use lbcore::ledger::Entry;
use lbcore::time::UnixTime;

use super::*;
use crate::convert;
use crate::manifest::Manifests;

const NOW: UnixTime = UnixTime::from_secs(1_000);

fn config(policy: &str) -> Arc<Config> {
    let text = format!(
        "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {{name: p}}\nspec: {{addresses: [192.0.2.0/30]}}\n---\n\
         apiVersion: ferrule.io/v1alpha1\nkind: PoolPolicy\nmetadata: {{name: rules}}\nspec: {policy}\n"
    );
    let mut manifests = Manifests::default();
    manifests.read_bytes(&"a.yaml".into(), text.as_bytes());
    let raw = convert::objects(&manifests.documents, "metallb-system").config;
    let outcome = Config::build(&raw, &Settings::default());
    outcome.config.unwrap_or_else(|| panic!("{:?}", outcome.problems))
}

fn planner(policy: &str) -> Planner {
    let mut planner = Planner::new(None);
    planner.handle_clock(NOW);
    planner.handle_config(&config(policy)).unwrap();
    planner
}

/// A Service comes, and its write succeeds.
fn serve(planner: &mut Planner, name: &str) -> Vec<IpAddr> {
    planner.handle_service(&key(name), Some(&service(name, 1, |_| {})));
    let (made, _) = drain(planner, at(0));
    for write in &made {
        planner.handle_written(at(1), write, Ok(Taken::Changed));
    }
    drain(planner, at(1));
    made.iter().flat_map(|write| write.desired.addresses().to_vec()).collect()
}

fn told(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| format!("{} {} {}", entry.address, entry.event, entry.cause.why)).collect()
}

#[test]
fn a_deleted_service_leaves_its_address_to_its_name_for_a_while() {
    let mut planner = planner("{retention: 60s}");
    assert_eq!(serve(&mut planner, "web"), [address("192.0.2.0")]);
    assert_eq!(told(&planner.take_entries()), ["192.0.2.0 granted choice"]);
    planner.handle_service(&key("web"), None);
    assert_eq!(told(&planner.take_entries()), ["192.0.2.0 released service-gone", "192.0.2.0 held retention"]);
    assert_eq!(planner.next_expiry(), Some(UnixTime::from_secs(1_060)));
    assert_eq!(serve(&mut planner, "other"), [address("192.0.2.1")]);
    assert_eq!(serve(&mut planner, "web"), [address("192.0.2.0")]);
    planner.take_entries();
    planner.handle_service(&key("web"), None);
    planner.take_entries();
    let before = planner.counts();
    planner.handle_clock(UnixTime::from_secs(1_060));
    assert_eq!(told(&planner.take_entries()), ["192.0.2.0 hold-ended expiry"]);
    assert_ne!(planner.counts(), before, "statuses have to be looked at");
    assert_eq!(serve(&mut planner, "late"), [address("192.0.2.0")]);
}

#[test]
fn holds_go_on_under_the_next_controller() {
    let mut first = planner("{retention: 60s}");
    serve(&mut first, "web");
    first.handle_service(&key("web"), None);
    let holds: Vec<Hold> = first.holds().cloned().collect();
    let mut next = planner("{retention: 60s}");
    next.handle_holds(holds.clone());
    assert_eq!(serve(&mut next, "other"), [address("192.0.2.1")]);
    assert_eq!(serve(&mut next, "web"), [address("192.0.2.0")]);
    // Where the policy ends them, they are over at once, for those who wait too.
    let mut lenient = planner("{retention: 60s}");
    lenient.handle_holds(holds);
    lenient.take_entries();
    lenient.handle_config(&config("{}")).unwrap();
    assert_eq!(told(&lenient.take_entries()), ["192.0.2.0 hold-ended operator"]);
    assert_eq!(serve(&mut lenient, "other"), [address("192.0.2.0")]);
}

#[test]
fn a_quota_is_told_and_counted() {
    let mut planner = planner("{quotas: [{name: few, limit: 1}]}");
    serve(&mut planner, "a");
    planner.handle_service(&key("b"), Some(&service("b", 1, |_| {})));
    let (none, told) = drain(&mut planner, at(2));
    assert_eq!((none.len(), told[0].reason), (0, "AllocationFailed"));
    assert!(told[0].text.contains("few"), "{}", told[0].text);
    let usage: Vec<_> = planner.quotas().map(|usage| (usage.used, usage.limit)).collect();
    assert_eq!(usage, [(1, 1)]);
    planner.handle_service(&key("a"), None);
    assert_eq!(writes(&mut planner, 3), [("b".to_owned(), vec![address("192.0.2.0")])]);
}

#[test]
fn a_service_that_moves_is_told_with_its_cause() {
    let mut planner = planner("{}");
    serve(&mut planner, "web");
    planner.take_entries();
    let asks = |object: &mut Value| {
        recorded("192.0.2.0", "p")(object);
        object["metadata"]["annotations"]["metallb.io/loadBalancerIPs"] = "192.0.2.3".into();
    };
    planner.handle_service(&key("web"), Some(&service("web", 2, asks)));
    drain(&mut planner, at(5));
    assert_eq!(told(&planner.take_entries()), ["192.0.2.0 moved request", "192.0.2.3 granted choice"]);
}
