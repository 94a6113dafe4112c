//! The inbound fetcher against real NATS, Postgres and IMAP.

mod fault;
mod receive;
mod takeover;
mod world;
