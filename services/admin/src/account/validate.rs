use mailmesh_domain::{Authorisation, Direction, GrantId, Protocol};
use mailmesh_mail::message::NamedAddress;
use mailmesh_store::account::Account;

use super::credentials::{self, SignInSettings};
use super::input::{AccountInput, MergeContext};
use super::server::{self, ServerInput};
use super::watch_settings;
use crate::client_configuration::merge_key;
use crate::error::ApiError;
use crate::field::{Faults, Field};

const MOST_FROM_ADDRESSES: usize = 1000;

/// Merges the input with what is stored, fills in defaults, checks all, and seals the password. The caller sets
/// the grant.
pub(crate) fn validate(
    mut input: AccountInput,
    mut faults: Faults,
    context: &MergeContext<'_>,
) -> Result<Account, ApiError> {
    let current = context.current;
    let key = merge_key(&input.key, current.map(|a| &a.key), &mut faults)?;
    let protocol = merge_protocol(&input.protocol, current, &mut faults);
    let server_input = ServerInput {
        host: std::mem::take(&mut input.host),
        port: std::mem::take(&mut input.port),
        encryption: std::mem::take(&mut input.encryption),
    };
    let direction = merge_direction(&input.direction, protocol, current, &mut faults);
    let server = server::merge(server_input, protocol, current, context.client, &mut faults);
    let ca_pem = std::mem::take(&mut input.ca_pem).over(current.and_then(|a| a.ca_pem.clone()));
    if let Some(pem) = &ca_pem {
        faults.ca_pem("ca_pem", pem);
    }
    let is_elsewhere =
        current.is_some_and(|a| server::is_elsewhere(&server, a) || ca_pem != a.ca_pem);
    let credentials = credentials::merge(&mut input, context, direction, is_elsewhere, &mut faults);
    credentials::check_protection(&credentials, &server, &mut faults);
    let from_addresses = merge_from(&mut input, direction, current, &credentials, &mut faults);
    let max_connections = merge_max_connections(&mut input, direction, current, &mut faults);
    let name = std::mem::take(&mut input.name).over(current.map(|a| a.name.clone()));
    let name = name.unwrap_or_else(|| key.to_string());
    faults.text("name", &name, 200);
    let is_enabled = std::mem::take(&mut input.enabled).over(current.map(|a| a.is_enabled));
    let watching = match direction {
        Direction::Inbound => watch_settings::merge(input, protocol, current, &mut faults),
        Direction::Outbound => watch_settings::refuse(&input, &mut faults),
    };
    faults.finish()?;
    Ok(Account {
        id: context.id,
        key,
        name,
        is_enabled: is_enabled.unwrap_or(true),
        direction,
        protocol,
        server: Some(server),
        // The caller decides, who knows by whom the host is named.
        is_host_trusted: false,
        authorisation: credentials.authorisation,
        login: credentials.login,
        password: credentials.password.seal(context)?,
        client_configuration_id: context.client.map(|client| client.id),
        signs_in_for: None,
        grant_id: None::<GrantId>,
        from_addresses,
        folders: watching.folders,
        receive_existing: watching.receive_existing,
        poll_interval_seconds: watching.poll_interval_seconds,
        after_receive: watching.after_receive,
        delete_after_days: watching.delete_after_days,
        move_to: watching.move_to,
        max_connections,
        ca_pem,
        revision: current.map_or(1, |account| account.revision),
        created_at: current.map_or(context.now, |account| account.created_at),
        updated_at: context.now,
    })
}

fn merge_protocol(
    given: &Field<Protocol>,
    current: Option<&Account>,
    faults: &mut Faults,
) -> Protocol {
    match (given, current) {
        (Field::Absent, Some(account)) => account.protocol,
        (Field::Given(protocol), Some(account)) if *protocol == account.protocol => *protocol,
        (_, Some(account)) => {
            faults.add("protocol", "cannot be changed: make a new account");
            account.protocol
        }
        (Field::Given(protocol), None) => *protocol,
        (Field::Absent | Field::Null, None) => {
            let (receive, send) = (named(Direction::Inbound), named(Direction::Outbound));
            let what = format!("is required: {receive} to receive, {send} to send");
            faults.add("protocol", what);
            Protocol::Imap
        }
    }
}

fn named(direction: Direction) -> String {
    let protocols = Protocol::ALL.iter();
    let supporting = protocols.filter(|protocol| protocol.supports(direction));
    let names: Vec<_> = supporting.map(|protocol| protocol.as_str()).collect();
    names.join(" or ")
}

fn merge_direction(
    given: &Field<Direction>,
    protocol: Protocol,
    current: Option<&Account>,
    faults: &mut Faults,
) -> Direction {
    let kept = current.map_or(protocol.usual_direction(), |account| account.direction);
    let Field::Given(direction) = given else {
        return kept;
    };
    if !protocol.supports(*direction) {
        faults.add(
            "direction",
            format!("cannot be {direction} for protocol {protocol}"),
        );
    } else if current.is_some() && *direction != kept {
        faults.add("direction", "cannot be changed: make a new account");
    }
    kept
}

fn merge_from(
    input: &mut AccountInput,
    direction: Direction,
    current: Option<&Account>,
    credentials: &SignInSettings,
    faults: &mut Faults,
) -> Vec<String> {
    let given = std::mem::take(&mut input.from_addresses);
    if direction == Direction::Inbound {
        if given.is_given() {
            faults.add("from_addresses", "is only for accounts that send");
        }
        return Vec::new();
    }
    let is_default = |account: &&Account| account.from_addresses == [account.login.clone()];
    // The default follows the login.
    let current = current.filter(|account| !is_default(account));
    let Some(addresses) = given.over(current.map(|account| account.from_addresses.clone())) else {
        let login = NamedAddress::parse(&credentials.login).ok();
        let login = login.filter(|mailbox| mailbox.name.is_none());
        if login.is_none() && !credentials.login.is_empty() {
            faults.add(
                "from_addresses",
                "is required, because the login is no mail address",
            );
        } else if login.is_none() && credentials.authorisation == Authorisation::None {
            faults.add("from_addresses", "is required, because there is no login");
        }
        return login.map(|mailbox| mailbox.address).into_iter().collect();
    };
    if addresses.is_empty() || addresses.len() > MOST_FROM_ADDRESSES {
        faults.add(
            "from_addresses",
            format!("must hold 1 to {MOST_FROM_ADDRESSES} addresses"),
        );
        return Vec::new();
    }
    let checked = addresses.iter().enumerate().map(|(index, text)| {
        let path = format!("from_addresses[{index}]");
        match NamedAddress::parse(text) {
            Ok(mailbox) if mailbox.name.is_none() => return mailbox.address,
            Ok(_) => faults.add(path, "must be an address alone, without a name"),
            Err(problem) => faults.add(path, problem),
        }
        String::new()
    });
    checked.collect()
}

fn merge_max_connections(
    input: &mut AccountInput,
    direction: Direction,
    current: Option<&Account>,
    faults: &mut Faults,
) -> u32 {
    let given = std::mem::take(&mut input.max_connections);
    if direction == Direction::Inbound {
        if given.is_given() {
            faults.add("max_connections", "is only for accounts that send");
        }
        return 1;
    }
    let most = given.over(current.map(|account| i64::from(account.max_connections)));
    faults.number("max_connections", most.unwrap_or(4), 1, 50)
}
