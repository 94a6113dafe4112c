use std::io::Read;
use std::process::ExitCode;

use anyhow::Context;
use mailmesh_bus::Outgoing;
use mailmesh_domain::Key;
use mailmesh_events::mail::SendMail;
use mailmesh_events::{AddressInput, Headers, decode_command};
use mailmesh_mail::message::NamedAddress;
use mailmesh_runtime::ConfigError;
use serde_json::json;

use crate::ConfigArguments;
use crate::config::{CommandConfig, Config};
use crate::console::{block_on_with, say};
use crate::mesh::connect_bus;

/// The mail; or `--file` with the JSON body of `mail.send`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The outbound account's key.
    #[arg(long, required_unless_present = "file")]
    account: Option<String>,
    /// Recipients, such as `a@b.c` or `"Doe, J." <a@b.c>, d@e.f`; may be given several times.
    #[arg(long, required_unless_present = "file")]
    to: Vec<String>,
    /// The subject line.
    #[arg(long, default_value = "")]
    subject: String,
    /// The body as plain text.
    #[arg(long)]
    text: Option<String>,
    /// The same key is sent once.
    #[arg(long)]
    idempotency_key: Option<String>,
    /// A file with the JSON body; `-` reads standard input.
    #[arg(long, conflicts_with_all = ["to", "text"])]
    file: Option<String>,
}

pub(crate) fn run(config: &ConfigArguments, arguments: Arguments) -> ExitCode {
    let client = CommandConfig::new(config);
    let loader = client.loader.clone();
    let work = async move {
        let config: Config = loader.load()?;
        let payload = payload(&arguments)?;
        let bus = connect_bus(&config).await?;
        let published = bus
            .publish(Outgoing {
                subject: "mail.send".to_owned(),
                message_id: String::new(),
                headers: Vec::new(),
                payload: payload.into(),
            })
            .await
            .context("the mail was not stored")?;
        say(format!(
            "stored in MAIL_SEND as message {}; what becomes of it: mailmesh tail",
            published.sequence
        ));
        Ok(())
    };
    block_on_with(work, client.advice())
}

fn payload(arguments: &Arguments) -> anyhow::Result<Vec<u8>> {
    let payload = match arguments.file.as_deref() {
        Some("-") => {
            let mut text = Vec::new();
            std::io::stdin().lock().read_to_end(&mut text)?;
            text
        }
        Some(path) => std::fs::read(path).with_context(|| format!("cannot read {path}"))?,
        None => {
            // The command line asks for both unless there is a file.
            let account = arguments.account.clone().unwrap_or_default();
            let account = Key::try_new(account);
            let account = account.map_err(|error| ConfigError::invalid("--account", error))?;
            let mut mail = json!({
                "account": account,
                "to": arguments.to,
                "subject": arguments.subject,
                "text": arguments.text.clone().unwrap_or_default(),
            });
            if let (Some(fields), Some(key)) = (mail.as_object_mut(), &arguments.idempotency_key) {
                fields.insert("idempotency_key".to_owned(), json!(key));
            }
            serde_json::to_vec(&mail)?
        }
    };
    check(&payload)?;
    Ok(payload)
}

/// So that a mistake is shown at once and not by `mail.rejected` a moment later.
fn check(payload: &[u8]) -> Result<(), ConfigError> {
    let read = decode_command::<SendMail>(&Headers::new(), payload).map_err(|error| {
        let field = Some(error.field()).filter(|field| !field.is_empty());
        let field = field.unwrap_or("the body").to_owned();
        ConfigError::invalid(&field, error)
    })?;
    let mail = read.data;
    let lists = [
        ("reply_to", mail.reply_to),
        ("to", mail.to),
        ("cc", mail.cc),
        ("bcc", mail.bcc),
    ];
    for (field, list) in lists {
        for (index, entry) in list.0.iter().enumerate() {
            if let AddressInput::Text(text) = entry {
                NamedAddress::parse_list(text)
                    .map_err(|error| ConfigError::invalid(&format!("{field}[{index}]"), error))?;
            }
        }
    }
    Ok(())
}
