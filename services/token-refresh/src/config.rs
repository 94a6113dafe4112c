use std::time::Duration;

use mailmesh_oauth::ForwardProxy;
use serde::Deserialize;

/// The section `[token_refresh]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How often to look for due grants when nothing announces any.
    pub poll_seconds: u64,
    /// The most refreshes at once in this replica.
    pub max_in_flight: usize,
    /// The most refreshes at once at one client configuration whose provider answers. One that was not tried yet has a quarter,
    /// one whose provider hangs or fails a single one, and all of those together half of `max_in_flight`.
    pub max_in_flight_per_client: usize,
    /// The wait after the first failure; it doubles with each further one.
    pub first_retry_seconds: u64,
    /// The longest wait after a failure that may pass by itself.
    pub longest_retry_seconds: u64,
    /// How often a grant is tried that waits for an administrator.
    pub slow_probe_seconds: u64,
    /// The way to providers, where there is no direct one.
    pub proxy_url: Option<ForwardProxy>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            poll_seconds: 5,
            max_in_flight: 50,
            max_in_flight_per_client: 20,
            first_retry_seconds: 5,
            longest_retry_seconds: 5 * 60,
            slow_probe_seconds: 15 * 60,
            proxy_url: None,
        }
    }
}

/// Settings that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigProblem {
    #[error("token_refresh.{setting} must not be zero")]
    Zero { setting: &'static str },
    /// An expired grant could stay unseen for longer than a minute.
    #[error("token_refresh.poll_seconds must be at most 30")]
    SlowPoll,
    /// The longest wait is shorter than the first.
    #[error("token_refresh.longest_retry_seconds must be at least first_retry_seconds")]
    RetryOrder,
}

impl Config {
    /// Checks the settings against each other.
    ///
    /// # Errors
    /// [`ConfigProblem`], which names the setting.
    pub fn validate(&self) -> Result<(), ConfigProblem> {
        let zeros = [
            ("poll_seconds", self.poll_seconds == 0),
            ("max_in_flight", self.max_in_flight == 0),
            (
                "max_in_flight_per_client",
                self.max_in_flight_per_client == 0,
            ),
            ("first_retry_seconds", self.first_retry_seconds == 0),
            ("slow_probe_seconds", self.slow_probe_seconds == 0),
        ];
        if let Some((setting, _)) = zeros.into_iter().find(|(_, is_zero)| *is_zero) {
            return Err(ConfigProblem::Zero { setting });
        }
        if self.poll_seconds > 30 {
            return Err(ConfigProblem::SlowPoll);
        }
        if self.longest_retry_seconds < self.first_retry_seconds {
            return Err(ConfigProblem::RetryOrder);
        }
        Ok(())
    }

    pub(crate) const fn poll(&self) -> Duration {
        Duration::from_secs(self.poll_seconds)
    }

    pub(crate) const fn slow_probe(&self) -> Duration {
        Duration::from_secs(self.slow_probe_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_pass_and_what_does_not_fit_is_named() {
        assert_eq!(Config::default().validate(), Ok(()));
        let with = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.validate()
        };
        assert_eq!(
            with(|config| config.max_in_flight = 0),
            Err(ConfigProblem::Zero {
                setting: "max_in_flight"
            })
        );
        assert_eq!(
            with(|config| config.poll_seconds = 60),
            Err(ConfigProblem::SlowPoll)
        );
        assert_eq!(
            with(|config| config.longest_retry_seconds = 1),
            Err(ConfigProblem::RetryOrder)
        );
    }
}
