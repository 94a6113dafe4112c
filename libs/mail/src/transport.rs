//! The interface through which mail is sent. Services know a [`MailTransport`] and no protocol.
//!
//! A mail goes out in two steps, because one of them cannot be taken back. Whatever fails while it is **prepared** leaves
//! it surely unsent. From the **commit** on (SMTP: the final dot; Graph and Gmail: the POST) the provider may have it,
//! and a lost reply leaves it [`CommitResult::Uncertain`]: only the transport knows which failures are which.

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use mailmesh_domain::{Diagnosis, Verdict, VerdictKind};
use tokio::time::Instant;

use crate::message::Envelope;
use crate::pipelining::PipeliningRecord;

/// What a failure concerns, and so what else need not be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everything that the account sends.
    Account,
    /// Mail from this sender address.
    Sender,
    /// This recipient; others may go on.
    Recipient,
    /// This mail.
    Message,
    /// Everything that goes to this server.
    Host,
}

/// What is known of a failure beside its verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureDetail {
    /// Nothing more.
    None,
    /// The connection had ended before this mail was tried: another connection may send it.
    NotTried,
    /// The access token was refused: refresh it once, and if that one is refused too, sign in anew.
    TokenRefused,
    /// The server had the content when it refused, so that the mail itself may be the reason.
    ContentRefused,
}

/// Why something surely was not sent, or is not known to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportFailure {
    /// What happened, with the server's own words: for people, and not for logs, as servers name addresses.
    pub what: String,
    /// The server's code, fit for logs.
    pub code: Option<String>,
    /// What it is caused by, and when the server said to come back.
    pub diagnosis: Diagnosis,
    /// What it concerns.
    pub scope: Scope,
    /// What else is known of it.
    pub detail: FailureDetail,
}

impl TransportFailure {
    /// Makes a failure that no reply of a server tells more of.
    pub fn new(what: impl Into<String>, diagnosis: impl Into<Diagnosis>, scope: Scope) -> Self {
        Self {
            what: what.into(),
            code: None,
            diagnosis: diagnosis.into(),
            scope,
            detail: FailureDetail::None,
        }
    }

    /// Adds the server's code.
    #[must_use]
    pub fn with_code(mut self, code: Option<String>) -> Self {
        self.code = code;
        self
    }

    /// Adds what else is known.
    #[must_use]
    pub const fn with_detail(mut self, detail: FailureDetail) -> Self {
        self.detail = detail;
        self
    }

    /// Returns what it means and who must act, as long as nobody is to be told of it.
    pub fn verdict(&self) -> Verdict {
        self.diagnosis.verdict()
    }

    /// Returns whether the server is in trouble, whatever the mail and the account.
    pub fn is_of_host(&self) -> bool {
        matches!(self.scope, Scope::Host)
            && matches!(
                self.verdict().kind,
                VerdictKind::Transient | VerdictKind::Unknown
            )
    }

    /// Returns whether the account cannot send, whatever the mail.
    pub fn concerns_account(&self) -> bool {
        matches!(
            self.verdict().kind,
            VerdictKind::Throttled | VerdictKind::NeedsSignIn | VerdictKind::NeedsAdministrator
        )
    }
}

impl RecipientRefusal {
    /// Returns what it means and who must act.
    pub fn verdict(&self) -> Verdict {
        self.diagnosis.verdict()
    }
}

/// The server's reply to one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientResult {
    pub address: String,
    /// The server's reply in one line, codes included.
    pub reply: String,
    /// What a refusal means; `None` if the server takes the mail for this recipient.
    pub refusal: Option<RecipientRefusal>,
}

impl RecipientResult {
    /// Returns whether the server takes the mail for this recipient.
    pub const fn is_accepted(&self) -> bool {
        self.refusal.is_none()
    }
}

/// Why a recipient was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientRefusal {
    pub code: String,
    /// What it is caused by, and when the server said to come back.
    pub diagnosis: Diagnosis,
    /// What it concerns: rarely more than this recipient.
    pub scope: Scope,
    /// Only the number of recipients was too high: the rest may be sent at once in another mail.
    pub is_over_the_number: bool,
}

/// How far a mail came before its commit.
#[derive(Debug)]
pub enum Preparation<'a> {
    /// It can be committed.
    Ready(Box<dyn PreparedMail + 'a>),
    /// No recipient was accepted; nothing was sent and the transport can go on.
    Refused(Vec<RecipientResult>),
}

/// Result of a commit.
#[derive(Debug, Clone)]
pub enum CommitResult {
    /// The server took the mail for those recipients that it accepted.
    Accepted {
        recipients: Vec<RecipientResult>,
        /// The server's reply in one line, codes included.
        reply: String,
    },
    /// The mail is surely unsent.
    Unsent(TransportFailure),
    /// The provider may have it.
    Uncertain {
        /// Each recipient's result: those that were refused surely have no copy.
        recipients: Vec<RecipientResult>,
        /// Why it is not known.
        failure: TransportFailure,
    },
}

/// A mail that lacks nothing but its commit. Dropped, it stays unsent and the transport cannot be used again.
pub trait PreparedMail: fmt::Debug + Send {
    /// Returns each recipient's result; at least one is accepted.
    fn recipients(&self) -> &[RecipientResult];

    /// Commits the mail and waits for the provider's answer. Once `deadline` is over, it lets the mail go unsent: the
    /// clock is looked at right before each try to hand over what cannot be taken back.
    fn commit_before<'a>(self: Box<Self>, deadline: Instant) -> BoxFuture<'a, CommitResult>
    where
        Self: 'a;

    /// Takes everything back: the mail is surely unsent.
    fn abandon<'a>(self: Box<Self>) -> BoxFuture<'a, ()>
    where
        Self: 'a;
}

/// A signed-in connection that sends one mail after the other.
pub trait MailTransport: fmt::Debug + Send {
    /// Does everything that can still be taken back. Any failure in here is a mail surely unsent.
    fn prepare<'a>(
        &'a mut self,
        envelope: &'a Envelope,
        raw: &'a [u8],
    ) -> BoxFuture<'a, Result<Preparation<'a>, TransportFailure>>;

    /// Returns whether another mail can be sent.
    fn is_reusable(&self) -> bool;

    /// Ends the session, without waiting long for the server.
    fn close(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// Client name and time limits of a transport.
#[derive(Debug, Clone)]
pub struct TransportSettings {
    /// Client name, where the protocol wants one (SMTP: EHLO).
    pub client_name: String,
    /// Name lookup, TCP and the TLS handshake.
    pub connect_timeout: Duration,
    /// The reply to anything that decides nothing yet.
    pub command_timeout: Duration,
    /// The reply to the commit.
    pub commit_timeout: Duration,
    /// Make one per process: hosts to which commands go one at a time (SMTP).
    pub pipelining: PipeliningRecord,
}
