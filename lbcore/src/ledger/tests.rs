//! Entries from changes, and the ledger in memory.

use super::*;
use crate::allocator::NoAddress;

fn addresses(texts: &[&str]) -> ServiceAddresses {
    let parsed: Vec<IpAddr> = texts.iter().map(|text| text.parse().unwrap()).collect();
    ServiceAddresses::new(&parsed).unwrap()
}

fn entry(at: u64, address: &str, service: &str, event: Event) -> Entry {
    Entry {
        at: UnixTime::from_secs(at),
        address: address.parse().unwrap(),
        service: service.parse().unwrap(),
        pool: None,
        event,
        cause: Cause::new(Why::Choice, "because"),
    }
}

fn ledger(limit: usize, entries: &[Entry]) -> MemoryLedger {
    MemoryLedger::restored(limit, entries.iter().cloned(), 0)
}

fn told(before: Option<&[&str]>, after: Option<&[&str]>) -> Vec<String> {
    let (before, after) = (before.map(addresses), after.map(addresses));
    let pool = "public".parse().unwrap();
    let held = |addresses| Held { addresses, pool: Some(&pool) };
    let cause = Cause::new(Why::Request, "because");
    let service = "shop/web".parse().unwrap();
    let entries =
        changes(UnixTime::from_secs(5), &service, before.as_ref().map(held), after.as_ref().map(held), &cause);
    entries.iter().map(|entry| format!("{} {}", entry.address, entry.event)).collect()
}

#[test]
fn what_is_given_up_comes_before_what_is_got_and_the_same_is_nothing() {
    let (one, other) = (Some(&["192.0.2.7"][..]), Some(&["192.0.2.9"][..]));
    let dual = Some(&["192.0.2.7", "2001:db8::7"][..]);
    assert_eq!(told(None, one), ["192.0.2.7 granted"]);
    assert_eq!(told(one, other), ["192.0.2.7 moved", "192.0.2.9 granted"]);
    assert_eq!(told(one, None), ["192.0.2.7 released"]);
    assert_eq!(told(one, dual), ["2001:db8::7 granted"]);
    assert_eq!(told(dual, one), ["2001:db8::7 released"]);
    assert_eq!(told(dual, Some(&["2001:db8::7", "192.0.2.7"])), [""; 0]);
    assert_eq!(told(dual, Some(&["192.0.2.9", "2001:db8::7"])), ["192.0.2.7 moved", "192.0.2.9 granted"]);
    assert_eq!(told(None, None), [""; 0]);
}

#[test]
fn an_entry_reads_as_a_sentence() {
    let pool = Some("public".parse().unwrap());
    let granted = Entry { pool, ..entry(1, "192.0.2.7", "shop/web", Event::Granted) };
    assert_eq!(granted.to_string(), "192.0.2.7 granted to shop/web, pool public: because");
    let texts: std::collections::BTreeSet<String> =
        Event::ALL.into_iter().map(|event| entry(1, "192.0.2.7", "shop/web", event).to_string()).collect();
    assert_eq!(texts.len(), Event::ALL.len(), "two events read alike");
}

#[test]
fn words_are_read_as_they_are_written() {
    for event in Event::ALL {
        assert_eq!(event.as_str().parse(), Ok(event));
    }
    for why in Why::ALL {
        assert_eq!(why.as_str().parse(), Ok(*why));
        assert_eq!(why.to_string(), why.as_str());
    }
    assert!("gained".parse::<Event>().unwrap_err().to_string().contains("gained"));
    assert!("".parse::<Why>().is_err());
}

#[test]
fn a_refusal_is_its_own_cause() {
    let cause = Cause::from(&NoAddress::NoPools);
    assert_eq!((cause.why, cause.to_string()), (Why::Pools, NoAddress::NoPools.to_string()));
    assert_eq!(Cause::from(&NoAddress::Forgotten).why, Why::Refusal);
}

#[test]
fn the_oldest_give_way_and_are_counted() {
    let entries: Vec<Entry> = (0..5).map(|at| entry(at, "192.0.2.7", "shop/web", Event::Granted)).collect();
    let kept = ledger(3, &entries);
    assert_eq!(kept.entries().map(|entry| entry.at.as_secs()).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(kept.dropped(), 2);
    let none = ledger(0, &entries);
    assert_eq!((none.entries().len(), none.dropped()), (0, 5));
    assert_eq!(MemoryLedger::restored(3, entries, 7).dropped(), 9);
}

#[test]
fn it_is_asked_by_address_by_service_and_by_time() {
    let book = ledger(
        10,
        &[
            entry(1, "192.0.2.7", "shop/web", Event::Granted),
            entry(2, "192.0.2.8", "shop/mail", Event::Granted),
            entry(3, "192.0.2.7", "shop/web", Event::Released),
            entry(2, "192.0.2.7", "shop/mail", Event::Granted),
        ],
    );
    let times = |entries: Vec<&Entry>| entries.iter().map(|entry| entry.at.as_secs()).collect::<Vec<_>>();
    assert_eq!(times(book.of_address("192.0.2.7".parse().unwrap()).collect()), [1, 3, 2]);
    let mail = "shop/mail".parse().unwrap();
    assert_eq!(times(book.of_service(&mail).collect()), [2, 2]);
    assert_eq!(times(book.between(UnixTime::from_secs(2), UnixTime::from_secs(3)).collect()), [2, 3, 2]);
    assert_eq!(times(book.between(UnixTime::from_secs(4), UnixTime::from_secs(3)).collect()), [0_u64; 0]);
}

#[test]
fn who_had_an_address_when_can_be_told() {
    let book = ledger(
        10,
        &[
            entry(1, "192.0.2.7", "shop/early", Event::Released),
            entry(2, "192.0.2.7", "shop/web", Event::Granted),
            entry(3, "192.0.2.7", "shop/mail", Event::Granted),
            entry(4, "192.0.2.7", "shop/web", Event::Moved),
            entry(5, "192.0.2.7", "shop/web", Event::Held),
            entry(6, "192.0.2.7", "shop/web", Event::Granted),
        ],
    );
    let tenures = book.tenures("192.0.2.7".parse().unwrap());
    let rows: Vec<_> = tenures
        .iter()
        .map(|tenure| {
            let until = tenure.until.as_ref().map(|(at, _)| at.as_secs());
            (tenure.service.name(), tenure.from.map(UnixTime::as_secs), until)
        })
        .collect();
    assert_eq!(
        rows,
        [("early", None, Some(1)), ("web", Some(2), Some(4)), ("mail", Some(3), None), ("web", Some(6), None)]
    );
    assert_eq!(tenures[1].until.as_ref().map(|(_, cause)| cause.why), Some(Why::Choice));
    assert!(book.tenures("192.0.2.1".parse().unwrap()).is_empty());
}
