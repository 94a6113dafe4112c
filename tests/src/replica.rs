use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context;
pub use mailmesh_bus::ServiceUser as Service;
use mailmesh_embedded::{StopSignal, Supervised, free_port};
use mailmesh_secrets::SecretString;
use rustix::process::{Pid, Signal, kill_process};

/// A debug build on a busy machine.
const READY_LIMIT: Duration = Duration::from_secs(40);
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// How a service reaches its servers.
#[derive(Debug, Clone)]
pub struct SignIn {
    pub service: Service,
    /// NATS, with user and password.
    pub nats_url: String,
    /// Where NATS answers this user.
    pub inbox_prefix: String,
    /// Postgres, with role and password.
    pub postgres_url: SecretString,
}

/// Memory of a process, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResidentMemory {
    /// The most since the process began.
    pub peak: u64,
    pub now: u64,
}

/// A process of the binary that runs one service; killed when dropped.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) service: Service,
    pub(crate) log: PathBuf,
    process: Supervised,
    ops: SocketAddr,
    has_ended: bool,
}

impl Replica {
    /// Starts the process; `config` is the mesh's file, to which its own health port is added.
    pub(crate) async fn start(
        binary: &Path,
        service: Service,
        config: &str,
        stem: &Path,
    ) -> anyhow::Result<Self> {
        let ops = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let file = stem.with_extension("toml");
        let log = stem.with_extension("log");
        std::fs::write(&file, format!("{config}\n[ops]\nlisten = \"{ops}\"\n"))?;
        let arguments: Vec<OsString> = vec![
            service.name().into(),
            "--config".into(),
            file.into_os_string(),
        ];
        let process = Supervised::start(
            service.name(),
            binary,
            arguments,
            &log,
            StopSignal::Terminate,
        )
        .await?;
        Ok(Self {
            service,
            log,
            process,
            ops,
            has_ended: false,
        })
    }

    /// Waits until the service says that it is ready.
    pub(crate) async fn ready(&mut self, http: &reqwest::Client) -> anyhow::Result<()> {
        let url = format!("http://{}/ready", self.ops);
        let is_ready = async || {
            let answer = http.get(&url).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        };
        let ready = self.process.ready(READY_LIMIT, is_ready).await;
        ready.with_context(|| format!("{} is not ready", self.service.name()))
    }

    /// Returns what `/metrics` shows.
    pub(crate) async fn metrics(&self, http: &reqwest::Client) -> anyhow::Result<String> {
        let answer = http
            .get(format!("http://{}/metrics", self.ops))
            .send()
            .await?;
        Ok(answer.error_for_status()?.text().await?)
    }

    pub(crate) async fn kill9(&mut self) {
        self.has_ended = true;
        self.process.kill().await;
    }

    pub(crate) fn memory(&self) -> anyhow::Result<ResidentMemory> {
        let path = format!("/proc/{}/status", self.process.pid());
        let status = std::fs::read_to_string(&path).with_context(|| path.clone())?;
        let bytes_of = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            let kib = line.and_then(|text| text.trim().strip_suffix(" kB")?.parse().ok());
            let kib: u64 = kib.with_context(|| format!("no {field} in {path}"))?;
            anyhow::Ok(kib * 1024)
        };
        Ok(ResidentMemory {
            peak: bytes_of("VmHWM:")?,
            now: bytes_of("VmRSS:")?,
        })
    }

    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = Pid::from_raw(self.process.pid()).context("no process id")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Asks the process to stop and waits for its exit status.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)
            .with_context(|| format!("{} has ended by itself", self.service.name()))?;
        let status = tokio::time::timeout(STOP_LIMIT, self.process.exited()).await;
        let status = status.with_context(|| format!("{} does not stop", self.service.name()))?;
        self.has_ended = true;
        Ok(status)
    }

    pub(crate) const fn is_running(&self) -> bool {
        !self.has_ended
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if !self.has_ended {
            // Nobody waits for a clean stop of a test that failed; a frozen one would not hear of it.
            self.signal(Signal::KILL).ok();
        }
    }
}
