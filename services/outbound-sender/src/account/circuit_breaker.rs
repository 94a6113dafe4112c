//! Keeps an account from sending after failures, and decides when it is tried again. A pure state machine: its owner
//! feeds it results, and does the connecting, asking for tokens and reporting.

use std::sync::Arc;
use std::time::Duration;

use mailmesh_domain::{AccountState, Authorisation, FailureCause, History, VerdictKind};
use mailmesh_events::Problem;
use mailmesh_mail::transport::{FailureDetail, TransportFailure};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::connect::{RECONNECT, TokenGeneration};
use super::progress::ServerProgress;
use crate::failure::credentials::token_over;
use crate::failure::{WAITS, problem_after, problem_by, problem_of};
use crate::retry_policy::RetryPolicy;

/// Interval of publishing `token.refresh` again, and so the most that a lost hint costs.
const ASK_AGAIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN_AT_MOST: Duration = Duration::from_mins(1);
const SHORTEST_WAIT: Duration = Duration::from_millis(100);
/// Deferral of mail that waits for a sign-in, a setting or a token, whose arrival makes it due earlier.
const LONG_WAIT: Duration = Duration::from_hours(1);
/// Refused token generations until only a person can help: an outdated token, and then two fresh ones.
const REFUSALS_UNTIL_HOPELESS: u32 = 3;
/// Failures in a row until the account is recorded as failing: some five minutes with the backoff of reconnects.
const FAILURES_UNTIL_FAILING: u32 = 6;

/// Whether an account may send.
#[derive(Debug)]
pub(super) struct CircuitBreaker {
    authorisation: Authorisation,
    state: State,
    /// Sign-ins failed in a row for no fault of the account.
    failures: u32,
    /// Times in a row that connections were opened and then failed before a mail was answered.
    strain: u32,
    /// Tokens that were refused in a row, and the last one's generation.
    refusals: u32,
    refused_generation: Option<i64>,
    /// The server has signed the account in before.
    has_worked: bool,
    /// Its tokens come without any person.
    is_app: bool,
    /// First failure since the account last worked.
    failing_since: Option<OffsetDateTime>,
    progress: Arc<ServerProgress>,
}

#[derive(Debug)]
enum State {
    /// Mail goes out.
    Closed,
    /// Mail goes out as a test of whether the server answers for it again.
    HalfOpen,
    /// Mail waits until the grant has another token.
    WaitingForToken {
        reason: Reason,
        token: TokenGeneration,
        asked_at: Instant,
        /// No token comes before somebody has done something about the grant.
        is_refused: bool,
    },
    /// Mail waits.
    Open {
        reason: Reason,
        proof: RecoveryProof,
    },
}

/// Problem for which mail waits, and the end of the wait at the latest.
#[derive(Debug)]
struct Reason {
    problem: Problem,
    until: OffsetDateTime,
}

/// What shows that an account can send again.
#[derive(Debug, Clone, Copy)]
enum RecoveryProof {
    SignIn,
    /// An answered mail; sign-ins succeeded before and did not help.
    Mail,
}

/// Next step that the breaker allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permission {
    /// Mail may be claimed.
    Send,
    /// Mail may be claimed once a sign-in has succeeded.
    SignIn,
    /// As `SignIn`, if the grant has another token than this.
    SignInWithOther(TokenGeneration),
    Wait,
}

/// A transition that is decided and not in force yet.
#[derive(Debug)]
pub(super) struct Trip {
    state: State,
    /// State to record of the account.
    pub(super) report: Option<AccountState>,
    /// Token to ask a replacement for.
    pub(super) ask: Option<TokenGeneration>,
}

/// How mail is put off that comes due meanwhile.
#[derive(Debug)]
pub(super) struct Wait<'a> {
    pub(super) problem: &'a Problem,
    pub(super) until: OffsetDateTime,
    /// Published in `mail.deferred`; none while a person has to act.
    pub(super) next_attempt_at: Option<OffsetDateTime>,
}

