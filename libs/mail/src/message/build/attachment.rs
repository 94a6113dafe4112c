use email_encoding::body::base64;
use lettre::message::header::{
    ContentDisposition, ContentId, ContentTransferEncoding, ContentType,
};
use lettre::message::{Body, SinglePart};

use super::super::draft::{BuildError, DraftAttachment, FieldProblem};
use super::check::{MAX_NAME, check_length, check_plain, message_id};
use super::text::crlf_lines;

const FILE: &str = "application/octet-stream";
const MESSAGE: &str = "message/rfc822";
/// RFC 5322 §2.1.1.
const MAX_LINE: usize = 998;

pub(super) fn attachment_part(
    path: &str,
    attachment: &DraftAttachment,
) -> Result<SinglePart, BuildError> {
    let filename_path = format!("{path}.filename");
    check_plain(&filename_path, &attachment.filename)?;
    check_length(&filename_path, &attachment.filename, MAX_NAME)?;
    let type_path = format!("{path}.content_type");
    let (media_type, body) = encode(media_type(&type_path, attachment)?, &attachment.content);
    let content_type = ContentType::parse(media_type)
        .map_err(|_| BuildError::new(type_path, FieldProblem::InvalidContentType))?;
    let builder = SinglePart::builder().header(content_type);
    let builder = match &attachment.content_id {
        None => builder.header(ContentDisposition::attachment(&attachment.filename)),
        Some(id) => builder
            .header(ContentId::from(message_id(
                &format!("{path}.content_id"),
                id,
            )?))
            .header(ContentDisposition::inline_with_name(&attachment.filename)),
    };
    Ok(builder.body(body))
}

/// RFC 2046 §5.2.1 forbids Base64 for a message, which some readers take literally: they would show an empty mail.
/// What 7bit cannot carry goes as a file, since not every server takes 8bit.
fn encode<'a>(media_type: &'a str, content: &[u8]) -> (&'a str, Body) {
    let name = media_type.split(';').next().unwrap_or_default().trim_end();
    if name.eq_ignore_ascii_case(MESSAGE)
        && let Some(body) = seven_bit_body(content)
    {
        return (MESSAGE, body);
    }
    let is_message = name.to_ascii_lowercase().starts_with("message/");
    let sent_as = if is_message { FILE } else { media_type };
    (sent_as, base64_body(content))
}

fn seven_bit_body(content: &[u8]) -> Option<Body> {
    let text = std::str::from_utf8(content).ok()?;
    if !text.is_ascii() || text.contains('\0') {
        return None;
    }
    let text = crlf_lines(text);
    if text.split("\r\n").any(|line| line.len() > MAX_LINE) {
        return None;
    }
    let encoding = ContentTransferEncoding::SevenBit;
    Some(Body::dangerous_pre_encoded(text.into_bytes(), encoding))
}

/// lettre would send content that is ASCII as it is, with whatever line ends it has, and wants to own a copy to encode.
fn base64_body(content: &[u8]) -> Body {
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
    if is_multipart || !given.is_ascii() {
        return Err(BuildError::new(path, FieldProblem::InvalidContentType));
    }
    Ok(if given.is_empty() { FILE } else { given })
}

#[cfg(test)]
mod tests;
