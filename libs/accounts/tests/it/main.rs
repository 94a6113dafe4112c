//! Replicas that share accounts, on a real Postgres and NATS.

mod host;
mod lease;
mod relay;
mod world;
