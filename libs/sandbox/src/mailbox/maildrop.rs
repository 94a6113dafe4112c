use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

/// What a mailbox's UIDLs are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UidlKind {
    /// UIDVALIDITY and UID: unique and stable until the folder is numbered anew.
    #[default]
    Uid,
    /// A hash of the mail: two copies of one mail have one UIDL.
    Content,
    /// The number in the listing: the UIDL of a deleted mail is used again for the next.
    Number,
    /// Another in each session.
    Session,
    /// The server knows no UIDL.
    Missing,
}

/// How a mailbox deviates when it is read over POP3; the default does not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pop3Quirks {
    /// What UIDLs are made of.
    pub uidl: UidlKind,
    /// UIDLs in place of the made ones, by UID: doubled, reused, malformed.
    pub uidls: BTreeMap<u32, String>,
    /// UIDs of mails that no session shows, as in a partial listing.
    pub hidden: BTreeSet<u32>,
    /// UIDs of mails in the middle of which the session breaks off, each time that they are retrieved.
    pub broken: BTreeSet<u32>,
    /// Maximum mails in one session, oldest first; the Google personality has 250.
    pub listed_at_most: Option<usize>,
    /// Maximum mails in the answer to UIDL, when LIST shows more.
    pub uidl_at_most: Option<usize>,
    /// Added to every size in listings: some servers announce wrong sizes.
    pub size_error: i64,
    /// Least time between two sign-ins, announced as LOGIN-DELAY and enforced.
    pub login_delay_seconds: Option<u32>,
    /// How long the maildrop stays locked after a session that ended without QUIT.
    pub stale_lock_seconds: u32,
    /// Shows no mail again that a session retrieved and ended with QUIT, and announces it as Gmail does; always so with
    /// the Google personality.
    pub hides_retrieved: bool,
}

/// Why a maildrop is not opened although the password or token is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MaildropRefusal {
    InUse,
    TooSoon,
}

/// What POP3 remembers of a mailbox between sessions.
#[derive(Debug, Default)]
pub(crate) struct MaildropState {
    pub(crate) quirks: Arc<Pop3Quirks>,
    is_locked: bool,
    locked_until: Option<OffsetDateTime>,
    signed_in_at: Option<OffsetDateTime>,
}

impl MaildropState {
    /// Locks it for one session.
    pub(crate) fn lock(&mut self, now: OffsetDateTime) -> Result<(), MaildropRefusal> {
        if self.is_locked || self.locked_until.is_some_and(|until| now < until) {
            return Err(MaildropRefusal::InUse);
        }
        let delay = self.quirks.login_delay_seconds.map(seconds);
        if let Some((delay, last)) = delay.zip(self.signed_in_at)
            && now < last.saturating_add(delay)
        {
            return Err(MaildropRefusal::TooSoon);
        }
        self.is_locked = true;
        self.signed_in_at = Some(now);
        Ok(())
    }

    /// Unlocks it: at once after QUIT, else when a server would have noticed that the client is gone.
    pub(crate) fn unlock(&mut self, now: OffsetDateTime, is_after_quit: bool) {
        self.is_locked = false;
        let stale = seconds(self.quirks.stale_lock_seconds);
        self.locked_until = (!is_after_quit).then(|| now.saturating_add(stale));
    }
}

fn seconds(count: u32) -> Duration {
    Duration::seconds(i64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn with(quirks: Pop3Quirks) -> MaildropState {
        MaildropState {
            quirks: Arc::new(quirks),
            ..MaildropState::default()
        }
    }

    #[test]
    fn a_maildrop_has_one_session_at_a_time() {
        let mut maildrop = MaildropState::default();

        assert_eq!(maildrop.lock(START), Ok(()));
        assert_eq!(maildrop.lock(START), Err(MaildropRefusal::InUse));
        maildrop.unlock(START, false);
        assert_eq!(maildrop.lock(START), Ok(()));
    }

    #[test]
    fn the_lock_of_a_broken_session_goes_stale_and_that_of_a_finished_one_does_not() {
        let mut maildrop = with(Pop3Quirks {
            stale_lock_seconds: 60,
            ..Pop3Quirks::default()
        });

        assert_eq!(maildrop.lock(START), Ok(()));
        maildrop.unlock(START, true);
        assert_eq!(maildrop.lock(START), Ok(()));
        maildrop.unlock(START, false);

        let almost = START + Duration::seconds(59);
        assert_eq!(maildrop.lock(almost), Err(MaildropRefusal::InUse));
        assert_eq!(maildrop.lock(START + Duration::seconds(60)), Ok(()));
    }

    #[test]
    fn a_sign_in_within_the_delay_is_too_soon() {
        let mut maildrop = with(Pop3Quirks {
            login_delay_seconds: Some(300),
            ..Pop3Quirks::default()
        });

        assert_eq!(maildrop.lock(START), Ok(()));
        maildrop.unlock(START, true);

        let early = START + Duration::seconds(299);
        assert_eq!(maildrop.lock(early), Err(MaildropRefusal::TooSoon));
        assert_eq!(maildrop.lock(START + Duration::seconds(300)), Ok(()));
    }
}
