//! A pod: two addresses on which real servers answer, and what their answers say.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::control_plane::objects::{Condition, Endpoint};
use crate::error::Result;
use crate::host::Host;
use crate::{datagram, http};

/// Port on which every pod serves: HTTP by TCP, and the same page for any datagram by UDP.
pub const POD_PORT: u16 = 8_080;

/// A running pod. Its servers stop when it is dropped.
#[derive(Debug)]
pub struct Pod {
    name: String,
    node: String,
    v4: Ipv4Addr,
    v6: Ipv6Addr,
    _servers: [(http::Server, datagram::Server); 2],
}

impl Pod {
    pub(super) fn start(host: &Host, name: &str, node: &str, v4: Ipv4Addr, v6: Ipv6Addr) -> Result<Self> {
        let serve = |address: IpAddr| -> Result<_> {
            let (node, pod) = (node.to_owned(), name.to_owned());
            let page =
                move |client: SocketAddr| Answer { node: node.clone(), pod: pod.clone(), client: client.ip() }.page();
            let address = SocketAddr::new(address, POD_PORT);
            let datagrams = datagram::Server::answering(host, address, page.clone())?;
            Ok((http::Server::answering(host, address, page)?, datagrams))
        };
        let servers = [serve(v4.into())?, serve(v6.into())?];
        Ok(Self { name: name.to_owned(), node: node.to_owned(), v4, v6, _servers: servers })
    }

    /// The name it was made with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The node it runs on.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Its address of IPv4.
    pub const fn address_v4(&self) -> Ipv4Addr {
        self.v4
    }

    /// Its address of IPv6.
    pub const fn address_v6(&self) -> Ipv6Addr {
        self.v6
    }

    /// Its two endpoints, ready.
    pub fn endpoints(&self) -> [Endpoint; 2] {
        self.endpoints_in(Condition::Ready)
    }

    /// Its two endpoints in a state.
    pub fn endpoints_in(&self, condition: Condition) -> [Endpoint; 2] {
        [IpAddr::V4(self.v4), IpAddr::V6(self.v6)].map(|address| Endpoint {
            address,
            node: self.node.clone(),
            condition,
        })
    }
}

/// What a pod answers: a page in three words.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Answer {
    /// The node that the pod runs on.
    pub node: String,
    /// The pod.
    pub pod: String,
    /// The client as the pod sees it: its own address only where no node translated it.
    pub client: IpAddr,
}

impl Answer {
    /// Reads a page.
    pub fn of(page: &str) -> Option<Self> {
        let mut words = page.split_whitespace();
        let answer =
            Self { node: words.next()?.to_owned(), pod: words.next()?.to_owned(), client: words.next()?.parse().ok()? };
        words.next().is_none().then_some(answer)
    }

    fn page(&self) -> String {
        format!("{} {} {}\n", self.node, self.pod, self.client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_back() {
        let answer = Answer { node: "n1".into(), pod: "web-0".into(), client: "fc00::1".parse().unwrap() };
        assert_eq!(Answer::of(&answer.page()), Some(answer));
        assert_eq!(Answer::of("n1 web-0"), None);
        assert_eq!(Answer::of("<html> n1 web-0"), None);
    }
}
