//! IMAP sessions: sign-in, reading by UID, IDLE, and what is done with a mail afterwards.
//!
//! A [`Session`] is usable only between complete commands. Whatever breaks one (a lost connection,
//! a timeout, a reply over its bound, a dropped future) leaves it closed for good; a tagged `NO` or
//! `BAD` does not, as both sides then still agree on where they are.
//!
//! async-imap gives the grammar of folder lists; replies that mail depends on are framed and read
//! here. Its session allocates what a server announces, hides `NO`, `BAD` and end of file, forgets
//! the response codes that verdicts are made of, ends at one reply it does not know, and can be
//! brought down by a hostile server: nested parentheses overflow the stack, which no handler can
//! catch, and `INTERNALDATE NIL` panics. We ask for five FETCH items, so the grammar is small.

mod capability;
mod change;
mod command;
mod concern;
mod error;
mod fetch;
mod folder;
mod guard;
mod highest;
mod idle;
mod lexer;
mod limit;
mod listed_folder;
mod name;
mod open_body;
mod reply;
mod search;
mod sent;
mod sequence;
mod session;
mod sign_in;
mod size;
mod slice;
mod source;
mod verdict;
mod wire;

pub use capability::{Capabilities, Capability};
pub(crate) use concern::{concern, mail_evidence};
pub use error::{ImapError, Mechanism, RefusalStatus, Stage};
pub use fetch::ImapFetchReport;
pub use folder::{SelectMode, SelectedFolder};
pub use guard::GuardError;
pub use highest::PlacedMail;
pub use idle::{IdleEnd, IdleReport};
pub use limit::{ImapLimits, ImapTimeouts};
pub use listed_folder::{ListedFolder, SpecialUse};
pub use session::Session;
pub use source::ImapSource;
