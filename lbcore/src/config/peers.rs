//! One peer or BFD profile at a time: numbers, addresses, timers, the secret ([CFG-20] to [CFG-27]).

use core::time::Duration;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::Level;
use super::problem::Category;
use super::raw::{Raw, RawBfdProfile, RawPeer, RawSecret};
use super::report::{Findings, Report};
use super::selectors;
use crate::family::IpFamily;
use crate::peer::{Asn, BfdProfile, Feature, Password, Peer, PeerEndpoint, PeerTimers, RemoteAs, SessionFamilies};

/// The port of BGP.
const DEFAULT_PORT: u16 = 179;
/// The type that a secret with a password must have ([CFG-24]).
const BASIC_AUTH: &str = "kubernetes.io/basic-auth";
/// Longest hold and connect time (RFC 4271 section 4.2 has two octets).
const SECONDS_LIMIT: u64 = 65_535;

/// What a peer may refer to.
#[derive(Debug)]
pub(super) struct References<'a> {
    /// The BFD profiles by name.
    pub(super) profiles: &'a BTreeMap<Arc<str>, Arc<BfdProfile>>,
    /// The secrets of the install namespace by name.
    pub(super) secrets: &'a BTreeMap<&'a str, &'a Raw<RawSecret>>,
    /// Whether they are looked up at all.
    pub(super) level: Level,
}

/// Reads a BFD profile ([CFG-27]).
pub(super) fn read_profile(raw: &Raw<RawBfdProfile>, findings: &mut Findings) -> BfdProfile {
    let mut report = findings.on(&raw.object);
    let mut number = |field: &str, value: Option<i64>, bounds: (i64, i64)| -> Option<i64> {
        report.bounded(Category::BfdOutOfRange, &format!("spec.{field}"), value?, bounds)
    };
    let interval = (10, 60_000);
    let spec = &raw.spec;
    let receive_interval = number("receiveInterval", spec.receive_interval, interval);
    let transmit_interval = number("transmitInterval", spec.transmit_interval, interval);
    let echo_interval = number("echoInterval", spec.echo_interval, interval);
    let detect_multiplier = number("detectMultiplier", spec.detect_multiplier, (2, 255));
    let minimum_ttl = number("minimumTtl", spec.minimum_ttl, (1, 254));
    let milliseconds = |value: Option<i64>| value.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
    let octet = |value: Option<i64>| value.and_then(|number| u8::try_from(number).ok());
    BfdProfile {
        name: Arc::clone(&raw.object.name),
        receive_interval: milliseconds(receive_interval),
        transmit_interval: milliseconds(transmit_interval),
        detect_multiplier: octet(detect_multiplier),
        echo_interval: milliseconds(echo_interval),
        echo_mode: Feature::from_field(spec.echo_mode),
        passive_mode: Feature::from_field(spec.passive_mode),
        minimum_ttl: octet(minimum_ttl),
    }
}

/// Reads a peer; `None` where something without which no session is thinkable is refused.
pub(super) fn read_peer(raw: &Raw<RawPeer>, references: &References<'_>, findings: &mut Findings) -> Option<Peer> {
    let mut report = findings.on(&raw.object);
    let report = &mut report;
    let spec = &raw.spec;
    let my_asn = read_my_asn(spec, report);
    let remote = read_remote(spec, report);
    let local_asn = read_asn(report, "spec.localASN", spec.local_asn, 1);
    check_multi_hop(spec, report);
    let endpoint = read_endpoint(spec, report);
    let timers = read_timers(spec, report);
    let source_address = read_source(spec, report);
    let port = read_port(spec, report);
    let connect_time = read_connect_time(spec, report);
    let router_id = read_router_id(spec, report);
    let node_selectors = selectors::parse_list(report, "spec.nodeSelectors", &spec.node_selectors);
    let password = read_password(spec, references, report);
    let bfd_profile = read_profile_reference(spec, references, report);
    if spec.disable_mp == Some(true) {
        let fix = "remove disableMP";
        report.warning(Category::Schema, "spec.disableMP", "disableMP is deprecated and has no effect", fix);
    }
    let endpoint = endpoint?;
    let families = read_families(spec, &endpoint);
    Some(Peer {
        name: Arc::clone(&raw.object.name),
        my_asn: my_asn?,
        remote: remote?,
        local_asn,
        endpoint,
        source_address,
        port,
        timers,
        connect_time,
        router_id,
        node_selectors,
        password,
        bfd_profile,
        graceful_restart: Feature::from_field(spec.enable_graceful_restart),
        multi_hop: Feature::from_field(spec.ebgp_multi_hop),
        vrf: text(spec.vrf.as_ref()).map(Arc::from),
        families,
    })
}

/// Text of a field; empty counts as absent.
fn text(field: Option<&String>) -> Option<&str> {
    field.map(String::as_str).filter(|text| !text.is_empty())
}

