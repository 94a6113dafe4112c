//! Readiness: named checks that services register, asked by the ops server.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};

const CHECK_TIMEOUT: Duration = Duration::from_secs(3);

type Check = Arc<dyn Fn() -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync>;

/// The checks of a process. Clones share them.
#[derive(Clone, Default)]
pub struct Checks {
    named: Arc<RwLock<BTreeMap<String, Check>>>,
}

impl fmt::Debug for Checks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.named.read().unwrap_or_else(PoisonError::into_inner);
        formatter.debug_list().entries(named.keys()).finish()
    }
}

impl Checks {
    /// Adds a check, or replaces the one of that name. A check that takes more than 3 seconds has failed.
    pub fn register<F, W>(&self, name: impl Into<String>, check: F)
    where
        F: Fn() -> W + Send + Sync + 'static,
        W: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let check: Check = Arc::new(move || check().boxed());
        let mut named = self.named.write().unwrap_or_else(PoisonError::into_inner);
        named.insert(name.into(), check);
    }

    /// Runs all checks at once; returns the reason of each that failed.
    pub async fn failing(&self) -> BTreeMap<String, String> {
        let named = {
            let named = self.named.read().unwrap_or_else(PoisonError::into_inner);
            named.clone()
        };
        let each = named.into_iter().map(|(name, check)| async move {
            let reason = match tokio::time::timeout(CHECK_TIMEOUT, check()).await {
                Ok(Ok(())) => return None,
                Ok(Err(error)) => format!("{error:#}"),
                Err(_) => format!("no answer in {} s", CHECK_TIMEOUT.as_secs()),
            };
            Some((name, reason))
        });
        join_all(each).await.into_iter().flatten().collect()
    }
}
