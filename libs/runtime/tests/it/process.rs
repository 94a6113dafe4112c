use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStderr, Command};

use crate::ops::get;

/// The example service as a process of its own.
struct Ticker {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    seen: String,
}

impl Ticker {
    fn start(variables: &[(&str, &str)]) -> Result<Self> {
        let mut command = Command::new(program()?);
        command
            .env("MAILMESH_OPS__LISTEN", "127.0.0.1:0")
            .envs(variables.iter().copied())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().context("cannot start the example")?;
        let stderr = child.stderr.take().context("stderr")?;
        Ok(Self {
            child,
            lines: BufReader::new(stderr).lines(),
            seen: String::new(),
        })
    }

    /// Reads its log up to a line with this text, if it was not there before.
    async fn until(&mut self, text: &str) -> Result<String> {
        if let Some(line) = self.seen.lines().find(|line| line.contains(text)) {
            return Ok(line.to_owned());
        }
        let reading = async {
            while let Some(line) = self.lines.next_line().await? {
                self.seen.push_str(&line);
                self.seen.push('\n');
                if line.contains(text) {
                    return Ok(line);
                }
            }
            anyhow::bail!("its log ended without {text:?}:\n{}", self.seen)
        };
        tokio::time::timeout(Duration::from_secs(20), reading).await?
    }

    async fn address(&mut self) -> Result<SocketAddr> {
        let line = self.until("ops.address=").await?;
        let address = line.rsplit("ops.address=").next().context("address")?;
        Ok(address.trim().parse()?)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.child.id().context("it has ended")?;
        let pid = Pid::from_raw(i32::try_from(pid)?).context("pid")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Its exit code and all that it logged.
    async fn end(mut self) -> Result<(i32, String)> {
        let ending = async {
            while let Some(line) = self.lines.next_line().await? {
                self.seen.push_str(&line);
                self.seen.push('\n');
            }
            let status = self.child.wait().await?;
            Ok((status.code().context("killed")?, self.seen))
        };
        tokio::time::timeout(Duration::from_secs(20), ending).await?
    }
}

/// Cargo builds the examples of a crate before its tests.
fn program() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let profile = test
        .parent()
        .and_then(|deps| deps.parent())
        .context("target folder")?;
    Ok(profile.join("examples/ticker"))
}

#[tokio::test]
async fn terminated_process_exits_with_0_after_its_tasks() -> Result<()> {
    let mut ticker = Ticker::start(&[])?;
    let address = ticker.address().await?;
    ticker.until("Started").await?;

    assert_eq!(get(address, "/ready").await?.0, 200);
    let (_, metrics) = get(address, "/metrics").await?;
    assert!(metrics.contains("\nmailmesh_ticks_total "), "{metrics}");
    ticker.signal(Signal::TERM)?;

    let (code, log) = ticker.end().await?;
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("SIGTERM"), "{log}");
    Ok(())
}

#[tokio::test]
async fn panic_of_a_task_ends_the_process_with_1_and_the_reason() -> Result<()> {
    let (code, log) = Ticker::start(&[("MAILMESH_TICKER__FAULT", "panic")])?
        .end()
        .await?;

    assert_eq!(code, 1, "{log}");
    assert!(
        log.contains("task ticker/tick panicked: the spring broke"),
        "{log}"
    );
    Ok(())
}

#[tokio::test]
async fn task_that_ends_by_itself_ends_the_process_with_1() -> Result<()> {
    let (code, log) = Ticker::start(&[("MAILMESH_TICKER__FAULT", "end")])?
        .end()
        .await?;

    assert_eq!(code, 1, "{log}");
    assert!(log.contains("task ticker/tick ended by itself"), "{log}");
    Ok(())
}

#[tokio::test]
async fn busy_task_is_given_up_after_the_grace_and_named() -> Result<()> {
    let mut ticker = Ticker::start(&[("MAILMESH_TICKER__FAULT", "busy")])?;
    ticker.until("Started").await?;
    ticker.signal(Signal::INT)?;

    let (code, log) = ticker.end().await?;

    assert_eq!(code, 1, "{log}");
    assert!(
        log.contains("giving them up") && log.contains("ticker/tick"),
        "{log}"
    );
    Ok(())
}

#[tokio::test]
async fn bad_configuration_ends_with_64_before_any_socket_opens() -> Result<()> {
    for (variable, value, expected) in [
        (
            "MAILMESH_TICKER__FALT",
            "none",
            "did you mean ticker.fault?",
        ),
        (
            "MAILMESH_TICKER__FAULT",
            "maybe",
            "expected one of none, panic",
        ),
        (
            "MAILMESH_TICKER__FAULT",
            "range",
            "ticker.fault does not fit",
        ),
        ("MAILMESH_TELEMETRY__LEVEL", "=x=", "telemetry.level"),
        (
            "MAILMESH_OPS__LISTEN",
            "somewhere",
            "ops.listen in variable MAILMESH_OPS__LISTEN",
        ),
    ] {
        let (code, log) = Ticker::start(&[(variable, value)])?.end().await?;

        assert_eq!(code, 64, "{log}");
        assert!(log.contains(expected), "{log}");
        assert!(!log.contains("ops.address"), "{log}");
    }
    Ok(())
}

#[tokio::test]
async fn failed_start_is_no_success() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0").await?;
    let address = taken.local_addr()?.to_string();

    let (code, log) = Ticker::start(&[("MAILMESH_TICKER__FAULT", "start")])?
        .end()
        .await?;
    assert_eq!(code, 1, "{log}");
    assert!(log.contains("was told not to start"), "{log}");

    let (code, log) = Ticker::start(&[("MAILMESH_OPS__LISTEN", &address)])?
        .end()
        .await?;
    assert_eq!(code, 69, "{log}");
    assert!(
        log.contains(&address) && log.contains("MAILMESH_OPS__LISTEN"),
        "{log}"
    );
    Ok(())
}

#[tokio::test]
async fn spans_are_sent_to_the_collector_before_the_process_ends() -> Result<()> {
    let collector = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", collector.local_addr()?);
    let mut ticker = Ticker::start(&[("MAILMESH_TELEMETRY__OTLP_ENDPOINT", &endpoint)])?;
    ticker.until("Started").await?;
    ticker.signal(Signal::TERM)?;

    let received = async {
        let (mut stream, _) = collector.accept().await?;
        let mut bytes = Vec::new();
        let mut part = [0; 4096];
        while !bytes.windows(4).any(|four| four == b"tick") {
            let length = stream.read(&mut part).await?;
            anyhow::ensure!(length > 0, "closed too early");
            bytes.extend_from_slice(&part[..length]);
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text: String = tokio::time::timeout(Duration::from_secs(20), received).await??;

    assert!(text.starts_with("POST /v1/traces HTTP/1.1"), "{text}");
    let (code, log) = ticker.end().await?;
    assert_eq!(code, 0, "{log}");
    Ok(())
}
