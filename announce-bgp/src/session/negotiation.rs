//! What both OPENs come to.

use core::time::Duration;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use lbcore::family::IpFamily;
use lbcore::peer::{Peer, RemoteAs, SessionKind};

use super::SessionConfig;
use super::local_end::LocalEnd;
use crate::rib_out::Encoding;
use crate::wire::attribute::AsWidth;
use crate::wire::capability::Capability;
use crate::wire::error::OpenError;
use crate::wire::open::Open;

/// What both sides have agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The peer's AS.
    pub remote_as: u32,
    /// Our AS as the peer knows it.
    pub local_as: u32,
    /// By the numbers really used ([WIRE-6]).
    pub kind: SessionKind,
    /// The peer's BGP identifier.
    pub remote_id: Ipv4Addr,
    /// Our BGP identifier.
    pub local_id: Ipv4Addr,
    /// The smaller of both; zero where no timers run.
    pub hold: Duration,
    /// Wait between KEEPALIVEs; `None` where no timers run.
    pub keepalive: Option<Duration>,
    /// How wide AS numbers are.
    pub as_width: AsWidth,
    /// Families that both sides offer.
    pub families: BTreeSet<IpFamily>,
    /// How routes are written.
    pub encoding: Encoding,
}

impl Negotiated {
    /// Families that are carried, and whose routes have no address to lead to.
    pub fn without_next_hop(&self) -> impl Iterator<Item = IpFamily> {
        self.families.iter().copied().filter(|family| self.encoding.next_hop(*family).is_none())
    }

    /// Takes the next hops of our end as it is now; says whether they are others.
    pub(super) fn readdress(&mut self, local: &LocalEnd) -> Readdressed {
        let before = self.encoding;
        // The identifier stays as long as the session (RFC 4271 section 4.2).
        self.encoding = lead(before, &self.families, local, self.local_id);
        if self.encoding == before { Readdressed::No } else { Readdressed::Yes }
    }
}

/// Whether next hops have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readdressed {
    Yes,
    No,
}

/// Our OPEN. Without capabilities only IPv4 is carried, and AS numbers have two octets ([WIRE-24]).
pub(super) fn our_open(config: &SessionConfig, local: &LocalEnd, offer: Offer) -> Open {
    let asn = config.peer.local_as().as_u32();
    let hold = config.timers().hold.as_secs();
    let capabilities = match offer {
        Offer::Full => {
            let families = [IpFamily::V4, IpFamily::V6].into_iter();
            let carried = families.filter(|family| config.peer.families.carries(*family));
            let ours = [Capability::RouteRefresh, Capability::FourOctetAs(asn)];
            carried.map(Capability::unicast).chain(ours).collect()
        }
        Offer::Plain => Vec::new(),
    };
    Open {
        my_as: Open::as_field(asn),
        hold_time: u16::try_from(hold).unwrap_or(u16::MAX),
        router_id: local.router_id(config),
        capabilities,
    }
}

/// What we offer in an OPEN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// Everything.
    Full,
    /// No capabilities: the peer refused optional parameters (RFC 5492 section 3).
    Plain,
}

/// What both OPENs come to.
///
/// # Errors
/// [`OpenError::BadPeerAs`] for an AS that is not the expected one, [`OpenError::BadIdentifier`] for our own identifier within our AS.
pub(super) fn negotiate(
    config: &SessionConfig,
    local: &LocalEnd,
    ours: &Open,
    theirs: &Open,
) -> Result<Negotiated, OpenError> {
    let (local_as, remote_as) = (config.peer.local_as().as_u32(), theirs.asn());
    if !is_expected(&config.peer, remote_as) {
        return Err(OpenError::BadPeerAs { asn: remote_as });
    }
    let kind = if local_as == remote_as { SessionKind::Internal } else { SessionKind::External };
    if kind == SessionKind::Internal && theirs.router_id == ours.router_id {
        return Err(OpenError::BadIdentifier);
    }
    let both_have = ours.four_octet_as().is_some() && theirs.four_octet_as().is_some();
    let as_width = if both_have { AsWidth::Four } else { AsWidth::Two };
    // A plain OPEN says IPv4 by saying nothing, also where the configuration carries IPv6 alone ([FRR-3]).
    let (offered, theirs_too) = (ours.families(), theirs.families());
    let is_carried = |family: &IpFamily| theirs_too.contains(family) && config.peer.families.carries(*family);
    let families: BTreeSet<IpFamily> = offered.into_iter().filter(is_carried).collect();
    let hold = Duration::from_secs(u64::from(ours.hold_time.min(theirs.hold_time)));
    let encoding = Encoding { kind, local_as, as_width, defaults: config.defaults, v4: None, v6: None };
    let encoding = lead(encoding, &families, local, ours.router_id);
    Ok(Negotiated {
        remote_as,
        local_as,
        kind,
        remote_id: theirs.router_id,
        local_id: ours.router_id,
        hold,
        keepalive: keepalive(config.timers().keepalive, hold),
        as_width,
        families,
        encoding,
    })
}

/// The encoding with next hops for the families of a session ([WIRE-50] to [WIRE-52]).
fn lead(encoding: Encoding, families: &BTreeSet<IpFamily>, local: &LocalEnd, router_id: Ipv4Addr) -> Encoding {
    Encoding {
        v4: families.contains(&IpFamily::V4).then(|| local.next_hop_v4(router_id)),
        v6: if families.contains(&IpFamily::V6) { local.next_hop_v6() } else { None },
        ..encoding
    }
}

/// [PEER-11], [WIRE-5].
fn is_expected(peer: &Peer, asn: u32) -> bool {
    match peer.remote {
        RemoteAs::Exactly(expected) => expected.as_u32() == asn,
        RemoteAs::Internal => peer.my_asn.as_u32() == asn,
        RemoteAs::External => peer.my_asn.as_u32() != asn,
    }
}

/// KEEPALIVEs must not be sent more often (RFC 4271 section 4.4).
pub(super) const LEAST_KEEPALIVE: Duration = Duration::from_secs(1);

/// The configured time, but at most a third of the hold time ([WIRE-7]) and not less than a second.
fn keepalive(configured: Duration, hold: Duration) -> Option<Duration> {
    if hold.is_zero() {
        return None;
    }
    let third = hold / 3;
    let wait = if configured.is_zero() { third } else { configured.min(third) };
    Some(wait.max(LEAST_KEEPALIVE))
}
