//! What the shell lends to ownership, and what any thread may ask of it: member frames, authority, a wake-up.

use core::time::Duration;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lbcore::link::LinkIndex;
use lbcore::ownership::{Carrier, Destination};
use lbcore::time::Timestamp;

use super::protocol::{Encoder as _, Protocol};
use super::socket::{self, PacketSocket};
use crate::counters::Counters;

/// The right to send: a deadline, compared immediately before each send ([OWN-50]).
///
/// It is `grace` (half the timeout of ownership) behind the end of the last completed round of the loop. A process that was stopped
/// for longer, or a thread that was starved, finds it past and sends nothing, however many requests wait.
#[derive(Debug)]
pub(super) struct Authority {
    until: AtomicU64,
    grace: Duration,
}

impl Authority {
    /// None, until the first round is complete.
    pub(super) const fn new(grace: Duration) -> Self {
        Self { until: AtomicU64::new(0), grace }
    }

    /// A round was completed at `now`.
    pub(super) fn extend(&self, now: Timestamp) {
        self.until.store((now + self.grace).as_micros(), Ordering::Relaxed);
    }

    /// Whether anything may be sent at `now`.
    pub(super) fn is_held(&self, now: Timestamp) -> bool {
        now.as_micros() <= self.until.load(Ordering::Relaxed)
    }

    /// From the end of a round to the deadline.
    pub(super) const fn grace(&self) -> Duration {
        self.grace
    }
}

/// Wakes the shell's thread from any other, without ever blocking.
#[derive(Debug)]
pub(super) struct Waker {
    sender: UnixStream,
    is_pending: Arc<AtomicBool>,
}

impl Waker {
    /// The two ends.
    ///
    /// # Errors
    /// What the kernel said.
    pub(super) fn pair() -> io::Result<(Self, WakeUps)> {
        let (sender, receiver) = UnixStream::pair()?;
        sender.set_nonblocking(true)?;
        receiver.set_nonblocking(true)?;
        let is_pending = Arc::new(AtomicBool::new(false));
        Ok((Self { sender, is_pending: Arc::clone(&is_pending) }, WakeUps { receiver, is_pending }))
    }

    pub(super) fn wake(&self) {
        if !self.is_pending.swap(true, Ordering::SeqCst) {
            // It fails only where the receiver is gone, or full and so readable already.
            let _ = (&self.sender).write(&[1]);
        }
    }
}

/// The end of a [`Waker`] that the shell's thread waits for.
#[derive(Debug)]
pub(super) struct WakeUps {
    receiver: UnixStream,
    is_pending: Arc<AtomicBool>,
}

impl WakeUps {
    /// Takes the wake-ups so far. Whatever they were about has to be looked at after this call.
    pub(super) fn take(&self) {
        let mut octets = [0; 64];
        while (&self.receiver).read(&mut octets).is_ok_and(|length| length == octets.len()) {}
        self.is_pending.store(false, Ordering::SeqCst);
    }
}

impl AsRawFd for WakeUps {
    fn as_raw_fd(&self) -> RawFd {
        self.receiver.as_raw_fd()
    }
}

/// A link as member frames see it.
#[derive(Debug)]
struct MemberLink<E> {
    socket: Arc<PacketSocket>,
    encoder: E,
}

/// Sends member frames on the links that are open.
#[derive(Debug)]
pub(super) struct LinkCarrier<P: Protocol> {
    links: Mutex<BTreeMap<LinkIndex, MemberLink<P::Encoder>>>,
    authority: Authority,
    waker: Waker,
    counters: Arc<Counters<P::Reason>>,
}

impl<P: Protocol> LinkCarrier<P> {
    pub(super) fn new(grace: Duration, waker: Waker, counters: Arc<Counters<P::Reason>>) -> Self {
        Self { links: Mutex::default(), authority: Authority::new(grace), waker, counters }
    }

    pub(super) const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Uses this socket for member frames of the link from now on.
    pub(super) fn open(&self, link: LinkIndex, socket: Arc<PacketSocket>, encoder: P::Encoder) {
        self.lock().insert(link, MemberLink { socket, encoder });
    }

    /// The link is gone.
    pub(super) fn close(&self, link: LinkIndex) {
        self.lock().remove(&link);
    }

    fn try_transmit(&self, link: LinkIndex, to: Destination, payload: &[u8]) -> bool {
        let links = self.lock();
        let Some(MemberLink { socket, encoder }) = links.get(&link) else { return false };
        let mut frame = Vec::new();
        encoder.encode(to, payload, &mut frame) && self.authority.is_held(socket::now()) && socket.send(&frame).is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<LinkIndex, MemberLink<P::Encoder>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: Protocol> Carrier for LinkCarrier<P> {
    fn transmit(&self, link: LinkIndex, to: Destination, payload: &[u8]) {
        if self.try_transmit(link, to, payload) {
            self.counters.count_member_frame_sent();
        } else {
            self.counters.count_not_sent();
        }
    }

    fn wake(&self) {
        self.waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_micros(ms * 1_000)
    }

    // [OWN-50]
    #[test]
    fn authority_ends_half_a_timeout_behind_the_last_round() {
        let authority = Authority::new(Duration::from_millis(350));
        assert!(!authority.is_held(at(1)));
        authority.extend(at(1_000));
        assert!(authority.is_held(at(1_350)));
        assert!(!authority.is_held(at(1_351)));
    }

    #[test]
    fn any_number_of_wake_ups_never_blocks_and_is_taken_at_once() {
        let (waker, wake_ups) = Waker::pair().unwrap();
        for _ in 0..100_000 {
            waker.wake();
        }
        let mut sources = [socket::readable(&wake_ups)];
        socket::wait(&mut sources, Duration::ZERO).unwrap();
        assert_ne!(sources[0].revents, 0);
        wake_ups.take();
        let mut sources = [socket::readable(&wake_ups)];
        socket::wait(&mut sources, Duration::ZERO).unwrap();
        assert_eq!(sources[0].revents, 0);
        waker.wake();
        socket::wait(&mut sources, Duration::ZERO).unwrap();
        assert_ne!(sources[0].revents, 0);
    }
}
