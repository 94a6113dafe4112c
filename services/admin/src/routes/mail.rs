use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::header;
use mailmesh_domain::MailId;
use mailmesh_mail::message::attachment as find_attachment;
use mailmesh_store::account;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::OwnedSemaphorePermit;

use crate::access::{Caller, Viewer};
use crate::context::{ServiceContext, SharedContext};
use crate::error::ApiError;
use crate::extract::PathId;
use crate::raw_body::{CheckedRaw, RawBodyError, check_whole, expected};

const WHAT: &str = "mail, or it is no longer kept";
/// Parts are cut out of mails up to this size; larger ones are there as a whole.
const LARGEST_MAIL_BYTES: usize = 128 * 1024 * 1024;
const PART_BYTES: usize = 64 * 1024;

/// Raw mail is a right of its own, and a scoped key has it for its accounts alone.
async fn check_mail(
    app: &ServiceContext,
    caller: &impl Caller,
    id: MailId,
) -> Result<(), ApiError> {
    if !caller.key().may_read_raw {
        return Err(ApiError::NoRawMail);
    }
    if caller.key().accounts.is_none() {
        return Ok(());
    }
    let mut tx = app.begin().await?;
    let account = account::find_key_by_mail(&mut tx, id).await?;
    let account = account.ok_or(ApiError::NotFound { what: WHAT })?;
    caller.check_account(&account, WHAT)
}

pub(super) async fn raw(
    caller: Viewer,
    State(app): State<SharedContext>,
    PathId(id): PathId<MailId>,
) -> Result<Response, ApiError> {
    check_mail(&app, &caller, id).await?;
    let permit = Arc::clone(&app.raw_readers).acquire_owned().await;
    let permit = permit.map_err(|_| ApiError::GivenUp)?;
    let raw = CheckedRaw::open(&app.replica, id).await?;
    let raw = raw.ok_or(ApiError::NotFound { what: WHAT })?;
    // A chunk is fetched when the last one was taken: a slow reader holds two, never the mail. A failure breaks the
    // transfer off, so that nobody takes a part for the whole.
    let chunks = stream::try_unfold((raw, permit), async |(mut raw, permit)| {
        let chunk = CheckedRaw::next_chunk(&mut raw).await?;
        Ok::<_, RawBodyError>(chunk.map(|chunk| (chunk, (raw, permit))))
    });
    let headers = [
        (header::CONTENT_TYPE, "message/rfc822".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{id}.eml\""),
        ),
    ];
    Ok((headers, Body::from_stream(chunks)).into_response())
}

pub(super) async fn attachment(
    caller: Viewer,
    State(app): State<SharedContext>,
    path: Result<Path<(MailId, u32)>, axum::extract::rejection::PathRejection>,
) -> Result<Response, ApiError> {
    let Path((id, part)) = path.map_err(|_| ApiError::NotFound { what: "attachment" })?;
    check_mail(&app, &caller, id).await?;
    let permit = Arc::clone(&app.attachments).acquire_owned().await;
    let permit = permit.map_err(|_| ApiError::GivenUp)?;
    let cutting = app.cutting.acquire().await;
    let _cutting = cutting.map_err(|_| ApiError::GivenUp)?;
    let mails = app.replica.bus.raw_mails();
    let mail = mails.get_whole(&id.to_string(), LARGEST_MAIL_BYTES).await;
    let mail = match mail {
        Err(mailmesh_bus::RawError::TooLarge { limit, .. }) => {
            return Err(ApiError::TooLarge { limit_bytes: limit });
        }
        other => other
            .map_err(RawBodyError::from)?
            .ok_or(ApiError::NotFound { what: WHAT })?,
    };
    let expected = expected(&app.replica, id).await?;
    let found = tokio::task::spawn_blocking(move || {
        check_whole(id, expected, &mail)?;
        Ok::<_, RawBodyError>(find_attachment(&mail, part))
    });
    let found = found.await.map_err(|_| ApiError::GivenUp)??;
    let found = found.ok_or(ApiError::NotFound { what: "attachment" })?;
    let name = found.attachment.filename.as_deref().unwrap_or("attachment");
    // RFC 6266 §4.3: whatever the sender called it, encoded.
    let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
    let content_type = http::HeaderValue::try_from(found.attachment.content_type);
    let content_type =
        content_type.unwrap_or_else(|_| http::HeaderValue::from_static("application/octet-stream"));
    let disposition = http::HeaderValue::try_from(format!("attachment; filename*=UTF-8''{name}"));
    let disposition = disposition.unwrap_or_else(|_| http::HeaderValue::from_static("attachment"));
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_DISPOSITION, disposition),
        (
            header::CONTENT_LENGTH,
            http::HeaderValue::from(found.content.len()),
        ),
    ];
    Ok((headers, held_body(found.content, permit)).into_response())
}

/// Returns a body that holds the permit until the reader has taken it: in copies of parts, since a part that waits in the
/// connection would else keep all of it in memory.
fn held_body(content: Bytes, permit: OwnedSemaphorePermit) -> Body {
    let parts = stream::unfold((content, permit), async |(mut content, permit)| {
        if content.is_empty() {
            return None;
        }
        let part = content.split_to(content.len().min(PART_BYTES));
        let part = Bytes::copy_from_slice(&part);
        Some((Ok::<_, Infallible>(part), (content, permit)))
    });
    Body::from_stream(parts)
}
