use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use mailmesh_embedded::free_port;
use mailmesh_secrets::{ExposeSecret, SecretString};
use mailmesh_testkit::{MeshBase, TestFolder, eventually};
use rustix::process::Signal;
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::binary::binary;
use crate::replica::{Replica, ResidentMemory, Service, SignIn};

/// Each mesh is half a dozen processes; more at once only wait for each other.
static ROOM: Semaphore = Semaphore::const_new(2);
const LOG_LINES: usize = 60;
const MIB: u64 = 1024 * 1024;

/// Which replica of a mesh is meant; also that of one that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicaNumber(usize);

/// Processes of the binary that share servers and keys.
#[derive(Debug)]
pub struct Mesh {
    replicas: Vec<Replica>,
    config: String,
    /// The same for services with users of their own.
    configs: Vec<(Service, String)>,
    admin_port: u16,
    callback_port: u16,
    http: reqwest::Client,
    is_finished: bool,
    // Dropped last: the processes write their logs there.
    folder: TestFolder,
    _room: SemaphorePermit<'static>,
}

impl Mesh {
    /// Writes keys and configuration, with further sections as TOML; nothing runs yet.
    ///
    /// # Errors
    ///
    /// Fails when the folder cannot be written.
    pub async fn prepare(base: &MeshBase, extra: &str) -> anyhow::Result<Self> {
        let room = ROOM.acquire().await?;
        let folder = TestFolder::new("mesh")?;
        let keys = &base.keys;
        let at = folder.path();
        std::fs::write(at.join("opening.key"), keys.to_file_text()?.expose_secret())?;
        std::fs::write(at.join("sealing.key"), keys.sealing_key().to_file_text())?;
        let (admin_port, callback_port) = (free_port(), free_port());
        let config = config(base, extra, at, [admin_port, callback_port]);
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(20))
            .no_proxy()
            .build()?;
        Ok(Self {
            replicas: Vec::new(),
            config,
            configs: Vec::new(),
            admin_port,
            callback_port,
            http,
            is_finished: false,
            folder,
            _room: room,
        })
    }

    /// Has services sign in to the servers as themselves, with no right to make streams.
    pub(crate) fn sign_in_as(&mut self, base: &MeshBase, sign_ins: Vec<SignIn>) {
        for sign_in in sign_ins {
            let (nats, postgres) = (&base.address.bus.url, &base.address.postgres_url);
            let config = self
                .config
                .replace(
                    &format!("url = \"{nats}\""),
                    &format!(
                        "url = \"{}\"\ninbox_prefix = \"{}\"\nprovision = false",
                        sign_in.nats_url, sign_in.inbox_prefix
                    ),
                )
                .replace(
                    postgres.expose_secret(),
                    sign_in.postgres_url.expose_secret(),
                );
            self.configs.push((sign_in.service, config));
        }
    }

    /// Starts one more replica of a service; it is not ready yet.
    ///
    /// # Errors
    ///
    /// Fails when the binary does not build or run.
    pub async fn launch(&mut self, service: Service) -> anyhow::Result<ReplicaNumber> {
        let number = self.replicas.len();
        let stem = self
            .folder
            .path()
            .join(format!("{number:02}-{}", service.name()));
        let mut configs = self.configs.iter();
        let own = configs.find(|(of, _)| *of == service);
        let config = own.map_or(&self.config, |(_, config)| config);
        let replica = Replica::start(binary().await?, service, config, &stem).await?;
        self.replicas.push(replica);
        Ok(ReplicaNumber(number))
    }

    /// Starts one more replica of a service and waits until it is ready.
    ///
    /// # Errors
    ///
    /// Fails with the end of its log when it does not come up.
    pub async fn start_replica(&mut self, service: Service) -> anyhow::Result<ReplicaNumber> {
        let number = self.launch(service).await?;
        self.ready(number).await?;
        Ok(number)
    }

    /// Waits until a replica is ready.
    ///
    /// # Errors
    ///
    /// Fails with the end of its log when it ends or the time is over.
    pub async fn ready(&mut self, number: ReplicaNumber) -> anyhow::Result<()> {
        let http = self.http.clone();
        self.replica(number)?.ready(&http).await
    }

    /// Returns the running replica of a service that was started last.
    ///
    /// # Errors
    ///
    /// Fails when none runs.
    pub fn newest(&self, service: Service) -> anyhow::Result<ReplicaNumber> {
        let found = self
            .replicas
            .iter()
            .rposition(|replica| replica.service == service && replica.is_running());
        let found = found.with_context(|| format!("no {} runs", service.name()))?;
        Ok(ReplicaNumber(found))
    }

    /// Kills a replica as a crash of the machine would.
    ///
    /// # Errors
    ///
    /// Fails when there is no such replica.
    pub async fn kill9(&mut self, number: ReplicaNumber) -> anyhow::Result<()> {
        self.replica(number)?.kill9().await;
        Ok(())
    }

    /// Stops a replica's clock: it does nothing until it is thawed, and does not know that it did not.
    ///
    /// # Errors
    ///
    /// Fails when it has ended.
    pub fn freeze(&mut self, number: ReplicaNumber) -> anyhow::Result<()> {
        self.replica(number)?.signal(Signal::STOP)
    }

    /// Lets a frozen replica go on.
    ///
    /// # Errors
    ///
    /// Fails when it has ended.
    pub fn thaw(&mut self, number: ReplicaNumber) -> anyhow::Result<()> {
        self.replica(number)?.signal(Signal::CONT)
    }

    /// Stops a replica and checks that it exits with 0.
    ///
    /// # Errors
    ///
    /// Fails when it does not stop, or with another code.
    pub async fn stop(&mut self, number: ReplicaNumber) -> anyhow::Result<()> {
        let replica = self.replica(number)?;
        let status = replica.stop().await?;
        ensure!(
            status.success(),
            "{} ended with {status} when asked to stop",
            replica.service.name()
        );
        Ok(())
    }

    /// Returns what `/metrics` of each replica shows.
    ///
    /// # Errors
    ///
    /// Fails when one does not answer.
    pub async fn metrics(&self) -> anyhow::Result<Vec<String>> {
        let mut shown = Vec::with_capacity(self.replicas.len());
        for replica in &self.replicas {
            shown.push(replica.metrics(&self.http).await?);
        }
        Ok(shown)
    }

    /// Returns the most memory that a replica has had since it began, and what it has now, in bytes.
    ///
    /// # Errors
    ///
    /// Fails when it has ended, and where the system does not tell.
    pub fn memory(&mut self, number: ReplicaNumber) -> anyhow::Result<ResidentMemory> {
        self.replica(number)?.memory()
    }

    /// Stops all that run, and returns everything that was logged, by log file.
    ///
    /// # Errors
    ///
    /// Fails when one does not exit with 0.
    pub async fn stop_all(&mut self) -> anyhow::Result<Vec<(String, String)>> {
        for number in 0..self.replicas.len() {
            let number = ReplicaNumber(number);
            if self.replica(number)?.is_running() {
                self.stop(number).await?;
            }
        }
        self.logs()
    }

    /// Returns everything that was logged so far, by log file.
    ///
    /// # Errors
    ///
    /// Fails when a log cannot be read.
    pub fn logs(&self) -> anyhow::Result<Vec<(String, String)>> {
        let read = |replica: &Replica| {
            let name = replica.log.file_name().unwrap_or_default();
            let text = std::fs::read_to_string(&replica.log)?;
            Ok((name.to_string_lossy().into_owned(), text))
        };
        self.replicas.iter().map(read).collect()
    }

    /// Returns where the admin API is.
    pub fn admin_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.admin_port)
    }

    /// Returns where browsers reach auth-callback.
    pub fn public_url(&self) -> String {
        format!("http://localhost:{}", self.callback_port)
    }

    /// Waits for the first administrator's key, which admin writes to a file.
    ///
    /// # Errors
    ///
    /// Fails when it does not come.
    pub async fn first_key(&self) -> anyhow::Result<SecretString> {
        let path = self.folder.path().join("first.key");
        eventually("admin writes the first key", async || {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let key = text.trim().to_owned();
            (!key.is_empty()).then(|| SecretString::from(key))
        })
        .await
    }

    /// Says that the test came to its end, so that the logs need not be shown.
    pub fn set_finished(&mut self) {
        self.is_finished = true;
    }

    fn replica(&mut self, number: ReplicaNumber) -> anyhow::Result<&mut Replica> {
        let found = self.replicas.get_mut(number.0);
        found.context("there is no such replica")
    }

    fn show_logs(&self) -> anyhow::Result<()> {
        let mut out = std::io::stderr().lock();
        for (name, text) in self.logs()? {
            writeln!(out, "--- the end of {name}")?;
            let lines: Vec<&str> = text.lines().collect();
            for line in lines.iter().skip(lines.len().saturating_sub(LOG_LINES)) {
                writeln!(out, "{}", shortened(line))?;
            }
        }
        Ok(())
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        if !self.is_finished {
            // There is nobody to tell that nothing can be told.
            self.show_logs().ok();
        }
    }
}

