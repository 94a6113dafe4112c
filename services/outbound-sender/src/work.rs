use std::sync::Arc;

use futures_util::future::BoxFuture;
use mailmesh_accounts::{AccountSnapshot, AccountWork, RecordedState, WorkerSignals};
use mailmesh_domain::AccountId;
use mailmesh_runtime::account_span;
use mailmesh_store::StoreError;
use mailmesh_store::account::Account;
use tracing::Span;

use crate::account::Worker;
use crate::due::wake_waiting;
use crate::shared::Shared;

/// Makes the workers of outbound accounts.
#[derive(Debug)]
pub(crate) struct OutboundWork {
    pub(crate) shared: Arc<Shared>,
}

impl AccountWork for OutboundWork {
    fn log_span(&self, account: &Account) -> Span {
        account_span(account.id, &account.key)
    }

    fn worker(
        &self,
        snapshot: AccountSnapshot,
        signals: Arc<WorkerSignals>,
    ) -> BoxFuture<'static, ()> {
        let recorded = RecordedState::new(snapshot.term, snapshot.state, Arc::clone(&signals));
        let account = Arc::new(snapshot.account);
        let worker = Worker::new(
            Arc::clone(&self.shared),
            account,
            signals,
            recorded,
            snapshot.has_worked,
        );
        Box::pin(worker.run())
    }

    fn workers_started<'a>(
        &'a self,
        accounts: &'a [AccountId],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        // Their last holder may have died.
        self.shared.recover_soon.notify_one();
        Box::pin(wake_waiting(&self.shared, accounts))
    }
}
