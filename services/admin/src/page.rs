//! The operator's page: one file for the browser, joined from three here.

use std::sync::LazyLock;

use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, header};
use mailmesh_secrets::sha256;

const FRAME: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

static PAGE: LazyLock<(String, Option<HeaderValue>)> = LazyLock::new(|| {
    let page = FRAME
        .replace("/* style */", STYLE)
        .replace("/* script */", SCRIPT);
    let hash = |text: &str| STANDARD.encode(sha256(text.as_bytes()));
    // The browser runs exactly these two texts, whatever else may find its way into the page.
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE),
    );
    (page, HeaderValue::try_from(policy).ok())
});

/// Shows the page. It holds nothing of the mesh: all of it comes by the API, with the operator's key.
pub(crate) async fn show() -> Response {
    let (page, policy) = &*PAGE;
    let mut response = Html(page.as_str()).into_response();
    if let Some(policy) = policy {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, policy.clone());
    }
    response
}
