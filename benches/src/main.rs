//! Benchmarks: each prints our figure, a limit measured in the same run, and the ratio.

fn main() {}
