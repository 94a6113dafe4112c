use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mailmesh_domain::Direction;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The section `[connects]`: sign-ins at mail servers, of all accounts of a process in both directions.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectSettings {
    /// Maximum sign-ins in flight per direction: thousands of mailboxes that are opened after a start must not keep
    /// mail waiting that is to be sent.
    pub in_flight: usize,
    /// Maximum sign-ins begun per second.
    pub per_second: u32,
    /// Maximum sign-ins in flight per host.
    pub per_host: usize,
}

/// A limit on sign-ins that must not be zero is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("connects.{setting} must be at least 1")]
pub struct ConnectSettingsError {
    pub setting: &'static str,
}

impl Default for ConnectSettings {
    fn default() -> Self {
        Self {
            in_flight: 64,
            per_second: 100,
            per_host: 32,
        }
    }
}

impl ConnectSettings {
    /// Checks the settings against their ranges.
    ///
    /// # Errors
    /// [`ConnectSettingsError`] for the first one that is out of range.
    pub fn validate(&self) -> Result<(), ConnectSettingsError> {
        let zeros = [
            ("in_flight", self.in_flight == 0),
            ("per_second", self.per_second == 0),
            ("per_host", self.per_host == 0),
        ];
        let zero = zeros.into_iter().find(|(_, is_zero)| *is_zero);
        zero.map_or(Ok(()), |(setting, _)| Err(ConnectSettingsError { setting }))
    }
}

/// Limits how many sign-ins are in flight, in all and per host, and how many begin per second. Providers count the
/// sign-ins from one address, whatever the account or the direction.
#[derive(Debug)]
pub(crate) struct ConnectLimiter {
    inbound: Arc<Semaphore>,
    outbound: Arc<Semaphore>,
    per_host: usize,
    spacing: Duration,
    hosts: Mutex<HashMap<String, Arc<Semaphore>>>,
    next_at: Mutex<Instant>,
}

/// The right to sign in, until it is dropped.
#[derive(Debug)]
pub struct ConnectPermit {
    _host: Option<OwnedSemaphorePermit>,
    _all: Option<OwnedSemaphorePermit>,
}

impl ConnectLimiter {
    pub(crate) fn new(settings: &ConnectSettings) -> Self {
        Self {
            inbound: Arc::new(Semaphore::new(settings.in_flight)),
            outbound: Arc::new(Semaphore::new(settings.in_flight)),
            per_host: settings.per_host,
            spacing: Duration::from_secs(1) / settings.per_second.max(1),
            hosts: Mutex::default(),
            next_at: Mutex::new(Instant::now()),
        }
    }

    /// Waits for the right to sign in at `host`. The limit of the host is taken first: sign-ins that wait for a slow host do
    /// not count against `in_flight`.
    pub(crate) async fn acquire(&self, direction: Direction, host: &str) -> ConnectPermit {
        let at_host = self.at_host(host);
        let host = at_host.acquire_owned().await.ok();
        let all = match direction {
            Direction::Inbound => &self.inbound,
            Direction::Outbound => &self.outbound,
        };
        let all = Arc::clone(all).acquire_owned().await.ok();
        let slot = self.reserve_slot();
        tokio::time::sleep_until(slot).await;
        ConnectPermit {
            _host: host,
            _all: all,
        }
    }

    fn at_host(&self, host: &str) -> Arc<Semaphore> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if !hosts.contains_key(host) && hosts.len() >= MOST_HOSTS {
            // A host without a sign-in in flight needs no semaphore; it gets a new one with its next.
            hosts.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
        }
        let limit = hosts.entry(host.to_owned());
        Arc::clone(limit.or_insert_with(|| Arc::new(Semaphore::new(self.per_host))))
    }

    fn reserve_slot(&self) -> Instant {
        let mut next_at = self.next_at.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = (*next_at).max(Instant::now());
        *next_at = slot + self.spacing;
        slot
    }
}

/// Maximum hosts until unused ones are removed.
const MOST_HOSTS: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn sign_ins_are_spread_and_bounded_at_one_host() {
        let limiter = ConnectLimiter::new(&ConnectSettings {
            per_second: 10,
            per_host: 2,
            ..ConnectSettings::default()
        });
        let begun = Instant::now();

        let _first = limiter.acquire(Direction::Inbound, "one").await;
        let second = limiter.acquire(Direction::Outbound, "one").await;
        let _other = limiter.acquire(Direction::Outbound, "two").await;
        assert!(begun.elapsed() >= Duration::from_millis(200));

        let third = tokio::time::timeout(
            Duration::from_mins(1),
            limiter.acquire(Direction::Inbound, "one"),
        );
        assert!(third.await.is_err());
        drop(second);
        limiter.acquire(Direction::Inbound, "one").await;
    }

    #[tokio::test(start_paused = true)]
    async fn hosts_without_a_sign_in_are_forgotten() {
        let limiter = ConnectLimiter::new(&ConnectSettings::default());
        let _kept = limiter.acquire(Direction::Inbound, "kept").await;

        for number in 0..=MOST_HOSTS {
            drop(
                limiter
                    .acquire(Direction::Inbound, &format!("host-{number}"))
                    .await,
            );
        }

        let hosts = limiter.hosts.lock().unwrap();
        assert!(hosts.len() <= MOST_HOSTS && hosts.contains_key("kept"));
    }

    #[test]
    fn zero_is_refused_by_name() {
        let bad = ConnectSettings {
            per_host: 0,
            ..ConnectSettings::default()
        };

        assert_eq!(ConnectSettings::default().validate(), Ok(()));
        assert_eq!(
            bad.validate().unwrap_err().to_string(),
            "connects.per_host must be at least 1"
        );
    }
}
