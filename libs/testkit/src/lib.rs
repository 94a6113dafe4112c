//! What tests share: servers, the base of a mesh, replicas that stop, die or freeze, and waiting.
//!
//! [`TestServers::shared`] gives every test of a process the same NATS and Postgres: those named by
//! `TEST_NATS_URL` and `TEST_POSTGRES_URL`, else containers where a Docker engine answers, else
//! processes. Tests keep apart by a database and a subject prefix each. `TEST_SERVERS` set to
//! `containers` or `processes` takes the one and fails without it.
//!
//! A test of a service stands on a [`MeshBase`]: database, bus, keys and clock, rows to store in it,
//! and what was published. The service itself runs as [`RunningReplica`] or [`Freezable`].
//!
//! Promises that nothing outlives the test process, however it ends, and that a test without its
//! servers fails with the command that would install them: no test is skipped.

mod api;
mod container;
mod fetched;
mod folder;
mod freezable;
mod greenmail;
mod log;
mod mesh_base;
mod own_server;
mod refresh_request;
mod running;
mod secret;
mod server_kind;
mod servers;
mod tidy;
mod wait;

pub use api::{Api, ApiResponse};
pub use fetched::FetchedServers;
pub use folder::TestFolder;
pub use freezable::{Freezable, FrozenReplica};
pub use greenmail::{GreenMail, GreenMailPorts, StoredMail};
pub use log::CapturedLog;
pub use mailmesh_embedded::free_port;
pub use mesh_base::{GrantTokens, MailHost, MeshAddress, MeshBase, use_grant};
pub use own_server::{own_nats, own_nats_for, own_nats_with, own_postgres};
pub use refresh_request::{RefreshRequests, ask_for_refresh};
pub use running::RunningReplica;
pub use secret::check_no_secrets;
pub use server_kind::ServerKind;
pub use servers::{TestServers, fresh_prefix};
pub use wait::{Seen, eventually, within};
