//! When two Services may hold one address: sharing keys, backend keys and ports ([ALLOC-4] to [ALLOC-11]).

use core::fmt;
use core::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use crate::labels::Labels;
use crate::service::SharingKey;

/// The transport protocol of a Service's port, in the order of their protocol numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// A text that names no transport protocol.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is not a protocol: write TCP, UDP or SCTP")]
pub struct ParseProtocolError {
    /// What was given.
    pub text: String,
}

impl FromStr for Protocol {
    type Err = ParseProtocolError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "TCP" => Ok(Self::Tcp),
            "UDP" => Ok(Self::Udp),
            "SCTP" => Ok(Self::Sctp),
            _ => Err(ParseProtocolError { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        })
    }
}

/// A port that a Service serves: its own number, neither the target's nor the node's ([ALLOC-4]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServicePort {
    /// The protocol; TCP and UDP of one number are two ports ([ALLOC-11]).
    pub protocol: Protocol,
    /// The number.
    pub port: u16,
}

/// A text that is no port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is not a port: write PROTOCOL/NUMBER, such as TCP/443")]
pub struct ParseServicePortError {
    /// What was given.
    pub text: String,
}

impl FromStr for ServicePort {
    type Err = ParseServicePortError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('/').filter(|(_, port)| port.bytes().all(|octet| octet.is_ascii_digit()));
        let read = parts
            .and_then(|(protocol, port)| Some(Self { protocol: protocol.parse().ok()?, port: port.parse().ok()? }));
        read.ok_or_else(|| ParseServicePortError { text: text.to_owned() })
    }
}

impl fmt::Display for ServicePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.protocol, self.port)
    }
}

/// The ports of a Service: sorted, each once, possibly none. Cloning is cheap.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServicePorts(Arc<[ServicePort]>);

impl ServicePorts {
    /// Takes ports in any order; equal ones fall together.
    pub fn new(ports: impl IntoIterator<Item = ServicePort>) -> Self {
        let mut ports: Vec<ServicePort> = ports.into_iter().collect();
        ports.sort_unstable();
        ports.dedup();
        Self(ports.into())
    }

    /// The ports, sorted, each once.
    pub fn as_slice(&self) -> &[ServicePort] {
        &self.0
    }

    /// Whether the port is among them.
    pub fn contains(&self, port: ServicePort) -> bool {
        self.0.binary_search(&port).is_ok()
    }

    /// The lowest port that both have.
    pub fn first_common(&self, other: &Self) -> Option<ServicePort> {
        self.0.iter().copied().find(|port| other.contains(*port))
    }

    /// Whether every port of `other` is among these.
    pub fn contains_all(&self, other: &Self) -> bool {
        other.0.iter().all(|port| self.contains(*port))
    }
}

impl FromIterator<ServicePort> for ServicePorts {
    fn from_iter<I: IntoIterator<Item = ServicePort>>(ports: I) -> Self {
        Self::new(ports)
    }
}

/// Which endpoints a Service's traffic can reach; Services on one address must have equal ones ([ALLOC-5], [ALLOC-6]).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BackendKey {
    /// Policy Cluster: every node can take the traffic, so all such Services are alike.
    #[default]
    Cluster,
    /// Policy Local: only nodes with an endpoint take it. Selectors of different namespaces choose different endpoints.
    Local(Arc<LocalBackends>),
}

/// Which endpoints a Service with policy Local has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalBackends {
    /// The Service's namespace.
    pub namespace: String,
    /// The selector as `key=value`, sorted by key, joined by commas; may be empty.
    pub selector: String,
}

impl BackendKey {
    /// The key of a Service with policy Local.
    pub fn local(namespace: &str, selector: &Labels) -> Self {
        let pairs: Vec<String> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
        Self::Local(Arc::new(LocalBackends { namespace: namespace.to_owned(), selector: pairs.join(",") }))
    }
}

/// On what terms a Service holds an address together with others. Cloning is cheap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SharingTerms {
    /// Services with the same key may share; `None` shares with nobody ([ANNOT-3], [ANNOT-7]).
    pub sharing_key: Option<SharingKey>,
    /// Must be equal too.
    pub backend_key: BackendKey,
    /// Must be disjoint.
    pub ports: ServicePorts,
}

/// Why two Services cannot hold one address; the sentence continues after the name of the holder.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SharingConflict {
    /// The holder shares with nobody.
    #[error("which shares it with nobody: give both Services the same sharing key, or ask for another address")]
    HolderKeepsIt,
    /// The newcomer has no sharing key.
    #[error("which shares it under the key {key}: give this Service that sharing key, or ask for another address")]
    NoKey {
        /// The holder's key.
        key: SharingKey,
    },
    /// Both have keys, and different ones.
    #[error("which shares it under the key {key}: use that sharing key here, or ask for another address")]
    DifferentKeys {
        /// The holder's key.
        key: SharingKey,
    },
    /// Traffic of the two reaches different endpoints.
    #[error(
        "whose traffic reaches other endpoints: use externalTrafficPolicy Cluster for both, or Local with one namespace and \
         selector, or ask for another address"
    )]
    DifferentBackends,
    /// Both serve this port.
    #[error("which serves {port} there too: change one of the ports, or ask for another address")]
    PortTaken {
        /// The port.
        port: ServicePort,
    },
}

