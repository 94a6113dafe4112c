use mailmesh_accounts::Replica;
use mailmesh_oauth::Providers;
use mailmesh_secrets::OpeningKeys;

use crate::client_limiter::ClientLimiter;
use crate::config::Config;
use crate::metric::Metrics;

/// What all refreshes share.
#[derive(Debug)]
pub(crate) struct ServiceContext {
    pub(crate) config: Config,
    pub(crate) replica: Replica,
    pub(crate) keys: OpeningKeys,
    pub(crate) providers: Providers,
    pub(crate) clients: ClientLimiter,
    pub(crate) metrics: Metrics,
}
