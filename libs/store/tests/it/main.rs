//! Every statement of the store against a real Postgres.

mod account;
mod account_status;
mod api_key;
mod attempt;
mod claim;
mod client_configuration;
mod cursor;
mod database;
mod grant;
mod lease;
mod lookup;
mod outbound;
mod outbox;
mod park;
mod plan;
mod proxy;
mod quarantine;
mod received;
mod recover;
mod refresh;
mod replica;
mod resume;
mod sample;
mod sealed;
mod sign_in;
mod world;
