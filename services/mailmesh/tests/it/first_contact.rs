//! What a newcomer meets when something is not as it should be.

use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mailmesh_embedded::{Cache, Locator, Silent, find_nats, find_postgres};

use crate::command::{Ended, Folder, run};
use crate::running::{Ports, Up};

const SOMEBODY: u32 = 65_534;

#[tokio::test]
async fn a_wrong_command_line_exits_as_a_wrong_setting_does() {
    for (words, said) in [
        (vec![], "Usage: mailmesh"),
        (vec!["upp"], "'up'"),
        (vec!["send"], "--account"),
        (vec!["send", "--account", "A b", "--to", "x"], "--account"),
        (
            vec!["send", "--account", "a", "--to", "a@b.c, nobody"],
            "to[0]",
        ),
        (vec!["sandbox", "--mailbox", "x"], "address:password"),
        (vec!["admin"], "MAILMESH_POSTGRES__URL"),
        (vec!["migrate"], "MAILMESH_POSTGRES__URL"),
    ] {
        let variables = [("MAILMESH_OPS__LISTEN", "127.0.0.1:0")];
        let ended = run(&words, &variables).await;
        assert_eq!(ended.code, Some(64), "{words:?}: {}", ended.output);
        assert!(ended.output.contains(said), "{words:?}: {}", ended.output);
    }
    assert_eq!(run(&["--version"], &[]).await.code, Some(0));
}

#[tokio::test]
async fn a_mesh_that_does_not_run_is_told_with_how_to_find_one() {
    let variables = [
        ("MAILMESH_NATS__URL", "nats://127.0.0.1:1"),
        ("MAILMESH_NATS__CONNECT_WAIT_SECONDS", "1"),
    ];
    for words in [
        vec!["send", "--account", "a", "--to", "a@example.com"],
        vec!["tail"],
        vec!["doctor"],
    ] {
        let ended = run(&words, &variables).await;
        assert_eq!(ended.code, Some(69), "{words:?}: {}", ended.output);
        for said in ["nats://127.0.0.1:1", "mailmesh up", "--config"] {
            assert!(ended.output.contains(said), "{words:?}: {}", ended.output);
        }
    }
}

#[tokio::test]
async fn another_users_data_folder_is_refused_before_anything_happens() {
    let folder = Folder::new("foreign");
    // Root may write anywhere, so a folder is given away; anybody else may not write into root's.
    let is_root = rustix::process::geteuid().is_root();
    let (data, owner) = if is_root {
        chown(folder.path(), Some(SOMEBODY), None).unwrap();
        (folder.path().to_owned(), name_of(SOMEBODY))
    } else {
        (PathBuf::from("/usr"), name_of(0))
    };
    let before = entries(&data);
    // Had it opened its first socket, it would tell that the port is taken.
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let variables = [("MAILMESH_OPS__LISTEN", taken.as_str())];

    let ended = run(&["up", "--data", data.to_str().unwrap()], &variables).await;

    assert_eq!(ended.code, Some(64), "{}", ended.output);
    for said in [
        format!("the data folder {} belongs to {owner}", data.display()),
        format!("run mailmesh as {owner}, or choose another folder"),
        "--data".to_owned(),
    ] {
        assert!(ended.output.contains(&said), "{said}: {}", ended.output);
    }
    assert!(!ended.output.contains(&taken), "{}", ended.output);
    assert_eq!(entries(&data), before);
}

/// A server that this machine would have to fetch.
struct Missing {
    server: &'static str,
    /// The variable that names one that runs.
    variable: &'static str,
    /// Keeps `up` from looking for the other server.
    other: (&'static str, &'static str),
}

