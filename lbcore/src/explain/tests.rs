//! Traces against the decisions that they explain: the same outcome, and steps that agree with it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::addresses::{RecordedAddresses, parse_requested};
use crate::allocator::{Allocator, Hold, HoldReason};
use crate::config::{
    Config, ObjectRef, Origin, Raw, RawBgpAdvertisement, RawConfig, RawL2Advertisement, RawPeer, RawPool,
    RawPoolPolicy, RawSelector, Settings,
};
use crate::converge::{ServiceKind, ServiceState, converge, converge_all, converge_all_telling};
use crate::decide::{
    BgpDecision, DecideOptions, EndpointAddress, Endpoints, Layer2Decision, ServiceFacts, SharingAnnotation, Snapshot,
    TrafficPolicy, decide, first_owner, routes_by_peer,
};
use crate::family::{IpFamily, IpFamilyPolicy, ServiceFamilies};
use crate::labels::Labels;
use crate::node::{EXCLUDE_LABEL, NetworkCondition, Node};
use crate::policy::{
    AddressReservation, Audience, Beneficiaries, KeptAddress, Policies, PoolPolicy, PoolSelection, Quota, QuotaScope,
};
use crate::pool::{AutoAssign, BuggyAddresses, Pool, ServiceAllocation};
use crate::range::AddressRange;
use crate::service::{NodeName, PoolName, ServiceKey};
use crate::sharing::{Protocol, ServicePort, SharingTerms};
use crate::time::UnixTime;

fn labels(of: Option<u8>) -> Labels {
    of.map(|value| ("team".to_owned(), value.to_string())).into_iter().collect()
}

fn selector(value: u8) -> crate::labels::Selector {
    let values = BTreeSet::from([value.to_string()]);
    crate::labels::Selector::new([crate::labels::Requirement::In { key: "team".to_owned(), values }])
}

/// Pool number `number`: a few addresses of each family, perhaps restricted.
#[derive(Clone, Debug)]
struct PoolPlan {
    v4: u8,
    v6: u8,
    auto_assign: bool,
    avoids: bool,
    priority: i64,
    namespaces: Option<BTreeSet<u8>>,
    team: Option<u8>,
    /// The last parts of an IPv4 address that is not in the pool, and of one that a freeze keeps.
    excluded: Option<u8>,
    kept: Option<u8>,
}

impl PoolPlan {
    fn pool(&self, number: usize) -> Pool {
        let mut ranges = Vec::new();
        if self.v4 > 0 {
            ranges.push(format!("10.0.{number}.0-10.0.{number}.{}", self.v4 - 1).parse().unwrap());
        }
        if self.v6 > 0 {
            ranges.push(format!("fd00:{number}::-fd00:{number}::{:x}", self.v6 - 1).parse().unwrap());
        }
        let restricted = self.namespaces.is_some() || self.team.is_some() || self.priority != 0;
        let allocation = ServiceAllocation {
            priority: self.priority,
            namespaces: self.namespaces.as_ref().map(|set| set.iter().map(|number| format!("ns{number}")).collect()),
            service_selectors: self.team.map(selector).into_iter().collect(),
        };
        Pool {
            auto_assign: if self.auto_assign { AutoAssign::Enabled } else { AutoAssign::Disabled },
            buggy_addresses: if self.avoids { BuggyAddresses::Avoided } else { BuggyAddresses::Used },
            allocation: restricted.then_some(allocation),
            exclusions: self.excluded.map(|last| AddressRange::single(single(number, last))).into_iter().collect(),
            kept: self.kept.map(|last| single(number, last)).into_iter().collect(),
            ..Pool::new(PoolName::new(format!("pool{number}")).unwrap(), ranges)
        }
    }
}

