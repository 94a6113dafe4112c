//! The inbound fetcher against real NATS, Postgres, and the sandbox's IMAP and POP3.

mod backlog;
mod fault;
mod folder;
mod maildrop;
mod post_action;
mod quarantine;
mod receive;
mod rename;
mod restart;
mod takeover;
mod token;
mod world;
