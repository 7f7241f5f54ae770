//! What is done to the cluster, one function a fault.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::thread::sleep;
use std::time::Duration;

use lab::Moment;
use lab::control_plane::Part;
use lab::outage::milliseconds;
use lab::wait_until;

use super::Fallible;
use super::rig::{Rig, WITHIN, bare_service};
use super::table::{Row, Traffic};

type Fault = fn(&mut Rig) -> Fallible<Row>;

/// All of them, in the order in which they are done.
pub(crate) const ALL: &[(&str, Fault)] = &[
    ("nothing for 30 s", nothing),
    ("controller killed, started again", controller_restarted),
    ("controller killed, a second one waits", controller_replaced),
    ("controller stopped 30 s amid 500 creations, a second one waits", controller_stopped),
    ("API server killed, back after 60 s", api_server_away),
    ("etcd killed, back after 30 s", store_away),
    ("speaker killed, started after 2 s", speaker_restarted),
    ("speaker killed", speaker_gone),
    ("speaker stopped 30 s", speaker_stopped),
    ("node cut off from the API server for 60 s", node_cut_off),
    ("all nodes cut off from an API server that starts anew", watches_expired),
];

/// What a leader that lost its right takes back is looked for during this time.
const CALM: Duration = Duration::from_secs(5);
/// Services that come while leaders change.
const MANY: usize = 500;
/// What the API server says to a watch whose place it does not know any more.
const EXPIRED: &str = "too old resource version";

fn seconds(span: Duration) -> String {
    format!("{:.1} s", span.as_secs_f64())
}

fn nothing(rig: &mut Rig) -> Fallible<Row> {
    rig.observe("nothing for 30 s", Traffic::Whole, None, |_| {
        sleep(Duration::from_secs(30));
        Ok(Vec::new())
    })
}

fn controller_restarted(rig: &mut Rig) -> Fallible<Row> {
    rig.observe("controller killed, started again at once", Traffic::Whole, None, |rig| {
        let killed = Moment::now();
        rig.roles.controller.kill()?;
        rig.late("meanwhile", None)?;
        let started = Moment::now();
        rig.roles.controller.start()?;
        let written = rig.wait_for_status("meanwhile")?;
        sleep(CALM);
        let (start, all) = (written.since(started), written.since(killed));
        Ok(vec![format!(
            "a Service created meanwhile has its address {} ms after the start, {} ms after the kill",
            milliseconds(start),
            milliseconds(all)
        )])
    })
}

fn controller_replaced(rig: &mut Rig) -> Fallible<Row> {
    let mut second = rig.second_controller("controller-2")?;
    second.process().ok_or("it does not run")?.wait_for("started", WITHIN)?;
    let row = rig.observe("controller killed, a second one waits", Traffic::Whole, None, |rig| {
        let killed = Moment::now();
        rig.roles.controller.kill()?;
        rig.late("meanwhile", None)?;
        let written = rig.wait_for_status("meanwhile")?;
        sleep(CALM);
        Ok(vec![format!(
            "a Service created meanwhile has its address {} after the kill",
            seconds(written.since(killed))
        )])
    })?;
    rig.roles.controller.start()?;
    second.terminate(WITHIN)?;
    rig.roles.controller.process().ok_or("it does not run")?.wait_for("became the leader", WITHIN)?;
    Ok(row)
}

