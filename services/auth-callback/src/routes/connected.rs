//! `GET /connected/{sign_in}`: how a sign-in ended, at a URL without code and state.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use mailmesh_domain::SignInId;

use crate::context::ServiceContext;
use crate::page::{Page, Tone};

pub(crate) async fn show_result(
    State(app): State<Arc<ServiceContext>>,
    Path(sign_in): Path<String>,
    headers: HeaderMap,
) -> Page {
    let result = sign_in.parse::<SignInId>().ok().and_then(|id| {
        let sealed = app.jar.result(&headers)?;
        Page::open(sealed, id, &app.keys)
    });
    result.unwrap_or_else(|| {
        Page::new(
            200,
            Tone::Attention,
            "This sign-in has ended",
            "How it ended is shown once, in the browser in which it was made. The administrator sees the state of the account at any time.",
        )
    })
}
