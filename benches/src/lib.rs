//! Benchmarks: one file for each hot path.
