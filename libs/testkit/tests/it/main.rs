//! The servers that all other tests stand on.

mod greenmail;
mod servers;
