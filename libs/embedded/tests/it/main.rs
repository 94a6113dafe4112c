//! Real servers, found or fetched as a user's would be.

mod folder;
mod locate;
mod nats;
mod postgres;
mod scratch;
mod supervised;
