//! Any series of changes leads to what is computed from nothing, and nothing differs outside of what a change says it affects.

use super::*;
use crate::config::RawPoolPolicy;
use crate::election;
use crate::policy::KeptAddress;

/// What the snapshot is made of, kept beside it.
#[derive(Clone, Debug)]
struct Whole {
    raw: RawConfig,
    config: Arc<Config>,
    nodes: BTreeMap<NodeName, Node>,
    options: DecideOptions,
    services: BTreeMap<ServiceKey, ServiceFacts>,
}

impl Whole {
    fn snapshot(&self) -> Snapshot {
        let nodes = self.nodes.values().cloned().collect();
        let mut snapshot = Snapshot::new(Arc::clone(&self.config), nodes, self.options.clone());
        for facts in self.services.values() {
            snapshot.set_service(facts.clone());
        }
        snapshot
    }
}

impl Whole {
    /// Takes another description; `None` where it is refused.
    fn describe(&mut self, raw: RawConfig, snapshot: &mut Snapshot) -> Option<Affected> {
        let config = Config::build(&raw, &Settings::default()).config?;
        (self.raw, self.config) = (raw, Arc::clone(&config));
        Some(snapshot.set_config(config))
    }
}

#[derive(Clone, Debug)]
enum Step {
    Config(Box<RawConfig>),
    /// Other exclusions and nothing else.
    Exclusions(Option<Raw<RawPoolPolicy>>),
    /// Other kept addresses and nothing else.
    Kept(Vec<KeptAddress>),
    Node(Node),
    NodeGone(NodeName),
    Nodes(Vec<Node>),
    Options(DecideOptions),
    Service(ServiceFacts),
    ServiceGone(ServiceKey),
}

impl Step {
    /// Does it to both; `None` where it is none.
    fn apply(self, whole: &mut Whole, snapshot: &mut Snapshot) -> Option<Affected> {
        Some(match self {
            Self::Config(raw) => return whole.describe(*raw, snapshot),
            Self::Exclusions(policy) => {
                let pool_policies = policy.into_iter().collect();
                return whole.describe(RawConfig { pool_policies, ..whole.raw.clone() }, snapshot);
            }
            Self::Kept(kept) => return whole.describe(RawConfig { kept, ..whole.raw.clone() }, snapshot),
            Self::Node(node) => {
                whole.nodes.insert(node.name.clone(), node.clone());
                snapshot.set_node(node)
            }
            Self::NodeGone(name) => {
                whole.nodes.remove(&name);
                snapshot.remove_node(&name)
            }
            Self::Nodes(nodes) => {
                whole.nodes = nodes.iter().map(|node| (node.name.clone(), node.clone())).collect();
                snapshot.replace_nodes(nodes)
            }
            Self::Options(options) => {
                whole.options = options.clone();
                snapshot.set_options(options)
            }
            Self::Service(facts) => {
                whole.services.insert(facts.key.clone(), facts.clone());
                snapshot.set_service(facts)
            }
            Self::ServiceGone(key) => {
                whole.services.remove(&key);
                snapshot.remove_service(&key)
            }
        })
    }
}

const NODES: [&str; 5] = ["node1", "node2", "node3", "node4", "node5"];
const SERVICES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn any_node() -> impl Strategy<Value = Node> {
    let zone = prop::sample::select(vec!["x", "y"]);
    let rare = || prop::bool::weighted(0.2);
    (prop::sample::select(NODES.to_vec()), zone, rare(), rare(), any::<bool>()).prop_map(
        |(node, zone, is_excluded, is_down, extra)| {
            let mut labels = labels(&[("zone", zone), ("name", node)]);
            if is_excluded {
                labels.insert(EXCLUDE_LABEL.to_owned(), String::new());
            }
            if extra {
                labels.insert("says".to_owned(), "nothing".to_owned());
            }
            let network = if is_down { NetworkCondition::Unavailable } else { NetworkCondition::Available };
            Node { name: name(node), labels, network }
        },
    )
}

