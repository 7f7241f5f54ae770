//! The finite state machine of RFC 4271 section 8: states, events, and what follows from each pair. Nothing else.
//!
//! It is the machine of a speaker that never listens: no event of an accepted connection, of passive opening or of a collision can
//! come about. Where it differs from the text of the RFC:
//! - A NOTIFICATION is never answered with one (RFC 4271 section 6.4 says so too, section 8.2.2 does not in OpenSent).
//! - `ROUTE-REFRESH` (RFC 2918) and the send hold timer (RFC 9687) are events of their own.
//! - Automatic start after an error waits in Idle for the idle hold timer (`DampPeerOscillations`).

#![cfg_attr(
    not(test),
    expect(clippy::enum_glob_use, reason = "the table reads as that of the RFC without a prefix at each name")
)]

/// States, in the order of the RFC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Nothing is tried.
    Idle,
    /// A connection is being dialled.
    Connect,
    /// Waits to dial again.
    Active,
    /// Our OPEN is sent, the peer's awaited.
    OpenSent,
    /// Both OPENs are taken, the peer's KEEPALIVE is awaited.
    OpenConfirm,
    /// Routes are exchanged.
    Established,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Idle, Self::Connect, Self::Active, Self::OpenSent, Self::OpenConfirm, Self::Established];

    /// Its name in the RFC.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "Idle",
            Self::Connect => "Connect",
            Self::Active => "Active",
            Self::OpenSent => "OpenSent",
            Self::OpenConfirm => "OpenConfirm",
            Self::Established => "Established",
        }
    }
}

/// Events, with their numbers in RFC 4271 section 8.1 where they have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// 1
    ManualStart,
    /// 2
    ManualStop,
    /// 9
    ConnectRetryTimerExpires,
    /// 10
    HoldTimerExpires,
    /// 11
    KeepAliveTimerExpires,
    /// 13
    IdleHoldTimerExpires,
    /// 29 (RFC 9687)
    SendHoldTimerExpires,
    /// 16, `Tcp_CR_Acked`
    TcpConnectionAcknowledged,
    /// 18
    TcpConnectionFails,
    /// 19
    BgpOpen,
    /// 21
    BgpHeaderErr,
    /// 22
    BgpOpenMsgErr,
    /// 24
    NotifMsgVerErr,
    /// 25
    NotifMsg,
    /// 26
    KeepAliveMsg,
    /// 27
    UpdateMsg,
    /// 28
    UpdateMsgErr,
    /// A ROUTE-REFRESH that can be read (RFC 2918).
    RouteRefreshMsg,
    /// A ROUTE-REFRESH that cannot (RFC 7313 section 5).
    RouteRefreshMsgErr,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::ManualStart,
        Self::ManualStop,
        Self::ConnectRetryTimerExpires,
        Self::HoldTimerExpires,
        Self::KeepAliveTimerExpires,
        Self::IdleHoldTimerExpires,
        Self::SendHoldTimerExpires,
        Self::TcpConnectionAcknowledged,
        Self::TcpConnectionFails,
        Self::BgpOpen,
        Self::BgpHeaderErr,
        Self::BgpOpenMsgErr,
        Self::NotifMsgVerErr,
        Self::NotifMsg,
        Self::KeepAliveMsg,
        Self::UpdateMsg,
        Self::UpdateMsgErr,
        Self::RouteRefreshMsg,
        Self::RouteRefreshMsgErr,
    ];
}

/// What is to be done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Dial the peer.
    Dial,
    /// Drop the connection, or stop dialling; routes sent on it are forgotten, all timers stopped.
    Drop,
    /// Answer the routes that were asked for.
    Refresh,
    /// Send the NOTIFICATION that the cause asks for: of the error, of the timer, of the stop.
    SendCause,
    /// Send the NOTIFICATION of an unexpected message (RFC 6608).
    SendStateError,
    /// Send a KEEPALIVE.
    SendKeepAlive,
    /// Send our OPEN.
    SendOpen,
    /// Start to send routes.
    StartRoutes,
    /// Start the timer of an attempt.
    StartConnectRetry,
    /// Start the timer until the next attempt, without leaving the way to it.
    StartReconnect,
    /// Start or restart the hold timer with the negotiated time.
    StartHold,
    /// Start the wait for the peer's OPEN.
    StartOpenHold,
    /// Start or restart the keepalive timer.
    StartKeepAlive,
    /// Start the wait in Idle.
    StartIdleHold,
    /// Stop the timer of an attempt.
    StopConnectRetry,
    /// Stop the wait in Idle.
    StopIdleHold,
}

/// What follows from an event in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state after.
    pub next: State,
    /// What is done, in order.
    pub actions: &'static [Action],
}

const fn to(next: State, actions: &'static [Action]) -> Transition {
    Transition { next, actions }
}

/// Begin an attempt.
const DIAL: Transition = to(State::Connect, &[Action::StopIdleHold, Action::Dial, Action::StartConnectRetry]);
/// End without a word, and wait.
const LOST: Transition = to(State::Idle, &[Action::Drop, Action::StartIdleHold]);
/// Say why, end, and wait.
const FAILED: Transition = to(State::Idle, &[Action::SendCause, Action::Drop, Action::StartIdleHold]);
/// Say that the message does not belong here, end, and wait.
const UNEXPECTED: Transition = to(State::Idle, &[Action::SendStateError, Action::Drop, Action::StartIdleHold]);
/// Say that we stop, and end.
const STOPPED: Transition = to(State::Idle, &[Action::SendCause, Action::Drop]);
/// Connection stands: say who we are.
const OPENED: Transition = to(State::OpenSent, &[Action::StopConnectRetry, Action::SendOpen, Action::StartOpenHold]);

