//! One rule a test.

use super::*;

fn service(name: &str) -> ServiceKey {
    name.parse().unwrap()
}

fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

fn at(address: &str, since_ms: u64) -> Assignment {
    Assignment { addresses: vec![address.parse().unwrap()], since_ms }
}

/// "I have this Service", perhaps with a record of that age.
fn bid(since_ms: u64) -> Assignment {
    Assignment { addresses: Vec::new(), since_ms }
}

fn entry() -> Entry {
    Entry { live: None, record: None, candidacy: Candidacy::Settled }
}

fn live(address: &str, since_ms: u64) -> Entry {
    Entry { live: Some(at(address, since_ms)), ..entry() }
}

fn record(address: &str, since_ms: u64) -> Entry {
    Entry { record: Some(at(address, since_ms)), ..entry() }
}

/// Everything in 192.0.2.0/24 is fine; Services of the namespace `shared` share.
struct Documentation;

impl Judge for Documentation {
    fn accepts(&self, _: &ServiceKey, addresses: &[IpAddr]) -> bool {
        addresses.iter().all(|address| address.to_string().starts_with("192.0.2."))
    }

    fn may_share(&self, one: &ServiceKey, other: &ServiceKey) -> bool {
        one.namespace() == "shared" && other.namespace() == "shared"
    }
}

struct Table(NodeName, BTreeMap<ServiceKey, Assignment>, Known);

fn member(name: &str, entries: &[(&str, Assignment)]) -> Table {
    let table = entries.iter().map(|(key, assignment)| (service(key), assignment.clone())).collect();
    Table(node(name), table, Known::Whole)
}

fn agreed(own: &[(&str, Entry)], members: &[Table]) -> Agreement {
    agreed_while(Listening::Done, own, members)
}

/// As the node `node-m`.
fn agreed_while(listening: Listening, own: &[(&str, Entry)], members: &[Table]) -> Agreement {
    let own = own.iter().map(|(key, entry)| (service(key), entry.clone())).collect();
    let members: Vec<Member<'_>> =
        members.iter().map(|Table(name, table, known)| Member { name, table, known: *known }).collect();
    agree(&View { node: &node("node-m"), listening, own: &own, members: &members }, &Documentation)
}

fn only(agreement: &Agreement) -> &Verdict {
    assert_eq!(agreement.verdicts.len(), 1);
    agreement.verdicts.values().next().unwrap()
}

// [OWN-60]
#[test]
fn alone_a_daemon_allocates_at_once() {
    let fresh = Entry { candidacy: Candidacy::Fresh, ..entry() };
    assert_eq!(only(&agreed(&[("a/web", fresh)], &[])), &Verdict::AllocateHere);
}

// [OWN-60]
#[test]
fn nothing_is_allocated_adopted_or_confirmed_while_listening() {
    let members = [member("node-a", &[("a/web", at("192.0.2.1", 5))])];
    for own in [entry(), record("192.0.2.1", 5)] {
        let agreement = agreed_while(Listening::Ongoing, &[("a/web", own)], &members);
        assert_eq!(only(&agreement), &Verdict::Wait(Wait::Listen));
        assert_eq!(agreement.void_records, []);
    }
}

#[test]
fn nothing_is_called_unclaimed_while_a_table_is_missing() {
    let mut partly = member("node-z", &[]);
    partly.2 = Known::Partly;
    assert_eq!(only(&agreed(&[("a/web", entry())], &[partly])), &Verdict::Wait(Wait::Table(node("node-z"))));
}

// [OWN-60]
#[test]
fn what_a_live_member_claims_is_adopted_with_its_age() {
    let members = [member("node-z", &[("a/web", at("192.0.2.7", 5))])];
    let expected = Verdict::Adopt { assignment: at("192.0.2.7", 5), from: node("node-z") };
    assert_eq!(only(&agreed(&[("a/web", entry())], &members)), &expected);
}

#[test]
fn a_live_claim_beats_an_older_record_of_the_same_service() {
    let members = [member("node-z", &[("a/web", at("192.0.2.7", 900))])];
    let agreement = agreed(&[("a/web", record("192.0.2.1", 5))], &members);
    let expected = Verdict::Adopt { assignment: at("192.0.2.7", 900), from: node("node-z") };
    assert_eq!(only(&agreement), &expected);
}

