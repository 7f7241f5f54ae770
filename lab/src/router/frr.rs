//! FRR: zebra, which tells of links, and bgpd, asked over bgpd's VTY socket.
//!
//! zebra runs as FRR's own user alone. In a user namespace, where there is no such user, bgpd runs without it: then it knows no links, and
//! refuses IPv6 routes whose next hop has a link-local address ([`Router::takes_link_local_next_hops`]).

use std::io::{Read, Write};
use std::os::unix::fs::chown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{ANSWER_WITHIN, Route, Router, RunFolder, START_WITHIN, unreadable};
use crate::deadline::wait_until;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::process::Process;

/// Where Debian keeps the daemons.
const DAEMONS: &str = "/usr/lib/frr";

/// A running FRR.
#[derive(Debug)]
pub struct Frr {
    /// bgpd, for signals.
    pub bgpd: Process,
    zebra: Option<Process>,
    folder: RunFolder,
}

impl Frr {
    /// Starts it in a host, bgpd with this configuration.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start(host: &Host, config: &str) -> Result<Self> {
        Self::start_at(host, 179, config)
    }

    /// [`Frr::start`] with a bgpd that listens on another port.
    ///
    /// # Errors
    /// As there.
    pub fn start_at(host: &Host, port: u16, config: &str) -> Result<Self> {
        let folder = RunFolder::new("frr")?;
        let zebra = match own_user() {
            Some((user, group)) if chown(folder.folder(), Some(user), Some(group)).is_ok() => {
                let zebra = host.spawn(daemon(&folder, "zebra", "hostname zebra\n")?)?;
                let is_there = || folder.path("zserv.api").exists().then_some(());
                wait_until(START_WITHIN, "zebra to start", is_there)?;
                Some(zebra)
            }
            _ => None,
        };
        let mut command = daemon(&folder, "bgpd", config)?;
        command.arg("--bgp_port").arg(port.to_string());
        if zebra.is_none() {
            command.args(["-S", "-Z"]);
        }
        let mut frr = Self { bgpd: host.spawn(command)?, zebra, folder };
        let mut ended = None;
        let answers = wait_until(START_WITHIN, "bgpd to start", || {
            ended = frr.bgpd.poll().ok().flatten();
            (ended.is_some() || frr.ask("show version").is_ok()).then_some(())
        });
        if ended.is_none() {
            return answers.map(|()| frr);
        }
        let output = frr.bgpd.output(ANSWER_WITHIN)?;
        let log = format!("{}{}", output.stdout, output.stderr);
        Err(Error::Exit { command: output.command, status: output.status.to_string(), log })
    }

    /// bgpd's answer to a command of its enable mode.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn ask(&self, command: &str) -> Result<String> {
        let failed = |source| Error::system(format!("asking bgpd {command:?}"), source);
        let mut stream = UnixStream::connect(self.folder.path("bgpd.vty")).map_err(failed)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN)).map_err(failed)?;
        let mut answer = Vec::new();
        for command in ["enable", command] {
            answer.clear();
            stream.write_all(command.as_bytes()).and_then(|()| stream.write_all(&[0])).map_err(failed)?;
            // An answer ends with three zero octets and the status.
            while !matches!(answer.as_slice(), [.., 0, 0, 0, _]) {
                let mut room = [0; 4_096];
                let count = stream.read(&mut room).map_err(failed)?;
                if count == 0 {
                    return Err(failed(std::io::Error::other("bgpd closed its socket")));
                }
                answer.extend_from_slice(room.get(..count).unwrap_or_default());
            }
        }
        answer.truncate(answer.len().saturating_sub(4));
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Whether it writes the routes it has into the kernel's table, which only zebra does.
    pub const fn forwards(&self) -> bool {
        self.zebra.is_some()
    }

    /// Ends it as an operator does: what it has written into the kernel's table goes with it.
    ///
    /// # Errors
    /// [`Error::Late`] where it does not end; it is killed then.
    pub fn stop(mut self) -> Result<()> {
        for process in std::iter::once(&mut self.bgpd).chain(&mut self.zebra) {
            process.terminate()?;
            process.wait(ANSWER_WITHIN)?;
        }
        Ok(())
    }

    fn ask_json(&self, command: &str) -> Result<Value> {
        let answer = self.ask(command)?;
        serde_json::from_str(&answer).map_err(|_| unreadable("bgpd", &answer))
    }
}

impl Router for Frr {
    fn takes_link_local_next_hops(&self) -> bool {
        self.zebra.is_some()
    }

    fn is_established(&self, peer: &str) -> Result<bool> {
        let answer = self.ask_json(&format!("show bgp neighbors {peer} json"))?;
        Ok(answer.pointer(&format!("/{peer}/bgpState")).and_then(Value::as_str) == Some("Established"))
    }

    fn routes(&self, family: u8) -> Result<Vec<Route>> {
        let table = self.ask_json(&format!("show bgp ipv{family} unicast json"))?;
        let prefixes = table.get("routes").and_then(Value::as_object).map(|routes| routes.keys().cloned());
        let mut routes = Vec::new();
        for prefix in prefixes.into_iter().flatten() {
            let answer = self.ask_json(&format!("show bgp ipv{family} unicast {prefix} json"))?;
            let paths = answer.get("paths").and_then(Value::as_array).cloned().unwrap_or_default();
            routes.extend(paths.iter().map(|path| read_path(&prefix, path)));
        }
        routes.sort();
        Ok(routes)
    }
}

fn daemon(folder: &RunFolder, name: &str, text: &str) -> Result<Command> {
    let config = folder.write(&format!("{name}.conf"), text)?;
    let mut command = Command::new(Path::new(DAEMONS).join(name));
    command.arg("-f").arg(config).arg("-i").arg(folder.path(&format!("{name}.pid")));
    command.arg("-z").arg(folder.path("zserv.api")).arg("--vty_socket").arg(folder.folder());
    command.args(["-A", "127.0.0.1", "-P", "0", "--log", "stdout"]);
    Ok(command)
}

/// User and group that FRR's package has made.
fn own_user() -> Option<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let mut fields = users.lines().find(|line| line.starts_with("frr:"))?.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// A community in numbers, which FRR calls by its name where it has one.
fn in_numbers(community: &str) -> String {
    let number = match community {
        "gracefulShutdown" => "65535:0",
        "blackhole" => "65535:666",
        "noExport" => "65535:65281",
        "noAdvertise" => "65535:65282",
        "localAs" => "65535:65283",
        other => other,
    };
    number.to_owned()
}

fn read_path(prefix: &str, path: &Value) -> Route {
    let number = |name: &str| path.get(name).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
    let list = |name: &str| -> Vec<String> {
        let items = path.pointer(&format!("/{name}/list")).and_then(Value::as_array).cloned().unwrap_or_default();
        let mut items: Vec<String> = items.iter().filter_map(Value::as_str).map(in_numbers).collect();
        items.sort();
        items
    };
    let hops = path.get("nexthops").and_then(Value::as_array).cloned().unwrap_or_default();
    let as_path = path.pointer("/aspath/string").and_then(Value::as_str).unwrap_or_default();
    Route {
        prefix: prefix.to_owned(),
        next_hops: hops.iter().filter_map(|hop| hop.get("ip")?.as_str()).map(ToOwned::to_owned).collect(),
        as_path: as_path.split_whitespace().filter_map(|asn| asn.parse().ok()).collect(),
        med: number("metric").or_else(|| number("med")),
        local_pref: number("locPrf"),
        communities: list("community"),
        large_communities: list("largeCommunity"),
    }
}
