//! The body of an answer, in whichever form a provider writes it.

use std::borrow::Cow;

use serde_json::{Map, Value};
use url::form_urlencoded;

const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";
const FORM: &str = "application/x-www-form-urlencoded";
/// Most fields that are read of a form: a token answer has about ten.
const MOST_FIELDS: usize = 64;
/// Names under which providers put an error into an answer, that of RFC 6749 §5.2 first.
const ERROR_FIELDS: [&str; 11] = [
    "error",
    "errors",
    "error_code",
    "error_codes",
    "errorCode",
    "errcode",
    "error_description",
    "error_message",
    "errorMessage",
    "error_msg",
    "suberror",
];

/// Returns the body as JSON text. RFC 6749 §5.1 wants JSON; some providers answer in the form in which they are asked,
/// and some servers put a byte order mark in front, which RFC 8259 §8.1 lets a reader ignore.
pub(crate) fn to_json<'a>(content_type: Option<&str>, body: &'a [u8]) -> Cow<'a, [u8]> {
    let body = body.strip_prefix(UTF8_MARK).unwrap_or(body);
    if matches!(first_byte(body), Some(b'{' | b'[')) {
        return Cow::Borrowed(body);
    }
    let is_form = content_type.is_some_and(|named| essence(named).eq_ignore_ascii_case(FORM));
    match read_form(body, is_form) {
        Some(fields) => Cow::Owned(Value::Object(fields).to_string().into_bytes()),
        None => Cow::Borrowed(body),
    }
}

fn first_byte(body: &[u8]) -> Option<u8> {
    body.iter()
        .copied()
        .find(|byte| !byte.is_ascii_whitespace())
}

fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// A form that is not declared as one must hold what only an answer of a token endpoint holds.
fn read_form(body: &[u8], is_declared: bool) -> Option<Map<String, Value>> {
    let text = body.trim_ascii();
    let is_one_line = !text.is_empty() && !text.iter().any(u8::is_ascii_whitespace);
    if !is_one_line {
        return None;
    }
    let mut fields = Map::new();
    for (name, value) in form_urlencoded::parse(text).take(MOST_FIELDS) {
        // RFC 6749 §3.2: no parameter comes twice; the first counts.
        fields
            .entry(name.into_owned())
            .or_insert_with(|| Value::from(value.into_owned()));
    }
    let is_answer = ["access_token", "error"]
        .into_iter()
        .any(|name| fields.contains_key(name));
    (is_declared || is_answer).then_some(fields)
}

/// Returns whether a success is none: some providers say 200 and put the error into the body, as a text, an object, a
/// list or a number.
pub(crate) fn is_disguised_error(body: &[u8]) -> bool {
    let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(body) else {
        return false;
    };
    let has_token =
        matches!(fields.get("access_token"), Some(Value::String(token)) if !token.is_empty());
    !has_token
        && (says_failure(&fields)
            || ERROR_FIELDS
                .into_iter()
                .any(|name| fields.get(name).is_some_and(is_said)))
}

/// Envelopes of services say only whether it went well, and why not beside it.
fn says_failure(fields: &Map<String, Value>) -> bool {
    let is_denied = |name| fields.get(name) == Some(&Value::Bool(false));
    let status = fields.get("status").and_then(Value::as_str);
    let is_failure = |status: &str| {
        ["error", "fail", "failed", "failure"].contains(&status.to_ascii_lowercase().as_str())
    };
    is_denied("success") || is_denied("ok") || status.is_some_and(is_failure)
}

fn is_said(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) => true,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_in_every_form() {
        const JSON: &str = "application/json";
        for (content_type, body, read) in [
            (Some(JSON), "{\"a\":1}", "{\"a\":1}"),
            (Some(JSON), "\u{feff}{\"a\":1}", "{\"a\":1}"),
            (None, "\u{feff}\n {\"a\":1}", "\n {\"a\":1}"),
            (Some(FORM), "{\"a\":1}", "{\"a\":1}"),
            (Some(FORM), "a=1&b=x%20y", "{\"a\":\"1\",\"b\":\"x y\"}"),
            (
                Some("Application/X-WWW-Form-URLEncoded; charset=utf-8"),
                "\u{feff}access_token=t\n",
                "{\"access_token\":\"t\"}",
            ),
            (
                Some("text/plain"),
                "access_token=t&expires=5",
                "{\"access_token\":\"t\",\"expires\":\"5\"}",
            ),
            (
                Some("text/html"),
                "error=bad&error=worse",
                "{\"error\":\"bad\"}",
            ),
            (Some("text/plain"), "a=1", "a=1"),
            (
                Some("text/html"),
                "<p>access_token=</p>",
                "<p>access_token=</p>",
            ),
            (
                Some("text/plain"),
                "no access_token=1 here",
                "no access_token=1 here",
            ),
            (Some(FORM), "", ""),
        ] {
            let found = to_json(content_type, body.as_bytes());
            assert_eq!(
                String::from_utf8_lossy(&found),
                read,
                "{content_type:?} {body}"
            );
        }
    }

    #[test]
    fn an_error_is_seen_whatever_it_is_written_as() {
        for (body, is_error) in [
            (r#"{"error":"invalid_code"}"#, true),
            (r#"{"error":{"code":"invalid_grant"}}"#, true),
            (r#"{"error":401}"#, true),
            (r#"{"error":true,"message":"no"}"#, true),
            (r#"{"errors":[{"code":"x"}]}"#, true),
            (r#"{"errcode":40001,"errmsg":"invalid credential"}"#, true),
            (r#"{"error_description":"no"}"#, true),
            (r#"{"access_token":"","error":"no"}"#, true),
            (
                r#"{"success":false,"message":"Refresh token revoked"}"#,
                true,
            ),
            (r#"{"status":"error","code":401}"#, true),
            (r#"{"status":"ok","ok":true,"success":true}"#, false),
            (r#"{"access_token":"t","success":false}"#, false),
            (r#"{"access_token":null,"error":"no"}"#, true),
            (r#"{"access_token":"t","error":"no"}"#, false),
            (r#"{"access_token":"t"}"#, false),
            (r#"{"keys":[],"error":null}"#, false),
            (r#"{"sub":"1","error":"","errcode":0}"#, false),
            ("[]", false),
            ("<html>", false),
        ] {
            assert_eq!(is_disguised_error(body.as_bytes()), is_error, "{body}");
        }
    }
}
