//! What three daemons do together.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use lab::Process;
use lab::http::{self, Server};

use super::rig::{Checked, Rig, SOON, check, held, objects, wait};

const NODES: [&str; 3] = ["n1", "n2", "n3"];

type Table = BTreeMap<String, Vec<IpAddr>>;

/// Gives all nodes the same files, one after the other.
fn edit(rig: &Rig, services: &BTreeSet<String>) -> Checked {
    for node in NODES {
        rig.write(node, &objects("198.51.100.99", services.iter().map(String::as_str)))?;
        thread::sleep(Duration::from_millis(60));
    }
    Ok(())
}

/// Waits until these nodes have one table on disk with just these Services; checks that no address has two of them.
fn agreed(rig: &Rig, nodes: &[&str], services: &BTreeSet<String>) -> Result<Table, Box<dyn Error>> {
    let wanted: BTreeSet<String> = services.iter().map(|name| format!("default/{name}")).collect();
    let look = || nodes.iter().map(|node| rig.recorded(node)).collect::<Result<Vec<Table>, _>>();
    let is_agreed =
        |tables: &Vec<Table>| tables.iter().all(|table| *table == tables[0] && table.keys().eq(wanted.iter()));
    let table = wait("one table on all nodes", look, is_agreed)?.swap_remove(0);
    let addresses: BTreeSet<&IpAddr> = table.values().flatten().collect();
    check(addresses.len() == services.len(), format!("an address has two Services: {table:?}"))?;
    Ok(table)
}

/// Every Service of both tables has the same address in both.
fn unchanged(before: &Table, after: &Table) -> Checked {
    for (service, addresses) in before {
        let now = after.get(service);
        check(now.is_none_or(|now| now == addresses), format!("{service} moved from {addresses:?} to {now:?}"))?;
    }
    Ok(())
}

fn names(numbers: impl IntoIterator<Item = u32>) -> BTreeSet<String> {
    numbers.into_iter().map(|number| format!("s{number}")).collect()
}

/// Starts a daemon and waits until it takes part.
fn start(rig: &Rig, number: usize) -> Result<Process, Box<dyn Error>> {
    let mut daemon = rig.start(number)?;
    daemon.wait_for("started", SOON)?;
    Ok(daemon)
}

// [OWN-60]
pub(crate) fn a_daemon_that_was_away_changes_nothing() -> Checked {
    let rig = Rig::new("away", 3)?;
    let mut services = names(0..20);
    edit(&rig, &services)?;
    let mut daemons = (0..3).map(|number| start(&rig, number)).collect::<Result<Vec<_>, _>>()?;
    let mut table = agreed(&rig, &NODES, &services)?;
    // Each is away once, the lowest name too, which would allocate; then once more with an empty state.
    for (round, away) in [1_usize, 0, 2, 0, 1].into_iter().enumerate() {
        daemons[away].kill()?;
        let others: Vec<&str> = NODES.into_iter().filter(|node| *node != NODES[away]).collect();
        // Freed addresses are the lowest ones, so that the new Services get what the one away remembers for others.
        let gone: Vec<String> = services.iter().take(5).cloned().collect();
        services.retain(|name| !gone.contains(name));
        edit(&rig, &services)?;
        unchanged(&table, &agreed(&rig, &others, &services)?)?;
        let next = 100 * (u32::try_from(round)? + 1);
        services.extend(names(next..next + 5));
        // Those that went are back, too: the one away remembers addresses for them that others have now.
        services.extend(gone);
        edit(&rig, &services)?;
        table = agreed(&rig, &others, &services)?;
        if round >= 3 {
            fs::remove_file(rig.state_path(NODES[away]))?;
        }
        daemons[away] = start(&rig, away)?;
        let after = agreed(&rig, &NODES, &services)?;
        unchanged(&table, &after)?;
        table = after;
    }
    // All at once: what all remember holds.
    for daemon in &mut daemons {
        daemon.kill()?;
    }
    let _daemons = (0..3).map(|number| start(&rig, number)).collect::<Result<Vec<_>, _>>()?;
    thread::sleep(Duration::from_secs(3));
    unchanged(&table, &agreed(&rig, &NODES, &services)?)
}

// [OWN-42]: a standby that held the address would swallow what its own clients send to the owner.
pub(crate) fn only_the_owner_holds_the_address() -> Checked {
    let rig = Rig::new("owner", 3)?;
    let services = names(0..6);
    edit(&rig, &services)?;
    let mut daemons = (0..3).map(|number| start(&rig, number)).collect::<Result<Vec<_>, _>>()?;
    let look = || rig.nodes.iter().map(held).collect::<Result<Vec<_>, _>>();
    let each_once = |held: &Vec<BTreeSet<_>>| {
        let all: BTreeSet<_> = held.iter().flatten().collect();
        all.len() == 6 && held.iter().map(BTreeSet::len).sum::<usize>() == 6
    };
    let before = wait("each address on one node", look, each_once)?;
    let owner = before.iter().position(|held| !held.is_empty()).ok_or("nobody owns anything")?;
    daemons[owner].terminate()?;
    check(daemons[owner].wait(SOON)?.success(), "the owner did not end well")?;
    let after = wait("each address on another node", look, each_once)?;
    check(after[owner].is_empty(), "the node that stopped still holds addresses")
}

// [OWN-2], [OWN-33]: no ARP is heard on a segment whose hosts know each other, and a client that has an entry asks nobody.
pub(crate) fn of_two_nodes_the_survivor_serves_a_client_that_does_not_ask_anew() -> Checked {
    let rig = Rig::new("pair", 2)?;
    let nodes = ["n1", "n2"];
    for node in nodes {
        rig.write(node, &objects("198.51.100.10", ["web"]))?;
    }
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 80));
    let _servers =
        rig.nodes.iter().map(|node| Server::start(node, everywhere, node.name())).collect::<Result<Vec<_>, _>>()?;
    let mut daemons = (0..2).map(|number| start(&rig, number)).collect::<Result<Vec<_>, _>>()?;
    let service = SocketAddr::from(([198, 51, 100, 10], 80));
    let fetch = || Ok(http::get_from(&rig.client, service, Duration::from_millis(100)).unwrap_or_default());
    let first = wait("the first page", fetch, |page| !page.is_empty())?;
    // Long enough for the bursts of the beginning, which are ARP, to be over.
    thread::sleep(Duration::from_secs(8));
    let owner = nodes.iter().position(|node| *node == first).ok_or("the page is of no node")?;
    daemons[owner].kill()?;
    let mut command = Command::new("ip");
    command.args(["link", "set", "eth0", "down"]);
    check(rig.nodes[owner].run(command, SOON)?.status.success(), "the link stays up")?;
    let killed = Instant::now();
    wait("the other's page", fetch, |page| *page == nodes[1 - owner])?;
    let outage = killed.elapsed();
    check(outage < Duration::from_secs(3), format!("{outage:?} until the survivor answered"))
}
