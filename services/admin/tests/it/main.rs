//! The admin API against real NATS and Postgres, called over HTTP.

mod access;
mod account;
mod account_fault;
mod api_key;
#[cfg(test)]
mod app_client;
mod client_configuration;
mod destination;
mod exchanged;
mod first_key;
mod mail;
mod outbox;
mod page;
mod secret;
mod sign_in;
mod slow_body;
mod world;
