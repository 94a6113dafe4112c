use std::time::Duration;

use anyhow::Context;
use mailmesh_embedded::Supervised;
use testcontainers::bollard::models::{HostConfig, PortBinding};
use testcontainers::core::{ContainerPort, IntoContainerPort};
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, ImageExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::tidy;

/// Downloading an image is part of it.
const START_LIMIT: Duration = Duration::from_mins(5);
const ENGINE_SOCKET: &str = "/var/run/docker.sock";

/// What to run in a container.
#[derive(Debug, Clone, Copy)]
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

impl ContainerSpec {
    /// Starts the container; whether the server in it answers is for the caller to see.
    pub(crate) async fn start(self) -> anyhow::Result<Container> {
        let Self {
            image,
            tag,
            ports,
            environment,
            files,
            command,
        } = self;
        let what = || format!("cannot run {image}:{tag} in a container");
        let mut generic = GenericImage::new(image, tag);
        for port in ports {
            generic = generic.with_exposed_port(port.tcp());
        }
        let mut request = generic
            .with_startup_timeout(START_LIMIT)
            .with_label("mailmesh.test.pid", std::process::id().to_string());
        let is_here = is_engine_here().await;
        if is_here {
            request = request.with_host_config_modifier(|host| on_loopback(host, ports));
        }
        for (name, value) in environment {
            request = request.with_env_var(*name, *value);
        }
        for (path, text) in files {
            request = request.with_copy_to(*path, text.as_bytes().to_vec());
        }
        if !command.is_empty() {
            request = request.with_cmd(command.iter().copied());
        }
        let container = request.start().await.with_context(what)?;
        let tidy = tidy::remove_container_at_end(container.id()).await?;
        let (host, ports) = published(&container, ports, is_here)
            .await
            .with_context(what)?;
        // Dropping would remove it at the end of the test that happened to come first.
        std::mem::forget(container);
        Ok(Container {
            host,
            ports,
            _tidy: tidy,
        })
    }
}

/// Publishes the ports to this machine alone: the servers' passwords are no secrets.
fn on_loopback(host: &mut HostConfig, ports: &[u16]) {
    let binding = || PortBinding {
        host_ip: Some("127.0.0.1".to_owned()),
        host_port: Some(String::new()),
    };
    let bindings = ports
        .iter()
        .map(|port| (format!("{port}/tcp"), Some(vec![binding()])));
    host.port_bindings = Some(bindings.collect());
    host.publish_all_ports = Some(false);
}

/// Returns whether this machine's loopback is the engine's too.
async fn is_engine_here() -> bool {
    let host = std::env::var_os("DOCKER_HOST").unwrap_or_default();
    let socket = match host.to_str() {
        Some("") => Some(ENGINE_SOCKET),
        named => named.and_then(|host| host.strip_prefix("unix://")),
    };
    let Some(socket) = socket else { return false };
    // A container that was handed its host's socket cannot see the engine's process: its id is 0 there.
    UnixStream::connect(socket)
        .await
        .and_then(|stream| stream.peer_cred())
        .is_ok_and(|peer| peer.pid().is_some_and(|pid| pid != 0))
}

async fn published(
    container: &ContainerAsync<GenericImage>,
    ports: &[u16],
    is_here: bool,
) -> anyhow::Result<(String, Vec<u16>)> {
    // In a container that runs an engine of its own, testcontainers would name the bridge's gateway.
    let host = if is_here {
        "127.0.0.1".to_owned()
    } else {
        container.get_host().await?.to_string()
    };
    let mut published = Vec::new();
    for port in ports {
        published.push(
            container
                .get_host_port_ipv4(ContainerPort::Tcp(*port))
                .await?,
        );
    }
    Ok((host, published))
}

/// Returns whether a Docker engine answers; one named by `DOCKER_HOST` is taken at its word.
pub(crate) async fn is_engine_there() -> bool {
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
