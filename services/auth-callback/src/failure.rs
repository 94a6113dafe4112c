//! What can stop a sign-in, and the page that says so.

use mailmesh_domain::{ErrorChain, FailureCause, History, MustAct, VerdictKind, responsibility};
use mailmesh_oauth::{OAuthError, Operation, ProviderError, ProviderRefusal};
use mailmesh_secrets::{OpenError, SealError};
use mailmesh_store::StoreError;

use crate::page::{Page, Tone};

const UNCHANGED: &str = "The account is as it was before. No mail is lost: inbound mail stays on the server, outbound mail waits.";
const MAKE_LINK: &str = "Then make a new link: each works once.";
const ASK_FOR_LINK: &str = "For that, ask for a new link: each works once.";

/// Why a sign-in did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignInFailure {
    #[error("the link is not known")]
    UnknownLink,
    #[error("the link was used or has ended")]
    UsedLink,
    #[error("the link was used or has ended, and the mailbox is connected")]
    Connected,
    #[error("the state is not known, was used or is late")]
    UnknownState,
    #[error("the answer came to another browser than the one that started")]
    OtherBrowser,
    #[error("the answer holds neither a code nor an error")]
    NoCode,
    #[error("the account needs no sign-in")]
    NothingToSignIn,
    #[error("the client configuration is another than the sign-in was started with")]
    OtherClient,
    #[error("several client configurations use the redirect URI without a key")]
    SharedRedirect {
        /// The redirect URI that this one would have alone.
        own: String,
    },
    #[error("the provider failed")]
    OAuth(#[from] OAuthError),
    #[error("the client configuration cannot be used")]
    Provider(#[from] ProviderError),
    #[error("scopes were not granted")]
    MissingScopes { scopes: Vec<String> },
    #[error("another mailbox signed in than the account's")]
    OtherMailbox {
        expected: String,
        signed_in: String,
        claim: Option<String>,
    },
    #[error("the provider gave no refresh token")]
    NoRefreshToken {
        /// Whether the client configuration asks for one.
        is_asked: bool,
    },
    #[error("the database failed")]
    Store(#[from] StoreError),
    #[error("a secret cannot be opened")]
    Open(#[from] OpenError),
    #[error("a secret cannot be sealed")]
    Seal(#[from] SealError),
    #[error("an event cannot be written as JSON")]
    Encode(#[from] serde_json::Error),
    #[error("too many requests are under way")]
    Busy,
}

impl SignInFailure {
    /// Returns a name for logs and metrics.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::UnknownLink | Self::UsedLink | Self::Connected => "bad_link",
            Self::UnknownState => "unknown_state",
            Self::OtherBrowser => "other_browser",
            Self::NoCode => "no_code",
            Self::NothingToSignIn => "nothing_to_sign_in",
            Self::OtherClient => "other_client",
            Self::SharedRedirect { .. } => "shared_redirect",
            Self::OAuth(_) => "refused",
            Self::Provider(_) => "provider_unusable",
            Self::MissingScopes { .. } => "missing_scopes",
            Self::OtherMailbox { .. } => "other_mailbox",
            Self::NoRefreshToken { .. } => "no_refresh_token",
            Self::Store(_) | Self::Open(_) | Self::Seal(_) | Self::Encode(_) => "internal",
            Self::Busy => "busy",
        }
    }

    /// Returns whether the fault is ours rather than the visitor's or the provider's.
    pub(crate) const fn is_ours(&self) -> bool {
        matches!(
            self,
            Self::Store(_) | Self::Open(_) | Self::Seal(_) | Self::Encode(_)
        )
    }

    pub(crate) fn page(&self) -> Page {
        match self {
            Self::UnknownLink => dead_link(404, "This link is not known here."),
            Self::UsedLink => dead_link(410, "This link was used already, or its time is over."),
            Self::Connected => return connected(),
            Self::UnknownState => stopped(
                400,
                "This answer belongs to no sign-in that is under way: it was used already, took longer than fifteen minutes, or was not started here.",
            )
            .act_on(FailureCause::AnswerUnknown),
            Self::OtherBrowser => stopped(
                400,
                "This answer came to another browser than the one in which the sign-in was started, or that browser keeps no cookies.",
            )
            .act_on(FailureCause::OtherBrowser),
            Self::NoCode => stopped(400, "The provider's answer holds neither a code nor an error.")
                .act_on(FailureCause::AnswerEmpty),
            Self::NothingToSignIn => stopped(
                409,
                "The account of this link no longer exists, or it does not sign in with OAuth 2.0.",
            )
            .act_on(FailureCause::NothingToSignIn),
            Self::OtherClient => stopped(
                409,
                "The account, or the provider's settings, were changed while you signed in.",
            )
            .act_on(FailureCause::ChangedMeanwhile),
            Self::SharedRedirect { own } => shared_redirect(own),
            Self::OAuth(error) | Self::Provider(ProviderError::Discovery(error)) => refused(error),
            Self::Open(_) | Self::Provider(ProviderError::Secret(_)) => stopped(
                500,
                "A secret that is stored here does not open, and the sign-in was not stored.",
            )
            .act_on(FailureCause::ClientSecretSealed)
            .then(MAKE_LINK),
            Self::Provider(error) => stopped(500, sentence(error))
                .act_on(FailureCause::ClientFieldUnusable)
                .then(MAKE_LINK),
            Self::MissingScopes { scopes } => missing_scopes(scopes),
            Self::OtherMailbox {
                expected,
                signed_in,
                claim,
            } => other_mailbox(expected, signed_in, claim.as_deref()),
            Self::NoRefreshToken { is_asked } => no_refresh_token(*is_asked),
            Self::Store(_) | Self::Seal(_) | Self::Encode(_) => stopped(
                500,
                "Something failed on our side, and the sign-in was not stored.",
            )
            .act_on(FailureCause::SignInNotStored),
            Self::Busy => stopped(503, "Too many sign-ins are under way at this moment.")
                .act_on(FailureCause::Busy),
        }
        .mail(UNCHANGED)
    }
}

fn stopped(status: u16, what: impl Into<String>) -> Page {
    Page::new(status, Tone::Bad, "The mailbox was not connected", what)
}

fn dead_link(status: u16, what: &str) -> Page {
    stopped(status, what).act_on(FailureCause::LinkOver)
}

fn connected() -> Page {
    Page::new(
        410,
        Tone::Good,
        "The mailbox is connected",
        "This link was used already or has ended, and its mailbox is connected. There is nothing left to do.",
    )
}

fn shared_redirect(own: &str) -> Page {
    stopped(
        409,
        "Several client configurations share one redirect URI, so that an answer of one provider could be passed off as another's.",
    )
    .fact("Redirect URI to register", own)
    .act_on(FailureCause::SharedRedirect)
}

fn refused(error: &OAuthError) -> Page {
    let verdict = error.verdict();
    let status = match verdict.kind {
        VerdictKind::Transient | VerdictKind::Throttled => 503,
        VerdictKind::NeedsSignIn => 403,
        VerdictKind::NeedsAdministrator | VerdictKind::Permanent | VerdictKind::Unknown => 502,
    };
    let page = stopped(status, sentence(error));
    let decided = error.responsibility(History::NEW);
    let mut page = match (verdict.kind, verdict.who) {
        // The reason is known better than that the answer cannot be used.
        _ if cannot_be_asked(error) => page.act(&decided).then(MAKE_LINK),
        (VerdictKind::Unknown, _) => page.act_on(FailureCause::SignInUnclear),
        // Nothing tries a sign-in again by itself.
        _ if verdict.is_retryable() => page.act_on(FailureCause::SignInInterrupted),
        (_, MustAct::MailboxOwner) => page.act(&decided).then(ASK_FOR_LINK),
        _ => page.act(&decided).then(MAKE_LINK),
    };
    if let Some(code) = error.code() {
        page = page.fact("The provider's code", code);
    }
    if let OAuthError::NoMailbox { looked_at } = error {
        page = page.fact("Claims looked at", looked_at.join(", "));
    }
    let refusal = error.refusal();
    if let Some(words) = refusal.and_then(|refusal| refusal.description.as_deref()) {
        page = page.fact("The provider's words", words);
    }
    if let Some(id) = refusal.and_then(|refusal| refusal.correlation_id.as_deref()) {
        page = page.fact("Correlation id", id);
    }
    page
}

fn cannot_be_asked(error: &OAuthError) -> bool {
    let is_absent = |refusal: &ProviderRefusal| {
        refusal.operation == Operation::Discover && matches!(refusal.status, Some(400..=407 | 410))
    };
    matches!(error, OAuthError::Untrusted { .. }) || error.refusal().is_some_and(is_absent)
}

fn missing_scopes(scopes: &[String]) -> Page {
    stopped(
        403,
        "You signed in, but did not allow everything that the mailbox needs.",
    )
    .fact("Not allowed", scopes.join(" "))
    .act_on(FailureCause::ScopesLeftOut)
}

fn no_refresh_token(is_asked: bool) -> Page {
    let page = stopped(
        403,
        "The provider allowed access for a short time only: it gave no refresh token, so the connection would end within hours.",
    );
    let cause = if is_asked {
        FailureCause::NoRefreshToken
    } else {
        FailureCause::OfflineAccessNotAsked
    };
    let decided = responsibility(cause, History::NEW);
    let link = match decided.verdict.who {
        MustAct::MailboxOwner => ASK_FOR_LINK,
        _ => MAKE_LINK,
    };
    page.act(&decided).then(link)
}

fn other_mailbox(expected: &str, signed_in: &str, claim: Option<&str>) -> Page {
    let page = stopped(
        403,
        "You signed in with another mailbox than the one that is to be connected.",
    )
    .fact("To be connected", expected)
    .fact("Signed in", signed_in)
    .act_on(FailureCause::OtherMailbox);
    match claim {
        Some(claim) => page.fact("Identity claim", claim),
        None => page,
    }
}

/// Prints an error with its causes as a whole sentence.
pub(crate) fn sentence(error: &dyn std::error::Error) -> String {
    let mut sentence = ErrorChain(error).sentence();
    if !sentence.ends_with('.') {
        sentence.push('.');
    }
    sentence
}

#[cfg(test)]
mod tests;
