use std::time::Duration;

use mailmesh_domain::{Diagnosis, FailureCause, Verdict, VerdictKind};

use super::error::{ImapError, RefusalStatus, Stage};

/// Upper bound of a server's own backoff hint.
const LONGEST_BACKOFF: Duration = Duration::from_mins(15);

/// State of the access token after a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TokenState {
    NotAtFault,
    Refused,
    Stale,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Judgement {
    diagnosis: Diagnosis,
    token: TokenState,
}

impl Judgement {
    fn verdict(self) -> Verdict {
        self.diagnosis.verdict()
    }
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

/// Replies that only their text distinguishes; providers send them without a code of their own.
const TEXTS: &[(&str, Judgement)] = &[
    // Exchange: the token is good, the mailbox is not. IMAP off, wrong login, missing permission or
    // licence, too many connections, and twice a fault of the service: bounded tries, then a person.
    (
        "user is authenticated but not connected",
        fine(FailureCause::MailboxNotConnected),
    ),
    // Exchange, as BYE in IDLE or as the tagged end of SELECT and SEARCH.
    ("accesstokenexpired", STALE),
    // Gmail ends a session with its token, after about an hour.
    ("session expired, please login again", STALE),
    // Exchange, without the hint that is read apart.
    ("request is throttled", fine(FailureCause::Throttled)),
    // Gmail: `NO [ALERT] Too many simultaneous connections. (TransportFailure)`, 15 per account.
    (
        "too many simultaneous connections",
        of(Diagnosis::new(FailureCause::Throttled).after(Duration::from_mins(1))),
    ),
    // Gmail's daily bandwidth, when the code is missing.
    (
        "exceeded command or bandwidth limits",
        fine(FailureCause::Throttled),
    ),
    // Gmail: the user has switched IMAP off.
    (
        "not enabled for imap use",
        fine(FailureCause::ProtocolSwitchedOff),
    ),
    // Gmail, for passwords of accounts with two-step verification.
    (
        "application-specific password required",
        fine(FailureCause::AppPasswordWanted),
    ),
    // Exchange: `Server Unavailable. 15`, often without a proper tag.
    ("server unavailable", fine(FailureCause::Transient)),
];

const STALE: Judgement = Judgement {
    diagnosis: Diagnosis::new(FailureCause::Transient),
    token: TokenState::Stale,
};

impl ImapError {
    /// Returns what the failure is caused by, and the server's hint on when to come back.
    pub fn diagnosis(&self) -> Diagnosis {
        let cause = match self {
            Self::Refused {
                stage: Stage::Select,
                ..
            } => return self.of_folder(),
            Self::SignInRefused { .. }
            | Self::Refused { .. }
            | Self::Bye { .. }
            | Self::Unreadable { .. } => return self.of_reply(),
            Self::Connect(error) => error.failure_cause(),
            Self::Credentials(error) => error.failure_cause(),
            // A port that wants TLS from the first byte waits for it in silence.
            Self::TimedOut {
                stage: Stage::Greeting,
            } => FailureCause::ServerSilent,
            Self::ConnectionLost { .. }
            | Self::TimedOut { .. }
            | Self::TalksOnly { .. }
            | Self::KeepsChanging
            | Self::Renumbered
            | Self::NotTaken
            | Self::Closed => FailureCause::Transient,
            Self::Excess { .. } | Self::MailUnreadable | Self::MailCutShort { .. } => {
                FailureCause::ServerFault
            }
            Self::NoMechanism => FailureCause::NoMechanism,
            Self::OtherProtocol { .. } => FailureCause::OtherProtocol,
            Self::StartTlsTampered | Self::PreAuthBeforeTls => FailureCause::TlsTampered,
            Self::NoUidValidity
            | Self::Unsupported { .. }
            | Self::NoFolder
            | Self::MailGone
            | Self::InvalidSearchTerm => FailureCause::ServerUnfit,
        };
        cause.into()
    }

