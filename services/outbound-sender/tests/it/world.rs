//! A mesh of one or more senders, with a provider that misbehaves on cue.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use mailmesh_accounts::Connections;
use mailmesh_bus::{Hint, Subscription};
use mailmesh_domain::{MailId, Protocol, SystemClock};
use mailmesh_outbound_sender::{Config, Service};
use mailmesh_runtime::Lifecycle;
use mailmesh_sandbox::{MailboxSettings, Sandbox, Settings};
use mailmesh_secrets::OpeningKeys;
use mailmesh_store::ServiceRole;
use mailmesh_store::account::Account;
use mailmesh_store::outbound_mail::{self, OutboundMail};
use mailmesh_testkit::{Freezable, MailHost, MeshAddress, MeshBase, RunningReplica};
use serde_json::Value;

const MIB: u64 = 1024 * 1024;
const PASSWORD: &str = "correct horse";

pub(crate) struct World {
    pub(crate) base: MeshBase,
    pub(crate) sandbox: Sandbox,
    events: Subscription,
    seen: Vec<Event>,
    ids: HashSet<String>,
    senders: Vec<RunningReplica>,
}

/// An event as a subscriber sees it.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) body: Value,
}

impl World {
    pub(crate) async fn new() -> Result<Self> {
        Self::at(MeshAddress::fresh().await?).await
    }

    pub(crate) async fn at(mut address: MeshAddress) -> Result<Self> {
        let streams = &mut address.bus.streams;
        streams.events_max_bytes = 32 * MIB;
        streams.mail_send_max_bytes = 32 * MIB;
        streams.raw_max_bytes = 64 * MIB;
        let base = MeshBase::start(address, Arc::new(SystemClock)).await?;
        let events = base.bus.subscribe("*.*.*", None).await?;
        let mailboxes = ["one@sandbox.test", "two@sandbox.test", "rcpt@sandbox.test"];
        let settings = Settings {
            mailboxes: mailboxes.map(mailbox).to_vec(),
            ..Settings::default()
        };
        Ok(Self {
            sandbox: Sandbox::start(settings, Arc::new(SystemClock)).await?,
            base,
            events,
            seen: Vec::new(),
            ids: HashSet::new(),
            senders: Vec::new(),
        })
    }

    /// A world with one account `one` that signs in with a password, and one sender.
    pub(crate) async fn with_sender() -> Result<(Self, Account)> {
        let mut world = Self::new().await?;
        let account = world.add_account("one", 1).await?;
        world.start_sender().await?;
        Ok((world, account))
    }

    /// Starts a sender that stops with the world.
    pub(crate) async fn start_sender(&mut self) -> Result<()> {
        let sender = self.sender().await?;
        self.senders.push(sender);
        Ok(())
    }

    /// Starts a sender that the test itself ends.
    pub(crate) async fn sender(&self) -> Result<RunningReplica> {
        let role = ServiceRole::OutboundSender;
        let (database, bus) = self.base.connections_of(role).await?;
        let service = build(&self.base.keys, Connections::new(database, bus)).await?;
        Ok(RunningReplica::start(|lifecycle| service.start(lifecycle)))
    }

    /// Starts a sender that can be frozen.
    pub(crate) fn freezable_sender(&self) -> Freezable {
        let (keys, address) = (self.base.keys.clone(), self.base.address.clone());
        Freezable::start(async move || {
            let (database, bus) = address.connect_as(ServiceRole::OutboundSender).await?;
            let service = build(&keys, Connections::new(database, bus)).await?;
            Ok(move |lifecycle: &Lifecycle| service.start(lifecycle))
        })
    }

    /// Asks the senders so far to stop, and does not wait for it.
    pub(crate) fn stop_senders(&self) {
        self.senders.iter().for_each(RunningReplica::ask_to_stop);
    }

    pub(crate) fn password_account(&self, key: &str, max_connections: u32) -> Result<Account> {
        let login = format!("{key}@sandbox.test");
        let host = MailHost::from(&self.sandbox);
        let protocol = Protocol::Smtp;
        Ok(Account {
            max_connections,
            ..self
                .base
                .password_account_row(&host, key, protocol, (&login, PASSWORD))?
        })
    }

    pub(crate) async fn add_account(&self, key: &str, max_connections: u32) -> Result<Account> {
        let account = self.password_account(key, max_connections)?;
        self.base.insert_account(&account).await?;
        Ok(account)
    }

