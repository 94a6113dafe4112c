use mailmesh_domain::{Authorisation, Direction, Encryption, Protocol};
use mailmesh_secrets::{ExposeSecret, SealedSecret};
use mailmesh_store::account::Account;
use mailmesh_store::client_configuration::ClientConfiguration;

use super::Input;
use super::server::Server;
use super::settle::Basis;
use crate::error::ApiError;
use crate::field::{Faults, Field, SecretText};

/// How the account proves itself.
pub(super) struct Credentials {
    pub(super) authorisation: Authorisation,
    pub(super) login: String,
    pub(super) password: Password,
}

pub(super) enum Password {
    None,
    Kept(SealedSecret),
    New(SecretText),
}

impl Password {
    pub(super) fn seal(self, basis: &Basis<'_>) -> Result<Option<SealedSecret>, ApiError> {
        Ok(match self {
            Self::None => None,
            Self::Kept(sealed) => Some(sealed),
            Self::New(SecretText(plain)) => {
                let context = Account::password_context(basis.id);
                Some(basis.sealing_key.seal(&plain, &context)?)
            }
        })
    }
}

pub(super) fn settle(
    input: &mut Input,
    basis: &Basis<'_>,
    protocol: Protocol,
    faults: &mut Faults,
) -> Credentials {
    let current = basis.current;
    let authorisation = std::mem::take(&mut input.authorisation);
    let authorisation = authorisation.over(current.map(|account| account.authorisation));
    let authorisation = authorisation.unwrap_or(Authorisation::OAuth2);
    let login = std::mem::take(&mut input.login).over(current.map(|a| a.login.clone()));
    let login = login.unwrap_or_default();
    if login.is_empty() && authorisation != Authorisation::None {
        faults.add("login", "is required: usually the mailbox's address");
    } else if !login.is_empty() {
        faults.text("login", &login, 320);
    }
    match (authorisation, basis.client) {
        (Authorisation::OAuth2, None) => {
            faults.add(
                "client_configuration",
                "is required for authorisation oauth2",
            );
        }
        (Authorisation::OAuth2, Some(client)) => check_direction(client, protocol, faults),
        (_, Some(_)) => faults.add("client_configuration", "is only for authorisation oauth2"),
        (_, None) => {}
    }
    let is_password = authorisation == Authorisation::Password;
    let kept = current.and_then(|account| account.password.clone());
    let password = match std::mem::take(&mut input.password) {
        Field::Given(SecretText(plain)) if is_password => {
            faults.text("password", plain.expose_secret(), 4096);
            Password::New(SecretText(plain))
        }
        Field::Given(_) => {
            faults.add("password", "is only for authorisation password");
            Password::None
        }
        Field::Absent if is_password && kept.is_some() => {
            kept.map_or(Password::None, Password::Kept)
        }
        Field::Absent | Field::Null => {
            if is_password {
                faults.add("password", "is required for authorisation password");
            }
            Password::None
        }
    };
    Credentials {
        authorisation,
        login,
        password,
    }
}

fn check_direction(client: &ClientConfiguration, protocol: Protocol, faults: &mut Faults) {
    let (is_usable, direction) = match protocol.direction() {
        Direction::Inbound => (client.is_inbound, "inbound"),
        Direction::Outbound => (client.is_outbound, "outbound"),
    };
    if !is_usable {
        faults.add(
            "client_configuration",
            format!(
                "{} is not usable for {direction} accounts: set its field {direction} to true",
                client.key
            ),
        );
    }
}

pub(super) fn check_protection(credentials: &Credentials, server: &Server, faults: &mut Faults) {
    let is_open = server.encryption == Encryption::None && !server.is_loopback();
    if is_open && credentials.authorisation == Authorisation::OAuth2 {
        faults.add(
            "encryption",
            "must be tls or starttls: a token is not sent in clear, except to this machine",
        );
    }
}