fn pool_plan() -> impl Strategy<Value = PoolPlan> {
    let restriction = (prop::option::of(prop::collection::btree_set(0_u8..3, 0..3)), prop::option::of(0_u8..2));
    let last = || prop::option::weighted(0.2, 0_u8..4);
    let parts = (0_u8..4, 0_u8..4, prop::bool::weighted(0.8), any::<bool>(), 0_i64..3, prop::bool::weighted(0.4));
    (parts, restriction, last(), last()).prop_map(|(parts, (namespaces, team), excluded, kept)| {
        let (v4, v6, auto_assign, avoids, priority, is_pinned) = parts;
        let (v4, v6) = if v4 + v6 == 0 { (1, 0) } else { (v4, v6) };
        let (namespaces, team) = if is_pinned { (namespaces, team) } else { (None, None) };
        let priority = if is_pinned { priority } else { 0 };
        PoolPlan { v4, v6, auto_assign, avoids, priority, namespaces, team, excluded, kept }
    })
}

/// An IPv4 address of the pool of this number, or one beside it.
fn single(pool: usize, last: u8) -> IpAddr {
    format!("10.0.{pool}.{last}").parse().unwrap()
}

/// Reservations by pool, first and last address, and the Service or the namespace meant; for all pools a limit for each namespace; and the
/// addresses that wait, by pool and address, with namespace and name of the Service that they wait for.
type PoliciesPlan = (Vec<(u8, u8, u8, u8, bool)>, Option<u64>, Vec<(u8, u8, u8, u8)>);

fn policies_plan() -> impl Strategy<Value = PoliciesPlan> {
    let reservation = (0_u8..4, 0_u8..3, 0_u8..2, 0_u8..4, any::<bool>());
    let reservations = prop_oneof![Just(Vec::new()), prop::collection::vec(reservation, 1..3)];
    let waiting =
        prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec((0_u8..4, 0_u8..4, 0_u8..3, 0_u8..4), 1..4)];
    (reservations, prop::option::weighted(0.3, 0_u64..3), waiting)
}

fn holds((.., waiting): &PoliciesPlan) -> Vec<Hold> {
    let hold = |(pool, last, namespace, name): &(u8, u8, u8, u8)| Hold {
        address: single(usize::from(*pool), *last),
        service: ServiceKey::new(&format!("ns{namespace}"), &format!("s{name}")).unwrap(),
        until: UnixTime::from_secs(60),
        reason: HoldReason::Retention,
    };
    waiting.iter().map(hold).collect()
}

fn policies((reservations, limit, waiting): &PoliciesPlan) -> Policies {
    let reservations = reservations.iter().enumerate().map(|(number, (pool, first, more, who, is_name))| {
        let beneficiaries = if *is_name {
            let services =
                (0..3).map(|namespace| ServiceKey::new(&format!("ns{namespace}"), &format!("s{who}")).unwrap());
            Beneficiaries { services: services.collect(), audience: None }
        } else {
            let namespaces = Some(BTreeSet::from([format!("ns{who}")]));
            Beneficiaries { audience: Some(Audience { namespaces, ..Audience::default() }), ..Beneficiaries::default() }
        };
        Arc::new(AddressReservation {
            name: format!("reservation{number}").into(),
            addresses: vec![format!("10.0.{pool}.{first}-10.0.{pool}.{}", first + more).parse().unwrap()],
            host_parts: Vec::new(),
            pool: None,
            beneficiaries,
        })
    });
    let quota = limit.map(|limit| Quota {
        name: "per-namespace".into(),
        scope: QuotaScope::Namespace,
        audience: Audience::default(),
        limit,
    });
    let policy = PoolPolicy {
        name: "all".into(),
        pools: PoolSelection::default(),
        exclusions: Vec::new(),
        retention: (!waiting.is_empty()).then_some(core::time::Duration::from_secs(3_600)),
        release_now: Vec::new(),
        reuse_cooldown: None,
        quotas: quota.into_iter().collect(),
        freeze: None,
    };
    Policies { reservations: reservations.collect(), pool_policies: vec![Arc::new(policy)] }
}

fn address() -> impl Strategy<Value = String> {
    (0_u8..4, 0_u8..4, any::<bool>()).prop_map(|(pool, last, is_v4)| {
        if is_v4 { format!("10.0.{pool}.{last}") } else { format!("fd00:{pool}::{last:x}") }
    })
}