// A daemon that was down must not revive an address that went to another Service.
#[test]
fn a_live_claim_beats_an_older_record_of_another_service() {
    let members = [member("node-z", &[("a/new", at("192.0.2.1", 900))])];
    let agreement = agreed(&[("a/web", record("192.0.2.1", 5))], &members);
    assert_eq!(only(&agreement), &Verdict::AllocateHere);
    assert_eq!(agreement.void_records, [service("a/web")]);
    assert_eq!(agreement.reserved.keys().map(ToString::to_string).collect::<Vec<_>>(), ["192.0.2.1"]);
}

#[test]
fn a_record_that_nobody_contradicts_becomes_live() {
    let members = [member("node-a", &[("a/web", bid(0))])];
    let agreement = agreed(&[("a/web", record("192.0.2.1", 5))], &members);
    assert_eq!(only(&agreement), &Verdict::Confirm(at("192.0.2.1", 5)));
    assert_eq!(agreement.void_records, []);
}

#[test]
fn the_youngest_record_speaks_first() {
    let younger = [member("node-z", &[("a/web", bid(6))])];
    let waits = Verdict::Wait(Wait::Member(node("node-z")));
    assert_eq!(only(&agreed(&[("a/web", record("192.0.2.1", 5))], &younger)), &waits);
    let older = [member("node-a", &[("a/web", bid(4))])];
    let confirms = Verdict::Confirm(at("192.0.2.1", 5));
    assert_eq!(only(&agreed(&[("a/web", record("192.0.2.1", 5))], &older)), &confirms);
}

// [OWN-60]
#[test]
fn the_lowest_name_among_those_who_have_the_service_allocates() {
    let lower = || member("node-a", &[("a/web", bid(0))]);
    let waits = Verdict::Wait(Wait::Member(node("node-a")));
    assert_eq!(only(&agreed(&[("a/web", entry())], &[lower()])), &waits);
    let without = member("node-a", &[("a/other", bid(0))]);
    assert_eq!(only(&agreed(&[("a/web", entry())], &[without])), &Verdict::AllocateHere);
    let higher = member("node-z", &[("a/web", bid(0))]);
    assert_eq!(only(&agreed(&[("a/web", entry())], &[higher])), &Verdict::AllocateHere);
}

#[test]
fn the_lowest_name_tells_the_others_before_it_allocates() {
    let fresh = Entry { candidacy: Candidacy::Fresh, ..entry() };
    let agreement = agreed(&[("a/web", fresh)], &[member("node-z", &[])]);
    assert_eq!(only(&agreement), &Verdict::Wait(Wait::Settle));
}

#[test]
fn who_could_not_allocate_leaves_it_to_the_next() {
    let silent = Entry { candidacy: Candidacy::Silent, ..entry() };
    let next = [member("node-z", &[("a/web", bid(0))])];
    let waits = Verdict::Wait(Wait::Member(node("node-z")));
    assert_eq!(only(&agreed(&[("a/web", silent.clone())], &next)), &waits);
    assert_eq!(only(&agreed(&[("a/web", silent)], &[])), &Verdict::Wait(Wait::Candidate));
}

// [OWN-60]
#[test]
fn of_two_services_on_one_address_the_older_claim_keeps_it() {
    let members = [member("node-z", &[("a/api", at("192.0.2.1", 5))])];
    let own = [("a/api", entry()), ("a/web", live("192.0.2.1", 6))];
    let agreement = agreed(&own, &members);
    let conflict =
        Conflict::Address { address: "192.0.2.1".parse().unwrap(), keeper: service("a/api"), node: node("node-z") };
    assert_eq!(agreement.verdicts[&service("a/web")], Verdict::GiveUp(conflict));
    let adopts = Verdict::Adopt { assignment: at("192.0.2.1", 5), from: node("node-z") };
    assert_eq!(agreement.verdicts[&service("a/api")], adopts);
}

