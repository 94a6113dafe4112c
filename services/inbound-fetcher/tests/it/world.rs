//! A mesh with one mailbox and any number of fetchers.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use mailmesh_accounts::Connections;
use mailmesh_bus::StreamSettings;
use mailmesh_domain::{AccountState, Clock, Position, Protocol, SystemClock};
use mailmesh_events::mail::{MailReceived, Origin};
use mailmesh_inbound_fetcher::{Config, Service, Settings};
use mailmesh_runtime::Lifecycle;
use mailmesh_sandbox::{MailboxSettings, Sandbox};
use mailmesh_store::ServiceRole;
use mailmesh_store::account::{self, Account};
use mailmesh_store::account_status;
use mailmesh_store::listed_mail::{self, ListingEntry};
use mailmesh_testkit::{
    Freezable, MailHost, MeshAddress, MeshBase, RunningReplica, eventually, within,
};

pub(crate) const ALICE: &str = "alice@sandbox.test";
pub(crate) const PASSWORD: &str = "correct horse";
/// The time after which a maildrop in use is tried again, its jitter, and room for the work.
const MAILDROP_WAIT: Duration = Duration::from_mins(3);
const MIB: u64 = 1024 * 1024;

/// Runs each scenario over every protocol that mail is read by.
macro_rules! over_each_protocol {
    ($($scenario:ident,)+) => {
        mod imap {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $scenario() -> anyhow::Result<()> {
                    super::$scenario(mailmesh_domain::Protocol::Imap).await
                }
            )+
        }

        mod pop3 {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $scenario() -> anyhow::Result<()> {
                    super::$scenario(mailmesh_domain::Protocol::Pop3).await
                }
            )+
        }
    };
}
pub(crate) use over_each_protocol;

pub(crate) struct World {
    /// What its accounts are read by.
    pub(crate) protocol: Protocol,
    pub(crate) base: MeshBase,
    pub(crate) sandbox: Sandbox,
    pub(crate) settings: Settings,
}

impl World {
    pub(crate) async fn new() -> Result<Self> {
        Self::with_streams(|_| {}).await
    }

    /// As `new`, for accounts of this protocol.
    pub(crate) async fn over(protocol: Protocol) -> Result<Self> {
        Ok(Self::new().await?.with(protocol))
    }

    pub(crate) fn with(self, protocol: Protocol) -> Self {
        Self { protocol, ..self }
    }

