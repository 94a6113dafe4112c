//! The sandbox provider, in a process of its own so that its memory and time are not ours.

use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, ensure};
use mailmesh_domain::SystemClock;
use mailmesh_sandbox::{Sandbox, Settings};
use mailmesh_testkit::MailHost;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::table::say;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Introduction {
    control: String,
    ca_pem: String,
    imap: u16,
    smtp: u16,
}

/// Serves until standard input ends.
pub(crate) async fn serve(_: Arguments) -> anyhow::Result<()> {
    let settings = Settings {
        access_token_seconds: 24 * 3_600,
        ..Settings::default()
    };
    let sandbox = Sandbox::start(settings, Arc::new(SystemClock)).await?;
    let addresses = sandbox.addresses();
    say(serde_json::to_string(&Introduction {
        control: addresses.control.clone(),
        ca_pem: sandbox.ca_pem().to_owned(),
        imap: addresses.mail.imap_tls.port(),
        smtp: addresses.mail.smtp_tls.port(),
    })?);
    let mut ignored = Vec::new();
    tokio::io::stdin().read_to_end(&mut ignored).await?;
    sandbox.stop().await;
    Ok(())
}

/// The running provider.
#[derive(Debug)]
pub(crate) struct Provider {
    introduction: Introduction,
    http: reqwest::Client,
    // Its standard input is held open; when it closes, the process ends.
    _process: Child,
}

impl Provider {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("provider")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = process.stdout.take().context("no standard output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).await?;
        Ok(Self {
            introduction: serde_json::from_str(&line).context("the provider did not start")?,
            http: reqwest::Client::builder().build()?,
            _process: process,
        })
    }

    pub(crate) fn ca_pem(&self) -> &str {
        &self.introduction.ca_pem
    }

    pub(crate) const fn imap_port(&self) -> u16 {
        self.introduction.imap
    }

    pub(crate) fn mail_host(&self) -> MailHost {
        MailHost {
            imap_port: self.introduction.imap,
            // Nothing is measured over it.
            pop3_port: 0,
            smtp_port: self.introduction.smtp,
            ca_pem: self.introduction.ca_pem.clone(),
        }
    }

    pub(crate) const fn smtp_port(&self) -> u16 {
        self.introduction.smtp
    }

    pub(crate) async fn create_mailbox(&self, address: &str) -> anyhow::Result<()> {
        let body = json!({ "address": address, "password": "password" });
        self.call(Method::POST, "/mailboxes", &body).await?;
        Ok(())
    }

    pub(crate) async fn preload(
        &self,
        address: &str,
        count: usize,
        bytes_each: usize,
    ) -> anyhow::Result<()> {
        let body = json!({ "count": count, "bytes_each": bytes_each });
        let path = format!("/mailboxes/{address}/preload");
        self.call(Method::POST, &path, &body).await?;
        Ok(())
    }

    pub(crate) async fn sink(&self) -> anyhow::Result<()> {
        let body = json!({ "on": true });
        self.call(Method::PUT, "/sink", &body).await?;
        Ok(())
    }

    /// Returns an access token of the mailbox.
    pub(crate) async fn token(&self, address: &str) -> anyhow::Result<String> {
        let body = json!({
            "address": address, "client_id": "bench", "scopes": ["mail"], "offline": true,
        });
        let answer = self.call(Method::POST, "/tokens", &body).await?;
        let token = answer.get("access_token").and_then(Value::as_str);
        Ok(token.context("no access token")?.to_owned())
    }

    /// Returns how many IMAP sessions wait in IDLE.
    pub(crate) async fn idling(&self) -> anyhow::Result<usize> {
        let counters = self.call(Method::GET, "/counters", &Value::Null).await?;
        let idling = counters
            .pointer("/mail/imap_idling")
            .and_then(Value::as_u64);
        Ok(usize::try_from(
            idling.context("no counter of idle sessions")?,
        )?)
    }

    async fn call(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.introduction.control);
        let answer = self.http.request(method, url).json(body).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "{path} answered {status}: {text}");
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }
}
