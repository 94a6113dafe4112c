use super::*;
use FailureCause as Cause;
use MustAct::{Administrator, MailboxOwner, Nobody, TenantAdministrator};

const HOUR: Duration = Duration::from_hours(1);

fn histories() -> [History; 5] {
    let failing = |has_worked, failing_for| History {
        has_worked,
        failing_for,
        is_app: false,
    };
    [
        History::NEW,
        History::WORKS,
        failing(true, Duration::from_secs(1)),
        failing(true, HOUR),
        failing(false, HOUR),
    ]
}

#[test]
fn each_cause_has_a_row_for_each_history() {
    for &cause in Cause::ALL {
        for history in histories() {
            let is_there = |row: &table::Row| row.cause == cause && row.when.fits(history);
            assert!(table::rows(false).any(is_there), "{cause:?} {history:?}");
        }
    }
}

#[test]
fn actor_and_action_never_contradict_each_other() {
    for row in table::rows(true) {
        let text = row.action;
        let begins = |words: &[&str]| words.iter().any(|word| text.starts_with(word));
        let is_addressed = match row.who {
            Nobody => begins(&["Nothing: "]),
            MailboxOwner => begins(&[
                "Sign in ",
                "Ask the mailbox's owner ",
                "Ask for a new link",
                "Open the link ",
                "Load this page ",
                "Wait ",
            ]),
            TenantAdministrator => begins(&["Ask the administrator of the tenant "]),
            Administrator => !begins(&[
                "Nothing",
                "Sign in",
                "Ask the mailbox's owner",
                "Ask the administrator of the tenant",
            ]),
        };
        assert!(is_addressed, "{:?} is told: {text}", row.who);
        let is_other_named = match row.also {
            None => row.who != MailboxOwner || !text.contains("administrator"),
            Some(MailboxOwner) => {
                text.contains("sign in") || text.contains("sign-in") || text.contains("signed in")
            }
            Some(Administrator) => text.contains("the administrator "),
            Some(TenantAdministrator) => text.contains("administrator of the tenant"),
            Some(Nobody) => false,
        };
        assert!(
            is_other_named,
            "{:?} beside {:?}: {text}",
            row.also, row.who
        );
        let fits_kind = match row.kind {
            VerdictKind::NeedsSignIn => [Some(row.who), row.also].contains(&Some(MailboxOwner)),
            VerdictKind::NeedsAdministrator => row.who != Nobody,
            VerdictKind::Throttled => row.who == Nobody,
            _ => row.who != MailboxOwner,
        };
        assert!(fits_kind, "{:?} for {:?}", row.kind, row.who);
    }
}

#[test]
fn what_happened_and_for_how_long_decide_together() {
    let [new, works, stands, stands_long, never] = histories();
    for (cause, history, who, also) in [
        (Cause::PasswordRefused, new, Administrator, None),
        (Cause::PasswordRefused, stands, Administrator, None),
        (Cause::OfflineAccessNotAsked, works, Administrator, None),
        (Cause::HostNotReached, new, Administrator, None),
        (Cause::HostNotReached, never, Administrator, None),
        (Cause::HostNotReached, stands, Nobody, None),
        (Cause::HostNotReached, stands_long, Administrator, None),
        (Cause::ProviderNotReached, new, Administrator, None),
        (Cause::ProviderNotReached, stands, Nobody, None),
        (Cause::ProviderNotReached, stands_long, Administrator, None),
        (Cause::TokenRefused, new, Administrator, None),
        (
            Cause::TokenRefused,
            stands,
            MailboxOwner,
            Some(Administrator),
        ),
        (Cause::DevicePolicy, stands, TenantAdministrator, None),
        (Cause::BadRequest, works, Administrator, None),
        (Cause::BadRequest, new, Administrator, None),
        (Cause::BadRequest, stands, MailboxOwner, Some(Administrator)),
        (Cause::RefusedOtherwise, works, Administrator, None),
        (
            Cause::RefusedOtherwise,
            stands,
            MailboxOwner,
            Some(Administrator),
        ),
        (Cause::NoProvider, stands_long, Administrator, None),
    ] {
        let decided = responsibility(cause, history);
        assert_eq!(
            (decided.verdict.who, decided.also),
            (who, also),
            "{cause:?} {history:?}"
        );
    }
}

#[test]
fn nobody_is_told_to_sign_in_where_nobody_does() {
    // Of how the account itself is let in at its mail server.
    let of_server = [
        Cause::NoMechanism,
        Cause::SignInUnfit,
        Cause::PasswordsNotTaken,
    ];
    for &cause in Cause::ALL {
        for history in histories() {
            let is_app = true;
            let decided = responsibility(cause, History { is_app, ..history });

            assert!(!decided.offers_sign_in(), "{cause:?} {history:?}");
            assert_ne!(decided.verdict.who, MailboxOwner, "{cause:?}");
            if of_server.contains(&cause) {
                continue;
            }
            let text = decided.action.to_lowercase();
            assert!(!text.contains("sign in"), "{cause:?}: {text}");
            assert!(!text.contains("sign-in"), "{cause:?}: {text}");
        }
    }
}

#[test]
fn scopes_and_host_are_named_where_they_are_the_likely_cause() {
    let action = |cause| responsibility(cause, History::NEW).action;

    assert!(action(Cause::TokenRefused).contains("scopes"));
    assert!(action(Cause::HostNotReached).starts_with("Check host and port"));
    assert!(action(Cause::OfflineAccessNotAsked).contains("offline_access"));
    assert!(action(Cause::DevicePolicy).contains("device"));
}

/// The time until a failure is told must not show which private names exist.
#[test]
fn a_host_refused_by_rule_is_tried_as_one_that_is_not_there() {
    for history in histories() {
        let kind = |cause| responsibility(cause, history).verdict.kind;

        assert_eq!(
            kind(Cause::NetworkNotAllowed),
            kind(Cause::HostNotReached),
            "{history:?}"
        );
    }
}
