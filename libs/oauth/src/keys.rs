use std::sync::Arc;

use jsonwebtoken::jwk::Jwk;
use serde_json::Value;
use url::Url;

use crate::error::OAuthError;
use crate::http::HttpClient;
use crate::operation::Operation;

const MOST_KEYS: usize = 64;

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
    let keys = fetch_keys(http, url).await?;
    http.keys.put(url, keys.clone());
    Ok(with_id(&keys, key_id))
}

/// Reads the key set, whatever is cached of it.
pub(crate) async fn fetch_keys(http: &HttpClient, url: &Url) -> Result<Arc<[Jwk]>, OAuthError> {
    let document = http.get(Operation::FetchKeys, url, None).await?;
    let keys = document
        .get("keys")
        .and_then(Value::as_array)
        .ok_or(OAuthError::unreadable(
            Operation::FetchKeys,
            "answer is no key set",
        ))?;
    // One key of a kind that nobody here knows must not spoil the others.
    let readable = keys.iter().take(MOST_KEYS);
    let readable = readable.filter_map(|key| serde_json::from_value(key.clone()).ok());
    Ok(readable.collect())
}

fn with_id(keys: &[Jwk], key_id: Option<&str>) -> Vec<Jwk> {
    keys.iter()
        .filter(|key| key_id.is_none() || key.common.key_id.as_deref() == key_id)
        .cloned()
        .collect()
}
