//! Kept SMTP connections that send one mail after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;

use super::tls::connect;
use crate::mail;

/// Sends `count` mails over `connections` connections and returns how long it took.
pub(crate) async fn send(
    port: u16,
    ca_pem: &str,
    from: &str,
    count: usize,
    bytes: usize,
    connections: usize,
) -> anyhow::Result<Duration> {
    let mut clients = Vec::with_capacity(connections);
    for _ in 0..connections {
        clients.push(Client::sign_in(port, ca_pem, from).await?);
    }
    let next = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for mut client in clients {
        let (next, from) = (Arc::clone(&next), from.to_owned());
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok::<(), anyhow::Error>(());
                }
                let mail = mail::distinct(number, "sink@elsewhere.test", bytes);
                client.send(&from, &mail).await?;
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(started.elapsed())
}

/// One connection, signed in.
pub(crate) struct Client {
    stream: BufReader<TlsStream<TcpStream>>,
}

impl Client {
    pub(crate) async fn sign_in(port: u16, ca_pem: &str, address: &str) -> anyhow::Result<Self> {
        let mut client = Self {
            stream: BufReader::new(connect(port, ca_pem).await?),
        };
        client.reply("220").await?;
        client.command("EHLO bench.test\r\n", "250").await?;
        let plain = STANDARD.encode(format!("\0{address}\0password"));
        client
            .command(&format!("AUTH PLAIN {plain}\r\n"), "235")
            .await?;
        Ok(client)
    }

    /// Sends one mail and waits for the final reply.
    pub(crate) async fn send(&mut self, from: &str, mail: &[u8]) -> anyhow::Result<()> {
        self.send_to(from, "sink@elsewhere.test", mail).await
    }

    pub(crate) async fn send_to(
        &mut self,
        from: &str,
        to: &str,
        mail: &[u8],
    ) -> anyhow::Result<()> {
        let envelope = format!("MAIL FROM:<{from}>\r\nRCPT TO:<{to}>\r\nDATA\r\n");
        self.stream.write_all(envelope.as_bytes()).await?;
        self.stream.flush().await?;
        self.reply("250").await?;
        self.reply("250").await?;
        self.reply("354").await?;
        self.stream.write_all(mail).await?;
        self.command(".\r\n", "250").await
    }

    async fn command(&mut self, command: &str, expected: &str) -> anyhow::Result<()> {
        self.stream.write_all(command.as_bytes()).await?;
        self.stream.flush().await?;
        self.reply(expected).await
    }

    async fn reply(&mut self, expected: &str) -> anyhow::Result<()> {
        let mut line = String::new();
        loop {
            line.clear();
            let read = self.stream.read_line(&mut line).await?;
            ensure!(read > 0, "the server closed the connection");
            ensure!(line.starts_with(expected), "{line}");
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(());
            }
        }
    }
}
