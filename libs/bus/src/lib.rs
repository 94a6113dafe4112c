//! JetStream for the mesh: streams as declared data, the publisher, the fence, the consumer loop, dead letters, raw mails.
//!
//! Promises:
//! - A publish that answers `Ok` is stored. One that answers [`PublishError::Unknown`] may be stored: the caller keeps its
//!   row and publishes again with the same message id.
//! - A stale owner of an account is refused by the stream itself ([`Fence`]), whatever any lease says.
//! - A handler sees each message at least once. The loop alone acknowledges; it returns only when asked to stop, and then
//!   finishes what is in flight.
//! - A message that cannot be handled is copied to the dead letters, with the reason, before it is given up. So is one that
//!   the NATS client cannot even read, as the server stores any headers; what came behind it waits one ack wait at most.
//! - Every queue and every wait has a bound: bytes and messages in flight, time for each answer.
//! - The NATS client panics on some headers, which ends its task. Consumers pull over connections of their own, so that it
//!   ends only theirs; where the shared client has ended, the bus reports that it is not connected until the next call
//!   has made a new one.
//!
//! Refuses: servers before 2.12, a consumer whose ack wait is shorter than the work on two batches, subjects with wildcards or
//! spaces in a publish, and header values with line breaks. No type of the NATS client leaves this crate, and callers speak
//! in subjects without the prefix: the bus adds and removes it.
//!
//! Raw mails lie in a stream of our own rather than in the NATS object store: one message a mail instead of two, measured
//! twice as fast, no orphaned chunks without an index, and any client can fetch them with one request (see [`RawMails`]).

mod api;
mod cause;
mod connection;
mod consumer;
mod delay;
mod direct;
mod fault;
mod fence;
mod header;
mod metric;
mod permission;
mod proof;
mod prover;
mod publish;
mod raw;
mod read_back;
mod readable;
mod settings;
mod stored;
mod stream;
mod subject;
mod subscription;
/// Carries the trace from publisher to handler in message headers (W3C Trace Context).
pub mod trace;
mod work_queue;

pub use cause::NatsCause;
pub use connection::{Bus, BusError, BusHealth, Denial};
pub use consumer::{ConsumeError, ConsumerSettings, Delivery, Handler, HandlerError, StartAt};
pub use fault::BusFault;
pub use fence::{Fence, FenceError};
pub use header::Headers;
pub use permission::{
    AccountScope, BusinessScope, BusinessSystem, MESH_ACCOUNT, NatsUser, Permissions, ServiceUser,
    accounts_config,
};
pub use prover::PROOF_HEADER;
pub use publish::{Outgoing, PublishError, PublishReceipt};
pub use raw::{NewRawMail, RawError, RawMails, RawReader, RawWriter};
pub use read_back::ReadBack;
pub use settings::{BusCredentials, BusSettings, BusSettingsError, Storage, StreamSettings};
pub use stored::{LookupError, ReadError, StoredMessage};
pub use stream::{ForeignStream, StreamError, StreamKind};
pub use subscription::{EventSubscription, Hint, SubscribeError, Subscription};
pub use work_queue::{StoredCommand, WorkQueueError, WorkQueueProgress};
