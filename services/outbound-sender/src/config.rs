use std::time::Duration;

use mailmesh_mail::PipeliningRecord;
use mailmesh_mail::message::BuildLimits;
use mailmesh_mail::transport::TransportSettings;
use serde::Deserialize;

const MOST_CACHED: usize = 32 * 1024 * 1024;

/// The section `[outbound_sender]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Client name in EHLO: a host name or an address literal (RFC 5321 §4.1.1.1).
    pub ehlo_name: String,
    /// Maximum bytes of an accepted mail, encoded as it is sent.
    pub max_mail_bytes: usize,
    /// Maximum recipients of one mail.
    pub max_recipients: usize,
    /// Idle time after which a connection is closed.
    pub idle_seconds: u64,
    /// Time limit for name lookup, TCP and the TLS handshake together; after STARTTLS once more for the handshake.
    pub connect_timeout_seconds: u64,
    /// Time limit for the reply to a command.
    pub command_timeout_seconds: u64,
    /// Time limit for the reply to the commit of a mail (SMTP: to the final dot).
    pub final_reply_timeout_seconds: u64,
    /// Delay after each counted failure of a mail; the last one repeats.
    pub retry_delays_seconds: Vec<u64>,
    /// Sum of the delays between attempts after which a mail fails; time in which it waited for its account does not count.
    pub give_up_after_hours: u64,
    /// Interval of trying an account that needs an administrator.
    pub slow_probe_seconds: u64,
    /// Delay before an uncertain mail is first looked for in the Sent folder, and between lookups. Absence counts only once
    /// this and `final_reply_timeout_seconds` have passed since the commit.
    pub sent_folder_delay_seconds: u64,
    /// Retention of finished mail, and of its idempotency key.
    pub keep_finished_days: u64,
    /// Retention of the raw content of sent mail; it is deleted sooner when `MAIL_RAW` is full.
    pub keep_sent_bodies_hours: u64,
    /// Maximum bytes of raw mails in memory from when they are queued until they are sent; one account holds a quarter of it at most, or its largest
    /// mail.
    pub raw_memory_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        Self {
            ehlo_name: "[127.0.0.1]".to_owned(),
            max_mail_bytes: 25 * 1024 * 1024,
            max_recipients: 500,
            idle_seconds: 20,
            connect_timeout_seconds: 30,
            command_timeout_seconds: 2 * MINUTE,
            // RFC 5321 §4.5.3.2.6: a server may still be storing the mail, which a shorter wait would make uncertain.
            final_reply_timeout_seconds: 10 * MINUTE,
            retry_delays_seconds: vec![
                MINUTE,
                5 * MINUTE,
                15 * MINUTE,
                30 * MINUTE,
                HOUR,
                2 * HOUR,
                3 * HOUR,
            ],
            give_up_after_hours: 96,
            slow_probe_seconds: 15 * MINUTE,
            sent_folder_delay_seconds: MINUTE,
            keep_finished_days: 30,
            keep_sent_bodies_hours: 24,
            raw_memory_bytes: 128 * 1024 * 1024,
        }
    }
}

/// Settings that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigProblem {
    /// A number that must not be zero is, or a list is empty.
    #[error("outbound_sender.{setting} must not be zero or empty")]
    Zero { setting: &'static str },
    /// An accepted mail would not fit into the memory for sending.
    #[error("outbound_sender.raw_memory_bytes must be at least max_mail_bytes")]
    RawMemory,
}

impl Config {
    /// Checks the settings against each other.
    ///
    /// # Errors
    /// [`ConfigProblem`], which names the setting.
    pub fn validate(&self) -> Result<(), ConfigProblem> {
        let zeros = [
            ("max_mail_bytes", self.max_mail_bytes == 0),
            ("max_recipients", self.max_recipients == 0),
            ("connect_timeout_seconds", self.connect_timeout_seconds == 0),
            ("command_timeout_seconds", self.command_timeout_seconds == 0),
            (
                "final_reply_timeout_seconds",
                self.final_reply_timeout_seconds == 0,
            ),
            ("retry_delays_seconds", self.retry_delays_seconds.is_empty()),
            ("give_up_after_hours", self.give_up_after_hours == 0),
            ("slow_probe_seconds", self.slow_probe_seconds == 0),
            ("keep_finished_days", self.keep_finished_days == 0),
        ];
        if let Some((setting, _)) = zeros.into_iter().find(|(_, is_zero)| *is_zero) {
            return Err(ConfigProblem::Zero { setting });
        }
        if self.raw_memory_bytes < self.max_mail_bytes {
            return Err(ConfigProblem::RawMemory);
        }
        Ok(())
    }

    pub(crate) fn transport(&self) -> TransportSettings {
        TransportSettings {
            client_name: self.ehlo_name.clone(),
            connect_timeout: Duration::from_secs(self.connect_timeout_seconds),
            command_timeout: Duration::from_secs(self.command_timeout_seconds),
            commit_timeout: Duration::from_secs(self.final_reply_timeout_seconds),
            pipelining: PipeliningRecord::default(),
        }
    }

    /// The part of the memory for mails that came just now and are not claimed yet. The largest mail fits beside it.
    pub(crate) fn cache_bytes(&self) -> usize {
        let beside = self.raw_memory_bytes.saturating_sub(self.max_mail_bytes);
        (self.raw_memory_bytes / 4).min(MOST_CACHED).min(beside)
    }

    /// One account may hold a quarter of the memory, as a server that does not answer ties it up for minutes. The largest
    /// mail fits into every share.
    pub(crate) fn memory_share(&self) -> usize {
        (self.raw_memory_bytes / 4).max(self.max_mail_bytes)
    }

    pub(crate) fn limits(&self) -> BuildLimits {
        BuildLimits {
            max_bytes: self.max_mail_bytes,
            max_recipients: self.max_recipients,
            ..BuildLimits::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_and_jobs_share_the_memory_and_the_largest_mail_fits_beside_the_cache() {
        for (memory, largest) in [(128, 25), (40, 25), (25, 25), (1_000, 25)] {
            let mib = 1024 * 1024;
            let config = Config {
                raw_memory_bytes: memory * mib,
                max_mail_bytes: largest * mib,
                ..Config::default()
            };

            let jobs = config.raw_memory_bytes - config.cache_bytes();

            assert!(config.cache_bytes() <= 32 * mib);
            assert!(jobs >= config.max_mail_bytes, "{memory}");
        }
    }

    #[test]
    fn defaults_pass_and_zeros_are_named() {
        assert_eq!(Config::default().validate(), Ok(()));
        let bad = Config {
            retry_delays_seconds: Vec::new(),
            ..Config::default()
        };
        assert_eq!(
            bad.validate(),
            Err(ConfigProblem::Zero {
                setting: "retry_delays_seconds"
            })
        );
        let tight = Config {
            raw_memory_bytes: 1,
            ..Config::default()
        };
        assert_eq!(tight.validate(), Err(ConfigProblem::RawMemory));
    }
}
