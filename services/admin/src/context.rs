use std::sync::Arc;

use mailmesh_accounts::Replica;
use mailmesh_domain::NetworkSettings;
use mailmesh_events::{EncodedEvent, Event};
use mailmesh_oauth::PublicSettings;
use mailmesh_secrets::SealingKey;
use mailmesh_store::{Tx, outbox};
use time::OffsetDateTime;
use tokio::sync::Semaphore;

use crate::error::ApiError;
use crate::known_keys::KnownKeys;

/// Attachments that are cut out of their mails at once: each holds a whole mail in memory.
const ATTACHMENTS_CUT_AT_ONCE: usize = 2;
/// Attachments in memory at once, until their readers have taken them.
const ATTACHMENTS_AT_ONCE: usize = 4;
/// Raw mails that are read at once: each reader holds one chunk.
const RAW_READERS_AT_ONCE: usize = 64;

/// What every handler shares.
#[derive(Debug)]
pub(crate) struct ServiceContext {
    pub(crate) replica: Replica,
    pub(crate) public: PublicSettings,
    pub(crate) sealing_key: SealingKey,
    pub(crate) network: NetworkSettings,
    pub(crate) known_keys: KnownKeys,
    pub(crate) attachments: Arc<Semaphore>,
    pub(crate) cutting: Semaphore,
    pub(crate) raw_readers: Arc<Semaphore>,
}

pub(crate) type SharedContext = Arc<ServiceContext>;

impl ServiceContext {
    pub(crate) fn new(
        replica: Replica,
        public: PublicSettings,
        sealing_key: SealingKey,
        network: NetworkSettings,
    ) -> SharedContext {
        Arc::new(Self {
            replica,
            public,
            sealing_key,
            network,
            known_keys: KnownKeys::default(),
            attachments: Arc::new(Semaphore::new(ATTACHMENTS_AT_ONCE)),
            cutting: Semaphore::new(ATTACHMENTS_CUT_AT_ONCE),
            raw_readers: Arc::new(Semaphore::new(RAW_READERS_AT_ONCE)),
        })
    }

    /// Returns the present moment as the database keeps it, so that an answer repeats what is stored.
    pub(crate) fn now(&self) -> OffsetDateTime {
        let now = self.replica.clock.now();
        now.replace_microsecond(now.microsecond()).unwrap_or(now)
    }

    pub(crate) async fn begin(&self) -> Result<Tx, ApiError> {
        Ok(self.replica.database.begin().await?)
    }

    /// Adds an event that is published once the transaction is committed.
    pub(crate) async fn announce<E: Event>(&self, tx: &mut Tx, event: &E) -> Result<(), ApiError> {
        let mut encoded: EncodedEvent = self.replica.encode(event)?;
        mailmesh_bus::trace::inject(&mut encoded.headers);
        outbox::insert(tx, self.replica.id, &[encoded], self.now()).await?;
        Ok(())
    }

    /// Commits a change, and has its events published.
    pub(crate) async fn commit(&self, tx: Tx) -> Result<(), ApiError> {
        tx.commit().await?;
        self.replica.outbox.wake();
        Ok(())
    }
}
