use mailmesh_domain::{Diagnosis, GrantId, MustAct};
use mailmesh_mail::transport::Scope;
use uuid::Uuid;

use super::*;
use crate::config::Config;

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
const SECOND: Duration = Duration::from_secs(1);

fn retry() -> RetryPolicy {
    RetryPolicy::of(&Config::default())
}

fn breaker() -> CircuitBreaker {
    CircuitBreaker::new(Authorisation::OAuth2, History::WORKS)
}

fn token(generation: i64) -> TokenGeneration {
    (GrantId::from_uuid(Uuid::from_u128(1)), generation)
}

fn failure(diagnosis: impl Into<Diagnosis>) -> TransportFailure {
    TransportFailure::new("It failed", diagnosis, Scope::Account)
}

fn cut() -> TransportFailure {
    TransportFailure::new("It was cut", FailureCause::Transient, Scope::Host)
}

fn refused_token() -> TransportFailure {
    failure(FailureCause::TokenRefused).with_detail(FailureDetail::TokenRefused)
}

/// Takes a failure in and returns what is reported of it.
fn fail(breaker: &mut CircuitBreaker, failure: &TransportFailure) -> Option<AccountState> {
    let trip = breaker.fail(failure, None, &retry(), NOW);
    let report = trip.report;
    breaker.trip(trip);
    report
}

/// Has two connections come to nothing in a row, so that the breaker opens.
fn strain(breaker: &mut CircuitBreaker, now: OffsetDateTime) -> Option<AccountState> {
    let trip = breaker
        .strain(&cut(), now)
        .or_else(|| breaker.strain(&cut(), now));
    let trip = trip.expect("the second one opens it");
    let report = trip.report;
    breaker.trip(trip);
    report
}

fn until(breaker: &CircuitBreaker) -> OffsetDateTime {
    breaker.state.reason().map_or(NOW, |reason| reason.until)
}

#[test]
fn failure_keeps_mail_back_until_a_sign_in_succeeds() {
    let hint = Duration::from_secs(90);
    let setting = Diagnosis::new(FailureCause::NoMechanism);
    let quarter = Duration::from_mins(15);
    for (verdict, rest, report) in [
        (
            Diagnosis::new(FailureCause::Throttled).after(hint),
            hint,
            None,
        ),
        (FailureCause::Throttled.into(), Duration::from_mins(1), None),
        (setting, quarter, Some(AccountState::Failing)),
        (
            FailureCause::TokenRefused.into(),
            quarter,
            Some(AccountState::SignInRequired),
        ),
    ] {
        let mut breaker = breaker();

        assert_eq!(fail(&mut breaker, &failure(verdict)), report, "{verdict:?}");

        assert_eq!(until(&breaker), NOW + rest, "{verdict:?}");
        assert_eq!(
            breaker.permission(NOW + rest - SECOND, false),
            Permission::Wait
        );
        assert_eq!(breaker.permission(NOW + rest, false), Permission::SignIn);
        assert_eq!(breaker.permission(NOW + rest, true), Permission::Wait);
        breaker.record_sign_in();
        assert_eq!(breaker.permission(NOW, false), Permission::Send);
    }
}

#[test]
fn refused_password_is_for_the_administrator() {
    let mut breaker = CircuitBreaker::new(Authorisation::Password, History::WORKS);

    let report = fail(&mut breaker, &failure(FailureCause::TokenRefused));

    assert_eq!(report, Some(AccountState::Failing));
}

#[test]
fn account_without_connection_waits_longer_each_time_and_is_called_failing() {
    let mut breaker = breaker();
    let mut last = NOW;

    for number in 1..=FAILURES_UNTIL_FAILING {
        let report = fail(&mut breaker, &cut());

        let is_failing = number == FAILURES_UNTIL_FAILING;
        assert_eq!(report.is_some(), is_failing, "{number}");
        assert!(until(&breaker) > last, "{number}");
        last = until(&breaker);
    }
    breaker.record_sign_in();
    fail(&mut breaker, &cut());
    assert!(until(&breaker) < NOW + Duration::from_secs(8));
}

#[test]
fn host_that_was_never_reached_is_for_the_administrator() {
    let unreached = TransportFailure::new("It was cut", FailureCause::HostNotReached, Scope::Host);
    for (has_worked, who) in [(false, MustAct::Administrator), (true, MustAct::Nobody)] {
        let history = History {
            has_worked,
            ..History::NEW
        };
        let mut breaker = CircuitBreaker::new(Authorisation::Password, history);

        for _ in 1..=FAILURES_UNTIL_FAILING {
            fail(&mut breaker, &unreached);
        }

        let problem = &breaker.state.reason().unwrap().problem;
        assert_eq!(problem.must_act, who, "{problem:?}");
        assert_eq!(problem.action.contains("host and port"), !has_worked);
        assert!(until(&breaker) < NOW + Duration::from_mins(10));
    }
}

