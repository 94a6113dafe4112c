//! Speaks IMAP, POP3 and SMTP with a bearer token and judges what servers answer.
//!
//! Services know two traits and no protocol: [`MailSource`] reads a mailbox, [`MailTransport`] sends.
//! Each protocol is a module that implements them, and [`connect_source`] and [`connect_transport`]
//! choose among them.
//!
//! Promises that every wait is bounded, that no server makes it hold more memory than it was
//! allowed to send, that a failure says at which stage it happened and, by `verdict()`, what it
//! means and who must act, and that no error, log or `Debug` shows a token or password.
//!
//! Refuses tokens over unprotected connections (except to the same machine), STARTTLS that was
//! tampered with, and certificates that do not check. Knows no accounts, bus or SQL: servers and
//! credentials are passed in, mails are handed out.

mod concern;
mod connect;
pub mod connection;
pub mod credentials;
pub mod imap;
pub mod message;
mod pipelining;
pub mod pop3;
mod probe;
mod server_text;
pub mod smtp;
pub mod source;
mod source_error;
mod spoken;
pub mod tls;
pub mod transport;

pub use concern::{Concern, MailEvidence};
pub use connect::{Endpoint, connect_sent, connect_source, connect_transport};
pub use connection::{ConnectError, MailStream, Server};
pub use credentials::{Credentials, InvalidCredentials};
pub use pipelining::PipeliningRecord;
pub use probe::{Probe, ProbeCheck, ProbeError, ProbeStep, probe};
pub use server_text::ServerText;
pub use source::MailSource;
pub use source_error::SourceError;
pub use tls::{TlsError, client_config};
pub use transport::MailTransport;
