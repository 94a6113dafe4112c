use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mailmesh_embedded::{StopSignal, Supervised, free_port};
use serde_json::Value;

use crate::command::{base, binary};

/// A `mailmesh up`, stopped by Ctrl-C.
#[derive(Debug)]
pub(crate) struct Up {
    process: Supervised,
    log: PathBuf,
    from: usize,
    ports: Ports,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) admin: u16,
    pub(crate) callback: u16,
}

impl Ports {
    pub(crate) fn free() -> Self {
        Self {
            admin: free_port(),
            callback: free_port(),
        }
    }

    /// Returns the variables that set them.
    pub(crate) fn settings(self) -> [(&'static str, String); 3] {
        [
            ("MAILMESH_ADMIN__LISTEN", self.admin),
            ("MAILMESH_AUTH_CALLBACK__LISTEN", self.callback),
            ("MAILMESH_OPS__LISTEN", 0),
        ]
        .map(|(name, port)| (name, format!("127.0.0.1:{port}")))
    }
}

impl Up {
    pub(crate) async fn start(data: &Path, log: &Path, ports: Ports) -> Self {
        Self::start_with(data, log, ports, &[]).await
    }

    /// With further arguments.
    pub(crate) async fn start_with(data: &Path, log: &Path, ports: Ports, more: &[&OsStr]) -> Self {
        let variables = ports.settings();
        let variables = variables.map(|(name, value)| format!("{name}={value}"));
        let base = base()
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"));
        // The supervisor clears the environment.
        let mut arguments: Vec<OsString> = base.chain(variables).map(OsString::from).collect();
        arguments.extend([binary().into(), "up".into(), "--data".into(), data.into()]);
        arguments.extend(more.iter().map(OsString::from));
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

    pub(crate) fn said(&self) -> String {
        said(&self.log, self.from)
    }

    pub(crate) fn line(&self, start: &str) -> String {
        let said = self.said();
        let found = said.lines().find_map(|line| line.strip_prefix(start));
        found
            .unwrap_or_else(|| panic!("{start} in {said}"))
            .trim()
            .to_owned()
    }

    pub(crate) async fn interrupt(self) -> Option<i32> {
        let pid = rustix::process::Pid::from_raw(self.process.pid()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        self.ended().await
    }

    pub(crate) async fn ended(mut self) -> Option<i32> {
        let ended = tokio::time::timeout(Duration::from_secs(40), self.process.exited());
        ended.await.expect("up does not stop").code()
    }

    /// Ends it as a crash would.
    pub(crate) async fn kill9(mut self) {
        self.process.kill().await;
    }

    pub(crate) async fn call(&self, key: &str, path: &str, body: Option<Value>) -> Value {
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

pub(crate) fn said(log: &Path, from: usize) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(text.get(from..).unwrap_or_default()).into_owned()
}