fn service_state(number: usize) -> impl Strategy<Value = ServiceState> {
    let families = prop_oneof![
        Just(ServiceFamilies::Single(IpFamily::V4)),
        Just(ServiceFamilies::Single(IpFamily::V6)),
        Just(ServiceFamilies::Dual { primary: IpFamily::V4 }),
        Just(ServiceFamilies::Dual { primary: IpFamily::V6 }),
    ];
    let policy = prop_oneof![
        Just(IpFamilyPolicy::SingleStack),
        Just(IpFamilyPolicy::PreferDualStack),
        Just(IpFamilyPolicy::RequireDualStack),
    ];
    let asked = (
        prop::option::weighted(0.3, prop::collection::vec(address(), 1..3)),
        prop::option::weighted(0.3, 0_u8..5),
        prop::option::weighted(0.4, prop::collection::vec(address(), 1..3)),
    );
    let terms = (0_u8..3, prop::option::of(0_u8..2), prop::option::weighted(0.4, 0_u8..2), 80_u16..83);
    (families, policy, asked, terms, prop::bool::weighted(0.05)).prop_map(
        move |(families, policy, (requested, pool, recorded), (namespace, team, sharing, port), is_other)| {
            let key = ServiceKey::new(&format!("ns{namespace}"), &format!("s{number}")).unwrap();
            let mut state = ServiceState::new(key, Ok(families));
            state.kind = if is_other { ServiceKind::Other } else { ServiceKind::LoadBalancer };
            state.policy = policy;
            state.terms.labels = Arc::new(labels(team));
            state.terms.sharing = SharingTerms {
                sharing_key: sharing.map(|key| format!("k{key}").parse().unwrap()),
                ports: [ServicePort { protocol: Protocol::Tcp, port }].into_iter().collect(),
                ..SharingTerms::default()
            };
            let requested = requested.map(|texts| texts.join(","));
            state.requested_addresses = parse_requested(requested.as_deref(), None);
            state.requested_pool = pool.map(|number| PoolName::new(format!("pool{number}")).unwrap());
            state.recorded = RecordedAddresses::parse(recorded.iter().flatten().map(String::as_str));
            state
        },
    )
}

/// What must hold of the steps, given the outcome.
fn check_allocation(explained: &Allocation) {
    let Allocation { outcome, fate: _, trace } = explained;
    let said = format!("{outcome:?}\n{trace:#?}");
    let last_chosen = trace.steps.iter().rev().find(|step| step.verdict == Verdict::Chosen);
    match (&outcome.problem, &outcome.addresses) {
        (None, Some(addresses)) => {
            let chosen = last_chosen.unwrap_or_else(|| panic!("nothing is chosen: {said}"));
            for address in addresses.iter() {
                assert!(chosen.text.contains(&address.to_string()), "{address} is not said: {said}");
            }
            let pool = outcome.pool.as_ref().unwrap().as_str();
            assert_eq!(&*chosen.objects[0].name, pool, "{said}");
        }
        (Some(problem), None) => {
            assert!(last_chosen.is_none(), "something is chosen: {said}");
            let last = trace.refusals().last().unwrap_or_else(|| panic!("nothing is refused: {said}"));
            assert!(last.fix.is_some() || problem.category() == "invalid-request", "no mend: {said}");
            let told = trace.refusals().any(|step| step.rule == mend::rule_of(problem));
            assert!(told, "{} is not told: {said}", mend::rule_of(problem));
        }
        (Some(_), Some(_)) => assert!(trace.refusals().next().is_some(), "{said}"),
        (None, None) => assert!(trace.refusals().any(|step| step.rule == "CTRL-30"), "{said}"),
    }
}

