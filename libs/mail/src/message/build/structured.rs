use std::fmt::Write as _;

use email_encoding::headers::rfc2047;
use lettre::message::header::{HeaderName, HeaderValue};

use super::super::draft::FieldProblem;
use super::header::encoded;

/// RFC 5322 §2.1.1, without the line end.
const MAX_LINE: usize = 998;
/// The same section's recommendation.
const FOLD_AT: usize = 78;

/// Writes a value as it is, folded at its spaces; refuses one that this cannot carry.
pub(super) fn folded(name: HeaderName, value: &str) -> Result<HeaderValue, FieldProblem> {
    if !value.is_ascii() {
        return Err(FieldProblem::NotAscii);
    }
    let mut lines = String::with_capacity(value.len() + value.len() / 32);
    let mut length = name.len() + ": ".len();
    let mut rest = value.trim();
    let mut is_first = true;
    while !rest.is_empty() {
        let gap = rest.len() - rest.trim_start_matches(' ').len();
        let word = rest.get(gap..).and_then(|word| word.find(' '));
        let (part, tail) = rest.split_at(word.map_or(rest.len(), |word| gap + word));
        // The first word stays beside the name where it can: some readers take an empty first line for an empty value.
        let at_most = if is_first { MAX_LINE } else { FOLD_AT };
        if length + part.len() > at_most {
            lines.push_str(if is_first { "\r\n " } else { "\r\n" });
            length = usize::from(is_first);
        }
        length += part.len();
        if length > MAX_LINE {
            return Err(FieldProblem::Unfoldable { limit: MAX_LINE });
        }
        lines.push_str(part);
        is_first = false;
        rest = tail;
    }
    Ok(HeaderValue::dangerous_new_pre_encoded(
        name,
        String::new(),
        lines,
    ))
}

/// Writes phrases that are not ASCII as encoded words, and commas and ids between angle brackets as they are.
pub(super) fn phrases(name: HeaderName, value: &str) -> Result<HeaderValue, FieldProblem> {
    // Quotes and comments would hold encoded words, which no reader decodes there.
    if value.contains(['"', '(']) {
        return Err(FieldProblem::NotAscii);
    }
    let (phrases, id) = match value.split_once('<') {
        Some((phrases, id)) if id.is_ascii() => (phrases, format!(" <{id}")),
        Some(_) => return Err(FieldProblem::NotAscii),
        None => (value, String::new()),
    };
    Ok(encoded(name, |writer| {
        for (index, phrase) in phrases.split(',').map(str::trim).enumerate() {
            if index > 0 {
                writer.write_char(',')?;
                writer.space();
            }
            if phrase.is_ascii() {
                writer.folding().write_str(phrase)?;
            } else {
                rfc2047::encode(phrase, writer)?;
            }
        }
        if !id.is_empty() {
            writer.space();
        }
        writer.write_str(id.trim())
    }))
}
