//! Tries the new token where it is needed: at the account's own mail server.

use std::time::Duration;

use mailmesh_domain::{Protocol, Verdict, VerdictKind};
use mailmesh_mail::imap::{ImapError, ImapLimits, SelectMode, Session};
use mailmesh_mail::smtp::{Connection, SmtpError, SmtpSettings};
use mailmesh_mail::{Credentials, Server, TlsError, client_config};
use mailmesh_secrets::SecretString;
use mailmesh_store::StoreError;
use mailmesh_store::account::Account;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::obstacle::{capitalised, sentence};
use crate::page::{Page, Tone};

const LIMIT: Duration = Duration::from_secs(15);
const MAIL: &str = "The sign-in is stored, and mail flows as soon as the server lets us in: inbound mail stays there, outbound mail waits.";

/// What the mail server said to the new token.
#[derive(Debug)]
pub(crate) enum Proof {
    Worked,
    Failed(ProofError),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ProofError {
    #[error("the server's private certificate authority cannot be used")]
    Tls(#[from] TlsError),
    #[error("the account's row cannot be used")]
    Row(#[from] StoreError),
    #[error(transparent)]
    Imap(#[from] ImapError),
    #[error(transparent)]
    Smtp(#[from] SmtpError),
    #[error("the mail server did not answer within {} seconds", LIMIT.as_secs())]
    TimedOut,
}

/// Signs in at the mail server, which takes a bounded time.
pub(crate) async fn prove(account: &Account, access_token: SecretString) -> Proof {
    let tried = timeout(LIMIT, sign_in(account, access_token)).await;
    match tried.unwrap_or(Err(ProofError::TimedOut)) {
        Ok(()) => {
            info!("The mail server accepts the new token");
            Proof::Worked
        }
        Err(error) => {
            warn!(
                kind = ?error.verdict().kind,
                code = error.code(),
                "The mail server does not accept the new token yet"
            );
            Proof::Failed(error)
        }
    }
}

async fn sign_in(account: &Account, access_token: SecretString) -> Result<(), ProofError> {
    let address = account.server_address()?;
    let server = Server {
        host: address.host.clone(),
        port: address.port,
        encryption: address.encryption,
        tls: client_config(account.ca_pem.as_deref())?,
    };
    let credentials = Credentials::OAuth2 {
        login: account.login.clone(),
        access_token,
    };
    match account.protocol {
        Protocol::Imap => {
            let limits = ImapLimits::default();
            let mut session = Session::connect(&server, &credentials, limits).await?;
            let folder = account.folders.first().map_or("INBOX", String::as_str);
            let opened = session.select(folder, SelectMode::ReadOnly).await;
            session.logout().await;
            opened?;
        }
        // Nothing reads POP3 yet, and no account can have it.
        Protocol::Pop3 => {}
        Protocol::Smtp => {
            let settings = SmtpSettings::default();
            let connection = Connection::connect(&server, &credentials, &settings).await?;
            connection.quit().await;
        }
    }
    Ok(())
}

impl ProofError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Tls(error) => error.verdict(),
            Self::Imap(error) => error.verdict(),
            Self::Smtp(error) => error.verdict(),
            Self::Row(_) => Verdict::unknown(),
            Self::TimedOut => Verdict::transient(),
        }
    }

    fn code(&self) -> Option<String> {
        match self {
            Self::Imap(error) => error.code().map(ToOwned::to_owned),
            Self::Smtp(SmtpError::Refused { reply, .. } | SmtpError::TokenRefused { reply }) => {
                Some(reply.status())
            }
            _ => None,
        }
    }

    fn action(&self) -> &'static str {
        if matches!(self, Self::TimedOut) {
            return "It is tried again by itself. If it stays, check host, port and encryption of the account.";
        }
        match self.verdict().kind {
            VerdictKind::Transient | VerdictKind::Throttled => {
                "Nothing: it is tried again by itself."
            }
            VerdictKind::NeedsSignIn => {
                "Check that IMAP, or SMTP sign-in, is switched on for this mailbox, and that the scopes of the client configuration cover it. It is tried again by itself."
            }
            _ => {
                "Check host, port, encryption, ca_pem and folder of the account, and that the mailbox allows this protocol. It is tried again by itself."
            }
        }
    }
}

impl Proof {
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
        let mut page = Page::new(
            200,
            Tone::Attention,
            "You signed in, but the mail server does not let us in yet",
            capitalised(&sentence(error)),
        )
        .fact("Account", &account.name)
        .fact("Mailbox", &account.login);
        if let Some(code) = error.code() {
            page = page.fact("The server's code", code);
        }
        page.act(error.verdict().who, error.action()).mail(MAIL)
    }
}
