use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mailmesh_store::api_key::ApiKey;
use tokio::time::Instant;

/// A key that was revoked at another replica is accepted for so long at most.
const BELIEVED_FOR: Duration = Duration::from_secs(5);

/// Keys that were looked up a moment ago, by their hash.
#[derive(Debug, Default)]
pub(crate) struct KnownKeys {
    keys: Mutex<HashMap<[u8; 32], (Instant, Arc<ApiKey>)>>,
}

impl KnownKeys {
    pub(crate) fn find(&self, hash: &[u8; 32]) -> Option<Arc<ApiKey>> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let (found_at, key) = keys.get(hash)?;
        (found_at.elapsed() < BELIEVED_FOR).then(|| Arc::clone(key))
    }

    pub(crate) fn remember(&self, hash: [u8; 32], key: Arc<ApiKey>) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|_, (found_at, _)| found_at.elapsed() < BELIEVED_FOR);
        keys.insert(hash, (Instant::now(), key));
    }

    pub(crate) fn forget(&self) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.clear();
    }
}
