//! Replicas that share accounts, on a real Postgres and NATS.

mod health;
mod host;
mod lease;
mod relay;
mod start;
mod world;