fn read_asn(report: &mut Report<'_>, field: &str, value: Option<i64>, least: i64) -> Option<Asn> {
    let number = report.bounded(Category::Schema, field, value?, (least, i64::from(u32::MAX)))?;
    u32::try_from(number).ok().and_then(Asn::new)
}

fn read_my_asn(spec: &RawPeer, report: &mut Report<'_>) -> Option<Asn> {
    if matches!(spec.my_asn, None | Some(0)) {
        let fix = "write the number of your own AS, such as 64512";
        report.error(Category::InvalidAsn, "spec.myASN", "the local AS number is missing", fix);
        return None;
    }
    read_asn(report, "spec.myASN", spec.my_asn, 0)
}

fn read_remote(spec: &RawPeer, report: &mut Report<'_>) -> Option<RemoteAs> {
    let peer_asn = spec.peer_asn.filter(|number| *number != 0);
    match (peer_asn, text(spec.dynamic_asn.as_ref())) {
        (None, None) => {
            let fix = "write peerASN, or dynamicASN with internal or external";
            report.error(Category::InvalidAsn, "spec.peerASN", "neither peerASN nor dynamicASN is given", fix);
            None
        }
        (Some(_), Some(_)) => {
            let fix = "keep one of the two";
            report.error(Category::InvalidAsn, "spec.dynamicASN", "both peerASN and dynamicASN are given", fix);
            None
        }
        (Some(number), None) => read_asn(report, "spec.peerASN", Some(number), 0).map(RemoteAs::Exactly),
        (None, Some("internal")) => Some(RemoteAs::Internal),
        (None, Some("external")) => Some(RemoteAs::External),
        (None, Some(other)) => {
            let message = format!("{other:?} is no kind of AS");
            report.error(Category::InvalidAsn, "spec.dynamicASN", message, "write internal or external");
            None
        }
    }
}

/// Multi-hop for external peers makes no sense within one AS; not looked at for `dynamicASN: internal` ([CFG-20]).
fn check_multi_hop(spec: &RawPeer, report: &mut Report<'_>) {
    if spec.ebgp_multi_hop == Some(true) && spec.peer_asn.is_some() && spec.peer_asn == spec.my_asn {
        report.error(
            Category::MultihopIbgp,
            "spec.ebgpMultiHop",
            "ebgpMultiHop is set, but the peer is of the same AS",
            "remove ebgpMultiHop: internal sessions may always cross several hops",
        );
    }
}

fn read_endpoint(spec: &RawPeer, report: &mut Report<'_>) -> Option<PeerEndpoint> {
    let category = Category::InvalidPeerAddress;
    match (text(spec.peer_address.as_ref()), text(spec.interface.as_ref())) {
        (None, None) => {
            let fix = "write the address of the router, or the interface for an unnumbered peer";
            report.error(category, "spec.peerAddress", "neither peerAddress nor interface is given", fix);
            None
        }
        (Some(_), Some(_)) => {
            report.error(category, "spec.interface", "both peerAddress and interface are given", "keep one of the two");
            None
        }
        (None, Some(interface)) => Some(PeerEndpoint::Interface(Arc::from(interface))),
        (Some(address), None) => {
            let parsed = address.parse::<IpAddr>();
            if parsed.is_err() {
                let message = format!("{address:?} is not an address");
                report.error(category, "spec.peerAddress", message, "write an IPv4 or IPv6 address");
            }
            let parsed = parsed.ok()?;
            if matches!(parsed, IpAddr::V6(address) if address.is_unicast_link_local()) {
                // Every link has one such network, so the address alone leads nowhere: each attempt would fail with "invalid argument".
                let message = format!("{address} is an address of one link alone, and does not say of which");
                let fix = "write a global address of the router, or in place of peerAddress the node's link to it as interface";
                report.error(category, "spec.peerAddress", message, fix);
                return None;
            }
            Some(PeerEndpoint::Address(parsed.to_canonical()))
        }
    }
}

fn read_source(spec: &RawPeer, report: &mut Report<'_>) -> Option<IpAddr> {
    let address = text(spec.source_address.as_ref())?;
    let parsed = address.parse::<IpAddr>();
    if parsed.is_err() {
        let message = format!("{address:?} is not an address");
        let fix = "write an address of the node, or remove the field";
        report.error(Category::InvalidSourceAddress, "spec.sourceAddress", message, fix);
    }
    parsed.ok().map(|parsed| parsed.to_canonical())
}

/// A BGP identifier is four octets and not zero (RFC 6286, [PEER-54]).
fn read_router_id(spec: &RawPeer, report: &mut Report<'_>) -> Option<Ipv4Addr> {
    let written = text(spec.router_id.as_ref())?;
    let id = written.parse::<Ipv4Addr>().ok().filter(|id| !id.is_unspecified());
    if id.is_none() {
        let message = format!("{written:?} is not a router id");
        let fix = "write an IPv4 address other than 0.0.0.0, or remove the field";
        report.error(Category::InvalidRouterId, "spec.routerID", message, fix);
    }
    id
}

