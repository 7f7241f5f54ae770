//! What one daemon promises.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use lab::http::Server;
use lab::{Host, Process};
use lbcore::rng::Rng;

use super::rig::{Checked, Rig, SOON, answers, check, held, is_absent, objects, setting, wait};

const ADDRESS: &str = "198.51.100.10";

/// One node with one Service, and its daemon answering.
fn answering(name: &str) -> Result<(Rig, Process), Box<dyn std::error::Error>> {
    let rig = Rig::new(name, 1)?;
    rig.write("n1", &objects("198.51.100.20", ["web"]))?;
    let mut daemon = rig.start(0)?;
    daemon.wait_for("now active", SOON)?;
    Ok((rig, daemon))
}

fn settings(host: &Host) -> Result<[String; 2], Box<dyn std::error::Error>> {
    Ok([setting(host, "eth0", "arp_ignore")?, setting(host, "eth0", "arp_announce")?])
}

fn holds(host: &Host) -> Checked {
    wait("the address on ferrule0", || held(host), |held| held.len() == 1).map(drop)
}

pub(crate) fn arping_and_curl_reach_an_address() -> Checked {
    let (rig, _daemon) = answering("reach")?;
    holds(&rig.nodes[0])?;
    check(answers(&rig.client, ADDRESS)?, "arping gets no answer")?;
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 80));
    let _server = Server::start(&rig.nodes[0], everywhere, "the page")?;
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "5", &format!("http://{ADDRESS}/")]);
    let page = rig.client.run(curl, SOON)?.success()?;
    check(page == "the page", format!("another page: {page}"))
}

// [OWN-42]
pub(crate) fn stopping_undoes_every_change() -> Checked {
    let (rig, mut daemon) = answering("stop")?;
    let node = &rig.nodes[0];
    holds(node)?;
    check(settings(node)? == ["1", "2"], "the kernel was not kept from answering")?;
    daemon.terminate()?;
    let status = daemon.wait(SOON)?;
    check(status.success(), format!("ended with {status}"))?;
    check(settings(node)? == ["0", "0"], "settings were not put back")?;
    check(held(node)?.is_empty() && node.link_index("ferrule0").is_err(), "addresses were left")?;
    let state = rig.state("n1")?;
    check(state.settings.is_empty() && state.services.len() == 1, format!("left on disk: {state:?}"))
}

// [OWN-3], [OWN-42]
pub(crate) fn the_next_start_sweeps() -> Checked {
    let (rig, mut daemon) = answering("sweep")?;
    let node = &rig.nodes[0];
    holds(node)?;
    daemon.kill()?;
    check(held(node)?.len() == 1, "the address goes with the daemon; nothing is left to test")?;
    check(!answers(&rig.client, ADDRESS)?, "the kernel of a dead daemon answers")?;
    let mut daemon = rig.start(0)?;
    daemon.wait_for("started", SOON)?;
    check(held(node)?.is_empty(), "the address was not swept")?;
    daemon.wait_for("now active", SOON)?;
    daemon.terminate()?;
    daemon.wait(SOON)?;
    check(settings(node)? == ["0", "0"], "what was there before the first start was not put back")
}

// [OWN-42]
pub(crate) fn a_link_that_appears_later_is_prepared() -> Checked {
    let (rig, _daemon) = answering("later")?;
    let node = &rig.nodes[0];
    let second = rig.lab.segment("second", &[node])?;
    let link = second.link_of(node)?;
    wait("settings of the new link", || setting(node, &link, "arp_announce"), |value| value == "2")?;
    check(setting(node, &link, "arp_ignore")? == "1", "the kernel answers on the new link")
}

pub(crate) fn an_address_that_somebody_removes_is_put_back() -> Checked {
    let (rig, _daemon) = answering("repair")?;
    let node = &rig.nodes[0];
    holds(node)?;
    node.remove_address("ferrule0", "198.51.100.10/32")?;
    holds(node)?;
    node.delete_link("ferrule0")?;
    holds(node)
}

// [OWN-61]
pub(crate) fn a_second_daemon_is_refused() -> Checked {
    let (rig, mut first) = answering("second")?;
    let mut other_file = Command::new(env!("CARGO_BIN_EXE_ferrule"));
    other_file.arg("run").arg("-f").arg(rig.objects("n1")).arg("--state").arg(rig.folder.path().join("other.json"));
    let refused = rig.nodes[0].run(other_file, SOON)?;
    check(refused.status.code() == Some(1), format!("{refused:?}"))?;
    check(refused.stderr.contains("in this network namespace"), format!("unclear: {}", refused.stderr))?;
    let refused = rig.client.run(rig.command("n1"), SOON)?;
    check(refused.status.code() == Some(1), format!("{refused:?}"))?;
    check(refused.stderr.contains("another `ferrule run`"), format!("unclear: {}", refused.stderr))?;
    check(first.poll()?.is_none() && answers(&rig.client, ADDRESS)?, "the first daemon was disturbed")
}

