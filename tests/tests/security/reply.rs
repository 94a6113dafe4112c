//! nats-server checks no right for the subject that a message names for its reply, so what answers must not get there.

use anyhow::Context;
use async_nats::Subscriber;
use futures_util::{FutureExt, StreamExt};
use mailmesh_bus::{Bus, NewRawMail, Outgoing};
use serde_json::json;

use crate::locked::{CLIENTS, DESK, Servers, TESTER};
use crate::user::{User, ask, next};

const NO_WAIT: &str = r#"{"batch":1,"no_wait":true}"#;
/// Another's raw mail, fence, events and commands; what wakes services; another's inbox.
const TARGETS: [&str; 10] = [
    "raw.m.0",
    "raw.new.0",
    "fence.boss",
    "mail.sent.boss-out",
    "mail.received.boss",
    "mail.send.boss-out",
    "dead_letter.x",
    "token.refresh",
    "outbound.due",
    "_INBOX_admin.x",
];
const STREAMS: [&str; 4] = ["EVENTS", "MAIL_SEND", "DEAD_LETTERS", "MAIL_RAW"];

struct Scene {
    _servers: Servers,
    bus: Bus,
    tester: User,
    /// Everything in the account of the mesh.
    of_mesh: Subscriber,
    desk: User,
    clients: User,
    /// Every event in the account of another system.
    of_clients: Vec<Subscriber>,
}

impl Scene {
    async fn start() -> anyhow::Result<Self> {
        let servers = Servers::start().await?;
        let bus = Bus::connect(&servers.address.bus).await?;
        bus.ensure_streams().await?;
        let raw = NewRawMail {
            mail_id: "m".to_owned(),
            bytes: "Subject: x\r\n\r\n".into(),
        };
        bus.raw_mails().put(raw).await?;
        let tester = User::connect(&servers, TESTER).await?;
        let (desk, clients) = (
            User::connect(&servers, DESK).await?,
            User::connect(&servers, CLIENTS).await?,
        );
        for name in [DESK, "erp"] {
            let stream = tester.stream("EVENTS");
            let filter = tester.subject("mail.received.support");
            let config = json!({
                "durable_name": name, "filter_subject": filter, "ack_policy": "explicit"
            });
            let create = format!("$JS.API.CONSUMER.CREATE.{stream}.{name}.{filter}");
            let request = json!({ "stream_name": stream, "config": config });
            ask(&tester.client, &create, &request).await?;
        }
        let mut of_clients = Vec::new();
        for event in [
            "mail.received",
            "mail.received.*",
            "mail.sent",
            "mail.sent.*",
        ] {
            of_clients.push(clients.client.subscribe(clients.subject(event)).await?);
        }
        clients.client.flush().await?;
        let of_mesh = tester.client.subscribe(">").await?;
        tester.client.flush().await?;
        Ok(Self {
            _servers: servers,
            bus,
            tester,
            of_mesh,
            desk,
            clients,
            of_clients,
        })
    }

    async fn publish(&self, subject: &str) -> anyhow::Result<()> {
        let outgoing = Outgoing {
            subject: subject.to_owned(),
            payload: subject.to_owned().into(),
            ..Outgoing::default()
        };
        self.bus.publish(outgoing).await?;
        Ok(())
    }

    async fn last_sequences(&self) -> anyhow::Result<Vec<u64>> {
        let mut found = Vec::new();
        for stream in STREAMS {
            let info = format!("$JS.API.STREAM.INFO.{}", self.tester.stream(stream));
            let info = ask(&self.tester.client, &info, &json!({})).await?;
            found.push(info["state"]["last_seq"].as_u64().context("no state")?);
        }
        Ok(found)
    }

    /// Has everything answered that this system may ask, on a subject of its choice. Returns how many commands it published.
    async fn attack(&self, system: &User, consumer: &str, target: &str) -> anyhow::Result<u64> {
        let client = &system.client;
        let stream = system.stream("EVENTS");
        let target = system.subject(target);
        let next_message = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
        // An event to acknowledge, one to be delivered, and then none, which is answered with a status and no body.
        self.publish("mail.received.support").await?;
        self.publish("mail.received.support").await?;
        let pulled = system.pull(&next_message, NO_WAIT).await?;
        let reply = pulled.reply.context("no event")?;
        let asked = [
            (system.subject("mail.send.support-out"), "{}"),
            (system.subject("mail.cancel.support-out"), "{}"),
            (reply.to_string(), "+ACK"),
            (next_message.clone(), NO_WAIT),
            (next_message.clone(), NO_WAIT),
            (format!("$JS.API.CONSUMER.INFO.{stream}.{consumer}"), ""),
        ];
        for (subject, body) in asked {
            client
                .publish_with_reply(subject, target.clone(), body.into())
                .await?;
        }
        // Answered after the others.
        system.pull(&next_message, NO_WAIT).await?;
        ask(client, &system.subject("mail.send.support-out"), &json!({})).await?;
        Ok(3)
    }

