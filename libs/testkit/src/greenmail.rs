use std::ffi::OsString;
use std::time::Duration;

use anyhow::{Context, bail};
use mailmesh_embedded::{Cache, StopSignal, Supervised, free_port};
use serde::Deserialize;
use serde_json::json;

use crate::container::{Container, ContainerSpec};
use crate::server_kind::{containers_or_processes, with_hint};
use crate::tidy;
use crate::wait::within;

mod fetch;
mod smtp;

pub(crate) use fetch::jar;

const READY_LIMIT: Duration = Duration::from_mins(1);

const CONTAINER: ContainerSpec = ContainerSpec {
    image: "greenmail/standalone",
    tag: "2.1.8",
    ports: &[3025, 3465, 3110, 3995, 3143, 3993, 8080],
    // The image's own default accepts any password.
    environment: &[(
        "GREENMAIL_OPTS",
        "-Dgreenmail.setup.test.all -Dgreenmail.hostname=0.0.0.0",
    )],
    files: &[],
    command: &[],
};

/// A GreenMail: SMTP, POP3 and IMAP with XOAUTH2, where an account's password is its access token.
#[derive(Debug)]
pub struct GreenMail {
    host: String,
    ports: GreenMailPorts,
    http: reqwest::Client,
    _running: GreenMailGuard,
}

/// Where each protocol listens; those with TLS are self-signed, and none speaks STARTTLS.
#[derive(Debug, Clone, Copy)]
pub struct GreenMailPorts {
    /// SMTP without TLS.
    pub smtp: u16,
    /// SMTP with TLS.
    pub smtps: u16,
    /// POP3 without TLS.
    pub pop3: u16,
    /// POP3 with TLS.
    pub pop3s: u16,
    /// IMAP without TLS.
    pub imap: u16,
    /// IMAP with TLS.
    pub imaps: u16,
    /// The HTTP API.
    pub api: u16,
}

/// A mail as GreenMail keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StoredMail {
    pub uid: String,
    /// Its Message-ID.
    #[serde(rename = "Message-ID")]
    pub message_id: Option<String>,
    pub subject: Option<String>,
    /// The whole mail, with the headers that the server added.
    #[serde(rename = "mimeMessage")]
    pub raw: String,
}

#[derive(Debug)]
#[expect(dead_code, reason = "held for what their drop does")]
enum GreenMailGuard {
    Process(Supervised, Supervised),
    Container(Container),
}

impl GreenMail {
    /// Starts a GreenMail of its own; [`crate::TestServers::greenmail`] shares one.
    ///
    /// # Errors
    ///
    /// Fails with what to install when there is neither an engine nor Java and Maven or pip.
    pub async fn start() -> anyhow::Result<Self> {
        let (greenmail, _kind) =
            containers_or_processes(Self::in_container, Self::as_process).await?;
        Ok(greenmail)
    }

    async fn in_container() -> anyhow::Result<Self> {
        let container = CONTAINER.start().await?;
        let ports = GreenMailPorts::from_list(&container.ports)?;
        let http = client()?;
        is_ready(&http, &container.host, ports.api).await?;
        Ok(Self {
            host: container.host.clone(),
            ports,
            http,
            _running: GreenMailGuard::Container(container),
        })
    }

    async fn as_process() -> anyhow::Result<Self> {
        let cache = Cache::of_user();
        let (java, jar) = (fetch::java(&cache).await?, fetch::jar(&cache).await?);
        let ports = GreenMailPorts::from_list(&std::array::from_fn::<u16, 7, _>(|_| free_port()))?;
        let folder = tidy::process_folder()?.join(format!("greenmail-{}", ports.api));
        std::fs::create_dir_all(&folder)?;
        let mut arguments: Vec<OsString> =
            ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
                .iter()
                .map(OsString::from)
                .collect();
        arguments.extend(ports.properties().into_iter().map(OsString::from));
        arguments.extend([OsString::from("-jar"), jar.into_os_string()]);
        let log = folder.join("greenmail.log");
        let mut process =
            Supervised::start("GreenMail", &java, arguments, &log, StopSignal::Terminate)
                .await
                .map_err(with_hint)?;
        let tidy = tidy::remove_folder_at_end(&folder, &[process.pid()]).await?;
        let http = client()?;
        let host = "127.0.0.1".to_owned();
        tokio::select! {
            ready = is_ready(&http, &host, ports.api) => ready?,
            status = process.exited() => {
                let log = std::fs::read_to_string(&log).unwrap_or_default();
                bail!("GreenMail ended with {status}: {log}");
            }
        }
        Ok(Self {
            host,
            ports,
            http,
            _running: GreenMailGuard::Process(process, tidy),
        })
    }

