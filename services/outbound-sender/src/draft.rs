use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mailmesh_events::mail::{OutgoingAttachment, SendMail};
use mailmesh_events::{DecodeError, MailAddress, Recipients};
use mailmesh_mail::message::{BuildError, Draft, DraftAttachment, Mailbox};
use mailmesh_store::account::Account;

/// Why a command is refused, and the path of the field at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) field: String,
    pub(crate) reason: String,
}

impl Refusal {
    pub(crate) fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            reason: reason.into(),
        }
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        Self::new(error.field(), error.to_string())
    }
}

impl From<BuildError> for Refusal {
    fn from(error: BuildError) -> Self {
        Self::new(error.path, error.problem.to_string())
    }
}

/// Turns a command into a draft of mail that the account may send.
pub(crate) fn make(command: SendMail, account: &Account) -> Result<Draft, Refusal> {
    let from = check_from(command.from, account)?;
    Ok(Draft {
        from: Some(from),
        sender: None,
        reply_to: mailboxes(command.reply_to),
        to: mailboxes(command.to),
        cc: mailboxes(command.cc),
        bcc: mailboxes(command.bcc),
        subject: command.subject,
        text: command.text,
        html: command.html,
        attachments: attachments(command.attachments)?,
        in_reply_to: command.in_reply_to,
        references: command.references,
        headers: command.headers,
    })
}

/// The author must be one of the account's; without one it is the account's first.
fn check_from(given: Option<MailAddress>, account: &Account) -> Result<Mailbox, Refusal> {
    let own = account.from_addresses.iter();
    let own: Vec<Mailbox> = own.filter_map(|text| Mailbox::parse(text).ok()).collect();
    let Some(given) = given else {
        let default = own.into_iter().next();
        return default
            .or_else(|| Mailbox::parse(&account.login).ok())
            .ok_or_else(|| Refusal::new("from", "is missing, and the account has no address"));
    };
    let parsed = Mailbox::parse(&given.address)
        .map_err(|problem| Refusal::new("from", problem.to_string()))?;
    let address = parsed.address;
    let is_own = own
        .iter()
        .any(|own| own.address.eq_ignore_ascii_case(&address));
    if is_own || (own.is_empty() && account.login.eq_ignore_ascii_case(&address)) {
        return Ok(Mailbox {
            name: given.name.or(parsed.name),
            address,
        });
    }
    Err(Refusal::new("from", "is not an address of the account"))
}

fn mailbox(address: MailAddress) -> Mailbox {
    Mailbox {
        name: address.name,
        address: address.address,
    }
}

fn mailboxes(recipients: Recipients) -> Vec<Mailbox> {
    recipients.0.into_iter().map(mailbox).collect()
}

fn attachments(given: Vec<OutgoingAttachment>) -> Result<Vec<DraftAttachment>, Refusal> {
    let each = given.into_iter().enumerate().map(|(index, attachment)| {
        let content = decode(attachment.content).ok_or_else(|| {
            Refusal::new(format!("attachments[{index}].content"), "is not Base64")
        })?;
        Ok(DraftAttachment {
            filename: attachment.filename,
            content_type: attachment.content_type,
            content: content.into(),
            content_id: attachment.content_id,
        })
    });
    each.collect()
}

/// Line breaks are removed first: encoders that follow MIME insert them (RFC 2045 §6.8).
fn decode(mut text: String) -> Option<Vec<u8>> {
    if text.contains(['\r', '\n']) {
        text.retain(|character| !matches!(character, '\r' | '\n'));
    }
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests;
