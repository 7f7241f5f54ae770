//! The faults of a segment against the real daemon, judged from every frame: at most one node answers for an address, outside a
//! hand-over of 100 ms ([OWN-1]), and an address without its owner has another in under a second ([OWN-2]).
//!
//! Faults called `dual_` have Services of both families: each pair of addresses is judged as one, so that a Service that splits over two
//! nodes is two owners.
//!
//! Each fault is tried with five seeds, dual-stack ones with three, which choose the victim and the moment. `FERRULE_FAULT_SEEDS=20` tries more. A failure prints
//! the seed, the verdict and what the daemons said, and leaves a capture file.

use std::error::Error;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Duration;

use k8s_glue::demo::LINK;
use k8s_glue::demo::site::{FIRST_ADDRESS, FIRST_ADDRESS6, Plan, Site, Stack, is_member_frame};
use lab::judge::{HAND_OVER_LIMIT, Overlap};
use lab::{Fault, Judge, Moment, Prober, wait_until};
use lbcore::rng::Rng;
use libtest_mimic::{Arguments, Failed, Trial};

const SERVICES: [&str; 10] = ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9"];
const THREE: [&str; 3] = ["n1", "n2", "n3"];
const FIVE: [&str; 5] = ["n1", "n2", "n3", "n4", "n5"];

/// A dead owner is replaced in under a second ([OWN-2]); a prober that asks each 50 ms sees it that much later.
const TAKEOVER_LIMIT: Duration = Duration::from_millis(1_050);
/// Two that did not hear each other settle as soon as they do ([OWN-5]): a heartbeat each way and a claim, at 100 ms each.
const SETTLE_LIMIT: Duration = Duration::from_millis(400);
/// Without any fault an owner is seen each 50 ms; this much longer is a stall of the machine, not of the owner.
const UNDISTURBED: Duration = Duration::from_millis(400);

const START_WITHIN: Duration = Duration::from_secs(20);
/// Traffic before the fault, and after the last change.
const CALM: Duration = Duration::from_millis(500);

/// The most that a prober which asks each 50 ms may be late.
const ASKED_WITHIN: Duration = Duration::from_secs(2);

/// Dual-stack faults take more of a laboratory's time.
const DUAL_SEEDS: u64 = 3;

/// Several laboratories run at once: they mostly wait.
const LABORATORIES: usize = 5;

type Checked = Result<(), Box<dyn Error>>;
/// One fault, tried in one laboratory.
type Attempted = fn(&mut Scene) -> Checked;

