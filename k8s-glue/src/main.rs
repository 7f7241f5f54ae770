//! The binary `ferrule`.
fn main() {}
