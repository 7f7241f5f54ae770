//! BIRD 2, asked over its control socket.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;

use super::{ANSWER_WITHIN, Route, Router, RunFolder, START_WITHIN};
use crate::deadline::wait_until;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::process::Process;

/// A running BIRD.
#[derive(Debug)]
pub struct Bird {
    /// The daemon itself, for signals.
    pub process: Process,
    folder: RunFolder,
}

impl Bird {
    /// Starts it in a host with a configuration, to which logging and the device protocol are added.
    ///
    /// # Errors
    /// Where it cannot be started or refuses the configuration.
    pub fn start(host: &Host, config: &str) -> Result<Self> {
        let folder = RunFolder::new("bird")?;
        let text = format!("log stderr all;\nprotocol device {{ scan time 60; }}\n{config}\n");
        let config = folder.write("bird.conf", &text)?;
        let mut command = Command::new("bird");
        command.arg("-f").arg("-c").arg(config).arg("-s").arg(folder.path("control"));
        command.arg("-P").arg(folder.path("pid"));
        let process = host.spawn(command)?;
        let mut bird = Self { process, folder };
        let mut ended = None;
        let answers = wait_until(START_WITHIN, "bird to start", || {
            ended = bird.process.poll().ok().flatten();
            (ended.is_some() || bird.ask("show status").is_ok()).then_some(())
        });
        if ended.is_none() {
            return answers.map(|()| bird);
        }
        // It says on its way out what it did not like.
        let output = bird.process.output(ANSWER_WITHIN)?;
        let log = format!("{}{}", output.stdout, output.stderr);
        Err(Error::Exit { command: output.command, status: output.status.to_string(), log })
    }

    /// Its answer to a command such as `show protocols`, without the numbers of the lines.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn ask(&self, command: &str) -> Result<String> {
        let failed = |source| Error::system(format!("asking bird {command:?}"), source);
        let stream = UnixStream::connect(self.folder.path("control")).map_err(failed)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN)).map_err(failed)?;
        let mut reader = BufReader::new(stream.try_clone().map_err(failed)?);
        read_answer(&mut reader).map_err(failed)?;
        let mut stream = stream;
        writeln!(stream, "{command}").map_err(failed)?;
        read_answer(&mut reader).map_err(failed)
    }

    /// Replaces its configuration and lets it take it.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn reconfigure(&self, config: &str) -> Result<String> {
        let text = format!("log stderr all;\nprotocol device {{ scan time 60; }}\n{config}\n");
        self.folder.write("bird.conf", &text)?;
        self.ask("configure")
    }

    /// Ends it as an operator does: what it has written into the kernel's table goes with it.
    ///
    /// # Errors
    /// [`Error::Late`] where it does not end; it is killed then.
    pub fn stop(mut self) -> Result<()> {
        self.process.terminate()?;
        self.process.wait(ANSWER_WITHIN).map(drop)
    }
}

/// Lines begin with four digits and a space or, where more follow, a hyphen; or with a space, and then belong to the line before.
fn read_answer(reader: &mut impl BufRead) -> std::io::Result<String> {
    let mut answer = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::Error::other("bird closed its control socket"));
        }
        let is_numbered = line.get(..4).is_some_and(|head| head.bytes().all(|octet| octet.is_ascii_digit()));
        let is_last = is_numbered && line.as_bytes().get(4) == Some(&b' ');
        let text = if is_numbered { line.get(5..) } else { line.get(1..) };
        answer.push_str(text.unwrap_or_default());
        if is_last {
            return Ok(answer);
        }
    }
}

impl Router for Bird {
    fn is_established(&self, peer: &str) -> Result<bool> {
        let answer = self.ask("show protocols all")?;
        // One part for each protocol; the neighbour's address stands in it.
        let mut is_of_peer = false;
        let mut is_up = false;
        for line in answer.lines() {
            let line = line.trim();
            if let Some(state) = line.strip_prefix("BGP state:") {
                is_up = state.trim() == "Established";
            }
            if let Some(address) = line.strip_prefix("Neighbor address:") {
                is_of_peer = address.trim() == peer;
                if is_of_peer {
                    return Ok(is_up);
                }
            }
        }
        Ok(is_of_peer && is_up)
    }

    fn routes(&self, family: u8) -> Result<Vec<Route>> {
        let answer = self.ask(&format!("show route table master{family} all where source = RTS_BGP"))?;
        let mut routes = read_routes(&answer);
        routes.sort();
        Ok(routes)
    }
}

fn read_routes(answer: &str) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    let mut prefix = String::new();
    for line in answer.lines() {
        // A further route of a prefix has blanks where the prefix stood.
        if line.contains(" unicast [") {
            if let Some(first) = line.split_whitespace().next().filter(|word| word.contains('/')) {
                first.clone_into(&mut prefix);
            }
            routes.push(Route { prefix: prefix.clone(), ..Route::default() });
        }
        let (Some(route), Some((name, value))) = (routes.last_mut(), line.trim().split_once(": ")) else { continue };
        let lists = |value: &str| -> Vec<String> {
            let mut all: Vec<String> = value
                .split(')')
                .map(|list| list.trim().trim_start_matches('(').replace(", ", ":").replace(',', ":"))
                .filter(|list| !list.is_empty())
                .collect();
            all.sort();
            all
        };
        match name {
            "BGP.as_path" => {
                route.as_path = value.split_whitespace().filter_map(|number| number.parse().ok()).collect();
            }
            "BGP.next_hop" => route.next_hops = value.split_whitespace().map(ToOwned::to_owned).collect(),
            "BGP.med" => route.med = value.parse().ok(),
            "BGP.local_pref" => route.local_pref = value.parse().ok(),
            "BGP.community" => route.communities = lists(value),
            "BGP.large_community" => route.large_communities = lists(value),
            _ => {}
        }
    }
    routes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_read_from_the_text() {
        let text = "Table master4:\n192.0.2.1/32         unicast [p 10:00:00.000] * (100) [AS64512i]\n\tvia 10.0.0.1 on eth0\n\t\
                    Type: BGP univ\n\tBGP.origin: IGP\n\tBGP.as_path: 64512 64512\n\tBGP.next_hop: 10.0.0.1\n\tBGP.med: 0\n\t\
                    BGP.local_pref: 100\n\tBGP.community: (64512,2) (64512,1)\n\tBGP.large_community: (1, 2, 3)\n\
                    \x20                    unicast [q 10:00:00.000] (100) [AS64512i]\n\tBGP.as_path: \n";
        let routes = read_routes(text);
        let expected = Route {
            prefix: "192.0.2.1/32".into(),
            next_hops: vec!["10.0.0.1".into()],
            as_path: vec![64512, 64512],
            med: Some(0),
            local_pref: Some(100),
            communities: vec!["64512:1".into(), "64512:2".into()],
            large_communities: vec!["1:2:3".into()],
        };
        assert_eq!(routes[0], expected);
        assert_eq!((routes[1].prefix.as_str(), routes.len()), ("192.0.2.1/32", 2));
    }
}
