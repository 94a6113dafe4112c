use std::net::SocketAddr;

use anyhow::{Context, Result};
use mailmesh_secrets::{ExposeSecret, SecretString};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Stands before a server, and can stop carrying anything over the connections that are open then, as a network does
/// whose route is gone. They stay open.
pub(crate) struct Proxy {
    /// The server's URL, by way of this.
    pub(crate) url: SecretString,
    silences: watch::Sender<u32>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn before(url: &SecretString) -> Result<Self> {
        let url = url.expose_secret();
        let (before, rest) = url.split_once('@').context("no user")?;
        let (server, path) = rest.split_once('/').context("no database")?;
        let server: SocketAddr = server.replace("localhost", "127.0.0.1").parse()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("{before}@{}/{path}", listener.local_addr()?);
        let (silences, _) = watch::channel(0);
        let mut accepting = JoinSet::new();
        let carried = silences.clone();
        accepting.spawn(async move {
            let mut carrying = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                carrying.spawn(carry(client, server, carried.subscribe()));
            }
        });
        Ok(Self {
            url: url.into(),
            silences,
            _accepting: accepting,
        })
    }

    pub(crate) fn silence(&self) {
        self.silences.send_modify(|count| *count += 1);
    }
}

async fn carry(mut client: TcpStream, server: SocketAddr, mut silenced: watch::Receiver<u32>) {
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = silenced.changed() => {
            let _open = (client, server);
            std::future::pending::<()>().await;
        }
    }
}
