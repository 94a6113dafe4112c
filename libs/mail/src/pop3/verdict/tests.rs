use super::super::reply::Reply;
use super::*;

/// What was tried (`-` for the greeting, `=` for a mechanism by name), kind, who must act, seconds to wait, state of the
/// token, and what the server said.
const REPLIES: &str = "
-- Gmail
XOAuth2  NeedsSignIn        MailboxOwner        -   refused -ERR [AUTH] Username and password not accepted.
UserPass NeedsAdministrator Administrator       -   fine    -ERR [AUTH] Username and password not accepted.
UserPass NeedsAdministrator MailboxOwner        -   fine    -ERR [AUTH] Application-specific password required: https://support.google.com/x
UserPass NeedsAdministrator MailboxOwner        -   fine    -ERR [AUTH] Web login required: https://support.google.com/x
XOAuth2  NeedsAdministrator MailboxOwner        -   fine    -ERR [SYS/PERM] Your account is not enabled for POP access. Please visit your Gmail settings page and enable POP access for your account.
XOAuth2  Throttled          Nobody              300 fine    -ERR [LOGIN-DELAY] minimum time between mail checks violation
XOAuth2  Transient          Nobody              -   fine    -ERR [SYS/TEMP] Temporary system problem. Please try again later.
XOAuth2  Transient          Nobody              60  fine    -ERR [IN-USE] Unable to lock maildrop: NamedAddress is locked by POP server
Retrieve Transient          Nobody              -   stale   -ERR Session expired, please login again.
-- Exchange
XOAuth2  NeedsSignIn        MailboxOwner        -   refused -ERR Authentication failure: unknown user name or bad password.
UserPass NeedsAdministrator Administrator       -   fine    -ERR Logon failure: unknown user name or bad password.
XOAuth2  NeedsAdministrator Administrator       -   fine    -ERR Protocol error. Connection is closed. 10
-        NeedsAdministrator Administrator       -   fine    -ERR Protocol error. 19
XOAuth2  Transient          Nobody              -   fine    -ERR Server Unavailable. 21
-- Dovecot
XOAuth2  NeedsSignIn        MailboxOwner        -   refused -ERR [AUTH] Authentication failed.
Plain    NeedsAdministrator Administrator       -   fine    -ERR [AUTH] Authentication failed.
Plain    NeedsAdministrator Administrator       -   fine    -ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.
XOAuth2  Transient          Nobody              -   fine    -ERR [SYS/TEMP] Temporary authentication failure. [mail:2026-11-30 12:00:00]
XOAuth2  NeedsAdministrator TenantAdministrator -   fine    -ERR [SYS/PERM] Permission denied
Status   Transient          Nobody              60  fine    -ERR [IN-USE] Couldn't open INBOX: NamedAddress is locked by another session
-- Others
UserPass Transient          Nobody              60  fine    -ERR [IN-USE] Do you have another POP session running?
UserPass Transient          Nobody              60  fine    -ERR maildrop already locked
UserPass Transient          Nobody              60  fine    -ERR unable to lock maildrop
UserPass Transient          Nobody              60  fine    -ERR Can't get lock. NamedAddress in use
UserPass Transient          Nobody              60  fine    -ERR /var/spool/mail/.x.pop lock busy! Is another session active? (11)
UserPass NeedsAdministrator Administrator       -   fine    -ERR Your address is blocked
UserPass NeedsAdministrator TenantAdministrator -   fine    -ERR account is locked
UserPass Throttled          Nobody              300 fine    -ERR Too many connections from your address
XOAuth2  Throttled          Nobody              300 fine    -ERR too many failed logins
UserPass Transient          Nobody              -   fine    -ERR internal error, try again
UserPass NeedsAdministrator Administrator       -   fine    -ERR invalid password
UserPass NeedsAdministrator Administrator       -   fine    -ERR
OAuthBearer NeedsSignIn     MailboxOwner        -   refused -ERR
=        NeedsAdministrator Administrator       -   fine    -ERR Unrecognized authentication type
=        NeedsAdministrator Administrator       -   fine    -ERR too many arguments
=        Transient          Nobody              60  fine    -ERR [IN-USE] locked
=        NeedsAdministrator Administrator       -   fine    -ERR [AUTH] not for you
-        Transient          Nobody              -   fine    -ERR
-        Transient          Nobody              60  fine    -ERR server busy
StartTls NeedsAdministrator Administrator       -   fine    -ERR Command not permitted
List     Unknown            Administrator       -   fine    -ERR failed
Retrieve Unknown            Administrator       -   fine    -ERR no such message, or it is locked
Retrieve Permanent          TenantAdministrator -   fine    -ERR [SYS/PERM] mailbox corrupt
Retrieve Transient          Nobody              -   fine    -ERR [SYS/TEMP] disk is slow
Quit     Transient          Nobody              -   fine    -ERR some deleted messages not removed
";

