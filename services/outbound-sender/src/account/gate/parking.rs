use std::time::Duration;

use mailmesh_domain::VerdictKind;
use mailmesh_events::Encoded;
use mailmesh_store::outbound_mail::Parking;
use mailmesh_store::{StoreError, outbound_mail, outbox};
use time::OffsetDateTime;
use tracing::warn;

use super::Obstacle;
use crate::account::Worker;
use crate::event;

/// An hour without a hint that the account works again.
const LONG_WAIT: Duration = Duration::from_hours(1);
/// Mails written in one transaction.
const BATCH: i64 = 500;

impl Worker {
    /// Gives mail that waits its chance, once: this gate does not know why it was closed.
    pub(in crate::account) async fn resume_once(&mut self) -> Result<(), StoreError> {
        if !self.gate.is_resumed {
            self.resume().await?;
            self.gate.is_resumed = true;
        }
        Ok(())
    }

    /// In parts: a long backlog would outlast any limit of one statement.
    pub(super) async fn resume(&self) -> Result<(), StoreError> {
        let replica = &self.shared.replica;
        let now = replica.clock.now();
        let mut since = Some(now);
        while let Some(from) = since
            && !self.stop.is_cancelled()
        {
            let mut tx = replica.database.begin().await?;
            let id = self.account.id;
            let part = outbound_mail::resume(&mut tx, id, from, BATCH, now).await?;
            tx.commit().await?;
            let is_full = i64::try_from(part.count) == Ok(BATCH);
            since = part.last_due_at.filter(|_| is_full);
        }
        Ok(())
    }

    /// Puts off what is due, and tells once why.
    pub(in crate::account) async fn park(&mut self) -> Result<(), StoreError> {
        while let Some(obstacle) = &self.gate.obstacle
            && !self.stop.is_cancelled()
            && self.has_due().await?
        {
            let replica = &self.shared.replica;
            let now = replica.clock.now();
            let (until, next) = wait_of(obstacle, now);
            let parking = Parking {
                problem: &obstacle.problem,
                until,
                now,
            };
            let mut tx = replica.database.begin().await?;
            let id = self.account.id;
            let parked = outbound_mail::park(&mut tx, replica.id, id, parking, BATCH).await?;
            let key = &self.account.key;
            let told = parked.told.iter();
            let events: Vec<Encoded> = told
                .flat_map(|mail| event::encode_parked(replica, key, mail, next, &obstacle.problem))
                .collect();
            outbox::insert(&mut tx, replica.id, &events, now).await?;
            tx.commit().await?;
            if !events.is_empty() {
                replica.outbox.wake();
            }
            if parked.count == 0 {
                warn!(account.id = %id, "Mail is due that is not ours to put off");
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Until when mail is put off, and what is told of it: nothing while a person has to act.
fn wait_of(obstacle: &Obstacle, now: OffsetDateTime) -> (OffsetDateTime, Option<OffsetDateTime>) {
    match obstacle.problem.kind {
        VerdictKind::NeedsSignIn | VerdictKind::NeedsAdministrator | VerdictKind::Permanent => {
            (now + LONG_WAIT, None)
        }
        _ if obstacle.awaits.is_some() => (now + LONG_WAIT, Some(obstacle.until)),
        _ => {
            let until = obstacle.until.max(now + Duration::from_millis(100));
            (until, Some(until))
        }
    }
}
