use email_encoding::body::base64;
use lettre::message::header::{
    ContentDisposition, ContentId, ContentTransferEncoding, ContentType, Header, HeaderName,
    HeaderValue,
};
use lettre::message::{Body, SinglePart};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

use super::super::draft::{BuildError, DraftAttachment, FieldProblem};
use super::super::scanner::Scanner;
use super::check::{MAX_NAME, check_length, check_plain, message_id};
use super::filename::file_name;
use super::text::crlf_octets;

const FILE: &str = "application/octet-stream";
/// RFC 5322 §2.1.1.
const MAX_LINE: usize = 998;

pub(super) fn attachment_part(
    path: &str,
    attachment: &DraftAttachment,
) -> Result<SinglePart, BuildError> {
    let filename = file_name(&format!("{path}.filename"), &attachment.filename)?;
    let type_path = format!("{path}.content_type");
    let media_type = media_type(&type_path, attachment)?;
    let body = if is_message(media_type) {
        message_body(media_type, &attachment.content)
            .map_err(|problem| BuildError::new(format!("{path}.content"), problem))?
    } else {
        base64_body(&attachment.content)
    };
    let content_type = ContentType::parse(media_type)
        .map_err(|_| BuildError::new(type_path, FieldProblem::InvalidContentType))?;
    let builder = SinglePart::builder().header(content_type);
    let builder = match &attachment.content_id {
        None => builder.header(DispositionHeader::attachment(filename.as_deref())),
        Some(id) => {
            let id_path = format!("{path}.content_id");
            // lettre does not fold this field.
            check_length(&id_path, id, MAX_NAME)?;
            builder
                .header(ContentId::from(message_id(&id_path, id)?))
                .header(DispositionHeader::inline(filename.as_deref()))
        }
    };
    Ok(builder.body(body))
}

fn is_message(media_type: &str) -> bool {
    let prefix = media_type.get(.."message/".len()).unwrap_or_default();
    prefix.eq_ignore_ascii_case("message/")
}

/// RFC 2046 §5.2 forbids Base64 for a message, which some readers take literally: they would show an empty mail.
fn message_body(media_type: &str, content: &[u8]) -> Result<Body, FieldProblem> {
    let has_long_line = content
        .split(|byte| matches!(byte, b'\r' | b'\n'))
        .any(|line| line.len() > MAX_LINE);
    if has_long_line || content.contains(&0) {
        return Err(FieldProblem::InvalidMessage);
    }
    let encoding = if content.is_ascii() {
        ContentTransferEncoding::SevenBit
    } else {
        ContentTransferEncoding::EightBit
    };
    let lower = media_type.to_ascii_lowercase();
    // RFC 2046 §5.2.2 and §5.2.3: a part of a message, and a reference to one, are 7bit.
    let is_ascii_only = ["message/partial", "message/external-body"]
        .iter()
        .any(|prefix| lower.starts_with(prefix));
    if is_ascii_only && !content.is_ascii() {
        return Err(FieldProblem::InvalidMessage);
    }
    Ok(Body::dangerous_pre_encoded(crlf_octets(content), encoding))
}

/// Whether a part needs 8bit, which the multiparts around it must declare then (RFC 2045 §6.4).
pub(super) fn is_eight_bit(part: &SinglePart) -> bool {
    part.headers().get::<ContentTransferEncoding>() == Some(ContentTransferEncoding::EightBit)
}

/// How a file is shown; lettre has none without a name.
#[derive(Debug, Clone)]
struct DispositionHeader(HeaderValue);

impl DispositionHeader {
    fn attachment(filename: Option<&str>) -> Self {
        Self(match filename {
            None => HeaderValue::new(Self::name(), "attachment".to_owned()),
            Some(name) if looks_encoded(name) => percent_encoded("attachment", name),
            Some(name) => ContentDisposition::attachment(name).display(),
        })
    }

    fn inline(filename: Option<&str>) -> Self {
        Self(match filename {
            None => ContentDisposition::inline().display(),
            Some(name) if looks_encoded(name) => percent_encoded("inline", name),
            Some(name) => ContentDisposition::inline_with_name(name).display(),
        })
    }
}

impl Header for DispositionHeader {
    fn name() -> HeaderName {
        ContentDisposition::name()
    }

    fn parse(text: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        ContentDisposition::parse(text).map(|parsed| Self(parsed.display()))
    }

    fn display(&self) -> HeaderValue {
        self.0.clone()
    }
}

/// Returns whether readers would decode a name although nobody has encoded it: many take RFC 2047 within quotes, too.
fn looks_encoded(name: &str) -> bool {
    name.contains("=?")
}

/// Writes a name in the form of RFC 2231 §4, which lettre keeps for what is not ASCII, each section on a line of its own.
fn percent_encoded(disposition: &str, name: &str) -> HeaderValue {
    const SECTION: usize = 20;
    let octets = name.as_bytes().chunks(SECTION).enumerate();
    let sections = octets.map(|(number, octets)| {
        let set = if number == 0 { "utf-8''" } else { "" };
        let encoded = percent_encode(octets, NON_ALPHANUMERIC);
        format!(";\r\n filename*{number}*={set}{encoded}")
    });
    let value = format!("{disposition}{}", sections.collect::<String>());
    HeaderValue::dangerous_new_pre_encoded(DispositionHeader::name(), name.to_owned(), value)
}

/// Returns whether each quoted string of a type has an end; lettre takes those without one.
fn has_closed_quotes(media_type: &str) -> bool {
    let mut scanner = Scanner::new(media_type.as_bytes());
    loop {
        scanner.take_until(b"\"");
        if scanner.peek().is_none() {
            return true;
        }
        if scanner.quoted().is_none() {
            return false;
        }
    }
}

/// lettre would send content that is ASCII as it is, with whatever line ends it has, and wants to own a copy to encode.
pub(super) fn base64_body(content: &[u8]) -> Body {
    let mut encoded = String::with_capacity(base64::encoded_len(content.len()));
    // Writing into a String cannot fail.
    base64::encode(content, &mut encoded).ok();
    Body::dangerous_pre_encoded(encoded.into_bytes(), ContentTransferEncoding::Base64)
}

fn media_type<'a>(path: &str, attachment: &'a DraftAttachment) -> Result<&'a str, BuildError> {
    let given = attachment
        .content_type
        .as_deref()
        .unwrap_or_default()
        .trim();
    check_plain(path, given)?;
    check_length(path, given, MAX_NAME)?;
    let is_multipart = given.to_ascii_lowercase().starts_with("multipart/");
    if is_multipart || !given.is_ascii() || !has_closed_quotes(given) {
        return Err(BuildError::new(path, FieldProblem::InvalidContentType));
    }
    Ok(if given.is_empty() { FILE } else { given })
}

#[cfg(test)]
mod tests;
