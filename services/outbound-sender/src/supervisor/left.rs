use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use mailmesh_domain::{AccountId, Key};
use mailmesh_store::account::Account;
use tokio::time::Instant;

/// Accounts that were given up, for as long as attempts of theirs may still be lost here: nobody
/// else ends those of a replica that lives.
#[derive(Debug, Default)]
pub(super) struct Left {
    accounts: HashMap<AccountId, (Arc<Account>, Instant)>,
}

impl Left {
    pub(super) fn add(&mut self, account: Arc<Account>) {
        self.accounts.insert(account.id, (account, Instant::now()));
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = AccountId> {
        self.accounts.keys().copied()
    }

    pub(super) fn key(&self, id: AccountId) -> Option<&Key> {
        self.accounts.get(&id).map(|(account, _)| &account.key)
    }

    /// Forgets those that were given up longer than `after` ago and had nothing in hand when what
    /// was lost was looked for.
    pub(super) fn forget(&mut self, in_flight: &HashSet<AccountId>, after: Duration) {
        self.accounts
            .retain(|id, (_, since)| since.elapsed() < after || in_flight.contains(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    const AFTER: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn account_is_forgotten_once_nothing_of_it_can_be_lost_any_more() {
        let account = Arc::new(sample::account());
        let id = account.id;
        let mut left = Left::default();
        left.add(account);

        left.forget(&HashSet::new(), AFTER);
        assert_eq!(left.ids().collect::<Vec<_>>(), [id]);

        tokio::time::advance(AFTER).await;
        left.forget(&HashSet::from([id]), AFTER);
        assert!(left.key(id).is_some());

        left.forget(&HashSet::new(), AFTER);
        assert!(left.key(id).is_none());
    }
}
