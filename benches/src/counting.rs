//! A global allocator that counts: how many octets are asked for and not yet given back.
#![expect(
    unsafe_code,
    reason = "a global allocator is unsafe by its trait; this one hands everything on to that of the system"
)]

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::alloc::{GlobalAlloc, Layout, System};

/// The allocator of the system, counted.
#[derive(Debug, Default)]
pub struct Counting {
    octets: AtomicUsize,
}

impl Counting {
    /// A counter at zero.
    pub const fn new() -> Self {
        Self { octets: AtomicUsize::new(0) }
    }

    /// The octets in use: what was asked for, without what the allocator adds for itself.
    pub fn live_octets(&self) -> usize {
        self.octets.load(Relaxed)
    }
}

// SAFETY: each call is handed on to the system's allocator with its arguments, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.octets.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.octets.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`, and the block came from the system's allocator.
        unsafe { System.dealloc(block, layout) }
    }
}
