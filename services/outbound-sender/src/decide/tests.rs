use std::time::Duration;

use mailmesh_domain::{Diagnosis, FailureCause, History, OutboundState, responsibility};
use mailmesh_mail::transport::{
    FailureDetail, RecipientRefusal, RecipientResult, Scope, TransportFailure,
};
use time::OffsetDateTime;

use super::case::UNKNOWN_TRIES;
use super::*;
use crate::config::Config;
use crate::retry_policy::RetryPolicy;
use crate::retry_policy::SHORT_PAUSE;
use crate::sample::mail;

const OK: &str = "250 2.1.5 OK";
const NO: &str = "550 5.1.1 no such user";
const LATER: &str = "450 4.2.1 later";
const MANY: &str = "452 4.5.3 too many";
const QUOTA: &str = "550 5.4.5 daily limit";
const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

fn retry() -> RetryPolicy {
    RetryPolicy::of(&Config::default())
}

/// What the transport makes of the replies that these tests use; its own tests show that it does.
fn refusal(reply: &str) -> Option<RecipientRefusal> {
    let (code, diagnosis, scope) = match reply {
        NO => (
            "550 5.1.1",
            FailureCause::RecipientRefused.into(),
            Scope::Recipient,
        ),
        LATER => (
            "450 4.2.1",
            FailureCause::Transient.into(),
            Scope::Recipient,
        ),
        MANY => (
            "452 4.5.3",
            Diagnosis::new(FailureCause::Transient).after(Duration::ZERO),
            Scope::Recipient,
        ),
        QUOTA => (
            "550 5.4.5",
            Diagnosis::new(FailureCause::Throttled).after(Duration::from_hours(4)),
            Scope::Account,
        ),
        _ => return None,
    };
    Some(RecipientRefusal {
        code: code.to_owned(),
        diagnosis,
        scope,
        is_over_the_number: reply == MANY,
    })
}

fn result(address: &str, reply: &str) -> RecipientResult {
    RecipientResult {
        address: address.to_owned(),
        reply: reply.to_owned(),
        refusal: refusal(reply),
    }
}

fn accepted(results: &[(&str, &str)]) -> AttemptResult {
    AttemptResult::Accepted {
        results: results
            .iter()
            .map(|(address, reply)| result(address, reply))
            .collect(),
        reply: "250 2.0.0 queued".to_owned(),
    }
}

fn failure(diagnosis: impl Into<Diagnosis>, scope: Scope) -> TransportFailure {
    TransportFailure::new("It failed", diagnosis, scope).with_code(Some("421 4.7.0".to_owned()))
}

fn states(decision: &Decision) -> Vec<Option<bool>> {
    let recipients = decision.outcome.recipients.iter();
    recipients.map(|one| one.accepted).collect()
}

#[test]
fn each_recipient_gets_its_own_end() {
    let (yes, no, open) = (Some(true), Some(false), None);
    for (first, second, state, event, ends, failures) in [
        (
            OK,
            OK,
            OutboundState::Sent,
            Some(MailEventKind::Sent),
            [yes, yes],
            0,
        ),
        (
            OK,
            NO,
            OutboundState::Sent,
            Some(MailEventKind::Sent),
            [yes, no],
            0,
        ),
        (
            OK,
            LATER,
            OutboundState::Queued,
            Some(MailEventKind::Deferred),
            [yes, open],
            1,
        ),
        (OK, MANY, OutboundState::Queued, None, [yes, open], 0),
    ] {
        let ended = accepted(&[("a@x", first), ("b@x", second)]);

        let decision = decide(&mail(&["a@x", "b@x"]), ended, &retry(), NOW);

        assert_eq!(decision.outcome.state, state, "{second}");
        assert_eq!(decision.event, event, "{second}");
        assert_eq!(states(&decision), ends, "{second}");
        assert_eq!(decision.outcome.failures, failures, "{second}");
        assert_eq!(decision.outcome.reply.as_deref(), Some("250 2.0.0 queued"));
    }
}

#[test]
fn nobody_accepted_fails_for_good_or_waits() {
    let all = |reply| AttemptResult::Refused(vec![result("a@x", reply)]);

    let failed = decide(&mail(&["a@x"]), all(NO), &retry(), NOW);
    let waits = decide(&mail(&["a@x"]), all(LATER), &retry(), NOW);
    let quota = decide(&mail(&["a@x"]), all(QUOTA), &retry(), NOW);

    assert_eq!(failed.event, Some(MailEventKind::Failed));
    assert!(failed.outcome.problem.is_some());
    assert_eq!(waits.outcome.due_at, NOW + Duration::from_mins(1));
    assert_eq!(quota.outcome.failures, 0);
    assert!(quota.obstacle.is_some());
}

