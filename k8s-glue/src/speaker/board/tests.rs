//! Tests of what is said to be announced for a Service.

use ipnetwork::IpNetwork;
use lbcore::announce::{
    DesiredSet, Generation, GroupKey, LinkReach, RouteAttributes, RoutedPart, RoutedReach, Standing as MayOwn,
};
use lbcore::time::Timestamp;

use super::*;

fn service(name: &str) -> ServiceKey {
    format!("shop/{name}").parse().unwrap()
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

fn on_link(last: u8, services: &[&str], links: &[&str]) -> Announcement {
    let links = if links.is_empty() {
        LinkSelection::All
    } else {
        LinkSelection::Named(Arc::new(links.iter().map(ToString::to_string).collect()))
    };
    let reach = LinkReach {
        group: GroupKey(address(last)),
        election_key: address(last),
        score: 0,
        links,
        standing: MayOwn::Eligible,
    };
    Announcement {
        services: services.iter().map(|name| service(name)).collect(),
        prefix: IpNetwork::from(address(last)),
        reach: Reach::Link(reach),
    }
}

fn routed(prefix: &str, services: &[&str], peers: &[&str]) -> Announcement {
    let part = RoutedPart {
        peers: peers.iter().map(|peer| Arc::from(*peer)).collect(),
        attributes: Arc::new(RouteAttributes::default()),
    };
    Announcement {
        services: services.iter().map(|name| service(name)).collect(),
        prefix: prefix.parse().unwrap(),
        reach: Reach::Routed(RoutedReach { parts: Arc::from([part]) }),
    }
}

fn put(board: &mut Board, announcements: Vec<Announcement>) {
    let put = announcements.into_iter().map(Arc::new).collect();
    board.handle_change(&Change { from: Generation(0), full: Arc::new(DesiredSet::new()), put, removed: Vec::new() });
}

fn remove(board: &mut Board, key: AnnouncementKey) {
    let full = Arc::new(DesiredSet::new());
    board.handle_change(&Change { from: Generation(0), full, put: Vec::new(), removed: vec![key] });
}

fn active() -> AnnouncementState {
    AnnouncementState::Active { since: Timestamp::ZERO, links: Arc::from([]), epoch: 1 }
}

/// Services have the addresses 1 and 2.
fn moved(board: &mut Board) -> Vec<Moved> {
    board.take_moved(|_| vec![address(2), address(1)])
}

// [STAT-4], [L2-31]: the owner says so, not everybody who stands for it.
#[test]
fn only_what_is_answered_for_counts_on_a_segment() {
    let mut board = Board::default();
    put(&mut board, vec![on_link(1, &["web"], &["eth1", "eth0"])]);
    let first = moved(&mut board);
    assert!(first[0].after.links.pending && first[0].after.links.addresses.is_empty());
    board.handle_state(AnnouncementKey::link(address(1)), Some(AnnouncementState::Standby { owner: None }));
    assert_eq!(moved(&mut board)[0].after, Standing::default());
    board.handle_state(AnnouncementKey::link(address(1)), Some(active()));
    let now = moved(&mut board);
    assert_eq!(now[0].after.links.addresses, [address(1)]);
    assert_eq!(now[0].after.links.interfaces, ["eth0", "eth1"]);
    assert!(moved(&mut board).is_empty());
    remove(&mut board, AnnouncementKey::link(address(1)));
    assert_eq!(moved(&mut board)[0].addresses(Protocol::Layer2), ([address(1)].as_slice(), [].as_slice()));
    assert!(board.standings().is_empty() && !board.has(&service("web")));
}

// [STAT-5]: of the first address; the order is the Service's.
#[test]
fn addresses_come_in_the_order_of_the_service() {
    let mut board = Board::default();
    put(&mut board, vec![on_link(1, &["web"], &["eth1"]), on_link(2, &["web"], &[])]);
    for last in [1, 2] {
        board.handle_state(AnnouncementKey::link(address(last)), Some(active()));
    }
    let links = &moved(&mut board)[0].after.links;
    assert_eq!(links.addresses, [address(2), address(1)]);
    assert!(links.interfaces.is_empty());
}

// [EVT-2]
#[test]
fn an_address_without_its_link_is_told_apart() {
    let mut board = Board::default();
    put(&mut board, vec![on_link(1, &["web"], &["eth9"])]);
    let state = AnnouncementState::Withheld(Withheld::NoLink);
    board.handle_state(AnnouncementKey::link(address(1)), Some(state));
    let links = &moved(&mut board)[0].after.links;
    assert_eq!((links.without_link.as_slice(), links.pending), ([address(1)].as_slice(), false));
}

// [STAT-21], [STAT-22]
#[test]
fn routes_count_as_asked_for_and_only_toward_peers_with_a_session() {
    let mut board = Board::default();
    put(
        &mut board,
        vec![routed("192.0.2.0/24", &["web", "other"], &["b", "a"]), routed("192.0.2.1/32", &["web"], &["c"])],
    );
    let all = moved(&mut board);
    assert_eq!(all.len(), 2);
    let web = all.iter().find(|moved| moved.service == service("web")).unwrap();
    assert_eq!(web.after.routes.peers, ["a", "b", "c"]);
    assert_eq!(web.after.routes.addresses, [address(2), address(1)]);
    board.handle_sessions(["a", "b"].map(Arc::from).into());
    let web = moved(&mut board).into_iter().find(|moved| moved.service == service("web")).unwrap();
    assert_eq!(web.after.routes.peers, ["c"]);
    assert_eq!(web.after.routes.addresses, [address(1)]);
    board.handle_sessions(["a", "b", "c"].map(Arc::from).into());
    assert!(moved(&mut board).iter().any(|moved| moved.after == Standing::default()));
}

#[test]
fn a_shared_address_counts_for_each_of_its_services() {
    let mut board = Board::default();
    put(&mut board, vec![on_link(1, &["api", "web"], &[])]);
    board.handle_state(AnnouncementKey::link(address(1)), Some(active()));
    assert_eq!(moved(&mut board).len(), 2);
    put(&mut board, vec![on_link(1, &["web"], &[])]);
    let left = moved(&mut board);
    assert_eq!((left.len(), &left[0].service), (1, &service("api")));
}
