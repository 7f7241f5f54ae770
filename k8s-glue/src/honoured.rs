//! Fields that are right and that this build does not honour yet: said by `validate`, never silently ignored.
//!
//! Which they are is known where sessions are built ([`announce_bgp::config`]): the roles ask there for events and conditions, and so
//! does this list. When a field comes to be honoured, its variant goes there, and the compiler names its line here.

use std::sync::Arc;

use announce_bgp::config::{LeftOut, NotStarted, left_out, not_started};
use lbcore::config::{Category, Config, Problem, Raw, RawPeer, Severity};
use lbcore::peer::Peer;

/// A warning for each field of a peer that a session runs without, or for which there is none. The configuration is the one that was
/// built of these peers.
pub fn not_honoured(peers: &[Raw<RawPeer>], config: &Config) -> Vec<Problem> {
    let known = peers.iter().filter_map(|raw| Some((raw, config.peers().get(&raw.object.name)?)));
    let lacking = known.flat_map(|(raw, peer)| lacks(peer).into_iter().map(move |lack| (raw, lack)));
    let warnings = lacking.map(|(raw, (field, message, fix))| Problem {
        severity: Severity::Warning,
        category: Category::UnsupportedByBackend,
        object: Some(raw.object.clone()),
        field: field.to_owned(),
        message,
        fix: fix.to_owned(),
    });
    warnings.collect()
}

/// Field, what comes of it, and the mend.
fn lacks(peer: &Arc<Peer>) -> Vec<(&'static str, String, &'static str)> {
    if let Some(reason) = not_started(peer) {
        let (field, fix) = match reason {
            NotStarted::Interface => ("spec.interface", "give the peer an address"),
            NotStarted::Vrf => ("spec.vrf", "reach the peer through the default VRF"),
        };
        return vec![(field, reason.to_string(), fix)];
    }
    let fields = left_out(peer).into_iter().map(|left| {
        let (field, fix) = match left {
            LeftOut::Bfd => ("spec.bfdProfile", "a short hold time finds a dead peer within 3 s"),
            LeftOut::GracefulRestart => {
                ("spec.enableGracefulRestart", "routes are withdrawn while the speaker restarts")
            }
        };
        (field, left.to_string(), fix)
    });
    fields.collect()
}

#[cfg(test)]
mod tests {
    use lbcore::config::Settings;

    use super::*;
    use crate::load;
    use crate::manifest::Manifests;

    fn warnings(spec: &str) -> Vec<Problem> {
        let text = format!(
            "apiVersion: metallb.io/v1beta1\nkind: BFDProfile\nmetadata: {{name: fast}}\n---\napiVersion: metallb.io/v1beta2\nkind: BGPPeer\n\
             metadata: {{name: tor}}\nspec: {{myASN: 64500, peerASN: 64501, {spec}}}\n"
        );
        let mut manifests = Manifests::default();
        manifests.read_bytes(&"a.yaml".into(), text.as_bytes());
        let loaded = load::check(manifests, &Settings::default());
        let config = loaded.config.unwrap_or_else(|| panic!("{}", loaded.report.to_text()));
        not_honoured(&loaded.objects.config.peers, &config)
    }

    #[test]
    fn every_field_without_effect_is_a_warning_that_says_what_comes_of_it() {
        for (spec, expected) in [
            ("peerAddress: 192.0.2.1", &[][..]),
            ("peerAddress: 192.0.2.1, bfdProfile: fast", &[("spec.bfdProfile", "without BFD")]),
            ("peerAddress: 192.0.2.1, enableGracefulRestart: false", &[]),
            (
                "peerAddress: 192.0.2.1, bfdProfile: fast, enableGracefulRestart: true",
                &[("spec.bfdProfile", "without BFD"), ("spec.enableGracefulRestart", "without graceful restart")],
            ),
            ("peerAddress: 192.0.2.1, vrf: red, bfdProfile: fast", &[("spec.vrf", "not started")]),
            ("interface: eth0", &[("spec.interface", "not started")]),
        ] {
            let found = warnings(spec);
            assert_eq!(found.len(), expected.len(), "{spec}: {found:?}");
            for (problem, (field, part)) in found.iter().zip(expected) {
                assert_eq!((problem.field.as_str(), problem.severity), (*field, Severity::Warning));
                assert!(problem.message.contains(part) && !problem.fix.is_empty(), "{problem:?}");
                assert_eq!(&*problem.object.as_ref().unwrap().name, "tor");
            }
        }
    }
}
