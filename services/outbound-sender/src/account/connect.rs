use std::time::Duration;

use mailmesh_accounts::{Backoff, CredentialsError, EndpointError};
use mailmesh_domain::GrantId;
use mailmesh_mail::connect_transport;
use mailmesh_mail::transport::{MailTransport, TransportFailure};
use mailmesh_store::account::Account;

use crate::context::ServiceContext;

/// Backoff before an account is tried again, and before one more connection is.
pub(super) const RECONNECT: Backoff = Backoff::new(Duration::from_secs(5), Duration::from_mins(5));

/// The grant and the generation of an access token.
pub(super) type TokenGeneration = (GrantId, i64);

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum NotOpened {
    /// The account does not say where its server is.
    NoEndpoint(EndpointError),
    /// The password or token is missing or not usable.
    NoCredentials(CredentialsError),
    /// The server refused the account, or was not reached.
    Failed {
        failure: TransportFailure,
        token: Option<TokenGeneration>,
    },
}

/// Opens a connection with the account's present password or token; `refused` is a generation that the server refuses.
pub(super) async fn open(
    context: &ServiceContext,
    account: &Account,
    refused: Option<i64>,
) -> Result<(Box<dyn MailTransport>, Option<TokenGeneration>), NotOpened> {
    let servers = &context.replica.servers;
    let endpoint = servers.endpoint_of(account);
    let endpoint = endpoint.map_err(NotOpened::NoEndpoint)?;
    let opened = context.credentials.open(account, None, refused).await;
    let opened = opened.map_err(NotOpened::NoCredentials)?;
    let connecting = servers.permit_connect(endpoint.direction, &endpoint.server.host);
    let _permit = connecting.await;
    match connect_transport(&endpoint, &opened.credentials, &context.transport).await {
        Ok(transport) => Ok((transport, opened.token)),
        Err(failure) => Err(NotOpened::Failed {
            failure,
            token: opened.token,
        }),
    }
}
