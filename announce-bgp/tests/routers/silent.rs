//! Against what is no router: nobody there, and somebody who takes the connection and says nothing, or anything.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use lab::{Host, wait_until};
use lbcore::announce::AnnouncementState;

use crate::speaker::{Checked, OURS, Speaker, THEIRS, config, peer, plain};
use crate::{NODE_V4, ROUTER_V4, SOON, Scenario, Site, check};

pub(crate) const TRIALS: &[Scenario] = &[
    ("a_peer_that_refuses_is_tried_again_every_second", a_peer_that_refuses_is_tried_again),
    ("a_peer_that_never_answers_is_given_up_and_tried_again", a_peer_that_never_answers_is_given_up),
    ("a_peer_that_answers_rubbish_is_told_so", a_peer_that_answers_rubbish_is_told_so),
    ("a_peer_that_never_stops_sending_holds_up_nothing", a_peer_that_never_stops_sending_holds_up_nothing),
    ("a_renamed_peer_waits_for_its_old_session_to_end", a_renamed_peer_waits_for_its_old_session),
    ("a_source_address_is_used_or_missed", a_source_address_is_used_or_missed),
    ("the_ttl_is_one_toward_direct_peers", the_ttl_is_one_toward_direct_peers),
];

/// Hands over each connection that comes to port 179 of the host.
fn accept(host: &Host) -> lab::Result<Receiver<TcpStream>> {
    let (sender, receiver) = channel();
    let (ready, is_ready) = channel();
    host.thread(move || {
        let listener = TcpListener::bind((ROUTER_V4, 179)).unwrap();
        ready.send(()).unwrap();
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            stream.set_read_timeout(Some(SOON)).unwrap();
            if sender.send(stream).is_err() {
                return;
            }
        }
    })?;
    is_ready.recv().map_err(|_| lab::Error::Thread { what: "the listener".into() })?;
    Ok(receiver)
}

fn read_message(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut header = [0; 19];
    stream.read_exact(&mut header)?;
    let mut body = vec![0; usize::from(u16::from_be_bytes([header[16], header[17]])) - 19];
    stream.read_exact(&mut body)?;
    body.insert(0, header[18]);
    Ok(body)
}

// [WIRE-3]
fn a_peer_that_refuses_is_tried_again() -> Checked {
    let site = Site::new("refused")?;
    let speaker = Speaker::start(&site.node, config([peer("tor", ROUTER_V4, OURS, THEIRS)]))?;
    let tried = |times: u64| move |speaker: &Speaker| (speaker.view("tor").counts.attempts >= times).then_some(());
    wait_until(SOON, "the fourth attempt", || tried(4)(&speaker))?;
    let before = speaker.view("tor").counts.attempts;
    std::thread::sleep(Duration::from_secs(3));
    let after = speaker.view("tor").counts.attempts - before;
    check((3..=4).contains(&after), format!("{after} attempts in three seconds"))?;
    let ending = speaker.view("tor").last_ending.unwrap_or_default();
    check(ending.contains("connecting failed: Connection refused"), ending)
}

// [BGP-1]
fn a_peer_that_never_answers_is_given_up() -> Checked {
    let site = Site::new("mute")?;
    let connections = accept(&site.router)?;
    let speaker = Speaker::start(&site.node, config([peer("tor", ROUTER_V4, OURS, THEIRS)]))?;
    speaker.announce([plain("198.51.100.1/32", &["tor"])]);
    let mut stream = connections.recv_timeout(SOON)?;
    check(read_message(&mut stream)?[0] == 1, "the first message is an OPEN")?;
    let notification = read_message(&mut stream)?;
    check(notification == [3, 4, 0], format!("{notification:?}"))?;
    check(stream.read(&mut [0])? == 0, "the connection stays open")?;
    connections.recv_timeout(SOON)?;
    check(speaker.state("198.51.100.1/32") == Some(AnnouncementState::Pending), "active without a session")
}

// RFC 4271 section 6.1
fn a_peer_that_answers_rubbish_is_told_so() -> Checked {
    let site = Site::new("rubbish")?;
    let connections = accept(&site.router)?;
    let speaker = Speaker::start(&site.node, config([peer("tor", ROUTER_V4, OURS, THEIRS)]))?;
    let mut stream = connections.recv_timeout(SOON)?;
    stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")?;
    read_message(&mut stream)?;
    let notification = read_message(&mut stream)?;
    check(notification == [3, 1, 1], format!("{notification:?}"))?;
    // Octet by octet, a length that is no length.
    let mut stream = connections.recv_timeout(SOON)?;
    for octet in [0xff; 16].into_iter().chain([0xff, 0xff, 1]) {
        stream.write_all(&[octet])?;
    }
    read_message(&mut stream)?;
    let notification = read_message(&mut stream)?;
    check(notification == [3, 1, 2, 0xff, 0xff], format!("{notification:?}"))?;
    speaker.wait_notification("tor", "1/2 (bad message length)", SOON)
}

/// An OPEN of a router that speaks IPv4 alone, and the KEEPALIVE that confirms ours.
fn open_and_confirm() -> Vec<u8> {
    let marker = [0xff; 16];
    let my_as = u16::try_from(THEIRS).unwrap_or(23_456).to_be_bytes();
    let open = [&[0, 29, 1, 4], my_as.as_slice(), &[0, 90], &[192, 0, 2, 2], &[0]].concat();
    [marker.as_slice(), &open, &marker, &KEEPALIVE_END].concat()
}

