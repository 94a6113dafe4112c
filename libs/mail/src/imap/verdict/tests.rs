use mailmesh_domain::VerdictKind;

use super::*;
use crate::imap::{Mechanism, ServerText};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Token {
    Ok,
    Refused,
    Stale,
}

/// Builds the error as the session would from the server's line.
fn error_from(line: &str, stage: Stage, mechanism: Option<Mechanism>) -> ImapError {
    let (status, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (code, text) = match rest.strip_prefix('[').and_then(|r| r.split_once("] ")) {
        Some((code, text)) => (code.split(' ').next().map(str::to_owned), text),
        None => (None, rest),
    };
    let text = ServerText::new(text.as_bytes());
    let refusal = if status == "BAD" {
        Refusal::Bad
    } else {
        Refusal::No
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

#[test]
fn real_replies_are_judged() {
    use MustAct::{Administrator, MailboxOwner, Nobody, TenantAdministrator};
    use VerdictKind::{NeedsAdministrator, NeedsSignIn, Permanent, Throttled, Transient, Unknown};
    let oauth = Some(Mechanism::XOAuth2);
    let password = Some(Mechanism::Plain);
    let table = [
        // Gmail.
        (
            "NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)",
            oauth,
            NeedsSignIn,
            MailboxOwner,
            Token::Refused,
        ),
        (
            "NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)",
            password,
            NeedsAdministrator,
            Administrator,
            Token::Ok,
        ),
        (
            "NO [ALERT] Invalid credentials (Failure)",
            oauth,
            NeedsSignIn,
            MailboxOwner,
            Token::Refused,
        ),
        (
            "NO [ALERT] Too many simultaneous connections. (Failure)",
            oauth,
            Throttled,
            Nobody,
            Token::Ok,
        ),
        (
            "NO [ALERT] Application-specific password required: https://support.google.com/x (Failure)",
            password,
            NeedsAdministrator,
            MailboxOwner,
            Token::Ok,
        ),
        (
            "NO [ALERT] Your account is not enabled for IMAP use. Please visit your Gmail settings page",
            oauth,
            NeedsAdministrator,
            MailboxOwner,
            Token::Ok,
        ),
        (
            "NO [WEBALERT https://accounts.google.com/x] Web login required.",
            oauth,
            NeedsAdministrator,
            MailboxOwner,
            Token::Ok,
        ),
        (
            "NO [UNAVAILABLE] Temporary System Problem (Failure)",
            oauth,
            Transient,
            Nobody,
            Token::Ok,
        ),
        (
            "NO [UNAVAILABLE] Temporary System Problem (Failure)",
            None,
            Transient,
            Nobody,
            Token::Ok,
        ),
        (
            "NO [OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)",
            None,
            Throttled,
            Nobody,
            Token::Ok,
        ),
        (
            "BYE [OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)",
            None,
            Throttled,
            Nobody,
            Token::Ok,
        ),
        (
            "BYE Session expired, please login again.",
            None,
            Transient,
            Nobody,
            Token::Stale,
        ),
        (
            "NO [NONEXISTENT] Unknown Mailbox: x (Failure)",
            None,
            NeedsAdministrator,
            Administrator,
            Token::Ok,
        ),
        // Exchange.
        (
            "NO AUTHENTICATE failed.",
            oauth,
            NeedsSignIn,
            MailboxOwner,
            Token::Refused,
        ),
        (
            "BAD User is authenticated but not connected.",
            None,
            Unknown,
            TenantAdministrator,
            Token::Ok,
        ),
        (
            "BYE Connection closed. 14",
            None,
            Transient,
            Nobody,
            Token::Ok,
        ),
        (
            "BYE Session invalidated - AccessTokenExpired",
            None,
            Transient,
            Nobody,
            Token::Stale,
        ),
        (
            "NO Session invalidated - AccessTokenExpired",
            None,
            Transient,
            Nobody,
            Token::Stale,
        ),
        (
            "BAD Request is throttled. Suggested Backoff Time: 92415 milliseconds",
            None,
            Throttled,
            Nobody,
            Token::Ok,
        ),
        (
            "BAD Request is throttled. Suggested Backoff Time: 92415 milliseconds",
            oauth,
            Throttled,
            Nobody,
            Token::Ok,
        ),
        (
            "BAD Command Error. 12",
            None,
            Unknown,
            Administrator,
            Token::Ok,
        ),
        (
            "NO Server Unavailable. 15",
            oauth,
            Transient,
            Nobody,
            Token::Ok,
        ),
        // RFC 5530, GreenMail, Dovecot.
        (
            "NO [AUTHORIZATIONFAILED] no",
            oauth,
            NeedsAdministrator,
            Administrator,
            Token::Ok,
        ),
        (
            "NO [EXPIRED] password has expired",
            password,
            NeedsAdministrator,
            Administrator,
            Token::Ok,
        ),
        (
            "NO [CONTACTADMIN] call us",
            None,
            NeedsAdministrator,
            TenantAdministrator,
            Token::Ok,
        ),
        (
            "NO [INUSE] Mailbox in use",
            None,
            Transient,
            Nobody,
            Token::Ok,
        ),
        (
            "NO [SERVERBUG] Internal error",
            None,
            Transient,
            Nobody,
            Token::Ok,
        ),
        (
            "NO [CANNOT] Invalid mailbox name",
            None,
            Permanent,
            Administrator,
            Token::Ok,
        ),
        (
            "BAD Invalid command.",
            oauth,
            NeedsAdministrator,
            Administrator,
            Token::Ok,
        ),
        ("NO SELECT failed.", None, Unknown, Administrator, Token::Ok),
    ];
    for (line, mechanism, kind, who, token) in table {
        let error = error_from(line, Stage::Select, mechanism);

        let verdict = error.verdict();

        assert_eq!((verdict.kind, verdict.who), (kind, who), "{line}");
        assert_eq!(error.is_token_refused(), token == Token::Refused, "{line}");
        assert_eq!(error.is_token_stale(), token == Token::Stale, "{line}");
    }
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
