use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mailmesh_domain::{AccountId, GrantId, Key};
use tokio::task::{AbortHandle, Id};
use tokio_util::sync::CancellationToken;

use crate::context::Signals;

/// One running worker, as the supervisor sees it.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) key: Key,
    pub(crate) grant_id: Option<GrantId>,
    pub(crate) revision: i64,
    pub(crate) signals: Arc<Signals>,
    pub(crate) stop: CancellationToken,
    pub(crate) abort: AbortHandle,
    /// When the replica took the account, in Unix seconds.
    pub(crate) since: i64,
}

/// The accounts that this replica holds, and their workers.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    held: HashSet<AccountId>,
    running: HashMap<AccountId, Running>,
    tasks: HashMap<Id, AccountId>,
}

impl Roster {
    pub(crate) fn hold(&mut self, accounts: &[AccountId]) {
        self.held.extend(accounts);
    }

    /// Ends work on accounts at once: somebody else may be at it already.
    pub(crate) fn lose(&mut self, accounts: &[AccountId]) {
        for id in accounts {
            self.held.remove(id);
            if let Some(running) = self.running.get(id) {
                running.abort.abort();
            }
        }
    }

    /// Lets work on accounts come to its end. Returns those that have none.
    pub(crate) fn give_up(&mut self, accounts: &[AccountId]) -> Vec<AccountId> {
        let mut idle = Vec::new();
        for id in accounts {
            self.held.remove(id);
            match self.running.get(id) {
                Some(running) => running.stop.cancel(),
                None => idle.push(*id),
            }
        }
        idle
    }

    pub(crate) fn restart(&self, id: AccountId) {
        if let Some(running) = self.running.get(&id) {
            running.stop.cancel();
        }
    }

    pub(crate) fn stop_all(&mut self) {
        self.held.clear();
        for running in self.running.values() {
            running.stop.cancel();
        }
    }

    /// Returns the accounts that are held and not worked on.
    pub(crate) fn idle(&self) -> Vec<AccountId> {
        let is_idle = |id: &&AccountId| !self.running.contains_key(id);
        self.held.iter().filter(is_idle).copied().collect()
    }

    pub(crate) fn is_idle(&self, id: AccountId) -> bool {
        self.held.contains(&id) && !self.running.contains_key(&id)
    }

    pub(crate) fn is_held(&self, id: AccountId) -> bool {
        self.held.contains(&id)
    }

    pub(crate) fn add(&mut self, id: AccountId, running: Running) {
        self.tasks.insert(running.abort.id(), id);
        self.running.insert(id, running);
    }

    /// Notes that a worker's task has ended; returns its account.
    pub(crate) fn remove(&mut self, task: Id) -> Option<AccountId> {
        let id = self.tasks.remove(&task)?;
        self.running.remove(&id);
        Some(id)
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = (AccountId, &Running)> {
        self.running.iter().map(|(id, running)| (*id, running))
    }

    pub(crate) fn find(&self, id: AccountId) -> Option<&Running> {
        self.running.get(&id)
    }

    pub(crate) fn len(&self) -> usize {
        self.running.len()
    }

    /// Wakes the accounts of a grant.
    pub(crate) fn wake_grant(&self, grant_id: GrantId) {
        for running in self.running.values() {
            if running.grant_id == Some(grant_id) {
                running.signals.wake.notify_one();
            }
        }
    }
}
