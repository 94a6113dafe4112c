//! Servers, GreenMail and waiting for tests.
//!
//! [`TestServers::shared`] gives every test of a process the same NATS and Postgres: those named by
//! `TEST_NATS_URL` and `TEST_POSTGRES_URL`, else containers where a Docker engine answers, else
//! processes. Tests keep apart by a database and a subject prefix each. `TEST_SERVERS` set to
//! `containers` or `processes` takes the one and fails without it.
//!
//! Promises that nothing outlives the test process, however it ends, and that a test without its
//! servers fails with the command that would install them: no test is skipped.

mod container;
mod fetched;
mod greenmail;
mod servers;
mod tidy;
mod wait;

pub use fetched::FetchedServers;
pub use greenmail::{GreenMail, GreenMailPorts, StoredMail};
pub use mailmesh_embedded::free_port;
pub use servers::{ServerKind, TestServers, fresh_prefix};
pub use wait::{Seen, eventually};
