//! Subjects and streams, without the configured prefix.

/// The work queue of commands.
pub const MAIL_SEND_STREAM: &str = "MAIL_SEND";
/// Every event.
pub const EVENTS_STREAM: &str = "EVENTS";
/// What could not be handled, with the reason.
pub const DEAD_LETTERS_STREAM: &str = "DEAD_LETTERS";
/// Raw mails, by reference from events.
pub const MAIL_RAW_STREAM: &str = "MAIL_RAW";

/// A request on the bus to refresh a grant now.
pub const TOKEN_REFRESH: &str = "token.refresh";

/// Returns the subject of an event for one account, grant or client.
pub fn of_event(name: &str, key: &str) -> String {
    format!("{name}.{key}")
}

/// Returns the account that a command's subject names, as in `mail.send.support`.
pub fn account_of<'a>(subject: &'a str, command: &str) -> Option<&'a str> {
    subject
        .strip_prefix(command)
        .and_then(|rest| rest.strip_prefix('.'))
        .filter(|key| !key.is_empty())
}
