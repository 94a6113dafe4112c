use mailmesh_accounts::{CredentialsError, EndpointError};
use mailmesh_bus::{FenceError, PublishError, ReadError};
use mailmesh_domain::{ErrorChain, MustAct, Verdict};
use mailmesh_events::{DecodeError, Problem};
use mailmesh_mail::SourceError;
use mailmesh_mail::advice::{CHECK_SCOPES, on_never_reached};
use mailmesh_store::StoreError;

/// Why an attempt to watch an account ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
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

impl Failure {
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::Source(error) | Self::Folders { source: error, .. } => error.verdict(),
            Self::Endpoint(error) => error.verdict(),
            Self::Credentials(error) => error.verdict(),
            // NATS or Postgres, or a full stream: transient, and the administrator's to solve if it lasts.
            _ => Verdict {
                who: MustAct::Administrator,
                ..Verdict::transient()
            },
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

    /// Describes the failure of an account that has never worked: what seems to pass may be a setting.
    pub(crate) fn problem_at_first(&self, verdict: Verdict) -> Problem {
        match self {
            Self::Source(error) if error.is_unreached() => self
                .problem(Verdict::needs_administrator(MustAct::Administrator))
                .with_action(on_never_reached(error.advice())),
            _ => self.problem(verdict),
        }
    }

    /// Describes the failure of an account whose fresh tokens are refused, although the sign-in works: it ends with another
    /// sign-in, and that is in vain before the administrator has looked at the scopes.
    pub(crate) fn problem_of_tokens(&self) -> Problem {
        let verdict = Verdict {
            who: MustAct::Administrator,
            ..Verdict::needs_sign_in()
        };
        self.problem(verdict).with_action(CHECK_SCOPES)
    }

    /// Describes the failure for the account's state and its event.
    pub(crate) fn problem(&self, verdict: Verdict) -> Problem {
        let (what, error) = match self {
            Self::Source(error) => (ErrorChain(error).to_string(), error),
            Self::Folders { source, .. } => (ErrorChain(self).to_string(), source),
            Self::Credentials(error) => return error.problem().with_mail(SAFE),
            Self::Endpoint(error) => {
                let problem = Problem::new(ErrorChain(self).to_string(), verdict);
                return problem.with_action(error.advice()).with_mail(SAFE);
            }
            _ => return Problem::new(ErrorChain(self).to_string(), verdict).with_mail(SAFE),
        };
        let problem = Problem::new(what, verdict)
            .with_code(error.code().map(ToOwned::to_owned))
            .with_mail(SAFE);
        match error.advice() {
            Some(advice) => problem.with_action(advice),
            None => problem,
        }
    }
}

const SAFE: &str = "Mail stays on the server and is received once this is solved.";
