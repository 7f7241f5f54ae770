//! The published outcomes of convergence ([VEC-CONV], [VEC-REPR]) and the rules that go beyond them.

use super::*;
use crate::addresses::parse_requested;
use crate::labels::Labels;
use crate::pool::{AutoAssign, Pool, ServiceAllocation};
use crate::request::families_of;
use crate::service::SharingKey;
use crate::sharing::{BackendKey, Protocol, ServicePort, ServicePorts, SharingTerms};

fn pool(name: &str, auto_assign: AutoAssign, ranges: &[&str]) -> Pool {
    let ranges = ranges.iter().map(|text| text.parse().unwrap()).collect();
    Pool { auto_assign, ..Pool::new(name.parse().unwrap(), ranges) }
}

fn allocator(pools: Vec<Pool>) -> Allocator {
    let mut allocator = Allocator::default();
    allocator.replace_pools(pools).unwrap();
    allocator
}

/// The pools p1, p2 and p3 of the published vectors.
fn single_stack_pools() -> Allocator {
    allocator(vec![
        pool("p1", AutoAssign::Enabled, &["1.2.3.0/31"]),
        pool("p2", AutoAssign::Disabled, &["3.4.5.6/32"]),
        pool("p3", AutoAssign::Enabled, &["1000::/127"]),
    ])
}

/// The pools p2 and p5 of the published vectors.
fn dual_stack_pools() -> Allocator {
    allocator(vec![
        pool("p2", AutoAssign::Disabled, &["3.4.5.6/32"]),
        pool("p5", AutoAssign::Enabled, &["1.2.3.0/31", "1000::/127"]),
    ])
}

const V4: &[&str] = &["10.96.0.1"];
const V6: &[&str] = &["fd00::1"];
const V4_V6: &[&str] = &["10.96.0.1", "fd00::1"];
const V6_V4: &[&str] = &["fd00::1", "10.96.0.1"];

fn service(name: &str, cluster_ips: &[&str]) -> ServiceState {
    ServiceState::new(format!("default/{name}").parse().unwrap(), families_of(None, cluster_ips, None))
}

fn recorded(mut state: ServiceState, texts: &[&str]) -> ServiceState {
    state.recorded = RecordedAddresses::parse(texts.iter().copied());
    state
}

fn requesting(mut state: ServiceState, annotation: Option<&str>, field: Option<&str>) -> ServiceState {
    state.requested_addresses = parse_requested(annotation, field);
    state
}

fn from_pool(mut state: ServiceState, pool: &str) -> ServiceState {
    state.requested_pool = Some(pool.parse().unwrap());
    state
}

fn with_policy(mut state: ServiceState, policy: IpFamilyPolicy) -> ServiceState {
    state.policy = policy;
    state
}

fn sharing(mut state: ServiceState, key: &str, backend_key: BackendKey, port: u16) -> ServiceState {
    let ports = ServicePorts::new([ServicePort { protocol: Protocol::Tcp, port }]);
    state.terms.sharing = SharingTerms { sharing_key: SharingKey::new(key).ok(), backend_key, ports };
    state
}

fn texts(outcome: &Convergence) -> String {
    outcome.addresses.map(|addresses| addresses.to_string()).unwrap_or_default()
}

fn category(outcome: &Convergence) -> &'static str {
    outcome.problem.as_ref().map_or("", NoAddress::category)
}

fn events(outcome: &Convergence) -> Vec<&'static str> {
    outcome.notices.iter().map(Notice::event_reason).collect()
}

/// Addresses, category of the problem, and events of one Service alone.
fn settle(mut allocator: Allocator, state: &ServiceState) -> (String, &'static str, Vec<&'static str>) {
    let outcome = converge(&mut allocator, state);
    let held = allocator.allocation_by_key(&state.key).map(|held| held.addresses);
    if outcome.change == Change::Changed || outcome.problem.is_none() {
        assert_eq!(held, outcome.addresses, "the allocator and the outcome agree");
    }
    (texts(&outcome), category(&outcome), events(&outcome))
}

