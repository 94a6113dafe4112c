use futures_util::future::BoxFuture;
use mailmesh_domain::{
    Authorisation, ErrorChain, FailureCause, GrantId, GrantState, History, Verdict, responsibility,
};
use mailmesh_events::token::RefreshToken;
use mailmesh_events::{Problem, subject};
use mailmesh_mail::Credentials;
use mailmesh_secrets::{OpenError, OpeningKeys};
use mailmesh_store::StoreError;
use mailmesh_store::account::Account;
use mailmesh_store::grant::{self, Grant};
use time::OffsetDateTime;
use tracing::warn;

use crate::Replica;

/// Opens what accounts sign in with, and asks for newer tokens.
#[derive(Debug, Clone)]
pub struct AccountCredentials {
    replica: Replica,
    keys: OpeningKeys,
}

/// What an account can sign in with at this moment.
#[derive(Debug)]
pub struct OpenedCredentials {
    /// The login, with a password or an access token.
    pub credentials: Credentials,
    /// The grant and the generation of the access token, if it is one.
    pub token: Option<(GrantId, i64)>,
}

/// Why an account cannot even try to sign in.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// It signs in with a password and has none.
    #[error("the account has no password")]
    NoPassword,
    /// No key opens it.
    #[error("the account's secret cannot be opened")]
    Secret(#[from] OpenError),
    /// It has no grant.
    #[error("nobody has signed in for the account yet")]
    NoGrant,
    /// The access token has expired or was refused, and a person has to act before there is a newer one.
    #[error("the account's grant is refused")]
    GrantRefused {
        /// The generation that cannot be used.
        generation: i64,
        /// As `token-refresh` has recorded it.
        problem: Box<Problem>,
    },
    /// The access token has expired or was refused; a newer one can be asked for.
    #[error("the access token is no longer accepted and a new one is being fetched")]
    TokenOver {
        grant_id: GrantId,
        /// The generation that cannot be used.
        generation: i64,
    },
    /// The grant was not read.
    #[error("the database failed")]
    Store(#[from] StoreError),
}

impl CredentialsError {
    /// Says what the failure means and who must act.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::GrantRefused { problem, .. } => problem.verdict(),
            other => responsibility(other.failure_cause(), History::WORKS).verdict,
        }
    }

    /// Describes the failure for people.
    pub fn problem(&self) -> Problem {
        match self {
            Self::GrantRefused { problem, .. } => (**problem).clone(),
            other => {
                let decided = responsibility(other.failure_cause(), History::WORKS);
                Problem::decided(ErrorChain(other).sentence(), &decided)
            }
        }
    }

    const fn failure_cause(&self) -> FailureCause {
        match self {
            Self::NoPassword => FailureCause::NoPassword,
            Self::Secret(_) => FailureCause::AccountSecretSealed,
            Self::NoGrant => FailureCause::NotSignedIn,
            Self::GrantRefused { .. } => FailureCause::GrantDead,
            Self::TokenOver { .. } => FailureCause::Transient,
            Self::Store(_) => FailureCause::MeshFailed,
        }
    }
}

impl AccountCredentials {
    /// Takes the keys that open passwords and access tokens.
    pub const fn new(replica: Replica, keys: OpeningKeys) -> Self {
        Self { replica, keys }
    }

    /// Opens what the account signs in with. `known` is a grant that was read just now, else it is read;
    /// `refused` is a generation that the server has refused.
    ///
    /// A grant that waits for a person is used for as long as its access token works: mail flows until then.
    ///
    /// # Errors
    /// [`CredentialsError`], which says who must act.
    pub fn open<'a>(
        &'a self,
        account: &'a Account,
        known: Option<Grant>,
        refused: Option<i64>,
    ) -> BoxFuture<'a, Result<OpenedCredentials, CredentialsError>> {
        Box::pin(async move {
            let grant = match (account.authorisation, known) {
                (Authorisation::OAuth2, None) => self.find_grant(account).await?,
                (Authorisation::OAuth2, known) => known,
                _ => None,
            };
            if let Some(grant) = &grant {
                check(grant, refused, self.replica.clock.now())?;
            }
            open_credentials(&self.keys, account, grant.as_ref())
        })
    }

    /// Asks `token-refresh` for a newer token by a hint, which may be lost: whoever waits asks again.
    pub fn ask_for_token(&self, grant_id: GrantId, refused_generation: i64) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let request = RefreshToken {
                grant_id,
                refused_generation,
            };
            let Ok(payload) = serde_json::to_vec(&request) else {
                return;
            };
            let bus = &self.replica.bus;
            let sent = bus.publish_core(subject::TOKEN_REFRESH, &[], payload.into());
            if let Err(error) = sent.await {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "A fresh token could not be asked for; it is tried again"
                );
            }
        })
    }

    async fn find_grant(&self, account: &Account) -> Result<Option<Grant>, StoreError> {
        let Some(id) = account.grant_id else {
            return Ok(None);
        };
        let mut tx = self.replica.database.begin().await?;
        let mut found = grant::list_by_ids(&mut tx, &[id]).await?;
        tx.commit().await?;
        Ok(found.pop())
    }
}

/// Opens what the account signs in with, whatever became of the grant's access token.
///
/// # Errors
/// [`CredentialsError`], when there is nothing to open or no key opens it.
pub fn open_credentials(
    keys: &OpeningKeys,
    account: &Account,
    grant: Option<&Grant>,
) -> Result<OpenedCredentials, CredentialsError> {
    let login = account.login.clone();
    let (credentials, token) = match account.authorisation {
        Authorisation::None => (Credentials::None, None),
        Authorisation::Password => {
            let sealed = account.password.sealed();
            let sealed = sealed.ok_or(CredentialsError::NoPassword)?;
            let password = keys.open(sealed, &Account::password_context(account.id))?;
            (Credentials::Password { login, password }, None)
        }
        Authorisation::OAuth2 => {
            let grant = grant.ok_or(CredentialsError::NoGrant)?;
            if !grant.has_token() {
                return Err(CredentialsError::TokenOver {
                    grant_id: grant.id,
                    generation: grant.generation,
                });
            }
            let access_token = keys.open(&grant.access_token, &Grant::access_context(grant.id))?;
            let credentials = Credentials::OAuth2 {
                login,
                access_token,
            };
            (credentials, Some((grant.id, grant.generation)))
        }
    };
    Ok(OpenedCredentials { credentials, token })
}

fn check(grant: &Grant, refused: Option<i64>, now: OffsetDateTime) -> Result<(), CredentialsError> {
    let generation = grant.generation;
    let is_refused = refused.is_some_and(|refused| refused >= generation);
    if grant.access_expires_at > now && !is_refused {
        return Ok(());
    }
    let cause = match grant.state {
        GrantState::Active => {
            return Err(CredentialsError::TokenOver {
                grant_id: grant.id,
                generation,
            });
        }
        GrantState::SignInRequired => FailureCause::GrantDead,
        GrantState::Suspended => FailureCause::GrantSuspended,
    };
    let known = grant.problem.clone();
    let decided = || responsibility(cause, History::WORKS);
    let problem = known.unwrap_or_else(|| Problem::decided("The grant is refused", &decided()));
    Err(CredentialsError::GrantRefused {
        generation,
        problem: Box::new(problem),
    })
}