fn main() -> ExitCode {
    if let Err(status) = lab::privilege::enter_for_tests("faults") {
        return status;
    }
    let faults: [(&str, Attempted); 24] = [
        ("a_killed_daemon_is_replaced_within_a_second", killed),
        ("a_daemon_killed_and_restarted_within_300_ms_answers_on_no_old_word", killed_and_restarted),
        ("a_daemon_stopped_for_3_s_answers_nothing_when_it_goes_on", stopped),
        ("a_link_cut_and_healed_leaves_one_owner", link_cut),
        ("a_host_cut_off_in_silence_settles_when_it_is_back", cut_off),
        ("an_owner_that_is_not_heard_is_replaced", mute),
        ("an_owner_that_hears_nothing_leaves_one_owner", deaf),
        ("a_firewall_that_drops_udp_changes_nothing", udp_filtered),
        ("members_hear_each_other_when_all_multicast_is_dropped", multicast_dropped),
        ("several_daemons_started_at_once_agree", started_at_once),
        ("a_node_with_the_name_of_another_makes_no_second_owner", renamed),
        ("a_node_without_the_key_takes_nothing", without_key),
        ("a_node_with_a_wrong_key_takes_nothing", wrong_key),
        ("replayed_member_frames_move_nothing", replayed),
        ("an_address_that_a_stranger_holds_is_withheld_until_it_goes", stranger_first),
        ("a_stranger_that_comes_later_drives_nobody_out", stranger_later),
        ("a_kernel_that_answers_for_a_dead_daemon_would_be_seen", kernel_that_answers),
        ("dual_a_killed_daemon_is_replaced_within_a_second", killed),
        ("dual_a_daemon_stopped_for_3_s_answers_nothing_when_it_goes_on", stopped),
        ("dual_a_link_cut_and_healed_leaves_one_owner", link_cut),
        ("dual_an_owner_that_is_not_heard_is_replaced", mute),
        ("dual_an_owner_that_hears_nothing_leaves_one_owner", deaf),
        ("dual_several_daemons_started_at_once_agree", started_at_once),
        ("dual_a_planned_move_loses_no_question", planned_move),
    ];
    let seeds: Option<u64> = std::env::var("FERRULE_FAULT_SEEDS").ok().and_then(|text| text.parse().ok());
    let trials = faults.iter().flat_map(|&(name, fault)| {
        let usual = if name.starts_with("dual") { DUAL_SEEDS } else { 5 };
        (1..=seeds.unwrap_or(usual))
            .map(move |seed| Trial::test(format!("{name}::seed_{seed}"), move || attempt(name, seed, fault)))
    });
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(LABORATORIES);
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// One laboratory with running daemons, and what is known of it.
struct Scene {
    // They end before the hosts they are in.
    _probers: Vec<Prober>,
    site: Site,
    random: Rng,
    addresses: Vec<IpAddr>,
    /// Addresses of one Service.
    pairs: Vec<(IpAddr, IpAddr)>,
}

fn attempt(name: &str, seed: u64, fault: Attempted) -> Result<(), Failed> {
    let nodes: &[&str] = if name.contains("several") { &FIVE } else { &THREE };
    let stack = if name.starts_with("dual") { Stack::Dual } else { Stack::V4 };
    let stranger = name.contains("stranger_holds");
    let mut scene = Scene::build(seed, nodes, stack, stranger).map_err(|error| error.to_string())?;
    fault(&mut scene).map_err(|error| {
        let file = std::env::temp_dir().join(format!("ferrule-fault-{name}-{seed}.pcap"));
        let written = scene.site.capture().write_pcap(&file);
        let kept = written.map_or_else(|error| error.to_string(), |()| file.display().to_string());
        Failed::from(format!("seed {seed}: {error}\ncapture: {kept}\n{}", scene.site.logs()))
    })
}

impl Scene {
    /// Starts the daemons within 50 ms of each other and waits until they agree and every address has an owner.
    fn build(seed: u64, nodes: &[&str], stack: Stack, stranger: bool) -> Result<Self, Box<dyn Error>> {
        let program = Path::new(env!("CARGO_BIN_EXE_ferrule"));
        let mut site = Site::build(&Plan { program, nodes, services: &SERVICES, stack })?;
        let mut random = Rng::new(seed);
        let families = if stack == Stack::Dual {
            &[IpAddr::V4(FIRST_ADDRESS), IpAddr::V6(FIRST_ADDRESS6)][..]
        } else {
            &[IpAddr::V4(FIRST_ADDRESS)]
        };
        let numbers = 0..u32::try_from(SERVICES.len())?;
        let addresses: Vec<IpAddr> =
            families.iter().flat_map(|first| numbers.clone().map(|number| nth_address(*first, number))).collect();
        let probers = site.probe(&addresses)?;
        if stranger {
            site.guest("stranger")?.address(LINK, &format!("{FIRST_ADDRESS}/32"))?;
        }
        let started = Moment::now();
        for name in nodes {
            thread::sleep(Duration::from_millis(random.below(50)));
            site.start_daemon(name)?;
        }
        let mut scene = Self { _probers: probers, site, random, addresses, pairs: Vec::new() };
        for name in nodes {
            scene.site.wait_until_member(name, started)?;
        }
        let served = wait_until(START_WITHIN, "an owner for every address", || {
            let judge = scene.site.judge().ok()?;
            scene.addresses.iter().all(|address| !judge.answers(*address).is_empty()).then_some(())
        });
        served.map_err(|error| format!("{error}\n{}", scene.site.logs()))?;
        scene.pairs = scene.recorded_pairs(nodes)?;
        thread::sleep(CALM);
        Ok(scene)
    }

    /// The two addresses of each dual-stack Service, as the first node has them on disk.
    fn recorded_pairs(&self, nodes: &[&str]) -> Result<Vec<(IpAddr, IpAddr)>, Box<dyn Error>> {
        let recorded = self.site.allocations(nodes.first().ok_or("no node")?)?;
        let pair = |addresses: Vec<IpAddr>| match addresses.as_slice() {
            [first, second] => Some((*first, *second)),
            _ => None,
        };
        Ok(recorded.into_values().filter_map(|record| pair(record.addresses)).collect())
    }

    /// What the wire says, the addresses of one Service being one.
    fn judge(&self) -> Result<Judge, Box<dyn Error>> {
        Ok(self.site.judge()?.as_one(&self.pairs))
    }

    /// An address by the seed, the node that owns it, after a wait anywhere in two heartbeats.
    fn victim(&mut self) -> Result<(IpAddr, String), Box<dyn Error>> {
        let count = u64::try_from(self.addresses.len())?;
        let number = usize::try_from(self.random.below(count))?;
        let address = *self.addresses.get(number).ok_or("no addresses")?;
        thread::sleep(Duration::from_millis(self.random.below(200)));
        let owner = self.site.owner(address)?.ok_or_else(|| format!("nobody owns {address}"))?;
        Ok((address, owner))
    }

    fn wait(seconds: f32) {
        thread::sleep(Duration::from_secs_f32(seconds));
    }

    /// No two nodes answered for one address outside a hand-over, from the very first frame on.
    fn one_owner(&self) -> Checked {
        none(&self.judge()?.violations(HAND_OVER_LIMIT))
    }

    /// As [`Scene::one_owner`], but two that could not hear each other before a heal may need a moment to settle after it.
    fn one_owner_but_for(&self, healed: Moment, settle: Duration) -> Checked {
        // Apart: a move shortly before the heal and the return of the old owner after it are not one contention.
        let judge = self.judge()?;
        none(&judge.until(healed).violations(HAND_OVER_LIMIT))?;
        let unsettled = |overlap: &Overlap| overlap.until.since(healed) > settle;
        let later = judge.since(healed).violations(HAND_OVER_LIMIT);
        none(&later.into_iter().filter(unsettled).collect::<Vec<_>>())
    }

    /// No address was without an answer for longer than `limit` from a moment until now.
    fn answered(&self, from: Moment, limit: Duration) -> Checked {
        let (judge, now) = (self.site.judge()?, Moment::now());
        for address in &self.addresses {
            let (gap, at) = judge.gap(*address, from, now);
            check(gap <= limit, || format!("nobody answered for {address} for {gap:?} from {at:?} (limit {limit:?})"))?;
        }
        Ok(())
    }

    /// Every address has exactly one owner in the last half second, and until each was asked for: on a busy machine the prober comes late.
    fn served_by_one(&self) -> Checked {
        let start = Moment::from_epoch(Moment::now().since_epoch().saturating_sub(CALM));
        let judge = || Ok::<_, Box<dyn Error>>(self.site.judge()?.since(start));
        let all_answered = |judge: &Judge| self.addresses.iter().all(|address| !judge.tenures(*address).is_empty());
        let _ = wait_until(ASKED_WITHIN, "an answer for each address", || judge().ok().filter(all_answered));
        let judge = judge()?;
        for address in &self.addresses {
            let owners = judge.tenures(*address);
            check(owners.len() == 1, || format!("in the end {address} is answered by {owners:?}"))?;
        }
        for (first, second) in &self.pairs {
            let owner = |address: &IpAddr| judge.tenures(*address).pop().map(|tenure| tenure.host);
            check(owner(first) == owner(second), || format!("{first} and {second} are with two nodes"))?;
        }
        Ok(())
    }

    /// Nobody but the owner at `from` has answered for any address since.
    fn nothing_moved(&self, judge: &Judge, from: Moment) -> Checked {
        for address in &self.addresses {
            let before = judge.owner_at(*address, from);
            let later: Vec<_> = judge.since(from).tenures(*address).into_iter().map(|tenure| tenure.host).collect();
            check(later.iter().all(|host| Some(host) == before.as_ref()), || {
                format!("{address} moved from {before:?} to {later:?}")
            })?;
        }
        Ok(())
    }
}

fn nth_address(first: IpAddr, number: u32) -> IpAddr {
    match first {
        IpAddr::V4(first) => Ipv4Addr::from_bits(first.to_bits() + number).into(),
        IpAddr::V6(first) => Ipv6Addr::from_bits(first.to_bits() + u128::from(number)).into(),
    }
}

fn check(holds: bool, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(what().into()) }
}

