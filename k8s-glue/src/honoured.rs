//! Fields that are right and that this build does not honour yet: said by `validate`, never silently ignored.
//!
//! Which they are is known where sessions are built ([`announce_bgp::config`]): the roles ask there for events and conditions, and so
//! does this list. When a field comes to be honoured, its variant goes there, and the compiler names its line here.

use std::sync::Arc;

use announce_bgp::config::{LeftOut, NotStarted, left_out, not_started};
use lbcore::config::{
    Category, Config, ObjectRef, Problem, Raw, RawBfdProfile, RawConfig, RawPeer, Settings, Severity,
};
use lbcore::labels::Labels;
use lbcore::peer::Peer;

use crate::manifest::Document;
use crate::report::Finding;

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

/// The same with their places.
pub fn findings(peers: &[Raw<RawPeer>], config: &Config, documents: &[Document]) -> Vec<Finding> {
    let problems = not_honoured(peers, config).into_iter();
    problems.map(|problem| Finding::of_problem(problem, documents)).collect()
}

/// The same where the configuration as a whole is refused: peer by peer, each as far as it is right.
pub fn not_honoured_of_refused(peers: &[Raw<RawPeer>]) -> Vec<Problem> {
    peers.iter().flat_map(|raw| not_honoured(std::slice::from_ref(raw), &alone(raw))).collect()
}

/// A configuration of one peer, with what matters here as it is and something right for the rest.
fn alone(raw: &Raw<RawPeer>) -> Config {
    let spec = &raw.spec;
    let is_by_link = spec.interface.as_ref().is_some_and(|interface| !interface.is_empty());
    let peer = RawPeer {
        my_asn: Some(64_512),
        peer_asn: Some(64_513),
        peer_address: (!is_by_link).then(|| "192.0.2.1".to_owned()),
        interface: spec.interface.clone(),
        vrf: spec.vrf.clone(),
        bfd_profile: spec.bfd_profile.clone(),
        enable_graceful_restart: spec.enable_graceful_restart,
        ..RawPeer::default()
    };
    let profile = spec.bfd_profile.iter().filter(|name| !name.is_empty()).map(|name| Raw {
        object: ObjectRef { kind: "BFDProfile".into(), name: name.as_str().into(), ..raw.object.clone() },
        labels: Labels::new(),
        spec: RawBfdProfile::default(),
    });
    let description = RawConfig {
        peers: vec![Raw { spec: peer, ..raw.clone() }],
        bfd_profiles: profile.collect(),
        ..RawConfig::default()
    };
    let install_namespace = raw.object.namespace.clone().unwrap_or_default();
    let settings = Settings { install_namespace, ..Settings::default() };
    Config::build(&description, &settings).config.map(|config| (*config).clone()).unwrap_or_default()
}

/// The mend for a peer without a session.
pub const fn instead_of(reason: NotStarted) -> &'static str {
    match reason {
        NotStarted::Interface => "give the peer an address",
        NotStarted::Vrf => "reach the peer through the default VRF",
    }
}

/// Field, what comes of it, and the mend.
fn lacks(peer: &Arc<Peer>) -> Vec<(&'static str, String, &'static str)> {
    if let Some(reason) = not_started(peer) {
        let field = match reason {
            NotStarted::Interface => "spec.interface",
            NotStarted::Vrf => "spec.vrf",
        };
        return vec![(field, reason.to_string(), instead_of(reason))];
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

    // Every problem is told in one run.
    #[test]
    fn what_is_not_honoured_is_said_of_a_faulty_peer_too() {
        let text = "apiVersion: metallb.io/v1beta2\nkind: BGPPeer\nmetadata: {name: tor}\nspec: {myASN: 64500, peerASN: 64501, \
                    peerAddress: nowhere, vrf: red}\n---\napiVersion: metallb.io/v1beta2\nkind: BGPPeer\nmetadata: {name: two}\nspec: \
                    {myASN: 64500, peerASN: 64501, peerAddress: 192.0.2.1, bfdProfile: fast, enableGracefulRestart: true}\n";
        let mut manifests = Manifests::default();
        manifests.read_bytes(&"a.yaml".into(), text.as_bytes());
        let loaded = load::check(manifests, &Settings::default());
        assert!(loaded.config.is_none());
        let found = not_honoured_of_refused(&loaded.objects.config.peers);
        let fields: Vec<&str> = found.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(fields, ["spec.vrf", "spec.bfdProfile", "spec.enableGracefulRestart"]);
    }
}
