use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use mailmesh_accounts::{Replica, WorkerRegistry};
use mailmesh_bus::{
    ConsumerSettings, Delivery, Handler, HandlerError, NewRawMail, PublishError, StreamKind,
};
use mailmesh_domain::{Key, MailId};
use mailmesh_store::account::Account;
use mailmesh_store::{StoreError, outbound_mail};
use tokio::sync::Notify;
use tracing::warn;

use super::account_name::account_of;
use super::command::{NotComputed, Read, Ready, Rejection, later, prepare, read_safely, weight};
use super::command_writer::CommandWriter;
use super::failed_computations::FailedComputations;
use super::send_mail::mail_id;
use super::spread::{ItemResult, spread};
use crate::account_cache::AccountCache;
use crate::config::Config;
use crate::context::raw_name;
use crate::draft::Refusal;
use crate::raw_cache::RawCache;

/// Takes in `mail.send` and `mail.cancel`.
#[derive(Debug)]
pub(crate) struct CommandHandler {
    pub(crate) replica: Replica,
    pub(crate) config: Arc<Config>,
    pub(crate) accounts: Arc<AccountCache>,
    pub(crate) registry: Arc<WorkerRegistry>,
    pub(crate) raws: Arc<RawCache>,
    /// Notified when `MAIL_RAW` is full.
    pub(crate) is_full: Arc<Notify>,
    /// The account in a rejection when none could be read.
    pub(crate) unknown: Key,
    pub(crate) failed: Arc<FailedComputations>,
}

/// Time limit for reading the commands of a batch, and for building their mails: both together leave time to store them.
/// The largest mail takes half a second.
const COMPUTATION: Duration = Duration::from_secs(8);

/// Commands, and what was made of them.
pub(crate) struct PreparedBatch {
    deliveries: Vec<Delivery>,
    ready: Result<Vec<Ready>, StoreError>,
}

/// Whether these deliveries were worked on before, by this very process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    First,
    /// Their transaction failed, or was committed and its answer lost.
    Again,
}

impl CommandHandler {
    fn writer(&self) -> CommandWriter<'_> {
        CommandWriter {
            replica: &self.replica,
            registry: &self.registry,
            raws: &self.raws,
            unknown: &self.unknown,
        }
    }

    /// An outage of NATS or Postgres, however long, must not turn mail into dead letters.
    pub(crate) fn settings() -> ConsumerSettings {
        let filters = ["mail.send", "mail.send.*", "mail.cancel", "mail.cancel.*"];
        ConsumerSettings {
            max_in_hand: 512,
            // Each mail in hand lies in memory as it came and as it is sent, and one of them at a time as it is built.
            max_batch_bytes: 4 * 1024 * 1024,
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
        let failed = Arc::clone(&self.failed);
        let read = spread(deliveries.clone(), weight, COMPUTATION, move |delivery| {
            (!failed.is_over(&delivery)).then(|| read_safely(&delivery))?
        });
        let read = read.await.into_iter().map(|worked| match worked {
            ItemResult::Done(read) => read,
            ItemResult::Failed => Read::Failed,
            ItemResult::NotNow => Read::Later,
        });
        let read: Vec<(Delivery, Read)> = deliveries.iter().cloned().zip(read).collect();
        let named = read.iter().map(|(_, read)| read.account().cloned());
        let named: Vec<Option<Key>> = named.collect();
        let accounts = Arc::new(self.accounts(&read).await?);
        let known = self.known(&read, round).await?;
        let config = Arc::clone(&self.config);
        let ready = spread(
            read,
            |(delivery, _)| weight(delivery),
            COMPUTATION,
            move |(delivery, read)| prepare(&delivery, read, &accounts, &config),
        );
        let ready = ready.await.into_iter().zip(deliveries.iter().zip(named));
        let mut ready: Vec<Ready> = ready
            .map(|(worked, (delivery, account))| match worked {
                ItemResult::Done(ready) => ready,
                ItemResult::Failed => self.after_failure(delivery, account),
                ItemResult::NotNow => later(),
            })
            .collect();
        self.store_bodies(&mut ready, &known).await;
        Ok(ready)
    }

    /// Has a command come again, or gives it up: its neighbours must not wait for it for ever.
    fn after_failure(&self, delivery: &Delivery, account: Option<Key>) -> Ready {
        if !self.failed.record(delivery) {
            return Ready::Later(HandlerError::retry(NotComputed::Failed));
        }
        let reason = "cannot be made into a mail; the command is kept among the dead letters";
        let account = account.or_else(|| account_of(delivery, None).ok());
        let rejection = Rejection::new(delivery, account, Refusal::new("", reason));
        let error =
            HandlerError::dead_letter("given up after repeated failures", NotComputed::Failed);
        Ready::GivenUp(rejection, error)
    }

    async fn accounts(
        &self,
        read: &[(Delivery, Read)],
    ) -> Result<HashMap<Key, Arc<Account>>, StoreError> {
        let keys: HashSet<Key> = read
            .iter()
            .filter_map(|(_, read)| read.account().cloned())
            .collect();
        self.accounts.resolve(keys).await
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
                    Some(mail_id(delivery))
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
            Ready::New(new) => Some(NewRawMail {
                mail_id: raw_name(new.row.id),
                bytes: new.raw.clone(),
            }),
            _ => None,
        });
        let bodies: Vec<NewRawMail> = bodies.collect();
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
        self.writer().write(ready).await
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
                    if error.is_refused_value() {
                        self.failed.record(delivery);
                    }
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
}

fn away() -> HandlerError {
    HandlerError::retry(NotNow::DatabaseAway)
}

impl Handler for CommandHandler {
    const CONSUMER: &'static str = "outbound-sender-send-mail";

    type Prepared = PreparedBatch;

    async fn prepare(&self, deliveries: Vec<Delivery>) -> PreparedBatch {
        let ready = self.take_in(deliveries.clone(), Round::First).await;
        PreparedBatch { deliveries, ready }
    }

    /// Takes all in with one transaction, in the order in which the commands came.
    async fn finish(
        &self,
        PreparedBatch { deliveries, ready }: PreparedBatch,
    ) -> Vec<Result<(), HandlerError>> {
        let written = match ready {
            Ok(ready) => self.writer().write(ready).await,
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
