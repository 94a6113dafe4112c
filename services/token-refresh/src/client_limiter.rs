//! Shares the refreshes in flight out among the client configurations, and limits the tries of one that is refused.
//!
//! A client configuration whose provider has answered lately has a full share. One that has not been tried, and one whose
//! provider hangs or fails, has a small one, and all of those together have half of the places: so whoever answers never
//! waits for whoever does not, however many are due there.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mailmesh_domain::ClientConfigurationId;
use time::OffsetDateTime;
use tokio::time::Instant;

/// How long an answer of a provider counts.
const PROVED_FOR: Duration = Duration::from_mins(10);
/// Part of a full share that a client configuration has before it was tried.
const UNTRIED_PART: usize = 4;

/// Counts of what may be claimed, by client configuration.
pub(crate) type Shares = Vec<(ClientConfigurationId, i64)>;

#[derive(Debug)]
pub(crate) struct ClientLimiter {
    places: usize,
    per_client: usize,
    probe_every: Duration,
    clients: Mutex<HashMap<ClientConfigurationId, ClientState>>,
}

#[derive(Debug, Default)]
struct ClientState {
    in_flight: usize,
    outcome: Option<LastAnswer>,
    probed: Option<(OffsetDateTime, Instant)>,
}

/// What the provider's last answer was.
#[derive(Debug, Clone, Copy)]
enum LastAnswer {
    Answered(Instant),
    Failed(Instant),
}

/// What may be claimed at present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Client configurations whose provider answers, and their free places.
    pub(crate) proved: Shares,
    /// The others that are known, and their free places.
    pub(crate) unproved: Shares,
    /// Places of each that is not known.
    pub(crate) unknown: i64,
    /// Places of all that are not proved together.
    pub(crate) places_of_unproved: usize,
}

impl ClientLimiter {
    pub(crate) fn new(places: usize, per_client: usize, probe_every: Duration) -> Self {
        Self {
            places,
            per_client,
            probe_every,
            clients: Mutex::default(),
        }
    }

    /// Counts a refresh that begins.
    pub(crate) fn begin(&self, client: ClientConfigurationId) {
        self.lock().entry(client).or_default().in_flight += 1;
    }

    /// Counts a refresh that has ended, in whatever way.
    pub(crate) fn end(&self, client: ClientConfigurationId) {
        let mut clients = self.lock();
        let state = clients.entry(client).or_default();
        state.in_flight = state.in_flight.saturating_sub(1);
    }

    /// Notes that the provider has answered, be it by a refusal.
    pub(crate) fn note_answer(&self, client: ClientConfigurationId) {
        let outcome = LastAnswer::Answered(Instant::now());
        self.lock().entry(client).or_default().outcome = Some(outcome);
    }

    /// Notes that the provider did not answer, or only that it cannot.
    pub(crate) fn note_failure(&self, client: ClientConfigurationId) {
        let outcome = LastAnswer::Failed(Instant::now());
        self.lock().entry(client).or_default().outcome = Some(outcome);
    }

    /// Returns what may be claimed.
    pub(crate) fn allowance(&self) -> Allowance {
        let clients = self.lock();
        let (mut proved, mut unproved) = (Vec::new(), Vec::new());
        let mut in_flight = 0;
        let untried = (self.per_client / UNTRIED_PART).max(1);
        for (id, state) in &*clients {
            let is_proved = state.is_proved();
            let share = match state.outcome {
                _ if is_proved => self.per_client,
                Some(LastAnswer::Failed(_)) => 1,
                _ => untried,
            };
            let free = share.saturating_sub(state.in_flight);
            let list = if is_proved {
                &mut proved
            } else {
                in_flight += state.in_flight;
                &mut unproved
            };
            list.push((*id, free, state.tried_at()));
        }
        // The one that was tried the longest ago comes first: with more of them than places, each has its turn.
        unproved.sort_by_key(|(_, _, tried_at)| *tried_at);
        let places_of_unproved = (self.places / 2).max(1).saturating_sub(in_flight);
        let mut left = places_of_unproved;
        for (_, free, _) in &mut unproved {
            *free = left.min(*free);
            left -= *free;
        }
        Allowance {
            proved: counts(proved),
            unproved: counts(unproved),
            unknown: count(untried.min(places_of_unproved)),
            places_of_unproved,
        }
    }

