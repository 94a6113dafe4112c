//! The relay between a real Postgres and a real nats-server.

mod lifecycle;
mod order;
mod outage;
mod proxy;
mod publishing;
mod servers;
mod window;
mod world;
