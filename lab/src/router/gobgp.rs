//! `GoBGP`, asked by its own command-line client.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::{ANSWER_WITHIN, Route, Router, RunFolder, START_WITHIN, unreadable};
use crate::deadline::wait_until;
use crate::error::Result;
use crate::host::Host;
use crate::process::Process;

/// A running `GoBGP`.
#[derive(Debug)]
pub struct Gobgp {
    /// The daemon itself, for signals.
    pub process: Process,
    host: Host,
    _folder: RunFolder,
}

impl Gobgp {
    /// Starts it in a host with a configuration in TOML.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start(host: &Host, config: &str) -> Result<Self> {
        let folder = RunFolder::new("gobgp")?;
        let config = folder.write("gobgpd.toml", config)?;
        let mut command = Command::new("gobgpd");
        command.arg("-f").arg(config).args(["-t", "toml", "--log-level", "info", "--api-hosts", "127.0.0.1:50051"]);
        command.env("HOME", folder.folder());
        let process = host.spawn(command)?;
        let gobgp = Self { process, host: host.clone(), _folder: folder };
        wait_until(START_WITHIN, "gobgpd to start", || gobgp.ask(&["global"]).ok())?;
        Ok(gobgp)
    }

    /// The client's answer to its arguments.
    ///
    /// # Errors
    /// Where it fails or takes too long.
    pub fn ask(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("gobgp");
        command.args(arguments);
        self.host.run(command, ANSWER_WITHIN.max(Duration::from_secs(1)))?.success()
    }

    fn ask_json(&self, arguments: &[&str]) -> Result<Value> {
        let answer = self.ask(arguments)?;
        serde_json::from_str(&answer).map_err(|_| unreadable("gobgp", &answer))
    }
}

impl Router for Gobgp {
    fn is_established(&self, peer: &str) -> Result<bool> {
        let answer = self.ask(&["neighbor", peer])?;
        Ok(answer.contains("BGP state = ESTABLISHED"))
    }

    fn routes(&self, family: u8) -> Result<Vec<Route>> {
        let table = self.ask_json(&["global", "rib", "-a", &format!("ipv{family}"), "-j"])?;
        let mut routes = Vec::new();
        for (prefix, paths) in table.as_object().into_iter().flatten() {
            routes.extend(paths.as_array().into_iter().flatten().map(|path| read_path(prefix, path)));
        }
        routes.sort();
        Ok(routes)
    }
}

/// Attributes come as objects with the type code in `type`.
fn read_path(prefix: &str, path: &Value) -> Route {
    let mut route = Route { prefix: prefix.to_owned(), ..Route::default() };
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    for attribute in path.get("attrs").and_then(Value::as_array).into_iter().flatten() {
        let field = |name: &str| attribute.get(name);
        match attribute.get("type").and_then(Value::as_u64) {
            Some(2) => {
                let segments = field("as_paths").and_then(Value::as_array).into_iter().flatten();
                let numbers = segments.filter_map(|segment| segment.get("asns")?.as_array()).flatten();
                route.as_path = numbers.filter_map(number).collect();
            }
            Some(3 | 14) => {
                route.next_hops.extend(field("nexthop").and_then(Value::as_str).map(ToOwned::to_owned));
            }
            Some(4) => route.med = field("metric").and_then(number),
            Some(5) => route.local_pref = field("value").and_then(number),
            Some(8) => {
                let values = field("communities").and_then(Value::as_array).into_iter().flatten();
                route.communities =
                    values.filter_map(number).map(|value| format!("{}:{}", value >> 16, value & 0xffff)).collect();
                route.communities.sort();
            }
            Some(32) => {
                let values = field("value").and_then(Value::as_array).into_iter().flatten();
                let part = |value: &Value, name: &str| value.get(name).and_then(Value::as_u64).unwrap_or_default();
                route.large_communities = values
                    .map(|value| {
                        format!("{}:{}:{}", part(value, "ASN"), part(value, "LocalData1"), part(value, "LocalData2"))
                    })
                    .collect();
                route.large_communities.sort();
            }
            _ => {}
        }
    }
    route
}
