//! The sandbox as its clients meet it: over sockets.

mod conformance;
mod control;
mod imap;
mod oauth;
mod peer;
mod pop3;
mod smtp;