    /// Whether any message on these subjects was heard in the mesh.
    async fn heard_in_mesh(&mut self, subjects: &[String]) -> anyhow::Result<Vec<String>> {
        self.tester.client.publish("end.of.it", "".into()).await?;
        let mut heard = Vec::new();
        loop {
            let message = next(&mut self.of_mesh).await?;
            let subject = message.subject.to_string();
            if subject == "end.of.it" {
                return Ok(heard);
            }
            if subjects.contains(&subject) {
                heard.push(subject);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_a_scoped_system_names_reaches_nobody_else() -> anyhow::Result<()> {
    let mut scene = Scene::start().await?;
    let targets = TARGETS.map(|target| scene.desk.subject(target));
    let before = scene.last_sequences().await?;

    let mut commands = 0;
    for target in TARGETS {
        commands += scene.attack(&scene.desk, DESK, target).await?;
    }
    // In the queue of each stream behind whatever was stored by an attack.
    for subject in ["raw.end.0", "fence.end", "dead_letter.end", "mail.send.end"] {
        scene.publish(subject).await?;
    }

    let after = scene.last_sequences().await?;
    let events = 2 * TARGETS.len() as u64 + 1;
    let expected = [events, commands + 1, 1, 1];
    let stored: Vec<u64> = after
        .iter()
        .zip(&before)
        .map(|(after, before)| after - before)
        .collect();
    assert_eq!(stored, expected, "{STREAMS:?}");
    assert_eq!(scene.heard_in_mesh(&targets).await?, Vec::<String>::new());
    let raw = scene.bus.raw_mails().get_whole("m", 1024).await?;
    assert_eq!(raw.as_deref(), Some(&b"Subject: x\r\n\r\n"[..]));
    scene.clients.client.flush().await?;
    for heard in &mut scene.of_clients {
        while let Some(Some(message)) = heard.next().now_or_never() {
            let subject = message.subject.as_str();
            assert!(!subject.contains("boss"), "{message:?}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_systems_of_every_account_name_stays_among_them() -> anyhow::Result<()> {
    let mut scene = Scene::start().await?;
    // They may send from every account, and hear what they tell each other as events.
    let targets: Vec<&str> = TARGETS
        .into_iter()
        .filter(|target| !target.starts_with("mail.send"))
        .collect();
    let before = scene.last_sequences().await?;

    let mut commands = 0;
    for target in &targets {
        commands += scene.attack(&scene.clients, "erp", target).await?;
    }
    for subject in ["raw.end.0", "fence.end", "dead_letter.end", "mail.send.end"] {
        scene.publish(subject).await?;
    }

    let after = scene.last_sequences().await?;
    let events = 2 * targets.len() as u64 + 1;
    let stored: Vec<u64> = after
        .iter()
        .zip(&before)
        .map(|(after, before)| after - before)
        .collect();
    assert_eq!(stored, [events, commands + 1, 1, 1], "{STREAMS:?}");
    let subjects: Vec<String> = targets
        .iter()
        .map(|target| scene.clients.subject(target))
        .collect();
    assert_eq!(scene.heard_in_mesh(&subjects).await?, Vec::<String>::new());
    Ok(())
}

/// The server refuses those that its own replies and acknowledgements have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_of_anothers_message_is_refused_as_a_reply() -> anyhow::Result<()> {
    let servers = Servers::start().await?;
    let desk = User::connect(&servers, DESK).await?;
    let sender = format!(
        "{}.outbound-sender-send-mail.1.1.1.1.0",
        desk.stream("MAIL_SEND")
    );
    let replies = [
        format!("$JS.ACK.{sender}"),
        format!("$JS.ACK._.hash.{sender}"),
        "_R_.x.y".to_owned(),
    ];

    for reply in &replies {
        let send = desk.subject("mail.send.support-out");
        desk.client
            .publish_with_reply(send, reply.clone(), "{}".into())
            .await?;
    }

    let refusals = desk.take_refusals().await?;
    for reply in &replies {
        let quoted = format!("with reply of \"{}\"", reply.to_lowercase());
        assert!(
            refusals.iter().any(|text| text.contains(&quoted)),
            "{reply}: {refusals:?}"
        );
    }
    Ok(())
}