    /// Adds the inbound account of the mailbox that `key` sends from.
    pub(crate) async fn add_inbound(&self, key: &str) -> Result<()> {
        let (host, login) = (MailHost::from(&self.sandbox), format!("{key}@sandbox.test"));
        let (key, protocol) = (format!("{key}-in"), Protocol::Imap);
        let inbound = self
            .base
            .password_account_row(&host, &key, protocol, (&login, PASSWORD))?;
        self.base.insert_account(&inbound).await
    }

    pub(crate) async fn publish(&self, subject: &str, body: impl Into<Bytes>) -> Result<u64> {
        self.base.publish(subject, &[], body).await
    }

    /// Waits for the next event of this name; those of other names stay to be asked for.
    pub(crate) async fn event(&mut self, name: &str) -> Result<Value> {
        let limit = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(place) = self.seen.iter().position(|event| event.name == name) {
                return Ok(self.seen.remove(place).body);
            }
            let next = tokio::time::timeout_at(limit, self.events.next()).await;
            match next {
                Ok(Some(hint)) => self.note(&hint)?,
                Ok(None) => bail!("the subscription ended"),
                Err(_) => bail!(
                    "no {name}; seen: {:?}; mails: {:?}",
                    self.seen,
                    self.mails().await
                ),
            }
        }
    }

    /// Takes an event once: on its way to the stream, which stores it once, it may come again when
    /// a replica stops.
    fn note(&mut self, hint: &Hint) -> Result<()> {
        let subject = hint.subject.as_str();
        let (name, _key) = subject.rsplit_once('.').context("a subject with a key")?;
        if !["mail.", "account."]
            .iter()
            .any(|start| name.starts_with(start))
            || ["mail.send", "mail.cancel"].contains(&name)
        {
            return Ok(());
        }
        let id = hint.headers.iter().find(|(name, _)| name == "ce-id");
        if id.is_some_and(|(_, id)| !self.ids.insert(id.clone())) {
            return Ok(());
        }
        let body = serde_json::from_slice(&hint.payload).with_context(|| subject.to_owned())?;
        let name = name.to_owned();
        self.seen.push(Event { name, body });
        Ok(())
    }

    pub(crate) async fn mails(&self) -> Result<Vec<OutboundMail>> {
        let mut tx = self.base.begin().await?;
        let mails = outbound_mail::list(&mut tx, None, None, None, 10_000).await?;
        tx.commit().await?;
        Ok(mails)
    }

    pub(crate) async fn mail(&self, event: &Value) -> Result<OutboundMail> {
        let id: MailId = serde_json::from_value(event["mail_id"].clone())?;
        let mut tx = self.base.begin().await?;
        let mail = outbound_mail::find(&mut tx, id).await?;
        tx.commit().await?;
        mail.context("the mail is in the table")
    }

    /// What the recipients elsewhere got, by subject line.
    pub(crate) fn outbox_texts(&self) -> Vec<String> {
        let outbox = self.sandbox.mail().outbox();
        let texts = outbox
            .iter()
            .map(|one| String::from_utf8_lossy(&one.raw).into_owned());
        texts.collect()
    }

    /// Passes over the events of a name that nobody counted.
    pub(crate) async fn forget(&mut self, name: &str) -> Result<()> {
        while let Ok(Some(hint)) =
            tokio::time::timeout(Duration::from_millis(500), self.events.next()).await
        {
            self.note(&hint)?;
        }
        self.seen.retain(|event| event.name != name);
        Ok(())
    }

    /// Fails on anything that was left over.
    pub(crate) async fn finish(mut self) -> Result<()> {
        self.stop_senders();
        for sender in std::mem::take(&mut self.senders) {
            sender.stop().await?;
        }
        self.base.until_published().await?;
        while let Ok(Some(hint)) =
            tokio::time::timeout(Duration::from_millis(20), self.events.next()).await
        {
            self.note(&hint)?;
        }
        ensure!(self.seen.is_empty(), "unexpected events: {:?}", self.seen);
        Ok(())
    }
}

async fn build(keys: &OpeningKeys, connections: Connections) -> Result<Service> {
    let clock = Arc::new(SystemClock);
    Service::build(quick(), keys.clone(), &connections, clock).await
}

/// Settings with a schedule that tests can wait for.
fn quick() -> Config {
    Config {
        retry_delays_seconds: vec![1],
        sent_folder_delay_seconds: 1,
        final_reply_timeout_seconds: 20,
        ..Config::default()
    }
}

fn mailbox(address: &str) -> MailboxSettings {
    MailboxSettings {
        address: address.to_owned(),
        password: PASSWORD.to_owned(),
    }
}

pub(crate) fn send_body(account: &str, to: &str, subject: &str) -> String {
    serde_json::json!({ "account": account, "to": to, "subject": subject, "text": "Hello" })
        .to_string()
}
