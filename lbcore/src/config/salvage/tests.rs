//! Tests of what stays in force ([SPK-8], [SPK-9]).

use proptest::prelude::*;

use super::item::items;
use super::*;
use crate::config::problem::Origin;
use crate::config::raw::{
    Raw, RawAlias, RawBfdProfile, RawBgpAdvertisement, RawCommunity, RawPeer, RawPool, RawSecret, RawSecretReference,
};
use crate::labels::Labels;
use crate::peer::Password;

const BASIC_AUTH: &str = "kubernetes.io/basic-auth";

fn raw<T>(kind: &str, name: &str, spec: T) -> Raw<T> {
    let namespace = Some(Arc::from("metallb-system"));
    let object = ObjectRef { kind: kind.into(), namespace, name: name.into(), origin: Origin(0) };
    Raw { object, labels: Labels::new(), spec }
}

fn pool(name: &str, addresses: &str) -> Raw<RawPool> {
    raw("IPAddressPool", name, RawPool { addresses: vec![addresses.to_owned()], ..RawPool::default() })
}

fn profile(name: &str, detect_multiplier: i64) -> Raw<RawBfdProfile> {
    let detect_multiplier = Some(detect_multiplier);
    raw("BFDProfile", name, RawBfdProfile { detect_multiplier, ..RawBfdProfile::default() })
}

fn secret(name: &str, secret_type: &str) -> Raw<RawSecret> {
    let password = Some(Password::new(b"secret".as_slice()));
    raw("Secret", name, RawSecret { secret_type: secret_type.to_owned(), password })
}

fn peer(name: &str, address: &str, profile: Option<&str>, secret: Option<&str>) -> Raw<RawPeer> {
    let reference = |name: &str| RawSecretReference { name: name.to_owned(), ..RawSecretReference::default() };
    let spec = RawPeer {
        my_asn: Some(64512),
        peer_asn: Some(64999),
        peer_address: Some(address.to_owned()),
        bfd_profile: profile.map(ToOwned::to_owned),
        password_secret: secret.map(reference),
        ..RawPeer::default()
    };
    raw("BGPPeer", name, spec)
}

fn community(name: &str, alias: &str, value: &str) -> Raw<RawCommunity> {
    let communities = vec![RawAlias { name: alias.to_owned(), value: value.to_owned() }];
    raw("Community", name, RawCommunity { communities })
}

fn advertisement(name: &str, length: i64, alias: Option<&str>) -> Raw<RawBgpAdvertisement> {
    let spec = RawBgpAdvertisement {
        aggregation_length: Some(length),
        communities: alias.map(ToOwned::to_owned).into_iter().collect(),
        ..RawBgpAdvertisement::default()
    };
    raw("BGPAdvertisement", name, spec)
}

fn run(given: &RawConfig, before: &RawConfig) -> Salvaged {
    salvage(given, &[], before, &Settings::default())
}

fn names(objects: &[ObjectRef]) -> Vec<&str> {
    objects.iter().map(|object| object.name.as_ref()).collect()
}

fn pools_of(description: &RawConfig) -> Vec<(&str, &str)> {
    description.pools.iter().map(|raw| (raw.object.name.as_ref(), raw.spec.addresses[0].as_str())).collect()
}

// [SPK-9]: one bad object costs that object.
#[test]
fn a_faulty_object_without_an_earlier_version_is_left_out_alone() {
    let given = RawConfig {
        pools: vec![pool("a", "nonsense"), pool("b", "192.0.2.0/24")],
        peers: vec![peer("tor", "192.0.2.1", Some("missing"), None), peer("tor2", "192.0.2.2", None, None)],
        ..RawConfig::default()
    };
    let salvaged = run(&given, &RawConfig::default());
    assert_eq!(names(&salvaged.left_out), ["a", "tor"]);
    assert_eq!(pools_of(&salvaged.in_force), [("b", "192.0.2.0/24")]);
    assert_eq!(salvaged.config.peers().len(), 1);
    assert_eq!(salvaged.problems.len(), 2);
}

// [SPK-8]
#[test]
fn an_object_changed_for_the_worse_stays_as_it_was() {
    let before =
        RawConfig { pools: vec![pool("a", "192.0.2.0/25"), pool("b", "192.0.2.128/25")], ..RawConfig::default() };
    let given = RawConfig { pools: vec![pool("a", "nonsense"), pool("b", "192.0.2.192/26")], ..RawConfig::default() };
    let salvaged = run(&given, &before);
    assert_eq!((names(&salvaged.left_out), names(&salvaged.outdated)), (vec![], vec!["a"]));
    assert_eq!(pools_of(&salvaged.in_force), [("a", "192.0.2.0/25"), ("b", "192.0.2.192/26")]);
}