/// What follows from `event` in `state`.
///
/// Source: RFC 4271 section 8.2.2.
pub const fn transition(state: State, event: Event) -> Transition {
    match state {
        State::Idle => idle(event),
        State::Connect => connect(event),
        State::Active => active(event),
        State::OpenSent => open_sent(event),
        State::OpenConfirm => open_confirm(event),
        State::Established => established(event),
    }
}

const fn idle(event: Event) -> Transition {
    use Event::*;
    match event {
        ManualStart | IdleHoldTimerExpires => DIAL,
        ManualStop => to(State::Idle, &[Action::StopIdleHold]),
        // What a connection that is gone left behind is ignored.
        ConnectRetryTimerExpires
        | HoldTimerExpires
        | KeepAliveTimerExpires
        | SendHoldTimerExpires
        | TcpConnectionAcknowledged
        | TcpConnectionFails
        | BgpOpen
        | BgpHeaderErr
        | BgpOpenMsgErr
        | NotifMsgVerErr
        | NotifMsg
        | KeepAliveMsg
        | UpdateMsg
        | UpdateMsgErr
        | RouteRefreshMsg
        | RouteRefreshMsgErr => to(State::Idle, &[]),
    }
}

const fn connect(event: Event) -> Transition {
    use Event::*;
    match event {
        ManualStart => to(State::Connect, &[]),
        ManualStop => to(State::Idle, &[Action::Drop]),
        ConnectRetryTimerExpires => to(State::Connect, &[Action::Drop, Action::Dial, Action::StartConnectRetry]),
        TcpConnectionAcknowledged => OPENED,
        HoldTimerExpires
        | KeepAliveTimerExpires
        | IdleHoldTimerExpires
        | SendHoldTimerExpires
        | TcpConnectionFails
        | BgpOpen
        | BgpHeaderErr
        | BgpOpenMsgErr
        | NotifMsgVerErr
        | NotifMsg
        | KeepAliveMsg
        | UpdateMsg
        | UpdateMsgErr
        | RouteRefreshMsg
        | RouteRefreshMsgErr => LOST,
    }
}

const fn active(event: Event) -> Transition {
    use Event::*;
    match event {
        ManualStart => to(State::Active, &[]),
        ManualStop => to(State::Idle, &[Action::Drop]),
        ConnectRetryTimerExpires => DIAL,
        TcpConnectionAcknowledged => OPENED,
        HoldTimerExpires
        | KeepAliveTimerExpires
        | IdleHoldTimerExpires
        | SendHoldTimerExpires
        | TcpConnectionFails
        | BgpOpen
        | BgpHeaderErr
        | BgpOpenMsgErr
        | NotifMsgVerErr
        | NotifMsg
        | KeepAliveMsg
        | UpdateMsg
        | UpdateMsgErr
        | RouteRefreshMsg
        | RouteRefreshMsgErr => LOST,
    }
}

const fn open_sent(event: Event) -> Transition {
    use Event::*;
    match event {
        ManualStart => to(State::OpenSent, &[]),
        ManualStop => STOPPED,
        HoldTimerExpires | BgpHeaderErr | BgpOpenMsgErr => FAILED,
        TcpConnectionFails => to(State::Active, &[Action::Drop, Action::StartReconnect]),
        BgpOpen => to(
            State::OpenConfirm,
            &[Action::StopConnectRetry, Action::SendKeepAlive, Action::StartHold, Action::StartKeepAlive],
        ),
        NotifMsgVerErr | NotifMsg => LOST,
        ConnectRetryTimerExpires
        | KeepAliveTimerExpires
        | IdleHoldTimerExpires
        | SendHoldTimerExpires
        | TcpConnectionAcknowledged
        | KeepAliveMsg
        | UpdateMsg
        | UpdateMsgErr
        | RouteRefreshMsg
        | RouteRefreshMsgErr => UNEXPECTED,
    }
}

const fn open_confirm(event: Event) -> Transition {
    use Event::*;
    match event {
        ManualStart => to(State::OpenConfirm, &[]),
        ManualStop => STOPPED,
        HoldTimerExpires | BgpHeaderErr | BgpOpenMsgErr => FAILED,
        KeepAliveTimerExpires => to(State::OpenConfirm, &[Action::SendKeepAlive, Action::StartKeepAlive]),
        TcpConnectionFails | NotifMsgVerErr | NotifMsg => LOST,
        KeepAliveMsg => to(State::Established, &[Action::StartHold, Action::StartRoutes]),
        ConnectRetryTimerExpires
        | IdleHoldTimerExpires
        | SendHoldTimerExpires
        | TcpConnectionAcknowledged
        | BgpOpen
        | UpdateMsg
        | UpdateMsgErr
        | RouteRefreshMsg
        | RouteRefreshMsgErr => UNEXPECTED,
    }
}

const fn established(event: Event) -> Transition {
    use Event::*;
    match event {
        ManualStart => to(State::Established, &[]),
        ManualStop => STOPPED,
        HoldTimerExpires | SendHoldTimerExpires | BgpHeaderErr | UpdateMsgErr | RouteRefreshMsgErr => FAILED,
        KeepAliveTimerExpires => to(State::Established, &[Action::SendKeepAlive, Action::StartKeepAlive]),
        TcpConnectionFails | NotifMsgVerErr | NotifMsg => LOST,
        KeepAliveMsg | UpdateMsg => to(State::Established, &[Action::StartHold]),
        RouteRefreshMsg => to(State::Established, &[Action::Refresh]),
        ConnectRetryTimerExpires | IdleHoldTimerExpires | TcpConnectionAcknowledged | BgpOpen | BgpOpenMsgErr => {
            UNEXPECTED
        }
    }
}

#[cfg(test)]
mod tests;
