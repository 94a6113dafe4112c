use std::sync::Arc;

use anyhow::Context;
use mailmesh_mail::client_config;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Connects to a port of this machine.
pub(super) async fn connect(port: u16, ca_pem: &str) -> anyhow::Result<TlsStream<TcpStream>> {
    let connector = TlsConnector::from(Arc::clone(&client_config(Some(ca_pem))?));
    let stream = TcpStream::connect(("localhost", port)).await?;
    stream.set_nodelay(true)?;
    let name = "localhost".try_into().context("a server name")?;
    Ok(connector.connect(name, stream).await?)
}
