use std::sync::Arc;

use bytes::Bytes;
use mailmesh_accounts::{AccountCredentials, MemoryBudget, Replica, WorkerRegistry};
use mailmesh_bus::RawMails;
use mailmesh_domain::{AccountId, Key, MailId};
use mailmesh_mail::transport::TransportSettings;
use mailmesh_store::outbound_mail::OutboundMail;
use tokio::sync::Notify;
use tracing::warn;

use crate::config::Config;
use crate::decide::Decision;
use crate::event;
use crate::in_flight::InFlight;
use crate::raw_cache::RawCache;
use crate::recorder::{OutcomeRecord, RecorderHandle};
use crate::retry_policy::RetryPolicy;

/// A hint that an account has mail to send, for whichever replica holds it.
pub(crate) const OUTBOUND_DUE: &str = "outbound.due";

/// Shared by all workers of a process.
#[derive(Debug)]
pub(crate) struct ServiceContext {
    pub(crate) replica: Replica,
    pub(crate) config: Arc<Config>,
    pub(crate) retry: RetryPolicy,
    pub(crate) transport: TransportSettings,
    pub(crate) recorder: RecorderHandle,
    pub(crate) credentials: AccountCredentials,
    pub(crate) registry: Arc<WorkerRegistry>,
    pub(crate) raws: Arc<RawCache>,
    pub(crate) raw_mails: RawMails,
    pub(crate) in_flight: Arc<InFlight>,
    pub(crate) memory: MemoryBudget,
    pub(crate) recover_soon: Notify,
}

impl ServiceContext {
    /// Hands over to the recorder what was decided of a mail, with the events that tell of it.
    pub(crate) async fn record(&self, account: &Key, mail: &OutboundMail, decision: Decision) {
        let Decision { outcome, event, .. } = decision;
        let encode = |kind| event::encode_kind(&self.replica, account, mail, &outcome, kind);
        let events = event.map(encode).unwrap_or_default();
        let recorded = OutcomeRecord {
            outcome,
            events,
            kind: event,
        };
        self.recorder.record(recorded).await;
    }
}

/// Wakes whoever holds the accounts, here or in another replica.
pub(crate) async fn wake_holders(
    replica: &Replica,
    registry: &WorkerRegistry,
    accounts: impl IntoIterator<Item = AccountId>,
) {
    for account in accounts {
        if registry.wake(account) {
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
