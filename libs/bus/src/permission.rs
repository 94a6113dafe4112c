//! Who may do what on NATS: one user per service, one for operators, one per business system.
//!
//! Each list was tried against nats-server 2.15.1: `tests/security` runs every service with its own user. A publish to a
//! stream needs the message's subject alone; its acknowledgement, as every answer, comes to the user's own inbox. A right that
//! is missing shows as a time-out, and in the server's and the client's log. What no right covers is the subject of the reply: see `account`.

mod account;
mod business;
mod rights;
mod service;
mod user;

use crate::stream::StreamKind;
use crate::subject::Prefix;
use rights::Rights;

pub use account::{BusinessSystem, MESH_ACCOUNT, accounts_config};
pub use business::{AccountScope, BusinessScope};
pub use rights::Permissions;
pub use service::ServiceUser;
pub use user::NatsUser;

impl Permissions {
    /// Returns the rights of a service's user.
    pub fn of_service(service: ServiceUser, prefix: &str, inbox_prefix: &str) -> Self {
        service::rights(service, &Prefix::new(prefix), inbox_prefix)
    }

    /// Returns the rights of the user that makes and changes streams, makes consumers for business systems, and watches.
    ///
    /// It has no call that deletes streams or messages. But nats-server checks no right on what stands in a configuration: who
    /// changes a stream can shorten what it keeps, and have messages repeated on any subject.
    pub fn of_operator(prefix: &str, inbox_prefix: &str) -> Self {
        let prefix = Prefix::new(prefix);
        let mut rights = Rights::new(&prefix, inbox_prefix);
        rights.api_of_account(&["INFO", "STREAM.NAMES", "STREAM.LIST"]);
        for stream in StreamKind::ALL {
            for call in ["STREAM.INFO", "STREAM.CREATE", "STREAM.UPDATE"] {
                rights.api(call, stream, "");
            }
        }
        for call in ["CONSUMER.CREATE", "CONSUMER.DURABLE.CREATE"] {
            rights.api(call, StreamKind::Events, ".>");
        }
        for call in ["CONSUMER.INFO", "CONSUMER.DELETE"] {
            rights.api(call, StreamKind::Events, ".*");
        }
        for call in ["CONSUMER.NAMES", "CONSUMER.LIST"] {
            rights.api(call, StreamKind::Events, "");
        }
        rights.subscribe_to_all_events();
        rights.finish()
    }
}
