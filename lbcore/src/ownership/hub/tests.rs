//! What a host is told of by the hub, on frames written by hand.

use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;

use super::super::claims::TableDigest;
use super::super::frame::{self, Assignments, Body, Copy, Frame, Heartbeat};
use super::super::key::{KeyId, MemberKeys};
use super::super::{BootId, Destination};
use super::*;
use crate::service::NodeName;

const LINK: LinkIndex = LinkIndex::new(7);

#[derive(Debug)]
struct Deaf;

impl Carrier for Deaf {
    fn transmit(&self, _link: LinkIndex, _to: Destination, _payload: &[u8]) {}

    fn wake(&self) {}
}

#[derive(Debug, Default)]
struct Counter(AtomicUsize);

impl Observer for Counter {
    fn notify(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn frame_of(sequence: u64, body: Body) -> Vec<u8> {
    let name = NodeName::new("n1").unwrap();
    frame::encode(&Frame { boot_id: BootId(1), name, sequence, body }, &MemberKeys::none(), KeyId::NONE)
}

fn heartbeat(assignments: TableDigest) -> Body {
    Body::Heartbeat(Heartbeat {
        copy: Copy::Group,
        heard: Vec::new(),
        claims: TableDigest::default(),
        assignments,
        keys: Vec::new(),
        heard_links: 1,
    })
}

// [OWN-60]: a host that waits for the whole table of a member sleeps until it is told.
#[test]
fn a_heartbeat_that_calls_a_known_table_whole_is_told_to_the_host() {
    let hub = Hub::new(HubConfig::new(NodeName::new("n2").unwrap(), BootId(2)), Timestamp::ZERO, 1);
    let carrier = hub.register(IpFamily::V4, Arc::new(Deaf));
    let mac = MacAddr::new([2, 0, 0, 0, 0, 2]);
    hub.handle_link(Timestamp::ZERO, carrier, &LinkEvent::Up { link: LINK, name: Arc::from("lan0"), mac });
    let counter = Arc::new(Counter::default());
    hub.set_observer(Arc::<Counter>::clone(&counter));
    let hear = |at: u64, payload: &[u8]| {
        let now = Timestamp::ZERO + Duration::from_millis(at);
        hub.handle_member_frame(now, carrier, LINK, MacAddr::new([2, 0, 0, 0, 0, 1]), payload).unwrap();
    };
    let service: ServiceKey = "demo/web".parse().unwrap();
    let mut digest = TableDigest::default();
    digest.add(&frame::encoded_assignment(&service, &Assignment::default()));
    let entries = vec![(service, Assignment::default())];
    hear(1, &frame_of(1, heartbeat(TableDigest::default())));
    hear(2, &frame_of(2, Body::Assignments(Assignments { complete: None, entries, removed: Vec::new() })));
    while hub.poll_event().is_some() {}
    assert_eq!(hub.members().iter().map(|member| member.synced).collect::<Vec<_>>(), [false]);
    let before = counter.0.load(Ordering::Relaxed);

    hear(3, &frame_of(3, heartbeat(digest)));

    assert_eq!(hub.members().iter().map(|member| member.synced).collect::<Vec<_>>(), [true]);
    assert_eq!(counter.0.load(Ordering::Relaxed), before + 1);
}