// [VEC-CONV]
#[test]
fn services_of_one_family_without_wishes() {
    let state = service("a", V4);
    assert_eq!(settle(single_stack_pools(), &state), ("1.2.3.0".into(), "", vec!["IPAllocated"]));
    let state = service("a", V6);
    assert_eq!(settle(single_stack_pools(), &state), ("1000::".into(), "", vec!["IPAllocated"]));
    let state = service("a", &[]);
    assert_eq!(settle(single_stack_pools(), &state), (String::new(), "no-cluster-ip", vec![]));
    let mut state = recorded(service("a", V4), &["1.2.3.0"]);
    state.kind = ServiceKind::Other;
    assert_eq!(settle(single_stack_pools(), &state), (String::new(), "", vec![]));
}

// [VEC-CONV], [CTRL-51], [ANNOT-10], [ANNOT-11]
#[test]
fn requested_addresses_are_given_or_refused() {
    let request = |cluster_ips, annotation, field| {
        let state = requesting(service("a", cluster_ips), annotation, field);
        let (addresses, category, events) = settle(single_stack_pools(), &state);
        assert_eq!(events, [if category.is_empty() { "IPAllocated" } else { "AllocationFailed" }]);
        (addresses, category)
    };
    assert_eq!(request(V4, None, Some("1.2.3.1")), ("1.2.3.1".into(), ""));
    assert_eq!(request(V4, Some("1.2.3.1"), None), ("1.2.3.1".into(), ""));
    assert_eq!(request(V4, None, Some("3.4.5.6")), ("3.4.5.6".into(), ""));
    assert_eq!(request(V4, Some("1.2.3.1"), Some("1.2.3.1")), (String::new(), "invalid-request"));
    assert_eq!(request(V4, None, Some("garbage")), (String::new(), "invalid-request"));
    assert_eq!(request(V4, Some("1.2.3.0,1.2.3.1"), None), (String::new(), "invalid-request"));
    assert_eq!(request(V4, Some("9.9.9.9"), None), (String::new(), "not-in-pool"));
    assert_eq!(request(V6, Some("1.2.3.1"), None), (String::new(), "family-mismatch"));
    assert_eq!(request(V4, Some("1.2.3.0,1000::"), None), (String::new(), "family-mismatch"));
    assert_eq!(request(V4_V6, None, Some("1.2.3.1")), (String::new(), "family-mismatch"));
    assert_eq!(request(V4_V6, Some("1.2.3.1"), None), (String::new(), "family-mismatch"));
}

// [VEC-CONV], [CTRL-51], [CTRL-52]
#[test]
fn requested_pools_are_used_or_refused() {
    let state = from_pool(requesting(service("a", V4), Some("1.2.3.1"), None), "p2");
    assert_eq!(settle(single_stack_pools(), &state).1, "pool-mismatch");
    let state = from_pool(service("a", V4), "nowhere");
    assert_eq!(settle(single_stack_pools(), &state).1, "no-such-pool");
    let state = from_pool(service("a", V4), "p3");
    assert_eq!(settle(single_stack_pools(), &state).1, "family-unavailable");
    let state = recorded(from_pool(service("a", V4), "p2"), &["1.2.3.0"]);
    assert_eq!(settle(single_stack_pools(), &state), ("3.4.5.6".into(), "", vec!["IPAllocated"]));
}

// [VEC-CONV], [CTRL-36], [CTRL-39], [CTRL-41]
#[test]
fn records_that_cannot_stay_are_replaced() {
    let replaced = |texts: &[&str]| settle(single_stack_pools(), &recorded(service("a", V4), texts));
    assert_eq!(replaced(&["2.3.4.5"]), ("1.2.3.0".into(), "", vec!["ClearAssignment", "IPAllocated"]));
    assert_eq!(replaced(&["", "2.3.4.5"]), ("1.2.3.0".into(), "", vec!["ClearAssignment", "IPAllocated"]));
    assert_eq!(replaced(&["1000::"]), ("1.2.3.0".into(), "", vec!["IPAllocated"]));
    let three = ["1.2.3.0", "1.2.3.1", "1.2.3.2"];
    assert_eq!(replaced(&three), ("1.2.3.0".into(), "", vec!["nolbIPsIPFamily", "IPAllocated"]));
    let state = requesting(recorded(service("a", V4), &["1.2.3.1"]), None, Some("1.2.3.4"));
    assert_eq!(settle(single_stack_pools(), &state), (String::new(), "not-in-pool", vec!["AllocationFailed"]));
}

