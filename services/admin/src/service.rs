use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use mailmesh_accounts::{Connections, Membership, Replica};
use mailmesh_domain::Clock;
use mailmesh_oauth::PublicSettings;
use mailmesh_runtime::{Lifecycle, listen, serve};
use mailmesh_secrets::{SealingKey, SecretString};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::state::{App, SharedApp};
use crate::{Config, first_key, routes};

/// How long open requests may go on once the process stops.
const GRACE: Duration = Duration::from_secs(5);

/// The admin service, listening but not yet answering.
#[derive(Debug)]
pub struct Service {
    app: SharedApp,
    listener: TcpListener,
    address: SocketAddr,
    first_key: Option<SecretString>,
    membership: Membership,
}

impl Service {
    /// Opens the listener, joins the mesh, and makes the first administrator's key where there is none.
    ///
    /// # Errors
    /// When the address is taken, the database fails or the key's file cannot be written.
    pub async fn build(
        config: Config,
        public: PublicSettings,
        key: SealingKey,
        connections: &Connections,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let listener = listen(config.listen, "the admin API", "admin.listen").await?;
        let address = listener
            .local_addr()
            .context("the admin listener has no address")?;
        let (replica, membership) = Replica::join("admin", connections, clock)
            .await
            .context("admin cannot join the mesh")?;
        let first_key = first_key::make(&replica, config.first_key_file.as_deref())
            .await
            .context("the first API key cannot be made")?;
        Ok(Self {
            app: App::new(replica, public, key),
            listener,
            address,
            first_key,
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

    /// Serves until `stop`, then finishes what is in hand and publishes what is left in the outbox.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let members = CancellationToken::new();
        let router = routes::router(self.app);
        let (listener, address) = (self.listener, self.address);
        info!(%address, "Serving the admin API");
        let serving = async {
            // Also when serving is dropped or panics, the membership must not run on alone.
            let _ended = members.clone().drop_guard();
            let server = serve(listener, router, None, stop.clone());
            let too_long = async {
                stop.cancelled().await;
                tokio::time::sleep(GRACE).await;
            };
            tokio::select! {
                end = server => end.context("the admin listener failed"),
                () = too_long => {
                    warn!("Requests are still open, giving them up");
                    Ok(())
                }
            }
        };
        let (end, ()) = tokio::join!(serving, self.membership.run(members.clone()));
        end
    }
}