fn none(violations: &[Overlap]) -> Checked {
    let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
    check(lines.is_empty(), || format!("two nodes answered for one address:\n{}", lines.join("\n")))
}

// [OWN-1] [OWN-2] [OWN-42]
fn killed(scene: &mut Scene) -> Checked {
    let (_, owner) = scene.victim()?;
    let at = scene.site.kill_daemon(&owner)?;
    Scene::wait(2.5);
    scene.one_owner()?;
    scene.answered(at, TAKEOVER_LIMIT)?;
    let judge = scene.site.judge()?.since(at.plus(HAND_OVER_LIMIT));
    let ghosts =
        scene.addresses.iter().flat_map(|address| judge.tenures(*address)).find(|tenure| *tenure.host == *owner);
    check(ghosts.is_none(), || format!("the dead answered: {ghosts:?}"))
}

// [OWN-1] [OWN-2] [OWN-10]
fn killed_and_restarted(scene: &mut Scene) -> Checked {
    let (_, owner) = scene.victim()?;
    let at = scene.site.kill_daemon(&owner)?;
    thread::sleep(Duration::from_millis(scene.random.below(300)));
    scene.site.start_daemon(&owner)?;
    Scene::wait(4.0);
    scene.one_owner()?;
    scene.answered(at, TAKEOVER_LIMIT)?;
    scene.served_by_one()
}