// [VEC-CONV], [CTRL-34], [CTRL-46]
#[test]
fn dual_stack_services_get_ipv4_first() {
    let require = |state| with_policy(state, IpFamilyPolicy::RequireDualStack);
    let state = require(service("a", V4_V6));
    assert_eq!(settle(dual_stack_pools(), &state).0, "1.2.3.0, 1000::");
    let state = require(recorded(service("a", V6_V4), &["", "1000::"]));
    assert_eq!(settle(dual_stack_pools(), &state).0, "1.2.3.0, 1000::");
    let state = require(service("a", V4));
    assert_eq!(
        settle(dual_stack_pools(), &state),
        (String::new(), "dual-stack-required", vec!["not enough clusterips"])
    );
    let state = requesting(service("a", V4_V6), Some("1.2.3.0,1000::"), None);
    assert_eq!(settle(dual_stack_pools(), &state).0, "1.2.3.0, 1000::");
    let state = from_pool(with_policy(service("a", V4_V6), IpFamilyPolicy::PreferDualStack), "p1");
    let (addresses, _, _) = settle(single_stack_pools(), &state);
    assert_eq!(addresses, "1.2.3.0");
}

// [CTRL-42], [BEAT-1]
#[test]
fn a_single_stack_service_that_prefers_two_addresses_is_settled_with_one() {
    let mut allocator = dual_stack_pools();
    let mut state = from_pool(with_policy(service("a", V4), IpFamilyPolicy::PreferDualStack), "p5");
    assert_eq!(texts(&converge(&mut allocator, &state)), "1.2.3.0");
    state = recorded(state, &["1.2.3.0"]);
    let again = converge(&mut allocator, &state);
    assert_eq!((texts(&again).as_str(), again.change, again.notices), ("1.2.3.0", Change::Unchanged, vec![]));
}

// [CTRL-42], [CHG-20]
#[test]
fn the_second_address_is_appended_to_the_first() {
    let mut allocator = dual_stack_pools();
    let state = recorded(with_policy(service("a", V4_V6), IpFamilyPolicy::PreferDualStack), &["1000::1"]);
    let outcome = converge(&mut allocator, &state);
    assert_eq!((texts(&outcome).as_str(), events(&outcome)), ("1000::1, 1.2.3.0", vec!["IPAllocated"]));
}

// [CTRL-42], [CEVT-3]
#[test]
fn a_second_address_that_is_not_to_be_had_leaves_the_first() {
    let mut allocator = single_stack_pools();
    let state = recorded(with_policy(service("a", V4_V6), IpFamilyPolicy::PreferDualStack), &["1.2.3.1"]);
    let outcome = converge(&mut allocator, &state);
    assert_eq!((texts(&outcome).as_str(), events(&outcome)), ("1.2.3.1", vec!["AdditionalAssignFailed"]));
    assert!(outcome.is_waiting() && outcome.problem.is_none());
}

// [CTRL-46]
#[test]
fn a_recorded_order_is_never_changed() {
    let mut allocator = dual_stack_pools();
    let state = recorded(requesting(service("a", V4_V6), Some("1.2.3.0,1000::"), None), &["1000::", "1.2.3.0"]);
    let outcome = converge(&mut allocator, &state);
    assert_eq!((texts(&outcome).as_str(), outcome.change), ("1000::, 1.2.3.0", Change::Unchanged));
}

// [CHG-31], [CHG-21], [CHG-22]
#[test]
fn a_change_of_families_spares_the_address_of_the_family_that_stays() {
    let mut allocator = dual_stack_pools();
    let state = recorded(service("a", V6), &["1.2.3.1", "1000::1"]);
    assert_eq!(texts(&converge(&mut allocator, &state)), "1000::1");
    let state = with_policy(recorded(service("a", V4_V6), &["1000::1"]), IpFamilyPolicy::RequireDualStack);
    assert_eq!(texts(&converge(&mut allocator, &state)), "1.2.3.0, 1000::1");
}

// [CTRL-37]
#[test]
fn a_service_whose_family_cannot_be_told_keeps_its_record() {
    let mut allocator = single_stack_pools();
    let outcome = converge(&mut allocator, &recorded(service("a", &["None"]), &["1.2.3.1"]));
    assert_eq!((texts(&outcome).as_str(), category(&outcome)), ("1.2.3.1", "no-cluster-ip"));
    assert_eq!((outcome.change, events(&outcome)), (Change::Unchanged, vec!["noclusterIPsIPFamily"]));
}

