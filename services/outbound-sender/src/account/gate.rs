//! What keeps an account from sending, and when it is looked at again. Mail that is due meanwhile is
//! put off without an attempt, told once why, and made due when a sign-in succeeds.

mod parking;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mailmesh_domain::{AccountState, Authorisation, GrantId, GrantState, VerdictKind};
use mailmesh_events::Problem;
use mailmesh_mail::transport::{Failure, FailureDetail};
use mailmesh_store::{StoreError, grant};
use time::OffsetDateTime;
use tokio::time::Instant;
use tracing::info;

use super::Worker;
use crate::access::{Denied, ask_refresh, token_over, waiting};
use crate::problem::{WAITS, problem_of};
use crate::status;

/// A lost hint costs no more than this.
const ASK_AGAIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN_AT_MOST: Duration = Duration::from_mins(1);
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// A stale token, and then two fresh ones.
const REFUSALS: u32 = 3;
/// After some five minutes without a connection the account is called failing.
const FAILURES_UNTIL_FAILING: u32 = 6;

#[derive(Debug)]
struct Obstacle {
    problem: Problem,
    until: OffsetDateTime,
    /// The grant, and the generation that is over.
    awaits: Option<(GrantId, i64)>,
    asked_at: Instant,
    /// Whether it was met after a sign-in.
    is_strain: bool,
}

/// Whether an account may send.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    obstacle: Option<Obstacle>,
    /// Connections that failed in a row.
    failures: u32,
    /// Connections in a row that were opened and then came to nothing.
    strain: u32,
    /// Whether a connection came to nothing since the server last answered for a mail.
    pub(super) in_vain: Arc<AtomicBool>,
    /// Tokens that were refused in a row, and the last one's generation.
    refusals: u32,
    refused_generation: Option<i64>,
    /// Whether the account's row says that it works.
    is_active_recorded: bool,
    /// Whether mail that waited under other settings, or for another replica, was made due.
    is_resumed: bool,
}

impl Gate {
    /// Returns how long to wait before the obstacle is looked at again.
    pub(crate) fn look_again(&self, now: OffsetDateTime) -> Option<Duration> {
        let obstacle = self.obstacle.as_ref()?;
        if obstacle.awaits.is_some() {
            return Some(ASK_AGAIN);
        }
        let left = Duration::try_from(obstacle.until - now).unwrap_or_default();
        Some(left.clamp(Duration::from_millis(100), LOOK_AGAIN_AT_MOST))
    }

    /// Returns whether fresh tokens were refused too, so that only a person can help.
    const fn is_hopeless(&self) -> bool {
        self.refusals >= REFUSALS
    }

    const fn is_long_strained(&self) -> bool {
        self.strain >= FAILURES_UNTIL_FAILING
    }

    fn pause(&self) -> Duration {
        let in_a_row = self.failures.saturating_add(self.strain);
        let doubled = 2_u32.saturating_pow(in_a_row.saturating_sub(1));
        FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE)
    }
}

impl Worker {
    /// Returns whether mail may be claimed now; tries the account again when it is time to.
    pub(super) async fn pass_gate(&mut self) -> Result<bool, StoreError> {
        let now = self.shared.replica.clock.now();
        let Some(obstacle) = &self.gate.obstacle else {
            self.note_served().await?;
            return Ok(true);
        };
        let is_strain = obstacle.is_strain;
        // Connections that were told to end may still be busy with their last mail.
        if !self.connections.is_empty() {
            return Ok(false);
        }
        let is_time = match obstacle.awaits {
            // A server that was wrong about the token gets another chance now and then.
            Some(_) if self.gate.is_hopeless() && obstacle.until <= now => true,
            Some((grant, generation)) => self.has_moved_on(grant, generation).await?,
            None => obstacle.until <= now,
        };
        if !is_time {
            return Ok(false);
        }
        if is_strain {
            // A sign-in would prove nothing: the next mail does.
            self.gate.obstacle = None;
            return Ok(true);
        }
        self.open_first().await
    }

