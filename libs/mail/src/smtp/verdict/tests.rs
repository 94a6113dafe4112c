use super::*;

// Phase | reply, its lines parted by `//` | kind | who must act | scope
const GMAIL: &str = "\
Auth | 535-5.7.8 Username and Password not accepted. // 535 5.7.8  https://support.google.com | NeedsSignIn | MailboxOwner | Account
Auth | 454 4.7.0 Too many login attempts, please try again later. | Throttled | Nobody | Account
Auth | 454 4.7.0 Cannot authenticate due to a temporary system problem. | Transient | Nobody | Account
Auth | 534-5.7.9 Application-specific password required. // 534 5.7.9 x | NeedsAdministrator | MailboxOwner | Account
Auth | 534 5.7.14 Please log in with your web browser | NeedsAdministrator | MailboxOwner | Account
Auth | 555 5.5.2 Syntax error, command line too long | NeedsAdministrator | Administrator | Account
Mail | 530 5.7.0 Must issue a STARTTLS command first | NeedsAdministrator | Administrator | Account
Mail | 530 5.5.1 Authentication Required | NeedsAdministrator | Administrator | Account
Greeting | 421 4.7.0 Try again later, closing connection. | Throttled | Nobody | Account
Mail | 421 4.3.0 Temporary System Problem. Try again later | Transient | Nobody | Host
Mail | 550-5.4.5 Daily user sending limit exceeded. For more // 550 5.4.5 information | Throttled | Nobody | Account
Recipient | 550 5.4.5 Daily user sending limit exceeded | Throttled | Nobody | Account
Content | 550 5.4.5 Daily user sending limit exceeded | Throttled | Nobody | Account
Recipient | 450 4.2.1 The user is receiving mail too quickly | Transient | Nobody | Recipient
Recipient | 452 4.2.2 The email account is over quota | Transient | Nobody | Recipient
Content | 451 4.3.0 Mail server temporarily rejected message | Transient | Nobody | Message
Recipient | 452 4.5.3 Too many recipients | Transient | Nobody | Recipient
Recipient | 550-5.1.1 The email account does not exist // 550 5.1.1 x | Permanent | Administrator | Recipient
Content | 552 5.2.3 Your message exceeded size limits | Permanent | Administrator | Message
Content | 552 5.7.0 blocked because its content presents a potential security issue | Permanent | Administrator | Message
Content | 550 5.7.1 Our system has detected that this message is likely spam | Permanent | Administrator | Message
Data | 503 5.5.1 RCPT first | Unknown | Administrator | Message";

const EXCHANGE: &str = "\
Auth | 535 5.7.3 Authentication unsuccessful [AM0PR02CA0001.eurprd02.prod.outlook.com] | NeedsSignIn | MailboxOwner | Account
Auth | 535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. | NeedsAdministrator | TenantAdministrator | Account
Auth | 550 5.7.30 Basic authentication is not supported for Client Submission. | NeedsAdministrator | Administrator | Account
Auth | 454 4.7.0 Temporary authentication failure | Transient | Nobody | Account
Auth | 451 4.7.0 Temporary server error. Please try again later. PRX4 | Transient | Nobody | Account
Mail | 530 5.7.57 Client not authenticated to send mail | NeedsAdministrator | TenantAdministrator | Account
Content | 432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded | Throttled | Nobody | Account
Mail | 421 4.4.2 Message submission rate for this client has exceeded the configured limit | Throttled | Nobody | Account
Content | 451 4.7.500 Server busy. Please try again later | Transient | Nobody | Message
Content | 554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed | Throttled | Nobody | Account
Content | 554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied | Permanent | Administrator | Sender
Content | 554 5.2.0 STOREDRV.Submission.Exception:CorruptDataException | Permanent | Administrator | Message
Content | 550 5.7.233 tenant has exceeded its external recipient limit | Throttled | Nobody | Account
Content | 550 5.7.232 trial tenant | Throttled | Nobody | Account
Content | 550 5.7.60 SMTP; Client does not have permissions to send as this sender | Permanent | Administrator | Sender
Content | 554 5.2.252 SendAsDenied; a@b.c not allowed to send as c@d.e | Permanent | Administrator | Sender
Content | 550 5.7.705 Access denied, tenant has exceeded threshold | NeedsAdministrator | TenantAdministrator | Account
Mail | 550 5.7.708 Service unavailable. Access denied | NeedsAdministrator | TenantAdministrator | Account
Recipient | 550 5.1.8 Access denied, bad outbound sender | NeedsAdministrator | TenantAdministrator | Sender
Recipient | 501 5.1.3 Invalid address | Permanent | Administrator | Recipient
Recipient | 550 5.1.10 RESOLVER.ADR.RecipientNotFound | Permanent | Administrator | Recipient";