// [CTRL-41], [CHG-14]
#[test]
fn a_request_that_cannot_be_read_leaves_the_address_held() {
    let mut allocator = single_stack_pools();
    let state = requesting(recorded(service("a", V4), &["1.2.3.1"]), Some("1.2.3.0"), Some("1.2.3.1"));
    let outcome = converge(&mut allocator, &state);
    assert_eq!((texts(&outcome).as_str(), category(&outcome)), ("1.2.3.1", "invalid-request"));
    assert_eq!((outcome.change, events(&outcome)), (Change::Unchanged, vec!["LoadBalancerFailed"]));
    assert!(allocator.allocation_by_key(&state.key).is_some());
}

// [CTRL-31], [CHG-4]
#[test]
fn without_any_pool_records_are_cleared() {
    let mut allocator = Allocator::default();
    let outcome = converge(&mut allocator, &recorded(service("a", V4), &["1.2.3.1"]));
    assert_eq!((texts(&outcome).as_str(), category(&outcome), outcome.change), ("", "no-config", Change::Changed));
}

// [CTRL-47], [CHG-6], [CHG-13]
#[test]
fn an_address_stays_when_a_better_pool_appears() {
    let mut allocator = single_stack_pools();
    let mut better = pool("p0", AutoAssign::Enabled, &["7.7.7.0/24"]);
    better.allocation = Some(ServiceAllocation::default());
    let pools = allocator.pools().cloned().chain([better]).collect::<Vec<_>>();
    let state = recorded(service("a", V4), &["1.2.3.1"]);
    converge(&mut allocator, &state);
    allocator.replace_pools(pools).unwrap();
    assert_eq!(converge(&mut allocator, &state).change, Change::Unchanged);
    assert_eq!(texts(&converge(&mut allocator, &service("b", V4))), "7.7.7.0");
}

// [VEC-REPR], [CTRL-27]
#[test]
fn whoever_waits_can_be_served_after_a_release_or_a_move() {
    let mut allocator = allocator(vec![
        pool("one", AutoAssign::Enabled, &["1.2.3.0/32"]),
        pool("other", AutoAssign::Disabled, &["3.4.5.6/32"]),
    ]);
    let (first, second) = (service("s1", V4), service("s2", V4));
    assert_eq!(texts(&converge(&mut allocator, &first)), "1.2.3.0");
    assert_eq!(category(&converge(&mut allocator, &second)), "pool-exhausted");
    let before = allocator.freed_generation();
    assert_eq!(texts(&converge(&mut allocator, &recorded(from_pool(first, "other"), &["1.2.3.0"]))), "3.4.5.6");
    assert_ne!(allocator.freed_generation(), before);
    assert_eq!(texts(&converge(&mut allocator, &second)), "1.2.3.0");
}

// [VEC-REPR], [CHG-16], [CHG-19]
#[test]
fn a_change_of_backends_costs_the_one_that_changed_the_shared_address() {
    let mut allocator = allocator(vec![pool("one", AutoAssign::Enabled, &["1.2.3.0/32"])]);
    let local = |selector: &str| BackendKey::local("default", &Labels::from([("app".to_owned(), selector.to_owned())]));
    let held = |name, backend, port| recorded(sharing(service(name, V4), "k", backend, port), &["1.2.3.0"]);
    converge(&mut allocator, &held("s1", BackendKey::Cluster, 80));
    converge(&mut allocator, &held("s2", BackendKey::Cluster, 443));
    let refused = converge(&mut allocator, &held("s2", local("x"), 443));
    assert_eq!((texts(&refused).as_str(), category(&refused)), ("", "pool-exhausted"));
    assert_eq!(texts(&converge(&mut allocator, &held("s1", local("x"), 80))), "1.2.3.0");
    let waiting = sharing(service("s2", V4), "k", local("x"), 443);
    assert_eq!(texts(&converge(&mut allocator, &waiting)), "1.2.3.0");
    let lost = converge(&mut allocator, &held("s1", local("y"), 80));
    assert_eq!(texts(&lost), "");
    assert_eq!(allocator.users_of("1.2.3.0".parse().unwrap()), [waiting.key]);
}

// [CTRL-16], [CTRL-17]
#[test]
fn a_restart_gives_no_recorded_address_away() {
    let mut allocator = allocator(vec![pool("p", AutoAssign::Enabled, &["1.2.3.0/30"])]);
    let states = [
        service("a", V4),
        recorded(service("b", V4), &["1.2.3.3"]),
        recorded(service("c", V4), &["9.9.9.9"]),
        recorded(service("d", V4), &["1.2.3.0"]),
    ];
    let outcomes: Vec<String> = converge_all(&mut allocator, &states).iter().map(texts).collect();
    assert_eq!(outcomes, ["1.2.3.2", "1.2.3.3", "1.2.3.1", "1.2.3.0"]);
}

