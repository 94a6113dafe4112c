use super::*;
use crate::ServerText;
use crate::imap::Mechanism;

/// Builds the error as the session would from the server's line.
fn error_from(line: &str, stage: Stage, mechanism: Option<Mechanism>) -> ImapError {
    let (status, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (code, text) = match rest.strip_prefix('[').and_then(|r| r.split_once("] ")) {
        Some((code, text)) => (code.split(' ').next().map(str::to_owned), text),
        None => (None, rest),
    };
    let text = ServerText::new(text.as_bytes());
    let refusal = if status == "BAD" {
        RefusalStatus::Bad
    } else {
        RefusalStatus::No
    };
    match (status, mechanism) {
        ("BYE", _) => ImapError::Bye { stage, code, text },
        (_, Some(mechanism)) => ImapError::SignInRefused {
            mechanism,
            refusal,
            code,
            text,
            challenge_status: None,
        },
        (_, None) => ImapError::Refused {
            stage,
            refusal,
            code,
            text,
        },
    }
}

/// Sign-in mechanism or `-`, kind, who must act, state of the token, and what the server said.
const REPLIES: &str = "
-- Gmail
XOAuth2 NeedsSignIn        MailboxOwner        refused NO [AUTHENTICATIONFAILED] Invalid credentials (TransportFailure)
Plain   NeedsAdministrator Administrator       fine    NO [AUTHENTICATIONFAILED] Invalid credentials (TransportFailure)
XOAuth2 NeedsSignIn        MailboxOwner        refused NO [ALERT] Invalid credentials (TransportFailure)
XOAuth2 Throttled          Nobody              fine    NO [ALERT] Too many simultaneous connections. (TransportFailure)
Plain   NeedsAdministrator MailboxOwner        fine    NO [ALERT] Application-specific password required: https://support.google.com/x (Failure)
XOAuth2 NeedsAdministrator MailboxOwner        fine    NO [ALERT] Your account is not enabled for IMAP use. Please visit your Gmail settings page
XOAuth2 NeedsAdministrator MailboxOwner        fine    NO [WEBALERT https://accounts.google.com/x] Web login required.
XOAuth2 Transient          Nobody              fine    NO [UNAVAILABLE] Temporary System Problem (TransportFailure)
-       Transient          Nobody              fine    NO [UNAVAILABLE] Temporary System Problem (TransportFailure)
-       Throttled          Nobody              fine    NO [OVERQUOTA] Account exceeded command or bandwidth limits. (TransportFailure)
-       Throttled          Nobody              fine    BYE [OVERQUOTA] Account exceeded command or bandwidth limits. (TransportFailure)
-       Transient          Nobody              stale   BYE Session expired, please login again.
-       NeedsAdministrator Administrator       fine    NO [NONEXISTENT] Unknown NamedAddress: x (TransportFailure)
-- Exchange
XOAuth2 NeedsSignIn        MailboxOwner        refused NO AUTHENTICATE failed.
-       Unknown            TenantAdministrator fine    BAD User is authenticated but not connected.
-       Transient          Nobody              fine    BYE Connection closed. 14
-       Transient          Nobody              stale   BYE Session invalidated - AccessTokenExpired
-       Transient          Nobody              stale   NO Session invalidated - AccessTokenExpired
-       Throttled          Nobody              fine    BAD Request is throttled. Suggested Backoff Time: 92415 milliseconds
XOAuth2 Throttled          Nobody              fine    BAD Request is throttled. Suggested Backoff Time: 92415 milliseconds
-       Unknown            Administrator       fine    BAD Command Error. 12
XOAuth2 Transient          Nobody              fine    NO Server Unavailable. 15
-- RFC 5530, GreenMail, Dovecot
XOAuth2 NeedsAdministrator Administrator       fine    NO [AUTHORIZATIONFAILED] no
Plain   NeedsAdministrator Administrator       fine    NO [EXPIRED] password has expired
-       NeedsAdministrator TenantAdministrator fine    NO [CONTACTADMIN] call us
-       Transient          Nobody              fine    NO [INUSE] NamedAddress in use
-       Transient          Nobody              fine    NO [SERVERBUG] Internal error
-       NeedsAdministrator Administrator       fine    NO [CANNOT] Invalid mailbox name
XOAuth2 NeedsAdministrator Administrator       fine    BAD Invalid command.
-       Unknown            Administrator       fine    NO SELECT failed.
";

#[test]
fn real_replies_are_judged() {
    let rows = REPLIES
        .lines()
        .filter(|row| !row.is_empty() && !row.starts_with("--"));
    for row in rows {
        let mut columns = row.split_ascii_whitespace();
        let [mechanism, kind, who, token] = [(); 4].map(|()| columns.next().unwrap());
        let line = columns.collect::<Vec<_>>().join(" ");
        let mechanism = match mechanism {
            "XOAuth2" => Some(Mechanism::XOAuth2),
            "Plain" => Some(Mechanism::Plain),
            _ => None,
        };

        let error = error_from(&line, Stage::Select, mechanism);

        let verdict = error.verdict();
        assert_eq!(
            format!("{:?} {:?}", verdict.kind, verdict.who),
            format!("{kind} {who}"),
            "{row}"
        );
        assert_eq!(error.is_token_refused(), token == "refused", "{row}");
        assert_eq!(error.is_token_stale(), token == "stale", "{row}");
    }
    assert_eq!(REPLIES.lines().count(), 34);
}

#[test]
fn only_refusals_that_last_turn_push_off() {
    for (line, is_unsupported) in [
        ("NO not here", true),
        ("BAD Unknown command", true),
        ("NO [CANNOT] no push for this folder", true),
        (
            "BAD Request is throttled. Suggested Backoff Time: 92415 milliseconds",
            false,
        ),
        ("NO Session invalidated - AccessTokenExpired", false),
        ("NO [UNAVAILABLE] Temporary System Problem (Failure)", false),
        ("BAD User is authenticated but not connected.", false),
        ("NO [NOPERM] no", true),
    ] {
        let error = error_from(line, Stage::Idle, None);
        assert_eq!(error.is_idle_unsupported(), is_unsupported, "{line}");
    }
    let elsewhere = error_from("NO not here", Stage::Noop, None);
    assert!(!elsewhere.is_idle_unsupported());
}

#[test]
fn the_servers_hint_is_kept_within_reason() {
    for (text, seconds) in [
        ("Suggested Backoff Time: 92415 milliseconds", 92.415),
        ("Suggested Backoff Time: 86400000 milliseconds", 900.0),
        (
            "Suggested Backoff Time: 99999999999999999999999 milliseconds",
            900.0,
        ),
    ] {
        let error = error_from(
            &format!("BAD Request is throttled. {text}"),
            Stage::Fetch,
            None,
        );

        let delay = error.verdict().retry_after.map(|delay| delay.as_secs_f64());

        assert_eq!(delay, Some(seconds), "{text}");
    }
}

#[test]
fn errors_tell_the_stage_and_never_a_token() {
    let error = error_from(
        "BAD [CLIENTBUG] cannot read: AUTHENTICATE XOAUTH2 dXNlcj1hQGIuYwFhdXRoPUJlYXJlciB5YTI5LnNlY3JldHNlY3JldHNlY3JldAEB",
        Stage::Select,
        None,
    );

    assert_eq!(
        error.to_string(),
        "the server refused while opening the folder: BAD [CLIENTBUG] cannot read: AUTHENTICATE XOAUTH2 …"
    );
}
