//! What can stop a sign-in, and the page that says so.

use mailmesh_domain::{ErrorChain, FailureCause, History, MustAct, VerdictKind, responsibility};
use mailmesh_oauth::{OAuthError, Operation, ProviderError};
use mailmesh_secrets::{OpenError, SealError};
use mailmesh_store::StoreError;

use crate::page::{Page, Tone};

const UNCHANGED: &str = "The account is as it was before. No mail is lost: inbound mail stays on the server, outbound mail waits.";
const NEW_LINK: &str = "Ask for a new link, and sign in once more.";
const OLD_OR_NEW_LINK: &str = "Open the link that you were given again, and sign in once more. If it has ended, ask for a new link.";

/// Why a sign-in did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Obstacle {
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

impl Obstacle {
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
            .act(MustAct::MailboxOwner, OLD_OR_NEW_LINK),
            Self::OtherBrowser => stopped(
                400,
                "This answer came to another browser than the one in which the sign-in was started, or that browser keeps no cookies.",
            )
            .act(
                MustAct::MailboxOwner,
                "Ask for a new link, and open it in the browser in which you sign in. Allow cookies for this site.",
            ),
            Self::NoCode => stopped(400, "The provider's answer holds neither a code nor an error.")
                .act(MustAct::MailboxOwner, NEW_LINK),
            Self::NothingToSignIn => stopped(
                409,
                "The account of this link no longer exists, or it does not sign in with OAuth 2.0.",
            )
            .act(MustAct::Administrator, "Check the account, and make a new link."),
            Self::OtherClient => stopped(
                409,
                "The account, or the provider's settings, were changed while you signed in.",
            )
            .act(MustAct::MailboxOwner, NEW_LINK),
            Self::SharedRedirect { own } => shared_redirect(own),
            Self::OAuth(error) | Self::Provider(ProviderError::Discovery(error)) => refused(error),
            Self::Open(_) | Self::Provider(ProviderError::Secret(_)) => not_opened(),
            Self::Provider(error) => stopped(500, sentence(error)).act(
                MustAct::Administrator,
                "Correct the client configuration: what is named here cannot be used. Then make a new link.",
            ),
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
            .act(
                MustAct::MailboxOwner,
                "Ask for a new link in a few minutes. If it fails again, tell the administrator: the cause is in the log.",
            ),
            Self::Busy => stopped(503, "Too many sign-ins are under way at this moment.")
                .act(MustAct::MailboxOwner, "Load this page again in a minute."),
        }
        .mail(UNCHANGED)
    }
}

fn stopped(status: u16, what: impl Into<String>) -> Page {
    Page::new(status, Tone::Bad, "The mailbox was not connected", what)
}

/// No setting of the client configuration is at fault.
fn not_opened() -> Page {
    stopped(
        500,
        "A secret that is stored here does not open, and the sign-in was not stored.",
    )
    .act(
        MustAct::Administrator,
        "Run `mailmesh doctor`: it tells which key the key file lacks. Then make a new link.",
    )
}

fn dead_link(status: u16, what: &str) -> Page {
    stopped(status, what).act(
        MustAct::Administrator,
        "Make a new link for the account. Each works for one sign-in.",
    )
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
    .act(
        MustAct::Administrator,
        "Register the redirect URI named here at the provider and set own_redirect_uri of the client configuration to true; one configuration alone may stay without. Then make a new link.",
    )
}

fn refused(error: &OAuthError) -> Page {
    let verdict = error.verdict();
    let status = match verdict.kind {
        VerdictKind::Transient | VerdictKind::Throttled => 503,
        VerdictKind::NeedsSignIn => 403,
        VerdictKind::NeedsAdministrator | VerdictKind::Permanent | VerdictKind::Unknown => 502,
    };
    let (who, action) = if let Some(correction) = correction(error) {
        (MustAct::Administrator, correction.to_owned())
    } else if verdict.kind == VerdictKind::Unknown {
        (
            MustAct::Administrator,
            "Check the URLs of the client configuration, and look what the provider said up in its documentation: its answer cannot be used. Then make a new link.".to_owned(),
        )
    } else if verdict.is_retryable() {
        // Nothing tries a sign-in again by itself.
        (
            MustAct::MailboxOwner,
            "Ask for a new link in a few minutes and sign in again. If it stays, tell the administrator.".to_owned(),
        )
    } else {
        let link = match verdict.who {
            MustAct::MailboxOwner => "For that, ask for a new link: each works once.",
            _ => "Then make a new link: each works once.",
        };
        (verdict.who, format!("{} {link}", error.action()))
    };
    let mut page = stopped(status, sentence(error)).act(who, action);
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

/// Returns what to correct when the provider cannot even be asked: no new link helps then.
fn correction(error: &OAuthError) -> Option<&'static str> {
    if matches!(error, OAuthError::Untrusted { .. }) {
        return Some(error.action());
    }
    let refusal = error.refusal()?;
    let is_absent =
        refusal.operation == Operation::Discover && matches!(refusal.status, Some(400..=407 | 410));
    is_absent.then_some(
        "Correct the issuer in the client configuration: the provider's metadata is not at this address. Then make a new link.",
    )
}

fn missing_scopes(scopes: &[String]) -> Page {
    stopped(
        403,
        "You signed in, but did not allow everything that the mailbox needs.",
    )
    .fact("Not allowed", scopes.join(" "))
    .act(
        MustAct::MailboxOwner,
        "Ask for a new link, sign in again, and leave every box ticked. If the provider offers no such box, the administrator must add these scopes to the application.",
    )
}

fn no_refresh_token(is_asked: bool) -> Page {
    let page = stopped(
        403,
        "The provider allowed access for a short time only: it gave no refresh token, so the connection would end within hours.",
    );
    if is_asked {
        page.act(
            MustAct::MailboxOwner,
            "Remove this application from your account at the provider, ask for a new link and consent again.",
        )
    } else {
        let decided = responsibility(FailureCause::OfflineAccessNotAsked, History::NEW);
        page.act(
            decided.verdict.who,
            format!("{} Make a new link for that.", decided.action),
        )
    }
}

fn other_mailbox(expected: &str, signed_in: &str, claim: Option<&str>) -> Page {
    let page = stopped(
        403,
        "You signed in with another mailbox than the one that is to be connected.",
    )
    .fact("To be connected", expected)
    .fact("Signed in", signed_in)
    .act(
        MustAct::MailboxOwner,
        "Sign out at the provider, ask for a new link, and sign in with the mailbox that is to be connected. If both are the same mailbox, the administrator must enter the login as the provider writes it, or name another identity claim.",
    );
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
