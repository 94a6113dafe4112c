//! Sign in, receive a mail, send one; each step with what was published.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use mailmesh_bus::{Bus, BusSettings, Hint, Outgoing};
use mailmesh_events::EVENT_NAMES;
use mailmesh_sandbox::{Sandbox, Visitor};
use mailmesh_secrets::ExposeSecret;
use serde_json::{Value, json};

use super::api::AdminApi;
use crate::command::up::RunningMesh;
use crate::console::say;
use crate::event_stream::subscribe_to_all;

pub(super) const CLIENT_ID: &str = "mailmesh";
pub(super) const CLIENT_SECRET: &str = "sandbox";
const SUPPORT: &str = "support@sandbox.test";
const CUSTOMER: &str = "customer@sandbox.test";
const PATIENCE: Duration = Duration::from_secs(30);
const QUESTION: &[u8] = b"From: Customer <customer@sandbox.test>\r\n\
    To: Support <support@sandbox.test>\r\n\
    Subject: Where is my order?\r\n\
    Message-ID: <question@sandbox.test>\r\n\
    Date: Tue, 24 Nov 2026 09:00:00 +0000\r\n\
    \r\n\
    It is number 4711.\r\n";

pub(super) async fn play(running: &RunningMesh, sandbox: &Sandbox) -> anyhow::Result<()> {
    let key = running.first_key.clone().context("admin made no key")?;
    let api = AdminApi::try_new(&running.admin_url, key)?;
    let bus = Bus::connect(&BusSettings {
        url: running.nats_url.expose_secret().to_owned(),
        ..BusSettings::default()
    })
    .await?;
    let names = EVENT_NAMES.iter().map(|name| format!("{name}.*"));
    let mut events = subscribe_to_all(&bus, names).await?;

    connect(&api, sandbox).await?;
    let connected = [
        "token.refreshed.",
        "account.authenticated.support",
        "account.authenticated.support-out",
        "account.changed.support",
        "account.changed.support-out",
    ];
    all(&mut events, &connected).await?;

    say("4. A customer's mail arrives in the mailbox");
    sandbox.mail().deliver(SUPPORT, QUESTION.into())?;
    let received = event(&mut events, "mail.received").await?;
    ensure!(
        text(&received, "text")?.contains("4711"),
        "the event lacks the mail's text"
    );

    say("5. A business system publishes mail.send");
    let answer = json!({
        "account": "support-out",
        "to": CUSTOMER,
        "subject": "Re: Where is my order?",
        "text": "It is on its way.",
        "in_reply_to": "<question@sandbox.test>",
        "idempotency_key": "order-4711",
    });
    say(format!("   {answer}"));
    bus.publish(Outgoing {
        subject: "mail.send".to_owned(),
        payload: serde_json::to_vec(&answer)?.into(),
        ..Outgoing::default()
    })
    .await?;
    let sent = event(&mut events, "mail.sent").await?;
    let reply = text(&sent, "reply")?;
    say(format!("   the server's final reply: {reply}"));
    let inbox = sandbox.mail().list(CUSTOMER, "INBOX")?;
    ensure!(
        inbox.len() == 1,
        "{} mails reached the customer",
        inbox.len()
    );
    say("   the customer has it, once");
    Ok(())
}

async fn connect(api: &AdminApi, sandbox: &Sandbox) -> anyhow::Result<()> {
    let addresses = sandbox.addresses();
    say("3. Registering the OAuth client and connecting the mailbox through the provider's pages");
    api.post(
        "/v1/client-configurations",
        &json!({
            "key": "sandbox",
            "profile": "custom",
            "issuer": addresses.issuer,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "scopes": ["openid", "email", "offline_access"],
        }),
    )
    .await?;
    for (key, protocol, port) in [
        ("support", "imap", addresses.mail.imap_tls.port()),
        ("support-out", "smtp", addresses.mail.smtp_tls.port()),
    ] {
        api.post(
            "/v1/accounts",
            &json!({
                "key": key,
                "protocol": protocol,
                "host": "localhost",
                "port": port,
                "encryption": "tls",
                "login": SUPPORT,
                "client_configuration": "sandbox",
                "ca_pem": sandbox.ca_pem(),
            }),
        )
        .await?;
    }
    let sign_in = api.post("/v1/accounts/support/sign-in", &json!({})).await?;
    let link = text(&sign_in, "url")?;
    say(format!("   link for the mailbox owner: {link}"));
    let page = Visitor::try_new(None)?
        .sign_in(&link.parse()?, SUPPORT, true)
        .await?;
    ensure!(
        page.status == 200,
        "the sign-in ended at {} with status {}: {}",
        page.url,
        page.status,
        page.html
    );
    let account = api.get("/v1/accounts/support-out").await?;
    ensure!(
        account.get("grant").is_some_and(Value::is_object),
        "the outbound account did not get the grant of the same mailbox"
    );
    say("   signed in; both accounts share the grant");
    Ok(())
}

/// Waits for one event on each of these subjects, or with this beginning, so that none is printed under the next step.
async fn all(events: &mut BoxStream<'static, Hint>, subjects: &[&str]) -> anyhow::Result<()> {
    let mut missing = subjects.to_vec();
    let is_on = |event: &Hint, subject: &str| {
        event.subject == subject || (subject.ends_with('.') && event.subject.starts_with(subject))
    };
    let waited = tokio::time::timeout(PATIENCE, async {
        while !missing.is_empty() {
            let event = events.next().await.context("NATS closed the connection")?;
            if let Some(data) = read(&event) {
                print(&event, &data);
                missing.retain(|subject| !is_on(&event, subject));
            }
        }
        anyhow::Ok(())
    });
    let seconds = PATIENCE.as_secs();
    waited
        .await
        .with_context(|| format!("the sign-in was not published within {seconds} s"))?
}

fn print(event: &Hint, data: &Value) {
    say(format!(
        "   published {}: {}",
        event.subject,
        shortened(data)
    ));
}

/// Waits for an event, and prints it and all that come before it.
async fn event(events: &mut BoxStream<'static, Hint>, name: &str) -> anyhow::Result<Value> {
    let waited = tokio::time::timeout(PATIENCE, async {
        while let Some(event) = events.next().await {
            let Some(data) = read(&event) else { continue };
            print(&event, &data);
            if event.subject.starts_with(name) {
                return Ok(data);
            }
        }
        bail!("NATS closed the connection")
    });
    waited
        .await
        .with_context(|| format!("{name} was not published within {} s", PATIENCE.as_secs()))?
}

fn text<'a>(value: &'a Value, field: &str) -> anyhow::Result<&'a str> {
    let text = value.get(field).and_then(Value::as_str);
    text.with_context(|| format!("no {field} in {value}"))
}

fn read(event: &Hint) -> Option<Value> {
    let has_envelope = event.headers.iter().any(|(name, _)| name == "ce-id");
    has_envelope
        .then(|| serde_json::from_slice(&event.payload).ok())
        .flatten()
}

fn shortened(data: &Value) -> String {
    const MOST: usize = 240;
    let text = data.to_string();
    if text.chars().count() <= MOST {
        return text;
    }
    text.chars().take(MOST).chain(" …".chars()).collect()
}
