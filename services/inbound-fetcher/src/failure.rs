use mailmesh_accounts::{CredentialsError, EndpointError};
use mailmesh_bus::{FenceError, PublishError, ReadError};
use mailmesh_domain::{
    Diagnosis, ErrorChain, FailureCause, History, Responsibility, Verdict, responsibility,
};
use mailmesh_events::{DecodeError, Problem};
use mailmesh_mail::SourceError;
use mailmesh_store::StoreError;

/// Why an attempt to watch an account ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WatchFailure {
    #[error("the mail server failed")]
    Source(#[from] SourceError),
    #[error("no folder can be received: {names}")]
    Folders {
        names: String,
        #[source]
        source: SourceError,
    },
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error(transparent)]
    Credentials(CredentialsError),
    #[error("the database failed")]
    Store(#[from] StoreError),
    #[error("the fence was not taken")]
    Fence(#[from] FenceError),
    #[error("the account's events cannot be read back")]
    ReadBack(#[from] ReadError),
    #[error("an event of the account cannot be read")]
    Decode(#[from] DecodeError),
    #[error("an event was not published")]
    Publish(#[source] PublishError),
    #[error("a raw mail was not stored")]
    Raw(#[source] PublishError),
    #[error("an event cannot be written as JSON")]
    Encode(#[from] serde_json::Error),
    #[error("published mails were not recorded")]
    NotRecorded,
    #[error("the account's lease is another's")]
    NotOwner,
    #[error("the service stops")]
    Stopping,
}

impl WatchFailure {
    /// Returns what the failure means, as long as nobody is to be told of it.
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::Credentials(error) => error.verdict(),
            other => other.diagnosis().verdict(),
        }
    }

    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Source(error) | Self::Folders { source: error, .. } => error.diagnosis(),
            Self::Endpoint(error) => error.failure_cause().into(),
            Self::Decode(_) => FailureCause::EventUnreadable.into(),
            // NATS or Postgres, or a full stream: transient, and the administrator's to solve if it lasts.
            _ => FailureCause::MeshFailed.into(),
        }
    }

    /// Returns whether the stream may hold an event that is not in our index, or another owner has published.
    pub(crate) const fn breaks_ownership(&self) -> bool {
        matches!(
            self,
            Self::Publish(_) | Self::NotRecorded | Self::Fence(_) | Self::ReadBack(_)
        )
    }

    /// Returns whether it says nothing about the account: NATS, Postgres or a change of owner is behind it. The replica's own
    /// health tells of the first two, once and not for each account.
    pub(crate) const fn is_of_mesh(&self) -> bool {
        match self {
            Self::Store(_)
            | Self::Fence(_)
            | Self::ReadBack(_)
            | Self::NotRecorded
            | Self::NotOwner
            | Self::Stopping
            | Self::Credentials(CredentialsError::Store(_)) => true,
            Self::Publish(error) | Self::Raw(error) => error.is_of_mesh(),
            Self::Source(_)
            | Self::Folders { .. }
            | Self::Endpoint(_)
            | Self::Credentials(_)
            | Self::Decode(_)
            | Self::Encode(_) => false,
        }
    }

    /// Describes the failure of an account whose fresh tokens are refused, although the sign-in works: it ends with another
    /// sign-in, and that is in vain before the administrator has looked at the scopes.
    pub(crate) fn problem_of_tokens(&self, is_app: bool) -> Problem {
        let history = History {
            is_app,
            ..History::WORKS
        };
        self.described(&responsibility(FailureCause::FreshTokensRefused, history))
    }

    /// Describes the failure for the account's state and its event.
    pub(crate) fn problem(&self, history: History) -> Problem {
        match self {
            Self::Credentials(error) => error.problem().with_mail(SAFE),
            other => other.described(&other.diagnosis().responsibility(history)),
        }
    }

    fn described(&self, decided: &Responsibility) -> Problem {
        let (what, code) = match self {
            Self::Source(error) => (ErrorChain(error).to_string(), error.code()),
            Self::Folders { source, .. } => (ErrorChain(self).to_string(), source.code()),
            _ => (ErrorChain(self).to_string(), None),
        };
        Problem::decided(what, decided)
            .with_code(code.map(ToOwned::to_owned))
            .with_mail(SAFE)
    }
}

const SAFE: &str = "Mail stays on the server and is received once this is solved.";
