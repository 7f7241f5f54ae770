//! One object of a description, of whatever kind, and what it refers to.

use std::sync::Arc;

use crate::config::problem::ObjectRef;
use crate::config::raw::{
    Raw, RawAddressReservation, RawBfdProfile, RawBgpAdvertisement, RawCommunity, RawConfig, RawL2Advertisement,
    RawPeer, RawPool, RawPoolPolicy, RawSecret,
};

/// The kinds, those that others refer to first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ItemKind {
    Secret,
    BfdProfile,
    Community,
    Pool,
    Peer,
    L2Advertisement,
    BgpAdvertisement,
    PoolPolicy,
    AddressReservation,
    /// No kind of a description; nothing is of it.
    Other,
}

/// Every kind that an object can be of, in order.
pub(super) const KINDS: [ItemKind; 9] = [
    ItemKind::Secret,
    ItemKind::BfdProfile,
    ItemKind::Community,
    ItemKind::Pool,
    ItemKind::Peer,
    ItemKind::L2Advertisement,
    ItemKind::BgpAdvertisement,
    ItemKind::PoolPolicy,
    ItemKind::AddressReservation,
];

/// What an object is known by over its versions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    kind: ItemKind,
    name: Arc<str>,
    namespace: Option<Arc<str>>,
}

impl Id {
    /// The identity of an object that a problem names.
    pub(super) fn of(object: &ObjectRef) -> Self {
        let kind = match object.kind.as_ref() {
            "Secret" => ItemKind::Secret,
            "BFDProfile" => ItemKind::BfdProfile,
            "Community" => ItemKind::Community,
            "IPAddressPool" => ItemKind::Pool,
            "BGPPeer" => ItemKind::Peer,
            "L2Advertisement" => ItemKind::L2Advertisement,
            "BGPAdvertisement" => ItemKind::BgpAdvertisement,
            "PoolPolicy" => ItemKind::PoolPolicy,
            "AddressReservation" => ItemKind::AddressReservation,
            _ => ItemKind::Other,
        };
        Self { kind, name: Arc::clone(&object.name), namespace: object.namespace.clone() }
    }

    pub(super) const fn kind(&self) -> ItemKind {
        self.kind
    }
}

/// One object.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Secret(Raw<RawSecret>),
    BfdProfile(Raw<RawBfdProfile>),
    Community(Raw<RawCommunity>),
    Pool(Raw<RawPool>),
    Peer(Box<Raw<RawPeer>>),
    L2Advertisement(Raw<RawL2Advertisement>),
    BgpAdvertisement(Raw<RawBgpAdvertisement>),
    PoolPolicy(Raw<RawPoolPolicy>),
    AddressReservation(Raw<RawAddressReservation>),
}

/// Every object of a description.
pub(super) fn items(description: &RawConfig) -> impl Iterator<Item = Item> + '_ {
    let secrets = description.secrets.iter().cloned().map(Item::Secret);
    let profiles = description.bfd_profiles.iter().cloned().map(Item::BfdProfile);
    let communities = description.communities.iter().cloned().map(Item::Community);
    let pools = description.pools.iter().cloned().map(Item::Pool);
    let peers = description.peers.iter().cloned().map(Box::new).map(Item::Peer);
    let l2 = description.l2_advertisements.iter().cloned().map(Item::L2Advertisement);
    let bgp = description.bgp_advertisements.iter().cloned().map(Item::BgpAdvertisement);
    let policies = description.pool_policies.iter().cloned().map(Item::PoolPolicy);
    let reservations = description.address_reservations.iter().cloned().map(Item::AddressReservation);
    let metallb = secrets.chain(profiles).chain(communities).chain(pools).chain(peers).chain(l2).chain(bgp);
    metallb.chain(policies).chain(reservations)
}

fn same<T: PartialEq>(left: &Raw<T>, right: &Raw<T>) -> bool {
    left.labels == right.labels && left.spec == right.spec
}

impl Item {
    pub(super) fn id(&self) -> Id {
        let object = self.object();
        let kind = match self {
            Self::Secret(_) => ItemKind::Secret,
            Self::BfdProfile(_) => ItemKind::BfdProfile,
            Self::Community(_) => ItemKind::Community,
            Self::Pool(_) => ItemKind::Pool,
            Self::Peer(_) => ItemKind::Peer,
            Self::L2Advertisement(_) => ItemKind::L2Advertisement,
            Self::BgpAdvertisement(_) => ItemKind::BgpAdvertisement,
            Self::PoolPolicy(_) => ItemKind::PoolPolicy,
            Self::AddressReservation(_) => ItemKind::AddressReservation,
        };
        Id { kind, name: Arc::clone(&object.name), namespace: object.namespace.clone() }
    }

    pub(super) fn object(&self) -> &ObjectRef {
        match self {
            Self::Secret(raw) => &raw.object,
            Self::BfdProfile(raw) => &raw.object,
            Self::Community(raw) => &raw.object,
            Self::Pool(raw) => &raw.object,
            Self::Peer(raw) => &raw.object,
            Self::L2Advertisement(raw) => &raw.object,
            Self::BgpAdvertisement(raw) => &raw.object,
            Self::PoolPolicy(raw) => &raw.object,
            Self::AddressReservation(raw) => &raw.object,
        }
    }

    /// Whether two versions of one object are one; where they were read does not matter.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Secret(left), Self::Secret(right)) => same(left, right),
            (Self::BfdProfile(left), Self::BfdProfile(right)) => same(left, right),
            (Self::Community(left), Self::Community(right)) => same(left, right),
            (Self::Pool(left), Self::Pool(right)) => same(left, right),
            (Self::Peer(left), Self::Peer(right)) => same(left, right),
            (Self::L2Advertisement(left), Self::L2Advertisement(right)) => same(left, right),
            (Self::BgpAdvertisement(left), Self::BgpAdvertisement(right)) => same(left, right),
            (Self::PoolPolicy(left), Self::PoolPolicy(right)) => same(left, right),
            (Self::AddressReservation(left), Self::AddressReservation(right)) => same(left, right),
            _ => false,
        }
    }

    /// Whether it names the other: a peer its Secret and BFD profile, an advertisement an alias of a Community.
    pub(super) fn refers_to(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Peer(peer), Self::Secret(secret)) => {
                let reference = peer.spec.password_secret.as_ref();
                reference.is_some_and(|reference| *reference.name == *secret.object.name)
            }
            (Self::Peer(peer), Self::BfdProfile(profile)) => {
                peer.spec.bfd_profile.as_deref() == Some(profile.object.name.as_ref())
            }
            (Self::BgpAdvertisement(advertisement), Self::Community(community)) => {
                let mut aliases = community.spec.communities.iter();
                aliases.any(|alias| advertisement.spec.communities.contains(&alias.name))
            }
            _ => false,
        }
    }

    pub(super) fn put_into(self, description: &mut RawConfig) {
        match self {
            Self::Secret(raw) => description.secrets.push(raw),
            Self::BfdProfile(raw) => description.bfd_profiles.push(raw),
            Self::Community(raw) => description.communities.push(raw),
            Self::Pool(raw) => description.pools.push(raw),
            Self::Peer(raw) => description.peers.push(*raw),
            Self::L2Advertisement(raw) => description.l2_advertisements.push(raw),
            Self::BgpAdvertisement(raw) => description.bgp_advertisements.push(raw),
            Self::PoolPolicy(raw) => description.pool_policies.push(raw),
            Self::AddressReservation(raw) => description.address_reservations.push(raw),
        }
    }
}
