use mailmesh_domain::EventId;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::{subject, wording};

/// Header names and values, in order.
pub type Headers = Vec<(String, String)>;

/// A fact that is published on `<NAME>.<key>`.
pub trait Event: Serialize + DeserializeOwned + JsonSchema + Send + 'static {
    /// The event's name, such as `mail.received`.
    const NAME: &'static str;
    /// The version of its schema.
    const VERSION: u32 = 1;

    /// Returns the last token of the subject: an account key or a grant id.
    fn key(&self) -> String;
}

/// A request that is published on `<NAME>` or `<NAME>.<account>`.
pub trait Command: Serialize + DeserializeOwned + JsonSchema + Send + 'static {
    /// The command's name, such as `mail.send`.
    const NAME: &'static str;
    /// The version of its schema.
    const VERSION: u32 = 1;
}

macro_rules! event {
    ($type:ident, $name:literal, $key:ident) => {
        impl $crate::Event for $type {
            const NAME: &'static str = $name;

            fn key(&self) -> String {
                self.$key.to_string()
            }
        }
    };
}
macro_rules! command {
    ($type:ident, $name:literal) => {
        impl $crate::Command for $type {
            const NAME: &'static str = $name;
        }
    };
}
pub(crate) use {command, event};

/// An event in CloudEvents binary mode, ready to be published.
#[derive(Debug, Clone)]
pub struct EncodedEvent {
    /// The subject, without the configured prefix.
    pub subject: String,
    /// The CloudEvents id; also the `Nats-Msg-Id`.
    pub id: String,
    /// The `ce-` headers.
    pub headers: Headers,
    /// The JSON body.
    pub payload: Vec<u8>,
}

/// A message that was read, whatever the mode it came in.
#[derive(Debug, Clone)]
pub struct CloudEvent<T> {
    /// The CloudEvents id, if the message had an envelope.
    pub id: Option<String>,
    /// The CloudEvents source, if the message had an envelope.
    pub source: Option<String>,
    /// The body.
    pub data: T,
}

/// The message cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The body is not JSON.
    #[error("the body is not JSON: line {line}, column {column}")]
    NotJson {
        /// Line of the first error.
        line: usize,
        /// Column of the first error.
        column: usize,
    },
    /// A field has the wrong type or is missing.
    #[error("{message}")]
    Field {
        /// The field's path.
        path: String,
        /// What was expected.
        message: String,
    },
    /// A field is not known.
    #[error("unknown field")]
    UnknownField {
        /// The field's path.
        path: String,
    },
    /// The envelope names a type that is not this message's.
    #[error("the type is {found:?}; this subject takes {expected:?}")]
    WrongType {
        /// The type in the envelope.
        found: String,
        /// The type of this subject.
        expected: String,
    },
    /// The envelope is not CloudEvents 1.0.
    #[error("the CloudEvents envelope is incomplete: {missing} is missing or malformed")]
    Envelope {
        /// The attribute at fault.
        missing: &'static str,
    },
}

impl DecodeError {
    /// Returns the path of the field at fault; empty for the whole message.
    pub fn field(&self) -> &str {
        match self {
            Self::Field { path, .. } | Self::UnknownField { path } => path,
            Self::WrongType { .. } => "type",
            Self::Envelope { missing } => missing,
            Self::NotJson { .. } => "",
        }
    }
}

/// Space, quote, percent and everything outside U+0021 to U+007E (CloudEvents NATS binding §3.1.3.2).
const HEADER_VALUE: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// Encodes an event in CloudEvents binary mode: `ce-` headers and a JSON body.
///
/// # Errors
/// When the event cannot be written as JSON.
pub fn encode<E: Event>(
    event: &E,
    id: EventId,
    source: &str,
    at: OffsetDateTime,
) -> Result<EncodedEvent, serde_json::Error> {
    let key = event.key();
    let moment = at.format(&Rfc3339).unwrap_or_default();
    let id = id.to_string();
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-id", id.as_str()),
        ("ce-source", source),
        ("ce-type", &type_of(E::NAME, E::VERSION)),
        ("ce-time", &moment),
        ("ce-subject", &key),
        ("ce-datacontenttype", "application/json"),
    ]
    .map(|(name, value)| {
        let value = utf8_percent_encode(value, HEADER_VALUE).to_string();
        (name.to_owned(), value)
    });
    Ok(EncodedEvent {
        subject: subject::of_event(E::NAME, &key),
        payload: serde_json::to_vec(event)?,
        headers: headers.into(),
        id,
    })
}

