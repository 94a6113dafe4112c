mod body;

use bytes::Bytes;
use time::format_description::well_known::Rfc2822;

use super::address::canonical_address;
use super::draft::{BuildContext, BuildError, Built, Draft, FieldProblem};
use super::encode::{push_ids, push_mailboxes, push_text};
use super::{Envelope, Mailbox};

/// A display name, file name or id longer than this would break the 998 octets of a line.
const MAX_NAME: usize = 500;
/// RFC 5322 wants the middle of a long thread trimmed.
const MAX_REFERENCES: usize = 50;
/// Each is compared with all others, whose names may differ in case alone.
const MAX_HEADERS: usize = 200;

/// Builds a mail, or names the field that forbids it. The same draft in the same context is the same
/// octets, so that a mail which is stored again, in several parts, is never a mixture of two.
pub fn build(draft: &Draft, context: &BuildContext) -> Result<Built, BuildError> {
    let people = People::check(draft, context)?;
    let message_id = message_id("message_id", &context.message_id)?;

    let mut head = String::with_capacity(1024);
    push_originators(&mut head, &people, context)?;
    push_text(&mut head, "Message-ID", &message_id);
    push_subject_and_thread(&mut head, draft, context)?;
    push_extra(&mut head, draft, context)?;
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

/// The draft's addresses, checked.
struct People {
    from: Mailbox,
    sender: Option<Mailbox>,
    reply_to: Vec<Mailbox>,
    to: Vec<Mailbox>,
    cc: Vec<Mailbox>,
    bcc: Vec<Mailbox>,
}

impl People {
    fn check(draft: &Draft, context: &BuildContext) -> Result<Self, BuildError> {
        let from = draft
            .from
            .as_ref()
            .or(context.default_from.as_ref())
            .ok_or_else(|| BuildError::new("from", FieldProblem::Missing))?;
        let people = Self {
            from: check_mailbox("from", from)?,
            sender: draft
                .sender
                .as_ref()
                .map(|sender| check_mailbox("sender", sender))
                .transpose()?,
            reply_to: check_mailboxes("reply_to", &draft.reply_to)?,
            to: check_mailboxes("to", &draft.to)?,
            cc: check_mailboxes("cc", &draft.cc)?,
            bcc: check_mailboxes("bcc", &draft.bcc)?,
        };
        let count = people.recipients().count();
        let limit = context.limits.max_recipients;
        if count == 0 {
            return Err(BuildError::new("to", FieldProblem::NoRecipients));
        }
        if count > limit || people.reply_to.len() > limit {
            return Err(BuildError::new("to", FieldProblem::TooMany { limit }));
        }
        Ok(people)
    }

    fn recipients(&self) -> impl Iterator<Item = &Mailbox> {
        self.to.iter().chain(&self.cc).chain(&self.bcc)
    }

    /// One RCPT for each address, however often it is named.
    fn envelope(&self) -> Envelope {
        let mut recipients: Vec<String> = Vec::new();
        for mailbox in self.recipients() {
            if !recipients.contains(&mailbox.address) {
                recipients.push(mailbox.address.clone());
            }
        }
        let from = self.sender.as_ref().unwrap_or(&self.from).address.clone();
        Envelope::from_canonical(from, recipients)
    }
}

fn check_mailboxes(path: &str, mailboxes: &[Mailbox]) -> Result<Vec<Mailbox>, BuildError> {
    mailboxes
        .iter()
        .enumerate()
        .map(|(index, mailbox)| check_mailbox(&format!("{path}[{index}]"), mailbox))
        .collect()
}

fn check_mailbox(path: &str, mailbox: &Mailbox) -> Result<Mailbox, BuildError> {
    let Some(name) = &mailbox.name else {
        let parsed =
            Mailbox::parse(&mailbox.address).map_err(|problem| BuildError::new(path, problem))?;
        check_length(
            &format!("{path}.name"),
            parsed.name.as_deref().unwrap_or_default(),
            MAX_NAME,
        )?;
        return Ok(parsed);
    };
    let name_path = format!("{path}.name");
    check_plain(&name_path, name)?;
    check_length(&name_path, name, MAX_NAME)?;
    Ok(Mailbox {
        name: Some(name.clone()),
        address: canonical_address(mailbox.address.trim())
            .map_err(|problem| BuildError::new(path, problem))?,
    })
}

fn check_plain(path: &str, value: &str) -> Result<(), BuildError> {
    if value.chars().any(char::is_control) {
        return Err(BuildError::new(path, FieldProblem::ControlCharacter));
    }
    Ok(())
}

fn check_length(path: &str, value: &str, limit: usize) -> Result<(), BuildError> {
    if value.len() > limit {
        return Err(BuildError::new(path, FieldProblem::TooLong { limit }));
    }
    Ok(())
}

fn message_id(path: &str, id: &str) -> Result<String, BuildError> {
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

fn push_extra(head: &mut String, draft: &Draft, context: &BuildContext) -> Result<(), BuildError> {
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
        total += attachment.content.len() / 57 * 78;
        if total > limit {
            let path = format!("attachments[{index}].content");
            return Err(BuildError::new(path, FieldProblem::TooLarge { limit }));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
