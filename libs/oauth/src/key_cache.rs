use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jsonwebtoken::jwk::Jwk;
use tokio::time::Instant;
use url::Url;

// A key that a provider withdraws must not be trusted for long.
const FRESH: Duration = Duration::from_hours(1);
const MOST_PROVIDERS: usize = 256;

/// The key sets that were fetched, by URL.
#[derive(Clone, Default)]
pub(crate) struct KeyCache(Arc<Mutex<HashMap<Url, CachedKeys>>>);

#[derive(Clone)]
struct CachedKeys {
    fetched: Instant,
    keys: Arc<[Jwk]>,
}

impl KeyCache {
    pub(crate) fn find(&self, url: &Url) -> Option<Arc<[Jwk]>> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries
            .get(url)
            .filter(|entry| entry.fetched.elapsed() < FRESH)
            .map(|entry| entry.keys.clone())
    }

    pub(crate) fn put(&self, url: &Url, keys: Arc<[Jwk]>) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MOST_PROVIDERS {
            entries.clear();
        }
        let fetched = Instant::now();
        entries.insert(url.clone(), CachedKeys { fetched, keys });
    }
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("KeyCache")
    }
}