#[test]
fn recipient_that_was_accepted_before_keeps_its_end() {
    let mut half = mail(&["a@x", "b@x"]);
    half.recipients[0].accepted = Some(true);

    let ended = AttemptResult::Refused(vec![result("b@x", NO)]);
    let decision = decide(&half, ended, &retry(), NOW);

    assert_eq!(decision.event, Some(MailEventKind::Sent));
    assert_eq!(states(&decision), [Some(true), Some(false)]);
}

#[test]
fn failures_follow_the_schedule_until_its_hours_are_spent() {
    let transient = || AttemptResult::Failed(failure(FailureCause::Transient, Scope::Host));
    let minutes: Vec<i64> = (0..9)
        .map(|failures| {
            let mut mail = mail(&["a@x"]);
            mail.failures = failures;
            let decision = decide(&mail, transient(), &retry(), NOW);
            (decision.outcome.due_at - NOW).whole_minutes()
        })
        .collect();
    let after = |failures| {
        let mut mail = mail(&["a@x"]);
        mail.failures = failures;
        decide(&mail, transient(), &retry(), NOW)
    };
    // Seven listed waits make 411 minutes, thirty more of the last one the rest of 96 hours.
    let (last_try, given_up) = (after(36), after(37));

    assert_eq!(last_try.event, Some(MailEventKind::Deferred));
    assert_eq!(minutes, [1, 5, 15, 30, 60, 120, 180, 180, 180]);
    assert_eq!(given_up.event, Some(MailEventKind::Failed));
    assert_eq!(states(&given_up), [Some(false)]);
}

#[test]
fn failure_of_the_account_counts_for_no_mail_and_is_told_once() {
    let administrator = Diagnosis::new(FailureCause::TenantForbids);
    let hint = Duration::from_secs(90);
    for (verdict, rest) in [
        (Diagnosis::new(FailureCause::Throttled).after(hint), hint),
        (FailureCause::Throttled.into(), SHORT_PAUSE),
        // Due as soon as the account works.
        (FailureCause::TokenRefused.into(), Duration::ZERO),
        (administrator, Duration::ZERO),
    ] {
        let ended = AttemptResult::Failed(failure(verdict, Scope::Account));
        let first = decide(&mail(&["a@x"]), ended.clone(), &retry(), NOW);
        let mut known = mail(&["a@x"]);
        known.problem.clone_from(&first.outcome.problem);
        // Servers end their texts with the id of a session.
        let AttemptResult::Failed(failure) = ended else {
            panic!("it failed");
        };
        let what = "It failed with another text".to_owned();
        let ended = AttemptResult::Failed(TransportFailure { what, ..failure });
        let second = decide(&known, ended, &retry(), NOW);

        assert_eq!(first.outcome.state, OutboundState::Queued);
        assert_eq!(first.outcome.failures, 0);
        assert_eq!(first.outcome.due_at, NOW + rest);
        assert_eq!(first.event, Some(MailEventKind::Deferred));
        assert_eq!(second.event, None);
        assert!(second.obstacle.is_some());
    }
}

#[test]
fn reply_that_fits_no_rule_is_met_a_bounded_number_of_times() {
    let mut old = mail(&["a@x"]);
    old.failures = UNKNOWN_TRIES - 1;
    let ended = || AttemptResult::Failed(failure(FailureCause::Unknown, Scope::Message));

    let first = decide(&mail(&["a@x"]), ended(), &retry(), NOW);
    let last = decide(&old, ended(), &retry(), NOW);

    assert_eq!(first.event, Some(MailEventKind::Deferred));
    assert_eq!(last.event, Some(MailEventKind::Failed));
}

