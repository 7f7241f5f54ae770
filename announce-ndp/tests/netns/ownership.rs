//! Who answers: takeover, stop, hand-over, strangers, all over IPv6 alone.

use std::time::Duration;

use lab::judge::HAND_OVER_LIMIT;
use lab::{Moment, wait_until};

use crate::announcer::{self, NAMESAKE, VIP};
use crate::site::{Checked, SOON, Site, ask, check};

/// `SIGSTOP` and `SIGCONT` on Linux.
const STOP: i32 = 19;
const CONTINUE: i32 = 18;

fn no_violation(site: &Site) -> Checked {
    let violations = site.judge()?.as_one(&[(VIP.into(), NAMESAKE.into())]).violations(HAND_OVER_LIMIT);
    check(violations.is_empty(), format!("{violations:?}"))
}

// [OWN-1], [OWN-2], [OWN-11]: members hear each other by IPv6 frames alone.
pub(crate) fn an_owner_killed_is_replaced() -> Checked {
    let site = Site::new("kill", 3)?;
    let mut announcers = site.start()?;
    let prober = site.probe()?;
    ask(&prober, 20)?;
    let killed = Moment::now();
    announcers.first_mut().ok_or("no announcer")?.kill()?;
    let successor = wait_until(SOON, "another owner", || {
        site.judge().ok()?.successor_of("n1", VIP, killed).map(|answer| answer.at)
    })?;
    let outage = successor.since(killed);
    check(outage < Duration::from_millis(1_050), format!("replaced after {outage:?}"))?;
    no_violation(&site)
}

// [OWN-3], [OWN-50]
pub(crate) fn a_stopped_owner_answers_nothing() -> Checked {
    let site = Site::new("stop", 3)?;
    let mut announcers = site.start()?;
    let prober = site.probe()?;
    ask(&prober, 20)?;
    let owner = announcers.first_mut().ok_or("no announcer")?;
    owner.signal(STOP)?;
    let stopped = Moment::now();
    ask(&prober, 120)?;
    owner.signal(CONTINUE)?;
    owner.wait_for("standby n", SOON)?;
    ask(&prober, 20)?;
    let judge = site.judge()?;
    check(judge.successor_of("n1", VIP, stopped).is_some(), "nobody took over")?;
    let late: Vec<_> =
        judge.answers(VIP).iter().filter(|answer| &*answer.host == "n1" && answer.at > stopped).collect();
    check(late.is_empty(), format!("{late:?}"))?;
    no_violation(&site)
}

// [OWN-35]
pub(crate) fn a_terminated_owner_hands_over_first() -> Checked {
    let site = Site::new("move", 2)?;
    let mut announcers = site.start()?;
    let prober = site.probe()?;
    ask(&prober, 20)?;
    let asked = Moment::now();
    let owner = announcers.first_mut().ok_or("no announcer")?;
    owner.terminate()?;
    owner.wait_for("stopped", SOON)?;
    ask(&prober, 20)?;
    let judge = site.judge()?;
    check(judge.successor_of("n1", VIP, asked).is_some(), "nobody took over")?;
    let (gap, from) = judge.gap(VIP, asked, Moment::now());
    check(gap < Duration::from_millis(200), format!("no answer for {gap:?} from {from:?} on"))?;
    no_violation(&site)
}

// [OWN-31], [OWN-40]: a host that has the address answers our probe, and the address is claimed once it is silent.
pub(crate) fn an_address_in_use_is_withheld() -> Checked {
    let site = Site::new("stranger", 1)?;
    site.client.address("eth0", &format!("{VIP}/64"))?;
    let holder = site.client.hardware("eth0")?;
    let mut announcer = announcer::start(site.node(0)?, "")?;
    announcer.wait_for(&format!("withheld address-in-use: {holder}"), SOON)?;
    let answered = site.judge()?.tenures(VIP);
    check(answered.is_empty(), format!("{answered:?}"))?;
    site.client.remove_address("eth0", &format!("{VIP}/64"))?;
    announcer.wait_for("active", SOON)?;
    Ok(())
}
