use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use mailmesh_bus::{Delivery, HandlerError};
use mailmesh_domain::Key;
use mailmesh_events::mail::CancelMail;
use mailmesh_events::{Command, subject};
use mailmesh_store::account::Account;
use time::OffsetDateTime;

use super::cancel_mail::Cancel;
use super::send_mail::{NewMail, Send};
use crate::config::Config;
use crate::draft::Refusal;

/// Why a command is refused, and which.
#[derive(Debug)]
pub(super) struct Rejection {
    pub(super) account: Option<Key>,
    pub(super) idempotency_key: Option<String>,
    pub(super) refusal: Refusal,
    pub(super) stream_sequence: u64,
    pub(super) timestamp: OffsetDateTime,
}

impl Rejection {
    pub(super) fn new(delivery: &Delivery, account: Option<Key>, refusal: Refusal) -> Self {
        Self {
            account,
            idempotency_key: None,
            refusal,
            stream_sequence: delivery.stream_sequence,
            timestamp: delivery.timestamp,
        }
    }
}

/// A command as far as it was read.
pub(super) enum Read {
    Send(Box<Send>),
    Cancel(Cancel),
    Rejected(Rejection),
}

/// What is to be written for one delivery.
pub(super) enum Ready {
    New(Box<NewMail>),
    Cancel(Cancel, Arc<Account>),
    Rejected(Rejection),
    /// Its body could not be stored now.
    Later(HandlerError),
}

pub(super) fn prepare(
    delivery: &Delivery,
    read: Read,
    accounts: &HashMap<Key, Arc<Account>>,
    config: &Config,
) -> Ready {
    match read {
        Read::Rejected(rejected) => Ready::Rejected(rejected),
        Read::Cancel(cancel) => {
            if let Some(account) = accounts.get(&cancel.account) {
                return Ready::Cancel(cancel, Arc::clone(account));
            }
            let refusal = Refusal::new("account", "is not known");
            Ready::Rejected(Rejection::new(delivery, Some(cancel.account), refusal))
        }
        Read::Send(send) => {
            let (key, account) = (send.account.clone(), accounts.get(&send.account));
            let given = send.command.idempotency_key.clone();
            // Whatever a hostile mail does to the code that builds it, its neighbours go on.
            let built = AssertUnwindSafe(|| send.build(delivery, account, config));
            let built = catch_unwind(built)
                .unwrap_or_else(|_| Err(Refusal::new("", "cannot be built into a mail")));
            match built {
                Ok(mail) => Ready::New(Box::new(mail)),
                Err(refusal) => Ready::Rejected(Rejection {
                    idempotency_key: given,
                    ..Rejection::new(delivery, Some(key), refusal)
                }),
            }
        }
    }
}

pub(super) fn read_safely(delivery: &Delivery) -> Read {
    catch_unwind(AssertUnwindSafe(|| read(delivery))).unwrap_or_else(|_| {
        let refusal = Refusal::new("", "cannot be read");
        Read::Rejected(Rejection::new(delivery, None, refusal))
    })
}

pub(super) fn read(delivery: &Delivery) -> Read {
    let read = if is_of(delivery, CancelMail::NAME) {
        Cancel::read(delivery).map(Read::Cancel)
    } else {
        Send::read(delivery).map(|send| Read::Send(Box::new(send)))
    };
    read.unwrap_or_else(|(account, refusal)| {
        Read::Rejected(Rejection::new(delivery, account, refusal))
    })
}

pub(super) fn weight(delivery: &Delivery) -> usize {
    delivery.payload.len()
}

pub(super) fn is_of(delivery: &Delivery, command: &str) -> bool {
    delivery.subject == command || subject::account_of(&delivery.subject, command).is_some()
}
