//! A mesh with one mailbox and any number of fetchers.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use mailmesh_accounts::Connections;
use mailmesh_bus::StreamSettings;
use mailmesh_domain::{AccountState, Position, Protocol, SystemClock};
use mailmesh_events::mail::{MailReceived, Origin};
use mailmesh_inbound_fetcher::{Config, Service, Settings};
use mailmesh_sandbox::{MailboxSettings, Sandbox};
use mailmesh_store::account::{self, Account};
use mailmesh_store::account_status;
use mailmesh_testkit::{Freezable, MailHost, MeshAddress, MeshBase, Running, eventually};

pub(crate) const ALICE: &str = "alice@sandbox.test";
pub(crate) const PASSWORD: &str = "correct horse";
const MIB: u64 = 1024 * 1024;

pub(crate) struct World {
    pub(crate) base: MeshBase,
    pub(crate) sandbox: Sandbox,
    pub(crate) settings: Settings,
}

impl World {
    pub(crate) async fn new() -> Result<Self> {
        Self::with_streams(|_| {}).await
    }

    pub(crate) async fn with_streams(adjust: impl FnOnce(&mut StreamSettings)) -> Result<Self> {
        let mut address = MeshAddress::fresh().await?;
        address.bus.streams.events_max_bytes = 64 * MIB;
        address.bus.streams.raw_max_bytes = 128 * MIB;
        adjust(&mut address.bus.streams);
        Self::at(address).await
    }

    pub(crate) async fn at(address: MeshAddress) -> Result<Self> {
        let settings = mailmesh_sandbox::Settings {
            mailboxes: vec![MailboxSettings {
                address: ALICE.to_owned(),
                password: PASSWORD.to_owned(),
            }],
            ..mailmesh_sandbox::Settings::default()
        };
        Ok(Self {
            base: MeshBase::start(address, Arc::new(SystemClock)).await?,
            sandbox: Sandbox::start(settings, Arc::new(SystemClock)).await?,
            settings: quick_settings(),
        })
    }

    fn config(&self) -> Config {
        Config {
            settings: self.settings.clone(),
            keys: self.base.keys.clone(),
        }
    }

    pub(crate) async fn start(&self) -> Result<Running> {
        let (database, bus) = (self.base.database.clone(), self.base.bus.clone());
        let service = build(self.config(), Connections::new(database, bus)).await?;
        Ok(Running::start(|stop| service.run(stop)))
    }

    /// Starts a replica that can be frozen.
    pub(crate) fn start_freezable(&self) -> Freezable {
        let (config, address) = (self.config(), self.base.address.clone());
        Freezable::start(async move |stop| {
            let (database, bus) = address.connect().await?;
            let service = build(config, Connections::new(database, bus)).await?;
            service.run(stop).await
        })
    }

    /// Makes an account that signs in with a password.
    pub(crate) async fn account(
        &self,
        key: &str,
        adjust: impl FnOnce(&mut Account),
    ) -> Result<Account> {
        let host = MailHost::from(&self.sandbox);
        let login = (ALICE, PASSWORD);
        let mut account = self
            .base
            .password_account_row(&host, key, Protocol::Imap, login)?;
        adjust(&mut account);
        self.base.insert_account(&account).await?;
        Ok(account)
    }

    pub(crate) async fn update(&self, account: &mut Account) -> Result<()> {
        let mut tx = self.base.begin().await?;
        account::update(&mut tx, account).await?;
        let stored = account::list_by_ids(&mut tx, &[account.id]).await?;
        tx.commit().await?;
        *account = stored.into_iter().next().context("no account")?;
        Ok(())
    }

    pub(crate) fn deliver(&self, raw: impl Into<Bytes>) -> Result<u32> {
        Ok(self.sandbox.mail().deliver(ALICE, raw.into())?)
    }

    /// Waits until exactly so many mails of the account are published.
    pub(crate) async fn mails(&self, key: &str, count: usize) -> Result<Vec<MailReceived>> {
        let mails = eventually("the mails are published", async || {
            let mails = self.base.events::<MailReceived>(key).await?;
            ensure!(mails.len() >= count, "{} of {count}", mails.len());
            Ok(mails)
        })
        .await?;
        exactly(mails, count)
    }

    pub(crate) async fn state(&self, account: &Account) -> Result<AccountState> {
        let mut tx = self.base.begin().await?;
        let found = account_status::list_by_ids(&mut tx, &[account.id]).await?;
        tx.commit().await?;
        Ok(found.first().context("no status")?.state)
    }

    pub(crate) async fn raw_of(&self, mail: &MailReceived) -> Result<Bytes> {
        let id = mail.mail_id.to_string();
        let raw = self.base.bus.raw_mails();
        raw.get_whole(&id, 64 << 20).await?.context("no raw mail")
    }

    /// Waits until all that was published is recorded.
    pub(crate) async fn recorded(&self, account: &Account, uid: u32) -> Result<()> {
        eventually("the cursor has moved", async || {
            let mut tx = self.base.begin().await?;
            let cursors = mailmesh_store::mailbox::list_cursors(&mut tx, &[account.id]).await?;
            let found = cursors.first().map(|cursor| cursor.ordinal);
            if found == Some(u64::from(uid)) {
                return Ok(());
            }
            bail!("{found:?}")
        })
        .await
    }

    /// Stops a replica and makes sure that nothing is left in queues.
    pub(crate) async fn finish(self, replica: Running) -> Result<()> {
        replica.stop().await?;
        self.base.check_published().await?;
        self.sandbox.stop().await;
        Ok(())
    }
}

async fn build(config: Config, connections: Connections) -> Result<Service> {
    Service::build(config, &connections, Arc::new(SystemClock)).await
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

/// Returns the UID that a mail had where it was found.
pub(crate) fn uid_of(origin: &Origin) -> u32 {
    match origin.position {
        Position::Imap { uid, .. } => uid,
        Position::Pop3 { .. } => 0,
    }
}
