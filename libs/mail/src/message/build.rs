mod attachment;
mod body;
mod calendar;
mod check;
mod custom;
mod field_kind;
mod filename;
mod header;
mod people;
mod structured;
mod text;

use bytes::Bytes;
use email_encoding::body::base64;
use lettre::message::header::{self as field, Header as _, HeaderName, HeaderValue, Headers};
use time::format_description::well_known::Rfc2822;

use self::check::{check_text, foreign_message_id, message_id};
use self::custom::add_custom;
use self::header::{mailboxes, unstructured};
use self::people::DraftAddresses;
use self::structured::folded;
use super::address::NamedAddress;
use super::draft::{BuildContext, BuildError, Built, Draft, FieldProblem};

/// RFC 5322 wants the middle of a long thread trimmed.
const MAX_REFERENCES: usize = 50;
/// Ten times what `mail.received` hands out at most.
const MAX_GIVEN_REFERENCES: usize = 1_000;

/// Builds a mail, or names the field that forbids it. The same draft in the same context is the same
/// octets, so that a mail which is stored again, in several parts, is never a mixture of two.
pub fn build(draft: &Draft, context: &BuildContext) -> Result<Built, BuildError> {
    let people = DraftAddresses::check(draft, context)?;
    let message_id = message_id("message_id", &context.message_id)?;

    let mut headers = originators(&people, context)?;
    headers.set(field::MessageId::from(message_id.clone()));
    add_subject_and_thread(&mut headers, draft, context)?;
    add_custom(&mut headers, draft, context)?;
    headers.set(field::MIME_VERSION_1_0);
    let head = headers.to_string();

    check_attachments(draft, context)?;
    let body = body::lay_out(draft, &message_id)?;
    let size = head.len() + body.len();
    if size > context.limits.max_bytes {
        let limit = context.limits.max_bytes;
        return Err(BuildError::new(
            "attachments",
            FieldProblem::TooLarge { limit },
        ));
    }
    let mut raw = Vec::with_capacity(size);
    raw.extend_from_slice(head.as_bytes());
    body.write_to(&mut raw);
    Ok(Built {
        raw: Bytes::from(raw),
        message_id,
        envelope: people.envelope(),
    })
}

fn originators(people: &DraftAddresses, context: &BuildContext) -> Result<Headers, BuildError> {
    // lettre's `Date` forgets the time zone, and panics outside of the years 1970 to 9999.
    let date = context
        .date
        .format(&Rfc2822)
        .map_err(|_| BuildError::new("date", FieldProblem::InvalidDate))?;
    let mut headers = Headers::with_capacity(16);
    headers.insert_raw(HeaderValue::new(field::Date::name(), date));
    let lists: [(HeaderName, &[NamedAddress]); 5] = [
        (field::From::name(), std::slice::from_ref(&people.from)),
        (field::Sender::name(), people.sender.as_slice()),
        (field::ReplyTo::name(), &people.reply_to),
        (field::To::name(), &people.to),
        (field::Cc::name(), &people.cc),
    ];
    for (name, list) in lists {
        if !list.is_empty() {
            headers.insert_raw(mailboxes(name, list));
        }
    }
    Ok(headers)
}

fn add_subject_and_thread(
    headers: &mut Headers,
    draft: &Draft,
    context: &BuildContext,
) -> Result<(), BuildError> {
    check_text("subject", &draft.subject, context.limits.max_header_bytes)?;
    headers.insert_raw(unstructured(field::Subject::name(), &draft.subject));

    let parent = draft
        .in_reply_to
        .as_deref()
        .map(|id| foreign_message_id("in_reply_to", id))
        .transpose()?
        .flatten();
    if draft.references.len() > MAX_GIVEN_REFERENCES {
        let limit = MAX_GIVEN_REFERENCES;
        return Err(BuildError::new(
            "references",
            FieldProblem::TooMany { limit },
        ));
    }
    let mut references = draft
        .references
        .iter()
        .enumerate()
        .filter_map(|(index, id)| {
            foreign_message_id(&format!("references[{index}]"), id).transpose()
        })
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(parent) = parent {
        insert_ids(headers, field::InReplyTo::name(), "in_reply_to", &parent)?;
        if !references.contains(&parent) {
            references.push(parent);
        }
    }
    if references.len() > MAX_REFERENCES {
        references.drain(1..=references.len() - MAX_REFERENCES);
    }
    if !references.is_empty() {
        let ids = references.join(" ");
        insert_ids(headers, field::References::name(), "references", &ids)?;
    }
    Ok(())
}

fn insert_ids(
    headers: &mut Headers,
    name: HeaderName,
    path: &str,
    ids: &str,
) -> Result<(), BuildError> {
    let value = folded(name, ids).map_err(|problem| BuildError::new(path, problem))?;
    headers.insert_raw(value);
    Ok(())
}

fn check_attachments(draft: &Draft, context: &BuildContext) -> Result<(), BuildError> {
    let limit = context.limits.max_attachments;
    if draft.attachments.len() > limit {
        return Err(BuildError::new(
            "attachments",
            FieldProblem::TooMany { limit },
        ));
    }
    let limit = context.limits.max_bytes;
    let mut total =
        draft.text.as_ref().map_or(0, String::len) + draft.html.as_ref().map_or(0, String::len);
    if total > limit {
        return Err(BuildError::new("text", FieldProblem::TooLarge { limit }));
    }
    if let Some(calendar) = &draft.calendar {
        total += base64::encoded_len(calendar.content.len());
        if total > limit {
            let problem = FieldProblem::TooLarge { limit };
            return Err(BuildError::new("calendar.content", problem));
        }
    }
    for (index, attachment) in draft.attachments.iter().enumerate() {
        total += base64::encoded_len(attachment.content.len());
        if total > limit {
            let path = format!("attachments[{index}].content");
            return Err(BuildError::new(path, FieldProblem::TooLarge { limit }));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
