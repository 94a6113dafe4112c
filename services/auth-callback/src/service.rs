use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use mailmesh_accounts::{Connections, Membership, Replica};
use mailmesh_domain::Clock;
use mailmesh_oauth::PublicSettings;
use mailmesh_runtime::{ConfigError, Lifecycle, ServeLimits, serve};
use mailmesh_secrets::OpeningKeys;
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::config::Config;
use crate::context::ServiceContext;
use crate::routes::app;

const NAME: &str = "auth-callback";
/// After which silence a connection is closed; longer than a request may take.
const LONGEST_SILENCE: Duration = Duration::from_secs(75);
const MOST_CONNECTIONS: usize = 1_024;
/// More than requests are worked on at once: a proxy may stand before us, and is the peer of all browsers then.
const MOST_CONNECTIONS_PER_PEER: usize = 256;
/// How long open requests may go on once the process stops; sign-ins that are being ended go on.
const GRACE: Duration = Duration::from_secs(5);
/// How long the page of such a sign-in may take to the browser.
const DELIVERY: Duration = Duration::from_millis(500);

/// One replica of the service that browsers reach.
#[derive(Debug)]
pub struct Service {
    app: Arc<ServiceContext>,
    membership: Membership,
    listener: TcpListener,
    address: SocketAddr,
}

/// Codes and cookies would travel in clear.
#[derive(Debug, thiserror::Error)]
#[error("must be an https URL; http is accepted for this machine only")]
struct NotProtected;

impl Service {
    /// Opens the listener and announces the replica.
    ///
    /// # Errors
    /// When the public URL is not protected, the address is taken or the database fails.
    pub async fn build(
        config: Config,
        public: PublicSettings,
        keys: OpeningKeys,
        connections: &Connections,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        if !mailmesh_oauth::is_protected(&public.url) {
            return Err(ConfigError::invalid("public.url", NotProtected).into());
        }
        let listener =
            mailmesh_runtime::listen(config.listen, "sign-ins", "auth_callback.listen").await?;
        let address = listener.local_addr().context("cannot read the address")?;
        let (replica, membership) = Replica::join(NAME, connections, clock)
            .await
            .context("cannot announce the auth callback")?;
        Ok(Self {
            app: Arc::new(ServiceContext::new(
                replica,
                keys,
                public,
                config.proxy_url,
                &connections.network,
            )),
            membership,
            listener,
            address,
        })
    }

    /// Returns where browsers are answered.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers browsers until the process stops; then brings sign-ins that are under way to their end.
    pub fn start(self, lifecycle: &Lifecycle) {
        let work = lifecycle.child("work");
        // The membership relays the outbox, to which sign-ins add until their end.
        let members = lifecycle.child_after("mesh", &work);
        work.spawn(
            "serve",
            serve_until(self.app, self.listener, work.stop_token()),
        );
        let health = self.membership.health();
        let ready = move || std::future::ready(health.check().map_err(Into::into));
        lifecycle.checks().register(NAME, ready);
        members.spawn("membership", self.membership.run(members.stop_token()));
    }
}

async fn serve_until(
    state: Arc<ServiceContext>,
    listener: TcpListener,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let app = app(Arc::clone(&state));
    let limits = ServeLimits {
        connections: MOST_CONNECTIONS,
        connections_per_peer: Some(MOST_CONNECTIONS_PER_PEER),
        idle_timeout: Some(LONGEST_SILENCE),
        ..ServeLimits::default()
    };
    let server = serve(listener, app, limits, stop.clone());
    let cut = async {
        stop.cancelled().await;
        sleep(GRACE).await;
        state.endings.close();
        state.endings.wait().await;
        sleep(DELIVERY).await;
    };
    let end = tokio::select! {
        end = server => end,
        () = cut => {
            warn!("Requests are still open; they are given up");
            Ok(())
        }
    };
    state.endings.close();
    state.endings.wait().await;
    end.context("browsers can no longer be answered")
}
