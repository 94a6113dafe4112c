//! Grants, the sandbox's provider, and real NATS and Postgres.

mod app;
mod client;
mod failure;
mod forward;
mod frozen;
mod hold;
mod key;
mod limit;
mod origin;
#[cfg(test)]
mod proxy;
mod refresh;
#[cfg(test)]
mod refusal;
mod secret;
mod start;
mod stop;
mod world;
