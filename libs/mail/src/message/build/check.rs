use std::borrow::Cow;

use super::super::draft::{BuildError, FieldProblem};

/// A file name or type longer than this would break the 998 octets of a line.
pub(super) const MAX_NAME: usize = 500;

/// With its angle brackets and a space it fills a line; `mail.received` hands such ids out.
const MAX_ID: usize = 995;

/// The control characters beyond ASCII are no line ends of mail, and `mail.received` hands names out that hold them: they
/// come from mail whose character set is not the one that it declares.
pub(super) fn check_plain(path: &str, value: &str) -> Result<(), BuildError> {
    if value.contains(|character: char| character.is_ascii_control()) {
        return Err(BuildError::new(path, FieldProblem::ControlCharacter));
    }
    Ok(())
}

/// Checks free text, in which a tab is white space.
pub(super) fn check_text(path: &str, value: &str, limit: usize) -> Result<(), BuildError> {
    if value.contains(|character: char| character.is_ascii_control() && character != '\t') {
        return Err(BuildError::new(path, FieldProblem::ControlCharacter));
    }
    check_length(path, value, limit)
}

/// Makes spaces of white space that a line of a header cannot hold, which is pasted along with texts: tabs, and what
/// separates lines and paragraphs in Unicode. Other spaces, such as those of Japanese, are text.
pub(super) fn with_plain_spaces(value: &str) -> Cow<'_, str> {
    const OTHERS: [char; 4] = ['\t', '\u{85}', '\u{2028}', '\u{2029}'];
    if value.contains(OTHERS) {
        Cow::Owned(value.replace(OTHERS, " "))
    } else {
        Cow::Borrowed(value)
    }
}

pub(super) fn check_length(path: &str, value: &str, limit: usize) -> Result<(), BuildError> {
    if value.len() > limit {
        return Err(BuildError::new(path, FieldProblem::TooLong { limit }));
    }
    Ok(())
}

pub(super) fn message_id(path: &str, id: &str) -> Result<String, BuildError> {
    checked_id(path, id, |_| false)
}

/// Checks the id of another mail, which must be repeated as it is to be recognised: some programs put spaces into theirs.
/// `None` for one that no header can hold because it is not ASCII: `mail.received` hands such out, and an answer goes out
/// without it.
pub(super) fn foreign_message_id(path: &str, id: &str) -> Result<Option<String>, BuildError> {
    let is_bracketed = id.trim().starts_with('<');
    check_plain(path, id)?;
    if !id.is_ascii() {
        return Ok(None);
    }
    checked_id(path, id, |byte| byte == b' ' && is_bracketed).map(Some)
}

fn checked_id(
    path: &str,
    id: &str,
    is_also_taken: impl Fn(u8) -> bool,
) -> Result<String, BuildError> {
    let id = id.trim();
    check_plain(path, id)?;
    let bare = id
        .strip_prefix('<')
        .and_then(|rest| rest.strip_suffix('>'))
        .unwrap_or(id);
    let is_taken = |byte: u8| {
        is_also_taken(byte) || (matches!(byte, b'!'..=b'~') && !matches!(byte, b'<' | b'>'))
    };
    if !bare.trim().is_empty() && bare.len() <= MAX_ID && bare.bytes().all(is_taken) {
        Ok(format!("<{bare}>"))
    } else {
        Err(BuildError::new(path, FieldProblem::InvalidMessageId))
    }
}