    /// Returns the address to connect to.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the ports.
    pub fn ports(&self) -> GreenMailPorts {
        self.ports
    }

    /// Creates an account; the password is also the access token that XOAUTH2 accepts.
    ///
    /// # Errors
    ///
    /// Fails when GreenMail refuses it.
    pub async fn create_user(&self, email: &str, password: &str) -> anyhow::Result<()> {
        let body = json!({ "email": email, "login": email, "password": password });
        let request = self
            .http
            .post(self.url("user"))
            .header("content-type", "application/json")
            .body(body.to_string());
        self.send(request, "create a user").await?;
        Ok(())
    }

    /// Deletes an account with its mailbox. One that is made again within the same second has the
    /// same UIDVALIDITY.
    ///
    /// # Errors
    ///
    /// Fails when there is none.
    pub async fn delete_user(&self, email: &str) -> anyhow::Result<()> {
        self.send(
            self.http.delete(self.url(&format!("user/{email}"))),
            "delete a user",
        )
        .await?;
        Ok(())
    }

    /// Returns the mails in the account's inbox.
    ///
    /// # Errors
    ///
    /// Fails when there is no such account.
    pub async fn mails(&self, email: &str) -> anyhow::Result<Vec<StoredMail>> {
        let request = self.http.get(self.url(&format!("user/{email}/messages/")));
        let body = self.send(request, "list mails").await?;
        serde_json::from_str(&body).with_context(|| format!("GreenMail listed mails as {body}"))
    }

    /// Delivers a mail over SMTP, as the internet would.
    ///
    /// # Errors
    ///
    /// Fails on any other answer than the expected.
    pub async fn deliver(&self, from: &str, to: &str, mail: &str) -> anyhow::Result<()> {
        smtp::deliver((&self.host, self.ports.smtp), from, to, mail).await
    }

    /// Removes all accounts and mails, which other tests may be using.
    ///
    /// # Errors
    ///
    /// Fails when GreenMail does not answer.
    pub async fn reset(&self) -> anyhow::Result<()> {
        self.send(self.http.post(self.url("service/reset")), "reset")
            .await?;
        Ok(())
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}:{}/api/{path}", self.host, self.ports.api)
    }

    async fn send(&self, request: reqwest::RequestBuilder, what: &str) -> anyhow::Result<String> {
        let response = request
            .send()
            .await
            .with_context(|| format!("GreenMail does not answer to {what}"))?;
        let status = response.status();
        let body = response.text().await?;
        if status.is_success() {
            return Ok(body);
        }
        bail!("GreenMail refuses to {what}: {status} {body}")
    }
}

impl GreenMailPorts {
    fn from_list(ports: &[u16]) -> anyhow::Result<Self> {
        let [smtp, smtps, pop3, pop3s, imap, imaps, api] = *ports else {
            bail!("GreenMail has seven ports, not {}", ports.len());
        };
        Ok(Self {
            smtp,
            smtps,
            pop3,
            pop3s,
            imap,
            imaps,
            api,
        })
    }

    fn properties(self) -> Vec<String> {
        let ports = [
            ("smtp", self.smtp),
            ("smtps", self.smtps),
            ("pop3", self.pop3),
            ("pop3s", self.pop3s),
            ("imap", self.imap),
            ("imaps", self.imaps),
            ("api", self.api),
        ];
        let mut properties = vec![
            "-Dgreenmail.hostname=127.0.0.1".to_owned(),
            "-Dgreenmail.api.hostname=127.0.0.1".to_owned(),
        ];
        properties.extend(
            ports
                .iter()
                .map(|(protocol, port)| format!("-Dgreenmail.{protocol}.port={port}")),
        );
        properties
    }
}

fn client() -> anyhow::Result<reqwest::Client> {
    // Connections are not kept: each test has a runtime of its own, and they end with it.
    let builder = reqwest::Client::builder()
        .timeout(Duration::from_secs(20))
        .pool_max_idle_per_host(0)
        .no_proxy();
    Ok(builder.build()?)
}

async fn is_ready(http: &reqwest::Client, host: &str, port: u16) -> anyhow::Result<()> {
    let url = format!("http://{host}:{port}/api/service/readiness");
    within(READY_LIMIT, "GreenMail is ready", async || {
        let response = http.get(&url).send().await?;
        response.error_for_status().map(drop)
    })
    .await
}
