//! Single rules, on Services as the API server gives them. The random sequences are in `model`.

mod model;
mod policies;

use std::net::IpAddr;

use lbcore::pool::AutoAssign;
use serde_json::{Value, json};

use super::*;
use crate::cluster::watch::{Kind, ObjectName, Seen};
use crate::cluster::world::World;
use crate::controller::service_status::{POOL, POOL_BEFORE};

/// A Service as the view of the controller has it.
pub(crate) fn seen(object: &Value) -> SeenService {
    let mut object = object.clone();
    object["apiVersion"] = "v1".into();
    object["kind"] = "Service".into();
    let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
    let name = ObjectName { namespace: text("namespace"), name: text("name") };
    let key = ServiceKey::new(&name.namespace, &name.name).unwrap();
    let mut world = World::for_writer("metallb-system");
    world.fold(Seen::Object(Kind::Service, name, object.as_object().unwrap().clone()));
    let seen = world.service(&key).expect("the view keeps it");
    (**seen).clone()
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_micros(millis * 1_000)
}

fn pool(name: &str, range: &str) -> Pool {
    Pool::new(name.parse().unwrap(), vec![range.parse().unwrap()])
}

fn key(name: &str) -> ServiceKey {
    ServiceKey::new("shop", name).unwrap()
}

/// A load balancer Service with one IPv4 cluster IP; `change` edits the object.
fn service(name: &str, version: u64, change: impl FnOnce(&mut Value)) -> Arc<SeenService> {
    let mut object = json!({
        "metadata": {
            "name": name, "namespace": "shop", "uid": format!("uid-{name}"), "resourceVersion": version.to_string(),
            "creationTimestamp": "2026-01-01T00:00:00Z", "annotations": {},
        },
        "spec": {
            "type": "LoadBalancer", "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"],
            "ports": [{"port": 80, "protocol": "TCP"}],
        },
        "status": {"loadBalancer": {}},
    });
    change(&mut object);
    Arc::new(seen(&object))
}

fn recorded(address: &'static str, pool: &'static str) -> impl Fn(&mut Value) {
    move |object| {
        object["status"]["loadBalancer"] = json!({"ingress": [{"ip": address, "ipMode": "VIP"}]});
        object["metadata"]["annotations"][POOL] = pool.into();
    }
}

fn drain(planner: &mut Planner, now: Timestamp) -> (Vec<StatusWrite>, Vec<Told>) {
    let (mut writes, mut told) = (Vec::new(), Vec::new());
    while let Some(output) = planner.poll_output(now) {
        match output {
            Output::Write(write) => writes.push(write),
            Output::Tell(one) => told.push(one),
        }
    }
    (writes, told)
}