fn any_selectors(key: &'static str, values: &[&'static str]) -> impl Strategy<Value = Vec<RawSelector>> + use<> {
    let chosen = prop::sample::subsequence(values.to_vec(), 0..=1);
    chosen.prop_map(move |values| values.into_iter().map(|value| choose(key, value)).collect())
}

fn any_l2() -> impl Strategy<Value = RawL2Advertisement> {
    let links = prop::sample::subsequence(vec!["eth0", "eth1"], 0..=2);
    let preferred = prop::sample::subsequence(vec![("x", 5), ("y", 9), ("y", 5)], 0..=2);
    let pools = prop::sample::subsequence(vec!["main", "spare", "gone"], 0..=1);
    let nodes = any_selectors("zone", &["x", "y"]);
    let tiers = any_selectors("tier", &["old", "new"]);
    (nodes, any_selectors("app", &["a", "b"]), links, preferred, (pools, tiers)).prop_map(
        |(node_selectors, service_selectors, links, preferred, (pools, tiers))| {
            let prefer =
                |(zone, weight)| RawPreference { weight: Some(weight), preference: Some(choose("zone", zone)) };
            RawL2Advertisement {
                ip_address_pools: texts(&pools),
                ip_address_pool_selectors: tiers,
                node_selectors,
                service_selectors,
                interfaces: texts(&links),
                preferred_node_selectors: preferred.into_iter().map(prefer).collect(),
            }
        },
    )
}

fn any_bgp() -> impl Strategy<Value = RawBgpAdvertisement> {
    let length = prop::sample::select(vec![None, Some(30), Some(31)]);
    let preference = prop::sample::select(vec![None, Some(100), Some(200)]);
    let peers = prop::sample::subsequence(vec!["inner", "outer"], 0..=1);
    let community = prop::sample::subsequence(vec!["64512:1", "64512:2"], 0..=1);
    let nodes = any_selectors("zone", &["x", "y"]);
    (length, preference, peers, community, nodes, any_selectors("app", &["a", "b"])).prop_map(
        |(length, local_pref, peers, communities, node_selectors, service_selectors)| RawBgpAdvertisement {
            aggregation_length: length.filter(|_| service_selectors.is_empty()),
            local_pref,
            peers: texts(&peers),
            communities: texts(&communities),
            node_selectors,
            service_selectors,
            ..RawBgpAdvertisement::default()
        },
    )
}

fn any_peer() -> impl Strategy<Value = RawPeer> {
    let asn = prop::sample::select(vec![64512, 64999]);
    (asn, any_selectors("zone", &["x", "y"]), any::<bool>()).prop_map(|(peer_asn, node_selectors, is_passed_over)| {
        RawPeer {
            my_asn: Some(64512),
            peer_asn: Some(peer_asn),
            peer_address: Some(if is_passed_over { "192.0.2.1" } else { "192.0.2.2" }.to_owned()),
            node_selectors,
            ..RawPeer::default()
        }
    })
}

/// Exclusions inside ranges, of one pool or of all.
fn any_exclusions() -> impl Strategy<Value = Option<Raw<RawPoolPolicy>>> {
    let excluded = prop::sample::subsequence(
        vec!["192.168.10.1", "192.168.10.2-192.168.10.5", "2001:db8::/127", "192.168.10.0/31"],
        1..=2,
    );
    let policy = (prop::sample::subsequence(vec!["main", "spare"], 0..=1), excluded).prop_map(|(pools, excluded)| {
        let spec =
            RawPoolPolicy { ip_address_pools: texts(&pools), exclusions: texts(&excluded), ..RawPoolPolicy::default() };
        raw("exclusions", spec)
    });
    prop::option::weighted(0.4, policy)
}

