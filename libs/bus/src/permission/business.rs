use super::rights::{Permissions, Rights};
use crate::stream::StreamKind;
use crate::subject::Prefix;

/// Outcomes of a mail that was to be sent.
const OUTCOMES: [&str; 7] = [
    "mail.sent",
    "mail.deferred",
    "mail.failed",
    "mail.uncertain",
    "mail.rejected",
    "mail.repeated",
    "mail.cancelled",
];
/// What becomes of a mailbox that is read.
const OF_MAILBOX: [&str; 3] = ["mail.received", "mail.quarantined", "mailbox.reset"];
const OF_ACCOUNT: [&str; 3] = [
    "account.failing",
    "account.sign_in_required",
    "account.recovered",
];

/// What a business system may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BusinessScope<'a> {
    /// Send from and receive for every account, and make consumers of `EVENTS` for itself. All systems that share such a
    /// user trust each other: with a consumer, the server can be told to repeat events on any subject.
    Everything,
    /// What is named, and no more. Raw mails are not among it: a direct get takes wildcards in the subject that it asks for
    /// (tried with nats-server 2.15.1), so who may read one raw mail may read the last of anybody. `GET /v1/mails/{id}/raw` serves
    /// them to an API key.
    Accounts(AccountScope<'a>),
}

/// Accounts that a business system may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountScope<'a> {
    /// Keys of the accounts that it may send from; `*` stands for all.
    pub sends_from: &'a [&'a str],
    /// Keys of the accounts whose mail it may read; `*` stands for all.
    pub receives_for: &'a [&'a str],
    /// The durable consumers of `EVENTS` that an operator has made for it.
    pub consumers: &'a [&'a str],
}

pub(super) fn rights(
    scope: &BusinessScope<'_>,
    prefix: &Prefix,
    inbox_prefix: &str,
) -> Permissions {
    let mut rights = Rights::new(prefix, inbox_prefix);
    match scope {
        BusinessScope::Everything => everything(&mut rights),
        BusinessScope::Accounts(scope) => accounts(&mut rights, scope),
    }
    rights.finish()
}

fn everything(rights: &mut Rights<'_>) {
    rights.publish(&["mail.send", "mail.send.*", "mail.cancel", "mail.cancel.*"]);
    rights.api_of_account(&["INFO", "STREAM.NAMES"]);
    rights.api("STREAM.INFO", StreamKind::Events, "");
    for call in ["CONSUMER.CREATE", "CONSUMER.DURABLE.CREATE"] {
        rights.api(call, StreamKind::Events, ".>");
    }
    rights.api("CONSUMER.DELETE", StreamKind::Events, ".*");
    rights.consume(StreamKind::Events, "*");
    rights.read_raw();
    rights.subscribe_to_all_events();
}

fn accounts(rights: &mut Rights<'_>, scope: &AccountScope<'_>) {
    for account in scope.sends_from {
        for command in ["mail.send", "mail.cancel"] {
            rights.publish(&[&format!("{command}.{account}")]);
        }
        for event in OUTCOMES.iter().chain(&OF_ACCOUNT) {
            rights.subscribe(&[&format!("{event}.{account}")]);
        }
    }
    for account in scope.receives_for {
        for event in OF_MAILBOX.iter().chain(&OF_ACCOUNT) {
            rights.subscribe(&[&format!("{event}.{account}")]);
        }
    }
    for consumer in scope.consumers {
        rights.consume(StreamKind::Events, consumer);
    }
}

#[cfg(test)]
mod tests {
    use mailmesh_events::EVENT_NAMES;

    use super::*;

    /// Of grants, and of what administrators do: no business system's that is scoped to accounts.
    const OF_OPERATORS: [&str; 5] = [
        "token.refreshed",
        "token.refresh_failed",
        "account.authenticated",
        "account.changed",
        "client.refused",
    ];

    #[test]
    fn every_event_is_for_senders_for_readers_or_for_operators_alone() {
        let mut sorted = [
            &OUTCOMES[..],
            &OF_MAILBOX[..],
            &OF_ACCOUNT[..],
            &OF_OPERATORS[..],
        ]
        .concat();
        sorted.sort_unstable();
        let mut all = EVENT_NAMES.to_vec();
        all.sort_unstable();

        assert_eq!(sorted, all);
    }

    #[test]
    fn an_event_of_an_account_that_sends_and_receives_is_heard_once() {
        let scope = AccountScope {
            sends_from: &["*"],
            receives_for: &["a", "*"],
            consumers: &[],
        };

        let granted = rights(&BusinessScope::Accounts(scope), &Prefix::new(""), "_INBOX");

        let failing = granted.subscribe.iter();
        let failing: Vec<_> = failing.filter(|each| each.contains("failing")).collect();
        assert_eq!(failing, ["account.failing.*"]);
    }
}