/// The length and the type of a KEEPALIVE.
const KEEPALIVE_END: [u8; 3] = [0, 19, 4];

// RFC 4271 has no limit for KEEPALIVEs; other tasks of the process, timers and sockets must get their turn
fn a_peer_that_never_stops_sending_holds_up_nothing() -> Checked {
    let site = Site::new("flood")?;
    let connections = accept(&site.router)?;
    let speaker = Speaker::start(&site.node, config([peer("tor", ROUTER_V4, OURS, THEIRS)]))?;
    let mut stream = connections.recv_timeout(SOON)?;
    read_message(&mut stream)?;
    stream.write_all(&open_and_confirm())?;
    let keepalive = [[0xff; 16].as_slice(), &KEEPALIVE_END].concat();
    let block = keepalive.repeat(3_000);
    let flood = std::thread::spawn(move || {
        let until = std::time::Instant::now() + FLOOD;
        while std::time::Instant::now() < until && stream.write_all(&block).is_ok() {}
    });
    speaker.wait_up("tor", SOON)?;
    let turns = (0..5).filter(|_| speaker.has_turn_within(FLOOD / 10)).count();
    speaker.shutdown();
    // The peer ends with the connection.
    drop(flood.join());
    check(turns == 5, format!("another task had its turn {turns} times of 5"))
}

/// How long the peer floods where nobody stops it.
const FLOOD: Duration = Duration::from_secs(20);

// RFC 4271 section 6.8: a router refuses the second of two connections, or takes the routes of the first for withdrawn too late.
fn a_renamed_peer_waits_for_its_old_session() -> Checked {
    let site = Site::new("renamed")?;
    let connections = accept(&site.router)?;
    let speaker = Speaker::start(&site.node, config([peer("tor", ROUTER_V4, OURS, THEIRS)]))?;
    let mut stream = connections.recv_timeout(SOON)?;
    stream.write_all(&open_and_confirm())?;
    speaker.wait_up("tor", SOON)?;
    speaker.announcer.configure(config([peer("spine", ROUTER_V4, OURS, THEIRS)]));
    // The router has not closed the old one yet, which is given a second.
    let early = connections.recv_timeout(Duration::from_millis(500));
    check(early.is_err(), "a second connection while the first is there")?;
    drop(stream);
    connections.recv_timeout(SOON)?;
    Ok(())
}

// [BGP-6], [PEER-16]
fn a_source_address_is_used_or_missed() -> Checked {
    let site = Site::new("source")?;
    let connections = accept(&site.router)?;
    site.node.address("eth0", "192.0.2.77/24")?;
    let mut tor = peer("tor", ROUTER_V4, OURS, THEIRS);
    tor.source_address = Some("192.0.2.77".parse()?);
    let speaker = Speaker::start(&site.node, config([tor.clone()]))?;
    let from = connections.recv_timeout(SOON)?.peer_addr()?.ip();
    check(from.to_string() == "192.0.2.77", format!("{from}"))?;
    tor.source_address = Some("192.0.2.78".parse()?);
    speaker.announcer.configure(config([tor]));
    let words = "the source address 192.0.2.78 could not be used";
    let told = || speaker.view("tor").last_ending.is_some_and(|ending| ending.contains(words)).then_some(());
    let told = wait_until(SOON, words, told);
    Ok(told.map_err(|error| format!("{error}: {:?}", speaker.view("tor")))?)
}

// [FRR-11], [WIRE-4]: a packet that a router between had to forward would not arrive
fn the_ttl_is_one_toward_direct_peers() -> Checked {
    let lab = lab::Lab::new("ttl");
    let (node, between, router) = (lab.host("node")?, lab.host("between")?, lab.host("router")?);
    let _near = lab.segment("near", &[&node, &between])?;
    let _far = lab.segment("far", &[&between, &router])?;
    node.address("eth0", &format!("{NODE_V4}/25"))?;
    between.address("eth0", "192.0.2.3/25")?;
    between.address("eth1", "192.0.2.129/25")?;
    router.address("eth0", "192.0.2.130/25")?;
    between.sysctl("net.ipv4.ip_forward", "1")?;
    for (host, arguments) in [
        (&node, ["route", "add", "192.0.2.128/25", "via", "192.0.2.3"]),
        (&router, ["route", "add", "192.0.2.0/25", "via", "192.0.2.129"]),
    ] {
        let mut command = std::process::Command::new("ip");
        command.args(arguments);
        host.run(command, SOON)?.success()?;
    }
    let waiting = crate::bird::Waiting {
        local: "192.0.2.130",
        more: "multihop; ipv4 { import all; export none; };",
        ..Default::default()
    };
    let _bird = lab::router::Bird::start(&router, &waiting.text())?;
    let far = |multi_hop| lbcore::peer::Peer { multi_hop, ..peer("far", "192.0.2.130", OURS, THEIRS) };
    let speaker = Speaker::start(&node, config([far(lbcore::peer::Feature::Off)]))?;
    let failed = || speaker.view("far").last_ending;
    let ending = wait_until(SOON, "the attempt to fail", failed)?;
    check(!speaker.view("far").is_up(), ending)?;
    speaker.announcer.configure(config([far(lbcore::peer::Feature::On)]));
    speaker.wait_up("far", SOON)?;
    speaker.announcer.configure(crate::speaker::native([far(lbcore::peer::Feature::Off)]));
    let native = || speaker.view("far").facts.is_some_and(|facts| facts.hold.as_secs() == 90).then_some(());
    Ok(wait_until(SOON, "the native engine, which leaves the TTL to the system", native)?)
}