    pub(crate) async fn with_streams(adjust: impl FnOnce(&mut StreamSettings)) -> Result<Self> {
        let mut address = MeshAddress::fresh().await?;
        address.bus.streams.events_max_bytes = 24 * MIB;
        address.bus.streams.raw_max_bytes = 48 * MIB;
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
            protocol: Protocol::Imap,
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

    pub(crate) async fn start(&self) -> Result<RunningReplica> {
        let role = ServiceRole::InboundFetcher;
        let (database, bus) = self.base.connections_of(role).await?;
        let service = build(self.config(), Connections::new(database, bus)).await?;
        Ok(RunningReplica::start(|lifecycle| service.start(lifecycle)))
    }

    /// Starts a replica that has this clock.
    pub(crate) async fn start_at(&self, clock: Arc<dyn Clock>) -> Result<RunningReplica> {
        let role = ServiceRole::InboundFetcher;
        let (database, bus) = self.base.connections_of(role).await?;
        let connections = Connections::new(database, bus);
        let service = Service::build(self.config(), &connections, clock).await?;
        Ok(RunningReplica::start(|lifecycle| service.start(lifecycle)))
    }

    /// Starts a replica that can be frozen.
    pub(crate) fn start_freezable(&self) -> Freezable {
        let (config, address) = (self.config(), self.base.address.clone());
        Freezable::start(async move || {
            let (database, bus) = address.connect_as(ServiceRole::InboundFetcher).await?;
            let service = build(config, Connections::new(database, bus)).await?;
            Ok(move |lifecycle: &Lifecycle| service.start(lifecycle))
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
            .password_account_row(&host, key, self.protocol, login)?;
        if self.protocol == Protocol::Pop3 {
            account.poll_interval_seconds = 1;
        }
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

    /// Returns where the protocol does what IMAP does at this point.
    pub(crate) fn point<'a>(&self, imap: &'a str) -> &'a str {
        match (self.protocol, imap) {
            (Protocol::Pop3, "imap.fetch") => "pop3.retr",
            (Protocol::Pop3, "imap.fetch.body") => "pop3.retr.body",
            (Protocol::Pop3, "imap.search") => "pop3.uidl",
            _ => imap,
        }
    }

    /// Returns the reply that refuses a command.
    pub(crate) fn refusal(&self, text: &str) -> String {
        match self.protocol {
            Protocol::Pop3 => format!("-ERR {text}"),
            _ => format!("{{tag}} NO {text}"),
        }
    }

    /// Returns a mail as the server shows it: POP3 ends each with its last line.
    pub(crate) fn as_shown(&self, raw: &Bytes) -> Bytes {
        let is_whole = raw.is_empty() || raw.ends_with(b"\r\n");
        if self.protocol != Protocol::Pop3 || is_whole {
            return raw.clone();
        }
        Bytes::from([raw, &b"\r\n"[..]].concat())
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

    /// Deletes `EVENTS` and makes it anew, empty.
    pub(crate) async fn remake_events(&self) -> Result<()> {
        self.base.delete_stream("EVENTS").await?;
        Ok(self.base.bus.ensure_streams().await?)
    }

    pub(crate) async fn state(&self, account: &Account) -> Result<AccountState> {
        let mut tx = self.base.begin().await?;
        let found = account_status::list_by_ids(&mut tx, &[account.id]).await?;
        tx.commit().await?;
        Ok(found.first().context("no status")?.state)
    }

    /// Waits until an account is in this state: it is recorded behind the look that shows it.
    pub(crate) async fn becomes(&self, account: &Account, expected: AccountState) -> Result<()> {
        eventually("the account's state", async || {
            let state = self.state(account).await?;
            anyhow::ensure!(state == expected, "{state}");
            anyhow::Ok(())
        })
        .await
    }

    pub(crate) async fn raw_of(&self, mail: &MailReceived) -> Result<Bytes> {
        let id = mail.mail_id.to_string();
        let raw = self.base.bus.raw_mails();
        raw.get_whole(&id, 64 << 20).await?.context("no raw mail")
    }

    /// Waits until all that was published is recorded.
    pub(crate) async fn recorded(&self, account: &Account, uid: u32) -> Result<()> {
        if self.protocol == Protocol::Pop3 {
            return self.seen(account, uid).await;
        }
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

    /// Waits until all mails of a POP3 account up to this UID of the sandbox are recorded as seen.
    async fn seen(&self, account: &Account, uid: u32) -> Result<()> {
        // A maildrop that another session holds is tried again after a minute.
        within(
            MAILDROP_WAIT,
            "the mails are recorded as seen",
            async || {
                let mails = self
                    .base
                    .events::<MailReceived>(account.key.as_str())
                    .await?;
                let last = mails.iter().map(|mail| uid_of(&mail.origin)).max();
                ensure!(last >= Some(uid), "{last:?} of {uid}");
                // Several mails may have stood at one place, one after the other.
                let positions: HashSet<_> =
                    mails.iter().map(|mail| &mail.origin.position).collect();
                let entries: Vec<ListingEntry> = positions
                    .into_iter()
                    .map(|position| ListingEntry {
                        position: position.clone(),
                        listed_bytes: None,
                    })
                    .collect();
                let mut tx = self.base.begin().await?;
                let unseen =
                    listed_mail::find_unseen(&mut tx, account.id, "INBOX", &entries).await?;
                ensure!(unseen.is_empty(), "{} unseen", unseen.len());
                Ok(())
            },
        )
        .await
    }

    /// Stops a replica and makes sure that nothing is left in queues.
    pub(crate) async fn finish(self, replica: RunningReplica) -> Result<()> {
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
        // The sandbox makes it of UIDVALIDITY and UID.
        Position::Pop3 { ref uidl } => {
            let uid = uidl.as_deref().and_then(|uidl| uidl.get(8..));
            uid.map_or(0, |uid| u32::from_str_radix(uid, 16).unwrap_or(0))
        }
    }
}
