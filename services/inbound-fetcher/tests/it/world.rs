//! One database, one subject prefix and one sandbox per test.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use mailmesh_bus::{Bus, BusSettings, Stored, StreamSettings};
use mailmesh_domain::Clock as _;
use mailmesh_domain::{
    AccountId, AccountState, AfterReceive, Authorisation, Direction, Encryption, Key, Protocol,
    SystemClock,
};
use mailmesh_events::mail::MailReceived;
use mailmesh_events::{Event, decode_event};
use mailmesh_inbound_fetcher::{Config, Service, Settings};
use mailmesh_replica::Connections;
use mailmesh_sandbox::{MailboxSettings, Sandbox};
use mailmesh_secrets::{OpeningKeys, SecretString};
use mailmesh_store::account::{self, Account};
use mailmesh_store::{Database, DatabaseSettings, account_status, outbox};
use mailmesh_testkit::{TestServers, eventually, fresh_prefix};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) const ALICE: &str = "alice@sandbox.test";
pub(crate) const PASSWORD: &str = "correct horse";
const MIB: u64 = 1024 * 1024;

pub(crate) struct World {
    pub(crate) connections: Connections,
    pub(crate) sandbox: Sandbox,
    pub(crate) keys: OpeningKeys,
    pub(crate) settings: Settings,
    bus: BusSettings,
    database: DatabaseSettings,
}

/// One replica of the service.
pub(crate) struct Replica {
    stop: CancellationToken,
    tasks: JoinSet<Result<()>>,
}

impl World {
    pub(crate) async fn new() -> Result<Self> {
        Self::with_streams(|_| {}).await
    }

    pub(crate) async fn with_streams(adjust: impl FnOnce(&mut StreamSettings)) -> Result<Self> {
        let servers = TestServers::shared().await?;
        let url = servers.fresh_database().await?;
        let nats_url = servers.nats_url().to_owned();
        Self::on(url, nats_url, adjust).await
    }

    pub(crate) async fn on(
        postgres_url: SecretString,
        nats_url: String,
        adjust: impl FnOnce(&mut StreamSettings),
    ) -> Result<Self> {
        let mut streams = StreamSettings {
            events_max_bytes: 64 * MIB,
            mail_send_max_bytes: MIB,
            raw_max_bytes: 128 * MIB,
            dead_letters_max_bytes: MIB,
            ..StreamSettings::default()
        };
        adjust(&mut streams);
        let bus = BusSettings {
            url: nats_url,
            prefix: fresh_prefix(),
            streams,
            ..BusSettings::default()
        };
        let database = DatabaseSettings {
            url: postgres_url,
            max_connections: 8,
            acquire_timeout: Duration::from_secs(10),
            ca_file: None,
        };
        let connections = connect(&bus, &database).await?;
        connections.bus.ensure_streams().await?;
        let settings = mailmesh_sandbox::Settings {
            mailboxes: vec![MailboxSettings {
                address: ALICE.to_owned(),
                password: PASSWORD.to_owned(),
            }],
            ..mailmesh_sandbox::Settings::default()
        };
        Ok(Self {
            connections,
            sandbox: Sandbox::start(settings, Arc::new(SystemClock)).await?,
            keys: OpeningKeys::generate().map_err(|_| anyhow!("no keys"))?,
            settings: quick_settings(),
            bus,
            database,
        })
    }

