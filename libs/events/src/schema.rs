//! The JSON Schemas of all messages, as `schemas/` holds them.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

use crate::envelope::type_of;
pub use crate::message::{Message, Role};
use crate::{Command, Event, account, asyncapi, mail, token};

/// Returns every message of the contract.
pub fn messages() -> Vec<Message> {
    vec![
        command::<mail::SendMail>(),
        command::<mail::CancelMail>(),
        event::<mail::MailReceived>(),
        event::<mail::MailSent>(),
        event::<mail::MailDeferred>(),
        event::<mail::MailFailed>(),
        event::<mail::MailUncertain>(),
        event::<mail::MailRejected>(),
        event::<mail::MailCancelled>(),
        event::<mail::MailQuarantined>(),
        event::<mail::MailboxReset>(),
        event::<token::TokenRefreshed>(),
        event::<token::TokenRefreshFailed>(),
        event::<account::AccountAuthenticated>(),
        event::<account::AccountChanged>(),
        event::<account::AccountSignInRequired>(),
        event::<account::AccountFailing>(),
        event::<account::AccountRecovered>(),
        event::<account::ClientRefused>(),
    ]
}

/// Returns the files of `schemas/`: name and content.
///
/// # Errors
/// When a schema cannot be written as JSON.
pub fn files() -> Result<Vec<(String, String)>, serde_json::Error> {
    let messages = messages();
    let mut files = Vec::with_capacity(messages.len() + 1);
    for message in &messages {
        let text = serde_json::to_string_pretty(&message.schema)? + "\n";
        files.push((format!("{}.json", message.ce_type), text));
    }
    let document = serde_json::to_string_pretty(&asyncapi::document(&messages))? + "\n";
    files.push(("asyncapi.json".to_owned(), document));
    Ok(files)
}

fn event<E: Event>() -> Message {
    Message {
        name: E::NAME,
        ce_type: type_of(E::NAME, E::VERSION),
        role: Role::Event,
        schema: schema_of::<E>(),
    }
}

fn command<C: Command>() -> Message {
    Message {
        name: C::NAME,
        ce_type: type_of(C::NAME, C::VERSION),
        role: Role::Command,
        schema: schema_of::<C>(),
    }
}

fn schema_of<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<T>()
}
