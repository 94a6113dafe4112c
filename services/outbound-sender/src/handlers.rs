//! Takes commands in: what is good is queued, what is not is rejected with the field at fault, and
//! nothing is acknowledged before it is durable.

mod cancel_mail;
mod send_mail;
mod spread;
mod write;

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use mailmesh_accounts::Replica;
use mailmesh_bus::{
    BatchHandler, ConsumerSettings, Delivery, HandlerError, PublishError, RawMail, StreamKind,
};
use mailmesh_domain::{Key, MailId};
use mailmesh_events::mail::{CancelMail, SendMail};
use mailmesh_events::{Command, subject};
use mailmesh_store::account::Account;
use mailmesh_store::{StoreError, outbound_mail};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tracing::warn;

use crate::config::Config;
use crate::directory::Directory;
use crate::draft::Refusal;
use crate::raw_cache::RawCache;
use crate::shared::{Wakes, raw_name};
use cancel_mail::Cancel;
use send_mail::{NewMail, Send};
use spread::spread;

/// Takes in `mail.send` and `mail.cancel`.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(crate) replica: Replica,
    pub(crate) config: Arc<Config>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) wakes: Arc<Wakes>,
    pub(crate) raws: Arc<RawCache>,
    /// Told when the store of raw mails has no room.
    pub(crate) is_full: Arc<Notify>,
    /// The account in a rejection when none could be read.
    pub(crate) unknown: Key,
}

/// Why a command is refused, and which.
#[derive(Debug)]
struct Rejection {
    account: Option<Key>,
    idempotency_key: Option<String>,
    refusal: Refusal,
    stream_sequence: u64,
    timestamp: OffsetDateTime,
}

impl Rejection {
    fn new(delivery: &Delivery, account: Option<Key>, refusal: Refusal) -> Self {
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
enum Read {
    Send(Box<Send>),
    Cancel(Cancel),
    Rejected(Rejection),
}

/// What is to be written for one delivery.
enum Ready {
    New(Box<NewMail>),
    Cancel(Cancel, Arc<Account>),
    Rejected(Rejection),
    /// Its body could not be stored now.
    Later(HandlerError),
}

/// Commands, and what was made of them.
pub(crate) struct Taken {
    deliveries: Vec<Delivery>,
    ready: Result<Vec<Ready>, StoreError>,
}

/// Whether these deliveries were worked on before, by this very process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    First,
    /// Their transaction failed, as far as its answer told.
    Again,
}

impl Intake {
    /// An outage of NATS or Postgres, however long, must not turn mail into dead letters.
    pub(crate) fn settings() -> ConsumerSettings {
        let filters = ["mail.send", "mail.send.*", "mail.cancel", "mail.cancel.*"];
        ConsumerSettings {
            max_in_hand: 512,
            ack_wait: Duration::from_secs(40),
            work_timeout: Duration::from_secs(20),
            max_attempts: u32::MAX,
            retry_delays: [1, 2, 5, 10].map(Duration::from_secs).to_vec(),
            ..ConsumerSettings::new(StreamKind::MailSend, &filters)
        }
    }

    /// Reads commands, builds mails and stores their bodies.
    async fn take_in(
        &self,
        deliveries: Vec<Delivery>,
        round: Round,
    ) -> Result<Vec<Ready>, StoreError> {
        let count = deliveries.len();
        let read = spread(deliveries, weight, |delivery| {
            let read = read_safely(&delivery);
            (delivery, read)
        });
        let Some(read) = read.await else {
            return Ok(ending(count));
        };
        let accounts = Arc::new(self.accounts(&read).await?);
        let known = self.known(&read, round).await?;
        let config = Arc::clone(&self.config);
        let ready = spread(
            read,
            |(delivery, _)| weight(delivery),
            move |(delivery, read)| prepare(&delivery, read, &accounts, &config),
        );
        let Some(mut ready) = ready.await else {
            return Ok(ending(count));
        };
        self.store_bodies(&mut ready, &known).await;
        Ok(ready)
    }

    async fn accounts(
        &self,
        read: &[(Delivery, Read)],
    ) -> Result<HashMap<Key, Arc<Account>>, StoreError> {
        let keys: HashSet<Key> = read
            .iter()
            .filter_map(|(_, read)| match read {
                Read::Send(send) => Some(send.account.clone()),
                Read::Cancel(cancel) => Some(cancel.account.clone()),
                Read::Rejected(_) => None,
            })
            .collect();
        self.directory.resolve(keys).await
    }

    /// The mails of commands that came before: their bodies are stored, and may be on their way. A
    /// transaction whose answer was lost may have queued them.
    async fn known(
        &self,
        read: &[(Delivery, Read)],
        round: Round,
    ) -> Result<HashSet<MailId>, StoreError> {
        let repeated: Vec<MailId> = read
            .iter()
            .filter_map(|(delivery, read)| match read {
                Read::Send(_) if round == Round::Again || delivery.attempt > 1 => {
                    Some(send_mail::mail_id(delivery))
                }
                _ => None,
            })
            .collect();
        if repeated.is_empty() {
            return Ok(HashSet::new());
        }
        let mut tx = self.replica.database.begin().await?;
        let known = outbound_mail::list_known(&mut tx, &repeated).await?;
        tx.commit().await?;
        Ok(known.into_iter().collect())
    }

