//! What the announcing survives.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lab::Moment;
use lab::client::{Client, Memory};
use lab::control_plane::Part;

use super::rig::{CALM, Checked, FIRST, FIRST_V6, Rig, SHOP, check, wait};

const ALL: [&str; 3] = ["n1", "n2", "n3"];
/// [OWN-2] with the default timings, and what a busy machine adds to a thread that has to be woken.
const TAKEOVER: Duration = Duration::from_millis(1_500);

/// Requests that were not answered.
fn failed(client: &Client) -> usize {
    client.attempts().iter().filter(|attempt| attempt.served_by().is_none()).count()
}

// [OWN-2], [OWN-35]
pub(crate) fn owner_killed_and_stopped(rig: &mut Rig) -> Checked {
    rig.usual_pool()?;
    rig.service("web", "", &[FIRST, FIRST_V6], &ALL)?;
    rig.start_speakers(&Rig::program())?;
    let owner = rig.owner(FIRST)?;
    rig.reach(FIRST)?;
    let watch = rig.watch(&[FIRST.parse()?, FIRST_V6.parse()?])?;
    std::thread::sleep(Duration::from_secs(1));
    let killed = Moment::now();
    rig.speaker(&owner)?.kill()?;
    std::thread::sleep(CALM);
    for address in [FIRST, FIRST_V6] {
        let gap = watch.gap(address, killed)?;
        check(gap < TAKEOVER, format!("{gap:?} without an answer for {address} after a kill"))?;
    }
    let next = rig.owner(FIRST)?;
    check(next != owner, "the dead node answers")?;
    // A stop that is asked for loses no connection.
    let target = SocketAddr::new(FIRST.parse::<IpAddr>()?, 80);
    let client = Client::start("client", rig.cluster.client(), target, Memory::Kept)?;
    std::thread::sleep(Duration::from_secs(1));
    let stopped = Moment::now();
    let status = rig.speaker(&next)?.terminate(Duration::from_secs(2))?;
    check(status.is_some_and(|status| status.success()), format!("it ended with {status:?}"))?;
    std::thread::sleep(CALM);
    for address in [FIRST, FIRST_V6] {
        let gap = watch.gap(address, stopped)?;
        check(gap < Duration::from_millis(400), format!("{gap:?} without an answer for {address} after SIGTERM"))?;
    }
    let failed = failed(&client);
    check(failed == 0, format!("{failed} requests failed around a planned stop"))?;
    watch.nobody_answered_beside(&[])
}

// [OWN-24], [SPK-8]
pub(crate) fn without_the_api_server(rig: &mut Rig) -> Checked {
    rig.usual_pool()?;
    rig.service("web", "", &[FIRST, FIRST_V6], &ALL)?;
    rig.start_speakers(&Rig::program())?;
    let owner = rig.owner(FIRST)?;
    rig.reach(FIRST)?;
    let target = SocketAddr::new(FIRST.parse::<IpAddr>()?, 80);
    let client = Client::start("client", rig.cluster.client(), target, Memory::Cleared)?;
    let watch = rig.watch(&[FIRST.parse()?, FIRST_V6.parse()?])?;
    let from = Moment::now();
    rig.cluster.plane_mut().kill(Part::ApiServer)?;
    std::thread::sleep(Duration::from_secs(10));
    check(rig.owner(FIRST)? == owner, "it moved while only the API server was away")?;
    let failed = failed(&client);
    check(failed == 0, format!("{failed} requests failed while only the API server was away"))?;
    // Ownership needs no API server.
    rig.speaker(&owner)?.kill()?;
    let next = wait("another node", || rig.owner(FIRST), |next| *next != owner)?;
    rig.cluster.plane_mut().start_part(Part::ApiServer)?;
    rig.cluster.plane_mut().wait_until_ready()?;
    rig.speaker(&owner)?.start()?;
    rig.service("late", "", &["192.168.1.242"], &ALL)?;
    rig.reach("192.168.1.242")?;
    check(rig.owner(FIRST)? == next, "it moved when the API server came back")?;
    let gap = watch.gap(FIRST, from)?;
    check(gap < TAKEOVER, format!("{gap:?} without an answer"))?;
    watch.nobody_answered_beside(&[])
}

