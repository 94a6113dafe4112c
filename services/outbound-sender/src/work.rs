use std::sync::Arc;

use futures_util::future::BoxFuture;
use mailmesh_accounts::{AccountSnapshot, AccountWork, RecordedState, WorkerSignals};
use mailmesh_domain::AccountId;
use mailmesh_runtime::LOG_CONTEXT;
use mailmesh_store::StoreError;
use tracing::{Instrument, info_span};

use crate::account::Worker;
use crate::context::ServiceContext;
use crate::due::wake_waiting;

/// Makes the workers of outbound accounts.
#[derive(Debug)]
pub(crate) struct OutboundWork {
    pub(crate) context: Arc<ServiceContext>,
}

impl AccountWork for OutboundWork {
    fn worker(
        &self,
        snapshot: AccountSnapshot,
        signals: Arc<WorkerSignals>,
    ) -> BoxFuture<'static, ()> {
        let recorded = RecordedState::new(&snapshot, Arc::clone(&signals));
        let account = Arc::new(snapshot.account);
        let span = info_span!(target: LOG_CONTEXT, parent: None, "account", account.id = %account.id, account.key = %account.key);
        let worker = Worker::new(
            Arc::clone(&self.context),
            account,
            signals,
            recorded,
            snapshot.has_worked,
        );
        Box::pin(worker.run().instrument(span))
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
