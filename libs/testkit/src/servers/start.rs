use std::net::ToSocketAddrs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use mailmesh_embedded::{
    Cache, EmbeddedError, Locator, Nats, NatsOptions, Postgres, PostgresOptions, find_nats,
    find_postgres,
};
use mailmesh_secrets::SecretString;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

use super::database::Databases;
use super::{ServerGuard, TestServers};
use crate::container::ContainerSpec;
use crate::server_kind::{ServerKind, containers_or_processes, tell, with_hint};
use crate::tidy;
use crate::wait::within;

const ANSWER_LIMIT: Duration = Duration::from_mins(1);

const NATS: ContainerSpec = ContainerSpec {
    image: "nats",
    tag: "2.15",
    ports: &[4222],
    environment: &[],
    // No flag sets the size; without it, large mails are refused that `up` takes.
    files: &[("/nats.conf", "max_payload: 8MB\njetstream: enabled\n")],
    command: &["-c", "/nats.conf"],
};

const POSTGRES: ContainerSpec = ContainerSpec {
    image: "postgres",
    tag: "18",
    ports: &[5432],
    environment: &[("POSTGRES_PASSWORD", "test")],
    files: &[],
    command: &[
        "postgres",
        "-c",
        "fsync=off",
        "-c",
        "synchronous_commit=off",
        "-c",
        "max_connections=500",
    ],
};

struct StartedServer<A> {
    address: A,
    running: Vec<ServerGuard>,
}

pub(super) async fn start() -> anyhow::Result<TestServers> {
    let given_nats = variable("TEST_NATS_URL")?;
    let given_postgres = variable("TEST_POSTGRES_URL")?;
    let both_given = given_nats.is_some() && given_postgres.is_some();
    let (nats, postgres) = tokio::join!(
        nats(given_nats),
        postgres(given_postgres.map(SecretString::from))
    );
    let (nats, kind) = nats?;
    let (postgres, _same) = postgres?;

    greets(&nats.address).await?;
    let databases = Databases::connect(postgres.address, ANSWER_LIMIT).await?;
    Ok(TestServers {
        kind: if both_given { ServerKind::Given } else { kind },
        nats_url: nats.address,
        databases,
        greenmail: OnceCell::new(),
        _running: nats.running.into_iter().chain(postgres.running).collect(),
    })
}

fn variable(name: &str) -> anyhow::Result<Option<String>> {
    let Some(value) = std::env::var_os(name).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    value
        .into_string()
        .map(Some)
        .map_err(|_not_text| anyhow::anyhow!("{name} is not text"))
}

async fn nats(given: Option<String>) -> anyhow::Result<(StartedServer<String>, ServerKind)> {
    if let Some(address) = given {
        return Ok((
            StartedServer {
                address,
                running: Vec::new(),
            },
            ServerKind::Given,
        ));
    }
    let container = async || {
        let container = NATS.start().await?;
        let port = container.ports.first().context("NATS publishes no port")?;
        let address = format!("nats://{}:{port}", container.host);
        Ok(StartedServer {
            address,
            running: vec![ServerGuard::Container(container)],
        })
    };
    let process = async || {
        let binary = find_nats(&Locator::new(Cache::of_user()), &tell)
            .await
            .map_err(with_hint)?;
        let folder = tidy::process_folder()?.join("nats");
        let options = NatsOptions {
            sync_always: false,
            ..NatsOptions::new(&folder)
        };
        let nats = Nats::start(binary, options).await.map_err(with_hint)?;
        let tidy = tidy::remove_folder_at_end(&folder, &[nats.pid()]).await?;
        Ok(StartedServer {
            address: nats.url(),
            running: vec![ServerGuard::Nats(nats), ServerGuard::Tidy(tidy)],
        })
    };
    containers_or_processes(container, process).await
}

async fn postgres(
    given: Option<SecretString>,
) -> anyhow::Result<(StartedServer<SecretString>, ServerKind)> {
    if let Some(address) = given {
        return Ok((
            StartedServer {
                address,
                running: Vec::new(),
            },
            ServerKind::Given,
        ));
    }
    let container = async || {
        let container = POSTGRES.start().await?;
        let port = container
            .ports
            .first()
            .context("Postgres publishes no port")?;
        let address = format!(
            "postgres://postgres:test@{}:{port}/postgres",
            container.host
        )
        .into();
        Ok(StartedServer {
            address,
            running: vec![ServerGuard::Container(container)],
        })
    };
    let process = async || {
        let binaries = find_postgres(&Locator::new(Cache::of_user()), &tell)
            .await
            .map_err(with_hint)?;
        let folder = tidy::process_folder()?.join("postgres");
        let postgres = start_postgres(binaries, &folder).await.map_err(with_hint)?;
        let tidy = tidy::remove_folder_at_end(&folder, &[postgres.pid()]).await?;
        Ok(StartedServer {
            address: postgres.url(),
            running: vec![ServerGuard::Postgres(postgres), ServerGuard::Tidy(tidy)],
        })
    };
    containers_or_processes(container, process).await
}

async fn start_postgres(
    binaries: mailmesh_embedded::PostgresBinaries,
    folder: &Path,
) -> Result<Postgres, EmbeddedError> {
    let options = PostgresOptions {
        durable: false,
        max_connections: 500,
        ..PostgresOptions::new(folder)
    };
    Postgres::start(binaries, options, &mailmesh_embedded::Silent).await
}

/// Waits until a nats-server greets: a published port accepts connections before its server does.
async fn greets(url: &str) -> anyhow::Result<()> {
    let address = url
        .rsplit_once('@')
        .map_or_else(|| url.trim_start_matches("nats://"), |(_, address)| address);
    let resolved = address
        .to_socket_addrs()
        .ok()
        .and_then(|mut addresses| addresses.next());
    let Some(address) = resolved else {
        // A list of URLs, or one with TLS: the tests' own connection will tell.
        return Ok(());
    };
    within(ANSWER_LIMIT, "NATS answers", async || {
        let mut line = String::new();
        BufReader::new(TcpStream::connect(address).await?)
            .read_line(&mut line)
            .await?;
        if line.starts_with("INFO ") {
            Ok(())
        } else {
            Err(std::io::Error::other(format!("greeting {line:?}")))
        }
    })
    .await
}
