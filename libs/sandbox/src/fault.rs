//! Scripted misbehaviour: a fault waits at a named point and is taken by whoever gets there first.
//!
//! | point | consulted | answers it understands |
//! |---|---|---|
//! | `oauth.discovery` `oauth.jwks` `oauth.authorize` `oauth.consent` `oauth.userinfo` `oauth.revoke` `oauth.introspect` | before the request is worked on | cut, stall, status, reply |
//! | `oauth.token` | before any token request | cut, stall, status, reply |
//! | `oauth.token.code` `oauth.token.refresh` | the same, for one grant type; knows the address | cut, stall, status, reply |
//! | `oauth.token.client_credentials` `oauth.token.jwt_bearer` | the same; the second knows the address | cut, stall, status, reply |
//! | `oauth.after_token` | tokens are issued and rotated, the answer is not sent yet | cut, stall, status, reply |
//! | `oauth.redirect` | the answer to the client's redirect URI | reply (the query in place of the right one) |
//! | `oauth.id_token` | an id token is about to be signed | reply (a JSON object merged into the claims) |
//! | `imap.greeting` `imap.starttls` `imap.authenticate` `imap.select` `imap.search` `imap.fetch` `imap.idle` `imap.store` `imap.move` `imap.logout` | before the command is worked on | cut, reset, stall, reply |
//! | `imap.fetch.body` | in the middle of a body | cut, reset, stall, reply, huge literal |
//! | `pop3.greeting` `pop3.capa` `pop3.stls` `pop3.stat` `pop3.list` `pop3.uidl` `pop3.retr` `pop3.top` `pop3.dele` `pop3.rset` | before the command is worked on | cut, reset, stall, reply, huge literal |
//! | `pop3.continuation` | before the `+ ` that asks for a SASL response | cut, reset, stall, reply |
//! | `pop3.auth` | name and secret are known and not judged yet | cut, reset, stall, reply |
//! | `pop3.list.body` `pop3.uidl.body` `pop3.retr.body` | in the middle of the answer | cut, reset, stall, reply (in place of the second half), huge literal |
//! | `pop3.quit` | before deletions are carried out | cut, reset, stall, reply (nothing is deleted then) |
//! | `pop3.after_quit` | deletions are carried out, the reply is not sent yet | cut, reset, stall, reply |
//! | `smtp.greeting` `smtp.ehlo` `smtp.starttls` `smtp.auth` `smtp.mail` `smtp.rcpt` `smtp.data` `smtp.quit` | before the command is worked on | cut, reset, stall, reply |
//! | `smtp.content` | while content arrives | cut, reset, stall |
//! | `smtp.final_dot` | after the final dot, before the mail is stored | cut, reset, stall, reply |
//! | `smtp.after_final_dot` | the mail is stored, the reply is not sent yet | cut, reset, stall, reply |
//!
//! In a reply, the mail servers put the command's tag in place of `{tag}`; a line that begins with `421`, `* BYE` or `-ERR`
//! and, in POP3, says `closed` ends the connection. Of POP3's own refusals, `-ERR [IN-USE]` and `-ERR [LOGIN-DELAY]` also
//! come without a fault, see [`crate::Pop3Quirks`].

pub(crate) mod http;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Every point at which a fault may wait.
pub const POINTS: &[&str] = &[
    "oauth.discovery",
    "oauth.jwks",
    "oauth.authorize",
    "oauth.consent",
    "oauth.token",
    "oauth.token.code",
    "oauth.token.refresh",
    "oauth.token.client_credentials",
    "oauth.token.jwt_bearer",
    "oauth.after_token",
    "oauth.redirect",
    "oauth.id_token",
    "oauth.userinfo",
    "oauth.revoke",
    "oauth.introspect",
    "imap.greeting",
    "imap.starttls",
    "imap.authenticate",
    "imap.select",
    "imap.search",
    "imap.fetch",
    "imap.fetch.body",
    "imap.idle",
    "imap.store",
    "imap.move",
    "imap.logout",
    "pop3.greeting",
    "pop3.capa",
    "pop3.stls",
    "pop3.continuation",
    "pop3.auth",
    "pop3.stat",
    "pop3.list",
    "pop3.list.body",
    "pop3.uidl",
    "pop3.uidl.body",
    "pop3.retr",
    "pop3.retr.body",
    "pop3.top",
    "pop3.dele",
    "pop3.rset",
    "pop3.quit",
    "pop3.after_quit",
    "smtp.greeting",
    "smtp.ehlo",
    "smtp.starttls",
    "smtp.auth",
    "smtp.mail",
    "smtp.rcpt",
    "smtp.data",
    "smtp.content",
    "smtp.final_dot",
    "smtp.after_final_dot",
    "smtp.quit",
];

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// The connection ends at once, without a reply.
    Cut,
    /// The connection is reset by TCP, which may destroy what was sent just before; HTTP takes it for a cut.
    Reset,
    /// Nothing is sent for so long, or until faults are cleared; then all goes on as if nothing had been.
    Stall {
        /// How long; without it, until [`FaultBook::clear`] or [`FaultBook::remove`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds: Option<u64>,
    },
    /// Sent in place of the right answer: protocol lines, or an HTTP body with status 200.
    Reply {
        /// The text as it is; the mail servers add a missing line end.
        text: String,
    },
    /// An HTTP answer in place of the right one.
    Status {
        /// The status code.
        code: u16,
        /// The `Retry-After` header, in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<u64>,
        /// The body; JSON is labelled as such.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<String>,
    },
    /// A literal is announced with this size and never delivered; POP3, which announces nothing, sends so much in one line.
    HugeLiteral {
        /// The announced size.
        bytes: u64,
    },
}

