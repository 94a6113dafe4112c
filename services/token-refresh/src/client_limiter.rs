//! Limits the refreshes in flight per client configuration, and the tries of one that is refused.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mailmesh_domain::ClientConfigurationId;
use time::OffsetDateTime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// Long enough for a provider that answers; one that hangs must not fill the replica with waiters.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct ClientLimiter {
    per_client: usize,
    probe_every: Duration,
    clients: Mutex<HashMap<ClientConfigurationId, ClientSlot>>,
}

#[derive(Debug)]
struct ClientSlot {
    permits: Arc<Semaphore>,
    probed: Option<(OffsetDateTime, Instant)>,
}

impl ClientLimiter {
    pub(crate) fn new(per_client: usize, probe_every: Duration) -> Self {
        Self {
            per_client,
            probe_every,
            clients: Mutex::default(),
        }
    }

    /// Waits for a permit for one refresh; none if that takes long.
    pub(crate) async fn acquire(
        &self,
        client: ClientConfigurationId,
    ) -> Option<OwnedSemaphorePermit> {
        let permits = self.with_slot(client, |slot| Arc::clone(&slot.permits));
        timeout(LONGEST_WAIT, permits.acquire_owned())
            .await
            .ok()?
            .ok()
    }

    /// Says whether a client that was refused may be tried: once in a while, or once it was changed.
    pub(crate) fn may_probe(
        &self,
        client: ClientConfigurationId,
        configured_at: OffsetDateTime,
    ) -> bool {
        let probe_every = self.probe_every;
        self.with_slot(client, |slot| {
            let was_just_probed = slot
                .probed
                .is_some_and(|(of, at)| of == configured_at && at.elapsed() < probe_every);
            if !was_just_probed {
                slot.probed = Some((configured_at, Instant::now()));
            }
            !was_just_probed
        })
    }

    fn with_slot<T>(
        &self,
        client: ClientConfigurationId,
        look: impl FnOnce(&mut ClientSlot) -> T,
    ) -> T {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = clients.entry(client).or_insert_with(|| ClientSlot {
            permits: Arc::new(Semaphore::new(self.per_client)),
            probed: None,
        });
        look(slot)
    }
}

#[cfg(test)]
mod tests {
    use mailmesh_domain::SystemClock;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_client_that_hangs_leaves_room_for_another() {
        let limiter = ClientLimiter::new(1, Duration::from_mins(15));
        let [one, other] = [0, 1].map(|_| ClientConfigurationId::generate(&SystemClock));

        let inside = limiter.acquire(one).await;

        assert!(inside.is_some());
        assert!(limiter.acquire(one).await.is_none());
        assert!(limiter.acquire(other).await.is_some());
        drop(inside);
        assert!(limiter.acquire(one).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_client_is_probed_slowly_and_at_once_when_changed() {
        let limiter = ClientLimiter::new(1, Duration::from_mins(15));
        let client = ClientConfigurationId::generate(&SystemClock);
        let configured_at = OffsetDateTime::UNIX_EPOCH;

        assert!(limiter.may_probe(client, configured_at));
        assert!(!limiter.may_probe(client, configured_at));
        assert!(limiter.may_probe(client, configured_at + Duration::from_secs(1)));
        tokio::time::advance(Duration::from_mins(16)).await;
        assert!(limiter.may_probe(client, configured_at + Duration::from_secs(1)));
    }
}
