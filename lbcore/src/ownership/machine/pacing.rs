//! How often and how fast changes are told to the group ([OWN-13], [OWN-14]).

use std::collections::{BTreeMap, VecDeque};

use crate::time::Timestamp;

/// Each change is told so often ([OWN-13]).
pub(super) const COPIES: u8 = 3;
/// Frames that repeat changes to the group: so many at once after a quiet time, and so many in a second for ever. With the heartbeats
/// of 20 members this stays near the bound of [OWN-14].
const BURST_FRAMES: u32 = 64;
const FRAMES_PER_SECOND: u32 = 100;
/// Changes still to be told, in the order in which they are due. New ones go to the front.
#[derive(Clone, Debug)]
pub(super) struct Dirty<K> {
    copies_left: BTreeMap<K, u8>,
    queue: VecDeque<(Timestamp, K)>,
}

impl<K: Ord + Clone> Dirty<K> {
    pub(super) const fn new() -> Self {
        Self { copies_left: BTreeMap::new(), queue: VecDeque::new() }
    }

    /// Tells it from now, all copies.
    pub(super) fn mark(&mut self, now: Timestamp, key: K) {
        match self.copies_left.insert(key.clone(), COPIES) {
            // Already at the front, not told once yet.
            Some(COPIES) => {}
            // A place further back goes stale: `take_due` passes over it, since the copies tell which place counts.
            Some(_) | None => self.queue.push_front((now, key)),
        }
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.queue.front().map(|(at, _)| *at)
    }

    /// What is due, sorted and unique; first copies apart from repeats.
    pub(super) fn take_due(&mut self, now: Timestamp) -> (Vec<K>, Vec<K>) {
        let (mut first, mut repeats) = (Vec::new(), Vec::new());
        while let Some((at, key)) = self.queue.pop_front() {
            if at > now {
                self.queue.push_front((at, key));
                break;
            }
            match self.copies_left.get(&key).copied() {
                Some(COPIES) => first.push(key),
                Some(_) => repeats.push(key),
                None => {}
            }
        }
        first.sort_unstable();
        first.dedup();
        repeats.sort_unstable();
        repeats.dedup();
        (first, repeats)
    }

    pub(super) fn told(&mut self, key: &K, next: Timestamp) {
        let Some(left) = self.copies_left.get_mut(key) else { return };
        *left -= 1;
        if *left == 0 {
            self.copies_left.remove(key);
        } else {
            self.queue.push_back((next, key.clone()));
        }
    }

    /// Gives up the repeats: the digests in the heartbeats make up for them.
    pub(super) fn drop_repeats(&mut self, keys: &[K]) {
        for key in keys {
            self.copies_left.remove(key);
        }
    }
}

/// A bucket of frames.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    frames: u32,
    filled_at: Timestamp,
}

impl Allowance {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self { frames: BURST_FRAMES, filled_at: now }
    }

    pub(super) fn take(&mut self, now: Timestamp) -> bool {
        let earned = now.since(self.filled_at).as_micros() * u128::from(FRAMES_PER_SECOND) / 1_000_000;
        if let Ok(earned) = u32::try_from(earned)
            && earned > 0
        {
            self.frames = self.frames.saturating_add(earned).min(BURST_FRAMES);
            self.filled_at = now;
        }
        let some = self.frames > 0;
        self.frames = self.frames.saturating_sub(1);
        some
    }
}
