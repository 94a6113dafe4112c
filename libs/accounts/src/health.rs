//! Whether a replica can do its work: by its writes to Postgres, and by what NATS answers for the streams that it needs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mailmesh_bus::BusFault;
use mailmesh_domain::{FailureCause, History, responsibility};
use mailmesh_events::Problem;
use mailmesh_store::StoreError;
use tokio::time::Instant;
use tracing::{error, info};

/// After so long without a heartbeat the others take a replica for dead.
const SILENT_AFTER: Duration = Duration::from_secs(10);

/// The health of one replica. Written by its membership, read by whoever asks whether it is ready.
#[derive(Debug)]
pub struct ReplicaHealth {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    beaten_at: Instant,
    beat_failure: Option<Arc<StoreError>>,
    fault: Option<BusFault>,
}

/// Why a replica cannot do its work.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// Postgres takes no writes of ours.
    #[error("the heartbeat cannot be written to Postgres")]
    NotWritten(#[source] Arc<StoreError>),
    /// The last heartbeat is too old, and no answer has come since.
    #[error("no heartbeat was written to Postgres for {} s", since.as_secs())]
    Silent { since: Duration },
    /// NATS does not do its work.
    #[error("NATS cannot be used")]
    Bus(#[from] BusFault),
}

impl ReplicaHealth {
    /// Starts with a heartbeat that was written just now.
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                beaten_at: Instant::now(),
                beat_failure: None,
                fault: None,
            }),
        }
    }

    /// Returns why the replica cannot do its work, if it cannot.
    ///
    /// # Errors
    /// [`HealthError`], by the last heartbeat and the last look at the streams; both are some seconds old at most.
    pub fn check(&self) -> Result<(), HealthError> {
        let state = self.lock();
        if let Some(failure) = &state.beat_failure {
            return Err(HealthError::NotWritten(Arc::clone(failure)));
        }
        let since = state.beaten_at.elapsed();
        if since >= SILENT_AFTER {
            return Err(HealthError::Silent { since });
        }
        state
            .fault
            .clone()
            .map_or(Ok(()), |fault| Err(fault.into()))
    }

    pub(crate) fn note_beat(&self, beat: Result<(), StoreError>) {
        let mut state = self.lock();
        match beat {
            Ok(()) => {
                state.beaten_at = Instant::now();
                state.beat_failure = None;
            }
            Err(error) => state.beat_failure = Some(Arc::new(error)),
        }
    }

    pub(crate) fn note_fault(&self, fault: Option<BusFault>) {
        let before = std::mem::replace(&mut self.lock().fault, fault.clone());
        match (before, fault) {
            (before, Some(fault)) if before.as_ref() != Some(&fault) => error!(
                error = &fault as &dyn std::error::Error,
                action = responsibility(cause_of(&fault), History::WORKS).action,
                "NATS does not do its work: mail waits where it is"
            ),
            (Some(_), None) => info!("NATS does its work again"),
            _ => {}
        }
    }

    /// Describes what keeps all of the replica's accounts from being worked on.
    pub(crate) fn problem(&self) -> Option<Problem> {
        let fault = self.lock().fault.clone()?;
        let decided = responsibility(cause_of(&fault), History::WORKS);
        let problem = Problem::decided(sentence(&fault), &decided)
            .with_mail("Mail waits where it is and follows once this is solved.");
        Some(problem)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn cause_of(fault: &BusFault) -> FailureCause {
    match fault {
        BusFault::Silent => FailureCause::BusSilent,
        BusFault::NoJetStream => FailureCause::NoJetStream,
        BusFault::StreamSilent { .. } => FailureCause::StreamSilent,
        BusFault::StreamGone { .. } => FailureCause::StreamGone,
        BusFault::StreamFull { .. } => FailureCause::StreamFull,
        BusFault::NoStorage { .. } => FailureCause::NoStorage,
    }
}

fn sentence(fault: &BusFault) -> String {
    mailmesh_domain::ErrorChain(fault).sentence()
}
