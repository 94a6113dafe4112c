use mailmesh_bus::Delivery;
use mailmesh_domain::Key;
use mailmesh_events::mail::{CancelMail, SendMail};
use mailmesh_events::{Command, subject};

use crate::draft::Refusal;

/// Returns the account that body and subject name; when both do, they must agree.
pub(super) fn account_of(
    delivery: &Delivery,
    in_body: Option<Key>,
) -> Result<Key, (Option<Key>, Refusal)> {
    let commands = [SendMail::NAME, CancelMail::NAME];
    let in_subject = commands
        .iter()
        .find_map(|command| subject::account_of(&delivery.subject, command));
    let in_subject = in_subject.map(Key::try_new).transpose().map_err(|error| {
        let reason = format!("in the subject {error}");
        (None, Refusal::new("account", reason))
    })?;
    match (in_subject, in_body) {
        (Some(subject), Some(body)) if subject != body => {
            let reason = "names another account than the subject";
            Err((Some(subject), Refusal::new("account", reason)))
        }
        (Some(key), _) | (None, Some(key)) => Ok(key),
        (None, None) => Err((None, Refusal::new("account", "is missing"))),
    }
}

/// Returns the account of an unreadable command, so that its `mail.rejected` reaches the sender.
pub(super) fn account_of_unread(delivery: &Delivery) -> Option<Key> {
    let of_body = || {
        let body: serde_json::Value = serde_json::from_slice(&delivery.payload).ok()?;
        let named = body
            .get("account")
            .or_else(|| body.get("data")?.get("account"))?;
        Key::try_new(named.as_str()?.to_owned()).ok()
    };
    account_of(delivery, None).ok().or_else(of_body)
}