#[test]
fn an_object_that_is_deleted_does_not_come_back() {
    let before =
        RawConfig { pools: vec![pool("a", "192.0.2.0/25"), pool("b", "192.0.2.128/25")], ..RawConfig::default() };
    let given = RawConfig { pools: vec![pool("b", "nonsense")], ..RawConfig::default() };
    assert_eq!(pools_of(&run(&given, &before).in_force), [("b", "192.0.2.128/25")]);
}

// The one that carries traffic stays, whichever of the two the check names.
#[test]
fn of_two_that_disagree_the_one_in_force_stays() {
    let before = RawConfig { pools: vec![pool("b", "192.0.2.0/24")], ..RawConfig::default() };
    let given =
        RawConfig { pools: vec![pool("a", "192.0.2.128/25"), pool("b", "192.0.2.0/24")], ..RawConfig::default() };
    let salvaged = run(&given, &before);
    assert_eq!(names(&salvaged.left_out), ["a"]);
    assert_eq!(pools_of(&salvaged.in_force), [("b", "192.0.2.0/24")]);
}

// An old version must not push out what is good now.
#[test]
fn an_old_version_gives_way_to_what_is_good_now() {
    let before = RawConfig { pools: vec![pool("a", "192.0.2.0/24")], ..RawConfig::default() };
    let given = RawConfig { pools: vec![pool("a", "nonsense"), pool("b", "192.0.2.0/25")], ..RawConfig::default() };
    let salvaged = run(&given, &before);
    assert_eq!(names(&salvaged.left_out), ["a"]);
    assert_eq!(pools_of(&salvaged.in_force), [("b", "192.0.2.0/25")]);
}

// [CFG-24]: a spoiled Secret or a deleted profile ends no session that runs.
#[test]
fn what_a_running_peer_refers_to_is_kept_with_it() {
    let tor = peer("tor", "192.0.2.1", Some("fast"), Some("login"));
    let before = RawConfig {
        peers: vec![tor.clone()],
        bfd_profiles: vec![profile("fast", 3)],
        secrets: vec![secret("login", BASIC_AUTH)],
        ..RawConfig::default()
    };
    let given = RawConfig { peers: vec![tor], secrets: vec![secret("login", "Opaque")], ..RawConfig::default() };
    let salvaged = run(&given, &before);
    assert_eq!(salvaged.config.peers().len(), 1);
    assert_eq!(salvaged.config.bfd_profiles().len(), 1);
    assert_eq!(names(&salvaged.outdated), ["login"]);
    assert!(!salvaged.is_whole());
    // Again with the outcome as what is in force: nothing changes.
    let again = run(&given, &salvaged.in_force);
    assert_eq!(again.config, salvaged.config);
}

// A host asks at every event: the remainder that it got once must be the one that it gets again.
#[test]
fn of_two_peers_for_one_address_the_one_in_force_stays_at_every_look() {
    let tor = peer("t", "192.0.2.1", None, Some("login"));
    let before =
        RawConfig { peers: vec![tor.clone()], secrets: vec![secret("login", BASIC_AUTH)], ..RawConfig::default() };
    let given = RawConfig {
        peers: vec![tor, peer("v", "192.0.2.1", None, None)],
        secrets: vec![secret("login", "Opaque")],
        ..RawConfig::default()
    };
    let mut in_force = before;
    let outcomes: Vec<_> = (0..4)
        .map(|_| {
            let salvaged = run(&given, &in_force);
            in_force = salvaged.in_force;
            salvaged.config
        })
        .collect();
    assert!(outcomes.iter().all(|config| *config == outcomes[0]));
}

#[test]
fn a_profile_that_falls_back_keeps_the_peers_that_name_it() {
    let before = RawConfig { bfd_profiles: vec![profile("fast", 3)], ..RawConfig::default() };
    let given = RawConfig {
        bfd_profiles: vec![profile("fast", 1_000)],
        peers: vec![peer("tor", "192.0.2.1", Some("fast"), None)],
        ..RawConfig::default()
    };
    let salvaged = run(&given, &before);
    assert_eq!(names(&salvaged.outdated), ["fast"]);
    assert_eq!(salvaged.config.peers().len(), 1);
}