const OTHERS: &str = "\
Greeting | 554 No SMTP service here | NeedsAdministrator | Administrator | Host
Greeting | 450 busy | Transient | Nobody | Host
Hello | 501 Syntactically invalid EHLO argument(s) | NeedsAdministrator | Administrator | Host
StartTls | 454 TLS not available due to temporary reason | Transient | Nobody | Host
Auth | 535 Authentication failed | NeedsSignIn | MailboxOwner | Account
Auth | 504 Unrecognized authentication type | NeedsAdministrator | Administrator | Account
Auth | 538 Encryption required | NeedsAdministrator | Administrator | Account
Auth | 421 shutting down | Transient | Nobody | Host
Mail | 553 5.7.1 Sender address rejected: not owned by user | Permanent | Administrator | Sender
Mail | 501 5.1.7 Bad sender address syntax | Permanent | Administrator | Sender
Mail | 552 5.3.4 Message size exceeds fixed limit | Permanent | Administrator | Message
Mail | 452 4.3.1 Insufficient system storage | Transient | Nobody | Host
Recipient | 550 no such user | Permanent | Administrator | Recipient
Recipient | 552 5.2.2 NamedAddress full | Permanent | Administrator | Recipient
Recipient | 552 5.5.3 Too many recipients | Transient | Nobody | Recipient
Recipient | 451 4.7.1 Greylisting in action, please come back later | Transient | Nobody | Recipient
Data | 554 5.5.1 Error: no valid recipients | Permanent | Administrator | Message
Data | 250 ok | Unknown | Administrator | Message
Content | 554 5.7.1 Spam message rejected | Permanent | Administrator | Message
Housekeeping | 421 4.4.2 timeout exceeded | Throttled | Nobody | Account";

fn assert_judged(table: &str) {
    for row in table.lines() {
        let cells: Vec<_> = row.split(" | ").collect();
        let [phase_name, text, kind, who, scope] = cells[..] else {
            panic!("{row}");
        };
        let phase = phase(phase_name);
        let reply = Reply::parse(&text.replace(" // ", "\n")).unwrap();
        let (diagnosis, judged_scope) = judge(phase, &reply);
        let verdict = diagnosis.verdict();
        let judged = format!("{:?} | {:?} | {judged_scope:?}", verdict.kind, verdict.who);
        assert_eq!(judged, format!("{kind} | {who} | {scope}"), "{row}");
        let is_throttled = verdict.kind == mailmesh_domain::VerdictKind::Throttled;
        assert!(!is_throttled || verdict.retry_after.is_some(), "{row}");
    }
}

fn phase(name: &str) -> Phase {
    use Phase as P;
    let all = [
        P::Greeting,
        P::Hello,
        P::StartTls,
        P::Auth,
        P::Mail,
        P::Recipient,
        P::Data,
        P::Content,
        P::Housekeeping,
    ];
    *all.iter()
        .find(|phase| format!("{phase:?}") == name)
        .unwrap()
}

#[test]
fn gmail_replies_are_judged() {
    assert_judged(GMAIL);
}

#[test]
fn exchange_replies_are_judged() {
    assert_judged(EXCHANGE);
}

#[test]
fn replies_of_other_servers_are_judged() {
    assert_judged(OTHERS);
}

#[test]
fn only_a_refused_token_asks_for_a_fresh_one() {
    for (text, expected) in [
        ("535 5.7.8 Username and Password not accepted", true),
        ("535 5.7.3 Authentication unsuccessful", true),
        ("535 Authentication failed", true),
        (
            "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria",
            false,
        ),
        ("534 5.7.14 web browser", false),
        ("454 4.7.0 Temporary authentication failure", false),
    ] {
        assert_eq!(
            is_token_refused(&Reply::parse(text).unwrap()),
            expected,
            "{text}"
        );
    }
}
