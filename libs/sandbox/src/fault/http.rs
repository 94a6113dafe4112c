use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::{Fault, FaultBook};

/// Ends the connection under an HTTP exchange; HTTP libraries insist on answering otherwise.
#[derive(Debug, Clone, Default)]
pub(crate) struct CutSwitch {
    cut: Arc<AtomicBool>,
}

impl CutSwitch {
    pub(crate) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
    }
}

#[derive(Debug, Clone, Copy)]
struct CutMark;

/// Cuts the connection of every answer that was marked by a fault.
pub(crate) async fn honour_cuts(request: Request, next: Next) -> Response {
    let switch = request
        .extensions()
        .get::<ConnectInfo<CutSwitch>>()
        .cloned();
    let response = next.run(request).await;
    if response.extensions().get::<CutMark>().is_some()
        && let Some(ConnectInfo(switch)) = switch
    {
        switch.cut();
    }
    response
}

/// Lets a waiting fault answer in place of the handler; a stall only holds it up.
pub(crate) async fn stumble(
    faults: &FaultBook,
    point: &str,
    address: Option<&str>,
) -> Option<Response> {
    match faults.take(point, address)? {
        Fault::Stall { seconds } => {
            faults.stall(seconds).await;
            None
        }
        Fault::Cut | Fault::Reset => {
            let mut response = StatusCode::SERVICE_UNAVAILABLE.into_response();
            response.extensions_mut().insert(CutMark);
            Some(response)
        }
        Fault::Reply { text } => Some(with_body(StatusCode::OK, text)),
        Fault::Status {
            code,
            retry_after,
            body,
        } => {
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = with_body(status, body.unwrap_or_default());
            if let Some(seconds) = retry_after {
                let value = HeaderValue::from(seconds);
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
            Some(response)
        }
        Fault::HugeLiteral { bytes } => Some(Response::new(flood(bytes))),
    }
}

fn with_body(status: StatusCode, body: String) -> Response {
    let is_json = body.starts_with(['{', '[']);
    let kind = if is_json {
        "application/json"
    } else {
        "text/html; charset=utf-8"
    };
    (status, [(header::CONTENT_TYPE, kind)], body).into_response()
}

/// A body of any size which takes no memory.
fn flood(bytes: u64) -> Body {
    let sizes = (0..bytes.div_ceil(FLOOD.len() as u64)).map(move |chunk| {
        let left = bytes - chunk * FLOOD.len() as u64;
        usize::try_from(left).unwrap_or(FLOOD.len())
    });
    let chunks = sizes.map(|left| {
        let chunk = FLOOD.get(..left).unwrap_or(&FLOOD);
        Ok::<_, Infallible>(Bytes::from_static(chunk))
    });
    Body::from_stream(stream::iter(chunks))
}

static FLOOD: [u8; 65_536] = [b' '; 65_536];
