use std::time::Duration;

use mailmesh_mail::message::BuildLimits;
use mailmesh_mail::transport::TransportSettings;
use serde::Deserialize;

/// The section `[outbound_sender]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The name given with EHLO: a host name or an address literal.
    pub ehlo_name: String,
    /// The largest mail that is accepted, as it goes over the wire.
    pub max_mail_bytes: usize,
    /// The most recipients of one mail.
    pub max_recipients: usize,
    /// How long a connection without work is kept.
    pub idle_seconds: u64,
    /// How long to wait for a connection, its handshake included.
    pub connect_timeout_seconds: u64,
    /// How long to wait for the reply to a command.
    pub command_timeout_seconds: u64,
    /// How long to wait for the reply to the commit of a mail (SMTP: to the final dot).
    pub final_reply_timeout_seconds: u64,
    /// The wait after each failed attempt; the last one repeats.
    pub retry_delays_seconds: Vec<u64>,
    /// When a mail that cannot be sent is given up: so long it waits between its attempts, besides what
    /// it waits for its account.
    pub give_up_after_hours: u64,
    /// How often an account that needs an administrator is tried.
    pub slow_probe_seconds: u64,
    /// When an uncertain mail is first looked for in the Sent folder; also the wait between looks.
    /// That it is not there counts only `final_reply_timeout_seconds` after the commit, and this.
    pub sent_folder_delay_seconds: u64,
    /// How long mail that has ended is kept, and with it its idempotency key.
    pub keep_finished_days: u64,
    /// How long the body of a sent mail is kept; it goes sooner when the store of raw mails is full.
    pub keep_sent_bodies_hours: u64,
    /// The memory for raw mails that are about to be sent; one account takes a quarter of it at most.
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
    Zero {
        /// The setting.
        setting: &'static str,
    },
    /// A mail that is accepted could never be fetched for sending.
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
        }
    }

    /// One account may hold a quarter of the memory: with servers that do not answer it holds that for minutes. The
    /// largest mail fits into every share.
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
