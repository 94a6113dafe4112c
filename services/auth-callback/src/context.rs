use mailmesh_accounts::Replica;
use mailmesh_domain::NetworkSettings;
use mailmesh_oauth::{ForwardProxy, Providers, PublicSettings};
use mailmesh_secrets::OpeningKeys;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::cookie::Jar;
use crate::metric::Metrics;

/// Each may wait for a provider and a mail server.
const MOST_REQUESTS: usize = 128;

/// What all requests share.
#[derive(Debug)]
pub(crate) struct ServiceContext {
    pub(crate) replica: Replica,
    pub(crate) keys: OpeningKeys,
    pub(crate) providers: Providers,
    pub(crate) public: PublicSettings,
    pub(crate) jar: Jar,
    pub(crate) metrics: Metrics,
    /// Sign-ins that are being ended, whether or not somebody still waits for the page.
    pub(crate) endings: TaskTracker,
    pub(crate) room: Semaphore,
}

impl ServiceContext {
    pub(crate) fn new(
        replica: Replica,
        keys: OpeningKeys,
        public: PublicSettings,
        proxy: Option<ForwardProxy>,
        network: &NetworkSettings,
    ) -> Self {
        Self {
            providers: Providers::new(public.redirect_uri())
                .through(proxy)
                .allowing(network),
            jar: Jar {
                is_secure: public.url.scheme() == "https",
            },
            metrics: Metrics::new(),
            endings: TaskTracker::new(),
            room: Semaphore::new(MOST_REQUESTS),
            replica,
            keys,
            public,
        }
    }
}
