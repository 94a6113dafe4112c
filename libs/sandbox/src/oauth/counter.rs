use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// What the authorisation server did so far; events of one mailbox are counted under its address as well.
#[derive(Debug, Default)]
pub(crate) struct AtomicCounters {
    pub(crate) token_requests: AtomicU64,
    pub(crate) authorisations: AtomicU64,
    pub(crate) userinfo_requests: AtomicU64,
    pub(crate) key_requests: AtomicU64,
    pub(crate) revocations: AtomicU64,
    pub(crate) introspections: AtomicU64,
    by_address: Mutex<BTreeMap<String, MailboxCounts>>,
}

/// What happened to the tokens of one mailbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct MailboxCounts {
    /// Codes that became tokens.
    pub code_exchanges: u64,
    /// Refreshes that were answered with tokens.
    pub refreshes: u64,
    /// Refreshes that were refused or struck by a fault.
    pub refused_refreshes: u64,
    /// Tokens that a service account was given for the mailbox, or, under its own id, a client.
    pub app_tokens: u64,
}

/// What the authorisation server did since it started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OAuthCounters {
    /// Requests to the token endpoint, whatever came of them.
    pub token_requests: u64,
    /// Authorisation requests from a browser.
    pub authorisations: u64,
    /// Requests to the userinfo endpoint.
    pub userinfo_requests: u64,
    /// Requests for the key set.
    pub key_requests: u64,
    /// Requests to the revocation endpoint.
    pub revocations: u64,
    /// Requests to the introspection endpoint.
    pub introspections: u64,
    /// The same over all mailboxes.
    pub total: MailboxCounts,
    /// The mailboxes that had any to do with tokens.
    pub mailboxes: BTreeMap<String, MailboxCounts>,
}

impl AtomicCounters {
    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_for(&self, address: &str, change: impl FnOnce(&mut MailboxCounts)) {
        let mut mailboxes = self
            .by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match mailboxes.get_mut(address) {
            Some(counts) => change(counts),
            None => change(mailboxes.entry(address.to_owned()).or_default()),
        }
    }

    pub(crate) fn read(&self) -> OAuthCounters {
        let mailboxes = self
            .by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let sum = |field: fn(&MailboxCounts) -> u64| mailboxes.values().map(field).sum();
        OAuthCounters {
            token_requests: self.token_requests.load(Ordering::Relaxed),
            authorisations: self.authorisations.load(Ordering::Relaxed),
            userinfo_requests: self.userinfo_requests.load(Ordering::Relaxed),
            key_requests: self.key_requests.load(Ordering::Relaxed),
            revocations: self.revocations.load(Ordering::Relaxed),
            introspections: self.introspections.load(Ordering::Relaxed),
            total: MailboxCounts {
                code_exchanges: sum(|counts| counts.code_exchanges),
                refreshes: sum(|counts| counts.refreshes),
                refused_refreshes: sum(|counts| counts.refused_refreshes),
                app_tokens: sum(|counts| counts.app_tokens),
            },
            mailboxes,
        }
    }
}
