use std::time::Duration;

use mailmesh_domain::{Diagnosis, FailureCause, Verdict};

use super::reply::ErrReply;
use super::stage::{Mechanism, Stage};

/// A maildrop that a crashed session of ours holds is free once the server notices, from seconds to RFC 1939's ten minutes.
const LOCK_PAUSE: Duration = Duration::from_mins(1);
/// Pause after a server's limit on sign-ins or connections that names no time.
const THROTTLE_PAUSE: Duration = Duration::from_mins(5);

/// State of the access token after a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenState {
    NotAtFault,
    Refused,
    Stale,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Judgement {
    pub(super) diagnosis: Diagnosis,
    pub(super) token: TokenState,
}

impl Judgement {
    pub(super) fn verdict(self) -> Verdict {
        self.diagnosis.verdict()
    }
}

/// What was tried when the server refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RefusedStep {
    /// A command.
    Command(Stage),
    /// A mechanism whose secret the server has not looked at.
    Mechanism,
    /// A sign-in.
    SignIn(Mechanism),
}

const fn fine(cause: FailureCause) -> Judgement {
    of(Diagnosis::new(cause))
}

const fn of(diagnosis: Diagnosis) -> Judgement {
    Judgement {
        diagnosis,
        token: TokenState::NotAtFault,
    }
}

const STALE: Judgement = Judgement {
    diagnosis: Diagnosis::new(FailureCause::Transient),
    token: TokenState::Stale,
};
const LOCKED: Judgement = of(Diagnosis::new(FailureCause::Transient).after(LOCK_PAUSE));

/// Replies whose meaning providers put in their text alone, or more exactly than in their code.
const TEXTS: &[(&str, Judgement)] = &[
    // Gmail: the user has switched POP off.
    (
        "not enabled for pop",
        fine(FailureCause::ProtocolSwitchedOff),
    ),
    // Gmail, for passwords of accounts with two-step verification.
    (
        "application-specific password required",
        fine(FailureCause::AppPasswordWanted),
    ),
    ("web login required", fine(FailureCause::BrowserCheckWanted)),
    // Dovecot, for passwords over an unprotected connection.
    (
        "plaintext authentication disallowed",
        fine(FailureCause::SignInUnfit),
    ),
    // Exchange, of a client that speaks another protocol, or sends a longer line than it reads.
    ("protocol error", fine(FailureCause::SignInUnfit)),
    ("accesstokenexpired", STALE),
    ("session expired", STALE),
    // Gmail's daily bandwidth.
    (
        "exceeded command or bandwidth limits",
        fine(FailureCause::Throttled),
    ),
    // Exchange, with a number.
    ("server unavailable", fine(FailureCause::Transient)),
];

/// Returns what a refusal means: known texts first, then response codes, then, for the many servers without codes, words
/// that mean something other than bad credentials.
pub(super) fn judge(
    tried: RefusedStep,
    refusal: &ErrReply,
    login_delay: Option<Duration>,
) -> Judgement {
    let text = refusal.text.as_str().to_ascii_lowercase();
    by_text(&text)
        .or_else(|| by_code(tried, refusal.code.as_deref(), login_delay))
        .or_else(|| by_words(tried, &text).filter(|_| !is_form_refused(refusal)))
        .unwrap_or_else(|| by_what_was_tried(tried))
}

/// Returns whether the server took the line's form, and not its content, amiss.
pub(super) fn is_form_refused(refusal: &ErrReply) -> bool {
    // Not "unknown" alone: Exchange speaks so of the user name.
    const FORMS: &[&str] = &[
        "syntax",
        "too long",
        "unknown command",
        "unknown auth",
        "unknown mechanism",
        "unrecognized",
        "unrecognised",
        "unsupported",
        "not supported",
        "not implemented",
        "invalid command",
        "bad command",
        "argument",
        "parameter",
        "usage:",
    ];
    let text = refusal.text.as_str().to_ascii_lowercase();
    refusal.code.is_none() && FORMS.iter().any(|form| text.contains(form))
}