#[test]
fn what_could_not_be_read_counts_as_faulty() {
    let given =
        RawConfig { pools: vec![pool("a", "192.0.2.0/25"), pool("b", "192.0.2.128/25")], ..RawConfig::default() };
    let fault = Problem {
        severity: Severity::Error,
        category: crate::config::Category::Schema,
        object: Some(given.pools[0].object.clone()),
        field: "spec.autoAssign".to_owned(),
        message: "not a boolean".to_owned(),
        fix: String::new(),
    };
    let salvaged = salvage(&given, &[fault], &RawConfig::default(), &Settings::default());
    assert_eq!(names(&salvaged.left_out), ["a"]);
    assert_eq!(salvaged.problems.len(), 1);
}

fn each_of<T: Clone + core::fmt::Debug + 'static>(
    names: &'static [&'static str],
    make: impl Strategy<Value = T> + Clone + 'static,
    build: impl Fn(&str, T) -> Raw<RawAny> + 'static,
) -> BoxedStrategy<Vec<Raw<RawAny>>> {
    let parts = prop::sample::subsequence(names.to_vec(), 0..=names.len());
    let values = prop::collection::vec(make, names.len());
    (parts, values)
        .prop_map(move |(parts, values)| {
            parts.into_iter().zip(values).map(|(name, value)| build(name, value)).collect()
        })
        .boxed()
}

/// Any spec, so that one strategy makes all kinds.
#[derive(Clone, Debug)]
enum RawAny {
    Pool(RawPool),
    Profile(RawBfdProfile),
    Secret(RawSecret),
    Peer(RawPeer),
    Community(RawCommunity),
    Advertisement(RawBgpAdvertisement),
}

fn any_of<T>(object: Raw<T>, wrap: impl Fn(T) -> RawAny) -> Raw<RawAny> {
    Raw { object: object.object, labels: object.labels, spec: wrap(object.spec) }
}

fn any_description() -> impl Strategy<Value = RawConfig> {
    let ranges = vec!["192.0.2.0/25", "192.0.2.64/26", "192.0.2.128/25", "nonsense", "2001:db8::/124"];
    let select = |values: Vec<&'static str>| prop::sample::select(values);
    let kinds = [
        each_of(&["p", "q", "r"], select(ranges), |name, range| any_of(pool(name, range), RawAny::Pool)),
        each_of(&["fast", "slow"], prop::sample::select(vec![3, 5, 1_000]), |name, multiplier| {
            any_of(profile(name, multiplier), RawAny::Profile)
        }),
        each_of(&["login"], select(vec![BASIC_AUTH, "Opaque"]), |name, kind| {
            any_of(secret(name, kind), RawAny::Secret)
        }),
        each_of(
            &["t", "u", "v"],
            (
                select(vec!["192.0.2.1", "192.0.2.2", "nowhere"]),
                prop::option::of(select(vec!["fast", "slow"])),
                prop::option::of(Just("login")),
            ),
            |name, (address, profile, secret)| any_of(peer(name, address, profile, secret), RawAny::Peer),
        ),
        each_of(&["c", "d"], (select(vec!["near", "far"]), select(vec!["1:2", "x:y"])), |name, (alias, value)| {
            any_of(community(name, alias, value), RawAny::Community)
        }),
        each_of(
            &["x", "y"],
            (prop::sample::select(vec![24_i64, 32]), prop::option::of(select(vec!["near", "far"])), 0_i64..2),
            |name, (length, alias, preference)| {
                let mut object = advertisement(name, length, alias);
                object.spec.local_pref = Some(preference);
                any_of(object, RawAny::Advertisement)
            },
        ),
    ];
    kinds.prop_map(|kinds| {
        let mut description = RawConfig::default();
        for Raw { object, labels, spec } in kinds.into_iter().flatten() {
            match spec {
                RawAny::Pool(spec) => description.pools.push(Raw { object, labels, spec }),
                RawAny::Profile(spec) => description.bfd_profiles.push(Raw { object, labels, spec }),
                RawAny::Secret(spec) => description.secrets.push(Raw { object, labels, spec }),
                RawAny::Peer(spec) => description.peers.push(Raw { object, labels, spec }),
                RawAny::Community(spec) => description.communities.push(Raw { object, labels, spec }),
                RawAny::Advertisement(spec) => description.bgp_advertisements.push(Raw { object, labels, spec }),
            }
        }
        description
    })
}

