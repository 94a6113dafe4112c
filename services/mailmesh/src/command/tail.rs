use std::process::ExitCode;

use mailmesh_bus::Hint;
use serde_json::Value;

use crate::ConfigArguments;
use crate::config::{Client, Config};
use crate::console::{block_on_with, say, warn};
use crate::mesh::connect_bus;

/// Which events.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// An event's name such as `mail.received`, or with an account's key `mail.received.support`; all when left out.
    subject: Option<String>,
    /// Prints one JSON object per line, with subject and id.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(config: &ConfigArguments, arguments: Arguments) -> ExitCode {
    let client = Client::new(config);
    let loader = client.loader.clone();
    let work = async move {
        let config: Config = loader.load()?;
        let bus = connect_bus(&config).await?;
        // Every event has three tokens on its way into the stream; the bare one is a repetition.
        let subject = match arguments.subject.as_deref() {
            None => "*.*.*".to_owned(),
            Some(name) if name.split('.').count() == 2 => format!("{name}.*"),
            Some(name) => name.to_owned(),
        };
        let mut events = bus.subscribe(&subject, None).await?;
        warn(format!(
            "Listening on {}; Ctrl-C ends it.",
            config.nats.shown_url()
        ));
        while let Some(event) = events.next().await {
            if let Some(line) = line(&event, arguments.json) {
                say(line);
            }
        }
        Ok(())
    };
    block_on_with(work, client.advice())
}

fn line(event: &Hint, as_json: bool) -> Option<String> {
    let header = |name: &str| {
        let found = event.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    };
    // Commands and replies of JetStream pass by as well; only events have an envelope.
    let id = header("ce-id")?;
    let data: Value = serde_json::from_slice(&event.payload).ok()?;
    if as_json {
        let line = serde_json::json!({ "subject": event.subject, "id": id, "data": data });
        return Some(line.to_string());
    }
    Some(format!("{} {data}", event.subject))
}
