use std::sync::Arc;

use futures_util::future::BoxFuture;
use mailmesh_accounts::{AccountSnapshot, AccountWork, WorkerSignals};

use crate::account::Worker;
use crate::context::Context;

/// Makes the workers of inbound accounts.
#[derive(Debug)]
pub(crate) struct InboundWork {
    pub(crate) context: Arc<Context>,
}

impl AccountWork for InboundWork {
    fn worker(
        &self,
        snapshot: AccountSnapshot,
        signals: Arc<WorkerSignals>,
    ) -> BoxFuture<'static, ()> {
        let worker = Worker::new(Arc::clone(&self.context), snapshot, signals);
        Box::pin(worker.run())
    }
}
