use std::time::Duration;

use ::http::Request;
use ::http::header::CONTENT_TYPE;
use futures_util::future::BoxFuture;
use jsonwebtoken::DecodingKey;
use url::{Url, form_urlencoded};

use crate::error::OAuthError;
use crate::http::HttpClient;
use crate::keys::fetch_keys;
use crate::operation::Operation;
use crate::provider::Provider;

/// Asks a provider whose metadata was found for the rest that a sign-in needs of it, side by side and each within `limit`:
/// the key set and the token endpoint. Returns what failed. Sends neither secret nor token, so that a check can be repeated
/// at will and costs no grant.
pub fn check_provider(provider: &Provider, limit: Duration) -> BoxFuture<'_, Vec<OAuthError>> {
    Box::pin(async move {
        let Provider {
            http,
            endpoints,
            client,
        } = provider;
        let keys = async {
            match &endpoints.jwks {
                Some(url) => check_keys(http, url).await,
                None => Ok(()),
            }
        };
        let token = check_token_endpoint(http, &endpoints.token, &client.client_id);
        let (keys, token) = tokio::join!(
            within(limit, Operation::FetchKeys, keys),
            within(limit, Operation::TokenEndpoint, token),
        );
        [keys, token].into_iter().filter_map(Result::err).collect()
    })
}

async fn within(
    limit: Duration,
    operation: Operation,
    check: impl Future<Output = Result<(), OAuthError>>,
) -> Result<(), OAuthError> {
    tokio::time::timeout(limit, check)
        .await
        .unwrap_or(Err(OAuthError::TimedOut { operation }))
}

async fn check_keys(http: &HttpClient, url: &Url) -> Result<(), OAuthError> {
    let keys = fetch_keys(http, url).await?;
    if !keys.iter().any(|key| DecodingKey::from_jwk(key).is_ok()) {
        let problem = "it holds no key that a signature can be checked with";
        return Err(OAuthError::unreadable(Operation::FetchKeys, problem));
    }
    Ok(())
}

/// A refresh without a refresh token is refused by every token endpoint (RFC 6749 §5.2), most with `invalid_request` or, since
/// the client does not prove itself, `invalid_client`. Some use 403 or 422 or words of their own: that it is about the request
/// tells it from whatever else may answer at the URL.
async fn check_token_endpoint(
    http: &HttpClient,
    url: &Url,
    client_id: &str,
) -> Result<(), OAuthError> {
    let operation = Operation::TokenEndpoint;
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "refresh_token")
        .append_pair("client_id", client_id)
        .finish();
    let request = Request::post(url.as_str())
        .header("accept", "application/json")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form.into_bytes())
        .map_err(|_| OAuthError::unreadable(operation, "request cannot be built"))?;
    match http.send(operation, request, &[]).await {
        Err(OAuthError::Refused(refusal)) if refusal.is_of_token_endpoint() => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(OAuthError::unreadable(
            operation,
            "a refresh without a refresh token succeeded",
        )),
    }
}
