//! Ids, account and message states, verdicts and the clock: pure values.
//!
//! Promises that every value which exists is valid: constructors refuse the rest. Knows no I/O and
//! no async runtime, so every other crate may depend on it.

mod account;
mod clock;
mod error_chain;
mod flow;
mod id;
mod key;
mod network;
mod outbound;
mod position;
mod protocol;
mod responsibility;
mod token;
mod verdict;

pub use account::{AccountState, AfterReceive, Authorisation, Direction, Encryption, UnknownName};
pub use clock::{Clock, ManualClock, SystemClock};
pub use error_chain::ErrorChain;
pub use flow::Flow;
pub use id::{
    AccountId, ApiKeyId, ClientConfigurationId, EventId, GrantId, MailId, ReplicaId, SignInId,
};
pub use key::{InvalidKey, Key};
pub use network::{
    AddressRange, AddressRule, HostName, InvalidHost, InvalidRange, NetworkSettings, is_public,
};
pub use outbound::{AttemptStage, OutboundState, UncertainPolicy};
pub use position::{Epoch, Position};
pub use protocol::Protocol;
pub use responsibility::{Diagnosis, FailureCause, History, Responsibility, responsibility};
pub use token::{GrantState, Role, TokenEndpointAuth};
pub use verdict::{MustAct, Verdict, VerdictKind};