fn missing() -> Option<Missing> {
    let mut installed = Locator::new(Cache::of_user());
    // What PATH adds is taken away from `up`.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let from_path = std::env::split_paths(&path).count();
    installed.folders.drain(..from_path);
    let has = |name: &str| {
        let mut places = installed.folders.iter().map(|folder| folder.join(name));
        places.any(|path| path.exists())
    };
    if !has("nats-server") {
        return Some(Missing {
            server: "nats-server",
            variable: "MAILMESH_NATS__URL",
            other: ("MAILMESH_POSTGRES__URL", "postgres://u:p@127.0.0.1:1/d"),
        });
    }
    if !has("initdb") && !installed.postgres_homes.iter().any(|home| home.exists()) {
        return Some(Missing {
            server: "Postgres",
            variable: "MAILMESH_POSTGRES__URL",
            other: ("MAILMESH_NATS__URL", "nats://127.0.0.1:1"),
        });
    }
    None
}

/// Runs `up` with nothing but `programs` on PATH, and nothing fetched before.
async fn up_with(programs: &Path, folder: &Folder) -> Option<Ended> {
    let Missing {
        server,
        variable,
        other,
    } = missing()?;
    let [data, cache] = ["data", "cache"].map(|name| folder.path().join(name));
    let (data, cache) = (data.to_str().unwrap(), cache.to_str().unwrap());
    let path = ("PATH", programs.to_str().unwrap());
    let variables = [path, ("MAILMESH_OPS__LISTEN", "127.0.0.1:0"), other];
    let began = Instant::now();

    let ended = run(&["up", "--data", data, "--cache", cache], &variables).await;

    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{}",
        ended.output
    );
    assert_eq!(ended.code, Some(69), "{}", ended.output);
    for said in [server, "python3-pip", variable] {
        assert!(ended.output.contains(said), "{said}: {}", ended.output);
    }
    let left = entries(Path::new(cache));
    assert!(left.iter().all(|name| is_lock(name)), "{left:?}");
    Some(ended)
}

#[tokio::test]
async fn a_server_that_cannot_be_fetched_without_python_says_what_to_do() {
    let folder = Folder::new("no-python");
    let programs = folder.path().join("programs");
    std::fs::create_dir(&programs).unwrap();

    // Where both are installed, nothing would be fetched; libs/embedded tests that with folders of its own.
    if let Some(ended) = up_with(&programs, &folder).await {
        let said = "cannot start python3";
        assert!(ended.output.contains(said), "{}", ended.output);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pip_that_fails_is_quoted_and_the_next_run_works() {
    let folder = Folder::new("no-pip");
    let programs = folder.path().join("programs");
    std::fs::create_dir(&programs).unwrap();
    let python = folder.write(
        "programs/python3",
        "#!/bin/sh\necho 'ERROR: no route to the index' >&2\nexit 1\n",
    );
    std::fs::set_permissions(python, PermissionsExt::from_mode(0o755)).unwrap();

    if let Some(ended) = up_with(&programs, &folder).await {
        let said = "no route to the index";
        assert!(ended.output.contains(said), "{}", ended.output);
    }

    // The same folders, with what this machine fetched before.
    let [data, log, cache] = ["data", "log", "cache"].map(|name| folder.path().join(name));
    warm(&cache).await;
    let cache = ["--cache".as_ref(), cache.as_os_str()];
    let up = Up::start_with(&data, &log, Ports::free(), &cache).await;
    assert_eq!(up.interrupt().await, Some(0));
}

/// Shows the servers that tests use in another cache.
async fn warm(cache: &Path) {
    let own = Cache::of_user();
    let locator = Locator::new(own.clone());
    find_nats(&locator, &Silent).await.unwrap();
    find_postgres(&locator, &Silent).await.unwrap();
    std::fs::create_dir_all(cache).unwrap();
    for name in entries(own.dir()) {
        if !is_lock(&name) {
            symlink(own.dir().join(&name), cache.join(&name)).unwrap();
        }
    }
}

/// Only the holder of the lock writes, so a lock stays where nothing was fetched.
fn is_lock(name: &str) -> bool {
    Path::new(name).extension() == Some("lock".as_ref())
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// As the system's password file has it.
fn name_of(uid: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let is_it = |line: &&str| line.split(':').nth(2) == Some(&uid.to_string());
    let line = users.lines().find(is_it);
    let name = line.and_then(|line| line.split(':').next());
    name.map_or_else(|| format!("user {uid}"), str::to_owned)
}
