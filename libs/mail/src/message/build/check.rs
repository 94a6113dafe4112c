use super::super::draft::{BuildError, FieldProblem};

/// A display name, file name or id longer than this would break the 998 octets of a line.
pub(super) const MAX_NAME: usize = 500;

pub(super) fn check_plain(path: &str, value: &str) -> Result<(), BuildError> {
    if value.chars().any(char::is_control) {
        return Err(BuildError::new(path, FieldProblem::ControlCharacter));
    }
    Ok(())
}

/// Checks free text, in which a tab is white space.
pub(super) fn check_text(path: &str, value: &str, limit: usize) -> Result<(), BuildError> {
    if value.contains(|character: char| character.is_control() && character != '\t') {
        return Err(BuildError::new(path, FieldProblem::ControlCharacter));
    }
    check_length(path, value, limit)
}

pub(super) fn check_length(path: &str, value: &str, limit: usize) -> Result<(), BuildError> {
    if value.len() > limit {
        return Err(BuildError::new(path, FieldProblem::TooLong { limit }));
    }
    Ok(())
}

pub(super) fn message_id(path: &str, id: &str) -> Result<String, BuildError> {
    let id = id.trim();
    check_plain(path, id)?;
    let bare = id
        .strip_prefix('<')
        .and_then(|rest| rest.strip_suffix('>'))
        .unwrap_or(id);
    let is_valid = !bare.is_empty()
        && bare.len() <= MAX_NAME
        && bare
            .bytes()
            .all(|byte| matches!(byte, b'!'..=b'~') && !matches!(byte, b'<' | b'>'));
    if is_valid {
        Ok(format!("<{bare}>"))
    } else {
        Err(BuildError::new(path, FieldProblem::InvalidMessageId))
    }
}
