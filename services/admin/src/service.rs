use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use mailmesh_domain::Clock;
use mailmesh_replica::{Connections, Membership, PublicSettings, Replica};
use mailmesh_runtime::{Lifecycle, listen};
use mailmesh_secrets::{SealingKey, SecretString};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::Config;

/// The admin service, listening but not yet answering.
#[derive(Debug)]
pub struct Service {
    listener: TcpListener,
    address: SocketAddr,
    first_key: Option<SecretString>,
    membership: Membership,
}

impl Service {
    /// Opens the listener and joins the mesh.
    pub async fn build(
        config: Config,
        _public: PublicSettings,
        _key: SealingKey,
        connections: &Connections,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let listener = listen(config.listen, "the admin API", "admin.listen").await?;
        let address = listener
            .local_addr()
            .context("the admin listener has no address")?;
        let (_, membership) = Replica::join("admin", connections, clock)
            .await
            .context("admin cannot join the mesh")?;
        Ok(Self {
            listener,
            address,
            first_key: None,
            membership,
        })
    }

    /// Returns where the API answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the first administrator's key, if it was made just now. It cannot be had again.
    pub fn first_key(&self) -> Option<SecretString> {
        self.first_key.clone()
    }

    /// Serves until the process stops.
    pub fn start(self, lifecycle: &Lifecycle) {
        let stop = lifecycle.stop_token();
        lifecycle.spawn("serve", self.run(stop));
    }

    /// Serves until `stop`.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        self.membership.run(stop).await;
        drop(self.listener);
        Ok(())
    }
}
