//! Tries the new token where it is needed: at the account's own mail server.

use std::time::Duration;

use mailmesh_accounts::{EndpointError, MailServers};
use mailmesh_domain::{History, Responsibility, responsibility};
use mailmesh_mail::{Credentials, ProbeError, ProbeStep, probe};
use mailmesh_secrets::SecretString;
use mailmesh_store::account::Account;
use tracing::{info, warn};

use crate::failure::sentence;
use crate::page::{Page, Tone};

const LIMIT: Duration = Duration::from_secs(15);
const MAIL: &str = "The sign-in is stored, and mail flows as soon as the server lets us in: inbound mail stays there, outbound mail waits.";

/// What the mail server said to the new token.
#[derive(Debug)]
pub(crate) enum ProbeResult {
    Worked,
    Failed(ProbeFailure),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeFailure {
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error(transparent)]
    SignIn(ProbeError),
    #[error("the folder {folder:?} cannot be opened")]
    Folder {
        folder: String,
        #[source]
        source: ProbeError,
    },
}

/// Signs in at the mail server, which takes a bounded time.
pub(crate) async fn prove(
    servers: &MailServers,
    account: &Account,
    access_token: SecretString,
) -> ProbeResult {
    match try_account(servers, account, access_token).await {
        Ok(()) => {
            info!("The mail server accepts the new token");
            ProbeResult::Worked
        }
        Err(error) => {
            warn!(
                kind = ?error.responsibility().verdict.kind,
                code = error.code(),
                "The mail server does not accept the new token yet"
            );
            ProbeResult::Failed(error)
        }
    }
}

async fn try_account(
    servers: &MailServers,
    account: &Account,
    access_token: SecretString,
) -> Result<(), ProbeFailure> {
    let endpoint = servers.endpoint_of(account)?;
    let credentials = Credentials::OAuth2 {
        login: account.login.clone(),
        access_token,
    };
    let tried = probe(&endpoint, &credentials, &account.folders, LIMIT).await;
    let mut failures = tried.checks.into_iter();
    let failure = failures.find_map(|check| Some((check.step, check.result.err()?)));
    match failure {
        None => Ok(()),
        Some((ProbeStep::SignIn, error)) => Err(ProbeFailure::SignIn(error)),
        Some((ProbeStep::OpenFolder(folder), source)) => {
            Err(ProbeFailure::Folder { folder, source })
        }
    }
}

impl ProbeFailure {
    /// Returns who must act: the sign-in has just succeeded, so that a refused token is no matter of signing in again.
    fn responsibility(&self) -> Responsibility {
        match self {
            Self::Endpoint(error) => responsibility(error.failure_cause(), History::NEW),
            Self::SignIn(error) | Self::Folder { source: error, .. } => {
                error.diagnosis().responsibility(History::NEW)
            }
        }
    }

    fn code(&self) -> Option<String> {
        match self {
            Self::Endpoint(_) => None,
            Self::SignIn(error) | Self::Folder { source: error, .. } => error.code(),
        }
    }

    const fn title(&self) -> &'static str {
        match self {
            Self::Endpoint(_) | Self::SignIn(_) => {
                "You signed in, but the mail server does not let us in yet"
            }
            Self::Folder { .. } => "You signed in, but a folder cannot be opened yet",
        }
    }
}

impl ProbeResult {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Worked => "connected",
            Self::Failed(_) => "connected_unproved",
        }
    }

    pub(crate) fn page(&self, account: &Account) -> Page {
        let error = match self {
            Self::Worked => {
                return Page::new(
                    200,
                    Tone::Good,
                    "The mailbox is connected",
                    "You signed in, and the mail server accepts it. There is nothing left to do.",
                )
                .fact("Account", &account.name)
                .fact("Mailbox", &account.login);
            }
            Self::Failed(error) => error,
        };
        let mut page = Page::new(200, Tone::Attention, error.title(), sentence(error))
            .fact("Account", &account.name)
            .fact("Mailbox", &account.login);
        if let Some(code) = error.code() {
            page = page.fact("The server's code", code);
        }
        page.act(&error.responsibility()).mail(MAIL)
    }
}
