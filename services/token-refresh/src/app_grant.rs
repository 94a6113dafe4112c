//! Starts the grants of mailboxes whose client needs no person.

use mailmesh_domain::GrantId;
use mailmesh_secrets::SecretString;
use mailmesh_store::StoreError;
use mailmesh_store::Tx;
use mailmesh_store::grant::{self, AppLogin, Grant};
use tracing::{error, info, warn};

use crate::refresh::Refresher;

/// The most that one transaction starts; more are left to the next look.
const AT_ONCE: i64 = 100;

/// Gives a grant to each mailbox that an account is there for and that has none. It is due at once, so that what follows is a
/// refresh like any other: one claim, one request, and a commit before anybody uses the token.
pub(crate) async fn start(refresher: &Refresher) {
    match try_start(refresher).await {
        Ok(0) => {}
        Ok(started) => info!(started, "Mailboxes get their first token"),
        Err(error) => warn!(
            error = &error as &dyn std::error::Error,
            "Accounts without a grant cannot be looked for; it is tried again"
        ),
    }
}

async fn try_start(refresher: &Refresher) -> Result<usize, StoreError> {
    // Accounts are locked before grants, as everywhere; so this is no part of the transaction that claims grants.
    let mut tx = refresher.context.replica.database.begin().await?;
    let logins = grant::list_logins_without_grant(&mut tx, AT_ONCE).await?;
    for login in &logins {
        start_one(refresher, &mut tx, login).await?;
    }
    tx.commit().await?;
    Ok(logins.len())
}

async fn start_one(refresher: &Refresher, tx: &mut Tx, login: &AppLogin) -> Result<(), StoreError> {
    let clock = &*refresher.context.replica.clock;
    let id = GrantId::generate(clock);
    let key = refresher.context.keys.sealing_key();
    let no_token = key.seal(&SecretString::from(""), &Grant::access_context(id));
    let no_token = match no_token {
        Ok(no_token) => no_token,
        Err(error) => {
            error!(
                error = &error as &dyn std::error::Error,
                "A grant cannot be started"
            );
            return Ok(());
        }
    };
    grant::start_app_grant(tx, login, (id, &no_token), clock.now()).await?;
    Ok(())
}
