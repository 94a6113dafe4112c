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
    keys: Mutex<HashMap<[u8; 32], KnownKey>>,
}

#[derive(Debug)]
struct KnownKey {
    found_at: Instant,
    key: Arc<ApiKey>,
}

impl KnownKeys {
    pub(crate) fn find(&self, hash: &[u8; 32]) -> Option<Arc<ApiKey>> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let known = keys.get(hash)?;
        (known.found_at.elapsed() < BELIEVED_FOR).then(|| Arc::clone(&known.key))
    }

    pub(crate) fn remember(&self, hash: [u8; 32], key: Arc<ApiKey>) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|_, known| known.found_at.elapsed() < BELIEVED_FOR);
        let found_at = Instant::now();
        keys.insert(hash, KnownKey { found_at, key });
    }

    pub(crate) fn forget(&self) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.clear();
    }
}