// [CTRL-51]: found by the property below, once in some thousand cases.
#[test]
fn a_record_that_the_request_rules_out_is_not_chosen() {
    let mut allocator = Allocator::default();
    let pool = Pool::new("pool1".parse().unwrap(), vec!["10.0.1.0/30".parse().unwrap()]);
    allocator.replace_pools([pool]).unwrap();
    let both = Ok(ServiceFamilies::Dual { primary: IpFamily::V4 });
    let mut state = ServiceState::new("ns0/s3".parse().unwrap(), both);
    state.policy = IpFamilyPolicy::RequireDualStack;
    state.requested_addresses = parse_requested(Some("10.0.1.0"), None);
    state.recorded = RecordedAddresses::parse(["10.0.1.0"]);
    let explained = allocation(&allocator, &state);
    assert_eq!(explained.outcome.addresses, None);
    check_allocation(&explained);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 1_000 } else { 2_000 }))]

    // [CTRL-30] to [CTRL-53], [ALLOC-30] to [ALLOC-38]
    #[test]
    fn the_trace_of_an_allocation_ends_where_converge_does(
        pools in prop::collection::vec(pool_plan(), 0..4),
        states in (1_usize..6).prop_flat_map(|count| (0..count).map(service_state).collect::<Vec<_>>()),
        laid_down in policies_plan(),
    ) {
        let mut allocator = Allocator::default();
        let pools: Vec<Pool> = pools.iter().enumerate().map(|(number, plan)| plan.pool(number)).collect();
        allocator.replace(pools, Arc::new(policies(&laid_down))).unwrap();
        allocator.restore_holds(UnixTime::default(), holds(&laid_down));
        let mut last: BTreeMap<ServiceKey, Allocation> = BTreeMap::new();
        let mut started = allocator.clone();
        let told = converge_all_telling(&mut started, &states, |moment| {
            let explained = allocation_at(moment.allocator, moment.state, moment.recorded);
            check_allocation(&explained);
            last.insert(moment.state.key.clone(), explained);
        });
        let plain = converge_all(&mut allocator.clone(), &states);
        for ((state, told), plain) in states.iter().zip(&told).zip(&plain) {
            prop_assert_eq!(&told.outcome, plain);
            let explained = &last[&state.key];
            prop_assert_eq!(&explained.outcome.addresses, &told.outcome.addresses);
            prop_assert_eq!(&explained.outcome.problem, &told.outcome.problem);
            prop_assert_eq!(&explained.outcome.pool, &told.outcome.pool);
        }
        // A second look at the end, as a live cluster is looked at.
        for state in &states {
            let explained = allocation(&started, state);
            check_allocation(&explained);
            prop_assert_eq!(&converge(&mut started.clone(), state), &explained.outcome);
        }
    }
}

fn raw<T>(kind: &str, name: String, spec: T) -> Raw<T> {
    let object = ObjectRef { kind: kind.into(), namespace: None, name: name.into(), origin: Origin::default() };
    Raw { object, labels: Labels::new(), spec }
}

fn raw_selector(value: u8) -> RawSelector {
    RawSelector { match_labels: labels(Some(value)), ..RawSelector::default() }
}

/// Pools named by number, node selector and service selector by team, and peers by number.
type AdPlan = (Vec<u8>, Option<u8>, Option<u8>, Option<u8>);

/// An excluded address by number of the pool and last part, and an address with the number of the pool that keeps it.
type OddPlan = (Option<(u8, u8)>, Option<(IpAddr, u8)>);