// [OWN-3] [OWN-50]
fn stopped(scene: &mut Scene) -> Checked {
    let (_, owner) = scene.victim()?;
    let at = Moment::now();
    let signal = |scene: &mut Scene, number| -> Checked {
        let daemon = scene.site.node(&owner)?.daemon().ok_or("no daemon")?;
        Ok(daemon.signal(number)?)
    };
    signal(scene, libc::SIGSTOP)?;
    Scene::wait(3.0);
    signal(scene, libc::SIGCONT)?;
    Scene::wait(2.0);
    scene.one_owner()?;
    scene.answered(at, TAKEOVER_LIMIT)?;
    scene.served_by_one()
}

// [OWN-1] [OWN-35]
fn planned_move(scene: &mut Scene) -> Checked {
    let (_, owner) = scene.victim()?;
    let at = scene.site.stop_daemon(&owner)?;
    Scene::wait(2.0);
    scene.one_owner()?;
    scene.answered(at, UNDISTURBED)?;
    scene.served_by_one()
}

/// A fault at the owner of an address: whose, when it began and when it was healed.
struct Spell {
    owner: String,
    began: Moment,
    healed: Moment,
}

/// Lets a fault last at the owner of an address, then heals it and waits for everything to settle.
fn fault_for(seconds: f32, scene: &mut Scene, fault: Fault) -> Result<Spell, Box<dyn Error>> {
    let (_, owner) = scene.victim()?;
    let segment = scene.site.segment().clone();
    let host = scene.site.node(&owner)?.host().clone();
    let began = Moment::now();
    segment.impose(&host, fault)?;
    Scene::wait(seconds);
    let healed = Moment::now();
    segment.heal(&host)?;
    Scene::wait(3.0);
    Ok(Spell { owner, began, healed })
}

// [OWN-1] [OWN-2] [OWN-3]
fn link_cut(scene: &mut Scene) -> Checked {
    let Spell { began: at, .. } = fault_for(3.0, scene, Fault::Carrier)?;
    scene.one_owner()?;
    scene.answered(at, TAKEOVER_LIMIT)?;
    scene.served_by_one()
}

// [OWN-5]
fn cut_off(scene: &mut Scene) -> Checked {
    let Spell { began: at, healed, .. } = fault_for(3.0, scene, Fault::Silent)?;
    scene.one_owner_but_for(healed, SETTLE_LIMIT)?;
    scene.answered(at, TAKEOVER_LIMIT)?;
    scene.served_by_one()
}

// [OWN-5] [OWN-32]
fn mute(scene: &mut Scene) -> Checked {
    let Spell { began: at, healed, .. } = fault_for(3.0, scene, Fault::FromHost)?;
    scene.one_owner_but_for(healed, SETTLE_LIMIT)?;
    scene.answered(at, TAKEOVER_LIMIT)?;
    scene.served_by_one()
}

