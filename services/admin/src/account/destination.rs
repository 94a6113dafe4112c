use mailmesh_domain::Authorisation;
use mailmesh_store::Tx;
use mailmesh_store::account::{self as store, Account};
use mailmesh_store::client_configuration::ClientConfiguration;

use super::server::known_servers;
use crate::access::Caller;
use crate::error::ApiError;
use crate::field::Faults;

/// Refuses to let tokens of a client configuration go where no administrator has sent them: a grant is shared by all
/// accounts of its mailbox, so whoever names the server of one could collect the tokens of any.
pub(crate) async fn check_destination(
    tx: &mut Tx,
    caller: &impl Caller,
    client: Option<&ClientConfiguration>,
    account: &Account,
) -> Result<(), ApiError> {
    let Some(client) = client.filter(|_| account.authorisation == Authorisation::OAuth2) else {
        return Ok(());
    };
    let servers = known_servers(client);
    let is_providers = servers
        .iter()
        .any(|server| server.host.eq_ignore_ascii_case(account.host()));
    if caller.is_administrator()
        || (is_providers && account.ca_pem.is_none())
        || store::has_known_server(tx, account).await?
    {
        return Ok(());
    }
    let mut faults = Faults::default();
    if is_providers {
        faults.add(
            "ca_pem",
            "must be left out: the provider's own servers need no private CA, and it decides who gets the token",
        );
    } else {
        let key = &client.key;
        faults.add(
            "host",
            format!(
                "is a new server for client configuration {key}, whose tokens would go there: an administrator must set the first account with this host, port, encryption and ca_pem"
            ),
        );
    }
    Err(faults.for_administrators())
}