fn config_of(l2: &[AdPlan], bgp: &[AdPlan], peers: &[Option<u8>], (excluded, kept): OddPlan) -> Arc<Config> {
    let pools = (0..3).map(|number| {
        let addresses = vec![format!("10.0.{number}.0/30"), format!("fd00:{number}::/126")];
        raw("IPAddressPool", format!("pool{number}"), RawPool { addresses, ..RawPool::default() })
    });
    let names = |pools: &[u8]| {
        pools.iter().map(|number| format!("pool{number}")).collect::<BTreeSet<_>>().into_iter().collect()
    };
    let l2 = l2.iter().enumerate().map(|(number, (pools, nodes, services, _))| {
        let spec = RawL2Advertisement {
            ip_address_pools: names(pools),
            node_selectors: nodes.map(raw_selector).into_iter().collect(),
            service_selectors: services.map(raw_selector).into_iter().collect(),
            ..RawL2Advertisement::default()
        };
        raw("L2Advertisement", format!("l2-{number}"), spec)
    });
    let bgp = bgp.iter().enumerate().map(|(number, (pools, nodes, services, peer))| {
        let spec = RawBgpAdvertisement {
            ip_address_pools: names(pools),
            node_selectors: nodes.map(raw_selector).into_iter().collect(),
            service_selectors: services.map(raw_selector).into_iter().collect(),
            peers: peer.map(|peer| format!("peer{peer}")).into_iter().collect(),
            local_pref: services.map(i64::from),
            ..RawBgpAdvertisement::default()
        };
        raw("BGPAdvertisement", format!("bgp-{number}"), spec)
    });
    let peers = peers.iter().enumerate().map(|(number, nodes)| {
        let spec = RawPeer {
            my_asn: Some(64_512),
            peer_asn: Some(64_513),
            peer_address: Some(format!("192.0.2.{number}")),
            node_selectors: nodes.map(raw_selector).into_iter().collect(),
            ..RawPeer::default()
        };
        raw("BGPPeer", format!("peer{number}"), spec)
    });
    let exclusion = excluded.map(|(pool, last)| {
        let exclusions = vec![format!("10.0.{pool}.{last}")];
        raw("PoolPolicy", "exclusions".to_owned(), RawPoolPolicy { exclusions, ..RawPoolPolicy::default() })
    });
    let kept = kept.map(|(address, pool)| KeptAddress {
        address,
        pool: PoolName::new(format!("pool{pool}")).unwrap(),
        service: ServiceKey::new("ns", "s0").unwrap(),
        pool_labels: Labels::new(),
    });
    let description = RawConfig {
        pools: pools.collect(),
        l2_advertisements: l2.collect(),
        bgp_advertisements: bgp.collect(),
        peers: peers.collect(),
        pool_policies: exclusion.into_iter().collect(),
        kept: kept.into_iter().collect(),
        ..RawConfig::default()
    };
    let outcome = Config::build(&description, &Settings::default());
    outcome.config.unwrap_or_default()
}

fn ad_plan() -> impl Strategy<Value = AdPlan> {
    let team = || prop::option::weighted(0.4, 0_u8..2);
    (prop::collection::vec(0_u8..3, 0..3), team(), team(), prop::option::weighted(0.3, 0_u8..3))
}

fn node_plan() -> impl Strategy<Value = (Option<u8>, bool, bool)> {
    (prop::option::of(0_u8..2), prop::bool::weighted(0.15), prop::bool::weighted(0.15))
}

fn facts_plan(number: usize) -> impl Strategy<Value = ServiceFacts> {
    let addresses = (0_u8..4, 0_u8..4, 0_u8..3);
    (
        addresses,
        prop::option::of(0_u8..2),
        any::<bool>(),
        prop::bool::weighted(0.2),
        prop::option::weighted(0.9, prop::collection::vec((prop::option::of(0_u8..4), any::<bool>()), 0..3)),
    )
        .prop_map(move |((pool, last, kinds), team, is_local, shares, endpoints)| {
            let v4: IpAddr = format!("10.0.{pool}.{last}").parse().unwrap();
            let v6: IpAddr = format!("fd00:{pool}::{last:x}").parse().unwrap();
            let addresses = match kinds {
                0 => vec![v4],
                1 => vec![v4, v6],
                _ if last == 3 => Vec::new(),
                _ => vec![v6],
            };
            let mut counted = if endpoints.is_some() { Endpoints::none() } else { Endpoints::NoSlice };
            for (node, has_address) in endpoints.into_iter().flatten() {
                let address = if has_address { EndpointAddress::Present } else { EndpointAddress::Absent };
                let node = node.map(|node| NodeName::new(format!("node{node}")).unwrap());
                counted.add(node.as_ref(), address);
            }
            ServiceFacts {
                key: ServiceKey::new("ns", &format!("s{number}")).unwrap(),
                labels: labels(team),
                addresses,
                policy: if is_local { TrafficPolicy::Local } else { TrafficPolicy::Cluster },
                sharing: if shares { SharingAnnotation::Present } else { SharingAnnotation::Absent },
                endpoints: counted,
            }
        })
}

