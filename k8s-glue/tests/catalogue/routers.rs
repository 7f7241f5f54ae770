//! BIRD and FRR one after the other in the same place, with the same sessions: what one sees the other must see.

use std::fmt::Write as _;

use lab::Host;
use lab::router::{Bird, Frr, Router};

use super::rig::Checked;

/// A router's place: who it is, and which addresses of its own and of the nodes its sessions are between.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) host: &'a Host,
    /// Its AS, and that of the nodes.
    pub(super) systems: (u32, u32),
    pub(super) port: u16,
    pub(super) password: Option<&'a str>,
    /// An address of its own, and an address of a node.
    pub(super) sessions: &'a [(&'a str, &'a str)],
}

/// Addresses of the nodes, which n1, n2 and n3 end with 11, 12 and 13.
pub(super) fn nodes_at<'a>(own: &'a str, nodes: &[&'a str; 3]) -> Vec<(&'a str, &'a str)> {
    nodes.iter().map(|node| (own, *node)).collect()
}

/// A router that runs, as a check sees it.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) router: &'a dyn Router,
    /// Whether it writes its routes into the kernel's table, so that a client behind it can be asked too.
    pub(super) forwards: bool,
}

impl Place<'_> {
    /// Runs a check with BIRD here, and then with FRR.
    pub(super) fn both(&self, check: impl Fn(Seen<'_>) -> Checked) -> Checked {
        self.bird(&check)?;
        let frr = Frr::start_at(self.host, self.port, &self.frr_text())?;
        let outcome = check(Seen { router: &frr, forwards: frr.forwards() });
        frr.stop()?;
        outcome.map_err(|error| format!("FRR: {error}").into())
    }

    /// Runs a check with BIRD here.
    pub(super) fn bird(&self, check: impl Fn(Seen<'_>) -> Checked) -> Checked {
        let bird = Bird::start(self.host, &self.bird_text())?;
        let outcome = check(Seen { router: &bird, forwards: true });
        bird.stop()?;
        outcome.map_err(|error| format!("BIRD: {error}").into())
    }

    fn bird_text(&self) -> String {
        let Self { systems: (own, nodes), port, .. } = self;
        let password = self.password.map(|password| format!("password \"{password}\";")).unwrap_or_default();
        let mut text = "router id 10.0.0.1;\n".to_owned();
        for family in ["ipv4", "ipv6"] {
            let written = "import none; export where source = RTS_BGP;";
            // A String takes every write.
            let _ = writeln!(text, "protocol kernel {{ merge paths on; {family} {{ {written} }}; }}");
        }
        for (number, (here, node)) in self.sessions.iter().enumerate() {
            let family = if node.contains(':') { "ipv6" } else { "ipv4" };
            let _ = writeln!(
                text,
                "protocol bgp p{number} {{ local {here} port {port} as {own}; neighbor {node} as {nodes}; direct; {password} passive on; \
                 error wait time 1, 2; connect delay time 1; {family} {{ import all; export none; }}; }}"
            );
        }
        text
    }

    fn frr_text(&self) -> String {
        let Self { systems: (own, nodes), .. } = self;
        let mut text = format!(
            "hostname bgpd\nrouter bgp {own}\n bgp router-id 10.0.0.1\n no bgp ebgp-requires-policy\n \
             no bgp default ipv4-unicast\n"
        );
        for (_, node) in self.sessions {
            // Without zebra it knows no links to be connected by.
            let _ = write!(
                text,
                " neighbor {node} remote-as {nodes}\n neighbor {node} passive\n neighbor {node} disable-connected-check\n"
            );
            if let Some(password) = self.password {
                let _ = writeln!(text, " neighbor {node} password {password}");
            }
        }
        for (family, is_v6) in [("ipv4", false), ("ipv6", true)] {
            let _ = writeln!(text, " address-family {family} unicast");
            for (_, node) in self.sessions.iter().filter(|(_, node)| node.contains(':') == is_v6) {
                let _ = writeln!(text, "  neighbor {node} activate");
            }
            text.push_str(" exit-address-family\n");
        }
        text
    }
}
