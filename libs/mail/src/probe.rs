//! One try of an account's server, as far as it can go without touching mail: what works, and who must act where not.

use std::time::Duration;

use mailmesh_domain::{Diagnosis, Direction, FailureCause, Verdict};
use tokio::time::{Instant, timeout_at};

use crate::Credentials;
use crate::connect::{Endpoint, connect_source};
use crate::smtp::{Connection, SmtpError, SmtpSettings};
use crate::source::{Farewell, FolderAccess};
use crate::source_error::SourceError;

/// Result of [`probe`].
#[derive(Debug)]
pub struct Probe {
    /// In the order of the attempts; what needed something that failed was not tried.
    pub checks: Vec<ProbeCheck>,
}

/// One step of a probe and its result.
#[derive(Debug)]
pub struct ProbeCheck {
    pub step: ProbeStep,
    /// Whether it works.
    pub result: Result<(), ProbeError>,
}

/// A step of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeStep {
    /// Reaching the server and signing in.
    SignIn,
    /// Opening a folder for reading.
    OpenFolder(String),
}

/// Why something does not work.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The server does not let mail be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The server does not let mail be sent.
    #[error(transparent)]
    Transport(#[from] SmtpError),
    /// The probe took too long as a whole.
    #[error("the mail server did not answer within {} seconds", limit.as_secs())]
    TimedOut { limit: Duration },
}

/// Signs in, opens the folders for reading, and signs out, all within `limit`. Nothing is fetched, changed or sent.
pub async fn probe(
    endpoint: &Endpoint,
    credentials: &Credentials,
    folders: &[String],
    limit: Duration,
) -> Probe {
    let mut attempt = ProbeRun {
        limit,
        deadline: Instant::now() + limit,
        checks: Vec::new(),
    };
    match endpoint.direction {
        Direction::Inbound => attempt.read(endpoint, credentials, folders).await,
        Direction::Outbound => attempt.send(endpoint, credentials).await,
    }
    Probe {
        checks: attempt.checks,
    }
}

struct ProbeRun {
    limit: Duration,
    deadline: Instant,
    checks: Vec<ProbeCheck>,
}

impl ProbeRun {
    async fn read(&mut self, endpoint: &Endpoint, credentials: &Credentials, folders: &[String]) {
        let connecting = connect_source(endpoint, credentials);
        let Some(mut source) = self.check(ProbeStep::SignIn, connecting).await else {
            return;
        };
        for folder in folders {
            let opening = source.open(folder, FolderAccess::Read);
            self.check(ProbeStep::OpenFolder(folder.clone()), opening)
                .await;
            if !source.is_usable() {
                break;
            }
        }
        // Nothing was fetched that could be lost, and an orderly end leaves no lock on a mailbox.
        source.close(Farewell::Confirm).await;
    }

    async fn send(&mut self, endpoint: &Endpoint, credentials: &Credentials) {
        let settings = SmtpSettings::default();
        let connecting = Connection::connect(&endpoint.server, credentials, &settings);
        if let Some(connection) = self.check(ProbeStep::SignIn, connecting).await {
            connection.quit().await;
        }
    }

    async fn check<Value, Error: Into<ProbeError>>(
        &mut self,
        step: ProbeStep,
        work: impl Future<Output = Result<Value, Error>>,
    ) -> Option<Value> {
        let limit = self.limit;
        let result = match timeout_at(self.deadline, work).await {
            Ok(result) => result.map_err(Into::into),
            Err(_elapsed) => Err(ProbeError::TimedOut { limit }),
        };
        let (result, value) = match result {
            Ok(value) => (Ok(()), Some(value)),
            Err(error) => (Err(error), None),
        };
        self.checks.push(ProbeCheck { step, result });
        value
    }
}

impl Probe {
    /// Returns what does not work, the first first.
    pub fn failures(&self) -> impl Iterator<Item = (&ProbeStep, &ProbeError)> {
        self.checks
            .iter()
            .filter_map(|check| Some((&check.step, check.result.as_ref().err()?)))
    }
}

impl ProbeError {
    /// Returns what the failure is caused by, and the server's hint on when to come back.
    pub fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Source(error) => error.diagnosis(),
            Self::Transport(error) => error.diagnosis(),
            Self::TimedOut { .. } => FailureCause::ServerSilent.into(),
        }
    }

    /// Returns what the failure means and who must act, as long as nobody is to be told of it.
    pub fn verdict(&self) -> Verdict {
        self.diagnosis().verdict()
    }

    /// Returns the server's response code, for people to look up.
    pub fn code(&self) -> Option<String> {
        match self {
            Self::Source(error) => error.code().map(ToOwned::to_owned),
            Self::Transport(
                SmtpError::Refused { reply, .. }
                | SmtpError::TokenRefused { reply }
                | SmtpError::PasswordRefused { reply },
            ) => Some(reply.status()),
            Self::Transport(_) | Self::TimedOut { .. } => None,
        }
    }
}
