//! The inbound fetcher against real NATS, Postgres and IMAP.

mod backlog;
mod fault;
mod folder;
mod post_action;
mod quarantine;
mod receive;
mod rename;
mod restart;
mod takeover;
mod token;
mod world;