#[test]
fn where_nobody_signs_in_nothing_is_for_the_mailbox_owner() {
    let switched_off = TransportFailure::new(
        "It is switched off",
        FailureCause::ProtocolSwitchedOff,
        Scope::Account,
    );
    for (is_app, who) in [
        (false, MustAct::MailboxOwner),
        (true, MustAct::TenantAdministrator),
    ] {
        let history = History {
            is_app,
            ..History::WORKS
        };
        let mut breaker = CircuitBreaker::new(Authorisation::OAuth2, history);

        fail(&mut breaker, &switched_off);

        let problem = &breaker.state.reason().unwrap().problem;
        assert_eq!(problem.must_act, who, "{problem:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn refused_token_is_replaced_and_the_third_is_left_to_a_person() {
    let mut breaker = breaker();
    for generation in 1..REFUSALS_UNTIL_HOPELESS {
        let token = token(i64::from(generation));
        for _ in ["a connection", "another with the same token"] {
            let trip = breaker.fail(&refused_token(), Some(token), &retry(), NOW);
            assert_eq!((trip.report, trip.ask), (None, Some(token)));
            breaker.trip(trip);
        }
        let permission = breaker.permission(NOW, false);
        assert_eq!(permission, Permission::SignInWithOther(token));
        assert_eq!(
            breaker.token_to_ask_for(),
            None,
            "it was asked for just now"
        );
        tokio::time::advance(ASK_AGAIN).await;
        assert_eq!(breaker.token_to_ask_for(), Some(token));
    }

    let last = token(9);
    let trip = breaker.fail(&refused_token(), Some(last), &retry(), NOW);
    assert_eq!(trip.report, Some(AccountState::SignInRequired));
    assert_eq!(trip.ask, None);
    let problem = &trip.state.reason().unwrap().problem;
    assert_eq!(problem.must_act, MustAct::Administrator);
    assert!(problem.action.contains("scopes"), "{problem:?}");
    breaker.trip(trip);
    tokio::time::advance(ASK_AGAIN).await;

    assert_eq!(breaker.token_to_ask_for(), None);
    assert_eq!(
        breaker.permission(NOW, false),
        Permission::SignInWithOther(last)
    );
    let later = NOW + retry().slow_probe();
    assert_eq!(breaker.permission(later, false), Permission::SignIn);
}

#[test]
fn one_connection_that_comes_to_nothing_keeps_nothing_back() {
    let mut breaker = breaker();

    assert!(breaker.strain(&cut(), NOW).is_none());
    breaker.progress().record_answer();
    assert!(breaker.strain(&cut(), NOW).is_none());

    assert_eq!(breaker.permission(NOW, false), Permission::Send);
}

#[test]
fn after_strain_the_next_mail_is_the_proof() {
    let mut breaker = breaker();
    strain(&mut breaker, NOW);
    let later = until(&breaker);

    assert_eq!(breaker.permission(NOW, false), Permission::Wait);
    assert_eq!(breaker.permission(later, false), Permission::Send);
    breaker.record_sign_in();
    assert!(!breaker.has_recovered(), "a sign-in proves nothing");
    breaker.progress().record_answer();
    assert!(breaker.has_recovered());
    breaker.close();
    assert!(!breaker.has_recovered());
}

#[test]
fn strain_that_stays_is_reported_until_a_mail_gets_through() {
    let mut breaker = breaker();
    let mut now = NOW;
    let reports: Vec<bool> = (0..FAILURES_UNTIL_FAILING)
        .map(|_| {
            let report = strain(&mut breaker, now);
            now = until(&breaker);
            breaker.permission(now, false);
            report.is_some()
        })
        .collect();

    assert_eq!(reports, [false, false, false, false, false, true]);
    breaker.record_sign_in();
    assert!(breaker.is_long_strained());
    breaker.progress().record_answer();
    assert!(breaker.has_recovered());
}

#[test]
fn mail_that_waits_for_a_person_promises_no_next_attempt() {
    let setting = Diagnosis::new(FailureCause::NoMechanism);
    let mut person = breaker();
    fail(&mut person, &failure(setting));
    let mut server = breaker();
    fail(&mut server, &failure(FailureCause::Throttled));
    let mut renewal = breaker();
    renewal.trip(Trip::token_over(token(1), NOW));

    let next = |breaker: &CircuitBreaker| {
        let wait = breaker.wait(NOW).expect("mail waits");
        (wait.until - NOW, wait.next_attempt_at.map(|at| at - NOW))
    };
    let (minute, hour) = (time::Duration::MINUTE, time::Duration::HOUR);
    assert_eq!(next(&person), (hour, None));
    assert_eq!(next(&server), (minute, Some(minute)));
    assert_eq!(next(&renewal), (hour, Some(minute)));
    assert!(breaker().wait(NOW).is_none());
}

#[tokio::test(start_paused = true)]
async fn refused_grant_is_waited_for_without_asking_and_looked_at_each_minute() {
    let mut breaker = breaker();
    let problem = Problem::new("The provider says no", FailureCause::GrantDead);
    breaker.trip(Trip::grant_refused(problem, token(3), NOW));
    tokio::time::advance(ASK_AGAIN).await;

    assert!(breaker.is_grant_refused() && breaker.needs_person());
    assert_eq!(breaker.token_to_ask_for(), None);
    assert_eq!(breaker.look_again(NOW), Some(LOOK_AGAIN_AT_MOST));
    assert_eq!(breaker.wait(NOW).unwrap().next_attempt_at, None);
    let now = breaker.permission(NOW, false);
    assert_eq!(now, Permission::SignInWithOther(token(3)));
    let later = breaker.permission(NOW + LOOK_AGAIN_AT_MOST, false);
    assert_eq!(later, Permission::SignIn);

    breaker.record_sign_in();
    assert_eq!(breaker.awaited(), None);
    assert!(!breaker.needs_person());
}
