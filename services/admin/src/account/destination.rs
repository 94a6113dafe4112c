use mailmesh_domain::{AddressRule, Authorisation, HostName, NetworkSettings};
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

/// Refuses to let anybody but an administrator choose a mailbox that opens without its owner: whoever may make accounts could read
/// every mailbox of the tenant.
pub(crate) fn check_login(
    caller: &impl Caller,
    client: Option<&ClientConfiguration>,
    current: Option<&Account>,
    account: &Account,
) -> Result<(), ApiError> {
    let Some(client) = client.filter(|client| client.flow.is_app()) else {
        return Ok(());
    };
    let is_same = current.is_some_and(|current| {
        current.client_configuration_id == account.client_configuration_id
            && current.authorisation == account.authorisation
            && current.login.eq_ignore_ascii_case(&account.login)
    });
    if caller.is_administrator() || is_same || account.authorisation != Authorisation::OAuth2 {
        return Ok(());
    }
    let mut faults = Faults::default();
    faults.add(
        "login",
        format!(
            "must be set by an administrator: the client configuration {} opens mailboxes without asking their owners",
            client.key
        ),
    );
    Err(faults.for_administrators())
}

/// Who names a host, and what was there before.
pub(crate) struct HostContext<'a> {
    pub(crate) current: Option<&'a Account>,
    pub(crate) client: Option<&'a ClientConfiguration>,
    /// Whether the request itself names the host.
    pub(crate) is_named: bool,
    pub(crate) network: &'a NetworkSettings,
}

/// Returns whether the account's host may lie anywhere: an administrator has named it, here or for another account, or it
/// is the provider's. Else connections are made to public addresses alone, so that nobody looks around in the networks
/// of this machine by way of accounts.
///
/// # Errors
/// When the host is visibly none of the public Internet and the caller may not name such a one.
pub(crate) async fn trust_host(
    tx: &mut Tx,
    caller: &impl Caller,
    account: &Account,
    context: &HostContext<'_>,
) -> Result<bool, ApiError> {
    let Some(server) = &account.server else {
        return Ok(true);
    };
    let before = context.current.and_then(|current| {
        let before = current.server.as_ref()?;
        let is_same = before.host.eq_ignore_ascii_case(&server.host) && before.port == server.port;
        is_same.then_some(current.is_host_trusted)
    });
    let is_by_administrator = caller.is_administrator() && (context.is_named || before.is_none());
    let mut known = context
        .client
        .map(known_servers)
        .unwrap_or_default()
        .into_iter();
    if is_by_administrator
        || before == Some(true)
        || known.any(|known| known.host.eq_ignore_ascii_case(&server.host))
        || store::is_trusted_host(tx, &server.host, server.port).await?
    {
        return Ok(true);
    }
    let rule = AddressRule::public(context.network);
    let is_permitted = match HostName::try_new(&server.host) {
        Ok(HostName::Address(address)) => rule.permits(address),
        Ok(name) => !name.is_local_name(),
        Err(_) => false,
    };
    if is_permitted || caller.is_administrator() {
        return Ok(false);
    }
    let mut faults = Faults::default();
    faults.add(
        "host",
        "is not on the public Internet: an administrator must set it, or allow its network with the setting network.allow",
    );
    Err(faults.for_administrators())
}
