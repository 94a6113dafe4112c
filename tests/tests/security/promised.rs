//! What docs/permissions.md promises to business systems works from their own accounts.

use anyhow::{Context, ensure};
use async_nats::{HeaderMap, Subscriber};
use mailmesh_bus::{Bus, NewRawMail, Outgoing};
use serde_json::{Value, json};

use crate::locked::{CLIENTS, DESK, OPERATOR, Servers, TESTER};
use crate::user::{User, ask, next};

const NO_WAIT: &str = r#"{"batch":1,"no_wait":true}"#;

/// Servers with streams, and with one event of each of these.
async fn servers_with(events: &[&str]) -> anyhow::Result<(Servers, Bus)> {
    let servers = Servers::start().await?;
    let bus = Bus::connect(&servers.address.bus).await?;
    bus.ensure_streams().await?;
    for event in events {
        publish(&bus, event).await?;
    }
    Ok((servers, bus))
}

async fn publish(bus: &Bus, event: &str) -> anyhow::Result<()> {
    let outgoing = Outgoing {
        subject: event.to_owned(),
        payload: event.to_owned().into(),
        ..Outgoing::default()
    };
    bus.publish(outgoing).await?;
    Ok(())
}

/// Makes a durable consumer as this user may.
async fn make_consumer(user: &User, name: &str, config: &Value) -> anyhow::Result<()> {
    let stream = user.stream("EVENTS");
    let filter = user.subject("mail.received.support");
    let mut config = config.clone();
    config["durable_name"] = json!(name);
    config["filter_subject"] = json!(filter);
    config["ack_policy"] = json!("explicit");
    let request = json!({ "stream_name": stream, "config": config });
    let create = format!("$JS.API.CONSUMER.CREATE.{stream}.{name}.{filter}");
    ask(&user.client, &create, &request).await.map(drop)
}

/// Takes so many messages of one pull, and acknowledges each with a confirmation; then there are no more.
async fn take(user: &User, consumer: &str, count: usize) -> anyhow::Result<()> {
    let address = format!(
        "$JS.API.CONSUMER.MSG.NEXT.{}.{consumer}",
        user.stream("EVENTS")
    );
    let request = json!({ "batch": count, "expires": 20_000_000_000_u64 });
    let mut messages = user.pull_many(&address, &request.to_string()).await?;
    for _ in 0..count {
        acknowledge(user, &mut messages).await?;
    }
    let none = user.pull(&address, NO_WAIT).await?;
    let status = none.status.map(|status| status.as_u16());
    ensure!(status == Some(404), "{none:?}");
    Ok(())
}