    /// What a server answers to a command that it should know, behind the sign-in, no setting of an account explains.
    fn of_reply(&self) -> Diagnosis {
        let judged = self.judge().diagnosis;
        let is_signed_in = match self {
            Self::Refused { stage, .. } | Self::Unreadable { stage, .. } => matches!(
                stage,
                Stage::Select | Stage::Search | Stage::Fetch | Stage::Noop | Stage::Idle
            ),
            _ => false,
        };
        if is_signed_in && judged.cause == FailureCause::Unknown {
            FailureCause::ServerFault.into()
        } else {
            judged
        }
    }

    /// Servers refuse a folder that is not there in words of their own, most without a code.
    fn of_folder(&self) -> Diagnosis {
        let judged = self.judge().diagnosis;
        match judged.cause {
            FailureCause::Unknown => FailureCause::FolderRefused.into(),
            FailureCause::ServerUnfit => FailureCause::NoSuchFolder.into(),
            _ => judged,
        }
    }

    /// Returns what the failure means and who must act, as long as nobody is to be told of it.
    pub fn verdict(&self) -> Verdict {
        self.diagnosis().verdict()
    }

    /// Returns whether the access token was refused: refresh it once, and if that one is refused too, sign in anew.
    pub fn is_token_refused(&self) -> bool {
        self.judge().token == TokenState::Refused
    }

    /// Returns whether the session ended with its token's life: connect again with a fresh one.
    pub fn is_token_stale(&self) -> bool {
        self.judge().token == TokenState::Stale
    }

    /// Returns whether the server did not know how it was to be signed in to, so that another mechanism may work.
    ///
    /// Some answer `BAD` to refused tokens, too, with a code, after a challenge, or in words that are known.
    pub(super) fn is_sign_in_not_understood(&self) -> bool {
        let Self::SignInRefused {
            refusal,
            code,
            text,
            challenge_status: None,
            ..
        } = self
        else {
            return false;
        };
        let is_reason_known = judge_reply(code.as_deref(), text.as_str()).is_some();
        match refusal {
            RefusalStatus::Bad => code.is_none() && !is_reason_known,
            // RFC 9051 §6.2.2 lets a server refuse a mechanism with NO, as it refuses credentials.
            RefusalStatus::No => {
                let text = text.as_str().to_ascii_lowercase();
                code.as_deref() == Some("CANNOT") || text.contains("unsupported authentication")
            }
        }
    }

    /// Returns whether the server cannot push changes to this folder, so that it must be polled.
    ///
    /// A throttle, a token at its end, or a fault of the moment says nothing of that: IDLE is worth
    /// another try after them.
    pub fn is_idle_unsupported(&self) -> bool {
        match self {
            Self::Unsupported { capability } => *capability == "IDLE",
            Self::Refused {
                stage: Stage::Idle,
                code,
                text,
                ..
            } => judge_reply(code.as_deref(), text.as_str()).is_none_or(|judgement| {
                // A refusal that concerns more than IDLE shows again at the next poll.
                let kind = judgement.verdict().kind;
                matches!(
                    kind,
                    VerdictKind::Permanent | VerdictKind::NeedsAdministrator
                )
            }),
            _ => false,
        }
    }

    /// Returns whether the session can go on after this failure.
    pub const fn is_session_healthy(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. }
                | Self::Unsupported { .. }
                | Self::NoUidValidity
                | Self::NoFolder
                | Self::MailGone
                | Self::MailUnreadable
                | Self::MailCutShort { .. }
                | Self::KeepsChanging
                | Self::InvalidSearchTerm
        )
    }

    /// Returns the server's response code, for people to look up.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::SignInRefused { code, .. }
            | Self::Refused { code, .. }
            | Self::Bye { code, .. } => code.as_deref(),
            _ => None,
        }
    }

    fn judge(&self) -> Judgement {
        match self {
            Self::SignInRefused {
                mechanism,
                refusal,
                code,
                text,
                ..
            } => judge_reply(code.as_deref(), text.as_str())
                .unwrap_or_else(|| judge_sign_in(mechanism.is_oauth2(), *refusal, code.as_deref())),
            Self::Refused { code, text, .. } => judge_reply(code.as_deref(), text.as_str())
                .unwrap_or_else(|| fine(FailureCause::Unknown)),
            Self::Bye { code, text, .. } => judge_reply(code.as_deref(), text.as_str())
                .unwrap_or_else(|| fine(FailureCause::Transient)),
            Self::Unreadable { text, .. } => {
                judge_reply(None, text.as_str()).unwrap_or_else(|| fine(FailureCause::Unknown))
            }
            _ => fine(FailureCause::Unknown),
        }
    }
}

