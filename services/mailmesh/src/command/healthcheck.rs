use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use mailmesh_runtime::RuntimeSettings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::ConfigArguments;
use crate::config::loader;
use crate::console::block_on;

const LIMIT: Duration = Duration::from_secs(4);

/// Whom to ask.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The address of the process's health server; by default the one that the configuration names.
    #[arg(long)]
    address: Option<SocketAddr>,
}

pub(crate) fn run(config: &ConfigArguments, arguments: &Arguments) -> ExitCode {
    let loader = loader(config);
    let address = arguments.address;
    block_on(async move {
        let settings: RuntimeSettings = loader.load()?;
        let mut address = address.unwrap_or(settings.ops.listen);
        if address.ip().is_unspecified() {
            address.set_ip([127, 0, 0, 1].into());
        }
        tokio::time::timeout(LIMIT, ask(address))
            .await
            .context("no answer in time")?
    })
}

async fn ask(address: SocketAddr) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("nobody listens on {address}"))?;
    let request = format!("GET /ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(64 * 1024).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    ensure!(answer.starts_with("HTTP/1.1 200"), "not ready: {body}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn answered(answer: &'static str) -> anyhow::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let serving = async {
            let (mut socket, _) = listener.accept().await?;
            let mut request = [0; 1_024];
            let read = socket.read(&mut request).await?;
            assert!(request[..read].starts_with(b"GET /ready HTTP/1.1\r\n"));
            socket.write_all(answer.as_bytes()).await
        };
        let (asked, served) = tokio::join!(ask(address), serving);
        served?;
        asked
    }

    #[tokio::test]
    async fn only_a_ready_process_is_healthy() {
        answered("HTTP/1.1 200 OK\r\n\r\n{\"ready\":true}")
            .await
            .unwrap();

        let failing = "HTTP/1.1 503 Service Unavailable\r\n\r\n{\"failing\":{\"nats\":\"away\"}}";
        let error = answered(failing).await.unwrap_err().to_string();
        assert!(error.contains("away"), "{error}");

        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = nobody.local_addr().unwrap();
        drop(nobody);
        assert!(ask(address).await.is_err());
    }
}
