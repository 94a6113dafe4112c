use mailmesh_domain::{Authorisation, Direction, Encryption};
use mailmesh_secrets::ExposeSecret;
use mailmesh_store::RowSecret;
use mailmesh_store::account::{Account, ServerAddress};
use mailmesh_store::client_configuration::ClientConfiguration;

use super::input::{AccountInput, MergeContext};
use super::server::is_loopback;
use crate::error::ApiError;
use crate::field::{Faults, Field, SecretText};

/// How the account proves itself.
pub(super) struct SignInSettings {
    pub(super) authorisation: Authorisation,
    pub(super) login: String,
    pub(super) password: Password,
}

pub(super) enum Password {
    None,
    Kept,
    New(SecretText),
}

impl Password {
    pub(super) fn seal(self, context: &MergeContext<'_>) -> Result<RowSecret, ApiError> {
        Ok(match self {
            Self::None => RowSecret::Absent,
            Self::Kept => RowSecret::Unread,
            Self::New(SecretText(plain)) => {
                let associated = Account::password_context(context.id);
                RowSecret::Sealed(context.sealing_key.seal(&plain, &associated)?)
            }
        })
    }
}

pub(super) fn merge(
    input: &mut AccountInput,
    context: &MergeContext<'_>,
    direction: Direction,
    is_elsewhere: bool,
    faults: &mut Faults,
) -> SignInSettings {
    let current = context.current;
    let authorisation = std::mem::take(&mut input.authorisation);
    let authorisation = authorisation.over(current.map(|account| account.authorisation));
    let authorisation = authorisation.unwrap_or(Authorisation::OAuth2);
    let login = std::mem::take(&mut input.login).over(current.map(|a| a.login.clone()));
    let login = login.unwrap_or_default();
    if login.is_empty() && authorisation != Authorisation::None {
        faults.add("login", "is required: usually the mailbox's address");
    } else if !login.is_empty() {
        faults.placeholder("login", &login);
        faults.text("login", &login, 320);
    }
    match (authorisation, context.client) {
        (Authorisation::OAuth2, None) => {
            faults.add(
                "client_configuration",
                "is required for authorisation oauth2",
            );
        }
        (Authorisation::OAuth2, Some(client)) => check_direction(client, direction, faults),
        (_, Some(_)) => faults.add("client_configuration", "is only for authorisation oauth2"),
        (_, None) => {}
    }
    let is_password = authorisation == Authorisation::Password;
    let has_password = current.is_some_and(|account| account.password.is_set());
    let password = std::mem::take(&mut input.password);
    let password = merge_password(password, is_password, has_password, is_elsewhere, faults);
    SignInSettings {
        authorisation,
        login,
        password,
    }
}

fn merge_password(
    given: Field<SecretText>,
    is_password: bool,
    has_password: bool,
    is_elsewhere: bool,
    faults: &mut Faults,
) -> Password {
    match (given, has_password) {
        (Field::Given(SecretText(plain)), _) if is_password => {
            faults.text("password", plain.expose_secret(), 4096);
            return Password::New(SecretText(plain));
        }
        (Field::Given(_), _) => faults.add("password", "is only for authorisation password"),
        (Field::Absent, true) if is_password && !is_elsewhere => return Password::Kept,
        // Else whoever may change accounts could have it sent to a server of their own.
        (Field::Absent, true) if is_password => faults.add(
            "password",
            "must be given again with another host, port or ca_pem, or without encryption: it goes to no server that it was not given for",
        ),
        (Field::Absent | Field::Null, _) if is_password => {
            faults.add("password", "is required for authorisation password");
        }
        (Field::Absent | Field::Null, _) => {}
    }
    Password::None
}

fn check_direction(client: &ClientConfiguration, direction: Direction, faults: &mut Faults) {
    let is_usable = match direction {
        Direction::Inbound => client.is_inbound,
        Direction::Outbound => client.is_outbound,
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

pub(super) fn check_protection(
    credentials: &SignInSettings,
    server: &ServerAddress,
    faults: &mut Faults,
) {
    let is_open = server.encryption == Encryption::None && !is_loopback(server);
    if is_open && credentials.authorisation != Authorisation::None {
        faults.add(
            "encryption",
            "must be tls or starttls: tokens and passwords are not sent in clear, except to this machine",
        );
    }
}
