use mailmesh_events::subject::TOKEN_REFRESH;

use super::rights::{Permissions, Rights};
use crate::stream::StreamKind;
use crate::subject::Prefix;

/// The durable consumer of outbound-sender.
const SENDER: &str = "outbound-sender-send-mail";
/// Wakes senders; not stored.
const OUTBOUND_DUE: &str = "outbound.due";
/// What the host of accounts listens to.
const ACCOUNT_HINTS: [&str; 4] = [
    "token.refreshed",
    "token.refresh_failed",
    "account.changed",
    "account.authenticated",
];
/// What the host of accounts publishes of their state.
const ACCOUNT_STATES: [&str; 3] = [
    "account.failing",
    "account.sign_in_required",
    "account.recovered",
];

/// A service with a NATS user of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceUser {
    Admin,
    AuthCallback,
    TokenRefresh,
    InboundFetcher,
    OutboundSender,
}

impl ServiceUser {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Admin,
        Self::AuthCallback,
        Self::TokenRefresh,
        Self::InboundFetcher,
        Self::OutboundSender,
    ];

    /// Returns the service's name, which is also its user's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::AuthCallback => "auth-callback",
            Self::TokenRefresh => "token-refresh",
            Self::InboundFetcher => "inbound-fetcher",
            Self::OutboundSender => "outbound-sender",
        }
    }
}

pub(super) fn rights(service: ServiceUser, prefix: &Prefix, inbox_prefix: &str) -> Permissions {
    let mut rights = Rights::new(prefix, inbox_prefix);
    // Whether the streams are there, and as they are configured.
    for stream in StreamKind::ALL {
        rights.api("STREAM.INFO", stream, "");
    }
    // Whether an event that may have been stored is, before it is published again: from any replica by sequence, and the end
    // from the leader. Whoever publishes holds the keys to the mailboxes' tokens, or may read raw mail, anyway.
    rights.api("DIRECT.GET", StreamKind::Events, "");
    rights.api("STREAM.MSG.GET", StreamKind::Events, "");
    match service {
        ServiceUser::Admin => admin(&mut rights),
        ServiceUser::AuthCallback => {
            rights.publish_events(&["token.refreshed", "account.authenticated"]);
        }
        ServiceUser::TokenRefresh => token_refresh(&mut rights),
        ServiceUser::InboundFetcher => inbound_fetcher(&mut rights),
        ServiceUser::OutboundSender => outbound_sender(&mut rights),
    }
    rights.finish()
}

fn admin(rights: &mut Rights<'_>) {
    rights.publish_events(&[
        "account.changed",
        // The outcome of mails that a person decided on.
        "mail.sent",
        "mail.failed",
        "mail.cancelled",
    ]);
    rights.read_raw();
}

fn token_refresh(rights: &mut Rights<'_>) {
    rights.publish_events(&[
        "token.refreshed",
        "token.refresh_failed",
        "account.authenticated",
    ]);
    rights.publish_events(&ACCOUNT_STATES);
    rights.publish_events(&["client.refused"]);
    rights.subscribe(&[TOKEN_REFRESH]);
}

fn inbound_fetcher(rights: &mut Rights<'_>) {
    rights.publish(&["fence.*", "raw.*.*", TOKEN_REFRESH]);
    rights.publish_events(&["mail.received", "mail.quarantined", "mailbox.reset"]);
    rights.publish_events(&ACCOUNT_STATES);
    rights.subscribe(&ACCOUNT_HINTS);
}

fn outbound_sender(rights: &mut Rights<'_>) {
    rights.publish(&["raw.*.*", "dead_letter.*", TOKEN_REFRESH, OUTBOUND_DUE]);
    rights.publish_events(&[
        "mail.sent",
        "mail.deferred",
        "mail.failed",
        "mail.uncertain",
        "mail.rejected",
        "mail.repeated",
        "mail.cancelled",
    ]);
    rights.publish_events(&ACCOUNT_STATES);
    rights.api(
        "CONSUMER.CREATE",
        StreamKind::MailSend,
        &format!(".{SENDER}"),
    );
    rights.consume(StreamKind::MailSend, SENDER);
    // Commands that no client can read are copied to the dead letters and deleted.
    rights.api("STREAM.MSG.GET", StreamKind::MailSend, "");
    rights.api("STREAM.MSG.DELETE", StreamKind::MailSend, "");
    rights.read_raw();
    // Bodies of mails that are past their retention.
    rights.api("STREAM.PURGE", StreamKind::MailRaw, "");
    rights.subscribe(&ACCOUNT_HINTS);
    rights.subscribe(&[OUTBOUND_DUE]);
}
