use mailmesh_bus::Delivery;
use mailmesh_domain::{AccountId, Key};
use mailmesh_events::decode_command;
use mailmesh_events::mail::CancelMail;
use mailmesh_store::outbound_mail::CancelRequest;
use time::OffsetDateTime;

use super::account_name::{account_of, account_of_unread};
use super::send_mail::{problem_of_key, rejection_id};
use crate::draft::Refusal;

/// A `mail.cancel` that was read.
#[derive(Debug)]
pub(super) struct Cancel {
    pub(super) account: Key,
    command: CancelMail,
    stream_sequence: u64,
    timestamp: OffsetDateTime,
}

impl Cancel {
    pub(super) fn read(delivery: &Delivery) -> Result<Self, (Option<Key>, Refusal)> {
        let read = decode_command::<CancelMail>(&delivery.headers, &delivery.payload)
            .map_err(|error| (account_of_unread(delivery), Refusal::from(error)))?;
        let command = read.data;
        let account = account_of(delivery, command.account.clone())?;
        if command.mail_id.is_none() && command.idempotency_key.is_none() {
            let reason = "is missing, and so is idempotency_key";
            return Err((Some(account), Refusal::new("mail_id", reason)));
        }
        let key = command.idempotency_key.as_deref();
        if let Some(problem) = key.and_then(problem_of_key) {
            return Err((Some(account), Refusal::new("idempotency_key", problem)));
        }
        Ok(Self {
            account,
            command,
            stream_sequence: delivery.stream_sequence,
            timestamp: delivery.timestamp,
        })
    }

    pub(super) fn into_request(self, account: AccountId) -> CancelRequest {
        CancelRequest {
            event_id: rejection_id(self.stream_sequence, self.timestamp),
            account_id: account,
            stream_sequence: self.stream_sequence,
            stored_at: self.timestamp,
            mail_id: self.command.mail_id,
            idempotency_key: self.command.idempotency_key,
        }
    }
}
