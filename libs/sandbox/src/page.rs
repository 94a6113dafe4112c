use askama::Template;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

/// A mailbox the owner may choose.
pub(crate) struct MailboxChoice {
    pub(crate) address: String,
    pub(crate) is_chosen: bool,
}

/// A scope the owner may untick.
pub(crate) struct ScopeChoice {
    pub(crate) name: String,
}

/// Asks the owner for a mailbox and consent; `carried` holds the client's request.
#[derive(Template)]
#[template(path = "consent.html")]
pub(crate) struct ConsentPage<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) carried: Vec<(&'static str, &'a str)>,
    pub(crate) mailboxes: Vec<MailboxChoice>,
    pub(crate) scopes: Vec<ScopeChoice>,
    pub(crate) asks_password: bool,
    pub(crate) message: Option<&'a str>,
}

/// Says why a request cannot be answered at its redirect URI.
#[derive(Template)]
#[template(path = "failure.html")]
pub(crate) struct FailurePage<'a> {
    pub(crate) error: &'a str,
    pub(crate) text: &'a str,
}

/// Carries an answer to the client as a form that posts itself.
#[derive(Template)]
#[template(path = "form_post.html")]
pub(crate) struct FormPostPage<'a> {
    pub(crate) action: &'a str,
    pub(crate) fields: &'a [(&'static str, String)],
}

/// Turns a page into an answer that nothing keeps or frames.
pub(crate) fn render(page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (
            [
                (header::CACHE_CONTROL, "no-store"),
                (header::REFERRER_POLICY, "no-referrer"),
                (header::X_FRAME_OPTIONS, "DENY"),
            ],
            Html(html),
        )
            .into_response(),
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "Page not rendered"
            );
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