// [BEAT-5], [DEPLOY-8]
fn controller_stopped(rig: &mut Rig) -> Fallible<Row> {
    let mut second = rig.second_controller("controller-2")?;
    second.process().ok_or("it does not run")?.wait_for("started", WITHIN)?;
    let title = format!("leading controller stopped 30 s amid {MANY} creations, a second one waits");
    let row = rig.observe(&title, Traffic::Whole, None, |rig| {
        let services: Vec<String> = (0..MANY).map(|number| bare_service(&format!("s{number:03}"))).collect();
        let (one, other) = services.split_at(MANY / 2);
        let create = |rig: &Rig, part: &[String]| rig.cluster.admin().feed(&["create"], &part.concat()).map(drop);
        create(rig, one)?;
        let stopped = Moment::now();
        rig.roles.controller.pause()?;
        create(rig, other)?;
        let all = wait_until(WITHIN, "an address for each", || {
            sleep(Duration::from_millis(500));
            let all = rig.late_ones().ok()?;
            (all.len() == MANY && all.values().all(|addresses| !addresses.is_empty())).then_some(all)
        });
        let all = all.map_err(|error| format!("{error}\n{}{}", rig.logs(), second.log()))?;
        let served = Moment::now();
        sleep(Duration::from_secs(30).saturating_sub(served.since(stopped)));
        rig.roles.controller.resume()?;
        sleep(CALM);
        let now = rig.late_ones()?;
        let changed = all.iter().filter(|(name, addresses)| now.get(*name) != Some(*addresses)).count();
        let twice = given_twice(&now);
        if changed > 0 || twice > 0 {
            return Err(format!("{twice} addresses were given twice, {changed} Services changed theirs").into());
        }
        Ok(vec![
            format!("all {MANY} have an address {} after the stop", seconds(served.since(stopped))),
            "0 addresses given twice, 0 changed after the first one went on".to_owned(),
        ])
    })?;
    second.terminate(WITHIN)?;
    rig.roles.controller.process().ok_or("it does not run")?.wait_for("became the leader", WITHIN)?;
    Ok(row)
}

fn given_twice(services: &BTreeMap<String, Vec<IpAddr>>) -> usize {
    let mut holders: BTreeMap<IpAddr, usize> = BTreeMap::new();
    for address in services.values().flatten() {
        *holders.entry(*address).or_default() += 1;
    }
    holders.values().filter(|count| **count > 1).count()
}

fn api_server_away(rig: &mut Rig) -> Fallible<Row> {
    away(rig, "API server killed, back after 60 s", Part::ApiServer, Duration::from_secs(60))
}

fn store_away(rig: &mut Rig) -> Fallible<Row> {
    away(rig, "etcd killed, back after 30 s", Part::Etcd, Duration::from_secs(30))
}

// [OWN-24], [SPK-8]
fn away(rig: &mut Rig, title: &str, part: Part, during: Duration) -> Fallible<Row> {
    rig.observe(title, Traffic::Whole, None, |rig| {
        rig.late("before", None)?;
        rig.cluster.plane_mut().kill(part)?;
        sleep(during);
        rig.cluster.plane_mut().start_part(part)?;
        rig.cluster.plane_mut().wait_until_ready()?;
        let ready = Moment::now();
        rig.late("after", None)?;
        let written = rig.wait_for_status("after")?;
        let (claimed, _) = rig.wait_for_claim("after", ready)?;
        let before = rig.wait_for_status("before")?;
        let before = match before.since(ready) {
            Duration::ZERO => "has it already".to_owned(),
            late => format!("has it {} after", seconds(late)),
        };
        sleep(CALM);
        Ok(vec![
            format!(
                "a Service created when the API server is ready again has its address {}, its announcement {} after that",
                seconds(written.since(ready)),
                seconds(claimed.since(ready))
            ),
            format!("one created just before {before}"),
        ])
    })
}

// [OWN-2], [OWN-35]
fn speaker_restarted(rig: &mut Rig) -> Fallible<Row> {
    let node = rig.owner()?;
    rig.observe("speaker of the owner killed, started after 2 s", Traffic::TakenOver, Some(&node), |rig| {
        rig.speaker(&node)?.kill()?;
        sleep(Duration::from_secs(2));
        rig.speaker(&node)?.start()?;
        sleep(CALM * 2);
        Ok(Vec::new())
    })
}

fn speaker_gone(rig: &mut Rig) -> Fallible<Row> {
    let node = rig.owner()?;
    let row = rig.observe("speaker of the owner killed, not started", Traffic::TakenOver, Some(&node), |rig| {
        rig.speaker(&node)?.kill()?;
        sleep(CALM * 2);
        Ok(Vec::new())
    })?;
    rig.speaker(&node)?.start()?;
    sleep(CALM);
    Ok(row)
}

