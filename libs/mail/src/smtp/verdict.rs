use std::fmt;
use std::time::Duration;

use mailmesh_domain::{Diagnosis, FailureCause};

use super::reply::Reply;
use crate::transport::Scope;

/// What we were doing when the server answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for the greeting.
    Greeting,
    /// EHLO or HELO.
    Hello,
    /// STARTTLS.
    StartTls,
    /// AUTH.
    Auth,
    /// MAIL.
    Mail,
    /// RCPT.
    Recipient,
    /// DATA.
    Data,
    /// The content, up to and with the final dot.
    Content,
    /// RSET, NOOP or QUIT.
    Housekeeping,
}

impl fmt::Display for Phase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Greeting => "the greeting",
            Self::Hello => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Auth => "sign-in",
            Self::Mail => "the sender",
            Self::Recipient => "the recipient",
            Self::Data => "DATA",
            Self::Content => "the content",
            Self::Housekeeping => "RSET or NOOP",
        })
    }
}

/// Gmail and Exchange count over a rolling day, so a part of it may pass soon; asking more often gains nothing.
const QUOTA_PAUSE: Duration = Duration::from_hours(4);
/// Gmail wants an account that signed in too often left alone.
const LOGIN_PAUSE: Duration = Duration::from_mins(15);
/// Exchange counts mails by the minute.
const RATE_PAUSE: Duration = Duration::from_mins(1);
/// Gmail's `421 4.7.0 Try again later` names no time.
const POLICY_PAUSE: Duration = Duration::from_mins(5);
/// Exchange's limit on concurrent submissions.
const CONCURRENCY_PAUSE: Duration = Duration::from_secs(5);

/// Meanings for which a provider gives nothing but a text.
const TEXTS: [(&str, SpecialCase); 3] = [
    // Gmail: 454 4.7.0 also stands for an outage of its own.
    ("too many login attempts", SpecialCase::TooManyLogins),
    // Exchange: 554 5.2.0 STOREDRV.Submission.Exception:… also stands for other exceptions.
    ("submissionquotaexceeded", SpecialCase::Quota),
    ("sendasdenied", SpecialCase::SendAsDenied),
];

#[derive(Debug, Clone, Copy)]
enum SpecialCase {
    TooManyLogins,
    Quota,
    SendAsDenied,
}

/// Returns what a refusal means and what it concerns. The three-digit code decides about retrying, the enhanced code
/// about the reason (RFC 3463), except where a provider is known to answer 5xx for what passes by itself.
pub(super) fn judge(phase: Phase, reply: &Reply) -> (Diagnosis, Scope) {
    by_text(reply)
        .or_else(|| by_enhanced_code(phase, reply))
        .or_else(|| by_code(phase, reply))
        .unwrap_or_else(|| by_class(phase, reply))
}

/// Returns whether sign-in failed because of the token, so that a fresh one may help.
pub(super) fn is_token_refused(reply: &Reply) -> bool {
    // 535 5.7.139 is a switch that somebody has to turn: Exchange refuses every token alike.
    reply.code() == 535 && !has(reply, 7, 139)
}

/// Returns whether sign-in failed because of login or password.
pub(super) fn is_about_password(reply: &Reply) -> bool {
    judge(Phase::Auth, reply).0.cause == FailureCause::TokenRefused
}

/// Returns whether the server takes fewer recipients at once than it was given (RFC 5321 §4.5.3.1.10).
pub(super) fn is_too_many_recipients(reply: &Reply) -> bool {
    matches!(reply.code(), 452 | 552) && has(reply, 5, 3)
}

fn has(reply: &Reply, subject: u16, detail: u16) -> bool {
    reply
        .enhanced()
        .is_some_and(|enhanced| enhanced.is(subject, detail))
}

fn by_text(reply: &Reply) -> Option<(Diagnosis, Scope)> {
    if !matches!(
        (reply.code(), reply.enhanced()),
        (454, _) | (550 | 554, None)
    ) && !has(reply, 2, 0)
    {
        return None;
    }
    let text = reply.text().to_ascii_lowercase();
    let (_, meaning) = TEXTS.iter().find(|(needle, _)| text.contains(needle))?;
    Some(match meaning {
        SpecialCase::TooManyLogins => (throttled(LOGIN_PAUSE), Scope::Account),
        SpecialCase::Quota => (throttled(QUOTA_PAUSE), Scope::Account),
        SpecialCase::SendAsDenied => (FailureCause::SenderRefused.into(), Scope::Sender),
    })
}

const fn throttled(pause: Duration) -> Diagnosis {
    Diagnosis::new(FailureCause::Throttled).after(pause)
}

