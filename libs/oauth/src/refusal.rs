use std::fmt;
use std::time::Duration;

use ::http::{HeaderMap, StatusCode};
use mailmesh_domain::{FailureCause, History, Responsibility, Verdict, responsibility};
use mailmesh_secrets::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use url::form_urlencoded;

use crate::cause;
use crate::operation::Operation;
use crate::retry_after::retry_after;

const CODE_CHARACTERS: usize = 64;
const DESCRIPTION_CHARACTERS: usize = 500;
const REDACTED: &str = "[redacted]";
/// Entra does not say how long a lock lasts; asking sooner prolongs it.
const LOCKED_FOR: Duration = Duration::from_mins(15);

/// A provider's error response, with all that it says about the reason.
#[derive(Clone, PartialEq, Eq)]
pub struct ProviderRefusal {
    pub operation: Operation,
    /// The HTTP status; absent when the answer came through the browser.
    pub status: Option<u16>,
    /// The `error` field.
    pub error: Option<String>,
    /// The provider's own words, cut at 500 characters. They may name the person, so `Debug`
    /// and `Display` leave them out: show them to people, not to logs.
    pub description: Option<String>,
    /// Microsoft's number.
    pub aadsts: Option<u32>,
    /// Google's `error_subtype` or Microsoft's `suberror`.
    pub subtype: Option<String>,
    /// Microsoft's `correlation_id`, which its support asks for first.
    pub correlation_id: Option<String>,
    /// Microsoft's `trace_id`, which its support asks for next.
    pub trace_id: Option<String>,
    /// The server's `Retry-After`.
    pub retry_after: Option<Duration>,
}

impl ProviderRefusal {
    pub(crate) fn from_answer(
        operation: Operation,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        secrets: &[&SecretString],
    ) -> Self {
        let body: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str, limit| clean(body.get(name)?, secrets, limit);
        // Services put an object, or a list of objects, where OAuth puts a string.
        let nested = |name: &str, limit| {
            let error = body.get("error").or_else(|| body.get("errors"))?;
            let error = error.get(0).unwrap_or(error);
            clean(&spelled(error.get(name)?), secrets, limit)
        };
        let description = ["error_description", "error_message", "errmsg", "message"]
            .into_iter()
            .find_map(|name| text(name, DESCRIPTION_CHARACTERS))
            .or_else(|| nested("message", DESCRIPTION_CHARACTERS));
        let error = text("error", CODE_CHARACTERS)
            .or_else(|| {
                let mut names = ["status", "error", "code", "type"].into_iter();
                names.find_map(|name| nested(name, CODE_CHARACTERS))
            })
            .or_else(|| {
                let mut names = ["error", "error_code", "errorCode", "errcode", "code"].into_iter();
                names.find_map(|name| clean(&spelled(body.get(name)?), secrets, CODE_CHARACTERS))
            });
        Self {
            operation,
            status: Some(status.as_u16()),
            error,
            aadsts: telling_code(&body).or_else(|| aadsts_prefix(description.as_deref()?)),
            description,
            subtype: text("error_subtype", CODE_CHARACTERS)
                .or_else(|| text("suberror", CODE_CHARACTERS)),
            correlation_id: text("correlation_id", CODE_CHARACTERS),
            trace_id: text("trace_id", CODE_CHARACTERS),
            retry_after: retry_after(headers),
        }
    }

    pub(crate) fn from_redirect(error: &str, description: Option<&str>) -> Self {
        let clean = |text: &str, limit| clean(&Value::from(text), &[], limit);
        Self {
            operation: Operation::Authorize,
            status: None,
            error: clean(error, CODE_CHARACTERS),
            description: description.and_then(|text| clean(text, DESCRIPTION_CHARACTERS)),
            aadsts: description.and_then(aadsts_prefix),
            subtype: None,
            correlation_id: None,
            trace_id: None,
            retry_after: None,
        }
    }

    /// Returns what the refusal means, as long as the grant still works or for a first sign-in.
    pub fn verdict(&self) -> Verdict {
        self.responsibility(History::WORKS).verdict
    }

    /// Returns what the refusal means, who must act and what to do, given how the grant fared.
    pub fn responsibility(&self, history: History) -> Responsibility {
        let cause = self.failure_cause();
        let mut decided = responsibility(cause, history);
        let pause = matches!(cause, FailureCause::Locked).then_some(LOCKED_FOR);
        decided.verdict.retry_after = self.retry_after.or(pause);
        decided
    }

    /// Returns the most telling code: Microsoft's number, else subtype, else `error`, else status.
    pub fn code(&self) -> Option<String> {
        self.aadsts
            .map(|code| format!("AADSTS{code}"))
            .or_else(|| self.subtype.clone())
            .or_else(|| self.error.clone())
            .or_else(|| self.status.map(|status| format!("HTTP {status}")))
    }

