//! Turns `mail.send` into a draft: reads the addresses, checks the author against the account, decodes attachments.

mod address;
mod refusal;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mailmesh_events::mail::{OutgoingAttachment, SendMail};
use mailmesh_events::{AddressInput, Recipients};
use mailmesh_mail::message::{Draft, DraftAttachment, DraftCalendar, NamedAddress};
use mailmesh_store::account::Account;

pub(crate) use address::read_addresses;
pub(crate) use refusal::Refusal;

use address::mailbox;

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
        calendar: command.calendar.map(|calendar| DraftCalendar {
            method: calendar.method,
            content: calendar.content,
        }),
        attachments: attachments(command.attachments)?,
        in_reply_to: command.in_reply_to,
        references: command.references,
        headers: command.headers,
    })
}

/// The author must be one of the account's; without one it is the account's first.
fn check_from(given: Option<AddressInput>, account: &Account) -> Result<NamedAddress, Refusal> {
    let own = account.from_addresses.iter();
    let own: Vec<NamedAddress> = own
        .filter_map(|text| NamedAddress::parse(text).ok())
        .collect();
    let Some(given) = given else {
        let default = own.into_iter().next();
        return default
            .or_else(|| NamedAddress::parse(&account.login).ok())
            .ok_or_else(|| Refusal::new("from", "is missing, and the account has no address"));
    };
    let given = as_given(given).check("from")?;
    let is_own = own
        .iter()
        .any(|own| own.address.eq_ignore_ascii_case(&given.address));
    if is_own || (own.is_empty() && account.login.eq_ignore_ascii_case(&given.address)) {
        return Ok(given);
    }
    Err(Refusal::new("from", "is not an address of the account"))
}

fn as_given(address: AddressInput) -> NamedAddress {
    match address {
        AddressInput::Text(address) => NamedAddress {
            name: None,
            address,
        },
        AddressInput::Mailbox(address) => mailbox(address),
    }
}

fn mailboxes(recipients: Recipients) -> Vec<NamedAddress> {
    recipients.0.into_iter().map(as_given).collect()
}

fn attachments(given: Vec<OutgoingAttachment>) -> Result<Vec<DraftAttachment>, Refusal> {
    let each = given.into_iter().enumerate().map(|(index, attachment)| {
        let content = decode(attachment.content).ok_or_else(|| {
            Refusal::new(format!("attachments[{index}].content"), "is not Base64")
        })?;
        Ok(DraftAttachment {
            filename: attachment.filename.unwrap_or_default(),
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
