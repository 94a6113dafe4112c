use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mailmesh_mail::{TlsError, client_config};
use rustls::ClientConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::config::Settings;

/// Spreads sign-ins: so many at once, so many per second, so many at one host.
#[derive(Debug)]
pub(crate) struct Gate {
    in_flight: Arc<Semaphore>,
    per_host: usize,
    spacing: Duration,
    hosts: Mutex<HashMap<String, Arc<Semaphore>>>,
    next_at: Mutex<Instant>,
    tls: Mutex<HashMap<String, Arc<ClientConfig>>>,
}

/// The right to sign in, until it is dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    _host: Option<OwnedSemaphorePermit>,
    _all: Option<OwnedSemaphorePermit>,
}

impl Gate {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            in_flight: Arc::new(Semaphore::new(settings.connects_in_flight)),
            per_host: settings.connects_per_host,
            spacing: Duration::from_secs(1) / settings.connects_per_second.max(1),
            hosts: Mutex::default(),
            next_at: Mutex::new(Instant::now()),
            tls: Mutex::default(),
        }
    }

    /// Waits for the right to sign in at `host`. Who waits for a slow host takes no place of others.
    pub(crate) async fn enter(&self, host: &str) -> Entry {
        let at_host = Arc::clone(
            self.hosts
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(host.to_owned())
                .or_insert_with(|| Arc::new(Semaphore::new(self.per_host))),
        );
        let host = at_host.acquire_owned().await.ok();
        let all = Arc::clone(&self.in_flight).acquire_owned().await.ok();
        let slot = self.reserve_slot();
        tokio::time::sleep_until(slot).await;
        Entry {
            _host: host,
            _all: all,
        }
    }

    fn reserve_slot(&self) -> Instant {
        let mut next_at = self.next_at.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = (*next_at).max(Instant::now());
        *next_at = slot + self.spacing;
        slot
    }

    /// Returns TLS settings that accounts with the same private CA share.
    pub(crate) fn tls(&self, ca_pem: Option<&str>) -> Result<Arc<ClientConfig>, TlsError> {
        let Some(pem) = ca_pem else {
            return client_config(None);
        };
        let mut known = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = known.get(pem) {
            return Ok(Arc::clone(config));
        }
        let config = client_config(Some(pem))?;
        known.insert(pem.to_owned(), Arc::clone(&config));
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn sign_ins_are_spread_and_bounded_at_one_host() {
        let gate = Gate::new(&Settings {
            connects_per_second: 10,
            connects_per_host: 2,
            ..Settings::default()
        });
        let begun = Instant::now();

        let _first = gate.enter("one").await;
        let second = gate.enter("one").await;
        let _other = gate.enter("two").await;
        assert!(begun.elapsed() >= Duration::from_millis(200));

        let third = tokio::time::timeout(Duration::from_mins(1), gate.enter("one"));
        assert!(third.await.is_err());
        drop(second);
        gate.enter("one").await;
    }
}