impl Trip {
    /// Makes the trip of an account that has no way to connect.
    pub(super) fn denied(problem: Problem, now: OffsetDateTime) -> Self {
        let is_setting = problem.kind == VerdictKind::NeedsAdministrator;
        let mut trip = Self::open(problem, now + LOOK_AGAIN_AT_MOST);
        trip.report = is_setting.then_some(AccountState::Failing);
        trip
    }

    /// Makes the trip of an account whose grant is refused: a sign-in by another account of the grant helps it, too.
    pub(super) fn grant_refused(
        problem: Problem,
        token: TokenGeneration,
        now: OffsetDateTime,
    ) -> Self {
        let mut trip = Self::denied(problem, now);
        if let State::Open { reason, .. } = trip.state {
            trip.state = State::WaitingForToken {
                reason,
                token,
                asked_at: Instant::now(),
                is_refused: true,
            };
        }
        trip
    }

    /// Makes the trip of an account whose token has expired.
    pub(super) fn token_over(token: TokenGeneration, now: OffsetDateTime) -> Self {
        Self::wait_for_token(token_over(), now + LOOK_AGAIN_AT_MOST, token).asking(token)
    }

    fn open(problem: Problem, until: OffsetDateTime) -> Self {
        let reason = Reason { problem, until };
        Self {
            state: State::Open {
                reason,
                proof: RecoveryProof::SignIn,
            },
            report: None,
            ask: None,
        }
    }

    fn wait_for_token(problem: Problem, until: OffsetDateTime, token: TokenGeneration) -> Self {
        let reason = Reason { problem, until };
        Self {
            state: State::WaitingForToken {
                reason,
                token,
                asked_at: Instant::now(),
                is_refused: false,
            },
            report: None,
            ask: None,
        }
    }

    fn reporting(mut self, state: AccountState) -> Self {
        self.report = Some(state);
        self
    }

    fn asking(mut self, token: TokenGeneration) -> Self {
        self.ask = Some(token);
        self
    }

    pub(super) fn problem(&self) -> Option<&Problem> {
        self.state.reason().map(|reason| &reason.problem)
    }
}

impl State {
    const fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Closed | Self::HalfOpen => None,
            Self::WaitingForToken { reason, .. } | Self::Open { reason, .. } => Some(reason),
        }
    }
}

impl CircuitBreaker {
    pub(super) fn new(authorisation: Authorisation, history: History) -> Self {
        Self {
            authorisation,
            state: State::Closed,
            failures: 0,
            strain: 0,
            refusals: 0,
            refused_generation: None,
            has_worked: history.has_worked,
            is_app: history.is_app,
            failing_since: None,
            progress: Arc::default(),
        }
    }

    pub(super) fn progress(&self) -> Arc<ServerProgress> {
        Arc::clone(&self.progress)
    }

    /// Returns the next step. Connections that are being stopped may still be sending their last mail; nothing is tried
    /// beside them.
    pub(super) fn permission(&mut self, now: OffsetDateTime, has_connections: bool) -> Permission {
        match &self.state {
            State::Closed | State::HalfOpen => Permission::Send,
            _ if has_connections => Permission::Wait,
            // The refusal may have been the server's fault, so the token is tried again at long intervals.
            State::WaitingForToken { reason, .. } if self.is_hopeless() && reason.until <= now => {
                self.refused_generation = None;
                Permission::SignIn
            }
            // What is known of the grant may have changed without another token.
            State::WaitingForToken {
                reason,
                is_refused: true,
                ..
            } if reason.until <= now => Permission::SignIn,
            State::WaitingForToken { token, .. } => Permission::SignInWithOther(*token),
            State::Open { reason, .. } if reason.until > now => Permission::Wait,
            State::Open {
                proof: RecoveryProof::SignIn,
                ..
            } => Permission::SignIn,
            State::Open {
                proof: RecoveryProof::Mail,
                ..
            } => {
                self.state = State::HalfOpen;
                Permission::Send
            }
        }
    }

