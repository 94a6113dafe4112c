use super::super::draft::{BuildContext, BuildError, Draft, FieldProblem};
use super::super::encode::push_text;
use super::check::check_length;

/// Each is compared with all others, whose names may differ in case alone.
const MAX_HEADERS: usize = 200;

/// Appends the headers that the draft names itself.
pub(super) fn push_custom(
    head: &mut String,
    draft: &Draft,
    context: &BuildContext,
) -> Result<(), BuildError> {
    if draft.headers.len() > MAX_HEADERS {
        let limit = MAX_HEADERS;
        return Err(BuildError::new("headers", FieldProblem::TooMany { limit }));
    }
    let mut seen: Vec<String> = Vec::with_capacity(draft.headers.len());
    for (name, value) in &draft.headers {
        let path = format!("headers.{}", name.escape_debug());
        let lower = name.to_ascii_lowercase();
        let is_name = (1..=76).contains(&name.len())
            && name
                .bytes()
                .all(|byte| matches!(byte, b'!'..=b'~') && byte != b':');
        if !is_name {
            return Err(BuildError::new(path, FieldProblem::InvalidHeaderName));
        }
        if is_reserved(&lower) {
            return Err(BuildError::new(path, FieldProblem::ReservedHeader));
        }
        if seen.contains(&lower) {
            return Err(BuildError::new(path, FieldProblem::DuplicateHeader));
        }
        if value
            .chars()
            .any(|character| character.is_control() && character != '\t')
        {
            return Err(BuildError::new(path, FieldProblem::ControlCharacter));
        }
        check_length(&path, value, context.limits.max_header_bytes)?;
        push_text(head, name, value);
        seen.push(lower);
    }
    Ok(())
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
