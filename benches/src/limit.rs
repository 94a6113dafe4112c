//! Bare clients: the fastest that the same servers allow, without a mesh in between.

pub(crate) mod imap;
pub(crate) mod smtp;
mod tls;
