use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use mailmesh_bus::{Bus, BusSettings, Outgoing, StoredMessage, StreamSettings};
use mailmesh_domain::{AccountState, Clock, GrantId, Key, ReplicaId};
use mailmesh_events::{Event, Problem, decode_event};
use mailmesh_secrets::{ExposeSecret, OpeningKeys, SecretString};
use mailmesh_store::account::{self, Account};
use mailmesh_store::account_status::{SeenProof, SeenState};
use mailmesh_store::client_configuration::{self, ClientConfiguration};
use mailmesh_store::grant::{self, Grant};
use mailmesh_store::{
    Database, DatabaseSettings, ServiceRole, Tx, account_status, lease, outbox, replica,
};

use crate::servers::{TestServers, execute_at, fresh_prefix};
use crate::wait::eventually;

mod row;
mod sql;
mod stream;

pub use row::{GrantTokens, MailHost, use_grant};

const MIB: u64 = 1024 * 1024;

/// A mesh's place on its servers: which database, which prefix, how large the streams.
#[derive(Debug, Clone)]
pub struct MeshAddress {
    /// The database, with the mesh's tables.
    pub postgres_url: SecretString,
    /// NATS, with the prefix and the streams.
    pub bus: BusSettings,
}

impl MeshAddress {
    /// Returns a place of its own on the servers that all tests share.
    pub async fn fresh() -> anyhow::Result<Self> {
        let servers = TestServers::shared().await?;
        let database = servers.fresh_database().await?;
        Ok(Self::on(servers.nats_url(), database))
    }

    /// Returns a place on these servers, with small streams: servers set their room aside at once.
    pub fn on(nats_url: &str, postgres_url: SecretString) -> Self {
        let bus = BusSettings {
            url: nats_url.to_owned(),
            prefix: fresh_prefix(),
            streams: StreamSettings {
                events_max_bytes: 16 * MIB,
                mail_send_max_bytes: MIB,
                raw_max_bytes: 16 * MIB,
                dead_letters_max_bytes: MIB,
                ..StreamSettings::default()
            },
            ..BusSettings::default()
        };
        Self { postgres_url, bus }
    }

    /// Connects as the tables' owner.
    pub async fn connect(&self) -> anyhow::Result<(Database, Bus)> {
        let database = connect(self.postgres_url.clone()).await?;
        Ok((database, Bus::connect(&self.bus).await?))
    }

    /// Connects with the rights of a service; also from another thread than the one that made the address.
    pub async fn connect_as(&self, service: ServiceRole) -> anyhow::Result<(Database, Bus)> {
        let database = self.database_as(service).await?;
        Ok((database, Bus::connect(&self.bus).await?))
    }

    /// Connects to the database with the rights of a service: a statement that it may not run fails in its tests.
    pub async fn database_as(&self, service: ServiceRole) -> anyhow::Result<Database> {
        let url = self.postgres_url.expose_secret();
        let separator = if url.contains('?') { '&' } else { '?' };
        let role = service.name();
        connect(format!("{url}{separator}options[role]={role}").into()).await
    }
}

async fn connect(url: SecretString) -> anyhow::Result<Database> {
    let settings = DatabaseSettings {
        url,
        max_connections: 8,
        acquire_timeout: Duration::from_secs(20),
        ca_file: None,
    };
    Ok(Database::connect(&settings).await?)
}

/// What every service of a mesh needs, and a test with it: database, bus, keys and clock. No
/// service runs yet.
#[derive(Debug)]
pub struct MeshBase {
    /// Where it is.
    pub address: MeshAddress,
    pub database: Database,
    pub bus: Bus,
    /// What seals and opens secrets.
    pub keys: OpeningKeys,
    /// The present moment.
    pub clock: Arc<dyn Clock>,
}

impl MeshBase {
    /// Makes one on the servers that all tests share.
    pub async fn fresh(clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        Self::start(MeshAddress::fresh().await?, clock).await
    }

    /// Makes one at this address, with its streams.
    pub async fn start(address: MeshAddress, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let base = Self::connect(address, clock).await?;
        base.bus.ensure_streams().await?;
        Ok(base)
    }

    /// As `start`, but leaves the streams to the services.
    pub async fn connect(address: MeshAddress, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let (database, bus) = address.connect().await?;
        Ok(Self {
            address,
            database,
            bus,
            keys: OpeningKeys::generate()?,
            clock,
        })
    }

    /// Returns what stands before every stream and subject of this mesh.
    pub fn prefix(&self) -> &str {
        &self.address.bus.prefix
    }

    /// Connects to the database with the rights of a service, and to the bus.
    pub async fn connections_of(&self, service: ServiceRole) -> anyhow::Result<(Database, Bus)> {
        let database = self.address.database_as(service).await?;
        Ok((database, self.bus.clone()))
    }

    /// Begins a transaction.
    pub async fn begin(&self) -> anyhow::Result<Tx> {
        Ok(self.database.begin().await?)
    }

    /// Runs statements behind the store's back.
    pub async fn execute(&self, statements: &str) -> anyhow::Result<()> {
        execute_at(&self.address.postgres_url, statements).await
    }

    /// Stores a new client configuration.
    pub async fn insert_client(&self, client: &ClientConfiguration) -> anyhow::Result<()> {
        let mut tx = self.begin().await?;
        client_configuration::insert(&mut tx, client).await?;
        Ok(tx.commit().await?)
    }

    /// Stores a new account.
    pub async fn insert_account(&self, account: &Account) -> anyhow::Result<()> {
        let mut tx = self.begin().await?;
        account::insert(&mut tx, account).await?;
        Ok(tx.commit().await?)
    }

