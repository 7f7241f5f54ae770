//! Benchmarks: one file for each hot path in `benches/`; here is what several of them share.

pub mod counting;