impl SharingTerms {
    /// Whether the keys of two different Services let them share, ports aside.
    ///
    /// # Errors
    /// The [`SharingConflict`] of the newcomer with this holder; never [`SharingConflict::PortTaken`].
    pub fn keys_admit(&self, newcomer: &Self) -> Result<(), SharingConflict> {
        let Some(key) = &self.sharing_key else {
            return Err(SharingConflict::HolderKeepsIt);
        };
        match &newcomer.sharing_key {
            None => Err(SharingConflict::NoKey { key: key.clone() }),
            Some(other) if other != key => Err(SharingConflict::DifferentKeys { key: key.clone() }),
            Some(_) if self.backend_key != newcomer.backend_key => Err(SharingConflict::DifferentBackends),
            Some(_) => Ok(()),
        }
    }

    /// Whether another Service may hold an address beside the holder of these terms ([ALLOC-10]).
    ///
    /// # Errors
    /// The [`SharingConflict`] of the newcomer with this holder.
    pub fn admit(&self, newcomer: &Self) -> Result<(), SharingConflict> {
        self.keys_admit(newcomer)?;
        match self.ports.first_common(&newcomer.ports) {
            Some(port) => Err(SharingConflict::PortTaken { port }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(protocol: Protocol, port: u16) -> ServicePort {
        ServicePort { protocol, port }
    }

    fn terms(key: &str, backend_key: BackendKey, ports: &[ServicePort]) -> SharingTerms {
        let ports = ports.iter().copied().collect();
        SharingTerms { sharing_key: SharingKey::new(key).ok(), backend_key, ports }
    }

    // [ALLOC-10]
    #[test]
    fn equal_keys_and_disjoint_ports_share() {
        let holder = terms("k", BackendKey::Cluster, &[port(Protocol::Tcp, 80)]);
        assert_eq!(holder.admit(&terms("k", BackendKey::Cluster, &[port(Protocol::Tcp, 443)])), Ok(()));
    }

    // [ALLOC-11]
    #[test]
    fn one_number_under_two_protocols_is_two_ports() {
        let holder = terms("k", BackendKey::Cluster, &[port(Protocol::Tcp, 53)]);
        assert_eq!(holder.admit(&terms("k", BackendKey::Cluster, &[port(Protocol::Udp, 53)])), Ok(()));
        assert_eq!(holder.admit(&holder), Err(SharingConflict::PortTaken { port: port(Protocol::Tcp, 53) }));
    }

    // [ALLOC-10], [ANNOT-7]
    #[test]
    fn services_without_a_key_never_share() {
        let without = terms("", BackendKey::Cluster, &[]);
        let with = terms("k", BackendKey::Cluster, &[]);
        assert_eq!(without.admit(&without), Err(SharingConflict::HolderKeepsIt));
        assert_eq!(without.admit(&with), Err(SharingConflict::HolderKeepsIt));
        assert_eq!(with.admit(&without), Err(SharingConflict::NoKey { key: "k".parse().unwrap() }));
    }

    // [ALLOC-6]
    #[test]
    fn local_backends_differ_by_namespace_and_from_cluster_ones() {
        let selector = Labels::from([("b".to_owned(), "2".to_owned()), ("a".to_owned(), "1".to_owned())]);
        let here = BackendKey::local("shop", &selector);
        let expected = LocalBackends { namespace: "shop".to_owned(), selector: "a=1,b=2".to_owned() };
        assert_eq!(here, BackendKey::Local(Arc::new(expected)));
        assert_ne!(here, BackendKey::local("bank", &selector));
        assert_ne!(BackendKey::local("shop", &Labels::new()), BackendKey::Cluster);
        let holder = terms("k", here, &[]);
        assert_eq!(holder.admit(&terms("k", BackendKey::Cluster, &[])), Err(SharingConflict::DifferentBackends));
    }

    #[test]
    fn protocols_are_read_as_they_are_written() {
        for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
            assert_eq!(protocol.to_string().parse(), Ok(protocol));
        }
        assert!("tcp".parse::<Protocol>().is_err());
        assert_eq!("UDP/53".parse(), Ok(port(Protocol::Udp, 53)));
        for refused in ["UDP", "UDP/", "UDP/+53", "UDP/65536", "udp/53", "/53", "UDP/53/1"] {
            assert!(refused.parse::<ServicePort>().is_err(), "{refused:?} was taken");
        }
    }
}
