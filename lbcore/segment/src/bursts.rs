//! Bursts: which address is announced unasked, and when. What a round consists of (gratuitous ARP, unsolicited advertisements) is the
//! announcer's.
//!
//! A burst is seven rounds; a round goes out on each link of the address. The rounds at 0, 1.1, 2.2, 3.3 and 4.4 s are those of
//! [L2-81]; two more follow the first closely, so that one lost frame costs the clients 30 ms and not a second. A burst starts
//! only for a cause that ownership gives (a claim, a settled conflict, a link), never because something was looked at again
//! ([L2-80]), so each start brings a round of its own. Where an interval is set, rounds go on at that interval after the burst
//! ([D162-7]).
//!
//! Thousands of addresses may start at once. Rounds are paced ([`MAX_ROUNDS_PER_SLOT`] in each [`SLOT`]), and the first round of
//! one address goes before the repetitions of all others.

use core::hash::Hash;
use core::time::Duration;
use std::collections::BTreeSet;

use lbcore::hash::HashMap;
use lbcore::time::Timestamp;

/// When the rounds of a burst are due, counted from its first round, which is at zero.
pub const ROUNDS: [Duration; 7] = [
    Duration::ZERO,
    Duration::from_millis(30),
    Duration::from_millis(200),
    Duration::from_millis(1_100),
    Duration::from_millis(2_200),
    Duration::from_millis(3_300),
    Duration::from_millis(4_400),
];

/// Place in `waiting` of the rounds that come after a burst.
const PERIODIC: usize = ROUNDS.len();

/// Rounds that may go out in one [`SLOT`]: 16,000 ARP frames in a second and link, 11 Mbit/s on the wire. A thousand addresses have
/// all said where they are after 125 ms, and the broadcasts stay below what switches take for a storm (1 % of 1 Gbit/s and more).
pub const MAX_ROUNDS_PER_SLOT: u32 = 32;

/// The time over which rounds are paced; longer than the shell's timer is coarse.
pub const SLOT: Duration = Duration::from_millis(4);

#[derive(Clone, Copy, Debug)]
struct Burst {
    /// When the first round went out; until then when it is due.
    first: Timestamp,
    /// The next round, an index into [`ROUNDS`]; [`PERIODIC`] once the burst is over and rounds go on, due at `first`.
    next: usize,
}

impl Burst {
    fn due(&self) -> Timestamp {
        self.first + ROUNDS.get(self.next).copied().unwrap_or_default()
    }
}

/// The bursts that are going on.
///
/// Source: [L2-80], [L2-81], [L2-84], [D162-7].
#[derive(Debug)]
pub struct Bursts<A> {
    interval: Option<Duration>,
    running: HashMap<A, Burst>,
    /// For each round of [`ROUNDS`] the addresses that wait for it, by time, and behind them those between periodic rounds. Holds exactly
    /// what `running` holds.
    waiting: [BTreeSet<(Timestamp, A)>; PERIODIC + 1],
    slot_began: Timestamp,
    sent_in_slot: u32,
}

impl<A: Copy + Ord + Hash> Default for Bursts<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Copy + Ord + Hash> Bursts<A> {
    /// None, and nothing after a burst.
    pub fn new() -> Self {
        Self::with_interval(None)
    }

    /// None. After a burst, each address that is not stopped has a round at each `interval` from its last one ([D162-7]).
    pub fn with_interval(interval: Option<Duration>) -> Self {
        Self {
            interval: interval.filter(|interval| !interval.is_zero()),
            running: HashMap::default(),
            waiting: core::array::from_fn(|_| BTreeSet::new()),
            slot_began: Timestamp::ZERO,
            sent_in_slot: 0,
        }
    }

    /// Starts a burst for `address`, anew where one is going on.
    pub fn start(&mut self, now: Timestamp, address: A) {
        self.stop(address);
        self.wait(address, Burst { first: now, next: 0 });
    }

