use std::sync::Arc;

use futures_util::future::BoxFuture;
use mailmesh_accounts::{AccountSnapshot, AccountWork, WorkerSignals};
use mailmesh_runtime::account_span;
use mailmesh_store::account::Account;
use tracing::Span;

use crate::account::Worker;
use crate::context::ServiceContext;

/// Makes the workers of inbound accounts.
#[derive(Debug)]
pub(crate) struct InboundWork {
    pub(crate) context: Arc<ServiceContext>,
}

impl AccountWork for InboundWork {
    fn log_span(&self, account: &Account) -> Span {
        account_span(account.id, &account.key)
    }

    fn worker(
        &self,
        snapshot: AccountSnapshot,
        signals: Arc<WorkerSignals>,
    ) -> BoxFuture<'static, ()> {
        let worker = Worker::new(Arc::clone(&self.context), snapshot, signals);
        Box::pin(worker.run())
    }
}
