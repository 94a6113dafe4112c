use std::time::Duration;

use anyhow::Context;
use testcontainers::bollard::models::{HostConfig, PortBinding};
use testcontainers::core::{ContainerPort, IntoContainerPort};
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, ImageExt};
use tokio::net::UnixStream;

use super::{Container, ContainerSpec, ENGINE_SOCKET};
use crate::tidy;

/// Downloading an image is part of it.
const START_LIMIT: Duration = Duration::from_mins(5);

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
