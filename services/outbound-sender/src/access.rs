//! What an account needs to sign in: its server, and a password or the grant's access token.

use bytes::Bytes;
use mailmesh_accounts::Replica;
use mailmesh_domain::{Authorisation, ErrorChain, GrantId, GrantState, MustAct, Verdict};
use mailmesh_events::Problem;
use mailmesh_events::subject::TOKEN_REFRESH;
use mailmesh_events::token::RefreshToken;
use mailmesh_mail::{Credentials, Endpoint, Server, client_config};
use mailmesh_secrets::OpeningKeys;
use mailmesh_store::account::Account;
use mailmesh_store::grant::{self, Grant};
use mailmesh_store::{Database, StoreError};
use time::OffsetDateTime;
use tracing::warn;

use crate::problem::WAITS;

/// Opens sealed passwords and tokens.
#[derive(Debug)]
pub(crate) struct Access {
    keys: OpeningKeys,
}

/// What a connection is opened with.
#[derive(Debug)]
pub(crate) struct Pass {
    pub(crate) credentials: Credentials,
    /// The grant and the generation of its token.
    pub(crate) token: Option<(GrantId, i64)>,
}

/// Why an account cannot even be tried.
#[derive(Debug)]
pub(crate) enum Denied {
    /// A person has to act.
    Problem(Problem),
    /// The token of this generation is over; a new one is under way.
    TokenOver(GrantId, i64),
    /// The database did not answer.
    Store(StoreError),
}

impl From<StoreError> for Denied {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Access {
    pub(crate) const fn new(keys: OpeningKeys) -> Self {
        Self { keys }
    }

    /// Returns where the account's server is.
    pub(crate) fn endpoint(account: &Account) -> Result<Endpoint, Problem> {
        let tls = client_config(account.ca_pem.as_deref()).map_err(|error| {
            Problem::new(ErrorChain(&error).sentence(), error.verdict()).with_mail(WAITS)
        })?;
        let address = account.server_address().map_err(|error| {
            let verdict = Verdict::needs_administrator(MustAct::Administrator);
            Problem::new(ErrorChain(&error).sentence(), verdict).with_mail(WAITS)
        })?;
        Ok(Endpoint {
            protocol: account.protocol,
            direction: account.direction,
            server: Server {
                host: address.host.clone(),
                port: address.port,
                encryption: address.encryption,
                tls,
            },
        })
    }

    /// Returns what the account proves itself with, from rows that are read now.
    pub(crate) async fn pass(
        &self,
        database: &Database,
        account: &Account,
        now: OffsetDateTime,
    ) -> Result<Pass, Denied> {
        match account.authorisation {
            Authorisation::None => Ok(Pass {
                credentials: Credentials::None,
                token: None,
            }),
            Authorisation::Password => self.password(account).map_err(Denied::Problem),
            Authorisation::OAuth2 => self.token(database, account, now).await,
        }
    }

    fn password(&self, account: &Account) -> Result<Pass, Problem> {
        let setting = Verdict::needs_administrator(MustAct::Administrator);
        let sealed = account
            .password
            .as_ref()
            .ok_or_else(|| waiting("The account has no password", setting))?;
        let password = self
            .keys
            .open(sealed, &Account::password_context(account.id))
            .map_err(|error| waiting(&ErrorChain(&error).sentence(), setting))?;
        Ok(Pass {
            credentials: Credentials::Password {
                login: account.login.clone(),
                password,
            },
            token: None,
        })
    }

    async fn token(
        &self,
        database: &Database,
        account: &Account,
        now: OffsetDateTime,
    ) -> Result<Pass, Denied> {
        let grant = load_grant(database, account).await?.ok_or_else(|| {
            let what = "Nobody has signed in for the account yet";
            Denied::Problem(waiting(what, Verdict::needs_sign_in()))
        })?;
        if let Some(problem) = refusal_of(&grant) {
            return Err(Denied::Problem(problem));
        }
        if grant.access_expires_at <= now {
            return Err(Denied::TokenOver(grant.id, grant.generation));
        }
        let access_token = self
            .keys
            .open(&grant.access_token, &Grant::access_context(grant.id))
            .map_err(|error| {
                let setting = Verdict::needs_administrator(MustAct::Administrator);
                Denied::Problem(waiting(&ErrorChain(&error).sentence(), setting))
            })?;
        Ok(Pass {
            credentials: Credentials::OAuth2 {
                login: account.login.clone(),
                access_token,
            },
            token: Some((grant.id, grant.generation)),
        })
    }
}

async fn load_grant(database: &Database, account: &Account) -> Result<Option<Grant>, StoreError> {
    let Some(id) = account.grant_id else {
        return Ok(None);
    };
    let mut tx = database.begin().await?;
    let grants = grant::list_by_ids(&mut tx, &[id]).await?;
    tx.commit().await?;
    Ok(grants.into_iter().next())
}

/// What `token-refresh` found out about the grant, if that keeps it from being used.
fn refusal_of(grant: &Grant) -> Option<Problem> {
    let verdict = match grant.state {
        GrantState::Active => return None,
        GrantState::SignInRequired => Verdict::needs_sign_in(),
        GrantState::Suspended => Verdict::needs_administrator(MustAct::Administrator),
    };
    let known = grant.problem.clone();
    let problem = known.unwrap_or_else(|| Problem::new("The grant is refused", verdict));
    Some(problem.with_mail(WAITS))
}

/// The problem of mail that waits for a new access token.
pub(crate) fn token_over() -> Problem {
    let what = "The access token is no longer accepted and a new one is being fetched";
    waiting(what, Verdict::transient())
}

pub(crate) fn waiting(what: &str, verdict: Verdict) -> Problem {
    Problem::new(what, verdict).with_mail(WAITS)
}

/// Asks `token-refresh` for a new token; whoever needs it asks again until it is there.
pub(crate) async fn ask_refresh(replica: &Replica, grant_id: GrantId, refused_generation: i64) {
    let request = RefreshToken {
        grant_id,
        refused_generation,
    };
    let body = serde_json::to_vec(&request)
        .map(Bytes::from)
        .unwrap_or_default();
    if let Err(error) = replica.bus.publish_core(TOKEN_REFRESH, &[], body).await {
        warn!(
            error = &error as &dyn std::error::Error,
            "The refresh was not asked for; it is asked again"
        );
    }
}