// [CTRL-17]
#[test]
fn the_older_service_keeps_an_address_recorded_twice() {
    let mut allocator = allocator(vec![pool("p", AutoAssign::Enabled, &["1.2.3.0/30"])]);
    let mut states = [recorded(service("a", V4), &["1.2.3.2"]), recorded(service("b", V4), &["1.2.3.2"])];
    states[0].created = CreationTime(20);
    states[1].created = CreationTime(10);
    let outcomes: Vec<String> = converge_all(&mut allocator, &states).iter().map(texts).collect();
    assert_eq!(outcomes, ["1.2.3.0", "1.2.3.2"]);
}

// [CTRL-27]
#[test]
fn starting_retries_who_waits_for_an_address_given_up_later() {
    let mut allocator = allocator(vec![
        pool("one", AutoAssign::Enabled, &["1.2.3.0/32"]),
        pool("other", AutoAssign::Disabled, &["3.4.5.6/32"]),
    ]);
    let mut waiting = recorded(service("a", V4), &["9.9.9.9"]);
    waiting.created = CreationTime(1);
    let mut mover = recorded(service("b", V4), &["1.2.3.0"]);
    mover.created = CreationTime(2);
    let first = converge_all(&mut allocator, &[waiting.clone(), mover.clone()]);
    assert_eq!(first.iter().map(texts).collect::<Vec<_>>(), ["", "1.2.3.0"]);
    let second = converge_all(&mut allocator, &[waiting, from_pool(mover, "other")]);
    assert_eq!(second.iter().map(texts).collect::<Vec<_>>(), ["1.2.3.0", "3.4.5.6"]);
    assert_eq!(events(&second[0]), ["ClearAssignment", "IPAllocated"]);
}

// [OWN-60]: what a live member claims is not given here, and one of ours that holds it is moved.
#[test]
fn an_address_reserved_for_somebody_else_moves_the_service_that_had_it() {
    let mut allocator = single_stack_pools();
    let state = service("a", V4);
    converge(&mut allocator, &state);
    allocator.reserve("1.2.3.0".parse().unwrap(), "other/web on node-b");
    let outcome = converge(&mut allocator, &recorded(state, &["1.2.3.0"]));
    assert_eq!((texts(&outcome).as_str(), events(&outcome)), ("1.2.3.1", vec!["ClearAssignment", "IPAllocated"]));
    assert!(outcome.notices[0].to_string().contains("other/web on node-b"));
}

#[test]
fn notices_carry_a_kind_and_a_text() {
    let mut allocator = single_stack_pools();
    let outcome = converge(&mut allocator, &recorded(service("a", V4), &["2.3.4.5"]));
    assert_eq!(outcome.notices[0].kind(), NoticeKind::Normal);
    assert!(outcome.notices[0].to_string().starts_with("gave up 2.3.4.5: 2.3.4.5 is in no pool"));
    let outcome = converge(&mut allocator, &from_pool(service("b", V4), "nowhere"));
    assert_eq!(outcome.notices[0].kind(), NoticeKind::Warning);
    assert_eq!(
        outcome.notices[0].to_string(),
        "no address: there is no pool nowhere: correct the name, or create the pool"
    );
}

// [CTRL-41], [CTRL-42]: a second address would not be what is requested, and the next pass would take both away.
#[test]
fn nothing_is_added_to_an_address_that_is_requested_alone() {
    let pools = vec![pool("p", AutoAssign::Enabled, &["1.2.3.0/31", "1000::/127"])];
    let dual = |policy| {
        let state = requesting(recorded(service("a", &["10.0.0.1", "fd00::1"]), &["1000::"]), Some("1000::"), None);
        ServiceState { policy, ..state }
    };
    let mut allocator = allocator(pools);
    let outcome = converge(&mut allocator, &dual(IpFamilyPolicy::PreferDualStack));
    assert_eq!((texts(&outcome).as_str(), outcome.change), ("1000::", Change::Unchanged));
    let outcome = converge(&mut allocator, &dual(IpFamilyPolicy::RequireDualStack));
    assert_eq!((texts(&outcome).as_str(), category(&outcome)), ("", "family-mismatch"));
}