pub(crate) fn a_damaged_state_file_is_refused() -> Checked {
    let rig = Rig::new("damaged", 1)?;
    rig.write("n1", &objects("198.51.100.20", ["web"]))?;
    for content in
        ["", "{\"version\":1,", "{\"version\":1,\"sha256\":\"00\",\"state\":{\"services\":{}}}", "{\"version\":9}"]
    {
        fs::write(rig.state_path("n1"), content)?;
        let refused = rig.nodes[0].run(rig.command("n1"), SOON)?;
        check(refused.status.code() == Some(1), format!("{content:?}: {refused:?}"))?;
        check(refused.stderr.contains("state.json"), format!("unclear: {}", refused.stderr))?;
        check(fs::read_to_string(rig.state_path("n1"))? == content, "the file was touched")?;
        check(rig.nodes[0].link_index("ferrule0").is_err(), "the kernel was changed")?;
    }
    Ok(())
}

pub(crate) fn an_invalid_start_configuration_is_refused() -> Checked {
    let rig = Rig::new("invalid", 1)?;
    let text = objects("198.51.100.1", ["web"]);
    rig.write("n1", &text)?;
    let refused = rig.nodes[0].run(rig.command("n1"), SOON)?;
    let mut validate = Command::new(env!("CARGO_BIN_EXE_ferrule"));
    validate.args(["validate", "--standalone", "-f"]).arg(rig.objects("n1"));
    let problems = rig.nodes[0].run(validate, SOON)?;
    check(refused.status.code() == Some(1), format!("{refused:?}"))?;
    check(refused.stdout == problems.stdout && refused.stdout.contains("objects.yaml:4"), refused.stdout)?;
    check(is_absent(&rig.state_path("n1")), "state was written")
}

pub(crate) fn a_bad_edit_keeps_the_last_good() -> Checked {
    let (rig, mut daemon) = answering("edit")?;
    rig.write("n1", "spec: [\n")?;
    daemon.wait_for("the last good one stays in force", SOON)?;
    check(answers(&rig.client, ADDRESS)?, "the address is gone")?;
    rig.write("n1", &objects("198.51.100.20", ["web", "mail"]))?;
    wait("the second Service's address", || rig.recorded("n1"), |recorded| recorded.len() == 2)?;
    // A pool that lost the address moves the Service.
    rig.write("n1", &objects("198.51.100.20", ["web"]).replace("198.51.100.10-", "198.51.100.15-"))?;
    let moved = BTreeMap::from([("default/web".to_owned(), vec![IpAddr::from([198, 51, 100, 15])])]);
    wait("the move", || rig.recorded("n1"), |recorded| *recorded == moved)?;
    daemon.wait_for("given up", SOON)?;
    check(!answers(&rig.client, ADDRESS)?, "the old address still answers")
}

// [OWN-60]
pub(crate) fn nothing_is_announced_before_it_is_durable() -> Checked {
    let (rig, mut daemon) = answering("durable")?;
    // A folder of that name cannot be replaced by a file, not even by root.
    let blocked = rig.folder.path().join("n1/state.json.new");
    fs::create_dir(&blocked)?;
    rig.write("n1", &objects("198.51.100.20", ["mail", "web"]))?;
    daemon.wait_for("allocations are not durable", SOON)?;
    check(!answers(&rig.client, "198.51.100.11")?, "the new address answers")?;
    check(answers(&rig.client, ADDRESS)?, "the old one does not")?;
    fs::remove_dir(&blocked)?;
    daemon.wait_for("allocations are durable again", SOON)?;
    wait("the new address on disk", || rig.recorded("n1"), |recorded| recorded.len() == 2)?;
    wait("the new address on the node", || held(&rig.nodes[0]), |held| held.len() == 2).map(drop)
}

// [OWN-42]
pub(crate) fn a_setting_that_is_reset_is_set_again() -> Checked {
    let (rig, mut daemon) = answering("sysctl")?;
    let node = &rig.nodes[0];
    node.inside(|| fs::write("/proc/sys/net/ipv4/conf/eth0/arp_ignore", "0\n"))??;
    daemon.wait_for("somebody changed a setting", SOON)?;
    wait("the setting", || setting(node, "eth0", "arp_ignore"), |value| value == "1")?;
    daemon.terminate()?;
    daemon.wait(SOON)?;
    check(settings(node)? == ["0", "0"], "what was there before the start was not put back")
}