/// What freezes keep, of pools that are there, lost the address, or are gone themselves.
fn any_kept() -> impl Strategy<Value = Vec<KeptAddress>> {
    let addresses = vec!["192.168.10.1", "192.168.10.2", "192.168.10.5", "203.0.113.1", "2001:db8::1"];
    let pools = prop::sample::select(vec!["main", "spare", "gone"]);
    let kept = (prop::sample::select(addresses), pools, prop::sample::select(vec![None, Some("old"), Some("new")]));
    let kept = kept.prop_map(|(text, pool, tier)| KeptAddress {
        address: address(text),
        pool: pool.parse().unwrap(),
        service: key("a"),
        pool_labels: tier.map(|tier| ("tier".to_owned(), tier.to_owned())).into_iter().collect(),
    });
    prop_oneof![2 => Just(Vec::new()), 3 => prop::collection::vec(kept, 1..3)]
}

fn any_config() -> impl Strategy<Value = RawConfig> {
    let main = prop::sample::select(vec![
        vec!["192.168.10.0/30", "2001:db8::/64"],
        vec!["192.168.10.0/30"],
        vec!["192.168.10.0/31", "2001:db8::/64"],
    ]);
    let spare = prop::sample::select(vec![vec![], vec!["192.168.10.4/30"], vec!["192.168.10.4/30", "2001:db8:1::/64"]]);
    let l2 = prop::collection::btree_map("[l-n]", any_l2(), 0..3);
    let bgp = prop::collection::btree_map("[p-r]", any_bgp(), 0..3);
    let peers = prop::collection::btree_map(prop::sample::select(vec!["inner", "outer"]), any_peer(), 0..3);
    let policies = (any_exclusions(), any_kept());
    (main, spare, any::<bool>(), l2, bgp, peers, policies).prop_map(
        |(main, spare, avoids, l2, bgp, peers, policies)| {
            let pool = |addresses: &[&str]| RawPool {
                addresses: texts(addresses),
                avoid_buggy_ips: Some(avoids),
                ..RawPool::default()
            };
            let mut pools = vec![raw("main", pool(&main))];
            pools.extend((!spare.is_empty()).then(|| raw("spare", pool(&spare))));
            RawConfig {
                pools,
                l2_advertisements: l2.into_iter().map(|(name, spec)| raw(&name, spec)).collect(),
                bgp_advertisements: bgp.into_iter().map(|(name, spec)| raw(&name, spec)).collect(),
                peers: peers.into_iter().map(|(name, spec)| raw(name, spec)).collect(),
                pool_policies: policies.0.into_iter().collect(),
                kept: policies.1,
                ..RawConfig::default()
            }
        },
    )
}

fn any_options() -> impl Strategy<Value = DecideOptions> {
    let live = prop::option::of(prop::sample::subsequence(NODES.to_vec(), 1..=5));
    (prop::bool::weighted(0.2), prop::bool::weighted(0.2), live).prop_map(|(ignored, everywhere, live)| DecideOptions {
        exclude_label: if ignored { ExcludeLabel::Ignored } else { ExcludeLabel::Respected },
        missing_slices: if everywhere { MissingSlices::ServedEverywhere } else { MissingSlices::NoEndpoint },
        live_nodes: live.map(|live| live.into_iter().map(name).collect()),
    })
}

