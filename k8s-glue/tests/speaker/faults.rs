//! What the announcing survives.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lab::Moment;
use lab::client::{Client, Memory};
use lab::control_plane::Part;

use super::rig::{CALM, Checked, FIRST, FIRST_V6, Rig, check, wait};

const ALL: [&str; 3] = ["n1", "n2", "n3"];
/// [OWN-2] with the default timings, and what a busy machine adds to a thread that has to be woken.
const TAKEOVER: Duration = Duration::from_millis(1_500);

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
    let failed =
        client.attempts().into_iter().filter(|attempt| !matches!(attempt.ending, lab::outage::Ending::Served(_)));
    let failed = failed.count();
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
    let failed =
        client.attempts().into_iter().filter(|attempt| !matches!(attempt.ending, lab::outage::Ending::Served(_)));
    let failed = failed.count();
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