fn writes(planner: &mut Planner, now: u64) -> Vec<(String, Vec<IpAddr>)> {
    let (writes, _) = drain(planner, at(now));
    writes.iter().map(|write| (write.key.name().to_owned(), write.desired.addresses().to_vec())).collect()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn with_pool(range: &str) -> Planner {
    let mut planner = Planner::new(None);
    planner.handle_pools([pool("p", range)]).unwrap();
    planner
}

// [CFG-11], [CTRL-21]
#[test]
fn nothing_is_decided_before_the_first_pools() {
    let mut planner = Planner::new(None);
    planner.handle_service(&key("web"), Some(&service("web", 1, recorded("198.51.100.1", "gone"))));
    assert_eq!(writes(&mut planner, 0), []);
    assert!(!planner.has_passed());
    planner.handle_pools([pool("p", "192.0.2.0/31")]).unwrap();
    assert_eq!(writes(&mut planner, 0), [("web".to_owned(), vec![address("192.0.2.0")])]);
    assert!(!planner.has_passed(), "its write is under way");
}

// [CTRL-16], [CTRL-17]
#[test]
fn recorded_addresses_are_entered_before_any_new_one_is_given() {
    let mut planner = Planner::new(None);
    planner.handle_service(&key("a-new"), Some(&service("a-new", 1, |_| {})));
    planner.handle_service(&key("web"), Some(&service("web", 1, recorded("192.0.2.0", "p"))));
    planner.handle_pools([pool("p", "192.0.2.0/31")]).unwrap();
    assert_eq!(writes(&mut planner, 0), [("a-new".to_owned(), vec![address("192.0.2.1")])]);
}

// [CTRL-17]
#[test]
fn of_two_with_one_address_the_younger_loses_and_both_are_told() {
    let mut planner = Planner::new(None);
    let younger = |object: &mut Value| {
        recorded("192.0.2.0", "p")(object);
        object["metadata"]["creationTimestamp"] = "2026-01-02T00:00:00Z".into();
    };
    planner.handle_service(&key("a"), Some(&service("a", 1, younger)));
    planner.handle_service(&key("b"), Some(&service("b", 1, recorded("192.0.2.0", "p"))));
    planner.handle_pools([pool("p", "192.0.2.0/31")]).unwrap();
    let (writes, mut told) = drain(&mut planner, at(0));
    assert_eq!(writes.len(), 1);
    assert_eq!((writes[0].key.name(), writes[0].desired.addresses()), ("a", [address("192.0.2.1")].as_slice()));
    planner.handle_written(at(1), &writes[0], Ok(Taken::Changed));
    told.extend(drain(&mut planner, at(1)).1);
    let reasons: Vec<(&str, &str)> = told.iter().map(|told| (&*told.about.name, told.reason)).collect();
    assert_eq!(reasons, [("b", "AddressConflict"), ("a", "ClearAssignment"), ("a", "IPAllocated")]);
}

// [CTRL-62], [D162-4]
#[test]
fn what_is_said_already_is_not_written() {
    let mut planner = with_pool("192.0.2.0/31");
    planner.handle_service(&key("web"), Some(&service("web", 1, recorded("192.0.2.1", "p"))));
    assert_eq!(writes(&mut planner, 0), []);
    assert!(planner.has_passed());
    let older = |object: &mut Value| {
        recorded("192.0.2.1", "p")(object);
        object["metadata"]["annotations"][POOL_BEFORE] = "p".into();
    };
    planner.handle_service(&key("web"), Some(&service("web", 2, older)));
    assert_eq!(writes(&mut planner, 1).len(), 1);
}

// [CTRL-63], [BEAT-6]
#[test]
fn a_cache_that_lags_does_not_take_an_address_back() {
    let mut planner = with_pool("192.0.2.0/30");
    for name in ["a", "b"] {
        planner.handle_service(&key(name), Some(&service(name, 1, |_| {})));
    }
    let (first, _) = drain(&mut planner, at(0));
    for write in &first {
        planner.handle_written(at(1), write, Ok(Taken::Changed));
    }
    planner.handle_service(&key("a"), None);
    // The cache still shows the Service without an address, and a lower one is free.
    planner.handle_service(&key("b"), Some(&service("b", 1, |_| {})));
    assert_eq!(writes(&mut planner, 2), []);
    planner.handle_service(&key("b"), Some(&service("b", 2, recorded("192.0.2.1", "p"))));
    assert_eq!(writes(&mut planner, 3), []);
}

// [CTRL-27], [CTRL-28a]
#[test]
fn who_waits_is_served_when_the_status_that_names_the_address_is_rewritten_and_not_before() {
    let mut planner = Planner::new(None);
    planner.handle_service(&key("web"), Some(&service("web", 1, recorded("192.0.2.0", "p"))));
    planner.handle_service(&key("waits"), Some(&service("waits", 1, |_| {})));
    let pools = [pool("p", "192.0.2.0-192.0.2.0"), pool("q", "198.51.100.0-198.51.100.0")];
    let mut q = pools[1].clone();
    q.auto_assign = AutoAssign::Disabled;
    planner.handle_pools([pools[0].clone(), q]).unwrap();
    let (none, told) = drain(&mut planner, at(0));
    assert_eq!((none.len(), told.len()), (0, 1), "{told:?}");
    let moved = |object: &mut Value| {
        recorded("192.0.2.0", "p")(object);
        object["metadata"]["annotations"]["metallb.io/address-pool"] = "q".into();
    };
    planner.handle_service(&key("web"), Some(&service("web", 2, moved)));
    let (moving, _) = drain(&mut planner, at(1));
    assert_eq!(moving.len(), 1, "the address is not given away yet");
    assert_eq!(moving[0].desired.addresses(), [address("198.51.100.0")]);
    planner.handle_written(at(2), &moving[0], Err(Failing::Refused));
    assert_eq!(writes(&mut planner, 2), []);
    let (again, _) = drain(&mut planner, at(200));
    planner.handle_written(at(201), &again[0], Ok(Taken::Changed));
    assert_eq!(writes(&mut planner, 201), [("waits".to_owned(), vec![address("192.0.2.0")])]);
}

// [CTRL-28], [ARCH-2]
#[test]
fn an_address_that_was_perhaps_written_is_given_to_nobody_else() {
    let mut planner = with_pool("192.0.2.0-192.0.2.0");
    planner.handle_service(&key("a"), Some(&service("a", 1, |_| {})));
    let (first, _) = drain(&mut planner, at(0));
    planner.handle_written(at(1), &first[0], Err(Failing::Server));
    planner.handle_pools([]).unwrap();
    planner.handle_service(&key("b"), Some(&service("b", 1, |_| {})));
    let (asking, _) = drain(&mut planner, at(1_000));
    assert_eq!((asking.len(), asking[0].key.name(), asking[0].desired.addresses().len()), (1, "a", 0));
    planner.handle_pools([pool("p", "192.0.2.0-192.0.2.0")]).unwrap();
    assert_eq!(writes(&mut planner, 1_001), [], "it may stand in the status of the first");
    planner.handle_written(at(1_002), &asking[0], Err(Failing::Conflict));
    planner.handle_service(&key("a"), Some(&service("a", 2, recorded("192.0.2.0", "p"))));
    assert_eq!(writes(&mut planner, 1_003), []);
}

// [CTRL-28], [CTRL-63]
#[test]
fn a_write_that_changed_nothing_is_followed_by_others() {
    let mut planner = with_pool("192.0.2.0-192.0.2.0");
    planner.handle_service(&key("a"), Some(&service("a", 1, recorded("192.0.2.0", "p"))));
    assert_eq!(writes(&mut planner, 0), []);
    planner.handle_pools([pool("p", "192.0.2.1-192.0.2.1")]).unwrap();
    let (lost, _) = drain(&mut planner, at(1));
    assert_eq!(lost[0].desired.addresses(), [address("192.0.2.1")]);
    planner.handle_written(at(2), &lost[0], Err(Failing::Internal));
    planner.handle_pools([pool("p", "192.0.2.0-192.0.2.0")]).unwrap();
    let (asking, _) = drain(&mut planner, at(10_000));
    assert_eq!(asking[0].desired.addresses(), [address("192.0.2.0")], "it finds out whether the first was carried out");
    planner.handle_written(at(10_001), &asking[0], Ok(Taken::Unchanged));
    assert_eq!(writes(&mut planner, 10_002), []);
    planner.handle_pools([pool("p", "192.0.2.1-192.0.2.1")]).unwrap();
    assert_eq!(writes(&mut planner, 10_003), [("a".to_owned(), vec![address("192.0.2.1")])]);
}

// [CEVT-20]
#[test]
fn a_reason_is_told_once_while_it_stands() {
    let mut planner = with_pool("192.0.2.0-192.0.2.0");
    planner.handle_service(&key("a"), Some(&service("a", 1, recorded("192.0.2.0", "p"))));
    planner.handle_service(&key("b"), Some(&service("b", 1, |_| {})));
    let (_, told) = drain(&mut planner, at(0));
    assert_eq!(told.iter().map(|told| told.reason).collect::<Vec<_>>(), ["AllocationFailed"]);
    planner.handle_service(&key("b"), Some(&service("b", 2, |_| {})));
    planner.handle_pools([pool("p", "192.0.2.0-192.0.2.0"), pool("q", "2001:db8::/64")]).unwrap();
    let (_, told) = drain(&mut planner, at(1));
    assert_eq!(told.len(), 1, "another text, for there is another pool: {told:?}");
    planner.handle_service(&key("b"), Some(&service("b", 3, |_| {})));
    assert_eq!(drain(&mut planner, at(2)).1, []);
}

// [ANNOT-3]
#[test]
fn a_sharing_key_may_look_like_a_template() {
    let mut planner = with_pool("192.0.2.0/30");
    let odd =
        |object: &mut Value| object["metadata"]["annotations"]["metallb.io/allow-shared-ip"] = "{{ team }}".into();
    planner.handle_service(&key("web"), Some(&service("web", 1, odd)));
    assert_eq!(writes(&mut planner, 0), [("web".to_owned(), vec![address("192.0.2.0")])]);
}

// [CTRL-1], [CTRL-2]
#[test]
fn another_class_is_ignored() {
    let classed = |class: &'static str| move |object: &mut Value| object["spec"]["loadBalancerClass"] = class.into();
    let mut planner = with_pool("192.0.2.0/30");
    planner.handle_service(&key("web"), Some(&service("web", 1, classed("other"))));
    assert_eq!(writes(&mut planner, 0), []);
    let mut planner = Planner::new(Some("ours".to_owned()));
    planner.handle_pools([pool("p", "192.0.2.0/30")]).unwrap();
    planner.handle_service(&key("none"), Some(&service("none", 1, |_| {})));
    planner.handle_service(&key("other"), Some(&service("other", 1, classed("other"))));
    planner.handle_service(&key("web"), Some(&service("web", 1, classed("ours"))));
    assert_eq!(writes(&mut planner, 0), [("web".to_owned(), vec![address("192.0.2.0")])]);
}

// [CTRL-3], [BEAT-2]
#[test]
fn a_service_that_leaves_the_class_by_its_type_gives_its_address_back() {
    let mut planner = Planner::new(Some("ours".to_owned()));
    planner.handle_pools([pool("p", "192.0.2.0-192.0.2.0")]).unwrap();
    let ours = |object: &mut Value| object["spec"]["loadBalancerClass"] = "ours".into();
    for name in ["a", "b"] {
        planner.handle_service(&key(name), Some(&service(name, 1, ours)));
    }
    let (first, _) = drain(&mut planner, at(0));
    planner.handle_written(at(1), &first[0], Ok(Taken::Changed));
    // The API server clears class and status; the annotation stays.
    let left = |object: &mut Value| {
        object["spec"]["type"] = "ClusterIP".into();
        object["metadata"]["annotations"][POOL] = "p".into();
    };
    planner.handle_service(&key("a"), Some(&service("a", 3, left)));
    let (both, _) = drain(&mut planner, at(2));
    let summary: Vec<(&str, usize)> =
        both.iter().map(|write| (write.key.name(), write.desired.addresses().len())).collect();
    assert_eq!(summary, [("a", 0), ("b", 1)]);
    planner.handle_written(at(3), &both[0], Err(Failing::Conflict));
    planner.handle_service(&key("a"), Some(&service("a", 4, left)));
    assert_eq!(writes(&mut planner, 4), [("a".to_owned(), vec![])], "it is not forgotten before it is clean");
}

// [CTRL-2], [CTRL-3]
#[test]
fn a_service_that_another_class_handles_meanwhile_keeps_the_address_of_that_class() {
    let mut planner = with_pool("192.0.2.0/30");
    planner.handle_service(&key("web"), Some(&service("web", 1, recorded("192.0.2.0", "p"))));
    assert_eq!(writes(&mut planner, 0), []);
    let theirs = |object: &mut Value| {
        object["spec"]["loadBalancerClass"] = "theirs".into();
        object["metadata"]["annotations"][POOL] = "p".into();
    };
    planner.handle_service(&key("web"), Some(&service("web", 3, theirs)));
    let (first, _) = drain(&mut planner, at(1));
    planner.handle_written(at(2), &first[0], Err(Failing::Conflict));
    let answered = |object: &mut Value| {
        theirs(object);
        object["status"]["loadBalancer"] = json!({"ingress": [{"ip": "203.0.113.9"}]});
    };
    planner.handle_service(&key("web"), Some(&service("web", 4, answered)));
    let (second, _) = drain(&mut planner, at(3));
    let body = second[0].desired.body(&second[0].seen);
    assert_eq!(body["status"]["loadBalancer"]["ingress"], json!([{"ip": "203.0.113.9"}]));
    assert!(body["metadata"].get("annotations").is_none());
    planner.handle_written(at(4), &second[0], Ok(Taken::Changed));
    let done = |object: &mut Value| {
        answered(object);
        object["metadata"]["annotations"] = json!({});
    };
    planner.handle_service(&key("web"), Some(&service("web", 5, done)));
    assert_eq!(writes(&mut planner, 5), [], "it is forgotten");
}

// [CTRL-61], [ARCH-10]
#[test]
fn a_conflict_is_tried_again_on_what_was_seen_since() {
    let mut planner = with_pool("192.0.2.0/30");
    planner.handle_service(&key("web"), Some(&service("web", 1, |_| {})));
    let (first, _) = drain(&mut planner, at(0));
    planner.handle_written(at(1), &first[0], Err(Failing::Conflict));
    assert_eq!(writes(&mut planner, 1), []);
    assert_eq!(planner.poll_timeout(at(1)), Some(at(6)));
    planner.handle_service(&key("web"), Some(&service("web", 2, |_| {})));
    let (second, _) = drain(&mut planner, at(2));
    assert_eq!(second[0].seen.resource_version(), "2");
}

// [ARCH-10]
#[test]
fn an_api_server_that_is_away_pauses_all_writes_and_is_used_again_soon() {
    let mut planner = with_pool("192.0.2.0/24");
    for index in 0..20 {
        let name = format!("web{index}");
        planner.handle_service(&key(&name), Some(&service(&name, 1, |_| {})));
    }
    let mut now = 0;
    for _ in 0..40 {
        let (tried, _) = drain(&mut planner, at(now));
        for write in &tried {
            planner.handle_written(at(now), write, Err(Failing::Server));
        }
        let wake = planner.poll_timeout(at(now)).unwrap();
        assert!(wake > at(now) && wake.since(at(now)) <= trouble::PAUSE_MAX);
        now = wake.as_micros() / 1_000;
    }
    let (tried, _) = drain(&mut planner, at(now));
    assert_eq!(tried.len(), 20);
}

/// Tries what is due, where the API server fails at these Services and takes all others; gives back who was tried.
fn failing_at(planner: &mut Planner, now: u64, failing: Failing, names: &[&str]) -> Vec<String> {
    let (tried, _) = drain(planner, at(now));
    for write in &tried {
        let fails = names.contains(&write.key.name());
        planner.handle_written(at(now), write, if fails { Err(failing) } else { Ok(Taken::Changed) });
    }
    tried.iter().map(|write| write.key.name().to_owned()).collect()
}

// [ARCH-10], [CHTTP-6]
#[test]
fn a_service_whose_write_always_fails_holds_up_no_other_and_waits_longer_each_time() {
    let mut planner = with_pool("198.18.0.0/16");
    for name in ["blocked", "web0"] {
        planner.handle_service(&key(name), Some(&service(name, 1, |_| {})));
    }
    let mut tries = Vec::new();
    for second in 0..600_u64 {
        let name = format!("web{}", second + 1);
        planner.handle_service(&key(&name), Some(&service(&name, 1, |_| {})));
        let tried = failing_at(&mut planner, second * 1_000, Failing::Internal, &["blocked"]);
        assert!(tried.contains(&name), "{name} waits for another's failure at {second} s: {tried:?}");
        assert!(planner.has_passed());
        if tried.contains(&"blocked".to_owned()) {
            tries.push(second);
        }
    }
    let gaps: Vec<u64> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.is_sorted() && gaps.last() == Some(&60) && tries.len() < 20, "{gaps:?}");
}

