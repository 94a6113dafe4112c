use std::collections::{HashMap, HashSet};
use std::time::Duration;

use mailmesh_domain::AccountId;
use tokio::time::Instant;

/// Accounts that were given up while their last work may still be under way.
#[derive(Debug, Default)]
pub(super) struct RecentlyReleased {
    accounts: HashMap<AccountId, Instant>,
}

impl RecentlyReleased {
    pub(super) fn add(&mut self, id: AccountId) {
        self.accounts.insert(id, Instant::now());
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = AccountId> {
        self.accounts.keys().copied()
    }

    /// Forgets those that were given up longer than `after` ago and are not `busy`.
    pub(super) fn forget(&mut self, busy: &HashSet<AccountId>, after: Duration) {
        self.accounts
            .retain(|id, since| since.elapsed() < after || busy.contains(id));
    }
}

#[cfg(test)]
mod tests {
    use mailmesh_domain::SystemClock;

    use super::*;

    const AFTER: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn account_is_forgotten_once_nothing_of_it_can_be_lost_any_more() {
        let id = AccountId::generate(&SystemClock);
        let mut released = RecentlyReleased::default();
        released.add(id);

        released.forget(&HashSet::new(), AFTER);
        assert_eq!(released.ids().next(), Some(id));

        tokio::time::advance(AFTER).await;
        released.forget(&HashSet::from([id]), AFTER);
        assert_eq!(released.ids().next(), Some(id));

        released.forget(&HashSet::new(), AFTER);
        assert_eq!(released.ids().next(), None);
    }
}
