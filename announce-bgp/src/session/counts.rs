//! What a session counts, for the metrics of [METRIC-30] to [METRIC-34].

use crate::wire::MessageKind;

/// Messages of one direction, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageCounts {
    /// OPEN.
    pub opens: u64,
    /// UPDATE.
    pub updates: u64,
    /// NOTIFICATION.
    pub notifications: u64,
    /// KEEPALIVE.
    pub keepalives: u64,
    /// ROUTE-REFRESH.
    pub route_refreshes: u64,
}

impl MessageCounts {
    pub(super) const fn add(&mut self, kind: MessageKind, messages: u64) {
        let place = match kind {
            MessageKind::Open => &mut self.opens,
            MessageKind::Update => &mut self.updates,
            MessageKind::Notification => &mut self.notifications,
            MessageKind::KeepAlive => &mut self.keepalives,
            MessageKind::RouteRefresh => &mut self.route_refreshes,
        };
        *place = place.wrapping_add(messages);
    }

    /// All of them.
    pub const fn total(&self) -> u64 {
        self.opens + self.updates + self.notifications + self.keepalives + self.route_refreshes
    }
}

/// What a session has counted since it was configured; a reconnect does not set it back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionCounts {
    /// Messages sent.
    pub sent: MessageCounts,
    /// Messages received.
    pub received: MessageCounts,
    /// Times that all routes of a family were sent again for a ROUTE-REFRESH; requests that come before an answer begins share it.
    pub refreshes_answered: u64,
    /// Times the session was established.
    pub established: u64,
    /// Attempts to connect.
    pub attempts: u64,
    /// Prefixes that the peer announced; they are counted and dropped ([WIRE-60]).
    pub prefixes_dropped: u64,
    /// UPDATEs whose routes were taken as withdrawn (RFC 7606).
    pub treated_as_withdraw: u64,
    /// UPDATEs of which attributes were ignored (RFC 7606).
    pub attributes_discarded: u64,
}
