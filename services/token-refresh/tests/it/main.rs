//! Grants, the sandbox's provider, and real NATS and Postgres.

mod client;
mod failure;
mod limit;
mod refresh;
mod secret;
mod world;