// [OWN-24], [SPK-8]: a node that is cut off goes on, and misses nothing although the API server has forgotten the places of its watches.
pub(crate) fn a_node_cut_off(rig: &mut Rig) -> Checked {
    const OLD: &str = "192.168.1.243";
    const NEW: &str = "192.168.1.244";
    rig.usual_pool()?;
    rig.service("web", "", &[FIRST, FIRST_V6], &ALL)?;
    rig.start_speakers(&Rig::program())?;
    let owner = rig.owner(FIRST)?;
    // These two are announced by this node or by nobody.
    let local = "externalTrafficPolicy: Local, ";
    rig.service("old", local, &[OLD], &[&owner])?;
    check(rig.owner(OLD)? == owner, "another node announces what is not served there")?;
    rig.reach(FIRST)?;
    let target = SocketAddr::new(FIRST.parse::<IpAddr>()?, 80);
    let client = Client::start("client", rig.cluster.client(), target, Memory::Cleared)?;
    let watch = rig.watch(&[FIRST.parse()?, FIRST_V6.parse()?])?;
    rig.cluster.node(&owner)?.lose_api_server()?;
    rig.cluster.plane_mut().kill(Part::ApiServer)?;
    rig.cluster.plane_mut().start_part(Part::ApiServer)?;
    rig.cluster.plane_mut().wait_until_ready()?;
    rig.cluster.admin().run(&["delete", "service", "old", "--namespace", SHOP])?;
    rig.service("new", local, &[NEW], &[&owner])?;
    let nobody = rig.answering(NEW, CALM)?;
    check(nobody.is_empty(), format!("{nobody:?} announce what only the node that is cut off can"))?;
    check(rig.owner(FIRST)? == owner, "it moved while a node was cut off from the API server")?;
    rig.cluster.node(&owner)?.reach_api_server()?;
    let back = Moment::now();
    check(rig.owner(NEW)? == owner, "another node announces what is not served there")?;
    let caught_up = Moment::now().since(back);
    // A connection that was cut is known to be dead after 19 s, and tried again each 5 s.
    check(caught_up < Duration::from_secs(28), format!("{caught_up:?} until the node had caught up"))?;
    let look = || rig.answering(OLD, Duration::from_millis(600));
    wait("silence about a Service that was deleted", look, BTreeSet::is_empty)?;
    check(rig.owner(FIRST)? == owner, "it moved when the node had caught up")?;
    let log = rig.speaker(&owner)?.log();
    check(log.contains("too old resource version"), "no watch of that node had expired")?;
    let failed = failed(&client);
    check(failed == 0, format!("{failed} requests failed while only the API server was away"))?;
    println!("cut off while the API server started anew: caught up after {} ms", caught_up.as_millis());
    watch.nobody_answered_beside(&[])
}

// [OWN-40]: the way past a running speaker of somebody else.
pub(crate) fn a_stranger_first(rig: &mut Rig) -> Checked {
    rig.usual_pool()?;
    rig.service("web", "", &[FIRST], &ALL)?;
    // Its kernel answers, and announces it as its own.
    let stranger = rig.cluster.guest("stranger")?;
    stranger.address("eth0", &format!("{FIRST}/32"))?;
    let watch = rig.watch(&[FIRST.parse()?])?;
    rig.start_speakers(&Rig::program())?;
    std::thread::sleep(CALM * 2);
    let ours = watch.judge()?.without("stranger");
    let answers = ours.answers(FIRST.parse::<IpAddr>()?).len();
    check(answers == 0, format!("{answers} answers beside the stranger"))?;
    let told = rig.speakers.iter().any(|role| role.log().contains("address-in-use"));
    check(told, "nobody says that the address is in use")?;
    let left = Moment::now();
    stranger.remove_address("eth0", &format!("{FIRST}/32"))?;
    rig.owner(FIRST)?;
    watch.nobody_answered_beside(&[])?;
    let gap = watch.gap(FIRST, left)?;
    // Asked each second, claimed after three silent questions; the others wait their turn.
    check(gap < Duration::from_secs(6), format!("{gap:?} until it was taken over"))?;
    println!("stranger gone: taken over after {} ms", gap.as_millis());
    rig.reach(FIRST).map(drop)
}
