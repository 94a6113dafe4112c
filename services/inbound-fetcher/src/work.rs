use std::sync::Arc;

use futures_util::future::BoxFuture;
use mailmesh_accounts::{AccountSnapshot, AccountWork, WorkerSignals};
use mailmesh_runtime::LOG_CONTEXT;
use tracing::{Instrument, info_span};

use crate::account::Worker;
use crate::context::ServiceContext;

/// Makes the workers of inbound accounts.
#[derive(Debug)]
pub(crate) struct InboundWork {
    pub(crate) context: Arc<ServiceContext>,
}

impl AccountWork for InboundWork {
    fn worker(
        &self,
        snapshot: AccountSnapshot,
        signals: Arc<WorkerSignals>,
    ) -> BoxFuture<'static, ()> {
        let account = &snapshot.account;
        let span = info_span!(target: LOG_CONTEXT, parent: None, "account", account.id = %account.id, account.key = %account.key);
        let worker = Worker::new(Arc::clone(&self.context), snapshot, signals);
        Box::pin(worker.run().instrument(span))
    }
}
