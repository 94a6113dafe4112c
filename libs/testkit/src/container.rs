use std::time::Duration;

use mailmesh_embedded::Supervised;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

#[cfg(feature = "containers")]
mod start;

const ENGINE_SOCKET: &str = "/var/run/docker.sock";

/// What to run in a container.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(
    not(feature = "containers"),
    expect(dead_code, reason = "nothing starts")
)]
pub(crate) struct ContainerSpec {
    pub(crate) image: &'static str,
    pub(crate) tag: &'static str,
    pub(crate) ports: &'static [u16],
    pub(crate) environment: &'static [(&'static str, &'static str)],
    /// Files in it: where, and what is in them.
    pub(crate) files: &'static [(&'static str, &'static str)],
    pub(crate) command: &'static [&'static str],
}

/// A container that is removed when this process ends.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) host: String,
    /// As published, in the order of the specification.
    pub(crate) ports: Vec<u16>,
    _tidy: Supervised,
}

#[cfg(not(feature = "containers"))]
impl ContainerSpec {
    #[expect(clippy::unused_async, reason = "the twin in `start` waits")]
    pub(crate) async fn start(self) -> anyhow::Result<Container> {
        let Self { image, tag, .. } = self;
        anyhow::bail!("cannot run {image}:{tag}: built without the feature `containers`")
    }
}

/// Returns whether a Docker engine answers; one named by `DOCKER_HOST` is taken at its word.
pub(crate) async fn is_engine_there() -> bool {
    if cfg!(not(feature = "containers")) {
        return false;
    }
    if std::env::var_os("DOCKER_HOST").is_some_and(|host| !host.is_empty()) {
        return true;
    }
    let ping = async {
        let mut stream = UnixStream::connect(ENGINE_SOCKET).await?;
        stream
            .write_all(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            .await?;
        let mut reply = Vec::new();
        stream.take(4096).read_to_end(&mut reply).await?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&reply).contains(" 200 "))
    };
    matches!(
        tokio::time::timeout(Duration::from_secs(3), ping).await,
        Ok(Ok(true))
    )
}
