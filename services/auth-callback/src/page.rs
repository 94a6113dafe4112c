//! The one page that people see, and how it travels to a clean URL.

use std::sync::LazyLock;

use askama::Template;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use mailmesh_domain::{FailureCause, History, MustAct, Responsibility, SignInId, responsibility};
use mailmesh_secrets::{
    ExposeSecret, OpeningKeys, SealContext, SealedSecret, SecretString, sha256,
};
use serde::{Deserialize, Serialize};

const STYLE: &str = include_str!("../templates/style.css");
/// What browsers keep of a cookie, less its name and attributes.
const MOST_SEALED_CHARACTERS: usize = 3_800;

static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(sha256(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

/// How a page looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Tone {
    Good,
    Attention,
    Bad,
}

/// A page's content: a title, what happened, who must act and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) tone: Tone,
    pub(crate) title: String,
    pub(crate) what: String,
    pub(crate) facts: Vec<(String, String)>,
    pub(crate) must_act: Option<MustAct>,
    pub(crate) action: Option<String>,
    pub(crate) mail: Option<String>,
}

#[derive(Template)]
#[template(path = "page.html")]
struct PageTemplate<'a> {
    page: &'a Page,
    style: &'static str,
}

impl Tone {
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Attention => "attention",
            Self::Bad => "bad",
        }
    }
}

impl Page {
    pub(crate) fn new(status: u16, tone: Tone, title: &str, what: impl Into<String>) -> Self {
        Self {
            status,
            tone,
            title: title.to_owned(),
            what: what.into(),
            facts: Vec::new(),
            must_act: None,
            action: None,
            mail: None,
        }
    }

    #[must_use]
    pub(crate) fn fact(mut self, name: &str, value: impl Into<String>) -> Self {
        let value: String = value.into();
        self.facts
            .push((name.to_owned(), value.chars().take(300).collect()));
        self
    }

    #[must_use]
    pub(crate) fn act(mut self, decided: &Responsibility) -> Self {
        self.must_act = Some(decided.verdict.who);
        self.action = Some(decided.action.to_owned());
        self
    }

    #[must_use]
    pub(crate) fn act_on(self, cause: FailureCause) -> Self {
        self.act(&responsibility(cause, History::NEW))
    }

    /// Says what is to follow the action.
    #[must_use]
    pub(crate) fn then(mut self, next: &str) -> Self {
        self.action = self.action.map(|action| format!("{action} {next}"));
        self
    }

    #[must_use]
    pub(crate) fn mail(mut self, mail: &str) -> Self {
        self.mail = Some(mail.to_owned());
        self
    }

    pub(crate) fn who(&self) -> Option<&'static str> {
        self.must_act.map(|who| match who {
            MustAct::Nobody => "Nobody: it passes by itself.",
            MustAct::MailboxOwner => "You, who own the mailbox.",
            MustAct::Administrator => "The administrator of mailmesh.",
            MustAct::TenantAdministrator => {
                "The administrator of your organisation at the mail provider."
            }
        })
    }

    /// Seals the page for the clean URL of one sign-in.
    pub(crate) fn seal(&self, id: SignInId, keys: &OpeningKeys) -> Option<String> {
        let text = SecretString::from(serde_json::to_string(self).ok()?);
        let sealed = keys.sealing_key().seal(&text, &context(id)).ok()?;
        let encoded = URL_SAFE_NO_PAD.encode(sealed.as_bytes());
        (encoded.len() <= MOST_SEALED_CHARACTERS).then_some(encoded)
    }

    /// Opens what [`Page::seal`] made; none if anybody else made it.
    pub(crate) fn open(sealed: &str, id: SignInId, keys: &OpeningKeys) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let sealed = SealedSecret::from_bytes(bytes).ok()?;
        let text = keys.open(&sealed, &context(id)).ok()?;
        serde_json::from_str(text.expose_secret()).ok()
    }
}

fn context(id: SignInId) -> SealContext {
    SealContext {
        table: "pages",
        column: "result",
        row: *id.as_uuid().as_bytes(),
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let shown = PageTemplate {
            page: &self,
            style: STYLE,
        };
        match shown.render() {
            Ok(html) => (status, Html(html)).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

/// Adds to every answer what keeps codes and states out of caches, frames and other sites' logs.
pub(crate) fn protect(headers: &mut HeaderMap) {
    let fixed = [
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::from_str(&POLICY) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
}

#[cfg(test)]
mod tests {
    use mailmesh_domain::SystemClock;

    use super::*;

    #[test]
    fn what_a_provider_says_is_escaped() {
        let page = Page::new(400, Tone::Bad, "No", "<script>alert(1)</script>");
        let html = PageTemplate {
            page: &page,
            style: STYLE,
        }
        .render()
        .unwrap();

        assert!(!html.contains("<script"), "{html}");
        assert!(
            html.contains(&format!("<style>{STYLE}</style>")),
            "the hash must fit"
        );
    }

    #[test]
    fn a_result_opens_at_its_own_url_only() {
        let keys = OpeningKeys::generate().unwrap();
        let [id, other] = [0, 1].map(|_| SignInId::generate(&SystemClock));
        let page = Page::new(200, Tone::Good, "Yes", "It works.").fact("Account", "Support");

        let sealed = page.seal(id, &keys).unwrap();

        assert_eq!(Page::open(&sealed, id, &keys), Some(page));
        assert_eq!(Page::open(&sealed, other, &keys), None);
        assert_eq!(Page::open("nonsense", id, &keys), None);
    }
}