fn by_enhanced_code(phase: Phase, reply: &Reply) -> Option<(Diagnosis, Scope)> {
    let enhanced = reply.enhanced()?;
    let is = Diagnosis::new;
    Some(match (reply.code(), enhanced.subject, enhanced.detail) {
        // Gmail's daily limit; Exchange's for the tenant (trial: 232): 5xx, and temporary all the same.
        (550, 4, 5) | (_, 7, 232 | 233) => (throttled(QUOTA_PAUSE), Scope::Account),
        // Exchange: SMTP AUTH switched off, security defaults; not signed in; tenant blocked for spam.
        (_, 7, 139 | 57 | 705 | 708) => (is(FailureCause::TenantForbids), Scope::Account),
        // Exchange: this sender is blocked for outbound spam.
        (550, 1, 8) => (is(FailureCause::TenantForbids), Scope::Sender),
        // Exchange: passwords are no longer taken here.
        (550, 7, 30) => (is(FailureCause::PasswordsNotTaken), Scope::Account),
        // Exchange: the mailbox may not send as this From.
        (_, 7, 60) | (_, 2, 252) => (is(FailureCause::SenderRefused), Scope::Sender),
        // Exchange: more than thirty mails a minute.
        (421, 4, 2) => (throttled(RATE_PAUSE), Scope::Account),
        (421, 7, _) => (throttled(POLICY_PAUSE), Scope::Account),
        // Exchange: more than three submissions at once.
        (432, 3, 2) => (throttled(CONCURRENCY_PAUSE), Scope::Account),
        // Not a fault of the recipient: the next transaction may take it.
        (452 | 552, 5, 3) => (
            is(FailureCause::Transient).after(Duration::ZERO),
            Scope::Recipient,
        ),
        // RFC 3463 x.1.y speaks of an address even with codes that else mean a bug of ours, such as 501.
        (500.., 1, _) if phase == Phase::Recipient => {
            (is(FailureCause::RecipientRefused), Scope::Recipient)
        }
        (500.., 1, _) if phase == Phase::Mail => (is(FailureCause::SenderRefused), Scope::Sender),
        // Exchange and Gmail: the content is larger than the server takes.
        (552, 2 | 3, 3 | 4) if phase == Phase::Content => {
            (is(FailureCause::MailTooLarge), Scope::Message)
        }
        // The system is full or goes down, whoever the sender is.
        (400..=499, 3, _) if phase == Phase::Mail => (is(FailureCause::Transient), Scope::Host),
        _ => return None,
    })
}

fn by_code(phase: Phase, reply: &Reply) -> Option<(Diagnosis, Scope)> {
    let (cause, scope) = match (phase, reply.code()) {
        // Gmail wants a check in the browser, or a password for this application alone.
        (Phase::Auth, 534) if has(reply, 7, 14) => {
            (FailureCause::BrowserCheckWanted, Scope::Account)
        }
        (Phase::Auth, 534) => (FailureCause::AppPasswordWanted, Scope::Account),
        (Phase::Auth, 535 | 432) => (FailureCause::TokenRefused, Scope::Account),
        // Else: authentication or STARTTLS is required, a setting of the account.
        (Phase::Auth, 500..) | (_, 530 | 538) => (FailureCause::SignInUnfit, Scope::Account),
        // A block of our address or name; also 550 and 501 for the EHLO name.
        (Phase::Greeting | Phase::Hello | Phase::StartTls, 500..) => {
            (FailureCause::MachineRefused, Scope::Host)
        }
        (_, 421) => (FailureCause::Transient, Scope::Host),
        // MAIL carried the size (RFC 1870 §6.1).
        (Phase::Mail, 552) => (FailureCause::MailTooLarge, Scope::Message),
        // A protocol error of ours, or the server takes it for one: neither a bounce nor a blind retry.
        (_, 500..=504 | 555) => (FailureCause::Unknown, own_scope(phase)),
        _ => return None,
    };
    Some((cause.into(), scope))
}

fn by_class(phase: Phase, reply: &Reply) -> (Diagnosis, Scope) {
    let cause = match reply.code() {
        400..=499 => FailureCause::Transient,
        500..=599 => match phase {
            Phase::Mail => FailureCause::SenderRefused,
            Phase::Recipient => FailureCause::RecipientRefused,
            _ => FailureCause::MailRefused,
        },
        _ => FailureCause::Unknown,
    };
    (cause.into(), own_scope(phase))
}

const fn own_scope(phase: Phase) -> Scope {
    match phase {
        Phase::Greeting | Phase::Hello | Phase::StartTls | Phase::Housekeeping => Scope::Host,
        Phase::Auth => Scope::Account,
        Phase::Mail => Scope::Sender,
        Phase::Recipient => Scope::Recipient,
        Phase::Data | Phase::Content => Scope::Message,
    }
}

#[cfg(test)]
mod tests;
