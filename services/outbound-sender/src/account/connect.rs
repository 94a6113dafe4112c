use mailmesh_domain::GrantId;
use mailmesh_mail::connect_transport;
use mailmesh_mail::transport::{Failure, MailTransport};
use mailmesh_store::account::Account;

use crate::access::{Access, Denied};
use crate::shared::Shared;

/// The grant and the generation of an access token.
pub(super) type Token = (GrantId, i64);

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum NotOpened {
    /// The account could not even be tried.
    Denied(Denied),
    /// The server refused the account, or was not reached.
    Failed {
        failure: Failure,
        token: Option<Token>,
    },
}

/// Opens a connection with the account's present password or token.
pub(super) async fn open(
    shared: &Shared,
    account: &Account,
) -> Result<(Box<dyn MailTransport>, Option<Token>), NotOpened> {
    let endpoint = Access::endpoint(account);
    let endpoint = endpoint.map_err(|problem| NotOpened::Denied(Denied::Problem(problem)))?;
    let replica = &shared.replica;
    let now = replica.clock.now();
    let pass = shared.access.pass(&replica.database, account, now).await;
    let pass = pass.map_err(NotOpened::Denied)?;
    let settings = shared.config.transport();
    match connect_transport(&endpoint, &pass.credentials, &settings).await {
        Ok(transport) => Ok((transport, pass.token)),
        Err(failure) => Err(NotOpened::Failed {
            failure,
            token: pass.token,
        }),
    }
}