fn check_announcement(snapshot: &Snapshot, service: &ServiceKey, node: &NodeName) -> Announcement {
    let explained = announcement(snapshot, service, node);
    let said = format!("{explained:#?}");
    assert_eq!(explained.decision, decide(snapshot, service, node));
    assert_eq!(explained.first_owner, first_owner(snapshot, service).map(|(first, _)| first));
    let has = |rule: &str, verdict: Verdict| {
        explained.trace.steps.iter().any(|step| step.rule == rule && step.verdict == verdict)
    };
    match &explained.decision.layer2 {
        Layer2Decision::Stand(_) => {
            let is_first = explained.first_owner.as_ref() == Some(node);
            assert_eq!(has("L2-4", Verdict::Chosen), is_first, "{said}");
            assert!(has("ADV-41", Verdict::Passed), "{said}");
            for rule in ["L2-1", "ANN-43", "ANN-44"] {
                assert!(!has(rule, Verdict::Refused), "{said}");
            }
        }
        Layer2Decision::Withhold(reason) => {
            let rule = mend::rule_of_reason(reason, crate::decide::Protocol::Layer2);
            assert!(has(rule, Verdict::Refused) || (rule == "ANN-11" && has(rule, Verdict::Noted)), "{said}");
            assert!(!has("L2-4", Verdict::Chosen), "{said}");
        }
    }
    match &explained.decision.bgp {
        BgpDecision::Announce(_) => assert!(has("ADV-20", Verdict::Chosen) || has("ADV-7", Verdict::Refused), "{said}"),
        BgpDecision::Withhold(_) => assert!(!has("ADV-20", Verdict::Chosen), "{said}"),
    }
    explained
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 1_000 } else { 2_000 }))]

    // [ANN-1] to [ANN-49], [L2-4], [ADV-20]
    #[test]
    fn the_trace_of_an_announcement_ends_where_decide_does(
        l2 in prop::collection::vec(ad_plan(), 0..3),
        bgp in prop::collection::vec(ad_plan(), 0..3),
        peers in prop::collection::vec(prop::option::of(0_u8..2), 0..3),
        nodes in prop::collection::vec(node_plan(), 0..4),
        services in (1_usize..4).prop_flat_map(|count| (0..count).map(facts_plan).collect::<Vec<_>>()),
        (excluded, keeps) in (prop::option::weighted(0.3, (0_u8..3, 0_u8..4)), prop::option::weighted(0.3, 0_u8..4)),
    ) {
        let nodes = nodes.into_iter().enumerate().map(|(number, (team, is_excluded, is_away))| {
            let mut node_labels = labels(team);
            if is_excluded {
                node_labels.insert(EXCLUDE_LABEL.to_owned(), String::new());
            }
            Node {
                name: NodeName::new(format!("node{number}")).unwrap(),
                labels: node_labels,
                network: if is_away { NetworkCondition::Unavailable } else { NetworkCondition::Available },
            }
        });
        let nodes: Vec<Node> = nodes.collect();
        let kept = services[0].addresses.first().copied().zip(keeps);
        let mut snapshot = Snapshot::new(config_of(&l2, &bgp, &peers, (excluded, kept)), nodes.clone(), DecideOptions::default());
        for facts in &services {
            snapshot.set_service(facts.clone());
        }
        for node in &nodes {
            let mut heard: BTreeSet<(Arc<str>, ipnetwork::IpNetwork)> = BTreeSet::new();
            for facts in &services {
                let explained = check_announcement(&snapshot, &facts.key, &node.name);
                heard.extend(explained.routes.into_iter().map(|route| (route.peer, route.prefix)));
            }
            let routes = routes_by_peer(&snapshot, &node.name);
            let expected = routes.iter().flat_map(|(peer, prefixes)| prefixes.keys().map(|prefix| (Arc::clone(peer), *prefix)));
            prop_assert_eq!(heard, expected.collect::<BTreeSet<_>>());
        }
        for facts in &services {
            let standing = standing(&snapshot, &facts.key);
            prop_assert_eq!(standing.order.first().cloned(), first_owner(&snapshot, &facts.key).map(|(first, _)| first));
        }
        check_announcement(&snapshot, &services[0].key, &NodeName::new("nowhere").unwrap());
    }
}