// [ARCH-10]
#[test]
fn what_one_success_shows_to_be_over_is_tried_again_at_once() {
    let mut planner = with_pool("192.0.2.0/24");
    for name in ["a", "b", "c"] {
        planner.handle_service(&key(name), Some(&service(name, 1, |_| {})));
    }
    let mut now = 0;
    let mut count = 0;
    while now < 120_000 {
        count += failing_at(&mut planner, now, Failing::Internal, &["a", "b", "c"]).len();
        let wake = planner.poll_timeout(at(now)).unwrap().as_micros() / 1_000;
        assert!(wake > now && wake - now <= 5_000, "one finds out whether it is over");
        now = wake;
    }
    assert!(count < 60, "{count} tries in two minutes");
    let mut tried = Vec::new();
    while tried.is_empty() {
        tried = failing_at(&mut planner, now, Failing::Internal, &[]);
        now = planner.poll_timeout(at(now)).map_or(now, |wake| wake.as_micros() / 1_000);
    }
    tried.extend(failing_at(&mut planner, now, Failing::Internal, &[]));
    tried.sort();
    assert_eq!(tried, ["a", "b", "c"]);
}

// [CHTTP-6]
#[test]
fn a_write_that_was_tried_in_vain_counts_as_tried() {
    let mut planner = Planner::new(None);
    planner.handle_service(&key("web"), Some(&service("web", 1, |_| {})));
    planner.handle_pools([pool("p", "192.0.2.0/31")]).unwrap();
    assert_eq!(failing_at(&mut planner, 0, Failing::Server, &["web"]), ["web"]);
    assert!(planner.has_passed());
}

