//! A way to NATS that can swallow what the server says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(crate) struct Proxy {
    url: String,
    is_mute: Arc<AtomicBool>,
    cuts: watch::Sender<u32>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn before(nats_url: &str) -> Result<Self> {
        let server = nats_url.rsplit('/').next().context("an address")?;
        let server = server.rsplit('@').next().context("a host")?.to_owned();
        let user = nats_url
            .rsplit_once('@')
            .map(|(user, _)| format!("{user}@"));
        let user = user.unwrap_or_else(|| "nats://".to_owned());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("{user}{}", listener.local_addr()?);
        let is_mute = Arc::new(AtomicBool::new(false));
        let (cuts, cut) = watch::channel(0);
        let mute = Arc::clone(&is_mute);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&server).await else {
                    continue;
                };
                let mut cut = cut.clone();
                cut.mark_unchanged();
                let mute = Arc::clone(&mute);
                connections.spawn(async move {
                    tokio::select! {
                        _ = cut.changed() => {}
                        _ = forward(client, server, &mute) => {}
                    }
                });
            }
        });
        Ok(Self {
            url,
            is_mute,
            cuts,
            _accepting: accepting,
        })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Swallows the server's answers from now on, or no longer.
    pub(crate) fn mute(&self, is_mute: bool) {
        self.is_mute.store(is_mute, Ordering::SeqCst);
    }

    /// Cuts all connections; new ones are let through.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn forward(
    client: TcpStream,
    server: TcpStream,
    is_mute: &AtomicBool,
) -> std::io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asking = async { copy(&mut from_client, &mut to_server).await.map(drop) };
    let answering = async {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = from_server.read(&mut buffer).await?;
            if count == 0 {
                return Ok(());
            }
            if !is_mute.load(Ordering::SeqCst) {
                let answer = buffer.get(..count).unwrap_or_default();
                to_client.write_all(answer).await?;
            }
        }
    };
    tokio::select! {
        done = asking => done,
        done = answering => done,
    }
}
