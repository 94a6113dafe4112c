use lettre::message::header::{HeaderName, Headers};

use super::super::draft::{BuildContext, BuildError, Draft, FieldProblem};
use super::check::check_text;
use super::header::unstructured;

/// Each is compared with all others, whose names may differ in case alone.
const MAX_HEADERS: usize = 200;

/// Adds the headers that the draft names itself.
pub(super) fn add_custom(
    headers: &mut Headers,
    draft: &Draft,
    context: &BuildContext,
) -> Result<(), BuildError> {
    if draft.headers.len() > MAX_HEADERS {
        let limit = MAX_HEADERS;
        return Err(BuildError::new("headers", FieldProblem::TooMany { limit }));
    }
    for (name, value) in &draft.headers {
        let path = format!("headers.{}", name.escape_debug());
        let Some(header_name) = header_name(name) else {
            return Err(BuildError::new(path, FieldProblem::InvalidHeaderName));
        };
        if is_reserved(&name.to_ascii_lowercase()) {
            return Err(BuildError::new(path, FieldProblem::ReservedHeader));
        }
        if headers.get_raw(name).is_some() {
            return Err(BuildError::new(path, FieldProblem::DuplicateHeader));
        }
        check_text(&path, value, context.limits.max_header_bytes)?;
        headers.insert_raw(unstructured(header_name, value));
    }
    Ok(())
}

/// lettre takes control characters in a name, line ends among them.
fn header_name(name: &str) -> Option<HeaderName> {
    if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    HeaderName::new_from_ascii(name.to_owned()).ok()
}

/// Headers that other fields set, that MIME needs as it is, or that only servers write.
fn is_reserved(lower: &str) -> bool {
    const NAMES: [&str; 20] = [
        "from",
        "sender",
        "reply-to",
        "to",
        "cc",
        "bcc",
        "subject",
        "date",
        "message-id",
        "in-reply-to",
        "references",
        "received",
        "received-spf",
        "return-path",
        "delivered-to",
        "x-original-to",
        "authentication-results",
        "apparently-to",
        "errors-to",
        "envelope-to",
    ];
    const PREFIXES: [&str; 5] = ["mime-", "content-", "dkim-", "arc-", "resent-"];
    NAMES.contains(&lower) || PREFIXES.iter().any(|prefix| lower.starts_with(prefix))
}