fn refused(names: &[&str]) -> BTreeSet<PoolName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

// [CFG-2], [CTRL-17]
#[test]
fn what_is_recorded_of_a_refused_pool_stays_and_is_given_to_nobody_else() {
    let mut planner = Planner::new(None);
    planner.handle_service(&key("web"), Some(&service("web", 1, recorded("192.0.2.1", "small"))));
    planner.handle_service(&key("new"), Some(&service("new", 1, |_| {})));
    let asks = |object: &mut Value| {
        object["metadata"]["annotations"]["metallb.io/loadBalancerIPs"] = "192.0.2.1".into();
    };
    planner.handle_service(&key("asks"), Some(&service("asks", 1, asks)));
    planner.handle_refused(refused(&["small"]));
    planner.handle_pools([pool("good", "198.51.100.0/31")]).unwrap();
    let (writes, told) = drain(&mut planner, at(0));
    assert_eq!(writes.iter().map(|write| write.key.name()).collect::<Vec<_>>(), ["new"]);
    let reasons: Vec<(&str, &str)> = told.iter().map(|told| (&*told.about.name, told.reason)).collect();
    assert_eq!(reasons, [("web", "poolRefused"), ("asks", "AllocationFailed")]);
    assert!(told[1].text.ends_with("; refused, and to be corrected: small"), "{}", told[1].text);
    planner.handle_written(at(1), &writes[0], Ok(Taken::Changed));
    assert!(planner.has_passed());
    // The pool is mended: its address is still that of its Service.
    planner.handle_refused(refused(&[]));
    planner.handle_pools([pool("good", "198.51.100.0/31"), pool("small", "192.0.2.0/31")]).unwrap();
    let (writes, told) = drain(&mut planner, at(2));
    let reasons: Vec<(&str, &str)> = told.iter().map(|told| (&*told.about.name, told.reason)).collect();
    assert_eq!((writes, reasons), (Vec::new(), vec![("new", "IPAllocated"), ("asks", "AllocationFailed")]));
    assert_eq!(planner.allocator.users_of(address("192.0.2.1")), [key("web")]);
    // It is deleted: nobody keeps what no pool has.
    let mut planner = Planner::new(None);
    planner.handle_service(&key("web"), Some(&service("web", 1, recorded("192.0.2.1", "small"))));
    planner.handle_refused(refused(&["small"]));
    planner.handle_pools([pool("good", "198.51.100.0/31")]).unwrap();
    assert_eq!(drain(&mut planner, at(0)).0, []);
    planner.handle_refused(refused(&[]));
    let (writes, _) = drain(&mut planner, at(1));
    assert_eq!(writes[0].desired.addresses(), [address("198.51.100.0")]);
}

