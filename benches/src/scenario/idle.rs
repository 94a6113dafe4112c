use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use mailmesh_accounts::Connections;
use mailmesh_bus::BusSettings;
use mailmesh_domain::{Protocol, SystemClock};
use mailmesh_runtime::Lifecycle;
use mailmesh_secrets::{ExposeSecret, KeySettings, SecretString};
use mailmesh_store::PostgresSettings;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

use crate::mesh;
use crate::table::{note, print};
use crate::world::World;

const SETTLE: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_mins(3);

/// How many accounts.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[arg(long, value_delimiter = ',', default_value = "200,2000")]
    accounts: Vec<usize>,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let world = World::start().await?;
    let client = mesh::add_client(&world).await?;
    let keys = world.folder().join("opening.key");
    std::fs::write(&keys, world.base.keys.to_file_text()?.expose_secret())?;
    let base = measure(&world, &keys, 0).await?;
    let mut rows = vec![("base, no account".to_owned(), format!("{base} KiB"))];
    let mut made = 0;
    for count in arguments.accounts {
        for number in made..count {
            mesh::add_account(&world, client, &format!("idle-{number}"), Protocol::Imap, 1).await?;
        }
        made = made.max(count);
        let resident = measure(&world, &keys, count).await?;
        let each = resident.saturating_sub(base) * 10 / u64::try_from(count.max(1))?;
        rows.push((
            format!("{count} idle accounts over TLS"),
            format!("{resident} KiB, {}.{} KiB each", each / 10, each % 10),
        ));
    }
    print(
        "idle cost: resident memory of one inbound-fetcher process",
        &rows,
    );
    Ok(())
}

async fn measure(world: &World, keys: &PathBuf, accounts: usize) -> anyhow::Result<u64> {
    let mut process = Command::new(std::env::current_exe()?)
        .arg("fetcher")
        .args(["--nats", &world.nats.url()])
        .arg("--keys")
        .arg(keys)
        .env(
            "BENCH_POSTGRES_URL",
            world.base.address.postgres_url.expose_secret(),
        )
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    wait_until_idle(world, accounts).await?;
    tokio::time::sleep(SETTLE).await;
    let resident = resident_kib(&process)?;
    drop(process.stdin.take());
    let status = tokio::time::timeout(Duration::from_secs(40), process.wait()).await??;
    note(format!("fetcher with {accounts} accounts ended: {status}"));
    Ok(resident)
}

async fn wait_until_idle(world: &World, accounts: usize) -> anyhow::Result<()> {
    let waited = tokio::time::timeout(PATIENCE, async {
        while world.provider.idling().await? < accounts {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        anyhow::Ok(())
    });
    waited.await.context("the accounts did not come to IDLE")?
}

fn resident_kib(process: &Child) -> anyhow::Result<u64> {
    let id = process.id().context("the fetcher has ended")?;
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.context("no VmRSS")?.parse()?)
}

/// How the fetcher's process reaches the servers.
#[derive(Debug, clap::Args)]
pub(crate) struct FetcherArguments {
    #[arg(long)]
    nats: String,
    #[arg(long)]
    keys: PathBuf,
    #[arg(long, env = "BENCH_POSTGRES_URL", hide_env_values = true)]
    postgres: String,
}

/// Runs a fetcher until standard input ends.
pub(crate) async fn serve_fetcher(arguments: FetcherArguments) -> anyhow::Result<()> {
    let postgres = PostgresSettings::of_url(SecretString::from(arguments.postgres), 8);
    let bus = BusSettings {
        url: arguments.nats,
        ..BusSettings::default()
    };
    let connections = Connections::open(&postgres, &bus).await?;
    let keys = KeySettings {
        opening_key_file: Some(arguments.keys),
        sealing_key_file: None,
    };
    let lifecycle = Lifecycle::new("bench");
    let config = mailmesh_inbound_fetcher::Config {
        settings: mailmesh_inbound_fetcher::Settings::default(),
        keys: keys.opening_keys()?,
    };
    mailmesh_inbound_fetcher::Service::build(config, &connections, Arc::new(SystemClock))
        .await?
        .start(&lifecycle);
    let mut ignored = Vec::new();
    tokio::io::stdin().read_to_end(&mut ignored).await?;
    let report = mesh::stop(lifecycle).await;
    ensure!(report.fault.is_none(), "{report:?}");
    Ok(())
}