    async fn store_bodies(&self, ready: &mut [Ready], known: &HashSet<MailId>) {
        let mut slots: Vec<&mut Ready> = ready
            .iter_mut()
            .filter(|ready| matches!(ready, Ready::New(new) if !known.contains(&new.row.id)))
            .collect();
        let bodies = slots.iter().filter_map(|ready| match &**ready {
            Ready::New(new) => Some(RawMail {
                mail_id: raw_name(new.row.id),
                bytes: new.raw.clone(),
            }),
            _ => None,
        });
        let bodies: Vec<RawMail> = bodies.collect();
        if bodies.is_empty() {
            return;
        }
        let answers = self.replica.bus.raw_mails().put_all(bodies).await;
        for (slot, answer) in slots.iter_mut().zip(answers) {
            if let Err(error) = answer {
                if matches!(error, PublishError::StreamFull { .. }) {
                    self.is_full.notify_one();
                }
                **slot = Ready::Later(HandlerError::retry(error));
            }
        }
    }

    async fn take_in_one(
        &self,
        delivery: Delivery,
    ) -> Result<Vec<Result<(), HandlerError>>, StoreError> {
        let ready = self.take_in(vec![delivery], Round::Again).await?;
        self.write(ready).await
    }

    /// One bad row fails a whole transaction: then each command is tried by itself.
    async fn one_by_one(&self, deliveries: &[Delivery]) -> Vec<Result<(), HandlerError>> {
        let mut results = Vec::with_capacity(deliveries.len());
        let mut is_away = false;
        for delivery in deliveries {
            if is_away {
                results.push(Err(away()));
                continue;
            }
            match self.take_in_one(delivery.clone()).await {
                Ok(mut one) => results.push(one.pop().unwrap_or(Ok(()))),
                Err(error) => {
                    is_away = matches!(error, StoreError::Connect(_));
                    results.push(Err(HandlerError::retry(error)));
                }
            }
        }
        results
    }
}

#[derive(Debug, thiserror::Error)]
enum NotNow {
    #[error("the database is away")]
    DatabaseAway,
    #[error("the process is ending")]
    Ending,
}

fn away() -> HandlerError {
    HandlerError::retry(NotNow::DatabaseAway)
}

fn ending(count: usize) -> Vec<Ready> {
    let later = || Ready::Later(HandlerError::retry(NotNow::Ending));
    std::iter::repeat_with(later).take(count).collect()
}

impl BatchHandler for Intake {
    const CONSUMER: &'static str = "outbound-sender-send-mail";

    type Prepared = Taken;

    async fn prepare(&self, deliveries: Vec<Delivery>) -> Taken {
        let ready = self.take_in(deliveries.clone(), Round::First).await;
        Taken { deliveries, ready }
    }

    /// Takes all in with one transaction, in the order in which the commands came.
    async fn finish(&self, Taken { deliveries, ready }: Taken) -> Vec<Result<(), HandlerError>> {
        let written = match ready {
            Ok(ready) => self.write(ready).await,
            Err(error) => Err(error),
        };
        match written {
            Ok(results) => results,
            Err(error @ StoreError::Connect(_)) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    commands = deliveries.len(),
                    "Commands wait for the database"
                );
                deliveries.iter().map(|_| Err(away())).collect()
            }
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    commands = deliveries.len(),
                    "Commands are taken in one by one"
                );
                self.one_by_one(&deliveries).await
            }
        }
    }
}

fn prepare(
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

fn read_safely(delivery: &Delivery) -> Read {
    catch_unwind(AssertUnwindSafe(|| read(delivery))).unwrap_or_else(|_| {
        let refusal = Refusal::new("", "cannot be read");
        Read::Rejected(Rejection::new(delivery, None, refusal))
    })
}

fn read(delivery: &Delivery) -> Read {
    let read = if is_of(delivery, CancelMail::NAME) {
        Cancel::read(delivery).map(Read::Cancel)
    } else {
        Send::read(delivery).map(|send| Read::Send(Box::new(send)))
    };
    read.unwrap_or_else(|(account, refusal)| {
        Read::Rejected(Rejection::new(delivery, account, refusal))
    })
}

fn weight(delivery: &Delivery) -> usize {
    delivery.payload.len()
}

fn is_of(delivery: &Delivery, command: &str) -> bool {
    delivery.subject == command || subject::account_of(&delivery.subject, command).is_some()
}

/// Returns the account that body and subject name; when both do, they must agree.
fn account_of(delivery: &Delivery, in_body: Option<Key>) -> Result<Key, (Option<Key>, Refusal)> {
    let commands = [SendMail::NAME, CancelMail::NAME];
    let in_subject = commands
        .iter()
        .find_map(|command| subject::account_of(&delivery.subject, command));
    let in_subject = in_subject.map(Key::try_new).transpose().map_err(|error| {
        let reason = format!("in the subject {error}");
        (None, Refusal::new("account", reason))
    })?;
    match (in_subject, in_body) {
        (Some(subject), Some(body)) if subject != body => {
            let reason = "names another account than the subject";
            Err((Some(subject), Refusal::new("account", reason)))
        }
        (Some(key), _) | (None, Some(key)) => Ok(key),
        (None, None) => Err((None, Refusal::new("account", "is missing"))),
    }
}

/// Finds whose command it is although it cannot be read, so that its sender hears of it.
fn account_of_unread(delivery: &Delivery) -> Option<Key> {
    let of_body = || {
        let body: serde_json::Value = serde_json::from_slice(&delivery.payload).ok()?;
        let named = body
            .get("account")
            .or_else(|| body.get("data")?.get("account"))?;
        Key::try_new(named.as_str()?.to_owned()).ok()
    };
    account_of(delivery, None).ok().or_else(of_body)
}

#[cfg(test)]
mod tests;
