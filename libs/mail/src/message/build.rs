mod body;
mod check;
mod custom;
mod people;

use bytes::Bytes;
use email_encoding::body::base64;
use time::format_description::well_known::Rfc2822;

use self::check::{check_length, check_plain, message_id};
use self::custom::push_custom;
use self::people::People;
use super::draft::{BuildContext, BuildError, Built, Draft, FieldProblem};
use super::encode::{push_ids, push_mailboxes, push_text};

/// RFC 5322 wants the middle of a long thread trimmed.
const MAX_REFERENCES: usize = 50;

/// Builds a mail, or names the field that forbids it. The same draft in the same context is the same
/// octets, so that a mail which is stored again, in several parts, is never a mixture of two.
pub fn build(draft: &Draft, context: &BuildContext) -> Result<Built, BuildError> {
    let people = People::check(draft, context)?;
    let message_id = message_id("message_id", &context.message_id)?;

    let mut head = String::with_capacity(1024);
    push_originators(&mut head, &people, context)?;
    push_text(&mut head, "Message-ID", &message_id);
    push_subject_and_thread(&mut head, draft, context)?;
    push_custom(&mut head, draft, context)?;
    head.push_str("MIME-Version: 1.0\r\n");

    check_attachments(draft, context)?;
    let body = body::lay_out(draft, &message_id)?.formatted();
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
    raw.extend_from_slice(&body);
    Ok(Built {
        raw: Bytes::from(raw),
        message_id,
        envelope: people.envelope(),
    })
}

fn push_originators(
    head: &mut String,
    people: &People,
    context: &BuildContext,
) -> Result<(), BuildError> {
    let date = context
        .date
        .format(&Rfc2822)
        .map_err(|_| BuildError::new("date", FieldProblem::InvalidDate))?;
    push_text(head, "Date", &date);
    push_mailboxes(head, "From", std::slice::from_ref(&people.from));
    push_mailboxes(head, "Sender", people.sender.as_slice());
    push_mailboxes(head, "Reply-To", &people.reply_to);
    push_mailboxes(head, "To", &people.to);
    push_mailboxes(head, "Cc", &people.cc);
    Ok(())
}

fn push_subject_and_thread(
    head: &mut String,
    draft: &Draft,
    context: &BuildContext,
) -> Result<(), BuildError> {
    check_plain("subject", &draft.subject)?;
    check_length("subject", &draft.subject, context.limits.max_header_bytes)?;
    push_text(head, "Subject", &draft.subject);

    let parent = draft
        .in_reply_to
        .as_deref()
        .map(|id| message_id("in_reply_to", id))
        .transpose()?;
    let mut references = draft
        .references
        .iter()
        .enumerate()
        .map(|(index, id)| message_id(&format!("references[{index}]"), id))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(parent) = parent {
        push_ids(head, "In-Reply-To", std::slice::from_ref(&parent));
        if !references.contains(&parent) {
            references.push(parent);
        }
    }
    if references.len() > MAX_REFERENCES {
        references.drain(1..=references.len() - MAX_REFERENCES);
    }
    if !references.is_empty() {
        push_ids(head, "References", &references);
    }
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