fn tried(name: &str) -> RefusedStep {
    let command = RefusedStep::Command;
    match name {
        "-" => command(Stage::Greeting),
        "=" => RefusedStep::Mechanism,
        "XOAuth2" => RefusedStep::SignIn(Mechanism::XOAuth2),
        "OAuthBearer" => RefusedStep::SignIn(Mechanism::OAuthBearer),
        "Plain" => RefusedStep::SignIn(Mechanism::Plain),
        "UserPass" => RefusedStep::SignIn(Mechanism::UserPass),
        "StartTls" => command(Stage::StartTls),
        "Status" => command(Stage::Status),
        "List" => command(Stage::List),
        "Retrieve" => command(Stage::Retrieve),
        "Quit" => command(Stage::Quit),
        other => panic!("{other}"),
    }
}

#[test]
fn replies_of_real_servers_are_judged() {
    let rows = REPLIES.lines().filter(|row| !row.is_empty());
    for row in rows.filter(|row| !row.starts_with("--")) {
        let (cells, said) = row.split_at(row.find("-ERR").unwrap());
        let cells: Vec<_> = cells.split_whitespace().collect();
        let Some(Reply::Refused(refusal)) = Reply::parse(said.as_bytes()) else {
            panic!("{row}");
        };

        let judgement = judge(tried(cells[0]), &refusal, Some(Duration::from_mins(5)));

        let verdict = judgement.verdict();
        let delay = verdict
            .retry_after
            .map_or("-".to_owned(), |delay| delay.as_secs().to_string());
        let token = match judgement.token {
            TokenState::NotAtFault => "fine",
            TokenState::Refused => "refused",
            TokenState::Stale => "stale",
        };
        let judged = format!("{:?} {:?} {delay} {token}", verdict.kind, verdict.who);
        assert_eq!(judged, cells[1..].join(" "), "{row}");
    }
}

#[test]
fn the_wait_between_sign_ins_is_the_servers_own() {
    let Some(Reply::Refused(refusal)) = Reply::parse(b"-ERR [LOGIN-DELAY] wait") else {
        panic!("no refusal");
    };
    let delay = |told| {
        judge(RefusedStep::SignIn(Mechanism::Plain), &refusal, told)
            .verdict()
            .retry_after
    };

    let told = Duration::from_mins(15);
    assert_eq!(delay(Some(told)), Some(told));
    assert_eq!(delay(None), Some(THROTTLE_PAUSE));
}

#[test]
fn a_refused_secret_is_not_taken_for_a_refused_form() {
    for (said, is_form) in [
        ("-ERR Syntax error", true),
        ("-ERR Line too long", true),
        ("-ERR Unrecognized authentication type", true),
        (
            "-ERR Logon failure: unknown user name or bad password.",
            false,
        ),
        ("-ERR [AUTH] unsupported account", false),
        ("-ERR invalid password", false),
        ("-ERR", false),
    ] {
        let Some(Reply::Refused(refusal)) = Reply::parse(said.as_bytes()) else {
            panic!("{said}");
        };
        assert_eq!(is_form_refused(&refusal), is_form, "{said}");
    }
}