/// A fault, where it waits and for whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    pub point: String,
    /// Only for this mailbox; without it, for everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// How often it happens; without it, until it is removed.
    #[serde(default = "once")]
    pub count: Option<u64>,
    /// How many visits pass unharmed first.
    #[serde(default)]
    pub after: u64,
    /// What goes wrong.
    pub fault: Fault,
}

#[expect(clippy::unnecessary_wraps, reason = "the default of an optional field")]
fn once() -> Option<u64> {
    Some(1)
}

impl FaultRule {
    /// Makes a rule that happens once, to whoever comes first.
    pub fn once(point: &str, fault: Fault) -> Self {
        Self {
            point: point.to_owned(),
            address: None,
            count: once(),
            after: 0,
            fault,
        }
    }

    fn matches(&self, point: &str, address: Option<&str>) -> bool {
        self.point == point
            && self.address.as_deref().is_none_or(|wanted| {
                address.is_some_and(|address| address.eq_ignore_ascii_case(wanted))
            })
    }

    fn is_spent(&self) -> bool {
        self.count == Some(0)
    }
}

/// A rule as it stands: `count` and `after` are what is left of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FaultState {
    /// Names the rule until it is removed.
    pub id: u64,
    /// How often it has happened.
    pub taken: u64,
    /// What is left of the rule.
    #[serde(flatten)]
    pub rule: FaultRule,
}

impl FaultState {
    fn is_stalling(&self) -> bool {
        self.taken > 0 && matches!(self.rule.fault, Fault::Stall { .. })
    }
}

/// Why a rule was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown fault point {point}")]
pub struct UnknownPoint {
    /// The name that is in no table.
    pub point: String,
}

/// The faults that wait; clones share them.
#[derive(Clone)]
pub struct FaultBook {
    shared: Arc<FaultBookState>,
}

struct FaultBookState {
    live: AtomicUsize,
    rules: Mutex<Rules>,
    cleared: watch::Sender<u64>,
}

#[derive(Default)]
struct Rules {
    last_id: u64,
    states: Vec<FaultState>,
}

impl FaultBook {
    /// Makes an empty book.
    pub fn new() -> Self {
        Self {
            shared: Arc::new(FaultBookState {
                live: AtomicUsize::new(0),
                rules: Mutex::new(Rules::default()),
                cleared: watch::Sender::new(0),
            }),
        }
    }

    /// Returns whether no fault waits anywhere; one relaxed load.
    pub fn is_empty(&self) -> bool {
        self.shared.live.load(Ordering::Relaxed) == 0
    }

    /// Lets a fault wait; returns its id.
    pub fn add(&self, rule: FaultRule) -> Result<u64, UnknownPoint> {
        if !POINTS.contains(&rule.point.as_str()) {
            return Err(UnknownPoint { point: rule.point });
        }
        let mut rules = self.lock();
        rules.last_id += 1;
        let id = rules.last_id;
        rules.states.push(FaultState { id, taken: 0, rule });
        self.recount(&rules);
        Ok(id)
    }

    /// Takes the first fault that waits at `point` for `address`, if there is one.
    pub fn take(&self, point: &str, address: Option<&str>) -> Option<Fault> {
        if self.is_empty() {
            return None;
        }
        let mut rules = self.lock();
        let state = rules
            .states
            .iter_mut()
            .find(|state| !state.rule.is_spent() && state.rule.matches(point, address))?;
        if state.rule.after > 0 {
            state.rule.after -= 1;
            return None;
        }
        state.taken += 1;
        if let Some(left) = &mut state.rule.count {
            *left -= 1;
        }
        let fault = state.rule.fault.clone();
        self.recount(&rules);
        Some(fault)
    }

    /// Waits as a stall says: for `seconds`, or until faults are cleared.
    pub async fn stall(&self, seconds: Option<u64>) {
        let mut cleared = self.shared.cleared.subscribe();
        // Cleared between being taken and coming here: nobody would ever release it.
        if !self.lock().states.iter().any(FaultState::is_stalling) {
            return;
        }
        let released = async move {
            // The sender lives in `self`, so the only way out is a change.
            drop(cleared.changed().await);
        };
        match seconds {
            Some(seconds) => {
                drop(tokio::time::timeout(Duration::from_secs(seconds), released).await);
            }
            None => released.await,
        }
    }

    /// Returns every rule, spent ones too, oldest first.
    pub fn list(&self) -> Vec<FaultState> {
        self.lock().states.clone()
    }

    /// Removes one rule, and releases what stalls if that is what it does; returns whether it was there.
    pub fn remove(&self, id: u64) -> bool {
        let mut rules = self.lock();
        let Some(place) = rules.states.iter().position(|state| state.id == id) else {
            return false;
        };
        let removed = rules.states.remove(place);
        self.recount(&rules);
        drop(rules);
        if removed.is_stalling() {
            self.release();
        }
        true
    }

    /// Removes every rule and releases what stalls.
    pub fn clear(&self) {
        let mut rules = self.lock();
        rules.states.clear();
        self.recount(&rules);
        drop(rules);
        self.release();
    }

    fn release(&self) {
        self.shared.cleared.send_modify(|count| *count += 1);
    }

    fn recount(&self, rules: &Rules) {
        let live = rules.states.iter().filter(|state| !state.rule.is_spent());
        self.shared.live.store(live.count(), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Rules> {
        self.shared
            .rules
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for FaultBook {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for FaultBook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FaultBook")
            .field("rules", &self.lock().states)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
