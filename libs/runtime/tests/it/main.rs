//! The chassis with real signals, sockets and processes.

mod lifecycle;
mod ops;
mod process;
mod serve;
