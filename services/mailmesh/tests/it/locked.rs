//! What `mailmesh up` keeps closed: its NATS, its data folder, and sign-ins in clear.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use mailmesh_bus::{Bus, BusError, BusSettings};
use mailmesh_embedded::free_port;
use mailmesh_testkit::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::command::{Folder, run};
use crate::running::{Ports, Up, said};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn settings(url: String) -> BusSettings {
    BusSettings {
        url,
        ..BusSettings::default()
    }
}

/// Answers what the server says to a connection without a user that only asks whether it is there.
async fn greeted(address: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"CONNECT {}\r\nPING\r\n").await.unwrap();
    let mut said = Vec::new();
    let reading = stream.read_to_end(&mut said);
    tokio::time::timeout(std::time::Duration::from_secs(10), reading)
        .await
        .expect("the server keeps a stranger")
        .ok();
    String::from_utf8_lossy(&said).into_owned()
}

fn assert_closed(data: &Path) {
    for closed in ["connection.toml", "nats/nats.conf"] {
        assert_eq!(mode(&data.join(closed)), 0o600, "{closed}");
    }
    for closed in ["keys", "credentials", "nats"] {
        assert_eq!(mode(&data.join(closed)), 0o700, "{closed}");
    }
    // Root's Postgres runs as another user, who must pass through.
    let is_root = rustix::process::geteuid().is_root();
    assert_eq!(mode(data), if is_root { 0o711 } else { 0o700 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_of_up_is_for_its_services_and_for_whom_the_printed_address_was_given() {
    let folder = Folder::new("locked");
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let (nats_port, postgres_port) = (free_port(), free_port());
    let chosen = [
        format!("--nats-port={nats_port}"),
        format!("--postgres-port={postgres_port}"),
    ];
    let chosen: Vec<_> = chosen.iter().map(AsRef::as_ref).collect();
    let up = Up::start_with(&data, &log, Ports::free(), &chosen).await;

    let printed = up.line("NATS");
    let (user, address) = printed.rsplit_once('@').unwrap();
    assert_eq!(address, format!("127.0.0.1:{nats_port}"));
    assert!(user.starts_with("nats://clients:"), "{user}");
    assert!(
        TcpStream::connect(("127.0.0.1", postgres_port))
            .await
            .is_ok()
    );

    let stranger = greeted(address).await;
    assert!(
        stranger.contains("-ERR 'Authorization Violation'"),
        "{stranger}"
    );
    let refused = Bus::connect(&settings(format!("nats://{address}"))).await;
    assert!(
        matches!(refused, Err(BusError::SignIn { .. })),
        "{refused:?}"
    );
    let client = Bus::connect(&settings(printed.clone())).await.unwrap();
    client.check().await.unwrap();

    // The other commands find the way in by themselves.
    let connection = data.join("connection.toml");
    let connection = connection.to_str().unwrap();
    let body = folder.write(
        "mail.json",
        r#"{"account":"a","to":"a@example.com","text":"x"}"#,
    );
    let sent = run(
        &[
            "send", "--config", connection, "--file", &body, "--wait", "0",
        ],
        &[],
    )
    .await;
    assert_eq!(sent.code, Some(0), "{}", sent.output);
    let checked = run(&["doctor", "--config", connection], &[]).await;
    assert_eq!(checked.code, Some(0), "{}", checked.output);

    assert_closed(&data);
    assert_eq!(up.interrupt().await, Some(0), "{}", said(&log, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_data_folder_gets_passwords_and_keeps_its_ports() {
    let folder = Folder::new("older");
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let up = Up::start(&data, &log, Ports::free()).await;
    let printed = up.line("NATS");
    let (_, address) = printed.rsplit_once('@').unwrap();
    assert_eq!(up.interrupt().await, Some(0), "{}", said(&log, 0));

    // A folder of an earlier release has no passwords: it gets new ones, and keeps its ports. Its NATS had one account for all.
    std::fs::remove_dir_all(data.join("credentials")).unwrap();
    let accounts = data.join("nats/jetstream/jetstream");
    let (global, mesh) = (accounts.join("$G"), accounts.join("MESH"));
    std::fs::rename(&mesh, &global).unwrap();
    let up = Up::start(&data, &log, Ports::free()).await;
    let anew = up.line("NATS");
    assert!(anew.ends_with(&format!("@{address}")), "{anew}");
    assert_ne!(anew, printed);
    let old = Bus::connect(&settings(printed.clone())).await;
    assert!(matches!(old, Err(BusError::SignIn { .. })), "{old:?}");
    Bus::connect(&settings(anew)).await.unwrap();
    assert!(!global.exists() && mesh.join("streams/EVENTS").exists());
    assert_eq!(up.interrupt().await, Some(0), "{}", said(&log, 0));
    let passwords = std::fs::read_dir(data.join("credentials")).unwrap();
    for file in passwords.map(|entry| entry.unwrap().path()) {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
        let password = std::fs::read_to_string(&file).unwrap();
        let clients = file.ends_with("nats-clients.password");
        assert!(
            clients || !said(&log, 0).contains(password.trim()),
            "{}",
            file.display()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tail_shows_what_happens_on_a_locked_mesh() {
    let folder = Folder::new("tail");
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let up = Up::start(&data, &log, Ports::free()).await;
    let connection = data.join("connection.toml");
    let tail = tokio::process::Command::new(crate::command::binary())
        .args(["tail", "--config", connection.to_str().unwrap()])
        .env_clear()
        .stdout(std::fs::File::create(folder.path().join("tailed")).unwrap())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let bus = Bus::connect(&settings(up.line("NATS"))).await.unwrap();

    // Until it listens, what is published is not shown.
    let shown = eventually("a rejection is shown", async || {
        let outgoing = mailmesh_bus::Outgoing {
            subject: "mail.send".to_owned(),
            payload: r#"{"account":"nobody","to":"a@example.com","text":"x"}"#.into(),
            ..mailmesh_bus::Outgoing::default()
        };
        bus.publish(outgoing).await.unwrap();
        let tailed = std::fs::read_to_string(folder.path().join("tailed")).unwrap();
        tailed
            .contains("mail.rejected.nobody")
            .then_some(())
            .ok_or(tailed)
    });

    shown.await.unwrap();
    drop(tail);
    assert_eq!(up.interrupt().await, Some(0), "{}", said(&log, 0));
}

#[tokio::test]
async fn a_public_address_in_clear_is_refused_before_anything_starts() {
    let folder = Folder::new("in-clear");
    let data = folder.path().join("data");
    let clear = ("MAILMESH_PUBLIC__URL", "http://mail.example.com");

    let ended = run(&["up", "--data", data.to_str().unwrap()], &[clear]).await;

    assert_eq!(ended.code, Some(64), "{}", ended.output);
    for said in ["public.url", "http://mail.example.com", "https"] {
        assert!(ended.output.contains(said), "{said}: {}", ended.output);
    }
    assert!(!data.exists());
}
