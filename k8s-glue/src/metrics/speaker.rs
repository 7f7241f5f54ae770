//! What a speaker exposes: what it announces, figures of layer 2 and of BGP sessions, and of its work.

use std::net::IpAddr;

use super::controller::WorkFigures;
use super::text::Page;
use super::{family, process};

/// How an address is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// By BGP.
    Bgp,
    /// By ARP or NDP.
    Layer2,
}

impl Protocol {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Bgp => "bgp",
            Self::Layer2 => "layer2",
        }
    }
}

/// An address that this node announces ([METRIC-1]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnouncedFigures {
    /// Namespace and name of the Service, with a slash between.
    pub service: String,
    /// How.
    pub protocol: Protocol,
    /// The address.
    pub address: IpAddr,
}

/// Frames for one address ([METRIC-20] to [METRIC-22]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer2Figures {
    /// The address.
    pub address: IpAddr,
    /// Requests received.
    pub requests: u64,
    /// Replies sent.
    pub replies: u64,
    /// Gratuitous frames sent.
    pub gratuitous: u64,
}

/// Messages and prefixes of one session ([METRIC-30] to [METRIC-34]); it has series from the moment it is configured, with 0
/// ([METRIC-52]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionFigures {
    /// Address and port, `192.0.2.1:179` ([METRIC-50]).
    pub peer: String,
    /// The VRF; `None` is the default one.
    pub vrf: Option<String>,
    /// Whether it is established.
    pub up: bool,
    /// Prefixes that the peer has.
    pub announced_prefixes: usize,
    /// Prefixes that the peer shall have.
    pub pending_prefixes: usize,
    /// OPEN messages sent.
    pub opens_sent: u64,
    /// OPEN messages received.
    pub opens_received: u64,
    /// NOTIFICATION messages sent.
    pub notifications_sent: u64,
    /// UPDATE messages sent.
    pub updates_sent: u64,
    /// UPDATE messages received.
    pub updates_received: u64,
    /// KEEPALIVE messages sent.
    pub keepalives_sent: u64,
    /// KEEPALIVE messages received.
    pub keepalives_received: u64,
    /// ROUTE-REFRESH messages sent.
    pub route_refreshes_sent: u64,
    /// Messages sent.
    pub total_sent: u64,
    /// Messages received.
    pub total_received: u64,
}

impl SessionFigures {
    fn put(&self, page: &mut Page) {
        let labels = [self.peer.as_str(), self.vrf.as_deref().unwrap_or("default")];
        page.put(&family::BGP_SESSION_UP, labels, self.up);
        page.put(&family::BGP_PREFIXES, labels, self.announced_prefixes);
        page.put(&family::BGP_PENDING, [self.peer.as_str()], self.pending_prefixes);
        let counters = [
            (&family::BGP_UPDATES_SENT, self.updates_sent),
            (&family::BGP_OPENS_SENT, self.opens_sent),
            (&family::BGP_OPENS_RECEIVED, self.opens_received),
            (&family::BGP_NOTIFICATIONS_SENT, self.notifications_sent),
            (&family::BGP_UPDATES_RECEIVED, self.updates_received),
            (&family::BGP_KEEPALIVES_SENT, self.keepalives_sent),
            (&family::BGP_KEEPALIVES_RECEIVED, self.keepalives_received),
            (&family::BGP_ROUTE_REFRESH_SENT, self.route_refreshes_sent),
            (&family::BGP_TOTAL_SENT, self.total_sent),
            (&family::BGP_TOTAL_RECEIVED, self.total_received),
        ];
        for (counter, value) in counters {
            page.put(counter, labels, value);
        }
    }
}

/// Everything of a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpeakerFigures {
    /// The name of this node.
    pub node: String,
    /// Figures of its work.
    pub work: WorkFigures,
    /// What it announces.
    pub announced: Vec<AnnouncedFigures>,
    /// Frames, by address.
    pub layer2: Vec<Layer2Figures>,
    /// One for each configured peer.
    pub sessions: Vec<SessionFigures>,
}

impl SpeakerFigures {
    /// The page of the speaker.
    pub fn render(&self) -> String {
        let mut page = Page::default();
        self.work.put(&mut page);
        for announced in &self.announced {
            let address = announced.address.to_string();
            let labels =
                [announced.service.as_str(), announced.protocol.as_str(), self.node.as_str(), address.as_str()];
            page.put(&family::ANNOUNCED, labels, true);
        }
        for figures in &self.layer2 {
            let address = figures.address.to_string();
            page.put(&family::LAYER2_REQUESTS, [address.as_str()], figures.requests);
            page.put(&family::LAYER2_RESPONSES, [address.as_str()], figures.replies);
            page.put(&family::LAYER2_GRATUITOUS, [address.as_str()], figures.gratuitous);
        }
        for session in &self.sessions {
            session.put(&mut page);
        }
        process::put(&mut page);
        page.render()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // [METRIC-1], [METRIC-20], [METRIC-30], [METRIC-50], [METRIC-52], [METRIC-54]
    #[test]
    fn series_carry_the_names_and_labels_of_upstream() {
        let figures = SpeakerFigures {
            node: "node-a".to_owned(),
            announced: vec![AnnouncedFigures {
                service: "shop/web".to_owned(),
                protocol: Protocol::Layer2,
                address: IpAddr::from([192, 0, 2, 7]),
            }],
            layer2: vec![Layer2Figures {
                address: IpAddr::from([192, 0, 2, 7]),
                requests: 4,
                replies: 3,
                gratuitous: 2,
            }],
            sessions: vec![
                SessionFigures {
                    peer: "192.0.2.1:179".to_owned(),
                    up: true,
                    announced_prefixes: 5,
                    ..SessionFigures::default()
                },
                SessionFigures {
                    peer: "192.0.2.2:180".to_owned(),
                    vrf: Some("red".to_owned()),
                    ..SessionFigures::default()
                },
            ],
            ..SpeakerFigures::default()
        };
        let page = figures.render();
        for line in [
            "metallb_speaker_announced{service=\"shop/web\",protocol=\"layer2\",node=\"node-a\",ip=\"192.0.2.7\"} 1",
            "metallb_layer2_requests_received{ip=\"192.0.2.7\"} 4",
            "metallb_layer2_responses_sent{ip=\"192.0.2.7\"} 3",
            "metallb_layer2_gratuitous_sent{ip=\"192.0.2.7\"} 2",
            "metallb_bgp_session_up{peer=\"192.0.2.1:179\",vrf=\"default\"} 1",
            "metallb_bgp_announced_prefixes_total{peer=\"192.0.2.1:179\",vrf=\"default\"} 5",
            "metallb_bgp_session_up{peer=\"192.0.2.2:180\",vrf=\"red\"} 0",
            "metallb_bgp_pending_prefixes_total{peer=\"192.0.2.2:180\"} 0",
            "metallb_bgp_opens_sent{peer=\"192.0.2.2:180\",vrf=\"red\"} 0",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} in\n{page}");
        }
    }

    // [METRIC-51]: a speaker that sent nothing for an address exports nothing for it.
    #[test]
    fn what_is_not_given_has_no_series() {
        let page = SpeakerFigures::default().render();
        assert!(!page.contains("metallb_layer2") && !page.contains("metallb_bgp") && !page.contains("metallb_speaker"));
    }
}
