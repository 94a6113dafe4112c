use std::fmt;
use std::sync::Arc;

use async_nats::jetstream;
use mailmesh_domain::ErrorChain;

/// What the NATS client reported, with its causes in one line: the client's errors repeat theirs in `Display`, which would
/// print each of them twice or three times in a chain.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct NatsCause(Arc<str>);

impl<K> From<async_nats::error::Error<K>> for NatsCause
where
    K: Clone + fmt::Debug + fmt::Display + PartialEq + Send + Sync + 'static,
{
    fn from(error: async_nats::error::Error<K>) -> Self {
        Self(ErrorChain(&error).to_string().into())
    }
}

/// An answer of the server that refuses, with its number.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the server answered {status} {text:?} (code {code})")]
pub(crate) struct JetStreamRefusal {
    pub(crate) status: usize,
    pub(crate) code: u64,
    pub(crate) text: String,
}

impl From<&jetstream::Error> for JetStreamRefusal {
    fn from(error: &jetstream::Error) -> Self {
        let (status, code) = (error.code(), error.error_code().0);
        // The client keeps the server's description to itself, and shows it before its own words.
        let shown = error.to_string();
        let own = format!(" (code {status}, error code {code})");
        let text = shown.strip_suffix(&own).unwrap_or(&shown).to_owned();
        Self { status, code, text }
    }
}

/// Finds the server's own error behind the client's.
pub(crate) fn jetstream_error(error: &dyn std::error::Error) -> Option<&jetstream::Error> {
    error.source()?.downcast_ref::<jetstream::Error>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cause_prints_once() {
        let inner = async_nats::RequestError::with_source(
            async_nats::RequestErrorKind::Other,
            "broken pipe",
        );

        let cause = NatsCause::from(inner);

        assert_eq!(cause.to_string(), "request failed: broken pipe");
    }
}
