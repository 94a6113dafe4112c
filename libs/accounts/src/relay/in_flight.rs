use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::{StreamExt, TryStreamExt, stream};
use mailmesh_bus::{Bus, ReadError};
use mailmesh_store::outbox::OutboxRow;
use time::{Duration, OffsetDateTime};

use super::chain::ChainResult;

/// Difference between the clocks of a replica and of NATS that is allowed for.
const CLOCK_MARGIN: Duration = Duration::minutes(5);
/// Maximum subjects looked through at once.
const PARALLEL: usize = 16;

/// Rows of this process that may be stored by the bus although they are in the outbox: the answer was lost, or the row was not
/// deleted. The server recognises a repetition for the duplicate window only, and an outage may outlast it.
#[derive(Debug, Default)]
pub(super) struct InFlightRows {
    rows: Mutex<HashSet<i64>>,
}

impl InFlightRows {
    /// Returns which rows the stream holds already. Only those are looked for that this process, or the dead one that it took
    /// them over from, may have published before.
    pub(super) async fn find_stored(
        &self,
        bus: &Bus,
        rows: &[OutboxRow],
    ) -> Result<HashSet<i64>, ReadError> {
        let doubtful = self.doubtful(rows);
        let mut subjects: HashMap<&str, Vec<&OutboxRow>> = HashMap::new();
        for row in &doubtful {
            let of_subject = subjects.entry(row.event.subject.as_str());
            of_subject.or_default().push(row);
        }
        let mut lookups = Vec::with_capacity(subjects.len());
        for (subject, rows) in subjects {
            let ids = rows.iter().map(|row| row.event.id.clone()).collect();
            let oldest = rows.iter().map(|row| row.created_at).min();
            let since = oldest.unwrap_or(OffsetDateTime::UNIX_EPOCH) - CLOCK_MARGIN;
            lookups.push(bus.find_stored(subject.to_owned(), ids, since));
        }
        let found = stream::iter(lookups).buffer_unordered(PARALLEL);
        let found: Vec<HashSet<String>> = found.try_collect().await?;
        let is_stored = |row: &&&OutboxRow| found.iter().any(|ids| ids.contains(&row.event.id));
        Ok(doubtful
            .iter()
            .filter(is_stored)
            .map(|row| row.id)
            .collect())
    }

    fn doubtful<'a>(&self, rows: &'a [OutboxRow]) -> Vec<&'a OutboxRow> {
        let listed: HashSet<i64> = rows.iter().map(|row| row.id).collect();
        let mut sent = self.lock();
        // What is not listed any more is gone, or another replica's.
        sent.retain(|id| listed.contains(id));
        rows.iter()
            .filter(|row| row.may_be_stored || sent.contains(&row.id))
            .collect()
    }

    /// Records what is about to be published: from here on it may be stored, also when nobody waits for the answer any more.
    /// Returns the rows that were not in flight before.
    pub(super) fn enter(&self, rows: &[OutboxRow]) -> Vec<i64> {
        let mut sent = self.lock();
        let new = rows.iter().map(|row| row.id);
        new.filter(|id| sent.insert(*id)).collect()
    }

    /// Forgets the rows that were entered and surely not stored.
    pub(super) fn leave_unsent(&self, entered: &[i64], published: &ChainResult) {
        let mut sent = self.lock();
        let kept: HashSet<i64> = published.possibly_stored().collect();
        for id in entered.iter().filter(|id| !kept.contains(id)) {
            sent.remove(id);
        }
    }

    /// Forgets rows that are out of the outbox.
    pub(super) fn leave(&self, ids: impl Iterator<Item = i64>) {
        let mut sent = self.lock();
        for id in ids {
            sent.remove(&id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