fn read_port(spec: &RawPeer, report: &mut Report<'_>) -> u16 {
    let port = spec.peer_port.and_then(|port| report.bounded(Category::Schema, "spec.peerPort", port, (1, 16_384)));
    port.and_then(|port| u16::try_from(port).ok()).unwrap_or(DEFAULT_PORT)
}

fn read_connect_time(spec: &RawPeer, report: &mut Report<'_>) -> Option<Duration> {
    let time = spec.connect_time?;
    if time.subsec_nanos() == 0 && (1..=SECONDS_LIMIT).contains(&time.as_secs()) {
        return Some(time);
    }
    let message = format!("{time:?} is not a whole number of seconds from 1 to {SECONDS_LIMIT}");
    report.error(Category::Schema, "spec.connectTime", message, "write a duration such as 10s");
    None
}

/// The timers: a missing one follows from the other, fractions of a second are cut off ([CFG-22], [PEER-41], [PEER-42]).
fn read_timers(spec: &RawPeer, report: &mut Report<'_>) -> Option<PeerTimers> {
    let (hold, keepalive, field) = match (spec.hold_time, spec.keepalive_time) {
        (None, None) => return None,
        (Some(hold), None) => (hold, hold / 3, "spec.holdTime"),
        (None, Some(keepalive)) => (keepalive.saturating_mul(3), keepalive, "spec.keepaliveTime"),
        (Some(hold), Some(keepalive)) => (hold, keepalive, "spec.holdTime"),
    };
    let category = Category::InvalidTimers;
    let seconds = hold.as_secs();
    if seconds != 0 && !(3..=SECONDS_LIMIT).contains(&seconds) {
        let message = format!("a hold time of {hold:?} is neither 0 nor between 3 s and {SECONDS_LIMIT} s");
        report.error(category, field, message, "write 0s, or a duration from 3s to 65535s");
        return None;
    }
    if keepalive > hold {
        let message = format!("the keepalive time of {keepalive:?} is above the hold time of {hold:?}");
        report.error(category, "spec.keepaliveTime", message, "write at most a third of the hold time");
        return None;
    }
    let timers = PeerTimers { hold: Duration::from_secs(seconds), keepalive: Duration::from_secs(keepalive.as_secs()) };
    if (seconds == 0 && !hold.is_zero()) || (seconds != 0 && timers.keepalive.is_zero()) {
        let message = format!("fractions of a second are cut off: hold {hold:?} and keepalive {keepalive:?} become 0");
        report.warning(category, field, message, "write whole seconds");
    }
    Some(timers)
}

fn read_password(spec: &RawPeer, references: &References<'_>, report: &mut Report<'_>) -> Option<Password> {
    let password = spec.password.as_ref().filter(|password| !password.as_bytes().is_empty());
    let secret = spec.password_secret.as_ref().map(|reference| reference.name.as_str()).filter(|name| !name.is_empty());
    let Some(secret) = secret else { return password.cloned() };
    let field = "spec.passwordSecret.name";
    if password.is_some() {
        let fix = "keep one of the two";
        report.error(Category::PasswordAndSecret, field, "both password and passwordSecret are given", fix);
        return None;
    }
    if references.level == Level::Admission {
        return None;
    }
    let Some(found) = references.secrets.get(secret) else {
        let message = format!("there is no secret {secret:?} in the install namespace");
        let fix = format!("create it there, of type {BASIC_AUTH}, with a key `password`");
        report.error(Category::SecretMissing, field, message, fix);
        return None;
    };
    if found.spec.secret_type != BASIC_AUTH {
        let message = format!("the secret {secret:?} is of type {:?}, not {BASIC_AUTH}", found.spec.secret_type);
        report.error(Category::SecretWrongType, field, message, format!("make it anew with type {BASIC_AUTH}"));
        return None;
    }
    if found.spec.password.is_none() {
        let message = format!("the secret {secret:?} has no key `password`");
        report.error(Category::SecretNoPassword, field, message, "add the key `password`");
    }
    found.spec.password.clone()
}

fn read_profile_reference(spec: &RawPeer, references: &References<'_>, report: &mut Report<'_>) -> Option<Arc<str>> {
    let name = text(spec.bfd_profile.as_ref())?;
    if references.level == Level::Full && !references.profiles.contains_key(name) {
        let message = format!("there is no BFD profile {name:?}");
        report.error(
            Category::UnknownBfdProfile,
            "spec.bfdProfile",
            message,
            "create the BFDProfile or correct the name",
        );
    }
    Some(Arc::from(name))
}

/// The family of the address, or both ([FRR-3]).
fn read_families(spec: &RawPeer, endpoint: &PeerEndpoint) -> SessionFamilies {
    match endpoint {
        PeerEndpoint::Address(address) if spec.dual_stack_address_family != Some(true) => {
            SessionFamilies::Only(IpFamily::of(*address))
        }
        PeerEndpoint::Address(_) | PeerEndpoint::Interface(_) => SessionFamilies::Both,
    }
}
