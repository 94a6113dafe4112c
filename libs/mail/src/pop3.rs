//! POP3 (RFC 1939): the maildrop as a [`MailSource`](crate::MailSource).
//!
//! A session lists the whole maildrop, reads mails in slices, and ends in one of two ways: with QUIT, upon which the server
//! deletes what was marked and Gmail hides what was fetched, or without it, upon which it does neither. TOP is never used:
//! Exchange shows other headers there than in the mail. Every wait, line and listing is bounded.

mod capability;
mod concern;
mod connect;
mod error;
mod limit;
mod listing;
mod maildrop;
mod numbering;
mod reply;
mod retrieval;
mod session;
mod sign_in;
mod slice;
mod source;
mod stage;
mod unstuff;
mod verdict;
mod wire;

pub use capability::Capabilities;
pub(crate) use concern::{concern, mail_evidence};
pub use error::Pop3Error;
pub use limit::{Pop3Limits, Pop3Timeouts};
pub use reply::ErrReply;
pub use source::Pop3Source;
pub use stage::{Mechanism, Stage};
