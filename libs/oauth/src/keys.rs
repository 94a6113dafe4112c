use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jsonwebtoken::jwk::Jwk;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use crate::error::{OAuthError, Operation};
use crate::http::HttpClient;

// A key that a provider withdraws must not be trusted for long.
const FRESH: Duration = Duration::from_hours(1);
const MOST_PROVIDERS: usize = 256;
const MOST_KEYS: usize = 64;

/// The key sets that were fetched, by URL.
#[derive(Clone, Default)]
pub(crate) struct KeyCache(Arc<Mutex<HashMap<Url, Entry>>>);

#[derive(Clone)]
struct Entry {
    fetched: Instant,
    keys: Arc<[Jwk]>,
}

impl KeyCache {
    fn find(&self, url: &Url) -> Option<Arc<[Jwk]>> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries
            .get(url)
            .filter(|entry| entry.fetched.elapsed() < FRESH)
            .map(|entry| entry.keys.clone())
    }

    fn put(&self, url: &Url, keys: Arc<[Jwk]>) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MOST_PROVIDERS {
            entries.clear();
        }
        let fetched = Instant::now();
        entries.insert(url.clone(), Entry { fetched, keys });
    }
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("KeyCache")
    }
}

/// Returns the keys with this id, or all when the token names none. An id that is not known is
/// looked for once more at the provider, which may have changed its keys.
pub(crate) async fn find_keys(
    http: &HttpClient,
    url: &Url,
    key_id: Option<&str>,
) -> Result<Vec<Jwk>, OAuthError> {
    if let Some(cached) = http.keys.find(url) {
        let keys = with_id(&cached, key_id);
        if !keys.is_empty() {
            return Ok(keys);
        }
    }
    let document = http.get(Operation::FetchKeys, url, None).await?;
    let keys = document
        .get("keys")
        .and_then(Value::as_array)
        .ok_or(OAuthError::unreadable(
            Operation::FetchKeys,
            "answer is no key set",
        ))?;
    // One key of a kind that nobody here knows must not spoil the others.
    let keys: Arc<[Jwk]> = keys
        .iter()
        .take(MOST_KEYS)
        .filter_map(|key| serde_json::from_value(key.clone()).ok())
        .collect();
    http.keys.put(url, keys.clone());
    Ok(with_id(&keys, key_id))
}

fn with_id(keys: &[Jwk], key_id: Option<&str>) -> Vec<Jwk> {
    keys.iter()
        .filter(|key| key_id.is_none() || key.common.key_id.as_deref() == key_id)
        .cloned()
        .collect()
}
