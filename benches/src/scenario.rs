//! The scenarios, one file each.

pub(crate) mod idle;
pub(crate) mod inbound_backlog;
pub(crate) mod inbound_latency;
pub(crate) mod outbound;