/// Exchange refuses tokens with a bare `NO AUTHENTICATE failed.`, Gmail with a code.
fn judge_sign_in(is_oauth2: bool, refusal: RefusalStatus, code: Option<&str>) -> Judgement {
    let is_about_credentials = matches!(
        (refusal, code),
        (_, Some("AUTHENTICATIONFAILED" | "EXPIRED")) | (RefusalStatus::No, None | Some("ALERT"))
    );
    match (is_about_credentials, is_oauth2, refusal) {
        (true, true, _) => Judgement {
            diagnosis: FailureCause::TokenRefused.into(),
            token: TokenState::Refused,
        },
        (true, false, _) => fine(FailureCause::PasswordRefused),
        (false, _, RefusalStatus::Bad) => fine(FailureCause::SignInUnfit),
        (false, _, RefusalStatus::No) => fine(FailureCause::Unknown),
    }
}

/// Judges by the provider's own hint, its known texts, and the response codes of RFC 5530.
fn judge_reply(code: Option<&str>, text: &str) -> Option<Judgement> {
    let text = text.to_ascii_lowercase();
    if let Some(delay) = backoff(&text) {
        return Some(of(Diagnosis::new(FailureCause::Throttled).after(delay)));
    }
    if let Some((_, judgement)) = TEXTS.iter().find(|(known, _)| text.contains(known)) {
        return Some(*judgement);
    }
    Some(fine(match code? {
        "UNAVAILABLE" | "INUSE" | "SERVERBUG" | "EXPUNGEISSUED" => FailureCause::Transient,
        // Gmail means bandwidth by OVERQUOTA, and we never store.
        "OVERQUOTA" | "LIMIT" | "THROTTLED" => FailureCause::Throttled,
        "AUTHORIZATIONFAILED" => FailureCause::LoginNotAllowed,
        "PRIVACYREQUIRED" => FailureCause::SignInUnfit,
        "NONEXISTENT" | "TRYCREATE" => FailureCause::NoSuchFolder,
        "NOPERM" | "CONTACTADMIN" => FailureCause::TenantForbids,
        // Gmail wants the owner to pass a check in the browser.
        "WEBALERT" => FailureCause::BrowserCheckWanted,
        "CANNOT" | "CLIENTBUG" | "CORRUPTION" | "ALREADYEXISTS" => FailureCause::ServerUnfit,
        _ => return None,
    }))
}

/// Exchange: `BAD Request is throttled. Suggested Backoff Time: 92415 milliseconds`.
fn backoff(text: &str) -> Option<Duration> {
    let (_, hint) = text.split_once("suggested backoff time: ")?;
    let (number, unit) = hint.split_once(' ')?;
    if !unit.starts_with("milliseconds") {
        return None;
    }
    // A number too large for us is a long time.
    let milliseconds = number.parse().unwrap_or(u64::MAX);
    Some(Duration::from_millis(milliseconds).min(LONGEST_BACKOFF))
}

/// Exchange ends a FETCH so when some of the mails were expunged meanwhile; the others came.
pub(super) fn is_partial_fetch(error: &ImapError) -> bool {
    matches!(
        error,
        ImapError::Refused { refusal: RefusalStatus::No, text, .. }
            if text.as_str().to_ascii_lowercase().contains("no longer exist")
    )
}

#[cfg(test)]
mod tests;
