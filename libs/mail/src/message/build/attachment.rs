use email_encoding::body::base64;
use lettre::message::header::{
    ContentDisposition, ContentId, ContentTransferEncoding, ContentType,
};
use lettre::message::{Body, SinglePart};

use super::super::draft::{BuildError, DraftAttachment, FieldProblem};
use super::check::{MAX_NAME, check_length, check_plain, message_id};

pub(super) fn attachment_part(
    path: &str,
    attachment: &DraftAttachment,
) -> Result<SinglePart, BuildError> {
    let filename_path = format!("{path}.filename");
    check_plain(&filename_path, &attachment.filename)?;
    check_length(&filename_path, &attachment.filename, MAX_NAME)?;
    let content_type = content_type(&format!("{path}.content_type"), attachment)?;
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
    Ok(builder.body(base64_body(&attachment.content)))
}

/// lettre would send content that is ASCII as it is, with whatever line ends it has, and wants to own a copy to encode.
fn base64_body(content: &[u8]) -> Body {
    let mut encoded = String::with_capacity(base64::encoded_len(content.len()));
    // Writing into a String cannot fail.
    base64::encode(content, &mut encoded).ok();
    Body::dangerous_pre_encoded(encoded.into_bytes(), ContentTransferEncoding::Base64)
}

fn content_type(path: &str, attachment: &DraftAttachment) -> Result<ContentType, BuildError> {
    let given = attachment
        .content_type
        .as_deref()
        .map(str::trim)
        .filter(|given| !given.is_empty());
    let mut given = given.unwrap_or("application/octet-stream");
    check_plain(path, given)?;
    check_length(path, given, MAX_NAME)?;
    let lower = given.to_ascii_lowercase();
    // RFC 2046 §5.2.1 forbids Base64 for a message, which some readers take literally: they would show an empty mail.
    if lower.starts_with("message/") {
        given = "application/octet-stream";
    }
    if lower.starts_with("multipart/") || !given.is_ascii() {
        return Err(BuildError::new(path, FieldProblem::InvalidContentType));
    }
    ContentType::parse(given).map_err(|_| BuildError::new(path, FieldProblem::InvalidContentType))
}

#[cfg(test)]
mod tests;
