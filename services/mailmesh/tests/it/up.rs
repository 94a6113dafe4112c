use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mailmesh_bus::{Bus, BusSettings, Outgoing};
use mailmesh_domain::SystemClock;
use mailmesh_embedded::{StopSignal, Supervised, free_port};
use mailmesh_sandbox::{ClientSettings, MailboxSettings, Sandbox, Settings, Visitor};
use mailmesh_testkit::eventually;
use serde_json::{Value, json};

use crate::command::{Folder, base, binary, run};

const ADDRESS: &str = "support@sandbox.test";

/// A `mailmesh up`, stopped by Ctrl-C.
struct Up {
    process: Supervised,
    log: PathBuf,
    from: usize,
    ports: Ports,
}

#[derive(Clone, Copy)]
struct Ports {
    admin: u16,
    callback: u16,
}

impl Up {
    async fn start(data: &Path, log: &Path, ports: Ports) -> Self {
        let variables = [
            ("MAILMESH_ADMIN__LISTEN", ports.admin),
            ("MAILMESH_AUTH_CALLBACK__LISTEN", ports.callback),
            ("MAILMESH_OPS__LISTEN", 0),
        ];
        let variables = variables.map(|(name, port)| format!("{name}=127.0.0.1:{port}"));
        let base = base()
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"));
        // The supervisor clears the environment.
        let mut arguments: Vec<OsString> = base.chain(variables).map(OsString::from).collect();
        arguments.extend([binary().into(), "up".into(), "--data".into(), data.into()]);
        let from = std::fs::read(log).map_or(0, |text| text.len());
        let env = Path::new("/usr/bin/env");
        let process = Supervised::start("mailmesh up", env, arguments, log, StopSignal::Interrupt);
        let mut up = Self {
            process: process.await.unwrap(),
            log: log.to_owned(),
            from,
            ports,
        };
        let (process, log) = (&mut up.process, up.log.clone());
        let is_ready = async || said(&log, from).contains("Ready.");
        process
            .ready(Duration::from_mins(1), is_ready)
            .await
            .unwrap();
        up
    }

    fn said(&self) -> String {
        said(&self.log, self.from)
    }

    fn line(&self, start: &str) -> String {
        let said = self.said();
        let found = said.lines().find_map(|line| line.strip_prefix(start));
        found
            .unwrap_or_else(|| panic!("{start} in {said}"))
            .trim()
            .to_owned()
    }

    async fn interrupt(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_raw(self.process.pid()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(40), self.process.exited());
        ended.await.expect("up does not stop").code()
    }

    /// Ends it as a crash would.
    async fn kill9(mut self) {
        self.process.kill().await;
    }

    async fn call(&self, key: &str, path: &str, body: Option<Value>) -> Value {
        let url = format!("http://127.0.0.1:{}{path}", self.ports.admin);
        let http = reqwest::Client::builder().build().unwrap();
        let request = match body {
            Some(body) => http.post(url).json(&body),
            None => http.get(url),
        };
        let answer = request.bearer_auth(key).send().await.unwrap();
        let status = answer.status();
        let body: Value = answer.json().await.unwrap();
        assert!(status.is_success(), "{path} answered {status}: {body}");
        body
    }
}

fn said(log: &Path, from: usize) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(text.get(from..).unwrap_or_default()).into_owned()
}

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_works_stops_on_ctrl_c_and_comes_back_with_everything() {
    let folder = Folder::new("up");
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let ports = Ports {
        admin: free_port(),
        callback: free_port(),
    };
    let up = Up::start(&data, &log, ports).await;
    let key = up.line("The first administrator's API key, shown this once:");
    let sandbox = sandbox(&up.line("Redirect URI")).await;
    connect(&up, &key, &sandbox).await;
    send(&up, "first").await;
    arrived(&up, &sandbox, 1).await;

    let data_text = data.to_str().unwrap();
    let variables = [("MAILMESH_OPS__LISTEN", "127.0.0.1:0")];
    let second = run(&["up", "--data", data_text], &variables).await;
    assert_ne!(second.code, Some(0), "{}", second.output);
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
    assert!(!said(&log, 0).contains("ERROR"), "{}", said(&log, 0));

    let up = Up::start(&data, &log, ports).await;
    up.kill9().await;
    let gone = eventually("the servers follow a killed up", async || {
        let left = processes_on(&data);
        if left.is_empty() {
            Ok(())
        } else {
            Err(left.join("; "))
        }
    });
    gone.await.unwrap();
    let up = Up::start(&data, &log, ports).await;
    send(&up, "third").await;
    arrived(&up, &sandbox, 3).await;
    assert_eq!(up.interrupt().await, Some(0), "{}", said(&log, 0));
    sandbox.stop().await;
}

#[tokio::test]
async fn a_data_folder_that_cannot_be_used_is_named() {
    let folder = Folder::new("up");
    let file = folder.write("a-file", "");
    for data in ["/proc/mailmesh-data", file.as_str()] {
        let variables = [("MAILMESH_OPS__LISTEN", "127.0.0.1:0")];
        let ended = run(&["up", "--data", data], &variables).await;

        assert_ne!(ended.code, Some(0), "{}", ended.output);
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
