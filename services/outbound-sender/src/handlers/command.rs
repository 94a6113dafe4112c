use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use mailmesh_bus::{Delivery, HandlerError};
use mailmesh_domain::{Key, MailId};
use mailmesh_events::mail::{CancelMail, RejectedCommand};
use mailmesh_events::{Command, subject};
use mailmesh_store::account::Account;
use time::OffsetDateTime;

use super::cancel_mail::Cancel;
use super::send_mail::{NewMail, SendCommand, mail_id};
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
    pub(super) command: RejectedCommand,
}

impl Rejection {
    pub(super) fn new(delivery: &Delivery, account: Option<Key>, refusal: Refusal) -> Self {
        Self {
            account,
            idempotency_key: None,
            refusal,
            stream_sequence: delivery.stream_sequence,
            timestamp: delivery.timestamp,
            command: if is_of(delivery, CancelMail::NAME) {
                RejectedCommand::MailCancel
            } else {
                RejectedCommand::MailSend
            },
        }
    }
}

/// A command as far as it was read.
pub(super) enum Read {
    Send(Box<SendCommand>),
    Cancel(Cancel),
    Rejected(Rejection),
    /// Reading it took too long or panicked.
    Failed,
    /// There was no time to read it.
    Later,
}

impl Read {
    pub(super) fn account(&self) -> Option<&Key> {
        match self {
            Self::Send(send) => Some(&send.account),
            Self::Cancel(cancel) => Some(&cancel.account),
            Self::Rejected(_) | Self::Failed | Self::Later => None,
        }
    }
}

/// What is to be written for one delivery.
pub(super) enum Ready {
    New(Box<NewMail>),
    Cancel(Cancel, Arc<Account>),
    Rejected(Rejection),
    /// It is rejected, and goes to the dead letters as it may show an error of ours.
    GivenUp(Rejection, HandlerError),
    /// There was no time for it, or its body could not be stored now.
    Later(HandlerError),
}

/// Returns none when building the mail panicked: whatever a hostile mail does to that code, its neighbours go on.
pub(super) fn prepare(
    delivery: &Delivery,
    read: Read,
    accounts: &HashMap<Key, Arc<Account>>,
    config: &Config,
) -> Option<Ready> {
    Some(match read {
        Read::Rejected(rejected) => Ready::Rejected(rejected),
        Read::Failed => return None,
        Read::Later => later(),
        Read::Cancel(cancel) => {
            if let Some(account) = accounts.get(&cancel.account) {
                return Some(Ready::Cancel(cancel, Arc::clone(account)));
            }
            let refusal = Refusal::new("account", "is not known");
            Ready::Rejected(Rejection::new(delivery, Some(cancel.account), refusal))
        }
        Read::Send(send) => {
            let (key, account) = (send.account.clone(), accounts.get(&send.account));
            let given = send.command.idempotency_key.clone();
            let built = AssertUnwindSafe(|| send.build(delivery, account, config));
            match catch_unwind(built).ok()? {
                Ok(mail) => Ready::New(Box::new(mail)),
                Err(refusal) => Ready::Rejected(Rejection {
                    idempotency_key: given,
                    ..Rejection::new(delivery, Some(key), refusal)
                }),
            }
        }
    })
}

#[derive(Debug, thiserror::Error)]
pub(super) enum NotComputed {
    #[error("the time for the batch was over before it was this command's turn")]
    OutOfTime,
    #[error("reading the command or building its mail took too long or panicked")]
    Failed,
}

pub(super) fn later() -> Ready {
    Ready::Later(HandlerError::retry(NotComputed::OutOfTime))
}

/// Returns none when reading panicked.
pub(super) fn read_safely(delivery: &Delivery) -> Option<Read> {
    catch_unwind(AssertUnwindSafe(|| read(delivery))).ok()
}

pub(super) fn read(delivery: &Delivery) -> Read {
    let read = if is_of(delivery, CancelMail::NAME) {
        Cancel::read(delivery).map(Read::Cancel)
    } else {
        SendCommand::read(delivery).map(|send| Read::Send(Box::new(send)))
    };
    read.unwrap_or_else(|(account, refusal)| {
        Read::Rejected(Rejection::new(delivery, account, refusal))
    })
}

/// Returns the mail that a `mail.send` becomes: its id, account and key. None if it cannot be read, or is another command.
pub(crate) fn named_mail(delivery: &Delivery) -> Option<(MailId, Key, String)> {
    match read_safely(delivery)? {
        Read::Send(send) => {
            let (account, key) = send.into_name();
            Some((mail_id(delivery), account, key))
        }
        Read::Cancel(_) | Read::Rejected(_) | Read::Failed | Read::Later => None,
    }
}

pub(super) fn weight(delivery: &Delivery) -> usize {
    delivery.payload.len()
}

pub(super) fn is_of(delivery: &Delivery, command: &str) -> bool {
    delivery.subject == command || subject::account_of(&delivery.subject, command).is_some()
}
