use std::borrow::Cow;

use super::parse::Malformed;
use crate::server::wire::ConnectionEnd;

/// How a command ends.
pub(super) enum Answer {
    /// `OK <command> completed`.
    Done,
    Ok(Cow<'static, str>),
    No(Cow<'static, str>),
    Bad(Cow<'static, str>),
    /// The tagged line is out already.
    Sent,
}

/// Why a command has no answer of its own.
pub(super) enum Trouble {
    Malformed,
    NotSelected,
    Ended(ConnectionEnd),
}

impl From<ConnectionEnd> for Trouble {
    fn from(ended: ConnectionEnd) -> Self {
        Self::Ended(ended)
    }
}

impl From<Malformed> for Trouble {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}