    pub(crate) fn failure_cause(&self) -> FailureCause {
        if self.operation == Operation::Discover && matches!(self.status, Some(400..=407 | 410)) {
            return FailureCause::NoMetadata;
        }
        // An overloaded server's body proves nothing about a grant, so the status comes first.
        let known = self
            .status
            .and_then(cause::of_status)
            .or_else(|| self.aadsts.and_then(cause::of_aadsts))
            .or_else(|| self.subtype.as_deref().and_then(cause::of_subtype))
            .or_else(|| self.error.as_deref().and_then(cause::of_error));
        match (known, self.operation) {
            // A code is refused with the same words as a refresh token.
            (Some(FailureCause::GrantDead), Operation::ExchangeCode) => FailureCause::CodeSpent,
            (Some(known), Operation::JwtBearer) => {
                let words = self.description.as_deref().unwrap_or_default();
                cause::of_statement(known, self.error.as_deref(), words)
            }
            (Some(known), _) => known,
            (None, Operation::Refresh | Operation::ClientCredentials | Operation::JwtBearer)
                if self.is_about_the_request() =>
            {
                FailureCause::RefusedOtherwise
            }
            // Documents are there or not: no word of theirs needs to be looked up.
            (None, Operation::Discover | Operation::FetchKeys | Operation::TokenEndpoint) => {
                FailureCause::NoProvider
            }
            (None, _) => FailureCause::Unknown,
        }
    }

    /// Returns whether only a token endpoint answers so.
    pub(crate) fn is_of_token_endpoint(&self) -> bool {
        let is_overloaded = self.status.and_then(cause::of_status).is_some();
        !is_overloaded && self.is_about_the_request()
    }

    /// Returns whether the token endpoint itself refused what was sent: other statuses without a word of OAuth come from
    /// whatever else answers at its URL.
    fn is_about_the_request(&self) -> bool {
        self.error.is_some() || matches!(self.status, Some(200..=299 | 400 | 401 | 403 | 422))
    }
}

impl fmt::Display for ProviderRefusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} was refused", self.operation)?;
        let mut separator = ": ";
        let status = self.status.map(|status| format!("HTTP {status}"));
        let aadsts = self.aadsts.map(|code| format!("AADSTS{code}"));
        let parts = [&status, &self.error, &aadsts, &self.subtype];
        for part in parts.into_iter().flatten() {
            write!(formatter, "{separator}{part}")?;
            separator = ", ";
        }
        Ok(())
    }
}

impl fmt::Debug for ProviderRefusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ProviderRefusal")
            .field("operation", &self.operation)
            .field("status", &self.status)
            .field("error", &self.error)
            .field("aadsts", &self.aadsts)
            .field("subtype", &self.subtype)
            .field("correlation_id", &self.correlation_id)
            .field("trace_id", &self.trace_id)
            .field("retry_after", &self.retry_after)
            .finish_non_exhaustive()
    }
}

/// Entra lists one number or several; the first that is known decides. Gateways turn numbers into texts.
fn telling_code(body: &Map<String, Value>) -> Option<u32> {
    let listed = body.get("error_codes")?;
    let codes: Vec<u32> = match listed {
        Value::Array(items) => items.iter().filter_map(code).collect(),
        one => code(one).into_iter().collect(),
    };
    let known = codes.iter().find(|code| cause::of_aadsts(**code).is_some());
    known.or(codes.first()).copied()
}

/// Codes of services that know no OAuth are numbers as often as words.
fn spelled(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::from(number.to_string()),
        other => other.clone(),
    }
}

fn code(value: &Value) -> Option<u32> {
    match value {
        Value::Number(number) => u32::try_from(number.as_u64()?).ok(),
        Value::String(text) => text.trim().trim_start_matches("AADSTS").parse().ok(),
        _ => None,
    }
}

// The browser brings Microsoft's number only as the beginning of the text.
fn aadsts_prefix(description: &str) -> Option<u32> {
    let rest = description.trim_start().strip_prefix("AADSTS")?;
    rest.split(|character: char| !character.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

fn clean(value: &Value, secrets: &[&SecretString], limit: usize) -> Option<String> {
    let mut text = value.as_str()?.to_owned();
    for secret in secrets {
        let secret = secret.expose_secret();
        let encoded: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        for form in [secret, encoded.as_str()] {
            if !form.is_empty() && text.contains(form) {
                text = text.replace(form, REDACTED);
            }
        }
    }
    let text: String = text
        .chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .take(limit)
        .collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod app_tests;
#[cfg(test)]
mod tests;
