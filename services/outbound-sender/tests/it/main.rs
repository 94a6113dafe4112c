//! The sender against real NATS, Postgres and a scripted provider.

mod accept;
mod deliver;
mod settings;
mod takeover;
mod token;
mod uncertain;
mod world;