// [OWN-5] [OWN-33]: who hears nothing cannot be told that another has taken over, so that its own announcements go on for a while.
// It must take nothing from others before three timeouts (2.1 s, so the fault is shorter), and those who hear each other must agree.
fn deaf(scene: &mut Scene) -> Checked {
    let Spell { owner, began, healed } = fault_for(1.8, scene, Fault::TowardHost)?;
    let judge = scene.site.judge()?.until(healed);
    none(&scene.judge()?.until(healed).without(&owner).violations(HAND_OVER_LIMIT))?;
    for address in &scene.addresses {
        let was_its_own = judge.owner_at(*address, began).is_some_and(|before| *before == *owner);
        let taken = judge.answers(*address).iter().find(|answer| answer.at > began && *answer.host == *owner);
        check(was_its_own || taken.is_none(), || format!("the deaf {owner} took {address} from another: {taken:?}"))?;
    }
    let later = scene.judge()?.since(healed).violations(HAND_OVER_LIMIT);
    none(&later.into_iter().filter(|overlap| overlap.until.since(healed) > SETTLE_LIMIT).collect::<Vec<_>>())?;
    scene.served_by_one()
}

// [OWN-11]
fn udp_filtered(scene: &mut Scene) -> Checked {
    let (_, owner) = scene.victim()?;
    let host = scene.site.node(&owner)?.host().clone();
    let from = Moment::now();
    for rule in [
        "add table inet filtered",
        "add chain inet filtered in { type filter hook input priority 0; }",
        "add rule inet filtered in meta l4proto udp drop",
    ] {
        let mut command = Command::new("nft");
        command.env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin").arg(rule);
        host.run(command, Duration::from_secs(5))?.success()?;
    }
    Scene::wait(3.0);
    let judge = scene.site.judge()?;
    scene.nothing_moved(&judge, from)?;
    scene.answered(from, UNDISTURBED)
}

// [OWN-11]
fn multicast_dropped(scene: &mut Scene) -> Checked {
    let segment = scene.site.segment().clone();
    let from = Moment::now();
    for node in scene.site.nodes() {
        segment.impose(node.host(), Fault::Multicast)?;
    }
    Scene::wait(3.0);
    scene.one_owner()?;
    scene.answered(from, TAKEOVER_LIMIT)?;
    let (_, owner) = scene.victim()?;
    let at = scene.site.kill_daemon(&owner)?;
    Scene::wait(2.5);
    scene.one_owner()?;
    scene.answered(at, TAKEOVER_LIMIT)?;
    scene.served_by_one()
}

// [OWN-1] [OWN-31] [OWN-60]
fn started_at_once(scene: &mut Scene) -> Checked {
    Scene::wait(1.0);
    scene.one_owner()?;
    scene.served_by_one()?;
    let mut tables = Vec::new();
    for name in FIVE {
        let recorded = scene.site.allocations(name)?;
        tables.push(recorded.into_iter().map(|(key, record)| (key, record.addresses)).collect::<Vec<_>>());
    }
    check(tables.windows(2).all(|pair| pair.first() == pair.last()), || format!("recorded differently: {tables:?}"))
}

// [OWN-10]
fn renamed(scene: &mut Scene) -> Checked {
    let (_, owner) = scene.victim()?;
    let hardware = scene.site.node(&owner)?.hardware().to_string();
    let host = scene.site.guest("namesake")?;
    let mut namesake = host.spawn(scene.site.daemon_command(&owner, "namesake"))?;
    Scene::wait(4.0);
    scene.one_owner()?;
    namesake.wait_for(&hardware, Duration::from_secs(1))?;
    namesake.kill()?;
    Scene::wait(2.0);
    scene.one_owner()?;
    scene.served_by_one()
}

/// A further daemon with another key or none: it must take nothing, and nothing must move because of it.
fn outsider(scene: &mut Scene, key: Option<&str>) -> Checked {
    let host = scene.site.guest("outsider")?;
    let folder = scene.site.path("outsider");
    fs::create_dir_all(&folder)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferrule"));
    command.arg("run").arg("-f").arg(scene.site.path("objects")).args(["--node-name", "a-outsider"]);
    command.arg("--state").arg(folder.join("state.json"));
    if let Some(key) = key {
        fs::write(folder.join("key"), key)?;
        command.arg("--member-key-file").arg(folder.join("key"));
    }
    let from = Moment::now();
    let mut daemon = host.spawn(command)?;
    Scene::wait(4.0);
    check(daemon.poll()?.is_none(), || format!("it ended: {}", daemon.stderr()))?;
    let judge = scene.site.judge()?;
    scene.nothing_moved(&judge, from)?;
    scene.answered(from, UNDISTURBED)
}