// [CEVT-8]
#[test]
fn a_pool_that_is_refused_is_not_called_absent() {
    let mut planner = Planner::new(None);
    planner.handle_refused(refused(&["zz-bad"]));
    planner.handle_pools([pool("good", "198.51.100.0/31")]).unwrap();
    let asks = |object: &mut Value| {
        object["metadata"]["annotations"]["metallb.io/address-pool"] = "zz-bad".into();
    };
    planner.handle_service(&key("web"), Some(&service("web", 1, asks)));
    let (_, told) = drain(&mut planner, at(0));
    assert!(told[0].text.contains("the pool zz-bad is refused"), "{}", told[0].text);
}

// [CTRL-20], [CHG-2]
#[test]
fn a_deleted_service_frees_its_address_even_while_it_is_written() {
    let mut planner = with_pool("192.0.2.0-192.0.2.0");
    planner.handle_service(&key("a"), Some(&service("a", 1, |_| {})));
    let (first, _) = drain(&mut planner, at(0));
    planner.handle_service(&key("b"), Some(&service("b", 1, |_| {})));
    planner.handle_service(&key("a"), None);
    assert_eq!(writes(&mut planner, 1), [("b".to_owned(), vec![address("192.0.2.0")])]);
    planner.handle_written(at(2), &first[0], Err(Failing::Missing));
    assert_eq!(writes(&mut planner, 3), []);
}

