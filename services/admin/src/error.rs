use std::error::Error;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use mailmesh_bus::RawError;
use mailmesh_domain::Role;
use mailmesh_events::DecodeError;
use mailmesh_secrets::SealError;
use mailmesh_store::StoreError;
use serde::Serialize;
use time::OffsetDateTime;
use tracing::{error, warn};

use crate::raw_body::RawBodyError;

/// One field at fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FieldFault {
    pub(crate) path: String,
    pub(crate) message: String,
}

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("the request has fields at fault")]
    Invalid(Vec<FieldFault>),
    #[error("the body is not JSON")]
    NotJson(String),
    #[error("the API key is missing or not valid")]
    Unauthorized,
    #[error("the API key has expired")]
    Expired { at: OffsetDateTime },
    #[error("the API key's role does not suffice")]
    Forbidden { needed: Role },
    #[error("the API key may not read raw mail")]
    NoRawMail,
    #[error("the request has fields that only an administrator may set so")]
    ForAdministrators(Vec<FieldFault>),
    #[error("not found")]
    NotFound { what: &'static str },
    #[error("the path is not known")]
    UnknownPath,
    #[error("the method is not allowed")]
    MethodNotAllowed,
    #[error("conflict")]
    Conflict { message: String, action: String },
    #[error("the body is too large")]
    TooLarge { limit_bytes: usize },
    #[error("the body was not received")]
    Incomplete,
    #[error("the body came too slowly")]
    TooSlow,
    #[error("the body has another media type than JSON")]
    UnsupportedMediaType,
    #[error("the database failed")]
    Store(#[from] StoreError),
    #[error("a raw mail cannot be read")]
    Raw(#[from] RawError),
    #[error("a raw mail was exchanged")]
    Exchanged,
    #[error("an event cannot be encoded")]
    Encode(#[from] serde_json::Error),
    #[error("a secret cannot be sealed")]
    Seal(#[from] SealError),
    #[error("the request took too long")]
    TimedOut,
    #[error("a request was given up")]
    GivenUp,
}

#[derive(Debug, Serialize)]
struct Body {
    error: ErrorDetail,
}

#[derive(Debug, Serialize)]
struct ErrorDetail {
    code: &'static str,
    message: String,
    action: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<FieldFault>,
}

impl ApiError {
    pub(crate) fn of_field(path: &str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldFault {
            path: path.to_owned(),
            message: message.into(),
        }])
    }

    pub(crate) fn conflict(message: impl Into<String>, action: impl Into<String>) -> Self {
        Self::Conflict {
            message: message.into(),
            action: action.into(),
        }
    }

    /// Turns a taken key into a conflict that the caller can resolve; every other failure is the server's.
    pub(crate) fn on_insert(error: StoreError, key: &str) -> Self {
        match error {
            StoreError::Conflict { constraint, .. } if constraint.ends_with("_key_key") => {
                Self::conflict(
                    format!("the key {key} is taken"),
                    "Choose another key, or change the one that exists with PATCH.",
                )
            }
            other => other.into(),
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Invalid(_) | Self::NotJson(_) | Self::Incomplete => StatusCode::BAD_REQUEST,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Unauthorized | Self::Expired { .. } => StatusCode::UNAUTHORIZED,
            Self::Forbidden { .. } | Self::ForAdministrators(_) | Self::NoRawMail => {
                StatusCode::FORBIDDEN
            }
            Self::NotFound { .. } | Self::UnknownPath => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict { .. } | Self::Store(StoreError::RowGone { .. }) => StatusCode::CONFLICT,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TimedOut
            | Self::Store(StoreError::Connect(_))
            | Self::Raw(RawError::Read { .. }) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Store(_)
            | Self::Raw(_)
            | Self::Exchanged
            | Self::Encode(_)
            | Self::Seal(_)
            | Self::GivenUp => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid_request",
            Self::NotJson(_) => "not_json",
            Self::TooSlow => "too_slow",
            Self::Unauthorized | Self::Expired { .. } => "unauthorized",
            Self::Forbidden { .. } | Self::ForAdministrators(_) | Self::NoRawMail => "forbidden",
            Self::NotFound { .. } | Self::UnknownPath => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Conflict { .. } | Self::Store(StoreError::RowGone { .. }) => "conflict",
            Self::TooLarge { .. } => "too_large",
            Self::Incomplete => "incomplete",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::TimedOut
            | Self::Store(StoreError::Connect(_))
            | Self::Raw(RawError::Read { .. }) => "unavailable",
            Self::Exchanged => "content_mismatch",
            Self::Store(_) | Self::Raw(_) | Self::Encode(_) | Self::Seal(_) | Self::GivenUp => {
                "internal"
            }
        }
    }

    /// Returns what happened and what to do about it, in sentences for people.
    fn explain(&self) -> (String, String) {
        let (message, action) = match self {
            Self::Invalid(_) => (
                "Some fields are not as they must be; nothing was changed.".to_owned(),
                "Correct the fields named here and send the request again.".to_owned(),
            ),
            Self::NotJson(at) => (
                format!("The body is not JSON: {at}."),
                "Send one JSON object.".to_owned(),
            ),
            Self::Unauthorized => (
                "The API key is missing or not valid.".to_owned(),
                "Send the header `Authorization: Bearer mm_…`. The first key was printed, or written to admin.first_key_file, at the first start; an administrator makes others with POST /v1/api-keys, and `mailmesh api-key create` on the host makes one in place of a key that was lost.".to_owned(),
            ),
            Self::Expired { at } => (
                format!("The API key has expired on {}.", at.date()),
                "Use another key. An administrator makes one with POST /v1/api-keys; `mailmesh api-key create` on the host makes one as well.".to_owned(),
            ),
            Self::Forbidden { needed } => (
                "The role of this API key does not allow that.".to_owned(),
                format!("Use a key with the role {needed}."),
            ),
            Self::ForAdministrators(_) => (
                "Only an administrator may set these fields so; nothing was changed.".to_owned(),
                "Use a key with the role administrator, or change the fields named here.".to_owned(),
            ),
            Self::NotFound { what } => (
                format!("There is no such {what}."),
                "Check the key or id in the path.".to_owned(),
            ),
            Self::UnknownPath => (
                "There is nothing at this path.".to_owned(),
                "The API lies under /v1/: client-configurations, accounts, outbox, mails, api-keys, system.".to_owned(),
            ),
            Self::MethodNotAllowed => (
                "This path does not take this method.".to_owned(),
                "Use one of the methods in the header `Allow`.".to_owned(),
            ),
            Self::Conflict { message, action } => (sentence(message), action.clone()),
            Self::TooLarge { limit_bytes } => (
                format!("It is larger than {limit_bytes} bytes."),
                "Send or ask for less; raw mails have no limit.".to_owned(),
            ),
            Self::Incomplete => (
                "The body was not received to its end.".to_owned(),
                "Send the request again.".to_owned(),
            ),
            Self::UnsupportedMediaType => (
                "The body is not declared as JSON.".to_owned(),
                "Send the header `Content-Type: application/json`.".to_owned(),
            ),
            _ => {
                let (message, action) = self.explain_plainly();
                (message.to_owned(), action.to_owned())
            }
        };
        (message, action)
    }

    /// The same, where the words are always the same, and for what is not the caller's fault.
    const fn explain_plainly(&self) -> (&'static str, &'static str) {
        match self {
            Self::NoRawMail => (
                "This API key may not read raw mails and their attachments.",
                "Use a key that an administrator has made with raw_mail.",
            ),
            Self::TooSlow => (
                "The body was not received in time; nothing was changed.",
                "Send the request again, over a faster connection.",
            ),
            Self::Store(StoreError::RowGone { .. }) => (
                "It was changed or deleted meanwhile.",
                "Read it again, then decide.",
            ),
            Self::Store(StoreError::Connect(_)) => (
                "The database does not answer.",
                "Try again in a minute; if it lasts, see the log and run `mailmesh doctor`.",
            ),
            Self::TimedOut => (
                "It took too long and was given up.",
                "Try again in a minute; read first whether it was done all the same.",
            ),
            Self::Raw(RawError::Read { .. }) => (
                "NATS does not answer.",
                "Try again in a minute; if it lasts, see the log and run `mailmesh doctor`.",
            ),
            Self::Exchanged => (
                "The stored content is not what was recorded of this mail; it is not handed out.",
                "Find out who else may write to the stream MAIL_RAW.",
            ),
            _ => (
                "Something failed here; it is not your request.",
                "See the log of the admin service; the cause stands there.",
            ),
        }
    }
}

/// Makes a whole sentence of a message that was written to stand within one.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(char::to_uppercase);
    let mut whole: String = first.into_iter().flatten().chain(letters).collect();
    if !whole.ends_with('.') {
        whole.push('.');
    }
    whole
}

impl From<RawBodyError> for ApiError {
    fn from(error: RawBodyError) -> Self {
        match error {
            RawBodyError::Store(error) => error.into(),
            RawBodyError::Raw(error) => error.into(),
            RawBodyError::Exchanged => Self::Exchanged,
        }
    }
}

impl From<DecodeError> for ApiError {
    fn from(error: DecodeError) -> Self {
        match &error {
            DecodeError::NotJson { line, column } => {
                Self::NotJson(format!("line {line}, column {column}"))
            }
            DecodeError::Field { path, message }
                if path.is_empty() && message.starts_with("must be an object") =>
            {
                Self::of_field("", "must be a JSON object")
            }
            other => Self::of_field(other.field(), other.to_string()),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = (self.status(), self.code());
        if status.is_server_error() {
            error!(error = &self as &dyn Error, code, "Request failed");
        } else {
            warn!(status = status.as_u16(), code, "Request refused");
        }
        let (message, action) = self.explain();
        let fields = match self {
            Self::Invalid(fields) | Self::ForAdministrators(fields) => fields,
            _ => Vec::new(),
        };
        let detail = ErrorDetail {
            code,
            message,
            action,
            fields,
        };
        let mut response = (status, Json(Body { error: detail })).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"mailmesh\"");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
