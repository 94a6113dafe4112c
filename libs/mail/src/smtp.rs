//! SMTP submission: connect, sign in, and hand mail over in stages that cannot be skipped.
//!
//! [`Connection::prepare`] does everything before the final dot, so that whatever fails in it is surely unsent;
//! [`PreparedDelivery::commit`] sends the dot and distinguishes refused from uncertain. Every wait and every reply is bounded.
//!
//! Why not lettre's transport, which we have for its other types: it has no time limit on commands (lettre#1027), hides
//! the challenge that carries a refused token, gives up all recipients when one is refused, does not pipeline, and takes
//! replies injected before the STARTTLS handshake for those after it.

mod auth;
mod capability;
mod connect;
mod connection;
mod content;
mod delivery;
mod error;
mod reply;
mod settings;
mod transaction;
mod transport;
mod verdict;
mod wire;
mod wire_error;

pub use capability::{Capabilities, Extension};
pub use connection::Connection;
pub use delivery::{PreparedDelivery, SmtpPreparation};
pub use error::{CommitError, SmtpError, UncertainCause};
pub use reply::{EnhancedCode, Reply};
pub use settings::{SmtpSettings, SmtpTimeouts};
pub use transport::SmtpTransport;
pub use verdict::Phase;
pub use wire_error::WireError;