    /// A server that answers for mail again has nothing against the account.
    async fn note_served(&mut self) -> Result<(), StoreError> {
        if self.gate.strain > 0 && !self.gate.in_vain.load(Ordering::Relaxed) {
            self.gate.strain = 0;
            self.record_active().await?;
        }
        Ok(())
    }

    async fn has_moved_on(&mut self, id: GrantId, generation: i64) -> Result<bool, StoreError> {
        let mut tx = self.shared.replica.database.begin().await?;
        let grants = grant::list_by_ids(&mut tx, &[id]).await?;
        tx.commit().await?;
        let has_moved_on = grants
            .first()
            .is_none_or(|grant| grant.generation > generation || grant.state != GrantState::Active);
        let is_hopeless = self.gate.is_hopeless();
        if let (false, Some(obstacle)) = (has_moved_on, &mut self.gate.obstacle)
            && obstacle.asked_at.elapsed() >= ASK_AGAIN
            && !is_hopeless
        {
            obstacle.asked_at = Instant::now();
            ask_refresh(&self.shared.replica, id, generation).await;
        }
        Ok(has_moved_on)
    }

    /// The account could not even be tried.
    pub(super) async fn bar(&mut self, denied: Denied) -> Result<(), StoreError> {
        let now = self.shared.replica.clock.now();
        match denied {
            Denied::Store(error) => Err(error),
            Denied::TokenOver(grant, generation) => {
                self.await_token(grant, generation, token_over()).await;
                Ok(())
            }
            Denied::Problem(problem) => {
                if problem.kind == VerdictKind::NeedsAdministrator {
                    self.report(AccountState::Failing, &problem).await?;
                }
                let until = now + LOOK_AGAIN_AT_MOST;
                self.set_obstacle(problem, until, None);
                Ok(())
            }
        }
    }

    /// The server refused the account, or was not reached.
    pub(super) async fn block(&mut self, failure: Failure) -> Result<(), StoreError> {
        self.stop_connections().await;
        let is_token_refused = failure.detail == FailureDetail::TokenRefused;
        if let (true, Some((grant, generation))) = (is_token_refused, self.token) {
            return self.take_refused_token(grant, generation, failure).await;
        }
        let now = self.shared.replica.clock.now();
        let problem = problem_of(&failure).with_mail(WAITS);
        let rest = self.shared.retry.rest_after(failure.verdict);
        let until = match failure.verdict.kind {
            VerdictKind::Throttled => now + rest,
            VerdictKind::Transient | VerdictKind::Unknown => {
                self.gate.failures = self.gate.failures.saturating_add(1);
                if self.gate.failures >= FAILURES_UNTIL_FAILING {
                    self.report(AccountState::Failing, &problem).await?;
                }
                now + self.gate.pause()
            }
            VerdictKind::NeedsSignIn | VerdictKind::NeedsAdministrator | VerdictKind::Permanent => {
                let is_person = failure.verdict.kind == VerdictKind::NeedsSignIn
                    && self.account.authorisation == Authorisation::OAuth2;
                let state = if is_person {
                    AccountState::SignInRequired
                } else {
                    AccountState::Failing
                };
                self.report(state, &problem).await?;
                now + self.shared.retry.slow_probe()
            }
        };
        self.set_obstacle(problem, until, None);
        Ok(())
    }

