//! Whether this node sees what it has to judge ([CFGST-9]). Pure.
//!
//! What was never listed cannot be called valid, and what has been refused for long is as good as not seen. An API server that cannot be
//! reached is neither: the announcing goes on without it ([OWN-24]), and nothing could be told there.

use std::collections::BTreeMap;
use std::time::Duration;

use lbcore::service::NodeName;
use lbcore::time::Timestamp;

use super::scene::NEEDED;
use crate::cluster::watch::{Kind, Trouble};
use crate::cluster::world::World;

/// A kind that was never listed is called unseen after this time: an API server that starts refuses everything for a moment.
const UNSEEN_AFTER: Duration = Duration::from_secs(3);
/// A kind that was listed once is called unseen when it has been refused for so long.
const LOST_AFTER: Duration = Duration::from_secs(60);

/// What is refused, since when.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sight {
    refused: BTreeMap<Kind, (Timestamp, String)>,
}

impl Sight {
    /// A watch of the kind is in trouble.
    pub(crate) fn handle_trouble(&mut self, now: Timestamp, kind: Kind, trouble: &Trouble) {
        if trouble.is_refused {
            let (_, text) = self.refused.entry(kind).or_insert((now, String::new()));
            text.clone_from(&trouble.text);
        } else {
            self.refused.remove(&kind);
        }
    }

    /// Every object of the kind is known.
    pub(crate) fn handle_complete(&mut self, kind: Kind) {
        self.refused.remove(&kind);
    }

    /// Why the configuration cannot be judged, with what to mend; `None` where it can.
    pub(crate) fn unknown(&self, now: Timestamp, world: &World, own: &NodeName) -> Option<String> {
        let is_unseen = |kind: Kind, since: Timestamp| {
            NEEDED.contains(&kind)
                && now.since(since) >= if world.is_complete(&[kind]) { LOST_AFTER } else { UNSEEN_AFTER }
        };
        let unseen = self.refused.iter().find(|(kind, (since, _))| is_unseen(**kind, *since));
        if let Some((kind, (_, text))) = unseen {
            return Some(format!("objects of kind {} {text}", kind.as_str()));
        }
        let is_lost = world.is_complete(&[Kind::Node]) && world.node(own).is_none();
        is_lost.then(|| format!("the cluster has no Node {own}: correct --node-name or METALLB_NODE_NAME"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::watch::{Absence, ObjectName, Seen};

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn refused() -> Trouble {
        Trouble { text: "cannot be listed: no (403)".to_owned(), is_refused: true, absence: Some(Absence::Forbidden) }
    }

    fn world(kinds: &[Kind]) -> World {
        let mut world = World::new("metallb-system");
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}});
        let name = ObjectName { namespace: String::new(), name: "n1".to_owned() };
        world.fold(Seen::Object(Kind::Node, name, node.as_object().unwrap().clone()));
        for kind in kinds {
            world.fold(Seen::Complete(*kind));
        }
        world
    }

    // [CFGST-9]
    #[test]
    fn what_was_never_listed_is_unknown_soon_and_what_was_later() {
        let own = NodeName::new("n1").unwrap();
        let mut sight = Sight::default();
        for second in 0..70 {
            sight.handle_trouble(at(second), Kind::IpAddressPool, &refused());
        }
        let unknown = |sight: &Sight, second, kinds: &[Kind]| sight.unknown(at(second), &world(kinds), &own);
        assert_eq!(unknown(&sight, 2, &[]), None);
        let reason = "objects of kind IPAddressPool cannot be listed: no (403)";
        assert_eq!(unknown(&sight, 3, &[]).as_deref(), Some(reason));
        assert_eq!(unknown(&sight, 59, &NEEDED), None);
        assert_eq!(unknown(&sight, 60, &NEEDED).as_deref(), Some(reason));
        sight.handle_complete(Kind::IpAddressPool);
        assert_eq!(unknown(&sight, 99, &NEEDED), None);
    }

    // [OWN-24]
    #[test]
    fn an_api_server_that_is_away_makes_nothing_unknown() {
        let own = NodeName::new("n1").unwrap();
        let mut sight = Sight::default();
        sight.handle_trouble(at(0), Kind::IpAddressPool, &refused());
        sight.handle_trouble(at(50), Kind::IpAddressPool, &Trouble { is_refused: false, ..refused() });
        sight.handle_trouble(at(90), Kind::IpAddressPool, &refused());
        assert_eq!(sight.unknown(at(100), &world(&NEEDED), &own), None);
        sight.handle_trouble(at(0), Kind::ServiceL2Status, &refused());
        assert_eq!(sight.unknown(at(100), &world(&NEEDED), &own), None, "reports are not judged");
    }

    #[test]
    fn a_node_that_is_not_there_is_named() {
        let (sight, own) = (Sight::default(), NodeName::new("n9").unwrap());
        assert_eq!(sight.unknown(at(0), &world(&[]), &own), None, "not looked for yet");
        let reason = sight.unknown(at(0), &world(&NEEDED), &own).unwrap();
        assert!(reason.contains("no Node n9: correct --node-name"), "{reason}");
    }
}
