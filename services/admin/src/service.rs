use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use mailmesh_accounts::{Connections, Membership, Replica};
use mailmesh_domain::Clock;
use mailmesh_oauth::PublicSettings;
use mailmesh_runtime::{Lifecycle, ServeLimits, listen, serve};
use mailmesh_secrets::{SealingKey, SecretString};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::context::{ServiceContext, SharedContext};
use crate::{Config, made_key, routes};

/// How long open requests may go on once the process stops.
const GRACE: Duration = Duration::from_secs(5);

/// The admin service, listening but not yet answering.
#[derive(Debug)]
pub struct Service {
    app: SharedContext,
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
        let first_key = made_key::make_first(&replica, config.first_key_file.as_deref())
            .await
            .context("the first API key cannot be made")?;
        Ok(Self {
            app: ServiceContext::new(replica, public, key, connections.network.clone()),
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

    /// Returns the first administrator's key, if it was made just now and no file is set for it. It cannot be had again.
    pub fn first_key(&self) -> Option<SecretString> {
        self.first_key.clone()
    }

    /// Serves until the process stops, then finishes what is in hand and publishes what is left in the outbox.
    pub fn start(self, lifecycle: &Lifecycle) {
        let work = lifecycle.child("work");
        let members = lifecycle.child_after("mesh", &work);
        let router = routes::router(self.app);
        work.spawn(
            "serve",
            serve_until(self.listener, router, work.stop_token()),
        );
        let health = self.membership.health();
        let ready = move || std::future::ready(health.check().map_err(Into::into));
        lifecycle.checks().register("admin", ready);
        members.spawn("membership", self.membership.run(members.stop_token()));
        info!(address = %self.address, "Serving the admin API");
    }
}

async fn serve_until(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let server = serve(listener, router, ServeLimits::default(), stop.clone());
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
}
