use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mailmesh_bus::EventSubscription;
use mailmesh_domain::Key;
use mailmesh_events::account::AccountChanged;
use mailmesh_store::account::{self, Account};
use mailmesh_store::{Database, StoreError};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// TTL of cached accounts whose change was not hinted at.
const KEEP: Duration = Duration::from_secs(15);

/// Accounts by key, kept briefly; what is not known is always asked for.
#[derive(Debug)]
pub(crate) struct AccountCache {
    database: Database,
    known: Mutex<HashMap<Key, (Instant, Arc<Account>)>>,
}

impl AccountCache {
    pub(crate) fn new(database: Database) -> Self {
        Self {
            database,
            known: Mutex::default(),
        }
    }

    /// Returns the accounts of these keys that exist.
    pub(crate) async fn resolve(
        &self,
        keys: HashSet<Key>,
    ) -> Result<HashMap<Key, Arc<Account>>, StoreError> {
        let mut found = HashMap::with_capacity(keys.len());
        let mut missing = Vec::new();
        {
            let mut known = self.lock();
            known.retain(|_, (since, _)| since.elapsed() < KEEP);
            for key in keys {
                match known.get(&key) {
                    Some((_, account)) => {
                        found.insert(key, Arc::clone(account));
                    }
                    None => missing.push(key),
                }
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let mut tx = self.database.begin().await?;
        for key in missing {
            if let Some(account) = account::find_by_key(&mut tx, &key).await? {
                found.insert(key, Arc::new(account));
            }
        }
        tx.commit().await?;
        let now = Instant::now();
        let mut known = self.lock();
        for (key, account) in &found {
            let kept = known.entry(key.clone());
            kept.or_insert_with(|| (now, Arc::clone(account)));
        }
        drop(known);
        Ok(found)
    }

    /// Forgets an account as soon as a hint says that it has changed, until `stop`. Tells when one `is_deleted`.
    pub(crate) async fn forget_changed(
        &self,
        mut changed: EventSubscription<AccountChanged>,
        is_deleted: Arc<Notify>,
        stop: CancellationToken,
    ) {
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => return,
                event = changed.next() => event,
            };
            let Some(event) = event else { return };
            self.lock().remove(&event.account);
            if event.is_deleted {
                is_deleted.notify_one();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, (Instant, Arc<Account>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