/// A line of JSON as a person reads it.
fn shortened(line: &str) -> String {
    let Ok(Value::Object(mut fields)) = serde_json::from_str(line) else {
        return line.to_owned();
    };
    let mut text = String::new();
    for name in ["timestamp", "level", "message"] {
        let value = fields.remove(name).unwrap_or_default();
        let _infallible = write!(text, "{} ", value.as_str().unwrap_or_default());
    }
    text + &Value::Object(fields).to_string()
}

fn config(base: &MeshBase, extra: &str, folder: &Path, [admin, callback]: [u16; 2]) -> String {
    let (nats_url, prefix) = (&base.address.bus.url, base.prefix());
    let postgres_url = base.address.postgres_url.expose_secret();
    let folder = folder.display();
    let streams = &base.address.bus.streams;
    let commands_max_bytes = streams.mail_send_max_bytes.max(64 * MIB);
    let raw_max_bytes = streams.raw_max_bytes.max(128 * MIB);
    format!(
        r#"
[telemetry]
format = "json"
[nats]
url = "{nats_url}"
prefix = "{prefix}"
[nats.streams]
# What an earlier release stored may be of any age.
events_max_age_seconds = 0
raw_max_age_seconds = 0
events_max_bytes = 67108864
mail_send_max_bytes = {commands_max_bytes}
raw_max_bytes = {raw_max_bytes}
dead_letters_max_bytes = 16777216
[postgres]
url = "{postgres_url}"
max_connections = 4
[keys]
opening_key_file = "{folder}/opening.key"
sealing_key_file = "{folder}/sealing.key"
[public]
url = "http://localhost:{callback}"
[admin]
listen = "127.0.0.1:{admin}"
first_key_file = "{folder}/first.key"
[auth_callback]
listen = "127.0.0.1:{callback}"
{extra}
"#
    )
}

