use mailmesh_events::EVENT_NAMES;
use mailmesh_events::subject::of_event;

use crate::stream::StreamKind;
use crate::subject::{Prefix, matches};

/// Subjects that a NATS user may publish and subscribe to; all others are denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    pub publish: Vec<String>,
    pub subscribe: Vec<String>,
}

/// Collects rights, with the prefix of the mesh before each subject and stream.
pub(super) struct Rights<'a> {
    prefix: &'a Prefix,
    granted: Permissions,
}

/// Returns the subjects on which answers come.
pub(super) fn inbox_of(inbox_prefix: &str) -> String {
    format!("{inbox_prefix}.>")
}

impl<'a> Rights<'a> {
    /// Starts with the answers on the user's own inbox.
    pub(super) fn new(prefix: &'a Prefix, inbox_prefix: &str) -> Self {
        Self {
            prefix,
            granted: Permissions {
                publish: Vec::new(),
                subscribe: vec![inbox_of(inbox_prefix)],
            },
        }
    }

    /// Returns what was granted, each right once: an event that is imported by two of them would come twice.
    pub(super) fn finish(self) -> Permissions {
        Permissions {
            publish: without_covered(&self.granted.publish),
            subscribe: without_covered(&self.granted.subscribe),
        }
    }

    pub(super) fn publish(&mut self, subjects: &[&str]) {
        let subjects = subjects.iter().map(|each| self.prefix.subject(each));
        self.granted.publish.extend(subjects);
    }

    pub(super) fn subscribe(&mut self, subjects: &[&str]) {
        let subjects = subjects.iter().map(|each| self.prefix.subject(each));
        self.granted.subscribe.extend(subjects);
    }

    /// Events of these names, of every account or grant.
    pub(super) fn publish_events(&mut self, names: &[&str]) {
        let subjects: Vec<String> = names.iter().map(|name| of_event(name, "*")).collect();
        let subjects: Vec<&str> = subjects.iter().map(String::as_str).collect();
        self.publish(&subjects);
    }

    /// Calls of the JetStream API that name no stream.
    pub(super) fn api_of_account(&mut self, calls: &[&str]) {
        let subjects = calls.iter().map(|call| format!("$JS.API.{call}"));
        self.granted.publish.extend(subjects);
    }

    /// One call of the JetStream API on a stream, such as `STREAM.INFO`; `rest` follows the stream's name.
    pub(super) fn api(&mut self, call: &str, stream: StreamKind, rest: &str) {
        let stream = self.prefix.stream(stream.name());
        let subject = format!("$JS.API.{call}.{stream}{rest}");
        self.granted.publish.push(subject);
    }

    /// Reading raw mails by their ids, and from the leader what a replica does not have.
    pub(super) fn read_raw(&mut self) {
        let rest = format!(".{}", self.prefix.subject("raw.>"));
        self.api("DIRECT.GET", StreamKind::MailRaw, &rest);
        self.api("STREAM.MSG.GET", StreamKind::MailRaw, "");
    }

    /// Taking messages from a durable consumer that is there, and answering for them.
    ///
    /// Both forms of the acknowledgement: servers with `js_ack_fc_v2` put domain and account before the stream.
    pub(super) fn consume(&mut self, stream: StreamKind, consumer: &str) {
        for call in ["CONSUMER.INFO", "CONSUMER.MSG.NEXT"] {
            self.api(call, stream, &format!(".{consumer}"));
        }
        let stream = self.prefix.stream(stream.name());
        for form in ["$JS.ACK", "$JS.ACK.*.*"] {
            let subject = format!("{form}.{stream}.{consumer}.>");
            self.granted.publish.push(subject);
        }
    }

    pub(super) fn subscribe_to_all_events(&mut self) {
        let keyed: Vec<String> = EVENT_NAMES.iter().map(|name| of_event(name, "*")).collect();
        for (bare, keyed) in EVENT_NAMES.iter().zip(&keyed) {
            self.subscribe(&[bare, keyed]);
        }
    }
}

fn without_covered(subjects: &[String]) -> Vec<String> {
    let is_covered = |(index, subject): (usize, &String)| {
        subjects.iter().enumerate().any(|(other, filter)| {
            other != index && matches(filter, subject) && (filter != subject || other < index)
        })
    };
    let kept = subjects.iter().enumerate();
    kept.filter(|each| !is_covered(*each))
        .map(|(_, subject)| subject.clone())
        .collect()
}

impl Permissions {
    /// Returns the `permissions` block of a user in nats-server's configuration.
    pub(super) fn to_config(&self, indent: &str) -> String {
        let Self { publish, subscribe } = self;
        format!(
            "{indent}permissions: {{\n{}{}{indent}}}\n",
            list("publish", publish, indent),
            list("subscribe", subscribe, indent),
        )
    }
}

fn list(what: &str, subjects: &[String], indent: &str) -> String {
    let mut text = format!("{indent}  {what}: {{ allow: [\n");
    for subject in subjects {
        text.extend([indent, "    \"", subject, "\",\n"]);
    }
    text.extend([indent, "  ] }\n"]);
    text
}
