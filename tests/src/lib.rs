//! Whole meshes for tests: the real binary, one process a service, against real servers.
//!
//! [`World`] starts a mesh with a sandbox provider beside it; [`World::finish`] stops it and fails
//! the test on anything left behind: events that were not published, dead letters, commands that
//! nobody took, errors in logs, and secrets in logs or in any stream.
//!
//! Promises that no process outlives the test, and that a test that fails shows the ends of all
//! logs. Refuses to skip: a missing server or a binary that does not build is a failure.

mod binary;
mod events;
mod mailbox;
mod mesh;
mod replica;
mod restored;
mod world;

pub use binary::binary;
pub use events::{Events, SeenEvent};
pub use mailbox::{GreenMailbox, SandboxMailbox};
pub use mesh::{Mesh, ReplicaNumber};
pub use replica::{ResidentMemory, Service, SignIn};
pub use restored::Restored;
pub use world::{Leftovers, Locked, World, WorldSettings};