fn faulty_ids(description: &RawConfig) -> BTreeSet<Id> {
    errors(&Config::build(description, &Settings::default()).problems).collect()
}

fn of(wanted: impl IntoIterator<Item = Item>) -> RawConfig {
    let mut description = RawConfig::default();
    wanted.into_iter().for_each(|item| item.put_into(&mut description));
    description
}

/// The description without what has a fault, or would have one without those.
fn without_faults(description: &RawConfig) -> RawConfig {
    let mut rest = description.clone();
    loop {
        let faulty = faulty_ids(&rest);
        if faulty.is_empty() {
            return rest;
        }
        rest = of(items(&rest).filter(|item| !faulty.contains(&item.id())).collect::<Vec<_>>());
    }
}

fn has(description: &RawConfig, wanted: &Item) -> bool {
    items(description).any(|item| item.id() == wanted.id() && item.says_the_same(wanted))
}

proptest! {
    #[test]
    fn the_outcome_is_free_of_faults_and_every_object_of_it_was_given_or_in_force(
        given in any_description(), earlier in any_description(),
    ) {
        let before = run(&earlier, &RawConfig::default()).in_force;
        let salvaged = run(&given, &before);
        let built = Config::build(&salvaged.in_force, &Settings::default());
        prop_assert_eq!(built.config, Some(salvaged.config));
        for item in items(&salvaged.in_force) {
            prop_assert!(has(&given, &item) || has(&before, &item), "{:?}", item);
        }
        let missing: BTreeSet<Id> = salvaged.left_out.iter().chain(&salvaged.outdated).map(Id::of).collect();
        for item in items(&given) {
            prop_assert_eq!(has(&salvaged.in_force, &item), !missing.contains(&item.id()), "{:?}", item);
        }
    }

    #[test]
    fn a_description_without_fault_is_taken_as_it_is(given in any_description(), earlier in any_description()) {
        let given = without_faults(&given);
        let before = run(&earlier, &RawConfig::default()).in_force;
        let salvaged = run(&given, &before);
        prop_assert!(salvaged.is_whole());
        prop_assert_eq!(items(&salvaged.in_force).count(), items(&given).count());
        prop_assert!(items(&given).all(|item| has(&salvaged.in_force, &item)));
    }

    #[test]
    fn what_has_no_fault_and_depends_on_none_is_kept(given in any_description()) {
        let good = without_faults(&given);
        let salvaged = run(&given, &RawConfig::default());
        prop_assert!(items(&good).all(|item| has(&salvaged.in_force, &item)));
    }

    // What carried traffic and was not touched goes on, whatever else is written.
    #[test]
    fn what_is_in_force_and_unchanged_is_kept(given in any_description(), earlier in any_description()) {
        let before = run(&earlier, &RawConfig::default()).in_force;
        let unchanged: Vec<Item> = items(&given).filter(|item| has(&before, item)).collect();
        let good = without_faults(&of(unchanged));
        let salvaged = run(&given, &before);
        prop_assert!(items(&good).all(|item| has(&salvaged.in_force, &item) || depends_on_spoiled(&item, &salvaged)));
    }

    #[test]
    fn nothing_more_could_be_put_in(given in any_description(), earlier in any_description()) {
        let before = run(&earlier, &RawConfig::default()).in_force;
        let salvaged = run(&given, &before);
        for item in items(&given).filter(|item| !has(&salvaged.in_force, item)) {
            let others = items(&salvaged.in_force).filter(|other| other.id() != item.id());
            let more = of(others.chain([item.clone()]).collect::<Vec<_>>());
            prop_assert!(!faulty_ids(&more).is_empty(), "{:?} could be in force", item);
        }
    }

    #[test]
    fn the_same_again_changes_nothing(given in any_description(), earlier in any_description()) {
        let before = run(&earlier, &RawConfig::default()).in_force;
        let once = run(&given, &before);
        let twice = run(&given, &once.in_force);
        prop_assert_eq!(once.config, twice.config);
        prop_assert_eq!(once.outdated, twice.outdated);
    }
}

/// A Secret that is good by itself gives way where a running session needs its old version.
fn depends_on_spoiled(item: &Item, salvaged: &Salvaged) -> bool {
    salvaged.outdated.iter().any(|object| Id::of(object) == item.id())
}