#[test]
fn uncertain_mail_waits_to_be_looked_for() {
    let ended = AttemptResult::Uncertain {
        results: vec![result("a@x", OK), result("b@x", MANY), result("c@x", NO)],
        failure: failure(FailureCause::Unknown, Scope::Message),
    };

    let decision = decide(&mail(&["a@x", "b@x", "c@x"]), ended, &retry(), NOW);
    let mut uncertain = mail(&["a@x", "b@x", "c@x"]);
    uncertain
        .recipients
        .clone_from(&decision.outcome.recipients);
    let sent = assume_sent(&uncertain, "found", &retry(), NOW);
    // The next attempt takes all that are open; it, too, ends uncertain, with its process.
    uncertain.attempts += 1;
    let last = assume_sent(&uncertain, "found", &retry(), NOW);

    assert_eq!(decision.outcome.state, OutboundState::Uncertain);
    assert_eq!(decision.event, Some(MailEventKind::Uncertain));
    assert_eq!(states(&decision), [None, None, Some(false)]);
    let problem = decision.outcome.problem.unwrap();
    assert_eq!(
        problem.action,
        responsibility(FailureCause::MailUncertain, History::WORKS).action
    );
    assert!(problem.mail.contains("refused 1 of its recipients"));
    assert_eq!(states(&sent), [Some(true), None, Some(false)]);
    assert_eq!(sent.outcome.state, OutboundState::Queued);
    assert_eq!(sent.outcome.due_at, NOW + Duration::from_mins(1));
    assert_eq!(sent.event, Some(MailEventKind::Deferred));
    assert_eq!(states(&last), [Some(true), Some(true), Some(false)]);
    assert_eq!(last.event, Some(MailEventKind::Sent));
}

#[test]
fn what_was_not_tried_is_due_at_once_and_told_to_nobody() {
    let decision = decide(&mail(&["a@x"]), AttemptResult::Unattempted, &retry(), NOW);

    assert_eq!(decision.outcome.state, OutboundState::Queued);
    assert_eq!(decision.outcome.due_at, NOW);
    assert_eq!(decision.event, None);
}

#[test]
fn mail_that_waited_long_for_its_account_has_all_its_tries_left() {
    let late = NOW + Duration::from_hours(120);
    let throttled = failure(FailureCause::Throttled, Scope::Account);
    let cut = failure(FailureCause::Transient, Scope::Host);

    let throttled = decide(
        &mail(&["a@x"]),
        AttemptResult::Failed(throttled),
        &retry(),
        late,
    );
    let cut = decide(&mail(&["a@x"]), AttemptResult::Failed(cut), &retry(), late);

    assert_eq!(throttled.outcome.state, OutboundState::Queued);
    assert!(throttled.obstacle.is_some());
    assert_eq!(cut.outcome.state, OutboundState::Queued);
    assert_eq!(cut.outcome.due_at, late + Duration::from_mins(1));
}

#[test]
fn throttle_that_met_the_content_counts_for_the_mail_too() {
    let of_content =
        failure(FailureCause::Throttled, Scope::Account).with_detail(FailureDetail::ContentRefused);
    let mut old = mail(&["a@x"]);
    old.failures = 37;

    let first = decide(
        &mail(&["a@x"]),
        AttemptResult::Failed(of_content.clone()),
        &retry(),
        NOW,
    );
    let last = decide(&old, AttemptResult::Failed(of_content), &retry(), NOW);

    assert_eq!(first.outcome.state, OutboundState::Queued);
    assert_eq!(first.outcome.failures, 1);
    assert!(first.obstacle.is_some() && last.obstacle.is_some());
    assert_eq!(last.event, Some(MailEventKind::Failed));
}

#[test]
fn uncertain_mail_is_sent_again_on_the_schedule_and_after_three_rounds_held() {
    let mut uncertain = mail(&["a@x"]);
    uncertain.failures = 1;

    let again = send_again(&uncertain, 2, &retry(), NOW);
    let held = send_again(&uncertain, 3, &retry(), NOW);
    uncertain.problem.clone_from(&held.outcome.problem);
    let still = send_again(&uncertain, 3, &retry(), NOW);
    uncertain.failures = 37;
    let spent = send_again(&uncertain, 1, &retry(), NOW);

    assert_eq!(again.outcome.state, OutboundState::Queued);
    assert_eq!(again.outcome.failures, 2);
    assert_eq!(again.outcome.due_at, NOW + Duration::from_mins(5));
    assert_eq!(held.outcome.state, OutboundState::Uncertain);
    assert_eq!(held.event, Some(MailEventKind::Uncertain));
    assert_eq!((still.event, spent.event), (None, None));
    assert_eq!(spent.outcome.state, OutboundState::Uncertain);
}

#[test]
fn trouble_of_the_server_counts_for_one_mail_and_keeps_the_others_back() {
    for (scope, is_obstacle) in [(Scope::Host, true), (Scope::Message, false)] {
        let ended = AttemptResult::Failed(failure(FailureCause::Transient, scope));

        let decision = decide(&mail(&["a@x"]), ended, &retry(), NOW);

        assert_eq!(decision.outcome.failures, 1);
        assert_eq!(decision.outcome.state, OutboundState::Queued);
        let obstacle = decision.obstacle.map(|failure| failure.is_of_host());
        assert_eq!(obstacle, is_obstacle.then_some(true));
    }
}