pub(crate) fn a_link_that_goes_is_no_error() -> Checked {
    let (rig, mut daemon) = answering("gone")?;
    let node = &rig.nodes[0];
    let second = rig.lab.segment("second", &[node])?;
    let link = second.link_of(node)?;
    wait("settings of the new link", || setting(node, &link, "arp_announce"), |value| value == "2")?;
    node.delete_link(&link)?;
    thread::sleep(Duration::from_secs(3));
    daemon.terminate()?;
    daemon.wait(SOON)?;
    check(!daemon.stderr().contains("ERROR"), format!("an error was logged: {}", daemon.stderr()))
}

// [OWN-61]: the kernel takes the locks of a killed process back a moment later.
pub(crate) fn a_restart_right_after_a_kill_starts() -> Checked {
    let (rig, mut daemon) = answering("restart")?;
    for _ in 0..5 {
        daemon.signal(9)?;
        daemon = rig.start(0)?;
        daemon.wait_for("started", SOON)?;
    }
    Ok(())
}

pub(crate) fn a_file_that_is_truncated_and_written_again_releases_nothing() -> Checked {
    let (rig, mut daemon) = answering("truncated")?;
    let file = rig.objects("n1").join("objects.yaml");
    let text = fs::read_to_string(&file)?;
    fs::write(&file, "")?;
    daemon.wait_for("may be half written", SOON)?;
    thread::sleep(Duration::from_secs(1));
    fs::write(&file, &text)?;
    daemon.wait_for("configuration was read", SOON)?;
    check(!daemon.stderr().contains("released"), format!("it was released: {}", daemon.stderr()))?;
    check(answers(&rig.client, ADDRESS)?, "the address does not answer")?;
    // What stays cut short is meant so.
    fs::write(&file, "")?;
    daemon.wait_for("released", SOON).map(drop).map_err(Into::into)
}

const SERVICES: usize = 1_000;
const KILLS: usize = 50;

/// Which of the numbered Services are in the file.
struct Crowd {
    present: Vec<bool>,
    rng: Rng,
}

impl Crowd {
    fn text(&self) -> String {
        let names: Vec<String> =
            (0..SERVICES).filter(|number| self.present[*number]).map(|number| format!("s{number}")).collect();
        objects("198.51.109.255", names.iter().map(String::as_str))
    }

    fn has(&self, service: &str) -> bool {
        let number = service.strip_prefix("default/s").and_then(|number| number.parse::<usize>().ok());
        number.and_then(|number| self.present.get(number)).is_some_and(|present| *present)
    }

    /// Takes out or puts in some; returns those that were out at any time.
    fn change(&mut self) -> Vec<String> {
        let mut changed = Vec::new();
        for _ in 0..20 {
            let number = usize::try_from(self.rng.below(SERVICES as u64)).unwrap_or_default();
            self.present[number] = !self.present[number];
            changed.push(format!("default/s{number}"));
        }
        changed
    }
}

// [OWN-60]: no recorded address changes, none is given twice.
pub(crate) fn kills_change_no_recorded_address() -> Checked {
    let rig = Rig::new("kills", 1)?;
    let mut crowd = Crowd { present: vec![true; SERVICES], rng: Rng::new(7) };
    rig.write("n1", &crowd.text())?;
    let mut known: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    let mut grown = 0;
    for kill in 0..KILLS {
        let mut command = rig.command("n1");
        command.env("RUST_LOG", "warn");
        let mut daemon = rig.nodes[0].spawn(command)?;
        let end = Instant::now() + Duration::from_millis(300 + crowd.rng.below(1_700));
        while Instant::now() < end {
            thread::sleep(Duration::from_millis(20 + crowd.rng.below(150)));
            for service in crowd.change() {
                known.remove(&service);
            }
            rig.write("n1", &crowd.text())?;
        }
        if let Some(status) = daemon.poll()? {
            return Err(format!("kill {kill}: the daemon had ended with {status}: {}", daemon.stderr()).into());
        }
        daemon.kill()?;
        let recorded = rig.recorded("n1")?;
        let mut holders: BTreeMap<IpAddr, &String> = BTreeMap::new();
        for (service, addresses) in &recorded {
            for address in addresses {
                if let Some(other) = holders.insert(*address, service) {
                    return Err(format!("kill {kill}: {address} was given to {other} and {service}").into());
                }
            }
            if let Some(before) = known.get(service) {
                check(before == addresses, format!("kill {kill}: {service} moved from {before:?} to {addresses:?}"))?;
            }
        }
        for (service, before) in &known {
            check(recorded.contains_key(service), format!("kill {kill}: {service} lost {before:?}"))?;
        }
        grown += usize::from(recorded.len() > known.len());
        // What is not in the file any more may go at any time.
        known = recorded;
        known.retain(|service, _| crowd.has(service));
    }
    check(
        known.len() > SERVICES / 4 && grown > KILLS / 5,
        format!("too little was allocated between kills: {} at {grown} times", known.len()),
    )
}
