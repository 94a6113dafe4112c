//! A whole mail provider in one process for demos and tests, with scripted faults.
//!
//! Serves OAuth 2.0 and `OpenID` Connect, IMAP, POP3 and SMTP submission on loopback, behaving like Google,
//! Microsoft or the RFCs, and a control API that expires tokens, delivers mail and sets faults at named points.
//! Promises that every rule a real provider enforces on tokens and sign-in is enforced here too.
//! Refuses to listen on anything but loopback unless [`Settings::reachable_by_others`] says so: everybody who
//! reaches it may read every mailbox, deliver mail and issue tokens.

mod certificate;
pub mod control;
pub mod fault;
mod host;
mod imap;
mod mailbox;
mod oauth;
mod page;
mod pop3;
mod sandbox;
mod server;
mod settings;
mod smtp;
mod token;
mod visitor;

pub use certificate::{CertificateError, TlsAuthority};
pub use fault::{Fault, FaultBook, FaultRule};
pub use host::HostError;
pub use mailbox::{
    Flags, FolderState, ImapQuirks, MailCounters, MailStore, MailStoreError, Pop3Quirks,
    StoredMail, Submission, UidlKind,
};
pub use oauth::{InvalidRedirectUri, MailboxCounts, OAuthCounters, SigningKeyError};
pub use sandbox::{Addresses, Sandbox, SandboxError};
pub use server::{MailAddresses, MailParts, MailServerError, SandboxMailServer};
pub use settings::{ApplicationSettings, ClientSettings, MailboxSettings, Personality, Settings};
pub use token::{GrantRequest, RefreshRefusal, TokenBook, TokenHolder, TokenRefusal, TokenSet};
pub use visitor::{LastPage, VisitError, Visitor};