/// Reads a command in binary mode, structured mode, or as a bare JSON body.
///
/// # Errors
/// [`DecodeError`] with the path of the field at fault.
pub fn decode_command<C: Command>(
    headers: &Headers,
    payload: &[u8],
) -> Result<CloudEvent<C>, DecodeError> {
    decode(headers, payload, &type_of(C::NAME, C::VERSION), true)
}

/// Reads an event. Fields that a later release added are passed over.
///
/// # Errors
/// [`DecodeError`] with the path of the field at fault.
pub fn decode_event<E: Event>(
    headers: &Headers,
    payload: &[u8],
) -> Result<CloudEvent<E>, DecodeError> {
    decode(headers, payload, &type_of(E::NAME, E::VERSION), false)
}

/// Reads JSON from outside the bus with the same care: the path of the field at fault, unknown fields refused.
///
/// # Errors
/// [`DecodeError`] with the path of the field at fault.
pub fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, DecodeError> {
    read_slice(body, true)
}

/// Returns the CloudEvents type, such as `mail.received.v1`.
pub(crate) fn type_of(name: &str, version: u32) -> String {
    format!("{name}.v{version}")
}

fn decode<T: DeserializeOwned>(
    headers: &Headers,
    payload: &[u8],
    expected: &str,
    is_strict: bool,
) -> Result<CloudEvent<T>, DecodeError> {
    if let Some(found) = header(headers, "ce-type") {
        check_type(&found, expected)?;
        return Ok(CloudEvent {
            id: header(headers, "ce-id"),
            source: header(headers, "ce-source"),
            data: read_slice(payload, is_strict)?,
        });
    }
    if header(headers, "ce-specversion").is_some() {
        return Err(DecodeError::Envelope { missing: "type" });
    }
    let is_structured = header(headers, "content-type")
        .is_some_and(|value| value.starts_with("application/cloudevents"));
    if is_structured || looks_structured(payload) {
        return decode_structured(payload, expected, is_strict);
    }
    Ok(CloudEvent {
        id: None,
        source: None,
        data: read_slice(payload, is_strict)?,
    })
}

/// A body sent without headers may still be an envelope: no command has a field `specversion`.
fn looks_structured(payload: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct StructuredMarker {
        specversion: Option<serde::de::IgnoredAny>,
    }
    payload
        .windows(13)
        .any(|window| window == b"\"specversion\"")
        && serde_json::from_slice::<StructuredMarker>(payload)
            .is_ok_and(|probe| probe.specversion.is_some())
}

fn decode_structured<T: DeserializeOwned>(
    payload: &[u8],
    expected: &str,
    is_strict: bool,
) -> Result<CloudEvent<T>, DecodeError> {
    let mut envelope: Value = serde_json::from_slice(payload).map_err(|error| not_json(&error))?;
    let attribute = |name: &'static str| {
        let text = envelope.get(name).and_then(Value::as_str);
        text.filter(|text| !text.is_empty())
            .map(ToOwned::to_owned)
            .ok_or(DecodeError::Envelope { missing: name })
    };
    if attribute("specversion")? != "1.0" {
        return Err(DecodeError::Envelope {
            missing: "specversion",
        });
    }
    check_type(&attribute("type")?, expected)?;
    let (id, source) = (attribute("id")?, attribute("source")?);
    let data = match envelope.get_mut("data").map(Value::take) {
        // As text again, so that a type is read from one format only: each costs as much to compile.
        Some(data) => read_slice(data.to_string().as_bytes(), is_strict)?,
        None => read_slice(&decoded_base64(&envelope)?, is_strict)?,
    };
    Ok(CloudEvent {
        id: Some(id),
        source: Some(source),
        data,
    })
}

fn decoded_base64(envelope: &Value) -> Result<Vec<u8>, DecodeError> {
    use base64::Engine;
    let text = envelope.get("data_base64").and_then(Value::as_str);
    text.and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok())
        .ok_or(DecodeError::Envelope { missing: "data" })
}