    /// Starts a replica on a thread of its own, which can be frozen.
    pub(crate) fn start_freezable(&self) -> Freezable {
        let (bus, database) = (self.bus.clone(), self.database.clone());
        let config = Config {
            settings: self.settings.clone(),
            keys: self.keys.clone(),
        };
        let (frosts, orders) = tokio::sync::mpsc::channel(1);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(run_freezable(bus, database, config, orders))
        });
        Freezable { frosts, thread }
    }

    /// Makes an account that signs in with a password.
    pub(crate) async fn account(
        &self,
        key: &str,
        adjust: impl FnOnce(&mut Account),
    ) -> Result<Account> {
        let mut account = self.plain_account(key)?;
        adjust(&mut account);
        let mut tx = self.connections.database.begin().await?;
        account::insert(&mut tx, &account).await?;
        tx.commit().await?;
        Ok(account)
    }

    pub(crate) async fn update(&self, account: &mut Account) -> Result<()> {
        let mut tx = self.connections.database.begin().await?;
        account::update(&mut tx, account).await?;
        let stored = account::list_by_ids(&mut tx, &[account.id]).await?;
        tx.commit().await?;
        *account = stored.into_iter().next().context("no account")?;
        Ok(())
    }

    fn plain_account(&self, key: &str) -> Result<Account> {
        let now = SystemClock.now();
        let id = AccountId::generate(&SystemClock);
        let password = SecretString::from(PASSWORD);
        let place = Account::password_context(id);
        let sealed = self.keys.sealing_key().seal(&password, &place);
        Ok(Account {
            id,
            key: Key::try_new(key)?,
            name: key.to_owned(),
            is_enabled: true,
            direction: Direction::Inbound,
            protocol: Protocol::Imap,
            host: "127.0.0.1".to_owned(),
            port: self.sandbox.addresses().mail.imap_tls.port(),
            encryption: Encryption::Tls,
            authorisation: Authorisation::Password,
            login: ALICE.to_owned(),
            password: Some(sealed.map_err(|_| anyhow!("not sealed"))?),
            client_configuration_id: None,
            grant_id: None,
            from_addresses: Vec::new(),
            folders: vec!["INBOX".to_owned()],
            receive_existing: true,
            poll_interval_seconds: 60,
            after_receive: AfterReceive::Keep,
            move_to: None,
            max_connections: 2,
            ca_pem: Some(self.sandbox.ca_pem().to_owned()),
            revision: 1,
            created_at: now,
            updated_at: now,
        })
    }

    pub(crate) async fn start(&self) -> Result<Replica> {
        self.start_with(self.settings.clone()).await
    }

    pub(crate) async fn start_with(&self, settings: Settings) -> Result<Replica> {
        let config = Config {
            settings,
            keys: self.keys.clone(),
        };
        let service = Service::build(config, &self.connections, Arc::new(SystemClock)).await?;
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(service.run(stop.clone()));
        Ok(Replica { stop, tasks })
    }

    pub(crate) fn deliver(&self, raw: impl Into<Bytes>) -> Result<u32> {
        Ok(self.sandbox.mail().deliver(ALICE, raw.into())?)
    }

    /// Returns what the stream holds on a subject.
    pub(crate) async fn stored(&self, subject: &str) -> Result<Vec<Stored>> {
        Ok(self
            .connections
            .bus
            .read_back(subject, 0)?
            .collect_all()
            .await?)
    }

    pub(crate) async fn events<E: Event>(&self, key: &str) -> Result<Vec<E>> {
        let subject = format!("{}.{key}", E::NAME);
        let stored = self.stored(&subject).await?;
        let events = stored.iter().map(|stored| {
            let event = decode_event::<E>(&stored.headers, &stored.payload)?;
            Ok(event.data)
        });
        events.collect()
    }

    /// Waits until exactly so many mails of the account are published.
    pub(crate) async fn mails(&self, key: &str, count: usize) -> Result<Vec<MailReceived>> {
        eventually("the mails are published", async || {
            let mails = self.events::<MailReceived>(key).await?;
            if mails.len() < count {
                bail!("{} of {count}", mails.len());
            }
            Ok(mails)
        })
        .await
        .and_then(|mails| exactly(mails, count))
    }

    /// Waits until at least one event of the kind is there.
    pub(crate) async fn first<E: Event>(&self, key: &str) -> Result<E> {
        let what = format!("{} is published", E::NAME);
        eventually(&what, async || {
            let mut events = self.events::<E>(key).await?;
            if events.is_empty() {
                bail!("none");
            }
            Ok(events.swap_remove(0))
        })
        .await
    }

    pub(crate) async fn state(&self, account: &Account) -> Result<AccountState> {
        let mut tx = self.connections.database.begin().await?;
        let found = account_status::list_by_ids(&mut tx, &[account.id]).await?;
        tx.commit().await?;
        Ok(found.first().context("no status")?.state)
    }

    pub(crate) async fn raw_of(&self, mail: &MailReceived) -> Result<Bytes> {
        let id = mail.mail_id.to_string();
        let raw = self.connections.bus.raw_mails();
        raw.get_whole(&id, 64 << 20).await?.context("no raw mail")
    }

    /// Waits until all that was published is recorded.
    pub(crate) async fn recorded(&self, account: &Account, last_uid: u32) -> Result<()> {
        eventually("the cursor has moved", async || {
            let mut tx = self.connections.database.begin().await?;
            let cursors = mailmesh_store::mailbox::list_cursors(&mut tx, &[account.id]).await?;
            let found = cursors.first().map(|cursor| cursor.last_uid);
            if found == Some(last_uid) {
                return Ok(());
            }
            bail!("{found:?}")
        })
        .await
    }

    /// Stops a replica and makes sure that nothing is left in queues.
    pub(crate) async fn finish(self, replica: Replica) -> Result<()> {
        replica.stop().await?;
        let mut tx = self.connections.database.begin().await?;
        let waiting = outbox::count(&mut tx).await?;
        tx.commit().await?;
        if waiting > 0 {
            bail!("{waiting} outbox rows are unpublished");
        }
        self.sandbox.stop().await;
        Ok(())
    }
}

