use mailmesh_bus::Delivery;
use mailmesh_domain::Key;
use mailmesh_events::decode_command;
use mailmesh_events::mail::CancelMail;

use super::account_name::{account_of, account_of_unread};
use super::send_mail::problem_of_key;
use crate::draft::Refusal;

/// A `mail.cancel` that was read.
#[derive(Debug)]
pub(super) struct Cancel {
    pub(super) account: Key,
    pub(super) command: CancelMail,
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
        Ok(Self { account, command })
    }
}