fn speaker_stopped(rig: &mut Rig) -> Fallible<Row> {
    let node = rig.owner()?;
    rig.observe("speaker of the owner stopped 30 s, then continued", Traffic::TakenOver, Some(&node), |rig| {
        rig.speaker(&node)?.pause()?;
        sleep(Duration::from_secs(30));
        rig.speaker(&node)?.resume()?;
        sleep(CALM * 2);
        Ok(Vec::new())
    })
}

fn node_cut_off(rig: &mut Rig) -> Fallible<Row> {
    let node = rig.busiest()?;
    rig.observe("node of the owner cut off from the API server for 60 s", Traffic::Whole, None, |rig| {
        let cut = Moment::now();
        rig.cluster.node(&node)?.lose_api_server()?;
        sleep(CALM);
        let mut slowest = Duration::ZERO;
        // So many that the node that knows nothing of them would be the first to ask for some.
        for name in ["one", "two", "three", "four"] {
            rig.late(name, None)?;
            let created = rig.created(name)?;
            let (claimed, by) = rig.wait_for_claim(name, cut)?;
            if by == node {
                return Err(format!("{node}, which is cut off, announces {name}").into());
            }
            slowest = slowest.max(claimed.since(created));
        }
        rig.late("only", Some(&node))?;
        sleep(Duration::from_secs(60).saturating_sub(Moment::now().since(cut)));
        let whole = Moment::now();
        rig.cluster.node(&node)?.reach_api_server()?;
        let (claimed, _) = rig.wait_for_claim("only", cut)?;
        sleep(CALM);
        Ok(vec![
            format!("4 Services created meanwhile are announced by others within {}", seconds(slowest)),
            format!(
                "one that only this node can announce is announced {} after the cut has ended",
                seconds(claimed.since(whole))
            ),
        ])
    })
}

fn watches_expired(rig: &mut Rig) -> Fallible<Row> {
    let nodes: Vec<String> = rig.cluster.nodes().iter().map(|node| node.name().to_owned()).collect();
    let old: IpAddr = "192.168.1.249".parse()?;
    rig.observe("all nodes cut off while the API server starts anew", Traffic::Whole, None, |rig| {
        rig.late_with("old", old)?;
        let _prober = rig.probe(old)?;
        rig.wait_for_claim("old", Moment::default())?;
        let told = rig.said(EXPIRED);
        for node in &nodes {
            rig.cluster.node(node)?.lose_api_server()?;
        }
        rig.cluster.plane_mut().kill(Part::ApiServer)?;
        rig.cluster.plane_mut().start_part(Part::ApiServer)?;
        rig.cluster.plane_mut().wait_until_ready()?;
        rig.delete_late("old")?;
        rig.late("new", None)?;
        rig.wait_for_status("new")?;
        let whole = Moment::now();
        for node in &nodes {
            rig.cluster.node(node)?.reach_api_server()?;
        }
        let (claimed, _) = rig.wait_for_claim("new", whole)?;
        // The last of the three may take a while longer.
        sleep(Duration::from_secs(15));
        let expired = rig.said(EXPIRED).saturating_sub(told);
        if expired < nodes.len() {
            return Err(format!("only {expired} watches were told that they had expired").into());
        }
        let last = rig.judge()?.answers(old).last().map(|answer| answer.at).ok_or("nobody answered for it")?;
        if Moment::now().since(last) < Duration::from_secs(1) {
            return Err(format!("{old} of a Service that was deleted is still answered for").into());
        }
        let (announced, silent) = (seconds(claimed.since(whole)), seconds(last.since(whole)));
        Ok(vec![
            format!("{expired} watches were told \"{EXPIRED}\" and began anew"),
            format!("a Service created meanwhile is announced {announced} after the cut has ended"),
            format!("one deleted meanwhile is answered for until {silent} after it"),
        ])
    })
}