/// Returns whether a refusal, given before the secret was looked at, is about the mechanism or its form, so that another may
/// work.
pub(super) fn is_mechanism_refused(refusal: &ErrReply) -> bool {
    let text = refusal.text.as_str().to_ascii_lowercase();
    let is_reason_known =
        by_text(&text).is_some() || by_words(RefusedStep::Mechanism, &text).is_some();
    is_form_refused(refusal) || (refusal.code.is_none() && !is_reason_known)
}

fn by_text(text: &str) -> Option<Judgement> {
    let known = TEXTS.iter().find(|(known, _)| text.contains(known));
    known.map(|(_, judgement)| *judgement)
}

fn by_code(
    tried: RefusedStep,
    code: Option<&str>,
    login_delay: Option<Duration>,
) -> Option<Judgement> {
    Some(match code? {
        // RFC 2449 §8.1.2: the sign-in was good and the maildrop is locked, so the credentials are not at fault.
        "IN-USE" => LOCKED,
        "LOGIN-DELAY" => throttled(login_delay),
        "SYS/TEMP" => fine(FailureCause::Transient),
        // RFC 3206 §4: a permanent failure that needs the server's administrator.
        "SYS/PERM" => match tried {
            RefusedStep::Command(Stage::Retrieve | Stage::Delete) => {
                fine(FailureCause::MailboxBroken)
            }
            _ => fine(FailureCause::TenantForbids),
        },
        "AUTH" => match tried {
            // A mechanism refused before the secret was sent is a matter of the server, not of these credentials.
            RefusedStep::Mechanism | RefusedStep::Command(_) => fine(FailureCause::SignInUnfit),
            RefusedStep::SignIn(mechanism) => bad_credentials(mechanism),
        },
        _ => return None,
    })
}

/// Whole words: "blocked" is not "locked".
fn by_words(tried: RefusedStep, text: &str) -> Option<Judgement> {
    if matches!(tried, RefusedStep::Command(Stage::Retrieve | Stage::Delete)) {
        return None;
    }
    let has = |start: &str| {
        text.split(|letter: char| !letter.is_ascii_alphanumeric())
            .any(|word| word.starts_with(start))
    };
    let is_lock = has("lock") || text.contains("in use") || text.contains("already open");
    // The account is locked by an administrator or a policy, not the maildrop by a session.
    if has("account") && has("lock") {
        return Some(fine(FailureCause::AccountDisabled));
    }
    if is_lock || has("busy") {
        return Some(LOCKED);
    }
    if text.contains("too many") {
        return Some(throttled(None));
    }
    let is_passing = text.contains("try again") || has("temporar") || text.contains("timed out");
    is_passing.then_some(fine(FailureCause::Transient))
}

const fn by_what_was_tried(tried: RefusedStep) -> Judgement {
    match tried {
        RefusedStep::SignIn(mechanism) => bad_credentials(mechanism),
        RefusedStep::Mechanism | RefusedStep::Command(Stage::StartTls) => {
            fine(FailureCause::SignInUnfit)
        }
        RefusedStep::Command(Stage::Greeting | Stage::Quit) => fine(FailureCause::Transient),
        RefusedStep::Command(_) => fine(FailureCause::Unknown),
    }
}

const fn bad_credentials(mechanism: Mechanism) -> Judgement {
    if mechanism.is_oauth2() {
        Judgement {
            diagnosis: Diagnosis::new(FailureCause::TokenRefused),
            token: TokenState::Refused,
        }
    } else {
        fine(FailureCause::PasswordRefused)
    }
}

const fn throttled(delay: Option<Duration>) -> Judgement {
    let delay = match delay {
        Some(delay) => delay,
        None => THROTTLE_PAUSE,
    };
    of(Diagnosis::new(FailureCause::Throttled).after(delay))
}

#[cfg(test)]
mod tests;
