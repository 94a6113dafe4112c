use std::time::{Duration, Instant};

use anyhow::Context;
use mailmesh_domain::Protocol;

use crate::table::{latency_rows, note, print};
use crate::world::World;
use crate::{limit::smtp::Client, mail, mesh};

const PATIENCE: Duration = Duration::from_secs(30);

/// How many mails, beside how many idle accounts.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[arg(long, default_value_t = 100)]
    mails: usize,
    #[arg(long, default_value_t = 200)]
    idle: usize,
    #[arg(long, default_value_t = 200)]
    every_milliseconds: u64,
    #[arg(long, default_value_t = 10_000)]
    bytes: usize,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let world = World::start().await?;
    let client = mesh::add_client(&world).await?;
    for number in 0..arguments.idle {
        mesh::add_account(&world, client, &format!("idle-{number}"), Protocol::Imap, 1).await?;
    }
    let address = mesh::add_account(&world, client, "busy", Protocol::Imap, 1).await?;
    let business = world.business_system().await?;
    let mut events = business.subscribe("mail.received.busy", None).await?;
    let lifecycle = mesh::start_fetcher(&world).await?;
    let (port, ca_pem) = (world.provider.smtp_port(), world.provider.ca_pem());
    let mut smtp = Client::sign_in(port, ca_pem, &address).await?;

    let mut samples = Vec::with_capacity(arguments.mails);
    // The first mails find accounts that are still connecting.
    let warm_up = 5;
    for number in 0..arguments.mails + warm_up {
        let mail = mail::distinct(number, &address, arguments.bytes);
        smtp.send_to(&address, &address, &mail).await?;
        let accepted = Instant::now();
        let event = tokio::time::timeout(PATIENCE, events.next()).await;
        event.context("no event came")?.context("NATS closed")?;
        if number >= warm_up {
            samples.push(accepted.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(arguments.every_milliseconds)).await;
    }
    let report = mesh::stop(lifecycle).await;
    note(format!("fetcher stopped: {report:?}"));
    print(
        &format!(
            "inbound latency: {} mails beside {} idle accounts, from the server's 250 to the subscriber",
            arguments.mails, arguments.idle
        ),
        &latency_rows(samples),
    );
    Ok(())
}
