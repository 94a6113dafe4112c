use std::os::unix::fs::PermissionsExt;

use mailmesh_embedded::{
    EmbeddedError, Locator, Postgres, PostgresBinaries, PostgresOptions, Silent, find_postgres,
};
use tokio::process::Command;

use crate::scratch::{Scratch, locator};

struct World {
    scratch: Scratch,
    binaries: PostgresBinaries,
}

impl World {
    async fn new() -> anyhow::Result<Self> {
        let binaries = find_postgres(&locator(), &Silent).await?;
        Ok(Self {
            scratch: Scratch::new()?,
            binaries,
        })
    }

    async fn start(&self) -> Result<Postgres, EmbeddedError> {
        let options = PostgresOptions::new(self.scratch.path());
        Postgres::start(self.binaries.clone(), options, &Silent).await
    }

    /// Runs one statement with the installation's own client.
    async fn run(&self, postgres: &Postgres, statement: &str) -> anyhow::Result<String> {
        use secrecy::ExposeSecret;
        let output = Command::new(self.binaries.bin_dir().join("psql"))
            .args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement])
            .arg(postgres.url().expose_secret())
            .output()
            .await?;
        anyhow::ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }
}

#[tokio::test]
async fn committed_rows_and_the_url_survive_a_kill() {
    let world = World::new().await.unwrap();
    let mut postgres = world.start().await.unwrap();
    world
        .run(&postgres, "CREATE TABLE kept AS SELECT 7 AS number")
        .await
        .unwrap();
    let (port, pid) = (postgres.port(), postgres.pid());

    postgres.kill().await;
    postgres.restart().await.unwrap();

    assert_eq!(postgres.port(), port);
    assert_ne!(postgres.pid(), pid);
    assert_eq!(
        world
            .run(&postgres, "SELECT number FROM kept")
            .await
            .unwrap(),
        "7"
    );
}

#[tokio::test]
async fn a_stopped_server_comes_back_with_its_data_port_and_password() {
    let world = World::new().await.unwrap();
    let mut postgres = world.start().await.unwrap();
    world
        .run(&postgres, "CREATE TABLE kept AS SELECT 7 AS number")
        .await
        .unwrap();
    let port = postgres.port();
    postgres.stop().await;
    drop(postgres);

    let again = world.start().await.unwrap();

    assert_eq!(again.port(), port);
    assert_eq!(
        world.run(&again, "SELECT number FROM kept").await.unwrap(),
        "7"
    );
    assert_eq!(
        Postgres::major_of(world.scratch.path()),
        Some(world.binaries.major())
    );
}

#[tokio::test]
async fn commits_wait_for_the_disk_unless_told_otherwise() {
    let world = World::new().await.unwrap();
    let postgres = world.start().await.unwrap();

    assert_eq!(world.run(&postgres, "SHOW fsync").await.unwrap(), "on");
    assert_eq!(
        world
            .run(&postgres, "SHOW synchronous_commit")
            .await
            .unwrap(),
        "on"
    );
    assert_eq!(
        world.run(&postgres, "SHOW listen_addresses").await.unwrap(),
        "127.0.0.1"
    );
}

#[tokio::test]
async fn a_wrong_password_is_refused() {
    let world = World::new().await.unwrap();
    let postgres = world.start().await.unwrap();

    let output = Command::new(world.binaries.bin_dir().join("psql"))
        .args(["-X", "-c", "SELECT 1"])
        .arg(format!(
            "postgres://mailmesh:wrong@127.0.0.1:{}/mailmesh",
            postgres.port()
        ))
        .output()
        .await
        .unwrap();

    assert!(!output.status.success());
}

#[tokio::test]
async fn the_pinned_installation_works_where_none_is_found() {
    let nothing = Locator {
        folders: Vec::new(),
        postgres_homes: Vec::new(),
        ..locator()
    };
    let binaries = find_postgres(&nothing, &Silent).await.unwrap();
    let world = World {
        scratch: Scratch::new().unwrap(),
        binaries,
    };

    let postgres = world.start().await.unwrap();

    assert!(world.binaries.bin_dir().starts_with(nothing.cache.dir()));
    assert_eq!(
        world
            .run(&postgres, "SHOW server_version_num")
            .await
            .unwrap(),
        "180006"
    );
}

#[tokio::test]
async fn an_installation_that_cannot_set_up_gives_way_to_the_next() {
    let world = World::new().await.unwrap();
    world
        .scratch
        .program("postgres", "postgres (PostgreSQL) 15.0")
        .unwrap();
    world
        .scratch
        .program("initdb", "initdb (PostgreSQL) 15.0")
        .unwrap();
    let mut broken_first = locator();
    broken_first
        .folders
        .insert(0, world.scratch.path().to_owned());
    let binaries = find_postgres(&broken_first, &Silent).await.unwrap();
    assert_eq!(binaries.bin_dir(), world.scratch.path());
    let options = PostgresOptions::new(world.scratch.path().join("data"));

    let postgres = Postgres::start(binaries, options, &Silent).await.unwrap();

    assert_eq!(world.run(&postgres, "SELECT 1").await.unwrap(), "1");
}

#[tokio::test]
async fn a_folder_in_use_is_refused() {
    let world = World::new().await.unwrap();
    let _first = world.start().await.unwrap();

    let error = world.start().await.unwrap_err();

    assert!(
        matches!(error, EmbeddedError::FolderInUse { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_folder_that_only_its_owner_can_enter_will_do() {
    let world = World::new().await.unwrap();
    let closed = world.scratch.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
    let options = PostgresOptions::new(closed.join("postgres"));

    let postgres = Postgres::start(world.binaries.clone(), options, &Silent)
        .await
        .unwrap();

    assert_eq!(world.run(&postgres, "SELECT 1").await.unwrap(), "1");
    let home = closed.join("postgres/cluster").canonicalize().unwrap();
    drop(postgres);
    if !home.starts_with(world.scratch.path()) {
        std::fs::remove_dir_all(home).unwrap();
    }
}

#[tokio::test]
async fn data_of_another_major_version_is_refused_untouched() {
    let world = World::new().await.unwrap();
    drop(world.start().await.unwrap());
    let version = world.scratch.path().join("cluster/data/PG_VERSION");
    std::fs::write(&version, "9\n").unwrap();

    let error = world.start().await.unwrap_err();

    assert!(
        matches!(error, EmbeddedError::OtherMajor { folder: 9, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn an_unfinished_setup_is_done_again() {
    let world = World::new().await.unwrap();
    let mut postgres = world.start().await.unwrap();
    postgres.stop().await;
    drop(postgres);
    let cluster = world.scratch.path().join("cluster");
    std::fs::rename(cluster.join("data"), cluster.join("data.unfinished")).unwrap();

    let again = world.start().await.unwrap();

    assert_eq!(world.run(&again, "SELECT 1").await.unwrap(), "1");
}
