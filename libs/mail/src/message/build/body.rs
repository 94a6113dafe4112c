use std::fmt::Write as _;

use email_encoding::body::base64;
use lettre::message::header::{
    ContentDisposition, ContentId, ContentTransferEncoding, ContentType,
};
use lettre::message::{Body, MultiPart, SinglePart};
use mailmesh_secrets::sha256;

use super::super::draft::{BuildError, Draft, DraftAttachment, FieldProblem};
use super::check::{MAX_NAME, check_length, check_plain, message_id};

/// lettre's two kinds of part share no trait that shows.
pub(super) enum Part {
    Single(SinglePart),
    Multi(MultiPart),
}

impl Part {
    pub(super) fn formatted(&self) -> Vec<u8> {
        match self {
            Self::Single(part) => part.formatted(),
            Self::Multi(part) => part.formatted(),
        }
    }

    fn add_to(self, multi: MultiPart) -> MultiPart {
        match self {
            Self::Single(part) => multi.singlepart(part),
            Self::Multi(part) => multi.multipart(part),
        }
    }
}

/// Lays out `mixed(alternative(text, related(html, inline…)), attachments…)`, leaving out every level with one part.
pub(super) fn lay_out(draft: &Draft, message_id: &str) -> Result<Part, BuildError> {
    let mut inline = Vec::new();
    let mut attached = Vec::new();
    for (index, attachment) in draft.attachments.iter().enumerate() {
        let part = attachment_part(&format!("attachments[{index}]"), attachment)?;
        if attachment.content_id.is_some() && draft.html.is_some() {
            inline.push(part);
        } else {
            attached.push(part);
        }
    }
    let text = text_part("text", draft.text.as_deref())?.map(SinglePart::plain);
    let html = text_part("html", draft.html.as_deref())?.map(SinglePart::html);
    let html = html.map(|html| {
        if inline.is_empty() {
            return Part::Single(html);
        }
        let related = MultiPart::related()
            .boundary(boundary("related", message_id))
            .singlepart(html);
        Part::Multi(inline.into_iter().fold(related, MultiPart::singlepart))
    });
    let body = match (text, html) {
        (Some(text), Some(html)) => {
            let alternative = MultiPart::alternative()
                .boundary(boundary("alternative", message_id))
                .singlepart(text);
            Some(Part::Multi(html.add_to(alternative)))
        }
        (Some(text), None) => Some(Part::Single(text)),
        (None, html) => html,
    };
    if attached.is_empty() {
        return Ok(body.unwrap_or_else(|| Part::Single(SinglePart::plain(String::new()))));
    }
    let mixed = MultiPart::mixed()
        .boundary(boundary("mixed", message_id))
        .build();
    let mixed = match body {
        Some(body) => body.add_to(mixed),
        None => mixed,
    };
    Ok(Part::Multi(
        attached.into_iter().fold(mixed, MultiPart::singlepart),
    ))
}

/// lettre would take a random one for each build.
fn boundary(level: &str, message_id: &str) -> String {
    let hash = sha256(format!("boundary\0{level}\0{message_id}").as_bytes());
    hash.iter().take(20).fold(String::new(), |mut text, byte| {
        // Writing into a String cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

fn text_part(path: &str, text: Option<&str>) -> Result<Option<String>, BuildError> {
    let Some(text) = text else { return Ok(None) };
    if text.contains('\0') {
        return Err(BuildError::new(path, FieldProblem::Nul));
    }
    // lettre turns line ends itself, but with one insertion each into the whole text, and leaves a bare CR.
    let mut text = crlf_lines(text);
    // It also ends every part with CRLF.
    if text.ends_with("\r\n") {
        text.truncate(text.len() - 2);
    }
    Ok(Some(text))
}

/// Turns CR, LF and CRLF into CRLF in one pass.
fn crlf_lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 32);
    let mut rest = text;
    while let Some(at) = rest.find(['\r', '\n']) {
        let (line, tail) = rest.split_at(at);
        out.push_str(line);
        out.push_str("\r\n");
        rest = tail
            .strip_prefix("\r\n")
            .or_else(|| tail.strip_prefix(['\r', '\n']))
            .unwrap_or_default();
    }
    out.push_str(rest);
    out
}

fn attachment_part(path: &str, attachment: &DraftAttachment) -> Result<SinglePart, BuildError> {
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
