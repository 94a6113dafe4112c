use std::time::Duration;

use mailmesh_accounts::{Backoff, HostSettings};
use mailmesh_domain::Direction;
use mailmesh_secrets::OpeningKeys;
use serde::Deserialize;

use crate::retention::Retention;

/// What the service is built with.
#[derive(Debug, Clone)]
pub struct Config {
    /// The section `[inbound_fetcher]`.
    pub settings: Settings,
    /// Opens access tokens and passwords.
    pub keys: OpeningKeys,
}

/// The section `[inbound_fetcher]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Maximum mails per fetch.
    pub chunk_mails: usize,
    /// Bytes of the first slice of a mail and of each one after it; smaller mails come in one piece.
    pub slice_bytes: u32,
    /// Maximum bytes of mail in memory, over all accounts.
    pub memory_bytes: usize,
    /// Maximum bytes of a mail that are held in memory and parsed; a larger mail is read twice.
    pub parse_bytes: usize,
    /// Time limit for a mail that is read in slices, in seconds; its size adds to it.
    pub large_mail_seconds: u64,
    /// Failures of a mail until it is quarantined, provided that others of its folder can be read.
    pub quarantine_attempts: i32,
    /// Wait after the first failure of an account or folder; each failure in a row doubles it.
    pub backoff_milliseconds: u64,
    /// Upper bound of that wait, exceeded only by a longer hint of the server.
    pub backoff_limit_seconds: u64,
    /// Life after which a session counts as a success; servers that end each one sooner are signed in to ever less often.
    pub good_session_seconds: u64,
    /// Failures in a row that may pass by themselves until the account is reported as failing; lasting ones are at once.
    pub failures_to_report: u32,
    /// Maximum duration of one IDLE command; a shorter poll interval ends it earlier.
    pub idle_limit_seconds: u64,
    /// Interval of looking in the database for account changes whose hint was lost.
    pub check_seconds: u64,
    /// Interval of recording when each account's server last answered.
    pub proof_seconds: u64,
    /// Wait until `token.refresh` is published again for a token that has not come; it doubles up to a minute. Also the
    /// interval of looking in the database for tokens whose hint was lost.
    pub token_wait_seconds: u64,
    /// Days after which a mail that a whole listing (POP3) does not show is gone; a server may list a part of a mailbox for
    /// a while. As in getmail.
    pub keep_absent_days: u32,
    /// Days after which a mail that is gone, or that the account moved or deleted, is forgotten: a backup that is restored
    /// later shows it as new.
    pub keep_gone_days: u32,
    /// Grace period of the workers after the stop; those still running are aborted.
    pub stop_seconds: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            chunk_mails: 1_000,
            slice_bytes: 512 * 1024,
            memory_bytes: 128 * 1024 * 1024,
            parse_bytes: 16 * 1024 * 1024,
            large_mail_seconds: 120,
            quarantine_attempts: 3,
            backoff_milliseconds: 2_000,
            backoff_limit_seconds: 300,
            good_session_seconds: 60,
            failures_to_report: 3,
            // RFC 2177 has IDLE begun anew every 29 minutes; NAT gateways drop silent connections earlier, unnoticed.
            idle_limit_seconds: 300,
            check_seconds: 30,
            proof_seconds: 30,
            token_wait_seconds: 5,
            keep_absent_days: 30,
            keep_gone_days: 365,
            stop_seconds: 10,
        }
    }
}

/// A setting is out of its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("inbound_fetcher.{setting} must be {range}")]
pub struct ConfigProblem {
    pub setting: &'static str,
    pub range: &'static str,
}

/// Name and range of a setting, and whether its value is in the range.
type RangeCheck = (&'static str, &'static str, bool);

const AT_LEAST_1: &str = "at least 1";

impl Settings {
    /// Checks the settings against their ranges and each other.
    ///
    /// # Errors
    /// [`ConfigProblem`] for the first one that is out of range.
    pub fn validate(&self) -> Result<(), ConfigProblem> {
        let mut checks = self.check_rates().into_iter().chain(self.check_sizes());
        let failed = checks.find(|(_, _, is_good)| !is_good);
        failed.map_or(Ok(()), |(setting, range, _)| {
            Err(ConfigProblem { setting, range })
        })
    }

    fn check_rates(&self) -> [RangeCheck; 9] {
        [
            (
                "quarantine_attempts",
                AT_LEAST_1,
                self.quarantine_attempts >= 1,
            ),
            (
                "large_mail_seconds",
                AT_LEAST_1,
                self.large_mail_seconds >= 1,
            ),
            ("keep_absent_days", AT_LEAST_1, self.keep_absent_days >= 1),
            ("keep_gone_days", AT_LEAST_1, self.keep_gone_days >= 1),
            (
                "backoff_limit_seconds",
                AT_LEAST_1,
                self.backoff_limit_seconds >= 1,
            ),
            ("check_seconds", AT_LEAST_1, self.check_seconds >= 1),
            ("proof_seconds", AT_LEAST_1, self.proof_seconds >= 1),
            (
                "token_wait_seconds",
                AT_LEAST_1,
                self.token_wait_seconds >= 1,
            ),
            (
                "backoff_milliseconds",
                "at least 10",
                self.backoff_milliseconds >= 10,
            ),
        ]
    }

    fn check_sizes(&self) -> [RangeCheck; 5] {
        let slice_bytes = usize::try_from(self.slice_bytes).unwrap_or(usize::MAX);
        let idle_seconds = self.idle_limit_seconds;
        [
            (
                "chunk_mails",
                "1 to 1000",
                (1..=1_000).contains(&self.chunk_mails),
            ),
            (
                "slice_bytes",
                "16 KiB to 4 MiB",
                (16 * 1024..=4 * 1024 * 1024).contains(&slice_bytes),
            ),
            (
                "parse_bytes",
                "at least slice_bytes",
                self.parse_bytes >= slice_bytes,
            ),
            (
                "memory_bytes",
                "at least 8 times parse_bytes and at most 1 GiB",
                self.memory_bytes / 8 >= self.parse_bytes && self.memory_bytes <= 1 << 30,
            ),
            (
                "idle_limit_seconds",
                "1 to 1740, as servers end a silent session after 30 minutes",
                (1..=1_740).contains(&idle_seconds),
            ),
        ]
    }

    pub(crate) const fn host(&self) -> HostSettings {
        HostSettings {
            direction: Direction::Inbound,
            check_every: Duration::from_secs(self.check_seconds),
            look_for_tokens_every: Duration::from_secs(self.token_wait_seconds),
            finish_within: Duration::from_secs(self.stop_seconds),
        }
    }

    pub(crate) const fn retention(&self) -> Retention {
        const DAY: u64 = 24 * 3_600;
        Retention {
            absent: Duration::from_secs(DAY * self.keep_absent_days as u64),
            gone: Duration::from_secs(DAY * self.keep_gone_days as u64),
        }
    }

    pub(crate) const fn backoff(&self) -> Backoff {
        Backoff::new(
            Duration::from_millis(self.backoff_milliseconds),
            Duration::from_secs(self.backoff_limit_seconds),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_a_bad_setting_is_named() {
        assert_eq!(Settings::default().validate(), Ok(()));

        let bad = Settings {
            chunk_mails: 0,
            ..Settings::default()
        };
        assert_eq!(
            bad.validate().unwrap_err().to_string(),
            "inbound_fetcher.chunk_mails must be 1 to 1000"
        );
        assert!(serde_json::from_str::<Settings>(r#"{"chunk_mail": 1}"#).is_err());
    }
}
