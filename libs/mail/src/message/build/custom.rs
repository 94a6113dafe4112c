use lettre::message::header::{HeaderName, HeaderValue, Headers};

use super::super::address::NamedAddress;
use super::super::draft::{BuildContext, BuildError, Draft, FieldProblem};
use super::check::{check_length, check_text, with_plain_spaces};
use super::field_kind::{FieldKind, kind_of};
use super::header::{mailboxes, unstructured};
use super::structured::{folded, phrases};

/// Each is compared with all others, whose names may differ in case alone.
const MAX_HEADERS: usize = 200;
/// A name has to fit one line together with its colon (RFC 5322 §2.1.1); none in use is longer than 40 octets.
const MAX_NAME: usize = 100;
/// Names and values together; Exchange Online takes 256 KiB of header, and servers on the way add their own.
const MAX_BYTES: usize = 64 * 1024;

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
    let mut bytes = 0;
    for (name, value) in &draft.headers {
        let path = format!("headers.{}", name.escape_debug());
        check_length(&path, name, MAX_NAME)?;
        let Some(header_name) = header_name(name) else {
            return Err(BuildError::new(path, FieldProblem::InvalidHeaderName));
        };
        if headers.get_raw(name).is_some() {
            return Err(BuildError::new(path, given_before(name)));
        }
        check_text(&path, value, context.limits.max_header_bytes)?;
        bytes += name.len() + value.len();
        if bytes > MAX_BYTES {
            let limit = MAX_BYTES;
            return Err(BuildError::new("headers", FieldProblem::TooLong { limit }));
        }
        let value = written(header_name, value, context.limits.max_recipients);
        headers.insert_raw(value.map_err(|problem| BuildError::new(path, problem))?);
    }
    Ok(())
}

/// Fields that other parts of the draft have set are in the list as well.
fn given_before(name: &str) -> FieldProblem {
    match kind_of(&name.to_ascii_lowercase()) {
        FieldKind::Reserved => FieldProblem::ReservedHeader,
        _ => FieldProblem::DuplicateHeader,
    }
}

fn written(name: HeaderName, value: &str, most: usize) -> Result<HeaderValue, FieldProblem> {
    let lower = name.to_ascii_lowercase();
    let plain = with_plain_spaces(value);
    match kind_of(&lower) {
        FieldKind::Reserved => Err(FieldProblem::ReservedHeader),
        FieldKind::Addresses => {
            let list = NamedAddress::parse_list(&plain)?;
            if list.len() > most {
                return Err(FieldProblem::TooMany { limit: most });
            }
            Ok(mailboxes(name, &list))
        }
        FieldKind::Phrases if !plain.is_ascii() => phrases(name, &plain),
        FieldKind::Phrases | FieldKind::Structured => folded(name, &plain),
        // What is not known may be for a program, which decodes nothing.
        FieldKind::Unknown if plain.is_ascii() => folded(name, &plain),
        FieldKind::Unknown | FieldKind::Text => Ok(unstructured(name, &plain)),
    }
}

/// lettre takes control characters in a name, line ends among them.
fn header_name(name: &str) -> Option<HeaderName> {
    if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    HeaderName::new_from_ascii(name.to_owned()).ok()
}

#[cfg(test)]
mod tests;