    /// Writes one heartbeat of both services that run accounts: without them no account's state is known.
    pub async fn beat_services(&self) -> anyhow::Result<()> {
        let mut tx = self.begin().await?;
        for service in ["inbound-fetcher", "outbound-sender"] {
            let id = ReplicaId::generate(&*self.clock);
            replica::beat(&mut tx, id, service).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Has later connections to the database begin read-only transactions, as those to a server that is failing over; or no
    /// longer.
    pub async fn set_read_only(&self, is_read_only: bool) -> anyhow::Result<()> {
        let statements = format!(
            "BEGIN READ WRITE;
             DO $$ BEGIN EXECUTE format(
                 'ALTER DATABASE %I SET default_transaction_read_only = {is_read_only}',
                 current_database()); END $$;
             COMMIT"
        );
        self.execute(&statements).await
    }

    /// Makes what a replica records when a server has let an account in so long ago.
    pub fn proof(&self, account: &Account, age: Duration) -> SeenProof {
        SeenProof {
            account_id: account.id,
            revision: account.revision,
            at: self.clock.now() - age,
        }
    }

    /// Records an account's state as a replica does that takes the account over.
    pub async fn set_account_state(
        &self,
        account: &Account,
        state: AccountState,
        problem: Option<&Problem>,
    ) -> anyhow::Result<()> {
        let id = ReplicaId::generate(&*self.clock);
        let mut tx = self.begin().await?;
        replica::beat(&mut tx, id, "testkit").await?;
        lease::acquire(&mut tx, id, account.direction, i64::MAX).await?;
        let terms = lease::list_terms(&mut tx, id, &[account.id]).await?;
        let term = terms.first().context("the account is held by another")?;
        let now = self.clock.now();
        let revision = account.revision;
        let seen = SeenState {
            state,
            problem,
            revision,
        };
        account_status::set_state(&mut tx, term, seen, now).await?;
        lease::release(&mut tx, id, &[account.id]).await?;
        replica::remove(&mut tx, id).await?;
        Ok(tx.commit().await?)
    }

    /// Stores a grant as a sign-in does, in place of what is there.
    pub async fn save_grant(&self, grant: &Grant) -> anyhow::Result<()> {
        let mut tx = self.begin().await?;
        grant::save_sign_in(&mut tx, grant, self.clock.now()).await?;
        Ok(tx.commit().await?)
    }

    /// Returns a grant as it is now.
    pub async fn grant(&self, id: GrantId) -> anyhow::Result<Grant> {
        let mut tx = self.begin().await?;
        let found = grant::list_by_ids(&mut tx, &[id]).await?.pop();
        found.context("the grant is gone")
    }

    /// Returns the grant of an account, if somebody has signed in.
    pub async fn grant_of(&self, account: &str) -> anyhow::Result<Option<Grant>> {
        let mut tx = self.begin().await?;
        let found = account::find_by_key(&mut tx, &Key::try_new(account)?).await?;
        let id = found.context("the account is gone")?.grant_id;
        drop(tx);
        match id {
            Some(id) => Ok(Some(self.grant(id).await?)),
            None => Ok(None),
        }
    }

    /// Returns how many events wait in the outbox.
    pub async fn waiting(&self) -> anyhow::Result<i64> {
        let mut tx = self.begin().await?;
        Ok(outbox::count(&mut tx).await?)
    }

    /// Fails when an event was not published.
    pub async fn check_published(&self) -> anyhow::Result<()> {
        let waiting = self.waiting().await?;
        ensure!(waiting == 0, "{waiting} events were not published");
        Ok(())
    }

    /// Waits until every event of the outbox is published.
    pub async fn until_published(&self) -> anyhow::Result<()> {
        let published = async || self.check_published().await;
        eventually("every event of the outbox is published", published).await
    }

    /// Publishes as a business system does, and returns the sequence in the stream.
    pub async fn publish(
        &self,
        subject: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> anyhow::Result<u64> {
        let headers = headers.iter();
        let outgoing = Outgoing {
            subject: subject.to_owned(),
            message_id: String::new(),
            headers: headers
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            payload: body.into(),
        };
        Ok(self.bus.publish(outgoing).await?.sequence)
    }

    /// Returns what `EVENTS` holds on a subject.
    pub async fn stored(&self, subject: &str) -> anyhow::Result<Vec<StoredMessage>> {
        Ok(self.bus.read_back(subject, 0)?.collect_all().await?)
    }

    /// Waits until the outbox is empty and `EVENTS` holds exactly so many on a subject.
    pub async fn published(
        &self,
        subject: &str,
        count: usize,
    ) -> anyhow::Result<Vec<StoredMessage>> {
        self.until_published().await?;
        eventually(&format!("{count} of {subject}"), async || {
            let found = self.stored(subject).await?;
            ensure!(found.len() == count, "{} of {subject}", found.len());
            Ok(found)
        })
        .await
    }

    /// Returns the events of one kind and one key, as a subscriber reads them.
    pub async fn events<E: Event>(&self, key: &str) -> anyhow::Result<Vec<E>> {
        let stored = self.stored(&format!("{}.{key}", E::NAME)).await?;
        let events = stored.iter().map(|stored| {
            let event = decode_event::<E>(&stored.headers, &stored.payload)?;
            Ok(event.data)
        });
        events.collect()
    }

    /// Waits for an event of this kind and key, and returns the first.
    pub async fn first_event<E: Event>(&self, key: &str) -> anyhow::Result<E> {
        eventually(&format!("{} is published", E::NAME), async || {
            let events = self.events::<E>(key).await?;
            events.into_iter().next().context("none")
        })
        .await
    }
}