fn any_facts() -> impl Strategy<Value = ServiceFacts> {
    let addresses = vec![
        vec!["192.168.10.1"],
        vec!["192.168.10.2"],
        vec!["192.168.10.5"],
        vec!["192.168.10.0", "2001:db8::1"],
        vec!["192.168.10.1", "2001:db8::1"],
        vec!["2001:db8::1"],
        vec!["192.168.10.2", "192.168.10.5"],
        vec!["203.0.113.1"],
        vec![],
    ];
    let endpoints = prop::option::weighted(0.9, prop::sample::subsequence(NODES.to_vec(), 0..=5));
    let app = prop::sample::select(vec!["a", "b", "c"]);
    let named = prop::sample::select(SERVICES.to_vec());
    let parts = (
        named,
        prop::sample::select(addresses),
        endpoints,
        app,
        any::<bool>(),
        prop::bool::weighted(0.2),
        any::<bool>(),
    );
    parts.prop_map(|(named, addresses, endpoints, app, is_local, is_shared, is_placed)| {
        let mut facts = service(named, &addresses, &endpoints.clone().unwrap_or_default());
        if endpoints.is_none() {
            facts.endpoints = Endpoints::NoSlice;
        } else if !is_placed {
            facts.endpoints.add(None, EndpointAddress::Absent);
        }
        facts.labels = labels(&[("app", app)]);
        facts.policy = if is_local { TrafficPolicy::Local } else { TrafficPolicy::Cluster };
        facts.sharing = if is_shared { SharingAnnotation::Present } else { SharingAnnotation::Absent };
        facts
    })
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any_facts().prop_map(Step::Service),
        1 => prop::sample::select(SERVICES.to_vec()).prop_map(|name| Step::ServiceGone(key(name))),
        4 => any_node().prop_map(Step::Node),
        1 => prop::sample::select(NODES.to_vec()).prop_map(|node| Step::NodeGone(name(node))),
        1 => prop::collection::vec(any_node(), 0..4).prop_map(Step::Nodes),
        3 => any_config().prop_map(|raw| Step::Config(Box::new(raw))),
        1 => any_exclusions().prop_map(Step::Exclusions),
        2 => any_kept().prop_map(Step::Kept),
        1 => any_options().prop_map(Step::Options),
    ]
}

fn start() -> Whole {
    let mut raw = routed();
    raw.l2_advertisements = world().l2_advertisements;
    Whole {
        config: Config::build(&raw, &Settings::default()).config.unwrap(),
        raw,
        nodes: BTreeMap::new(),
        options: DecideOptions::default(),
        services: BTreeMap::new(),
    }
}

fn all_nodes() -> Vec<NodeName> {
    NODES.into_iter().map(name).collect()
}

fn all_decisions(snapshot: &Snapshot) -> BTreeMap<(ServiceKey, NodeName), Decision> {
    let pairs = SERVICES.into_iter().flat_map(|service| all_nodes().into_iter().map(move |node| (key(service), node)));
    pairs.map(|(service, node)| ((service.clone(), node.clone()), decide(snapshot, &service, &node))).collect()
}

/// The order of all nodes that stand for a Service, by nothing but their own decisions.
fn order_of_standing(snapshot: &Snapshot, service: &ServiceKey) -> Vec<NodeName> {
    let mut key = None;
    let standing: Vec<(NodeName, u32)> = all_nodes()
        .into_iter()
        .filter_map(|node| match decide(snapshot, service, &node).layer2 {
            Layer2Decision::Stand(reach) => {
                key = Some(reach.election_key);
                Some((node, reach.score))
            }
            Layer2Decision::Withhold(_) => None,
        })
        .collect();
    key.map(|key| election::order(key, standing)).unwrap_or_default()
}

fn is_within(affected: &Affected, service: &ServiceKey, node: &NodeName, pools: &[Option<String>]) -> bool {
    affected.services.contains(service)
        || match affected.nodes.get(node) {
            None => false,
            Some(NodeExtent::Everything) => true,
            Some(NodeExtent::Pools(names)) => {
                pools.iter().flatten().any(|pool| names.iter().any(|name| name.as_str() == pool))
            }
        }
}

fn pool_of(snapshot: &Snapshot, service: &ServiceKey) -> Option<String> {
    let pool = snapshot.placed(service)?.pool_plan(&snapshot.plans.layout)?;
    Some(pool.pool.name.to_string())
}

fn check_owners(owners: &Owners, snapshot: &Snapshot) -> Result<(), TestCaseError> {
    for service in SERVICES.map(key) {
        let order = order_of_standing(snapshot, &service);
        let first = owners.first_owner(&service);
        prop_assert_eq!(first.clone(), first_owner(snapshot, &service));
        prop_assert_eq!(first.map(|(node, _)| node), order.first().cloned());
        for address in snapshot.service(&service).into_iter().flat_map(|facts| &facts.addresses) {
            prop_assert_eq!(owners.first_owner_of_address(*address), first_owner_of_address(snapshot, *address));
        }
    }
    Ok(())
}

