use std::io::Read;
use std::process::ExitCode;

use anyhow::{Context, bail};
use mailmesh_bus::{Bus, Outgoing};
use mailmesh_domain::Key;
use mailmesh_events::mail::SendMail;
use mailmesh_events::{Headers, decode_command};
use serde_json::json;

use crate::ConfigArguments;
use crate::config::{Config, client_loader};
use crate::console::{block_on, say};

/// The mail; or `--file` with the JSON body of `mail.send`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The outbound account's key.
    #[arg(long)]
    account: Option<String>,
    /// A recipient; may be given several times.
    #[arg(long)]
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
    let loader = client_loader(config);
    block_on(async move {
        let config: Config = loader.load()?;
        let payload = payload(&arguments)?;
        let bus = Bus::connect(&config.nats).await?;
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
    })
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
            let account = arguments.account.clone().context("--account is missing")?;
            let account = Key::try_new(account).context("--account")?;
            if arguments.to.is_empty() {
                bail!("--to is missing");
            }
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
    // A mistake is told here rather than by `mail.rejected` a moment later.
    if let Err(error) = decode_command::<SendMail>(&Headers::new(), &payload) {
        bail!(
            "{}: {error}",
            if error.field().is_empty() {
                "the body"
            } else {
                error.field()
            }
        );
    }
    Ok(payload)
}
