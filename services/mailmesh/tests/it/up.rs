use std::path::Path;
use std::sync::Arc;

use mailmesh_bus::{Bus, BusSettings, Outgoing};
use mailmesh_domain::SystemClock;
use mailmesh_sandbox::{ClientSettings, MailboxSettings, Sandbox, Settings, Visitor};
use mailmesh_testkit::eventually;
use serde_json::json;

use crate::command::{Folder, run};
use crate::running::{Ports, Up, said};

const ADDRESS: &str = "support@sandbox.test";

/// Processes whose command line names the folder.
fn processes_on(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    entries
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(folder))
        .collect()
}

/// Waits until the servers have followed their process; the shells that watch them end a moment after it.
async fn all_gone(data: &Path) {
    let gone = eventually("every process on the folder ends", async || {
        let left = processes_on(data);
        if left.is_empty() {
            Ok(())
        } else {
            Err(left.join("; "))
        }
    });
    gone.await.unwrap();
}

/// Kills the nats-server whose command line names the folder.
fn kill_nats_on(folder: &Path) {
    let folder = folder.to_str().unwrap();
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let is_nats = |entry: &std::fs::DirEntry| {
        let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        name.trim() == "nats-server" && String::from_utf8_lossy(&line).contains(folder)
    };
    let entry = entries.into_iter().find(is_nats).expect("no nats-server");
    let pid = entry.file_name().to_str().unwrap().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// Kills the nats-server and waits until another one runs; none once `up` has ended instead.
async fn lose_nats(data: &Path, log: &Path, number: usize) {
    kill_nats_on(data);
    let again = format!("is started again ({number} of 5)");
    let back = eventually(&again, async || {
        let said = said(log, 0);
        let runs = said.matches("nats-server runs again").count();
        (said.contains(&again) && runs == number)
            .then_some(())
            .ok_or(said)
    });
    back.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_is_started_again_but_not_without_end() {
    let folder = Folder::new("lost");
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let up = Up::start(&data, &log, Ports::free()).await;
    let key = up.line("The first administrator's API key, shown this once:");
    let sandbox = sandbox(&up.line("Redirect URI")).await;
    connect(&up, &key, &sandbox).await;

    send(&up, "before a loss").await;
    arrived(&up, &sandbox, 1).await;
    lose_nats(&data, &log, 1).await;
    send(&up, "after a loss").await;
    arrived(&up, &sandbox, 2).await;
    for number in 2..=5 {
        lose_nats(&data, &log, number).await;
    }
    kill_nats_on(&data);

    assert_eq!(up.ended().await, Some(1), "{}", said(&log, 0));
    let said = said(&log, 0);
    assert!(
        said.contains("once more, and mailmesh ends with it"),
        "{said}"
    );
    all_gone(&data).await;
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_works_stops_on_ctrl_c_and_comes_back_with_everything() {
    let folder = Folder::new("up");
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let ports = Ports::free();
    let up = Up::start(&data, &log, ports).await;
    let key = up.line("The first administrator's API key, shown this once:");
    let sandbox = sandbox(&up.line("Redirect URI")).await;
    connect(&up, &key, &sandbox).await;
    send(&up, "first").await;
    arrived(&up, &sandbox, 1).await;

    let data_text = data.to_str().unwrap();
    let second = run(&["up", "--data", data_text], &[]).await;
    assert_eq!(second.code, Some(69), "{}", second.output);
    assert!(
        second.output.contains("in use by another process"),
        "{}",
        second.output
    );
    assert!(second.output.contains(data_text), "{}", second.output);

    assert_eq!(up.interrupt().await, Some(0), "{}", said(&log, 0));
    assert_eq!(processes_on(&data), Vec::<String>::new());

    let up = Up::start(&data, &log, ports).await;
    assert!(!up.said().contains("shown this once"));
    let accounts = up.call(&key, "/v1/accounts", None).await;
    assert!(accounts.to_string().contains("support-out"), "{accounts}");
    send(&up, "second").await;
    arrived(&up, &sandbox, 2).await;
    assert_eq!(up.interrupt().await, Some(0), "{}", said(&log, 0));
    assert_eq!(processes_on(&data), Vec::<String>::new());
    for odd in ["ERROR", "NATS connection lost"] {
        assert!(!said(&log, 0).contains(odd), "{}", said(&log, 0));
    }

    let up = Up::start(&data, &log, ports).await;
    up.kill9().await;
    all_gone(&data).await;
    let up = Up::start(&data, &log, ports).await;
    send(&up, "third").await;
    arrived(&up, &sandbox, 3).await;
    send_and_wait(&data).await;
    arrived(&up, &sandbox, 4).await;
    assert_eq!(up.interrupt().await, Some(0), "{}", said(&log, 0));
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_lost_are_not_replaced_in_silence() {
    let folder = Folder::new("keys-lost");
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let ports = Ports::free();
    let up = Up::start(&data, &log, ports).await;
    let key = up.line("The first administrator's API key, shown this once:");
    let client = json!({"key": "google", "profile": "google", "client_id": "4711.apps", "client_secret": "s"});
    up.call(&key, "/v1/client-configurations", Some(client))
        .await;
    assert_eq!(up.interrupt().await, Some(0), "{}", said(&log, 0));
    let keys = data.join("keys");
    let kept = folder.path().join("kept");
    std::fs::rename(&keys, &kept).unwrap();
    let (data_text, keys_text) = (data.to_str().unwrap(), keys.to_str().unwrap());

    let settings = ports.settings();
    let variables = settings
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let refused = run(&["up", "--data", data_text], &variables).await;

    assert_eq!(refused.code, Some(64), "{}", refused.output);
    for part in ["restore the file", "mailmesh keys --out", keys_text] {
        assert!(refused.output.contains(part), "{}", refused.output);
    }
    assert!(!keys.exists());

    let afresh = run(&["keys", "--out", keys_text], &[]).await;
    assert_eq!(afresh.code, Some(0), "{}", afresh.output);
    let up = Up::start(&data, &log, ports).await;
    assert!(
        up.said().contains("The keys do not open what is stored"),
        "{}",
        up.said()
    );
    let connection = data.join("connection.toml");
    let doctor = run(&["doctor", "--config", connection.to_str().unwrap()], &[]).await;
    assert!(
        doctor
            .output
            .contains("BAD   the keys that open secrets: 2 of 2"),
        "{}",
        doctor.output
    );
    assert_eq!(up.interrupt().await, Some(0), "{}", said(&log, 0));

    std::fs::remove_dir_all(&keys).unwrap();
    std::fs::rename(&kept, &keys).unwrap();
    std::fs::remove_file(keys.join("sealing.key")).unwrap();
    let up = Up::start(&data, &log, ports).await;
    assert!(
        !up.said().contains("do not open what is stored"),
        "{}",
        up.said()
    );
    assert_eq!(up.interrupt().await, Some(0), "{}", said(&log, 0));
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_before_anything_is_set_up() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for switch in ["--nats-port", "--postgres-port"] {
        let folder = Folder::new("port");
        let data = folder.path().join("data");
        let arguments = ["up", "--data", data.to_str().unwrap(), switch, &port];

        let settings = Ports::free().settings();
        let variables = settings
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        let ended = run(&arguments, &variables).await;

        assert_eq!(ended.code, Some(69), "{switch}: {}", ended.output);
        let hint = format!("or choose another port ({switch})");
        assert!(ended.output.contains(&hint), "{}", ended.output);
        let is_set_up = ended.output.contains("Setting up a database");
        assert!(switch == "--nats-port" || !is_set_up, "{}", ended.output);
    }
}

#[tokio::test]
async fn a_data_folder_that_cannot_be_used_is_named() {
    let folder = Folder::new("up");
    let file = folder.write("a-file", "");
    for data in ["/proc/mailmesh-data", file.as_str()] {
        let ended = run(&["up", "--data", data], &[]).await;

        assert_eq!(ended.code, Some(64), "{}", ended.output);
        assert!(ended.output.contains(data), "{}", ended.output);
    }
}

async fn sandbox(redirect_uri: &str) -> Sandbox {
    let settings = Settings {
        mailboxes: vec![MailboxSettings {
            address: ADDRESS.to_owned(),
            password: "x".to_owned(),
        }],
        clients: vec![ClientSettings {
            client_id: "up".to_owned(),
            client_secret: "secret-of-up".to_owned(),
            redirect_uris: vec![redirect_uri.to_owned()],
        }],
        ..Settings::default()
    };
    Sandbox::start(settings, Arc::new(SystemClock))
        .await
        .unwrap()
}

async fn connect(up: &Up, key: &str, sandbox: &Sandbox) {
    let client = json!({
        "key": "sandbox", "profile": "custom", "issuer": sandbox.addresses().issuer,
        "client_id": "up", "client_secret": "secret-of-up",
        "scopes": ["openid", "email", "offline_access"],
    });
    up.call(key, "/v1/client-configurations", Some(client))
        .await;
    let account = json!({
        "key": "support-out", "protocol": "smtp", "host": "localhost",
        "port": sandbox.addresses().mail.smtp_tls.port(), "encryption": "tls",
        "login": ADDRESS, "client_configuration": "sandbox", "ca_pem": sandbox.ca_pem(),
    });
    up.call(key, "/v1/accounts", Some(account)).await;
    let link = up
        .call(key, "/v1/accounts/support-out/sign-in", Some(json!({})))
        .await;
    let link = link["url"].as_str().unwrap().parse().unwrap();
    let mut visitor = Visitor::try_new(None).unwrap();
    let page = visitor.sign_in(&link, ADDRESS, true).await.unwrap();
    assert_eq!(page.status, 200, "{}", page.html);
}

/// Sends by the command line, which tells what becomes of the mail.
async fn send_and_wait(data: &Path) {
    let connection = data.join("connection.toml");
    let connection = connection.to_str().unwrap();
    for (account, key, code, told) in [
        ("support-out", "one", 0, "sent: the server answered 250"),
        ("support-out", "one", 0, "repeated: the idempotency key"),
        ("nobody", "two", 1, "rejected: account: is not known"),
    ] {
        let arguments = [
            "send",
            "--config",
            connection,
            "--account",
            account,
            "--to",
            "a@example.com",
            "--subject",
            "s",
            "--text",
            "t",
            "--idempotency-key",
            key,
        ];
        let ended = run(&arguments, &[]).await;
        assert_eq!(ended.code, Some(code), "{account}: {}", ended.output);
        assert!(ended.output.contains(told), "{account}: {}", ended.output);
    }
}

async fn send(up: &Up, subject: &str) {
    let settings = BusSettings {
        url: up.line("NATS"),
        ..BusSettings::default()
    };
    let command = json!({
        "account": "support-out", "to": "a@example.com", "subject": subject, "text": "t",
    });
    let outgoing = Outgoing {
        subject: "mail.send".to_owned(),
        payload: command.to_string().into(),
        ..Outgoing::default()
    };
    let bus = Bus::connect(&settings).await.unwrap();
    bus.publish(outgoing).await.unwrap();
}

async fn arrived(up: &Up, sandbox: &Sandbox, count: usize) {
    let what = format!("{count} mails arrived");
    let arrived = eventually(&what, async || sandbox.mail().outbox().len() == count).await;
    assert!(arrived.is_ok(), "{arrived:?}: {}", up.said());
}