    /// A connection was opened, and the server then failed all that it was asked. That happens now and
    /// then; but twice with no mail in between the next connections, and mails, would fare no better.
    pub(super) async fn strain(&mut self, failure: Failure) -> Result<(), StoreError> {
        if !self.gate.in_vain.swap(true, Ordering::Relaxed) {
            self.gate.strain = 0;
            return Ok(());
        }
        // Connections that are open side by side meet the same trouble.
        if self.gate.obstacle.is_some() {
            return Ok(());
        }
        self.stop_connections().await;
        self.gate.strain = self.gate.strain.saturating_add(1);
        let problem = problem_of(&failure).with_mail(WAITS);
        if self.gate.is_long_strained() {
            self.report(AccountState::Failing, &problem).await?;
        }
        let until = self.shared.replica.clock.now() + self.gate.pause();
        self.set_obstacle(problem, until, None);
        if let Some(obstacle) = &mut self.gate.obstacle {
            obstacle.is_strain = true;
        }
        Ok(())
    }

    async fn take_refused_token(
        &mut self,
        grant: GrantId,
        generation: i64,
        failure: Failure,
    ) -> Result<(), StoreError> {
        if self.gate.refused_generation != Some(generation) {
            self.gate.refused_generation = Some(generation);
            self.gate.refusals = self.gate.refusals.saturating_add(1);
        }
        if self.gate.is_hopeless() {
            let problem = problem_of(&failure).with_mail(WAITS);
            self.report(AccountState::SignInRequired, &problem).await?;
            let until = self.shared.replica.clock.now() + self.shared.retry.slow_probe();
            // Not asked for: a new token would be refused as well, and so on without end.
            self.set_obstacle(problem, until, Some((grant, generation)));
        } else {
            let over = waiting(&token_over().what, token_over_verdict());
            let problem = over.with_code(failure.code);
            self.await_token(grant, generation, problem).await;
        }
        Ok(())
    }

    async fn await_token(&mut self, grant: GrantId, generation: i64, problem: Problem) {
        ask_refresh(&self.shared.replica, grant, generation).await;
        let until = self.shared.replica.clock.now() + LOOK_AGAIN_AT_MOST;
        self.set_obstacle(problem, until, Some((grant, generation)));
    }

    fn set_obstacle(
        &mut self,
        problem: Problem,
        until: OffsetDateTime,
        awaits: Option<(GrantId, i64)>,
    ) {
        info!(
            account.id = %self.account.id,
            kind = ?problem.kind,
            code = problem.code,
            "Account cannot send for now"
        );
        self.gate.is_active_recorded = false;
        self.gate.obstacle = Some(Obstacle {
            problem,
            until,
            awaits,
            asked_at: Instant::now(),
            is_strain: false,
        });
    }

    async fn report(&self, state: AccountState, problem: &Problem) -> Result<(), StoreError> {
        status::set_failing(&self.shared.replica, &self.account, state, problem).await
    }

    /// The account works: what waited for it alone is due. After long strain only mail that gets through
    /// proves that, else the account would fail and recover in turns.
    pub(super) async fn signed_in(&mut self) -> Result<(), StoreError> {
        let is_known = self.gate.is_active_recorded;
        if !is_known && !self.gate.is_long_strained() {
            self.record_active().await?;
        }
        if !is_known {
            self.resume().await?;
        }
        self.gate = Gate {
            is_active_recorded: self.gate.is_active_recorded,
            is_resumed: true,
            strain: self.gate.strain,
            in_vain: Arc::clone(&self.gate.in_vain),
            ..Gate::default()
        };
        Ok(())
    }

    async fn record_active(&mut self) -> Result<(), StoreError> {
        status::set_active(&self.shared.replica, &self.account).await?;
        self.gate.is_active_recorded = true;
        Ok(())
    }
}

const fn token_over_verdict() -> mailmesh_domain::Verdict {
    mailmesh_domain::Verdict::transient()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_minutes() {
        let pauses: Vec<u64> = [1, 2, 3, 6, 7, 8, 40]
            .into_iter()
            .map(|failures| {
                let gate = Gate {
                    failures,
                    ..Gate::default()
                };
                gate.pause().as_secs()
            })
            .collect();

        assert_eq!(pauses, [5, 10, 20, 160, 300, 300, 300]);
    }
}