/// Fails with the line when a log holds an error.
pub(crate) fn check_no_errors(logs: &[(String, String)]) -> anyhow::Result<()> {
    for (name, text) in logs {
        let is_error =
            |line: &&str| line.contains(r#""level":"ERROR""#) || line.contains("panicked at");
        if let Some(line) = text.lines().find(is_error) {
            bail!("{name} holds an error: {}", shortened(line));
        }
    }
    Ok(())
}

/// Fails with the line when one names an account by its id alone, which no operator knows, or repeats what its span says.
pub(crate) fn check_account_keys(logs: &[(String, String)]) -> anyhow::Result<()> {
    for (name, text) in logs {
        for line in text.lines() {
            let Ok(Value::Object(fields)) = serde_json::from_str(line) else {
                continue;
            };
            let span = fields.get("span").and_then(Value::as_object);
            let of_span = |field: &str| span.is_some_and(|span| span.contains_key(field));
            let of_line = |field: &str| fields.contains_key(field);
            let has = |field: &str| of_line(field) || of_span(field);
            let is_alone = has("account.id") && !has("account.key");
            let is_repeated = of_line("account.id") && of_span("account.id");
            if is_alone || is_repeated {
                bail!("{name} names an account without its key, or twice: {line}");
            }
        }
    }
    Ok(())
}