async fn acknowledge(user: &User, messages: &mut Subscriber) -> anyhow::Result<()> {
    let message = next(messages).await?;
    ensure!(message.payload == "mail.received.support", "{message:?}");
    let reply = message.reply.context("no reply subject")?;
    // Confirmed: so the acknowledgement was let through.
    let confirmed = user.client.request(reply, "+ACK".into()).await;
    confirmed.with_context(|| format!("ack: {:?}", user.refusals))?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_system_reads_with_the_consumer_that_an_operator_made() -> anyhow::Result<()> {
    let events = [
        "mail.received.support",
        "mail.received.other",
        "mail.received.support",
    ];
    let (servers, _bus) = servers_with(&events).await?;
    let operator = User::connect(&servers, OPERATOR).await?;
    make_consumer(&operator, DESK, &json!({})).await?;

    let desk = User::connect(&servers, DESK).await?;
    let info = format!("$JS.API.CONSUMER.INFO.{}.{DESK}", desk.stream("EVENTS"));
    let before = ask(&desk.client, &info, &json!({})).await?;
    take(&desk, DESK, 2).await?;
    let after = ask(&desk.client, &info, &json!({})).await?;

    assert_eq!(before["num_pending"], 2);
    assert_eq!(
        (&after["num_pending"], &after["num_ack_pending"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(*desk.refusals.lock().unwrap(), Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_system_sends_cancels_and_hears_of_its_accounts() -> anyhow::Result<()> {
    let (servers, bus) = servers_with(&[]).await?;
    let desk = User::connect(&servers, DESK).await?;
    let heard = [
        "mail.received.support",
        "mail.sent.support-out",
        "mail.repeated.support-out",
        "account.failing.support",
    ];
    let mut subscriptions = Vec::new();
    for event in heard {
        subscriptions.push(desk.client.subscribe(desk.subject(event)).await?);
    }
    desk.client.flush().await?;

    // As `nats pub` does, which asks for no answer.
    let send = desk.subject("mail.send.support-out");
    desk.client.publish(send, "{}".into()).await?;
    for (number, command) in ["mail.send.support-out", "mail.cancel.support-out"]
        .iter()
        .enumerate()
    {
        let stored = ask(&desk.client, &desk.subject(command), &json!({})).await?;
        assert_eq!(stored["seq"], number + 2);
    }
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Expected-Stream", "another");
    let refused = desk.client.request_with_headers(
        desk.subject("mail.send.support-out"),
        headers,
        "{}".into(),
    );
    let refused: Value = serde_json::from_slice(&refused.await?.payload)?;
    for event in heard {
        publish(&bus, event).await?;
    }

    assert!(refused["error"]["err_code"].is_u64(), "{refused}");
    for (event, subscription) in heard.iter().zip(&mut subscriptions) {
        let message = next(subscription).await?;
        assert_eq!(message.subject.as_str(), desk.subject(event));
        assert_eq!(&message.payload[..], event.as_bytes());
    }
    assert_eq!(*desk.refusals.lock().unwrap(), Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn systems_that_may_use_every_account_make_consumers_and_read_raw_mails() -> anyhow::Result<()>
{
    let (servers, bus) = servers_with(&["mail.received.support", "mail.received.support"]).await?;
    let raw = NewRawMail {
        mail_id: "m".to_owned(),
        bytes: "Subject: x\r\n\r\n".into(),
    };
    bus.raw_mails().put(raw).await?;
    let clients = User::connect(&servers, CLIENTS).await?;
    let mut bare = clients
        .client
        .subscribe(clients.subject("mail.sent"))
        .await?;

    let stream = clients.stream("EVENTS");
    let info = ask(
        &clients.client,
        &format!("$JS.API.STREAM.INFO.{stream}"),
        &json!({}),
    )
    .await?;
    assert_eq!(info["state"]["messages"], 2);
    let names = ask(&clients.client, "$JS.API.STREAM.NAMES", &json!({})).await?;
    assert!(names["streams"].to_string().contains(&stream), "{names}");
    ask(&clients.client, "$JS.API.INFO", &json!({})).await?;
    make_consumer(&clients, "erp", &json!({})).await?;
    take(&clients, "erp", 2).await?;
    ask(
        &clients.client,
        &format!("$JS.API.CONSUMER.DELETE.{stream}.erp"),
        &json!({}),
    )
    .await?;
    // A consumer that pushes, to an inbox.
    let inbox = clients.client.new_inbox();
    let mut pushed = clients.client.subscribe(inbox.clone()).await?;
    make_consumer(&clients, "pushed", &json!({ "deliver_subject": inbox })).await?;
    for _ in 0..2 {
        acknowledge(&clients, &mut pushed).await?;
    }
    let chunk = clients.subject("raw.m.0");
    let get = format!("$JS.API.DIRECT.GET.{}.{chunk}", clients.stream("MAIL_RAW"));
    let raw = clients.client.request(get, "".into()).await?;
    assert_eq!(&raw.payload[..], b"Subject: x\r\n\r\n");
    let headers = raw.headers.context("no headers")?;
    assert_eq!(
        headers.get("Mailmesh-Chunk").map(AsRef::as_ref),
        Some("0/1")
    );
    publish(&bus, "mail.sent.a").await?;
    assert_eq!(&next(&mut bare).await?.payload[..], b"mail.sent.a");
    assert_eq!(*clients.refusals.lock().unwrap(), Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_of_an_earlier_release_goes_on() -> anyhow::Result<()> {
    let (servers, bus) = servers_with(&["mail.received.support"]).await?;
    // As it was when there was one account for all.
    let tester = User::connect(&servers, TESTER).await?;
    make_consumer(&tester, "erp", &json!({})).await?;
    take(&tester, "erp", 1).await?;
    publish(&bus, "mail.received.support").await?;

    let clients = User::connect(&servers, CLIENTS).await?;
    take(&clients, "erp", 1).await
}
