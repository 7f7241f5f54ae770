//! Objects that are passed over because of a typing error in `apiVersion` or `kind`: what was meant.

use super::seeming::BUILD;

/// A kind of ours with its group and its newest version. Of those that other groups have, too, only what looks like ours is told.
struct Ours {
    group: &'static str,
    kind: &'static str,
    version: &'static str,
    has_namesakes: bool,
}

const fn ours(kind: &'static str, version: &'static str) -> Ours {
    Ours { group: "metallb.io", kind, version, has_namesakes: false }
}

const fn own(kind: &'static str) -> Ours {
    Ours { group: "ferrule.io", kind, version: "v1alpha1", has_namesakes: false }
}

const fn shared(kind: &'static str, version: &'static str) -> Ours {
    Ours { group: "metallb.io", kind, version, has_namesakes: true }
}

const OURS: [Ours; 11] = [
    own("AddressReservation"),
    shared("BFDProfile", "v1beta1"),
    shared("BGPAdvertisement", "v1beta1"),
    shared("BGPPeer", "v1beta2"),
    shared("Community", "v1beta1"),
    ours("ConfigurationState", "v1beta1"),
    ours("IPAddressPool", "v1beta1"),
    ours("L2Advertisement", "v1beta1"),
    own("PoolPolicy"),
    ours("ServiceBGPStatus", "v1beta1"),
    ours("ServiceL2Status", "v1beta1"),
];

const CORE: [(&str, &str); 6] = [
    ("discovery.k8s.io/v1", "EndpointSlice"),
    ("v1", "ConfigMap"),
    ("v1", "Namespace"),
    ("v1", "Node"),
    ("v1", "Secret"),
    ("v1", "Service"),
];

/// What is probably wrong with an object that is none of the kinds read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Likely {
    pub(super) field: &'static str,
    pub(super) message: String,
    pub(super) fix: String,
}

/// The likely meaning of a kind that is passed over; `None` where it seems to be meant as it is.
pub(super) fn meaning(api_version: &str, kind: &str) -> Option<Likely> {
    let (group, version) = api_version.split_once('/').unwrap_or((api_version, ""));
    let group = group.trim().to_ascii_lowercase();
    let named = OURS.iter().find(|ours| ours.kind.eq_ignore_ascii_case(kind));
    let left_out = |what: String| format!("{what}; the object is left out");
    if let Some((known, version)) =
        [("metallb.io", "v1beta1"), ("ferrule.io", "v1alpha1")].iter().find(|known| known.0 == group)
    {
        let (known, version) = named.map_or((*known, *version), |ours| (ours.group, ours.version));
        let message = left_out(format!("{api_version:?} is no group and version that there is"));
        return Some(Likely { field: "apiVersion", message, fix: format!("write {known}/{version}") });
    }
    if let Some(ours) = named {
        let looks_like_ours = group.contains("metallb") || version.is_empty();
        let message = left_out(format!("{} is a kind of {}, not of {api_version:?}", ours.kind, ours.group));
        let fix = format!("write apiVersion: {}/{} and kind: {}", ours.group, ours.version, ours.kind);
        return (looks_like_ours || !ours.has_namesakes).then_some(Likely { field: "apiVersion", message, fix });
    }
    if group == "kustomize.config.k8s.io" && matches!(kind, "Kustomization" | "Component") {
        let message = "a kustomization is not built here: what it changes and brings in is left out".to_owned();
        return Some(Likely { field: "kind", message, fix: BUILD.to_owned() });
    }
    if (api_version, kind) == ("v1", "Status") {
        let message = "this is an answer of the API server, not an object".to_owned();
        return Some(Likely { field: "kind", message, fix: "ask it again, and give what it has".to_owned() });
    }
    let is_like = |known: &&(&str, &str)| {
        known.0.eq_ignore_ascii_case(api_version.trim()) && known.1.eq_ignore_ascii_case(kind.trim())
    };
    let (wanted_version, wanted_kind) = CORE.iter().find(is_like)?;
    let field = if *wanted_version == api_version { "kind" } else { "apiVersion" };
    let message = left_out(format!("{kind:?} of {api_version:?} is no kind that there is"));
    Some(Likely { field, message, fix: format!("write apiVersion: {wanted_version} and kind: {wanted_kind}") })
}

/// Group and newest version of a kind that is looked at.
pub(super) fn version_of(kind: &str) -> Option<String> {
    let ours = OURS.iter().find(|ours| ours.kind == kind).map(|ours| format!("{}/{}", ours.group, ours.version));
    ours.or_else(|| CORE.iter().find(|known| known.1 == kind).map(|known| known.0.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_are_told_and_kinds_of_others_are_not() {
        for (api_version, kind, part) in [
            ("metallb.io", "IPAddressPool", "write metallb.io/v1beta1"),
            ("Metallb.io/v1beta1", "BGPPeer", "write metallb.io/v1beta2"),
            ("v1", "IPAddressPool", "metallb.io/v1beta1 and kind: IPAddressPool"),
            ("example.com/v1", "ipaddresspool", "kind: IPAddressPool"),
            ("metallb.universe.tf/v1beta1", "Community", "metallb.io/v1beta1"),
            ("ferrule.io", "PoolPolicy", "write ferrule.io/v1alpha1"),
            ("v1", "AddressReservation", "ferrule.io/v1alpha1 and kind: AddressReservation"),
            ("example.com/v1", "poolpolicy", "kind: PoolPolicy"),
            ("v1", "service", "kind: Service"),
            ("V1", "Service", "apiVersion: v1"),
            ("v1", "Status", "ask it again"),
            ("kustomize.config.k8s.io/v1beta1", "Kustomization", "kubectl kustomize"),
        ] {
            let likely = meaning(api_version, kind).unwrap_or_else(|| panic!("{api_version} {kind} is passed over"));
            assert!(likely.fix.contains(part), "{likely:?}");
        }
        for (api_version, kind) in [
            ("crd.projectcalico.org/v1", "BGPPeer"),
            ("serving.knative.dev/v1", "Service"),
            ("apps/v1", "Deployment"),
            ("v1", "Pod"),
        ] {
            assert_eq!(meaning(api_version, kind), None, "{api_version} {kind}");
        }
    }
}
