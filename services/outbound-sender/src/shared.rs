use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use mailmesh_accounts::Replica;
use mailmesh_bus::RawMails;
use mailmesh_domain::{AccountId, Key, MailId};
use mailmesh_store::outbound_mail::OutboundMail;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::access::Access;
use crate::config::Config;
use crate::decide::Decision;
use crate::event;
use crate::in_flight::InFlight;
use crate::memory::Memory;
use crate::raw_cache::RawCache;
use crate::recorder::{Recorded, RecorderHandle};
use crate::retry_policy::RetryPolicy;

/// A hint that an account has mail to send, for whichever replica holds it.
pub(crate) const OUTBOUND_DUE: &str = "outbound.due";

/// What all workers of a process share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) replica: Replica,
    pub(crate) config: Arc<Config>,
    pub(crate) retry: RetryPolicy,
    pub(crate) recorder: RecorderHandle,
    pub(crate) access: Access,
    pub(crate) wakes: Arc<Wakes>,
    pub(crate) raws: Arc<RawCache>,
    pub(crate) raw_mails: RawMails,
    pub(crate) in_flight: Arc<InFlight>,
    pub(crate) memory: Memory,
    /// Cancelled when the process ends, so that workers whose account was given up end too.
    pub(crate) ending: CancellationToken,
}

impl Shared {
    /// Hands over to the recorder what was decided of a mail, with the events that tell of it.
    pub(crate) async fn record(&self, account: &Key, mail: &OutboundMail, decision: Decision) {
        let Decision { outcome, event, .. } = decision;
        let encode = |kind| event::encode_kind(&self.replica, account, mail, &outcome, kind);
        let events = event.map(encode).unwrap_or_default();
        self.recorder.record(Recorded { outcome, events }).await;
    }
}

/// Wakes the workers of this process.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    workers: Mutex<HashMap<AccountId, Arc<Notify>>>,
}

impl Wakes {
    pub(crate) fn add(&self, account: AccountId) -> Arc<Notify> {
        let wake = Arc::new(Notify::new());
        self.lock().insert(account, Arc::clone(&wake));
        wake
    }

    /// Forgets a worker, unless another has come in its place.
    pub(crate) fn remove(&self, account: AccountId, wake: &Arc<Notify>) {
        let mut workers = self.lock();
        if workers
            .get(&account)
            .is_some_and(|known| Arc::ptr_eq(known, wake))
        {
            workers.remove(&account);
        }
    }

    /// Returns the accounts that have a worker here.
    pub(crate) fn list(&self) -> Vec<AccountId> {
        self.lock().keys().copied().collect()
    }

    /// Wakes a worker; returns whether this process has it.
    pub(crate) fn wake(&self, account: AccountId) -> bool {
        let workers = self.lock();
        let wake = workers.get(&account);
        if let Some(wake) = wake {
            wake.notify_one();
        }
        wake.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, Arc<Notify>>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes whoever holds the accounts, here or in another replica.
pub(crate) async fn wake_holders(
    replica: &Replica,
    wakes: &Wakes,
    accounts: impl IntoIterator<Item = AccountId>,
) {
    for account in accounts {
        if wakes.wake(account) {
            continue;
        }
        let body = Bytes::from(account.to_string());
        if let Err(error) = replica.bus.publish_core(OUTBOUND_DUE, &[], body).await {
            warn!(
                error = &error as &dyn std::error::Error,
                "The hint was not sent; the holder finds the mail within seconds"
            );
        }
    }
}

/// Reads the account that a hint names.
pub(crate) fn account_of_hint(payload: &[u8]) -> Option<AccountId> {
    std::str::from_utf8(payload).ok()?.parse().ok()
}

/// Names a raw mail as `mail.send` stored it.
pub(crate) fn raw_name(id: MailId) -> String {
    id.to_string()
}
