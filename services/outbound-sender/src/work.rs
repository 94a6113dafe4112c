use std::sync::Arc;

use futures_util::future::BoxFuture;
use mailmesh_accounts::{AccountSnapshot, AccountWork, RecordedState, WorkerSignals};
use mailmesh_domain::AccountId;
use mailmesh_runtime::account_span;
use mailmesh_store::StoreError;
use mailmesh_store::account::Account;
use tracing::Span;

use crate::account::Worker;
use crate::context::ServiceContext;
use crate::due::wake_waiting;

/// Makes the workers of outbound accounts.
#[derive(Debug)]
pub(crate) struct OutboundWork {
    pub(crate) context: Arc<ServiceContext>,
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
        let recorded = RecordedState::new(&snapshot, Arc::clone(&signals));
        let history = snapshot.history();
        let account = Arc::new(snapshot.account);
        let worker = Worker::new(
            Arc::clone(&self.context),
            account,
            signals,
            recorded,
            history,
        );
        Box::pin(worker.run())
    }

    fn workers_started<'a>(
        &'a self,
        accounts: &'a [AccountId],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        // Their last holder may have died.
        self.context.recover_soon.notify_one();
        Box::pin(wake_waiting(&self.context, accounts))
    }
}
