use std::net::IpAddr;

use mailmesh_domain::{Encryption, HostName, Protocol};
use mailmesh_oauth::profile::{MailServer, Profile};
use mailmesh_store::account::{Account, ServerAddress};
use mailmesh_store::client_configuration::ClientConfiguration;
use url::Url;

use crate::field::{Faults, Field};

#[derive(Debug)]
pub(super) struct ServerInput {
    pub(super) host: Field<String>,
    pub(super) port: Field<i64>,
    pub(super) encryption: Field<Encryption>,
}

/// Merges the input with the stored server and with what the client's profile knows of its provider.
pub(super) fn merge(
    input: ServerInput,
    protocol: Protocol,
    current: Option<&Account>,
    client: Option<&ClientConfiguration>,
    faults: &mut Faults,
) -> ServerAddress {
    let known = client.and_then(|client| known_server(client, protocol));
    let current = current.and_then(|account| account.server.as_ref());
    let host = input.host.over(current.map(|server| server.host.clone()));
    let is_known_host = host.as_deref().is_none_or(|host| {
        known
            .as_ref()
            .is_some_and(|known| known.host.eq_ignore_ascii_case(host))
    });
    let host = host.or_else(|| known.as_ref().map(|known| known.host.to_owned()));
    let host = host.unwrap_or_default();
    check_host(&host, client.is_some(), faults);
    let known = known.filter(|_| is_known_host);
    let port = input
        .port
        .over(current.map(|server| i64::from(server.port)));
    let encryption = input
        .encryption
        .over(current.map(|server| server.encryption));
    let encryption =
        encryption.unwrap_or_else(|| default_encryption(protocol, port, known.as_ref()));
    let port = port.unwrap_or_else(|| i64::from(protocol.default_port(encryption)));
    let port = faults.number("port", port, 1, 65_535);
    ServerAddress {
        host,
        port: u16::try_from(port).unwrap_or_default(),
        encryption,
    }
}

/// A port is taken at its usual meaning, since the other one does not work there.
fn default_encryption(
    protocol: Protocol,
    port: Option<i64>,
    known: Option<&MailServer>,
) -> Encryption {
    let port = port.and_then(|port| u16::try_from(port).ok());
    port.and_then(|port| protocol.encryption_at(port))
        .unwrap_or_else(|| known.map_or(Encryption::Tls, |known| known.encryption))
}

fn known_server(client: &ClientConfiguration, protocol: Protocol) -> Option<MailServer> {
    known_servers(client)
        .into_iter()
        .find(|server| server.protocol == protocol)
}

/// Returns the mail servers of the client's provider, as far as its profile knows them.
pub(super) fn known_servers(client: &ClientConfiguration) -> Vec<MailServer> {
    let Ok(profile) = client.profile.parse::<Profile>() else {
        return Vec::new();
    };
    let base = client.issuer.as_deref();
    let base = base.and_then(|base| Url::parse(base).ok());
    profile.defaults(base.as_ref()).mail_servers
}

fn check_host(host: &str, has_client: bool, faults: &mut Faults) {
    if host.is_empty() {
        let message = if has_client {
            "is required: the client configuration's profile knows none"
        } else {
            "is required: the name of the mail server, such as imap.example.com"
        };
        faults.add("host", message);
        return;
    }
    faults.placeholder("host", host);
    if let Err(fault) = HostName::try_new(host) {
        faults.add("host", fault);
    }
}

/// Returns whether this may be another party than the account's server until now.
pub(super) fn is_elsewhere(server: &ServerAddress, current: &Account) -> bool {
    let Some(before) = &current.server else {
        return true;
    };
    let is_opened = server.encryption == Encryption::None && before.encryption != Encryption::None;
    !server.host.eq_ignore_ascii_case(&before.host) || server.port != before.port || is_opened
}

/// Returns whether the server is on this machine by its name.
pub(super) fn is_loopback(server: &ServerAddress) -> bool {
    let host = server.host.trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