    /// Ends the burst of `address`, if there is one, and the rounds after it ([L2-84]).
    pub fn stop(&mut self, address: A) {
        if let Some(burst) = self.running.remove(&address)
            && let Some(waiting) = self.waiting.get_mut(burst.next)
        {
            waiting.remove(&(burst.due(), address));
        }
    }

    /// Whether no round is to come.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// The next address whose round shall go out now, until `None`.
    pub fn poll_round(&mut self, now: Timestamp) -> Option<A> {
        if now.since(self.slot_began) >= SLOT {
            self.slot_began = now;
            self.sent_in_slot = 0;
        }
        if self.sent_in_slot >= MAX_ROUNDS_PER_SLOT {
            return None;
        }
        let mut due = self.waiting.iter().filter_map(BTreeSet::first).filter(|(at, _)| *at <= now);
        let address = due.next()?.1;
        self.sent_in_slot += 1;
        self.advance(now, address);
        Some(address)
    }

    /// When to call [`poll_round`](Self::poll_round) next; may lie in the past.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let due = self.waiting.iter().filter_map(BTreeSet::first).map(|(at, _)| *at).min()?;
        if self.sent_in_slot >= MAX_ROUNDS_PER_SLOT { Some(due.max(self.slot_began + SLOT)) } else { Some(due) }
    }

    fn advance(&mut self, now: Timestamp, address: A) {
        let Some(mut burst) = self.running.get(&address).copied() else { return };
        self.stop(address);
        if burst.next == 0 {
            // A first round that waited for its slot moves the others with it: what counts is the time between them.
            burst.first = now;
        }
        burst.next += 1;
        // Rounds missed by a late call are made up for by this one.
        while burst.next < PERIODIC && burst.due() <= now {
            burst.next += 1;
        }
        if burst.next >= PERIODIC {
            let Some(interval) = self.interval else { return };
            burst = Burst { first: now + interval, next: PERIODIC };
        }
        self.wait(address, burst);
    }

    fn wait(&mut self, address: A, burst: Burst) {
        if let Some(waiting) = self.waiting.get_mut(burst.next) {
            waiting.insert((burst.due(), address));
            self.running.insert(address, burst);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    const A: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const B: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_micros(1_000_000_000 + ms * 1_000)
    }

    /// Follows the machine's own deadlines until it has none, and notes each round with its time in milliseconds.
    fn run(bursts: &mut Bursts<Ipv4Addr>, from: u64, until: u64) -> Vec<(u64, Ipv4Addr)> {
        let mut rounds = Vec::new();
        let mut now = at(from);
        while now <= at(until) {
            while let Some(address) = bursts.poll_round(now) {
                rounds.push((u64::try_from(now.since(at(0)).as_millis()).unwrap(), address));
            }
            match bursts.poll_timeout() {
                Some(next) => {
                    assert!(next > now, "the machine asks to be called again at once");
                    now = next;
                }
                None => break,
            }
        }
        rounds
    }

    fn times(rounds: &[(u64, Ipv4Addr)], address: Ipv4Addr) -> Vec<u64> {
        rounds.iter().filter(|round| round.1 == address).map(|round| round.0).collect()
    }

    // [L2-81] with the two early repetitions
    #[test]
    fn a_burst_has_five_rounds_a_second_apart_and_two_early_repetitions() {
        let mut bursts = Bursts::new();
        bursts.start(at(0), A);
        let rounds = run(&mut bursts, 0, 60_000);
        assert_eq!(times(&rounds, A), [0, 30, 200, 1_100, 2_200, 3_300, 4_400]);
        assert!(bursts.is_empty());
        assert_eq!(bursts.poll_timeout(), None);
    }

    // [L2-84]
    #[test]
    fn an_address_that_is_withdrawn_is_announced_no_more() {
        let mut bursts = Bursts::new();
        bursts.start(at(0), A);
        bursts.start(at(0), B);
        run(&mut bursts, 0, 100);
        bursts.stop(A);
        let rounds = run(&mut bursts, 100, 60_000);
        assert_eq!(times(&rounds, A), [0; 0]);
        assert_eq!(times(&rounds, B), [200, 1_100, 2_200, 3_300, 4_400]);
    }

    // [L2-80]: each start has a cause of its own.
    #[test]
    fn a_start_inside_a_burst_begins_it_anew_with_a_round_at_once() {
        let mut bursts = Bursts::new();
        bursts.start(at(0), A);
        run(&mut bursts, 0, 1_500);
        bursts.start(at(1_500), A);
        let rounds = run(&mut bursts, 1_500, 60_000);
        assert_eq!(times(&rounds, A), [1_500, 1_530, 1_700, 2_600, 3_700, 4_800, 5_900]);
    }

    #[test]
    fn a_thousand_starts_are_paced_and_first_rounds_go_first() {
        let mut bursts = Bursts::new();
        let addresses: Vec<Ipv4Addr> = (0..1_000_u32).map(|n| Ipv4Addr::from(0x0a00_0000 + n)).collect();
        for address in &addresses {
            bursts.start(at(0), *address);
        }
        let rounds = run(&mut bursts, 0, 60_000);
        assert_eq!(rounds.len(), 7_000);
        let mut first_rounds: Vec<Ipv4Addr> = rounds.iter().take(1_000).map(|round| round.1).collect();
        first_rounds.sort_unstable();
        assert_eq!(first_rounds, addresses);
        assert!(rounds[999].0 <= 125, "the last first round came after {} ms", rounds[999].0);
        for round in &rounds {
            let in_slot = rounds.iter().filter(|other| other.0 == round.0).count();
            assert!(in_slot <= 32, "{in_slot} rounds at {} ms", round.0);
        }
    }

    #[test]
    fn a_late_call_sends_one_round_and_not_all_that_were_missed() {
        let mut bursts = Bursts::new();
        bursts.start(at(0), A);
        assert_eq!(bursts.poll_round(at(0)), Some(A));
        let now = at(1_000);
        assert_eq!(bursts.poll_round(now), Some(A));
        assert_eq!(bursts.poll_round(now), None);
        assert_eq!(bursts.poll_timeout(), Some(at(1_100)));
    }

    // [D162-7]
    #[test]
    fn with_an_interval_rounds_go_on_after_the_burst_until_the_address_is_stopped() {
        let mut bursts = Bursts::with_interval(Some(Duration::from_secs(10)));
        bursts.start(at(0), A);
        let rounds = run(&mut bursts, 0, 40_000);
        assert_eq!(times(&rounds, A), [0, 30, 200, 1_100, 2_200, 3_300, 4_400, 14_400, 24_400, 34_400]);
        bursts.start(at(41_000), A);
        let rounds = run(&mut bursts, 41_000, 60_000);
        assert_eq!(times(&rounds, A), [41_000, 41_030, 41_200, 42_100, 43_200, 44_300, 45_400, 55_400]);
        bursts.stop(A);
        assert_eq!(run(&mut bursts, 60_000, 99_000), []);
        assert!(bursts.is_empty());
    }

    // [D162-7]: 0 is off.
    #[test]
    fn an_interval_of_zero_is_none() {
        let mut bursts = Bursts::with_interval(Some(Duration::ZERO));
        bursts.start(at(0), A);
        assert_eq!(run(&mut bursts, 0, 60_000).len(), 7);
    }

    proptest! {
        // Whatever is started and stopped, the machine comes to an end, and an address has its rounds in order.
        #[test]
        fn any_course_of_starts_and_stops_ends(
            course in prop::collection::vec((0..200_u64, 0..8_u32, any::<bool>()), 0..60),
        ) {
            let mut bursts = Bursts::new();
            let mut now = 0;
            for (wait, number, is_start) in course {
                now += wait;
                let address = Ipv4Addr::from(number);
                if is_start { bursts.start(at(now), address) } else { bursts.stop(address) }
                run(&mut bursts, now, now);
            }
            run(&mut bursts, now, now + 60_000);
            prop_assert!(bursts.is_empty());
            prop_assert!(bursts.waiting.iter().all(BTreeSet::is_empty));
        }
    }
}
