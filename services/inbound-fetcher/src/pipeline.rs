//! The way of fetched mails through two streams.

use mailmesh_bus::{Bus, RawMail};
use tokio::sync::OwnedSemaphorePermit;

use crate::account::Worker;
use crate::failure::Failure;
use crate::fetch::Chunk;
use crate::intake::{Held, Intake};
use crate::prepare::{Prepared, Whole};

/// Mails on their way from the raw store to the stream of events, with their share of the memory.
#[derive(Debug)]
struct Batch {
    prepared: Vec<Prepared>,
    _permits: Vec<OwnedSemaphorePermit>,
}

fn raw_mails(prepared: &[Prepared]) -> Vec<RawMail> {
    let raw = prepared.iter().map(|mail| RawMail {
        mail_id: mail.record.id.to_string(),
        bytes: mail.raw.clone(),
    });
    raw.collect()
}

async fn store_raw(bus: Bus, mails: Vec<RawMail>) -> Result<(), Failure> {
    let answers = bus.raw_mails().put_all(mails).await;
    let stored: Result<(), _> = answers.into_iter().collect();
    stored.map_err(Failure::Raw)
}

impl Worker {
    pub(crate) async fn take_in(
        &mut self,
        chunk: &mut Chunk<'_>,
        intake: &mut Intake<'_>,
    ) -> Result<(), Failure> {
        let outcome = self.publish_as_they_come(chunk, intake).await;
        if outcome.is_err() {
            intake.close();
        }
        outcome
    }

    /// Stores the raw mails of one batch while the events of the one before it are published: they go
    /// to two streams, each as fast as its disk. A batch that is stored waits for no further mail.
    async fn publish_as_they_come(
        &mut self,
        chunk: &mut Chunk<'_>,
        intake: &mut Intake<'_>,
    ) -> Result<(), Failure> {
        let mut stored: Option<Batch> = None;
        loop {
            let next = if stored.is_none() || intake.has_ready() {
                intake.next_batch().await
            } else {
                None
            };
            let next = match next {
                Some(held) => Some(self.prepare_held(chunk, held).await?),
                None if stored.is_none() => return Ok(()),
                None => None,
            };
            let raw = next.as_ref().map(|batch| raw_mails(&batch.prepared));
            let storing = store_raw(self.context.replica.bus.clone(), raw.unwrap_or_default());
            let publishing = self.publish_batch(chunk, stored.take());
            let both = async { tokio::join!(storing, publishing) };
            tokio::pin!(both);
            let (kept, published) = loop {
                tokio::select! {
                    outcome = &mut both => break outcome,
                    () = intake.gather(), if intake.has_room() => {}
                }
            };
            published?;
            kept?;
            stored = next;
        }
    }

    async fn publish_batch(
        &mut self,
        chunk: &mut Chunk<'_>,
        batch: Option<Batch>,
    ) -> Result<(), Failure> {
        match batch {
            Some(batch) => self.publish(chunk, batch.prepared).await,
            None => Ok(()),
        }
    }

    pub(crate) async fn publish_held(
        &mut self,
        chunk: &mut Chunk<'_>,
        held: Vec<Held>,
    ) -> Result<(), Failure> {
        let batch = self.prepare_held(chunk, held).await?;
        let bus = self.context.replica.bus.clone();
        store_raw(bus, raw_mails(&batch.prepared)).await?;
        self.publish(chunk, batch.prepared).await
    }

    async fn prepare_held(
        &mut self,
        chunk: &mut Chunk<'_>,
        held: Vec<Held>,
    ) -> Result<Batch, Failure> {
        let mut permits = Vec::with_capacity(held.len());
        let mut mails = Vec::with_capacity(held.len());
        for one in held {
            let (mail, permit) = one.into_parts();
            permits.extend(permit);
            if chunk.pending.contains(&mail.uid) {
                mails.push(Whole::of(mail));
            }
        }
        let mails = self.leave_out_known(chunk, mails).await?;
        let prepared = self.prepare_all(chunk, mails).await?;
        Ok(Batch {
            prepared,
            _permits: permits,
        })
    }
}
