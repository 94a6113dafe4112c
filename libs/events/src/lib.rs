//! The wire contract of the bus: one struct per event or command, the CloudEvents 1.0 envelope,
//! subjects, and JSON Schemas.
//!
//! Promises that what `schemas/` says is what is sent: schemas are generated from these types, and
//! a stale file fails the tests. Within a version a field may be added; anything else is a new
//! version beside the old one, told apart by the CloudEvents type, never by the subject.
//!
//! Refuses on the way in what it does not know: an unknown field in a command is an error that
//! names the field's path, because a misspelt `bcc` that is dropped in silence loses mail.

pub mod account;
mod address;
pub mod asyncapi;
mod contract;
mod envelope;
pub mod mail;
mod message;
mod problem;
pub mod schema;
pub mod subject;
pub mod token;
mod wording;

pub use address::{AddressInput, MailAddress, Recipients};
pub use contract::{COMMAND_NAMES, EVENT_NAMES};
pub use envelope::{
    CloudEvent, Command, DecodeError, EncodedEvent, Event, Headers, decode_command, decode_event,
    encode, read_json,
};
pub use problem::Problem;
