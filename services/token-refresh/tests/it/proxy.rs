//! A Postgres that fails for some statements only.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use mailmesh_secrets::{ExposeSecret, SecretString};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Stands before Postgres and cuts each connection that sends a forbidden text.
pub(crate) struct Proxy {
    forbidden: Arc<Mutex<Vec<&'static str>>>,
    url: SecretString,
    _accepting: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn before(url: &SecretString) -> Result<Self> {
        let mut own = url::Url::parse(url.expose_secret())?;
        let host = own.host_str().context("no host")?;
        let server = (host.to_owned(), own.port().unwrap_or(5432));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        own.set_host(Some("127.0.0.1"))?;
        own.set_port(Some(listener.local_addr()?.port()))
            .map_err(|()| anyhow::anyhow!("the URL takes no port"))?;
        // What is encrypted cannot be read.
        own.query_pairs_mut().append_pair("sslmode", "disable");
        let forbidden = Arc::<Mutex<Vec<&'static str>>>::default();
        let rules = Arc::clone(&forbidden);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(server.clone()).await else {
                    continue;
                };
                connections.spawn(forward(client, server, Arc::clone(&rules)));
            }
        });
        Ok(Self {
            forbidden,
            url: String::from(own).into(),
            _accepting: accepting,
        })
    }

    pub(crate) const fn url(&self) -> &SecretString {
        &self.url
    }

    /// Forbids these texts from now on, in place of those before.
    pub(crate) fn forbid(&self, texts: &[&'static str]) {
        let mut forbidden = self
            .forbidden
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *forbidden = texts.to_vec();
    }
}

async fn forward(client: TcpStream, server: TcpStream, rules: Arc<Mutex<Vec<&'static str>>>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asking = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            let sent = buffer.get(..count).unwrap_or_default();
            let text = String::from_utf8_lossy(sent);
            let rules = rules.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if rules.iter().any(|rule| text.contains(rule))
                || to_server.write_all(sent).await.is_err()
            {
                return;
            }
        }
    };
    tokio::select! {
        () = asking => {}
        _ = copy(&mut from_server, &mut to_client) => {}
    }
}