fn check_type(found: &str, expected: &str) -> Result<(), DecodeError> {
    if found == expected {
        return Ok(());
    }
    Err(DecodeError::WrongType {
        found: found.chars().take(100).collect(),
        expected: expected.to_owned(),
    })
}

/// Names are compared without case: the binding calls them case-insensitive, NATS keeps the case.
fn header(headers: &Headers, name: &str) -> Option<String> {
    let (_, value) = headers
        .iter()
        .find(|(found, _)| found.eq_ignore_ascii_case(name))?;
    let value = value.trim().trim_matches('"');
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}

fn not_an_object() -> DecodeError {
    DecodeError::Field {
        path: String::new(),
        message: "must be an object".to_owned(),
    }
}

fn not_json(error: &serde_json::Error) -> DecodeError {
    DecodeError::NotJson {
        line: error.line(),
        column: error.column(),
    }
}

fn read_slice<T: DeserializeOwned>(payload: &[u8], is_strict: bool) -> Result<T, DecodeError> {
    // serde also reads a struct from an array, field by field: an accident, never a message.
    if payload.trim_ascii_start().first() == Some(&b'[') {
        return Err(not_an_object());
    }
    let mut deserializer = serde_json::Deserializer::from_slice(payload);
    let mut unknown = None;
    let mut note = |path: serde_ignored::Path<'_>| {
        unknown.get_or_insert_with(|| tidy(&path.to_string()));
    };
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut deserializer, &mut track);
    let value = T::deserialize(serde_ignored::Deserializer::new(tracked, &mut note));
    let value = value.map_err(|error| {
        let is_malformed = error.is_syntax() || error.is_eof();
        if !is_malformed {
            return field_at_fault(&track.path(), &without_position(&error));
        }
        match serde_json::from_slice::<Value>(payload) {
            Err(_) => not_json(&error),
            // serde_json calls a number bad syntax where one of several words is wanted.
            Ok(whole) => wrong_word::<T>(whole, &track.path(), is_strict),
        }
    })?;
    match unknown {
        Some(path) if is_strict => Err(DecodeError::UnknownField { path }),
        _ => {
            deserializer.end().map_err(|error| not_json(&error))?;
            Ok(value)
        }
    }
}

fn field_at_fault(path: &serde_path_to_error::Path, message: &str) -> DecodeError {
    DecodeError::Field {
        path: tidy(&path.to_string()),
        message: wording::in_words(message),
    }
}

/// Reads again with a word that cannot be one of those that are wanted, for the reader to name them.
fn wrong_word<T: DeserializeOwned>(
    mut whole: Value,
    path: &serde_path_to_error::Path,
    is_strict: bool,
) -> DecodeError {
    let otherwise = field_at_fault(path, "expected a string");
    let Some(value) = find_mut(&mut whole, path).filter(|value| !value.is_string()) else {
        return otherwise;
    };
    *value = Value::from("");
    match read_slice::<T>(whole.to_string().as_bytes(), is_strict) {
        Err(DecodeError::Field { path, message }) if path == otherwise.field() => {
            let message = message.strip_suffix(", not \"\"").unwrap_or(&message);
            DecodeError::Field {
                path,
                message: message.to_owned(),
            }
        }
        _ => otherwise,
    }
}

fn find_mut<'a>(whole: &'a mut Value, path: &serde_path_to_error::Path) -> Option<&'a mut Value> {
    let mut value = whole;
    for segment in path {
        value = match segment {
            Segment::Seq { index } => value.get_mut(*index)?,
            Segment::Map { key } => value.get_mut(key)?,
            // Within an option, or a type around another.
            Segment::Unknown => value,
            Segment::Enum { .. } => return None,
        };
    }
    Some(value)
}

/// `attachments.0.content` and `to[1]` both become `attachments[0].content`, `to[1]`; options leave `?`.
fn tidy(path: &str) -> String {
    let mut tidied = String::with_capacity(path.len() + 4);
    for token in path.split('.').filter(|token| !matches!(*token, "" | "?")) {
        if token.bytes().all(|byte| byte.is_ascii_digit()) {
            tidied.push('[');
            tidied.push_str(token);
            tidied.push(']');
        } else {
            if !tidied.is_empty() {
                tidied.push('.');
            }
            tidied.push_str(token);
        }
    }
    tidied
}

/// The position says nothing to a publisher whose JSON is made by a library.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let suffix = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&suffix).unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests;