/// Every group with somebody to answer is there with the first two of the order.
fn check_groups(owners: &Owners, snapshot: &Snapshot) -> Result<(), TestCaseError> {
    let expected = snapshot.groups().into_iter().filter_map(|group| {
        let order = group
            .services
            .iter()
            .map(|service| order_of_standing(snapshot, service))
            .find(|order| !order.is_empty())?;
        let node = order.first()?.clone();
        Some((group.key, FirstOwner { group: group.key, node, successor: order.get(1).cloned() }))
    });
    let expected: BTreeMap<GroupKey, FirstOwner> = expected.collect();
    prop_assert_eq!(owners.iter().collect::<Vec<_>>(), expected.into_values().collect::<Vec<_>>());
    Ok(())
}

proptest! {
    // [SPK-20], [OWN-22], [ANN-1] to [ANN-49], [ADV-20] to [ADV-34]
    #[test]
    fn any_series_of_changes_equals_computing_from_nothing(steps in prop::collection::vec(any_step(), 1..16)) {
        let mut whole = start();
        let mut snapshot = whole.snapshot();
        let mut sets: BTreeMap<NodeName, DesiredSet> = all_nodes().into_iter().map(|node| (node, DesiredSet::new())).collect();
        for step in steps {
            let before = snapshot.clone();
            let Some(affected) = step.clone().apply(&mut whole, &mut snapshot) else { continue };
            let fresh = whole.snapshot();
            prop_assert_eq!(snapshot.groups(), fresh.groups());
            prop_assert_eq!(snapshot.nodes().collect::<Vec<_>>(), fresh.nodes().collect::<Vec<_>>());
            let (then, now) = (all_decisions(&before), all_decisions(&snapshot));
            prop_assert_eq!(&now, &all_decisions(&fresh));
            for ((service, node), decision) in &now {
                let pools = [pool_of(&before, service), pool_of(&snapshot, service)];
                let is_same = then.get(&(service.clone(), node.clone())) == Some(decision);
                prop_assert!(is_same || is_within(&affected, service, node, &pools), "{} on {} by {:?}", service, node, step);
            }
            for (node, set) in &mut sets {
                prop_assert_eq!(desired_for(&snapshot, node), desired_for(&fresh, node));
                let heard = routes_by_peer(&snapshot, node);
                prop_assert_eq!(&heard, &routes_by_peer(&fresh, node));
                for prefix in heard.values().flat_map(BTreeMap::keys) {
                    let hears = heard.iter().filter(|(_, prefixes)| prefixes.contains_key(prefix));
                    let hears = hears.map(|(peer, _)| Arc::clone(peer)).collect();
                    prop_assert_eq!(peers_of_prefix(&snapshot, node, *prefix), hears);
                }
                let changes = changes_for(&snapshot, node, set, Extent::Only(&affected));
                prop_assert_eq!(&changes, &changes_for(&fresh, node, set, Extent::All), "{} by {:?}", node, step);
                *set = apply(set, changes);
            }
        }
    }

    // [L2-4], [L2-6], [OWN-21], [OWN-22]: all groups worked out at the start, some at a time, and several changes taken in together.
    #[test]
    fn owners_follow_any_series_of_changes(steps in prop::collection::vec(any_step(), 1..16), pace in 0_usize..3) {
        let mut whole = start();
        let mut snapshot = whole.snapshot();
        let mut prompt = Owners::new(&snapshot);
        prop_assert_eq!(prompt.advance(1), Progress::Done);
        let (mut slow, mut lazy) = (prompt.clone(), Owners::new(&snapshot));
        let (mut progress, mut pending) = (Progress::Ongoing, Affected::default());
        for (count, step) in steps.into_iter().enumerate() {
            let Some(affected) = step.apply(&mut whole, &mut snapshot) else { continue };
            let fresh = whole.snapshot();
            prompt.follow(&snapshot, &affected);
            check_owners(&prompt, &fresh)?;
            check_groups(&prompt, &fresh)?;
            lazy.follow(&snapshot, &affected);
            check_owners(&lazy, &fresh)?;
            if progress == Progress::Ongoing && count % 3 == 2 {
                progress = lazy.advance(pace);
            }
            pending.extend(affected);
            if count % 4 == 3 {
                slow.follow(&snapshot, &std::mem::take(&mut pending));
                check_groups(&slow, &fresh)?;
            }
        }
        while lazy.advance(2) == Progress::Ongoing {}
        check_groups(&lazy, &whole.snapshot())?;
    }

    // A first decision in pieces comes to the same as at once.
    #[test]
    fn parts_put_together_are_the_whole(services in prop::collection::vec(any_facts(), 0..8), nodes in prop::collection::vec(any_node(), 1..4), size in 1_usize..4) {
        let mut whole = start();
        whole.nodes = nodes.into_iter().map(|node| (node.name.clone(), node)).collect();
        whole.services = services.into_iter().map(|facts| (facts.key.clone(), facts)).collect();
        let snapshot = whole.snapshot();
        for node in all_nodes() {
            let mut set = DesiredSet::new();
            let mut seen = BTreeSet::new();
            for part in snapshot.parts(size.try_into().unwrap()) {
                for service in &part.services {
                    prop_assert!(seen.insert(service.clone()), "{} came twice", service);
                }
                set = apply(&set, changes_for(&snapshot, &node, &set, Extent::Only(&part)));
            }
            prop_assert_eq!(&seen, &whole.services.keys().cloned().collect::<BTreeSet<_>>());
            let all: Vec<Announcement> = set.iter().map(|announcement| (**announcement).clone()).collect();
            prop_assert_eq!(all, desired_for(&snapshot, &node));
        }
    }
}