// [OWN-16] [OWN-40]
fn without_key(scene: &mut Scene) -> Checked {
    outsider(scene, None)
}

// [OWN-16] [OWN-40]
fn wrong_key(scene: &mut Scene) -> Checked {
    outsider(scene, Some("another secret than the one of this segment"))
}

// [OWN-16]
fn replayed(scene: &mut Scene) -> Checked {
    let (_, owner) = scene.victim()?;
    let stranger = scene.site.guest("stranger")?;
    let old: Vec<Vec<u8>> = scene
        .site
        .capture()
        .frames()?
        .into_iter()
        .filter(|frame| *frame.host == *owner && is_member_frame(&frame.octets))
        .map(|frame| frame.octets)
        .collect();
    check(old.len() >= 10, || format!("only {} member frames of {owner} were seen", old.len()))?;
    // The owner's claims are replayed after another has taken over.
    let at = scene.site.kill_daemon(&owner)?;
    Scene::wait(2.0);
    let from = Moment::now();
    for frame in &old {
        lab::inject(&stranger, LINK, std::slice::from_ref(frame))?;
        thread::sleep(Duration::from_millis(20));
    }
    Scene::wait(1.0);
    scene.one_owner()?;
    scene.answered(at, TAKEOVER_LIMIT)?;
    let judge = scene.site.judge()?;
    scene.nothing_moved(&judge, from)
}

// [OWN-40]
fn stranger_first(scene: &mut Scene) -> Checked {
    let judge = scene.site.judge()?;
    let others = judge.tenures(FIRST_ADDRESS).into_iter().find(|tenure| &*tenure.host != "stranger");
    check(others.is_none(), || format!("answered beside the stranger: {others:?}"))?;
    let at = Moment::now();
    let host = scene.site.guests().find(|host| host.name() == "stranger").cloned().ok_or("no stranger")?;
    host.remove_address(LINK, &format!("{FIRST_ADDRESS}/32"))?;
    // Probed each second, claimed after three silent probes; the standbys wait their turn.
    wait_until(Duration::from_secs(8), "the address to be claimed once the stranger has gone", || {
        let judge = scene.site.judge().ok()?.without("stranger");
        judge.answers(FIRST_ADDRESS).iter().any(|answer| answer.at > at).then_some(())
    })?;
    thread::sleep(CALM);
    scene.one_owner()?;
    scene.served_by_one()
}

// [OWN-41]
fn stranger_later(scene: &mut Scene) -> Checked {
    let (address, owner) = scene.victim()?;
    let stranger = scene.site.guest("stranger")?;
    let from = Moment::now();
    stranger.address(LINK, &format!("{address}/32"))?;
    Scene::wait(4.0);
    let judge = scene.site.judge()?.without("stranger");
    none(&judge.violations(HAND_OVER_LIMIT))?;
    scene.nothing_moved(&judge, from)?;
    let (gap, at) = judge.gap(address, from, Moment::now());
    check(gap <= UNDISTURBED, || format!("{owner} went quiet for {gap:?} from {at:?}"))
}

// [OWN-42]: what the other tests rest on. Where that setting is taken away, the kernel of the dead owner answers beside its
// successor, and the judge says so.
fn kernel_that_answers(scene: &mut Scene) -> Checked {
    let (_, owner) = scene.victim()?;
    scene.site.kill_daemon(&owner)?;
    Scene::wait(1.5);
    scene.one_owner()?;
    scene.site.node(&owner)?.host().sysctl(&format!("net.ipv4.conf.{LINK}.arp_ignore"), "0")?;
    Scene::wait(1.0);
    let violations = scene.site.judge()?.violations(HAND_OVER_LIMIT);
    let seen = violations.iter().any(|overlap| overlap.hosts.iter().any(|host| **host == *owner));
    check(seen, || "the kernel answered and nobody saw it".to_owned())
}