async fn connect(bus: &BusSettings, database: &DatabaseSettings) -> Result<Connections> {
    Ok(Connections {
        database: Database::connect(database).await?,
        bus: Bus::connect(bus).await?,
    })
}

/// A replica that can be frozen as a stopped process or a paused machine would be.
pub(crate) struct Freezable {
    frosts: tokio::sync::mpsc::Sender<Frost>,
    thread: std::thread::JoinHandle<Result<()>>,
}

/// Told when the replica is frozen; the replica is, until the other end is dropped.
struct Frost {
    begun: tokio::sync::oneshot::Sender<()>,
    thaw: std::sync::mpsc::Receiver<()>,
}

/// While this lives, the replica does nothing at all.
pub(crate) struct Frozen(std::sync::mpsc::SyncSender<()>);

async fn run_freezable(
    bus: BusSettings,
    database: DatabaseSettings,
    config: Config,
    mut orders: tokio::sync::mpsc::Receiver<Frost>,
) -> Result<()> {
    let connections = connect(&bus, &database).await?;
    let service = Service::build(config, &connections, Arc::new(SystemClock)).await?;
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(service.run(stop.clone()));
    while let Some(frost) = orders.recv().await {
        frost.begun.send(()).ok();
        // Blocks the only thread of this runtime, and so everything of the replica.
        frost.thaw.recv().ok();
    }
    stop.cancel();
    let ended = tasks.join_next().await.context("no task")?;
    ended?
}

impl Freezable {
    pub(crate) async fn freeze(&self) -> Result<Frozen> {
        let (begun, is_begun) = tokio::sync::oneshot::channel();
        let (hold, thaw) = std::sync::mpsc::sync_channel(1);
        let order = Frost { begun, thaw };
        self.frosts.send(order).await.ok().context("it has ended")?;
        is_begun.await?;
        Ok(Frozen(hold))
    }

    pub(crate) async fn stop(self) -> Result<()> {
        drop(self.frosts);
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await?;
        joined.map_err(|_| anyhow!("the replica panicked"))?
    }
}

impl Frozen {
    pub(crate) fn thaw(self) {
        drop(self.0);
    }
}

fn exactly(mails: Vec<MailReceived>, count: usize) -> Result<Vec<MailReceived>> {
    if mails.len() > count {
        bail!("{} mails instead of {count}", mails.len());
    }
    let mut ids: Vec<_> = mails.iter().map(|mail| mail.mail_id).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() < mails.len() {
        bail!("a mail was published twice");
    }
    Ok(mails)
}

impl Replica {
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.stop.cancel();
        let ended = self.tasks.join_next().await.context("no task")?;
        ended?
    }

    /// Ends it as a crash would: nothing is finished, recorded or released.
    pub(crate) async fn kill(mut self) {
        self.tasks.shutdown().await;
    }
}

pub(crate) fn quick_settings() -> Settings {
    Settings {
        backoff_milliseconds: 50,
        backoff_limit_seconds: 2,
        check_seconds: 1,
        proof_seconds: 1,
        token_wait_seconds: 1,
        ..Settings::default()
    }
}

pub(crate) fn mail(number: u32) -> Bytes {
    Bytes::from(format!(
        "From: Bob <bob@example.com>\r\nTo: {ALICE}\r\nSubject: Mail {number}\r\nMessage-ID: <{number}@example.com>\r\n\r\nBody {number}\r\n"
    ))
}
