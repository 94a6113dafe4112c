//! The sender against real NATS, Postgres and a scripted provider.

mod accept;
mod backlog;
mod cancel;
mod connection;
mod corrected;
mod custom;
mod deliver;
mod exchanged;
mod leftover;
mod memory;
mod retention;
mod settings;
mod strain;
mod takeover;
mod token;
mod uncertain;
mod world;
