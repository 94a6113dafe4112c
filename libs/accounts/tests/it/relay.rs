//! The relay between a real Postgres and a real nats-server.

mod lifecycle;
mod order;
mod outage;
mod publishing;
mod servers;
mod world;
