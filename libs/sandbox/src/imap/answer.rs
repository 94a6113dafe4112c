use std::borrow::Cow;

use super::parse::Malformed;
use crate::server::wire::ConnectionEnd;

/// How a command ends.
pub(super) enum CommandAnswer {
    /// `OK <command> completed`.
    Done,
    Ok(Cow<'static, str>),
    No(Cow<'static, str>),
    Bad(Cow<'static, str>),
    /// The tagged line is out already.
    Sent,
}

/// Why a command has no answer of its own.
pub(super) enum CommandProblem {
    Malformed,
    NotSelected,
    Ended(ConnectionEnd),
}

impl From<ConnectionEnd> for CommandProblem {
    fn from(ended: ConnectionEnd) -> Self {
        Self::Ended(ended)
    }
}

impl From<Malformed> for CommandProblem {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}
