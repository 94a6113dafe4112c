use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use mailmesh_domain::Protocol;

use crate::limit::imap::{Publishing, fetch_and_publish};
use crate::mesh;
use crate::table::{note, print, rate_row};
use crate::world::World;

const PATIENCE: Duration = Duration::from_mins(5);

/// How many mails wait.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[arg(long, default_value_t = 5_000)]
    mails: usize,
    #[arg(long, default_value_t = 10_000)]
    bytes: usize,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let world = World::start().await?;
    let client = mesh::add_client(&world).await?;
    let address = mesh::add_account(&world, client, "backlog", Protocol::Imap, 1).await?;
    world
        .provider
        .preload(&address, arguments.mails, arguments.bytes)
        .await?;
    let business = world.business_system().await?;
    let mut events = business.subscribe("mail.received.*", None).await?;

    let started = Instant::now();
    let lifecycle = mesh::start_fetcher(&world).await?;
    let mut seen = HashSet::new();
    let mut first = None;
    while seen.len() < arguments.mails {
        let event = tokio::time::timeout(PATIENCE, events.next()).await;
        let event = event.context("events stopped")?.context("NATS closed")?;
        first.get_or_insert_with(Instant::now);
        let id = event.headers.iter().find(|(name, _)| name == "ce-id");
        let (_, id) = id.context("an event without an id")?;
        ensure!(seen.insert(id.clone()), "an event came twice");
    }
    let took = started.elapsed();
    let streaming = first.map_or(took, |first| first.elapsed());
    let report = mesh::stop(lifecycle).await;
    note(format!("fetcher stopped: {report:?}"));

    let nats = world.nats.url();
    let limit = async |publishing| {
        let limit = fetch_and_publish(&world.provider, &nats, &address, publishing);
        let (count, limit) = limit.await?;
        ensure!(count == arguments.mails, "the limit saw {count} mails");
        anyhow::Ok(limit)
    };
    let one_by_one = limit(Publishing::OneByOne).await?;
    let in_batches = limit(Publishing::InBatches).await?;
    let ratio =
        |limit: Duration| format!("{:.0} %", limit.as_secs_f64() / took.as_secs_f64() * 100.0);
    let mails = arguments.mails;
    print(
        &format!(
            "inbound backlog: {} mails of {} bytes",
            arguments.mails, arguments.bytes
        ),
        &[
            rate_row("mailmesh, from start of the service", mails, took),
            rate_row("mailmesh, from the first event", mails, streaming),
            rate_row("limit: bare UID FETCH, then publish", mails, one_by_one),
            ("  ratio".to_owned(), ratio(one_by_one)),
            rate_row("limit: the same, in atomic batches", mails, in_batches),
            ("  ratio".to_owned(), ratio(in_batches)),
        ],
    );
    Ok(())
}