    /// Returns how long to wait before [`Self::permission`] is asked again, if mail waits.
    pub(super) fn look_again(&self, now: OffsetDateTime) -> Option<Duration> {
        match &self.state {
            State::Closed | State::HalfOpen => None,
            State::WaitingForToken {
                is_refused: false, ..
            } => Some(ASK_AGAIN),
            State::WaitingForToken { reason, .. } | State::Open { reason, .. } => {
                let left = Duration::try_from(reason.until - now).unwrap_or_default();
                Some(left.clamp(SHORTEST_WAIT, LOOK_AGAIN_AT_MOST))
            }
        }
    }

    /// Returns how mail that comes due is put off, if it is.
    pub(super) fn wait(&self, now: OffsetDateTime) -> Option<Wait<'_>> {
        let Reason { problem, until } = self.state.reason()?;
        let needs_person = matches!(
            problem.kind,
            VerdictKind::NeedsSignIn | VerdictKind::NeedsAdministrator | VerdictKind::Permanent
        );
        let (until, next_attempt_at) = match &self.state {
            _ if needs_person => (now + LONG_WAIT, None),
            State::WaitingForToken { .. } => (now + LONG_WAIT, Some(*until)),
            _ => {
                let until = (*until).max(now + SHORTEST_WAIT);
                (until, Some(until))
            }
        };
        Some(Wait {
            problem,
            until,
            next_attempt_at,
        })
    }

    /// Returns the token whose successor mail waits for.
    pub(super) const fn awaited(&self) -> Option<TokenGeneration> {
        match &self.state {
            State::WaitingForToken { token, .. } => Some(*token),
            State::Closed | State::HalfOpen | State::Open { .. } => None,
        }
    }

    /// Returns whether mail waits for a grant that is refused.
    pub(super) const fn is_grant_refused(&self) -> bool {
        matches!(
            self.state,
            State::WaitingForToken {
                is_refused: true,
                ..
            }
        )
    }

    /// Returns whether only a person can give the next token.
    pub(super) const fn needs_person(&self) -> bool {
        self.is_grant_refused() || self.is_hopeless()
    }

    /// Returns the token that is to be asked for again, when it is time to.
    pub(super) fn token_to_ask_for(&mut self) -> Option<TokenGeneration> {
        let is_hopeless = self.is_hopeless();
        match &mut self.state {
            State::WaitingForToken {
                token,
                asked_at,
                is_refused: false,
                ..
            } if !is_hopeless && asked_at.elapsed() >= ASK_AGAIN => {
                *asked_at = Instant::now();
                Some(*token)
            }
            _ => None,
        }
    }

    /// Decides what follows when the server refused the account, or was not reached.
    pub(super) fn fail(
        &mut self,
        failure: &TransportFailure,
        token: Option<TokenGeneration>,
        retry: &RetryPolicy,
        now: OffsetDateTime,
    ) -> Trip {
        if let (FailureDetail::TokenRefused, Some(token)) = (failure.detail, token) {
            return self.refuse_token(failure, token, retry, now);
        }
        let history = self.record_failure(now);
        let verdict = failure.verdict();
        let told = |history| problem_after(failure, history).with_mail(WAITS);
        match verdict.kind {
            VerdictKind::Throttled => Trip::open(
                problem_of(failure).with_mail(WAITS),
                now + retry.rest_after(verdict),
            ),
            VerdictKind::Transient | VerdictKind::Unknown => {
                self.failures = self.failures.saturating_add(1);
                let until = now + self.pause();
                if self.failures < FAILURES_UNTIL_FAILING {
                    return Trip::open(problem_of(failure).with_mail(WAITS), until);
                }
                Trip::open(told(history), until).reporting(AccountState::Failing)
            }
            VerdictKind::NeedsSignIn | VerdictKind::NeedsAdministrator | VerdictKind::Permanent => {
                let is_person = verdict.kind == VerdictKind::NeedsSignIn
                    && self.authorisation == Authorisation::OAuth2;
                let state = if is_person {
                    AccountState::SignInRequired
                } else {
                    AccountState::Failing
                };
                Trip::open(told(history), now + retry.slow_probe()).reporting(state)
            }
        }
    }

    /// Decides what follows when a connection was opened and every command on it failed. Once is tolerated; after a second
    /// time with no mail in between, further connections would only use up attempts of mails.
    pub(super) fn strain(
        &mut self,
        failure: &TransportFailure,
        now: OffsetDateTime,
    ) -> Option<Trip> {
        if !self.progress.record_in_vain() {
            self.strain = 0;
            if matches!(self.state, State::HalfOpen) {
                self.state = State::Closed;
            }
            return None;
        }
        // Parallel connections meet the same failure; it counts once.
        if self.state.reason().is_some() {
            return None;
        }
        self.strain = self.strain.saturating_add(1);
        let reason = Reason {
            problem: problem_of(failure).with_mail(WAITS),
            until: now + self.pause(),
        };
        Some(Trip {
            state: State::Open {
                reason,
                proof: RecoveryProof::Mail,
            },
            report: self.is_long_strained().then_some(AccountState::Failing),
            ask: None,
        })
    }

    pub(super) fn trip(&mut self, trip: Trip) {
        self.state = trip.state;
    }

    /// Closes the breaker after a sign-in; after strain only half, since an answered mail is what proves recovery.
    pub(super) fn record_sign_in(&mut self) {
        self.has_worked = true;
        self.failing_since = None;
        self.failures = 0;
        self.refusals = 0;
        self.refused_generation = None;
        self.state = if self.strain > 0 {
            State::HalfOpen
        } else {
            State::Closed
        };
    }

    /// Returns the generation of the access token that the server refuses.
    pub(super) const fn refused_generation(&self) -> Option<i64> {
        self.refused_generation
    }

    /// Returns whether the server answers for mail again since it was under strain.
    pub(super) fn has_recovered(&self) -> bool {
        matches!(self.state, State::HalfOpen) && !self.progress.is_in_vain()
    }

    pub(super) fn close(&mut self) {
        self.strain = 0;
        self.state = State::Closed;
    }

    /// Returns whether only an answered mail counts as recovery: by sign-ins the account would alternate between failing and
    /// active.
    pub(super) const fn is_long_strained(&self) -> bool {
        self.strain >= FAILURES_UNTIL_FAILING
    }

    fn refuse_token(
        &mut self,
        failure: &TransportFailure,
        token: TokenGeneration,
        retry: &RetryPolicy,
        now: OffsetDateTime,
    ) -> Trip {
        let (_, generation) = token;
        if self.refused_generation != Some(generation) {
            self.refused_generation = Some(generation);
            self.refusals = self.refusals.saturating_add(1);
        }
        if self.is_hopeless() {
            let problem = problem_by(failure, FailureCause::FreshTokensRefused).with_mail(WAITS);
            // No `token.refresh`: fresh tokens were refused as well.
            return Trip::wait_for_token(problem, now + retry.slow_probe(), token)
                .reporting(AccountState::SignInRequired);
        }
        let problem = token_over().with_code(failure.code.clone());
        Trip::wait_for_token(problem, now + LOOK_AGAIN_AT_MOST, token).asking(token)
    }

    /// Returns whether fresh tokens were refused too, so that only a person can help.
    const fn is_hopeless(&self) -> bool {
        self.refusals >= REFUSALS_UNTIL_HOPELESS
    }

    fn record_failure(&mut self, now: OffsetDateTime) -> History {
        let since = *self.failing_since.get_or_insert(now);
        History {
            has_worked: self.has_worked,
            failing_for: Duration::try_from(now - since).unwrap_or_default(),
            is_app: self.is_app,
        }
    }

    fn pause(&self) -> Duration {
        RECONNECT.after(self.failures.saturating_add(self.strain))
    }
}

#[cfg(test)]
mod tests;