// [CHG-2], [MET-4], [POOLST-1]
#[test]
fn a_service_that_goes_is_counted_though_no_other_is_looked_at() {
    let mut planner = with_pool("192.0.2.0/30");
    planner.handle_service(&key("web"), Some(&service("web", 1, |_| {})));
    let (first, _) = drain(&mut planner, at(0));
    planner.handle_written(at(1), &first[0], Ok(Taken::Changed));
    drain(&mut planner, at(1));
    let before = planner.counts();
    planner.handle_service(&key("web"), None);
    assert_eq!(drain(&mut planner, at(2)), (Vec::new(), Vec::new()));
    assert_eq!(planner.usages().map(|(_, usage)| usage.assigned_ipv4).sum::<i64>(), 0);
    assert_ne!(planner.counts(), before);
}

// [CTRL-25], [CEVT-9]
#[test]
fn an_older_annotation_is_told_where_something_is_written() {
    let mut planner = with_pool("192.0.2.0/30");
    let older = |object: &mut Value| {
        object["metadata"]["annotations"]["metallb.universe.tf/address-pool"] = "p".into();
    };
    planner.handle_service(&key("web"), Some(&service("web", 1, older)));
    let (first, _) = drain(&mut planner, at(0));
    planner.handle_written(at(1), &first[0], Ok(Taken::Changed));
    let (_, told) = drain(&mut planner, at(1));
    let reasons: Vec<&str> = told.iter().map(|told| told.reason).collect();
    assert_eq!(reasons, ["IPAllocated", "deprecatedAnnotation"]);
}

// [CTRL-37]
#[test]
fn a_status_whose_service_cannot_be_judged_is_left_alone() {
    let mut planner = with_pool("192.0.2.0/30");
    let headless = |object: &mut Value| {
        recorded("192.0.2.1", "p")(object);
        object["spec"]["clusterIP"] = "None".into();
        object["spec"]["clusterIPs"] = json!(["None"]);
    };
    planner.handle_service(&key("web"), Some(&service("web", 1, headless)));
    let (none, told) = drain(&mut planner, at(0));
    assert_eq!((none.len(), told[0].reason), (0, "noclusterIPsIPFamily"));
}

#[test]
fn an_address_pair_is_recorded_in_its_order() {
    let pair = ServiceAddresses::pair(address("2001:db8::1"), address("192.0.2.1")).unwrap();
    let desired = Desired::Addresses { addresses: pair, pool: "p".parse().unwrap() };
    let both = |object: &mut Value| {
        object["status"]["loadBalancer"] = json!({"ingress": [{"ip": "2001:db8::1"}, {"ip": "192.0.2.1"}]});
        object["metadata"]["annotations"][POOL] = "p".into();
    };
    assert!(desired.is_said_by(&service("web", 1, both)));
}
