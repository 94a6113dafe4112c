//! How many refreshes may be under way at one client configuration.

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
pub(crate) struct Gate {
    per_client: usize,
    probe_every: Duration,
    clients: Mutex<HashMap<ClientConfigurationId, Lane>>,
}

#[derive(Debug)]
struct Lane {
    permits: Arc<Semaphore>,
    probed: Option<(OffsetDateTime, Instant)>,
}

impl Gate {
    pub(crate) fn new(per_client: usize, probe_every: Duration) -> Self {
        Self {
            per_client,
            probe_every,
            clients: Mutex::default(),
        }
    }

    /// Lets a refresh through once fewer are under way than may be; not if that takes long.
    pub(crate) async fn enter(
        &self,
        client: ClientConfigurationId,
    ) -> Option<OwnedSemaphorePermit> {
        let permits = self.with_lane(client, |lane| Arc::clone(&lane.permits));
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
        self.with_lane(client, |lane| {
            let was_just_probed = lane
                .probed
                .is_some_and(|(of, at)| of == configured_at && at.elapsed() < probe_every);
            if !was_just_probed {
                lane.probed = Some((configured_at, Instant::now()));
            }
            !was_just_probed
        })
    }

    fn with_lane<T>(&self, client: ClientConfigurationId, look: impl FnOnce(&mut Lane) -> T) -> T {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = clients.entry(client).or_insert_with(|| Lane {
            permits: Arc::new(Semaphore::new(self.per_client)),
            probed: None,
        });
        look(lane)
    }
}

#[cfg(test)]
mod tests {
    use mailmesh_domain::SystemClock;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_client_that_hangs_leaves_room_for_another() {
        let gate = Gate::new(1, Duration::from_mins(15));
        let [one, other] = [0, 1].map(|_| ClientConfigurationId::generate(&SystemClock));

        let inside = gate.enter(one).await;

        assert!(inside.is_some());
        assert!(gate.enter(one).await.is_none());
        assert!(gate.enter(other).await.is_some());
        drop(inside);
        assert!(gate.enter(one).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_client_is_probed_slowly_and_at_once_when_changed() {
        let gate = Gate::new(1, Duration::from_mins(15));
        let client = ClientConfigurationId::generate(&SystemClock);
        let configured_at = OffsetDateTime::UNIX_EPOCH;

        assert!(gate.may_probe(client, configured_at));
        assert!(!gate.may_probe(client, configured_at));
        assert!(gate.may_probe(client, configured_at + Duration::from_secs(1)));
        tokio::time::advance(Duration::from_mins(16)).await;
        assert!(gate.may_probe(client, configured_at + Duration::from_secs(1)));
    }
}
