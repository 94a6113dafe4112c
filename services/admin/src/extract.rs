//! Extractors whose refusals are ours.

use std::str::FromStr;
use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use mailmesh_domain::Key;
use mailmesh_events::{DecodeError, read_json};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::time::timeout;

use crate::context::SharedContext;
use crate::error::ApiError;
use crate::field::Faults;

/// Larger than any configuration with its certificates.
pub(crate) const BODY_LIMIT_BYTES: usize = 1024 * 1024;

/// Less than a request as a whole may take: that ran out without a word on whether anything was done.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

/// A JSON body, and the fields that have another type than they must: they are told with all other faults.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T, pub(crate) Faults);

impl<T: DeserializeOwned> FromRequest<SharedContext> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &SharedContext) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::UnsupportedMediaType);
        }
        let body = timeout(BODY_TIMEOUT, Bytes::from_request(request, app)).await;
        let body = body.map_err(|_| ApiError::TooSlow)?;
        let body = body.map_err(|refusal| match refusal.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge {
                limit_bytes: BODY_LIMIT_BYTES,
            },
            _ => ApiError::Incomplete,
        })?;
        match read_json(&body) {
            Ok(read) => Ok(Self(read, Faults::default())),
            Err(error) => read_fields(&body).unwrap_or_else(|| Err(error.into())),
        }
    }
}

/// Reads each field alone, as the reader stops at the first that does not fit; none when the body is no object.
fn read_fields<T: DeserializeOwned>(body: &[u8]) -> Option<Result<JsonBody<T>, ApiError>> {
    let fields: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let mut faults = Faults::default();
    let mut kept = Map::new();
    for (name, value) in fields {
        let mut alone = Map::new();
        alone.insert(name.clone(), value.clone());
        match read_json::<T>(Value::Object(alone).to_string().as_bytes()) {
            Ok(_) => {
                kept.insert(name, value);
            }
            // The reader of JSON says so of a number where a name is wanted.
            Err(DecodeError::NotJson { .. }) => faults.add(name, "must be a text"),
            Err(error) => match ApiError::from(error) {
                ApiError::Invalid(found) => {
                    for fault in found {
                        faults.add(fault.path, fault.message);
                    }
                }
                other => return Some(Err(other)),
            },
        }
    }
    let rest = read_json(Value::Object(kept).to_string().as_bytes());
    Some(rest.map(|rest| JsonBody(rest, faults)).map_err(Into::into))
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE);
    let text = value.and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = text.split(';').next().unwrap_or("").trim();
    let essence = essence.to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// The key in a path. What is no key names nothing.
#[derive(Debug)]
pub(crate) struct PathKey(pub(crate) Key);

impl FromRequestParts<SharedContext> for PathKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &SharedContext) -> Result<Self, ApiError> {
        let PathId(key) = PathId::<String>::from_request_parts(parts, app).await?;
        let key = Key::try_new(key);
        key.map(Self)
            .map_err(|_| ApiError::NotFound { what: "key" })
    }
}

/// The id in a path. What is no id names nothing.
#[derive(Debug)]
pub(crate) struct PathId<T>(pub(crate) T);

impl<T: FromStr> FromRequestParts<SharedContext> for PathId<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &SharedContext) -> Result<Self, ApiError> {
        let unknown = || ApiError::NotFound { what: "id" };
        let Path(text) = Path::<String>::from_request_parts(parts, app)
            .await
            .map_err(|_| unknown())?;
        text.parse().map(Self).map_err(|_| unknown())
    }
}

/// The parameters behind the question mark, in order.
#[derive(Debug)]
pub(crate) struct QueryParameters(pub(crate) Vec<(String, String)>);

impl FromRequestParts<SharedContext> for QueryParameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &SharedContext) -> Result<Self, ApiError> {
        let query = Query::<Vec<(String, String)>>::from_request_parts(parts, app).await;
        let Query(pairs) =
            query.map_err(|_| ApiError::of_field("", "the query is not readable"))?;
        Ok(Self(pairs))
    }
}
