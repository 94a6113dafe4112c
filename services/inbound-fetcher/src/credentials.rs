use mailmesh_domain::{Authorisation, GrantId, GrantState};
use mailmesh_events::subject;
use mailmesh_events::token::RefreshToken;
use mailmesh_mail::Credentials;
use mailmesh_store::account::Account;
use mailmesh_store::grant::{self, Grant};
use tracing::warn;

use crate::context::Context;
use crate::failure::Failure;

/// What the account can sign in with at this moment.
#[derive(Debug)]
pub(crate) enum Access {
    Ready {
        credentials: Credentials,
        /// The generation of the access token, if it is one.
        generation: Option<i64>,
    },
    /// Nobody has signed in yet, or must again; a change or a newer generation wakes the account.
    NoGrant { generation: Option<i64> },
    /// The access token of this generation is over or was refused.
    Stale { generation: i64 },
}

/// Opens what the account signs in with. `refused` is a generation that was refused before.
pub(crate) async fn load(
    context: &Context,
    account: &Account,
    known: Option<Grant>,
    refused: Option<i64>,
) -> Result<Access, Failure> {
    match account.authorisation {
        Authorisation::OAuth2 => {
            let grant = match known {
                Some(grant) => Some(grant),
                None => find_grant(context, account).await?,
            };
            let nobody = Access::NoGrant { generation: None };
            grant.map_or(Ok(nobody), |grant| {
                open_token(context, account, &grant, refused)
            })
        }
        Authorisation::Password => {
            let sealed = account.password.as_ref().ok_or(Failure::NoPassword)?;
            let place = Account::password_context(account.id);
            let credentials = Credentials::Password {
                login: account.login.clone(),
                password: context.keys.open(sealed, &place)?,
            };
            Ok(ready(credentials))
        }
        Authorisation::None => Ok(ready(Credentials::None)),
    }
}

const fn ready(credentials: Credentials) -> Access {
    Access::Ready {
        credentials,
        generation: None,
    }
}

async fn find_grant(context: &Context, account: &Account) -> Result<Option<Grant>, Failure> {
    let Some(id) = account.grant_id else {
        return Ok(None);
    };
    let mut tx = context.replica.database.begin().await?;
    let mut found = grant::list_by_ids(&mut tx, &[id]).await?;
    tx.commit().await?;
    Ok(found.pop())
}

fn open_token(
    context: &Context,
    account: &Account,
    grant: &Grant,
    refused: Option<i64>,
) -> Result<Access, Failure> {
    let generation = grant.generation;
    let is_over = grant.access_expires_at <= context.now();
    let is_refused = refused.is_some_and(|refused| refused >= generation);
    if is_over || is_refused {
        return Ok(match grant.state {
            GrantState::Active => Access::Stale { generation },
            // A person has to act, and token-refresh has said so.
            GrantState::SignInRequired | GrantState::Suspended => Access::NoGrant {
                generation: Some(generation),
            },
        });
    }
    let place = Grant::access_context(grant.id);
    Ok(Access::Ready {
        credentials: Credentials::OAuth2 {
            login: account.login.clone(),
            access_token: context.keys.open(&grant.access_token, &place)?,
        },
        generation: Some(generation),
    })
}

/// Asks `token-refresh` for a newer token. It may not hear it; whoever waits asks again.
pub(crate) async fn ask_for_refresh(context: &Context, grant_id: GrantId, refused_generation: i64) {
    let request = RefreshToken {
        grant_id,
        refused_generation,
    };
    let Ok(payload) = serde_json::to_vec(&request) else {
        return;
    };
    let sent = context
        .replica
        .bus
        .publish_core(subject::TOKEN_REFRESH, &[], payload.into())
        .await;
    if let Err(error) = sent {
        warn!(
            error = &error as &dyn std::error::Error,
            "A fresh token could not be asked for; it is tried again"
        );
    }
}