// [OWN-22]: what a node's labels do not decide costs nothing at all.
#[test]
fn a_label_that_nothing_selects_by_affects_nothing() {
    let mut snapshot = look(&world(), [service("web", &["192.168.10.1"], &["node1"])]);
    let mut one = node("node1");
    one.labels.insert("rack".to_owned(), "7".to_owned());
    assert!(snapshot.set_node(one.clone()).is_empty());
    assert!(snapshot.nodes().any(|known| *known == one));
}

#[test]
fn a_relabelled_node_decides_again_what_its_advertisements_cover() {
    let mut raw = world();
    raw.l2_advertisements[0].spec.ip_address_pools = texts(&["main"]);
    raw.l2_advertisements.push(self::raw(
        "spare",
        RawL2Advertisement {
            ip_address_pools: texts(&["spare"]),
            node_selectors: vec![choose("rack", "7")],
            ..RawL2Advertisement::default()
        },
    ));
    let mut snapshot = look(&raw, [service("web", &["192.168.10.1"], &["node1"])]);
    let mut one = node("node1");
    one.labels.insert("rack".to_owned(), "7".to_owned());
    let affected = snapshot.set_node(one);
    let pools = BTreeSet::from(["spare".parse().unwrap()]);
    assert_eq!(affected.nodes, BTreeMap::from([(name("node1"), NodeExtent::Pools(pools))]));
    assert!(affected.services.is_empty());
    assert_eq!(snapshot.remove_node(&name("node1")).nodes[&name("node1")], NodeExtent::Everything);
    assert!(snapshot.remove_node(&name("node1")).is_empty());
}

// [CFG-12]
#[test]
fn a_pool_that_changes_affects_its_services_alone() {
    let mut raw = world();
    let services = [service("web", &["192.168.10.1"], &["node1"]), service("other", &["198.51.100.7"], &["node1"])];
    let mut snapshot = look(&raw, services);
    raw.pools[1].spec.addresses = texts(&["198.51.100.128/25"]);
    raw.pools[0].spec.auto_assign = Some(false);
    let config = Config::build(&raw, &Settings::default()).config.unwrap();
    let affected = snapshot.set_config(Arc::clone(&config));
    assert_eq!(affected.services, BTreeSet::from([key("other")]));
    assert_eq!(withheld(&snapshot, "other", "node1"), Some(Reason::IpNotAllowed));
    assert!(snapshot.set_config(config).is_empty());
}