    /// Says whether a client that was refused may be tried: once in a while, or once it was changed.
    pub(crate) fn may_probe(
        &self,
        client: ClientConfigurationId,
        configured_at: OffsetDateTime,
    ) -> bool {
        let mut clients = self.lock();
        let state = clients.entry(client).or_default();
        let was_just_probed = state
            .probed
            .is_some_and(|(of, at)| of == configured_at && at.elapsed() < self.probe_every);
        if !was_just_probed {
            state.probed = Some((configured_at, Instant::now()));
        }
        !was_just_probed
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClientConfigurationId, ClientState>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientState {
    fn is_proved(&self) -> bool {
        matches!(self.outcome, Some(LastAnswer::Answered(at)) if at.elapsed() < PROVED_FOR)
    }

    const fn tried_at(&self) -> Option<Instant> {
        match self.outcome {
            Some(LastAnswer::Answered(at) | LastAnswer::Failed(at)) => Some(at),
            None => None,
        }
    }
}

fn counts(clients: Vec<(ClientConfigurationId, usize, Option<Instant>)>) -> Shares {
    let clients = clients.into_iter();
    clients.map(|(id, free, _)| (id, count(free))).collect()
}

fn count(free: usize) -> i64 {
    i64::try_from(free).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use mailmesh_domain::SystemClock;

    use super::*;

    const PROBE_EVERY: Duration = Duration::from_mins(15);

    fn id() -> ClientConfigurationId {
        ClientConfigurationId::generate(&SystemClock)
    }

    #[tokio::test(start_paused = true)]
    async fn who_answers_has_a_full_share_and_who_hangs_one_place() {
        let limiter = ClientLimiter::new(50, 20, PROBE_EVERY);
        let [well, hanging, untried] = [id(), id(), id()];
        limiter.note_answer(well);
        limiter.note_failure(hanging);
        limiter.begin(untried);

        let allowance = limiter.allowance();

        assert_eq!(allowance.proved, [(well, 20)]);
        assert_eq!(allowance.unproved, [(untried, 4), (hanging, 1)]);
        assert_eq!((allowance.unknown, allowance.places_of_unproved), (5, 24));

        limiter.begin(hanging);
        limiter.note_answer(untried);
        assert_eq!(limiter.allowance().unproved, [(hanging, 0)]);
        limiter.end(hanging);
        tokio::time::advance(PROVED_FOR).await;
        assert_eq!(limiter.allowance().proved, []);
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_hang_half_of_the_places_are_left_and_each_has_its_turn() {
        let limiter = ClientLimiter::new(10, 4, PROBE_EVERY);
        let hanging: Vec<_> = (0..8).map(|_| id()).collect();
        for client in &hanging {
            limiter.note_failure(*client);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        limiter.begin(hanging[0]);

        let allowance = limiter.allowance();

        assert_eq!(allowance.places_of_unproved, 4);
        let tried: Vec<_> = allowance
            .unproved
            .iter()
            .filter(|(_, free)| *free > 0)
            .collect();
        let ids: Vec<_> = tried.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, hanging[1..5]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_client_is_probed_slowly_and_at_once_when_changed() {
        let limiter = ClientLimiter::new(1, 1, PROBE_EVERY);
        let client = id();
        let configured_at = OffsetDateTime::UNIX_EPOCH;

        assert!(limiter.may_probe(client, configured_at));
        assert!(!limiter.may_probe(client, configured_at));
        assert!(limiter.may_probe(client, configured_at + Duration::from_secs(1)));
        tokio::time::advance(Duration::from_mins(16)).await;
        assert!(limiter.may_probe(client, configured_at + Duration::from_secs(1)));
    }
}
