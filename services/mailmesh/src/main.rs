//! The mailmesh binary: any one service, or all of them.

fn main() {}
