use std::collections::BTreeSet;
use std::process::ExitCode;

use futures_util::StreamExt;
use mailmesh_bus::Hint;
use mailmesh_events::EVENT_NAMES;
use serde_json::Value;

use crate::ConfigArguments;
use crate::config::{CommandConfig, Config};
use crate::console::{block_on_with, say, visible, warn};
use crate::event_stream::subscribe_to_all;
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
    let client = CommandConfig::new(config);
    let loader = client.loader.clone();
    let work = async move {
        let config: Config = loader.load()?;
        let bus = connect_bus(&config).await?;
        let mut events = subscribe_to_all(&bus, subjects(arguments.subject.as_deref())).await?;
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

/// Services publish an event with its account's key behind its name; the bare subject is the stream's republication. Each name
/// has a subscription of its own: a user of NATS may read events, and not all that a wider pattern covers.
fn subjects(asked: Option<&str>) -> BTreeSet<String> {
    match asked {
        None => EVENT_NAMES.iter().map(|name| format!("{name}.*")).collect(),
        Some(name) if name.split('.').count() == 2 => BTreeSet::from([format!("{name}.*")]),
        Some(name) => BTreeSet::from([name.to_owned()]),
    }
}

fn line(event: &Hint, as_json: bool) -> Option<String> {
    let header = |name: &str| {
        let found = event.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    };
    // JetStream's own requests and replies match as well; only events have an envelope.
    let id = header("ce-id")?;
    let data: Value = serde_json::from_slice(&event.payload).ok()?;
    if as_json {
        let line = serde_json::json!({ "subject": event.subject, "id": id, "data": data });
        return Some(visible(&line.to_string()));
    }
    Some(visible(&format!("{} {data}", event.subject)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_is_listened_to_by_its_name() {
        let all = subjects(None);

        assert_eq!(all.len(), EVENT_NAMES.len());
        assert!(all.contains("mail.received.*"), "{all:?}");
        assert_eq!(
            subjects(Some("mail.sent")),
            BTreeSet::from(["mail.sent.*".to_owned()])
        );
    }
}