#[test]
fn the_younger_claim_of_a_member_waits_for_it_to_be_given_up() {
    let members = [member("node-z", &[("a/api", at("192.0.2.1", 7))])];
    let agreement = agreed(&[("a/api", entry()), ("a/web", live("192.0.2.1", 6))], &members);
    assert_eq!(agreement.verdicts[&service("a/web")], Verdict::Keep { since_ms: 6 });
    // node-z names the Service, but so does this node, whose name is lower.
    assert_eq!(agreement.verdicts[&service("a/api")], Verdict::AllocateHere);
}

#[test]
fn of_two_addresses_for_one_service_the_older_stays() {
    let older = [member("node-z", &[("a/web", at("192.0.2.9", 4))])];
    let adopts = Verdict::Adopt { assignment: at("192.0.2.9", 4), from: node("node-z") };
    assert_eq!(only(&agreed(&[("a/web", live("192.0.2.1", 5))], &older)), &adopts);
    let younger = [member("node-a", &[("a/web", at("192.0.2.9", 6))])];
    let agreement = agreed(&[("a/web", live("192.0.2.1", 5))], &younger);
    assert_eq!(only(&agreement), &Verdict::Keep { since_ms: 5 });
    assert_eq!(agreement.reserved.len(), 1, "the other address is in use over there until it is given up");
}

#[test]
fn equal_ages_are_decided_by_node_name() {
    let lower = [member("node-a", &[("a/web", at("192.0.2.9", 5))])];
    assert!(matches!(only(&agreed(&[("a/web", live("192.0.2.1", 5))], &lower)), Verdict::Adopt { .. }));
    let higher = [member("node-z", &[("a/web", at("192.0.2.9", 5))])];
    assert_eq!(only(&agreed(&[("a/web", live("192.0.2.1", 5))], &higher)), &Verdict::Keep { since_ms: 5 });
}

#[test]
fn one_assignment_told_with_two_ages_has_the_older_one() {
    let members = [member("node-z", &[("a/web", at("192.0.2.1", 3))])];
    assert_eq!(only(&agreed(&[("a/web", live("192.0.2.1", 5))], &members)), &Verdict::Keep { since_ms: 3 });
}

#[test]
fn services_that_may_share_an_address_do_not_collide() {
    let own = [("shared/api", live("192.0.2.1", 5)), ("shared/web", live("192.0.2.1", 6))];
    let agreement = agreed(&own, &[]);
    assert!(agreement.verdicts.values().all(|verdict| matches!(verdict, Verdict::Keep { .. })), "{agreement:?}");
}

#[test]
fn a_member_that_holds_both_has_judged_that_they_share() {
    let both = [member("node-z", &[("b/gone", at("192.0.2.1", 4)), ("a/web", at("192.0.2.1", 6))])];
    assert_eq!(only(&agreed(&[("a/web", live("192.0.2.1", 6))], &both)), &Verdict::Keep { since_ms: 6 });
    let one = [member("node-z", &[("b/gone", at("192.0.2.1", 4))])];
    assert!(matches!(only(&agreed(&[("a/web", live("192.0.2.1", 6))], &one)), Verdict::GiveUp(_)));
}

#[test]
fn a_claim_that_the_configuration_refuses_is_passed_over() {
    let members = [member("node-a", &[("a/web", at("198.51.100.1", 4))])];
    let agreement = agreed(&[("a/web", live("192.0.2.1", 6))], &members);
    assert_eq!(only(&agreement), &Verdict::Keep { since_ms: 6 });
    assert_eq!(only(&agreed(&[("a/web", entry())], &members)), &Verdict::AllocateHere);
    let refused = agreed(&[("a/web", live("198.51.100.1", 4))], &[]);
    assert_eq!(only(&refused), &Verdict::GiveUp(Conflict::Refused));
}

#[test]
fn the_table_names_what_is_held_and_what_is_bid_for() {
    let silent = Entry { candidacy: Candidacy::Silent, ..entry() };
    let own = [
        ("a/held", live("192.0.2.1", 5)),
        ("a/recorded", record("192.0.2.2", 7)),
        ("a/silent", silent),
        ("a/wanted", entry()),
    ];
    let own = own.into_iter().map(|(key, entry)| (service(key), entry)).collect();
    let expected = [("a/held", at("192.0.2.1", 5)), ("a/recorded", bid(7)), ("a/wanted", bid(0))];
    assert_eq!(table(&own), expected.into_iter().map(|(key, entry)| (service(key), entry)).collect());
}
