use std::time::{Duration, Instant};

use anyhow::Context;
use mailmesh_bus::{Bus, Outgoing, Subscription};
use mailmesh_domain::Protocol;
use serde_json::json;

use crate::table::{latency_rows, note, print, rate, rate_row};
use crate::world::World;
use crate::{limit, mail, mesh};

const PATIENCE: Duration = Duration::from_mins(3);
const SAMPLES: usize = 100;

/// How many mails are published at once.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[arg(long, default_value_t = 5_000)]
    mails: usize,
    #[arg(long, default_value_t = 10_000)]
    bytes: usize,
    #[arg(long, default_value_t = 10)]
    connections: u32,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let world = World::start().await?;
    world.provider.sink().await?;
    let client = mesh::add_client(&world).await?;
    let connections = arguments.connections;
    let address = mesh::add_account(&world, client, "out", Protocol::Smtp, connections).await?;
    let bus = &world.business_system().await?;
    let mut events = bus.subscribe("mail.sent.out", None).await?;
    let lifecycle = mesh::start_sender(&world).await?;
    let messages = (0..arguments.mails).map(|number| command(number, arguments.bytes));
    let messages: Vec<Outgoing> = messages.collect::<Result<_, _>>()?;

    // One mail first, so that what is measured is the queue and not the first lease.
    publish(bus, vec![command(arguments.mails, arguments.bytes)?]).await?;
    wait(&mut events, 1).await?;
    let started = Instant::now();
    publish(bus, messages).await?;
    let published = started.elapsed();
    wait(&mut events, arguments.mails).await?;
    let took = started.elapsed();

    let mut samples = Vec::new();
    for number in 0..SAMPLES.min(arguments.mails) {
        let message = command(arguments.mails + 1 + number, arguments.bytes)?;
        let started = Instant::now();
        publish(bus, vec![message]).await?;
        wait(&mut events, 1).await?;
        samples.push(started.elapsed());
    }
    let report = mesh::stop(lifecycle).await;
    note(format!("sender stopped: {report:?}"));

    let limit = limit::smtp::send(
        world.provider.smtp_port(),
        world.provider.ca_pem(),
        &address,
        arguments.mails,
        arguments.bytes,
        usize::try_from(connections)?,
    )
    .await?;
    let ratio = rate(arguments.mails, took) / rate(arguments.mails, limit) * 100.0;
    let title = format!(
        "outbound: {} mails of {} bytes through {connections} connections",
        arguments.mails, arguments.bytes
    );
    let rows = [
        rate_row("mailmesh, publish to mail.sent", arguments.mails, took),
        rate_row("  of which publishing", arguments.mails, published),
        rate_row("limit: bare SMTP, kept connections", arguments.mails, limit),
        ("ratio".to_owned(), format!("{ratio:.0} %")),
    ];
    print(&title, &rows);
    print(
        "publish to mail.sent on a warm session",
        &latency_rows(samples),
    );
    Ok(())
}

fn command(number: usize, bytes: usize) -> anyhow::Result<Outgoing> {
    let body = json!({
        "account": "out",
        "to": "sink@elsewhere.test",
        "subject": format!("Mail {number}"),
        "text": mail::body(number, bytes),
    });
    Ok(Outgoing {
        subject: "mail.send".to_owned(),
        message_id: format!("bench-{number}"),
        payload: serde_json::to_vec(&body)?.into(),
        ..Outgoing::default()
    })
}

async fn publish(bus: &Bus, messages: Vec<Outgoing>) -> anyhow::Result<()> {
    for answer in bus.publish_all(messages).await {
        answer?;
    }
    Ok(())
}

async fn wait(events: &mut Subscription, count: usize) -> anyhow::Result<()> {
    for _ in 0..count {
        let event = tokio::time::timeout(PATIENCE, events.next()).await;
        event.context("mail.sent stopped")?.context("NATS closed")?;
    }
    Ok(())
}
